//! What a tensor is for, by its name: the more a model suffers from rounding it, the better a type it gets.

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    TokenEmbedding,
    Query,
    Key,
    Value,
    /// Query, key and value in one.
    Qkv,
    /// The second factor of key and value (multi-head latent attention).
    KvB,
    AttentionOutput,
    Up,
    Gate,
    Down,
    Output,
    Other,
}

impl Role {
    /// By a tensor's name in GGUF.
    pub fn of(name: &str) -> Self {
        const PARTS: &[(&str, Role)] = &[
            ("attn_qkv.weight", Role::Qkv),
            ("attn_kv_b.weight", Role::KvB),
            ("attn_v.weight", Role::Value),
            ("attn_k.weight", Role::Key),
            ("attn_q.weight", Role::Query),
            ("attn_output.weight", Role::AttentionOutput),
            ("ffn_up", Role::Up),
            ("ffn_gate", Role::Gate),
            ("ffn_down", Role::Down),
        ];
        match name {
            "output.weight" => Role::Output,
            "token_embd.weight" | "per_layer_token_embd.weight" => Role::TokenEmbedding,
            _ => PARTS
                .iter()
                .find(|(part, _)| name.contains(part))
                .map_or(Role::Other, |(_, role)| *role),
        }
    }

    /// Whether it makes values: these suffer most.
    pub fn makes_values(self) -> bool {
        matches!(self, Role::Value | Role::Qkv | Role::KvB)
    }
}

/// Names of matrices, or parts of them, that no mix touches: small ones that a model suffers from, or that the engine reads
/// in full precision only.
const KEPT: &[&str] = &[
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
];
/// The same for one architecture.
const KEPT_GLM5_NEXT: &[&str] = &[
    "hc_",
    "indexer.attn_q_b",
    "indexer.attn_k",
    "indexer.proj",
    "indexer_compressor_gate",
    "indexer_compressor_ape",
    "ssm_f_a.weight",
    "ssm_f_b.weight",
    "ssm_g_a.weight",
    "ssm_g_b.weight",
    "ssm_beta.weight",
    "attn_kv_a_mqa.weight",
    "attn_k_b.weight",
    "attn_v_b.weight",
];
/// Whole names: positions and token types are added, not multiplied.
const KEPT_NAMES: &[&str] = &["position_embd.weight", "token_types.weight"];

/// Whether a tensor may get another type.
pub(crate) fn may_change(name: &str, dims: &[u64], architecture: &str) -> bool {
    let is_matrix = dims.iter().skip(1).any(|n| *n > 1);
    is_matrix
        && name.ends_with("weight")
        && !KEPT_NAMES.contains(&name)
        && !KEPT.iter().any(|part| name.contains(part))
        && !(architecture == "glm5-next" && KEPT_GLM5_NEXT.iter().any(|part| name.contains(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_from_names() {
        assert_eq!(Role::of("blk.3.attn_v.weight"), Role::Value);
        assert_eq!(Role::of("blk.3.ffn_gate_exps.weight"), Role::Gate);
        assert_eq!(Role::of("enc.blk.0.attn_q.weight"), Role::Query);
        assert_eq!(Role::of("output_norm.weight"), Role::Other);
        assert!(may_change("blk.0.attn_q.weight", &[64, 64], "llama"));
        assert!(!may_change("blk.0.attn_q.bias", &[64, 64], "llama"));
        assert!(!may_change("blk.0.attn_norm.weight", &[64], "llama"));
        assert!(!may_change("blk.0.attn_q.weight", &[64, 1], "llama"));
        assert!(!may_change("dec.blk.0.attn_rel_b.weight", &[4, 32], "t5"));
    }
}
