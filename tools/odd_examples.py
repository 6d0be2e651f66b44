"""Values that are right, by the argument's name, with which ``odd_calls`` calls functions."""

import functools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from coursekit import (
    accuracy,
    batching,
    language,
    memory,
    models,
    onnx_models,
    pruning,
    quantization,
    roofline,
    timing,
    variants,
)

Maker = Callable[[], Any]


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def _x() -> Any:
    return np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def _y() -> Any:
    return np.array([0, 1, 2, 0, 1, 2, 0, 1])


def _curve() -> batching.Curve:
    return batching.Curve(
        (1, 2, 4), np.array([1.0, 1.5, 2.0]), np.array([0.9, 1.4, 1.9]), np.array([2.0, 2, 3])
    )


@functools.cache
def _language() -> language.LanguageModel:
    config = language.Config(vocab_size=1024, width=8, layers=1, heads=2, kv_heads=1, hidden=8, context=64)
    model = language.Transformer(config).eval()
    return language.LanguageModel("tiny", model, language.small().tokenizer)


def _windows() -> torch.Tensor:
    return language.windows(range(100), 8)


def _folder() -> Path:
    """Return the path of a model in Hugging Face's layout, written once into the present folder."""
    folder = Path("model-folder")
    return folder if folder.exists() else language.to_folder(_language(), folder)


def _gguf() -> Path:
    """Return the path of a GGUF file without tensors, written once into the present folder."""
    path = Path("empty.gguf")
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    return path


def _file() -> Path:
    """Return the path of a small model in ONNX, written once into the present folder."""
    path = Path("model.onnx")
    if not path.exists():
        onnx_models.export(_network(), path, _x())
    return path


def _cuts() -> list[pruning.Cut]:
    cells = np.ones((2, 3), bool)
    return [
        pruning.Cut(cells, np.ones(6), np.ones(6, bool), np.array([right] * 3)) for right in (0.9, 0.89, 0.5)
    ]


def _row() -> variants.Row:
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


def _estimator() -> Any:
    return LogisticRegression().fit(_x(), _y())


def _ensemble() -> models.Ensemble:
    return models.start_many((4, 6, 3), [0, 1])


def _loss(outputs: Any, rows: Any) -> Any:
    return outputs[-1].square().sum()


def _served() -> batching.Served:
    return batching.simulate([0.0, 0.1, 0.5], lambda size: 0.1, max_batch=2, max_wait=0.1)


def _matrix() -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).normal(size=(4, 8)), dtype=torch.float32)


def _calibration() -> Mapping[str, quantization.Calibration]:
    return quantization.calibrate(_network(), [torch.tensor(_x())])


def _roof() -> roofline.Roof:
    return roofline.Roof(1e10, {"fp32": 1e11})


# Values that are right: by the argument's name, or by "room.function.argument" where it means something else.
RIGHT: Mapping[str, Maker] = {
    "a": lambda: [0.1, 0.2, 0.4],
    "alpha": lambda: 0.5,
    "answer": lambda: list,
    "arrivals": lambda: [0.0, 0.0, 1e-4],
    "accuracy": lambda: 0.9,
    "axis": lambda: 0,
    "b": lambda: [0.2, 0.2, 0.5],
    "bandwidth": lambda: 1e10,
    "baseline": lambda: "one",
    "batch": lambda: 2,
    "batch_size": lambda: 4,
    "batches": lambda: (1, 2, 4),
    "bias": lambda: True,
    "bits": lambda: 4,
    "budget": lambda: 1.6,
    "choice": lambda: "cpu",
    "classes": lambda: 3,
    "confidence": lambda: 0.95,
    "context": lambda: 16,
    "correct": lambda: 3,
    "count": lambda: 3,
    "device": lambda: "cpu",
    "dynamic_batch": lambda: True,
    "epochs": lambda: 1,
    "example": _x,
    "examples": lambda: [1, 2, 3],
    "factor": lambda: 2.0,
    "features": lambda: 4,
    "fn": lambda: len,
    "format": lambda: "fp16",
    "function": lambda: _network(),
    "functions": lambda: {"one": int, "two": float},
    "group": lambda: 2,
    "groups": lambda: 1,
    "gauge": lambda: lambda: 0,
    "head_dim": lambda: 4,
    "heads": lambda: 2,
    "hidden": lambda: 8,
    "high": lambda: [2.0, 2.5, 3.0],
    "holders": lambda: _network(),
    "inputs": lambda: 4,
    "intensity": lambda: 3.0,
    "keep": lambda: [[0, 1, 2]],
    "kernel": lambda: 3,
    "kv_bits": lambda: 8,
    "kv_heads": lambda: 2,
    "labels": _y,
    "latency": lambda: 1e-3,
    "layers": lambda: [0],
    "logits": lambda: np.ones((8, 3), np.float32),
    "low": lambda: [0.5, 1.0, 1.5],
    "lr": lambda: 0.01,
    "masks": lambda: [np.ones((6, 4), np.float32), np.ones((3, 6), np.float32)],
    "max_batch": lambda: 2,
    "max_body": lambda: 1000,
    "max_time": lambda: 1e-4,
    "max_wait": lambda: 1e-4,
    "median": lambda: [1.0, 1.5, 2.0],
    "min_time": lambda: 1e-5,
    "mode": lambda: "inference",
    "model": _network,
    "name": lambda: "a name",
    "need": lambda: memory.need("LLaMA-7B"),
    "notebook": lambda: "05",
    "oldest_age": lambda: 0.2,
    "optimize": lambda: True,
    "outputs": lambda: 3,
    "parameters": lambda: 100,
    "path": _file,
    "pattern": lambda: 3,
    "peaks": lambda: {"fp32": 1e11},
    "per_channel": lambda: False,
    "places": lambda: 5,
    "precision": lambda: "fp32",
    "precisions": lambda: ("fp32",),
    "predictions": _y,
    "predictions_a": _y,
    "predictions_b": lambda: _y()[::-1].copy(),
    "present": lambda: False,
    "profile": lambda: None,
    "rank": lambda: 2,
    "rate": lambda: 5.0,
    "ratio": lambda: 0.5,
    "reduce_range": lambda: False,
    "runner": lambda: onnx_models.load(_file()),
    "scale": lambda: 0.5,
    "scope": lambda: "global",
    "seconds": lambda: [1.0, 1.5, 2.0],
    "seed": lambda: 1,
    "seeds": lambda: [0, 1],
    "served": lambda: {"one": _served()},
    "share": lambda: 0.25,
    "signed": lambda: True,
    "size": lambda: 1000,
    "size_bytes": lambda: 100,
    "source": _file,
    "sources": lambda: ("cache",),
    "sparsity": lambda: 0.5,
    "steps": lambda: 5,
    "student": _network,
    "student_logits": lambda: np.ones((8, 3), np.float32),
    "symmetric": lambda: True,
    "target": lambda: "target.onnx",
    "teacher_logits": lambda: np.ones((8, 3), np.float32),
    "temperature": lambda: 2.0,
    "temperatures": lambda: [1.0, 2.0],
    "threads": lambda: 1,
    "tied": lambda: False,
    "tokens": lambda: 5,
    "total": lambda: 5,
    "unit": lambda: "B/s",
    "value": lambda: 0.1,
    "variant": lambda: "fp32",
    "vocab": lambda: 10,
    "waiting": lambda: 2,
    "warm_up": lambda: 1,
    "weight": lambda: np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32),
    "weights": lambda: np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32),
    "width": lambda: 4,
    "widths": lambda: (4, 6, 3),
    "x": _x,
    "x_hat": lambda: _x() + 0.1,
    "y": _y,
    "zero_point": lambda: 3,
    "app": lambda: _application,
    "batching.Hockney.a": lambda: 1e-3,
    "batching.Hockney.b": lambda: 1e-4,
    "batching.capacity.seconds": _curve,
    "batching.simulate.seconds": _curve,
    "batching.fit.batches": lambda: [1, 2, 4],
    "batching.sweep.fn": lambda: sum,
    "floats.all_values.format": lambda: "fp8_e4m3",
    "claims.guess.id": lambda: "01-sum",
    "claims.keep_guess.guess": lambda: "3 dB",
    "claims.keep_guess.id": lambda: "01-sum",
    "claims.show.id": lambda: "01-half",
    "claims.show.measured": lambda: 0.0005,
    "alphas": lambda: [0.0, 0.5],
    "distillation.GainGrid.gain": lambda: np.zeros((2, 2)),
    "distillation.control.kind": lambda: "noisy labels",
    "distillation.entropy.probabilities": lambda: np.full((8, 4), 0.25),
    "distillation.hidden.network": _ensemble,
    "distillation.match_hidden.teacher_hidden": lambda: np.ones((8, 5), np.float32),
    "dynamic.DynamicLinear.linear": lambda: nn.Linear(4, 3),
    "memory.Model.layers": lambda: 2,
    "memory.Model.mlp": lambda: 16,
    "models.train_many.loss": lambda: _loss,
    "networks": _ensemble,
    "pruning.Layout.columns": lambda: 8,
    "pruning.Layout.rows": lambda: 4,
    "pruning.masks_many.sparsity": lambda: 0.5,
    "pruning.sweep.shares": lambda: [0.0, 0.5],
    "start": _ensemble,
    "timing.settled.medians": lambda: [1.0, 1.1, 1.0],
    "timing.settled.tolerance": lambda: 0.1,
    "variants.Examples.x_test": _x,
    "variants.Examples.x_train": _x,
    "variants.Examples.y_test": _y,
    "variants.Examples.y_train": _y,
    "exercises.Course.source": lambda: "coursekit.course",
    "exercises.as_array.answer": lambda: [1.0, 2.0],
    "exercises.as_bits.answer": lambda: "0101",
    "exercises.as_bits.width": lambda: 4,
    "exercises.as_integer.answer": lambda: 3.0,
    "exercises.as_number.answer": lambda: 0.5,
    "exercises.call.function": lambda: _three,
    "exercises.call_either.function": lambda: _three,
    "exercises.check.id": lambda: "01-sum",
    "exercises.predict.id": lambda: "01-sum",
    "exercises.predict.guess": lambda: 3,
    "exercises.quiz.id": lambda: "01",
    "exercises.right.message": lambda: "it is",
    "exercises.run.function": lambda: _three,
    "exercises.said.error": lambda: KeyError("a"),
    "exercises.wrong.message": lambda: "it is not",
    "memory.activations.model": lambda: "LLaMA-7B",
    "memory.build.model": lambda: memory.Model("tiny", 1000, 1, 8, 2, 2, 4, 10, 16),
    "memory.fits.device": lambda: "RTX 4090",
    "memory.kv_cache.model": lambda: "LLaMA-7B",
    "memory.layer_activations.model": lambda: "LLaMA-7B",
    "memory.longest_context.device": lambda: "RTX 4090",
    "memory.longest_context.model": lambda: "LLaMA-7B",
    "memory.lora_parameters.model": lambda: "LLaMA-7B",
    "memory.need.model": lambda: "LLaMA-7B",
    "memory.saved_bytes.function": lambda: lambda: _network()(torch.tensor(_x())),
    "memory.weight_bytes.format": lambda: "int4",
    "memory.working_bytes.model": lambda: "LLaMA-7B",
    "onnx_models.export.path": lambda: "target.onnx",
    "onnx_models.export_sklearn.path": lambda: "target.onnx",
    "pruning.last_steady.cuts": _cuts,
    "pruning.last_steady.loss": lambda: 0.03,
    "variants.Budget.name": lambda: "a drawer",
    "variants.Sitting.about": lambda: "a network",
    "variants.Sitting.machine": lambda: "a machine",
    "variants.Sitting.notes": lambda: ("a doubt",),
    "variants.Sitting.rows": lambda: (_row(),),
    "variants.Sitting.unit": lambda: "row",
    "variants.decisions.sitting": lambda: variants.Sitting((_row(),), "a machine"),
    "variants.dominates.a": lambda: [1.0, 2.0],
    "variants.dominates.b": lambda: [1.0, 3.0],
    "variants.front.rows": lambda: [_row()],
    "variants.pipeline.steps": lambda: [],
    "variants.pipeline.seeds": lambda: [0],
    "variants.build.data": lambda: (_x(), _y(), _x(), _y()),
    "estimator": _estimator,
    "act_order": lambda: True,
    "block": lambda: 4,
    "calibration": _calibration,
    "clip": lambda: 0.8,
    "damping": lambda: 0.01,
    "exclude": lambda: ["2"],
    "factors": lambda: [0.5, 1.0],
    "group_size": lambda: 2,
    "hessian": lambda: np.eye(8),
    "include": lambda: ["0", "2"],
    "sign": lambda: 1,
    "language.Config.context": lambda: 64,
    "language.Config.head_dim": lambda: 4,
    "language.Config.heads": lambda: 2,
    "language.Config.hidden": lambda: 8,
    "language.Config.kv_heads": lambda: 1,
    "language.Config.layers": lambda: 1,
    "language.Config.norm_eps": lambda: 1e-5,
    "language.Config.qkv_bias": lambda: False,
    "language.Config.rope_base": lambda: 1e4,
    "language.Config.vocab_size": lambda: 10,
    "language.Config.width": lambda: 8,
    "language.GGUFFile.path": _gguf,
    "language.KVCache.config": lambda: _language().model.config,
    "language.Recipe.steps": lambda: 3,
    "language.Reference.data": _windows,
    "language.Reference.language": _language,
    "language.Transformer.config": lambda: _language().model.config,
    "language.accepts.draft": lambda: torch.tensor([0.5, 0.5]),
    "language.accepts.target": lambda: torch.tensor([0.25, 0.75]),
    "language.accepts.token": lambda: 1,
    "language.accepts.u": lambda: 0.5,
    "language.bits_per_character.characters": lambda: 30,
    "language.bits_per_character.loss": lambda: 3.0,
    "language.bits_per_character.tokens": lambda: 10,
    "language.expected_tokens.ahead": lambda: 4,
    "language.expected_tokens.rate": lambda: 0.5,
    "language.from_folder.folder": _folder,
    "language.generate.model": lambda: _language().model,
    "language.generate.new": lambda: 3,
    "language.generate.tokens": lambda: [1, 2, 3],
    "language.leftover.draft": lambda: torch.tensor([0.5, 0.5]),
    "language.leftover.target": lambda: torch.tensor([0.25, 0.75]),
    "language.losses.data": _windows,
    "language.losses.model": lambda: _language().model,
    "language.perplexity.loss": lambda: 3.0,
    "language.shares.logits": lambda: torch.tensor([1.0, 2.0, 3.0]),
    "language.speculate.ahead": lambda: 2,
    "language.speculate.draft": lambda: lambda text, count: list(text[-1:]) * count,
    "language.speculate.model": lambda: _language().model,
    "language.speculate.new": lambda: 3,
    "language.speculate.tokens": lambda: [1, 2, 3],
    "language.text.name": lambda: "evaluation",
    "language.to_folder.folder": lambda: "new-folder",
    "language.to_folder.language": _language,
    "language.windows.count": lambda: 2,
    "language.windows.length": lambda: 4,
    "language.windows.tokens": lambda: range(50),
    "language.with_outliers.channels": lambda: 2,
    "language.with_outliers.factor": lambda: 30.0,
    "language.with_outliers.language": _language,
    "quantization.allocate_bits.budget": lambda: 3.0,
    "quantization.allocate_bits.options": lambda: [2, 4],
    "quantization.allocate_bits.sensitivity": lambda: [[1.0, 0.5], [2.0, 0.1]],
    "quantization.allocate_bits.sizes": lambda: [10, 20],
    "quantization.awq.calibration": lambda: quantization.observed(np.eye(8)),
    "quantization.baked.model": lambda: quantization.with_fake_weights(_network(), 4),
    "quantization.best_scale.x": lambda: _x().ravel(),
    "quantization.calibrate.batches": lambda: [torch.tensor(_x())],
    "quantization.fake_quantize.weight": _matrix,
    "quantization.fold_scales.layers": lambda: [nn.Linear(4, 3)],
    "quantization.fold_scales.norm": lambda: nn.LayerNorm(4),
    "quantization.fold_scales.scales": lambda: [1.0, 2.0, 0.5, 1.0],
    "quantization.hessian.inputs": _x,
    "quantization.layer_inputs.batches": lambda: [torch.tensor(_x())],
    "quantization.observed.inputs": _x,
    "quantization.output_error.rounded": lambda: _matrix().round(),
    "quantization.pack.values": lambda: [1, 2, 3],
    "quantization.rounded.method": lambda: "gptq",
    "quantization.smoothing_scales.calibration": lambda: quantization.observed(np.eye(8)),
    "quantization.unpack.length": lambda: 3,
    "quantization.unpack.packed": lambda: [0x21, 0x03],
    "quantization.MethodRow.bits_per_weight": lambda: 4.25,
    "quantization.MethodRow.kl": lambda: (0.1, 0.09, 0.12),
    "quantization.MethodRow.loss_added": lambda: (0.1, -0.09, 0.12),
    "quantization.MethodRow.method": lambda: "GPTQ",
    "quantization.MethodRow.model": lambda: "small",
    "quantization.MethodRow.same": lambda: (0.9, 0.8, 1.0),
    "quantization.aware_training.x_test": _x,
    "quantization.aware_training.y_test": _y,
    "quantization.error_steps.hessian": lambda: np.eye(3),
    "quantization.error_steps.weights": lambda: [0.4, -1.0, 0.7],
    "quantization.straight_through.target": lambda: 0.3,
    "quantization.straight_through.weight": lambda: 0.2,
    "roofline.Point.work": lambda: roofline.linear(4, 4, 1),
    "roofline.measure_layer.batches": lambda: (1, 2),
    "roofline.measure_layer.precisions": lambda: ("fp32",),
    "roofline.rate.value": lambda: 1e9,
    "timing.measure.fn": lambda: int,
}


def _three() -> int:
    return 3


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing: only whether it is taken is of interest."""
