"""Clipping by the weights' error: the scale of each row or group that loses least, found by a search."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.quantization.affine import quantize
from coursekit.quantization.matrices import Rounded, as_matrix, as_scheme, levels, rounded_from

__all__ = ["FACTORS", "round_clipped"]

FACTORS = tuple(round(0.3 + 0.02 * step, 2) for step in range(36))  # 0.30, 0.32 … 1.00


def round_clipped(
    weight: Any,
    bits: int,
    group_size: int | None = None,
    *,
    symmetric: bool = True,
    factors: Any = FACTORS,
) -> Rounded:
    """Return a weight matrix rounded with, for each row or group, the clip that has the least squared error.

    Parameters
    ----------
    weight : array_like
        [out, in], finite.
    bits : int
        2 to 8; 1 to 8 if asymmetric.
    group_size : int, optional
        How many neighbours along a row share a scale; by default a whole row.
    symmetric : bool
        As in ``round_matrix``.
    factors : sequence of float
        Shares of the range to try, ascending, above 0 and up to 1. The best share depends on how many weights
        share the scale; on a tie the largest one wins.

    Returns
    -------
    Rounded
        With smaller scales than those of ``round_matrix``, or equal ones.

    Raises
    ------
    TypeError, ValueError
        As ``round_matrix``, for 1 bit if symmetric, and for factors that do not fit.

    Notes
    -----
    The weights' error is not the output's: a clipped weight may be one that large inputs meet.
    """
    values = as_matrix(weight)
    bits, group_size, symmetric = as_scheme(bits, group_size, symmetric, values.shape[1])
    if symmetric:
        arguments.integer("bits", bits, 2)
    tried = np.array(arguments.ascending("factors", factors, 0, 1), np.float32)
    if tried[0] == 0:
        raise ValueError("factors must be more than 0; got 0")
    blocks = values.reshape(-1, group_size or values.shape[1])
    own = quantize(blocks, bits, symmetric=symmetric, signed=symmetric, axis=0)
    scale = own.scale * _best(blocks, own.scale, own.zero_point, levels(bits, symmetric), tried)
    found = quantize(blocks, bits, symmetric=symmetric, signed=symmetric, axis=0, scale=scale)
    shape = (len(values), -1)
    q, zero_point = found.q.reshape(values.shape), found.zero_point.reshape(shape)
    return rounded_from(q, found.scale.reshape(shape), zero_point, bits, symmetric)


def _best(
    blocks: NDArray[np.float32],
    scale: NDArray[np.float32],
    zero_point: NDArray[np.int32],
    levels: tuple[int, int],
    factors: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return, for each block, the factor on its scale with the least squared error, [blocks, 1]."""
    low, high = (np.float32(level) - zero_point.astype(np.float32) for level in levels)
    best = np.full(len(blocks), np.inf)
    chosen = np.ones_like(scale)
    work = np.empty_like(blocks)
    for factor in factors[::-1]:
        with np.errstate(over="ignore"):
            np.divide(blocks, scale * factor, out=work)
        np.clip(np.rint(work, out=work), low, high, out=work)
        np.subtract(np.multiply(work, scale * factor, out=work), blocks, out=work)
        error = np.einsum("bi,bi->b", work, work, dtype=np.float64)
        better = error < best
        best[better], chosen[better] = error[better], factor
    return chosen
