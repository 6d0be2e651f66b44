"""How much a softened answer says beyond its first guess."""

from typing import Any

import numpy as np

from coursekit._core import arguments

__all__ = ["entropy"]

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
