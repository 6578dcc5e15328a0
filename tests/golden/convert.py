"""Tiny random checkpoints of each architecture, with what transformers computes of them.

    python convert.py LLAMA_CPP [NAME...]

LLAMA_CPP is the source tree of llama.cpp, whose converter makes `reference.gguf` of the one named `smollm2`.
Each folder of `convert/` holds a checkpoint as `save_pretrained` writes it, and `golden.json`: texts with their token ids,
and the logits of the last position.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers as t
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent / "convert"
LINES = [
    "The quick brown fox jumps over the lazy dog.",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Съешь же ещё этих мягких французских булок.",
    "視野無限廣，窗外有藍天。",
    "いろはにほへと ちりぬるを",
    "def f(x):\n    return x + 12345\n",
]
TEXTS = [
    "The lazy dog, 2024.",
    "Viktor rêva d'une âme naïve",
    "мягких булок 天外無限 ちりぬ",
    "  def g(y):\n\treturn 🙂 y\n\n",
]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def tokenizer(regex):
    """A byte-level BPE of 320 tokens; `regex` splits words, or None for SmolLM's digits and GPT-2's words."""
    bpe = Tokenizer(models.BPE())
    if regex is None:
        before = [pre_tokenizers.Digits(individual_digits=True),
                  pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    else:
        before = [regex, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(before)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(LINES, trainers.BpeTrainer(
        vocab_size=320, special_tokens=[AddedToken(s, special=True) for s in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>",
        pad_token="<|im_end|>", clean_up_tokenization_spaces=False, chat_template=TEMPLATE)


def gpt2_words():
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    return pre_tokenizers.Split(pattern=Regex(pattern), behavior="isolated")


def qwen2_words():
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    return pre_tokenizers.Split(pattern=Regex(pattern), behavior="isolated")


SIZE = dict(vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=2)
LONG = [1.0, 1.3, 2.0, 3.5]

# name: configuration, class, word splitter, dtype
MODELS = {
    "smollm2": (t.LlamaConfig(**SIZE, tie_word_embeddings=True, rope_theta=100000.0), None, torch.bfloat16),
    "llama3": (t.LlamaConfig(**{**SIZE, "head_dim": 16}, attention_bias=True, rope_theta=500000.0, rope_parameters=dict(
        rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=64)), None, torch.bfloat16),
    "mistral": (t.MistralConfig(**SIZE, head_dim=16, sliding_window=None), None, torch.bfloat16),
    "qwen2": (t.Qwen2Config(**SIZE, rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=64)), qwen2_words, torch.bfloat16),
    "qwen3": (t.Qwen3Config(**SIZE, head_dim=16, tie_word_embeddings=True), qwen2_words, torch.bfloat16),
    "gemma3": (t.Gemma3TextConfig(**{**SIZE, "num_hidden_layers": 3}, head_dim=16, sliding_window=16,
        query_pre_attn_scalar=16, sliding_window_pattern=6), None, torch.bfloat16),
    # Not called phi3: the engine expects the token </s> in every model of that name. The
    # engine rounds the length of a context up to 256, and takes the long factors above the original length.
    "longrope": (t.Phi3Config(**{**SIZE, "max_position_embeddings": 512}, original_max_position_embeddings=256, rope_parameters=dict(
        rope_type="longrope", rope_theta=10000.0, long_factor=LONG, short_factor=[1.0 + f / 10 for f in LONG],
        original_max_position_embeddings=256)), None, torch.bfloat16),
    "chatglm": (t.GlmConfig(**SIZE, head_dim=8, attention_bias=True, partial_rotary_factor=0.5), None, torch.bfloat16),
    "gpt2": (t.GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1,
        eos_token_id=2), gpt2_words, torch.bfloat16),
}


def make(name):
    config, words, dtype = MODELS[name]
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(sum(name.encode()))
    model = t.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            # Far from what initializers give: a norm, a bias or a head in the wrong place must show.
            spread = 0.5 if weight.dim() == 1 else weight.shape[-1] ** -0.5 * 1.5
            centre = 1.0 if "norm" in key.replace("ln_", "norm") and key.endswith("weight") and "gemma" not in name else 0.0
            weight.copy_((torch.randn_like(weight) * spread * (0.3 if weight.dim() == 1 else 1) + centre).to(dtype))
            # The engine rounds GELU to 16 bits (1.5e-3 in the logits of these models); what comes of it is kept small.
            if name == "gpt2" and "mlp.c_proj.weight" in key:
                weight.mul_(0.125)
            if name == "gemma3" and "post_feedforward" in key:
                weight.mul_(0.5).sub_(0.8)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": "30KB"} if name == "mistral" else {}))
    words = tokenizer(words() if words else None)
    words.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    model = t.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    cases = []
    for text in TEXTS:
        ids = words.encode(text, add_special_tokens=False)
        with torch.no_grad():
            logits = model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits[0, -1].double()
        cases.append(dict(text=text, ids=ids, logits=[float(f"{x:.5g}") for x in logits]))
    (folder / "golden.json").write_text(json.dumps(cases, ensure_ascii=False) + "\n")


def reference(llama_cpp, name, outtype):
    """What llama.cpp's converter writes."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / name
        shutil.copytree(HERE / name, copy)
        # The converter knows vocabularies by what they make of a text; this one is too small for that.
        run = ("import runpy, sys; tree = sys.argv[1]; sys.path[:0] = [tree, tree + '/gguf-py']; import conversion.base as b; "
               "b.TextModel.get_vocab_base_pre = lambda *_: 'smollm'; sys.argv = sys.argv[2:]; "
               "runpy.run_path(sys.argv[0], run_name='__main__')")
        subprocess.run([sys.executable, "-c", run, str(llama_cpp), str(llama_cpp / "convert_hf_to_gguf.py"), str(copy),
                        "--outtype", outtype, "--outfile", str(HERE / name / "reference.gguf")], check=True)


if __name__ == "__main__":
    llama_cpp, names = Path(sys.argv[1]), sys.argv[2:] or list(MODELS)
    for name in names:
        make(name)
        if name == "smollm2":
            readme = "---\nlicense: apache-2.0\nlanguage:\n- en\n- fr\ntags: [tiny, random]\nbase_model: someone/Tiny-1B-Base\n---\n# Tiny\n"
            (HERE / name / "README.md").write_text(readme)
            reference(llama_cpp, name, "f16")
