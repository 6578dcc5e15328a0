"""Logits of PEFT for the tiny models and adapters of tests/adapter_golden.rs: each adapter alone, and averages.

usage: adapters.py FOLDER

FOLDER is target/tmp/golden/adapters, as `cargo test --test adapter_golden -- --ignored` writes it. Writes adapters.json
beside this script.
"""

import hashlib
import json
import pathlib
import sys

import gguf
import peft
import torch

import hf

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["llama", "qwen2", "qwen3", "gemma3", "gpt2", "phi3"]


def logits(model, given):
    with torch.no_grad():
        row = model(input_ids=torch.tensor([given["tokens"]]), use_cache=False).logits[0, -1]
    return [round(value, 5) for value in row[:: given["step"]].tolist()]


def load(reader, folder, names):
    model = peft.PeftModel.from_pretrained(hf.load(reader), folder / names[0], adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(folder / name, adapter_name=name)
    return model.eval()


def one(folder):
    given = json.loads((folder / "input.json").read_text())
    reader = gguf.GGUFReader(folder / "model.gguf")
    sha256 = lambda name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
    files = {name: sha256(f"{name}/adapter_model.safetensors") for name in ["first", "second", "third"]}
    files |= {name: sha256(f"ours/{name}") for name in ["adapter_model.safetensors", "adapter_config.json"]}
    found = {"base": logits(hf.load(reader).eval(), given)}
    model = load(reader, folder, ["first", "second", "third"])
    for name in ["first", "second", "third"]:
        model.set_adapter(name)
        found[name] = logits(model, given)
    for method, names, weights, rank in [
        ("cat", ["first", "second"], [0.3, 0.7], None),
        ("linear", ["first", "third"], [0.5, -0.25], None),
        ("svd", ["first", "second", "third"], [0.5, 0.25, 0.25], 3),
    ]:
        model.add_weighted_adapter(names, weights, method, combination_type=method, svd_rank=rank)
        model.set_adapter(method)
        found[method] = logits(model, given)
    found["ours"] = logits(load(reader, folder, ["ours"]), given)
    return dict(files=dict(model=sha256("model.gguf")) | files, logits=found)


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    golden = {name: one(folder / name) for name in NAMES}
    hf.write(HERE / "adapters.json", golden)


main()
