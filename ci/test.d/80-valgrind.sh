# shellcheck shell=bash
# The C programs under valgrind: no wrong access, nothing definitely lost, no suppressions.
# On failure: cargo test --test capi_programs -- --ignored --nocapture, and read the first error valgrind names
set -euo pipefail
if ! command -v valgrind >/dev/null; then
    [ "$(uname)" = Linux ] && exit 1
    echo "NOT RUN: valgrind does not run here"
    exit 0
fi
# Only this crate's build: valgrind knows AVX2 but not AVX-512, and the default engine needs no more.
cargo test --locked --test capi_programs -- --ignored
