"""LoRA training by PyTorch, transformers and PEFT, on the tiny models, adapters and batches of tests/train_golden.rs.

usage: train.py FOLDER

FOLDER is target/tmp/golden, as `cargo test --test train_golden -- --ignored` writes it. Writes train.json beside this
script: losses, gradient norms and learning rates of every step, and the first gradient of every A and B.
"""

import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np
import peft
import torch
import transformers

import hf

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ["llama", "qwen2", "gemma3", "gpt2"]
# Gradients are written as integers of up to this size, times a unit of each tensor: they keep three digits.
LARGEST = 999


class Adapter:
    """A model with the adapter of a GGUF file beside its weights."""

    def __init__(self, reader, file, options):
        arch = hf.field(reader, "general.architecture")
        model = hf.load(reader)
        tensors = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(file).tensors}
        places = {name: (*self.place(arch, name), name.endswith("lora_b")) for name in tensors}
        targets = sorted({path.split(".")[-1] for path, _, _ in places.values()})
        config = peft.LoraConfig(
            r=options["rank"], lora_alpha=options["alpha"], target_modules=targets, lora_dropout=0.0,
            task_type="CAUSAL_LM", fan_in_fan_out=arch == "gpt2",
        )  # fmt: skip
        self.model = peft.get_peft_model(model, config).train()
        self.parameters = {}
        for name, (path, part, is_b) in places.items():
            module = self.model.base_model.model.get_submodule(path)
            parameter = (module.lora_B if is_b else module.lora_A)["default"].weight
            # B's rows are those of the weight; A's are of the rank.
            n = hf.heads(reader, part) if is_b else None
            values = torch.from_numpy(np.ascontiguousarray(hf.halves(tensors[name], n)))
            assert values.shape == parameter.shape, (name, values.shape, parameter.shape)
            parameter.data.copy_(values)
            self.parameters[name] = (parameter, n)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        assert len(trained) == len(self.parameters)

    @staticmethod
    def place(arch, name):
        _, layer, part, *_ = name.split(".")
        layers = "transformer.h" if arch == "gpt2" else "model.layers"
        return f"{layers}.{layer}.{hf.PATHS[arch][part]}", part

    def trained(self):
        return [parameter for parameter, _ in self.parameters.values()]

    def gradients(self):
        """In GGUF's order."""
        return {name: hf.pairs(p.grad.numpy(), n).reshape(-1) for name, (p, n) in self.parameters.items()}


def batch_loss(model, batch):
    """The mean over all tokens that are learned; every sequence is alone."""
    total, count = 0.0, 0
    for sequence in batch:
        ids = torch.tensor([sequence["tokens"]])
        wanted = torch.tensor(sequence["loss"][1:])
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        total = total + torch.nn.functional.cross_entropy(logits[wanted], ids[0, 1:][wanted], reduction="sum")
        count += int(wanted.sum())
    return total / count


def short(values):
    unit = float(np.abs(values).max()) / LARGEST
    return dict(unit=float(f"{unit:.7g}"), values=np.rint(values / unit).astype(int).tolist())


def train(folder, name):
    model, adapter = folder / f"{name}.gguf", folder / f"{name}-adapter.gguf"
    given = json.loads((folder / f"{name}.json").read_text())
    options, batches = given["options"], given["batches"]
    lora = Adapter(gguf.GGUFReader(model), adapter, options)
    optimizer = torch.optim.AdamW(
        lora.trained(), lr=options["learning_rate"], betas=options["betas"], eps=options["epsilon"],
        weight_decay=options["weight_decay"],
    )  # fmt: skip
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, options["warmup_steps"], len(batches))
    sha256 = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    golden = dict(model=sha256(model), adapter=sha256(adapter), losses=[], grad_norms=[], learning_rates=[])
    for batch in batches:
        optimizer.zero_grad()
        loss = batch_loss(lora.model, batch)
        loss.backward()
        if "gradients" not in golden:
            golden["gradients"] = {name: short(values) for name, values in lora.gradients().items()}
        norm = torch.nn.utils.clip_grad_norm_(lora.trained(), options["max_grad_norm"])
        golden["losses"].append(round(loss.item(), 7))
        golden["grad_norms"].append(round(norm.item(), 7))
        golden["learning_rates"].append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    print(name, "loss", golden["losses"][0], "to", golden["losses"][-1], "norms", min(golden["grad_norms"]), max(golden["grad_norms"]))
    return golden


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    golden = {name: train(folder, name) for name in NAMES}
    hf.write(HERE / "train.json", golden)


main()
