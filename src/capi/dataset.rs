//! Datasets: examples to learn from or to measure with, read and cleaned once.

use std::sync::OnceLock;

use super::error::nest_error;
use super::examples::nest_examples;
use super::guard::{guard, guard_or};
use super::handle::{Handle, free, handle, optional};
use super::options::{self, nest_options};
use super::out::{fill, first_version, out};
use super::source::{self, nest_source};
use super::string::nest_string;
use crate::dataset::{Dataset, DatasetReport};
use crate::error::{Result, err};
use crate::options::DatasetOptions;

/// A dataset, or a part of one. Parts share their examples, so splitting is cheap.
pub struct nest_dataset {
    pub(super) data: Dataset,
    labels: OnceLock<Vec<String>>,
}

impl Handle for nest_dataset {
    const NAME: &'static str = "nest_dataset";
}

/// What reading and cleaning did. Parts of a dataset have the report of the whole.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nest_dataset_report {
    /// sizeof(nest_dataset_report), set by the caller.
    pub struct_size: u32,
    /// The number of files.
    pub n_files: u32,
    /// Rows read, bad ones included.
    pub rows: u64,
    /// Bad lines that were skipped; nest_dataset_report_json says where the first 20 are, and what is wrong with them.
    pub bad_lines: u64,
    /// Examples in which control characters were removed.
    pub strip_control: u64,
    /// Examples in which characters were composed.
    pub unicode_nfc: u64,
    /// Examples in which runs of white space were collapsed.
    pub collapse_space: u64,
    /// Examples in which white space was trimmed.
    pub trim: u64,
    /// Examples in which letters were made small.
    pub lower_case: u64,
    /// Examples left out because they are empty.
    pub empty: u64,
    /// Examples left out because they have fewer characters than `min_chars`.
    pub min_chars: u64,
    /// Examples left out because they have more characters than `max_chars`.
    pub max_chars: u64,
    /// Examples left out because they equal an earlier one.
    pub drop_duplicates: u64,
    /// Examples that remain, of the whole dataset.
    pub examples: u64,
}
first_version!(nest_dataset_report, examples: u64);

/// Reads files one after the other and cleans what they hold: JSONL, CSV or plain text. `options` of the kind
/// "dataset".
///
/// Gives `dataset`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT, DATASET_LINE names file, line and reason of a bad
/// line (unless `bad_lines` is "skip"), DATASET_FORMAT, DATASET_EMPTY if no example is left, BUSY for options that are
/// being changed, and those of files.
///
/// # Safety
/// The conventions of this module; `sources` has `n_sources` handles.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_open(
    sources: *const *const nest_source,
    n_sources: u64,
    options: *const nest_options,
    dataset: *mut *mut nest_dataset,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(dataset, "dataset")?;
        let (sources, options) =
            (source::all(sources, n_sources)?, options::of::<DatasetOptions>(options)?);
        out.set(Dataset::open(sources, &options)?.into());
        Ok(())
    })
}

/// Cleans examples that are in memory, which are copied. `options` of the kind "dataset".
///
/// Gives `dataset`. Any thread. Errors: NULL_POINTER, DATASET_EMPTY if no example is left, BUSY for examples or options
/// that are being changed.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_new(
    examples: *const nest_examples,
    options: *const nest_options,
    dataset: *mut *mut nest_dataset,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(dataset, "dataset")?;
        let examples = handle(examples, "examples")?.read()?;
        out.set(Dataset::from_examples(examples, &options::of::<DatasetOptions>(options)?)?.into());
        Ok(())
    })
}

/// The number of examples; 0 for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_dataset_count(dataset: *const nest_dataset) -> u64 {
    // SAFETY: NULL, or a dataset that is not freed.
    guard_or(0, || unsafe { optional(dataset) }.map_or(0, |d| d.data.len() as u64))
}

/// What reading and cleaning did.
///
/// Fills `report`. Any thread. Errors: NULL_POINTER, STRUCT_SIZE.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_get_report(
    dataset: *const nest_dataset,
    report: *mut nest_dataset_report,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe { fill(report, handle(dataset, "dataset")?.data.report().into(), "report") })
}

/// What reading and cleaning did, as a JSON object, with the files, and place and reason of the first 20 bad lines.
///
/// Gives `json`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_report_json(
    dataset: *const nest_dataset,
    json: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(json, "json")?;
        out.set(nest_string::json(handle(dataset, "dataset")?.data.report())?);
        Ok(())
    })
}

/// The number of distinct labels: 0 when nothing is labelled, and for NULL. Any thread.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_dataset_label_count(dataset: *const nest_dataset) -> u64 {
    // SAFETY: NULL, or a dataset that is not freed.
    guard_or(0, || unsafe { optional(dataset) }.map_or(0, |d| d.labels().len() as u64))
}

/// A label, in alphabetical order; the first is number 0.
///
/// Gives `label`. Any thread. Errors: NULL_POINTER, INVALID_ARGUMENT.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_label(
    dataset: *const nest_dataset,
    index: u64,
    label: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(label, "label")?;
        out.set(nest_string::new(handle(dataset, "dataset")?.label(index)?));
        Ok(())
    })
}

/// The SHA-256 of the cleaned examples in their order, as hexadecimal text: the same on every machine, whatever file
/// and format they came from.
///
/// Gives `digest`. Any thread. Errors: NULL_POINTER.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn nest_dataset_digest(
    dataset: *const nest_dataset,
    digest: *mut *mut nest_string,
) -> *mut nest_error {
    // SAFETY: the caller keeps the conventions for every pointer.
    guard(|| unsafe {
        let out = out(digest, "digest")?;
        out.set(nest_string::new(handle(dataset, "dataset")?.data.digest()));
        Ok(())
    })
}

/// Frees a dataset; parts of it and trainings with it go on. NULL is fine.
///
/// # Safety
/// The conventions of this module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nest_dataset_free(dataset: *mut nest_dataset) {
    // SAFETY: NULL, or the caller's own dataset, given back.
    guard_or((), || unsafe { free(dataset) });
}

impl nest_dataset {
    fn labels(&self) -> &[String] {
        self.labels.get_or_init(|| self.data.labels())
    }

    fn label(&self, index: u64) -> Result<&str> {
        let (labels, at) = (self.labels(), usize::try_from(index).unwrap_or(usize::MAX));
        labels.get(at).map(String::as_str).ok_or_else(|| {
            let n = labels.len();
            err!(
                InvalidArgument,
                "the argument `index` is {index}; the dataset has {n} labels, counted from 0"
            )
        })
    }
}

impl From<Dataset> for nest_dataset {
    fn from(data: Dataset) -> Self {
        Self { data, labels: OnceLock::new() }
    }
}

impl From<&DatasetReport> for nest_dataset_report {
    fn from(report: &DatasetReport) -> Self {
        let cleaning = &report.cleaning;
        Self {
            struct_size: 0,
            n_files: report.files.len() as u32,
            rows: report.rows,
            bad_lines: report.bad_lines,
            strip_control: cleaning.strip_control,
            unicode_nfc: cleaning.unicode_nfc,
            collapse_space: cleaning.collapse_space,
            trim: cleaning.trim,
            lower_case: cleaning.lower_case,
            empty: cleaning.empty,
            min_chars: cleaning.min_chars,
            max_chars: cleaning.max_chars,
            drop_duplicates: cleaning.drop_duplicates,
            examples: report.examples,
        }
    }
}
