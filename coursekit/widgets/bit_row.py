"""A row of buttons, one per bit: a control whose ``value`` is a text of bits."""

from typing import Any

import ipywidgets
import traitlets

from coursekit.floats import FORMATS, Format
from coursekit.plots.bits import BOXES, FIELD_NAMES, place_values

__all__ = ["BitRow"]

MOST = 64
LOOKS = {
    "sign": "danger",
    "exponent": "info",
    "mantissa": "success",
}  # red, blue and green, as in the picture
PLACED = {"sign": "sign bit", "exponent": "exponent bit", "mantissa": "mantissa bit"}


class BitRow(ipywidgets.VBox):
    """Toggle buttons for the bits of one number of ``format``, 32 in a line, coloured by field.

    ``value`` is the text of all bits; set it, or click. ``reformat`` changes format and bits together.

    Parameters
    ----------
    format : str
        A format's name.
    value : str
        All bits, as text.
    """

    value = traitlets.Unicode(help="all bits, as 0s and 1s; spaces and underscores may stand between them")

    def __init__(self, format: str, value: str) -> None:
        self._format: Format = FORMATS[format]
        self._writing = False
        self._layouts = {"next": _layout("1px"), "first": _layout("1px 1px 1px 7px"), "unused": _layout("0")}
        self._layouts["unused"].display = "none"
        first = ipywidgets.ToggleButton()
        self.toggles = [first, *(ipywidgets.ToggleButton(style=first.style) for _ in range(1, MOST))]
        for toggle in self.toggles:
            toggle.observe(self._clicked, names="value")
        starts = range(0, MOST, BOXES.row)
        lines = [ipywidgets.HBox(self.toggles[start : start + BOXES.row]) for start in starts]
        super().__init__(lines)
        self.reformat(format, value)

    def reformat(self, format: str, value: str) -> None:
        """Show as many buttons as a format has bits, and set them.

        Parameters
        ----------
        format : str
            A format's name.
        value : str
            All bits, as text.
        """
        self._format = FORMATS[format]
        names = _field_of_each_bit(self._format)
        for index, (toggle, place) in enumerate(zip(self.toggles, place_values(self._format), strict=False)):
            begins = index % BOXES.row and names[index] != names[index - 1]
            with toggle.hold_sync():
                toggle.button_style = LOOKS[names[index]]
                toggle.tooltip = f"{PLACED[names[index]]}, place value {place}"
                toggle.layout = self._layouts["first" if begins else "next"]
        for toggle in self.toggles[self._format.bits :]:
            toggle.layout = self._layouts["unused"]
        self.value = value

    @traitlets.validate("value")
    def _checked(self, proposal: Any) -> str:
        bits = proposal["value"].replace(" ", "").replace("_", "")
        if set(bits) - {"0", "1"} or len(bits) != self._format.bits:
            raise traitlets.TraitError(f"{self._format.title} needs {self._format.bits} bits; got {bits!r}")
        return bits

    @traitlets.observe("value")
    def _show(self, change: Any) -> None:
        self._writing = True
        try:
            for toggle, bit in zip(self.toggles, change["new"], strict=False):
                with toggle.hold_sync():
                    toggle.value, toggle.description = bit == "1", bit
        finally:
            self._writing = False

    def _clicked(self, change: Any) -> None:
        if not self._writing:
            self.value = "".join("01"[toggle.value] for toggle in self.toggles[: self._format.bits])


def _layout(margin: str) -> ipywidgets.Layout:
    return ipywidgets.Layout(width="20px", height="26px", margin=margin, padding="0")


def _field_of_each_bit(format: Format) -> list[str]:
    counts = format.signed, format.exponent_bits, format.mantissa_bits
    return [name for name, count in zip(FIELD_NAMES, counts, strict=True) for _ in range(count)]
