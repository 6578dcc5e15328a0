# shellcheck shell=bash
# No compiler or clippy warning, in the library, the program, the tests, the examples and the benches.
# On failure: cargo clippy --features cli --all-targets, and correct what it names
set -euo pipefail
cargo clippy --locked --features cli --all-targets -- -D warnings
# The Rust library without the C functions is a build of its own.
cargo clippy --locked --no-default-features --lib -- -D warnings
