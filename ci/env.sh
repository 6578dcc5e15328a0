# shellcheck shell=bash
# Sourced by the other scripts: where things are, and which toolchain is used.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${NESTLING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nestling}
LOGS=$ROOT/target/ci-logs
# The lowest Rust that builds the crate, as Cargo.toml states it ("1.89").
MSRV=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml")
export ROOT CACHE LOGS MSRV

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least 1.96.0 1.89: the first is not older than the second.
version_at_least() {
    local a b
    IFS=. read -ra a <<<"$1"
    IFS=. read -ra b <<<"$2"
    local i
    for i in 0 1 2; do
        local x=${a[i]:-0} y=${b[i]:-0}
        ((10#${x%%[!0-9]*} > 10#${y%%[!0-9]*})) && return 0
        ((10#${x%%[!0-9]*} < 10#${y%%[!0-9]*})) && return 1
    done
    return 0
}

# The version of a cargo, or nothing when it does not run.
cargo_version() { "$1" --version 2>/dev/null | awk '{print $2}'; }

# Puts a cargo that is new enough in front of PATH; fails when there is none. An old one may come first in
# PATH (a distribution's, or an outdated rustup toolchain), so all the usual places are tried.
use_rust() {
    local dir
    local version
    version=$(cargo_version cargo)
    if [ -n "$version" ] && version_at_least "$version" "$MSRV"; then return 0; fi
    for dir in "${CARGO_HOME:-$HOME/.cargo}/bin" /usr/local/bin /usr/bin /opt/homebrew/bin; do
        [ -x "$dir/cargo" ] || continue
        version=$(cargo_version "$dir/cargo")
        if [ -n "$version" ] && version_at_least "$version" "$MSRV"; then
            PATH=$dir:$PATH
            export PATH
            return 0
        fi
    done
    return 1
}

# The engine is C++: with ccache a second build of it takes seconds.
use_ccache() {
    have ccache || return 0
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
    # Paths below target/ count as relative, so that the debug, release and other builds share what they have in common.
    export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1
}
