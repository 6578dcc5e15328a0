# shellcheck shell=bash
# The shared library exports the functions of the header, all of them and nothing else: a second copy of the engine in
# the same process must not meet ours.
# On failure: a function missing in the header comes from src/capi; a symbol that is not nest_* must become hidden
set -euo pipefail
if [ "$(uname)" = Darwin ]; then
    nm -gU target/release/libnestling.dylib | awk '{print substr($3, 2)}' | sort -u >target/symbols-exported
else
    nm -D --defined-only target/release/libnestling.so | awk '{print $3}' | sed 's/@.*//' | sort -u >target/symbols-exported
fi
# A declaration's name is followed by its parameters; types and comments are not.
sed 's,//.*,,' include/nestling.h | awk '/\/\*/ {c = 1} !c {print} /\*\// {c = 0}' |
    grep -oE '\bnest_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >target/symbols-declared
echo "$(wc -l <target/symbols-exported) exported, $(wc -l <target/symbols-declared) declared"
diff target/symbols-declared target/symbols-exported
[ -s target/symbols-exported ]
