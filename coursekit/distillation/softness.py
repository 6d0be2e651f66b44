"""How much a softened answer says beyond its first guess."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit.distillation.losses import class_numbers, soften

__all__ = ["entropy", "mean_answers"]

OFF = 1e-3  # by which the sum of probabilities in float32 may miss 1


def entropy(probabilities: Any) -> float:
    """Return how undecided an answer is: 0 bits for a sure one, log2(n) for an even one.

    Parameters
    ----------
    probabilities : array_like
        One answer, [n]; not negative, and their sum is 1.

    Returns
    -------
    float
        Shannon's entropy in bits.

    Raises
    ------
    TypeError, ValueError
        For numbers that are not probabilities.

    """
    shares = arguments.array("probabilities", probabilities, np.float64, ndim=1)
    if shares.min() < 0 or abs(shares.sum() - 1) > OFF:
        raise ValueError(
            f"probabilities must not be negative and add up to 1; got {shares.min():g} and {shares.sum():g}"
        )
    some = shares[shares > 0]
    return float(max(0.0, -(some * np.log2(some)).sum()))


def mean_answers(logits: Any, labels: Any, temperature: float = 1.0) -> NDArray[np.float64]:
    """Return for the examples of each class the mean of the softened answers to them.

    Parameters
    ----------
    logits : array_like
        [n, classes].
    labels : array_like
        The right class numbers, [n].
    temperature : float
        Above 0.

    Returns
    -------
    ndarray of float64
        Shares, [right class, answered class]; rows of classes without an example are NaN.

    Raises
    ------
    TypeError, ValueError
        As ``soften``, and for labels that are not one class number per row.

    """
    answers = soften(logits, temperature).double()
    if answers.ndim != 2:
        raise ValueError(f"logits must be [n, classes]; got shape {tuple(answers.shape)}")
    truth = class_numbers(labels, answers).cpu().numpy()
    shares, classes = answers.detach().cpu().numpy(), answers.shape[1]
    found = np.full((classes, classes), np.nan)
    for label in np.unique(truth):
        found[label] = shares[truth == label].mean(axis=0)
    return found
