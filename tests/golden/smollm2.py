"""Greedy continuations and logits of SmolLM2 by PyTorch and transformers, its weights dequantized to 32-bit floats.

usage: smollm2.py CACHE_DIR

Writes smollm2.json beside this script.
"""

import pathlib
import sys

import gguf
import numpy as np
import tokenizers
import torch
import transformers

import hf
from tokens import SMOLLM2, byte_level_tokenizer, encode, field, write

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
]
CHAT = [{"role": "user", "content": "Why is the sky blue? Answer in one sentence."}]
NEW_TOKENS = 32


def top5(logits):
    values, ids = torch.topk(logits, 5)
    return {"ids": ids.tolist(), "logits": [round(value, 5) for value in values.tolist()]}


@torch.no_grad()
def continuation(model, ids):
    """Greedy, by full evaluation of the prompt and then one token at a time; with the smallest lead of the best
    token over the second, which tells how much a test may rely on the choice."""
    output = model(input_ids=torch.tensor([ids]), use_cache=True)
    first, tokens, lead = top5(output.logits[0, -1]), [], float("inf")
    for _ in range(NEW_TOKENS):
        best = torch.topk(output.logits[0, -1], 2)
        lead = min(lead, float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
        output = model(input_ids=torch.tensor([tokens[-1:]]), past_key_values=output.past_key_values, use_cache=True)
    return {"prompt_ids": ids, "top5": first, "continuation": tokens, "smallest_lead": round(lead, 5)}


def main():
    torch.set_num_threads(2)
    reader = gguf.GGUFReader(pathlib.Path(sys.argv[1]) / SMOLLM2)
    model, tokenizer = hf.load(reader), byte_level_tokenizer(reader)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    template = field(reader, "tokenizer.chat_template")
    chat = fast.apply_chat_template(CHAT, chat_template=template, tokenize=False, add_generation_prompt=True)
    write("smollm2.json", {
        "versions": {m.__name__: m.__version__ for m in (transformers, tokenizers, torch, np)},
        "prompts": PROMPTS,
        "results": [continuation(model, encode(tokenizer, prompt)) for prompt in PROMPTS],
        "chat": CHAT,
        "chat_text": chat,
        "chat_result": continuation(model, encode(tokenizer, chat)),
    })


if __name__ == "__main__":
    main()
