"""mistral.rs through its Python package, as `engine peak` does it: load, a short prompt, 64 tokens, peak memory.

    target/peers/venv/bin/python benches/peers/mistral.py MODEL TEXT

The number of threads comes from the environment (RAYON_NUM_THREADS). The process is a Python interpreter: the memory
it had before the model was loaded is given too.
"""

import json
import os
import pathlib
import sys
import time


def memory():
    found = {}
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmHWM", "RssAnon", "RssFile"):
            found[name] = int(value.split()[0])
    return found


def main():
    model, text = map(pathlib.Path, sys.argv[1:3])
    # Its own messages go to standard output: ours is the last line.
    from mistralrs import CompletionRequest, Runner, Which

    before = memory()["VmHWM"]
    start = time.monotonic()
    runner = Runner(
        which=Which.GGUF(quantized_model_id=str(model.parent), quantized_filename=model.name), max_seqs=1
    )
    open_s = time.monotonic() - start
    # About the 16 tokens that the other programs use.
    prompt = " ".join(text.read_text().split()[:13])
    answer = runner.send_completion_request(
        CompletionRequest(model="default", prompt=prompt, max_tokens=64, temperature=0.0, top_k=1, ignore_eos=True)
    )
    usage = answer.usage
    print(
        json.dumps(
            {
                "open_s": open_s,
                "prompt_tokens": usage.prompt_tokens,
                "tokens": usage.completion_tokens,
                "rate": usage.completion_tokens / usage.total_completion_time_sec,
                "VmHWM_before": before,
                **memory(),
            }
        ),
        flush=True,
    )
    # Its worker threads do not always let the interpreter end.
    os._exit(0)


main()
