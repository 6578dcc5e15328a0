//! Importance matrices: which columns of a weight matter most on a text, as a file of llama.cpp's format.
//!
//! For each weight the file has the sums of the squares of its inputs, column by column, and how many tokens they are the
//! sums of; for a mixture of experts both for each expert.

use std::collections::BTreeMap;
use std::path::Path;

use super::imatrix_dat;
use crate::error::{Context, Result, bail, err};
use crate::format::gguf::{Array, GgmlType, Gguf, MAGIC, TensorInfo, Writer};
use crate::format::{Access, Source};

const KIND: &str = "imatrix";
const DATASETS: &str = "imatrix.datasets";
const CHUNK_COUNT: &str = "imatrix.chunk_count";
const CHUNK_SIZE: &str = "imatrix.chunk_size";
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// What was seen of a model's weights on a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Imatrix {
    entries: BTreeMap<String, Entry>,
    datasets: Vec<String>,
    chunk_count: u32,
    chunk_size: u32,
}

/// What was seen of one weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Sums of squares: a row for each count, one after the other.
    sums: Vec<f32>,
    /// The tokens of each row. An expert that no token was sent to has none.
    counts: Vec<f32>,
    means: Vec<f32>,
}

impl Entry {
    /// Checks what may have come from a file.
    ///
    /// # Errors
    /// `ImatrixFormat`.
    pub(crate) fn new(name: &str, sums: Vec<f32>, counts: Vec<f32>) -> Result<Self> {
        let rows = counts.len();
        if sums.is_empty() || rows == 0 || !sums.len().is_multiple_of(rows) {
            bail!(
                ImatrixFormat,
                "{name} has {} sums for {rows} counts; as many for each count are needed; compute the importance \
                 matrix again",
                sums.len()
            )
        }
        // NaN is neither.
        if let Some(bad) = sums.iter().chain(&counts).find(|v| !(v.is_finite() && **v >= 0.0)) {
            bail!(
                ImatrixFormat,
                "{name} holds {bad}, but sums of squares and counts are numbers from 0 on; compute the importance \
                 matrix again"
            )
        }
        if counts.iter().all(|&count| count == 0.0) {
            bail!(
                ImatrixFormat,
                "{name} was seen with no token; compute the importance matrix again"
            )
        }
        let mut means = Vec::with_capacity(sums.len());
        for (row, &count) in sums.chunks(sums.len() / rows).zip(&counts) {
            // Of an expert that was never used nothing is known: all its columns are alike.
            means.extend(row.iter().map(|sum| if count > 0.0 { sum / count } else { 1.0 }));
        }
        Ok(Self { sums, counts, means })
    }
}

impl Imatrix {
    /// `datasets` names the texts, which had `chunk_count` parts of `chunk_size` tokens.
    ///
    /// # Errors
    /// `ImatrixFormat` if there is no entry.
    pub(crate) fn new(
        entries: BTreeMap<String, Entry>,
        datasets: Vec<String>,
        chunk_count: u32,
        chunk_size: u32,
    ) -> Result<Self> {
        if entries.is_empty() {
            bail!(
                ImatrixFormat,
                "the importance matrix is about no weight; compute it for a model whose layers hold weights"
            )
        }
        Ok(Self { entries, datasets, chunk_count, chunk_size })
    }

    /// Reads a file in llama.cpp's GGUF format, or in its older one (`.dat`).
    ///
    /// # Errors
    /// `ImatrixFormat` for a damaged file, `GgufKind` for a GGUF file of another kind, the other `Gguf...` codes, those of
    /// files.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let source = Source::path(path);
        let opened = source.open()?;
        let mut magic = [0u8; 4];
        if opened.length() >= 4 {
            opened.read_exact_at(&mut magic, 0).with_path(path)?;
        }
        if &magic == MAGIC {
            return Gguf::from_opened(opened, Access::Read)
                .and_then(|gguf| Self::from_gguf(&gguf))
                .with_path(path);
        }
        imatrix_dat::read(&opened).with_path(path)
    }

    fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let kind = gguf.str("general.type")?;
        if kind != Some(KIND) {
            bail!(
                GgufKind,
                "the file's general.type is {:?}, not {KIND:?}; give an importance matrix, as `nestling imatrix` makes \
                 them",
                kind.unwrap_or("missing")
            )
        }
        let missing = |key: &str| {
            err!(ImatrixFormat, "{key} is missing; compute the importance matrix again")
        };
        let datasets = gguf.array(DATASETS)?.ok_or_else(|| missing(DATASETS))?;
        let datasets = datasets
            .iter_strings()
            .ok_or_else(|| err!(ImatrixFormat, "{DATASETS} is no list of texts; compute it again"))?
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let chunk_count = gguf.u32(CHUNK_COUNT)?.ok_or_else(|| missing(CHUNK_COUNT))?;
        let chunk_size = gguf.u32(CHUNK_SIZE)?.ok_or_else(|| missing(CHUNK_SIZE))?;
        let mut entries = BTreeMap::new();
        // Other tensors are statistics that nobody needs for quantizing.
        for tensor in gguf.tensors() {
            if let Some(name) = tensor.name.strip_suffix(SUMS) {
                let counts = partner(gguf, name, COUNTS)?;
                let entry = Entry::new(name, floats(gguf, tensor)?, floats(gguf, counts)?)?;
                entries.insert(name.to_owned(), entry);
            } else if let Some(name) = tensor.name.strip_suffix(COUNTS) {
                partner(gguf, name, SUMS)?;
            }
        }
        Self::new(entries, datasets, chunk_count, chunk_size)
    }

    /// How important the columns of a weight are: the means of the squares of its inputs, for a mixture of experts those of
    /// each expert, one after the other. `None` for a weight that was not seen.
    pub fn get(&self, tensor_name: &str) -> Option<&[f32]> {
        self.entries.get(tensor_name).map(|entry| entry.means.as_slice())
    }

    /// The sums of squares behind [`get`](Self::get), and of how many tokens each row of them is the sum.
    pub fn sums(&self, tensor_name: &str) -> Option<(&[f32], &[f32])> {
        self.entries.get(tensor_name).map(|e| (e.sums.as_slice(), e.counts.as_slice()))
    }

    /// The weights that were seen, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The texts that the model read.
    pub fn datasets(&self) -> &[String] {
        &self.datasets
    }

    /// In how many parts.
    pub fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// The tokens of a part; 0 where a file of the older format does not say.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Writes the file in llama.cpp's GGUF format, in the place of another one.
    ///
    /// # Errors
    /// `InvalidArgument` for a weight whose name is too long, those of files.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut writer = Writer::new();
        writer.set("general.type", KIND);
        writer.set(DATASETS, Array::strings(&self.datasets));
        writer.set(CHUNK_COUNT, self.chunk_count).set(CHUNK_SIZE, self.chunk_size);
        for (name, entry) in &self.entries {
            let rows = entry.counts.len() as u64;
            let width = entry.sums.len() as u64 / rows.max(1);
            writer.tensor_f32(format!("{name}{SUMS}"), &[width, rows], &entry.sums);
            writer.tensor_f32(format!("{name}{COUNTS}"), &[1, rows], &entry.counts);
        }
        writer.write_file(path)
    }
}

/// The other of a weight's two tensors.
fn partner<'a>(gguf: &'a Gguf, name: &str, suffix: &str) -> Result<&'a TensorInfo> {
    gguf.tensor(&format!("{name}{suffix}")).ok_or_else(|| {
        err!(
            ImatrixFormat,
            "{name} has no {}; compute the importance matrix again",
            suffix.trim_start_matches('.')
        )
    })
}

fn floats(gguf: &Gguf, tensor: &TensorInfo) -> Result<Vec<f32>> {
    if tensor.ggml_type != GgmlType::F32 {
        bail!(
            ImatrixFormat,
            "tensor {} is of type {}, not F32; compute the importance matrix again",
            tensor.name,
            tensor.ggml_type
        )
    }
    Ok(imatrix_dat::floats(&gguf.read_data(tensor)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const NAME: &str = "blk.0.ffn_up.weight";

    fn matrix() -> Imatrix {
        let dense = Entry::new(NAME, vec![2.0, 4.0, 6.0, 0.0], vec![2.0]).unwrap();
        let experts = Entry::new("e", vec![3.0, 6.0, 0.0, 0.0], vec![3.0, 0.0]).unwrap();
        let entries = BTreeMap::from([(NAME.into(), dense), ("e".into(), experts)]);
        Imatrix::new(entries, vec!["wiki.txt".into()], 7, 512).unwrap()
    }

    /// What a changed file gives.
    fn refused(change: impl FnOnce(&mut Writer<'static>)) -> (Code, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imatrix.gguf");
        let mut writer = Writer::new();
        writer.set("general.type", KIND).set(DATASETS, Array::strings(["a"]));
        writer.set(CHUNK_COUNT, 1u32).set(CHUNK_SIZE, 512u32);
        change(&mut writer);
        writer.write_file(&path).unwrap();
        let error = Imatrix::open(&path).unwrap_err();
        assert!(error.message().contains("imatrix.gguf"), "{error}");
        (error.code(), error.message().to_owned())
    }

    fn pair(writer: &mut Writer<'static>, sums: &'static [f32], counts: &'static [f32]) {
        writer.tensor_f32("w.in_sum2", &[sums.len() as u64], sums);
        writer.tensor_f32("w.counts", &[counts.len() as u64], counts);
    }

    #[test]
    fn means_are_those_of_each_expert_and_1_for_one_never_used() {
        let matrix = matrix();
        assert_eq!(matrix.get(NAME).unwrap(), [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(matrix.get("e").unwrap(), [1.0, 2.0, 1.0, 1.0]);
        assert_eq!(matrix.get("other"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imatrix.gguf");
        matrix().write(&path).unwrap();
        assert_eq!(Imatrix::open(&path).unwrap(), matrix());
        let gguf = Gguf::open(&Source::path(&path), Access::Read).unwrap();
        assert_eq!(gguf.tensor("e.in_sum2").unwrap().dims, [2, 2]);
        assert_eq!(gguf.tensor("e.counts").unwrap().dims, [1, 2]);
    }

    #[test]
    fn damaged_files_are_refused_with_the_reason() {
        let bad = |sums: &'static [f32], counts: &'static [f32]| {
            let (code, text) = refused(|w| pair(w, sums, counts));
            assert_eq!(code, Code::ImatrixFormat, "{text}");
            text
        };
        assert!(bad(&[1.0, f32::NAN], &[1.0]).contains("NaN"));
        assert!(bad(&[1.0, f32::INFINITY], &[1.0]).contains("inf"));
        assert!(bad(&[1.0, -2.0], &[1.0]).contains("-2"));
        assert!(bad(&[1.0, 2.0], &[f32::NAN]).contains("NaN"));
        assert!(bad(&[1.0, 2.0], &[0.0]).contains("no token"));
        assert!(bad(&[1.0, 2.0, 3.0], &[1.0, 1.0]).contains("3 sums for 2 counts"));
        assert!(bad(&[1.0], &[1.0, 1.0]).contains("1 sums for 2 counts"));
        for (code, word, change) in [
            (Code::ImatrixFormat, "no weight", (|_| ()) as fn(&mut Writer<'static>)),
            (Code::GgufKind, "model", |w| {
                w.set("general.type", "model");
            }),
            (Code::GgufKeyType, CHUNK_SIZE, |w| {
                w.set(CHUNK_SIZE, "large");
            }),
            (Code::ImatrixFormat, "no list", |w| {
                w.set(DATASETS, Array::from(&[1u32][..]));
            }),
            (Code::ImatrixFormat, "no counts", |w| {
                w.tensor_f32("w.in_sum2", &[1], &[1.0]);
            }),
            (Code::ImatrixFormat, "no in_sum2", |w| {
                w.tensor_f32("w.counts", &[1], &[1.0]);
            }),
            (Code::ImatrixFormat, "F16", |w| {
                w.tensor("w.in_sum2", &[1], GgmlType::F16, vec![0, 0]);
                w.tensor_f32("w.counts", &[1], &[1.0]);
            }),
        ] {
            let (got, text) = refused(change);
            assert!(got == code && text.contains(word), "{text}");
        }
    }
}
