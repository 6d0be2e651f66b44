"""When a measurement agrees with a claim: its interval decides, and what it leaves open stays open."""

import math
from dataclasses import dataclass

__all__ = [
    "CORRECTED",
    "FAILS",
    "GUESS_FIRST",
    "HOLDS",
    "LESS",
    "MARKS",
    "MORE",
    "UNDECIDED",
    "Reading",
    "Rule",
    "counts",
]

HOLDS, CORRECTED = "holds", "corrected"
MORE, LESS = "more than that", "less than that"
UNDECIDED, FAILS = "not decided here", "does not hold here"
GUESS_FIRST = "guess first"  # nothing is judged as long as the prediction is open
MARKS = {HOLDS: "✓", CORRECTED: "✎", MORE: "↑", LESS: "↓", UNDECIDED: "?", FAILS: "✗", GUESS_FIRST: "○"}
NO_DIFFERENCE = "same"  # a verdict of timing and accuracy that says no more than: no difference was shown
_SHORT = {HOLDS: ("holds", "hold"), FAILS: ("does not hold", "do not hold")}


@dataclass(frozen=True)
class Reading:
    """A measurement as a claim sees it: a number with its interval (or equal bounds), a truth, a verdict.

    ``value`` is None where nothing was found, or nothing that could decide; ``reason`` says why then, and
    ``found`` is the number in an interval without an end.
    """

    value: float | bool | str | None
    low: float = math.nan
    high: float = math.nan
    reason: str = ""
    found: float | None = None

    @property
    def has_interval(self) -> bool:
        """Whether the measurement came with an interval of its own."""
        return self.is_number and (self.low, self.high) != (self.value, self.value)

    @property
    def is_number(self) -> bool:
        """Whether a number was measured, and no truth, verdict or nothing."""
        return not (self.value is None or isinstance(self.value, bool | str))


@dataclass(frozen=True)
class Rule:
    """What must be measured: a number from ``low`` to ``high``, or one of ``words`` (verdicts; "True").

    With ``strict`` the ends themselves do not count. ``said`` holds the ends of the figure that was said
    (equal for one number) and ``factor`` how far off it may be; ``figure`` is a figure as it was written,
    ``within`` how far off that may be.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf
    strict: bool = False
    words: tuple[str, ...] = ()
    said: tuple[float, float] = (math.nan, math.nan)
    factor: float = 1.0
    figure: str = ""
    within: float = 0.0

    def accepts(self, value: float) -> bool:
        """Tell whether a number, taken alone, fits the rule.

        Parameters
        ----------
        value : float
            The number.

        Returns
        -------
        bool
            True or False.
        """
        return self.low < value < self.high if self.strict else self.low <= value <= self.high

    def verdict(self, reading: Reading) -> str:
        """Return what the measurement says about the rule; an interval decides as a whole.

        Parameters
        ----------
        reading : Reading
            What was measured.

        Returns
        -------
        str
            HOLDS where the whole interval is accepted; where all of it lies outside, MORE or LESS for a
            figure and FAILS for a bound; UNDECIDED where it crosses a limit, or where nothing was found.
        """
        if reading.value is None:
            return UNDECIDED
        if self.words:
            open_ = reading.value == NO_DIFFERENCE and self.name == "verdict"
            return HOLDS if str(reading.value) in self.words else UNDECIDED if open_ else FAILS
        low, high = min(reading.low, float(reading.value)), max(reading.high, float(reading.value))
        if self.accepts(low) and self.accepts(high):
            return HOLDS
        if low > self.high or (self.strict and low == self.high):
            return MORE if self.name == "about" else FAILS
        if high < self.low or (self.strict and high == self.low):
            return LESS if self.name == "about" else FAILS
        return UNDECIDED

    def times_off(self, value: float) -> float:
        """Return by which factor ``value`` misses the figure that was said: 4 for 1,000 in place of 250.

        Parameters
        ----------
        value : float
            What was measured.

        Returns
        -------
        float
            The factor, at least 1; infinite for what is not above 0.
        """
        low, high = self.said
        return math.inf if value <= 0 else max(value / high, low / value, 1.0)


def counts(verdicts: list[str]) -> str:
    """Return how often each verdict occurs, e.g. ``5 hold, 1 corrected, 2 not decided``.

    Parameters
    ----------
    verdicts : list of str
        Verdicts.

    Returns
    -------
    str
        Those that occur, in a fixed order.
    """
    found = [(verdict, verdicts.count(verdict)) for verdict in MARKS if verdict in verdicts]
    return ", ".join(f"{n} {_short(verdict, n)}" for verdict, n in found)


def _short(verdict: str, n: int) -> str:
    one, many = _SHORT.get(verdict, (verdict.removesuffix(" here"),) * 2)
    return one if n == 1 else many
