//! Sealed files: what opens, what does not, and what each error says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "sealed/fixture.rs"]
mod fixture;
mod support;

use nestling::Code;
use nestling::adapter::Adapter;
use nestling::cancel::CancelToken;
use nestling::format::sealed::{seal, unseal};
use nestling::format::{Access, ModelFiles, Source};
use nestling::job::Monitor;
use nestling::log;
use nestling::model::Model;
use nestling::options::{ModelOptions, Repack, SealOptions, Secret, SessionOptions};

use fixture::{Layout, Made, key, public, sign_key};
use support::run::{greedy, ids, logits, session, tokens};

#[test]
fn a_sealed_model_is_the_model_from_every_source() {
    for (encrypted, signed) in [(true, true), (true, false), (false, true)] {
        let made = Made::new(encrypted, signed);
        let plain = Model::open(made.model.as_path(), &ModelOptions::default()).unwrap();
        let prompt = ids(20, 250, 1);
        let (expected, _) = logits(&mut session(&plain, 64), &prompt);
        let inside = made.folder.path().join("asset.bin");
        std::fs::write(&inside, [&[7; 100], &made.bytes[..], &[9; 10]].concat()).unwrap();
        let length = Some(made.bytes.len() as u64);
        for (what, source) in [
            ("path", Source::path(&made.sealed)),
            ("memory", Source::memory(made.bytes.clone())),
            ("descriptor", Source::file(std::fs::File::open(&inside).unwrap(), 100, length)),
        ] {
            for o in [
                made.options(),
                ModelOptions { use_mmap: false, ..made.options() },
                ModelOptions { repack: Repack::On, ..made.options() },
            ] {
                let model = Model::open(source.clone(), &o).unwrap();
                let (ours, _) = logits(&mut session(&model, 64), &prompt);
                let difference = support::run::max_difference(&ours, &expected);
                assert!(difference < 1e-4, "{what}, {o:?}: {difference}");
                // Nothing keeps the keys.
                assert!(!model.options().key.is_set() && !model.options().public_key.is_set());
                let plan = model.plan(&SessionOptions::default()).unwrap();
                assert_eq!(plan.weights_mapped, 0, "{what}: private memory");
            }
        }
        // The source is free again, and the model goes on alone.
        let model = Model::open(made.sealed.as_path(), &made.options()).unwrap();
        let (sealed, folder) = (made.sealed.clone(), made.folder);
        std::fs::remove_file(sealed).unwrap();
        drop(folder);
        let said = tokens(&mut session(&model, 64), prompt.clone(), &greedy(8));
        assert_eq!(said, tokens(&mut session(&plain, 64), prompt, &greedy(8)));
    }
}

#[test]
fn facts_plans_and_adapters_come_from_sealed_files_too() {
    let made = Made::new(true, true);
    let o = made.options();
    let keyed = Source::path(&made.sealed).with_keys(&o.key, &o.public_key);
    let plain = Model::inspect(made.model.as_path()).unwrap();
    let found = Model::inspect(keyed.clone()).unwrap();
    assert_eq!(serde_json::to_value(&found).unwrap(), serde_json::to_value(&plain).unwrap());
    assert_eq!(ModelFiles::open(&keyed, Access::Map).unwrap().length(), plain.file_bytes);
    let hollow = ModelOptions { vocab_only: true, ..o.clone() };
    let hollow = Model::open(made.sealed.as_path(), &hollow).unwrap();
    let wanted = Model::open(made.model.as_path(), &ModelOptions::default()).unwrap();
    let plan = |model: &Model| model.plan(&SessionOptions::default()).unwrap();
    assert_eq!(plan(&hollow).kv_cache, plan(&wanted).kv_cache);
    assert_eq!(plan(&hollow).weights, plan(&wanted).weights);

    let adapter = made.folder.path().join("adapter.gguf");
    std::fs::write(&adapter, fixture::adapter(&wanted)).unwrap();
    let sealed = made.folder.path().join("adapter.nest");
    seal(&adapter, &sealed, &made.seal, &Monitor::default()).unwrap();
    let model = Model::open(keyed, &ModelOptions::default()).unwrap();
    let keyless = Adapter::open(&model, sealed.as_path()).unwrap_err();
    assert_eq!(keyless.code(), Code::SealKeyMissing, "{keyless}");
    let source = Source::path(&sealed).with_keys(&o.key, &o.public_key);
    let (ours, plain) =
        (Adapter::open(&model, source).unwrap(), Adapter::open(&model, adapter.as_path()).unwrap());
    assert_eq!(ours.info(), plain.info());
}

#[test]
fn keys_must_be_there_and_right() {
    let made = Made::new(true, true);
    let none = Secret::none();
    let other = Secret::new(&[9; 32]).unwrap();
    let (key, public) = (key(), public(&sign_key()));
    for (key, public, code, words) in [
        (&none, &none, Code::SealKeyMissing, "no key was given"),
        (&none, &public, Code::SealKeyMissing, "no key was given"),
        (&other, &public, Code::SealKeyWrong, "another key"),
        (&other, &none, Code::SealKeyWrong, "another key"),
        (&key, &other, Code::SealSigner, "public key"),
    ] {
        let error = made.refused(&made.bytes, key, public);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    let error = Model::open(made.sealed.as_path(), &ModelOptions::default()).unwrap_err();
    assert!(error.message().starts_with(made.sealed.to_str().unwrap()), "{error}");

    // Less protection than was asked for: of a sealed file, and of one that is not sealed.
    let (signed, encrypted) = (Made::new(false, true), Made::new(true, false));
    let plain = std::fs::read(&made.model).unwrap();
    let code = |bytes: &[u8], key, public| made.refused(bytes, key, public).code();
    assert_eq!(code(&signed.bytes, &key, &public), Code::SealNotEncrypted);
    assert_eq!(code(&plain, &key, &none), Code::SealNotEncrypted);
    assert_eq!(code(&encrypted.bytes, &key, &public), Code::SealNotSigned);
    assert_eq!(code(&plain, &none, &public), Code::SealNotSigned);
}

#[test]
fn a_signature_that_nobody_asked_for_opens_and_is_logged() {
    let made = Made::new(false, true);
    Model::inspect(made.sealed.as_path()).unwrap();
    let lines = std::iter::from_fn(log::poll).filter(|l| l.text.contains("no public key"));
    assert!(lines.count() >= 1);
}

/// Every chunk: a flipped bit at its start, in its middle, at its end, in its tag.
#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    for (encrypted, signed) in [(true, true), (true, false), (false, true)] {
        let made = Made::new(encrypted, signed);
        let layout = Layout::of(&made.bytes);
        let damaged = if encrypted { Code::SealChunk } else { Code::SealDigest };
        assert!(layout.chunks.len() > 4);
        for (i, chunk) in layout.chunks.iter().enumerate() {
            let middle = (chunk.start + chunk.end) / 2;
            for at in [chunk.start, middle, chunk.end - 17, chunk.end - 1] {
                let error = made.flipped(at);
                assert_eq!(error.code(), damaged, "chunk {i}, byte {at}: {error}");
                if encrypted {
                    let name = format!("chunk {} of {}", i + 1, layout.chunks.len());
                    assert!(error.message().contains(&name), "{error}");
                }
            }
        }
        for at in [layout.manifest.start, layout.manifest.end - 1] {
            assert_eq!(made.flipped(at).code(), Code::SealManifest);
        }
        for at in layout.signature.clone() {
            let code = if at < layout.signature.start + 32 {
                Code::SealSigner
            } else {
                Code::SealSignature
            };
            assert_eq!(made.flipped(at).code(), code, "byte {at}");
            if !encrypted {
                // Also where nobody asks who signed it.
                let mut bytes = made.bytes.clone();
                bytes[at] ^= 1;
                let error = made.refused(&bytes, &Secret::none(), &Secret::none());
                assert_eq!(error.code(), Code::SealSignature);
            }
        }
        for at in 0..128 {
            let code = match at {
                // Not a sealed file any more: less than was asked for.
                0..8 if encrypted => Code::SealNotEncrypted,
                0..8 => Code::SealNotSigned,
                8..12 => Code::SealVersion,
                _ => Code::SealHeader,
            };
            assert_eq!(made.flipped(at).code(), code, "byte {at}");
        }
    }
}

#[test]
fn a_file_that_is_cut_or_continued_is_refused_wherever_it_is() {
    for (encrypted, signed) in [(true, true), (false, true)] {
        let made = Made::new(encrypted, signed);
        let layout = Layout::of(&made.bytes);
        let mut cuts =
            vec![12, 100, 127, 128, layout.manifest.end, layout.payload, made.bytes.len() - 1];
        for chunk in &layout.chunks {
            cuts.extend([
                chunk.start,
                chunk.start + 1,
                (chunk.start + chunk.end) / 2,
                chunk.end - 1,
            ]);
        }
        for cut in cuts {
            let error = made.open(&made.bytes[..cut]);
            assert_eq!(error.code(), Code::SealTruncated, "cut at {cut}: {error}");
        }
        for more in [1, 16, 4096] {
            let error = made.open(&[&made.bytes[..], &vec![0; more]].concat());
            assert_eq!(error.code(), Code::SealTrailing, "{error}");
        }
    }
}

#[test]
fn chunks_cannot_be_moved_repeated_left_out_or_taken_from_another_file() {
    let made = Made::new(true, false);
    let (layout, again) = (Layout::of(&made.bytes), Made::new(true, false));
    let last = layout.chunks.len() - 1;
    let chunk = |i: usize| made.bytes[layout.chunks[i].clone()].to_vec();
    let with = |i: usize, chunk: &[u8]| {
        let mut bytes = made.bytes.clone();
        bytes.splice(layout.chunks[i].clone(), chunk.iter().copied());
        bytes
    };
    let code = |bytes: &[u8]| made.open(bytes).code();
    for i in [0, last / 2, last - 1] {
        let other = if i == 0 { 1 } else { i - 1 };
        assert_eq!(code(&with(i, &chunk(other))), Code::SealChunk, "chunk {i} repeats {other}");
        let mut swapped = with(i, &chunk(other));
        swapped.splice(layout.chunks[other].clone(), chunk(i));
        assert_eq!(code(&swapped), Code::SealChunk, "chunks {i} and {other}");
        // The same key and the same model, sealed another time.
        let theirs = &again.bytes[layout.chunks[i].clone()];
        assert_eq!(code(&with(i, theirs)), Code::SealChunk, "chunk {i} of another file");
    }
    for i in [0, last / 2, last] {
        let mut bytes = made.bytes.clone();
        bytes.drain(layout.chunks[i].clone());
        assert_eq!(code(&bytes), Code::SealTruncated, "without chunk {i}");
        let size = layout.chunks[i].len() as u64 - 16;
        fixture::shorten(&mut bytes, size);
        // The header is right for what is left, but not for the key.
        assert_eq!(code(&bytes), Code::SealKeyWrong, "without chunk {i}, and said so");
    }
    // The manifest and the header of another file.
    let mut bytes = made.bytes.clone();
    bytes[..layout.payload].copy_from_slice(&again.bytes[..layout.payload]);
    assert_eq!(code(&bytes), Code::SealChunk);
}

#[test]
fn absurd_headers_are_refused_without_allocating() {
    let made = Made::new(true, true);
    for (at, value, code) in [
        (8, 2u32.to_le_bytes().to_vec(), Code::SealVersion),
        (8, u32::MAX.to_le_bytes().to_vec(), Code::SealVersion),
        (12, 0u32.to_le_bytes().to_vec(), Code::SealHeader),
        (12, 7u32.to_le_bytes().to_vec(), Code::SealHeader),
        (16, 0u32.to_le_bytes().to_vec(), Code::SealHeader),
        (16, u32::MAX.to_le_bytes().to_vec(), Code::SealHeader),
        (20, 1u32.to_le_bytes().to_vec(), Code::SealHeader),
        (24, 0u64.to_le_bytes().to_vec(), Code::SealHeader),
        (24, u64::MAX.to_le_bytes().to_vec(), Code::SealTruncated),
        (24, (1u64 << 62).to_le_bytes().to_vec(), Code::SealTruncated),
        (24, 1u64.to_le_bytes().to_vec(), Code::SealTrailing),
        (32, 0u64.to_le_bytes().to_vec(), Code::SealHeader),
        (32, u64::MAX.to_le_bytes().to_vec(), Code::SealTruncated),
        (32, 1u64.to_le_bytes().to_vec(), Code::SealTrailing),
        // Without its signature the file is longer than it says, and less than was asked for.
        (12, 1u32.to_le_bytes().to_vec(), Code::SealTrailing),
    ] {
        let mut bytes = made.bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(&value);
        fixture::sum(&mut bytes);
        let error = made.open(&bytes);
        assert_eq!(error.code(), code, "byte {at} = {value:?}: {error}");
    }
    // A signature that was cut out whole.
    let layout = Layout::of(&made.bytes);
    let mut bytes = made.bytes.clone();
    bytes.drain(layout.signature);
    bytes[12] = 1;
    fixture::sum(&mut bytes);
    assert_eq!(made.open(&bytes).code(), Code::SealNotSigned);
}

/// Whoever has the key can encrypt, but not sign: the signature holds the digests.
#[test]
fn a_manifest_of_a_signed_file_is_bound_to_every_byte() {
    let made = Made::new(false, true);
    let gguf = ModelFiles::open(&Source::path(&made.model), Access::Read).unwrap();
    let payload = Layout::of(&made.bytes).payload;
    let tensor = gguf.tensors().nth(3).unwrap();
    let error = made.flipped(payload + tensor.offset as usize);
    assert!(error.message().contains(&format!("tensor {}", tensor.name)), "{error}");
    assert!(made.flipped(payload + 40).message().contains("the metadata"));
    let last = gguf.tensors().max_by_key(|t| t.offset).unwrap();
    let gap = payload + (last.offset + last.n_bytes) as usize;
    if gap < made.bytes.len() {
        assert!(made.flipped(gap).message().contains("padding"));
    }
}

#[test]
fn sealing_refuses_what_it_cannot_mean() {
    let made = Made::new(true, true);
    let out = made.folder.path().join("out.nest");
    let code = |from: &std::path::Path, to: &std::path::Path, o: &SealOptions| {
        seal(from, to, o, &Monitor::default()).unwrap_err().code()
    };
    let model = made.model.as_path();
    assert_eq!(code(model, &out, &SealOptions::default()), Code::InvalidOption);
    assert_eq!(
        code(model, &out, &SealOptions { chunk_size: 5, ..made.seal.clone() }),
        Code::InvalidOption
    );
    assert_eq!(code(model, model, &made.seal), Code::OutputIsInput);
    assert_eq!(code(model, &made.sealed, &made.seal), Code::OutputExists);
    assert_eq!(code(&made.sealed, &out, &made.seal), Code::SealAgain);
    assert_eq!(code(&out, &out, &made.seal), Code::NotFound);
    let text = made.folder.path().join("text");
    std::fs::write(&text, "no model").unwrap();
    assert_eq!(code(&text, &out, &made.seal), Code::GgufMagic);
    let part = made.folder.path().join("part");
    let mut raw = support::Raw::small();
    std::fs::write(&part, raw.set("split.count", 2u16).bytes()).unwrap();
    assert_eq!(code(&part, &out, &made.seal), Code::GgufSplit);
    let token = CancelToken::new();
    token.trigger();
    let cancelled = seal(model, &out, &made.seal, &Monitor::new(token.clone())).unwrap_err();
    assert_eq!(cancelled.code(), Code::Cancelled);
    assert!(!out.exists());
    let left = std::fs::read_dir(&made.folder).unwrap().count();
    assert_eq!(left, 4, "nothing half written is left");
    let force = SealOptions { force: true, ..made.seal.clone() };
    seal(model, &made.sealed, &force, &Monitor::default()).unwrap();
    let cancelled = Model::open_with(made.sealed.as_path(), &made.options(), &Monitor::new(token));
    assert_eq!(cancelled.unwrap_err().code(), Code::Cancelled);
}

#[test]
fn unsealing_gives_the_file_back() {
    for (encrypted, signed) in [(true, true), (false, true)] {
        let made = Made::new(encrypted, signed);
        let o = made.options();
        let back = made.folder.path().join("back.gguf");
        let source = Source::path(&made.sealed).with_keys(&o.key, &o.public_key);
        unseal(&source, &back, false, &Monitor::default()).unwrap();
        assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&made.model).unwrap());
        let code = |to: &std::path::Path| {
            unseal(&source, to, false, &Monitor::default()).unwrap_err().code()
        };
        assert_eq!(code(&back), Code::OutputExists);
        assert_eq!(code(&made.sealed), Code::OutputIsInput);
    }
}
