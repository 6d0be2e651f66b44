"""A number's bits in boxes, and its neighbours on a line; both draw on a page (see ``page``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from coursekit.floats import FIELD_COLOURS, Fields, Format
from coursekit.plots import style
from coursekit.plots.lettering import CAPITAL, PIXELS_PER_POINT, SANS, Lettering
from coursekit.plots.page import decimal, raised, tint

__all__ = ["BOXES", "FIELD_NAMES", "BitBoxes", "Neighbours", "bit_boxes", "place_values"]

FIELD_NAMES = ("sign", "exponent", "mantissa")
DIGITS = 26  # characters of a number on the line: 17 digits and a power of ten tell FP64's neighbours apart


@dataclass(frozen=True)
class _Boxes:
    """Measures of the boxes, in the page's pixels; type sizes in points."""

    row: int = 32  # boxes in a row, so that 64 bits stay readable
    gap: float = 8.0  # between two fields
    widest: float = 46.0
    roomy: float = 28.0  # from this width on, every box has its place value written under it
    roomy_field: float = 120.0  # from this width on, a field's name is followed by its number of bits
    name_height: float = 17.0  # of the fields' names above the boxes
    digit: float = 11.5
    small: float = 9.5
    tiny: float = 8.6


BOXES = _Boxes()


class BitBoxes:
    """The bits of a number in boxes coloured by field, with the fields' names above; ``show`` changes them.

    A box with a 1 is full: that shows in grey too.

    Parameters
    ----------
    ax : Axes
        The page to draw on.
    letters : Lettering
        The page's writing.
    top : float
        The boxes' upper edge, in the page's pixels.
    left : float, optional
        Their left edge, in pixels.
    width : float, optional
        The width of a full row, in pixels.
    places : bool
        Whether each bit's place value is written below its box.
    """

    def __init__(
        self, ax: Axes, letters: Lettering, top: float, left: float = 30, width: float = 640, *, places: bool
    ) -> None:
        self.top, self.left, self.width, self.with_places = top, left, width, places
        self.boxes = PolyCollection([], linewidths=letters.unit, zorder=2)
        ax.add_collection(self.boxes, autolim=False)
        look = {"align": "center", "font": SANS}
        self.digits = [letters.phrase(0, 0, BOXES.digit, align="center") for _ in range(2 * BOXES.row)]
        self.names = {name: letters.phrase(0, 0, BOXES.small, **look) for name in FIELD_NAMES}
        self.places = [letters.phrase(0, 0, BOXES.tiny, **look) for _ in range(2 * BOXES.row)]
        self._format: Format | None = None
        self._cells: list[tuple[float, float, str]] = []

    def show(self, fields: Fields, known: Sequence[str] = FIELD_NAMES) -> None:
        """Show the bits of a number.

        Parameters
        ----------
        fields : Fields
            The number's bits by field.
        known : sequence of str, optional
            The fields that are filled in; the boxes of the others stay empty.
        """
        if fields.format is not self._format:
            self._arrange(fields.format)
        bits = fields.sign + fields.exponent + fields.mantissa
        looks = [_look(bit, name, name in known) for bit, (_, _, name) in zip(bits, self._cells, strict=True)]
        self.boxes.set(facecolors=[fill for fill, _, _ in looks], edgecolors=[edge for _, edge, _ in looks])
        for digit, bit, (_, _, colour) in zip(self.digits, bits, looks, strict=False):
            digit.show(bit if colour else "", colour or style.INK, "bold" if bit == "1" else "normal")

    def _arrange(self, format: Format) -> None:
        """Move boxes, digits and labels to where this format needs them."""
        self._format = format
        self._cells, self.side, self.height = _cells(
            format, self.left, self.top, self.width, self.with_places
        )
        corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (self.side - 2, self.height)
        self.boxes.set_verts([corners + (x + 1, y) for x, y, _ in self._cells])
        drop = self.height / 2 + BOXES.digit * PIXELS_PER_POINT * CAPITAL / 2
        for digit, (x, y, _) in zip(self.digits, self._cells, strict=False):
            digit.x, digit.y = x + self.side / 2, y + drop
        for phrase in (*self.digits[format.bits :], *self.places):
            phrase.show("")
        self._name_fields(format)
        if self.with_places:
            self._write_places(format)

    def _name_fields(self, format: Format) -> None:
        for name, phrase in self.names.items():
            xs = [x for x, y, field in self._cells if field == name and y == self._cells[0][1]]
            if not xs:
                phrase.show("")
                continue
            shown = "value" if name == "mantissa" and format.kind == "integer" else name
            count = sum(field == name for _, _, field in self._cells)
            roomy = len(xs) * self.side >= BOXES.roomy_field
            phrase.x, phrase.y = (xs[0] + xs[-1] + self.side) / 2, self.top + 10
            phrase.show(f"{shown}, {count} bits" if roomy else shown, FIELD_COLOURS[name])

    def _write_places(self, format: Format) -> None:
        below = self.height + BOXES.tiny * PIXELS_PER_POINT * 1.05
        shown = place_values(format) if self.side >= BOXES.roomy else _few_places(format)
        for phrase, place, (x, y, _) in zip(self.places, shown, self._cells, strict=False):
            phrase.x, phrase.y = x + self.side / 2, y + below
            phrase.show(place, style.GREY)


def bit_boxes(ax: Axes, fields: Fields) -> BitBoxes:
    """Draw the bits of ``fields`` with their place values on ``ax``, a page.

    Parameters
    ----------
    ax : Axes
        The page to draw on.
    fields : Fields
        The number's bits by field.

    Returns
    -------
    BitBoxes
        The boxes, for another ``show``.
    """
    boxes = BitBoxes(ax, Lettering(ax), top=20, places=True)
    boxes.show(fields)
    return boxes


class Neighbours:
    """A stretch of the number line: the stored number, the next one on either side, the one asked for.

    Parameters
    ----------
    ax : Axes
        The page to draw on.
    letters : Lettering
        The page's writing.
    y : float
        The height of the line on the page, in pixels.
    middle : float, optional
        Where the stored number stands, in pixels from the left.
    reach : float, optional
        How far from it the farther neighbour stands, in pixels.
    """

    def __init__(
        self, ax: Axes, letters: Lettering, y: float, middle: float = 350, reach: float = 225
    ) -> None:
        self.y, self.middle, self.reach = y, middle, reach
        unit = letters.unit
        (self.axis,) = ax.plot((40, 660), (y, y), color=style.GREY, linewidth=1.2 * unit, zorder=1)
        self.ticks = LineCollection([], colors=style.GREY, linewidths=1.6 * unit, zorder=2)
        ax.add_collection(self.ticks, autolim=False)
        (self.dot,) = ax.plot([], [], "o", color=style.BLUE, markersize=9 * unit, zorder=3)
        (self.wish,) = ax.plot([], [], "v", color=style.VERMILLION, markersize=7 * unit, zorder=3)
        self.stored = letters.phrase(middle, y - 17, BOXES.small, align="center", font=SANS)
        self.beside = [letters.phrase(0, y + 23, BOXES.small, align="center", font=SANS) for _ in range(2)]
        self.asked = letters.phrase(middle, y + 41, BOXES.small, align="center", font=SANS)

    @property
    def artists(self) -> list[Artist]:
        """Everything that ``show`` changes, except the writing."""
        return [self.axis, self.ticks, self.dot, self.wish]

    def show(self, value: float, below: float, above: float, wish: float | None, asked: str) -> None:
        """Show the stored value between its neighbours, and what was asked for.

        NaN and infinity have no place on the line.

        Parameters
        ----------
        value : float
            The stored number.
        below : float
            Its lower neighbour; equal to ``value`` where the line ends.
        above : float
            Its upper neighbour; equal to ``value`` where the line ends.
        wish : float or None
            What was asked for minus what is stored; None if they agree.
        asked : str
            What the mark for the number asked for says.
        """
        finite = isfinite(value)
        gaps = [abs(near - value) for near in (below, above)]
        unit = max((gap for gap in gaps if isfinite(gap)), default=0.0) or 1.0
        spots = [self._spot(sign, gap, unit) for sign, gap in zip((-1, 1), gaps, strict=True)]
        self._mark([self.middle, *(spot for spot in spots if spot is not None)] if finite else [])
        for phrase, near, spot in zip(self.beside, (below, above), spots, strict=True):
            phrase.x = spot or 0.0
            phrase.show(decimal(near, DIGITS + (near < 0)) if finite and spot is not None else "")
        self.stored.show(
            decimal(value, DIGITS + (value < 0)) if finite else _off_the_line(value), style.BLUE, "bold"
        )
        self._wish(wish / unit if finite and wish is not None else None, asked)

    def _spot(self, sign: int, gap: float, unit: float) -> float | None:
        if gap == 0 or isnan(gap):
            return None
        return self.middle + sign * self.reach * (1.0 if gap == inf else gap / unit)

    def _mark(self, spots: list[float]) -> None:
        self.ticks.set_segments([[(x, self.y - 6), (x, self.y + 6)] for x in spots])
        self.dot.set_data([self.middle] if spots else [], [self.y] if spots else [])
        self.axis.set_alpha(1.0 if spots else 0.3)

    def _wish(self, offset: float | None, asked: str) -> None:
        seen = offset is not None and abs(offset) <= 1
        self.asked.x = self.middle + self.reach * (offset or 0.0) if seen else 0.0
        self.wish.set_data([self.asked.x] if seen else [], [self.y - 7] if seen else [])
        self.asked.show(f"asked for: {asked}" if seen else "", style.legible(style.VERMILLION))


def _look(bit: str, name: str, known: bool) -> tuple[object, object, str | None]:
    """Return the box's fill, its edge and the digit's colour (None: no digit)."""
    colour = FIELD_COLOURS[name]
    if not known:
        return "white", tint(colour, 0.4), None
    return (colour, colour, "white") if bit == "1" else (tint(colour), tint(colour, 0.5), style.INK)


def _cells(
    format: Format, left: float, top: float, width: float, places: bool
) -> tuple[list[tuple[float, float, str]], float, float]:
    """Return (x, y, field) of every box, and the boxes' width and height."""
    counts = format.signed, format.exponent_bits, format.mantissa_bits
    names = [name for name, count in zip(FIELD_NAMES, counts, strict=True) for _ in range(count)]
    before = {name: index for index, name in enumerate(dict.fromkeys(names))}
    side = min(BOXES.widest, (width - BOXES.gap * (len(before) - 1)) / min(format.bits, BOXES.row))
    height = 24.0 if format.bits > BOXES.row else 32.0
    first, line = top + BOXES.name_height, height + (22.0 if places else 6.0)
    cells = [
        (left + index % BOXES.row * side + BOXES.gap * before[name], first + index // BOXES.row * line, name)
        for index, name in enumerate(names)
    ]
    return cells, side, height


def place_values(format: Format) -> list[str]:
    """Return what each bit counts: numbers for integers, powers of two for the fields of a float.

    Parameters
    ----------
    format : Format
        The format of the bits.

    Returns
    -------
    list of str
        One text per bit, the highest bit first.
    """
    if format.kind == "integer":
        first, *rest = (str(2**power) for power in reversed(range(format.bits)))
        return [f"−{first}" if format.signed else first, *rest]
    exponent, mantissa = range(format.exponent_bits - 1, -1, -1), range(-1, -format.mantissa_bits - 1, -1)
    return ["±", *(f"2{raised(power)}" for power in (*exponent, *mantissa))]


def _few_places(format: Format) -> list[str]:
    """Return the place values that narrow boxes have room for: each field's ends and every fourth power."""
    shown = place_values(format)
    first, last = 1, format.exponent_bits
    for index in range(1, format.bits):
        power = last - index
        ends = index in (first, last, last + 1, format.bits - 1)
        if not (ends or (power % 4 == 0 and index < format.bits - 2)):
            shown[index] = ""
    return shown


def _off_the_line(value: float) -> str:
    return (
        "NaN has no place on the number line" if isnan(value) else f"{decimal(value)} is beyond all numbers"
    )
