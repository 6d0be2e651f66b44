"""The card of a claim, several cards as one table, and the results that are kept."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coursekit import runtime
from coursekit._core import arguments, display, log, texts
from coursekit.claims import guesses, readings, rules
from coursekit.claims.judging import (
    CORRECTED,
    FAILS,
    GUESS_FIRST,
    HOLDS,
    LESS,
    MARKS,
    MORE,
    UNDECIDED,
    Reading,
)

__all__ = ["Card", "results", "show", "strict"]

MOST_DIGITS = 7  # of a factor that is hardly more than the one that is allowed
STRICT = ("0", "1", "claims")
_TONES = {HOLDS: "good", FAILS: "bad", MORE: "bad", LESS: "bad", CORRECTED: "neutral", UNDECIDED: "quiet"}
_TONES[GUESS_FIRST] = "quiet"
_TYPE_IT = "Type your guess in place of the dots above, then run this cell again."


@dataclass(frozen=True, repr=False)
class Card(display.Shown):
    """A claim and what was measured for it; ``measured``, ``guess`` and ``accepted`` are text with units.

    ``accepted`` says for which measurements the claim holds (no text where it is true or false), ``tests``
    which part of the sentence is tested, ``holds_for`` under which conditions it is said, ``about_guess``
    what there is to say about the guess.
    """

    __module__ = "coursekit.claims"

    id: str
    kind: str
    source: str
    says: str
    corrected: str
    measured: str
    guess: str
    verdict: str
    note: str
    why: str
    accepted: str = ""
    tests: str = ""
    holds_for: str = ""
    about_guess: str = ""

    @property
    def marked(self) -> str:
        """The verdict with its mark, and what there is to say about it."""
        return " ".join(filter(None, (f"{MARKS[self.verdict]} {self.verdict}.", self.note)))

    def lines(self) -> list[tuple[str, str]]:
        """Return (label, text) pairs in the order they are read; the verdict comes last but one.

        Returns
        -------
        list of tuple of 2 str
            Pairs; what has no text is left out.
        """
        lines = [
            (f"The {self.source} says", self.says),
            ("It should say", self.corrected),
            ("Tested here", self.tests),
            ("Holds for", self.holds_for),
            ("Accepted", self.accepted),
            ("You guessed", " ".join(filter(None, (self.guess, self.about_guess)))),
            ("This machine says", self.measured),
            ("Verdict", self.marked),
            ("Why", self.why),
        ]
        return [(label, text) for label, text in lines if text]

    def __str__(self) -> str:
        lines = [f"{label + ':':18} {texts.plain(text)}" for label, text in self.lines()]
        return "\n".join([f"Claim {self.id} ({self.kind})", *lines])

    def _repr_html_(self) -> str:
        lines = [f"<em>{label}:</em> {texts.rich(text)}" for label, text in self.lines()]
        return display.card_html(f"Claim {self.id} ({self.kind})", lines, _TONES[self.verdict])


def show(id: str, *, measured: Any) -> Card:
    """Judge a claim by what was measured, keep the result, and return the card.

    Parameters
    ----------
    id : str
        The claim, such as "05-int8-size".
    measured : number, bool, str or result
        A number in the claim's unit, a bool, a verdict, or a result of ``timing`` or ``accuracy`` with its
        interval, which decides as a whole. None, an infinity or NaN: nothing was found.

    Returns
    -------
    Card
        What was said beside what was measured. A hardware claim that fails is a finding, and so is any claim
        that stays undecided.

    Raises
    ------
    TypeError, ValueError
        If there is no such claim, or it cannot be judged by such a measurement: an arithmetic claim needs a
        finite number, "same" an interval.
    AssertionError
        Under COURSEKIT_STRICT=1 or =claims, if an arithmetic or statistical claim fails: a mistake somewhere.

    """
    claim = rules.find(id)
    reading = readings.read(measured, claim)
    if guesses.guess_first(claim):
        return _held_back(claim)
    card = _card(claim, reading)
    machine = runtime.describe()
    RESULTS.append(
        {
            "id": id,
            "fingerprint": machine.fingerprint,
            "machine": machine.label,
            "time": log.now(),
            "measured": card.measured,
            "verdict": card.verdict,
            "accepted": claim.expected,
            "value": _value(reading),
            "low": reading.low if reading.has_interval else None,
            "high": reading.high if reading.has_interval else None,
            "cores": machine.cores,
            "flags": [*machine.flags],
        }
    )
    if _is_mistake(claim, card.verdict) and strict() in ("1", "claims"):
        raise AssertionError(
            f"the {claim.kind} claim {id} does not hold ({card.verdict}): expected {claim.expected}, "
            f"measured {card.measured}. It says: {claim.corrected or claim.says}"
        )
    return card


def results() -> dict[str, Mapping[str, Any]]:
    """Return the last result of each claim on this machine.

    Returns
    -------
    dict of str to dict
        Ids, each with what was kept: ``measured`` (text), ``value`` (a finite number, a bool, a verdict, or
        None) with ``low`` and ``high`` (None where no interval came with it), ``verdict``, ``accepted``,
        ``time``, ``machine``, ``cores`` and ``flags``. Results of older versions lack some of these.
    """
    here = runtime.describe().fingerprint
    return {record["id"]: record for record in RESULTS.read() if record["fingerprint"] == here}


def strict() -> str:
    """Return COURSEKIT_STRICT: "1" (claims and exercises raise), "claims" (claims do) or "0" (nothing does).

    Returns
    -------
    str
        "0", "1" or "claims".

    Raises
    ------
    ValueError
        If it is anything else, so that a typing error cannot switch the checks off.

    """
    return arguments.choice("COURSEKIT_STRICT", os.environ.get("COURSEKIT_STRICT") or "0", STRICT)


def _card(claim: rules.Claim, reading: Reading) -> Card:
    verdict = claim.holds.verdict(reading)
    verdict = CORRECTED if claim.corrected and verdict == HOLDS else verdict
    return Card(
        id=claim.id,
        kind=claim.kind,
        source=claim.source,
        says=claim.says,
        corrected=claim.corrected,
        measured=claim.show(reading),
        guess=guesses.against(claim, reading),
        verdict=verdict,
        note=_note(claim, reading, verdict),
        why=claim.why,
        accepted="" if claim.holds.name == "is" else claim.expected,
        tests=claim.tests,
        holds_for=claim.holds_for,
    )


def _held_back(claim: rules.Claim) -> Card:
    texts = dict.fromkeys(("says", "corrected", "measured", "guess", "why"), "")
    return Card(claim.id, claim.kind, claim.source, verdict=GUESS_FIRST, note=_TYPE_IT, **texts)


def _note(claim: rules.Claim, reading: Reading, verdict: str) -> str:
    rule, value = claim.holds, reading.value
    if verdict == UNDECIDED:
        if value is None:
            return f"{reading.reason}."
        if isinstance(value, str):
            return "No difference was shown, and one may be too small to see."
        return "The interval reaches across the limit, so another run may say otherwise."
    if verdict in (MORE, LESS):
        return _how_far(claim, float(value or 0), verdict)
    return f"Expected: {claim.expected}." if verdict == FAILS and rule.name == "is" else ""


def _how_far(claim: rules.Claim, value: float, verdict: str) -> str:
    rule, factor = claim.holds, claim.holds.times_off(value)
    if math.isinf(factor):
        return "It is not above 0."
    # "Give or take a factor of 2", and missed by "a factor of 2.0"? More digits, until the two differ.
    digits = range(2, MOST_DIGITS)
    allowed = next((n for n in digits if float(display.significant(factor, n)) > rule.factor), MOST_DIGITS)
    end = claim.number(rule.said[1 if verdict == MORE else 0])
    times = rules.plain_number(factor, allowed)
    return f"That is a factor of {times} {'above' if verdict == MORE else 'below'} {end}."


def _value(reading: Reading) -> float | bool | str | None:
    return float(reading.value) if isinstance(reading.value, float) else reading.value


def _is_mistake(claim: rules.Claim, verdict: str) -> bool:
    """Tell whether a verdict is a mistake of the course; an open one is only where it is arithmetic."""
    if verdict == UNDECIDED:
        return claim.kind == "arithmetic"
    return claim.must_hold and verdict not in (HOLDS, CORRECTED)


def _check_result(record: Mapping[str, Any]) -> None:
    _check_text(record, ("id", "fingerprint", "machine", "time", "measured"))
    if record["verdict"] not in MARKS:
        raise ValueError(f"unknown verdict {record['verdict']!r}")
    if not isinstance(record.get("value"), bool | int | float | str | None):
        raise TypeError(f"value must be a number, a truth or a verdict; got {record['value']!r}")
    for name in ("low", "high"):
        if record.get(name) is not None:
            arguments.real(name, record[name])
    arguments.integer("cores", record.get("cores", 0), 0)
    arguments.labels("flags", record.get("flags", ()))


def _check_text(record: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(record[name], str):
            raise TypeError(f"{name} must be text; got {record[name]!r}")


RESULTS = log.Log("claims", runtime.home, check=_check_result, key=("id", "fingerprint"))
