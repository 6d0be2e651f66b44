"""INT8 by ONNX Runtime's quantizer: dynamic, and static with calibration batches."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit._core import arguments
from coursekit.onnx_models.exporting import tidy
from coursekit.onnx_models.files import OnnxFile, describe, graphs, read, real_inputs, replacing, target_path
from coursekit.onnx_models.packages import need, quiet
from coursekit.onnx_models.running import feeds, input_of

__all__ = ["quantize_dynamic", "quantize_static"]

if TYPE_CHECKING:
    import onnx

FLOAT16 = 10  # TensorProto's number for it
# Operators on few bits: QuantizeLinear, DynamicQuantizeMatMul, ConvInteger, QGemm, MatMulNBits and their kin.
QUANTIZED = re.compile(r"Quantize|Integer|NBits|^Q[A-Z]")
WEIGHTS = {"int8": "QInt8", "uint8": "QUInt8"}
CALIBRATION = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
# ONNX Runtime's ConvInteger on CPUs knows unsigned weights only.
UNSIGNED_ONLY = "Conv"


def quantize_dynamic(
    source: Any, target: Any, *, weights: str = "int8", per_channel: bool = False, reduce_range: bool = False
) -> OnnxFile:
    """Write a copy of the ONNX file with 8-bit weights, whose activations are quantized as they come.

    ``weights``: "int8" (symmetric) or "uint8" (with a zero point); convolutions always get uint8, because
    ONNX Runtime's CPU kernels know no other. ``per_channel``: a scale for every output. ``reduce_range``: 7
    bits, for CPUs without VNNI, where sums of 8-bit products can overflow.
    Errors: ValueError for a source that is damaged, quantized already, of float16, or without anything to
    quantize.
    """
    kind = WEIGHTS[arguments.choice("weights", weights, WEIGHTS)]
    model, out = _source(source), target_path("target", target)
    quantization = need("onnxruntime.quantization")
    options = {"per_channel": bool(per_channel), "reduce_range": bool(reduce_range)}

    def run(path: Path) -> None:
        dense = [name for name in _kinds() if name != UNSIGNED_ONLY]
        steps = [(dense, kind)]
        if any(node.op_type == UNSIGNED_ONLY for node in model.graph.node):
            steps.append(([UNSIGNED_ONLY], WEIGHTS["uint8"]))
        current = model
        for kinds, numbers in steps:
            weight_type = getattr(quantization.QuantType, numbers)
            quantization.quantize_dynamic(
                current, str(path), op_types_to_quantize=kinds, weight_type=weight_type, **options
            )
            current = need("onnx").load(str(path))
            tidy(current)

    return _written(run, Path(source), out)


def quantize_static(
    source: Any,
    target: Any,
    batches: Any,
    *,
    weights: str = "int8",
    activations: str = "uint8",
    per_channel: bool = False,
    reduce_range: bool = False,
    method: str = "minmax",
) -> OnnxFile:
    """Write a copy of the ONNX file whose weights and activations have 8 bits, with scales fixed beforehand.

    ``batches``: an iterable of arrays [n, …] (tuples or dicts of arrays for several inputs), or a reader with
    ``get_next()`` that gives dicts and then None, as onnxruntime's CalibrationDataReader. ``method``: how the
    range of the activations is chosen, "minmax", "entropy" or "percentile".
    Errors: as ``quantize_dynamic``; ValueError for no batch, or batches that do not fit or are not finite.
    """
    given = {"weights": weights, "activations": activations}
    kinds = [WEIGHTS[arguments.choice(name, value, WEIGHTS)] for name, value in given.items()]
    chosen = CALIBRATION[arguments.choice("method", method, CALIBRATION)]
    model, out = _source(source), target_path("target", target)
    quantization = need("onnxruntime.quantization")
    weight_type, activation_type = (getattr(quantization.QuantType, name) for name in kinds)
    reader = _Reader(batches, model)

    def run(path: Path) -> None:
        quantization.quantize_static(
            model,
            str(path),
            reader,
            weight_type=weight_type,
            activation_type=activation_type,
            per_channel=bool(per_channel),
            reduce_range=bool(reduce_range),
            calibrate_method=getattr(quantization.CalibrationMethod, chosen),
        )

    return _written(run, Path(source), out)


class _Reader:
    """Hands batches to ONNX Runtime's calibration as dicts by input name, each looked over first."""

    def __init__(self, batches: Any, model: "onnx.ModelProto") -> None:
        self._next = (
            self._from_reader(batches) if hasattr(batches, "get_next") else self._from_batches(batches)
        )
        self._inputs = [input_of(info) for info in real_inputs(model)]
        # The first one is asked for now: without any, calibration ends in an error that nobody can read.
        self._first = next(self._next, None)
        if self._first is None:
            raise ValueError("batches holds no batch: calibration needs at least one to see ranges")

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, or None after the last."""
        batch, self._first = self._first, None
        return batch if batch is not None else next(self._next, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Refuse to read a part: ONNX Runtime asks for it only with an option that is not used here."""
        raise NotImplementedError

    def _from_reader(self, reader: Any) -> Iterator[dict[str, np.ndarray]]:
        while (batch := reader.get_next()) is not None:
            yield feeds(self._inputs, batch, "a batch of the reader")

    def _from_batches(self, batches: Iterable[Any]) -> Iterator[dict[str, np.ndarray]]:
        if isinstance(batches, str | bytes | dict) or not hasattr(batches, "__iter__"):
            got = type(batches).__name__
            raise TypeError(f"batches must be an iterable of arrays or a reader; got {got}")
        for batch in batches:
            yield feeds(self._inputs, batch, "a batch of batches")


def _source(source: Any) -> "onnx.ModelProto":
    """Return the model in the file, ready to be quantized, with a graph of its own."""
    model = read(source, weights=True)
    if found := _quantized(model):
        raise ValueError(
            f"{source} is quantized already (it holds {found}): start from the file it came from"
        )
    if any(tensor.data_type == FLOAT16 and len(tensor.dims) > 1 for tensor in model.graph.initializer):
        raise ValueError(f"{source} has float16 weights, and only float32 is quantized: export model.float()")
    tidy(model)
    return model


def _quantized(model: "onnx.ModelProto") -> str | None:
    """Return the model's first operator on few bits, or None."""
    kinds = (node.op_type for graph in graphs(model.graph) for node in graph.node)
    return next((kind for kind in kinds if QUANTIZED.search(kind)), None)


def _kinds() -> list[str]:
    registry = need("onnxruntime.quantization.registry")
    return list(registry.IntegerOpsRegistry)


def _written(run: Any, source: Path, target: Path) -> OnnxFile:
    """Let ``run`` write the quantized model, tidy it, and put it at ``target`` in one step."""
    with replacing(target) as temporary:
        try:
            with quiet():
                run(temporary)
        except (ValueError, RuntimeError, KeyError, AttributeError, AssertionError) as error:
            raise ValueError(f"{source} cannot be quantized: {error}") from error
        onnx = need("onnx")
        model = onnx.load(str(temporary))
        if not _quantized(model):
            raise ValueError(
                f"{source} has no Linear, MatMul or convolution with float32 weights to quantize"
            )
        tidy(model)
        model.graph.ClearField("value_info")
        for node in model.graph.node:
            node.ClearField("name")  # long names, made up by the quantizer, weigh as much as a small layer
        temporary.write_bytes(model.SerializeToString())
    return describe(target)
