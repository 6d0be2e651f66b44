"""Pictures of distillation: soft labels, differences seed by seed, gains over T and alpha, gradients."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit._core.statistics import PairedDifference, paired
from coursekit.distillation.gain_grid import GainGrid, sentence, signed
from coursekit.plots import style
from coursekit.plots.comparison import describe, lines
from coursekit.plots.gain_map import GainMap, gain_map

__all__ = ["gradients", "heatmap", "paired_differences", "soft_labels"]

if TYPE_CHECKING:
    from coursekit.distillation import GradientSizes, Grid

GROUP = 0.8  # of the room between two classes, for all its bars
JITTER = 0.22  # of a row's height, so that equal seeds stay visible
POINTS = 100.0  # per unit of accuracy
VERDICT_COLOURS = {"a better": style.BLUE, "b better": style.VERMILLION, "same": style.GREY}


@style.look()
def soft_labels(
    ax: Axes,
    labels: Mapping[str, ArrayLike],
    *,
    classes: Sequence[str] = tuple("0123456789"),
    title: str = "",
) -> list[Artist]:
    """Draw up to four soft labels side by side, a group of bars per class, in percent.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    labels : mapping of str to array_like
        A name, such as "T = 4", and the probabilities [classes].
    classes : sequence of str, optional
        The classes' names.
    title : str, optional
        The title, a sentence.

    Returns
    -------
    list of Artist
        The bars, label by label.

    Raises
    ------
    ValueError
        For more than four, another number of classes, or numbers that are not probabilities.
    """
    if not 1 <= len(labels) <= len(style.SERIES):
        raise ValueError(f"labels must hold 1 to {len(style.SERIES)} soft labels; got {len(labels)}")
    width = GROUP / len(labels)
    made: list[Artist] = []
    for number, (name, given) in enumerate(labels.items()):
        shares = _probabilities(name, given, len(classes))
        places = np.arange(len(classes)) - GROUP / 2 + width * (number + 0.5)
        look: dict[str, Any] = {
            "color": style.SERIES[number],
            "hatch": style.HATCHES[number],
            "edgecolor": "white",
        }
        made += ax.bar(places, POINTS * shares, 0.92 * width, linewidth=0, label=name, **look)
    ax.set_xticks(range(len(classes)), classes)
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(0, 100)
    if len(labels) > 1:
        ax.legend(loc="best")
    describe(ax, "class", "probability (%)", title)
    return made


@style.look()
def paired_differences(
    ax: Axes, differences: Mapping[str, ArrayLike], *, title: str = "", gains: str = "accuracy"
) -> list[Artist]:
    """Draw a row per set-up: a point per seed, the mean with its 95 % interval, and what they say.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    differences : mapping of str to array_like
        A set-up's name and the accuracy with a teacher minus that without, [seeds], as shares.
    title : str, optional
        The title, a sentence.
    gains : str, optional
        What is compared; the axis counts points of it.

    Returns
    -------
    list of Artist
        The dots, means, intervals and texts.

    Raises
    ------
    ValueError
        For no set-up or fewer than two seeds.
    """
    if not differences:
        raise ValueError("differences is empty: at least one set-up is needed")
    rows = np.arange(len(differences))[::-1]
    made: list[Artist] = [ax.axvline(0, color=style.INK, linewidth=1.2, zorder=1)]
    for row, (name, given) in zip(rows, differences.items(), strict=True):
        points = POINTS * arguments.array(name, given, np.float64, ndim=1)
        made += _row(ax, row, points)
    ax.set_yticks(rows, differences)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    describe(ax, f"{gains} with a teacher minus without (points; a dot per seed)", "", title)
    return made


def heatmap(ax: Axes, grid: "Grid", *, title: str = "") -> GainMap:
    """Draw the mean gain in points at every temperature (rows) and alpha (columns) of a ``Grid``.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    grid : Grid
        Measured gains over temperatures, alphas and seeds.
    title : str, optional
        The title, a sentence.

    Returns
    -------
    GainMap
        The image and the number in each cell.

    Raises
    ------
    ValueError
        Unless the grid's temperatures and alphas ascend and it holds two seeds or more.
    """
    epochs = grid.setup.epochs
    made = gain_map(ax, GainGrid((epochs,), grid.temperatures, grid.alphas, POINTS * grid.gains[None]))
    with style.look():
        ax.set_title(title)
    return made


@style.look()
def gradients(ax: Axes, sizes: "GradientSizes", *, title: str = "") -> list[Artist]:
    """Draw the length of the soft loss's gradient against the temperature, without and with the factor T².

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sizes : GradientSizes
        The lengths with and without the factor, by temperature.
    title : str, optional
        The title, a sentence.

    Returns
    -------
    list of Artist
        The lines and the names at their ends.
    """
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(sizes.temperatures)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    centers = {"with T²": sizes.scaled, "without": sizes.plain}
    labels: dict[str, Any] = {
        "x_label": "temperature T",
        "y_label": "length of the soft loss's gradient",
        "title": title,
    }
    return lines(ax, sizes.temperatures, centers, **labels)


def _row(ax: Axes, row: float, points: NDArray[np.float64]) -> list[Artist]:
    """Draw one set-up: seeds as dots, the mean as a diamond on its interval, the verdict above."""
    found = paired(points, np.zeros(len(points)))
    colour = VERDICT_COLOURS[found.verdict]
    # Neighbours in height must not be neighbours in order: every second seed goes above, the next below.
    lift = JITTER * np.linspace(-1, 1, len(points))[np.random.default_rng(0).permutation(len(points))]
    look: dict[str, Any] = {
        "color": colour,
        "alpha": 0.45,
        "markersize": 6,
        "markeredgewidth": 0,
        "zorder": 2,
    }
    (dots,) = ax.plot(points, row + lift, "o", **look)
    bar = ax.hlines(row, found.low, found.high, color=style.INK, linewidth=3, zorder=3)
    (mean,) = ax.plot(found.mean, row, "D", color=style.INK, markersize=8, zorder=4)
    text = ax.annotate(
        _said(found),
        (1, row),
        xycoords=ax.get_yaxis_transform(),
        xytext=(0.6 * mpl.rcParams["font.size"], 0),
        textcoords="offset points",
        va="center",
        color=style.INK,
        annotation_clip=False,
    )
    return [dots, bar, mean, text]


def _said(found: PairedDifference) -> str:
    seeds = found.wins + found.losses + found.ties
    return f"{signed(found.mean)}: {sentence(found)}\n({found.wins} of {seeds} seeds gain)"


def _probabilities(name: str, given: Any, count: int) -> NDArray[np.float64]:
    shares = arguments.array(name, given, np.float64, ndim=1)
    if len(shares) != count or (shares < 0).any() or abs(shares.sum() - 1) > 1e-3:
        raise ValueError(
            f"{name} must hold {count} probabilities that add up to 1; "
            f"got {len(shares)} that add up to {shares.sum():g}"
        )
    return shares
