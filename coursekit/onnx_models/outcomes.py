"""Look at an ONNX file that was just written, before it takes the place of another."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit.onnx_models.files import read, shortened
from coursekit.onnx_models.packages import need

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["arrays_of", "need_loadable", "need_same_answers", "reason"]

# How far a file's answers may be from the model's, as a part of the largest: another order of sums, not
# another result. A branch that the exporter froze is off by more.
CLOSE = {"float16": 0.1, "float32": 0.01, "float64": 0.01}
EQUAL = 0.9  # of whole numbers, where a label may tip over a rounding
SMALL = 1e-3  # answers below it are compared as if the largest were this


def need_loadable(path: Path, what: str) -> Any:
    """Return ONNX Runtime's session of the file just written.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        How the message of an error begins.

    Returns
    -------
    InferenceSession
        The session, on the CPU, with one thread.

    Raises
    ------
    ImportError
        Without ONNX Runtime.
    ValueError
        Where ONNX Runtime cannot load the file.
    """
    onnxruntime = need("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        read(path)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except ImportError:
        raise
    except Exception as error:  # a dozen kinds of ONNX Runtime's own, without a common name
        why = reason(error).replace(str(path), path.name)
        raise ValueError(shortened(f"{what}: ONNX Runtime cannot load what came out ({why})")) from None


def need_same_answers(
    session: Any, model: "nn.Module", batches: Sequence[tuple["Tensor", ...]], name: str
) -> None:
    """Refuse a file that answers otherwise than the model does, to any of the batches.

    Parameters
    ----------
    session : object
        ONNX Runtime's session of the file.
    model : Module
        The model that was exported.
    batches : sequence of tuple of 'Tensor'
        The model's inputs, for several batch sizes.
    name : str
        What an error calls the model.

    Raises
    ------
    ValueError
        If the answers differ, or either fails.
    """
    for inputs in batches:
        sizes = " and ".join(str(list(each.shape)) for each in inputs)
        try:
            expected, again = (arrays_of(model(*inputs)) for _ in range(2))
        except Exception as error:
            raise ValueError(
                shortened(f"{name} cannot be exported: it fails for inputs of {sizes}: {reason(error)}")
            ) from error
        if not _alike(expected, again):
            return  # it rolls dice in eval mode, too: there is nothing to compare with
        feed = zip((each.name for each in session.get_inputs()), inputs, strict=False)
        try:
            found = session.run(None, {each: value.detach().cpu().numpy() for each, value in feed})
        except Exception as error:
            raise ValueError(
                shortened(f"{name} cannot be exported: the file fails for inputs of {sizes}: {reason(error)}")
            ) from error
        if not _alike(expected, found):
            raise ValueError(
                f"{name} cannot be exported: for inputs of {sizes} the file answers otherwise than the "
                "model. Does its forward branch on values or sizes?"
            )


def arrays_of(outputs: Any) -> list[NDArray[Any]]:
    """Return the tensors in what a model returned as arrays.

    Parameters
    ----------
    outputs : object
        A tensor, or tuples, lists and dicts of them.

    Returns
    -------
    list of ndarray
        The arrays, in order.
    """
    return [each.detach().cpu().numpy() for each in _tensors(outputs)]


def reason(error: BaseException) -> str:
    """Return the first line of the innermost error, with a full stop: PyTorch wraps it in pages of advice.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    str
        One line.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line.rstrip('.')}." if line else f"{type(error).__name__}."


def _tensors(outputs: Any) -> Iterator["Tensor"]:
    if isinstance(outputs, Mapping):
        outputs = tuple(outputs.values())
    if isinstance(outputs, tuple | list):
        for each in outputs:
            yield from _tensors(each)
    elif hasattr(outputs, "detach"):
        yield outputs


def _alike(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> bool:
    return len(expected) == len(found) and all(map(_close, expected, found))


def _close(expected: NDArray[Any], found: NDArray[Any]) -> bool:
    if expected.size != found.size or (expected.shape != found.shape and len(expected) > 1):
        return False
    expected, found = expected.ravel(), found.ravel()
    if expected.dtype.kind != "f":
        return expected.size == 0 or bool(np.mean(expected == found) >= EQUAL)
    finite = np.isfinite(expected)
    if not finite.any():
        return True
    gap = np.abs(expected[finite].astype(float) - found[finite].astype(float)).max()
    return bool(gap <= CLOSE.get(expected.dtype.name, 0.01) * max(np.abs(expected[finite]).max(), SMALL))
