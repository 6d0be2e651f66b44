"""Lloyd and Max's levels for a coordinate of a randomly turned unit vector, computed, and what they lose."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments

__all__ = ["LEAST_DIM", "MOST_BITS", "distortion", "distortion_bounds", "levels"]

Array = NDArray[np.float64]
MOST_BITS, LEAST_DIM = 8, 4
POINTS = 40_001  # of the grid on which the density stands
FAR = 9.0  # standard deviations: what lies beyond weighs less than a double resolves
ROUNDS, SETTLED = 20_000, 1e-10


def levels(bits: int, dim: int | None = None) -> Array:
    """Return the levels with the least mean squared error for a coordinate of a random unit vector.

    Parameters
    ----------
    bits : int
        1 to 8: there are 2^bits levels.
    dim : int, optional
        Of the vector, 4 or more. By default the limit of many: the standard normal distribution.

    Returns
    -------
    ndarray of float64
        Ascending; multiplied by sqrt(dim), so that they have the same size for all dimensions.

    Raises
    ------
    TypeError, ValueError
        For other numbers.

    Notes
    -----
    Source: Lloyd, Least Squares Quantization in PCM (1982), and Max (1960): each level is the mean of what is
    nearer to it than to its neighbours. A coordinate's density is (1 - x^2)^((dim - 3) / 2), up to a factor.
    """
    return _solved(*_checked(bits, dim))[0].copy()


def distortion(bits: int, dim: int | None = None) -> float:
    """Return the mean squared error of a random unit vector whose coordinates are rounded to these levels.

    Parameters
    ----------
    bits : int
        1 to 8, per coordinate.
    dim : int, optional
        Of the vector; by default the limit of many.

    Returns
    -------
    float
        The mean of the squared length of the error.

    Raises
    ------
    TypeError, ValueError
        For other numbers.
    """
    return _solved(*_checked(bits, dim))[1]


def distortion_bounds(bits: int) -> tuple[float, float]:
    """Return what no method can go below, and what TurboQuant is proved to stay below.

    Parameters
    ----------
    bits : int
        1 to 8, per coordinate.

    Returns
    -------
    tuple of 2 float
        4^-bits, and sqrt(3) pi / 2 = 2.72 times as much.

    Raises
    ------
    TypeError, ValueError
        For other numbers.

    Notes
    -----
    Source: Zandieh, Daliri, Hadian and Mirrokni, TurboQuant (2025), theorems 1 and 3. The upper one is that
    of many levels (Panter and Dite 1951); few levels stay further below it.
    """
    least = 4.0 ** -_checked(bits, None)[0]
    return least, math.sqrt(3) * math.pi / 2 * least


def _checked(bits: int, dim: int | None) -> tuple[int, int | None]:
    bits = arguments.integer("bits", bits, 1, MOST_BITS)
    return bits, None if dim is None else arguments.integer("dim", dim, LEAST_DIM, arguments.LARGEST_SIZE)


@functools.cache
def _solved(bits: int, dim: int | None) -> tuple[Array, float]:
    """Return the levels and their distortion, from sums over a fine grid."""
    grid, mass = _density(dim)
    below = np.concatenate([[0.0], mass.cumsum()])
    moments = np.concatenate([[0.0], (mass * grid).cumsum()])
    edges = np.searchsorted(below, np.arange(1, 2**bits) / 2**bits)  # to begin with, all weigh the same
    found = np.zeros(2**bits)
    for _ in range(ROUNDS):
        cuts = np.concatenate([[0], edges, [len(grid)]])
        before, found = found, np.diff(moments[cuts]) / np.diff(below[cuts])
        if np.abs(found - before).max() < SETTLED:
            break
        edges = np.searchsorted(grid, (found[1:] + found[:-1]) / 2)
    nearest = np.repeat(found, np.diff(cuts))
    return found, float(mass @ (grid - nearest) ** 2)


def _density(dim: int | None) -> tuple[Array, Array]:
    """Return a grid, and the mass of a coordinate times sqrt(dim) at each of its points."""
    if dim is None:
        grid = np.linspace(-FAR, FAR, POINTS)
        mass = np.exp(-(grid**2) / 2)
    else:
        end = min(math.sqrt(dim), FAR)
        grid = np.linspace(-end, end, POINTS)
        logs = (dim - 3) / 2 * np.log1p(-np.minimum(grid**2 / dim, 1 - 1e-15))
        mass = np.exp(logs)
    return grid, mass / mass.sum()
