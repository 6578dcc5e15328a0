"""Tiny tokenizers of every kind, what llama.cpp's converter writes for them, and ids by their own libraries.

usage: vocab.py LLAMA_CPP_DIR [NAME ...]

Needs tokenizers, transformers, sentencepiece, gguf. Writes vocab/NAME.json beside it: the files of a checkpoint,
the metadata (arrays as their length and SHA-256; a letter per byte of a binary file), and the ids of lines of text.txt.
"""

import hashlib
import io
import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [sys.argv[1] + "/gguf-py", sys.argv[1]]

import gguf
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = (HERE / "text.txt").read_bytes().decode("utf-8").split("\n")
LINES = TEXT[::12] + ["", " two  spaces\n\n\tand a tab", "Hello <|user|>there<|end|> you"]
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(steps, *, normalizer=None, post=None, ignore_merges=False, vocab_size=340, added=(), special=("<|endoftext|>",)):
    use_regex = steps[-1] == "gpt2"
    steps = [step for step in steps if step not in ("gpt2", "none")]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXT, trainer)
    for token in added:
        tokenizer.add_tokens([token])
    tokenizer.post_processor = post or processors.ByteLevel(trim_offsets=False)
    return tokenizer


def settings(**more):
    return {"tokenizer_class": "PreTrainedTokenizerFast", **more}


def bos_template(tokenizer, token):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B",
                                         special_tokens=[(token, tokenizer.token_to_id(token))])


USER = AddedToken("<|user|>", special=True, normalized=False)
END = AddedToken("<|end|>", special=False, normalized=False)
VISIBLE = AddedToken(" shown▁so", special=False, normalized=False)


def bpe_case(arch, model_type, pre, tokenizer, *, rows=0, config=None, pairs=True, **more):
    n = tokenizer.get_vocab_size()
    data = json.loads(tokenizer.to_str())
    if not pairs:
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    return {
        "pre": pre,
        "config": {"architectures": [arch], "model_type": model_type, "vocab_size": n + rows, **(config or {})},
        "files": {"tokenizer.json": data, "tokenizer_config.json": settings(**more)},
        "ids": [tokenizer.encode(line, add_special_tokens=False).ids for line in LINES],
    }


def byte_level_cases():
    yield "gpt-2", bpe_case("GPT2LMHeadModel", "gpt2", "gpt-2", byte_level(["gpt2"]), pairs=False,
                            bos_token="<|endoftext|>", eos_token="<|endoftext|>", add_bos_token=False)
    yield "olmo", bpe_case("LlamaForCausalLM", "llama", "olmo", byte_level(["gpt2"], normalizer=normalizers.NFC()))
    smollm = byte_level([pre_tokenizers.Digits(individual_digits=True), "gpt2"], added=[USER, END, VISIBLE])
    yield "smollm", bpe_case("LlamaForCausalLM", "llama", "smollm", smollm, rows=5, eos_token="<|user|>",
                             bos_token="<|endoftext|>", clean_up_tokenization_spaces=False,
                             chat_template=[{"name": "default", "template": "{{ a }}"}, {"name": "tool-use", "template": "{{ b }}"}])
    starcoder = byte_level([pre_tokenizers.Digits(individual_digits=True), "gpt2"])
    yield "starcoder", bpe_case("Qwen2ForCausalLM", "qwen2", "starcoder", starcoder, clean_up_tokenization_spaces=True)
    command = byte_level([pre_tokenizers.Digits(individual_digits=True), "gpt2"], normalizer=normalizers.NFC())
    yield "command-r", bpe_case("Qwen2ForCausalLM", "qwen2", "command-r", command)
    qwen = byte_level([isolated(QWEN2), "none"], added=[USER, END], normalizer=normalizers.NFC())
    yield "qwen2", bpe_case("Qwen2ForCausalLM", "qwen2", "qwen2", qwen, config={"bos_token_id": 0}, eos_token="<|end|>",
                            pad_token={"__type": "AddedToken", "content": "<|endoftext|>", "special": True}, chat_template="{{ messages }}")
    llama = byte_level([isolated(LLAMA3), "none"], ignore_merges=True, added=[USER, END])
    llama.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), bos_template(llama, "<|endoftext|>")])
    yield "llama-bpe", bpe_case("LlamaForCausalLM", "llama", "llama-bpe", llama, rows=2, bos_token="<|endoftext|>",
                                eos_token="<|end|>")
    yield "dbrx", bpe_case("Qwen2ForCausalLM", "qwen2", "dbrx", byte_level([isolated(LLAMA3), "none"]))
    glm = byte_level([isolated(LLAMA3), "none"], added=[USER, END])
    yield "chatglm-bpe", bpe_case("GlmForCausalLM", "glm", "chatglm-bpe", glm)
    yield "gpt-4o", bpe_case("Qwen2ForCausalLM", "qwen2", "gpt-4o", byte_level([isolated(GPT4O), "none"]))
    tekken = byte_level([isolated(GPT4O.replace(CONTRACTIONS + "?", "").replace("{1,3}", "")), "none"])
    yield "tekken", bpe_case("MistralForCausalLM", "mistral", "tekken", tekken, add_bos_token=True, bos_token="<|endoftext|>")
    falcon = byte_level([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
                         pre_tokenizers.Digits(individual_digits=False), isolated("[0-9][0-9][0-9]"), "none"])
    data = bpe_case("FalconForCausalLM", "falcon", "falcon", falcon)
    # As published: the byte-level step is in the middle, and there is no other.
    data["files"]["tokenizer.json"]["pre_tokenizer"]["pretokenizers"].pop()
    data["ids"] = [Tokenizer.from_str(json.dumps(data["files"]["tokenizer.json"])).encode(line, add_special_tokens=False).ids for line in LINES]
    yield "falcon", data
    coder = byte_level([isolated("[\r\n]"), isolated(r"\s?\p{L}+"), isolated(r"\s?\p{P}+"), isolated("[一-龥ࠀ-一가-\ud7ff]+"),
                        pre_tokenizers.Digits(individual_digits=True), "none"])
    yield "deepseek-coder", bpe_case("LlamaForCausalLM", "llama", "deepseek-coder", coder)



def trained(algorithm, **more):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for line in TEXT[:40] if line), model_writer=out, vocab_size=more.pop("vocab_size", 500), num_threads=1,
        model_type=algorithm, character_coverage=0.98, minloglevel=2, hard_vocab_limit=False, **more)
    return out.getvalue()


def piece_cases():
    model = trained("bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    n = processor.vocab_size()
    special = lambda text, marked: {"content": text, "special": marked}
    added = {str(n): special("<|user|>", True), str(n + 1): special("<|end|>", False), str(n + 9): special("<image>", True)}
    lines = [line for line in LINES if "<|" not in line]
    yield "spm-llama", {
        "config": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": n + 6, "bos_token_id": 1, "eos_token_id": 2},
        "files": {"tokenizer.model": model.decode("latin-1"),
                  "tokenizer_config.json": settings(added_tokens_decoder=added, add_bos_token=True, add_prefix_space=True)},
        "ids": [processor.encode(line) for line in lines],
    }
    gemma = trained("bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False)
    processor = sentencepiece.SentencePieceProcessor(model_proto=gemma)
    yield "spm-gemma", {
        "config": {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "vocab_size": processor.vocab_size()},
        "files": {"tokenizer.model": gemma.decode("latin-1")},
        "ids": [processor.encode(line) for line in lines],
    }
    unigram = trained("unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="identity")
    processor = sentencepiece.SentencePieceProcessor(model_proto=unigram)
    yield "spm-t5", {
        "config": {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": processor.vocab_size() + 3,
                   "eos_token_id": 1, "pad_token_id": 0},
        "files": {"spiece.model": unigram.decode("latin-1")},
        "ids": [processor.encode(line) for line in lines],
    }
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.vocab_size())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken("<pad>", special=True), AddedToken("</s>", special=True)])
    yield "unigram-t5", {
        "config": {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": processor.vocab_size()},
        "files": {"tokenizer.json": json.loads(tokenizer.to_str())}, "by_reference": False,
        "ids": [processor.encode(line) for line in lines],
    }
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=900, special_tokens=names, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    bert = bpe_case("BertModel", "bert", "jina-v2-en", tokenizer, rows=2, config={"type_vocab_size": 2}, **roles)
    bert["files"]["tokenizer_config.json"]["tokenizer_class"] = "BertTokenizer"
    bert["config"]["num_attention_heads"] = 1
    yield "bert", bert
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    yield "bert-words", bert | {"by_reference": False, "files": {
        "vocab.txt": "".join(word + "\n" for word, _ in words), "tokenizer_config.json": roles}}
    exported = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = {processor.id_to_piece(i): i for i in range(n)}
    merges = []
    for word, i in vocab.items():
        if processor.is_byte(i) or processor.is_control(i) or processor.is_unknown(i):
            continue
        cuts = [(word[:k], word[k:]) for k in range(1, len(word)) if word[:k] in vocab and word[k:] in vocab]
        merges += [(processor.get_score(i), pair) for pair in sorted(cuts, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    merges = [pair for _, pair in sorted(merges, key=lambda merge: merge[0], reverse=True)]
    exported = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    exported.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    exported.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    exported.add_special_tokens(["<unk>", "<s>", "</s>"])
    yield "spm-exported", {
        "config": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": n},
        "files": {"tokenizer.json": json.loads(exported.to_str()), "tokenizer_config.json": settings(bos_token="<s>", unk_token="<unk>")},
        "ids": [exported.encode(line, add_special_tokens=False).ids for line in lines],
        # The reference gives every token the same score, with which the engine joins in another order.
        "differs": {"tokenizer.ggml.scores": "ranks of merges", "tokenizer.ggml.token_type": "the unknown token is marked as that"},
    }


def cases():
    yield from byte_level_cases()
    yield from piece_cases()


def digest(field):
    value = field.contents()
    if field.types[0] != gguf.GGUFValueType.ARRAY:
        return value
    if field.types[1] == gguf.GGUFValueType.STRING:
        # Not from `value`: tokens need not be UTF-8.
        data = b"".join(field.parts[i - 1].tobytes() + field.parts[i].tobytes() for i in field.data)
    else:
        data = b"".join(field.parts[i].tobytes() for i in field.data)
    return {"length": len(field.data), "sha256": hashlib.sha256(data).hexdigest()}


def reference(case, directory):
    """The metadata that the converter writes; its list of pre-tokenizers knows published vocabularies only."""
    import conversion
    from conversion import TextModel, get_model_class

    TextModel.get_vocab_base_pre = lambda self, tokenizer: case.get("pre")
    model = get_model_class(case["config"]["architectures"][0])
    out = directory / "vocab.gguf"
    model = model(directory, gguf.LlamaFileType.MOSTLY_F16, out, hparams=case["config"] | {"num_hidden_layers": 1})
    model.set_vocab()
    if case["config"]["architectures"][0] == "GlmForCausalLM":
        model.gguf_writer.add_add_bos_token(False)
    model.gguf_writer.add_type(gguf.GGUFType.MODEL)
    model.gguf_writer.write_header_to_file(path=out)
    model.gguf_writer.write_kv_data_to_file()
    model.gguf_writer.close()
    reader = gguf.GGUFReader(out)
    values = {}
    for key, field in reader.fields.items():
        if key.startswith("tokenizer."):
            kinds = [t.name for t in field.types]
            values[key] = ["/".join(kinds), digest(field)]
    return values


def write_files(case, directory):
    (directory / "config.json").write_text(json.dumps(case["config"]))
    for name, content in case["files"].items():
        if name.endswith(".model"):
            (directory / name).write_bytes(content.encode("latin-1"))
        else:
            (directory / name).write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")


def main():
    wanted = sys.argv[2:]
    for name, case in cases():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            write_files(case, directory)
            case["metadata"] = reference(case, directory) if case.pop("by_reference", True) else {}
        text = json.dumps(case, ensure_ascii=False, separators=(",", ":"), sort_keys=False)
        (HERE / "vocab" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(name, len(text))


if __name__ == "__main__":
    main()
