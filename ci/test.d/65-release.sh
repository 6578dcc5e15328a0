# shellcheck shell=bash
# The release build: library, static library and program, as an app's developer builds them.
# On failure: cargo build --release --features cli, and correct what it names
set -euo pipefail
cargo build --locked --release --features cli
