"""What the dashboard's table holds: seven variants of one network, measured in one sitting."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coursekit._core import arguments, display
from coursekit.accuracy import Accuracy, PairedTest
from coursekit.timing import Ratio, Verdict

__all__ = [
    "BASELINE",
    "BUDGETS",
    "FITS",
    "NAMES",
    "OUT",
    "UNSURE",
    "VARIANTS",
    "Budget",
    "Row",
    "Sitting",
    "Variant",
    "dominates",
    "front",
]

HEADERS = ("variant", "size", "latency (quartiles)", "speed-up", "accuracy (95 % interval)", "answers")
FITS, UNSURE, OUT = "fits", "unsure", "out"


@dataclass(frozen=True)
class Variant:
    """One row of the table: its ``name``, and how it is ``made``.

    Parameters
    ----------
    name : str
        The row's name.
    recorded : str
        Under which name a notebook records the same kind of network.
    made : str
        How it is made.
    portable : bool
        The file runs without Python, in a browser or on a phone.
    owner : str
        Whose network it is: the course's, or one of the reader's, under a fingerprint of model and data.
    """

    name: str
    recorded: str
    made: str
    portable: bool = False
    owner: str = "dashboard"

    @property
    def board(self) -> str:
        """The name on the scoreboard: its own, so that no notebook's record is replaced."""
        return f"{self.owner}-{self.name}"


BASELINE = "baseline"
VARIANTS = (
    Variant(BASELINE, "fp32", "a network 64-128-10, trained in FP32"),
    Variant("int8-dynamic", "int8-dynamic", "the baseline, quantized by PyTorch's one line"),
    Variant("onnx-fp32", "onnx-fp32", "the baseline, exported to ONNX", True),
    Variant("onnx-int8", "onnx-int8", "that file, quantized by ONNX Runtime", True),
    Variant("pruned", "pruned-structured", "the baseline without half of its hidden neurons, trained on"),
    Variant("distilled", "student-distilled", "a student 64-32-10, taught by the baseline"),
    Variant("stacked", "stacked", "distilled, pruned, quantized, exported to ONNX", True),
)
NAMES = tuple(variant.name for variant in VARIANTS)


@dataclass(frozen=True, repr=False)
class Row(display.Shown):
    """One variant as measured: bytes on disk, seconds per picture, right answers on the test pictures.

    ``latency_low`` and ``latency_high`` are quartiles; ``ratio`` is the speed-up over the baseline with its
    95 % interval, ``speed`` the verdict on it; ``paired`` sets the answers (a) beside the baseline's (b).
    """

    name: str
    size_bytes: int
    latency: float
    latency_low: float
    latency_high: float
    ratio: Ratio
    speed: Verdict
    accuracy: Accuracy
    paired: PairedTest
    portable: bool

    def cells(self) -> tuple[str, ...]:
        """Return what the table shows, in the order of HEADERS.

        Returns
        -------
        tuple of str
            One text per column.
        """
        low, middle, high = (display.seconds(s) for s in (self.latency_low, self.latency, self.latency_high))
        right = self.accuracy
        is_baseline = self.name == BASELINE
        return (
            self.name,
            display.size(self.size_bytes),
            f"{middle} [{low}, {high}]",
            "1×" if is_baseline else f"{_times(self.ratio)} {self.speed}",
            f"{100 * right.value:.1f} % [{100 * right.low:.1f}, {100 * right.high:.1f}]",
            "baseline" if is_baseline else f"{_said(self.paired)} (p = {self.paired.p_value:.2g})",
        )

    def __str__(self) -> str:
        return ", ".join(self.cells())


@dataclass(frozen=True, repr=False)
class Sitting(display.Tabled):
    """The variants, measured in one sitting on one machine.

    Parameters
    ----------
    rows : tuple of Row
        At least one, the baseline first.
    machine : str
        Its name.
    notes : tuple of str
        Doubts about the timing, and what was left out.
    about : str
        The network that all rows are made from.
    unit : str
        What one call takes.

    Raises
    ------
    ValueError
        For anything else than rows.
    """

    rows: tuple[Row, ...]
    machine: str
    notes: tuple[str, ...] = ()
    about: str = "a network of 9,610 parameters"
    unit: str = "picture"

    def __post_init__(self) -> None:
        if not self.rows or not all(isinstance(row, Row) for row in self.rows):
            raise ValueError(f"rows must hold at least one Row and nothing else; got {self.rows!r}")

    def __getitem__(self, name: str) -> Row:
        """Return the row of this name; ValueError for an unknown one."""
        chosen = arguments.choice("name", name, self.names)
        return self.rows[self.names.index(chosen)]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The rows' names, in their order."""
        return tuple(row.name for row in self.rows)

    @property
    def title(self) -> str:
        """Where and how it was measured."""
        return f"One sitting on {self.machine}: one {self.unit} per call, one thread, on the CPU"

    def _table(self) -> display.Table:
        return display.Table(HEADERS, [row.cells() for row in self.rows], self.title, notes=self.notes)


@dataclass(frozen=True)
class Budget:
    """What a place to run allows; ``BUDGETS`` holds the lecture's, and any other can be made.

    Parameters
    ----------
    name : str
        What it is called.
    size_bytes : float
        The most bytes.
    seconds : float
        The most seconds per call.
    accuracy : float
        The least accuracy, a fraction.
    portable : bool
        It must run without Python.

    Raises
    ------
    TypeError, ValueError
        For limits that are not positive, or an accuracy outside 0 to 1.
    """

    name: str
    size_bytes: float = math.inf
    seconds: float = math.inf
    accuracy: float = 0.0
    portable: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise TypeError(f"name must be a text; got {self.name!r}")
        object.__setattr__(self, "portable", arguments.flag("portable", self.portable))
        for name in ("size_bytes", "seconds"):
            value = getattr(self, name)
            if value != math.inf and arguments.real(name, value) <= 0:
                raise ValueError(f"{name} must be more than 0; got {value}")
        arguments.real("accuracy (a fraction)", self.accuracy, 0, 1)

    def verdict(self, row: Row) -> str:
        """Say whether a variant fits into the budget.

        Parameters
        ----------
        row : Row
            The variant as measured.

        Returns
        -------
        str
            "fits", "out", or "unsure" where an interval reaches across a limit.

        Raises
        ------
        TypeError, ValueError
            If it is not a Row.
        """
        _row(row)
        if row.size_bytes > self.size_bytes or (self.portable and not row.portable):
            return OUT
        if row.latency_low > self.seconds or row.accuracy.high < self.accuracy:
            return OUT
        inside = row.latency_high <= self.seconds and row.accuracy.low >= self.accuracy
        return FITS if inside else UNSURE

    def __str__(self) -> str:
        limits = [
            f"< {_short(display.size(self.size_bytes))}" if self.size_bytes < math.inf else "",
            f"< {_short(display.seconds(self.seconds))}" if self.seconds < math.inf else "",
            f"≥ {100 * self.accuracy:.1f} %" if self.accuracy else "",
            "no Python" if self.portable else "",
        ]
        return f"{self.name}: {', '.join(filter(None, limits)) or 'no limit'}"


# The lecture's deployment targets. "JS only" in a browser means a file that runs without Python.
BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("cloud API", seconds=0.1),
        Budget("mobile app", 50e6, 0.05),
        Budget("IoT", 10e6),
        Budget("browser", 5e6, portable=True),
    )
}


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Tell whether ``a`` is nowhere worse than ``b`` and somewhere better.

    Parameters
    ----------
    a, b : sequence of float
        Equally many costs; smaller ones are better.

    Returns
    -------
    bool
        True or False.

    Raises
    ------
    TypeError, ValueError
        If they are not equally long.
    """
    pairs = list(zip(a, b, strict=True))
    return all(mine <= other for mine, other in pairs) and any(mine < other for mine, other in pairs)


def front(rows: Iterable[Row], accuracy: float = 0.0) -> tuple[str, ...]:
    """Return the Pareto front: names of rows that no other beats in size and latency.

    Parameters
    ----------
    rows : Sitting or iterable of Row
        What is compared.
    accuracy : float
        Only rows with at least this fraction, by value, take part.

    Returns
    -------
    tuple of str
        Smallest first.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    if not isinstance(rows, Iterable) or isinstance(rows, str):
        raise TypeError(f"rows must be a Sitting or a list of its rows; got {type(rows).__name__}")
    able = [
        row for row in map(_row, rows) if row.accuracy.value >= arguments.real("accuracy", accuracy, 0, 1)
    ]
    costs = {row.name: (row.size_bytes, row.latency) for row in able}
    best = [name for name, mine in costs.items() if not any(dominates(c, mine) for c in costs.values())]
    return tuple(sorted(best, key=costs.__getitem__))


def _row(row: Any) -> Row:
    return arguments.instance("row", row, Row)


def _short(text: str) -> str:
    number, unit = text.split(" ")
    return f"{float(number):g} {unit}"


def _times(ratio: Any) -> str:
    value, low, high = (display.significant(number) for number in (ratio.value, ratio.low, ratio.high))
    return f"{value}× [{low}, {high}]"


def _said(paired: PairedTest) -> str:
    return {"same": "same", "a better": "better", "b better": "worse"}[paired.verdict]
