#!/usr/bin/env bash
# Runs every ci/test.d/NN-name.sh in order: one line per step, its whole output in target/ci-logs/NN-name.log.
# All steps run even when one fails. Usage: ci/test.sh [NAME...]   (only the steps whose names contain one of these)
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1
use_rust || die "no cargo $MSRV or newer: run ci/setup.sh"
use_ccache
mkdir -p "$LOGS"

wanted() {
    [ $# = 1 ] && return 0
    local name=$1 word
    shift
    for word in "$@"; do [[ $name == *$word* ]] && return 0; done
    return 1
}

failed=()
counts=()
started=$SECONDS
for step in ci/test.d/[0-9]*.sh; do
    name=$(basename "$step" .sh)
    wanted "$name" "$@" || continue
    log=$LOGS/$name.log
    begin=$SECONDS
    if bash "$step" >"$log" 2>&1 </dev/null; then verdict=ok; else verdict=FAILED; fi
    printf '%-6s %-28s %4d s\n' "$verdict" "$name" $((SECONDS - begin))
    # What a reader must see of a step that passed: what did not run, and how many tests did.
    grep -hE '^(NOT RUN|NOTE)\b' "$log"
    if grep -qE '^test result: ' "$log"; then
        counts+=("$log")
        [ "$verdict" = ok ] && grep -E '^test result: ' "$log" | grep -vE ' 0 passed; 0 failed'
    fi
    if [ "$verdict" = FAILED ]; then
        failed+=("$name")
        if [ -n "${CI:-}" ]; then tail -n 150 "$log"; else tail -n 40 "$log"; fi | sed 's/^/    /'
        printf '    what to do: %s\n    whole output: %s\n' \
            "$(sed -n 's/^# On failure: //p' "$step")" "target/ci-logs/$name.log"
    fi
done

if [ ${#counts[@]} -gt 0 ]; then
    grep -hE '^test result: ' "${counts[@]}" | awk '{p += $4; f += $6; i += $8} END {printf "%d passed, %d failed, %d skipped\n", p, f, i}'
fi
if [ ${#failed[@]} -gt 0 ]; then
    say "FAILED after $((SECONDS - started)) s: ${failed[*]}"
    say "run one step alone with: ci/test.sh ${failed[0]}"
    exit 1
fi
say "all steps passed in $((SECONDS - started)) s"
