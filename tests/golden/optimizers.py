"""Optimizer steps, learning rates and clipped gradients by PyTorch and transformers.

usage: optimizers.py

Writes optimizers.json beside this script.
"""

import json
import math
import pathlib

import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 12
START = [0.5, -1.25, 3.0, 1e-4, 0.0, -0.03125]


def gradient(step):
    """Of several sizes, with changes of sign and zeros: the same formula as in the test."""
    return [math.sin(1.7 * step + i) * 10.0 ** (i - 3) if (step + i) % 5 else 0.0 for i in range(len(START))]


def run(make, learning_rate):
    """The parameter after each step. The learning rate falls, as a schedule would make it."""
    parameter = torch.tensor(START, dtype=torch.float32, requires_grad=True)
    optimizer = make([parameter], lr=learning_rate)
    after = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / STEPS)
        parameter.grad = torch.tensor(gradient(step), dtype=torch.float32)
        optimizer.step()
        after.append(parameter.detach().tolist())
    return after


def optimizers():
    cases = []
    for kind, make, learning_rate in [
        ("adamw", torch.optim.AdamW, 0.01),
        ("adam", torch.optim.Adam, 0.01),
    ]:
        for beta1, beta2, epsilon, decay in [(0.9, 0.999, 1e-8, 0.0), (0.8, 0.95, 1e-6, 0.1), (0.0, 0.9, 1e-3, 0.01)]:
            extra = dict(betas=(beta1, beta2), eps=epsilon, weight_decay=decay)
            options = dict(adam_beta1=beta1, adam_beta2=beta2, adam_epsilon=epsilon, weight_decay=decay)
            cases.append((kind, options, learning_rate, lambda p, lr, make=make, extra=extra: make(p, lr=lr, **extra)))
    for decay in [0.0, 0.1]:
        options = dict(adam_epsilon=1e-10, weight_decay=decay)
        make = lambda p, lr, decay=decay: torch.optim.Adagrad(p, lr=lr, eps=1e-10, weight_decay=decay)
        cases.append(("adagrad", options, 0.05, make))
    for momentum, decay in [(0.9, 0.0), (0.5, 0.1), (0.0, 0.01)]:
        options = dict(momentum=momentum, weight_decay=decay)
        make = lambda p, lr, m=momentum, d=decay: torch.optim.SGD(p, lr=lr, momentum=m, weight_decay=d)
        cases.append(("sgd", options, 0.001, make))
    return [
        dict(optimizer=kind, options=options, learning_rate=learning_rate, after=run(make, learning_rate))
        for kind, options, learning_rate, make in cases
    ]


def schedules():
    """The rate of each step, and of two after the last."""
    makers = dict(
        constant=lambda o, warmup, total: get_constant_schedule_with_warmup(o, warmup),
        linear=get_linear_schedule_with_warmup,
        cosine=get_cosine_schedule_with_warmup,
    )
    found = []
    for kind, make in makers.items():
        for warmup, total in [(0, 1), (0, 10), (3, 10), (10, 10), (12, 10), (1, 37)]:
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.002)
            schedule = make(optimizer, warmup, total)
            rates = []
            for _ in range(total + 2):
                rates.append(schedule.get_last_lr()[0])
                optimizer.step()
                schedule.step()
            found.append(dict(schedule=kind, warmup=warmup, total=total, learning_rate=0.002, rates=rates))
    return found


def clipping():
    found = []
    for limit in [0.5, 1.0, 1e6]:
        parameters = [torch.zeros(len(START), requires_grad=True) for _ in range(3)]
        for i, parameter in enumerate(parameters):
            parameter.grad = torch.tensor(gradient(i + 1), dtype=torch.float32)
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        found.append(dict(max_norm=limit, norm=norm.item(), after=[p.grad.tolist() for p in parameters]))
    return found


def main():
    torch.set_num_threads(1)
    golden = dict(start=START, optimizers=optimizers(), schedules=schedules(), clipping=clipping())
    # One case on one line.
    rows = [f'"{key}": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]" for key, cases in golden.items()]
    (HERE / "optimizers.json").write_text("{" + ",\n".join(rows) + "}\n")


main()
