"""What a claim of the lecture says and what would make it hold, as written in its notebook's claims.toml."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coursekit._core import arguments, courses, display, texts

__all__ = ["ID", "Claim", "Reading", "Rule", "find", "load", "plain_number", "read"]

KINDS = ("arithmetic", "statistical", "hardware")
ID = re.compile(r"[A-Za-z0-9]+(-[a-z0-9]+)+")
DIGITS = {"arithmetic": 6, "statistical": 3, "hardware": 3}
MORE_DIGITS = 3  # that a narrow interval may ask for
EXACT = 1e15  # floats below it hold every whole number
PER_CENT = ("%", "points")
_RULES = ("equals", "at_least", "at_most", "between", "is", "verdict")
_REQUIRED = {"id": str, "kind": str, "says": str, "why": str, "holds": dict}
SOURCES = ("lecture", "notebook")
_OPTIONAL = {"notebook": str, "source": str, "unit": str, "corrected": str, "guess": str, "digits": int}


@dataclass(frozen=True)
class Reading:
    """A measurement as a claim sees it: a number with its interval (or equal bounds), a truth, a verdict."""

    value: float | bool | str
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether the measurement came with an interval of its own."""
        return not isinstance(self.value, str) and (self.low, self.high) != (self.value, self.value)


@dataclass(frozen=True)
class Rule:
    """What must be measured: a number within [low, high], or one of ``words`` (verdicts; "true", "false")."""

    name: str
    low: float = -math.inf
    high: float = math.inf
    words: tuple[str, ...] = ()

    def met(self, reading: Reading) -> bool:
        """Tell whether the measured value fits the rule.

        Parameters
        ----------
        reading : Reading
            What was measured.

        Returns
        -------
        bool
            True or False.
        """
        if self.words or isinstance(reading.value, str):
            return str(reading.value) in self.words
        return self.low <= reading.value <= self.high

    def crossed(self, reading: Reading) -> bool:
        """Tell whether the measurement's interval lies partly inside the rule and partly outside.

        Parameters
        ----------
        reading : Reading
            What was measured.

        Returns
        -------
        bool
            True or False.
        """
        if self.words or not reading.has_interval:
            return False
        inside = self.low <= reading.low and reading.high <= self.high
        return not inside and reading.low <= self.high and self.low <= reading.high


@dataclass(frozen=True)
class Claim:
    """One statement of the lecture that a cell can check. Units "s" and "B" are shown as ms, µs, kB, MB."""

    id: str
    kind: str
    says: str
    why: str
    holds: Rule
    source: str = "lecture"
    unit: str = ""
    corrected: str = ""
    guess: str = ""
    digits: int = 3

    @property
    def notebook(self) -> str:
        """The notebook's number, e.g. "05", or "dashboard"."""
        return self.id.partition("-")[0]

    @property
    def must_hold(self) -> bool:
        """Whether the claim holds on every machine, so that a failure is a mistake and not a finding."""
        return self.kind != "hardware"

    @property
    def expected(self) -> str:
        """What must be measured for the claim to hold, in words."""
        rule = self.holds
        if rule.words:
            return " or ".join(_word(word) for word in rule.words)
        if rule.low == rule.high:
            return f"exactly {self.number(rule.low)}"
        if math.inf in (rule.high, -rule.low):
            return (
                f"at least {self.number(rule.low)}"
                if rule.high == math.inf
                else f"at most {self.number(rule.high)}"
            )
        return f"from {self.number(rule.low)} to {self.number(rule.high)}"

    def show(self, reading: Reading) -> str:
        """Return the measurement as text, with unit and interval.

        Parameters
        ----------
        reading : Reading
            What was measured.

        Returns
        -------
        str
            The text.
        """
        if isinstance(reading.value, bool | str):
            return _word(str(reading.value))
        if not reading.has_interval:
            return self._distinct(reading.value, self.holds.met(reading))
        ends = (reading.low, reading.value, reading.high)
        shown = [self.number(end) for end in ends]
        # "3.2× [3.2× to 3.2×]" would hide the interval: more digits, until its ends look different.
        for more in range(1, MORE_DIGITS + 1):
            if len(set(shown)) == len(set(ends)):
                break
            shown = [self.number(end, more) for end in ends]
        return f"{shown[1]} [{shown[0]} to {shown[2]}]"

    def _distinct(self, value: float, met: bool) -> str:
        # A miss by little must not look like a hit: "8 (8.000001)" where exactly 8 was expected.
        text = self.number(value)
        looks_met = not met and text in map(self.number, (self.holds.low, self.holds.high))
        return f"{text} ({value!r})" if looks_met else text

    def number(self, value: float, more: int = 0) -> str:
        """Return one number with the claim's unit.

        Parameters
        ----------
        value : float
            The number.
        more : int, optional
            How many digits more than the claim asks for.

        Returns
        -------
        str
            The text.
        """
        if self.unit in ("s", "B") and math.isfinite(value):
            return (display.seconds if self.unit == "s" else display.size)(value, 3 + more)
        gap = "" if self.unit in ("×", "°") else " "
        return f"{plain_number(value, self.digits + more)}{gap}{self.unit}".rstrip()


def plain_number(value: float, digits: int) -> str:
    """Return whole numbers in full, others with up to ``digits`` significant digits.

    Parameters
    ----------
    value : float
        The number.
    digits : int
        How many significant digits a fraction gets at most.

    Returns
    -------
    str
        The text.

    """
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or (value == round(value) and abs(value) < EXACT):
        return f"{int(value):,}"
    text = display.significant(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _word(word: str) -> str:
    return {"True": "yes", "False": "no"}.get(word, word)


def read(measured: Any, claim: Claim) -> Reading:
    """Return ``measured`` as the claim's rule sees it.

    Parameters
    ----------
    measured : object
        A number, a bool, a verdict (text), or a result with ``value``, ``low`` and ``high``, with ``median``
        and ``samples``, or with ``verdict``.
    claim : Claim
        What it is measured for.

    Returns
    -------
    Reading
        Value, low and high: all equal for a plain number, low and high NaN for words.

    Raises
    ------
    TypeError, ValueError
        If the rule cannot judge it.

    """
    if claim.holds.name == "verdict":
        verdict = getattr(measured, "verdict", measured)
        if not isinstance(verdict, str):
            raise TypeError(
                f"claim {claim.id} needs a verdict ({claim.expected}); got {arguments.shown(verdict)}"
            )
        return Reading(verdict, math.nan, math.nan)
    if claim.holds.name == "is":
        if not isinstance(measured, bool | np.bool_):
            raise TypeError(f"claim {claim.id} needs True or False; got {arguments.shown(measured)}")
        return Reading(bool(measured), math.nan, math.nan)
    low, value, high = _numbers(measured, claim)
    if low > high:
        raise ValueError(f"claim {claim.id} needs an interval with low <= high; got {low} to {high}")
    return Reading(value, low, high)


def _numbers(measured: Any, claim: Claim) -> tuple[float, float, float]:
    """Return (low, value, high); accuracies and their differences become per cent where the unit says so."""
    if hasattr(measured, "median") and hasattr(measured, "samples"):
        low, high = np.percentile(np.asarray(measured.samples, dtype=np.float64), (25, 75))
        return float(low), _number(claim, measured.median), float(high)
    if hasattr(measured, "low") and hasattr(measured, "high") and hasattr(measured, "value"):
        factor = 100 if claim.unit in PER_CENT and hasattr(measured, "confidence") else 1
        low, value, high = (factor * _number(claim, getattr(measured, n)) for n in ("low", "value", "high"))
        return low, value, high
    value = _number(claim, measured)
    return value, value, value


def _number(claim: Claim, value: Any) -> float:
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise TypeError(f"claim {claim.id} needs a number; got {arguments.shown(value)}")
    try:
        number = float(arguments.dense(f"what claim {claim.id} measured", value))
    except OverflowError:
        raise ValueError(
            f"claim {claim.id} needs a number that a float can hold; got {arguments.shown(value)}"
        ) from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"claim {claim.id} needs a number; got {arguments.shown(value)}") from None
    if math.isnan(number):
        raise ValueError(f"claim {claim.id} needs a number; got NaN")
    return value if isinstance(value, int) else number  # an int keeps all its digits


def load() -> dict[str, Claim]:
    """Return all claims of the courses by id, notebook by notebook.

    Returns
    -------
    dict of str to Claim
        Ids, each with its claim.

    Raises
    ------
    ValueError
        Names the file, the claim and what is wrong with it.

    """
    found = courses.files(courses.CLAIMS).items()
    return {id: claim for notebook, path in found for id, claim in _of_notebook(notebook, path).items()}


def find(id: Any) -> Claim:
    """Return a claim; only its own notebook's file is read, so that no other one can be in the way.

    Parameters
    ----------
    id : str
        The claim, such as "05-int8-size".

    Returns
    -------
    Claim
        The claim.

    Raises
    ------
    TypeError, ValueError
        If there is no such claim, or as ``load`` for the notebook's file.

    """
    notebook = arguments.label("id", id).partition("-")[0]
    path = courses.files(courses.CLAIMS).get(notebook)
    claims = load() if path is None else _of_notebook(notebook, path)
    if id not in claims:
        raise texts.unknown("claim", id, claims)
    return claims[id]


def _of_notebook(notebook: str, path: Path) -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    tables, where = texts.load(path), texts.place(path)
    texts.fields(where, tables, {}, {"claim": list})
    for number, table in enumerate(tables.get("claim", []), 1):
        claim = _claim(f"{where}, claim {number}", table)
        if claim.id in claims or claim.notebook != notebook:
            raise ValueError(f"{where}: {claim.id} is there twice or belongs to notebook {claim.notebook}")
        claims[claim.id] = claim
    return claims


def _claim(where: str, table: Any) -> Claim:
    name = table.get("id") if isinstance(table, dict) else None
    where = f"{where} ({name})" if name else where
    table = dict(texts.fields(where, table, _REQUIRED, _OPTIONAL))
    if not ID.fullmatch(table["id"]):
        raise ValueError(
            f"{where}: id must be like '05-int8-size' (notebook, then small letters); got {table['id']!r}"
        )
    notebook = table["id"].partition("-")[0]
    if table.pop("notebook", notebook) != notebook:
        raise ValueError(f"{where}: notebook must be what the id begins with, {notebook}")
    arguments.choice(f"{where}: kind", table["kind"], KINDS)
    arguments.choice(f"{where}: source", table.get("source", "lecture"), SOURCES)
    table.setdefault("digits", DIGITS[table["kind"]])
    arguments.integer(f"{where}: digits", table["digits"], 1, 17)
    return Claim(**{**table, "holds": _rule(where, table["holds"])})


def _rule(where: str, table: Mapping[str, Any]) -> Rule:
    names = [name for name in _RULES if name in table]
    unknown = set(table) - set(_RULES) - {"within"}
    if len(names) != 1 or unknown or ("within" in table and names != ["equals"]):
        raise ValueError(
            f"{where}: holds must have one of {', '.join(_RULES)} (and within, beside equals); got {table}"
        )
    name, value = names[0], table[names[0]]
    if name == "is":
        return Rule(name, words=(str(_typed(where, name, value, bool)),))
    if name == "verdict":
        words = value if isinstance(value, list) else [value]
        if not words:
            raise ValueError(f"{where}: verdict must name at least one verdict")
        return Rule(name, words=tuple(_typed(where, name, word, str) for word in words))
    return Rule(name, *_bounds(where, name, value, table.get("within", 0)))


def _bounds(where: str, name: str, value: Any, within: Any) -> tuple[float, float]:
    values = value if name == "between" else [value]
    if not isinstance(values, list) or len(values) != (2 if name == "between" else 1):
        raise ValueError(f"{where}: between must be [low, high]; got {value!r}")
    for number in (*values, within):
        if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
            raise ValueError(f"{where}: {name} must be a number; got {number!r}")
    low, high = {
        "equals": (values[0] - within, values[0] + within),
        "at_least": (values[0], math.inf),
        "at_most": (-math.inf, values[0]),
        "between": (values[0], values[-1]),
    }[name]
    if low > high:
        raise ValueError(f"{where}: {name} leaves nothing that could hold: from {low} to {high}")
    return low, high


def _typed(where: str, name: str, value: Any, kind: type) -> Any:
    if type(value) is not kind or value == "":
        raise ValueError(f"{where}: {name} must be a {kind.__name__}; got {value!r}")
    return value
