"""What the lecture says beside what was measured here, a moment ago."""

from coursekit.claims.cards import (
    CORRECTED,
    FAILS,
    HOLDS,
    REPORT_HEADERS,
    Card,
    Report,
    guess,
    keep_guess,
    report,
    show,
    strict,
)

__all__ = [
    "CORRECTED",
    "FAILS",
    "HOLDS",
    "REPORT_HEADERS",
    "Card",
    "Report",
    "guess",
    "keep_guess",
    "report",
    "show",
    "strict",
]
