//! GPT-2: learned positions, layer norms with biases, and matrices that are stored the other way round.

use super::{Arch, Default, Dim, Extra, How, Keys, Line, More, VOCAB, count, line, number};
use crate::error::Result;

const WIDTH: Keys = &["n_embd", "hidden_size"];
const CONTEXT: Keys = &["n_ctx", "n_positions", "max_position_embeddings"];
const EMBD: Dim = Dim::Of(WIDTH);
const FF: Dim = Dim::Of(&["n_inner"]);
const THREE: Dim = Dim::Times(3, WIDTH);

const LINES: &[Line] = &[
    line("wte.weight", "token_embd.weight", &[VOCAB, EMBD]),
    line(
        "wpe.weight",
        "position_embd.weight",
        &[Dim::Of(&["n_positions", "n_ctx", "max_position_embeddings"]), EMBD],
    ),
    line("ln_f.weight", "output_norm.weight", &[EMBD]),
    line("ln_f.bias", "output_norm.bias", &[EMBD]),
    line("lm_head.weight", "output.weight", &[VOCAB, EMBD]).optional(),
    line("h.{}.ln_1.weight", "blk.{}.attn_norm.weight", &[EMBD]),
    line("h.{}.ln_1.bias", "blk.{}.attn_norm.bias", &[EMBD]),
    line("h.{}.attn.c_attn.weight", "blk.{}.attn_qkv.weight", &[EMBD, THREE]).how(How::Transposed),
    line("h.{}.attn.c_attn.bias", "blk.{}.attn_qkv.bias", &[THREE]),
    line("h.{}.attn.c_proj.weight", "blk.{}.attn_output.weight", &[EMBD, EMBD])
        .how(How::Transposed),
    line("h.{}.attn.c_proj.bias", "blk.{}.attn_output.bias", &[EMBD]),
    line("h.{}.ln_2.weight", "blk.{}.ffn_norm.weight", &[EMBD]),
    line("h.{}.ln_2.bias", "blk.{}.ffn_norm.bias", &[EMBD]),
    line("h.{}.mlp.c_fc.weight", "blk.{}.ffn_up.weight", &[EMBD, FF]).how(How::Transposed),
    line("h.{}.mlp.c_fc.bias", "blk.{}.ffn_up.bias", &[FF]),
    line("h.{}.mlp.c_proj.weight", "blk.{}.ffn_down.weight", &[FF, EMBD]).how(How::Transposed),
    line("h.{}.mlp.c_proj.bias", "blk.{}.ffn_down.bias", &[EMBD]),
];

pub(super) const GPT2: Arch = Arch {
    classes: &["GPT2LMHeadModel", "GPT2Model"],
    name: "gpt2",
    prefixes: &["transformer."],
    defaults: &[
        ("n_inner", Default::Times(4, "n_embd")),
        ("n_positions", Default::Int(1024)),
        ("layer_norm_epsilon", Default::Float(1e-5)),
        ("tie_word_embeddings", Default::Bool(true)),
    ],
    blocks: &[("{}", &["n_layer", "num_hidden_layers"])],
    facts: &[&[
        count("block_count", &["n_layer", "num_hidden_layers"]),
        count("context_length", CONTEXT),
        count("embedding_length", WIDTH),
        count("feed_forward_length", &["n_inner"]),
        count("attention.head_count", &["n_head", "num_attention_heads"]),
        number("attention.layer_norm_epsilon", &["layer_norm_epsilon", "layer_norm_eps"]),
    ]],
    lines: &[LINES],
    ignored: &["*.attn.bias", "*.attn.masked_bias"],
    extra,
};

fn extra(_: &Extra<'_>, _: &mut More) -> Result<()> {
    Ok(())
}
