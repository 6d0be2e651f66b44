"""The panel that encodes any number by hand, one step of the calculation at a time."""

from typing import Any

import ipywidgets
from matplotlib.patches import Rectangle

from coursekit._core import arguments
from coursekit.floats import FORMATS
from coursekit.floats.exact import shown
from coursekit.plots import style
from coursekit.plots.bits import FIELD_NAMES, BitBoxes
from coursekit.plots.lettering import SANS, Lettering
from coursekit.plots.page import page, tint
from coursekit.widgets.by_hand import Working, lines, titles, work
from coursekit.widgets.panel import InputError, Panel, View
from coursekit.widgets.text_entry import as_text

__all__ = ["FLOATS", "STEPS", "StepperView", "encode_stepper"]

STEPS = ("sign", "binary", "normalise", "drop the 1", "add the bias", "all bits", "decode")
KNOWN_FROM = {"sign": 1, "mantissa": 4, "exponent": 5}  # the step that fills each field's boxes
FLOATS = {kind.title: name for name, kind in FORMATS.items() if kind.kind == "float"}
FIRST_LINE, LINE_HEIGHT = 76.0, 33.5
BOXES_TOP = 306.0


def encode_stepper(value: str | float = "6.5", format: str = "fp32") -> Panel:
    """Return a panel that turns ``value`` into the bits of ``format`` in seven steps.

    Parameters
    ----------
    value : str or float
        A finite number, or its text.
    format : str
        One of FLOATS.

    Returns
    -------
    Panel
        Controls: value, format, step.

    Raises
    ------
    TypeError
        For what is not a number.
    ValueError
        For what is not finite, or another format.
    """
    arguments.choice("format", format, FLOATS.values())
    text = as_text(value)
    try:
        work(text, format)
    except InputError as error:
        raise ValueError(f"value must be a finite number; got {shown(text)}. {error}") from None
    return Panel(StepperView(), _controls(text, format))


def _controls(text: str, format: str) -> dict[str, ipywidgets.Widget]:
    last = len(STEPS)
    return {
        "value": ipywidgets.Text(value=text, description="number", continuous_update=False),
        "format": ipywidgets.Dropdown(options=list(FLOATS.items()), value=format, description="format"),
        "step": ipywidgets.IntSlider(value=last, min=1, max=last, description="step"),
    }


class StepperView(View):
    """Seven lines of working above the bit boxes that they fill."""

    alt = (
        "A worked calculation in seven lines turns a decimal number into the sign, exponent and mantissa "
        "bits of a floating-point format, and back; boxes below hold the bits."
    )

    def __init__(self) -> None:
        super().__init__()
        with style.look():
            self._draw()

    def _draw(self) -> None:
        ax = page(self.figure)
        letters = Lettering(ax)
        self.title = letters.phrase(30, 36, style.TYPE * 1.1, font=SANS)
        self.band = Rectangle((0, 0), 664, LINE_HEIGHT - 4, color=tint(style.BLUE, 0.1), zorder=1)
        ax.add_patch(self.band)
        heights = [FIRST_LINE + LINE_HEIGHT * step for step in range(len(STEPS))]
        self.labels = [letters.phrase(30, y, style.TYPE, font=SANS) for y in heights]
        self.lines = [letters.phrase(168, y, style.TYPE * 1.05) for y in heights]
        self.boxes = BitBoxes(ax, letters, BOXES_TOP, places=False)
        self.moving = [self.band, self.boxes.boxes, letters]

    def update(self, value: str, format: str, step: int) -> dict[str, Any]:
        """Show the calculation up to a step.

        Parameters
        ----------
        value : str
            The number, as text.
        format : str
            A float format's name.
        step : int
            1 to 7.

        Returns
        -------
        dict of str to object
            By name.

        Raises
        ------
        InputError
            For a text that is not a finite number.
        """
        working = work(value, format)
        self.title.show(titles(working)[step - 1], weight="bold")
        self.band.set_xy((18, FIRST_LINE + LINE_HEIGHT * (step - 1) - 20))
        for number, (name, parts) in enumerate(zip(STEPS, lines(working), strict=True), 1):
            weight = "bold" if number == step else "normal"
            self.lines[number - 1].show(parts if number <= step else "", weight=weight)
            colour = style.INK if number <= step else style.GREY
            self.labels[number - 1].show(f"{number}  {name}", colour, weight)
        self.boxes.show(working.fields, [name for name in FIELD_NAMES if KNOWN_FROM[name] <= step])
        return {"step": step, "format": format, **_numbers(working)}


def _numbers(working: Working) -> dict[str, Any]:
    fields = working.fields
    return {
        "given": working.text,
        "sign": fields.sign,
        "binary": working.binary,
        "exponent": working.exponent,
        "stored_exponent": working.stored_exponent,
        "kept": working.kept,
        "rounded_off": working.rest,
        "rounding": working.rounding,
        "mantissa": fields.mantissa,
        "bits": fields.bits,
        "kind": fields.kind,
        "value": fields.value,
        "error": fields.error,
    }
