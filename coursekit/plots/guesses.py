"""The guesses of a notebook beside what was measured, on one axis: how many times too low or too high."""

from textwrap import fill, shorten
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullLocator

from coursekit.claims import Guess
from coursekit.exercises import Guesses
from coursekit.plots import style

__all__ = ["Guessed", "draw", "picture"]

LEAST, MOST = 1 / 16, 16.0  # the axis shows at least this, times too low and too high
FARTHEST = 1e4  # a guess beyond it stands at the edge, with its factor written out
ROW = 0.32  # inches per guess
TITLE, NAME = 42, 44  # characters that fit in a line
_NEAR = 2.0


class Guessed(NamedTuple):
    """The artists of ``draw``: the dots, and the words where there is no dot."""

    dots: list[Line2D]
    labels: list[Text]


def picture(guesses: Guesses) -> style.Picture:
    """Return a picture of all guesses that can be compared with their measurement by a factor.

    Parameters
    ----------
    guesses : Guesses
        As ``exercises.guesses`` returns them; also none.

    Returns
    -------
    Picture
        The picture; its title is the summary.
    """
    height = 1.3 + ROW * max(len(guesses.made), 2)
    alt = "Each guess as a dot on an axis from too low to too high; the measurement is in the middle."
    figure, ax = style.axes(height=height, alt=alt)
    draw(ax, guesses)
    return figure


@style.look()
def draw(ax: Axes, guesses: Guesses) -> Guessed:
    """Draw a row per guess: a dot where it can be compared by a factor, else only words.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    guesses : Guesses
        As ``exercises.guesses`` returns them; also none.

    Returns
    -------
    Guessed
        The artists.
    """
    ratios = [min(max(guess.ratio or 1, 1 / FARTHEST), FARTHEST) for guess in guesses.rated]
    low, high = min([LEAST, *ratios]) / 2, max([MOST, *ratios]) * 2
    _frame(ax, guesses, low, high)
    dots, labels = [], []
    for row, guess in enumerate(guesses.made):
        if guess.ratio is None:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            words = guess.off or "not compared yet"
            labels.append(ax.text(1, row, words, ha="center", va="center", color=style.INK, bbox=box))
            continue
        ratio = min(max(guess.ratio, 1 / FARTHEST), FARTHEST)
        near = 1 / _NEAR <= guess.ratio <= _NEAR
        colour, marker = (style.GREEN, "o") if near else (style.VERMILLION, "s")
        dots += ax.plot([ratio], [row], marker, color=colour, markersize=8)
    return Guessed(dots, labels)


def _frame(ax: Axes, guesses: Guesses, low: float, high: float) -> None:
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(max(len(guesses.made), 1) - 0.4, -0.6)
    ax.axvspan(1 / _NEAR, _NEAR, color=style.PALE, alpha=0.6, zorder=0)
    ax.axvline(1, color=style.INK, linewidth=1)
    ax.set_yticks(range(len(guesses.made)), [_name(guess) for guess in guesses.made])
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    marks = [n for n in (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1e3, 1e4) if low <= n <= high]
    ax.set_xticks(marks)
    ax.xaxis.set_major_formatter(FuncFormatter(_times))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("too low or too high by (grey: within a factor of 2)")
    ax.set_title(fill(guesses.summary, TITLE), loc="left")


def _name(guess: Guess) -> str:
    return shorten(f"{guess.id}: {guess.text}", NAME, placeholder=" …")


def _times(value: float, _: object) -> str:
    return "measured" if value == 1 else f"{max(value, 1 / value):,.0f}×"
