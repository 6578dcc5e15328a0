"""The sections of run.py about our own CPU kernels: prompts, decoding, sizes of batches, accuracy."""

import json
import pathlib
import subprocess

import chart
import weights
from runner import OUT, ROOT, TEXT, bench_program, build_native, in_turns, interval, median, run, shell, table, table_row

TYPES = ("Q4_K_M", "Q8_0", "Q5_0", "Q4_1", "Q6_K", "Q4_0", "F16", "BF16")
LARGE_TYPES = ("Q4_K_M", "Q8_0", "Q4_0")
ALL_TYPES = (*TYPES, "F32", "Q5_1", "Q2_K", "Q3_K_M", "Q5_K_M", "IQ4_NL", "IQ4_XS")
POINTS = ("decode:4096", "decode:512", "decode:32", "prompt:512", "prompt:2048")
LARGE_POINTS = ("decode:512", "decode:32", "prompt:512")
BATCH_FILES = (
    ("SmolLM2", ("Q4_K_M", "Q4_0", "Q8_0", "F16")),
    ("Gemma", ("Q8_0",)),
    ("MoE", ("Q4_K_M", "MXFP4_MOE")),
)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 512, 2048, 4096)
STEPS, LEAST = 32, 128


def ready():
    build_native()
    shell("benches/peers/setup.sh", "torch")


def tokens_of(point):
    kind, n = point.split(":")
    return STEPS if kind == "decode" else int(n) * max(1, LEAST // int(n))


def picture(name):
    """Where a chart of this kind of processor lies: those of others stay."""
    has = pathlib.Path("/proc/cpuinfo").read_text().split()
    level = "amx" if "amx_bf16" in has else "avx512" if "avx512f" in has else "avx2"
    return ROOT / f"benches/{name}-{level}.svg"


def measured(programs, model, points, o, repeats):
    """Seconds of each point by each program, all in turns."""
    arguments = ["points", model, TEXT, o.threads, repeats, *points]
    return in_turns(*([OUT / program, *arguments] for program in programs), units=len(points) * (repeats + 1))


def speed(o):
    """Prompts and decoding by type of weights: ours, llama.cpp's native build, the engine as the crate builds it."""
    ready()
    rows = []
    files = [("SmolLM2", TYPES, POINTS), ("Gemma", TYPES, POINTS)]
    files += [(name, LARGE_TYPES, LARGE_POINTS) for name in weights.SYNTHETIC]
    for name, types, points in files:
        if o.model not in name:
            continue
        for kind in (t for t in types if o.type in t):
            ours, native, default = measured(("nestling", "native", "engine"), weights.file(name, kind), points, o, o.rounds)
            for point in points:
                rates = [f"{tokens_of(point) / median(result[point]):.1f}" for result in (ours, native, default)]
                ratio = lambda theirs: "{:.2f} ({:.2f} to {:.2f})".format(
                    *interval([b / a for a, b in zip(ours[point], theirs[point])])
                )
                rows.append([name, kind, point, *rates, ratio(native), ratio(default)])
                print(table_row(rows[-1]), flush=True)
    head = ["model", "weights", "tokens", "Nestling, tokens/s", "native build", "default build", "ours / native (95 %)"]
    return table([*head, "ours / default (95 %)"], rows)


def batch(o):
    """Batches of 14 sizes: never slower than the engine's native build."""
    ready()
    rows, curves = [], {}
    points = [f"prompt:{n}" for n in BATCHES]
    for name, kind in ((n, k) for n, kinds in BATCH_FILES for k in kinds if o.model in n and o.type in k):
        ours, native = measured(("nestling", "native"), weights.file(name, kind), points, o, max(o.rounds, 12))
        for n, point in zip(BATCHES, points):
            found = interval([b / a for a, b in zip(ours[point], native[point])])
            rates = [tokens_of(point) / median(result[point]) for result in (ours, native)]
            for label, rate in zip(("Nestling", "native"), rates):
                curves.setdefault(f"{label}, {name} {kind}", []).append((n, rate))
            rows.append([name, kind, n, *(f"{rate:.0f}" for rate in rates), "{:.2f}".format(found[0]), f"{found[1]:.2f}"])
            print(table_row(rows[-1]), flush=True)
    chart.lines(picture("batch"), "Prompt rate by batch size", "tokens in a batch", "tokens/s", curves)
    return table(["model", "weights", "batch", "Nestling, tokens/s", "native", "ratio: median", "lower bound, 95 %"], rows)


def accuracy(o):
    """KL to the dequantized model, ours beside the engine's own kernels."""
    ready()
    program = bench_program("accuracy")
    rows = []
    for name in ("SmolLM2", "Gemma"):
        for kind in (t for t in ALL_TYPES if o.type in t):
            if o.model not in name:
                continue
            model = weights.file(name, kind)
            reference = model if kind == "F32" else weights.dequantized(model)
            for label, text in weights.texts().items():
                found = run(program, reference, model, text, o.threads)
                off, auto = found["off"], found["auto"]
                row = [name, kind, label, off["tokens"], f"{off['kl']['mean']:.2e}", f"{auto['kl']['mean']:.2e}"]
                row += [f"{found['reference']['loss']:.4f}", f"{off['loss']:.4f}", f"{auto['loss']:.4f}"]
                rows.append([*row, f"{off['same_top']:.4f}", f"{auto['same_top']:.4f}"])
                print(table_row(rows[-1]), flush=True)
            if reference != model:
                reference.unlink()
    head = ["model", "weights", "text", "tokens", "KL, engine", "KL, ours", "loss, F32", "engine", "ours"]
    return table([*head, "same top token, engine", "ours"], rows)


def roofline(o):
    """How much of the processor and of the memory the products reach, on their own."""
    command = "cargo test --release --quiet --lib -- --ignored --exact kernels::rates::rates --nocapture"
    said = subprocess.run(command.split(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows, curves = [], {}
    for line in (json.loads(line.split(" ", 1)[1]) for line in said.splitlines() if line.startswith("RATES ")):
        threads = line["threads"]
        for share in line["shares"]:
            shape = "{type} {rows}x{width}, {tokens} tokens".format(**share)
            numbers = ("peak", "rate", "share", "back")
            rows.append([line["level"], threads, shape, *(f"{share[n]:.2f}" for n in numbers), f"{line['bandwidth']:.1f}"])
        at = [point["intensity"] for point in line["points"]]
        peak = max(share["peak"] for share in line["shares"])
        ridge = peak / line["bandwidth"]
        roof = sorted({min(at), ridge, max(*at, ridge)})
        curves[f"roof, {threads} thread(s)"] = [(x, min(peak, x * line["bandwidth"])) for x in roof]
        for kind in dict.fromkeys(point["type"] for point in line["points"]):
            found = [(p["intensity"], p["rate"]) for p in line["points"] if p["type"] == kind]
            curves[f"{kind}, {threads} thread(s)"] = found
    chart.lines(picture("roofline"), "Products of 8192 x 2048 weights", "operations for each byte", "GFLOP/s", curves)
    head = ["level", "threads", "product", "peak, GFLOP/s", "reached", "share", "way back / way there", "memory, GB/s"]
    return table(head, rows)


SECTIONS = {"speed": speed, "batch": batch, "accuracy": accuracy, "roofline": roofline}
