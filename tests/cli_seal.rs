//! `nestling keygen`, `seal` and `unseal` as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "cli/child.rs"]
mod child;
mod support;

use std::path::PathBuf;

use child::{failure, json, run, stdout, text};
use support::{Family, Tiny};

/// A model and its keys, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
    model: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self { model: Tiny::new(Family::Llama).write(folder.path()), folder };
        stdout(&run(&["keygen", &files.path("model.key")]));
        let made = stdout(&run(&["keygen", "--sign", &files.path("publisher.key")]));
        assert!(made.contains("publisher.key.pub"), "{made}");
        files
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    fn seal(&self) -> String {
        let [out, key, sign] = ["m.nest", "model.key", "publisher.key"].map(|name| self.path(name));
        let of = ["seal", text(&self.model), "-o", &out, "--chunk-size", "4096", "--json"];
        let report =
            json(&run(&[&of[..], &["--key-file", &key, "--sign-key-file", &sign]].concat()));
        let public = std::fs::read_to_string(self.path("publisher.key.pub")).unwrap();
        assert_eq!(report["public_key"], public.trim());
        assert_eq!((&report["encrypted"], &report["signed"]), (&true.into(), &true.into()));
        out
    }
}

#[test]
fn a_sealed_model_runs_with_its_keys_and_comes_back_whole() {
    let files = Files::new();
    let sealed = files.seal();
    let [key, public] = ["model.key", "publisher.key.pub"].map(|name| files.path(name));
    let keys = ["--key-file", &key, "--public-key-file", &public];
    let generate = |model: &str, keys: &[&str]| {
        let of =
            ["generate", "-m", model, "-p", "one two", "--temperature", "0", "--n-threads", "1"];
        stdout(&run(&[&of[..], &["--max-tokens", "8", "--ignore-eos"], keys].concat()))
    };
    assert_eq!(generate(&sealed, &keys), generate(text(&files.model), &[]));
    for of in [
        vec!["inspect", "--tensors", &sealed],
        vec!["plan", "-m", &sealed],
        vec!["tokenize", "-m", &sealed, "one two"],
    ] {
        stdout(&run(&[&of[..], &keys].concat()));
        let without = failure(&run(&of));
        assert!(without.contains("SealKeyMissing") && without.contains("--key-file"), "{without}");
    }
    let back = files.path("back.gguf");
    stdout(&run(&[&["unseal", &sealed, "-o", &back][..], &keys].concat()));
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&files.model).unwrap());
    assert!(failure(&run(&["unseal", &back, "-o", &sealed])).contains("not sealed"));
    assert!(
        failure(&run(&[&["unseal", &sealed, "-o", &back][..], &keys].concat()))
            .contains("OutputExists")
    );
}

#[test]
fn bad_keys_and_files_end_with_status_1_and_say_what_to_do() {
    let files = Files::new();
    let sealed = files.seal();
    let path = |name: &str| files.path(name);
    let (key, other, short) = (path("model.key"), path("other.key"), path("short.key"));
    stdout(&run(&["keygen", &other]));
    std::fs::write(&short, "c0ffee").unwrap();
    let model = text(&files.model);
    for (arguments, words) in [
        (vec!["inspect", &sealed, "--key-file", &other], ["SealKeyWrong", "another key"]),
        (vec!["inspect", &sealed, "--key-file", &short], ["short.key", "64 hexadecimal digits"]),
        (vec!["inspect", &sealed, "--key-file", "/nonexistent"], ["/nonexistent", "NotFound"]),
        (
            vec!["inspect", &sealed, "--key-file", &key, "--public-key-file", &other],
            ["SealSigner", "publisher"],
        ),
        (vec!["inspect", model, "--public-key-file", &other], ["SealNotSigned", "not signed"]),
        (vec!["seal", model, "-o", &path("x")], ["InvalidOption", "--key-file"]),
        (vec!["seal", model, "-o", &sealed, "--key-file", &key], ["OutputExists", "force"]),
        (
            vec!["seal", &sealed, "-o", &path("x"), "--key-file", &key],
            ["SealAgain", "sealed already"],
        ),
        (vec!["keygen", &key], ["OutputExists", "model.key"]),
    ] {
        let message = failure(&run(&arguments));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!message.contains("c0ffee"), "{message}");
    }
    assert!(!files.folder.path().join("x").exists());
}

/// Key files: only their owner reads them; raw bytes are as good as digits.
#[test]
fn key_files_are_private_and_may_be_raw() {
    let files = Files::new();
    let key = files.path("model.key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    let digits = std::fs::read_to_string(&key).unwrap();
    let digits = digits.trim();
    assert_eq!(digits.len(), 64);
    let byte = |i: usize| u8::from_str_radix(&digits[i..i + 2], 16).unwrap();
    let raw: Vec<u8> = (0..64).step_by(2).map(byte).collect();
    std::fs::write(files.path("raw.key"), raw).unwrap();
    let sealed = files.seal();
    stdout(&run(&["inspect", &sealed, "--key-file", &files.path("raw.key")]));
}
