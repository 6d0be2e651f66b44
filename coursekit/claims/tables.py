"""Several claims together: a foldable table of cards, and the report over the whole course."""

import html
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from coursekit import runtime
from coursekit._core import arguments, display, texts
from coursekit.claims import rules
from coursekit.claims.cards import Card, results
from coursekit.claims.judging import MARKS, UNDECIDED, counts

__all__ = ["REPORT_HEADERS", "Cards", "Report", "report", "table"]

REPORT_HEADERS = ("claim", "kind", "the course says", "this machine says", "verdict")
CARDS_HEADERS = ("claim", "accepted", "this machine says", "verdict")
LEFT = 5  # every column holds words, so all are left-aligned
TERMINAL_COLUMN = 60  # characters of a claim's text in a terminal's table
_NOT_YET = "not measured yet"
_OLDER = "by an older rule: run its notebook again"
_ALREADY_SHOWN = ("Accepted", "This machine says", "Verdict", "Why")


@dataclass(frozen=True, repr=False)
class Cards(display.Shown):
    """Cards as one table that folds; in a terminal they stand one below the other."""

    __module__ = "coursekit.claims"

    cards: tuple[Card, ...]
    title: str = "Claims"

    @property
    def summary(self) -> str:
        """The title, and how often each verdict occurs."""
        return f"{self.title}: {counts([card.verdict for card in self.cards])}"

    def __str__(self) -> str:
        return "\n\n".join([self.summary, *map(str, self.cards)])

    def _repr_html_(self) -> str:
        rows = [self._row(card) for card in self.cards]
        table = display.table_html(CARDS_HEADERS, rows, left=LEFT, escaped=True)
        return (
            f"<details open><summary><strong>{html.escape(self.summary)}</strong></summary>{table}</details>"
        )

    @staticmethod
    def _row(card: Card) -> tuple[str, ...]:
        lines = [pair for pair in card.lines() if pair[0] not in _ALREADY_SHOWN]
        says = "".join(f"<div><em>{label}:</em> {texts.rich(text)}</div>" for label, text in lines)
        why = f"<details><summary>Why</summary>{texts.rich(card.why)}</details>"
        title = f"<strong>{html.escape(card.id)}</strong> ({html.escape(card.kind)})"
        return (
            title + says,
            html.escape(card.accepted),
            html.escape(card.measured),
            texts.rich(card.marked) + why,
        )


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
        rows = tuple(row for row in self.rows if _verdict(row))
        return Report(rows, self.machine, self.hidden + len(self.rows) - len(rows))

    @property
    def title(self) -> str:
        """How many claims were measured on this machine, and how often each verdict occurs."""
        verdicts = [verdict for verdict in map(_verdict, self.rows) if verdict]
        total = f"{len(verdicts)} of {len(self.rows) + self.hidden} measured"
        return f"Claims on {self.machine}: {total}" + (f": {counts(verdicts)}" if verdicts else "")

    @property
    def undecided(self) -> tuple[str, ...]:
        """The ids of the claims that were measured and not decided."""
        return tuple(row[0] for row in self.rows if _verdict(row) == UNDECIDED)

    @property
    def notes(self) -> tuple[str, ...]:
        """What stands below the table: which claims were not decided."""
        return (f"Not decided here: {', '.join(self.undecided)}.",) if self.undecided else ()

    def __str__(self) -> str:
        rows = [
            (*row[:2], textwrap.shorten(row[2], TERMINAL_COLUMN, placeholder=" …"), *row[3:])
            for row in self.rows
        ]
        return str(display.Table(REPORT_HEADERS, rows, self.title, left=LEFT, notes=self.notes))

    def _repr_html_(self) -> str:
        return display.Table(REPORT_HEADERS, self.rows, self.title, left=LEFT, notes=self.notes).html()


def table(cards: Card | Iterable[Card], *more: Card, title: str = "Claims") -> Cards:
    """Return several cards as one table that folds, for what would stand as a wall of cards.

    Parameters
    ----------
    cards : Card or iterable of Card
        What ``claims.show`` returned: the first card, or a list of all of them.
    *more : Card
        The other cards.
    title : str
        What stands in front of the counts of the verdicts.

    Returns
    -------
    Cards
        The table.

    Raises
    ------
    TypeError, ValueError
        For anything but cards, and for none.
    """
    several = not more and not isinstance(cards, Card)
    found = arguments.instances("cards", cards if several else (cards, *more), Card)
    return Cards(found, arguments.label("title", title))


def report() -> Report:
    """Return all claims of the course with their last results on this machine.

    Returns
    -------
    Report
        The claims, each with its last result.
    """
    known = results()
    rows = tuple(_row(claim, known.get(claim.id)) for claim in rules.load().values())
    return Report(rows, runtime.describe().label)


def _row(claim: rules.Claim, result: Mapping[str, Any] | None) -> tuple[str, str, str, str, str]:
    says = texts.plain(claim.says)
    if result is None:
        return claim.id, claim.kind, says, "–", f"{_NOT_YET}: run notebook {claim.notebook}"
    verdict = f"{MARKS[result['verdict']]} {result['verdict']}"
    older = "" if result.get("accepted") == claim.expected else f", {_OLDER}"
    return claim.id, claim.kind, says, result["measured"], verdict + older


def _verdict(row: tuple[str, ...]) -> str:
    """Return the verdict in the last column of a row; empty where nothing was measured yet."""
    return next((verdict for verdict, mark in MARKS.items() if row[-1].startswith(f"{mark} {verdict}")), "")
