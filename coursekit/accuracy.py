"""How sure is an accuracy, and do two models really differ: intervals and paired tests in closed form."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display
from coursekit._core.statistics import PairedDifference, paired

__all__ = [
    "Accuracy",
    "Difference",
    "PairedDifference",
    "PairedTest",
    "difference",
    "interval",
    "mcnemar",
    "of",
    "paired",
]

CONFIDENCE = 0.95
# Below this p-value the two models are called different.
ALPHA = 0.05
IGNORED = -100  # the ignore_index of PyTorch's losses
MOST = 10**15  # examples: with more, a float has no digits left for one of them

Verdict = Literal["same", "a better", "b better"]


@dataclass(frozen=True, repr=False)
class Accuracy(display.Text):
    """A share of right answers with the ends of its Wilson interval."""

    correct: int
    total: int
    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        ends = f"{self.confidence * 100:g} % interval {self.low:.3f} to {self.high:.3f}"
        return f"{self.value:.3f} ({ends}, {self.correct} of {self.total} right)"


@dataclass(frozen=True, repr=False)
class Difference(display.Text):
    """Accuracy of model a minus that of model b on the same examples, with the ends of its interval."""

    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    def __str__(self) -> str:
        ends = f"{self.confidence * 100:g} % interval {self.low:+.4f} to {self.high:+.4f}"
        return f"{self.value:+.4f} ({ends}, paired)"


@dataclass(frozen=True, repr=False)
class PairedTest(display.Text):
    """McNemar's test: ``only_a`` answers only model a got right, ``only_b`` only model b.

    The verdict "same" says that no difference was shown; how large one may be is the interval of
    ``difference``.
    """

    only_a: int
    only_b: int
    p_value: float
    verdict: Verdict
    difference: Difference | None = None

    def __str__(self) -> str:
        counts = f"only a right {self.only_a}, only b right {self.only_b}"
        return f"{self.verdict} ({counts}, p = {self.p_value:.3g}, exact McNemar test)"


def interval(correct: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the ends of the interval for the true accuracy behind ``correct`` of ``total``.

    Parameters
    ----------
    correct, total : int
        Right answers, and all answers; 0 <= correct <= total, 1 <= total.
    confidence : float
        How often such an interval holds the truth; between 0 and 1, both excluded.

    Returns
    -------
    float, float
        The lower and the upper end, fractions.

    Raises
    ------
    TypeError, ValueError
        For other numbers.

    Notes
    -----
    Wilson, "Probable inference", JASA 22 (1927), without continuity correction.
    """
    total = arguments.integer("total", total, 1, MOST)
    correct = arguments.integer("correct", correct, 0, total)
    z = _z(confidence)
    p = correct / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    # The ends are exact where rounding would miss them by an ulp.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == total else centre + half)


def of(predictions: Any, labels: Any, confidence: float = CONFIDENCE) -> Accuracy:
    """Return the accuracy of ``predictions`` against ``labels`` with its Wilson interval.

    Parameters
    ----------
    predictions : array_like
        One class per example [n]: whole numbers or text.
    labels : array_like
        The right ones [n], of the same kind. Where they are -100, which PyTorch's losses ignore, the example
        does not count.
    confidence : float
        As in ``interval``.

    Returns
    -------
    Accuracy
        Right answers and all answers, the share and its interval.

    Raises
    ------
    TypeError, ValueError
        For other shapes, no examples, NaN, hidden entries of masked arrays, probabilities in place of
        classes, and for numbers beside text.
    """
    truth = _labels("labels", labels)
    counted = _counted(truth)
    right = _right("predictions", predictions, truth)[counted]
    correct, total = int(right.sum()), len(right)
    return Accuracy(correct, total, correct / total, *interval(correct, total, confidence), confidence)


def mcnemar(predictions_a: Any, predictions_b: Any, labels: Any) -> PairedTest:
    """Test whether two models differ on the same ``labels``: only examples count where one of them fails.

    Parameters
    ----------
    predictions_a, predictions_b, labels : array_like
        One class per example [n], as in ``of``.

    Returns
    -------
    PairedTest
        With the two-sided exact binomial p-value; below ALPHA the better model is named. Its ``difference``
        is that of the function ``difference``.

    Raises
    ------
    TypeError, ValueError
        As ``of``.

    Notes
    -----
    McNemar, Psychometrika 12 (1947).
    """
    table = _, only_a, only_b, _ = _table(predictions_a, predictions_b, labels)
    p = _sign_test(only_a, only_b)
    better: Verdict = "a better" if only_a > only_b else "b better"
    return PairedTest(only_a, only_b, p, better if p < ALPHA else "same", _difference(*table, CONFIDENCE))


def difference(
    predictions_a: Any, predictions_b: Any, labels: Any, confidence: float = CONFIDENCE
) -> Difference:
    """Return accuracy(a) - accuracy(b) on the same ``labels`` with an interval for paired examples.

    Parameters
    ----------
    predictions_a, predictions_b, labels : array_like
        One class per example [n], as in ``of``.
    confidence : float
        As in ``interval``.

    Returns
    -------
    Difference
        The difference of the shares, and the ends of its interval.

    Raises
    ------
    TypeError, ValueError
        As ``of``.

    Notes
    -----
    The interval joins the two Wilson intervals, narrowed by how often the models agree: Newcombe, Statistics
    in Medicine 17 (1998) 2635, method 10.
    """
    return _difference(*_table(predictions_a, predictions_b, labels), confidence)


def _difference(both: int, only_a: int, only_b: int, neither: int, confidence: float) -> Difference:
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    a_low, a_high = interval(both + only_a, n, confidence)
    b_low, b_high = interval(both + only_b, n, confidence)
    phi = _correlation(both, only_a, only_b, neither)
    below = _joined(a - a_low, b_high - b, phi)
    above = _joined(a_high - a, b - b_low, phi)
    return Difference(a - b, a - b - below, a - b + above, confidence)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _correlation(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Return Newcombe's phi: the correlation of being right, cautious where it is positive."""
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins == 0:
        return 0.0
    product: float = both * neither - only_a * only_b
    if product > 0:
        product = max(0.0, product - (both + only_a + only_b + neither) / 2)
    return product / math.sqrt(margins)


def _sign_test(few: int, many: int) -> float:
    """Return the two-sided probability of a split at least as uneven as this one between equal chances."""
    n, term, total = few + many, 1, 0
    for k in range(min(few, many) + 1):
        total += term
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * total / 2**n)


def _table(predictions_a: Any, predictions_b: Any, labels: Any) -> tuple[int, int, int, int]:
    """Return how many answers both, only a, only b and neither got right."""
    truth = _labels("labels", labels)
    counted = _counted(truth)
    a = _right("predictions_a", predictions_a, truth)[counted]
    b = _right("predictions_b", predictions_b, truth)[counted]
    return int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum())


def _counted(truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which examples count: all but those that PyTorch's losses ignore."""
    counted: NDArray[np.bool_] = np.ones(len(truth), bool) if truth.dtype.kind in "Ub" else truth != IGNORED
    if not counted.any():
        raise ValueError(
            f"labels are all {IGNORED}, which stands for 'ignore': at least one example must count"
        )
    return counted


def _right(name: str, predictions: Any, truth: NDArray[Any]) -> NDArray[np.bool_]:
    guesses = _labels(name, predictions)
    if guesses.shape != truth.shape:
        raise ValueError(f"{name} must be as long as labels ({len(truth)}); got {len(guesses)}")
    if (guesses.dtype.kind == "U") != (truth.dtype.kind == "U"):
        raise TypeError(
            f"{name} and labels must both be numbers or both be text; got {guesses.dtype}, {truth.dtype}"
        )
    return guesses == truth


def _labels(name: str, values: Any) -> NDArray[Any]:
    """Return class labels [n]: whole numbers, as they are, or text."""
    arguments.dense(name, values)
    try:
        found = _as_text(np.asarray(arguments.to_numpy(values)))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be an array of class labels; got {type(values).__name__}") from None
    if found.size == 0:
        raise ValueError(f"{name} is empty (shape {found.shape}): at least one example is needed")
    # Whole numbers stay so: as floats, large ones would become equal.
    whole = found.dtype.kind in "Ubiu"
    numbers = found if whole else arguments.array(name, found, np.float64)
    if numbers.ndim != 1:
        raise ValueError(f"{name} must be one class per example, shape [n]; got shape {found.shape}")
    if not whole and len(fractions := numbers[numbers != np.rint(numbers)]):
        raise ValueError(
            f"{name} must be whole numbers, one class each; got fractions such as {fractions[0]}: use argmax"
        )
    return numbers


def _as_text(values: NDArray[Any]) -> NDArray[Any]:
    """Return text as numpy's own kind, also what came as Python's (a column of a table, say)."""
    if values.dtype.kind == "T" or (
        values.dtype.kind == "O" and values.size and all(isinstance(each, str) for each in values.flat)
    ):
        return values.astype(str)
    return values


def _z(confidence: float) -> float:
    confidence = arguments.real("confidence", confidence, 0, 1)
    if confidence in (0, 1):
        raise ValueError(f"confidence must lie between 0 and 1, both excluded; got {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)
