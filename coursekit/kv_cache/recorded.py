"""What real engines did with the small model: stored by ``python -m benchmarks engines``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coursekit._core import arguments, display, recordings

__all__ = ["RECORDED", "EngineRow", "RecordedEngines", "Refusal", "recorded"]

RECORDED = "recorded-engines.json"


@dataclass(frozen=True)
class EngineRow:
    """One engine and one load.

    Parameters
    ----------
    engine : str
        Its name and version.
    load : str
        What it was asked.
    new : int
        Tokens that it wrote.
    seconds : float
        Of the processor, on one thread; the median of several runs.

    Raises
    ------
    TypeError, ValueError
        Unless they are such values.
    """

    engine: str
    load: str
    new: int
    seconds: float

    def __post_init__(self) -> None:
        for name in ("engine", "load"):
            arguments.text(name, getattr(self, name))
        arguments.size("new", self.new)
        arguments.positive("seconds", self.seconds, "seconds")

    @property
    def throughput(self) -> float:
        """New tokens per second of the processor."""
        return self.new / self.seconds


@dataclass(frozen=True)
class Refusal:
    """An engine that did not run, and what it said.

    Parameters
    ----------
    engine : str
        Its name and version.
    tried : str
        How it was asked.
    said : str
        Its own words.

    Raises
    ------
    TypeError, ValueError
        Unless each is one line of text.
    """

    engine: str
    tried: str
    said: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            arguments.text(name, value)

    def __str__(self) -> str:
        return f"{self.engine}: refused ({self.tried}): {self.said}"


@dataclass(frozen=True, repr=False)
class RecordedEngines(display.Tabled):
    """What engines did, on which machine, and when.

    Parameters
    ----------
    machine : str
        Its name.
    day : str
        As ISO date.
    rows : tuple of EngineRow
        The engines and loads.
    texts, same : int
        How many texts were asked for in all, and how many of them were the same with all engines.
    refused : tuple of Refusal, optional
        Those that did not run.
    live : bool, optional
        Whether it was measured just now.
    """

    machine: str
    day: str
    rows: tuple[EngineRow, ...]
    texts: int
    same: int
    refused: tuple[Refusal, ...] = ()
    live: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """Their names, in the order of the rows."""
        return tuple(dict.fromkeys(row.engine for row in self.rows))

    @property
    def loads(self) -> tuple[str, ...]:
        """What they were asked, in the order of the rows."""
        return tuple(dict.fromkeys(row.load for row in self.rows))

    def row(self, engine: str, load: str) -> EngineRow | None:
        """Return what an engine did with a load, or None where that was not measured.

        Parameters
        ----------
        engine, load : str
            Two of the names above.

        Returns
        -------
        EngineRow or None
            The row.
        """
        return next((row for row in self.rows if (row.engine, row.load) == (engine, load)), None)

    def json(self) -> str:
        """Return the file that :func:`recorded` reads.

        Returns
        -------
        str
            The file's text.
        """
        return (
            json.dumps({name: value for name, value in asdict(self).items() if name != "live"}, indent=1)
            + "\n"
        )

    def _table(self) -> display.Table:
        headers = ("new tokens per CPU second", *self.engines)
        found = [(load, [self.row(engine, load) for engine in self.engines]) for load in self.loads]
        rows = [
            (load, *("" if row is None else display.significant(row.throughput) for row in cells))
            for load, cells in found
        ]
        same = f"{self.same} of {self.texts} texts are the same with all of them."
        when = f"{'Measured' if self.live else 'Recorded'} on {self.machine}, {self.day}."
        return display.Table(headers, rows, notes=[f"{when} {same}", *map(str, self.refused)])


def recorded() -> RecordedEngines | None:
    """Return what was measured with real engines and stored with the course, or None if nothing was.

    Returns
    -------
    RecordedEngines or None
        The measurement.

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    path = Path(__file__).with_name(RECORDED)
    return recordings.read(path, _engines) if path.exists() else None


def _engines(found: dict[str, Any]) -> RecordedEngines:
    rows = tuple(EngineRow(**row) for row in found["rows"])
    refused = tuple(Refusal(**each) for each in found.get("refused", ()))
    return RecordedEngines(**{**found, "rows": rows, "refused": refused})
