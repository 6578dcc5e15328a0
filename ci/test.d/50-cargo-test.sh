# shellcheck shell=bash
# All Rust tests: unit, integration, documentation; with the command-line program.
# On failure: cargo test --features cli NAME, with the name of the failed test
set -euo pipefail
cargo test --locked --features cli --no-fail-fast
