"""Tiny random T5 and BERT checkpoints, with what transformers computes of them.

    encoders.py [NAME...]

Written are folders of `convert/` as `save_pretrained` makes them, each with its `golden.json`.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import sentencepiece
import torch
import transformers

HERE = pathlib.Path(__file__).parent / "convert"
TEXTS = [
    "a bird sings",
    "the small bird of the lighthouse sings at night, and nobody hears it.",
    "12 boats",
    "Translate this: the boats are late!",
    "why",
    "a nest is a home; a home is where the birds are, when the night is cold and the boats are late.",
]
CORPUS = TEXTS + [
    "the cat and the dog sleep in the house",
    "there was once a keeper who lit the lamp each night",
    "boats go out in the morning and come home in the evening",
    "some birds are small, some are not: 3 of 10, or 4 of 567, or 8 of 9?",
    "quick brown foxes jump over lazy dogs with vigor and zeal",
]  # fmt: skip
STEPS = 4


def rounded(tensor):
    return [float(f"{x:.5g}") for x in tensor.flatten().tolist()]


def folder(name):
    shutil.rmtree(HERE / name, ignore_errors=True)
    (HERE / name).mkdir(parents=True)
    return HERE / name


def write(directory, cases):
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    (directory / "golden.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def t5(name, seed, **config):
    torch.manual_seed(seed)
    directory = folder(name)
    with tempfile.TemporaryDirectory() as work:
        corpus = pathlib.Path(work) / "corpus.txt"
        corpus.write_text("\n".join(CORPUS))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=f"{work}/spiece", vocab_size=120, model_type="unigram",
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="identity", num_threads=1,
            hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
        shutil.copy(f"{work}/spiece.model", directory)
    pieces = sentencepiece.SentencePieceProcessor(str(directory / "spiece.model"))
    config = transformers.T5Config(
        vocab_size=pieces.vocab_size(), d_model=16, d_kv=8, d_ff=32, num_heads=2, num_layers=2, num_decoder_layers=2,
        relative_attention_num_buckets=8, decoder_start_token_id=0, n_positions=64, **config,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for stack in (model.encoder, model.decoder):
            stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.copy_(torch.randn(8, 2))
        if not config.scale_decoder_outputs:
            # transformers makes every T5 tied; published gated ones have an output matrix of their own.
            model.config.tie_word_embeddings = False
            model.lm_head.weight = torch.nn.Parameter(0.25 * torch.randn_like(model.shared.weight))
    model.save_pretrained(directory)
    cases = []
    for text in TEXTS:
        source = pieces.encode(text) + [1]
        with torch.no_grad():
            encoded = model.encoder(torch.tensor([source])).last_hidden_state[0]
            answer, logits = [0], []
            for _ in range(STEPS):
                out = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([answer]))
                logits.append(out.logits[0, -1])
                answer.append(int(logits[-1].argmax()))
        cases.append({
            "text": text, "tokens": source, "answer": answer[1:], "logits": [rounded(l) for l in logits],
            "mean": rounded(encoded.mean(0)),
        })  # fmt: skip
    write(directory, cases)


def bert(name, seed, pooling, hidden, positions):
    torch.manual_seed(seed)
    directory = folder(name)
    (directory / "1_Pooling").mkdir()
    letters = sorted(set("".join(CORPUS).lower()) - {" "})
    words = ["the", "bird", "a", "night", "boats", "are", "house", "##s", "##ing", "##light"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters
    pieces += [f"##{c}" for c in letters if c.isalnum()] + words
    pieces = list(dict.fromkeys(pieces))
    (directory / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenizer = transformers.BertTokenizer(str(directory / "vocab.txt"), do_lower_case=True)
    config = transformers.BertConfig(
        vocab_size=len(pieces), hidden_size=hidden, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=positions, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    (directory / "modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]))  # fmt: skip
    mode = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}[pooling]
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({mode: True}))
    cases = []
    for text in TEXTS:
        tokens = tokenizer(text)["input_ids"]
        if len(tokens) > positions:
            continue
        with torch.no_grad():
            states = model(torch.tensor([tokens])).last_hidden_state[0]
        pooled = states.mean(0) if pooling == "mean" else states[0]
        unit = torch.nn.functional.normalize(pooled, dim=0)
        case = {"text": text, "tokens": tokens, "embedding": rounded(unit)}
        if len(tokens) < 20:
            case["last"] = rounded(torch.nn.functional.normalize(states[-1], dim=0))
        cases.append(case)
    write(directory, cases)


MADE = {
    "t5": lambda name: t5(name, 1, feed_forward_proj="relu", tie_word_embeddings=True),
    "t5-gated": lambda name: t5(name, 2, feed_forward_proj="gated-gelu", tie_word_embeddings=False, initializer_factor=0.7),
    "t5-gated-tied": lambda name: t5(name, 5, feed_forward_proj="gated-gelu", tie_word_embeddings=True),
    "t5-untied": lambda name: t5(name, 6, feed_forward_proj="relu", tie_word_embeddings=False, initializer_factor=0.7),
    "bert-mean": lambda name: bert(name, 3, "mean", 32, 64),
    "bert-cls": lambda name: bert(name, 4, "cls", 16, 96),
}
for name in sys.argv[1:] or MADE:
    MADE[name](name)
