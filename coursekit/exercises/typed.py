"""Numbers as people type them, with or without their unit: "250x", "50 %", "1,000", "~3", "2.5 ms"."""

import re
from collections.abc import Iterable

from coursekit._core import arguments
from coursekit.claims.guesses import SCALES, TIMES, word

__all__ = ["blank", "choice", "number"]

_TIMES = {*TIMES, "*", "fold", "-fold", "time", "×", "x"}
_PER_CENT = {"%", "percent", "per cent", "pct", "pc"}
_POINTS = {*_PER_CENT, "points", "point", "pts", "pp", "percentage points", "percentage point", "% points"}
# What else people call the units in SCALES.
_NAMES = {
    **{name.lower(): name for name in SCALES},
    **{"sec": "s", "secs": "s", "second": "s", "seconds": "s", "millisecond": "ms", "milliseconds": "ms"},
    **{"us": "µs", "μs": "µs", "microsecond": "µs", "microseconds": "µs"},
    **{"nanosecond": "ns", "nanoseconds": "ns", "byte": "B", "bytes": "B"},
    **{"kilobytes": "kB", "megabytes": "MB", "gigabytes": "GB", "terabytes": "TB"},
}
_MORE = {"min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0}
_PREFIXES = {"kb": "k", "mb": "m", "gb": "g", "tb": "t"}  # "5 M" in MB
_MORE_BYTES = {"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40}
_MANY = {"k": 1e3, "K": 1e3, "thousand": 1e3, "M": 1e6, "million": 1e6, "mio": 1e6, "bn": 1e9, "billion": 1e9}
LONGEST = 4000  # digits; Python reads no number of more than 4,300
SHORTEST = 3  # letters that may stand for a longer unit: "tok" for tokens, but no "m" for ms
_ABOUT = re.compile(r"^(?:~|≈|about|around|approx\.?|roughly|circa|ca\.?|c\.)\s*", re.IGNORECASE)
_GROUPED = r"[1-9]\d{0,2}(?:[, '’_\u00a0\u202f]\d{3})+(?:\.\d+)?"
_PLAIN = r"\d[\d_]*(?:[.,]\d*)?|\.\d+"
_TIMES_FIRST = re.compile(r"^[×xX]\s*(\d)")  # "x5" is "5x"
_POWER = r"e[+-]?\d{1,3}"
_NUMBER = re.compile(rf"([+-]?)\s*({_GROUPED}(?![\d,.])|{_PLAIN})({_POWER})?", re.IGNORECASE)


def blank(guess: object) -> bool:
    """Tell whether no guess was made yet: None, `...`, or text that holds nothing but dots.

    Parameters
    ----------
    guess : object
        What the student typed.

    Returns
    -------
    bool
        True or False.
    """
    return guess is None or guess is ... or (isinstance(guess, str) and not guess.strip(" .…\t\n"))


def choice(guess: object, choices: Iterable[str]) -> str:
    """Return the one of ``choices`` that was typed, in any case and with spaces around it.

    Parameters
    ----------
    guess : object
        What the student typed.
    choices : iterable of str
        What is to choose from.

    Returns
    -------
    str
        The choice, as it is written in ``choices``.

    Raises
    ------
    TypeError, ValueError
        If it is not one of them.
    """
    options = list(choices)
    if isinstance(guess, str):
        wanted = " ".join(guess.split()).casefold()
        found = [each for each in options if " ".join(each.split()).casefold() == wanted]
        if len(found) == 1 and guess not in options:
            return found[0]
    return arguments.choice("guess", guess, options)


def number(text: str, unit: str = "") -> float:
    """Return the number that was typed, in ``unit``.

    Parameters
    ----------
    text : str
        A number; thousands may be grouped, "~" and "about" may stand before it, its unit behind it. Other
        units of time and size are converted.
    unit : str
        What the number is asked for in.

    Returns
    -------
    float or int
        An int where one was typed.

    Raises
    ------
    ValueError
        If it is no number, or has another unit; the message says what is allowed.
    """
    cleaned = _ABOUT.sub("", " ".join(text.replace("−", "-").split()))
    if word(unit) in TIMES:
        cleaned = _TIMES_FIRST.sub(r"\1", cleaned)
    found = _NUMBER.match(cleaned)
    factor = _factor(cleaned[found.end() :].strip(), arguments.label("unit", unit)) if found else None
    if found is None or factor is None or len(found[0]) > LONGEST:
        raise ValueError(f"guess must be {_allowed(unit)}; got {arguments.shown(text)}")
    value = _value(found[1] + found[2], found[3] or "")
    return value if factor == 1 else round(value * factor, 12) if value * factor > 1e-6 else value * factor


def _value(digits: str, power: str) -> float:
    plain = re.sub(r"[ '’_\u00a0\u202f]", "", digits)
    grouped = re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", plain)
    plain = plain.replace(",", "" if grouped else ".")
    return float(plain + power) if power or "." in plain else int(plain)


def _factor(behind: str, unit: str) -> float | None:
    """Return what the number is multiplied by for the text ``behind`` it; None for another unit."""
    amount, _, rest = behind.partition(" ")
    head, _, counted = unit.partition(" ")
    if word(unit) not in SCALES and amount in _MANY:
        # "5 million" in million parameters is 5, and in parameters it is 5,000,000.
        many = _factor(rest, counted if head in _MANY else unit)
        return None if many is None else many * _MANY[amount] / _MANY.get(head, 1.0)
    if not behind or _means(behind.casefold(), unit.casefold()):
        return 1
    kind, per = SCALES.get(word(unit), ("", 1.0))
    typed = behind.casefold()
    more = {"time": _MORE, "size": _MORE_BYTES}.get(kind, {})
    if typed in more:
        return more[typed] / per
    other, scale = SCALES.get(_NAMES.get(typed, ""), ("none", 1.0))
    return scale / per if other == kind else None


def _means(typed: str, unit: str) -> bool:
    head = word(unit)
    names = _TIMES if head in TIMES else _PER_CENT if head == "%" else _POINTS if head == "points" else {head}
    short = len(typed) < SHORTEST and typed not in _PREFIXES.get(head, "")
    if unit and not short and (unit.startswith(typed) or typed.rstrip("s") == head.rstrip("s")):
        return True
    first, _, rest = typed.partition(" ")
    return typed in names or (first in names and unit.endswith(f" {rest}"))


def _allowed(unit: str) -> str:
    kind, _ = SCALES.get(word(unit), ("", 1.0))
    other = {"time": " or another unit of time", "size": " or another unit of size"}.get(kind, "")
    gap = "" if unit.startswith("×") else " "
    behind = f" in {unit}{other}, such as 250 or '250{gap}{word(unit)}'" if unit else ", such as 250 or '1e3'"
    return f"a number{behind}, or ... for none yet"
