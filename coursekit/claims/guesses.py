"""Guesses made before a measurement: they are kept, and afterwards the card says how far off they were."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coursekit import runtime
from coursekit._core import arguments, log
from coursekit.claims import rules
from coursekit.claims.judging import Reading, Rule

__all__ = [
    "GUESSES",
    "SCALES",
    "TIMES",
    "Guess",
    "against",
    "distance",
    "guess",
    "guess_first",
    "keep_guess",
    "kept",
    "leave_open",
    "word",
]

RIGHT_ON, NEAR = 1.05, 2.0  # a guess that is off by no more than these factors
NEAR_POINTS = 10  # and one in per cent by no more than this: any guess above 50 % is half of 100 % or more
FEW = 20  # below it, whole numbers are compared by their difference
SAME = "same"  # the rule of a claim that two are equal within a margin, and the choice that says so
TIMES = ("×", "x", "times")
SCALES: Mapping[str, tuple[str, float]] = {
    "s": ("time", 1.0),
    "ms": ("time", 1e-3),
    "µs": ("time", 1e-6),
    "ns": ("time", 1e-9),
    "B": ("size", 1.0),
    "kB": ("size", 1e3),
    "MB": ("size", 1e6),
    "GB": ("size", 1e9),
    "TB": ("size", 1e12),
}
PER_CENT = "per cent"  # what these measure
_PER_CENT = ("%", "points", "point")


@dataclass(frozen=True)
class Guess:
    """A guess, and what its claim measured since.

    Parameters
    ----------
    id : str
        Under which the claim looks for it.
    text : str
        As it is shown, with its unit.
    value : float, bool, str, optional
        The number in ``unit``, or the choice; None where only the text is known.
    unit : str
        What the number counts.
    choices : tuple of str
        The answers that it was chosen from.
    measured : float, bool, str, optional
        In ``unit``; None as long as nothing was measured, or nothing that could be compared.
    shown : str
        The measurement as its card showed it.
    """

    __module__ = "coursekit.claims"

    id: str
    text: str
    value: float | bool | str | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    measured: float | bool | str | None = None
    shown: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the measurement the guess was; None for per cent, and for what is not above 0."""
        numbers = (self.value, self.measured)
        if self.in_points or any(isinstance(n, bool | str) or n is None or n <= 0 for n in numbers):
            return None
        ratio = float(self.value or 0) / float(self.measured or 1)
        return ratio if 0 < ratio < math.inf else None

    @property
    def in_points(self) -> bool:
        """Whether it counts per cent or points, which are compared by their difference."""
        return word(self.unit) in _PER_CENT

    @property
    def met(self) -> bool | None:
        """Whether a choice was right; None for numbers, and as long as nothing was measured."""
        if isinstance(self.value, bool) and isinstance(self.measured, bool):
            return self.value == self.measured
        if isinstance(self.value, str) and self.measured in self.choices:
            return self.value == self.measured
        return None

    @property
    def off(self) -> str:
        """How far off the guess was, in words; empty as long as there is nothing to compare."""
        if self.met is not None:
            return "right" if self.met else "wrong"
        if any(isinstance(n, bool | str) or n is None for n in (self.value, self.measured)):
            return ""
        return distance(float(self.value or 0), float(self.measured or 0), self.unit)

    def record(self) -> dict[str, Any]:
        """Return what the log keeps.

        Returns
        -------
        dict of str to object
            Plain values, and when it was made or measured.
        """
        return {**vars(self), "choices": [*self.choices], "time": log.now()}


def distance(guessed: float, measured: float, unit: str = "") -> str:
    """Say how far a guess was off: by a factor, or by a difference where a factor says nothing.

    Parameters
    ----------
    guessed, measured : float
        Both in ``unit``.
    unit : str
        What they count; per cent, and whole numbers below FEW that are no ratio, are compared by their
        difference, and so is what is not above 0.

    Returns
    -------
    str
        Such as "2.5 times too low".
    """
    guessed, measured = arguments.real("guessed", guessed), arguments.real("measured", measured)
    kind = word(unit)
    few = max(abs(guessed), abs(measured)) < FEW and guessed == round(guessed) and measured == round(measured)
    if kind in _PER_CENT or min(guessed, measured) <= 0 or (few and kind not in (*TIMES, *SCALES)):
        return _difference(guessed - measured, kind)
    factor = max(guessed / measured, measured / guessed)
    side = "low" if guessed < measured else "high"
    if factor <= RIGHT_ON:
        return "right on"
    times = f"{_brief(factor)} times too {side}" if factor < math.inf else f"far too {side}"
    return f"within a factor of 2 ({times})" if factor <= NEAR else times


def word(unit: str) -> str:
    """Return the part of a unit that is a unit: the first word of "% of the weights".

    Parameters
    ----------
    unit : str
        As it is shown behind a number.

    Returns
    -------
    str
        The word; empty for no unit.
    """
    return (arguments.label("unit", unit).split() or [""])[0].rstrip(",")


def keep_guess(
    id: str,
    guess: str | None,
    *,
    value: float | bool | str | None = None,
    unit: str = "",
    choices: Sequence[str] = (),
) -> None:
    """Keep the student's guess for a claim's card.

    Parameters
    ----------
    id : str
        Under which the claim looks for it.
    guess : str or None
        Text with its unit; None forgets an earlier one.
    value : float, bool or str, optional
        The number or the choice, so that the card can say how far off it was.
    unit : str
        What the number counts.
    choices : sequence of str
        What was to choose from.

    Raises
    ------
    TypeError, ValueError
        For a value that is no finite number, yes or no, or text, and labels that are not text.
    """
    arguments.label("id", id)
    offered = arguments.labels("choices", choices)
    if guess is None:
        GUESSES.remove(lambda record: record["id"] == id)
        return
    _open().discard(id)
    plain = value if value is None or isinstance(value, bool | str) else arguments.real("value", value)
    made = Guess(id, arguments.label("guess", guess), plain, arguments.label("unit", unit), offered)
    GUESSES.append(made.record())


def guess(id: str) -> str | None:
    """Return the guess kept under ``id``, or None.

    Parameters
    ----------
    id : str
        As for ``keep_guess``.

    Returns
    -------
    str or None
        The guess; None if nothing was guessed.

    """
    wanted = arguments.label("id", id)
    return next((each.text for each in kept() if each.id == wanted), None)


def kept() -> tuple[Guess, ...]:
    """Return all guesses that are kept, each with what was measured since.

    Returns
    -------
    tuple of Guess
        The one that was made or measured last comes last.
    """
    return tuple(GUESSES.entries())


def leave_open(id: str) -> None:
    """Note that in this session a guess was asked for under ``id``, and none was given.

    Parameters
    ----------
    id : str
        As for ``keep_guess``.
    """
    _open().add(arguments.label("id", id))


def guess_first(claim: rules.Claim) -> bool:
    """Tell whether the claim must not show its number yet: guesses come first, and its own is still open.

    Parameters
    ----------
    claim : Claim
        What is to be shown.

    Returns
    -------
    bool
        True or False.
    """
    return runtime.guess_first() and (claim.guess or claim.id) in _open()


def against(claim: rules.Claim, reading: Reading) -> str:
    """Return the guess for a claim with how far off it was, and keep the measurement beside it.

    Parameters
    ----------
    claim : Claim
        What was measured.
    reading : Reading
        The measurement.

    Returns
    -------
    str
        Such as "100×: 2.5 times too low"; empty if nothing was guessed.
    """
    id = claim.guess or claim.id
    found = next((each for each in kept() if each.id == id), None)
    if found is None:
        return ""
    measured = _in_unit(reading.value, claim.unit, found.unit)
    if found.choices and claim.holds.name == SAME:
        measured = _side(reading, claim.holds, found.choices)
    if isinstance(measured, bool) and {"yes", "no"} & {*found.choices}:
        measured = "yes" if measured else "no"
    shown = claim.show(reading) if measured is not None else ""
    told = Guess(found.id, found.text, found.value, found.unit, found.choices, measured, shown)
    if told != found:
        GUESSES.append(told.record())
    return ": ".join(filter(None, (told.text, told.off)))


def _in_unit(value: Any, unit: str, wanted: str) -> float | bool | str | None:
    """Return what was measured in the unit of the guess; None where it cannot be."""
    if isinstance(value, bool | str):
        return value
    if value is None or not math.isfinite(value):
        return None
    (kind, scale), (other, per) = map(_scale, (unit, wanted))
    bare = {kind, other} == {"", PER_CENT} and not (unit and wanted)
    return float(value) * scale / per if kind == other or bare else None


def _scale(unit: str) -> tuple[str, float]:
    """Return what a unit measures, and how much of it; what differs is not compared."""
    head = word(unit)
    return SCALES.get(head, (PER_CENT if head in _PER_CENT else "", 1.0))


def _side(reading: Reading, holds: Rule, choices: Sequence[str]) -> str | None:
    """Return the choice that an interval means: above, inside ("same") or below."""
    if len(choices) != 3 or choices[1] != SAME or not isinstance(reading.value, int | float):
        return None
    above, inside, below = choices
    if holds.low <= reading.low and reading.high <= holds.high:
        return inside
    return above if reading.low > holds.high else below if reading.high < holds.low else None


def _difference(gap: float, kind: str) -> str:
    size, side = _brief(abs(gap)), "high" if gap > 0 else "low"
    if gap == 0:
        return "right on"
    if kind not in _PER_CENT:
        return f"{size} too {side}"
    return f"within a point ({size} too {side})" if abs(gap) <= 1 else f"{size} points too {side}"


def _brief(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else rules.plain_number(value, 2)


@functools.cache
def _open() -> set[str]:
    """Return the ids under which a guess was asked for in this session and not given."""
    return set()


def _check(record: Mapping[str, Any]) -> Guess:
    for name in ("id", "guess") if "guess" in record else ("id", "text"):
        arguments.label(name, record[name])
    fields = {name: record[name] for name in Guess.__dataclass_fields__ if name in record}
    fields.setdefault("text", record.get("guess"))  # as it was called before numbers were kept
    fields["choices"] = arguments.labels("choices", record.get("choices", ()))
    for name in ("unit", "shown"):
        arguments.label(name, record.get(name, ""))
    for name in ("value", "measured"):
        if not isinstance(record.get(name), bool | int | float | str | None):
            raise TypeError(f"{name} must be a number, a bool or text; got {arguments.shown(record[name])}")
    return Guess(**fields)


GUESSES = log.Log("guesses", runtime.home, check=_check, key=("id",))
