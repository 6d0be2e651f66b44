"""How many runs it takes: the median of the first 1, 2, … runs, its interval, and where it comes to rest."""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments

__all__ = ["RunningMedians", "running_medians", "settled", "sign_test_rank"]

TAIL = 0.025  # of the 95 % interval, at either end


class RunningMedians(NamedTuple):
    """The median of the first 1, 2, … runs and the ends of its 95 % interval, [runs] each.

    ``low`` and ``high`` are NaN for fewer than six runs, which have no such interval.
    """

    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def running_medians(seconds: Any) -> RunningMedians:
    """Return the median of the first 1, 2, … runs, with an interval that assumes nothing about the noise.

    Parameters
    ----------
    seconds : array_like
        A number per run, [runs], in the order in which they were measured.

    Returns
    -------
    RunningMedians
        Medians and interval ends, in the unit of ``seconds``.

    Raises
    ------
    TypeError, ValueError
        For what is not a list of finite numbers.

    Notes
    -----
    The interval lies between two of the sorted runs, as the sign test says (Thompson, Annals of Mathematical
    Statistics 7, 1936).

    """
    values = arguments.array("seconds", seconds, np.float64, ndim=1)
    found = np.full((3, len(values)), np.nan)
    for count in range(1, len(values) + 1):
        ordered = np.sort(values[:count])
        found[0, count - 1] = np.median(ordered)
        rank = sign_test_rank(count, TAIL)
        if rank:
            found[1:, count - 1] = ordered[rank - 1], ordered[count - rank]
    return RunningMedians(*found)


def settled(medians: Any, tolerance: float) -> int:
    """Return the run (from 1) from which on the median stays near its last value.

    Parameters
    ----------
    medians : array_like
        The median of the first 1, 2, … runs, [runs].
    tolerance : float
        How far from the last one still counts as near, in per cent of it.

    Returns
    -------
    int
        1 if it never was further away.

    Raises
    ------
    TypeError, ValueError
        For what is not a list of finite numbers that ends above 0, or a negative tolerance.

    """
    values = arguments.array("medians", medians, np.float64, ndim=1)
    near = arguments.real("tolerance", tolerance, 0) / 100
    if values[-1] <= 0:
        raise ValueError(f"medians must end above 0, to have a per cent; got {values[-1]:g}")
    outside = np.flatnonzero(np.abs(values / values[-1] - 1) > near)
    return int(outside[-1]) + 2 if len(outside) else 1


@functools.cache
def sign_test_rank(count: int, tail: float) -> int:
    """Return at which of ``count`` sorted values, from either end, the interval for their median ends.

    Parameters
    ----------
    count : int
        How many values there are.
    tail : float
        The risk at each end, such as 0.025 for a 95 % interval.

    Returns
    -------
    int
        A rank from 1 on; 0 if so few values have no such interval.

    """
    rank, term, total = 0, 1, 1
    while total / 2**count <= tail:
        rank += 1
        term = term * (count - rank + 1) // rank
        total += term
    return rank
