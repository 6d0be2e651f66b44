"""What a teacher adds over labels alone, at every temperature, weight and length of training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display, grids
from coursekit._core.statistics import PairedDifference, paired

__all__ = ["GainGrid", "sentence", "signed"]

SAID = {"a better": "the teacher helps", "b better": "the teacher harms", "same": "no difference shown"}


@dataclass(frozen=True, repr=False, eq=False)
class GainGrid(display.Tabled):
    """Accuracy with a teacher minus without, in points: ``gain`` [epochs, temperatures, alphas, seeds].

    ``epochs``, ``temperatures`` and ``alphas`` ascend.

    Raises
    ------
    ValueError
        For shapes that do not fit or fewer than two seeds.
    """

    epochs: tuple[int, ...]
    temperatures: tuple[float, ...]
    alphas: tuple[float, ...]
    gain: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("epochs", "temperatures", "alphas"):
            object.__setattr__(self, name, grids.ascending(name, getattr(self, name)))
        gain = arguments.array("gain", self.gain, np.float64, ndim=4)
        shape = tuple(len(part) for part in (self.epochs, self.temperatures, self.alphas))
        if gain.shape[:3] != shape or gain.shape[3] < 2:
            raise ValueError(f"gain must have shape {shape} and at least two seeds; got {gain.shape}")
        object.__setattr__(self, "gain", gain)

    @property
    def seeds(self) -> int:
        """How many seeds each cell holds."""
        return self.gain.shape[3]

    def means(self, epochs: int) -> NDArray[np.float64]:
        """Return the mean gain in points after so many epochs.

        Parameters
        ----------
        epochs : int
            One of the grid's.

        Returns
        -------
        ndarray of float64
            [temperatures, alphas].
        """
        return self.gain[grids.position("epochs", epochs, self.epochs)].mean(-1)

    def at(self, epochs: int, temperature: float, alpha: float) -> NDArray[np.float64]:
        """Return the gain of every seed in points.

        Parameters
        ----------
        epochs : int
            One of the grid's.
        temperature : float
            One of the grid's.
        alpha : float
            One of the grid's.

        Returns
        -------
        ndarray of float64
            [seeds].

        Raises
        ------
        ValueError
            For what was not measured.
        """
        row = grids.position("temperature", temperature, self.temperatures)
        column = grids.position("alpha", alpha, self.alphas)
        return self.gain[grids.position("epochs", epochs, self.epochs), row, column]

    def difference(self, epochs: int, temperature: float, alpha: float) -> PairedDifference:
        """Return the mean gain in points with its interval over the seeds.

        Parameters
        ----------
        epochs : int
            One of the grid's.
        temperature : float
            One of the grid's.
        alpha : float
            One of the grid's.

        Returns
        -------
        PairedDifference
            The mean and its interval.

        Raises
        ------
        ValueError
            For what was not measured.
        """
        gains = self.at(epochs, temperature, alpha)
        return paired(gains, np.zeros(len(gains)))

    def _table(self) -> display.Table:
        rows = [
            [str(epochs), f"{t:g}", *(signed(value) for value in self.means(epochs)[row])]
            for epochs in self.epochs
            for row, t in enumerate(self.temperatures)
        ]
        headers = ["epochs", "T", *(f"α = {alpha:g}" for alpha in self.alphas)]
        caption = f"points gained by the teacher, mean of {self.seeds} seeds"
        return display.Table(headers, rows, caption=caption)


def signed(value: float) -> str:
    """Return points with their sign, a true minus, and one decimal: "+2.3".

    Parameters
    ----------
    value : float
        Points.

    Returns
    -------
    str
        The text.
    """
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def sentence(found: PairedDifference) -> str:
    """Return in a few words what the interval of a difference says.

    Parameters
    ----------
    found : PairedDifference
        A difference between two ways of training.

    Returns
    -------
    str
        The words.
    """
    return SAID[found.verdict]
