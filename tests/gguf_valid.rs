//! Odd but valid files: none may be refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use nestling::format::gguf::{Array, GgmlType, Gguf};
use nestling::format::{Access, ModelFiles, Source};
use support::{Family, Raw, Tiny};

type Change = fn(&mut Raw);

use Family::{Gemma3, Gpt2, Llama, Phi3, Qwen2, Qwen3};

#[rustfmt::skip]
const CASES: &[(&str, Family, Change)] = &[
    ("version 2", Llama, |r| r.version = 2),
    ("trailing bytes", Llama, |r| r.tail = vec![0xff; 1000]),
    ("alignment 64", Llama, |r| { r.set("general.alignment", 64u32); r.alignment = 64; }),
    ("alignment 4096", Qwen2, |r| { r.set("general.alignment", 4096u32); r.alignment = 4096; }),
    ("alignment named though it is the usual one", Llama, |r| { r.set("general.alignment", 32u32); }),
    ("tensors in reverse order", Gemma3, |r| r.tensors.reverse()),
    ("metadata in reverse order", Gemma3, |r| r.kv.reverse()),
    ("unknown keys", Llama, |r| { r.set("my.own.key", 1u8).set("x", f64::NAN).set("y", -1i64); }),
    ("keys of another architecture", Llama, |r| { r.set("falcon.block_count", "many"); }),
    ("empty texts", Llama, |r| { r.set("general.name", "").set("general.description", ""); }),
    ("texts in many scripts", Llama, |r| { r.set("general.name", "naïve 模型 🦜"); }),
    ("a text with a NUL", Llama, |r| { r.set("general.description", "a\0b"); }),
    ("no name", Llama, |r| { r.remove("general.name"); }),
    ("an empty array", Llama, |r| { r.set("general.tags", Array::strings::<&str>([])); }),
    ("an array of empty strings", Llama, |r| { r.set("general.tags", Array::strings(["", ""])); }),
    ("arrays of every type", Llama, |r| { r.set("a", Array::from(&[1i8][..])).set("b", Array::from(&[true, false][..])).set("c", Array::from(&[f64::INFINITY][..])).set("d", Array::from(&[1u16][..])); }),
    ("general.type model", Llama, |r| { r.set("general.type", "model"); }),
    ("no tokenizer, only a size", Llama, |r| { r.set("tokenizer.ggml.model", "none").set("llama.vocab_size", 276u32); r.kv.retain(|e| !e.key.starts_with(b"tokenizer.ggml.t")); }),
    ("no_vocab", Gpt2, |r| { r.set("tokenizer.ggml.model", "no_vocab").set("gpt2.vocab_size", 276u32); }),
    ("no token types", Llama, |r| { r.remove("tokenizer.ggml.token_type"); }),
    ("no pre-tokenizer", Llama, |r| { r.remove("tokenizer.ggml.pre"); }),
    ("no special tokens named", Qwen2, |r| { r.remove("tokenizer.ggml.bos_token_id").remove("tokenizer.ggml.eos_token_id"); }),
    ("no chat template", Llama, |r| { r.remove("tokenizer.chat_template"); }),
    ("integer scores", Gemma3, |r| { r.set("tokenizer.ggml.scores", Array::from(&[0i32; 300][..])); }),
    ("a token that is not text", Llama, |r| token(r, 259, b"\xff\xfe\x80")),
    ("an empty token", Llama, |r| token(r, 259, b"")),
    ("a token with a NUL", Llama, |r| token(r, 259, b"zz\0b")),
    ("a merge of many bytes", Llama, |r| { r.set("tokenizer.ggml.merges", Array::strings(["Ã© Ġ", "h e"])); }),
    ("no merges in the list", Llama, |r| { r.set("tokenizer.ggml.merges", Array::strings::<&str>([])); }),
    ("head counts for each layer", Llama, |r| { r.set("llama.attention.head_count", Array::from(&[4u32, 4][..])).set("llama.attention.head_count_kv", Array::from(&[2i32, 2][..])); }),
    ("feed-forward for each layer", Gemma3, |r| { r.set("gemma3.feed_forward_length", Array::from(&[128i32, 128][..])); }),
    ("no key heads named: as many as heads", Gpt2, |r| { r.remove("gpt2.attention.head_count_kv"); }),
    ("no rotation named", Llama, |r| { r.remove("llama.rope.dimension_count").remove("llama.rope.freq_base"); }),
    ("half a rotation", Phi3, |r| { r.set("phi3.rope.dimension_count", 8u32); }),
    ("yarn", Qwen2, |r| { r.set("qwen2.rope.scaling.type", "yarn").set("qwen2.rope.scaling.factor", 4f32).set("qwen2.rope.scaling.original_context_length", 64u32); }),
    ("old linear scaling", Llama, |r| { r.set("llama.rope.scale_linear", 2f32); }),
    ("long rope with its factors", Phi3, |r| { r.set("phi3.rope.scaling.type", "longrope").add_zeros("rope_factors_long.weight", &[8]).add_zeros("rope_factors_short.weight", &[8]); }),
    ("rotation factors", Llama, |r| { r.add_zeros("rope_freqs.weight", &[8]); }),
    ("an untied output", Gemma3, |r| { let vocab = r.tensor("token_embd.weight").dims[1]; r.add_zeros("output.weight", &[64, vocab]); }),
    ("a tied output", Llama, |r| { r.remove_tensor("output.weight"); }),
    ("biases in llama", Llama, |r| { r.add_zeros("blk.0.attn_q.bias", &[64]).add_zeros("blk.1.ffn_up.bias", &[128]).add_zeros("blk.1.attn_output.bias", &[64]); }),
    ("no sliding window", Gemma3, |r| { r.remove("gemma3.attention.sliding_window").remove("gemma3.attention.sliding_window_pattern"); }),
    ("a window of 0", Gemma3, |r| { r.set("gemma3.attention.sliding_window", 0u32); }),
    ("a window pattern for each layer", Gemma3, |r| { r.set("gemma3.attention.sliding_window_pattern", Array::from(&[true, false][..])); }),
    ("a window in phi3", Phi3, |r| { r.set("phi3.attention.sliding_window", 64u32); }),
    ("trailing dimensions of 1", Qwen3, |r| r.tensor("output_norm.weight").dims = vec![64, 1, 1, 1]),
    ("a very long context", Llama, |r| { r.set("llama.context_length", 10_485_760u32); }),
    ("a split of one", Llama, |r| { r.set("split.count", 1u16).set("split.no", 0u16).set("split.tensors.count", 21i32); }),
    ("quantization named", Llama, |r| { r.set("general.quantization_version", 2u32).set("general.file_type", 999u32); }),
    ("a NaN weight", Llama, |r| r.tensor("output_norm.weight").data[..4].copy_from_slice(&f32::NAN.to_le_bytes())),
];

fn token(raw: &mut Raw, index: usize, text: &[u8]) {
    let old = Gguf::open(&Source::memory(raw.bytes()), Access::Map).unwrap();
    let array = old.array("tokenizer.ggml.tokens").unwrap().unwrap();
    let mut tokens = array.iter_strings().unwrap().map(<[u8]>::to_vec).collect::<Vec<_>>();
    tokens[index] = text.to_vec();
    raw.set("tokenizer.ggml.tokens", Array::strings(&tokens));
}

#[test]
fn odd_files_are_accepted() {
    assert!(CASES.len() >= 30);
    let mut refused = vec![];
    for (name, family, change) in CASES {
        let mut raw = Raw::of(&Tiny::new(*family));
        change(&mut raw);
        if let Err(e) = ModelFiles::open(&Source::memory(raw.bytes()), Access::Map) {
            refused.push(format!("{name} ({family:?}): {e}"));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn every_family_in_every_weight_type_is_accepted() {
    use GgmlType as T;
    let unusable = [T::I8, T::I16, T::I32, T::I64, T::F64, T::Q8_1, T::Q8_K];
    for ggml_type in T::ALL.iter().filter(|t| !unusable.contains(t)) {
        for family in Family::ALL {
            let bytes = Tiny::new(family).weights(*ggml_type).bytes();
            let opened = ModelFiles::open(&Source::memory(bytes), Access::Map);
            assert!(opened.is_ok(), "{family:?} {ggml_type}: {}", opened.unwrap_err());
        }
    }
}

#[test]
fn the_real_models_are_accepted() {
    for (path, arch, layers, vocab) in
        [(support::smollm2(), "llama", 30, 49152), (support::gemma3(), "gemma3", 18, 262_144)]
    {
        for access in [Access::Map, Access::Read] {
            let model = ModelFiles::open(&Source::path(&path), access).unwrap();
            let h = model.hparams();
            assert_eq!((h.arch.as_str(), h.n_layer, h.n_vocab), (arch, layers, vocab));
            assert_eq!(model.parts().len(), 1);
            assert_eq!(model.parts()[0].path(), Some(path.as_path()));
        }
    }
}

#[test]
fn a_file_inside_another_file_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("assets.bin");
    let model = Tiny::new(Llama).bytes();
    let inside = [vec![0xaa; 4096], model.clone(), vec![0xbb; 777]].concat();
    std::fs::write(&path, inside).unwrap();
    for access in [Access::Map, Access::Read] {
        let file = std::fs::File::open(&path).unwrap();
        let source = Source::file(file, 4096, Some(model.len() as u64));
        let opened = ModelFiles::open(&source, access).unwrap();
        let part = &opened.parts()[0];
        assert_eq!((part.offset(), part.length()), (4096, model.len() as u64));
        assert!(part.file().is_some() && part.path().is_none() && part.memory().is_none());
        assert_same_data(opened.gguf(), &model);
    }
    let beyond = Source::file(std::fs::File::open(&path).unwrap(), 4096, Some(1 << 40));
    let error = ModelFiles::open(&beyond, Access::Map).unwrap_err();
    assert_eq!(error.code(), nestling::error::Code::InvalidArgument);
}

fn assert_same_data(gguf: &Gguf, model: &[u8]) {
    for t in gguf.tensors() {
        let expected = &model[t.offset as usize..(t.offset + t.n_bytes) as usize];
        assert_eq!(gguf.read_data(t).unwrap(), expected, "{}", t.name);
        if let Ok(mapped) = gguf.data(t) {
            assert_eq!(mapped, expected);
        }
    }
}

#[test]
fn reading_never_maps() {
    let directory = tempfile::tempdir().unwrap();
    let path = Tiny::new(Llama).write(directory.path());
    let gguf = Gguf::open(&Source::path(&path), Access::Read).unwrap();
    let error = gguf.data(&gguf.tensors()[0]).unwrap_err();
    assert_eq!(error.code(), nestling::error::Code::WrongState);
    assert!(!is_mapped(&path));
    let mapped = Gguf::open(&Source::path(&path), Access::Map).unwrap();
    assert!(is_mapped(&path) || !cfg!(target_os = "linux"));
    assert_eq!(
        mapped.data(&mapped.tensors()[0]).unwrap(),
        gguf.read_data(&gguf.tensors()[0]).unwrap()
    );
}

fn is_mapped(path: &Path) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.contains(path.to_str().unwrap())
}
