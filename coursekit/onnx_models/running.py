"""Run an ONNX file with ONNX Runtime: what goes in is checked, what comes out is numpy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import runtime
from coursekit._core import arguments
from coursekit.onnx_models.files import (
    OnnxFile,
    checked_path,
    damaged,
    described,
    read,
    replacing,
    target_path,
    write,
)
from coursekit.onnx_models.labels import Answer, answer_of
from coursekit.onnx_models.packages import need

__all__ = ["CPU", "CUDA", "Input", "Runner", "feeds", "input_of", "load", "optimized"]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
LEVELS = {"none": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}
ONLY_FATAL = 4  # what ONNX Runtime may say by itself: everything else comes as an exception
NO_CUDA = (
    "onnxruntime {version} has no CUDA provider here ({reason}), so this runs on the CPU. "
    "On a machine with an NVIDIA GPU: pip install onnxruntime-gpu in the place of onnxruntime."
)
_NUMPY = {"float": "float32", "double": "float64", "half": "float16"}

Input = tuple[str, str, int]  # name, numpy's type, number of dimensions


class Runner:
    """An ONNX file, loaded and ready: ``runner(x)`` gives the logits, ``runner.run(x)`` all outputs.

    ``provider`` is "CPU" or "CUDA"; ``note`` says why it is not CUDA where that was asked for, else it is
    empty. ``session`` is ONNX Runtime's own. Made by ``load``.

    Parameters
    ----------
    session : object
        ONNX Runtime's session.
    path : Path
        The file that it was made from.
    note : str, optional
        Why it does not run on CUDA.
    answer : Answer, optional
        Which output tells labels; by default the first one with floats.
    """

    def __init__(self, session: Any, path: Path, note: str = "", answer: Answer | None = None) -> None:
        self.session = session
        self.path = path
        self.note = note
        self.provider = session.get_providers()[0].removesuffix("ExecutionProvider")
        self.inputs: tuple[Input, ...] = tuple(
            (value.name, _numpy_type(value.type), len(value.shape)) for value in session.get_inputs()
        )
        self.shapes = tuple(tuple(value.shape) for value in session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(value.name for value in session.get_outputs())
        kinds = [value.type for value in session.get_outputs()]
        self._logits = next((i for i, kind in enumerate(kinds) if "float" in kind or "double" in kind), 0)
        self._answer = answer or Answer(self.outputs[self._logits])

    def __call__(self, x: Any) -> NDArray[Any]:
        """Return the logits for ``x``: the first output of floats (scikit-learn's probabilities, say)."""
        return self._run([self.outputs[self._logits]], x)[0]

    def run(self, x: Any) -> tuple[NDArray[Any], ...]:
        """Return all outputs for an input.

        Parameters
        ----------
        x : object
            An array, or a tuple or dict of arrays for several inputs.

        Returns
        -------
        tuple of ndarray
            The outputs, in the file's order.

        Raises
        ------
        TypeError, ValueError
            For input that does not fit or is not finite.
        """
        return tuple(self._run(None, x))

    def labels(self, x: Any) -> NDArray[Any]:
        """Return the label of every input [n]: the file's own, else the number of the class with most score.

        Parameters
        ----------
        x : array_like, tuple or dict
            As for ``run``.

        Returns
        -------
        ndarray
            Text where the file's labels are text, else int64. One score per input (a logit, or a probability
            where the file ends in a Sigmoid) tells 1 from 0.

        Raises
        ------
        TypeError, ValueError
            For input that does not fit; for a file whose outputs are not scores of classes, as a regressor's,
            and where it is not clear which output holds them; for outputs of another shape than [n] or
            [n, classes]; for NaN.

        """
        if self._answer.refusal:
            raise ValueError(f"{self.path.name} gives no labels: {self._answer.refusal}")
        given = feeds(self.inputs, x, "x")
        (values,) = self._run_on([self._answer.output], given)
        return self._answer.labels(values, len(next(iter(given.values()))))

    def _run(self, names: Sequence[str] | None, x: Any) -> list[Any]:
        return self._run_on(names, feeds(self.inputs, x, "x"))

    def _run_on(self, names: Sequence[str] | None, given: dict[str, NDArray[Any]]) -> list[Any]:
        try:
            return self.session.run(names, given)
        except Exception as error:
            raise self._explained(given, error) from error

    def _explained(self, given: Mapping[str, NDArray[Any]], error: Exception) -> Exception:
        for (name, _, _), shape in zip(self.inputs, self.shapes, strict=True):
            pairs = zip(shape, given[name].shape, strict=True)
            if any(isinstance(want, int) and want != got for want, got in pairs):
                wanted = ", ".join(str(size) if size is not None else "any" for size in shape)
                return ValueError(f"{name} must have shape [{wanted}]; got {given[name].shape}")
        return RuntimeError(f"ONNX Runtime cannot run {self.path.name}: {_first_line(error)}")

    def __repr__(self) -> str:
        return f"{self.path.name} on {self.provider}" + (f". {self.note}" if self.note else "")


def load(path: Any, *, threads: int = 1, optimize: bool | str = True, device: str | None = None) -> Runner:
    """Load an ONNX file with ONNX Runtime, ready to run.

    Where CUDA is wanted but ONNX Runtime has no provider for it, the CPU does the work and the runner's
    ``note`` says so.

    Parameters
    ----------
    path : object
        The file.
    threads : int, optional
        How many threads it runs on.
    optimize : bool or str, optional
        Whether to fuse operators first; a level's name works, too: none, basic, extended, all.
    device : str, optional
        "cpu", "cuda" or "auto"; by default as ``runtime.device()``.

    Returns
    -------
    Runner
        The file, loaded and ready.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        For a damaged file, with what to do.
    """
    options = _options(runtime.count_of_threads(threads), _level(optimize))
    cuda, note = _cuda_wanted(device)
    model = read(path)
    where = checked_path("path", path)
    session = _session(where, options, [CUDA, CPU] if cuda else [CPU])
    if cuda and session.get_providers()[0] != CUDA:
        note = _no_cuda("it could not be started")
    return Runner(session, where, note, answer_of(model))


def optimized(source: Any, target: Any, level: str = "extended") -> OnnxFile:
    """Write the model as ONNX Runtime runs it after its own optimisations, and describe it.

    Parameters
    ----------
    source : object
        The file to read.
    target : object
        The file to write.
    level : str, optional
        "basic" (folds constants, drops what does nothing), "extended" (fuses operators as well) or "all"
        (also what fits this CPU only).

    Returns
    -------
    OnnxFile
        What ``target`` holds.

    Raises
    ------
    FileNotFoundError
        If ``source`` is missing.
    ValueError
        For a damaged file, an unknown level, or a target that cannot be written.
    """
    options = _options(1, arguments.choice("level", level, [name for name in LEVELS if name != "none"]))
    read(source, "source")
    with replacing(target_path("target", target)) as temporary:
        options.optimized_model_filepath = str(temporary)
        _session(checked_path("source", source), options, [CPU])
        write(need("onnx").load(str(temporary)), temporary)
        made = described(temporary, target)
    return made


def feeds(inputs: Sequence[Input], x: Any, name: str) -> dict[str, NDArray[Any]]:
    """Return an input as arrays by name, each of the right type and number of dimensions, and finite.

    Parameters
    ----------
    inputs : sequence of Input
        Names, types and numbers of dimensions.
    x : object
        An array, or a tuple or dict of arrays for several inputs.
    name : str
        What an error calls the argument.

    Returns
    -------
    dict of str to ndarray
        The arrays by input name.

    Raises
    ------
    TypeError, ValueError
        For input that does not fit or is not finite.
    """
    wanted = ", ".join(each for each, _, _ in inputs)
    if isinstance(x, Mapping):
        given = dict(x)
        if set(given) != {each for each, _, _ in inputs}:
            named = ", ".join(map(str, given)) or "none"
            raise ValueError(f"{name} must name the inputs {wanted}; got {named}")
    else:
        values = x if isinstance(x, tuple) else (x,)
        if len(values) != len(inputs):
            raise ValueError(f"{name} must hold {len(inputs)} inputs ({wanted}); got {len(values)}")
        given = {each: value for (each, _, _), value in zip(inputs, values, strict=True)}
    return {each: _fitting(given[each], dtype, ndim, name) for each, dtype, ndim in inputs}


def input_of(info: Any) -> Input:
    """Return name, type and number of dimensions of an input as the file declares it.

    Parameters
    ----------
    info : ValueInfoProto
        The input.

    Returns
    -------
    tuple of (str, str, int)
        Its name, the name of numpy's type, and the number of dimensions.

    Raises
    ------
    ValueError
        For an input that is not a tensor.
    """
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type"):
        raise ValueError(f"only models that take numbers can be run here; {info.name} is something else")
    dtype = need("onnx").helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return info.name, dtype, len(kind.shape.dim)


def _fitting(value: Any, dtype: str, ndim: int, name: str) -> NDArray[Any]:
    # The way of most calls, in 3 µs: a small model runs in 10.
    if type(value) is np.ndarray and value.dtype == dtype and value.ndim == ndim and np.isfinite(value).all():
        return value
    given = arguments.plain(name, value)
    if given.size == 0:
        raise ValueError(f"{name} is empty: at least one input is needed")
    if dtype == "bool":
        return _yes_or_no(name, given, ndim)
    return arguments.array(name, value, np.dtype(dtype).type, ndim)


def _yes_or_no(name: str, given: NDArray[Any], ndim: int) -> NDArray[Any]:
    if given.dtype != np.bool_:
        raise TypeError(f"{name} must be an array of bools; got {given.dtype}")
    if given.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s); got shape {given.shape}")
    return given


def _level(optimize: Any) -> str:
    """Return the name of a level of optimisation: that itself, or what yes and no mean."""
    if isinstance(optimize, str):
        return optimize
    return "all" if arguments.flag("optimize", optimize) else "none"


def _options(threads: int, level: str) -> Any:
    onnxruntime = need("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    chosen = LEVELS[arguments.choice("optimize", level, LEVELS)]
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{chosen}")
    options.log_severity_level = ONLY_FATAL
    return options


def _session(path: Path, options: Any, providers: list[str]) -> Any:
    try:
        return need("onnxruntime").InferenceSession(str(path), options, providers=providers)
    except ImportError:
        raise
    except Exception as error:  # a dozen kinds of its own, without a common name
        raise damaged(path, f"ONNX Runtime says: {_first_line(error)}") from error


def _cuda_wanted(device: str | None) -> tuple[bool, str]:
    """Return whether to ask ONNX Runtime for CUDA, and what to say if it is wanted but not there."""
    if device is not None:
        arguments.choice("device", device, runtime.DEVICES)
    there = CUDA in need("onnxruntime").get_available_providers()
    wanted = device == "cuda" or (device != "cpu" and runtime.device(device).type == "cuda")
    return wanted and there, "" if there or not wanted else _no_cuda("this build is for CPUs")


def _no_cuda(reason: str) -> str:
    return NO_CUDA.format(version=need("onnxruntime").__version__, reason=reason)


def _numpy_type(kind: str) -> str:
    """Return numpy's name for ONNX Runtime's "tensor(float)"; ValueError for anything but numbers."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    name = _NUMPY.get({"float16": "half"}.get(name, name), name)
    if name not in np.sctypeDict or name == "string":
        raise ValueError(f"only models that take numbers can be run here; this one takes {kind}")
    return name


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
