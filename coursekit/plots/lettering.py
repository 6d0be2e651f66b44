"""Much text in one artist: a picture of changing numbers, written as Text by Text, would be too slow to drag.

Every character is an outline that is made once; all of them are painted in one go, some 400 in 3 ms.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform

from coursekit.plots import style

__all__ = ["CAPITAL", "PIXELS_PER_POINT", "RAISED", "SANS", "Lettering", "Parts", "Phrase", "outline"]

MONO, SANS = "DejaVu Sans Mono", "DejaVu Sans"
PIXELS_PER_POINT = style.DPI / 72
CAPITAL, DESCENT = 0.73, 0.24  # how far type reaches above and below its line, as a share of its size
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"
SHIFT = {"left": 0.0, "center": 0.5, "right": 1.0}

Parts = Iterable[tuple[str, str]]


class Lettering(PathCollection):
    """All the writing of a page (see ``page``); ``phrase`` adds a place to write at.

    Parameters
    ----------
    ax : Axes
        The page to write on.
    zorder : float, optional
        Where the writing stands among the artists.
    """

    def __init__(self, ax: Axes, zorder: float = 4) -> None:
        super().__init__([], sizes=[1.0], linewidths=0, offset_transform=ax.transData, zorder=zorder)
        self.set_transform(IdentityTransform())  # outlines are scaled by their size, not by the page
        self.set_snap(False)  # snapping to pixels would fatten points and swallow superscript minus signs
        self.phrases: list[Phrase] = []
        # Points per point at normal size: 1 unless the page is stretched; presenter mode has larger points.
        self.unit = ax.bbox.width / abs(np.diff(ax.get_xlim())[0]) * style.DPI / ax.figure.dpi
        ax.add_collection(self, autolim=False)

    def phrase(self, x: float, y: float, size: float, *, align: str = "left", font: str = MONO) -> "Phrase":
        """Return a new place to write at.

        Parameters
        ----------
        x : float
            On the page, in pixels from the left.
        y : float
            On the page, in pixels from the top.
        size : float
            Of the type, in points at normal size.
        align : str, optional
            "left", "center" or "right" of ``x``.
        font : str, optional
            The font family.

        Returns
        -------
        Phrase
            The place, still empty.
        """
        self.phrases.append(Phrase(x, y, size, align, font))
        return self.phrases[-1]

    def draw(self, renderer: Any) -> None:
        """Paint every phrase as it stands now.

        Parameters
        ----------
        renderer : object
            The renderer of the figure's canvas.
        """
        written = [phrase for phrase in self.phrases if phrase.paths]
        self.set_paths([path for phrase in written for path in phrase.paths])
        self.set_offsets(np.concatenate([phrase.offsets for phrase in written] or [np.zeros((0, 2))]))
        colours: list[Any] = [colour for phrase in written for colour in phrase.colours]
        self.set_facecolor(colours)
        points = [phrase.size * self.unit for phrase in written for _ in phrase.paths]
        self.set_sizes(np.square(points))
        super().draw(renderer)


@dataclass
class Phrase:
    """A line of type whose parts may differ in colour; ``show`` changes it, the next drawing shows it."""

    x: float
    y: float
    size: float
    align: str
    font: str
    text: str = ""
    width: float = 0.0
    paths: list[Path] = field(default_factory=list)
    colours: list[tuple[float, ...]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    def show(self, text: str | Parts, colour: str = style.INK, weight: str = "normal") -> None:
        """Write a text.

        Parameters
        ----------
        text : str or Parts
            The text, or (text, colour) pairs that stand one after the other.
        colour : str, optional
            The colour of a plain text.
        weight : str, optional
            "normal" or "bold".
        """
        parts = [(text, colour)] if isinstance(text, str) else list(text)
        self.text = "".join(part for part, _ in parts)
        self.paths, self.colours, self.steps, reach = [], [], [], 0.0
        for part, tone in parts:
            for character in part:
                font = SANS if character in RAISED else self.font  # monospace would tear "2⁻¹²⁶" apart
                path, advance = outline(character, font, weight)
                if path is not None:
                    self.paths.append(path)
                    self.colours.append(_rgba(tone))
                    self.steps.append(reach)
                reach += advance
        self.width = reach * self.size * PIXELS_PER_POINT

    @property
    def offsets(self) -> np.ndarray:
        """Where each character stands on the page, [n, 2]."""
        xs = self.left + np.array(self.steps) * (self.size * PIXELS_PER_POINT)
        return np.column_stack([xs, np.full(len(xs), self.y)])

    @property
    def left(self) -> float:
        """Where the writing begins."""
        return self.x - SHIFT[self.align] * self.width

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The place that the writing takes up: left, top, right, bottom on the page."""
        high = self.size * PIXELS_PER_POINT
        return self.left, self.y - CAPITAL * high, self.left + self.width, self.y + DESCENT * high


@functools.cache
def outline(character: str, font: str, weight: str) -> tuple[Path | None, float]:
    """Return a character's outline and the way to the next one, for type of size 1.

    Parameters
    ----------
    character : str
        One character.
    font : str
        The font family.
    weight : str
        "normal" or "bold".

    Returns
    -------
    tuple of (Path or None, float)
        The outline (None for a space) and the advance.
    """
    prop = FontProperties(family=font, weight=weight)
    followed, bar = (TextPath((0, 0), text, size=1, prop=prop).vertices for text in (character + "|", "|"))
    advance = float(followed[:, 0].max() - bar[:, 0].max())
    return None if character.isspace() else TextPath((0, 0), character, size=1, prop=prop), advance


@functools.cache
def _rgba(colour: str) -> tuple[float, ...]:
    return to_rgba(colour)
