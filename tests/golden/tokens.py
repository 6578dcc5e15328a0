"""Token ids by Hugging Face's tokenizers and by SentencePiece, from the same GGUF files that we read.

usage: tokens.py CACHE_DIR

Reads text.txt beside this script; writes tokens.json beside it.
"""

import hashlib
import json
import pathlib
import sys

import gguf
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).resolve().parent
SMOLLM2, GEMMA = "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-Q4_K_M.gguf"


def field(reader, name, default=None):
    return reader.fields[name].contents() if name in reader.fields else default


def byte_level_tokenizer(reader):
    """SmolLM2: every digit alone, then GPT-2's byte-level BPE."""
    words = field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = field(reader, "tokenizer.ggml.token_type")
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word, kind in zip(words, kinds) if kind == 3])
    return tokenizer


def sentencepiece(reader):
    """Gemma: the SentencePiece model that the vocabulary was exported from, put together again."""
    proto = sentencepiece_model_pb2.ModelProto()
    arrays = (field(reader, f"tokenizer.ggml.{name}") for name in ("tokens", "scores", "token_type"))
    for word, score, kind in zip(*arrays):
        # GGUF writes the spaces of user-defined pieces as spaces, SentencePiece as this mark.
        proto.pieces.add(piece=word.replace(" ", "▁") if kind == 4 else word, score=score, type=kind)
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = True
    for name in ("bos", "eos", "pad"):
        token = field(reader, f"tokenizer.ggml.{ {'pad': 'padding'}.get(name, name) }_token_id")
        setattr(proto.trainer_spec, f"{name}_id", token)
    proto.trainer_spec.unk_id = field(reader, "tokenizer.ggml.unknown_token_id")
    for name, word in (("bos", "<bos>"), ("eos", "<eos>"), ("pad", "<pad>"), ("unk", "<unk>")):
        setattr(proto.trainer_spec, f"{name}_piece", word)
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    return SentencePieceProcessor(model_proto=proto.SerializeToString())


def sentencepiece_as_bpe(reader):
    """Gemma in the library that transformers uses: merges in the order of the scores of what they make."""
    words = field(reader, "tokenizer.ggml.tokens")
    scores, kinds = field(reader, "tokenizer.ggml.scores"), field(reader, "tokenizer.ggml.token_type")
    vocab = {word: i for i, word in enumerate(words)}
    merges = []
    for word, score, kind in zip(words, scores, kinds):
        if kind != 1:
            continue
        pairs = [(word[:i], word[i:]) for i in range(1, len(word))]
        pairs = [pair for pair in pairs if pair[0] in vocab and pair[1] in vocab]
        merges += [(score, pair) for pair in sorted(pairs, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    merges = [pair for _, pair in sorted(merges, key=lambda merge: merge[0], reverse=True)]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(" "), "merged_with_previous")
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word, kind in zip(words, kinds) if kind == 3])
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word, kind in zip(words, kinds) if kind == 4])
    return tokenizer


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for key in value:
        text = text.replace(f',"{key}":', f',\n"{key}":')
    (HERE / name).write_text(text.replace("],[", "],\n[") + "\n", encoding="utf-8")


def main():
    cache = pathlib.Path(sys.argv[1])
    text = (HERE / "text.txt").read_bytes().decode("utf-8")
    lines = text.removesuffix("\n").split("\n")
    assert len(lines) == 200
    smollm2, gemma = gguf.GGUFReader(cache / SMOLLM2), gguf.GGUFReader(cache / GEMMA)
    byte_level, pieces, bpe = byte_level_tokenizer(smollm2), sentencepiece(gemma), sentencepiece_as_bpe(gemma)
    for number, line in enumerate([*lines, text]):
        if encode(bpe, line) != pieces.encode(line):
            print("gemma: the two libraries differ on line", number + 1, repr(line[:60]))
            print("  ", bpe.encode(line, add_special_tokens=False).tokens[:40], pieces.encode(line, out_type=str)[:40])
    write("tokens.json", {
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "smollm2": [encode(byte_level, line) for line in lines],
        "smollm2_whole": encode(byte_level, text),
        "gemma3": [encode(bpe, line) for line in lines],
        "gemma3_whole": encode(bpe, text),
    })


if __name__ == "__main__":
    main()
