"""Small experiments for the examples of panels that show measurements: a second or two, done once."""

import copy
import functools
import itertools
from typing import Any

import numpy as np
import torch
from torch import nn

from coursekit import accuracy, data, finetuning, language, models, quantization, runtime, timing

TINY = language.Config(vocab_size=96, width=32, layers=2, heads=4, kv_heads=2, hidden=64, context=1024)


@functools.cache
def aware() -> quantization.AwareTraining:
    """Return what eight small networks give, measured: a second, so it is done once."""
    digits, seeds = data.digits(), range(8)
    networks = models.fit_many((64, 32, 10), digits.train.x, digits.train.y, seeds=seeds, epochs=10)
    parts = digits.train.x, digits.train.y, digits.test.x, digits.test.y
    return quantization.aware_training(networks, *parts, seeds=seeds, schedule=models.Schedule(6, 1e-3))


@functools.cache
def methods() -> quantization.MethodTable:
    """Return what rounding does to a network for digits and to an exact copy with outliers, measured."""
    digits = data.digits()
    plain = models.mlp((64, 32, 10))
    models.fit(plain, digits.train.x, digits.train.y, epochs=5)
    outliers = copy.deepcopy(plain)
    hidden, last = (part for part in outliers if isinstance(part, nn.Linear))
    with torch.no_grad():
        hidden.weight[:3] *= 30
        hidden.bias[:3] *= 30
        last.weight[:, :3] /= 30
    named = {"a network for digits": plain, "its copy with outliers": outliers}
    return quantization.MethodTable(tuple(row for each in named.items() for row in _rounded(*each)))


def cached() -> tuple[language.Config, dict[int, timing.Comparison]]:
    """Return made-up times of the next token by context: flat with a cache, growing without."""
    found, noise = {}, np.random.default_rng(2).gamma(50, 1 / 50, 20)
    for context in (16, 64, 256, 1024):
        times = {"without": (3e-4 + 4e-6 * context) * noise, "with": 3e-4 * noise[::-1]}
        made = {name: timing.Measurement(name, s, 20, (), runtime.describe()) for name, s in times.items()}
        ratio = float(np.median(times["without"]) / np.median(times["with"]))
        ratios = {
            "without": timing.Ratio(1.0, 1.0, 1.0),
            "with": timing.Ratio(ratio, 0.9 * ratio, 1.1 * ratio),
        }
        found[context] = timing.Comparison(made, "without", ratios, 20)
    return TINY, found


@functools.cache
def fine_tuned() -> finetuning.RankTable:
    """Return how the loss of a tiny model falls on a text that repeats itself, by rank and in full."""
    tokens, start, rows = torch.arange(600) * 7 % 96, language.Transformer(TINY), []
    recipe, look = language.Recipe(steps=12, batch_size=4, length=32, lr=0.02), tokens[None, :65]
    made_up = accuracy.paired([0.3, 0.5], [0.1, 0.2])
    for name, rank in (("rank 1", 1), ("rank 4", 4), ("rank 16", 16), ("full", 0)):
        model = finetuning.with_lora(start, rank) if rank else copy.deepcopy(start)
        run = finetuning.fine_tune(model, tokens, recipe, look=look, at=range(0, 13, 3))
        rows.append(finetuning.rank_row(name, run, made_up, made_up))
    return finetuning.RankTable(tuple(rows))


def trained() -> tuple[dict[str, language.Trainer], torch.Tensor]:
    """Return two tiny models after some steps on a text that repeats itself, and windows of it."""
    tokens = torch.arange(600) * 7 % 96
    trainers = {
        name: language.Trainer(language.Transformer(TINY, seed), tokens, language.Recipe(60, 4, 32))
        for seed, name in enumerate(("fresh", "shipped"))
    }
    for count, trainer in enumerate(trainers.values(), 1):
        for _ in range(12 * count):
            trainer.step()
    return trainers, language.windows(tokens, 32, 8)


def _rounded(name: str, model: nn.Sequential) -> list[quantization.MethodRow]:
    """Return the rows of one model: ten windows of test pictures, five methods, four numbers of bits."""
    digits = data.digits()
    known = quantization.calibrate(model, [torch.from_numpy(digits.train.x)])
    x, y = digits.test.tensors("cpu")
    methods: dict[str, dict[str, Any]] = {
        "tensor": {"axis": None},
        "row": {},
        "groups of 16": {"group_size": 16},
        "GPTQ, 16": {"group_size": 16, "method": "gptq", "calibration": known},
        "AWQ, 16": {"group_size": 16, "method": "awq", "calibration": known},
    }
    rows = []
    for bits, (method, options) in itertools.product((8, 4, 3, 2), methods.items()):
        made = quantization.rounded(model, bits, **options)
        with torch.no_grad():
            before, after = (each(x).log_softmax(-1) for each in (model, made.model))
        measures = (
            (before.exp() * (before - after)).sum(-1),
            (before - after)[torch.arange(len(y)), y],
            (before.argmax(-1) == after.argmax(-1)).double(),
        )
        kl, loss, same = (_interval(each.double().reshape(10, -1).mean(1).numpy()) for each in measures)
        size = made.bits_per_weight
        rows.append(
            quantization.MethodRow(name, method, bits, size, kl, loss, same, options.get("group_size"))
        )
    return rows


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    found = accuracy.paired(values, np.zeros_like(values))
    return found.mean, found.low, found.high
