"""CUDA's asynchronous trap in numbers: when a call returns, and when its result is there.

``python -m coursekit.timing.launches`` measures it on this GPU and prints the file for ``recorded``.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

from coursekit import runtime
from coursekit._core import arguments, display, texts

__all__ = ["RECORDED", "Launches", "measure", "recorded"]

RECORDED = "recorded-launches.toml"
SIZE = 4096
RUNS, WARM_UP = 20, 5
_REQUIRED = {"machine": str, "day": str, "size": int, "launched": list, "finished": list}


@dataclass(frozen=True, repr=False)
class Launches(display.Tabled):
    """Products of two ``size`` x ``size`` matrices on a GPU, in seconds per run.

    ``launched``: until the call returned; ``finished``: until the product was there. ``day`` is when it was
    recorded, empty if just now.
    """

    machine: str
    size: int
    launched: tuple[float, ...]
    finished: tuple[float, ...]
    day: str = ""

    @classmethod
    def of(
        cls, times: Iterable[tuple[float, float]], *, size: int, machine: str, day: str = ""
    ) -> "Launches":
        """Return pairs of seconds as one result.

        Parameters
        ----------
        times : iterable of tuple of 2 float
            When each call returned and when its product was finished, in seconds from the call.
        size : int
            The matrices' rows and columns.
        machine : str
            What was measured on.
        day : str, optional
            When, as ISO date.

        Returns
        -------
        Launches
            The result.

        Raises
        ------
        ValueError
            If ``times`` is empty, a time is not above zero, or a product is finished too early.
        """
        pairs = [
            (arguments.positive("launched", one, "seconds"), arguments.positive("finished", two, "seconds"))
            for one, two in times
        ]
        if not pairs:
            raise ValueError("times must hold at least one pair of seconds; got none")
        if any(one > two for one, two in pairs):
            raise ValueError("times must be pairs (launched, finished) with launched <= finished")
        launched, finished = zip(*pairs, strict=True)
        return cls(machine, arguments.integer("size", size, 1), launched, finished, day)

    @property
    def ratio(self) -> float:
        """How many times as long the work takes as a stopwatch says that does not wait for it."""
        return median(self.finished) / median(self.launched)

    @property
    def caption(self) -> str:
        """What was measured, where, and when."""
        when = f", recorded on {self.day}" if self.day else ""
        what = f"{len(self.launched)} products of {self.size} x {self.size} matrices"
        return f"{what} on {self.machine}{when}"

    def _table(self) -> display.Table:
        times = {"the call returns": self.launched, "the result is there": self.finished}
        headers = ("stopped when", "median", "quickest", "slowest")
        rows = [
            (name, *(display.seconds(pick(column)) for pick in (median, min, max)))
            for name, column in times.items()
        ]
        return display.Table(headers, rows, self.caption)

    def toml(self) -> str:
        """Return the file that ``recorded`` reads.

        Returns
        -------
        str
            The file's text.
        """
        columns = {"launched": self.launched, "finished": self.finished}
        head = f'machine = "{self.machine}"\nday = "{self.day}"\nsize = {self.size}\n'
        return head + "".join(f"{name} = {[float(f'{t:.4g}') for t in ts]}\n" for name, ts in columns.items())


def recorded() -> Launches | None:
    """Return what was measured on a GPU and stored with the course, or None if nothing was.

    Returns
    -------
    Launches or None
        The measurement; None if nothing is stored.

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    path = Path(__file__).with_name(RECORDED)
    if not path.exists():
        return None
    table = texts.fields(RECORDED, texts.load(path), _REQUIRED, {})
    if len(table["launched"]) != len(table["finished"]):
        raise ValueError(f"{RECORDED}: launched and finished must hold equally many seconds")
    times = zip(table["launched"], table["finished"], strict=True)
    return Launches.of(times, size=table["size"], machine=table["machine"], day=table["day"])


def measure(size: int = SIZE, runs: int = RUNS) -> Launches:
    """Multiply two matrices on the GPU and note when the call returns and when the product is there.

    Parameters
    ----------
    size : int, optional
        The matrices' rows and columns.
    runs : int, optional
        How many products are timed.

    Returns
    -------
    Launches
        The times of each product.

    Raises
    ------
    TypeError
        For a size or runs that are not whole numbers.
    ValueError
        For a size or runs below 1.
    RuntimeError
        Where there is no CUDA.
    """
    import torch

    size, runs = arguments.size("size", size), arguments.size("runs", runs)
    device = runtime.device("cuda")
    a, b = (torch.rand(size, size, device=device) for _ in range(2))
    times = []
    for _ in range(runs + WARM_UP):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.mm(a, b)
        launched = time.perf_counter() - start
        torch.cuda.synchronize()
        times.append((launched, time.perf_counter() - start))
    return Launches.of(times[WARM_UP:], size=size, machine=_machine(), day=date.today().isoformat())


def _machine() -> str:
    import torch

    return f"{runtime.describe().gpu}, torch {torch.__version__}"


if __name__ == "__main__":
    print(measure().toml(), end="")
