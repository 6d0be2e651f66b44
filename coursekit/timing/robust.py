"""What rounds of timings say about a ratio: robust to bursts, drift and neighbours that steal the core.

The order of a round is drawn at random. So if two candidates are the same, each round's log-ratio is as
likely to be positive as negative, whatever the noise does: the sign test's interval holds its level.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from coursekit.timing.medians import sign_test_rank

__all__ = ["MIN_VALUES", "certain_interval", "log_ratios", "median_interval", "orders", "relative_iqr"]

SEED = 20260511
CONFIDENCE = 0.95
CERTAIN = 0.999
RESAMPLES = 500
# Six is the smallest number of values from which a 95 % interval for a median exists: 2 * 0.5**6 = 3 %.
MIN_VALUES = 6
# The middle half of a candidate's samples spans more than this part of its median: the machine is disturbed.
DISTURBED = 0.25
# Then the rounds are grouped into heats, and each candidate's quickest sample of a heat counts: disturbance
# only adds time. A heat has up to eight rounds; of nine heats the sign test can spare the lowest and highest.
HEAT = 8
MIN_HEATS = 9


def orders(candidates: int) -> Iterator[NDArray[np.intp]]:
    """Yield the order of each round, without end: random, with every place taken fairly in four rounds.

    Four rounds are two random orders and both backwards, shuffled: drift cancels, and no rhythm of the
    machine can stay in step.

    Parameters
    ----------
    candidates : int
        How many take part in each round.

    Yields
    ------
    ndarray of intp
        The candidates' numbers in the order of their turns, [candidates].
    """
    rng = np.random.default_rng(SEED)
    while True:
        two = [rng.permutation(candidates) for _ in range(2)]
        four = [*two, *(order[::-1] for order in two)]
        for i in rng.permutation(4):
            yield four[i]


def log_ratios(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(numerator / denominator) [rounds]; only each heat's quickest on a disturbed machine.

    Parameters
    ----------
    numerator : ndarray of float64
        Seconds per call, [rounds].
    denominator : ndarray of float64
        Seconds per call, [rounds].

    Returns
    -------
    ndarray of float64
        Natural logarithms, [rounds], or [heats] on a disturbed machine.
    """
    both = np.stack([numerator, denominator])  # [2, rounds]
    if relative_iqr(both).max() > DISTURBED:
        size = min(max(both.shape[1] // MIN_HEATS, 1), HEAT)
        whole = both.shape[1] // size * size
        both = both[:, -whole:].reshape(2, -1, size).min(axis=2)
    top, bottom = np.log(both)
    return top - bottom


def relative_iqr(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the width of the middle half of values as a part of their median.

    Parameters
    ----------
    values : ndarray of float64
        Values along the last axis, [..., n].

    Returns
    -------
    ndarray of float64
        Shares, [...].
    """
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=-1)
    return (high - low) / middle


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the 95 % interval for the median.

    Parameters
    ----------
    values : ndarray of float64
        In order of time, [n].

    Returns
    -------
    tuple of 2 float
        The lower and the upper end.

    Notes
    -----
    The wider of two: that of a bootstrap which draws blocks of n^(1/3) neighbours (Künsch, Annals of
    Statistics 17, 1989), and the sign test's, which a bootstrap undercuts where n is small.
    """
    n = len(values)
    tail = (1 - CONFIDENCE) / 2
    ranks = np.empty(n, np.int16)
    ranks[np.argsort(values)] = np.arange(n)
    resampled = np.partition(_blocks(ranks), ((n - 1) // 2, n // 2), axis=1)
    low = int(np.quantile(resampled[:, (n - 1) // 2], tail, method="lower"))
    high = int(np.quantile(resampled[:, n // 2], 1 - tail, method="higher"))
    outer = max(0, sign_test_rank(n, tail) - 1)
    ordered = np.sort(values)
    return float(ordered[min(low, outer)]), float(ordered[max(high, n - 1 - outer)])


def certain_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the sign test's 99.9 % interval for the median.

    Parameters
    ----------
    values : ndarray of float64
        [n].

    Returns
    -------
    tuple of 2 float
        The lower and the upper end; infinite where so few values have none.
    """
    rank = sign_test_rank(len(values), (1 - CERTAIN) / 2)
    if not rank:
        return -math.inf, math.inf
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[-rank])


def _blocks(values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return resampled ``values`` [RESAMPLES, n], blocks of neighbours; the end is joined to the start."""
    n = len(values)
    length = max(1, round(n ** (1 / 3)))
    ring = np.concatenate([values, values[: length - 1]])
    blocks = np.lib.stride_tricks.sliding_window_view(ring, length)  # [n, length]
    starts = np.random.default_rng(SEED).integers(0, n, (RESAMPLES, math.ceil(n / length)))
    return blocks[starts].reshape(RESAMPLES, -1)[:, :n]
