"""From PyTorch to ONNX, on every supported version of both."""

import functools
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.onnx_models.files import OnnxFile, described, replacing, shortened, target_path, write
from coursekit.onnx_models.naming import BATCH, SEQUENCE, name_axis, name_ends, tidy
from coursekit.onnx_models.outcomes import need_loadable, need_same_answers, reason
from coursekit.onnx_models.packages import need, quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["evaluating", "export", "fitting"]

OPSET = 18
FLOATS = ("float16", "float32", "float64")  # that PyTorch, ONNX Runtime and numpy all have
Axes = dict[int, Any]  # free axes by number
_ALONE = threading.RLock()  # PyTorch's export patches itself while it runs, and so do we


def export(
    model: "nn.Module",
    path: Any,
    example: Any,
    *,
    dynamic_batch: bool = True,
    dynamic_sequence: bool = False,
) -> OnnxFile:
    """Write ``model`` in eval mode as one ONNX file, which replaces ``path`` in one step, and describe it.

    Parameters
    ----------
    model : torch.nn.Module
        Any module of tensors. What it returns, a tensor or a tuple or dict of tensors, become the outputs.
    path : path
        Where to write; replaced once the new file has been loaded and has answered as the model does, for the
        example and for inputs of other sizes along the free axes.
    example : array_like or tuple of array_like
        A batch of at least 2 inputs [n, …], or a tuple of such batches where the model takes several. Whole
        numbers and bools stay such; fractions become numbers of the type that the model's parameters have,
        float16, float32 or float64.
    dynamic_batch : bool
        Take batches of any size; else of the example's only.
    dynamic_sequence : bool
        Take sequences of any length as well: axis 1 of every input [n, length, …] is free. Inputs of one
        length in the example are of one length in the file.

    Returns
    -------
    OnnxFile
        What came out. A single input is called "input" and a single output "output"; several inputs have the
        names of forward's arguments, several outputs those of a dict's keys, else PyTorch's.

    Raises
    ------
    TypeError, ValueError
        For what cannot be exported, with PyTorch's reason; for parameters of another floating type or of
        several; where the file would answer otherwise than the model.

    """
    need("onnxscript")
    _exportable(model)
    target = target_path("path", path)
    free = (
        arguments.flag("dynamic_batch", dynamic_batch),
        arguments.flag("dynamic_sequence", dynamic_sequence),
    )
    inputs = _inputs(model, example, *free)
    with evaluating(model), replacing(target) as temporary:
        names = _run_once(model, inputs)
        with quiet():
            _by_torch(model, inputs, temporary, *free)
            tidy(proto := need("onnx").load(str(temporary)))
            name_axis(proto, 0, BATCH)
            name_axis(proto, 1, SEQUENCE)
            name_ends(proto, names)
            write(proto, temporary)
            session = need_loadable(temporary, f"{type(model).__name__} cannot be exported")
            _need_free(temporary, *free, type(model).__name__)
            need_same_answers(session, model, _other_sizes(inputs, *free), type(model).__name__)
        made = described(temporary, target)
    return made


@contextmanager
def evaluating(model: "nn.Module") -> Iterator[None]:
    """Put the model into eval mode, without gradients, for the block; afterwards each module is as before.

    Parameters
    ----------
    model : Module
        The model.

    Yields
    ------
    None
        The mode holds until the block ends.
    """
    import torch

    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def fitting(name: str, value: Any, model: "nn.Module") -> NDArray[Any]:
    """Return ``value`` as an array that the model takes: whole numbers and bools stay such.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    value : object
        An array of numbers.
    model : Module
        The model that takes it; its parameters decide the type of floats.

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    TypeError, ValueError
        Unless it is an array of finite numbers, and for parameters that are not all of one of the types
        in FLOATS.
    """
    floats, given = _float_type(model), arguments.plain(name, value)
    if given.dtype == np.bool_ and given.size:
        return given
    whole = np.int64 if given.dtype.kind == "u" and given.itemsize > 1 else given.dtype.type
    return arguments.array(name, value, whole if given.dtype.kind in "iu" else floats)


def _exportable(model: Any) -> None:
    """Refuse what is not a module, or one that the exporter cannot take, with what to do."""
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "model is TorchScript, which cannot be exported: give the nn.Module it was made from"
        )
    for name, module in model.named_modules():
        if ".quantized" in type(module).__module__ or type(module).__name__ == "DynamicLinear":
            raise ValueError(
                f"model is quantized ({name or 'itself'}: {type(module).__name__}), and its integers "
                "cannot be exported: export the float model, then quantize the file"
            )


def _inputs(model: "nn.Module", example: Any, batch: bool, sequence: bool) -> tuple["Tensor", ...]:
    """Return the example as tensors where the model is; a batch of one would be taken for a fixed size."""
    import torch

    place = next((part.device for part in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    given = example if isinstance(example, tuple) else (example,)
    if not given:
        raise ValueError("example is an empty tuple: give a batch of inputs")
    tensors = [torch.from_numpy(fitting("example", value, model).copy()).to(place) for value in given]
    least = 2 if batch else 1
    for tensor in tensors:
        if tensor.ndim < 1 or len(tensor) < least:
            raise ValueError(
                f"example must be a batch of at least {least} inputs, so that the exporter sees which axis "
                f"is the batch; got shape {tuple(tensor.shape)}"
            )
        if len(tensor) != len(tensors[0]):
            batches = ", ".join(str(len(each)) for each in tensors)
            raise ValueError(f"all inputs of example must be of one batch; got batches of {batches}")
    lengths = [tensor.shape[1] for tensor in tensors if tensor.ndim > 1]
    if sequence and (not lengths or min(lengths) < 2):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(
            f"example must have shape [n, length, …] with a length of at least 2 where "
            f"dynamic_sequence is on; got {shapes}"
        )
    return tuple(tensors)


def _float_type(model: "nn.Module") -> type[np.floating]:
    """Return the one type of the model's floating parameters; float32 for a model without any.

    PyTorch's exporter joins other types to them without a word, and no runtime takes such a file.
    """
    types = {part.dtype for part in model.parameters() if part.dtype.is_floating_point}
    found = sorted(str(each).removeprefix("torch.") for each in types) or ["float32"]
    if len(found) > 1 or found[0] not in FLOATS:
        raise ValueError(
            f"model must have parameters of one type, {', '.join(FLOATS[:-1])} or {FLOATS[-1]}; "
            f"got {' and '.join(found)}: use model.float()"
        )
    return np.dtype(found[0]).type


def _run_once(model: "nn.Module", inputs: tuple["Tensor", ...]) -> tuple[str, ...]:
    """Run the model on the example; return the keys where it answers with a dict."""
    _arguments(model, inputs)
    try:
        outputs = model(*inputs)
    except Exception as error:
        shapes = " and ".join(str(list(each.shape)) for each in inputs)
        raise ValueError(
            shortened(
                f"example does not fit {type(model).__name__}: inputs of {shapes} fail: {reason(error)}"
            )
        ) from error
    return tuple(map(str, outputs)) if isinstance(outputs, Mapping) else ()


def _other_sizes(inputs: tuple["Tensor", ...], batch: bool, sequence: bool) -> list[tuple["Tensor", ...]]:
    """Return the example, and pieces of it of other sizes along the free axes."""
    sizes = [inputs]
    if batch:
        sizes += [
            tuple(each[:1] for each in inputs),
            tuple(each.repeat(2, *[1] * (each.ndim - 1)) for each in inputs),
        ]
    if sequence:
        sizes.append(tuple(each[:, :-1] if each.ndim > 1 else each for each in inputs))
    return [tuple(each.contiguous() for each in some) for some in sizes]


def _need_free(path: Path, batch: bool, sequence: bool, name: str) -> None:
    """Refuse a file in which PyTorch has fixed an axis that was to be free."""
    fixed = _fixed_axis(path, batch, sequence)
    if fixed is not None:
        what = (BATCH, SEQUENCE)[fixed[0]]
        raise ValueError(
            f"{name} cannot be exported with a free {what} axis: PyTorch fixed it at {fixed[1]}, because "
            f"forward depends on it; use dynamic_{what}=False"
        )


def _fixed_axis(path: Path, batch: bool, sequence: bool) -> tuple[int, int] | None:
    """Return the first axis of an input that should be free and is not, and its size."""
    for value in need("onnx").load(str(path)).graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim[:2]):
            if (batch, sequence)[axis] and dim.HasField("dim_value"):
                return axis, dim.dim_value
    return None


def _by_torch(
    model: "nn.Module", inputs: tuple["Tensor", ...], path: Path, batch: bool, sequence: bool
) -> None:
    import torch

    options: dict[str, Any] = {
        "dynamo": True,
        "external_data": False,
        "opset_version": OPSET,
        "verbose": False,
    }
    known = inspect.signature(torch.onnx.export).parameters
    options = {name: value for name, value in options.items() if name in known}
    failed: Exception | None = None
    for rows, axes in _ways(inputs, batch, sequence):
        shapes = _by_argument(model, inputs, axes) if batch or sequence else None
        example = tuple(each[:rows] for each in inputs)
        try:
            with _ALONE, _operators_read_once():
                torch.onnx.export(model, example, str(path), dynamic_shapes=shapes, **options)
            if not sequence or _fixed_axis(path, batch, sequence) is None:
                return
        except Exception as error:  # PyTorch raises dozens of kinds here; its own message tells most
            failed = failed or error
    if failed is not None and not path.exists():
        raise ValueError(
            shortened(f"{type(model).__name__} cannot be exported: {reason(failed)}")
        ) from failed


@contextmanager
def _operators_read_once() -> Iterator[None]:
    """Keep onnxscript's list of operators: PyTorch asks for it at every export, half of a small one's time.

    It reads the source of 500 functions each time and finds the same, until somebody registers another one. A
    version that asks otherwise is left alone.
    """
    try:
        asked = importlib.import_module("torch.onnx._internal._lazy_import").onnxscript_apis
        found = asked.get_torchlib_ops
    except (ImportError, AttributeError):
        yield
        return
    asked.get_torchlib_ops = lambda: _read(found, _registered())
    try:
        yield
    finally:
        asked.get_torchlib_ops = found


@functools.lru_cache(maxsize=1)
def _read(found: Callable[[], list[Any]], _registered: object) -> list[Any]:
    return found()


def _registered() -> object:
    """Return what is another one as soon as an operator is registered."""
    room = "onnxscript.function_libs.torch_lib"
    try:
        importlib.import_module(f"{room}.ops")  # which registers its own
        registry = importlib.import_module(f"{room}.registration").default_registry
        return tuple((name, len(each.overloads), len(each.complex)) for name, each in registry.items())
    except (ImportError, AttributeError):
        return object()  # no two are equal: read anew


def _ways(inputs: tuple["Tensor", ...], batch: bool, sequence: bool) -> Iterator[tuple[int, list[Axes]]]:
    """Yield how many rows to show PyTorch, and the free axes of every input.

    First they are named; then PyTorch finds out their range: a model with positions for 64 tokens, say, takes
    no length beyond. The length of an LSTM comes out free for two rows of example, and fixed for more.
    """
    import torch

    make = torch.export.Dim
    lengths = list(dict.fromkeys(each.shape[1] for each in inputs if each.ndim > 1))
    names = [SEQUENCE, *(f"{SEQUENCE}_{number}" for number in range(2, len(lengths) + 1))]
    named, rows = dict(zip(lengths, map(make, names), strict=True)), make(BATCH)
    wanted = [[axis for axis in range(min(2, each.ndim)) if (batch, sequence)[axis]] for each in inputs]
    ways = [
        [
            {axis: named[each.shape[1]] if axis else rows for axis in free}
            for each, free in zip(inputs, wanted, strict=True)
        ]
    ]
    if sequence and hasattr(make, "DYNAMIC"):
        ways.append([dict.fromkeys(free, make.DYNAMIC) for free in wanted])
    for axes in ways:
        yield len(inputs[0]), axes
        if batch and sequence and len(inputs[0]) > 2:
            yield 2, axes


def _by_argument(model: "nn.Module", inputs: tuple["Tensor", ...], axes: list[Axes]) -> dict[str, Any]:
    """Return the free axes by the names of forward's arguments."""
    names, rest = _arguments(model, inputs)
    shapes: dict[str, Any] = dict(zip(names, axes, strict=False))
    return {**shapes, rest: tuple(axes[len(names) :])} if rest else shapes


def _arguments(model: "nn.Module", inputs: tuple["Tensor", ...]) -> tuple[list[str], str]:
    """Return the names of forward's arguments that take the inputs, and of the one that takes the rest."""
    names: list[str] = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return names, parameter.name
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    if len(names) < len(inputs):
        takes = f"{len(names)} inputs ({', '.join(names)})"
        raise ValueError(f"the model takes {takes}; example has {len(inputs)}")
    return names[: len(inputs)], ""
