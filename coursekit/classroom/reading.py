"""The reports of a class: all that lie in a folder, the newest of each student, damaged ones set aside."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from coursekit._core import arguments, display
from coursekit.classroom import counting
from coursekit.classroom.counting import ClaimCount, ExerciseCount, MachinePoint, Prediction, Repeated
from coursekit.exercises import Handed, handed
from coursekit.exercises.tries import SOLVED

__all__ = ["Aside", "Class", "Earlier", "Entry", "read"]

ENDINGS = (".html", ".htm")
MOST_FILES = 20_000


@dataclass(frozen=True)
class Entry:
    """A report that counts, and the file that it came in."""

    __module__ = "coursekit.classroom"

    file: str
    report: Handed

    @property
    def name(self) -> str:
        """The student, as typed."""
        return self.report.name

    @property
    def edited(self) -> bool:
        """Whether its data or what it shows were changed by hand."""
        return self.report.status != handed.WHOLE

    @property
    def solved(self) -> int:
        """How many exercises are solved."""
        return sum(each.outcome == SOLVED for each in self.report.exercises.values())


@dataclass(frozen=True)
class Aside:
    """A file that could not be read, and why."""

    __module__ = "coursekit.classroom"

    file: str
    why: str


@dataclass(frozen=True)
class Earlier:
    """A report that gave way to a newer one of the same name."""

    __module__ = "coursekit.classroom"

    file: str
    name: str
    kept: str


@dataclass(frozen=True, repr=False)
class Class(display.Tabled):
    """What a class handed in.

    Parameters
    ----------
    entries : tuple of Entry
        One report per student, by name.
    aside : tuple of Aside
        Files that could not be read.
    earlier : tuple of Earlier
        Reports that gave way to newer ones of the same name.
    """

    __module__ = "coursekit.classroom"

    entries: tuple[Entry, ...]
    aside: tuple[Aside, ...] = ()
    earlier: tuple[Earlier, ...] = ()

    @cached_property
    def reports(self) -> tuple[Handed, ...]:
        """The reports that count."""
        return tuple(entry.report for entry in self.entries)

    @property
    def edited(self) -> tuple[Entry, ...]:
        """Those that were changed by hand; they count, and are marked."""
        return tuple(entry for entry in self.entries if entry.edited)

    @cached_property
    def exercises(self) -> tuple[ExerciseCount, ...]:
        """Outcomes by exercise."""
        return counting.exercises(self.reports)

    @cached_property
    def wrong(self) -> tuple[Repeated, ...]:
        """Wrong answers by exercise, those of most students first."""
        return counting.wrong(self.reports)

    @cached_property
    def predictions(self) -> tuple[Prediction, ...]:
        """Guesses by prediction."""
        return counting.predictions(self.reports)

    @cached_property
    def claims(self) -> tuple[ClaimCount, ...]:
        """Verdicts by claim."""
        return counting.claims(self.reports)

    @cached_property
    def machines(self) -> tuple[MachinePoint, ...]:
        """What the class's machines measured."""
        return counting.machines([entry.name for entry in self.entries], self.reports)

    @property
    def summary(self) -> str:
        """What was read, in a line."""
        parts = [_of(len(self.entries), "student")]
        parts += [f"{_of(len(self.earlier), 'earlier report')} left out"] * bool(self.earlier)
        parts += [f"{len(self.edited)} changed by hand"] * bool(self.edited)
        parts += [f"{_of(len(self.aside), 'file')} set aside"] * bool(self.aside)
        return ", ".join(parts)

    def _table(self) -> display.Table:
        rows = [(each.id, *map(str, (each.solved, each.tried, each.open))) for each in self.exercises]
        notes = [f"Set aside: {each.file}: {each.why}" for each in self.aside]
        notes += [f"Changed by hand: {each.name} ({each.file})" for each in self.edited]
        return display.Table(("exercise", "solved", "tried", "open"), rows, self.summary, notes=notes)


def read(folder: str | Path) -> Class:
    """Read all reports in a folder and in those below it.

    Of one student, by the name that was typed, the newest counts. What cannot be read is set aside by name,
    what was changed by hand is marked. Nothing in the folder is changed.

    Parameters
    ----------
    folder : str or Path
        Where the files ``exercises.report`` wrote were collected; other ``.html`` files are set aside, too.

    Returns
    -------
    Class
        What the class did.

    Raises
    ------
    TypeError, ValueError
        If there is no such folder.
    OSError
        If the folder cannot be listed.
    """
    place = arguments.place("folder", folder)
    if not place.is_dir():
        raise ValueError(
            f"folder must be a folder of reports; there is none at {arguments.shown(str(place))}"
        )
    found, aside = list[Entry](), list[Aside]()
    for file in _files(place):
        name = file.relative_to(place).as_posix()
        try:
            found.append(Entry(name, handed.read(file)))
        except (ValueError, OSError) as error:
            aside.append(Aside(name, _why(error)))
    entries, earlier = _newest(found)
    return Class(entries, tuple(aside), earlier)


def _files(place: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(place):  # which follows no links
        folders.sort()
        for name in sorted(name for name in names if name.lower().endswith(ENDINGS)):
            count += 1
            if count > MOST_FILES:
                raise ValueError(f"folder must hold at most {MOST_FILES:,} files; this is no class's")
            yield Path(folder, name)


def _of(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _why(error: Exception) -> str:
    """Return a reason in a line: what the system says names paths, which are nobody's business here."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _newest(found: list[Entry]) -> tuple[tuple[Entry, ...], tuple[Earlier, ...]]:
    """Return one entry per student, by name, and those that gave way."""
    by_name: dict[str, list[Entry]] = {}
    for entry in sorted(found, key=lambda entry: (entry.report.made, entry.file)):
        by_name.setdefault(" ".join(entry.name.split()).casefold(), []).append(entry)
    kept = tuple(by_name[name][-1] for name in sorted(by_name))
    earlier = [
        Earlier(old.file, old.name, by_name[name][-1].file)
        for name in sorted(by_name)
        for old in by_name[name][:-1]
    ]
    return kept, tuple(earlier)
