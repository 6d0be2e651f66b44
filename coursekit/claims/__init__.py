"""What the lecture says beside what was measured here, a moment ago."""

from coursekit.claims.cards import Card, guess, keep_guess, results, show, strict
from coursekit.claims.judging import CORRECTED, FAILS, HOLDS, LESS, MORE, UNDECIDED
from coursekit.claims.tables import REPORT_HEADERS, Cards, Report, report, table

__all__ = [
    "CORRECTED",
    "FAILS",
    "HOLDS",
    "LESS",
    "MORE",
    "REPORT_HEADERS",
    "UNDECIDED",
    "Card",
    "Cards",
    "Report",
    "guess",
    "keep_guess",
    "report",
    "results",
    "show",
    "strict",
    "table",
]
