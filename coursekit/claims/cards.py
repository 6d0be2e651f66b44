"""The card of a claim, and the report over all of them."""

import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coursekit import runtime
from coursekit._core import arguments, display, log, texts
from coursekit.claims import guesses, rules

__all__ = [
    "CORRECTED",
    "FAILS",
    "GUESS_FIRST",
    "HOLDS",
    "REPORT_HEADERS",
    "Card",
    "Report",
    "report",
    "show",
    "strict",
]

HOLDS, FAILS, CORRECTED = "holds", "does not hold here", "corrected"
GUESS_FIRST = "guess first"
STRICT = ("0", "1", "claims")
REPORT_HEADERS = ("claim", "kind", "the course says", "this machine says", "verdict")
LEFT = 5  # every column holds words, so all are left-aligned
TERMINAL_COLUMN = 60  # characters of a claim's text in a terminal's table
_TONES = {HOLDS: "good", FAILS: "bad", CORRECTED: "neutral", GUESS_FIRST: "quiet"}
_MARKS = {HOLDS: "✓", FAILS: "✗", CORRECTED: "✎", GUESS_FIRST: "○"}
_NOT_YET = "not measured yet"
_TYPE_IT = "Type your guess in place of the dots above, then run this cell again."


@dataclass(frozen=True, repr=False)
class Card(display.Shown):
    """A claim and what was measured for it; ``measured`` and ``guess`` are text with their units."""

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
            ("You guessed", self.guess),
            ("This machine says", self.measured),
            ("Verdict", " ".join(filter(None, (f"{_MARKS[self.verdict]} {self.verdict}.", self.note)))),
            ("Why", self.why),
        ]
        return [(label, text) for label, text in lines if text]

    def __str__(self) -> str:
        lines = [f"{label + ':':18} {texts.plain(text)}" for label, text in self.lines()]
        return "\n".join([f"Claim {self.id} ({self.kind})", *lines])

    def _repr_html_(self) -> str:
        lines = [f"<em>{label}:</em> {texts.rich(text)}" for label, text in self.lines()]
        return display.card_html(f"Claim {self.id} ({self.kind})", lines, _TONES[self.verdict])


@dataclass(frozen=True, repr=False)
class Report(display.Shown):
    """Claims with their last results here, in rows as REPORT_HEADERS says; ``hidden`` ones are left out."""

    __module__ = "coursekit.claims"

    rows: tuple[tuple[str, str, str, str, str], ...]
    machine: str
    hidden: int = 0

    @property
    def measured(self) -> "Report":
        """The same report without the claims that were not measured yet; the title still counts them."""
        rows = tuple(row for row in self.rows if not row[-1].startswith(_NOT_YET))
        return Report(rows, self.machine, self.hidden + len(self.rows) - len(rows))

    @property
    def title(self) -> str:
        """How many claims were measured on this machine, and how many of them did not hold."""
        verdicts = [row[-1] for row in self.rows if not row[-1].startswith(_NOT_YET)]
        failed = sum(FAILS in verdict for verdict in verdicts)
        counts = f"{len(verdicts)} of {len(self.rows) + self.hidden} measured, {failed} of them did not hold"
        return f"Claims on {self.machine}: {counts}"

    def __str__(self) -> str:
        rows = [
            (*row[:2], textwrap.shorten(row[2], TERMINAL_COLUMN, placeholder=" …"), *row[3:])
            for row in self.rows
        ]
        return f"{self.title}\n{display.table_text(REPORT_HEADERS, rows, left=LEFT)}"

    def _repr_html_(self) -> str:
        return display.table_html(REPORT_HEADERS, self.rows, self.title, left=LEFT)


def show(id: str, *, measured: Any) -> Card:
    """Judge a claim by what was measured, keep the result, and return the card.

    Parameters
    ----------
    id : str
        The claim, such as "05-int8-size".
    measured : number, bool, str or result
        A number in the claim's unit, a bool, a verdict, or a result of ``timing`` or ``accuracy`` with its
        interval.

    Returns
    -------
    Card
        What was said beside what was measured. A hardware claim that fails is a finding.

    Raises
    ------
    TypeError, ValueError
        If there is no such claim, or it cannot be judged by such a measurement.
    AssertionError
        Under COURSEKIT_STRICT=1 or =claims, if an arithmetic or statistical claim fails: a mistake somewhere.

    """
    claim = rules.find(id)
    reading = rules.read(measured, claim)
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
        }
    )
    if card.verdict == FAILS and claim.must_hold and strict() in ("1", "claims"):
        raise AssertionError(
            f"the {claim.kind} claim {id} does not hold: expected {claim.expected}, "
            f"measured {card.measured}. It says: {claim.corrected or claim.says}"
        )
    return card


def report() -> Report:
    """Return all claims of the course with their last results on this machine.

    Returns
    -------
    Report
        The claims, each with its last result.
    """
    machine = runtime.describe()
    results = {r["id"]: r for r in RESULTS.read() if r["fingerprint"] == machine.fingerprint}
    return Report(tuple(_row(claim, results.get(claim.id)) for claim in rules.load().values()), machine.label)


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


def _card(claim: rules.Claim, reading: rules.Reading) -> Card:
    met = claim.holds.met(reading)
    return Card(
        id=claim.id,
        kind=claim.kind,
        source=claim.source,
        says=claim.says,
        corrected=claim.corrected,
        measured=claim.show(reading),
        guess=guesses.against(claim, reading),
        verdict=(CORRECTED if claim.corrected else HOLDS) if met else FAILS,
        note=_note(claim, reading),
        why=claim.why,
    )


def _held_back(claim: rules.Claim) -> Card:
    texts = dict.fromkeys(("says", "corrected", "measured", "guess", "why"), "")
    return Card(claim.id, claim.kind, claim.source, verdict=GUESS_FIRST, note=_TYPE_IT, **texts)


def _note(claim: rules.Claim, reading: rules.Reading) -> str:
    if claim.holds.crossed(reading):
        return f"The interval reaches across the limit ({claim.expected}), so another run may say otherwise."
    return "" if claim.holds.met(reading) else f"Expected: {claim.expected}."


def _row(claim: rules.Claim, result: Mapping[str, Any] | None) -> tuple[str, str, str, str, str]:
    says = texts.plain(claim.says)
    if result is None:
        return claim.id, claim.kind, says, "–", f"{_NOT_YET}: run notebook {claim.notebook}"
    verdict = result["verdict"]
    return claim.id, claim.kind, says, result["measured"], f"{_MARKS[verdict]} {verdict}"


def _check_result(record: Mapping[str, Any]) -> None:
    _check_text(record, ("id", "fingerprint", "machine", "time", "measured"))
    if record["verdict"] not in _MARKS:
        raise ValueError(f"unknown verdict {record['verdict']!r}")


def _check_text(record: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(record[name], str):
            raise TypeError(f"{name} must be text; got {record[name]!r}")


RESULTS = log.Log("claims", runtime.home, check=_check_result, key=("id", "fingerprint"))
