"""The panel that compares one scale for a whole matrix with one scale per output channel."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.plots import style
from coursekit.plots.quantized import error_map
from coursekit.quantization import quantize, sqnr
from coursekit.widgets.panel import Panel, View

__all__ = ["ChannelHeatmapView", "channel_heatmap", "typical_weights"]

ROWS, COLUMNS, SEED = 8, 16, 11
SMALLEST, LARGEST = 0.005, 0.4  # the typical weights of the first and the last row
MOST_LABELS = 16
FULL = 100.0  # percent: an error as large as the channel's typical weight
BAR_LIMIT = 140.0


def channel_heatmap(weights: ArrayLike | None = None, bits: int = 4) -> Panel:
    """Return a panel that shows where ``weights`` lose their values at ``bits``.

    Parameters
    ----------
    weights : array_like, optional
        Finite weights [output channels, inputs], not all zero. Default: eight channels of very different
        size.
    bits : int
        2 to 8.

    Returns
    -------
    Panel
        Controls: bits, outlier (enlarges one weight in the middle channel).

    Raises
    ------
    TypeError, ValueError
        For weights that are not such a matrix, or other bits.
    """
    matrix = arguments.array("weights", _sample() if weights is None else weights, ndim=2)
    if not matrix.any():
        raise ValueError("weights must not be all zero: there is no range to divide into levels")
    controls = {
        "bits": ipywidgets.IntSlider(arguments.integer("bits", bits, 2, 8), 2, 8, description="bits"),
        "outlier": ipywidgets.FloatSlider(1.0, min=1.0, max=20.0, step=0.5, description="outlier ×"),
    }
    return Panel(ChannelHeatmapView(matrix), controls)


class ChannelHeatmapView(View):
    """Two maps of the same errors, per tensor and per channel, with the mean of each channel beside.

    Parameters
    ----------
    weights : ndarray of float32
        [out, in].
    """

    alt = (
        "Two heatmaps of quantization errors, relative to each channel's typical weight: on the left with "
        "one scale for the whole matrix, on the right with one per channel; bars show each channel's mean."
    )

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__()
        self.weights = weights
        self.typical = typical_weights(weights)
        row = len(weights) // 2
        self.outlier = row, int(np.argmax(np.abs(weights[row])))
        with style.look():
            grid = self.figure.add_gridspec(1, 5, width_ratios=(16, 4, 16, 4, 0.9))
            axes = [self.figure.add_subplot(grid[0, column]) for column in range(5)]
            self.maps: list[AxesImage] = []
            self.titles: list[Text] = []
            self.bars: list[Any] = []
            for cells, beside in ((axes[0], axes[1]), (axes[2], axes[3])):
                self._map(cells)
                self._means(beside)
            self._label(axes)

    def _map(self, ax: Axes) -> None:
        self.maps.append(error_map(ax, np.zeros(self.weights.shape), limit=FULL))
        self.maps[-1].set_zorder(3)
        self.titles.append(ax.set_title(" ", fontweight="normal", zorder=5))
        row, column = self.outlier
        ring: dict[str, Any] = {
            "markersize": 11,
            "markerfacecolor": "none",
            "markeredgecolor": style.VERMILLION,
            "markeredgewidth": 2,
        }
        (mark,) = ax.plot(column, row, "o", zorder=4, **ring)
        ax.set_xlabel(f"{self.weights.shape[1]} inputs; ring: outlier")
        self.moving += [self.maps[-1], self.titles[-1], mark]

    def _means(self, ax: Axes) -> None:
        count = len(self.weights)
        ax.set_xlim(0, BAR_LIMIT)
        ax.set_ylim(count - 0.5, -0.5)
        ax.set_yticks([])
        ax.set_xticks([0, 100])
        ax.set_xlabel("mean (%)")
        edges = np.arange(count + 1) - 0.5
        look: dict[str, Any] = {"facecolor": style.VERMILLION, "edgecolor": "white", "zorder": 3}
        bars = ax.stairs(np.zeros(count), edges, orientation="horizontal", fill=True, **look)
        self.bars.append(bars)
        self.moving.append(bars)

    def _label(self, axes: list[Axes]) -> None:
        bar = self.figure.colorbar(self.maps[0], cax=axes[4], extend="max")
        bar.set_label("error (% of the channel's typical weight)")
        bar.outline.set_visible(False)
        axes[0].set_ylabel("typical weight of the channel")
        if len(self.weights) <= MOST_LABELS:
            axes[0].set_yticks(range(len(self.weights)), [significant(size, 2) for size in self.typical])
            axes[0].tick_params(axis="y", length=0)
        self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def update(self, bits: int, outlier: float) -> dict[str, Any]:
        """Quantize with one weight made larger.

        Parameters
        ----------
        bits : int
            How many bits a weight gets.
        outlier : float
            How many times as large that weight is.

        Returns
        -------
        dict of str to object
            By name, for both scales; "lost" counts channels that became zero.
        """
        weights = self.weights.copy()
        weights[self.outlier] *= outlier
        shown: dict[str, Any] = {"bits": bits, "outlier": outlier}
        for number, (name, axis) in enumerate((("per_tensor", None), ("per_channel", 0))):
            stored = quantize(weights, bits, axis=axis)
            errors = np.abs(stored.error(weights))
            shown[f"{name}_sqnr"] = sqnr(weights, stored.dequantize())
            shown[f"{name}_max_error"] = float(errors.max())
            shown[f"{name}_row_error"] = 100 * errors.mean(axis=1) / self.typical
            shown[f"{name}_lost"] = int((weights.any(axis=1) & ~stored.q.any(axis=1)).sum())
            self.maps[number].set_data(100 * errors / self.typical[:, None])
            self.bars[number].set_data(np.minimum(shown[f"{name}_row_error"], BAR_LIMIT))
        self._say(shown)
        return shown

    def _say(self, shown: dict[str, Any]) -> None:
        one, many = shown["per_tensor_sqnr"], shown["per_channel_sqnr"]
        self.titles[0].set_text(f"one scale: {one:.1f} dB")
        self.titles[1].set_text(f"one per channel: {many:.1f} dB")
        lost, rows = shown["per_tensor_lost"], len(self.weights)
        channels = "channel becomes" if lost == 1 else "channels become"
        ruin = f"one scale for all: {lost} of {rows} {channels} zero"
        calm = "no channel becomes zero, with one scale or many"
        self.title.set_text(f"{shown['bits']} bits, {ruin if lost else calm}")


def typical_weights(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median size of each row's weights, which an outlier does not move; 1 for a row of zeros.

    Where more than half of a row is zero, the mean size stands in.

    Parameters
    ----------
    weights : ndarray of float32
        [out, in].

    Returns
    -------
    ndarray of float64
        [out].
    """
    sizes = np.abs(weights).astype(np.float64)
    median, mean = np.median(sizes, axis=1), sizes.mean(axis=1)
    return np.where(median > 0, median, np.where(mean > 0, mean, 1.0))


def _sample() -> NDArray[np.float32]:
    drawn = np.random.default_rng(SEED).normal(size=(ROWS, COLUMNS))
    sizes = np.geomspace(SMALLEST, LARGEST, ROWS)[:, None]
    return (drawn / np.median(np.abs(drawn), axis=1, keepdims=True) * sizes).astype(np.float32)
