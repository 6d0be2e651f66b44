"""Checks for what callers hand in: every message names the argument, what came and what is allowed."""

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a whole number; got {value!r} (bool)")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number; got {value!r} ({type(value).__name__})") from None
    _within(name, number, low, high)
    return number


def real(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    """Return ``value`` as a finite float within [low, high]."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except (TypeError, ValueError):
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
        result = np.asarray(to_numpy(value))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__}") from None
    if result.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__} of {result.dtype}")
    if result.size == 0:
        raise ValueError(f"{name} is empty (shape {result.shape}): at least one number is needed")
    if ndim is not None and result.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s); got shape {result.shape}")
    with np.errstate(over="ignore"):
        converted = result.astype(dtype)
    bad = converted.size - np.count_nonzero(np.isfinite(converted))
    if bad:
        raise ValueError(
            f"{name} must be finite; {bad} of {converted.size} values are NaN or infinite"
        )
    return converted


def to_numpy(value: Any) -> Any:
    """Turn a torch tensor into a numpy array without importing torch; leave anything else as it is."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        return tensor.float().numpy() if "bfloat16" in str(tensor.dtype) else tensor.numpy()
    return value


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
