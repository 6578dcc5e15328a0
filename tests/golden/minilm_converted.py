"""What llama.cpp's converter makes of all-MiniLM-L6-v2, as metadata and SHA-256 sums: `minilm_converted.json`.

    python LLAMA_CPP/convert_hf_to_gguf.py DIRECTORY --outtype f16 --outfile minilm.gguf
    python minilm_converted.py minilm.gguf

DIRECTORY holds the model as Hugging Face has it (`minilm` in the cache). An array is its type, its length and the sum of
its bytes in the file.
"""

import hashlib
import json
import pathlib
import sys

import gguf

KINDS = {"uint32": "u32", "float32": "f32", "bool": "bool", "string": "string"}


def value(field):
    kind = field.types[-1].name.lower()
    if field.types[0] != gguf.GGUFValueType.ARRAY:
        return [KINDS[kind], field.contents()]
    # Behind the key come the array's type, its elements' type and its length.
    data = b"".join(part.tobytes() for part in field.parts[5:])
    return ["array", f"{kind} {len(field.data)} {hashlib.sha256(data).hexdigest()}"]


reader = gguf.GGUFReader(sys.argv[1])
found = {
    "metadata": {key: value(field) for key, field in reader.fields.items() if not key.startswith("GGUF.")},
    "tensors": {
        tensor.name: [tensor.tensor_type.name.lower(), tensor.shape.tolist(), hashlib.sha256(tensor.data.tobytes()).hexdigest()]
        for tensor in reader.tensors
    },
}
sections = []
for name, rows in found.items():
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(row, ensure_ascii=False)}" for key, row in rows.items())
    sections.append(f"{json.dumps(name)}: {{\n{rows}\n}}")
pathlib.Path(__file__).with_name("minilm_converted.json").write_text("{\n" + ",\n".join(sections) + "\n}\n")
