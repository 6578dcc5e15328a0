# shellcheck shell=bash
# The crate builds with the Rust that Cargo.toml states.
# On failure: hold the dependency it names at an older version (cargo update -p NAME --precise VERSION), or avoid the newer API
set -euo pipefail
ci/msrv.sh
