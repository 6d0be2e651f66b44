"""JSON as others wrote it, read without trust: finite numbers only. And one canonical form of it."""

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "parsed"]

# What reading what somebody else wrote may raise.
ERRORS = (ValueError, TypeError, KeyError, RecursionError)


def parsed(text: bytes) -> dict[str, Any]:
    """Return the object in ``text``.

    Errors: ValueError if there is none, or a number in it that no float can hold; RecursionError if it is
    nested too deeply.
    """
    found = json.loads(
        text.decode("utf-8"), parse_constant=_refuse, parse_int=_integer, parse_float=_fraction
    )
    if not isinstance(found, dict):
        raise ValueError("a line must hold a JSON object")
    return found


def canonical(value: Mapping[str, Any]) -> str:
    """Return ``value`` as JSON that is the same wherever it is written: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _integer(digits: str) -> int:
    number = int(digits)
    _fraction(digits)
    return number


def _fraction(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"a number of {len(digits)} characters is too large for a float")
    return number
