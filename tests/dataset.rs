//! Datasets: every format, bad lines by file and line, cleaning, and parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use nestling::chat::{Message, Messages};
use nestling::dataset::{Dataset, Example};
use nestling::format::Source;
use nestling::options::{BadData, DatasetFormat, DatasetOptions};
use nestling::{Code, Result};
use proptest::prelude::*;

fn options(format: DatasetFormat) -> DatasetOptions {
    DatasetOptions { format, ..DatasetOptions::default() }
}

fn skipping(format: DatasetFormat) -> DatasetOptions {
    DatasetOptions { bad_lines: BadData::Skip, ..options(format) }
}

/// A dataset of a file in memory.
fn read(bytes: impl Into<Vec<u8>>, options: &DatasetOptions) -> Result<Dataset> {
    Dataset::open([Source::memory(bytes.into())], options)
}

fn examples(dataset: &Dataset) -> Vec<Example> {
    dataset.examples().cloned().collect()
}

fn texts(n: usize) -> Dataset {
    let all = (0..n).map(|i| Example::Text(format!("text {i}")));
    Dataset::from_examples(all, &DatasetOptions::default()).unwrap()
}

/// A file with this name, in a directory that is removed with the first of the pair.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

const ROWS: &str = concat!(
    r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "tools": []}"#,
    "\n",
    r#"{"prompt": "2+2=", "completion": "4"}"#,
    "\n\n",
    r#"{"text": "A line\nand another."}"#,
    "\n",
    r#"{"text": "Good", "label": "positive", "id": 7}"#,
);

fn expected_rows() -> [Example; 4] {
    let turns = vec![Message::new("user", "Hi"), Message::new("assistant", "Ho")];
    [
        Example::Messages { messages: turns.into(), tools: Some(serde_json::json!([])) },
        Example::completion("2+2=", "4"),
        Example::from("A line\nand another."),
        Example::labelled("Good", "positive"),
    ]
}

#[test]
fn jsonl_rows_of_every_shape_with_mark_and_crlf() {
    let crlf = ROWS.replace('\n', "\r\n");
    for bytes in [ROWS.to_owned(), format!("\u{feff}{ROWS}\n"), crlf] {
        let dataset = read(bytes, &DatasetOptions::default()).unwrap();
        assert_eq!(examples(&dataset), expected_rows());
        assert_eq!(dataset.place(3).unwrap(), "source 1, line 5");
        assert_eq!(dataset.labels(), ["positive"]);
    }
}

#[test]
fn the_format_follows_from_the_name_or_the_first_sign() {
    let open = |name, bytes: &[u8]| {
        let (_directory, path) = file(name, bytes);
        Dataset::open([path], &DatasetOptions::default()).map(|dataset| examples(&dataset))
    };
    let a = vec![Example::from("a")];
    assert_eq!(open("x.JSONL", b"{\"text\": \"a\"}").unwrap(), a);
    assert_eq!(open("x.data", b"\n {\"text\": \"a\"}").unwrap(), a);
    assert_eq!(open("x.csv", b"text\na\n").unwrap(), a);
    assert_eq!(open("x.txt", b"a").unwrap(), a);
    assert_eq!(open("x", b"a").unwrap(), a);
    let error = open("x.json", b"\n[{\"text\": \"a\"}]").unwrap_err();
    assert_eq!(error.code(), Code::DatasetFormat);
    assert!(error.message().contains("x.json: the file begins with a JSON list"), "{error}");
    let error = Dataset::open(["missing.jsonl"], &DatasetOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[test]
fn a_bad_line_is_named_by_file_line_and_reason() {
    let (_directory, path) = file("bad.jsonl", b"{\"text\": \"a\"}\r\n\r\n{\"txt\": \"b\"}\n");
    let error = Dataset::open([&path], &DatasetOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::DatasetLine);
    let place = format!("{}, line 3: ", path.display());
    assert!(error.message().starts_with(&place), "{error}");
    assert!(error.message().contains("\"txt\"") && error.message().contains("bad_lines=skip"));
}

#[test]
fn skipped_lines_are_counted_and_the_first_kept() {
    let mut bytes = b"{\"text\": \"a\"}\n{\"text\": \"b\"\n\xff\xfe\n[]\n".to_vec();
    bytes.extend(b"{}\n".repeat(30));
    bytes.extend(b"{\"text\": \"c\"}");
    let dataset = read(bytes, &skipping(DatasetFormat::Jsonl)).unwrap();
    assert_eq!(examples(&dataset), ["a".into(), "c".into()]);
    let report = dataset.report();
    assert_eq!((report.rows, report.bad_lines, report.examples), (35, 33, 2));
    assert_eq!(report.first_bad.len(), 20);
    let lines: Vec<_> = report.first_bad.iter().map(|bad| bad.line).take(4).collect();
    assert_eq!(lines, [2, 3, 4, 5]);
    assert!(report.first_bad[0].reason.contains("column 12"), "{}", report.first_bad[0].reason);
    assert!(report.first_bad[1].reason.contains("byte 1 is not UTF-8"));
    assert_eq!(dataset.place(1).unwrap(), "source 1, line 35");
}

#[test]
fn an_empty_dataset_says_where_the_rows_went() {
    for bytes in [&b""[..], b"\n\n", b"\xef\xbb\xbf"] {
        for format in [DatasetFormat::Auto, DatasetFormat::Jsonl, DatasetFormat::Csv] {
            assert_eq!(read(bytes, &options(format)).unwrap_err().code(), Code::DatasetEmpty);
        }
    }
    let error = read("{}\n{\"text\": \" \"}", &skipping(DatasetFormat::Jsonl)).unwrap_err();
    assert_eq!(error.code(), Code::DatasetEmpty);
    let expected =
        "2 rows were read, of which 1 were bad lines, 1 were empty (the first: source 1, line 1: ";
    assert!(error.message().contains(expected), "{error}");
    let error = Dataset::open([] as [&str; 0], &DatasetOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::DatasetEmpty);
}

#[test]
fn csv_fields_hold_line_breaks_quotes_and_json() {
    let csv = "\u{feff} text ,label,id\r\n\"two\nlines, \"\"quoted\"\"\",a,1\r\n\r\nplain,b,2\r\n";
    let dataset = read(csv, &options(DatasetFormat::Csv)).unwrap();
    let expected =
        [Example::labelled("two\nlines, \"quoted\"", "a"), Example::labelled("plain", "b")];
    assert_eq!(examples(&dataset), expected);
    let csv = "tools,messages\n,\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"x\"\"}]\"\n";
    let dataset = read(csv, &options(DatasetFormat::Csv)).unwrap();
    let messages = Messages::from(vec![Message::new("user", "x")]);
    assert_eq!(examples(&dataset), [Example::from(messages)]);
}

#[test]
fn bad_records_of_csv_are_named_by_their_first_line() {
    for end in ["\n", "\r\n"] {
        let csv = ["text,label", "\"a", "b\",x", "", "c", "d,", "e,y", "", "", "f,g,h"].join(end);
        let dataset = read(csv, &skipping(DatasetFormat::Csv)).unwrap();
        let lines: Vec<_> = dataset.report().first_bad.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [5, 6, 10], "{end:?}");
        assert_eq!(dataset.place(0).unwrap(), "source 1, line 2", "{end:?}");
        assert_eq!(dataset.place(1).unwrap(), "source 1, line 7", "{end:?}");
        let reasons: Vec<_> = dataset.report().first_bad.iter().map(|b| &b.reason).collect();
        assert!(reasons[0].contains("1 fields, the header 2"), "{}", reasons[0]);
        assert!(reasons[1].contains("\"label\" is empty"), "{}", reasons[1]);
    }
    let bad = read(b"text\n\xff\n".to_vec(), &options(DatasetFormat::Csv)).unwrap_err();
    assert!(bad.message().starts_with("source 1, line 2: column \"text\": byte 1"), "{bad}");
    for (header, part) in [("a,b\n", "\"a\", \"b\"; give"), ("text,text\n", "\"text\" twice")] {
        let error = read(header, &options(DatasetFormat::Csv)).unwrap_err();
        assert_eq!(error.code(), Code::DatasetFormat);
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
fn a_text_file_has_one_example_a_paragraph() {
    let text = b"\r\none\r\nstill one\r\n \t\r\n\n\xff\nbad\n\ntwo";
    let dataset = read(&text[..], &skipping(DatasetFormat::Text)).unwrap();
    assert_eq!(examples(&dataset), ["one\nstill one".into(), "two".into()]);
    assert_eq!(dataset.report().first_bad[0].line, 6);
    assert_eq!((dataset.report().rows, dataset.report().bad_lines), (3, 1));
    assert_eq!(dataset.place(1).unwrap(), "source 1, line 9");
}

#[test]
fn several_files_are_one_dataset_with_one_set_of_duplicates() {
    let (_a, first) = file("a.jsonl", b"{\"text\": \"x\"}\n{\"text\": \"y\"}");
    let (_b, second) = file("b.csv", b"text\ny\nz\n");
    let options = DatasetOptions { drop_duplicates: true, ..Default::default() };
    let dataset = Dataset::open([&first, &second], &options).unwrap();
    assert_eq!(examples(&dataset), ["x".into(), "y".into(), "z".into()]);
    assert_eq!(dataset.report().cleaning.drop_duplicates, 1);
    assert_eq!(dataset.place(2).unwrap(), format!("{}, line 3", second.display()));
}

#[test]
fn the_digest_is_the_same_everywhere_and_depends_on_every_example() {
    let dataset = read(ROWS, &DatasetOptions::default()).unwrap();
    let same = Dataset::from_examples(expected_rows(), &DatasetOptions::default()).unwrap();
    assert_eq!(dataset.digest(), same.digest());
    assert_eq!(dataset.digest(), GOLDEN_DIGEST);
    let mut others = BTreeSet::from([dataset.digest()]);
    for i in 0..4 {
        let mut rows = expected_rows();
        rows[i] = Example::from("other");
        let other = Dataset::from_examples(rows, &DatasetOptions::default()).unwrap();
        assert!(others.insert(other.digest()), "example {i} does not count");
    }
    // What belongs where counts, too.
    let pair = |a: &str, b: &str| {
        let example = Example::completion(a, b);
        Dataset::from_examples([example], &DatasetOptions::default()).unwrap().digest()
    };
    assert_ne!(pair("ab", "c"), pair("a", "bc"));
}

const GOLDEN_DIGEST: &str = "007a4270f12aabdbaaf784711db35422adb5e75935966bde981a3d11ca203328";

#[test]
fn a_split_is_stratified_and_repeats_with_its_seed() {
    let all = (0..100).map(|i| Example::labelled(format!("{i}"), ["a", "b"][usize::from(i < 30)]));
    let dataset = Dataset::from_examples(all, &DatasetOptions::default()).unwrap();
    let (training, validation) = dataset.split(0.2, 7).unwrap();
    assert_eq!((training.len(), validation.len()), (80, 20));
    let b = validation.examples().filter(|e| e.label() == Some("b")).count();
    assert_eq!(b, 6);
    assert_eq!(dataset.split(0.2, 7).unwrap().1.digest(), validation.digest());
    assert_ne!(dataset.split(0.2, 8).unwrap().1.digest(), validation.digest());
    assert_eq!(validation.labels(), ["a", "b"]);
    let (whole, none) = dataset.split(0.0, 7).unwrap();
    assert_eq!((whole.digest(), none.len()), (dataset.digest(), 0));
    for bad in [-0.1, 1.0, f64::NAN] {
        assert_eq!(dataset.split(bad, 7).unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(texts(1).split(0.5, 1).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(texts(3).folds(4, 1).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(texts(3).folds(1, 1).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(texts(3).fold(0, 0, 1).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(texts(3).fold(2, 2, 1).unwrap_err().code(), Code::InvalidArgument);
}

/// The examples of both parts, and that none is in both.
fn disjoint(training: &Dataset, validation: &Dataset) -> BTreeSet<String> {
    let set = |d: &Dataset| -> BTreeSet<_> { d.examples().map(|e| format!("{e:?}")).collect() };
    let (a, b) = (set(training), set(validation));
    assert!(a.is_disjoint(&b));
    &a | &b
}

proptest! {
    #[test]
    fn a_split_has_every_example_once(n in 2usize..80, fraction in 0.001f64..0.999, seed: u64) {
        let (training, validation) = texts(n).split(fraction, seed).unwrap();
        prop_assert_eq!(disjoint(&training, &validation).len(), n);
        prop_assert!(!training.is_empty() && !validation.is_empty());
    }

    #[test]
    fn folds_validate_every_example_once(n in 2usize..60, k in 2usize..8, seed: u64) {
        prop_assume!(k <= n);
        let folds = texts(n).folds(k, seed).unwrap();
        let mut seen = Vec::new();
        for (number, (training, validation)) in folds.iter().enumerate() {
            prop_assert_eq!(disjoint(training, validation).len(), n);
            let (_, alone) = texts(n).fold(k, number, seed).unwrap();
            prop_assert_eq!(alone.digest(), validation.digest());
            prop_assert!((n / k..=n.div_ceil(k)).contains(&validation.len()));
            seen.extend(validation.examples().map(|e| format!("{e:?}")));
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        prop_assert_eq!((seen.len(), distinct.len()), (n, n));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, pieces in prop::collection::vec(0usize..12, 0..40)) {
        const PIECES: [&[u8]; 12] = [
            b"{\"text\":", b"\"a\"", b"}", b"\n", b"\r\n", b",", b"\"", b"messages", b"prompt,completion",
            b"text,label\n", b"[", b"\xff",
        ];
        let built: Vec<u8> = pieces.iter().flat_map(|&i| PIECES[i].to_vec()).collect();
        for bytes in [bytes, built] {
            for format in [DatasetFormat::Auto, DatasetFormat::Jsonl, DatasetFormat::Csv, DatasetFormat::Text] {
                if let Ok(dataset) = read(bytes.clone(), &skipping(format)) {
                    let report = dataset.report();
                    let left = report.rows - report.bad_lines - report.cleaning.removed();
                    prop_assert_eq!(left, dataset.len() as u64);
                }
            }
        }
    }
}
