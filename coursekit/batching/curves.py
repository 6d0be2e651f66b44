"""A measured curve, the time of a call against its batch, and the straight line t(B) = a + b·B through it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, display

__all__ = ["JUDGES", "REMEDY", "TOO_WIDE", "Curve", "Hockney", "Judge", "ascending", "fit", "times"]

# The middle half of a batch's samples spans more than this part of the median: too noisy to trust.
TOO_WIDE = 0.30
REMEDY = "close other programs and measure again, or raise min_time"
JUDGES = ("median", "upper quartile")
Judge = Literal["median", "upper quartile"]


@dataclass(frozen=True, repr=False, eq=False)
class Curve(display.Tabled):
    """Seconds per call at ascending batches: ``median`` and the quartiles ``low`` and ``high``, one each.

    A batch whose quartiles lie further apart than 30 % of its median is ``doubtful``; the table says so.

    Raises
    ------
    TypeError, ValueError
        For batches that do not ascend, times that are not positive, or quartiles that do not enclose the
        median.
    """

    batches: tuple[int, ...]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    name: str = ""
    machine: str = ""

    def __post_init__(self) -> None:
        arguments.label("name", self.name), arguments.label("machine", self.machine)
        object.__setattr__(self, "batches", ascending(self.batches))
        for name in ("median", "low", "high"):
            object.__setattr__(self, name, times(name, getattr(self, name), len(self.batches)))
        if not ((self.low <= self.median) & (self.median <= self.high)).all():
            raise ValueError("low and high must enclose median: low <= median <= high everywhere")

    @property
    def per_example(self) -> NDArray[np.float64]:
        """The median seconds per example at each batch."""
        return self.median / self.batches

    @property
    def throughput(self) -> NDArray[np.float64]:
        """The examples per second at each batch, by the median."""
        return self.batches / self.median

    @property
    def doubtful(self) -> tuple[int, ...]:
        """The batches that another measurement could move anywhere: the IQR is too large for the median."""
        wide = (self.high - self.low) / self.median > TOO_WIDE
        return tuple(batch for batch, is_wide in zip(self.batches, wide, strict=True) if is_wide)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What to doubt, and what to do about it; empty for a clean curve."""
        return tuple(map(self._doubt, self.doubtful))

    def _doubt(self, batch: int) -> str:
        median, low, high = self.at(batch)
        share = f"{(high - low) / median:.0%} of the median of {display.seconds(median)}"
        spread = f"the middle half of the samples spans {display.seconds(high - low)}, {share}"
        return f"batch {batch:,} is too noisy to trust: {spread}; {REMEDY}"

    def at(self, batch: int) -> tuple[float, float, float]:
        """Return the seconds of a call at a measured batch.

        Parameters
        ----------
        batch : int
            One of the curve's batches.

        Returns
        -------
        tuple of 3 float
            The median and the quartiles, in seconds.

        Raises
        ------
        ValueError
            For a batch that was not measured.
        """
        number = arguments.integer("batch", batch)
        if number not in self.batches:
            raise ValueError(f"batch must be one of {', '.join(map(str, self.batches))}; got {number}")
        row = self.batches.index(number)
        return float(self.median[row]), float(self.low[row]), float(self.high[row])

    def seconds(self, batch: ArrayLike) -> Any:
        """Return the median seconds at any batch up to the largest, on straight lines between those measured.

        Parameters
        ----------
        batch : array_like
            A batch or an array of them.

        Returns
        -------
        float or ndarray
            Seconds, of the shape of ``batch``.

        Raises
        ------
        ValueError
            For a batch outside what was measured.
        """
        numbers = arguments.array("batch", batch, np.float64)
        first, last = self.batches[0], self.batches[-1]
        if numbers.min() < first or numbers.max() > last:
            raise ValueError(
                f"batch must be from {first} to {last}, as measured; got {arguments.shown(batch)}"
            )
        found = np.interp(numbers, self.batches, self.median)
        return float(found) if found.ndim == 0 else found

    def best_batch(self, budget: float, judge: Judge = "median") -> int | None:
        """Return the batch with the highest throughput that keeps to a time, or None; never a doubtful one.

        Parameters
        ----------
        budget : float
            The most seconds that a call may take.
        judge : Judge, optional
            The ``median`` must fit, or the ``upper quartile``, so that three calls of four do.

        Returns
        -------
        int or None
            One of the curve's batches; None if all take longer or are doubtful.

        Raises
        ------
        ValueError
            For a negative budget or an unknown judge.
        """
        limit = arguments.real("budget", budget, 0)
        taken = self.median if arguments.choice("judge", judge, JUDGES) == "median" else self.high
        fitting = np.flatnonzero((taken <= limit) & ~np.isin(self.batches, self.doubtful))
        return self.batches[fitting[self.throughput[fitting].argmax()]] if len(fitting) else None

    def _table(self) -> display.Table:
        shown = zip(self.batches, self.median, self.high - self.low, self.per_example, strict=True)
        rows = [
            (str(b), *map(display.seconds, (t, iqr, each)), f"{display.significant(1 / each)} /s")
            for b, t, iqr, each in shown
        ]
        caption = ", ".join(filter(None, (self.name, self.machine)))
        notes = [f"warning: {doubt}" for doubt in self.doubts]
        return display.Table(_HEADERS, rows, caption=caption, notes=notes)


_HEADERS = ("batch", "latency (median)", "IQR", "per example", "throughput")


@dataclass(frozen=True, repr=False)
class Hockney(display.Shown):
    """Hockney's line t(B) = a + b·B: ``a`` is the overhead of a call, ``b`` the cost of an example, in s."""

    a: float
    b: float

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            object.__setattr__(self, name, arguments.real(name, getattr(self, name), 0))

    @property
    def half_batch(self) -> float:
        """The half-performance batch a/b: there half of the highest throughput, 1/b, is reached."""
        return self.a / self.b if self.b else np.inf

    @property
    def most(self) -> float:
        """The throughput 1/b in examples per second that ever larger batches approach."""
        return 1 / self.b if self.b else np.inf

    def seconds(self, batch: ArrayLike) -> Any:
        """Return a + b·B.

        Parameters
        ----------
        batch : array_like
            A batch or an array of them.

        Returns
        -------
        float or ndarray
            Seconds, of the shape of ``batch``.
        """
        found = self.a + self.b * arguments.array("batch", batch, np.float64)
        return float(found) if found.ndim == 0 else found

    def residuals(self, batches: ArrayLike, seconds: ArrayLike) -> NDArray[np.float64]:
        """Return (measured - line) / measured at each batch.

        Parameters
        ----------
        batches : array_like
            The batches, [batches].
        seconds : array_like
            The measured times, [batches].

        Returns
        -------
        ndarray of float64
            Shares of the measured time, [batches]: +0.2 means that it took longer than the line.

        Raises
        ------
        ValueError
            Where the lengths differ or a time is not above 0.
        """
        measured = times("seconds", seconds)
        return 1 - self.seconds(_batches(batches, len(measured))) / measured

    def __str__(self) -> str:
        half = display.significant(self.half_batch)
        return f"a = {display.seconds(self.a)}, b = {display.seconds(self.b)}, a/b = {half}"


def fit(batches: ArrayLike, seconds: ArrayLike) -> Hockney:
    """Fit t(B) = a + b·B so that the sum of squared *relative* errors is smallest, with a and b at least 0.

    Parameters
    ----------
    batches : array_like
        The batches, [batches], two different ones at least.
    seconds : array_like
        The measured seconds per call, [batches], above 0.

    Returns
    -------
    Hockney
        The line, with a and b in seconds.

    Raises
    ------
    TypeError
        For batches or times that are not numbers.
    ValueError
        For fewer than two different batches or times that are not above 0.

    Notes
    -----
    A machine's noise grows with the time, so a relative error counts alike at every batch; without that, the
    largest batch alone would decide. Source: Hockney and Jesshope 1981 (r∞ and n½).
    """
    measured = times("seconds", seconds)
    sizes = _batches(batches, len(measured))
    if len(np.unique(sizes)) < 2:
        raise ValueError(f"batches must hold at least two different ones; got {sizes.tolist()}")
    columns = np.column_stack([1 / measured, sizes / measured])
    (a, b), *_ = np.linalg.lstsq(columns, np.ones(len(measured)), rcond=None)
    if a >= 0 and b >= 0:
        return Hockney(float(a), float(b))
    # The least squares on the edge a = 0 or b = 0: whichever of the two errs less.
    alone = columns.sum(axis=0) / (columns**2).sum(axis=0)
    errors = ((1 - columns * alone) ** 2).sum(axis=0)
    return Hockney(0.0, float(alone[1])) if errors[1] <= errors[0] else Hockney(float(alone[0]), 0.0)


def ascending(batches: Sequence[int]) -> tuple[int, ...]:
    """Return batches as ints.

    Parameters
    ----------
    batches : sequence of int
        The batches.

    Returns
    -------
    tuple of int
        The batches.

    Raises
    ------
    TypeError
        Unless they are whole numbers.
    ValueError
        Unless they ascend from 1 or more.
    """
    return arguments.ascending("batches", batches, 1, whole=True)


def times(name: str, given: ArrayLike, count: int | None = None) -> NDArray[np.float64]:
    """Return durations as an array.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    given : array_like
        The durations in seconds, [n].
    count : int, optional
        How many there have to be; by default any number.

    Returns
    -------
    ndarray of float64
        Seconds, [n].

    Raises
    ------
    ValueError
        Unless all are above 0 and there are ``count`` of them.
    """
    numbers = arguments.array(name, given, np.float64, ndim=1)
    if count is not None and len(numbers) != count:
        raise ValueError(f"{name} must hold {count} numbers, one per batch; got {len(numbers)}")
    if (numbers <= 0).any():
        raise ValueError(f"{name} must be above 0 seconds; got {numbers.min()}")
    return numbers


def _batches(given: ArrayLike, count: int) -> NDArray[np.float64]:
    numbers = arguments.array("batches", given, np.float64, ndim=1)
    if len(numbers) != count:
        raise ValueError(f"batches must hold {count} numbers, one per time; got {len(numbers)}")
    if (numbers < 1).any():
        raise ValueError(f"batches must be at least 1; got {numbers.min():g}")
    return numbers
