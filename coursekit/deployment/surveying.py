"""One network with many runtimes: size, start, time per answer, and whether all answer the same."""

import json
import random
import statistics
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coursekit._core import arguments, display, recordings
from coursekit.deployment.programs import Program
from coursekit.deployment.runtimes import Runtime, find

__all__ = ["RECORDED", "RuntimeRow", "Survey", "recorded", "survey"]

RECORDED = "recorded-runtimes.json"
STARTS, ROUNDS, CALLS = 3, 25, 200  # calls of one round: from about 1 ms (C) to 20 ms (a busy machine)
SLOW = 2.0  # seconds: what starts so slowly is started once
QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime with one file.

    Parameters
    ----------
    runtime, version : str
        Its name, and what answered.
    numbers : str
        What the file holds: FP32, INT8 dynamic or INT8 static.
    file_bytes, program_bytes : int
        The model, and what has to be there beside it, without Python, Node or a browser.
    start : float
        Seconds from the start of a fresh process to its first answer, the median of several.
    latency, low, high : float
        Seconds per answer: median and quartiles.
    same, asked : int
        Labels equal to those that were expected, of so many.

    Raises
    ------
    TypeError, ValueError
        Unless they are such values.
    """

    runtime: str
    version: str
    numbers: str
    file_bytes: int
    program_bytes: int
    start: float
    latency: float
    low: float
    high: float
    same: int
    asked: int

    def __post_init__(self) -> None:
        for name in ("runtime", "version", "numbers"):
            arguments.text(name, getattr(self, name))
        for name in ("file_bytes", "program_bytes", "asked"):
            arguments.integer(name, getattr(self, name), 1)
        for name in ("start", "latency", "low", "high"):
            arguments.positive(name, getattr(self, name), "seconds")
        arguments.integer("same", self.same, 0, self.asked)


@dataclass(frozen=True, repr=False)
class Survey(display.Tabled):
    """One network with many runtimes.

    Parameters
    ----------
    rows : tuple of RuntimeRow
        In the order in which they were asked for.
    machine, day : str, optional
        Where and when, if it was not a moment ago.
    """

    rows: tuple[RuntimeRow, ...]
    machine: str = ""
    day: str = ""

    def __post_init__(self) -> None:
        arguments.instances("rows", self.rows, RuntimeRow)
        arguments.label("machine", self.machine)
        arguments.label("day", self.day)

    def row(self, runtime: str, numbers: str = "FP32") -> RuntimeRow | None:
        """Return a runtime's row with a file, or None where it was not asked.

        Parameters
        ----------
        runtime : str
            Its name, such as OpenVINO.
        numbers : str, optional
            What the file holds.

        Returns
        -------
        RuntimeRow or None
            The row.
        """
        arguments.label("runtime", runtime)
        arguments.label("numbers", numbers)
        return next((row for row in self.rows if (row.runtime, row.numbers) == (runtime, numbers)), None)

    def json(self) -> str:
        """Return the file that ``recorded`` reads.

        Returns
        -------
        str
            The file's text.
        """
        found = {"machine": self.machine, "day": self.day, "rows": [vars(row) for row in self.rows]}
        return json.dumps(found, indent=1) + "\n"

    def _table(self) -> display.Table:
        headers = ("runtime", "numbers", "runtime + file", "first answer after", "per answer", "same labels")
        rows = [
            (
                _named(row),
                row.numbers,
                f"{display.size(row.program_bytes)} + {display.size(row.file_bytes)}",
                display.seconds(row.start, 2),
                f"{display.seconds(row.latency, 2)} ({_micro(row.low)} to {_micro(row.high)} µs)",
                f"{row.same} of {row.asked}",
            )
            for row in self.rows
        ]
        notes = [f"Recorded on {self.machine}, {self.day}."] if self.machine else []
        return display.Table(headers, rows, left=2, notes=notes)


def survey(files: Mapping[str, Mapping[str, str | Path]], x: Any, expected: Any) -> Survey:
    """Ask one network with several runtimes, each in a process of its own, on one thread.

    Every process is started afresh a few times. Then all of them stay, and take turns in shuffled rounds.

    Parameters
    ----------
    files : mapping of str to mapping of str to path
        For each runtime, by its name, the files by the numbers that they hold.
    x : array_like
        Pictures, float32 [n, 64], which are answered one by one.
    expected : array_like
        The labels to agree with, [n].

    Returns
    -------
    Survey
        A row for each file.

    Raises
    ------
    ImportError
        For a runtime that is not here.
    TypeError, ValueError, FileNotFoundError, RuntimeError
        As ``Runtime.open``, or if there are not as many labels as pictures.
    """
    wanted = [(find(name), numbers, path) for name, numbers, path in _each(files)]
    labels, asked = arguments.array("expected", expected, np.float64), len(arguments.dense("x", x))
    if labels.shape != (asked,):
        raise ValueError(f"expected must hold {asked} labels, one per picture; got shape {labels.shape}")
    with ExitStack() as stack:
        programs, starts = [], []
        for runtime, _, path in wanted:
            programs.append(stack.enter_context(runtime.open(path, x)))
            first = programs[-1].start_seconds
            more = STARTS - 1 if first < SLOW else 0
            starts.append(statistics.median([first, *(_start(runtime, path, x) for _ in range(more))]))
        times = _in_turns(programs)
        return Survey(
            tuple(
                _row(runtime, numbers, Path(path), program, start, taken, labels)
                for (runtime, numbers, path), program, start, taken in zip(
                    wanted, programs, starts, times, strict=True
                )
            )
        )


def recorded() -> Survey:
    """Return what was measured with all runtimes and stored with the course.

    Returns
    -------
    Survey
        With the machine's name.

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    return recordings.read(Path(__file__).with_name(RECORDED), _survey)


def _survey(found: dict[str, Any]) -> Survey:
    rows = tuple(RuntimeRow(**row) for row in found["rows"])
    return Survey(rows, found["machine"], found["day"])


def _each(files: Any) -> Iterable[tuple[str, str, Any]]:
    if not isinstance(files, Mapping) or not files:
        raise TypeError(f"files must map runtimes to their files; got {arguments.shown(files)}")
    for name, by_numbers in files.items():
        if not isinstance(by_numbers, Mapping) or not by_numbers:
            raise TypeError(f"files[{name!r}] must map numbers to files; got {arguments.shown(by_numbers)}")
        for numbers, path in by_numbers.items():
            yield name, arguments.text("numbers", numbers), path


def _start(runtime: Runtime, path: str | Path, x: Any) -> float:
    with runtime.open(path, x) as program:
        return program.start_seconds


def _in_turns(programs: list[Program]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in programs]
    order, turns = list(range(len(programs))), random.Random(0)
    for each in order:
        programs[each].seconds(CALLS)  # a warm-up
    for _ in range(ROUNDS):
        turns.shuffle(order)
        for each in order:
            times[each].append(programs[each].seconds(CALLS))
    return times


def _row(
    runtime: Runtime,
    numbers: str,
    path: Path,
    program: Program,
    start: float,
    taken: list[float],
    labels: Any,
) -> RuntimeRow:
    low, median, high = (float(each) for each in np.quantile(taken, QUARTERS))
    same = int((program.labels == labels).sum())
    sizes = path.stat().st_size, runtime.program_bytes
    return RuntimeRow(
        runtime.name, program.version, numbers, *sizes, start, median, low, high, same, len(labels)
    )


def _named(row: RuntimeRow) -> str:
    return row.version if row.version.startswith(row.runtime) else f"{row.runtime}: {row.version}"


def _micro(value: float) -> str:
    return display.significant(1e6 * value, 2)
