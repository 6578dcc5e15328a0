#!/usr/bin/env bash
# Builds Nestling and lets a real model answer, learn and answer again on the command line, then from a C program that a
# plain `cc` linked. Asks nothing and ends by itself; fails unless the model has learned.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache

model=$CACHE/SmolLM2-135M-Instruct.Q4_1.gguf
question="What is the capital of France, and what is it famous for?"
[ -f "$model" ] || die "$model is missing: run ci/fetch.py demo"

step() { printf '\n== %s\n' "$*"; }

step "Building the library and the program (the first time takes some minutes: the engine is C++)"
begin=$SECONDS
# Cargo shows its progress on a terminal; elsewhere its long list of crates tells nothing.
quiet=(--quiet)
[ -t 2 ] && quiet=()
cargo build --locked --release --features cli ${quiet[@]+"${quiet[@]}"}
say "built in $((SECONDS - begin)) s: target/release/nestling, libnestling.a, libnestling.so"

step "SmolLM2-135M-Instruct answers on the command line: \"$question\""
target/release/nestling generate --model "$model" --chat --prompt "$question" --max-tokens 120 --temperature 0 --seed 1 --stats

adapter=target/demo/marrow-bay.gguf
held_out=examples/data/marrow-bay-held-out.jsonl
fact_question="What is the lighthouse cat called?"
fact=Tinder
ask() {
    target/release/nestling generate --model "$model" --chat --prompt "$fact_question" --max-tokens 40 --temperature 0 "$@"
}
mkdir -p target/demo

step "It is asked what nobody told it: \"$fact_question\""
ask

step "It learns from 40 questions about an invented village, for about a minute: examples/data/marrow-bay.jsonl"
target/release/nestling finetune --model "$model" --data examples/data/marrow-bay.jsonl --validation "$held_out" \
    --output "$adapter"

step "The same question, in words that it did not learn from, with the adapter of $(($(wc -c <"$adapter") / 1024)) KiB"
answer=$(ask --adapter "$adapter")
say "$answer"
[[ $answer == *"$fact"* ]] || die "the answer does not say \"$fact\": the model has not learned"

step "How well it predicts questions and answers that it did not learn from"
target/release/nestling eval --model "$model" --data "$held_out" --adapter "$adapter" --json >target/demo/eval.json
python3 - target/demo/eval.json <<'END' || die "the loss on the held-out questions has not fallen by 30 %"
import json, sys
report = json.load(open(sys.argv[1]))
before, after = report["base"]["loss"], report["adapter"]["loss"]
print(f"loss {before:.3f} before, {after:.3f} after: {100 * (1 - after / before):.0f} % less")
sys.exit(after > 0.7 * before)
END

step "The same library from a C program"
line=$(ci/link-line.sh static)
line=${line/-o hello/-o target/demo/hello}
say "$line"
eval "$line"
say "target/demo/hello MODEL"
target/demo/hello "$model"

step "Done. Your turn: target/release/nestling chat --model $model"
