//! LoRA adapter files: the good are read, every rule refuses the bad with its own code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::error::Code;
use nestling::format::gguf::{Array, GgmlType, Writer};
use nestling::format::{AdapterFile, Source};
use support::Raw;

/// Two pairs of rank 4, for a llama of width 64.
fn good() -> Raw {
    let mut w = Writer::new();
    w.set("general.type", "adapter").set("general.architecture", "llama");
    w.set("adapter.type", "lora").set("adapter.lora.alpha", 8f32);
    for name in ["blk.0.attn_q.weight", "blk.1.ffn_up.weight"] {
        w.tensor(format!("{name}.lora_a"), &[64, 4], GgmlType::F32, vec![1; 1024]);
        w.tensor(format!("{name}.lora_b"), &[4, 64], GgmlType::F32, vec![2; 1024]);
    }
    Raw::parse(w.to_bytes().unwrap())
}

fn open(raw: &Raw) -> Result<AdapterFile, Code> {
    AdapterFile::open(&Source::memory(raw.bytes())).map_err(|e| e.code())
}

const A: &str = "blk.0.attn_q.weight.lora_a";
const B: &str = "blk.0.attn_q.weight.lora_b";

type Change = fn(&mut Raw);

#[rustfmt::skip]
const CASES: &[(&str, Code, Change)] = &[
    ("a model", Code::AdapterFormat, |r| { r.set("general.type", "model"); }),
    ("no type", Code::AdapterFormat, |r| { r.remove("general.type"); }),
    ("another kind of adapter", Code::AdapterFormat, |r| { r.set("adapter.type", "ia3"); }),
    ("no kind of adapter", Code::AdapterFormat, |r| { r.remove("adapter.type"); }),
    ("type as a number", Code::GgufKeyType, |r| { r.set("general.type", 1u32); }),
    ("architecture as a number", Code::GgufKeyType, |r| { r.set("general.architecture", 1u32); }),
    ("alpha as f64", Code::GgufKeyType, |r| { r.set("adapter.lora.alpha", 8f64); }),
    ("alpha as an integer", Code::GgufKeyType, |r| { r.set("adapter.lora.alpha", 8u32); }),
    ("unknown architecture", Code::GgufArchitecture, |r| { r.set("general.architecture", "llama9"); }),
    ("alpha infinite", Code::GgufHyperParameter, |r| { r.set("adapter.lora.alpha", f32::INFINITY); }),
    ("alpha NaN", Code::GgufHyperParameter, |r| { r.set("adapter.lora.alpha", f32::NAN); }),
    ("alpha minus infinite", Code::GgufHyperParameter, |r| { r.set("adapter.lora.alpha", f32::NEG_INFINITY); }),
    ("invocation tokens as text", Code::GgufArrayType, |r| { r.set("adapter.alora.invocation_tokens", Array::strings(["a"])); }),
    ("invocation tokens as i32", Code::GgufArrayType, |r| { r.set("adapter.alora.invocation_tokens", Array::from(&[1i32][..])); }),
    ("invocation tokens as u64", Code::GgufArrayType, |r| { r.set("adapter.alora.invocation_tokens", Array::from(&[1u64][..])); }),
    ("a weight that is no pair", Code::AdapterTensor, |r| { r.add_zeros("blk.0.attn_k.weight", &[64, 64]); }),
    ("another suffix", Code::AdapterTensor, |r| r.tensor(A).name = b"blk.0.attn_q.weight.loraA".to_vec()),
    ("two suffixes", Code::AdapterTensor, |r| r.tensor(A).name = b"x.lora_b.lora_a".to_vec()),
    ("no pair at all", Code::AdapterTensor, |r| r.tensors.clear()),
    ("no B", Code::AdapterPair, |r| { r.remove_tensor(B); }),
    ("no A", Code::AdapterPair, |r| { r.remove_tensor(A); }),
    ("A and B of different weights", Code::AdapterPair, |r| r.tensor(B).name = b"blk.0.attn_k.weight.lora_b".to_vec()),
    ("A with a third dimension", Code::AdapterShape, |r| { r.reshape(A, &[64, 4, 2]); }),
    ("B with a third dimension", Code::AdapterShape, |r| { r.reshape(B, &[4, 64, 3]); }),
    ("B with a fourth dimension", Code::AdapterShape, |r| { r.reshape(B, &[4, 64, 1, 2]); }),
    ("ranks 4 and 8", Code::AdapterRank, |r| { r.reshape(B, &[8, 64]); }),
    ("A transposed", Code::AdapterRank, |r| { r.reshape(A, &[4, 64]); }),
    ("an embedding's pair stored as others are", Code::AdapterRank, |r| { r.tensor(A).name = b"token_embd.weight.lora_a".to_vec(); r.tensor(B).name = b"token_embd.weight.lora_b".to_vec(); }),
    ("integers", Code::GgufTensorRole, |r| r.tensor(A).type_id = GgmlType::I32.id()),
    ("integers in B", Code::GgufTensorRole, |r| r.tensor(B).type_id = GgmlType::I32.id()),
    ("doubles", Code::GgufTensorRole, |r| { let t = r.tensor(A); t.type_id = GgmlType::F64.id(); t.data = vec![0; 2048]; }),
    ("not GGUF", Code::GgufMagic, |r| r.magic = b"PK\x03\x04".to_vec()),
    ("a gap", Code::GgufTensorLayout, |r| { r.tensors.last_mut().unwrap().offset = Some(8192); r.tail = vec![0; 8192]; }),
];

#[test]
fn each_malformed_adapter_gets_its_rules_code() {
    for (name, expected, change) in CASES {
        let mut raw = good();
        change(&mut raw);
        assert_eq!(open(&raw).map(|_| ()), Err(*expected), "{name}");
    }
}

#[test]
fn each_rule_of_adapters_has_three_cases() {
    for code in Code::ALL.iter().filter(|c| (701..706).contains(&c.number())) {
        let n = CASES.iter().filter(|(_, c, _)| c == code).count();
        assert!(n >= 3, "{} has {n}", code.name());
    }
}

#[test]
fn odd_adapters_are_accepted() {
    #[rustfmt::skip]
    let cases: [(&str, Change); 8] = [
        ("as it is", |_| {}),
        ("no alpha", |r| { r.remove("adapter.lora.alpha"); }),
        ("alpha 0", |r| { r.set("adapter.lora.alpha", 0f32); }),
        ("a norm beside", |r| { r.add_zeros("blk.0.attn_norm.weight", &[64]); }),
        ("ones at the end", |r| r.tensor(A).dims = vec![64, 4, 1, 1]),
        ("rank 1", |r| { r.reshape(A, &[64]); r.reshape(B, &[1, 64]); }),
        ("half precision", |r| { let t = r.tensor(A); t.type_id = 1; t.data = vec![0; 512]; }),
        ("an embedding", |r| { r.add_zeros("token_embd.weight.lora_a", &[4, 276]); r.add_zeros("token_embd.weight.lora_b", &[4, 64]); }),
    ];
    for (name, change) in cases {
        let mut raw = good();
        change(&mut raw);
        assert!(open(&raw).is_ok(), "{name}: {:?}", open(&raw).err());
    }
}

#[test]
fn an_adapter_says_what_it_adapts() {
    let adapter = open(&good()).unwrap();
    assert_eq!((adapter.arch(), adapter.alpha()), ("llama", 8.0));
    let pairs = adapter.pairs().map(|(w, a, b)| (w, a.dims.clone(), b.dims.clone()));
    let shapes = |w| (w, vec![64, 4], vec![4, 64]);
    assert!(pairs.eq([shapes("blk.0.attn_q.weight"), shapes("blk.1.ffn_up.weight")]));
}

#[test]
fn a_model_is_no_adapter_and_an_adapter_no_model() {
    let tiny = support::Tiny::new(support::Family::Llama).bytes();
    assert_eq!(AdapterFile::open(&Source::memory(tiny)).unwrap_err().code(), Code::AdapterFormat);
    let adapter = Source::memory(good().bytes());
    let model = nestling::format::ModelFiles::open(&adapter, nestling::format::Access::Map);
    assert_eq!(model.unwrap_err().code(), Code::GgufKind);
}
