#!/usr/bin/env bash
# Builds with the Vulkan back end and runs the GPU tests: a tiny model's logits equal the CPU's within the bound that
# tests/gpu.rs states, and its nodes really ran on the device. A software device (lavapipe) counts.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache
environment=$(ci/vulkan.sh)
eval "$environment"
# A folder of its own: this engine is another one than that of the default build.
export CARGO_TARGET_DIR=$ROOT/target/vulkan
say "building with Vulkan (some minutes the first time)"
cargo run --quiet --locked --features cli,vulkan --bin nestling -- devices
cargo test --locked --features cli,vulkan --test gpu -- --nocapture
