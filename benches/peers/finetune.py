"""LoRA training with PyTorch, transformers and PEFT, as `finetune train` does it: seconds a step, losses, memory.

    target/peers/torch/bin/python benches/peers/finetune.py FOLDER float32|bfloat16 ROWS STEPS THREADS

FOLDER comes from dequantize.py, ROWS is the file of token ids that `finetune rows` prints. The first step warms up and
is not counted. Under BENCH_TURNS each step waits for a line on standard input, after a sign on standard error.
"""

import json
import os
import pathlib
import sys
import time
import traceback

# Standard error carries the turns, and the error that ends the program; what libraries warn of is not for it.
SIGNS = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def memory():
    found = {}
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmHWM", "RssAnon", "RssFile"):
            found[name] = int(value.split()[0])
    return found


def turn():
    if "BENCH_TURNS" in os.environ:
        # Threads that still spin after their work shall not slow the next program.
        time.sleep(0.3)
        os.write(SIGNS, b".")
        os.read(0, 1)


def main():
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder, kind, rows, steps, threads = sys.argv[1:6]
    rows = json.loads(pathlib.Path(rows).read_text())["rows"]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    before = memory()["VmHWM"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, kind))
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=MODULES, task_type="CAUSAL_LM")
    model = get_peft_model(model, lora).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    seconds, losses = [], []
    for step in range(int(steps) + 1):
        turn()
        start = time.monotonic()
        ids = torch.tensor([rows[step]])
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step > 0:
            seconds.append(time.monotonic() - start)
    print(json.dumps({"seconds": seconds, "losses": losses, "VmHWM_before": before, **memory()}))


try:
    main()
except Exception:
    os.write(SIGNS, traceback.format_exc().encode())
    sys.exit(1)
