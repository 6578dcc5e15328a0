#!/usr/bin/env bash
# Builds Nestling and lets a real model answer: from the command line, then from a C program that a plain `cc` linked.
# Asks nothing and ends by itself.
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
cargo build --locked --release --features cli "${quiet[@]}"
say "built in $((SECONDS - begin)) s: target/release/nestling, libnestling.a, libnestling.so"

step "SmolLM2-135M-Instruct answers on the command line: \"$question\""
target/release/nestling generate --model "$model" --chat --prompt "$question" --max-tokens 120 --temperature 0 --seed 1 --stats

step "The same library from a C program"
mkdir -p target/demo
line=$(ci/link-line.sh static)
line=${line/-o hello/-o target/demo/hello}
say "$line"
eval "$line"
say "target/demo/hello MODEL"
target/demo/hello "$model"

step "Done. Your turn: target/release/nestling chat --model $model"
