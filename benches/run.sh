#!/usr/bin/env bash
# `make bench`: all sections of run.py, with a Rust that is new enough; arguments are passed on.
set -euo pipefail
. "$(dirname "$0")/../ci/env.sh"
use_rust || die "no cargo of at least Rust $MSRV: run ci/setup.sh test"
use_ccache
exec python3 "$ROOT/benches/run.py" "$@"
