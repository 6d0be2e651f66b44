"""Where INT8 pays off: measured speed-ups over layer widths and batches, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display, grids

__all__ = ["CrossoverGrid", "Interval"]


class Interval(Protocol):
    """A measured ratio with the ends of its interval, such as ``timing.Comparison.ratio`` returns."""

    @property
    def value(self) -> float:
        """The ratio."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


@dataclass(frozen=True, repr=False, eq=False)
class CrossoverGrid(display.Tabled):
    """Measured speed-ups of INT8 over FP32 with their intervals: arrays of shape [widths, batches].

    ``widths`` and ``batches`` ascend; ``machine`` says where it was measured. 2 means half the time.

    Raises
    ------
    ValueError
        For shapes that do not fit, ratios that are not positive or outside their interval.
    """

    widths: tuple[int, ...]
    batches: tuple[int, ...]
    ratio: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    machine: str = ""

    def __post_init__(self) -> None:
        for name in ("widths", "batches"):
            object.__setattr__(self, name, grids.ascending(name, getattr(self, name), whole=True))
        for name in ("ratio", "low", "high"):
            object.__setattr__(self, name, self._checked(name))
        if not ((self.low <= self.ratio) & (self.ratio <= self.high)).all():
            raise ValueError("low and high must enclose ratio: low <= ratio <= high everywhere")

    @classmethod
    def of(cls, ratios: Mapping[tuple[int, int], Interval], machine: str = "") -> "CrossoverGrid":
        """Return the grid of ratios given by (width, batch).

        Parameters
        ----------
        ratios : mapping of tuple of 2 int to Interval
            By (width, batch), with ``value``, ``low`` and ``high`` each.
        machine : str, optional
            What was measured on.

        Returns
        -------
        CrossoverGrid
            The grid.

        Raises
        ------
        ValueError
            Where a combination of width and batch is missing.
        """
        widths, batches = (tuple(sorted({key[i] for key in ratios})) for i in (0, 1))
        missing = [key for key in product(widths, batches) if key not in ratios]
        if missing or not ratios:
            raise ValueError(
                f"ratios must hold every combination of width and batch; missing: {missing or 'all'}"
            )
        ratio, low, high = (
            np.array([[getattr(ratios[w, b], name) for b in batches] for w in widths])
            for name in ("value", "low", "high")
        )
        return cls(widths, batches, ratio, low, high, machine)

    def at(self, width: int, batch: int) -> tuple[float, float, float]:
        """Return the speed-up at a measured width and batch.

        Parameters
        ----------
        width : int
            One of the grid's widths.
        batch : int
            One of the grid's batches.

        Returns
        -------
        tuple of 3 float
            The ratio and its interval.

        Raises
        ------
        ValueError
            For a width or batch that was not measured.
        """
        row, column = (
            grids.position("width", width, self.widths),
            grids.position("batch", batch, self.batches),
        )
        ratio, low, high = (float(part[row, column]) for part in (self.ratio, self.low, self.high))
        return ratio, low, high

    def verdict(self, width: int, batch: int) -> str:
        """Return "faster" or "slower" where the interval leaves out 1×, else "same".

        Parameters
        ----------
        width : int
            One of the grid's widths.
        batch : int
            One of the grid's batches.

        Returns
        -------
        str
            "faster", "slower" or "same".
        """
        _, low, high = self.at(width, batch)
        return "faster" if low > 1 else "slower" if high < 1 else "same"

    def crossover(self, batch: int) -> int | None:
        """Return the first width from which on INT8 is faster at every measured width, or None.

        Parameters
        ----------
        batch : int
            One of the grid's batches.

        Returns
        -------
        int or None
            One of the grid's widths; None if the widest is not faster.
        """
        faster = self._faster(batch)
        tail = int(np.logical_and.accumulate(faster[::-1]).sum())
        return self.widths[-tail] if tail else None

    def sentence(self, batch: int) -> str:
        """Return in one sentence, true of these measurements, where INT8 pays off at this batch.

        Parameters
        ----------
        batch : int
            One of the grid's batches.

        Returns
        -------
        str
            The sentence.
        """
        faster, width = self._faster(batch), self.crossover(batch)
        if faster.all():
            return f"At batch {batch}, INT8 pays off at every measured width"
        if width is not None:
            return f"At batch {batch}, INT8 pays off from width {width} on"
        if faster.any():
            return f"At batch {batch}, INT8 pays off at {faster.sum()} of {len(faster)} widths"
        if all(self.verdict(measured, batch) == "slower" for measured in self.widths):
            return f"At batch {batch}, INT8 is slower at every measured width"
        return f"At batch {batch}, INT8 pays off at no measured width"

    def _faster(self, batch: int) -> NDArray[np.bool_]:
        return self.low[:, grids.position("batch", batch, self.batches)] > 1

    def _checked(self, name: str) -> NDArray[np.float64]:
        numbers = arguments.array(name, getattr(self, name), np.float64, ndim=2)
        shape = len(self.widths), len(self.batches)
        if numbers.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, a row per width, a column per batch; got {numbers.shape}"
            )
        if (numbers <= 0).any():
            raise ValueError(f"{name} must be above zero: a ratio of two durations; got {numbers.min()}")
        return numbers

    def _table(self) -> display.Table:
        rows = [
            [str(w), *(f"{display.significant(self.at(w, b)[0], 2)}×" for b in self.batches)]
            for w in self.widths
        ]
        caption = f"speed-up of INT8 over FP32, {self.machine}".rstrip(", ")
        return display.Table(["width", *(f"batch {b}" for b in self.batches)], rows, caption=caption)
