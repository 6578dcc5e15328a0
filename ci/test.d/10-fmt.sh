# shellcheck shell=bash
# The code is formatted by rustfmt.toml.
# On failure: cargo fmt
set -euo pipefail
cargo fmt --all --check
