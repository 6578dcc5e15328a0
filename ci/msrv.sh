#!/usr/bin/env bash
# Checks that the crate builds with the lowest Rust that Cargo.toml states (AVX-512 is not stable before it).
# 1. No dependency in Cargo.lock asks for a newer one. 2. That very compiler checks the crate, where it can be had:
# a rustup toolchain of that version, or Debian's package of it, unpacked beside the installed one.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$(dirname "$0")/debian-rustc.sh"
cd "$ROOT"
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache

cargo metadata --locked --format-version 1 --all-features | python3 -c '
import json, sys
ours = tuple(map(int, sys.argv[1].split(".")))
packages = json.load(sys.stdin)["packages"]
newer = [p for p in packages if p["rust_version"] and tuple(map(int, p["rust_version"].split(".")[:2])) > ours[:2]]
for p in newer:
    print("%s %s needs Rust %s, but Cargo.toml promises %s" % (p["name"], p["version"], p["rust_version"], sys.argv[1]))
print("%d packages in Cargo.lock, %d need a newer Rust than %s" % (len(packages), len(newer), sys.argv[1]))
sys.exit(bool(newer))
' "$MSRV"

# Prints the path of a rustc of exactly the lowest version, or fails.
lowest_rustc() {
    local toolchain
    if have rustup; then
        toolchain=$(rustup toolchain list | awk -v v="$MSRV" 'index($1, v) == 1 {print $1; exit}')
        if [ -n "$toolchain" ]; then
            rustup which --toolchain "$toolchain" rustc
            return
        fi
    fi
    debian_rustc "$MSRV"
}

if rustc=$(lowest_rustc); then
    "$rustc" --version
    # The library and the program: tests and benches may use what the developers' toolchain has.
    RUSTC=$rustc CARGO_TARGET_DIR=$ROOT/target/msrv cargo check --locked --features cli --lib --bins
else
    say "NOT RUN: no Rust $MSRV here (rustup toolchain install $MSRV gets it): only the dependencies' declarations were checked"
fi
