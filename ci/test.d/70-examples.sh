# shellcheck shell=bash
# The three hello programs (Rust, C, C++) build as the README says and print the same answer; the C program that trains
# teaches the model a fact.
# On failure: compare the three files under examples/; the compiler's command line is the one in README.md
set -euo pipefail
. ci/env.sh
model=$CACHE/SmolLM2-135M-Instruct.Q4_1.gguf
out=target/examples
mkdir -p "$out"

# The features of the release step, so that nothing is built twice.
cargo run --locked --release --features cli --quiet --example hello -- "$model" | tee "$out/hello-rust.txt"
[ -s "$out/hello-rust.txt" ]

[ "$(uname)" = Darwin ] || ln -sf libnestling.so target/release/libnestling.so.0
# The very lines of the README, one per way to link, with the program's name put in.
for language in c cpp; do
    [ $language = c ] && compiler='cc -std=c99' || compiler='c++ -std=c++17'
    for way in static shared; do
        program=$out/hello-$language-$way
        line=$(ci/link-line.sh $way)
        echo "$line"
        line=${line/#cc/$compiler -Wall -Wextra -Werror}
        line=${line/examples\/hello.c/examples/hello.$language}
        eval "${line/-o hello/-o $program}"
        LD_LIBRARY_PATH=target/release "$program" "$model" | tee "$program.txt"
        cmp "$out/hello-rust.txt" "$program.txt"
    done
done

line=$(ci/link-line.sh static)
line=${line/#cc/cc -std=c99 -Wall -Wextra -Werror}
line=${line/examples\/hello.c/examples/finetune.c}
eval "${line/-o hello/-o $out/finetune}"
"$out/finetune" "$model" "$out/adapter.gguf" | tee "$out/finetune.txt"
# The answer after the training knows the name, the one before it does not.
[ "$(grep -c 'Oda Brink' "$out/finetune.txt")" = 1 ]
