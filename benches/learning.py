#!/usr/bin/env python3
"""What SmolLM2-135M learns: the sentiment of sentences, and facts that nobody told it.

    python3 benches/learning.py [sentiment] [facts]        after `make demo`, which builds the program and fetches the model

300 labelled sentences are learned, 200 others decide; both are drawn with a fixed seed from the fixtures of the npm
package sentiment 5.0.2 (reviews of films, restaurants and products). The facts are in examples/data. Prints tables.
"""

import hashlib
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
XDG = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
CACHE = pathlib.Path(os.environ.get("NESTLING_CACHE", XDG / "nestling"))
OUT = ROOT / "target/learning"
NESTLING = ROOT / "target/release/nestling"
MODEL = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE = "sentiment@5.0.2"
SHA256 = "89302eb03d2005d03b214fe65814bb48adb7d3c42c8ca80bdee6a3ecb7e4480f"
N_TRAIN, N_TEST, SEED = 300, 200, 1
PATTERN = "Review: {text}\nSentiment: {label}"


def nestling(*arguments, **keywords):
    return subprocess.run([NESTLING, *map(str, arguments)], check=True, **keywords)


def sentences():
    """The package's labelled sentences, each once, in the package's order."""
    archive = OUT / "sentiment.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=OUT, check=True, stdout=subprocess.DEVNULL)
        (OUT / "sentiment-5.0.2.tgz").rename(archive)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{archive} is not the package {PACKAGE}: remove it and try again")
    rows = {}
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
        for name in ("imdb", "yelp", "amazon"):
            for row in json.load(tar.extractfile(f"package/test/fixtures/{name}.json")):
                if row.get("class") in (0, 1):
                    rows.setdefault(row["text"].strip(), "positive" if row["class"] else "negative")
    return [{"text": text, "label": label} for text, label in rows.items()]


def sentiment():
    rows = sentences()
    random.Random(SEED).shuffle(rows)
    parts = {"train": rows[:N_TRAIN], "test": rows[N_TRAIN : N_TRAIN + N_TEST]}
    for name, part in parts.items():
        (OUT / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    adapter = OUT / "sentiment.gguf"
    nestling(
        "finetune", "-m", MODEL, "--data", OUT / "train.jsonl", "-o", adapter, "--label-pattern", PATTERN,
        "--epochs", 2, "--batch-size", 8, "--learning-rate", 0.001,
    )  # fmt: skip
    nestling(
        "eval", "-m", MODEL, "--data", OUT / "test.jsonl", "--adapter", adapter, "--label-pattern", PATTERN,
    )  # fmt: skip


def ask(question, *more):
    options = ["--chat", "--temperature", "0", "--max-tokens", "40", "-p", question, *more]
    answer = nestling("generate", "-m", MODEL, *options, stdout=subprocess.PIPE, text=True)
    return " ".join(answer.stdout.split())


def facts():
    data, adapter = ROOT / "examples/data", OUT / "facts.gguf"
    held_out = data / "marrow-bay-held-out.jsonl"
    nestling("finetune", "-m", MODEL, "--data", data / "marrow-bay.jsonl", "-o", adapter)
    print("| question, not among those learned | before | after |\n| --- | --- | --- |")
    right = [0, 0]
    for line in held_out.read_text().splitlines():
        question, expected = (turn["content"] for turn in json.loads(line)["messages"])
        answers = [ask(question), ask(question, "--adapter", str(adapter))]
        right = [n + (answer == expected) for n, answer in zip(right, answers)]
        print(f"| {question} | {answers[0]} | {answers[1]} |")
    print(f"\nWord for word: {right[0]} of 10 before, {right[1]} of 10 after.")


if __name__ == "__main__":
    if not NESTLING.exists() or not MODEL.exists():
        sys.exit("run `make demo` first: it builds the program and fetches the model")
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or ["sentiment", "facts"]
    for name in wanted:
        {"sentiment": sentiment, "facts": facts}[name]()
