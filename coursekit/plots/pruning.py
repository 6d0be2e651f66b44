"""Pictures of pruning: the cliff, the most sensitive layer, what goes and what stays, where zeros pay."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe, line_with_band, lines
from coursekit.pruning.sweeps import BAND
from coursekit.timing.crossover import Interval

__all__ = [
    "PERCENT",
    "accuracy",
    "after_the_cut",
    "ascending",
    "break_even",
    "fall",
    "histogram",
    "kept_colours",
    "kept_per_input",
    "kept_sentence",
    "matrix",
    "pays",
    "sensitivity",
]

POINT = 0.01  # of accuracy: less than that nobody misses
DARKEST_KEPT = 0.35  # of the colour scale: what was pruned is darker than the smallest weight that stays
BINS = 60
FREE = 0.6  # octaves above and below the curves
PERCENT = FuncFormatter(lambda value, _: f"{value:g} %")
REMOVED = "weights pruned (%)"


@style.look()
def accuracy(
    ax: Axes,
    sparsities: ArrayLike,
    accuracies: ArrayLike | Mapping[str, ArrayLike],
    *,
    x_label: str = REMOVED,
    title: str = "",
) -> list[Artist]:
    """Draw accuracy against sparsity: the median of the seeds, and a band over the middle 80 % of them.

    The dashed line continues the first line's first median.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sparsities : array_like
        Shares from 0 to 1, ascending, [sparsities].
    accuracies : array_like or mapping of str to array_like
        From 0 to 1, [sparsities, seeds], or up to four of these by name (one-shot, iterative, rewound …).
    x_label : str, optional
        What the x-axis shows.
    title : str, optional
        The title; by default a sentence that the numbers decide.

    Returns
    -------
    list of Artist
        The lines, the bands, the dashed line and, for several, the legend.

    Raises
    ------
    TypeError, ValueError
        For shapes that do not fit, or numbers outside 0 to 1.
    """
    shares = ascending("sparsities", sparsities)
    several = isinstance(accuracies, Mapping)
    named: Mapping[str, ArrayLike] = (
        accuracies if isinstance(accuracies, Mapping) else {"accuracies": accuracies}
    )
    if not 1 <= len(named) <= len(style.SERIES):
        raise ValueError(f"accuracies must hold 1 to {len(style.SERIES)} lines; got {len(named)}")
    made: list[Artist] = []
    first = np.median(_seeds(*next(iter(named.items())), len(shares)), axis=1)
    for number, (name, given) in enumerate(named.items()):
        seeds = 100 * _seeds(name, given, len(shares))
        center, band = np.median(seeds, axis=1), np.quantile(seeds, BAND, axis=1)
        made += line_with_band(ax, 100 * shares, center, *band, series=number, label=name)
    sentence = "What is left of the accuracy" if several else fall(shares, first)
    describe(ax, x_label, "accuracy", title or sentence)
    ax.yaxis.set_major_formatter(PERCENT)
    look: dict[str, Any] = {"color": style.GREY, "dashes": (4, 3), "linewidth": 1.2, "zorder": 1}
    made.append(ax.axhline(100 * first[0], **look))
    # No labels at the lines' ends: on the ground below the cliff all of them meet.
    return [*made, ax.legend()] if several else made


@style.look()
def sensitivity(
    ax: Axes, sparsities: ArrayLike, accuracies: Mapping[str, ArrayLike], *, title: str = ""
) -> list[Artist]:
    """Draw accuracy against sparsity for up to four layers, each pruned alone; see ``accuracy``.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sparsities : array_like
        Shares from 0 to 1, ascending, [sparsities].
    accuracies : mapping of str to array_like
        By the layer's name, from 0 to 1, [sparsities, seeds] each.
    title : str, optional
        The title; by default it names the layer whose pruning costs most on average over the sparsities.

    Returns
    -------
    list of Artist
        As ``accuracy``.

    Raises
    ------
    TypeError
        If ``accuracies`` does not name the layers.
    ValueError
        For shapes that do not fit, or numbers outside 0 to 1.
    """
    if not isinstance(accuracies, Mapping):
        raise TypeError(f"accuracies must name the layers; got {type(accuracies).__name__}")
    made = accuracy(
        ax, sparsities, accuracies, x_label="weights pruned in this layer alone (%)", title=title or " "
    )
    if not title:
        means = {name: np.mean(np.median(np.asarray(seeds), axis=1)) for name, seeds in accuracies.items()}
        ax.set_title(f"Pruning {min(means, key=lambda name: means[name])} costs most")
    return made


@style.look()
def histogram(ax: Axes, weights: ArrayLike, mask: ArrayLike, *, title: str = "") -> list[Artist]:
    """Draw how often weights of each size occur, dark where they are pruned, up to the threshold.

    The threshold is the largest magnitude that goes.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    weights : array_like
        Numbers of any shape.
    mask : array_like
        Of the weights' shape, True where a weight stays.
    title : str, optional
        The title; by default a sentence that the numbers decide.

    Returns
    -------
    list of Artist
        The bars, their dark parts, the two marks and their label.

    Raises
    ------
    TypeError, ValueError
        For weights that are not finite or a mask of another shape.
    """
    values, stays = _masked(weights, mask)
    edges = np.histogram_bin_edges(values, bins=BINS)
    kept, gone = (np.histogram(part, edges)[0] for part in (values[stays], values[~stays]))
    bars = ax.stairs(kept + gone, edges, baseline=gone, fill=True, color=style.BLUE)
    dark = ax.stairs(gone, edges, fill=True, color=style.INK)
    threshold = float(np.abs(values[~stays]).max(initial=0))
    top = (kept + gone).max()
    marks = ax.vlines([-threshold, threshold], 0, 1.05 * top, color=style.VERMILLION, linewidth=1.5)
    ax.set_ylim(0, 1.2 * top)
    look: dict[str, Any] = {
        "color": style.legible(style.VERMILLION),
        "transform": ax.transAxes,
        "ha": "right",
        "va": "top",
    }
    label = ax.text(0.985, 0.98, f"threshold ±{threshold:.2g}", **look)
    share = 100 * np.count_nonzero(~stays) / len(values)
    sentence = f"The smallest {share:.3g} % of the weights go" if share else "All weights stay"
    describe(ax, "weight", "how many", title or sentence)
    return [bars, dark, marks, label]


@style.look()
def matrix(ax: Axes, weight: ArrayLike, mask: ArrayLike | None = None, *, title: str = "") -> AxesImage:
    """Draw the magnitudes of a matrix [out, in], a cell each, brightest for the largest, pruned cells black.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    weight : array_like
        The matrix, [out, in].
    mask : array_like, optional
        Of its shape, True where a weight stays; by default zeros are pruned.
    title : str, optional
        The title, a sentence.

    Returns
    -------
    AxesImage
        The image.

    Raises
    ------
    TypeError, ValueError
        As for ``histogram``.
    """
    cells = arguments.array("weight", weight, np.float64, ndim=2)
    values, stays = _masked(cells, cells != 0 if mask is None else mask)
    shown = np.where(stays, np.abs(values), np.nan).reshape(cells.shape)
    image = ax.imshow(shown, cmap=kept_colours(), aspect="auto", interpolation="nearest")
    image.set_clim(0, np.abs(values).max() or 1.0)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    describe(ax, f"{cells.shape[1]} inputs", f"{cells.shape[0]} neurons", title)
    return image


@style.look()
def after_the_cut(ax: Axes, accuracies: Mapping[str, ArrayLike], *, title: str = "") -> list[Artist]:
    """Draw for up to four plans of pruning how the accuracy comes back after the last cut.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    accuracies : mapping of str to array_like
        By the plan's name, from 0 to 1, [epochs, seeds], after every epoch that follows the last cut.
    title : str, optional
        The title; by default it names the plan that ends best.

    Returns
    -------
    list of Artist
        The lines, their bands over the middle 80 % of the seeds, and the legend.

    Raises
    ------
    ValueError
        For no or more than four plans, or numbers outside 0 to 1.
    """
    if not 1 <= len(accuracies) <= len(style.SERIES):
        raise ValueError(f"accuracies must hold 1 to {len(style.SERIES)} plans; got {len(accuracies)}")
    made: list[Artist] = []
    ends = {}
    for number, (name, given) in enumerate(accuracies.items()):
        seeds = 100 * _seeds(name, given)
        ends[name] = seeds[-1].mean()
        band = np.quantile(seeds, BAND, axis=1)
        x = range(1, len(seeds) + 1)
        made += line_with_band(ax, x, seeds.mean(axis=1), *band, series=number, label=name)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PERCENT)
    best = max(ends, key=lambda name: ends[name])
    describe(ax, "epochs after the last cut", "accuracy", title or f"Best at its end: {best}")
    return [*made, ax.legend()]


@style.look()
def kept_per_input(
    ax: Axes, mask: ArrayLike, shape: tuple[int, int], *, most: float = 1.0, title: str = ""
) -> AxesImage:
    """Draw for every input, laid out as a picture, which share of the weights that listen to it stays.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    mask : array_like
        Of a first layer, True where a weight stays, [..., out, in]; everything before the inputs is averaged.
    shape : tuple of 2 int
        Rows and columns of the picture.
    most : float, optional
        The share that gets the brightest colour, above 0 and at most 1: one for maps side by side.
    title : str, optional
        The title; by default a sentence that the numbers decide.

    Returns
    -------
    AxesImage
        The image, in per cent.

    Raises
    ------
    TypeError, ValueError
        For what is no mask, or another number of inputs than the shape has cells.
    """
    stays = np.asarray(arguments.to_numpy(mask))
    if stays.dtype != np.bool_ or stays.ndim < 2:
        raise TypeError(f"mask must be bool, [..., out, in]; got {stays.dtype} of shape {stays.shape}")
    if stays.shape[-1] != int(np.prod(shape)):
        raise ValueError(f"shape must have {stays.shape[-1]} cells, one per input; got {tuple(shape)}")
    top = arguments.real("most", most, 0, 1) or 1.0
    shares = 100 * stays.reshape(-1, stays.shape[-1]).mean(axis=0)
    image = ax.imshow(shares.reshape(shape), cmap=style.HEAT, vmin=0, vmax=100 * top)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    names = f"brightest: {100 * top:.0f} %", f"{shape[0]} × {shape[1]} inputs"
    describe(ax, *names, title or kept_sentence(shares))
    return image


def kept_sentence(shares: ArrayLike) -> str:
    """Return in one sentence how unevenly the weights that stay are spread over the inputs.

    Parameters
    ----------
    shares : array_like
        What stays at each input, in per cent.

    Returns
    -------
    str
        The sentence.
    """
    found = np.asarray(shares, dtype=np.float64)
    return f"{found.mean():.0f} % stay: {found.min():.0f} to {found.max():.0f} % per input"


@style.look()
def break_even(
    ax: Axes,
    sparsities: ArrayLike,
    ratios: Sequence[Interval] | Mapping[str, Sequence[Interval]],
    *,
    title: str = "",
) -> list[Artist]:
    """Draw how many times as fast as the dense product a sparse one is, with intervals, on octaves.

    Below 1×, where zeros cost time, the ground is shaded.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    sparsities : array_like
        Shares from 0 to 1, ascending, [sparsities].
    ratios : sequence of Interval or mapping of str to these
        One per sparsity, above zero, as ``Comparison.ratio`` returns them; or up to four lists by name.
    title : str, optional
        The title; by default a sentence that the numbers decide.

    Returns
    -------
    list of Artist
        The lines, their names and intervals.

    Raises
    ------
    TypeError
        For ratios that are not Intervals.
    ValueError
        For lengths that differ, shares that do not ascend or a ratio that is not above zero.
    """
    shares = ascending("sparsities", sparsities)
    named = ratios if isinstance(ratios, Mapping) else {"CSR": ratios}
    columns = {name: _ratios(name, given, len(shares)) for name, given in named.items()}
    ax.set_yscale("log", base=2)
    everything = np.concatenate([column.ravel() for column in columns.values()])
    ax.set_ylim(min(1, everything.min()) / 2**FREE, max(1, everything.max()) * 2**FREE)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}×"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.axhspan(0.0, 1.0, color=style.PALE, alpha=0.5, linewidth=0, zorder=0)
    ax.axhline(1.0, color=style.INK, linewidth=1.2, zorder=1)
    name, column = next(iter(columns.items()))
    labels: dict[str, Any] = {"x_label": "zeros (%)", "y_label": "speed-up over the dense product"}
    sentence = title or pays(name, shares, column[:, 1])
    centers = {name: column[:, 0] for name, column in columns.items()}
    made = lines(ax, 100 * shares, centers, **labels, title=sentence)
    for number, column in enumerate(columns.values()):
        look: dict[str, Any] = {"color": style.SERIES[number], "linewidth": 3, "alpha": 0.55}
        made.append(ax.vlines(100 * shares, column[:, 1], column[:, 2], **look))
    ax.text(0.015, 0.98, "above 1×: zeros save time", transform=ax.transAxes, va="top")
    ax.text(0.985, 0.02, "below 1×: zeros cost time", transform=ax.transAxes, ha="right")
    return made


def fall(sparsities: ArrayLike, medians: ArrayLike) -> str:
    """Return in one sentence up to which sparsity the accuracy stays within a point of the first one.

    Parameters
    ----------
    sparsities : array_like
        Shares, ascending, [sparsities].
    medians : array_like
        The accuracies, 0 to 1, [sparsities].

    Returns
    -------
    str
        The sentence.
    """
    within = np.asarray(medians) >= np.asarray(medians)[0] - POINT
    steady = int(np.logical_and.accumulate(within).sum())
    share = f"{100 * np.asarray(sparsities)[steady - 1]:.3g} %"
    if steady == len(within):
        return f"Up to {share} pruned, accuracy stays within a point"
    return f"Beyond {share} pruned, accuracy falls by more than a point"


def pays(name: str, sparsities: ArrayLike, lows: ArrayLike) -> str:
    """Return in one sentence from which sparsity on the interval lies above 1×.

    Parameters
    ----------
    name : str
        What the product is called.
    sparsities : array_like
        Shares, ascending, [sparsities].
    lows : array_like
        The lower ends of the speed-ups' intervals, [sparsities].

    Returns
    -------
    str
        The sentence.
    """
    faster = np.asarray(lows) > 1
    tail = int(np.logical_and.accumulate(faster[::-1]).sum())
    if tail:
        return f"{name} pays off from {100 * np.asarray(sparsities)[-tail]:.3g} % zeros on"
    return f"{name} pays off {'only at some sparsities' if faster.any() else 'at no measured sparsity'}"


def kept_colours() -> Colormap:
    """Return the course's heat colours without their dark end, which is for what was pruned.

    Returns
    -------
    Colormap
        The colour map; cells without a value are black.
    """
    bright = mpl.colormaps[style.HEAT](np.linspace(DARKEST_KEPT, 1, 256))
    return ListedColormap(bright).with_extremes(bad="black")


def ascending(name: str, given: ArrayLike) -> NDArray[np.float64]:
    """Return shares as an array.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    given : array_like
        The shares, [n].

    Returns
    -------
    ndarray of float64
        The shares, [n].

    Raises
    ------
    ValueError
        Unless they ascend from 0 or more to 1 or less.
    """
    shares = arguments.array(name, given, np.float64, ndim=1)
    if (np.diff(shares) <= 0).any() or shares[0] < 0 or shares[-1] > 1:
        raise ValueError(f"{name} must ascend within 0 to 1; got {shares.tolist()}")
    return shares


def _seeds(name: str, given: Any, count: int | None = None) -> NDArray[np.float64]:
    seeds = arguments.array(name, given, np.float64, ndim=2)
    if count is not None and len(seeds) != count:
        raise ValueError(f"{name} must be [{count} sparsities, seeds]; got shape {seeds.shape}")
    if seeds.min() < 0 or seeds.max() > 1:
        raise ValueError(f"{name} must lie within 0 to 1; got {seeds.min():g} to {seeds.max():g}")
    return seeds


def _masked(weights: Any, mask: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = arguments.array("weights", weights, np.float64)
    stays = np.asarray(arguments.to_numpy(mask))
    if stays.dtype != np.bool_:
        raise TypeError(f"mask must be bool, True where a weight stays; got {stays.dtype}")
    if stays.shape != values.shape:
        raise ValueError(f"mask must have the weights' shape {values.shape}; got {stays.shape}")
    return values.ravel(), stays.ravel()


def _ratios(name: str, given: Sequence[Interval], count: int) -> NDArray[np.float64]:
    """Return [sparsities, (value, low, high)]."""
    numbers = [[getattr(ratio, part) for part in ("value", "low", "high")] for ratio in given]
    column = arguments.array(name, numbers, np.float64, ndim=2)
    if len(column) != count:
        raise ValueError(f"{name} must hold {count} ratios, one per sparsity; got {len(column)}")
    if (column <= 0).any():
        raise ValueError(f"{name} must be above zero: a ratio of two durations; got {column.min()}")
    if (column[:, 0] < column[:, 1]).any() or (column[:, 0] > column[:, 2]).any():
        raise ValueError(f"{name}: low and high must enclose value: low <= value <= high")
    return column
