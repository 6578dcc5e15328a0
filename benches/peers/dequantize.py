"""A GGUF file as a folder that transformers reads, its weights dequantized.

    target/peers/torch/bin/python benches/peers/dequantize.py MODEL FOLDER float32|bfloat16
"""

import pathlib
import sys

import gguf
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent.parent / "tests/golden"))
import hf


def main():
    source, folder, kind = sys.argv[1:4]
    hf.load(gguf.GGUFReader(source)).to(getattr(torch, kind)).save_pretrained(folder)


main()
