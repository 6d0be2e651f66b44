"""The panel that shows what remains when one part gets faster: Amdahl's law."""

import math
from dataclasses import dataclass
from typing import Any

import ipywidgets
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from coursekit._core import arguments
from coursekit.claims.rules import plain_number
from coursekit.plots import style
from coursekit.plots.profiles import LARGEST_FACTOR, amdahl_curve, amdahl_points
from coursekit.timing import profiles
from coursekit.widgets.panel import Panel, View
from coursekit.widgets.stops import round_slider

__all__ = ["AmdahlView", "amdahl", "fits", "percent", "times"]

LARGEST_SHARE = 99.9  # per cent


@dataclass(frozen=True)
class _Layout:
    """Measures of the bars, as shares of the picture's width, and of the curve, in speed-ups."""

    bar: float = 0.78  # the height of a bar, as a share of its row
    character: float = 0.0145  # how wide a character of the writing in a bar is
    margin: float = 0.02
    offset: float = 1.12  # the factor between the limit's line and its name
    near_the_top: float = 300.0  # a limit above it is written below its line


LAYOUT = _Layout()


def amdahl(share: float = 90.0, factor: float = 10.0) -> Panel:
    """Return a panel for a part of the time that gets faster, and what the whole gains (Amdahl).

    Parameters
    ----------
    share : float
        The part of the time, in per cent, 0 to 99.9.
    factor : float
        How many times as fast the part becomes, 1 to 1000.

    Returns
    -------
    Panel
        Controls: share, factor.

    Raises
    ------
    TypeError, ValueError
        For numbers outside these ranges.
    """
    share = arguments.real("share", share, 0, LARGEST_SHARE)
    factor = arguments.real("factor", factor, 1, LARGEST_FACTOR)
    controls = {
        "share": ipywidgets.FloatSlider(
            round(share, 2), min=0, max=LARGEST_SHARE, step=0.01, description="the part (%)"
        ),
        "factor": round_slider(factor, 1, LARGEST_FACTOR, "faster by"),
    }
    return Panel(AmdahlView(), controls)


class AmdahlView(View):
    """The time before and after as two bars, and below them the curve with its limit."""

    alt = (
        "Two bars, the time before and after one part got faster, and below them the speed-up of the whole "
        "against the speed-up of the part: a curve that bends towards a dashed line and never crosses it."
    )

    def __init__(self) -> None:
        super().__init__()
        with style.look():
            grid = self.figure.add_gridspec(2, 1, height_ratios=(1, 3))
            self._bars(self.figure.add_subplot(grid[0]))
            self._curve(self.figure.add_subplot(grid[1]))

    def _bars(self, ax: Axes) -> None:
        ax.set(xlim=(0, 1), ylim=(1.5, -0.5), xticks=[], yticks=[0, 1], yticklabels=["before", "after"])
        ax.tick_params(axis="y", length=0)
        ax.spines[:].set_visible(False)
        self.title = ax.set_title(" ", zorder=6)
        self.bars: list[tuple[Rectangle, Text]] = []
        for row in (0, 1):
            for colour, ink in ((style.BLUE, "white"), (style.PALE, style.INK)):
                bar = Rectangle((0, row - LAYOUT.bar / 2), 0, LAYOUT.bar, color=colour, linewidth=0, zorder=3)
                ax.add_patch(bar)
                self.bars.append((bar, ax.text(0, row, "", color=ink, ha="center", va="center", zorder=4)))
        self.moving += [self.title, *(artist for pair in self.bars for artist in pair)]

    def _curve(self, ax: Axes) -> None:
        self.curve, self.limit = amdahl_curve(ax, 0.5)
        self.limit_text = ax.text(1.15, 1, "", color=style.legible(style.VERMILLION), zorder=5)
        look: dict[str, Any] = {"color": style.BLUE, "markersize": 11, "markeredgecolor": style.INK}
        (self.point,) = ax.plot([], [], "o", **look, clip_on=False, zorder=4)
        self.moving += [self.curve, self.limit, self.limit_text, self.point]

    def update(self, share: float, factor: float) -> dict[str, Any]:
        """Show the whole after a part of it got faster.

        Parameters
        ----------
        share : float
            The part's share of the time, in per cent.
        factor : float
            How many times as fast the part got.

        Returns
        -------
        dict of str to object
            ``after`` is the new time as a share of the old one, ``limit`` the speed-up if the part were
            gone.
        """
        part = share / 100
        speedup, limit = (profiles.amdahl(part, faster) for faster in (factor, math.inf))
        self._fill(part, part / factor)
        factors, speedups, height = amdahl_points(part)
        self.curve.set_data(factors, speedups)
        self.limit.set_ydata([height, height])
        below = limit > LAYOUT.near_the_top
        self.limit_text.set(
            text=f"without the part: {times(limit)}",
            y=height / LAYOUT.offset if below else height * LAYOUT.offset,
            verticalalignment="top" if below else "bottom",
        )
        self.point.set_data([factor], [speedup])
        self.title.set_text(f"{percent(part)} gets {times(factor)} as fast, the whole {times(speedup)}")
        return {"share": share, "factor": factor, "speedup": speedup, "limit": limit, "after": 1 / speedup}

    def _fill(self, before: float, after: float) -> None:
        rest = 1 - before
        widths = (before, rest, after, rest)
        lefts = (0, before, 0, after)
        names = ("the part ", "the rest ", "", "")
        for (bar, text), left, width, name in zip(self.bars, lefts, widths, names, strict=True):
            bar.set(x=left, width=width)
            fitting = (words for words in (name + percent(width), percent(width)) if fits(words, width))
            text.set(x=left + width / 2, text=next(fitting, ""))


def fits(text: str, width: float) -> bool:
    """Tell whether a bar has room for a text.

    Parameters
    ----------
    text : str
        The text.
    width : float
        The bar's width, as a share of the picture's.

    Returns
    -------
    bool
        True or False.
    """
    return LAYOUT.character * len(text) + LAYOUT.margin <= width


def percent(share: float) -> str:
    """Return a share of 1 as per cent with at most two decimals.

    Parameters
    ----------
    share : float
        The share.

    Returns
    -------
    str
        The text.
    """
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def times(factor: float) -> str:
    """Return a factor with three significant digits.

    Parameters
    ----------
    factor : float
        The factor.

    Returns
    -------
    str
        The text.
    """
    return f"{plain_number(float(f'{factor:.3g}'), 3)}×"
