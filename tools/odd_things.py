"""Things that are right and small, which ``odd_examples`` hands to functions."""

import functools
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from coursekit import (
    accuracy,
    batching,
    classroom,
    exercises,
    finetuning,
    kv_cache,
    language,
    models,
    onnx_models,
    pruning,
    quantization,
    roofline,
    timing,
    variants,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def x() -> Any:
    return np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def y() -> Any:
    return np.array([0, 1, 2, 0, 1, 2, 0, 1])


def curve() -> batching.Curve:
    return batching.Curve(
        (1, 2, 4), np.array([1.0, 1.5, 2.0]), np.array([0.9, 1.4, 1.9]), np.array([2.0, 2, 3])
    )


@functools.cache
def language_model() -> language.LanguageModel:
    config = language.Config(vocab_size=1024, width=8, layers=1, heads=2, kv_heads=1, hidden=8, context=64)
    model = language.Transformer(config).eval()
    return language.LanguageModel("tiny", model, language.small().tokenizer)


def recipe() -> language.Recipe:
    return language.Recipe(steps=2, batch_size=2, length=8, lr=1e-3)


def looks(heads: int) -> torch.Tensor:
    return torch.zeros(1, heads, 3, 3).log_softmax(-1)


def training_bytes() -> finetuning.TrainingBytes:
    return finetuning.TrainingBytes(100, 40, 80, 10)


def learned() -> finetuning.Learned:
    return finetuning.Learned((4.0, 3.0), (0, 2), (4.0, 3.0), training_bytes())


def paired() -> accuracy.PairedDifference:
    return accuracy.paired([1.0, 2.0], [0.5, 0.6])


def rank_row() -> finetuning.RankRow:
    return finetuning.rank_row("rank 1", learned(), paired(), paired())


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.AdamW(network().parameters())


def report() -> Path:
    return exercises.report("Ada", file="handed-in.html").file.absolute()


def found_class() -> classroom.Class:
    return classroom.read(report().parent)


def asked() -> list[kv_cache.Request]:
    return [kv_cache.Request((1, 2, 3), 4), kv_cache.Request((1, 2), 3, 0.5)]


@functools.cache
def run() -> kv_cache.Run:
    return kv_cache.simulate(asked(), kv_cache.Engine(8, most=2), lambda step: 1e-3)


def vectors() -> torch.Tensor:
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(0))


def windows() -> torch.Tensor:
    return language.windows(range(100), 8)


def folder() -> Path:
    """Return the path of a model in Hugging Face's layout, written once into the present folder."""
    folder = Path("model-folder")
    return folder if folder.exists() else language.to_folder(language_model(), folder)


def gguf() -> Path:
    """Return the path of a GGUF file without tensors, written once into the present folder."""
    path = Path("empty.gguf")
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    return path


def file() -> Path:
    """Return the path of a small model in ONNX, written once into the present folder."""
    path = Path("model.onnx")
    if not path.exists():
        onnx_models.export(network(), path, x())
    return path


def cuts() -> list[pruning.Cut]:
    cells = np.ones((2, 3), bool)
    return [
        pruning.Cut(cells, np.ones(6), np.ones(6, bool), np.array([right] * 3)) for right in (0.9, 0.89, 0.5)
    ]


def row() -> variants.Row:
    right = np.array([1, 1, 0, 1])
    return variants.Row(
        "baseline",
        1000,
        1e-5,
        9e-6,
        1.1e-5,
        timing.Ratio(1.0, 1.0, 1.0),
        "same",
        accuracy.of(right, right),
        accuracy.mcnemar(right, right, right),
        False,
    )


def estimator() -> Any:
    return LogisticRegression().fit(x(), y())


def ensemble() -> models.Ensemble:
    return models.start_many((4, 6, 3), [0, 1])


def loss(outputs: Any, rows: Any) -> Any:
    return outputs[-1].square().sum()


def served() -> batching.Served:
    return batching.simulate([0.0, 0.1, 0.5], lambda size: 0.1, max_batch=2, max_wait=0.1)


def matrix() -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).normal(size=(4, 8)), dtype=torch.float32)


def calibration() -> Mapping[str, quantization.Calibration]:
    return quantization.calibrate(network(), [torch.tensor(x())])


def roof() -> roofline.Roof:
    return roofline.Roof(1e10, {"fp32": 1e11})


# Values that are right: by the argument's name, or by "room.function.argument" where it means something else.


def three() -> int:
    return 3


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing: only whether it is taken is of interest."""
