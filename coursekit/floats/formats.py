"""The formats themselves, and the way from a value to its bits and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core.arguments import choice, integer
from coursekit.floats.bit_fields import Fields
from coursekit.floats.exact import exact, is_finite, plain, shown

__all__ = [
    "FORMATS",
    "Format",
    "all_values",
    "decode",
    "encode",
    "fields",
    "fields_of",
    "neighbours",
    "spacing",
]

LARGEST_TABLE = 16  # bits: 65,536 values make a picture, 2**32 of them would fill 34 GB


@dataclass(frozen=True)
class Format:
    """A number format: sign, exponent and mantissa bits; integers (two's complement) have no exponent.

    A format with infinity gives the whole top exponent to infinity and NaN; one that has only NaN (FP8 E4M3)
    gives it a single pattern, all ones; one without either (FP4) uses every pattern for a number.
    """

    name: str
    title: str
    bits: int
    exponent_bits: int
    mantissa_bits: int
    bias: int
    kind: str = "float"
    signed: bool = True
    has_infinity: bool = True
    has_nan: bool = True

    @property
    def max(self) -> float:
        """The largest finite number."""
        return _value(self.top, self)

    @property
    def lowest(self) -> float:
        """The most negative finite number; 0 where there is no sign."""
        if self.kind == "integer":
            return -1.0 - self.top if self.signed else 0.0
        return -self.max

    @property
    def min_normal(self) -> float:
        """The smallest positive number with an implicit 1; for integers, 1."""
        return math.ldexp(1.0, self.min_exponent)

    @property
    def min_subnormal(self) -> float:
        """The smallest positive number; for integers, 1."""
        return _value(1, self)

    @property
    def epsilon(self) -> float:
        """The gap between 1 and the next larger number."""
        return 1.0 if self.kind == "integer" else math.ldexp(1.0, -self.mantissa_bits)

    @property
    def min_exponent(self) -> int:
        """The exponent of the smallest normal number and of all subnormal ones; for integers, 0."""
        return 0 if self.kind == "integer" else 1 - self.bias

    @property
    def top(self) -> int:
        """The pattern of ``max``: what lies above it, up to the sign bit, is infinity and NaN."""
        if self.has_infinity:
            return ((2**self.exponent_bits - 1) << self.mantissa_bits) - 1
        return 2 ** (self.bits - self.signed) - 1 - self.has_nan


def _integer_format(bits: int, signed: bool) -> Format:
    title = f"INT{bits}" if signed else f"UINT{bits}"
    return Format(title.lower(), title, bits, 0, bits - signed, 0, "integer", signed, False, False)


_ALL = (
    Format("fp64", "FP64", 64, 11, 52, 1023),
    Format("fp32", "FP32", 32, 8, 23, 127),
    Format("tf32", "TF32", 19, 8, 10, 127),
    Format("fp16", "FP16", 16, 5, 10, 15),
    Format("bf16", "BF16", 16, 8, 7, 127),
    Format("fp8_e4m3", "FP8 E4M3", 8, 4, 3, 7, has_infinity=False),
    Format("fp8_e5m2", "FP8 E5M2", 8, 5, 2, 15),
    Format("fp4_e2m1", "FP4 E2M1", 4, 2, 1, 1, has_infinity=False, has_nan=False),
    *(_integer_format(bits, signed=True) for bits in (32, 16, 8, 4)),
    *(_integer_format(bits, signed=False) for bits in (8, 4)),
)
FORMATS: Mapping[str, Format] = MappingProxyType({format.name: format for format in _ALL})


def encode(value: Any, format: str | Format = "fp32") -> int:
    """Return the pattern of the nearest number of a format, ties to the even pattern.

    Too large a float becomes infinity; NaN in FP8 E4M3, which has no infinity; the largest number in FP4.
    Every NaN becomes the positive, quiet one.

    Parameters
    ----------
    value : object
        A number, or a text such as "0.1", "1/3" or "-inf"; it is rounded once, not first to float64.
    format : str or Format, optional
        A format, or its name.

    Returns
    -------
    int
        The pattern, 0 to 2**bits - 1.

    Raises
    ------
    TypeError
        For what is not a number.
    ValueError
        For a NaN where the format has none, and for what an integer format cannot reach.
    """
    return _nearest(exact(value), _found(format))


def decode(pattern: int | str, format: str | Format = "fp32") -> float:
    """Return the number that a pattern stands for, exactly.

    Parameters
    ----------
    pattern : int or str
        An integer, or a text of exactly as many 0s and 1s as the format has bits; spaces and underscores
        may stand between them.
    format : str or Format, optional
        A format, or its name.

    Returns
    -------
    float
        The number.

    Raises
    ------
    TypeError, ValueError
        For a pattern that is anything else.
    """
    found = _found(format)
    return _value(_pattern(pattern, found), found)


def fields(value: Any, format: str | Format = "fp32") -> Fields:
    """Return a number as a format stores it, taken apart.

    Parameters
    ----------
    value : object
        As for ``encode``.
    format : str or Format, optional
        A format, or its name.

    Returns
    -------
    Fields
        Sign, exponent and mantissa, and what they mean.

    Raises
    ------
    TypeError, ValueError
        As for ``encode``.
    """
    found, given = _found(format), plain(value)
    return _fields(_nearest(exact(given), found), found, given)


def fields_of(pattern: int | str, format: str | Format = "fp32") -> Fields:
    """Return what the bits of a pattern mean.

    Parameters
    ----------
    pattern : int or str
        As for ``decode``.
    format : str or Format, optional
        A format, or its name.

    Returns
    -------
    Fields
        Sign, exponent and mantissa, and what they mean.

    Raises
    ------
    TypeError, ValueError
        As for ``decode``.
    """
    found = _found(format)
    return _fields(_pattern(pattern, found), found, None)


def spacing(value: Any, format: str | Format = "fp32") -> float:
    """Return the gap from a stored number to the next larger magnitude (the "ulp").

    At the largest number, with nothing finite above it, the gap that its exponent stands for, as below it.

    Parameters
    ----------
    value : object
        As for ``encode``; it is rounded first.
    format : str or Format, optional
        A format, or its name.

    Returns
    -------
    float
        The gap; NaN for infinity and NaN.

    Raises
    ------
    TypeError, ValueError
        As for ``encode``.
    """
    found = _found(format)
    return _reading(_nearest(exact(value), found), found)[-1]


def neighbours(value: Any, format: str | Format = "fp32") -> tuple[float, float]:
    """Return the numbers next below and next above a stored number.

    Above the largest number comes infinity; where a format has none, the largest number is returned again, as
    infinity is for infinity. The two zeros count as one number.

    Parameters
    ----------
    value : object
        As for ``encode``; it is rounded first.
    format : str or Format, optional
        A format, or its name.

    Returns
    -------
    tuple of 2 float
        Below and above; (NaN, NaN) for NaN.

    Raises
    ------
    TypeError, ValueError
        As for ``encode``.
    """
    found = _found(format)
    pattern = _nearest(exact(value), found)
    if math.isnan(_value(pattern, found)):
        return math.nan, math.nan
    place = _place(pattern, found)
    last = found.top + found.has_infinity
    first = int(found.lowest) if found.kind == "integer" else -last
    return _at(max(place - 1, first), found), _at(min(place + 1, last), found)


def all_values(format: str | Format) -> NDArray[np.float64]:
    """Return the numbers of all patterns.

    Parameters
    ----------
    format : str or Format
        A format, or its name.

    Returns
    -------
    ndarray of float64
        [2**bits], the pattern being the index.

    Raises
    ------
    ValueError
        For a format of more than 16 bits.
    """
    found = _found(format)
    if found.bits > LARGEST_TABLE:
        size = f"{found.name} has {found.bits}: 2**{found.bits} numbers make no useful table"
        raise ValueError(f"format must have at most {LARGEST_TABLE} bits to list all its numbers; {size}")
    patterns = np.arange(2**found.bits)
    if found.kind == "integer":
        return np.where(patterns > found.top, patterns - 2**found.bits, patterns).astype(np.float64)
    positive = _magnitude(patterns[: 2 ** (found.bits - 1)], found)
    positive[found.top + 1 :] = math.nan
    if found.has_infinity:
        positive[found.top + 1] = math.inf
    return np.concatenate([positive, -positive])


def _found(format: str | Format) -> Format:
    if isinstance(format, Format) and FORMATS.get(format.name) == format:
        return format
    return FORMATS[choice("format", format, FORMATS)]


def _pattern(pattern: Any, format: Format) -> int:
    if not isinstance(pattern, str):
        return integer("pattern", plain(pattern), 0, 2**format.bits - 1)
    bits = pattern.replace(" ", "").replace("_", "")
    if set(bits) - {"0", "1"}:
        raise ValueError(f"pattern may hold 0, 1, spaces and underscores only; got {shown(pattern)!r}")
    if len(bits) != format.bits:
        raise ValueError(f"pattern must have {format.bits} bits for {format.name}; got {len(bits)}")
    return int(bits, 2)


def _nearest(number: Fraction | float, format: Format) -> int:
    if format.kind == "integer":
        return _nearest_integer(number, format)
    if number != number:
        return _nan(format)
    negative = number < 0 or (number == 0 and math.copysign(1.0, number) < 0)
    size: Any = abs(number)
    return negative << (format.bits - 1) | _nearest_magnitude(size, format)


def _nearest_magnitude(number: Fraction | float, format: Format) -> int:
    beyond = format.top + 1 if format.has_nan else format.top
    if number in (0, math.inf):
        return beyond if number else 0
    exponent = max(_floor_log2(Fraction(number)), format.min_exponent)
    steps = round(number / Fraction(2) ** (exponent - format.mantissa_bits))  # a tie goes to the even one
    # Among the steps, the implicit 1 raises the exponent field by one; so does a carry out of the mantissa.
    return min(((exponent - format.min_exponent) << format.mantissa_bits) + steps, beyond)


def _floor_log2(number: Fraction) -> int:
    guess = number.numerator.bit_length() - number.denominator.bit_length()
    return guess if number >= Fraction(2) ** guess else guess - 1


def _nearest_integer(number: Fraction | float, format: Format) -> int:
    low, high = int(format.lowest), int(format.max)
    if not (is_finite(number) and low <= round(number) <= high):
        raise ValueError(f"value must be from {low} to {high} for {format.name}; got {shown(number)}")
    return round(number) % 2**format.bits


def _nan(format: Format) -> int:
    if not format.has_nan:
        raise ValueError(f"value must be a number for {format.name}, which has no pattern for NaN; got nan")
    quiet = 1 << (format.mantissa_bits - 1) if format.has_infinity else 0
    return format.top + 1 + quiet


def _value(pattern: int, format: Format) -> float:
    if format.kind == "integer":
        return float(pattern if pattern <= format.top else pattern - 2**format.bits)
    sign, rest = divmod(pattern, 2 ** (format.bits - 1))
    if rest <= format.top:
        magnitude = float(_magnitude(rest, format))
    else:
        magnitude = math.inf if format.has_infinity and rest == format.top + 1 else math.nan
    return -magnitude if sign else magnitude


def _magnitude(pattern: Any, format: Format) -> Any:
    """Return the number of a finite pattern without its sign bit; ``pattern`` is an integer or an array.

    An exponent field of 0 is read as 1 and drops the implicit 1: subnormals go on down to 0 in equal steps.
    """
    exponent, mantissa = pattern >> format.mantissa_bits, pattern % 2**format.mantissa_bits
    steps = mantissa + (exponent > 0) * 2**format.mantissa_bits
    power = np.maximum(exponent, 1) - format.bias - format.mantissa_bits
    return np.ldexp(np.float64(steps), np.intc(power))  # ldexp takes no 64-bit exponents on Windows


def _place(pattern: int, format: Format) -> int:
    """Return the place of a pattern among all numbers in their order, zero being 0."""
    if format.kind == "integer":
        return int(_value(pattern, format))
    sign, magnitude = divmod(pattern, 2 ** (format.bits - 1))
    return -magnitude if sign else magnitude


def _at(place: int, format: Format) -> float:
    if format.kind == "integer":
        return float(place)
    return -_value(-place, format) if place < 0 else _value(place, format)


def _fields(pattern: int, format: Format, given: Any) -> Fields:
    text, value = f"{pattern:0{format.bits}b}", _value(pattern, format)
    first, second = int(format.signed), format.signed + format.exponent_bits
    parts = text[:first], text[first:second], text[second:]
    digits = f"{Decimal(value):f}" if math.isfinite(value) else str(value)
    kind, exponent, significand, gap = _reading(pattern, format)
    return Fields(format, pattern, *parts, kind, exponent, significand, value, digits, gap, given)


def _reading(pattern: int, format: Format) -> tuple[str, int | None, float, float]:
    """Return kind, exponent without the bias, significand and spacing."""
    value = _value(pattern, format)
    if format.kind == "integer":
        return "integer", None, value, 1.0
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "infinity", None, abs(value), math.nan
    field = (pattern >> format.mantissa_bits) % 2**format.exponent_bits
    exponent = max(field, 1) - format.bias
    kind = "normal" if field else "subnormal" if value else "zero"
    return kind, exponent, math.ldexp(abs(value), -exponent), math.ldexp(1.0, exponent - format.mantissa_bits)
