"""Encoding a number by hand: the quantities of each step, and the lines in which they are written down."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from coursekit import floats
from coursekit.floats import FIELD_COLOURS, Fields
from coursekit.plots import style
from coursekit.plots.page import brief, decimal, raised, rounded
from coursekit.widgets.text_entry import typed_finite

__all__ = ["Parts", "Working", "lines", "titles", "work"]

SIGN, EXPONENT, MANTISSA = (FIELD_COLOURS[name] for name in ("sign", "exponent", "mantissa"))
INK, QUIET = style.INK, style.GREY
BINARY_SHOWN = 30  # characters of a number in binary
REST_SHOWN = 4  # binary places beyond the mantissa
LONG_FIELD = 23  # mantissa bits that fit into a line

Parts = list[tuple[str, str]]


@dataclass(frozen=True)
class Working:
    """One number on its way into a format.

    ``size`` is |number|, exactly; ``exponent`` its power of two, at least the format's, None for zero;
    ``leading`` the bit before the point once it is divided by that power, ``kept`` the mantissa bits before
    rounding, ``rest`` what is rounded off, shortened; ``fields`` what the format stores.
    """

    text: str
    size: Fraction
    exponent: int | None
    leading: str
    kept: str
    rest: str
    fields: Fields

    @property
    def rounding(self) -> str:
        """How the number is rounded: "exact", "up" (away from zero), "down" or "overflow"."""
        if self.overflow:
            return "overflow"
        stored = abs(Fraction(self.fields.value))
        return "exact" if stored == self.size else "up" if stored > self.size else "down"

    @property
    def overflow(self) -> bool:
        """Whether the number is too large for the format."""
        kind = self.fields.format
        halfway = Fraction(kind.max) + Fraction(floats.spacing(kind.max, kind)) / 2
        return self.fields.kind in ("infinity", "nan") or (not kind.has_nan and self.size >= halfway)

    @property
    def carry(self) -> bool:
        """Whether rounding up runs through all mantissa bits into the bit before the point."""
        top = _floor_log2(Fraction(self.fields.format.max))
        up = self.rounding == "up" or (self.overflow and self.exponent == top and self.rest.startswith("1"))
        return up and "0" not in self.kept

    @property
    def normal(self) -> bool:
        """Whether there is a 1 before the point."""
        return self.leading == "1"

    @property
    def stored_exponent(self) -> int:
        """The exponent bits as a whole number."""
        return int(self.fields.exponent, 2)

    @property
    def becomes(self) -> str:
        """What a number that is too large becomes."""
        names = {"infinity": "infinity", "nan": "NaN"}
        return names.get(self.fields.kind, decimal(self.fields.value))

    @property
    def binary(self) -> str:
        """The number's size in binary, its zeros counted and its end left out where it is long."""
        zeros = -(self.exact_exponent or 0) - 1
        if zeros > 12:
            first = floats.binary(self.size * 2**zeros, 12).partition(".")[2]
            return f"0.[{zeros} zeros]{first}"
        digits = floats.binary(self.size, BINARY_SHOWN)
        whole = digits.partition(".")[0]
        if len(whole) > BINARY_SHOWN - 2:
            return f"{whole[:18]}… [{len(whole)} digits]"
        return digits if len(digits) <= BINARY_SHOWN else f"{digits[: BINARY_SHOWN - 1]}…"

    @property
    def exact_exponent(self) -> int | None:
        """The power of two of the size itself, however small; None for zero."""
        return _floor_log2(self.size) if self.size else None


def work(text: str, format: str) -> Working:
    """Return the working for the number that a text means.

    Parameters
    ----------
    text : str
        What the reader typed.
    format : str
        A float format's name.

    Returns
    -------
    Working
        The numbers of each step.

    Raises
    ------
    InputError
        Where the text means no finite number.
    """
    number = typed_finite(text)
    fields, size = floats.fields(text, format), abs(Fraction(number))
    mantissa = fields.format.mantissa_bits
    exponent = max(_floor_log2(size), fields.format.min_exponent) if size else None
    significand = size / Fraction(2) ** (exponent or 0)
    leading, _, places = floats.binary(significand, mantissa + REST_SHOWN).partition(".")
    kept, rest = places.rstrip("…")[:mantissa].ljust(mantissa, "0"), places[mantissa:]
    return Working(text.strip(), size, exponent, leading, kept, rest, fields)


def lines(working: Working) -> list[Parts]:
    """Return the seven lines of the calculation as (text, colour) parts, each at most 52 characters.

    Parameters
    ----------
    working : Working
        The numbers of each step.

    Returns
    -------
    list of Parts
        One line per step.
    """
    writers: list[Callable[[Working], Parts]] = [_sign, _binary, _normalise, _drop, _bias, _bits, _decode]
    return [writer(working) for writer in writers]


def titles(working: Working) -> list[str]:
    """Return what each step shows, in one sentence of at most 62 characters.

    Parameters
    ----------
    working : Working
        The numbers of each step.

    Returns
    -------
    list of str
        One sentence per step.
    """
    kind, text = working.fields.format, brief(working.text, 14)
    endless = working.rest.endswith("…") and working.size.denominator.bit_count() > 1
    return [
        "One bit holds the sign",
        f"In binary, {text} never ends" if endless else "Write the number in binary",
        _normalise_title(working),
        _drop_title(working),
        f"Add {kind.bias}, so that no stored exponent is negative",
        f"Three fields, {kind.bits} bits: all that the computer keeps",
        _decode_title(working, text),
    ]


def _normalise_title(working: Working) -> str:
    if not working.size:
        return "Zero has no 1 to slide the point to"
    if not working.normal:
        return f"The exponent cannot go below {_signed(working.exponent)}: no 1 before the point"
    return "Slide the point until a single 1 stands before it"


def _drop_title(working: Working) -> str:
    bits = working.fields.format.mantissa_bits
    if not working.normal:
        return "Without a 1 before the point, nothing is dropped"
    if not working.rest:
        return "The 1 before the point is always there: do not store it"
    return f"Only {bits} mantissa bit{'s' * (bits > 1)} fit{'s' * (bits == 1)}: the rest is rounded off"


def _decode_title(working: Working, text: str) -> str:
    name = working.fields.format.title
    if working.overflow:
        return f"{text} is too large for {name}: it becomes {working.becomes}"
    if working.rounding == "exact":
        return f"{text} fits {name} exactly: decoding gives it back"
    if not working.fields.value:
        return f"{text} is too small for {name}: it becomes 0"
    return f"{text} does not fit {name}: it is off by {rounded(abs(working.fields.error or 0))}"


def _sign(working: Working) -> Parts:
    word = "a" if working.fields.sign == "1" else "no"
    return [(brief(working.text, 22), INK), (f" has {word} minus sign: ", QUIET), (working.fields.sign, SIGN)]


def _binary(working: Working) -> Parts:
    size = working.text.lstrip("+-−")
    return [(brief(size, 14), INK), (" = ", QUIET), (working.binary, INK)]


def _normalise(working: Working) -> Parts:
    if working.exponent is None:
        return [("0.0", INK), ("   there is no 1 in it", QUIET)]
    places = f"{working.kept}{working.rest}".rstrip("0") or "0"
    shown = f"{working.leading}.{places}"
    shown = shown if len(shown) <= 15 else f"{shown[:14]}…"
    moved = f"   point {abs(working.exponent)} to the {'left' if working.exponent > 0 else 'right'}"
    note = moved if working.exponent else "   the point stays"
    note = note if working.normal else f"   the lowest power of {working.fields.format.title}"
    return [(shown, INK), (" × ", QUIET), (f"2{raised(working.exponent)}", EXPONENT), (note, QUIET)]


def _drop(working: Working) -> Parts:
    kept, rest = _middle_out(working.kept), working.rest
    used = len(working.kept.rstrip("0"))
    head: Parts = [(f"{working.leading}.", QUIET)]
    if not rest:
        padding = len(working.kept) - used
        note = f"   {padding} zero{'s' * (padding > 1)} added" if padding else ""
        return [*head, (kept[:used], MANTISSA), (kept[used:], QUIET), (note, QUIET)]
    note = "" if working.overflow else f"   rounds {working.rounding}"
    note = f"   carry to {'10' if working.normal else '1'}.0" if working.carry else note
    return [*head, (kept, MANTISSA), (f"|{rest}", QUIET), (note, INK)]


def _bias(working: Working) -> Parts:
    kind, bits = working.fields.format, working.fields.exponent
    grown = working.carry and working.normal
    power = f"({_signed(working.exponent)} + 1)" if grown else _signed(working.exponent)
    if working.overflow:
        total = f"{power} + {kind.bias} = {(working.exponent or 0) + kind.bias + grown}"
        return [(total, INK), (f"   too large: becomes {working.becomes}", QUIET)]
    if not working.stored_exponent:
        return [
            (bits, EXPONENT),
            ("   means zero" if not working.fields.value else "   means: no 1 to put back", QUIET),
        ]
    return [
        (power, INK), (f" + {kind.bias} = ", QUIET),
        (f"{working.stored_exponent}", INK), (" = ", QUIET), (bits, EXPONENT),
    ]  # fmt: skip


def _bits(working: Working) -> Parts:
    fields = working.fields
    code = f"{fields.pattern:0{-(-fields.format.bits // 4)}X}"
    mantissa = fields.mantissa if len(fields.mantissa) <= LONG_FIELD else brief(fields.mantissa, 15)
    return [
        (fields.sign, SIGN), (" ", QUIET), (fields.exponent, EXPONENT), (" ", QUIET), (mantissa, MANTISSA),
        (f"   0x{code}", QUIET),
    ]  # fmt: skip


def _decode(working: Working) -> Parts:
    fields = working.fields
    sign = ("−" if fields.sign == "1" else "+", SIGN)
    if fields.kind in ("infinity", "nan"):
        return [sign, (working.becomes, INK)] if fields.kind == "infinity" else [("NaN", INK)]
    return [
        sign, (decimal(fields.significand, 15), MANTISSA), (" × ", QUIET),
        (f"2{raised(fields.exponent_value)}", EXPONENT), (" = ", QUIET), (decimal(fields.value, 21), INK),
    ]  # fmt: skip


def _middle_out(bits: str) -> str:
    return bits if len(bits) <= LONG_FIELD else f"{bits[:12]}…{bits[-10:]}"


def _signed(number: int | None) -> str:
    return str(number).replace("-", "−")


def _floor_log2(size: Fraction) -> int:
    guess = size.numerator.bit_length() - size.denominator.bit_length()
    return guess if size >= Fraction(2) ** guess else guess - 1
