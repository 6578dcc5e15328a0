"""The sections of run.py about LoRA training: rank 8 on all seven weights of each layer, AdamW, rows of equal length."""

import json
import pathlib
import subprocess
import sys
import tempfile

from runner import CACHE, MODELS, OUT, PEERS, RAW, ROOT, bench_program, in_turns, median, run, shell, spread, table, table_row

LENGTHS = (256, 512)
ROWS = (1, 2, 4, 8)
# MiB beside the weights.
QVAC_BUDGET = 512
QVAC_LENGTH = 128
MIB = 1 << 20


def models(o):
    return [(name, CACHE / file) for name, file in MODELS.items() if o.model in name]


def rows_file(program, model, tokens, steps):
    """The token ids that the trainer learns, for the other programs."""
    line = subprocess.run([program, "rows", model, str(tokens), "1", str(steps)], check=True, stdout=subprocess.PIPE)
    file = OUT / f"rows-{model.stem}-{tokens}.json"
    file.write_bytes(line.stdout)
    return file


def dequantized(model, kind):
    """The model as transformers reads it, its weights dequantized."""
    folder = PEERS / "hf" / f"{model.stem}-{kind}"
    if not (folder / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shell(PEERS / "torch/bin/python", "benches/peers/dequantize.py", model, folder, kind)
    return folder


def quartiles(ratios):
    ratios = sorted(ratios)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    return f"{median(ratios):.2f} ({low:.2f} to {high:.2f})"


def finetune(o):
    """Steps of one row, turn by turn, ours and PyTorch + PEFT's on the same weights and tokens."""
    program = bench_program("finetune")
    shell("benches/peers/setup.sh", "torch")
    speed, memory = [], []
    for name, model in models(o):
        for tokens in LENGTHS:
            rows = rows_file(program, model, tokens, o.rounds)
            peer = [PEERS / "torch/bin/python", ROOT / "benches/peers/finetune.py"]
            end = [rows, o.rounds, o.threads]
            own = [program, "train", model, tokens, 1, o.rounds, o.threads]
            ours, twice, bf16, f32 = in_turns(
                own,
                [*own, 0],
                [*peer, dequantized(model, "bfloat16"), "bfloat16", *end],
                [*peer, dequantized(model, "float32"), "float32", *end],
                units=o.rounds + 1,
            )
            same_losses(name, ours, f32)
            ratio = lambda theirs: quartiles([b / a for a, b in zip(ours["seconds"], theirs["seconds"])])
            rate = lambda result: f"{tokens / median(result['seconds']):.1f}"
            rates = [rate(result) for result in (ours, bf16, f32)]
            recomputed = quartiles([b / a for a, b in zip(twice["seconds"], bf16["seconds"])])
            stored = "{stored_layers}".format(**ours["plan"])
            speed.append([name, tokens, *rates, ratio(bf16), ratio(f32), stored, recomputed])
            print(table_row(speed[-1]), flush=True)
            peaks = [result["VmHWM"] / 1024 for result in (ours, bf16, f32)]
            plan, growth = ours["plan"]["total"] / MIB, ours["anonymous_growth"] / MIB
            memory.append(
                [name, tokens, *(f"{peak:.0f}" for peak in peaks), f"{peaks[0] / peaks[1]:.3f}"]
                + [f"{plan:.1f}", f"{growth:.1f}", f"{(plan / growth - 1) * 100:+.1f} %"]
            )
            print(table_row(memory[-1]), flush=True)
    head = ["model", "tokens a row", "Nestling, tokens/s", "PyTorch bf16, tokens/s", "PyTorch f32, tokens/s"]
    head += ["ours / bf16: median (quartiles)", "ours / f32", "layers kept", "none kept: ours / bf16"]
    text = table(head, speed)
    head = ["model", "tokens a row", "Nestling, peak RSS, MiB", "PyTorch bf16, MiB", "PyTorch f32, MiB", "ours / bf16"]
    head += ["our plan, MiB", "growth of anonymous RSS, MiB", "plan against growth"]
    return f"{text}\n\n{table(head, memory)}"


def same_losses(name, ours, theirs):
    """Ends the program unless both learned the same: the first loss is the base model's."""
    ours, theirs = ours["losses"][0], theirs["losses"][0]
    if abs(ours - theirs) > 0.03 * theirs:
        sys.exit(f"{name}: the first loss is {ours:.4f}, PyTorch's {theirs:.4f}: the programs did not do the same work")


def linear(o):
    """Steps of 1, 2, 4 and 8 rows, turn by turn: time grows with the rows, memory does not."""
    program, lines = bench_program("finetune"), []
    for name, model in models(o):
        command = lambda n: [program, "train", model, LENGTHS[0], n, o.rounds, o.threads]
        results = in_turns(*map(command, ROWS), units=o.rounds + 1)
        for n, result in zip(ROWS, results):
            a_row = [b / a / n for a, b in zip(results[0]["seconds"], result["seconds"])]
            lines.append(
                [name, n, f"{median(result['seconds']):.2f}", f"{n * LENGTHS[0] / median(result['seconds']):.1f}"]
                + [quartiles(a_row), f"{result['VmHWM'] / 1024:.0f}", f"{result['anonymous_growth'] / MIB:.1f}"]
            )
    head = ["model", f"rows of {LENGTHS[0]} tokens", "s a step", "tokens/s", "time of a row, against a step of one"]
    return table(head + ["peak RSS, MiB", "growth of anonymous RSS, MiB"], lines)


def qvac(o):
    """QVAC Fabric on the one file here that it takes, Gemma 3 as Q8_0; its process and ours follow each other. Ours may
    take memory_budget=512 MiB, with which it still takes less than the other."""
    program = bench_program("finetune")
    shell("benches/peers/setup.sh", "torch", "qvac")
    model = PEERS / "gemma-3-270m-Q8_0.gguf"
    if not model.exists():
        source, part = CACHE / MODELS["Gemma-3-270M Q4_K_M"], model.with_suffix(".part")
        shell(PEERS / "torch/bin/python", "benches/peers/requantize.py", source, part)
        part.rename(model)
    own = [program, "train", model, QVAC_LENGTH, 1, o.rounds, o.threads, QVAC_BUDGET]
    ours = [run(*own)]
    rates, peak = qvac_run(model)
    ours.append(run(*own))
    mine = [QVAC_LENGTH / s for result in ours for s in result["seconds"]]
    peaks = [max(result["VmHWM"] for result in ours) / 1024, peak / 1024]
    lines = [
        ["Nestling", spread(mine, 1), f"{median(mine) / median(rates):.1f}", f"{peaks[0]:.0f}"],
        ["QVAC Fabric", spread(rates, 1), "1", f"{peaks[1]:.0f}"],
    ]
    return table([f"Gemma-3-270M Q8_0, rows of {QVAC_LENGTH} tokens", "tokens/s", "ratio", "peak RSS, MiB"], lines)


def qvac_run(model):
    """Tokens a second of each of its steps but the first, and its peak of memory in KiB."""
    # Not the script that starts it: its memory is what counts, and it is to be ended.
    (bare,) = PEERS.glob("qvac/node_modules/bare-runtime-*/bin/bare")
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        text = pathlib.Path(folder) / "text.txt"
        text.write_text((ROOT / "benches/text.txt").read_text() * 4)
        command = [bare, "finetune.js", model, text, folder, str(QVAC_LENGTH)]
        begun = subprocess.Popen(
            [str(c) for c in command], cwd=PEERS / "qvac", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        steps, lines, peak = [], [], 0
        for line in begun.stdout:
            lines.append(line)
            if line.startswith("{"):
                steps.append(json.loads(line))
                status = pathlib.Path(f"/proc/{begun.pid}/status").read_text()
                peak = max([peak, *(int(s.split()[1]) for s in status.splitlines() if s.startswith("VmHWM"))])
                # Enough: a step takes it half a minute.
                if len(steps) == 4:
                    break
            if line.startswith("error"):
                break
        # After an error it does not end by itself.
        begun.kill()
        begun.wait()
    RAW.append({"command": [str(c) for c in command], "result": steps})
    times = [step["seconds"] for step in steps]
    if len(times) < 3:
        sys.exit("QVAC Fabric did not train:\n" + "".join(lines[-20:]))
    return [QVAC_LENGTH / (b - a) for a, b in zip(times, times[1:])], peak


SECTIONS = {"finetune": finetune, "linear": linear, "qvac": qvac}
