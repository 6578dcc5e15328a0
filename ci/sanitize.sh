#!/usr/bin/env bash
# Builds engine, shim, library and C programs with AddressSanitizer (leaks included) and UndefinedBehaviorSanitizer,
# and runs what misuses them: the C programs, the Rust tests of bad files and of sessions, mutated models. A report in
# any process, children included, fails its step; known ones of the engine are in ci/sanitize-suppressions.txt.
#
# The runtime is the C compiler's. rustc instruments our crate and its dependencies with a flag that is not stable
# (RUSTC_BOOTSTRAP allows it); the standard library is not instrumented, but its allocations are watched too.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache

[ "$(uname)" = Linux ] || die "this check needs Linux with GCC's or Clang's sanitizers"
checks=address,undefined
export CARGO_TARGET_DIR=$ROOT/target/sanitize
programs=$CARGO_TARGET_DIR/programs
mkdir -p "$LOGS" "$programs"
echo 'int main(void) { return 0; }' | cc -x c - -fsanitize=$checks -o "$programs/empty" 2>"$LOGS/sanitize.log" ||
    die "cc cannot link with -fsanitize=$checks: install libasan and libubsan (Debian: part of gcc; Fedora: libasan libubsan)"

# With --target these flags reach the library and the engine, but not build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-fsanitize=$checks -fno-omit-frame-pointer -g1 -D_GLIBCXX_ASSERTIONS"
export "CFLAGS_${host//-/_}=$flags" "CXXFLAGS_${host//-/_}=$flags"
# In place of "-O3". Not without NDEBUG: the engine's debug assertions refuse the infinities that damaged weights give,
# which do no harm in what is shipped.
export CMAKE_C_FLAGS_RELEASE="-O1 -DNDEBUG" CMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG"
export RUSTC_BOOTSTRAP=1
# rustc links with -nodefaultlibs, under which the C compiler leaves the runtime out; it must come before the C library.
linker=$CARGO_TARGET_DIR/linker/cc
mkdir -p "${linker%/*}"
cat >"$linker" <<END
#!/usr/bin/env bash
arguments=()
for argument in "\$@"; do [ "\$argument" = -nodefaultlibs ] || arguments+=("\$argument"); done
exec cc -fsanitize=$checks "\${arguments[@]}"
END
chmod +x "$linker"
export RUSTFLAGS="-Zsanitizer=address -Zexternal-clangrt -Clinker=$linker -Cforce-frame-pointers=yes"
# The release profile compiles build scripts fast; everything else is as in a debug build.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
# Reports go to files, so that those of a child process whose output nobody reads are found too.
reports=$CARGO_TARGET_DIR/report
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:strict_string_checks=1:detect_stack_use_after_return=1:log_path=$reports
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$reports:suppressions=$ROOT/ci/sanitize-suppressions.txt

failed=()
# step NAME COMMAND...: one line on the terminal, the output in the log; when it fails, the reports or the log's end.
step() {
    local name=$1 log=$LOGS/sanitize-${1// /-}.log begin=$SECONDS verdict=ok report
    shift
    rm -f "$reports".*
    "$@" >"$log" 2>&1 </dev/null || verdict=FAILED
    for report in "$reports".*; do
        [ -e "$report" ] || continue
        verdict=FAILED
        cat "$report" >>"$log"
    done
    printf '%-6s %-24s %4d s\n' "$verdict" "$name" $((SECONDS - begin))
    [ "$verdict" = ok ] && return 0
    failed+=("$name")
    {
        grep -E -A 20 'ERROR: [A-Za-z]+Sanitizer|: runtime error: ' "$log" || tail -n 40 "$log"
    } | head -n 60 | sed 's/^/    /'
    printf '    whole output: %s\n' "${log#"$ROOT"/}"
    return 1
}
finish() {
    [ ${#failed[@]} = 0 ] && exit 0
    say "FAILED: ${failed[*]}"
    say "correct what the report names; what is the engine's own and harmless goes to ci/sanitize-suppressions.txt with its reason"
    exit 1
}

library=$CARGO_TARGET_DIR/$host/release/libnestling.a
say "building with -fsanitize=$checks (some minutes the first time)"
step "build" cargo build --locked --release --target "$host" --lib || finish

# A build without the checks would pass everything: every part must call them.
instrumented() {
    local symbols=$LOGS/sanitize-symbols.txt part
    nm "$library" 2>/dev/null >"$symbols" || true
    for part in 'shim\.o' 'llama\.cpp\.o' 'ggml\.c\.o' 'ggml-cpu\.cpp\.o' 'quants\.c\.o'; do
        awk -v part="$part:\$" '/:$/ {inside = $0 ~ part} inside && /__asan_init/ {asan = 1}
            inside && /__ubsan_handle/ {ubsan = 1} END {exit !(asan && ubsan)}' "$symbols" ||
            { say "$part does not call __asan_init and __ubsan_handle_*"; return 1; }
    done
    awk '/:$/ {inside = /nestling.*\.rcgu\.o:$/} inside && /__asan_init/ {asan = 1} END {exit !asan}' "$symbols" ||
        { say "the Rust code does not call __asan_init"; return 1; }
}
step "instrumented" instrumented || finish

# The checks must also report: this program reads behind an allocation.
reporting() {
    printf '#include <stdlib.h>\nint main(int n, char **v) { char *p = malloc(n); return v[0][0] + p[n]; }\n' |
        cc -x c - -fsanitize=$checks -o "$programs/overflow"
    if "$programs/overflow"; then return 1; fi
    grep -h heap-buffer-overflow "$reports".* && rm "$reports".*
}
step "reporting" reporting || finish

# program SOURCE ARGUMENT...: compiles a C program against the library and runs it.
program() {
    local source=$1 name
    name=$(basename "$source" .c)
    shift
    # shellcheck disable=SC2086
    cc $flags -O1 -std=c11 -Iinclude "$source" "$library" -lstdc++ -lpthread -ldl -lm -o "$programs/$name" &&
        "$programs/$name" "$@"
}
tests() {
    local names=() name
    for name in "$@"; do names+=(--test "$name"); done
    cargo test --locked --release --target "$host" "${names[@]}"
}
model=$CACHE/SmolLM2-135M-Instruct.Q4_1.gguf
export NESTLING_C_FLAGS="$flags -O1"
step "malformed.c" program tests/sanitize/malformed.c "$model" || true
step "hello.c" program examples/hello.c "$model" || true
step "C programs" tests capi_programs || true
step "unit tests" cargo test --locked --release --target "$host" --lib || true
step "bad files" tests gguf_structure gguf_model gguf_general gguf_split gguf_adapter gguf_valid || true
NESTLING_FUZZ_CASES=${NESTLING_FUZZ_CASES:-1000} step "mutated models" tests fuzz_smoke || true
finish
