"""Arrays as callers hand them in: what they may hold, and which of them do not simply hold their numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NUMBERS", "array", "dense", "finite", "plain", "special", "to_numpy"]

NUMBERS = "fiu"  # numpy's kinds of real numbers: not bool, complex, text, object, date or duration
# Formats of torch that numpy has no name for.
_TORCH_ONLY = ("torch.bfloat16", "torch.float8", "torch.float4")


def array(name: str, value: Any, dtype: type = np.float32, ndim: int | None = None) -> NDArray[Any]:
    """Return ``value`` (list, array or tensor) as a finite, non-empty numpy array, a copy.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array_like
        Real numbers; bools, texts, complex numbers and objects are refused.
    dtype : type
        The result's. Whole numbers must fit into it; others are rounded to it.
    ndim : int, optional
        How many dimensions it must have.

    Returns
    -------
    ndarray
        Of ``dtype``, in the shape of ``value``.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it is empty, has another shape, hides values behind a mask, stores them in a form that is not plain
        (sparse, nested, quantized, or on torch's device "meta"), or has some that are NaN, infinite or too
        large for ``dtype``.
    """
    result = plain(name, value)
    if result.dtype.kind not in NUMBERS:
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__} of {result.dtype}")
    if result.size == 0:
        raise ValueError(f"{name} is empty (shape {result.shape}): at least one number is needed")
    if ndim is not None and result.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s); got shape {result.shape}")
    return _converted(name, result, dtype)


def plain(name: str, value: Any) -> NDArray[Any]:
    """Return ``value`` as a numpy array in its own type, whatever it holds.

    Raises
    ------
    TypeError
        If numpy cannot make an array of it.
    ValueError
        If it hides values or stores them in a form that is not plain, as in ``array``.
    """
    dense(name, value)
    try:
        return _widened(np.asarray(to_numpy(value)))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__}") from None


def finite(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return ``values``, an array of floats, if none is NaN or infinite.

    Raises
    ------
    ValueError
        With how many are not.
    """
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise ValueError(f"{name} must be finite; {bad} of {values.size} values are NaN or infinite")
    return values


def dense(name: str, value: Any) -> Any:
    """Return ``value`` unless it is an array or a tensor that does not simply hold all of its numbers.

    Anything else comes back as it is.

    Raises
    ------
    ValueError
        For a masked array that hides values, a sparse array, or a tensor that is sparse, nested, quantized or
        on torch's device "meta"; the message says how to make it plain.
    """
    found = special(value)
    if found is not None:
        raise ValueError(f"{name} must be a plain array or tensor; got {found}")
    return value


def to_numpy(value: Any) -> Any:
    """Turn a torch tensor into a numpy array without importing torch; leave anything else as it is."""
    if _is_tensor(value):
        tensor = value.detach().cpu().resolve_conj().resolve_neg()
        return tensor.float().numpy() if str(tensor.dtype).startswith(_TORCH_ONLY) else tensor.numpy()
    return value


def special(value: Any) -> str | None:
    """Say which form of array hides or packs its numbers, and what makes it plain; None for all others."""
    if isinstance(value, np.ma.MaskedArray):
        hidden = np.count_nonzero(np.ma.getmaskarray(value))
        advice = "use .compressed() or .filled()"
        return f"a masked array that hides {hidden} of its values ({advice})" if hidden else None
    if _is_tensor(value):
        return _special_tensor(value)
    if type(value).__module__.partition(".")[0] == "scipy" and hasattr(value, "toarray"):
        return "a sparse array (use .toarray())"
    return None


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "cpu") and not isinstance(value, type)


def _special_tensor(tensor: Any) -> str | None:
    if getattr(tensor, "is_nested", False):
        return "a nested tensor (use .to_padded_tensor())"
    if getattr(tensor, "is_quantized", False):
        return "a quantized tensor (use .dequantize())"
    if getattr(tensor, "is_meta", False):
        return 'a tensor on the device "meta", which holds no values'
    layout = str(getattr(tensor, "layout", "torch.strided"))
    return None if layout == "torch.strided" else f"a tensor of layout {layout} (use .to_dense())"


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    """Return values of ml_dtypes' formats (bfloat16, float8, int4), which numpy calls void, as float64."""
    is_number = values.dtype.kind == "V" and values.dtype.type is not np.void
    return values.astype(np.float64) if is_number else values


def _converted(name: str, values: NDArray[Any], dtype: type) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        converted: NDArray[Any] = values.astype(dtype)
    if converted.dtype.kind in "iu" and not np.array_equal(converted, values):
        raise ValueError(
            f"{name} must hold whole numbers within {converted.dtype}; got {values.dtype} values outside"
        )
    if converted.dtype.kind == "f":
        finite(name, values)
        lost = converted.size - np.count_nonzero(np.isfinite(converted))
        if lost:
            raise ValueError(
                f"{name} must be finite in {converted.dtype}; {lost} of {converted.size} values are too large"
            )
    return converted
