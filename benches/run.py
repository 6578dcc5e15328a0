#!/usr/bin/env python3
"""Measures the library against the engine itself and its peers; benches/README.md says how to read it.

    benches/run.py [rate] [prompt] [cost] [reuse] [open] [peers] [speed] [batch] [accuracy] [roofline] [finetune] [linear] [qvac] [shrink] [--rounds 7] [--threads 2] [--repeats 3]

Without a section: all of them. Every number is of this machine, now: leave it alone meanwhile. Prints Markdown, and
keeps each section's text and every raw number in target/bench.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import kernels
import shrink
import training
from runner import (
    CACHE, MODELS, OUT, PEERS, RAW, ROOT, TEXT, build, build_native, in_turns, interleaved, interval, median, run, shell, spread,
    table,
)  # fmt: skip

# As in benches/c/bench.h.
N_PROMPT, N_DECODE = 512, 128


# ---- sections ----


def rate(o):
    """Through the C interface against a bare loop over the same engine, turn by turn: both processes stay, one works."""
    rows = []
    for name, file in MODELS.items():
        turns = 5 * o.rounds
        arguments = ["rate", CACHE / file, TEXT, o.threads, turns]
        ours, bare = in_turns([OUT / "nestling", *arguments], [OUT / "engine", *arguments], units=3 * (turns + 1))
        for key in ("input", "output"):
            if ours[key] != bare[key]:
                sys.exit(f"{name}: the programs did not do the same work: their {key} differs")
        for label, key, n in (
            (f"prompt, {N_PROMPT} tokens", "prompt_s", N_PROMPT),
            (f"decode, {N_DECODE} tokens, greedy", "greedy_s", N_DECODE),
            (f"decode, {N_DECODE} tokens, default sampling", "sampled_s", N_DECODE),
        ):
            mine, theirs = ours[key], bare[key]
            ratios = sorted(b / a for a, b in zip(mine, theirs))
            middle = [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]]
            # What else the machine does only ever adds time: the fastest runs tell most about the programs.
            fastest = min(theirs) / min(mine)
            rates = [f"{n / median(mine):.1f}", f"{n / median(theirs):.1f}"]
            text = f"{median(ratios):.3f} ({middle[0]:.3f} to {middle[1]:.3f})"
            rows.append([name, label, *rates, text, f"{fastest:.3f}"])
    head = ["model", "", "Nestling, tokens/s", "bare loop, tokens/s", "ratio: median (quartiles)", "of the fastest"]
    return table(head, rows)


def prompt(o):
    """Only prompts, more of them, and the bare loop twice: how far it is from itself is the noise."""
    rows = []
    for name, file in MODELS.items():
        turns = min(12 * o.rounds, 64)
        arguments = ["prompt", CACHE / file, TEXT, o.threads, turns]
        programs = [[OUT / program, *arguments] for program in ("nestling", "engine", "engine")]
        ours, bare, again = (result["prompt_s"] for result in in_turns(*programs, units=turns + 1))
        both = [(a + b) / 2 for a, b in zip(bare, again)]
        rates = [f"{N_PROMPT / median(times):.1f}" for times in (ours, bare, again)]
        rows.append([name, turns, *rates, compared(both, ours), compared(bare, again)])
    head = ["model", "turns", "Nestling, tokens/s", "bare loop", "again", "ratio: median (95 %)", "again / bare loop"]
    return table(head, rows)


def compared(theirs, ours):
    """The median of the ratios of rates, turn by turn, with its 95 % interval, as text."""
    middle, low, high = interval([b / a for a, b in zip(ours, theirs)])
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def cost(o):
    """The part of the time that is not spent inside the engine."""
    rows = []
    kinds = {
        "prompt": (1, "prompt of 512 tokens, all of it"),
        "greedy": (N_DECODE, "decode, greedy, a token"),
        "sampled": (N_DECODE, "decode, default sampling, a token"),
    }
    for name, file in MODELS.items():
        results = [run(OUT / "cost", "cost", CACHE / file, TEXT, o.threads, o.repeats) for _ in range(o.rounds)]
        for kind, (n, label) in kinds.items():
            both = [pair for r in results for pair in zip(r[f"{kind}_s"], r[f"{kind}_engine_s"])]
            own = [(whole - engine) / n * 1e6 for whole, engine in both]
            share = [(whole - engine) / engine * 100 for whole, engine in both]
            rows.append([name, label, spread(own, 1), spread(share, 2)])
    return table(["model", "", "own time, µs", "of the engine's time, %"], rows)


def reuse(o):
    """Re-sending a conversation of 1,000 tokens with one more message."""
    command = ["cargo", "bench", "--quiet", "--bench", "reuse", "--", str(o.threads), str(o.rounds)]
    lines = shell(*command, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    rows = []
    labels = {file: name for name, file in MODELS.items()}
    for r in map(json.loads, lines):
        RAW.append({"command": command, "result": r})
        ratios = [b / a for a, b in zip(r["with_s"], r["without_s"])]
        rows.append(
            [
                labels[r["model"]],
                "all" if r["case"] == "100 %" else r["case"],
                r["sent"],
                f"{r['reused']} / {r['expected']}",
                f"{median(r['with_s']) * 1e3:.0f}",
                f"{median(r['without_s']) * 1e3:.0f}",
                spread(ratios, 1),
                f"{r['logits_apart']:.2g} of {r['logits_range']:.2g}",
                f"{r['same_split_apart']:.2g}",
                f"{r['small_batches_apart']:.2g}",
                "yes" if r["same_token"] else "no",
            ]
        )
    head = ["model", "unchanged", "tokens sent", "reused / expected", "ms with reuse", "ms without", "ratio"]
    head += ["logits apart", "in the same steps", "batches of 32", "same token"]
    return table(head, rows)


def gate(o):
    """Opening a model against the engine's bare load, each in a new process, the file in the page cache."""
    rounds = max(o.rounds, 5) * 3
    shell("cargo", "bench", "--quiet", "--bench", "gate", "--", "--quiet", stdout=subprocess.DEVNULL)
    rows = []
    for name, file in MODELS.items():
        both = interleaved(
            rounds,
            {
                "ours": lambda: run(OUT / "nestling", "open", CACHE / file)["open_s"],
                "bare": lambda: run(OUT / "engine", "open", CACHE / file)["open_s"],
            },
        )
        estimates = ROOT / "target/criterion/gate" / file / "new/estimates.json"
        alone = json.loads(estimates.read_text())["median"]["point_estimate"] / 1e6
        mine, theirs = median(both["ours"]) * 1e3, median(both["bare"]) * 1e3
        ratios = [a / b for a, b in zip(both["ours"], both["bare"])]
        checks = f"{alone:.2f} ({alone / theirs * 100:.1f} %)"
        rows.append([name, checks, f"{mine:.1f}", f"{theirs:.1f}", f"{mine / theirs:.3f}", spread(ratios, 3)])
    head = ["model", "gate alone, ms (of the engine's load)", "Nestling, ms", "engine, ms", "ratio of medians", "ratios of pairs"]
    return table(head, rows)


def stripped(*files):
    """The size of shared libraries without symbols, in MB."""
    total = 0
    for file in files:
        copy = OUT / "stripped"
        shell("strip", "-o", copy, file)
        total += copy.stat().st_size
        copy.unlink()
    return f"{total / 1e6:.1f}"


def peers(o):
    """64 tokens from one small model: speed, memory and size, ours beside others."""
    folder = build_native("mistral")
    model = CACHE / MODELS["SmolLM2-135M Q4_1"]
    (wheel,) = PEERS.glob("venv/lib/python3*/site-packages/mistralrs/mistralrs*.so")
    arguments = ["peak", model, TEXT, o.threads]
    python = [PEERS / "venv/bin/python", ROOT / "benches/peers/mistral.py", model, TEXT]
    threads = {"RAYON_NUM_THREADS": str(o.threads)}
    programs = {
        "Nestling": lambda: run(OUT / "nestling", *arguments),
        "the same engine, bare loop": lambda: run(OUT / "engine", *arguments),
        "llama.cpp, native build": lambda: run(OUT / "native", *arguments),
        "mistral.rs, Python package": lambda: run(*python, environment=threads),
    }
    names = ("llama", "ggml", "ggml-base", "ggml-cpu")
    sizes = {
        "Nestling": stripped(ROOT / "target/release/libnestling.so"),
        "the same engine, bare loop": f"{stripped(OUT / 'engine')} (program)",
        "llama.cpp, native build": stripped(*(folder / f"lib{n}.so" for n in names)),
        "mistral.rs, Python package": stripped(wheel),
    }
    rows = []
    for name, results in interleaved(o.rounds, programs).items():
        peak = [r["VmHWM"] / 1024 for r in results]
        private = [r["RssAnon"] / 1024 for r in results]
        rows.append(
            [
                name,
                spread([r["rate"] for r in results], 1),
                f"{median([r['open_s'] for r in results]) * 1e3:.0f}",
                f"{median(peak):.0f}",
                f"{median(private):.0f}",
                sizes[name],
            ]
        )
    head = ["", "tokens/s", "open, ms", "peak RSS, MiB", "of it private, MiB", "stripped library, MB"]
    return table(head, rows)


SECTIONS = {"rate": rate, "prompt": prompt, "cost": cost, "reuse": reuse, "open": gate, "peers": peers, **kernels.SECTIONS, **training.SECTIONS, **shrink.SECTIONS}


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text() if pathlib.Path("/proc/cpuinfo").exists() else ""
    field = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    field = {k.strip(): v.strip() for k, v in field.items()}
    model = field.get("model name", platform.processor())
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="", help="only models whose name has this in it (speed, batch, accuracy, finetune, linear)")
    parser.add_argument("--type", default="", help="only weights whose type has this in its name (speed, batch, accuracy)")
    parser.add_argument("--repeats", type=int, default=3, help="of one measurement in one process (rate, cost)")
    o = parser.parse_args()
    unknown = set(o.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    if not o.sections or set(o.sections) - set(training.SECTIONS) - set(shrink.SECTIONS):
        build()
    OUT.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {o.threads} threads, {o.rounds} rounds", flush=True)
    for name in o.sections or SECTIONS:
        load, start = os.getloadavg()[0], time.monotonic()
        section = SECTIONS[name]
        text = f"{section.__doc__}\n\n{section(o)}\n"
        text += f"\nLoad before: {load:.2f}; took {time.monotonic() - start:.0f} s.\n"
        (OUT / f"{name}.md").write_text(text)
        (OUT / f"{name}.json").write_text(json.dumps(RAW, indent=1))
        RAW.clear()
        print(f"\n## {name}\n\n{text}", flush=True)


main()
