"""Numbers as callers hand them in, taken without rounding: Python's, numpy's, a tensor's, or typed text."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from coursekit._core import arguments

__all__ = ["LONGEST_SHOWN", "binary", "exact", "is_finite", "plain", "shown", "to_float"]

LONGEST_SHOWN = 60  # characters that still read well in one line
MOST_PLACES = 1100  # the last bit of the smallest float64 is at place 1074
FAR_OUT = 400  # decimal exponents beyond which every format overflows, or rounds to zero


def plain(value: Any) -> Any:
    """Return numpy scalars, and arrays and tensors without dimensions, as Python's; others as they are.

    Parameters
    ----------
    value : object
        Any object.

    Returns
    -------
    object
        A number of Python's, or ``value``.
    """
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def exact(value: Any) -> Fraction | float:
    """Return ``value`` without rounding: a fraction, or a float for zero (it has a sign), infinity and NaN.

    Decimals too far out for any format become infinity or zero: as fractions, they could fill the memory.

    Parameters
    ----------
    value : object
        A number, or a text that reads as one.

    Returns
    -------
    Fraction or float
        The number.

    Raises
    ------
    TypeError
        For what is not a number.
    ValueError
        For a text that does not read as one.
    """
    number = _parsed(value) if isinstance(value, str) else plain(arguments.dense("value", value))
    if isinstance(number, bool | type) or not hasattr(number, "as_integer_ratio"):
        raise TypeError(f"value must be a number; got {shown(value)} ({type(value).__name__})")
    if isinstance(number, Decimal):
        number = _within_reach(number)
    if number != number or number in (math.inf, -math.inf):
        return float(number)
    if number == 0:
        return math.copysign(0.0, number)
    return Fraction(*number.as_integer_ratio())


def is_finite(number: Fraction | float) -> bool:
    """Return whether ``number`` is neither infinite nor NaN, however large it is.

    Parameters
    ----------
    number : Fraction or float
        As ``exact`` returns it.

    Returns
    -------
    bool
        True or False.
    """
    return isinstance(number, Fraction) or math.isfinite(number)


def to_float(number: Fraction | float) -> float:
    """Return the nearest float64; infinity where it overflows.

    Parameters
    ----------
    number : Fraction or float
        As ``exact`` returns it.

    Returns
    -------
    float
        The float.
    """
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def shown(value: Any) -> str:
    """Return ``value`` as text that fits into a line.

    Parameters
    ----------
    value : object
        Any object.

    Returns
    -------
    str
        One line.
    """
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return "a number with thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def binary(value: Any, places: int | None = None) -> str:
    """Return a number in binary, exactly, such as "110.1" for 6.5.

    Parameters
    ----------
    value : object
        A finite number, or a text that reads as one.
    places : int, optional
        How many places behind the point are kept: "0.0001…" for 0.1; by default all.

    Returns
    -------
    str
        The digits; an ellipsis says that some were cut.

    Raises
    ------
    TypeError
        For what is not a number.
    ValueError
        For a number that is not finite, and for what never ends in binary (the texts "0.1" and "1/3")
        where ``places`` does not say where to cut.
    """
    number = exact(value)
    if not is_finite(number):
        raise ValueError(f"value must be finite to be written in binary; got {number}")
    number = Fraction(number)
    last = number.denominator.bit_length() - 1
    ends = number.denominator == 1 << last
    if places is None and not ends:
        raise ValueError(f"value {shown(value)!r} never ends in binary: places must say where to cut")
    kept = last if places is None else arguments.integer("places", places, 0, MOST_PLACES)
    cut = not ends or kept < last
    digits = f"{abs(number.numerator) * 2**kept // number.denominator:0{kept + 1}b}"
    whole, rest = digits[: len(digits) - kept], digits[len(digits) - kept :]
    rest = rest if cut else rest[:last]
    return ("-" if number < 0 else "") + whole + ("." if rest or cut else "") + rest + ("…" if cut else "")


def _parsed(text: str) -> Fraction | Decimal:
    cleaned = text.strip().replace("\N{MINUS SIGN}", "-")
    try:
        return Fraction(cleaned) if "/" in cleaned else Decimal(cleaned)
    except (ValueError, ArithmeticError):
        message = f"value must be a number such as 6.5, 1e-3, 1/3, inf or nan; got {shown(text)!r}"
        raise ValueError(message) from None


def _within_reach(number: Decimal) -> Decimal | float:
    if number.is_snan():
        return math.nan
    if not number or not number.is_finite() or abs(number.adjusted()) <= FAR_OUT:
        return number
    return math.copysign(math.inf if number.adjusted() > 0 else 0.0, number)
