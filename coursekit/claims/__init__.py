"""What the lecture says beside what was measured here, a moment ago."""

from coursekit.claims.cards import (
    CORRECTED,
    FAILS,
    GUESS_FIRST,
    HOLDS,
    REPORT_HEADERS,
    Card,
    Report,
    report,
    show,
    strict,
)
from coursekit.claims.guesses import Guess, guess, keep_guess

__all__ = [
    "CORRECTED",
    "FAILS",
    "GUESS_FIRST",
    "HOLDS",
    "REPORT_HEADERS",
    "Card",
    "Guess",
    "Report",
    "guess",
    "keep_guess",
    "report",
    "show",
    "strict",
]
