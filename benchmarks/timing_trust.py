"""Trust: how often each timer calls equal functions different, and finds one that is 10 % slower."""

import argparse
import random
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.common import trim_sigfig

from coursekit import accuracy, timing
from coursekit._core import display

# The same small operation so many times: the work, and with it the true time, differs by exactly 10 %.
REPEATS = 100
SLOWER_REPEATS = 110
NUMBERS = 256
COUNT = 200
QUICK_COUNT = 20
# What every contender may spend on one comparison.
SECONDS = 0.4
# Medians are set side by side twice per comparison, in runs of so many seconds.
MEDIAN_SECONDS = 0.05
# torch's blocks of several milliseconds span time slices, coursekit's short samples slip between them: where
# others take the core, torch's median holds their time too. The two are the same thing on a free core only.
WHOLE_CORE = 0.98
THREADS = 1
TIMEIT_REPEATS = 5
TIMEIT_DIFFERENCE = 0.05
SEED = 1

Call = Literal["faster", "slower", "same"]
Function = Callable[[], None]


@dataclass
class Tally:
    """What one contender called the equal and the slower candidates."""

    equal: list[Call] = field(default_factory=list)
    slower: list[Call] = field(default_factory=list)

    def row(self, name: str) -> tuple[str, str, str]:
        """Return the name, the share of false alarms and the share found, with intervals."""
        alarms = sum(call != "same" for call in self.equal)
        found = sum(call == "slower" for call in self.slower)
        return name, _share(alarms, len(self.equal)), _share(found, len(self.slower))


@dataclass
class Medians:
    """Seconds per call by ``timing.measure`` and, next to it, by torch; and our share of a core meanwhile."""

    ours: list[float] = field(default_factory=list)
    torch: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)

    def add(self, fn: Function) -> None:
        """Time ``fn`` with both, in either order: the machine's speed may change at any moment."""
        ask_ours = (self.ours, lambda: timing.measure(fn, min_time=MEDIAN_SECONDS).median)
        timer = Timer("fn()", globals={"fn": fn})
        ask_torch = (self.torch, lambda: timer.blocked_autorange(min_run_time=MEDIAN_SECONDS).median)
        for both in ((ask_ours, ask_torch), (ask_torch, ask_ours)):
            wall, cpu = time.perf_counter(), time.process_time()
            for found, ask in both:
                found.append(ask())
            self.share.append((time.process_time() - cpu) / (time.perf_counter() - wall))


def main(count: int = COUNT, seconds: float = SECONDS) -> None:
    """Print what ``count`` comparisons of each kind came to, ``seconds`` per comparison and contender."""
    a, same, slower = work(REPEATS), work(REPEATS), work(SLOWER_REPEATS)
    tallies = {name: Tally() for contender in CONTENDERS for name in contender.readings}
    medians, order, rng = Medians(), list(CONTENDERS), random.Random(SEED)
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        for _ in range(count):
            rng.shuffle(order)
            for contender in order:
                _ask(contender, tallies, a, same, slower, seconds)
            medians.add(a)
    finally:
        torch.set_num_threads(torch_threads)
    _print(tallies, medians, true_ratio(a, slower), count, seconds)


def work(repeats: int) -> Function:
    """Return a function that does the same small operation ``repeats`` times."""
    numbers, result = torch.linspace(0, 1, NUMBERS), torch.empty(NUMBERS)

    def run() -> None:
        for _ in range(repeats):
            torch.sin(numbers, out=result)

    return run


def true_ratio(a: Function, b: Function, pairs: int = 3000) -> float:
    """Return how many times as long ``b`` takes: the median over pairs of single calls, in either order."""
    ratios = []
    for _ in range(pairs):
        first, second, third = map(_once, (a, b, a))
        ratios += [second / first, second / third]
    return float(np.median(ratios))


def _once(fn: Function) -> float:
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def by_coursekit(a: Function, b: Function, seconds: float) -> tuple[Call, ...]:
    """Ask ``timing.compare``."""
    return (timing.compare({"a": a, "b": b}, baseline="a", max_time=seconds).verdict("b"),)


def by_torch(a: Function, b: Function, seconds: float) -> tuple[Call, ...]:
    """Ask two torch Timers, and read them twice.

    Once as its Compare table prints them, medians cut to their significant digits; and once by whether
    the middle halves of their blocks (the IQRs) overlap.
    """
    first, second = (
        Timer("fn()", globals={"fn": fn}).blocked_autorange(min_run_time=seconds / 2) for fn in (a, b)
    )
    digits = _called(*(trim_sigfig(m.median, m.significant_figures) for m in (first, second)))
    (low, high), (other_low, other_high) = (np.quantile(m.times, (0.25, 0.75)) for m in (first, second))
    overlap = other_low <= high and low <= other_high
    return digits, "same" if overlap else _called(first.median, second.median)


def by_timeit(a: Function, b: Function, seconds: float) -> tuple[Call, ...]:
    """Ask ``timeit``: the best of five repeats, different where they are more than 5 % apart."""
    best = [_best_of(fn, seconds / 2) for fn in (a, b)]
    apart = abs(best[1] / best[0] - 1) > TIMEIT_DIFFERENCE
    return (_called(*best) if apart else "same",)


@dataclass(frozen=True)
class Contender:
    """A way to compare two functions in so many seconds, and what its calls are named in the table."""

    ask: Callable[[Function, Function, float], tuple[Call, ...]]
    readings: tuple[str, ...]


CONTENDERS = (
    Contender(by_coursekit, ("coursekit.timing.compare",)),
    Contender(by_torch, ("torch.utils.benchmark, digits", "torch.utils.benchmark, IQRs apart")),
    Contender(by_timeit, ("timeit, best of 5, > 5 % apart",)),
)


def _ask(
    contender: Contender,
    tallies: dict[str, Tally],
    a: Function,
    same: Function,
    slower: Function,
    seconds: float,
) -> None:
    for name, call in zip(contender.readings, contender.ask(a, same, seconds), strict=True):
        tallies[name].equal.append(call)
    for name, call in zip(contender.readings, contender.ask(a, slower, seconds), strict=True):
        tallies[name].slower.append(call)


def _best_of(fn: Function, seconds: float) -> float:
    once = min(timeit.repeat(fn, number=1, repeat=TIMEIT_REPEATS))
    number = max(1, round(seconds / TIMEIT_REPEATS / once))
    return min(timeit.repeat(fn, number=number, repeat=TIMEIT_REPEATS)) / number


def _called(first: float, second: float) -> Call:
    if first == second:
        return "same"
    return "slower" if second > first else "faster"


def _print(tallies: dict[str, Tally], medians: Medians, ratio: float, count: int, seconds: float) -> None:
    print(f"{count} comparisons of each kind, {seconds:g} s per comparison and contender, {THREADS} thread.")
    quick = display.seconds(min(medians.ours))
    print(f"A takes {quick}; pair by pair, the slower one takes {ratio:.3f} times as long.\n")
    headers = ("contender", "equal, called different", "10 % slower, called slower")
    print(display.table_text(headers, [tally.row(name) for name, tally in tallies.items()]), "\n")
    relative = np.array(medians.ours) / np.array(medians.torch) - 1
    calm = relative[np.array(medians.share) >= WHOLE_CORE]
    headers = ("timing.measure against torch.utils.benchmark", "runs", "difference", "middle 90 %")
    rows = [
        _difference(f"where the process had {WHOLE_CORE:.0%} of a core", calm),
        _difference("all", relative),
    ]
    print(display.table_text(headers, rows))


def _difference(name: str, relative: NDArray[np.float64]) -> tuple[str, str, str, str]:
    if not len(relative):
        return name, "0", "", ""
    low, middle, high = np.quantile(relative, (0.05, 0.5, 0.95))
    return name, str(len(relative)), f"{middle:+.1%}", f"{low:+.1%} to {high:+.1%}"


def _share(hits: int, total: int) -> str:
    low, high = accuracy.interval(hits, total)
    return f"{hits} of {total}, {hits / total:.1%} ({low:.1%} to {high:.1%})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK_COUNT} comparisons of each kind")
    parser.add_argument("--count", type=int, default=COUNT, help="comparisons of each kind")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds per comparison and contender")
    given = parser.parse_args()
    main(QUICK_COUNT if given.quick else given.count, given.seconds)
