#!/usr/bin/env bash
# Checks that the crate builds with the lowest Rust that Cargo.toml states (edition 2024 does not exist before it).
# 1. No dependency in Cargo.lock asks for a newer one. 2. That very compiler checks the crate, where it can be had:
# a rustup toolchain of that version, or Debian's package of it, unpacked beside the installed one.
set -euo pipefail
. "$(dirname "$0")/env.sh"
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
    local toolchain folder=$CACHE/tools/rustc-$MSRV wrapper package version
    if have rustup; then
        toolchain=$(rustup toolchain list | awk -v v="$MSRV" 'index($1, v) == 1 {print $1; exit}')
        if [ -n "$toolchain" ]; then
            rustup which --toolchain "$toolchain" rustc
            return
        fi
    fi
    wrapper=$folder/rustc
    if [ ! -x "$wrapper" ]; then
        have apt-get && have dpkg || return 1
        rm -rf "$folder" && mkdir -p "$folder/root"
        for package in rustc-web rustc; do
            version=$(apt-cache madison "$package" 2>/dev/null | awk -v v="$MSRV." 'index($3, v) == 1 {print $3; exit}')
            [ -n "$version" ] && break
        done
        [ -n "$version" ] || return 1
        local std=libstd-rust${package#rustc}-dev
        (
            cd "$folder"
            apt-get download "$package=$version" "$std=$version"
            # The run-time libraries: rustc's own and LLVM's, as the packages name them.
            local runtime llvm
            runtime=$(dpkg -f "$std"_*.deb Depends | grep -oE 'libstd-rust-[a-z0-9.-]+' | head -n 1)
            apt-get download "$runtime=$version"
            llvm=$(dpkg -f "$runtime"_*.deb Depends | grep -oE 'libllvm[0-9.]+' | head -n 1)
            [ -z "$llvm" ] || apt-get download "$llvm"
            for deb in *.deb; do dpkg -x "$deb" root; done
            rm -f ./*.deb
        ) >&2 || return 1
        local libraries
        libraries=$(dirname "$(find "$folder/root" -name 'librustc_driver-*.so' | head -n 1)")
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s --sysroot %s "$@"\n' \
            "$libraries" "$folder/root/usr/bin/rustc" "$folder/root/usr" >"$wrapper"
        chmod +x "$wrapper"
    fi
    "$wrapper" --version >&2 || { rm -rf "$folder"; return 1; }
    printf '%s' "$wrapper"
}

if rustc=$(lowest_rustc); then
    "$rustc" --version
    # The library and the program: tests and benches may use what the developers' toolchain has.
    RUSTC=$rustc CARGO_TARGET_DIR=$ROOT/target/msrv cargo check --locked --features cli --lib --bins
else
    say "NOT RUN: no Rust $MSRV here (rustup toolchain install $MSRV gets it): only the dependencies' declarations were checked"
fi
