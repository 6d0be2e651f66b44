"""What one-layer students learned from the small model: stored by ``python -m benchmarks students``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coursekit._core import arguments, display, recordings, statistics
from coursekit.finetuning.students import LEVELS

__all__ = ["RECORDED", "RecordedStudents", "recorded_students"]

RECORDED = "recorded-students.json"


@dataclass(frozen=True, repr=False)
class RecordedStudents(display.Tabled):
    """The loss of every student on the evaluation text, by steps, lesson and seed.

    Parameters
    ----------
    machine : str
        Where they were trained.
    day : str
        As ISO date.
    weights : dict of str to float
        Of each lesson, as chosen on other windows with another seed.
    losses : dict of int to dict of str to tuple of float
        By steps and lesson, one loss for each seed.
    teacher : float
        The small model's own loss.

    Raises
    ------
    TypeError, ValueError
        Unless all lessons have as many seeds.
    """

    machine: str
    day: str
    weights: dict[str, float]
    losses: dict[int, dict[str, tuple[float, ...]]]
    teacher: float

    def __post_init__(self) -> None:
        for name in ("machine", "day"):
            arguments.text(name, getattr(self, name))
        arguments.positive("teacher", self.teacher)
        if not isinstance(self.losses, dict) or not all(isinstance(x, dict) for x in self.losses.values()):
            raise TypeError(f"losses must be dicts in a dict; got {arguments.shown(self.losses)}")
        counts = {len(found) for lessons in self.losses.values() for found in lessons.values()}
        if len(counts) != 1 or any(set(lessons) != set(LEVELS) for lessons in self.losses.values()):
            raise ValueError(f"losses must hold all of {', '.join(LEVELS)} with as many seeds each")

    @property
    def steps(self) -> tuple[int, ...]:
        """How long they were trained, ascending."""
        return tuple(sorted(self.losses))

    @property
    def seeds(self) -> int:
        """How many students had each lesson."""
        return len(self.losses[self.steps[0]]["alone"])

    def gain(self, level: str, steps: int | None = None) -> statistics.PairedDifference:
        """Return the loss of students alone minus that of those with a lesson, paired by seed.

        Parameters
        ----------
        level : str
            One of ``LEVELS``.
        steps : int, optional
            One of ``steps``; by default the longest.

        Returns
        -------
        PairedDifference
            Above 0 the lesson helped.
        """
        lessons = self.losses[self.steps[-1] if steps is None else steps]
        return statistics.paired(lessons["alone"], lessons[arguments.choice("level", level, LEVELS)])

    def json(self) -> str:
        """Return the file that :func:`recorded_students` reads.

        Returns
        -------
        str
            The file's text.
        """
        return json.dumps(vars(self), indent=1) + "\n"

    def _table(self) -> display.Table:
        headers = ("students", *(f"{name} after {n} steps" for n in self.steps for name in ("loss", "gain")))
        rows = []
        for level in LEVELS:
            cells = []
            for steps in self.steps:
                found = self.losses[steps][level]
                gain = self.gain(level, steps)
                said = "" if level == "alone" else f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
                cells += [f"{sum(found) / len(found):.3f}", said]
            rows.append((level, *cells))
        where = f"Recorded on {self.machine}, {self.day}, {self.seeds} seeds."
        return display.Table(headers, rows, notes=[f"{where} The teacher's own loss is {self.teacher:.3f}."])


def recorded_students() -> RecordedStudents | None:
    """Return what was measured and stored with the course, or None if nothing was.

    Returns
    -------
    RecordedStudents or None
        The measurement.

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    path = Path(__file__).with_name(RECORDED)
    return recordings.read(path, _students) if path.exists() else None


def _students(found: dict[str, Any]) -> RecordedStudents:
    losses = {
        int(steps): {level: tuple(each) for level, each in lessons.items()}
        for steps, lessons in found["losses"].items()
    }
    return RecordedStudents(**{**found, "losses": losses})
