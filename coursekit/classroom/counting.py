"""What a class did, counted over its reports: exercises, wrong answers, guesses, claims and machines."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coursekit.claims import Guess
from coursekit.claims.judging import MARKS
from coursekit.exercises import Handed, Tries
from coursekit.exercises.tries import SOLVED, TRIED

__all__ = [
    "MACHINE_CLAIMS",
    "ClaimCount",
    "ExerciseCount",
    "MachinePoint",
    "Prediction",
    "Repeated",
    "claims",
    "exercises",
    "machines",
    "median",
    "order",
    "predictions",
    "wrong",
]

# What a class's machines are compared by: the claim, and what it says here.
MACHINE_CLAIMS: Mapping[str, str] = {
    "05-large-layer": "INT8 at width 2,048: times as fast as FP32",
    "05-tiny-network": "INT8 on a tiny network: times as fast as FP32",
    "03-load-once": "Loading once instead of per request: times as fast",
    "04-one-call": "1,000 inputs in one call: times as fast as 1,000 calls",
    "04-more-per-second": "The best batch: times as many per second as batch 1",
}
_CORES = re.compile(r"^(?P<cpu>.*?), (?P<cores>\d+) cores")
# What differs from student to student in one and the same message: numbers, quotations, lists.
_OWN = re.compile(r"""\d[\d.,]*(e[+-]?\d+)?|'[^']*'|"[^"]*"|\[[^][]*\]""")


@dataclass(frozen=True)
class ExerciseCount:
    """How many of the class solved an exercise, tried it, or left it open; and the median of their tries."""

    __module__ = "coursekit.classroom"

    id: str
    solved: int
    tried: int
    open: int
    median_tries: float

    @property
    def all(self) -> int:
        """How many reports there are."""
        return self.solved + self.tried + self.open


@dataclass(frozen=True)
class Repeated:
    """A wrong answer that several gave: what the check said, the hint they got, of which kinds, how many.

    Messages that differ only in numbers, quotations and lists are the same one, shown as most saw it.
    """

    __module__ = "coursekit.classroom"

    id: str
    message: str
    hint: str
    kinds: tuple[str, ...]
    students: int
    times: int


@dataclass(frozen=True)
class Prediction:
    """The guesses of a class for one prediction, with what each one's machine measured."""

    __module__ = "coursekit.classroom"

    id: str
    unit: str
    guesses: tuple[Guess, ...]

    @property
    def numbers(self) -> tuple[float, ...]:
        """The guesses that are numbers."""
        return tuple(_number(guess.value) for guess in self.guesses if _is_number(guess.value))

    @property
    def truths(self) -> tuple[float, ...]:
        """What was measured, where it is a number."""
        return tuple(_number(guess.measured) for guess in self.guesses if _is_number(guess.measured))

    @property
    def chosen(self) -> dict[str, int]:
        """How often each answer was chosen, where there were answers to choose from."""
        return dict(Counter(_word(g.value) for g in self.guesses if isinstance(g.value, bool | str)))

    @property
    def true(self) -> dict[str, int]:
        """On how many machines each answer was the right one."""
        return dict(Counter(_word(g.measured) for g in self.guesses if isinstance(g.measured, bool | str)))


@dataclass(frozen=True)
class ClaimCount:
    """How often a claim got each verdict, over all students and their machines."""

    __module__ = "coursekit.classroom"

    id: str
    verdicts: tuple[tuple[str, int], ...]

    @property
    def all(self) -> int:
        """How often it was measured."""
        return sum(count for _, count in self.verdicts)


@dataclass(frozen=True)
class MachinePoint:
    """What one student measured for one claim on one machine, with the interval where there is one."""

    __module__ = "coursekit.classroom"

    claim: str
    student: str
    cpu: str
    cores: int
    flags: tuple[str, ...]
    gpu: str
    value: float
    low: float | None
    high: float | None

    @property
    def machine(self) -> str:
        """The processor, its cores and flags, as a row is labelled."""
        cores = f"{self.cores} core{'s' * (self.cores != 1)}" if self.cores else ""
        return " · ".join(filter(None, (self.cpu, cores, ", ".join(self.flags) or "flags unknown")))


def order(id: str) -> tuple[bool, bool, str]:
    """Return what sorts ids as the course goes: numbered notebooks, words, letters.

    Parameters
    ----------
    id : str
        An exercise, a claim or a prediction.

    Returns
    -------
    tuple
        A key to sort by.
    """
    notebook = id.partition("-")[0]
    return not notebook[:1].isdigit(), len(notebook) == 1, notebook


def exercises(reports: Sequence[Handed]) -> tuple[ExerciseCount, ...]:
    """Count outcomes by exercise; an exercise that a report does not know is open there.

    Parameters
    ----------
    reports : sequence of Handed
        One per student.

    Returns
    -------
    tuple of ExerciseCount
        Every exercise that some report offers, in the order of the course.
    """
    known = [report.exercises for report in reports]
    return tuple(_exercise(id, [found.get(id, Tries(id)) for found in known]) for id in _ids(reports))


def _exercise(id: str, found: list[Tries]) -> ExerciseCount:
    outcomes = [each.outcome for each in found]
    solved, tried = outcomes.count(SOLVED), outcomes.count(TRIED)
    tries = sorted(each.tries for each in found if each.outcome == SOLVED)
    return ExerciseCount(id, solved, tried, len(found) - solved - tried, median(tries) if tries else 0.0)


def wrong(reports: Sequence[Handed]) -> tuple[Repeated, ...]:
    """Return the wrong answers, those of most students first within each exercise.

    Parameters
    ----------
    reports : sequence of Handed
        One per student.

    Returns
    -------
    tuple of Repeated
        In the order of the course.
    """
    found: dict[tuple[str, str, str], list[tuple[int, Any]]] = {}
    for student, report in enumerate(reports):
        for id, tries in report.exercises.items():
            for each in tries.wrong:
                key = (id, _OWN.sub("#", each.message), _OWN.sub("#", each.hint))
                found.setdefault(key, []).append((student, each))
    repeated = [_repeated(key[0], pairs) for key, pairs in found.items()]
    place = {id: number for number, id in enumerate(_ids(reports))}
    return tuple(sorted(repeated, key=lambda each: (place[each.id], -each.students, -each.times)))


def _ids(reports: Sequence[Handed]) -> list[str]:
    """Return all exercises that a report knows, in the order of the course."""
    return sorted(dict.fromkeys(id for report in reports for id in report.exercises), key=order)


def _repeated(id: str, pairs: list[tuple[int, Any]]) -> Repeated:
    said = Counter((each.message, each.hint) for _, each in pairs)
    kinds = Counter(each.kind for _, each in pairs)
    message, hint = min(said, key=lambda pair: (-said[pair], pair))
    students, times = len({student for student, _ in pairs}), sum(each.count for _, each in pairs)
    return Repeated(id, message, hint, tuple(kind for kind, _ in kinds.most_common()), students, times)


def predictions(reports: Sequence[Handed]) -> tuple[Prediction, ...]:
    """Return the guesses by prediction; where units differ, those of each unit by themselves.

    Parameters
    ----------
    reports : sequence of Handed
        One per student.

    Returns
    -------
    tuple of Prediction
        In the order of the course.
    """
    found: dict[tuple[str, str], list[Guess]] = {}
    for guess in (guess for report in reports for guess in report.guesses):
        found.setdefault((guess.id, guess.unit), []).append(guess)
    ordered = sorted(found, key=lambda key: (order(key[0]), key))
    return tuple(Prediction(*key, tuple(found[key])) for key in ordered)


def claims(reports: Sequence[Handed]) -> tuple[ClaimCount, ...]:
    """Count the verdicts by claim.

    Parameters
    ----------
    reports : sequence of Handed
        One per student.

    Returns
    -------
    tuple of ClaimCount
        In the order of the course; of each claim only the verdicts that occur.
    """
    found: dict[str, Counter[str]] = {}
    for record in (record for report in reports for record in report.claims):
        found.setdefault(record["id"], Counter())[record["verdict"]] += 1
    ids = sorted(found, key=lambda id: (order(id), id))
    return tuple(ClaimCount(id, tuple((v, found[id][v]) for v in MARKS if found[id][v])) for id in ids)


def machines(names: Iterable[str], reports: Sequence[Handed]) -> tuple[MachinePoint, ...]:
    """Return what the class measured of the claims in MACHINE_CLAIMS, machine by machine.

    Parameters
    ----------
    names : iterable of str
        The students.
    reports : sequence of Handed
        Theirs, in the same order.

    Returns
    -------
    tuple of MachinePoint
        By claim, flags, cores and processor: never by how fast they were.
    """
    points = [
        _point(name, report, record)
        for name, report in zip(names, reports, strict=True)
        for record in report.claims
        if record["id"] in MACHINE_CLAIMS and _is_number(record.get("value"))
    ]
    ids = list(MACHINE_CLAIMS)
    return tuple(sorted(points, key=lambda p: (ids.index(p.claim), p.flags, p.cores, p.cpu, p.student)))


def _point(student: str, report: Handed, record: Mapping[str, Any]) -> MachinePoint:
    here = record["fingerprint"] == report.machine.fingerprint
    label = _CORES.match(record["machine"])
    cpu = report.machine.cpu if here else label["cpu"] if label else record["machine"]
    cores = report.machine.cores if here else int(record.get("cores") or (label["cores"] if label else 0))
    flags = report.machine.flags if here else tuple(record.get("flags", ()))
    gpu = report.machine.gpu or "" if here else ""
    value, low, high = _number(record["value"]), record.get("low"), record.get("high")
    if low is None or high is None or not low <= value <= high:
        low = high = None
    return MachinePoint(record["id"], student, cpu, cores, flags, gpu, value, low, high)


def median(values: Sequence[float]) -> float:
    """Return the middle one, or the mean of the two in the middle.

    Parameters
    ----------
    values : sequence of float
        At least one.

    Returns
    -------
    float
        The median.
    """
    ordered = sorted(values)
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else ordered[half - 1] / 2 + ordered[half] / 2


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float:
    return float(value)


def _word(value: bool | str | float | None) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
