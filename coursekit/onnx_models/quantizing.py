"""INT8 by ONNX Runtime's quantizer: dynamic, and static with calibration batches."""

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coursekit._core import arguments
from coursekit.onnx_models.calibration import Batches
from coursekit.onnx_models.contents import broken_weights, float_weights, quantized
from coursekit.onnx_models.files import (
    OnnxFile,
    checked_path,
    counts_text,
    describe,
    described,
    read,
    replacing,
    shortened,
    target_path,
    write,
)
from coursekit.onnx_models.naming import rename, tidy
from coursekit.onnx_models.open_ends import float_outputs as leave_open
from coursekit.onnx_models.outcomes import need_loadable
from coursekit.onnx_models.packages import need, quiet
from coursekit.onnx_models.running import optimized
from coursekit.onnx_models.sharing import turn_shared

if TYPE_CHECKING:
    import onnx

__all__ = ["quantize_dynamic", "quantize_static"]

FLOAT16 = 10  # TensorProto's number for it
WEIGHTS = {"int8": "QInt8", "uint8": "QUInt8"}
CALIBRATION = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
# ONNX Runtime's ConvInteger on CPUs knows unsigned weights only.
UNSIGNED_ONLY = "Conv"
# What carries most weights, for models where the quantizer breaks something else.
CORE = ("MatMul", "Gemm", "Conv", "LSTM")
MADE_UP = ("_quantized", "_scale", "_zero_point")  # how the quantizer ends the names of its own values

Quantizer = Callable[["onnx.ModelProto", Path, tuple[str, ...] | None], None]


def quantize_dynamic(
    source: Any, target: Any, *, weights: str = "int8", per_channel: bool = False, reduce_range: bool = False
) -> OnnxFile:
    """Write a copy of the ONNX file with 8-bit weights, whose activations are quantized as they come.

    Parameters
    ----------
    source, target : path
        The float32 file, and where to write. ``target`` is replaced in one step, once the new file has been
        loaded by ONNX Runtime.
    weights : {"int8", "uint8"}
        Symmetric, or with a zero point; convolutions always get uint8, because ONNX Runtime's CPU kernels
        know no other.
    per_channel : bool
        A scale for every output.
    reduce_range : bool
        7 bits, for CPUs without VNNI, where sums of 8-bit products can overflow.

    Returns
    -------
    OnnxFile
        What came out; ``left_in_float`` names what ONNX Runtime could not quantize.

    Warns
    -----
    UserWarning
        Where some matrices of weights stay floats, as those of GRU do.

    Raises
    ------
    FileNotFoundError
        If ``source`` is missing.
    TypeError, ValueError
        For a source that is damaged, quantized already, of float16, with weights that are not finite, or
        without anything to quantize.

    Notes
    -----
    Where weights stay floats at first, constants are folded and it is tried again: PyTorch's exporter stores
    the weights of an LSTM in an order that the file itself turns round, which hides them.

    """
    kind = WEIGHTS[arguments.choice("weights", weights, WEIGHTS)]
    options = {
        "per_channel": arguments.flag("per_channel", per_channel),
        "reduce_range": arguments.flag("reduce_range", reduce_range),
    }
    model, out = _source(source), target_path("target", target)

    def run(model: "onnx.ModelProto", path: Path, operators: tuple[str, ...] | None) -> None:
        turn_shared(model)
        chosen = operators or tuple(need("onnxruntime.quantization.registry").IntegerOpsRegistry)
        _dynamic(model, path, chosen, kind, options)

    return _written(run, model, checked_path("source", source), out)


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
    float_outputs: bool = False,
) -> OnnxFile:
    """Write a copy of the ONNX file whose weights and activations have 8 bits, with scales fixed beforehand.

    Parameters
    ----------
    source, target : path
        As for ``quantize_dynamic``.
    batches : iterable or reader
        Arrays [n, …] (tuples or dicts of arrays for several inputs), or a reader with ``get_next()`` that
        gives dicts and then None, as onnxruntime's CalibrationDataReader.
    weights, activations : {"int8", "uint8"}
        Symmetric, or with a zero point.
    per_channel, reduce_range : bool
        As for ``quantize_dynamic``.
    method : {"minmax", "entropy", "percentile"}
        How the range of the activations is chosen. The last two look at all batches as one: they may differ
        in their number of rows only.
    float_outputs : bool
        Whether the file's outputs stay floats; by default they are rounded to 8 bits as everything else is.

    Returns
    -------
    OnnxFile
        What came out; ``left_in_float`` names what ONNX Runtime could not quantize.

    Warns
    -----
    UserWarning
        As ``quantize_dynamic``.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As ``quantize_dynamic``; and for no batch, or batches that do not fit or are not finite.

    """
    given = {"weights": weights, "activations": activations}
    kinds = [WEIGHTS[arguments.choice(name, value, WEIGHTS)] for name, value in given.items()]
    chosen = CALIBRATION[arguments.choice("method", method, CALIBRATION)]
    quantization = need("onnxruntime.quantization")
    weight_type, activation_type = (getattr(quantization.QuantType, name) for name in kinds)
    options = {
        "weight_type": weight_type,
        "activation_type": activation_type,
        "per_channel": arguments.flag("per_channel", per_channel),
        "reduce_range": arguments.flag("reduce_range", reduce_range),
        "calibrate_method": getattr(quantization.CalibrationMethod, chosen),
    }
    open_ends = arguments.flag("float_outputs", float_outputs)
    model, out = _source(source), target_path("target", target)
    seen = Batches(batches, model, at_once=method != "minmax")

    def run(model: "onnx.ModelProto", path: Path, operators: tuple[str, ...] | None) -> None:
        kinds = None if operators is None else list(operators)
        quantization.quantize_static(model, str(path), seen.reader(), op_types_to_quantize=kinds, **options)
        if open_ends:
            _leave_open(path)

    return _written(run, model, checked_path("source", source), out)


def _dynamic(
    model: "onnx.ModelProto", path: Path, operators: tuple[str, ...], kind: str, options: dict[str, bool]
) -> None:
    """Quantize everything but convolutions to ``kind``, then those to uint8."""
    quantization, onnx = need("onnxruntime.quantization"), need("onnx")
    steps = [([name for name in operators if name != UNSIGNED_ONLY], kind)]
    if any(node.op_type == UNSIGNED_ONLY for node in model.graph.node):
        steps.append(([UNSIGNED_ONLY], WEIGHTS["uint8"]))
    for number, (kinds, numbers) in enumerate(steps, 1):
        weight_type = getattr(quantization.QuantType, numbers)
        quantization.quantize_dynamic(
            model, str(path), op_types_to_quantize=kinds, weight_type=weight_type, **options
        )
        model = onnx.load(str(path))
        tidy(model)
        if number < len(steps):  # else the second step makes up the same names once more
            made = [value for node in model.graph.node for value in node.output if value.endswith(MADE_UP)]
            rename(model.graph, {value: f"{value}_1" for value in made})
    path.write_bytes(model.SerializeToString())


def _leave_open(path: Path) -> None:
    """Let the outputs of the file that the quantizer wrote stay floats."""
    made = need("onnx").load(str(path))
    leave_open(made)
    path.write_bytes(made.SerializeToString())


def _source(source: Any) -> "onnx.ModelProto":
    """Return the model in the file, ready to be quantized, with a graph of its own."""
    model = read(source, "source", weights=True)
    if found := quantized(model):
        raise ValueError(
            f"{source} is quantized already (it holds {found}): start from the file it came from"
        )
    if any(tensor.data_type == FLOAT16 and len(tensor.dims) > 1 for tensor in model.graph.initializer):
        raise ValueError(f"{source} has float16 weights, and only float32 is quantized: export model.float()")
    if broken := broken_weights(model):
        raise ValueError(f"{source} has weights that are NaN or infinite, in {broken}: no scale fits them")
    tidy(model)
    return model


@dataclass(frozen=True)
class _Attempt:
    """What came out of one way to quantize: the model, and how many weights are still floats."""

    model: "onnx.ModelProto"
    left: int


def _written(run: Quantizer, model: "onnx.ModelProto", source: Path, target: Path) -> OnnxFile:
    """Put at ``target`` what comes out of the first way that leaves no weight in floats, else of the best."""
    with replacing(target) as temporary:
        write(_best(run, model, source, temporary), temporary)
        before, made = describe(source), described(temporary, target)
    if made.left_in_float:
        warnings.warn(
            f"{made.path.name} is INT8 in part only: ONNX Runtime leaves {counts_text(made.left_in_float)} "
            f"in floats; {source.name} has {before.size_bytes:,} bytes, it {made.size_bytes:,}",
            stacklevel=3,
        )
    return made


def _best(run: Quantizer, model: "onnx.ModelProto", source: Path, path: Path) -> "onnx.ModelProto":
    """Return the quantized model that leaves fewest weights in floats; ValueError if none comes out."""
    attempts: list[_Attempt] = []
    failed: Exception | None = None
    for version, operators in _ways(model, source):
        try:
            attempts.append(_attempt(run, version, operators, path))
        except (ValueError, RuntimeError, KeyError, AttributeError, AssertionError) as error:
            failed = failed or error
            continue
        if not attempts[-1].left:
            break
    found = [each for each in attempts if quantized(each.model)]
    if found:
        return min(found, key=lambda each: each.left).model
    if attempts or failed is None:
        left = {kind: count for kind, count in float_weights(model).items() if kind not in CORE}
        stays = f"; {counts_text(left)} cannot be" if left else ""
        raise ValueError(
            f"{source} has no Linear, MatMul or convolution with float32 weights to quantize{stays}"
        )
    raise ValueError(shortened(f"{source} cannot be quantized: {failed}")) from failed


def _ways(
    model: "onnx.ModelProto", source: Path
) -> Iterator[tuple["onnx.ModelProto", tuple[str, ...] | None]]:
    """Yield the model as it is and with its constants folded, and which operators to quantize (None: all)."""
    yield copy.deepcopy(model), None
    folded = _folded(source)
    yield copy.deepcopy(folded), None
    yield copy.deepcopy(model), CORE
    yield folded, CORE


def _folded(source: Path) -> "onnx.ModelProto":
    """Return the model with its constants folded by ONNX Runtime."""
    with tempfile.TemporaryDirectory(prefix="coursekit-") as folder:
        path = optimized(source, Path(folder) / "folded.onnx", "basic").path
        model = need("onnx").load(str(path))
    tidy(model)
    return model


def _attempt(
    run: Quantizer, model: "onnx.ModelProto", operators: tuple[str, ...] | None, path: Path
) -> _Attempt:
    """Quantize, tidy what came out, and see that ONNX Runtime loads it."""
    with quiet():
        run(model, path, operators)
    made = need("onnx").load(str(path))
    tidy(made)
    made.graph.ClearField("value_info")
    for node in made.graph.node:
        node.ClearField("name")  # long names, made up by the quantizer, weigh as much as a small layer
    path.write_bytes(made.SerializeToString())
    need_loadable(path, "the quantizer wrote a damaged file")
    return _Attempt(made, float_weights(made).total())
