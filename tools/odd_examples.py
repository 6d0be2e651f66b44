"""What ``odd_calls`` calls functions with: values that are right, by the argument's name, and odd ones."""

import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from coursekit import accuracy, batching, memory, models, onnx_models, pruning, roofline, timing, variants

Maker = Callable[[], Any]

# So that a try is told from what Python says about a value of its own class.
nan, inf = float("nan"), float("inf")


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
    "quantization.best_scale.x": lambda: _x().ravel(),
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


def _quietly(make: Maker) -> Maker:
    def made() -> Any:
        with warnings.catch_warnings(action="ignore"):
            return make()

    return made


ODD: Mapping[str, Maker] = {
    "None": lambda: None,
    "''": str,
    "'text'": lambda: "text",
    "'3'": lambda: "3",
    "'False'": lambda: "False",
    "two lines": lambda: "one\ntwo " * 200,
    "b'3'": lambda: b"3",
    "True": lambda: True,
    "nan": lambda: nan,
    "inf": lambda: inf,
    "-inf": lambda: -inf,
    "0": lambda: 0,
    "-0.0": lambda: -0.0,
    "-1": lambda: -1,
    "0.5": lambda: 0.5,
    "1.5": lambda: 1.5,
    "5": lambda: 5,
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "10**5000": lambda: 10**5000,
    "2**63": lambda: 2**63,
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "1j": lambda: 1j,
    "[]": list,
    "()": tuple,
    "{}": dict,
    "[None]": lambda: [None],
    "['a']": lambda: ["a"],
    "[nan]": lambda: [nan],
    "[2, 1]": lambda: [2, 1],
    "[10**400]": lambda: [10**400],
    "object()": object,
    "int": lambda: int,
    "print": lambda: print,
    "generator": lambda: iter([]),
    "Decimal('nan')": lambda: Decimal("nan"),
    "Fraction(1, 3)": lambda: Fraction(1, 3),
    "np.int8(100)": lambda: np.int8(100),
    "np.int32(20000)": lambda: np.int32(20000),
    "np.bool_": lambda: np.True_,
    "np.float32(nan)": lambda: np.float32(nan),
    "np.array(3)": lambda: np.array(3),
    "np.zeros((0, 3))": lambda: np.zeros((0, 3)),
    "np.ones((2, 3, 4))": lambda: np.ones((2, 3, 4)),
    "array of text": lambda: np.array(["a", "b"]),
    "array of objects": lambda: np.array([None, 1]),
    "array with nan": lambda: np.full((8, 4), nan, np.float32),
    "masked array": lambda: np.ma.array(_x(), mask=_x() > 0),
    "np.ma.masked": lambda: np.ma.masked,
    "np.datetime64": lambda: np.datetime64("2026-01-01"),
    "np.timedelta64": lambda: np.timedelta64(5, "ns"),
    "scipy sparse": lambda: scipy.sparse.csr_array(_x()),
    "torch.tensor(3)": lambda: torch.tensor(3),
    "torch.tensor(True)": lambda: torch.tensor(True),
    "empty tensor": lambda: torch.tensor([]),
    "complex tensor": lambda: torch.ones(8, 4, dtype=torch.complex64),
    "sparse tensor": lambda: torch.tensor(_x()).to_sparse(),
    "CSR tensor": _quietly(lambda: torch.tensor(_x()).to_sparse_csr()),
    "meta tensor": lambda: torch.ones(8, 4, device="meta"),
    "nested tensor": _quietly(lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
    "quantized tensor": _quietly(lambda: torch.quantize_per_tensor(torch.ones(8, 4), 0.1, 0, torch.qint8)),
    "nn.Linear": lambda: nn.Linear,
    "nn.Linear(2, 2)": lambda: nn.Linear(2, 2),
    "a folder": lambda: Path("."),
    "an absent path": lambda: Path("absent/file"),
}

# The same number in other forms: the result must be the same.
FORMS: Mapping[str, Callable[[Any], Any]] = {
    "np.int32": np.int32,
    "np.int64": np.int64,
    "np.uint8": np.uint8,
    "np.float64": np.float64,
    "0-d array": np.array,
    "tensor": lambda number: torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None),
}
