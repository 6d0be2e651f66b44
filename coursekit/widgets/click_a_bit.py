"""The panel that shows what every bit of a number means: click bits, or type a number."""

from contextlib import suppress
from fractions import Fraction
from typing import Any

import ipywidgets

from coursekit import floats
from coursekit._core import arguments
from coursekit.floats import FORMATS
from coursekit.floats.exact import exact
from coursekit.plots import style
from coursekit.plots.bits import BOXES, BitBoxes, Neighbours
from coursekit.plots.lettering import SANS, Lettering
from coursekit.plots.page import brief, page
from coursekit.widgets.bit_row import BitRow
from coursekit.widgets.panel import InputError, Panel, View
from coursekit.widgets.stored_number import Stored, facts, formula, read, stored_bits, title
from coursekit.widgets.text_entry import WHOLE, as_text, typed

__all__ = ["SHOWN", "BitsView", "click_a_bit"]

SHOWN = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "int8", "int4")
COLUMNS = (30.0, 194.0, 318.0, 442.0, 566.0)
ONE_ROW, TWO_ROWS = 64.0, 53.0  # where the boxes begin


def click_a_bit(format: str = "fp32", value: str | float = "6.5") -> Panel:
    """Return a panel of one number's bits: clicking a bit changes the value, typing a value the bits.

    Parameters
    ----------
    format : str
        One of SHOWN.
    value : str or float
        A number that the format can hold, or its text.

    Returns
    -------
    Panel
        Controls: format, value, bits.

    Raises
    ------
    TypeError
        For what is not a number.
    ValueError
        For another format, or a NaN or a text that it cannot hold.
    """
    arguments.choice("format", format, SHOWN)
    text = as_text(value)
    try:
        return _ClickABit(text, format)
    except InputError as error:
        raise ValueError(f"value must be a number that {format} can hold; got {text}. {error}") from None


class _ClickABit(Panel):
    view: "BitsView"

    def __init__(self, text: str, format: str) -> None:
        titles = [(FORMATS[name].title, name) for name in SHOWN]
        controls = {
            "format": ipywidgets.Dropdown(options=titles, value=format, description="format"),
            "value": ipywidgets.Text(value=text, description="value", continuous_update=False),
            "bits": BitRow(format, stored_bits(typed(text), format)),
        }
        super().__init__(BitsView(), controls)

    def rows(self) -> list[ipywidgets.Widget]:
        """Return format and value side by side, the bits below."""
        return [ipywidgets.HBox([self.controls["format"], self.controls["value"]]), self.controls["bits"]]

    def arrange(self, moved: str) -> None:
        """Let the bits follow the value and the format, and the value follow the bits."""
        format, value, bits = (self.controls[name] for name in ("format", "value", "bits"))
        if moved == "format":
            self._keep(value.value, format.value)
            bits.reformat(format.value, stored_bits(self.view.meant(value.value), format.value))
        elif moved == "bits":
            self._write(floats.decode(bits.value, format.value))
        else:
            self.view.written = None
            with suppress(InputError):  # the view raises it again, for the reader to see
                bits.value = stored_bits(typed(value.value), format.value)

    def _keep(self, text: str, format: str) -> None:
        """Leave the value, or take the one last shown, or zero: the first that ``format`` can hold."""
        with suppress(InputError):
            stored_bits(self.view.meant(text), format)
            return
        last = self.values["value"]
        self._write(last if FORMATS[format].has_nan or last == last else 0.0)

    def _write(self, number: float) -> None:
        """Write what is stored into the text field, and remember that the text means exactly this number."""
        text = f"{number:.0f}" if number == round(number, 0) and abs(number) < WHOLE else repr(number)
        self.controls["value"].value = text
        self.view.written = text, number


class BitsView(View):
    """Boxes with place values, the formula that reads them, facts, and the neighbours on the number line."""

    alt = (
        "The bits of one number in boxes coloured by field, the formula that turns them into its value, the "
        "range of its format, and a number line with the nearest numbers below and above."
    )

    def __init__(self) -> None:
        super().__init__()
        self.written: tuple[str, float] | None = None
        with style.look():
            self._draw()

    def meant(self, text: str) -> Fraction | float:
        """Return the number that a text means; 17 digits that a click wrote mean the bits' own number.

        Parameters
        ----------
        text : str
            What stands in the field.

        Returns
        -------
        Fraction or float
            The number.

        Raises
        ------
        InputError
            For a text that is not a number.
        """
        return exact(self.written[1]) if self.written and self.written[0] == text else typed(text)

    def _draw(self) -> None:
        ax = page(self.figure)
        letters = Lettering(ax)
        self.title = letters.phrase(30, 36, style.TYPE * 1.1, font=SANS)
        self.boxes = BitBoxes(ax, letters, ONE_ROW, places=True)
        self.formula = letters.phrase(30, 178, style.TYPE * 1.2)
        self.exact = [letters.phrase(30, 210, 9.5, font=SANS), letters.phrase(118, 210, style.TYPE * 0.95)]
        self.facts = [
            [letters.phrase(x, y, size, font=SANS) for y, size in ((242, 9.5), (262, style.TYPE), (280, 9.5))]
            for x in COLUMNS
        ]
        self.line = Neighbours(ax, letters, y=336)
        self.moving = [self.boxes.boxes, *self.line.artists, letters]

    def update(self, format: str, value: str, bits: str) -> dict[str, Any]:
        """Show what bits mean.

        Parameters
        ----------
        format : str
            A format's name.
        value : str
            The number that was asked for, as text.
        bits : str
            All bits, as text.

        Returns
        -------
        dict of str to object
            By name.

        Raises
        ------
        InputError
            For a ``value`` that is not a number of the format.
        """
        stored = read(bits, self.meant(value), value, format)
        fields = stored.fields
        self.title.show(title(stored), weight="bold")
        self.boxes.top = TWO_ROWS if fields.format.bits > BOXES.row else ONE_ROW
        self.boxes.show(fields)
        self.formula.show(formula(fields))
        self.exact[0].show("exact value", style.GREY)
        self.exact[1].show(stored.exact)
        for phrases, lines in zip(self.facts, facts(fields), strict=True):
            for phrase, line, colour in zip(phrases, lines, (style.GREY, style.INK, style.GREY), strict=True):
                phrase.show(line, colour)
        self.line.show(fields.value, *stored.neighbours, stored.wish, brief(stored.text, 22))
        return {"format": format, "given": value, **_numbers(stored)}


def _numbers(stored: Stored) -> dict[str, Any]:
    fields, (below, above) = stored.fields, stored.neighbours
    return {
        "value": fields.value,
        "exact": fields.exact,
        "bits": fields.bits,
        "pattern": fields.pattern,
        "sign": fields.sign,
        "exponent": fields.exponent,
        "mantissa": fields.mantissa,
        "kind": fields.kind,
        "exponent_value": fields.exponent_value,
        "significand": fields.significand,
        "spacing": fields.spacing,
        "below": below,
        "above": above,
        "error": stored.error,
        "max": fields.format.max,
        "min_normal": fields.format.min_normal,
        "min_subnormal": fields.format.min_subnormal,
    }
