"""What a reader wants to know about a stored number, as texts that fit the click-a-bit panel."""

import math
from dataclasses import dataclass
from fractions import Fraction

from coursekit import floats
from coursekit.floats import FIELD_COLOURS, FORMATS, Fields, Format
from coursekit.floats.exact import is_finite, to_float
from coursekit.plots import style
from coursekit.plots.bits import place_values
from coursekit.plots.page import brief, decimal, raised, rounded
from coursekit.widgets.panel import InputError

__all__ = ["Fact", "Parts", "Stored", "facts", "formula", "read", "stored_bits", "title"]

SIGN, EXPONENT, MANTISSA = (FIELD_COLOURS[name] for name in ("sign", "exponent", "mantissa"))
INK, QUIET = style.INK, style.GREY
SHORT = 3  # bits that need no words
EXACT_SHOWN = 62  # characters of the exact value

Parts = list[tuple[str, str]]
Fact = tuple[str, str, str]


@dataclass(frozen=True)
class Stored:
    """A stored number beside the one that was asked for.

    ``error`` is stored minus asked, NaN where one of them is not finite; ``neighbours`` are the numbers next
    below and above.
    """

    fields: Fields
    text: str
    asked: Fraction | float
    error: float
    neighbours: tuple[float, float]

    @property
    def wish(self) -> float | None:
        """Asked minus stored; None where they agree or cannot be compared."""
        return -self.error if self.error and math.isfinite(self.error) else None

    @property
    def beyond(self) -> bool:
        """Whether the number asked for is too large: infinity, NaN or the last number stands for it."""
        kind, value = self.fields.format, self.fields.value
        if self.asked != self.asked or kind.lowest <= self.asked <= kind.max:
            return False
        if kind.has_nan:
            return is_finite(self.asked) and not math.isfinite(value)
        return not is_finite(self.asked) or abs(self.error) >= self.fields.spacing / 2

    @property
    def exact(self) -> str:
        """The stored value's digits, shortened."""
        return decimal(self.fields.value, EXACT_SHOWN)


def stored_bits(number: Fraction | float, format: str) -> str:
    """Return the bits that store a number; integers clip it to their range, as quantization does.

    Parameters
    ----------
    number : Fraction or float
        As ``floats.exact.exact`` returns it.
    format : str
        A format's name.

    Returns
    -------
    str
        All bits, as text.

    Raises
    ------
    InputError
        For NaN where the format has none.
    """
    kind = FORMATS[format]
    if number != number and not kind.has_nan:
        raise InputError(f"{kind.title} has no NaN: each of its patterns is a number.")
    if kind.kind == "integer":
        number = min(max(number, kind.lowest), kind.max)
    return f"{floats.encode(number, format):0{kind.bits}b}"


def read(bits: str, asked: Fraction | float, text: str, format: str) -> Stored:
    """Return what bits store beside the number that was asked for.

    Parameters
    ----------
    bits : str
        All bits, as text.
    asked : Fraction or float
        The number; bits that are not its own speak for themselves.
    text : str
        How it was asked for.
    format : str
        A format's name.

    Returns
    -------
    Stored
        Both, and how far they are apart.

    Raises
    ------
    InputError
        As for ``stored_bits``.
    """
    fields = floats.fields_of(bits, format)
    if stored_bits(asked, format) != bits:
        asked, text = fields.value, decimal(fields.value)
    error = math.nan
    if is_finite(asked) and math.isfinite(fields.value):
        error = to_float(Fraction(fields.value) - Fraction(asked))
    return Stored(fields, text.strip(), asked, error, floats.neighbours(fields.value, format))


def title(stored: Stored) -> str:
    """Return the picture's point in one sentence of at most 58 characters.

    Parameters
    ----------
    stored : Stored
        The number.

    Returns
    -------
    str
        The sentence.
    """
    fields, text = stored.fields, brief(stored.text, 14)
    name = fields.format.title
    if stored.beyond:
        return f"{text} is beyond {name}: it becomes {decimal(fields.value)}"
    if stored.wish is not None:
        return f"{name} has no {text}: it stores the nearest number"
    return {
        "zero": "A sign bit alone is zero too: −0" if fields.sign == "1" else "All bits 0 mean zero",
        "subnormal": "No exponent bit is set: a subnormal number, without a 1",
        "normal": f"These {fields.format.bits} bits are exactly {decimal(fields.value, 18)}",
        "infinity": "All exponent bits 1, all mantissa bits 0: infinity",
        "nan": "NaN is not a number, but stands for results such as 0/0",
        "integer": f"The first bit counts {place_values(fields.format)[0]}, the others are positive",
    }[fields.kind]


def formula(fields: Fields) -> Parts:
    """Return how the bits are read, as (text, colour) parts of at most 58 characters.

    Parameters
    ----------
    fields : Fields
        The number's bits by field.

    Returns
    -------
    Parts
        The parts, from the left.
    """
    if fields.kind == "integer":
        return _sum(fields)
    if fields.kind in ("infinity", "nan"):
        return _reserved(fields)
    power = max(int(fields.exponent, 2), 1)
    return [
        (f"(−1){raised(fields.sign)}", SIGN), (" × ", QUIET), (decimal(fields.significand, 16), MANTISSA),
        (" × ", QUIET), (f"2{raised(f'{power}−{fields.format.bias}')}", EXPONENT), (" = ", QUIET),
        (decimal(fields.value, 19), INK),
    ]  # fmt: skip


def _sum(fields: Fields) -> Parts:
    bits = fields.sign + fields.mantissa
    places = [place for place, bit in zip(place_values(fields.format), bits, strict=True) if bit == "1"]
    colours = [SIGN if place.startswith("−") else MANTISSA for place in places]
    parts = [part for pair in zip(places, colours, strict=True) for part in (pair, (" + ", QUIET))][:-1]
    return [*(parts or [("no bit set", QUIET)]), (" = ", QUIET), (decimal(fields.value), INK)]


def _reserved(fields: Fields) -> Parts:
    in_words = "0" if fields.kind == "infinity" else "not 0"
    shown = fields.mantissa if len(fields.mantissa) <= SHORT else in_words
    return [
        ("exponent ", QUIET), (fields.exponent, EXPONENT), (", mantissa ", QUIET), (shown, MANTISSA),
        (" is kept for ", QUIET), (decimal(fields.value), INK),
    ]  # fmt: skip


def facts(fields: Fields) -> list[Fact]:
    """Return five columns of three lines: name, value, and the same as a power of two.

    Parameters
    ----------
    fields : Fields
        The number's bits by field.

    Returns
    -------
    list of Fact
        One per column.
    """
    kind = fields.format
    digits = -(-kind.bits // 4)
    first = (
        "kind of number",
        fields.kind if fields.kind != "nan" else "NaN",
        f"0x{fields.pattern:0{digits}X}",
    )
    if kind.kind == "integer":
        ends = [("smallest", decimal(kind.lowest), ""), ("largest", decimal(kind.max), "")]
        return [first, ("step", "1", "everywhere"), *ends, ("", "", "")]
    return [
        first,
        ("step to the next", *_with_power(fields.spacing)),
        ("smallest above 0", *_with_power(kind.min_subnormal)),
        ("smallest normal", *_with_power(kind.min_normal)),
        ("largest", rounded(kind.max), f"below 2{raised(_top_power(kind) + 1)}"),
    ]


def _with_power(number: float) -> tuple[str, str]:
    """Return a power of two in decimal digits and as a power."""
    if not math.isfinite(number):
        return "none", ""
    return rounded(number), f"= 2{raised(math.frexp(number)[1] - 1)}"


def _top_power(kind: Format) -> int:
    return math.frexp(kind.max)[1] - 1
