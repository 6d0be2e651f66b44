"""Checks for what callers hand in: every message names the argument, what came and what is allowed."""

import contextlib
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Formats of torch that numpy has no name for.
_TORCH_ONLY = ("torch.bfloat16", "torch.float8", "torch.float4")


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``allowed``; raise ValueError or TypeError otherwise."""
    options = list(allowed)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(options)}; got {value!r} ({type(value).__name__})")
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}; got {value!r}")
    return value


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Return ``value`` as an int within [low, high]; bools and fractions are refused."""
    try:
        number = operator.index(_scalar(value))
    except TypeError:
        raise TypeError(f"{name} must be a whole number; got {value!r} ({type(value).__name__})") from None
    _within(name, number, low, high)
    return number


def real(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    """Return ``value`` as a finite float within [low, high]."""
    try:
        number = float(_scalar(value))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})") from None
    except OverflowError:
        raise ValueError(f"{name} is too large for a float; got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; got {number}")
    _within(name, number, low, high)
    return number


def array(name: str, value: Any, dtype: type = np.float32, ndim: int | None = None) -> NDArray[Any]:
    """Return ``value`` (list, array or tensor) as a finite, non-empty numpy array of ``dtype``."""
    try:
        result = _widened(np.asarray(to_numpy(value)))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__}") from None
    if result.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__} of {result.dtype}")
    if result.size == 0:
        raise ValueError(f"{name} is empty (shape {result.shape}): at least one number is needed")
    if ndim is not None and result.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s); got shape {result.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = result.astype(dtype)
    if converted.dtype.kind in "iu" and not np.array_equal(converted, result):
        raise ValueError(
            f"{name} must hold whole numbers within {converted.dtype}; got {result.dtype} values outside"
        )
    bad = converted.size - np.count_nonzero(np.isfinite(converted))
    if bad:
        raise ValueError(f"{name} must be finite; {bad} of {converted.size} values are NaN or infinite")
    return converted


def to_numpy(value: Any) -> Any:
    """Turn a torch tensor into a numpy array without importing torch; leave anything else as it is."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        return tensor.float().numpy() if str(tensor.dtype).startswith(_TORCH_ONLY) else tensor.numpy()
    return value


def _scalar(value: Any) -> Any:
    """Return one-element arrays and tensors as the Python number they hold; refuse text and bools."""
    if hasattr(value, "dtype") and hasattr(value, "item"):
        with contextlib.suppress(ValueError, RuntimeError):  # more than one element: the caller refuses it
            value = value.item()
    if isinstance(value, bool | str | bytes | bytearray | memoryview):
        raise TypeError(type(value).__name__)
    return value


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    """Return values of ml_dtypes' formats (bfloat16, float8, int4), which numpy calls void, as float64."""
    is_number = values.dtype.kind == "V" and values.dtype.type is not np.void
    return values.astype(np.float64) if is_number else values


def _within(name: str, number: float, low: float | None, high: float | None) -> None:
    too_low = low is not None and number < low
    too_high = high is not None and number > high
    if too_low or too_high:
        span = (
            f"from {low} to {high}"
            if None not in (low, high)
            else (f"at least {low}" if high is None else f"at most {high}")
        )
        raise ValueError(f"{name} must be {span}; got {number}")
