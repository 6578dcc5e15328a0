"""What the sections of run.py share: building the programs, running them in turns, tables."""

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "bench"
PEERS = ROOT / "target" / "peers"
TEXT = ROOT / "benches" / "text.txt"
CACHE = pathlib.Path(
    os.environ.get("NESTLING_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "nestling"
)
MODELS = {"SmolLM2-135M Q4_1": "SmolLM2-135M-Instruct.Q4_1.gguf", "Gemma-3-270M Q4_K_M": "gemma-3-270m-Q4_K_M.gguf"}
median = statistics.median


# ---- building ----


def shell(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, cwd=ROOT, **options)


def engine_folder():
    """Builds the library; returns where cargo built the engine that it contains."""
    built = shell(
        "cargo", "build", "--release", "--lib", "--message-format=json", "--quiet", stdout=subprocess.PIPE, text=True
    )
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "build-script-executed" and "llama-cpp-sys-2" in message["package_id"]:
            return pathlib.Path(message["out_dir"])
    sys.exit("cargo did not say where the engine is")


def build():
    engine = engine_folder()
    OUT.mkdir(parents=True, exist_ok=True)
    c, cxx = ["cc", "-std=c11", "-O2", "-D_GNU_SOURCE"], ["c++", "-std=c++17", "-O2"]
    system = ["-lstdc++", "-lpthread", "-ldl", "-lm"]
    # The program asks for the library by its SONAME.
    soname = OUT / "libnestling.so.0"
    soname.unlink(missing_ok=True)
    soname.symlink_to(ROOT / "target/release/libnestling.so")
    shell(*c, "benches/c/nestling.c", "-Iinclude", "-o", OUT / "nestling", soname, "-Wl,-rpath,$ORIGIN")
    wraps = "-Wl,--wrap=llama_decode,--wrap=llama_get_logits_ith"
    shell(
        *c, "-DCOST", "benches/c/nestling.c", "-Iinclude", f"-I{engine}/include", wraps, "-o", OUT / "cost",
        "target/release/libnestling.a", *system,
    )  # fmt: skip
    libraries = ["-lllama", "-lggml", "-lggml-cpu", "-lggml-base"]
    shell(
        *cxx, "benches/c/engine.cpp", f"-I{engine}/include", "-o", OUT / "engine", f"-L{engine}/lib",
        *libraries, *system,
    )  # fmt: skip


def bench_program(name):
    """Builds a bench that is a program; returns its path."""
    built = shell(
        "cargo", "bench", "--no-run", "--bench", name, "--message-format=json", "--quiet", stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == name:
            return pathlib.Path(message["executable"])
    sys.exit(f"cargo did not say where the bench {name} is")


def build_native(*peers):
    """These peers, and the same bare loop over upstream's own native build."""
    shell("benches/peers/setup.sh", "llama", *peers)
    source, folder = PEERS / "llama.cpp/source", PEERS / "llama.cpp/bin"
    shell(
        "c++", "-std=c++17", "-O2", "benches/c/engine.cpp", f"-I{source}/include", f"-I{source}/ggml/include", "-o",
        OUT / "native", f"-L{folder}", "-lllama", "-lggml", "-lggml-cpu", "-lggml-base", f"-Wl,-rpath,{folder}",
    )  # fmt: skip
    return folder


# ---- running ----

RAW = []


def run(*command, environment=None):
    """The JSON of a program's last line."""
    surroundings = {**os.environ, **(environment or {})}
    begun = subprocess.run(
        [str(c) for c in command], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=surroundings
    )
    if begun.returncode != 0:
        sys.exit(f"{command[0]} failed with status {begun.returncode}")
    result = json.loads(begun.stdout.splitlines()[-1])
    RAW.append({"command": [str(c) for c in command], "result": result})
    return result


def interleaved(rounds, programs):
    """Runs the programs in turns, in an order that is reversed every round; returns each one's results."""
    results = {name: [] for name in programs}
    for i in range(rounds):
        for name in list(programs)[:: 1 if i % 2 == 0 else -1]:
            results[name].append(programs[name]())
    return results


def in_turns(*commands, units):
    """Runs the programs as processes that wait for each other after each measurement, each as often first as last;
    returns their results."""
    pipe, surroundings = subprocess.PIPE, {**os.environ, "BENCH_TURNS": "1"}
    programs = [
        subprocess.Popen([str(c) for c in command], cwd=ROOT, env=surroundings, stdin=pipe, stdout=pipe, stderr=pipe)
        for command in commands
    ]
    ready = lambda p: p.stderr.read(1) in (b".", b"") or sys.exit(p.stderr.read().decode())
    for p in programs:
        ready(p)
    for i in range(units):
        first = i // 2 % len(programs)
        order = programs[first:] + programs[:first]
        for p in order[:: 1 if i % 2 == 0 else -1]:
            p.stdin.write(b"\n")
            p.stdin.flush()
            ready(p)
    results = []
    for p, command in zip(programs, commands):
        out, _ = p.communicate()
        if p.returncode != 0:
            sys.exit(f"{command[0]} failed with status {p.returncode}")
        results.append(json.loads(out.splitlines()[-1]))
        RAW.append({"command": [str(c) for c in command], "result": results[-1]})
    return results


def spread(values, digits):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table_row(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def table(head, rows):
    return "\n".join(map(table_row, [head, ["---"] * len(head), *rows]))


def interval(ratios):
    """The median of paired ratios, and the bounds of its 95 % interval by their order."""
    ratios = sorted(ratios)
    middle, reach = len(ratios) / 2, 0.98 * len(ratios) ** 0.5
    low, high = max(0, int(middle - reach)), min(len(ratios) - 1, math.ceil(middle + reach) - 1)
    return median(ratios), ratios[low], ratios[high]
