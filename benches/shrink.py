"""The section of run.py about making model files: conversion and quantizing beside llama.cpp's own programs."""

import os
import shutil
import subprocess
import sys
import tempfile
import pathlib
import time

from runner import CACHE, MODELS, OUT, PEERS, RAW, ROOT, interleaved, interval, median, shell, table

MODEL = "SmolLM2-135M Q4_1"
MIX = "Q4_K_M"


def measured(*commands):
    """Runs programs one after the other; gives the wall-clock time of all and the largest peak RSS in MiB."""
    seconds, peak = 0.0, 0.0
    for command in commands:
        command = [str(c) for c in command]
        start = time.monotonic()
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                said.seek(0)
                sys.exit(f"{command[0]} failed with status {child.returncode}:\n{said.read().decode()[-2000:]}")
        seconds += time.monotonic() - start
        peak = max(peak, usage.ru_maxrss / 1024)
    result = {"seconds": seconds, "peak": peak}
    RAW.append({"command": [[str(c) for c in command] for command in commands], "result": result})
    return result


def checkpoint():
    """SmolLM2 as Hugging Face has it."""
    folder = PEERS / "hf" / "SmolLM2-checkpoint"
    if not (folder / "model.safetensors").exists():
        shell(PEERS / "torch/bin/python", "benches/peers/checkpoint.py", CACHE / MODELS[MODEL], folder)
    return folder


def shrink(o):
    """SmolLM2-135M from bf16 safetensors: converted, converted and quantized at once, quantized. Whole processes in turns."""
    shell("cargo", "build", "--release", "--features", "cli", "--quiet")
    shell("benches/peers/setup.sh", "llama", "torch")
    source, nestling = checkpoint(), ROOT / "target/release/nestling"
    python, tree = PEERS / "torch/bin/python", PEERS / "llama.cpp"
    convert, quantize = tree / "source/convert_hf_to_gguf.py", tree / "bin/llama-quantize"
    folder = pathlib.Path(tempfile.mkdtemp(dir=OUT))
    ours, theirs, whole = folder / "ours.gguf", folder / "theirs.gguf", folder / "f16.gguf"
    threads = ["--n-threads", o.threads]
    made = lambda *more: measured([nestling, *more, "-o", ours, "--force", *threads])
    measured([nestling, "convert", source, "-o", whole, "--type", "f16"])
    their_f16 = [python, convert, source, "--outtype", "f16", "--outfile", theirs]
    their_mix = lambda from_file, to_file: [quantize, from_file, to_file, MIX, o.threads]
    cases = {
        "convert to F16": (
            lambda: made("convert", source, "--type", "f16"),
            lambda: measured(their_f16),
        ),
        f"convert to {MIX}": (
            lambda: made("convert", source, "--type", MIX.lower()),
            lambda: measured(their_f16, their_mix(theirs, folder / "mix.gguf")),
        ),
        f"F16 to {MIX}": (
            lambda: made("quantize", whole, "--type", MIX.lower()),
            lambda: measured(their_mix(whole, theirs)),
        ),
    }
    rows = []
    for name, (mine, other) in cases.items():
        both = interleaved(o.rounds, {"ours": mine, "theirs": other})
        seconds = {who: [r["seconds"] for r in results] for who, results in both.items()}
        peak = {who: median([r["peak"] for r in results]) for who, results in both.items()}
        middle, low, high = interval([b / a for a, b in zip(seconds["ours"], seconds["theirs"])])
        rows.append(
            [name, f"{median(seconds['ours']):.2f}", f"{median(seconds['theirs']):.2f}"]
            + [f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{peak['ours']:.0f}", f"{peak['theirs']:.0f}"]
            + [f"{peak['ours'] / peak['theirs']:.3f}"]
        )
    shutil.rmtree(folder)
    head = ["", "Nestling, s", "llama.cpp, s", "times as fast (95 %)", "peak RSS, MiB", "llama.cpp's", "ours / theirs"]
    return table(head, rows)


SECTIONS = {"shrink": shrink}
