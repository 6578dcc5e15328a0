"""The token ids that Hugging Face's tokenizers gives each line of `text.txt`, and the whole: `minilm_tokens.json`.

    minilm_tokens.py DIRECTORY

DIRECTORY holds the model as Hugging Face has it (`minilm` in the cache).
"""

import json
import pathlib
import sys

import tokenizers

tokenizer = tokenizers.Tokenizer.from_file(f"{sys.argv[1]}/tokenizer.json")
tokenizer.no_truncation()
tokenizer.no_padding()
here = pathlib.Path(__file__).parent
text = (here / "text.txt").read_bytes().decode()
rows = [tokenizer.encode(line, add_special_tokens=False).ids for line in [*text.split("\n"), text]]
rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
(here / "minilm_tokens.json").write_text(f"[\n{rows}\n]\n")
