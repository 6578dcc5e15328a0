#!/usr/bin/env bash
# 20,000 mutations of tiny valid models, opened in child processes and run for four tokens where accepted.
# NESTLING_FUZZ_CASES and NESTLING_FUZZ_SEED choose others. Cases that end a child are kept in target/fuzz-smoke.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache
export NESTLING_FUZZ_CASES="${NESTLING_FUZZ_CASES:-20000}"
cargo test --test fuzz_smoke
