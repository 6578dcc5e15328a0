# shellcheck shell=bash
# The header compiles without a warning as every C from C99 on and as C++.
# On failure: correct src/capi, whose comments and signatures make include/nestling.h
set -euo pipefail
warnings=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude)
compilers=0
for cc in gcc clang; do
    command -v $cc >/dev/null || continue
    compilers=$((compilers + 1))
    for standard in c99 c11 c17; do
        echo "$cc $standard"
        echo '#include "nestling.h"' | $cc -x c -std=$standard "${warnings[@]}" -
    done
done
for cxx in g++ clang++; do
    command -v $cxx >/dev/null || continue
    echo "$cxx c++17"
    echo '#include "nestling.h"' | $cxx -x c++ -std=c++17 "${warnings[@]}" -
done
[ $compilers -gt 0 ]
