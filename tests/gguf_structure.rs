//! Malformed files: every structural rule of the gate refuses them with its own code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::error::Code;
use nestling::format::gguf::{Array, Gguf};
use nestling::format::{Access, Source};
use support::Raw;
use support::raw::put_string;

fn code(bytes: Vec<u8>) -> Option<Code> {
    Gguf::open(&Source::memory(bytes), Access::Map).err().map(|e| e.code())
}

type Change = fn(&mut Raw);

/// An array's payload: element type, length, bytes.
fn array(element: u32, len: u64, bytes: &[u8]) -> Vec<u8> {
    [&element.to_le_bytes()[..], &len.to_le_bytes(), bytes].concat()
}

const ARRAY: u32 = 9;

#[rustfmt::skip]
const CASES: &[(&str, Code, Change)] = &[
    ("other magic", Code::GgufMagic, |r| r.magic = b"GGML".to_vec()),
    ("a zip", Code::GgufMagic, |r| r.magic = b"PK\x03\x04".to_vec()),
    ("lower case", Code::GgufMagic, |r| r.magic = b"gguf".to_vec()),
    ("version 0", Code::GgufVersion, |r| r.version = 0),
    ("version 1", Code::GgufVersion, |r| r.version = 1),
    ("version 4", Code::GgufVersion, |r| r.version = 4),
    ("big-endian", Code::GgufVersion, |r| r.version = 3u32.swap_bytes()),
    ("more entries than bytes", Code::GgufKvCount, |r| r.n_kv = Some(1000)),
    ("2^63 entries", Code::GgufKvCount, |r| r.n_kv = Some(1 << 63)),
    ("all bits of n_kv", Code::GgufKvCount, |r| r.n_kv = Some(u64::MAX)),
    ("too many entries in a big file", Code::GgufKvCount, |r| { r.n_kv = Some(70_000); r.tail = vec![0; 1 << 20]; }),
    ("more tensors than bytes", Code::GgufTensorCount, |r| r.n_tensors = Some(1000)),
    ("2^63 tensors", Code::GgufTensorCount, |r| r.n_tensors = Some(1 << 63)),
    ("all bits of n_tensors", Code::GgufTensorCount, |r| r.n_tensors = Some(u64::MAX)),
    ("too many tensors in a big file", Code::GgufTensorCount, |r| { r.n_tensors = Some(140_000); r.tail = vec![0; 5 << 20]; }),
    ("empty key", Code::GgufKey, |r| r.kv[0].key.clear()),
    ("key of 65,536 bytes", Code::GgufKey, |r| r.kv[0].key = vec![b'k'; 65536]),
    ("key with a NUL", Code::GgufKey, |r| r.kv[0].key = b"general.alignment\0x".to_vec()),
    ("same key twice", Code::GgufDuplicateKey, |r| { let e = r.kv[0].clone(); r.kv.push(e); }),
    ("same key, other type", Code::GgufDuplicateKey, |r| { r.push_raw(b"numbers", 7, vec![1]); }),
    ("alignment twice", Code::GgufDuplicateKey, |r| { for _ in 0..2 { r.push_raw(b"general.alignment", 4, vec![32, 0, 0, 0]); } }),
    ("value type 13", Code::GgufValueType, |r| r.kv[0].type_id = 13),
    ("value type -1", Code::GgufValueType, |r| r.kv[0].type_id = u32::MAX),
    ("element type 13", Code::GgufValueType, |r| { r.set_raw(b"x", ARRAY, array(13, 0, &[])); }),
    ("string longer than the file", Code::GgufStringLength, |r| r.kv[0].payload = 4096u64.to_le_bytes().to_vec()),
    ("string of 2^64-1 bytes", Code::GgufStringLength, |r| r.kv[0].payload = u64::MAX.to_le_bytes().to_vec()),
    ("key of 2^40 bytes", Code::GgufStringLength, |r| { r.tensors.clear(); r.kv.clear(); r.n_kv = Some(1); r.tail = [&(1u64 << 40).to_le_bytes()[..], &[b'k'; 64]].concat(); }),
    ("a string in an array", Code::GgufStringLength, |r| { r.set_raw(b"x", ARRAY, array(8, 2, &[1, 0, 0, 0, 0, 0, 0, 0, b'a', 255, 255, 255, 255, 255, 255, 255, 127])); }),
    ("key in Latin-1", Code::GgufStringUtf8, |r| r.kv[0].key = b"gr\xfc\xdfe".to_vec()),
    ("value in Latin-1", Code::GgufStringUtf8, |r| { r.kv[0].payload.clear(); put_string(&mut r.kv[0].payload, b"\xe9"); }),
    ("tensor name in Latin-1", Code::GgufStringUtf8, |r| r.tensors[0].name = b"\xff.weight".to_vec()),
    ("array longer than the file", Code::GgufArrayLength, |r| { r.set_raw(b"x", ARRAY, array(4, 1000, &[0; 12])); }),
    ("array of 2^62 u32", Code::GgufArrayLength, |r| { r.set_raw(b"x", ARRAY, array(4, 1 << 62, &[])); }),
    ("array whose size wraps to 0", Code::GgufArrayLength, |r| { r.set_raw(b"x", ARRAY, array(10, 1 << 61, &[])); }),
    ("more strings than lengths fit", Code::GgufArrayLength, |r| { r.set_raw(b"x", ARRAY, array(8, 100, &[0; 8])); }),
    ("array of arrays", Code::GgufNestedArray, |r| { r.set_raw(b"x", ARRAY, array(9, 1, &array(4, 1, &[1, 0, 0, 0]))); }),
    ("empty array of arrays", Code::GgufNestedArray, |r| { r.set_raw(b"x", ARRAY, array(9, 0, &[])); }),
    ("2^60 arrays", Code::GgufNestedArray, |r| { r.set_raw(b"x", ARRAY, array(9, 1 << 60, &[])); }),
    ("boolean 2", Code::GgufBool, |r| { r.set_raw(b"x", 7, vec![2]); }),
    ("boolean 255", Code::GgufBool, |r| { r.set_raw(b"x", 7, vec![255]); }),
    ("boolean 7 in an array", Code::GgufBool, |r| { r.set_raw(b"x", ARRAY, array(7, 3, &[0, 1, 7])); }),
    ("alignment 0", Code::GgufAlignment, |r| { r.set("general.alignment", 0u32); }),
    ("alignment 33", Code::GgufAlignment, |r| { r.set("general.alignment", 33u32); }),
    ("alignment 1", Code::GgufAlignment, |r| { r.set("general.alignment", 1u32); }),
    ("alignment 2^31", Code::GgufAlignment, |r| { r.set("general.alignment", 1u32 << 31); }),
    ("alignment as u64", Code::GgufKeyType, |r| { r.set("general.alignment", 32u64); }),
    ("alignment as i32", Code::GgufKeyType, |r| { r.set("general.alignment", 32i32); }),
    ("alignment as text", Code::GgufKeyType, |r| { r.set("general.alignment", "32"); }),
    ("empty tensor name", Code::GgufTensorName, |r| r.tensors[0].name.clear()),
    ("tensor name of 64 bytes", Code::GgufTensorName, |r| r.tensors[0].name = vec![b't'; 64]),
    ("tensor name with a NUL", Code::GgufTensorName, |r| r.tensors[0].name = b"b\0b".to_vec()),
    ("same tensor twice", Code::GgufDuplicateTensor, |r| r.tensors[0].name = b"b".to_vec()),
    ("three of one name", Code::GgufDuplicateTensor, |r| for _ in 0..2 { let t = r.tensors[1].clone(); r.tensors.push(t); }),
    ("same name, other shape", Code::GgufDuplicateTensor, |r| { r.add_zeros("a", &[16, 2]); }),
    ("no dimension", Code::GgufTensorDims, |r| r.tensors[0].dims.clear()),
    ("five dimensions", Code::GgufTensorDims, |r| r.tensors[0].dims = vec![8, 1, 1, 1, 1]),
    ("2^32-1 dimensions", Code::GgufTensorDims, |r| { r.tensors.clear(); r.n_tensors = Some(1); put_string(&mut r.tail, b"t"); r.tail.extend([255; 64]); }),
    ("a zero dimension", Code::GgufTensorShape, |r| r.tensors[0].dims = vec![0]),
    ("a later zero dimension", Code::GgufTensorShape, |r| r.tensors[0].dims = vec![8, 0, 4]),
    ("dimensions whose product wraps to 0", Code::GgufTensorShape, |r| r.tensors[0].dims = vec![1 << 32, 1 << 32]),
    ("dimensions whose product wraps to 8", Code::GgufTensorShape, |r| r.tensors[0].dims = vec![8, (1 << 61) + 1]),
    ("a negative dimension", Code::GgufTensorShape, |r| r.tensors[0].dims = vec![u64::MAX - 7]),
    ("bytes that cannot be counted", Code::GgufTensorShape, |r| r.tensors[0].dims = vec![1 << 62]),
    ("removed type 4", Code::GgufTensorType, |r| r.tensors[0].type_id = 4),
    ("removed type 31", Code::GgufTensorType, |r| r.tensors[0].type_id = 31),
    ("future type 43", Code::GgufTensorType, |r| r.tensors[0].type_id = 43),
    ("type -1", Code::GgufTensorType, |r| r.tensors[0].type_id = u32::MAX),
    ("half a Q8_0 block", Code::GgufTensorBlock, |r| { r.tensors[0].dims = vec![16]; r.tensors[0].type_id = 8; }),
    ("33 elements of Q4_0", Code::GgufTensorBlock, |r| { r.tensors[0].dims = vec![33, 2]; r.tensors[0].type_id = 2; }),
    ("K-quant rows of 128", Code::GgufTensorBlock, |r| { r.tensors[0].dims = vec![128, 2]; r.tensors[0].type_id = 12; }),
    ("offset 1", Code::GgufTensorOffset, |r| r.tensors[1].offset = Some(1)),
    ("offset 40", Code::GgufTensorOffset, |r| r.tensors[1].offset = Some(40)),
    ("offset for a smaller alignment", Code::GgufTensorOffset, |r| { r.set("general.alignment", 64u32); r.tensors[1].offset = Some(32); }),
    ("data past the end", Code::GgufTensorBounds, |r| r.tensors[1].offset = Some(4096)),
    ("data partly past the end", Code::GgufTensorBounds, |r| { r.tensors[1].data.pop(); }),
    ("offset that wraps", Code::GgufTensorBounds, |r| r.tensors[1].offset = Some(u64::MAX - 31)),
    ("a tensor larger than the file", Code::GgufTensorBounds, |r| r.tensors[1].dims = vec![1 << 40]),
    ("both at one offset", Code::GgufTensorOverlap, |r| r.tensors[1].offset = Some(0)),
    ("the second inside the first", Code::GgufTensorOverlap, |r| { r.tensors[0].dims = vec![24]; r.tensors[0].data = vec![0; 96]; r.tensors[1].dims = vec![8]; r.tensors[1].offset = Some(32); }),
    ("the first inside the second", Code::GgufTensorOverlap, |r| { r.tensors[1].offset = Some(0); r.tensors[0].offset = Some(32); }),
];

#[test]
fn each_malformed_file_gets_its_rules_code() {
    assert_eq!(code(Raw::small().bytes()), None, "the file that the cases start from");
    for (name, expected, change) in CASES {
        let mut raw = Raw::small();
        change(&mut raw);
        assert_eq!(code(raw.bytes()), Some(*expected), "{name}");
    }
}

#[test]
fn each_rule_has_three_cases() {
    for (_, rule, _) in CASES {
        let n = CASES.iter().filter(|(_, code, _)| code == rule).count();
        assert!(n >= 3, "{} has {n}", rule.name());
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (whole, borders) = Raw::small().bytes_and_borders();
    let lengths = (0..whole.len()).map(|n| (n, borders.contains(&n)));
    let of_a_cut = [
        Code::GgufTruncated,
        Code::GgufKvCount,
        Code::GgufTensorCount,
        Code::GgufStringLength,
        Code::GgufArrayLength,
        Code::GgufTensorBounds,
    ];
    let mut at_borders = 0;
    for (n, border) in lengths {
        let code = code(whole[..n].to_vec());
        assert!(code.is_some_and(|c| of_a_cut.contains(&c)), "cut to {n}: {code:?}");
        at_borders += usize::from(border);
    }
    assert!(at_borders >= 20, "every structure begins somewhere");
}

#[test]
fn cut_fixed_fields_are_truncation() {
    let mut raw = Raw::empty();
    for n in 0..24 {
        assert_eq!(
            code(raw.bytes()[..n].to_vec()),
            Some(Code::GgufTruncated),
            "header of {n} bytes"
        );
    }
    // A value, and a tensor's dimensions, that end too early. The tail makes the counts plausible.
    raw.n_kv = Some(1);
    raw.tail = [&8u64.to_le_bytes()[..], b"x.number", &10u32.to_le_bytes(), &[0; 7]].concat();
    assert_eq!(code(raw.bytes()), Some(Code::GgufTruncated));
    raw.n_kv = None;
    raw.n_tensors = Some(1);
    raw.tail = [&3u64.to_le_bytes()[..], b"abc", &4u32.to_le_bytes(), &[1; 31]].concat();
    assert_eq!(code(raw.bytes()), Some(Code::GgufTruncated));
}

#[test]
fn the_37_bytes_that_end_llama_cpp() {
    // An empty key, which the engine asserts away.
    let mut raw = Raw::empty();
    raw.push_raw(b"", 7, vec![1]);
    let bytes = raw.bytes();
    assert_eq!(bytes.len(), 37);
    assert_eq!(code(bytes), Some(Code::GgufKey));
}

#[test]
fn huge_claims_allocate_nothing() {
    // Each of these would be exabytes; under a memory limit of the test machine none may be tried.
    for element in [0, 4, 8, 10] {
        let mut raw = Raw::small();
        raw.set_raw(b"x", ARRAY, array(element, u64::MAX, &[]));
        assert_eq!(code(raw.bytes()), Some(Code::GgufArrayLength), "element type {element}");
    }
}

#[test]
fn a_wrong_type_names_the_key() {
    let mut raw = Raw::small();
    raw.set("tokenizer.ggml.tokens", Array::from(&[1i64][..]));
    let gguf = Gguf::open(&Source::memory(raw.bytes()), Access::Map).unwrap();
    for error in [
        gguf.u32("general.name").map(drop).unwrap_err(),
        gguf.str("numbers").map(drop).unwrap_err(),
        gguf.f32("tokenizer.ggml.tokens").map(drop).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::GgufKeyType);
    }
    let message = gguf.u32("general.name").unwrap_err().to_string();
    assert!(message.contains("general.name") && message.contains("string"), "{message}");
    assert_eq!(gguf.u32("absent").unwrap(), None);
}
