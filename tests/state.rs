//! State files: they continue exactly, and refuse what is foreign or damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use nestling::Code;
use nestling::format::Source;
use nestling::model::Model;
use nestling::options::{KvType, ModelOptions, SessionOptions};
use nestling::session::Session;
use support::run::{ids, options, seeded, session, tiny, tokens};
use support::{Family, Tiny};

fn saved(dir: &Path, family: Family) -> (Model, std::path::PathBuf, Vec<i32>) {
    let model = tiny(family);
    let mut s = session(&model, 128);
    let mut all = tokens(&mut s, ids(30, 250, 1), &seeded(10, 7));
    let path = dir.join("session.state");
    s.save(&path).unwrap();
    let mut go_on = seeded(10, 0);
    go_on.append = true;
    go_on.sampling.seed = nestling::options::Auto::Auto;
    all.extend(tokens(&mut s, Vec::new(), &go_on));
    (model, path, all)
}

#[test]
fn a_loaded_session_continues_as_if_never_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    for family in [Family::Llama, Family::Gemma3, Family::Gpt2] {
        let (model, path, all) = saved(dir.path(), family);
        let mut s = Session::load(&model, &path, &options(128)).unwrap();
        let mut go_on = seeded(10, 0);
        go_on.append = true;
        go_on.sampling.seed = nestling::options::Auto::Auto;
        assert_eq!(tokens(&mut s, Vec::new(), &go_on), all[10..], "{family:?}");
        // One run without any pause gives the same random choices.
        assert_eq!(tokens(&mut session(&model, 128), ids(30, 250, 1), &seeded(20, 7)), all);
    }
}

#[test]
fn an_empty_session_can_be_saved() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny(Family::Llama);
    let path = dir.path().join("empty.state");
    session(&model, 64).save(&path).unwrap();
    assert_eq!(Session::load(&model, &path, &options(64)).unwrap().position(), 0);
}

#[cfg(unix)]
#[test]
fn only_the_user_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (_, path, _) = saved(dir.path(), Family::Llama);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn damaged_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, path, _) = saved(dir.path(), Family::Llama);
    let good = std::fs::read(&path).unwrap();
    let mut s = session(&model, 128);
    let mut refuse = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = s.restore(&path).unwrap_err();
        assert!(
            matches!(error.code(), Code::StateDamaged | Code::StateFormat),
            "{what}: {:?} {error}",
            error.code()
        );
        assert!(error.message().contains("session.state"), "{error}");
    };
    for at in (0..good.len()).step_by(good.len() / 97 + 1) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        refuse(&bad, &format!("byte {at}"));
        refuse(&good[..at], &format!("cut at {at}"));
    }
    refuse(&[good.as_slice(), b"x"].concat(), "one byte more");
    std::fs::write(&path, &good).unwrap();
    s.restore(&path).unwrap();
}

#[test]
fn forged_snapshots_are_refused_before_the_engine_sees_them() {
    use sha2::{Digest, Sha256};
    let dir = tempfile::tempdir().unwrap();
    for family in [Family::Llama, Family::Gemma3] {
        let (model, path, _) = saved(dir.path(), family);
        let good = std::fs::read(&path).unwrap();
        let header = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
        let cache = 16 + header + 4 * 40;
        let mut s = session(&model, 128);
        // Tag, sequence, streams, cells, then position, sequences, sequence of each cell.
        for (at, value) in [
            (8, 2u32),
            (8, u32::MAX),
            (12, u32::MAX),
            (12, 1_000_000),
            (16, u32::MAX),
            (16, 39),
            (20, 0),
            (20, u32::MAX),
        ] {
            let mut bad = good[..good.len() - 32].to_vec();
            bad[cache + at..cache + at + 4].copy_from_slice(&value.to_le_bytes());
            let digest = Sha256::digest(&bad);
            bad.extend_from_slice(&digest);
            std::fs::write(&path, &bad).unwrap();
            let error = s.restore(&path).unwrap_err();
            assert_eq!(error.code(), Code::StateDamaged, "{family:?} {at} {value}: {error}");
        }
        std::fs::write(&path, &good).unwrap();
        s.restore(&path).unwrap();
    }
}

#[test]
fn foreign_states_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, path, _) = saved(dir.path(), Family::Llama);
    let other = Source::memory(Tiny::new(Family::Llama).seed(99).bytes());
    let other = Model::open(other, &ModelOptions::default()).unwrap();
    let cases = [
        (Session::load(&other, &path, &options(128)), "model"),
        (Session::load(&tiny(Family::Qwen2), &path, &options(128)), "model"),
        (Session::load(&model, &path, &options(32)), "n_ctx"),
        (
            Session::load(&model, &path, &SessionOptions { kv_type: KvType::F32, ..options(128) }),
            "kv_type",
        ),
        (
            Session::load(&model, &path, &SessionOptions { swa_full: false, ..options(128) }),
            "swa_full",
        ),
    ];
    for (result, word) in cases {
        let error = result.unwrap_err();
        assert_eq!(error.code(), Code::StateForeign, "{error}");
        assert!(error.message().contains(word), "{error}");
    }
    assert_eq!(Session::load(&model, dir.path(), &options(64)).unwrap_err().code(), Code::NotAFile);
    let missing = dir.path().join("none");
    assert_eq!(Session::load(&model, missing, &options(64)).unwrap_err().code(), Code::NotFound);
    let error = session(&model, 64).save(dir.path().join("no/such/dir")).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}
