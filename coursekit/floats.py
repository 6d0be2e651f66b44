"""Number formats and their bits: which numbers exist, how a value is rounded to one of them, how bits are read back.

Everything follows from four numbers: sign bit, exponent bits, mantissa bits and bias (IEEE 754-2019, section 3;
FP8: Micikevicius et al. 2022, "FP8 formats for deep learning"; FP4: OCP Microscaling Formats 1.0).
Rounding works on exact fractions, so that every value is rounded once.
"""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._arguments import choice, integer
from coursekit._display import card_html, significant

FIELD_COLOURS = MappingProxyType({"sign": "#D55E00", "exponent": "#0072B2", "mantissa": "#009E73"})
LARGEST_TABLE = 16  # bits: 65,536 values are a picture, 2**32 of them fill 34 GB
LONGEST_SHOWN = 60  # characters of an exact decimal that still read well
FAR_OUT = 400  # decimal places beyond which every format overflows, or rounds to zero


@dataclass(frozen=True)
class Format:
    """A number format: ``bits`` = sign + ``exponent_bits`` + ``mantissa_bits``; an integer has no exponent.

    Formats with an infinity keep the whole top exponent for infinity and NaN; those with a NaN only (FP8 E4M3)
    give up a single pattern; the others (FP4) use every pattern for a number.
    Raises ValueError where the parts do not add up or the numbers would not fit into a float64.
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

    def __post_init__(self) -> None:
        if self.signed + self.exponent_bits + self.mantissa_bits != self.bits:
            raise ValueError(f"bits must be sign + exponent + mantissa bits; {self.name} has {self.bits}")

    @property
    def max(self) -> float:
        """The largest finite number."""
        return _number(self.top, self)

    @property
    def lowest(self) -> float:
        """The most negative finite number."""
        if self.kind == "integer":
            return -float(self.top + 1) if self.signed else 0.0
        return -self.max

    @property
    def min_normal(self) -> float:
        """The smallest positive number with an implicit 1 (1 for integers)."""
        return math.ldexp(1.0, self.min_exponent)

    @property
    def min_subnormal(self) -> float:
        """The smallest positive number (1 for integers)."""
        return _number(1, self)

    @property
    def epsilon(self) -> float:
        """The gap between 1 and the next larger number."""
        return 1.0 if self.kind == "integer" else math.ldexp(1.0, -self.mantissa_bits)

    @property
    def min_exponent(self) -> int:
        """The exponent of the smallest normal number and of all subnormal ones."""
        return 0 if self.kind == "integer" else 1 - self.bias

    @property
    def top(self) -> int:
        """The pattern of ``max``; what lies above it, up to the sign bit, is infinity and NaN."""
        if self.has_infinity:
            return ((2**self.exponent_bits - 1) << self.mantissa_bits) - 1
        return 2 ** (self.bits - self.signed) - 1 - self.has_nan


def _integer_format(bits: int, signed: bool) -> Format:
    title = f"{'INT' if signed else 'UINT'}{bits}"
    return Format(title.lower(), title, bits, 0, bits - signed, 0, "integer", signed, False, False)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        made.name: made
        for made in (
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
    }
)


@dataclass(frozen=True, repr=False)
class Fields:
    """A stored number taken apart.

    ``sign``, ``exponent``, ``mantissa`` are texts of bits (empty where the format has none), ``pattern`` all of them
    as one integer. For every finite float, value = (-1)**sign * significand * 2**exponent_value. ``kind`` is zero,
    subnormal, normal, infinity, nan or integer; ``exact`` the stored value as a decimal with all its digits;
    ``spacing`` the gap to the next larger magnitude; ``given`` the value asked for, None if bits were given.
    """

    format: Format
    pattern: int
    sign: str
    exponent: str
    mantissa: str
    kind: str
    exponent_value: int | None
    significand: float
    value: float
    exact: str
    spacing: float
    given: Any = None

    @property
    def bits(self) -> str:
        """All bits, with a space between the fields."""
        return " ".join(part for part in (self.sign, self.exponent, self.mantissa) if part)

    @property
    def error(self) -> float | None:
        """Stored minus given, None if bits were given; NaN where one of them is not finite."""
        if self.given is None:
            return None
        asked = _exact(self.given)
        if not math.isfinite(self.value) or (isinstance(asked, float) and not math.isfinite(asked)):
            return math.nan
        return float(Fraction(self.value) - Fraction(asked))

    @property
    def meaning(self) -> str:
        """How the bits are read, in one line."""
        power = f"× 2^{self.exponent_value}"
        minus = "-" if self.sign == "1" else ""
        return {
            "normal": f"{minus}{self.significand} {power}",
            "subnormal": f"{minus}{self.significand} {power}, no implicit 1 because the exponent bits are all 0",
            "zero": "exponent and mantissa bits are all 0",
            "infinity": "exponent bits all 1, mantissa bits all 0",
            "nan": "not a number: a pattern kept for results such as 0/0",
            "integer": f"{-int(self.sign or '0') << len(self.mantissa)} + {int(self.mantissa, 2)}",
        }[self.kind]

    def __str__(self) -> str:
        return "\n".join([self._title(), *(f"{name:<8} {text}" for name, text in self._lines())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = (("sign", self.sign), ("exponent", self.exponent), ("mantissa", self.mantissa))
        boxes = "".join(_box_html(name, text) for name, text in parts if text)
        rest = [f"{html.escape(name)}: {html.escape(text)}" for name, text in self._lines()[1:]]
        return card_html(self._title(), [f'<div style="display:flex;flex-wrap:wrap">{boxes}</div>', *rest])

    def _title(self) -> str:
        return (
            self.format.title if self.given is None else f"{_brief(str(self.given))} in {self.format.title}"
        )

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("bits", self.bits),
            ("kind", self.kind),
            ("meaning", self.meaning),
            ("stored", self._stored()),
        ]
        if self.error is not None and math.isfinite(self.error):
            lines.append(("off by", significant(self.error)))
        if math.isfinite(self.spacing):
            lines.append(("spacing", significant(self.spacing)))
        return lines

    def _stored(self) -> str:
        if len(self.exact) <= LONGEST_SHOWN:
            return self.exact
        return f"about {self.value:.10g} (.exact has all {len(self.exact)} characters)"


def encode(value: Any, format: str | Format = "fp32") -> int:
    """Return the pattern of ``value`` rounded to the nearest number of ``format``, ties to the even pattern.

    ``value``: a number, or a text such as "0.1", "1/3", "-inf", which is rounded once, not first to float64.
    Too large a float becomes infinity, NaN where the format has only that (FP8 E4M3), else the largest number (FP4).
    Raises TypeError for what is no number; ValueError for integers out of range and for a NaN where none exists.
    """
    return _encode(_exact(value), _format(format))


def decode(pattern: int | str, format: str | Format = "fp32") -> float:
    """Return the number that ``pattern`` stands for, exactly.

    ``pattern``: an integer, or a text of exactly as many 0s and 1s as the format has bits; spaces and underscores
    may separate them. Raises TypeError or ValueError for anything else.
    """
    found = _format(format)
    return _number(_pattern(pattern, found), found)


def fields(value: Any, format: str | Format = "fp32") -> Fields:
    """Return ``value`` as ``format`` stores it, taken apart; raises as ``encode`` does."""
    found, given = _format(format), _plain(value)
    return _fields(_encode(_exact(given), found), found, given)


def fields_of(pattern: int | str, format: str | Format = "fp32") -> Fields:
    """Return what the bits ``pattern`` mean, taken apart; raises as ``decode`` does."""
    found = _format(format)
    return _fields(_pattern(pattern, found), found, None)


def spacing(value: Any, format: str | Format = "fp32") -> float:
    """Return the gap between the stored ``value`` and the next larger magnitude (the "ulp").

    At the largest number: the gap just below the next power of two, as if the numbers went on. Infinity, NaN: NaN.
    """
    return fields(value, format).spacing


def neighbours(value: Any, format: str | Format = "fp32") -> tuple[float, float]:
    """Return the numbers next below and next above the stored ``value``.

    Beyond the largest number lies infinity; a format without one ends there, and its last number is its own neighbour,
    as infinity is. Both zeros count as one. NaN: (NaN, NaN).
    """
    found = _format(format)
    stored = _number(_encode(_exact(value), found), found)
    if math.isnan(stored):
        return math.nan, math.nan
    if found.kind == "integer":
        return max(stored - 1, found.lowest), min(stored + 1, found.max)
    return -_next_up(-stored, found), _next_up(stored, found)


def all_values(format: str | Format) -> NDArray[np.float64]:
    """Return the values of all patterns, float64 of shape [2**bits], the pattern being the index.

    Raises ValueError beyond 16 bits: the table would be larger than it is useful.
    """
    found = _format(format)
    if found.bits > LARGEST_TABLE:
        raise ValueError(
            f"format must have at most {LARGEST_TABLE} bits to list all its values; "
            f"{found.name} has {found.bits}, and 2**{found.bits} values are too many"
        )
    patterns = np.arange(2**found.bits)
    if found.kind == "integer":
        return np.where(patterns > found.top, patterns - 2**found.bits, patterns).astype(np.float64)
    half = patterns[: 2 ** (found.bits - 1)]
    positive = _magnitude(half, found)
    positive[found.top + 1 :] = math.nan
    if found.has_infinity:
        positive[found.top + 1] = math.inf
    return np.concatenate([positive, -positive])


def binary(value: Any, places: int | None = None) -> str:
    """Return ``value`` in binary, e.g. "110.1" for 6.5, exact; ``places`` cuts after so many places ("0.0001…").

    Raises ValueError for NaN and infinity, and without ``places`` for fractions that never end, such as "0.1" or "1/3".
    """
    number = _exact(value)
    if not math.isfinite(number):
        raise ValueError(f"value must be finite to be written in binary; got {number}")
    number = Fraction(number)
    ends = number.denominator.bit_count() == 1
    if places is None and not ends:
        raise ValueError(f"value must end in binary, or places must say where to cut; {value!r} never ends")
    full = number.denominator.bit_length() - 1
    kept = full if places is None else integer("places", places, 0)
    kept = min(kept, full) if ends else kept
    whole, rest = divmod(abs(number) * 2**kept // 1, 2**kept)
    cut = "" if ends and kept == full else "…"
    point = f".{rest:0{kept}b}" if kept else "." * bool(cut)
    return f"{'-' if number < 0 else ''}{whole:b}{point}{cut}"


def _format(format: str | Format) -> Format:
    return format if isinstance(format, Format) else FORMATS[choice("format", format, FORMATS)]


def _pattern(pattern: Any, format: Format) -> int:
    if not isinstance(pattern, str):
        return integer("pattern", _plain(pattern), 0, 2**format.bits - 1)
    bits = pattern.replace(" ", "").replace("_", "")
    if set(bits) - {"0", "1"}:
        raise ValueError(f"pattern may hold 0, 1, spaces and underscores only; got {_brief(pattern)!r}")
    if len(bits) != format.bits:
        raise ValueError(f"pattern must have {format.bits} bits for {format.name}; got {len(bits)} bits")
    return int(bits, 2)


def _plain(value: Any) -> Any:
    """Turn a numpy scalar or a tensor without dimensions into Python's own number."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _exact(value: Any) -> Fraction | float:
    """Return any number without rounding: as a fraction, or as a float if it is -0.0, infinite or NaN."""
    number = _parsed(value) if isinstance(value, str) else _plain(value)
    if isinstance(number, bool) or not hasattr(number, "as_integer_ratio"):
        raise TypeError(f"value must be a number; got {_brief(repr(value))} ({type(value).__name__})")
    if isinstance(number, Decimal) and number and number.is_finite() and abs(number.adjusted()) > FAR_OUT:
        return math.copysign(math.inf if number.adjusted() > 0 else 0.0, number)
    if number != number or number in (math.inf, -math.inf):
        return float(number)
    if number == 0:
        return math.copysign(0.0, number)
    return Fraction(*number.as_integer_ratio())


def _parsed(text: str) -> Fraction | Decimal:
    cleaned = text.strip().replace("\N{MINUS SIGN}", "-")
    try:
        return Fraction(cleaned) if "/" in cleaned else Decimal(cleaned)
    except (ValueError, ArithmeticError):
        raise ValueError(
            f"value must be a number such as 6.5, 1e-3, 1/3, inf, nan; got {_brief(text)!r}"
        ) from None


def _encode(number: Fraction | float, format: Format) -> int:
    if format.kind == "integer":
        return _encode_integer(number, format)
    if number != number:
        return _nan(format)
    negative = number < 0 or (number == 0 and math.copysign(1.0, number) < 0)
    return negative << (format.bits - 1) | _nearest(abs(number), format)


def _nearest(magnitude: Fraction | float, format: Format) -> int:
    """Round to a whole number of steps; a carry out of the mantissa moves into the exponent by itself."""
    if magnitude == 0:
        return 0
    pattern = format.top + 1
    if magnitude != math.inf:
        exponent = max(_floor_log2(magnitude), format.min_exponent)
        steps = round(magnitude / Fraction(2) ** (exponent - format.mantissa_bits))  # ties to even
        pattern = ((exponent - format.min_exponent) << format.mantissa_bits) + steps
    return min(pattern, format.top + 1 if format.has_nan else format.top)


def _floor_log2(number: Fraction) -> int:
    guess = number.numerator.bit_length() - number.denominator.bit_length()
    return guess if number >= Fraction(2) ** guess else guess - 1


def _nan(format: Format) -> int:
    if not format.has_nan:
        raise ValueError(f"value is NaN, and {format.name} has no pattern for it")
    quiet = 1 << (format.mantissa_bits - 1) if format.has_infinity else 0
    return format.top + 1 + quiet


def _encode_integer(number: Fraction | float, format: Format) -> int:
    low, high = int(format.lowest), int(format.max)
    if not (math.isfinite(number) and low <= round(number) <= high):
        raise ValueError(f"value must be from {low} to {high} for {format.name}; got {_brief(str(number))}")
    return round(number) % 2**format.bits


def _number(pattern: int, format: Format) -> float:
    if format.kind == "integer":
        return float(pattern - 2**format.bits if pattern > format.top else pattern)
    sign, magnitude = divmod(pattern, 2 ** (format.bits - 1))
    if magnitude <= format.top:
        size = float(_magnitude(magnitude, format))
    else:
        size = math.inf if format.has_infinity and magnitude == format.top + 1 else math.nan
    return -size if sign else size


def _magnitude(pattern: Any, format: Format) -> Any:
    """Return the size of finite patterns without their sign; an int or an array of them.

    Exponent bits of 0 mean: no implicit 1, and the same exponent as 1 means. So the steps down to zero stay even.
    """
    exponent, mantissa = pattern >> format.mantissa_bits, pattern % 2**format.mantissa_bits
    implicit = (exponent > 0) << format.mantissa_bits
    return np.ldexp(np.float64(implicit + mantissa), np.maximum(exponent, 1) - format.bias - format.mantissa_bits)


def _next_up(stored: float, format: Format) -> float:
    pattern = _encode(_exact(abs(stored)), format)
    if stored < 0:
        return -_number(pattern - 1, format)
    return _number(min(pattern + 1, format.top + format.has_infinity), format)


def _fields(pattern: int, format: Format, given: Any) -> Fields:
    text = f"{pattern:0{format.bits}b}"
    first, second = int(format.signed), format.signed + format.exponent_bits
    value = _number(pattern, format)
    kind, exponent, significand, gap = _reading(pattern, value, format)
    exact = f"{Decimal(value):f}" if math.isfinite(value) else _SPECIAL[str(value)]
    return Fields(
        format, pattern, text[:first], text[first:second], text[second:],
        kind, exponent, significand, value, exact, gap, given,
    )  # fmt: skip


_SPECIAL = {"inf": "infinity", "-inf": "-infinity", "nan": "not a number"}


def _reading(pattern: int, value: float, format: Format) -> tuple[str, int | None, float, float]:
    """Return kind, unbiased exponent, significand and spacing."""
    if format.kind == "integer":
        return "integer", None, value, 1.0
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "infinity", None, abs(value), math.nan
    stored = (pattern >> format.mantissa_bits) % 2**format.exponent_bits
    exponent = max(stored, 1) - format.bias
    kind = "normal" if stored else "subnormal" if value else "zero"
    gap = math.ldexp(1.0, exponent - format.mantissa_bits)
    return kind, exponent, math.ldexp(abs(value), -exponent), gap


def _box_html(name: str, bits: str) -> str:
    return (
        f'<div style="border:2px solid {FIELD_COLOURS[name]};border-radius:4px;padding:.1em .5em;margin:.2em .3em .2em 0">'
        f'<code style="overflow-wrap:anywhere">{html.escape(bits)}</code><br><small>{html.escape(name)}</small></div>'
    )


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
