"""Requests that arrive one by one and leave in batches: the flush rule, its simulation, what both come to."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments, display
from coursekit.batching.curves import Curve

__all__ = ["Served", "arrivals", "ascending_times", "capacity", "flush", "side_by_side", "simulate"]


MOST_REQUESTS = 10**8  # what a simulation could hold in memory


@dataclass(frozen=True, repr=False, eq=False)
class Served(display.Tabled):
    """When requests came and how long each took (``arrivals``, ``latencies`` in s), and the batches."""

    name: str
    arrivals: NDArray[np.float64]
    latencies: NDArray[np.float64]
    batches: NDArray[np.int64]

    def __post_init__(self) -> None:
        arguments.label("name", self.name)
        for name, kind in (("arrivals", np.float64), ("latencies", np.float64), ("batches", np.int64)):
            object.__setattr__(self, name, arguments.array(name, getattr(self, name), kind, ndim=1))
        if not len(self.arrivals) == len(self.latencies) == self.batches.sum() > 0:
            raise ValueError(
                f"every request needs an arrival, a latency and a place in a batch; got {len(self.arrivals)} "
                f"arrivals, {len(self.latencies)} latencies and batches of {self.batches.sum()} in all"
            )

    def quantile(self, share: float) -> float:
        """Return the latency that a share of the requests does not exceed.

        Parameters
        ----------
        share : float
            0 to 1.

        Returns
        -------
        float
            Seconds.

        Raises
        ------
        ValueError
            If ``share`` is not within 0 to 1.
        """
        return float(np.quantile(self.latencies, arguments.real("share", share, 0, 1)))

    @property
    def p50(self) -> float:
        """The median latency in seconds."""
        return self.quantile(0.50)

    @property
    def p99(self) -> float:
        """The latency in seconds that one request of a hundred exceeds."""
        return self.quantile(0.99)

    @property
    def throughput(self) -> float:
        """Answers per second from the first arrival to the last answer."""
        return len(self.arrivals) / float((self.arrivals + self.latencies).max() - self.arrivals[0])

    @property
    def mean_batch(self) -> float:
        """The mean size of a batch."""
        return float(self.batches.mean())

    @property
    def in_flight(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The times in seconds at which requests come or go, and how many are in flight from then on."""
        when = np.concatenate([self.arrivals, self.arrivals + self.latencies])
        change = np.repeat([1, -1], len(self.arrivals))
        order = np.argsort(when, kind="stable")  # who comes at the moment another goes is counted with it
        return when[order], change[order].cumsum()

    @property
    def most_in_flight(self) -> int:
        """The most requests that waited or were served at one moment."""
        return int(self.in_flight[1].max())

    def _row(self) -> tuple[str, ...]:
        rate, batch = display.significant(self.throughput), display.significant(self.mean_batch)
        times = map(display.seconds, (self.p50, self.p99))
        return self.name, *times, f"{rate} /s", batch, str(self.most_in_flight)

    def _table(self) -> display.Table:
        return display.Table(_HEADERS, [self._row()], caption=f"{len(self.arrivals)} requests")


_HEADERS = ("", "p50", "p99", "throughput", "mean batch", "most in flight")


def side_by_side(served: Mapping[str, Served]) -> str:
    """Return a plain-text table with one row per result, by name.

    Parameters
    ----------
    served : mapping of str to Served
        The results by name.

    Returns
    -------
    str
        The table.

    Raises
    ------
    TypeError
        Unless names are mapped to Served.
    """
    found = arguments.by_name("served", served, Served)
    return display.table_text(_HEADERS, [(name, *each._row()[1:]) for name, each in found.items()])


def flush(waiting: int, oldest_age: float, max_batch: int, max_wait: float) -> int:
    """Return how many requests the micro-batcher takes now; 0 means wait.

    Parameters
    ----------
    waiting : int
        How many requests wait.
    oldest_age : float
        How long the oldest has waited, in seconds.
    max_batch : int
        As soon as so many wait, they are taken.
    max_wait : float
        As soon as the oldest has waited so many seconds, all that wait are taken, ``max_batch`` at most.

    Returns
    -------
    int
        0 to ``max_batch``.

    Raises
    ------
    ValueError
        For a negative number or ``max_batch`` below 1.
    """
    count, most = arguments.integer("waiting", waiting, 0), arguments.integer("max_batch", max_batch, 1)
    age, wait = arguments.real("oldest_age", oldest_age), arguments.real("max_wait", max_wait, 0)
    return min(count, most) if count >= most or (count > 0 and age >= wait) else 0


def arrivals(rate: float, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Return when independent requests arrive.

    Parameters
    ----------
    rate : float
        Mean number of requests per second.
    count : int
        How many requests.
    seed : int, optional
        The same seed gives the same pattern at every rate.

    Returns
    -------
    ndarray of float64
        Ascending seconds, [count].

    Raises
    ------
    TypeError
        For arguments that are not numbers.
    ValueError
        For a rate that is not above 0 or a count below 1.

    Notes
    -----
    A Poisson process that begins with an arrival at 0.
    """
    per_second = arguments.positive("rate", rate, "per second")
    number = arguments.size("count", count, most=MOST_REQUESTS)
    gaps = np.random.default_rng(arguments.integer("seed", seed, 0)).exponential(1.0, number)
    gaps[0] = 0.0
    return gaps.cumsum() / per_second


def simulate(
    arrivals: ArrayLike, seconds: Curve | Callable[[int], float], *, max_batch: int, max_wait: float
) -> Served:
    """Simulate one server that answers in batches as ``flush`` says, event by event.

    A batch begins once the server is free and either ``max_batch`` requests wait or the oldest has waited
    ``max_wait`` seconds.

    Parameters
    ----------
    arrivals : array_like
        Times in seconds, ascending, [n].
    seconds : Curve or callable
        A measured Curve, or a function from a batch to seconds.
    max_batch : int
        The most requests per batch.
    max_wait : float
        The most seconds that the oldest request waits for others.

    Returns
    -------
    Served
        The latencies [n] and batches.

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For arguments out of range, a batch beyond the curve and one that takes no time included.
    Exception
        Whatever ``seconds`` raises.
    """
    when = ascending_times(arrivals)
    most, wait = arguments.integer("max_batch", max_batch, 1), arguments.real("max_wait", max_wait, 0)
    service = _service(seconds, most)
    finished, sizes, first, free = [], [], 0, -math.inf
    while first < len(when):
        full = when[first + most - 1] if first + most <= len(when) else math.inf
        start = max(free, min(when[first] + wait, full))
        taken = bisect_right(when, start, first, min(first + most, len(when))) - first
        free = start + service[taken - 1]
        finished.append(free)
        sizes.append(taken)
        first += taken
    batches = np.array(sizes)
    return Served("simulated", np.array(when), np.repeat(finished, batches) - when, batches)


def capacity(seconds: Curve | Callable[[int], float], max_batch: int) -> float:
    """Return the most requests per second that can be answered in batches.

    Parameters
    ----------
    seconds : Curve or callable
        A measured Curve, or a function from a batch to seconds.
    max_batch : int
        The largest batch.

    Returns
    -------
    float
        Requests per second.

    Raises
    ------
    TypeError
        As for ``simulate``.
    ValueError
        As for ``simulate``.
    Exception
        Whatever ``seconds`` raises.
    """
    most = arguments.integer("max_batch", max_batch, 1)
    return max(size / took for size, took in enumerate(_service(seconds, most), 1))


def _service(seconds: Any, most: int) -> list[float]:
    """Return the seconds of batches of 1, 2, … ``most``."""
    sizes = range(1, arguments.size("max_batch", most, most=MOST_REQUESTS) + 1)
    if isinstance(seconds, Curve):
        first, last = seconds.batches[0], seconds.batches[-1]
        if first > 1 or most > last:
            measured = f"seconds holds those from {first} to {last}, as measured"
            raise ValueError(f"max_batch asks for batches from 1 to {most}, but {measured}")
        return seconds.seconds(list(sizes)).tolist()
    if not callable(seconds):
        raise TypeError(f"seconds must be a Curve or a function of the batch; got {arguments.shown(seconds)}")
    taken = [arguments.real(f"seconds({size})", seconds(size)) for size in sizes]
    for size, took in zip(sizes, taken, strict=True):
        if took <= 0:
            raise ValueError(f"seconds({size}) must be more than 0 seconds; got {took:g}")
    return taken


def ascending_times(given: ArrayLike) -> list[float]:
    """Return arrival times as floats.

    Parameters
    ----------
    given : array_like
        The times in seconds, [n].

    Returns
    -------
    list of float
        The times in seconds, [n].

    Raises
    ------
    ValueError
        Unless they ascend.
    """
    when = arguments.array("arrivals", given, np.float64, ndim=1)
    if (np.diff(when) < 0).any():
        raise ValueError("arrivals must be in ascending order")
    return when.tolist()
