"""Sentences and what sentence-transformers makes of them with all-MiniLM-L6-v2: `minilm.json`.

    minilm.py DIRECTORY

DIRECTORY holds the model as Hugging Face has it (`minilm` in the cache). Of each number four digits are kept, as an
integer: 10000 times the number.
"""

import json
import pathlib
import sys

import sentence_transformers

SENTENCES = [
    "The cat sits on the mat.",
    "A kitten is lying on a rug.",
    "Stock prices fell sharply on Monday.",
    "How do I reset my password?",
    "I forgot my login credentials, what now?",
    "Die Katze sitzt auf der Matte.",
    "Où se trouve la gare la plus proche ?",
    "El perro corre por el parque.",
    "Il gatto dorme sul divano.",
    "Wo ist der nächste Bahnhof?",
    "Kissa istuu matolla.",
    "Кошка сидит на коврике.",
    "Η γάτα κάθεται στο χαλί.",
    "猫坐在垫子上。",
    "猫がマットの上に座っている。",
    "고양이가 매트 위에 앉아 있다.",
    "القطة تجلس على السجادة.",
    "बिल्ली चटाई पर बैठी है।",
    "Naïve café, ÅNGSTRÖM & co.: 3.14 × 10² ≈ 314 — isn't it?",
    "def add(a, b):\n    return a + b  # sums two numbers 😀",
    "unbelievably antidisestablishmentarianism supercalifragilisticexpialidocious",
    "",
]

model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
vectors = model.encode(SENTENCES, normalize_embeddings=True)
rows = [
    json.dumps({"text": text, "vector": [round(10000 * float(x)) for x in vector]}, separators=(",", ":"))
    for text, vector in zip(SENTENCES, vectors, strict=True)
]
path = pathlib.Path(__file__).with_name("minilm.json")
path.write_text("[\n" + ",\n".join(rows) + "\n]\n")
