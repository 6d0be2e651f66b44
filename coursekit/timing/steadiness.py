"""Whether runs have one level at all: drift and two speeds, which no number of runs brings to rest."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.timing.medians import running_medians, settled

__all__ = ["DRIFTS", "SETTLES", "TWO_LEVELS", "UNSETTLED", "Levels", "Steadiness", "levels", "steadiness"]

SETTLES, UNSETTLED, DRIFTS, TWO_LEVELS = "settles", "not yet", "drifts", "two levels"
BLOCKS = 10  # the runs in their order, block by block
TREND = 0.6  # Kendall's tau of the blocks' medians: chance alone exceeds it in 1 series of 60, either way
ENOUGH = 30  # runs: among fewer, chance leaves gaps that look like two levels
APART = 5.0  # the levels' distance, in robust standard deviations; both halves of a bell curve: some 3
FEWEST = 0.2  # of the runs, at either level; fewer are strays
TRIMMED = 0.95  # the slowest runs say nothing about levels
LATE = 0.9  # a median that comes to rest in the last tenth has not shown that it rests


class Levels(NamedTuple):
    """Two speeds: the median seconds of the quicker and of the slower runs, and the quicker ones' share."""

    quick: float
    slow: float
    share: float


class Steadiness(NamedTuple):
    """What kind of series it is, in one word, with what says so.

    ``verdict`` is one of SETTLES, UNSETTLED, DRIFTS and TWO_LEVELS; ``settled`` the run from which on the
    median stays near its last value; ``drift`` the last quarter's median over the first one's, minus 1;
    ``levels`` the two speeds, if there are.
    """

    verdict: str
    settled: int
    drift: float
    levels: Levels | None


def steadiness(seconds: Any, tolerance: float) -> Steadiness:
    """Tell whether the median of runs comes to rest, or why it cannot.

    Parameters
    ----------
    seconds : array_like
        A time per run, [runs], at least ten, in the order in which they were measured.
    tolerance : float
        What counts as near and as a difference, in per cent.

    Returns
    -------
    Steadiness
        The verdict and its figures.

    Raises
    ------
    TypeError, ValueError
        For what is not a list of ten or more numbers above 0, or a negative tolerance.

    Notes
    -----
    Drift: the medians of ten blocks rise or fall nearly throughout (Kendall's tau), by more than the
    tolerance between the first and the last quarter; or the last fifth lies beyond all of the first half, by
    more than the tolerance. A slow start alone does neither.
    """
    times = arguments.array("seconds", seconds, np.float64, ndim=1)
    if len(times) < BLOCKS or times.min() <= 0:
        raise ValueError(f"seconds must be {BLOCKS} or more times above 0; got {arguments.shown(seconds)}")
    near = arguments.real("tolerance", tolerance, 0) / 100
    rest = settled(running_medians(times).median, tolerance)
    quarter = len(times) // 4
    drift = float(np.median(times[-quarter:]) / np.median(times[:quarter]) - 1)
    found = levels(times)
    if found and found.slow / found.quick - 1 > near:
        return Steadiness(TWO_LEVELS, rest, drift, found)
    blocks = np.array_split(times, BLOCKS)
    if (abs(_tau(blocks)) > TREND and abs(drift) > near) or _left(blocks, near):
        return Steadiness(DRIFTS, rest, drift, None)
    return Steadiness(SETTLES if rest <= LATE * len(times) else UNSETTLED, rest, drift, None)


def levels(seconds: NDArray[np.float64]) -> Levels | None:
    """Return the two speeds that runs have, if the gap between them is far wider than either is.

    Parameters
    ----------
    seconds : ndarray of float64
        Times above 0, [runs].

    Returns
    -------
    Levels or None
        None where there is one level, no clear second one, or fewer than thirty runs.

    Notes
    -----
    The cut is the one with the least variance of the logarithms on both sides (Otsu 1979).
    """
    if len(seconds) < ENOUGH:
        return None
    ordered = np.sort(np.log(seconds))
    kept = ordered[: max(2, int(TRIMMED * len(ordered)))]
    counts = np.arange(1, len(kept))
    before, total = kept.cumsum()[:-1], kept.sum()
    between = counts * (len(kept) - counts) * (before / counts - (total - before) / (len(kept) - counts)) ** 2
    cut = int(between.argmax()) + 1
    quick, slow = kept[:cut], kept[cut:]
    if min(cut, len(ordered) - cut) < FEWEST * len(ordered):
        return None
    spread = max(_spread(quick), _spread(slow), np.finfo(float).eps)
    if (np.median(slow) - np.median(quick)) / spread <= APART:
        return None
    return Levels(float(np.exp(np.median(quick))), float(np.exp(np.median(slow))), cut / len(ordered))


def _spread(values: NDArray[np.float64]) -> float:
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low) / 1.349  # of a bell curve, its standard deviation


def _left(blocks: list[NDArray[np.float64]], near: float) -> bool:
    """Tell whether the last two blocks lie beyond all of the first half, and not by chance.

    The first block may be a slow start. A block's median is uncertain by 1.25 deviations over the root of its
    runs.
    """
    medians = np.log([np.median(block) for block in blocks])
    noise = np.median([_spread(np.log(block)) for block in blocks]) * 1.25 / np.sqrt(len(blocks[0]))
    margin = max(np.log1p(near), 2 * noise)
    early, late = medians[1 : BLOCKS // 2], medians[-2:]
    return bool(late.min() - early.max() > margin or early.min() - late.max() > margin)


def _tau(blocks: list[NDArray[np.float64]]) -> float:
    """Return Kendall's tau of the blocks' medians against their order, -1 to 1."""
    medians = np.array([np.median(block) for block in blocks])
    later = np.sign(medians[None, :] - medians[:, None])[np.triu_indices(BLOCKS, 1)]
    return float(later.mean())
