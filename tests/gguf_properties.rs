//! What holds for any file: what was written is read back; no bytes make the reader panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::format::gguf::{Array, GgmlType, Gguf, Value, Writer};
use nestling::format::{Access, AdapterFile, ModelFiles, Source};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use support::{Family, Tiny};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e30f32..1e30).prop_map(Value::from),
        (-1e300f64..1e300).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        vec(any::<i64>(), 0..20).prop_map(|v| Array::from(&v[..]).into()),
        vec(any::<bool>(), 0..20).prop_map(|v| Array::from(&v[..]).into()),
        vec(vec(any::<u8>(), 0..9), 0..20).prop_map(|v| Array::strings(v).into()),
    ]
}

fn tensor() -> impl Strategy<Value = (GgmlType, Vec<u64>)> {
    let types = prop_oneof![
        Just(GgmlType::F32),
        Just(GgmlType::F16),
        Just(GgmlType::Q8_0),
        Just(GgmlType::Q4_K),
        Just(GgmlType::IQ1_M),
        Just(GgmlType::I8)
    ];
    (types, 1u64..4, vec(1u64..4, 0..3)).prop_map(|(t, blocks, rest)| {
        (t, std::iter::once(blocks * t.block_size()).chain(rest).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_written_is_read_back(
        kv in btree_map("[a-z.]{1,20}", value(), 0..12),
        tensors in btree_map("[a-z0-9._]{1,63}", tensor(), 0..8),
        alignment in prop_oneof![Just(None), (3u32..13).prop_map(|n| Some(1u32 << n))],
        seed in any::<u8>(),
    ) {
        let mut writer = Writer::new();
        for (key, value) in &kv {
            writer.set(key, value.clone());
        }
        if let Some(alignment) = alignment {
            writer.set("general.alignment", alignment);
        }
        let mut expected = vec![];
        for (name, (ggml_type, dims)) in &tensors {
            let blocks = dims.iter().product::<u64>() / ggml_type.block_size();
            let n = (blocks * ggml_type.type_size()) as usize;
            let data = (0..n).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect::<Vec<_>>();
            writer.tensor(name, dims, *ggml_type, data.clone());
            expected.push((name, *ggml_type, dims, data));
        }
        let bytes = writer.to_bytes().unwrap();
        let gguf = Gguf::open(&Source::memory(bytes.clone()), Access::Map).unwrap();
        prop_assert_eq!(gguf.alignment(), u64::from(alignment.unwrap_or(32)));
        for (key, value) in &kv {
            prop_assert_eq!(gguf.get(key), Some(value));
        }
        prop_assert_eq!(gguf.tensors().len(), expected.len());
        for (found, (name, ggml_type, dims, data)) in gguf.tensors().iter().zip(&expected) {
            prop_assert_eq!((&found.name, found.ggml_type, &found.dims), (*name, *ggml_type, *dims));
            prop_assert_eq!(gguf.data(found).unwrap(), &data[..]);
        }
        // And written again, it is the same file.
        let mut again = Writer::new();
        for (key, value) in gguf.kv() {
            again.set(key, value.clone());
        }
        for t in gguf.tensors() {
            again.tensor(&t.name, &t.dims, t.ggml_type, gguf.data(t).unwrap());
        }
        prop_assert_eq!(again.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..400), header in any::<bool>()) {
        let bytes = if header { [b"GGUF\x03\0\0\0".to_vec(), bytes].concat() } else { bytes };
        open_all(bytes);
    }

    #[test]
    fn mutated_models_do_not_panic(
        family in 0usize..6,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop_oneof![3 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    ) {
        let mut bytes = Tiny::new(Family::ALL[family]).bytes();
        // Most of a model is weights: aim at what comes before them.
        let header = 12_000.min(bytes.len());
        for (at, byte) in &changes {
            bytes[at.index(header)] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(header));
        }
        open_all(bytes);
    }
}

fn open_all(bytes: Vec<u8>) {
    let source = Source::memory(bytes);
    if let Ok(gguf) = Gguf::open(&source, Access::Map) {
        for t in gguf.tensors() {
            assert_eq!(gguf.data(t).unwrap().len() as u64, t.n_bytes);
        }
    }
    drop(ModelFiles::open(&source, Access::Map));
    drop(AdapterFile::open(&source));
}

#[test]
fn a_writer_refuses_what_could_not_be_read() {
    let refused = |change: fn(&mut Writer<'static>)| {
        let mut w = Writer::new();
        change(&mut w);
        w.to_bytes().is_err_and(|e| e.code() == nestling::error::Code::InvalidArgument)
    };
    assert!(refused(|w| {
        w.set("", 1u8);
    }));
    assert!(refused(|w| {
        w.set("a\0b", 1u8);
    }));
    assert!(refused(|w| {
        w.set("general.alignment", 33u32);
    }));
    assert!(refused(|w| {
        w.set("general.alignment", 32u64);
    }));
    assert!(refused(|w| {
        w.tensor("", &[1], GgmlType::F32, vec![0; 4]);
    }));
    assert!(refused(|w| {
        w.tensor("t".repeat(64), &[1], GgmlType::F32, vec![0; 4]);
    }));
    assert!(refused(|w| {
        w.tensor("t", &[], GgmlType::F32, vec![0; 4]);
    }));
    assert!(refused(|w| {
        w.tensor("t", &[0], GgmlType::F32, vec![]);
    }));
    assert!(refused(|w| {
        w.tensor("t", &[1], GgmlType::F32, vec![0; 3]);
    }));
    assert!(refused(|w| {
        w.tensor("t", &[16], GgmlType::Q8_0, vec![0; 17]);
    }));
    assert!(refused(|w| for _ in 0..2 {
        w.tensor("t", &[1], GgmlType::F32, vec![0; 4]);
    }));
}

#[test]
fn a_written_file_replaces_the_old_one_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.gguf");
    std::fs::write(&path, b"old").unwrap();
    let mut bad = Writer::new();
    bad.tensor("t", &[1], GgmlType::F32, vec![0; 3]);
    assert!(bad.write_file(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"old", "a failed write leaves the old file");
    let tiny = Tiny::new(Family::Llama);
    tiny.writer().write_file(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), tiny.bytes());
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}
