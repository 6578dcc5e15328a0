//! Bad datasets, trainings and checkpoints.

use std::path::Path;
use std::ptr::{null, null_mut};

use nestling::Code;
use nestling::capi::*;

use super::support::{Family, Tiny};
use super::{Expected, c, fine, refused, source};

const GOOD: &str =
    "{\"text\": \"the cat sat on the mat\"}\n{\"text\": \"a dog ran in the park\"}\n";

/// Options as keys and values.
type Set<'a> = &'a [(&'a str, &'a str)];

/// A dataset of a file with this text, or the error.
fn dataset(
    path: &Path,
    text: impl AsRef<[u8]>,
    set: Set<'_>,
) -> Result<*mut nest_dataset, *mut nest_error> {
    std::fs::write(path, text).unwrap();
    let (source, mut data) = (source(path), null_mut());
    let options = options("dataset", set);
    // SAFETY: live handles, one source, a place for a handle.
    let error = unsafe {
        let error = nest_dataset_open([source.cast_const()].as_ptr(), 1, options, &mut data);
        nest_source_free(source);
        nest_options_free(options);
        error
    };
    if error.is_null() { Ok(data) } else { Err(error) }
}

fn options(kind: &str, set: Set<'_>) -> *mut nest_options {
    let mut options = null_mut();
    // SAFETY: texts that end with NUL, a place for a handle, and the handle it got.
    unsafe {
        fine(nest_options_new(c(kind).as_ptr(), &mut options));
        for (key, value) in set {
            let (key, value) = (c(key), c(value));
            fine(nest_options_set_string(options, key.as_ptr(), value.as_ptr(), -1));
        }
    }
    options
}

#[test]
fn datasets() {
    use Code::{DatasetEmpty, DatasetFormat, DatasetLine};
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(30);
    let cases: [(&str, &str, Set<'_>, Expected); 8] = [
        ("empty.jsonl", "", &[], (DatasetEmpty, "no examples", "empty.jsonl", "add examples")),
        ("blank.txt", "\n \n", &[], (DatasetEmpty, "0 rows", "blank.txt", "add examples")),
        (
            "line.jsonl",
            "{\"text\": \"a\"}\n{\"txt\": 1}\n",
            &[],
            (DatasetLine, "\"txt\"", "line.jsonl, line 2", "bad_lines=skip"),
        ),
        (
            "json.jsonl",
            "{\"text\": \"a\",}",
            &[],
            (DatasetLine, "not JSON", "json.jsonl, line 1", "one object a line"),
        ),
        (
            "all-bad.jsonl",
            "{\"a\": 1}\n",
            &[("bad_lines", "skip")],
            (DatasetEmpty, "1 were bad lines", "line 1", "add examples"),
        ),
        ("list.jsonl", "[{}]", &[], (DatasetFormat, "a JSON list", "list.jsonl", "jq")),
        ("head.csv", "a,b\n1,2\n", &[], (DatasetFormat, "\"a\", \"b\"", "head.csv", "give")),
        (
            "long.txt",
            &long,
            &[("max_chars", "20")],
            (DatasetEmpty, "max_chars", "long.txt", "relax"),
        ),
    ];
    for (name, text, set, expected) in cases {
        refused(dataset(&directory.path().join(name), text, set).unwrap_err(), expected);
    }
    let latin = dataset(&directory.path().join("latin.jsonl"), b"{\"text\": \"\xE9\"}\n", &[]);
    refused(
        latin.unwrap_err(),
        (DatasetLine, "UTF-8", "latin.jsonl, line 1", "save the file as UTF-8"),
    );
}

#[test]
fn examples() {
    let (mut examples, mut data) = (null_mut(), null_mut());
    // SAFETY: live handles, texts that end with NUL, places for handles.
    unsafe {
        fine(nest_examples_new(&mut examples));
        let row = c("{\"text\": 3}");
        let expected = (Code::DatasetLine, "a number", "\"text\"", "give a string");
        refused(nest_examples_add_json(examples, row.as_ptr(), -1), expected);
        let expected = (Code::DatasetEmpty, "no examples", "0 rows", "add examples");
        refused(nest_dataset_new(examples, null(), &mut data), expected);
        fine(nest_examples_add_text(examples, c("one").as_ptr(), -1));
        fine(nest_dataset_new(examples, null(), &mut data));
        let (mut a, mut b) = (null_mut(), null_mut());
        let expected = (Code::InvalidArgument, "1 example", "split", "add examples");
        refused(nest_dataset_split(data, 0.5, 1, &mut a, &mut b), expected);
        let expected = (Code::InvalidArgument, "is 1.5", "fraction", "less than 1");
        refused(nest_dataset_split(data, 1.5, 1, &mut a, &mut b), expected);
        let expected = (Code::InvalidArgument, "2 folds", "1 examples", "give 2 up to");
        refused(nest_dataset_fold(data, 2, 0, 1, &mut a, &mut b), expected);
        let mut label = null_mut();
        let expected = (Code::InvalidArgument, "is 0", "`index`", "0 labels");
        refused(nest_dataset_label(data, 0, &mut label), expected);
        assert!(a.is_null() && b.is_null() && label.is_null());
        nest_examples_free(examples);
        nest_dataset_free(data);
    }
}

/// A model and two examples, for trainings.
struct Training {
    directory: tempfile::TempDir,
    model: *mut nest_model,
    data: *mut nest_dataset,
}

impl Training {
    fn new(change: impl FnOnce(&mut nestling::format::gguf::Writer<'static>)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        let mut writer = Tiny::new(Family::Llama).writer();
        change(&mut writer);
        writer.write_file(&path).unwrap();
        let (source, mut model) = (source(&path), null_mut());
        // SAFETY: live handles, a place for a handle.
        unsafe {
            fine(nest_model_open(source, null(), null(), &mut model));
            nest_source_free(source);
        }
        let data = dataset(&directory.path().join("data.jsonl"), GOOD, &[]).unwrap();
        Self { directory, model, data }
    }

    fn trainer(&self, set: Set<'_>) -> Result<*mut nest_trainer, *mut nest_error> {
        let (options, mut trainer) = (options("trainer", set), null_mut());
        // SAFETY: live handles, NULL where it may be, a place for a handle.
        let error = unsafe {
            let error = nest_trainer_new(self.model, self.data, null(), options, &mut trainer);
            nest_options_free(options);
            error
        };
        if error.is_null() { Ok(trainer) } else { Err(error) }
    }

    fn resume(&self, data: *const nest_dataset, path: &Path) -> *mut nest_error {
        let (path, mut trainer) = (c(path.to_str().unwrap()), null_mut());
        // SAFETY: live handles, text that ends with NUL, a place for a handle.
        unsafe { nest_trainer_resume(self.model, data, null(), path.as_ptr(), &mut trainer) }
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        // SAFETY: the handles of `new`, freed once.
        unsafe {
            nest_dataset_free(self.data);
            nest_model_free(self.model);
        }
    }
}

#[test]
fn trainings() {
    use Code::{DatasetTooLong, DoesNotFit, InvalidOption, LoraLayers, LoraRank, LoraTarget};
    let training = Training::new(|_| {});
    let cases: [(Set<'_>, Expected); 7] = [
        (&[("lora_rank", "33")], (LoraRank, "is 33", "attn_k", "at most 32")),
        (&[("lora_targets", "q_proj")], (LoraTarget, "\"q_proj\"", "lora_targets", "give all")),
        (&[("lora_targets", "attn_qkv")], (LoraTarget, "no attn_qkv", "model", "they have attn_q")),
        (&[("first_layer", "7")], (LoraLayers, "7", "layers 0 to 1", "change first_layer")),
        (&[("n_ctx", "300")], (InvalidOption, "300", "n_ctx", "256")),
        (
            &[("n_ctx", "200"), ("memory_budget", "1048576")],
            (DoesNotFit, "1 MiB", "the training", "lora_rank"),
        ),
        (
            &[("n_ctx", "8"), ("too_long", "error")],
            (DatasetTooLong, "tokens", "data.jsonl, line 1", "too_long"),
        ),
    ];
    for (set, expected) in cases {
        refused(training.trainer(set).unwrap_err(), expected);
    }
    let stretched = Training::new(|w| {
        w.set("llama.rope.scaling.type", "yarn");
    });
    let expected = (Code::Unsupported, "YaRN", "rope.scaling.type", "use its version without");
    refused(stretched.trainer(&[]).unwrap_err(), expected);
}

#[test]
fn checkpoints() {
    use Code::{CheckpointForeign, CheckpointFormat, NotAFile, NotFound};
    let training = Training::new(|_| {});
    let trainer = training.trainer(&[("n_threads", "1")]).unwrap();
    let place = |name: &str| training.directory.path().join(name);
    let save = |name: &str| {
        let path = c(place(name).to_str().unwrap());
        // SAFETY: a live trainer and text that ends with NUL.
        unsafe { nest_trainer_save(trainer, path.as_ptr()) }
    };
    let adapter = |name: &str| {
        let path = c(place(name).to_str().unwrap());
        // SAFETY: a live trainer and texts that end with NUL.
        unsafe { nest_trainer_save_adapter(trainer, path.as_ptr(), c"x".as_ptr()) }
    };
    refused(save("no/such"), (NotFound, "writing the checkpoint", "no/such", "check the path"));
    refused(save("data.jsonl/x"), (NotAFile, "writing", "data.jsonl/x", "a regular file"));
    refused(adapter("no/such"), (NotFound, "writing", "no/such", "check the path"));
    fine(save("checkpoint"));
    // SAFETY: the trainer, freed once.
    unsafe { nest_trainer_free(trainer) };

    let again = |name: &str| training.resume(training.data, &place(name));
    let bytes = std::fs::read(place("checkpoint")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(place(name), bytes).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    write("changed", &changed);
    write("cut", &bytes[..bytes.len() - 100]);
    write("text", b"no checkpoint at all, as long as it needs to be");
    refused(again("changed"), (CheckpointFormat, "checksum", "changed", "another one"));
    refused(again("cut"), (CheckpointFormat, "cut short", "/cut", "resume from another"));
    refused(again("text"), (CheckpointFormat, "GGUF", "/text", "checkpoint"));
    refused(again("model.gguf"), (CheckpointFormat, "general.type", "model.gguf", "give a"));
    refused(again("missing"), (NotFound, "No such file", "missing", "check the path"));

    let other = dataset(&place("other.jsonl"), "{\"text\": \"other\"}", &[]).unwrap();
    let expected = (CheckpointForeign, "training data", "the checkpoint", "same files");
    refused(training.resume(other, &place("checkpoint")), expected);
    // SAFETY: the dataset, freed once.
    unsafe { nest_dataset_free(other) };
    let model = Training::new(|w| {
        w.set("general.name", "another");
    });
    let expected = (CheckpointForeign, "made with the model", "the checkpoint", "open the model");
    refused(model.resume(model.data, &place("checkpoint")), expected);
}
