"""Accuracy, precision, recall, F1 and confusion matrices by scikit-learn.

usage: metrics.py

Writes metrics.json beside this script.
"""

import json
import pathlib
import random

from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

HERE = pathlib.Path(__file__).resolve().parent


def case(labels, truth, guess):
    ids = list(range(len(labels)))
    options = dict(labels=ids, zero_division=0)
    precision, recall, f1, support = precision_recall_fscore_support(truth, guess, **options)
    macro = precision_recall_fscore_support(truth, guess, average="macro", **options)
    return dict(
        labels=labels,
        truth=truth,
        guess=guess,
        accuracy=accuracy_score(truth, guess),
        precision=precision.tolist(),
        recall=recall.tolist(),
        f1=f1.tolist(),
        support=[int(n) for n in support],
        macro_precision=macro[0],
        macro_recall=macro[1],
        macro_f1=macro[2],
        confusion=confusion_matrix(truth, guess, labels=ids).tolist(),
    )


def main():
    rng = random.Random(7)
    cases = [
        case(["no", "yes"], [0, 0, 1, 1], [0, 1, 1, 1]),
        # All right, all wrong, and a class that is never chosen.
        case(["no", "yes"], [0, 1, 1], [0, 1, 1]),
        case(["no", "yes"], [0, 1, 1], [1, 0, 0]),
        case(["no", "yes"], [0, 0, 1], [0, 0, 0]),
        # Labels that no example has, one of them chosen.
        case(["a", "b", "c", "d"], [0, 1, 1, 0, 0], [0, 1, 2, 0, 1]),
    ]
    for n_labels, n in [(3, 40), (5, 200), (7, 500)]:
        truth = [rng.randrange(n_labels) for _ in range(n)]
        guess = [t if rng.random() < 0.6 else rng.randrange(n_labels) for t in truth]
        cases.append(case([f"label {i}" for i in range(n_labels)], truth, guess))
    rows = ",\n".join(map(json.dumps, cases))
    (HERE / "metrics.json").write_text('{"cases": [\n' + rows + "\n]}\n")


main()
