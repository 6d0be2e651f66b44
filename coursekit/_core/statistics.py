"""Does a difference hold over seeds? Student's interval for paired values, without scipy's import time."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from coursekit._core import arguments, display

CONFIDENCE = 0.95
PUBLIC = "coursekit.accuracy"  # where these names are imported from
HALVINGS = 80  # of the angle's range: beyond a double's resolution

Verdict = Literal["same", "a better", "b better"]


@dataclass(frozen=True, repr=False)
class PairedDifference(display.Text):
    """Mean of a - b over pairs (seeds) and its interval; ``wins`` counts the pairs with a > b."""

    __module__ = PUBLIC

    mean: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    verdict: Verdict
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        ends = f"{self.confidence * 100:g} % interval {self.low:+.4f} to {self.high:+.4f}"
        named = (("win", "wins", self.wins), ("loss", "losses", self.losses), ("tie", "ties", self.ties))
        counts = ", ".join(f"{count} {one if count == 1 else many}" for one, many, count in named)
        return f"{self.mean:+.4f} ({ends}; {counts})"


def paired(a: Any, b: Any, confidence: float = CONFIDENCE) -> PairedDifference:
    """Return the mean of a - b over pairs [n], such as the accuracies of two methods at n seeds.

    The interval is Student's for the mean of the n differences; where it leaves 0 out, the verdict names the
    better one.

    Parameters
    ----------
    a : object
        [n], two or more.
    b : object
        [n], pair by pair.
    confidence : float, optional
        Of the interval, between 0 and 1.

    Returns
    -------
    PairedDifference
        The mean, its interval, and how many pairs are above, below and equal.

    Raises
    ------
    TypeError, ValueError
        For fewer than two pairs, unequal lengths, NaN, or a confidence outside 0 to 1.

    Notes
    -----
    Source: Student, Biometrika 6 (1908).
    """
    first, second = (arguments.array(name, part, np.float64, ndim=1) for name, part in (("a", a), ("b", b)))
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"a and b must be equally long, at least 2; got {len(first)} and {len(second)}")
    gaps = first - second
    mean = float(gaps.mean())
    half = t_quantile(confidence, len(gaps) - 1) * float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
    low, high = mean - half, mean + half
    verdict: Verdict = "a better" if low > 0 else "b better" if high < 0 else "same"
    counts = (int((gaps > 0).sum()), int((gaps < 0).sum()), int((gaps == 0).sum()))
    return PairedDifference(mean, low, high, *counts, verdict, confidence)


paired.__module__ = PUBLIC


def t_quantile(confidence: float, freedom: int) -> float:
    """Return the t within which Student's distribution holds ``confidence`` of its mass around 0."""
    confidence = arguments.real("confidence", confidence, 0, 1)
    if confidence in (0, 1):
        raise ValueError(f"confidence must lie between 0 and 1, both excluded; got {confidence}")
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _mass(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _mass(angle: float, freedom: int) -> float:
    """Return the mass within t = sqrt(freedom) * tan(angle) of 0.

    Source: Abramowitz and Stegun (1964), 26.7.3 and 26.7.4, finite sums for whole degrees of freedom.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
