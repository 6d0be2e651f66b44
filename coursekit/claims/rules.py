"""What a claim of the lecture says and what would make it hold, as written in its notebook's claims.toml."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from coursekit._core import arguments, courses, display, texts
from coursekit.claims import holding
from coursekit.claims.judging import Reading, Rule

__all__ = ["CONDITIONS", "ID", "Claim", "find", "in_words", "load", "plain_number"]

KINDS = ("arithmetic", "statistical", "hardware")
ID = re.compile(r"[A-Za-z0-9]+(-[a-z0-9]+)+")
DIGITS = {"arithmetic": 6, "statistical": 3, "hardware": 3}
COUNTED = ("point", "bit", "byte", "digit", "line", "value", "token", "weight", "parameter", "neuron")
LIMIT_DIGITS = 3  # that a limit has at least, however few the measurement gets
MORE_DIGITS = 3  # that a narrow interval may ask for
EXACT = 1e15  # floats below it hold every whole number
NOTHING = "nothing found"
_BOUNDS = {"at_least": "at least", "at_most": "at most", "more_than": "more than", "less_than": "less than"}
_REQUIRED = {"id": str, "kind": str, "says": str, "why": str, "holds": dict}
SOURCES = ("lecture", "notebook")
_TEXTS = ("notebook", "source", "unit", "corrected", "tests", "guess")
_OPTIONAL = {**dict.fromkeys(_TEXTS, str), "digits": int, "when": list}
# What a claim may depend on, beside the machine: a reader who changes it may find something else.
CONDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "labels": "labels that can be learned",
        "classes": "all ten digits",
        "split": "this split of the data",
        "network": "a network of this shape",
        "training": "training of this length",
    }
)


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
    tests: str = ""
    when: tuple[str, ...] = ()
    guess: str = ""
    digits: int = 3

    @property
    def notebook(self) -> str:
        """The notebook's number, e.g. "05", or "dashboard"."""
        return self.id.partition("-")[0]

    @property
    def holds_for(self) -> str:
        """The conditions of ``when`` in words; no text if there are none."""
        return in_words(self.id, self.when)

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
        if rule.figure:
            return f"{self._as_written(rule.figure)}, to the last digit given"
        if rule.name == "equals":
            middle = self.number(rule.said[0])
            return f"{middle}, give or take {rule.within:g}" if rule.within else f"exactly {middle}"
        more = max(0, LIMIT_DIGITS - self.digits)
        if rule.name in _BOUNDS:
            end = rule.high if rule.low == -math.inf else rule.low
            return f"{_BOUNDS[rule.name]} {self.number(end, more)}"
        return f"from {self._bare(rule.low, more)} to {self._many(rule.high, more)}{self._because()}"

    def _because(self) -> str:
        rule = self.holds
        if rule.name == "same":
            return ", with the whole interval"
        if rule.name != "about" or rule.factor == 1:
            return ""
        said = " to ".join(dict.fromkeys(self._bare(end) for end in rule.said))
        return f" ({said}, give or take a factor of {plain_number(rule.factor, 3)})"

    def _as_written(self, figure: str) -> str:
        if self.unit in ("s", "B") or "e" in figure.lower():
            return self.number(float(figure))
        return f"{figure}{self._gap}{self.unit}".rstrip()

    @property
    def _gap(self) -> str:
        return "" if self.unit in ("×", "°") else " "

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
        if reading.value is None:
            return NOTHING if reading.found is None else self.number(reading.found)
        if isinstance(reading.value, bool | str):
            return _word(str(reading.value))
        if not reading.has_interval:
            return self._distinct(reading.value)
        ends = (reading.low, reading.value, reading.high)
        # "3.2× [3.2× to 3.2×]" would hide the interval: more digits, until its ends look different.
        for more in range(MORE_DIGITS + 1):
            shown = [self._bare(end, more) for end in ends]
            if len(set(shown)) == len(set(ends)):
                break
        return f"{self.number(reading.value, more)} [{shown[0]} to {shown[2]}]"

    def _distinct(self, value: float) -> str:
        # A miss by little must not look like a hit: "8.001" where exactly 8 was expected.
        rule = self.holds
        ends = [end for end in (rule.low, rule.high, *rule.said) if math.isfinite(end)]
        if rule.accepts(value) or value in ends:
            return self.number(value)
        for more in range(MORE_DIGITS + 1):
            text = self.number(value, more)
            # Whole ends stand in full, "63,487"; the fraction beside one is rounded as the value is.
            beside = [math.nextafter(end, value) for end in ends]
            if text not in [self.number(end, more) for end in (*ends, *beside)]:
                return text
        return f"{self.number(value)} ({value!r})"

    def _bare(self, value: float, more: int = 0) -> str:
        """Return one number, with its unit only where that is a sign or changes with the size."""
        short = self.unit in ("s", "B", "×", "°")
        return self.number(value, more) if short else plain_number(value, self.digits + more)

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
        return _of_one(self._many(value, more))

    def _many(self, value: float, more: int = 0) -> str:
        """Return one number with the unit as it stands, as at the end of a range: "from -1 to 1 points"."""
        if self.unit in ("s", "B") and math.isfinite(value):
            return (display.seconds if self.unit == "s" else display.size)(value, 3 + more)
        return f"{plain_number(value, self.digits + more)}{self._gap}{self.unit}".rstrip()


def _of_one(text: str) -> str:
    """Return "1 point more" for "1 points more", any other text as it is."""
    return re.sub(rf"^(-?1 (?:{'|'.join(COUNTED)}))s\b", r"\1", text)


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


def in_words(where: str, when: Sequence[Any]) -> str:
    """Return conditions as a reader reads them.

    Parameters
    ----------
    where : str
        What a message names.
    when : sequence of str
        Names in ``CONDITIONS``.

    Returns
    -------
    str
        No text if there are none.

    Raises
    ------
    ValueError
        For another name.

    """
    return ", ".join(CONDITIONS[arguments.choice(f"{where}: when", name, list(CONDITIONS))] for name in when)


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
    in_words(where, table.setdefault("when", []))
    table["when"] = tuple(table["when"])
    table.setdefault("digits", DIGITS[table["kind"]])
    arguments.integer(f"{where}: digits", table["digits"], 1, 17)
    return Claim(
        **{**table, "holds": holding.rule(where, table["holds"], table["kind"], table.get("unit", ""))}
    )
