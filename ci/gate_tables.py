#!/usr/bin/env python3
"""Compares the gate's tables of architectures with what the engine's source says. Prints what differs.

    ci/gate_tables.py
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GATE = ROOT / "src/format/gate"


def engine():
    """The engine's source: a folder of the crate that has it."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    crate = next(p for p in metadata["packages"] if p["name"] == "llama-cpp-sys-2")
    return Path(crate["manifest_path"]).parent / "llama.cpp/src"


def table(file, name):
    """The strings of one of the gate's constants."""
    body = re.search(rf"const {name}: &\[&str\] =\s*&\[(.*?)\];", (GATE / file).read_text(), re.S)
    return set(re.findall(r'"([^"]+)"', body.group(1)))


class Engine:
    def __init__(self, source):
        text = (source / "llama-arch.cpp").read_text()
        self.names = dict(re.findall(r'\{\s*(LLM_ARCH_\w+)\s*,\s*"([^"]+)"\s*\}', text))
        model = (source / "llama-model.cpp").read_text()
        self.classes = {}
        for cases, kind in re.findall(r"((?:case LLM_ARCH_\w+:\s*)+)return new (llama_model_\w+)\(", model):
            self.classes |= dict.fromkeys(re.findall(r"LLM_ARCH_\w+", cases), kind)
        declared = (source / "models/models.h").read_text()
        self.bases = dict(re.findall(r"struct (llama_model_\w+)\s*:\s*public (llama_model_\w+)", declared))
        self.code = {}
        for file in sorted((source / "models").glob("*.cpp")):
            code = re.sub(r"//.*", "", file.read_text())
            for kind in set(re.findall(r"(llama_model_\w+)::", code)):
                self.code[kind] = self.code.get(kind, "") + code
        types = model[model.index("llama_rope_type llama_model_rope_type(") :]
        none = types[: types.index("return LLAMA_ROPE_TYPE_NONE")]
        self.rotate_none = {self.names[arch] for arch in re.findall(r"LLM_ARCH_\w+", none) if arch in self.names}

    def rotate_all(self):
        """Architectures whose graphs assert it, in their own file or in that of the class they extend."""
        found = set()
        for arch, kind in self.classes.items():
            while kind:
                if "GGML_ASSERT(n_embd_head == n_rot)" in self.code.get(kind, ""):
                    found.add(self.names[arch])
                kind = self.bases.get(kind)
        return found


def main():
    of_engine = Engine(engine())
    assert of_engine.rotate_all() and of_engine.rotate_none, "the engine's source is written in another way now"
    known, companions = table("arch.rs", "KNOWN"), table("arch.rs", "COMPANIONS")
    families = set(re.findall(r'"(\w+)" => Some\(Family::', (GATE / "arch.rs").read_text()))
    others = known - families
    rotate_all, rotate_none = table("widths.rs", "ROTATE_ALL"), table("widths.rs", "ROTATE_NONE")
    wrong = [
        ("arch.rs, KNOWN or COMPANIONS: unknown to the engine", (known | companions) - set(of_engine.names.values())),
        ("widths.rs, ROTATE_ALL: missing", (of_engine.rotate_all() & others) - rotate_all),
        ("widths.rs, ROTATE_ALL: rotates nothing", rotate_all & of_engine.rotate_none),
        ("widths.rs, ROTATE_NONE: missing", (of_engine.rotate_none & others) - rotate_none),
        # Its graph rotates as wide as its heads are.
        ("widths.rs, ROTATE_NONE: rotates", rotate_none - of_engine.rotate_none - {"deepseek2-ocr"}),
    ]
    for file, names in (("widths.rs", "ROTATE_ALL"), ("widths.rs", "MAY_DIFFER"), ("single.rs", "GATED_AS_SAID")):
        wrong.append((f"{file}, {names}: not among arch.rs's KNOWN", table(file, names) - known))
    wrong = [f"{what}: {', '.join(sorted(names))}" for what, names in wrong if names]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
