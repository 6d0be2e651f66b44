"""Tensors that functions are given: dense, of the right kind and number of dimensions, or refused by name."""

from typing import Any

import torch
from torch import Tensor

from coursekit._core import arguments

__all__ = ["dense", "log_shares", "text_of", "tokens_of", "windows_of"]

MAPS = 4  # dimensions: batch, heads, from, to


def dense(name: str, value: Any, dims: int | None = None, *, whole: bool = False) -> Tensor:
    """Return a tensor that one can compute with.

    Parameters
    ----------
    name : str
        The argument's.
    value : object
        What was given.
    dims : int, optional
        How many dimensions it has; any from 1 on by default.
    whole : bool
        Whether it holds int64, and not floats.

    Returns
    -------
    Tensor
        ``value``.

    Raises
    ------
    TypeError, ValueError
        For what is no such tensor, is empty, or holds NaN or infinity.
    """
    tensor = arguments.instance(name, value, Tensor)
    kind = "an int64" if whole else "a float32 or float64"
    right = tensor.dtype == torch.int64 if whole else tensor.dtype in (torch.float32, torch.float64)
    if not right or tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
        raise TypeError(
            f"{name} must be {kind} tensor, dense and with values; got {tensor.dtype} {tensor.layout}"
        )
    if not tensor.dim() or (dims is not None and tensor.dim() != dims) or not tensor.numel():
        wanted = "1 dimension or more" if dims is None else f"{dims} dimensions"
        raise ValueError(f"{name} must have {wanted} and not be empty; got shape {list(tensor.shape)}")
    if not whole and not bool(tensor.detach().isfinite().all()):
        raise ValueError(f"{name} must be finite; got NaN or infinity")
    return tensor


def _numbered(name: str, value: Any, dims: int, vocabulary: int) -> Tensor:
    tensor = dense(name, value, dims, whole=True)
    low, high = int(tensor.min()), int(tensor.max())
    if low < 0 or high >= vocabulary:
        raise ValueError(f"{name} must lie between 0 and {vocabulary - 1}; got {low} to {high}")
    return tensor


def tokens_of(name: str, value: Any, vocabulary: int, context: int) -> Tensor:
    """Return tokens [batch, n] that a model can read.

    Parameters
    ----------
    name : str
        The argument's.
    value : object
        What was given.
    vocabulary, context : int
        Of the model.

    Returns
    -------
    Tensor
        ``value``.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    tensor = _numbered(name, value, 2, vocabulary)
    if tensor.shape[1] > context:
        raise ValueError(f"{name} must have at most {context} columns; got {tensor.shape[1]}")
    return tensor


def text_of(name: str, value: Any, length: int) -> Tensor:
    """Return the tokens of a text [n] of more than one window.

    Parameters
    ----------
    name : str
        The argument's.
    value : object
        What was given.
    length : int
        Of a window.

    Returns
    -------
    Tensor
        ``value``.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    tensor = dense(name, value, 1, whole=True)
    if len(tensor) <= length:
        raise ValueError(f"{name} must be longer than a window of {length}; got {len(tensor)}")
    return tensor


def windows_of(name: str, value: Any) -> Tensor:
    """Return windows [count, length + 1], as ``language.windows`` makes them.

    Parameters
    ----------
    name : str
        The argument's.
    value : object
        What was given.

    Returns
    -------
    Tensor
        ``value``.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    tensor = dense(name, value, 2, whole=True)
    if tensor.shape[1] < 2:
        raise ValueError(f"{name} must have 2 columns or more; got {tensor.shape[1]}")
    return tensor


def log_shares(name: str, value: Any) -> Tensor:
    """Return logarithms of shares [batch, heads, n, n].

    Parameters
    ----------
    name : str
        The argument's.
    value : object
        What was given.

    Returns
    -------
    Tensor
        ``value``.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    tensor = dense(name, value, MAPS)
    if float(tensor.detach().max()) > 0:
        raise ValueError(
            f"{name} must be logarithms of shares, at most 0; got {float(tensor.detach().max()):g}"
        )
    return tensor
