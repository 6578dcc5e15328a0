//! Malformed models: every rule about what the metadata means refuses them with its own code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use nestling::error::Code;
use nestling::format::gguf::{Array, GgmlType};
use nestling::format::{Access, ModelFiles, Source};
use support::{Family, Raw, Tiny};

fn code(bytes: Vec<u8>) -> Option<Code> {
    ModelFiles::open(&Source::memory(bytes), Access::Map).err().map(|e| e.code())
}

type Change = fn(&mut Raw);

fn replace_token(raw: &mut Raw, index: usize, text: &[u8]) {
    let old =
        raw.kv.iter().find(|e| e.key == b"tokenizer.ggml.tokens").unwrap().payload[12..].to_vec();
    let mut rest = &old[..];
    let mut tokens = vec![];
    while !rest.is_empty() {
        let n = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        tokens.push(rest[8..8 + n].to_vec());
        rest = &rest[8 + n..];
    }
    tokens[index] = text.to_vec();
    raw.set("tokenizer.ggml.tokens", Array::strings(&tokens));
}

fn set_type(raw: &mut Raw, name: &str, ggml_type: GgmlType) {
    let t = raw.tensor(name);
    let n = t.dims.iter().product::<u64>() / ggml_type.block_size() * ggml_type.type_size();
    t.type_id = ggml_type.id();
    t.data = vec![0; n as usize];
}

use Family::{Gemma3, Gpt2, Llama, Phi3, Qwen2, Qwen3};

#[rustfmt::skip]
const CASES: &[(&str, Family, Code, Change)] = &[
    ("an adapter", Llama, Code::GgufKind, |r| { r.set("general.type", "adapter"); }),
    ("a projector", Llama, Code::GgufKind, |r| { r.set("general.type", "mmproj"); }),
    ("an importance matrix", Llama, Code::GgufKind, |r| { r.set("general.type", "imatrix"); }),
    ("a vision tower", Llama, Code::GgufKind, |r| { r.set("general.architecture", "clip"); }),
    ("a draft head", Llama, Code::GgufKind, |r| { r.set("general.architecture", "eagle3"); }),
    ("unknown architecture", Llama, Code::GgufArchitecture, |r| { r.set("general.architecture", "llama9"); }),
    ("empty architecture", Llama, Code::GgufArchitecture, |r| { r.set("general.architecture", ""); }),
    ("architecture with a NUL", Llama, Code::GgufArchitecture, |r| { r.set("general.architecture", "llama\0x"); }),
    ("architecture in capitals", Llama, Code::GgufArchitecture, |r| { r.set("general.architecture", "LLaMA"); }),

    ("no architecture", Llama, Code::GgufKeyMissing, |r| { r.remove("general.architecture"); }),
    ("no block_count", Llama, Code::GgufKeyMissing, |r| { r.remove("llama.block_count"); }),
    ("no embedding_length", Qwen2, Code::GgufKeyMissing, |r| { r.remove("qwen2.embedding_length"); }),
    ("no context_length", Gemma3, Code::GgufKeyMissing, |r| { r.remove("gemma3.context_length"); }),
    ("no epsilon", Llama, Code::GgufKeyMissing, |r| { r.remove("llama.attention.layer_norm_rms_epsilon"); }),
    ("no epsilon in gpt2", Gpt2, Code::GgufKeyMissing, |r| { r.remove("gpt2.attention.layer_norm_epsilon"); }),
    ("no tokenizer", Llama, Code::GgufKeyMissing, |r| { r.remove("tokenizer.ggml.model"); }),
    ("no tokens", Llama, Code::GgufKeyMissing, |r| { r.remove("tokenizer.ggml.tokens"); }),
    ("no merges", Qwen3, Code::GgufKeyMissing, |r| { r.remove("tokenizer.ggml.merges"); }),
    ("neither tokenizer nor vocab_size", Llama, Code::GgufKeyMissing, |r| { r.set("tokenizer.ggml.model", "none"); }),
    ("architecture as a number", Llama, Code::GgufKeyType, |r| { r.set("general.architecture", 1u32); }),
    ("block_count as i32", Llama, Code::GgufKeyType, |r| { r.set("llama.block_count", 2i32); }),
    ("block_count as u64", Llama, Code::GgufKeyType, |r| { r.set("llama.block_count", 2u64); }),
    ("epsilon as f64", Llama, Code::GgufKeyType, |r| { r.set("llama.attention.layer_norm_rms_epsilon", 1e-5f64); }),
    ("head_count as text", Llama, Code::GgufKeyType, |r| { r.set("llama.attention.head_count", "4"); }),
    ("scaling type as a number", Llama, Code::GgufKeyType, |r| { r.set("llama.rope.scaling.type", 1u32); }),
    ("tokens as text", Llama, Code::GgufKeyType, |r| { r.set("tokenizer.ggml.tokens", "a b c"); }),
    ("causal as a number", Llama, Code::GgufKeyType, |r| { r.set("llama.attention.causal", 1u8); }),
    ("add_bos_token as a number", Llama, Code::GgufKeyType, |r| { r.set("tokenizer.ggml.add_bos_token", 1u32); }),
    ("eos as i32", Llama, Code::GgufKeyType, |r| { r.set("tokenizer.ggml.eos_token_id", 1i32); }),
    ("window pattern as text", Gemma3, Code::GgufKeyType, |r| { r.set("gemma3.attention.sliding_window_pattern", "2"); }),

    ("no layer", Llama, Code::GgufHyperParameter, |r| { r.set("llama.block_count", 0u32); }),
    ("513 layers", Llama, Code::GgufHyperParameter, |r| { r.set("llama.block_count", 513u32); }),
    ("4 billion layers", Llama, Code::GgufHyperParameter, |r| { r.set("llama.block_count", u32::MAX); }),
    ("no embedding", Qwen2, Code::GgufHyperParameter, |r| { r.set("qwen2.embedding_length", 0u32); }),
    ("no context", Gpt2, Code::GgufHyperParameter, |r| { r.set("gpt2.context_length", 0u32); }),
    ("context of 2^31", Llama, Code::GgufHyperParameter, |r| { r.set("llama.context_length", 1u32 << 31); }),
    ("epsilon 0", Llama, Code::GgufHyperParameter, |r| { r.set("llama.attention.layer_norm_rms_epsilon", 0f32); }),
    ("epsilon NaN", Gpt2, Code::GgufHyperParameter, |r| { r.set("gpt2.attention.layer_norm_epsilon", f32::NAN); }),
    ("epsilon negative", Qwen3, Code::GgufHyperParameter, |r| { r.set("qwen3.attention.layer_norm_rms_epsilon", -1e-5f32); }),
    ("rope base infinite", Llama, Code::GgufHyperParameter, |r| { r.set("llama.rope.freq_base", f32::INFINITY); }),
    ("scaling unknown", Llama, Code::GgufHyperParameter, |r| { r.set("llama.rope.scaling.type", "dynamic"); }),
    ("window of 2^32-1", Gemma3, Code::GgufHyperParameter, |r| { r.set("gemma3.attention.sliding_window", u32::MAX); }),
    ("a window that no layer uses", Gemma3, Code::GgufHyperParameter, |r| { r.set("gemma3.attention.sliding_window_pattern", 1u32); }),
    ("a window that no layer of a list uses", Gemma3, Code::GgufHyperParameter, |r| { r.set("gemma3.attention.sliding_window_pattern", Array::from(&[false, false, true][..])); }),
    ("pooling of an unknown kind", Llama, Code::GgufHyperParameter, |r| { r.set("llama.pooling_type", 9u32); }),
    ("feed-forward of width 0", Llama, Code::GgufHyperParameter, |r| { r.set("llama.feed_forward_length", 0u32); }),
    ("feed-forward of 2^32-1", Llama, Code::GgufHyperParameter, |r| { r.set("llama.feed_forward_length", u32::MAX); }),
    ("feed-forward differs", Llama, Code::GgufHyperParameter, |r| { r.set("llama.feed_forward_length", Array::from(&[128u32, 64][..])); }),
    ("negative feed-forward", Llama, Code::GgufHyperParameter, |r| { r.set("llama.feed_forward_length", Array::from(&[128i32, -128][..])); }),
    ("an encoder", Llama, Code::GgufHyperParameter, |r| { r.set("llama.attention.causal", false); }),
    ("only prediction layers", Llama, Code::GgufHyperParameter, |r| { r.set("llama.nextn_predict_layers", 2u32); }),
    ("one prediction layer", Llama, Code::GgufHyperParameter, |r| { r.set("llama.nextn_predict_layers", 1u32); }),

    ("3 heads over 2", Llama, Code::GgufHeadCount, |r| { r.set("llama.attention.head_count", 3u32); }),
    ("no head", Llama, Code::GgufHeadCount, |r| { r.set("llama.attention.head_count", 0u32); }),
    ("no key head", Llama, Code::GgufHeadCount, |r| { r.set("llama.attention.head_count_kv", 0u32); }),
    ("more key heads than heads", Llama, Code::GgufHeadCount, |r| { r.set("llama.attention.head_count_kv", 8u32); }),
    ("heads that do not divide", Qwen2, Code::GgufHeadCount, |r| { r.set("qwen2.attention.head_count", 6u32).set("qwen2.attention.head_count_kv", 3u32); }),
    ("heads differ by layer", Llama, Code::GgufHeadCount, |r| { r.set("llama.attention.head_count", Array::from(&[4u32, 2][..])); }),
    ("key heads differ by layer", Qwen3, Code::GgufHeadCount, |r| { r.set("qwen3.attention.head_count_kv", Array::from(&[2u32, 1][..])); }),
    ("keys and values differ", Gemma3, Code::GgufHeadCount, |r| { r.set("gemma3.attention.value_length", 16u32); }),
    ("odd rotation", Gemma3, Code::GgufHeadCount, |r| { r.set("gemma3.rope.dimension_count", 15u32); }),
    ("rotation wider than a head", Phi3, Code::GgufHeadCount, |r| { r.set("phi3.rope.dimension_count", 32u32); }),
    ("half a rotation in llama", Llama, Code::GgufHeadCount, |r| { r.set("llama.rope.dimension_count", 8u32); }),
    ("other keys in the window", Gemma3, Code::GgufHeadCount, |r| { r.set("gemma3.attention.key_length_swa", 64u32); }),

    ("head_count for 3 layers of 2", Llama, Code::GgufLayerArray, |r| { r.set("llama.attention.head_count", Array::from(&[4u32; 3][..])); }),
    ("feed-forward for 1 layer of 2", Llama, Code::GgufLayerArray, |r| { r.set("llama.feed_forward_length", Array::from(&[128u32][..])); }),
    ("key heads for no layer", Qwen2, Code::GgufLayerArray, |r| { r.set("qwen2.attention.head_count_kv", Array::from(&[0u32; 0][..])); }),
    ("window pattern for 513 layers", Gemma3, Code::GgufLayerArray, |r| { r.set("gemma3.attention.sliding_window_pattern", Array::from(&[true; 513][..])); }),
    ("heads as u64", Llama, Code::GgufArrayType, |r| { r.set("llama.attention.head_count", Array::from(&[4u64; 2][..])); }),
    ("tokens as numbers", Llama, Code::GgufArrayType, |r| { r.set("tokenizer.ggml.tokens", Array::from(&[1u32; 276][..])); }),
    ("scores as f64", Gemma3, Code::GgufArrayType, |r| { r.set("tokenizer.ggml.scores", Array::from(&[0f64; 300][..])); }),
    ("token types as u32", Llama, Code::GgufArrayType, |r| { r.set("tokenizer.ggml.token_type", Array::from(&[1u32; 276][..])); }),
    ("merges as numbers", Llama, Code::GgufArrayType, |r| { r.set("tokenizer.ggml.merges", Array::from(&[1u32; 3][..])); }),
    ("window pattern as text array", Gemma3, Code::GgufArrayType, |r| { r.set("gemma3.attention.sliding_window_pattern", Array::strings(["a"])); }),
    ("suppressed tokens as u32", Llama, Code::GgufArrayType, |r| { r.set("tokenizer.ggml.suppress_tokens", Array::from(&[1u32][..])); }),

    ("experts without use", Llama, Code::GgufExperts, |r| { r.set("llama.expert_count", 8u32); }),
    ("use without experts", Llama, Code::GgufExperts, |r| { r.set("llama.expert_used_count", 2u32); }),
    ("more used than there are", Llama, Code::GgufExperts, |r| { r.set("llama.expert_count", 4u32).set("llama.expert_used_count", 5u32); }),
    ("groups that do not divide", Llama, Code::GgufExperts, |r| { r.set("llama.expert_count", 8u32).set("llama.expert_used_count", 2u32).set("llama.expert_group_count", 3u32); }),
    ("experts in a dense family", Gemma3, Code::GgufExperts, |r| { r.set("gemma3.expert_count", 8u32).set("gemma3.expert_used_count", 2u32); }),

    ("a token too few types", Llama, Code::GgufVocabLength, |r| { r.set("tokenizer.ggml.token_type", Array::from(&[1i32; 275][..])); }),
    ("a score too many", Gemma3, Code::GgufVocabLength, |r| { r.set("tokenizer.ggml.scores", Array::from(&[0f32; 301][..])); }),
    ("no token at all", Llama, Code::GgufVocabLength, |r| { r.set("tokenizer.ggml.tokens", Array::strings::<&str>([])).remove("tokenizer.ggml.token_type"); }),
    ("embedding with a row less", Llama, Code::GgufVocabLength, |r| { r.reshape("token_embd.weight", &[64, 275]); }),
    ("vocab_size without tokenizer", Llama, Code::GgufVocabLength, |r| { r.set("tokenizer.ggml.model", "none").set("llama.vocab_size", 999u32); }),

    ("bos outside", Llama, Code::GgufSpecialToken, |r| { r.set("tokenizer.ggml.bos_token_id", 276u32); }),
    ("eos of -1", Gemma3, Code::GgufSpecialToken, |r| { r.set("tokenizer.ggml.eos_token_id", u32::MAX); }),
    ("padding outside", Qwen2, Code::GgufSpecialToken, |r| { r.set("tokenizer.ggml.padding_token_id", 10_000u32); }),
    ("a fill-in-the-middle token outside", Llama, Code::GgufSpecialToken, |r| { r.set("tokenizer.ggml.fim_pre_token_id", 276u32); }),
    ("must add a bos that is not there", Llama, Code::GgufSpecialToken, |r| { r.set("tokenizer.ggml.pre", "glm4").remove("tokenizer.ggml.bos_token_id").set("tokenizer.ggml.add_bos_token", true); }),

    ("unknown tokenizer", Llama, Code::GgufTokenizer, |r| { r.set("tokenizer.ggml.model", "tiktoken"); }),
    ("unknown pre-tokenizer", Llama, Code::GgufTokenizer, |r| { r.set("tokenizer.ggml.pre", "qwen9"); }),
    ("a byte is missing", Gemma3, Code::GgufTokenizer, |r| { replace_token(r, 6 + 0xc3, b"other"); r.remove("tokenizer.ggml.token_type"); }),
    ("a Phi-3 without its tokens", Phi3, Code::GgufTokenizer, |r| replace_token(r, 2, b"<end>")),
    ("two equal tokens", Llama, Code::GgufToken, |r| replace_token(r, 260, b"A")),
    ("tokens equal up to a NUL", Llama, Code::GgufToken, |r| { replace_token(r, 259, b"same\0a"); replace_token(r, 260, b"same\0b"); }),
    ("a name the engine gives to an empty token", Llama, Code::GgufToken, |r| { replace_token(r, 259, b"[EMPTY_260]"); replace_token(r, 260, b""); }),
    ("merge without a space", Llama, Code::GgufMerge, |r| { r.set("tokenizer.ggml.merges", Array::strings(["ab"])); }),
    ("merge of one piece", Llama, Code::GgufMerge, |r| { r.set("tokenizer.ggml.merges", Array::strings(["h e", "a "])); }),
    ("empty merge", Qwen2, Code::GgufMerge, |r| { r.set("tokenizer.ggml.merges", Array::strings(["h e", ""])); }),
    ("merge that begins with its space", Qwen2, Code::GgufMerge, |r| { r.set("tokenizer.ggml.merges", Array::strings([" e"])); }),
    ("a byte token of two letters", Gemma3, Code::GgufByteToken, |r| replace_token(r, 6 + 0xc3, b"AB")),
    ("a byte token that is not hexadecimal", Gemma3, Code::GgufByteToken, |r| replace_token(r, 6 + 0xc3, b"<0xG1>")),
    ("a letter marked as a byte", Llama, Code::GgufByteToken, |r| { r.set("tokenizer.ggml.token_type", Array::from(&[6i32; 276][..])); }),

    ("no tensor at all", Llama, Code::GgufTensorMissing, |r| r.tensors.clear()),
    ("no embedding matrix", Llama, Code::GgufTensorMissing, |r| { r.remove_tensor("token_embd.weight"); }),
    ("no output norm", Qwen2, Code::GgufTensorMissing, |r| { r.remove_tensor("output_norm.weight"); }),
    ("no query in the last layer", Qwen3, Code::GgufTensorMissing, |r| { r.remove_tensor("blk.1.attn_q.weight"); }),
    ("no query norm", Qwen3, Code::GgufTensorMissing, |r| { r.remove_tensor("blk.0.attn_q_norm.weight"); }),
    ("no post norm", Gemma3, Code::GgufTensorMissing, |r| { r.remove_tensor("blk.0.post_ffw_norm.weight"); }),
    ("no positions", Gpt2, Code::GgufTensorMissing, |r| { r.remove_tensor("position_embd.weight"); }),
    ("no bias", Gpt2, Code::GgufTensorMissing, |r| { r.remove_tensor("blk.0.attn_qkv.bias"); }),
    ("no gate", Llama, Code::GgufTensorMissing, |r| { r.remove_tensor("blk.1.ffn_gate.weight"); }),
    ("no fused attention", Phi3, Code::GgufTensorMissing, |r| { r.remove_tensor("blk.0.attn_qkv.weight"); }),
    ("a layer less than claimed", Llama, Code::GgufTensorMissing, |r| { r.set("llama.block_count", 3u32); }),
    ("transposed query", Llama, Code::GgufTensorMismatch, |r| { r.reshape("blk.0.attn_k.weight", &[32, 64]); }),
    ("a norm of another width", Qwen2, Code::GgufTensorMismatch, |r| { r.reshape("blk.0.attn_norm.weight", &[32]); }),
    ("a query bias of another width", Qwen2, Code::GgufTensorMismatch, |r| { r.reshape("blk.0.attn_q.bias", &[32]); }),
    ("a third dimension", Llama, Code::GgufTensorMismatch, |r| { r.reshape("blk.0.ffn_up.weight", &[64, 128, 2]); }),
    ("a gate half as wide", Phi3, Code::GgufTensorMismatch, |r| { r.reshape("blk.0.ffn_up.weight", &[64, 128]); }),
    ("more positions than the context", Gpt2, Code::GgufTensorMismatch, |r| { r.set("gpt2.context_length", 512u32); }),
    ("another head width", Gemma3, Code::GgufTensorMismatch, |r| { r.set("gemma3.attention.key_length", 16u32).set("gemma3.attention.value_length", 16u32).set("gemma3.rope.dimension_count", 16u32); }),
    ("an untied output of another size", Llama, Code::GgufTensorMismatch, |r| { r.reshape("output.weight", &[64, 100]); }),
    ("rotation factors of another width", Llama, Code::GgufTensorMismatch, |r| { r.add_zeros("rope_freqs.weight", &[4]); }),

    ("a norm in half precision", Llama, Code::GgufTensorRole, |r| set_type(r, "blk.0.attn_norm.weight", GgmlType::F16)),
    ("a quantized norm", Qwen2, Code::GgufTensorRole, |r| set_type(r, "output_norm.weight", GgmlType::Q8_0)),
    ("a bias in BF16", Gpt2, Code::GgufTensorRole, |r| set_type(r, "blk.0.attn_qkv.bias", GgmlType::BF16)),
    ("a matrix of integers", Llama, Code::GgufTensorRole, |r| set_type(r, "blk.0.attn_q.weight", GgmlType::I32)),
    ("a matrix of bytes", Llama, Code::GgufTensorRole, |r| set_type(r, "blk.0.attn_q.weight", GgmlType::I8)),
    ("a matrix of doubles", Phi3, Code::GgufTensorRole, |r| set_type(r, "output.weight", GgmlType::F64)),
    ("a matrix of an activation type", Llama, Code::GgufTensorRole, |r| set_type(r, "token_embd.weight", GgmlType::Q8_1)),
    ("rotation factors in half precision", Llama, Code::GgufTensorRole, |r| { r.add_tensor("rope_freqs.weight", &[8], 1, vec![0; 16]); }),

    ("a gap between tensors", Llama, Code::GgufTensorLayout, |r| { let end = r.tensors.iter().map(|t| t.data.len().next_multiple_of(32)).sum::<usize>(); r.tensors.last_mut().unwrap().offset = Some(end as u64); r.tail = vec![0; 1 << 20]; }),
    ("a gap before the first", Llama, Code::GgufTensorLayout, |r| { r.tensors.retain(|t| t.name == b"output_norm.weight"); r.tensors[0].offset = Some(32); r.tail = vec![0; 64]; }),
    ("data in another order", Llama, Code::GgufTensorLayout, |r| { r.reshape("blk.0.attn_norm.weight", &[64]); let (a, b) = (r.tensors.len() - 2, r.tensors.len() - 1); let at = r.tensors[..a].iter().map(|t| t.data.len() as u64).sum::<u64>(); r.tensors[a].offset = Some(at + r.tensors[b].data.len() as u64); r.tensors[b].offset = Some(at); }),
];

#[test]
fn each_malformed_model_gets_its_rules_code() {
    for family in Family::ALL {
        assert_eq!(code(Tiny::new(family).bytes()), None, "{family:?}: what the cases start from");
    }
    let mut wrong = vec![];
    for (name, family, expected, change) in CASES {
        let mut raw = Raw::of(&Tiny::new(*family));
        change(&mut raw);
        let found = code(raw.bytes());
        if found != Some(*expected) {
            wrong.push(format!("{name} ({family:?}): {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_has_three_cases() {
    for (_, _, rule, _) in CASES {
        let n = CASES.iter().filter(|(_, _, code, _)| code == rule).count();
        assert!(n >= 3, "{} has {n}", rule.name());
    }
}

#[test]
fn every_code_of_the_gate_is_tested() {
    // Those of the structure and of splits have tests of their own.
    let tested_elsewhere = 200..=222;
    let splits = [Code::GgufSplit, Code::GgufSplitMissing];
    for code in Code::ALL.iter().filter(|c| (200..300).contains(&c.number())) {
        let here = CASES.iter().any(|(_, _, c, _)| c == code);
        let elsewhere = tested_elsewhere.contains(&code.number()) || splits.contains(code);
        assert!(here || elsewhere, "{} has no case", code.name());
    }
}

#[test]
fn a_file_that_cannot_be_mapped_says_so_and_can_be_read() {
    let mut raw = Raw::of(&Tiny::new(Llama));
    raw.set("general.alignment", 8u32);
    raw.alignment = 8;
    // Not a multiple of 32: the mapped kernels would stumble.
    let mut seen = vec![];
    for _ in 0..4 {
        raw.tensors[0].name.push(b'x');
        let mut named = raw.clone();
        let length = named.tensors[0].name.len();
        named.set("padding", "x".repeat(8 * (length % 4)));
        named.tensors[0].name = b"token_embd.weight".to_vec();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m.gguf");
        std::fs::write(&path, named.bytes()).unwrap();
        let open = |access| ModelFiles::open(&Source::path(&path), access).err().map(|e| e.code());
        assert_eq!(open(Access::Read), None);
        seen.push(open(Access::Map));
    }
    assert_eq!(seen.iter().filter(|c| **c == Some(Code::GgufTensorLayout)).count(), 3, "{seen:?}");
}

#[test]
fn an_error_names_the_file_and_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.gguf");
    let mut raw = Raw::of(&Tiny::new(Llama));
    raw.set("llama.block_count", 0u32);
    std::fs::write(&path, raw.bytes()).unwrap();
    let message = ModelFiles::open(&Source::path(&path), Access::Map).unwrap_err().to_string();
    assert_eq!(message.matches("broken.gguf").count(), 1, "{message}");
    assert!(message.contains("llama.block_count is 0"), "{message}");
    let missing = ModelFiles::open(&Source::path(directory.path().join("no.gguf")), Access::Map);
    let missing = missing.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(missing.to_string().matches("no.gguf").count(), 1, "{missing}");
    let folder = ModelFiles::open(&Source::path(directory.path()), Access::Map).unwrap_err();
    assert_eq!(folder.code(), Code::NotAFile);
}
