#!/usr/bin/env bash
# Builds with the Vulkan back end and runs tests/gpu.rs: tiny models' logits equal the CPU's within the bound stated
# there, and their nodes really ran on the device. A software device (lavapipe) counts.
# On failure: the output names the model, the layers and the difference; `nestling devices` shows what was used.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache
environment=$(ci/vulkan.sh)
eval "$environment"
# A folder of its own: this engine is another one than that of the default build. And one command only: another choice
# of targets chooses other features of shared dependencies, and with them builds the engine a second time.
export CARGO_TARGET_DIR=$ROOT/target/vulkan
say "building with Vulkan (about 6 minutes on two idle cores the first time; the shaders are most of it)"
cargo test --locked --features cli,vulkan --test gpu --no-run
say "devices:"
"$CARGO_TARGET_DIR/debug/nestling" devices
# One at a time: each compiles its shaders, and a software device uses every core for one of them.
cargo test --quiet --locked --features cli,vulkan --test gpu -- --nocapture --test-threads=1
