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
# With the features of the other tests: nothing is compiled again.
cargo test --locked --features cli --test capi_programs -- --ignored
