"""The straight-through estimator on a single weight: what it does where the true gradient is 0.

Source: Bengio et al. 2013, Estimating or Propagating Gradients Through Stochastic Neurons.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments

__all__ = ["OneWeight", "straight_through"]

MOST_BITS = 16
MOST_STEPS = 100_000


@dataclass(frozen=True, eq=False)
class OneWeight:
    """A weight while it is trained through its own rounding.

    Parameters
    ----------
    latent : ndarray
        The weight that is trained, before the first step and after each, [steps + 1].
    rounded : ndarray
        The level that it is rounded to, with which the loss is computed, [steps + 1].
    gradient : ndarray
        Of the loss with respect to the rounded weight, passed to the latent one as it is, [steps + 1].
    scale : float
        The distance between two levels.
    levels : ndarray
        All levels, ascending.
    """

    latent: NDArray[np.float64]
    rounded: NDArray[np.float64]
    gradient: NDArray[np.float64]
    scale: float
    levels: NDArray[np.float64]

    def changes(self, steps: int) -> int:
        """Return how often the rounded weight changed its level within the first steps.

        Parameters
        ----------
        steps : int
            From 0 to all of them.

        Returns
        -------
        int
            0 or more.

        Raises
        ------
        TypeError, ValueError
            For another number of steps.
        """
        steps = arguments.integer("steps", steps, 0, len(self.latent) - 1)
        return int(np.count_nonzero(np.diff(self.rounded[: steps + 1])))


def straight_through(
    weight: float = 0.37,
    target: float = 0.45,
    *,
    bits: int = 4,
    largest: float = 0.7,
    lr: float = 0.005,
    steps: int = 600,
) -> OneWeight:
    """Train one weight by gradient descent on half the squared distance of its rounded value to a target.

    The gradient with respect to the rounded weight q is q - target. The straight-through estimator hands it
    to the weight behind, though q does not move with that weight between two thresholds.

    Parameters
    ----------
    weight : float
        Where it starts, from -largest to largest.
    target : float
        What the loss wants, from -largest to largest.
    bits : int
        2 to 16: the levels run from -(2**(bits-1) - 1) to 2**(bits-1) - 1 times the scale.
    largest : float
        The last level, above 0: the largest weight of the row. With 4 bits and 0.7 the scale is 0.1.
    lr : float
        The learning rate, from 0 to 1.
    steps : int
        How many, up to 100,000.

    Returns
    -------
    OneWeight
        What happened at every step.

    Raises
    ------
    TypeError, ValueError
        For other numbers.
    """
    width = arguments.integer("bits", bits, 2, MOST_BITS)
    end = arguments.positive("largest", largest)
    start = arguments.real("weight", weight, -end, end)
    aim, rate = arguments.real("target", target, -end, end), arguments.real("lr", lr, 0, 1)
    count = arguments.integer("steps", steps, 0, MOST_STEPS)
    last = 2 ** (width - 1) - 1
    scale = end / last
    latent, rounded = np.empty(count + 1), np.empty(count + 1)
    for step in range(count + 1):
        latent[step] = start if step == 0 else latent[step - 1] - rate * (rounded[step - 1] - aim)
        rounded[step] = np.clip(np.rint(latent[step] / scale), -last, last) * scale
    return OneWeight(latent, rounded, rounded - aim, scale, np.arange(-last, last + 1) * scale)
