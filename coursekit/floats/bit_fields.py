"""What the bits of one stored number mean, and how that is shown."""

import html
import math
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coursekit._core.display import Shown, card_html, significant
from coursekit.floats.exact import LONGEST_SHOWN, exact, is_finite, shown, to_float

__all__ = ["FIELD_COLOURS", "Fields"]

if TYPE_CHECKING:
    from coursekit.floats import Format

# Okabe and Ito's vermillion, blue and green, the first and the last as dark as the blue: they colour text.
FIELD_COLOURS = MappingProxyType({"sign": "#B44E00", "exponent": "#0072B2", "mantissa": "#007C59"})


@dataclass(frozen=True, repr=False)
class Fields(Shown):
    """A stored number taken apart.

    ``pattern`` is all bits as one integer; ``sign``, ``exponent`` and ``mantissa`` are texts of bits, empty
    where the format has none. ``kind`` is zero, subnormal, normal, infinity, nan or integer. For every finite
    float, value = (-1)**sign * significand * 2**exponent_value; others have no exponent_value. ``exact`` is
    the stored value as a decimal with all its digits, ``spacing`` the gap to the next larger magnitude,
    ``given`` the value asked for (None where bits were given).
    """

    format: "Format"
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
        """Stored minus given; None where bits were given, NaN where one of the two is not finite."""
        if self.given is None:
            return None
        asked = exact(self.given)
        if not (math.isfinite(self.value) and is_finite(asked)):
            return math.nan
        return to_float(Fraction(self.value) - Fraction(asked))

    @property
    def meaning(self) -> str:
        """How the bits are read, in one line."""
        number = f"{'-' if self.sign == '1' else ''}{self.significand} × 2^{self.exponent_value}"
        return {
            "normal": number,
            "subnormal": f"{number}, without the implicit 1: the exponent bits are all 0",
            "zero": "exponent bits and mantissa bits are all 0",
            "infinity": "exponent bits all 1, mantissa bits all 0",
            "nan": "kept for results such as 0/0"
            + ("" if self.format.has_infinity else ", and for what is too large"),
            "integer": self._two_complement(),
        }[self.kind]

    def __str__(self) -> str:
        return "\n".join([self._title(), *(f"{name:<8} {text}" for name, text in self._lines())])

    def _repr_html_(self) -> str:
        parts = (("sign", self.sign), ("exponent", self.exponent), ("mantissa", self.mantissa))
        boxes = "".join(_box_html(name, bits) for name, bits in parts if bits)
        lines = (f"{html.escape(name)}: {html.escape(text)}" for name, text in self._lines()[1:])
        return card_html(self._title(), [f'<div style="display:flex;flex-wrap:wrap">{boxes}</div>', *lines])

    def _title(self) -> str:
        return self.format.title if self.given is None else f"{shown(self.given)} in {self.format.title}"

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("bits", self.bits),
            ("kind", self.kind),
            ("meaning", self.meaning),
            ("stored", self._stored()),
        ]
        if self.error is not None and not math.isnan(self.error):
            lines.append(("off by", significant(self.error) if self.error else "nothing"))
        if not math.isnan(self.spacing):
            lines.append(("spacing", f"{self.spacing:.3g}"))
        return lines

    def _stored(self) -> str:
        if len(self.exact) <= LONGEST_SHOWN:
            return self.exact
        return f"about {self.value:.10g} (exactly: {len(self.exact)} characters, in .exact)"

    def _two_complement(self) -> str:
        rest = str(int(self.mantissa, 2))
        return f"{-int(self.sign) * 2 ** len(self.mantissa)} + {rest}" if self.sign else rest


def _box_html(name: str, bits: str) -> str:
    box = (
        f"border:2px solid {FIELD_COLOURS[name]};border-radius:4px;padding:.1em .5em;margin:.2em .3em .2em 0"
    )
    code = f'<code style="overflow-wrap:anywhere">{html.escape(bits)}</code>'
    return f'<div style="{box}">{code}<br><small>{html.escape(name)}</small></div>'
