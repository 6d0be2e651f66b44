"""How much memory a block of code takes at its worst, by two gauges that see different things."""

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from coursekit._core import arguments, display

__all__ = ["Peak", "peak"]

SAMPLING = 0.001  # seconds between two looks at the process
SEES = {
    "python": "Python's and numpy's memory, to the byte; not torch's",
    "process": "all of the process's pages, looked at every millisecond; freed ones may stay",
}


@dataclass(repr=False)
class Peak(display.Shown):
    """Bytes that a block added: ``peak`` at its worst moment, ``kept`` at its end; filled in when it ends."""

    gauge: str
    peak: int = 0
    kept: int = 0

    def __str__(self) -> str:
        peak, kept = display.size(self.peak), display.size(abs(self.kept))
        return f"peak {peak}, kept {'−' * (self.kept < 0)}{kept} ({SEES[self.gauge]})"


@contextmanager
def peak(gauge: str = "python") -> Iterator[Peak]:
    """Measure the memory that the block adds to what was there before.

    Parameters
    ----------
    gauge : str
        "python" asks tracemalloc: exact, repeatable, but it sees only what Python and numpy ask for, and the
        block runs slower; such blocks may be nested. "process" samples the resident memory every millisecond:
        it sees torch and C too, but misses shorter peaks, and memory that was freed but not given back can
        serve again without being seen.

    Yields
    ------
    Peak
        Complete after the block.

    Raises
    ------
    TypeError, ValueError
        For another gauge.
    """
    gauges = {"python": _traced, "process": _sampled}
    with gauges[arguments.choice("gauge", gauge, gauges)]() as found:
        yield found


@contextmanager
def _traced() -> Iterator[Peak]:
    started_here = not tracemalloc.is_tracing()
    if started_here:
        tracemalloc.start()
    before, outer = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    found = Peak("python")
    try:
        yield found
    finally:
        now, highest = tracemalloc.get_traced_memory()
        found.peak, found.kept = max(0, highest - before), now - before
        if started_here:
            tracemalloc.stop()
        else:
            _restore_peak(outer)


def _restore_peak(outer: int) -> None:
    """Lift the peak that an outer block will read back to ``outer``, if this block stayed below it.

    tracemalloc keeps one peak only; a short-lived allocation of the missing size sets it again.
    """
    now, highest = tracemalloc.get_traced_memory()
    if highest < outer:
        bytearray(outer - now)


@contextmanager
def _sampled() -> Iterator[Peak]:
    process, found, done = psutil.Process(), Peak("process"), threading.Event()
    before = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not done.wait(SAMPLING):
            highest = max(highest, process.memory_info().rss)

    sampler = threading.Thread(target=watch, daemon=True)
    sampler.start()
    try:
        yield found
    finally:
        done.set()
        sampler.join()
        now = process.memory_info().rss
        found.peak, found.kept = max(highest, now) - before, now - before
