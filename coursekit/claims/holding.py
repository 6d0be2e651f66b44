"""The ``holds`` of a claim in its file, read into a rule: one tolerance policy for all claims."""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from coursekit.claims.judging import NO_DIFFERENCE, Rule

__all__ = ["FACTORS", "rule"]

BOUNDS = ("at_least", "at_most", "more_than", "less_than", "between")
NAMES = ("about", "same", "equals", *BOUNDS, "is", "verdict")
BESIDE = {"within": "equals", "factor": "about"}
# How far off a figure that was said may be, either way, if its claim does not say. What is arithmetic has
# no such room: `equals` with a text takes it to its last digit.
FACTORS = {"hardware": 2.0, "statistical": 1.5}
RATIOS = ("×", "times")  # a unit that begins so counts how many times; any other is a difference


def rule(where: str, table: Mapping[str, Any], kind: str, unit: str) -> Rule:
    """Return the rule that a claim's ``holds`` describes.

    Parameters
    ----------
    where : str
        File and claim, for messages.
    table : mapping of str to object
        What ``holds`` says.
    kind, unit : str
        The claim's.

    Returns
    -------
    Rule
        What must be measured.

    Raises
    ------
    ValueError
        If it is not one of NAMES with what may stand beside it.
    """
    names = [name for name in NAMES if name in table]
    unknown = set(table) - set(NAMES) - set(BESIDE)
    misplaced = [extra for extra, name in BESIDE.items() if extra in table and names != [name]]
    if len(names) != 1 or unknown or misplaced:
        raise ValueError(
            f"{where}: holds must have one of {', '.join(NAMES)} "
            f"(and within beside equals, factor beside about); got {table}"
        )
    name, value = names[0], table[names[0]]
    if name == "is":
        return Rule(name, words=(str(_typed(where, name, value, bool)),))
    if name == "verdict":
        return Rule(name, words=_words(where, value))
    if name == "about":
        return _about(where, value, table.get("factor"), kind)
    if name == "same":
        return _same(where, value, unit)
    if name == "equals":
        return _equals(where, value, table.get("within", 0))
    return _bound(where, name, value)


def _words(where: str, value: Any) -> tuple[str, ...]:
    words = tuple(
        _typed(where, "verdict", word, str) for word in (value if isinstance(value, list) else [value])
    )
    if not words:
        raise ValueError(f"{where}: verdict must name at least one verdict")
    if NO_DIFFERENCE in words:
        raise ValueError(
            f"{where}: the verdict 'same' says that no difference was shown, not that there is none; "
            "use same = margin"
        )
    return words


def _about(where: str, value: Any, factor: Any, kind: str) -> Rule:
    low, high = _pair(where, "about", value) if isinstance(value, list) else [value] * 2
    low, high = _number(where, "about", low), _number(where, "about", high)
    if factor is None:
        factor = 1.0 if low < high else FACTORS.get(kind)
    if factor is None:
        raise ValueError(f'{where}: about needs a factor in an arithmetic claim, or equals = "{value}"')
    if not 0 < low <= high or math.isinf(high) or not 1 <= _number(where, "factor", factor) < math.inf:
        raise ValueError(
            f"{where}: about must be above 0 and factor at least 1; got {value!r} and {factor!r}"
        )
    if low == high and factor == 1:
        raise ValueError(f"{where}: factor must be above 1 for a single figure; got {factor!r}")
    return Rule("about", low / factor, high * factor, said=(low, high), factor=factor)


def _same(where: str, value: Any, unit: str) -> Rule:
    margin, first = _number(where, "same", value), unit.split()[:1]
    if not unit or not 0 < margin < math.inf:
        raise ValueError(f"{where}: same must be a margin above 0, beside a unit; got {value!r} and {unit!r}")
    if first and first[0].startswith(RATIOS):
        return Rule("same", 1 / (1 + margin), 1 + margin)
    return Rule("same", -margin, margin)


def _equals(where: str, value: Any, within: Any) -> Rule:
    if isinstance(value, str):
        if within:
            raise ValueError(f"{where}: within has no place beside equals = {value!r}, which says it itself")
        figure, half = _written(where, value)
        return Rule("equals", float(figure - half), float(figure + half), figure=value)
    middle, off = _number(where, "equals", value), _number(where, "within", within)
    if off < 0:
        raise ValueError(f"{where}: within leaves nothing that could hold: {within!r}")
    return Rule("equals", middle - off, middle + off, within=off, said=(middle, middle))


def _written(where: str, text: str) -> tuple[Decimal, Decimal]:
    """Return a figure written as text, and half a unit of its last digit."""
    try:
        figure = Decimal(text)
    except InvalidOperation:
        figure = Decimal("NaN")
    exponent = figure.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{where}: equals must be a number, or one written as text; got {text!r}")
    return figure, Decimal(5).scaleb(exponent - 1)


def _bound(where: str, name: str, value: Any) -> Rule:
    low, high = _pair(where, name, value) if name == "between" else [value] * 2
    low, high = _number(where, name, low), _number(where, name, high)
    if low > high:
        raise ValueError(f"{where}: {name} leaves nothing that could hold: from {low} to {high}")
    low = -math.inf if name in ("at_most", "less_than") else low
    high = math.inf if name in ("at_least", "more_than") else high
    return Rule(name, low, high, strict=name in ("more_than", "less_than"))


def _pair(where: str, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{where}: {name} must be [low, high]; got {value!r}")
    return value


def _number(where: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{where}: {name} must be a number; got {value!r}")
    return value


def _typed(where: str, name: str, value: Any, kind: type) -> Any:
    if type(value) is not kind or value == "":
        raise ValueError(f"{where}: {name} must be a {kind.__name__}; got {value!r}")
    return value
