# shellcheck shell=bash
# The kernels compile for a processor that they have no code for: there, the engine computes everything.
# On failure: put what only x86-64 has under #[cfg(target_arch = "x86_64")] in src/kernels
set -euo pipefail
. ci/env.sh
. ci/debian-rustc.sh

target=aarch64-unknown-linux-gnu
# The kernels use nothing but the standard library, so that they are a crate of their own here.
if use_rust && [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    rustc=rustc
elif ! rustc=$(debian_rustc "" arm64); then
    echo "NOT RUN: no standard library for $target here (rustup target add $target gets it)"
    exit 0
fi
mkdir -p target
printf '#[path = "%s/src/kernels/mod.rs"]\nmod kernels;\n' "$ROOT" >target/kernels-alone.rs
"$rustc" --target $target --edition 2024 --crate-type lib --emit metadata -A dead_code -A unused_imports -D warnings \
    -o target/kernels-aarch64.rmeta target/kernels-alone.rs
