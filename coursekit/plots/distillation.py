"""Pictures of distillation: soft labels, differences seed by seed, gains over T and alpha, gradients."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit._core.statistics import PairedDifference, paired
from coursekit.distillation.gain_grid import GainGrid, sentence, signed
from coursekit.plots import style
from coursekit.plots.comparison import describe, line_with_band, lines
from coursekit.plots.gain_map import GainMap, gain_map

__all__ = [
    "gradients",
    "heatmap",
    "helped",
    "lookalikes",
    "mean_answers",
    "paired_differences",
    "patience",
    "soft_labels",
    "turning",
]

if TYPE_CHECKING:
    from coursekit.distillation import GradientSizes, Grid

GROUP = 0.8  # of the room between two classes, for all its bars
JITTER = 0.22  # of a row's height, so that equal seeds stay visible
POINTS = 100.0  # per unit of accuracy
SHOWN = 2.0  # per cent: smaller shares are a colour without a number
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
        The title; by default a sentence that the intervals decide.
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
    found = []
    for row, (name, given) in zip(rows, differences.items(), strict=True):
        points = POINTS * arguments.array(name, given, np.float64, ndim=1)
        found.append(paired(points, np.zeros(len(points))))
        made += _row(ax, row, points, found[-1])
    ax.set_yticks(rows, differences)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    describe(ax, f"{gains} with a teacher minus without (points; a dot per seed)", "", title or helped(found))
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


@style.look()
def patience(ax: Axes, grid: GainGrid, alpha: float, *, title: str = "") -> list[Artist]:
    """Draw what a teacher adds against the length of training, a line per temperature with its interval.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    grid : GainGrid
        The measured gains, of up to four temperatures.
    alpha : float
        One of the grid's weights of the teacher.
    title : str, optional
        The title; by default a sentence that the intervals decide.

    Returns
    -------
    list of Artist
        The lines with their bands, the line at zero and the legend.

    Raises
    ------
    ValueError
        For another alpha, or more than four temperatures.
    """
    if len(grid.temperatures) > len(style.SERIES):
        raise ValueError(f"grid must have at most {len(style.SERIES)} temperatures; got {grid.temperatures}")
    made: list[Artist] = [ax.axhline(0, color=style.INK, linewidth=1.2, zorder=1)]
    for number, temperature in enumerate(grid.temperatures):
        found = [grid.difference(epochs, temperature, alpha) for epochs in grid.epochs]
        parts = ([getattr(each, name) for each in found] for name in ("mean", "low", "high"))
        made += line_with_band(ax, grid.epochs, *parts, series=number, label=f"T = {temperature:g}")
    ax.set_xscale("log")
    ax.set_xticks(grid.epochs, [f"{epochs:g}" for epochs in grid.epochs])
    ax.xaxis.set_minor_locator(NullLocator())
    describe(ax, "epochs", "points gained by the teacher", title or turning(grid, alpha))
    return [*made, ax.legend(loc="lower right")]


@style.look()
def mean_answers(
    ax: Axes, answers: ArrayLike, *, classes: Sequence[str] = tuple("0123456789"), title: str = ""
) -> AxesImage:
    """Draw the mean answer to each class, a row each: what else it looks like. The right class stays grey.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    answers : array_like
        As ``distillation.mean_answers`` returns them, [classes, classes].
    classes : sequence of str, optional
        The classes' names.
    title : str, optional
        The title; by default it names the two classes that are taken for each other most.

    Returns
    -------
    AxesImage
        The image, in per cent.

    Raises
    ------
    ValueError
        For another shape.
    """
    shares = POINTS * np.asarray(answers, dtype=np.float64)
    if shares.shape != (len(classes),) * 2:
        raise ValueError(f"answers must be [{len(classes)}, {len(classes)}]; got {shares.shape}")
    others = np.where(np.eye(len(classes), dtype=bool), np.nan, shares)
    colours = mpl.colormaps[style.HEAT].with_extremes(bad=style.PALE)
    top = np.nanmax(others) if np.isfinite(others).any() else 1.0
    image = ax.imshow(np.ma.masked_invalid(others), cmap=colours, vmin=0, vmax=top)
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share) and (row == column or share >= SHOWN):
            ink = style.INK if row == column else style.ink_on(image.to_rgba(np.array(share)))
            ax.text(column, row, f"{share:.0f}", ha="center", va="center", color=ink, fontsize="small")
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes)
    ax.tick_params(length=0)
    describe(ax, "answered class (mean share in %)", "right class", title or lookalikes(shares, classes))
    return image


def helped(found: Sequence[PairedDifference]) -> str:
    """Return in one sentence in how many cases a teacher was shown to help, and to harm.

    Parameters
    ----------
    found : sequence of PairedDifference
        With a teacher minus without.

    Returns
    -------
    str
        The sentence.
    """
    verdicts = [each.verdict for each in found]
    harms = verdicts.count("b better")
    cases = f"{len(verdicts)} cases" if len(verdicts) > 1 else "1 case"
    return f"A teacher helps in {verdicts.count('a better')} of {cases}" + (
        f" and harms in {harms}" if harms else ""
    )


def turning(grid: GainGrid, alpha: float) -> str:
    """Return in one sentence which temperatures help after the longest training and harm after the shortest.

    Parameters
    ----------
    grid : GainGrid
        The measured gains.
    alpha : float
        One of the grid's weights of the teacher.

    Returns
    -------
    str
        The sentence.
    """
    first, last = grid.epochs[0], grid.epochs[-1]
    helps, harms = (
        [f"{t:g}" for t in grid.temperatures if grid.difference(epochs, t, alpha).verdict == verdict]
        for epochs, verdict in ((last, "a better"), (first, "b better"))
    )
    end = f"{last} epochs: gain at T = {', '.join(helps)}" if helps else f"{last} epochs: no gain shown"
    if first == last:
        return end
    start = f"{first} epochs: harm at T = {', '.join(harms)}" if harms else f"{first} epochs: no harm shown"
    return f"{start}\n{end}"


def lookalikes(shares: ArrayLike, classes: Sequence[str]) -> str:
    """Return in one sentence which class is taken for which other one most.

    Parameters
    ----------
    shares : array_like
        In per cent, [right class, answered class]; NaN where a class has no example.
    classes : sequence of str
        The classes' names.

    Returns
    -------
    str
        The sentence.
    """
    others = np.where(np.eye(len(classes), dtype=bool), np.nan, np.asarray(shares, dtype=np.float64))
    if not np.isfinite(others).any():
        return "The mean answer to each class"
    right, answered = divmod(int(np.nanargmax(others)), len(classes))
    return f"{classes[right]} most resembles {classes[answered]}: {others[right, answered]:.0f} %"


def _row(ax: Axes, row: float, points: NDArray[np.float64], found: PairedDifference) -> list[Artist]:
    """Draw one set-up: seeds as dots, the mean as a diamond on its interval, the verdict above."""
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
