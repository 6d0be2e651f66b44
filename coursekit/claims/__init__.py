"""What the lecture says beside what was measured here, a moment ago."""

from coursekit.claims.cards import Card, results, show, strict
from coursekit.claims.guesses import Guess, guess, keep_guess
from coursekit.claims.judging import CORRECTED, FAILS, GUESS_FIRST, HOLDS, LESS, MORE, UNDECIDED
from coursekit.claims.tables import REPORT_HEADERS, Cards, Report, report, table

__all__ = [
    "CORRECTED",
    "FAILS",
    "GUESS_FIRST",
    "HOLDS",
    "LESS",
    "MORE",
    "REPORT_HEADERS",
    "UNDECIDED",
    "Card",
    "Cards",
    "Guess",
    "Report",
    "guess",
    "keep_guess",
    "report",
    "results",
    "show",
    "strict",
    "table",
]
