"""The squares of what every linear layer is given, by transformers, on the tiny models and chunks of tests/imatrix.rs.

usage: imatrix.py FOLDER

FOLDER is target/tmp/imatrix, as `cargo test --test imatrix -- --ignored` writes it. Writes imatrix.json beside this script:
for each model and weight the sums over all tokens, column by column.
"""

import hashlib
import json
import pathlib
import sys

import gguf
import torch

import hf

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["llama", "qwen2", "gemma3", "gpt2"]


def weights(reader):
    """The name in GGUF and the path of each matrix that is multiplied."""
    arch = hf.field(reader, "general.architecture")
    layers = "transformer.h" if arch == "gpt2" else "model.layers"
    names = {tensor.name for tensor in reader.tensors}
    for name in sorted(names):
        words = name.split(".")
        if words[0] == "blk" and words[-1] == "weight" and "norm" not in words[2]:
            yield name, f"{layers}.{words[1]}.{hf.PATHS[arch][words[2]]}"
    yield ("output.weight" if "output.weight" in names else "token_embd.weight"), "lm_head"


def measure(folder, name):
    path = folder / f"{name}.gguf"
    reader = gguf.GGUFReader(path)
    model = hf.load(reader)
    sums = {}
    for weight, place in weights(reader):
        def look(module, inputs, weight=weight):
            x = inputs[0].double().reshape(-1, inputs[0].shape[-1])
            sums[weight] = sums.get(weight, 0) + (x * x).sum(0)
        model.get_submodule(place).register_forward_pre_hook(look)
    chunks = json.loads((folder / f"{name}.json").read_text())
    with torch.no_grad():
        for chunk in chunks:
            model(input_ids=torch.tensor([chunk]), use_cache=False)
    short = lambda values: [float(f"{v:.6g}") for v in values.tolist()]
    return dict(
        model=hashlib.sha256(path.read_bytes()).hexdigest(),
        tokens=sum(map(len, chunks)),
        sums={weight: short(values) for weight, values in sums.items()},
    )


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    golden = {name: measure(folder, name) for name in NAMES}
    parts = []
    for name, found in golden.items():
        lines = [f'  {json.dumps(w)}: {json.dumps(v, separators=(",", ":"))}' for w, v in found["sums"].items()]
        head = f'{json.dumps(name)}: {{"model": "{found["model"]}", "tokens": {found["tokens"]}, "sums": {{\n'
        parts.append(head + ",\n".join(lines) + "\n}}")
    (HERE / "imatrix.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


main()
