//! Models in several files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};

use nestling::error::Code;
use nestling::format::{Access, ModelFiles, Source};
use support::{Family, Raw, Tiny};

/// Writes a tiny model in `n` parts, after `change` had each part, and returns the first part's path.
fn write(directory: &Path, n: u16, change: impl Fn(u16, &mut Raw)) -> PathBuf {
    let whole = Raw::of(&Tiny::new(Family::Llama));
    let total = whole.tensors.len();
    let each = total.div_ceil(usize::from(n));
    for (i, tensors) in whole.tensors.chunks(each).enumerate() {
        let i = i as u16;
        let mut part = if i == 0 { whole.clone() } else { Raw::empty() };
        part.tensors = tensors.to_vec();
        part.set("split.no", i).set("split.count", n).set("split.tensors.count", total as i32);
        change(i, &mut part);
        std::fs::write(name(directory, i + 1, n), part.bytes()).unwrap();
    }
    name(directory, 1, n)
}

fn name(directory: &Path, i: u16, n: u16) -> PathBuf {
    directory.join(format!("tiny-{i:05}-of-{n:05}.gguf"))
}

fn open(path: &Path) -> Result<ModelFiles, Code> {
    ModelFiles::open(&Source::path(path), Access::Map).map_err(|e| e.code())
}

#[test]
fn a_split_model_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let first = write(directory.path(), 3, |_, _| {});
    let model = open(&first).unwrap();
    assert_eq!(model.parts().len(), 3);
    assert_eq!(model.tensors().count(), 21);
    let (part, tensor) = model.tensor("output.weight").unwrap();
    assert_eq!(part.path(), Some(name(directory.path(), 3, 3).as_path()));
    assert_eq!(part.gguf().data(tensor).unwrap().len() as u64, tensor.n_bytes);
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    type Change = fn(u16, &mut Raw);
    #[rustfmt::skip]
    let cases: [(&str, Code, Change); 9] = [
        ("part 2 says it is part 3", Code::GgufSplit, |i, r| if i == 1 { r.set("split.no", 2u16); }),
        ("part 2 says it is part 1: a circle", Code::GgufSplit, |i, r| if i == 1 { r.set("split.no", 0u16); }),
        ("part 2 is of another split", Code::GgufSplit, |i, r| if i == 1 { r.set("split.count", 4u16); }),
        ("part 1 says it is part 2", Code::GgufSplit, |i, r| if i == 0 { r.set("split.no", 1u16); }),
        ("fewer tensors than claimed", Code::GgufSplit, |i, r| if i == 0 { r.set("split.tensors.count", 22i32); }),
        ("a tensor in two parts", Code::GgufSplit, |i, r| if i == 1 { r.add_zeros("token_embd.weight", &[64, 276]); }),
        ("part 2 without a number", Code::GgufKeyMissing, |i, r| if i == 1 { r.remove("split.no"); }),
        ("a number of another type", Code::GgufKeyType, |i, r| if i == 1 { r.set("split.no", 1u32); }),
        ("a damaged part", Code::GgufMagic, |i, r| if i == 2 { r.magic = b"GGUX".to_vec(); }),
    ];
    for (name, expected, change) in cases {
        let directory = tempfile::tempdir().unwrap();
        let first = write(directory.path(), 3, change);
        assert_eq!(open(&first).map(|_| ()), Err(expected), "{name}");
    }
}

#[test]
fn parts_that_are_not_there_are_named() {
    for lost in [2, 3] {
        let directory = tempfile::tempdir().unwrap();
        let first = write(directory.path(), 3, |_, _| {});
        let path = name(directory.path(), lost, 3);
        std::fs::remove_file(&path).unwrap();
        let error = ModelFiles::open(&Source::path(&first), Access::Map).unwrap_err();
        assert_eq!(error.code(), Code::GgufSplitMissing);
        let lost = path.file_name().unwrap().to_str().unwrap();
        assert!(error.message().contains(lost), "{error}");
    }
    let directory = tempfile::tempdir().unwrap();
    let first = write(directory.path(), 2, |_, _| {});
    std::fs::remove_file(name(directory.path(), 2, 2)).unwrap();
    assert_eq!(open(&first).map(|_| ()), Err(Code::GgufSplitMissing));
}

#[test]
fn a_part_alone_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = write(directory.path(), 3, |_, _| {});
    assert_eq!(open(&name(directory.path(), 2, 3)).map(|_| ()), Err(Code::GgufSplit), "part 2");
    let renamed = directory.path().join("model.gguf");
    std::fs::copy(&first, &renamed).unwrap();
    assert_eq!(open(&renamed).map(|_| ()), Err(Code::GgufSplit), "another name");
    let bytes = std::fs::read(&first).unwrap();
    let memory = ModelFiles::open(&Source::memory(bytes), Access::Map);
    assert_eq!(memory.unwrap_err().code(), Code::GgufSplit, "in memory");
    let file = Source::file(std::fs::File::open(&first).unwrap(), 0, None);
    assert_eq!(
        ModelFiles::open(&file, Access::Map).unwrap_err().code(),
        Code::GgufSplit,
        "open file"
    );
}

#[cfg(unix)]
#[test]
fn parts_that_are_links_in_a_circle_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = write(directory.path(), 3, |_, _| {});
    for (i, to) in [(2, 1), (3, 2)] {
        let link = name(directory.path(), i, 3);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(name(directory.path(), to, 3), &link).unwrap();
    }
    assert_eq!(open(&first).map(|_| ()), Err(Code::GgufSplit));
}
