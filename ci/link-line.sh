#!/usr/bin/env bash
# Prints the README's command that compiles examples/hello.c. Usage: ci/link-line.sh static|shared
# The demo and the tests run what the README says, so that the README cannot be wrong.
set -euo pipefail
. "$(dirname "$0")/env.sh"
case ${1:-} in
    static) wanted='target/release/libnestling\.a' ;;
    shared) wanted='-lnestling' ;;
    *) die "usage: ci/link-line.sh static|shared" ;;
esac
line=$(grep -m 1 -E "^cc examples/hello\.c .*$wanted" "$ROOT/README.md") || die "README.md has no line 'cc examples/hello.c ...' for $1"
# Apple's linker has the threads, the dynamic loader and mathematics in its system library.
if [ "$(uname)" = Darwin ]; then line=${line//-lstdc++/-lc++ -framework Accelerate -framework Foundation}; fi
printf '%s\n' "$line"
