"""The panel that prunes trained networks step by step, weight by weight or neuron by neuron."""

from collections.abc import Mapping
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from coursekit.models import Ensemble
from coursekit.plots import style
from coursekit.plots.comparison import BAND_ALPHA, describe
from coursekit.plots.pruning import PERCENT, matrix
from coursekit.pruning.sweeps import MODES, Cut, Mode, last_steady, sweep
from coursekit.widgets.panel import Panel, View

__all__ = ["SHARES", "PruningView", "pruning"]

SHARES = (*(step / 20 for step in range(20)), 0.97, 0.99)
THINGS: dict[Mode, str] = {"unstructured": "weights", "structured": "neurons"}
BINS = 40
AT_THE_EDGE = 0.03  # of accuracy: the panel starts where no more than that is lost, and the cliff comes next


def pruning(networks: Ensemble, x: ArrayLike, y: ArrayLike, *, network: int = 0) -> Panel:
    """Return a panel that prunes ``networks`` and shows what is left of their accuracy.

    Every accuracy is measured once, when the panel is made; the band holds the middle 80 % of the networks.

    Parameters
    ----------
    networks : models.Ensemble
        Trained networks with a hidden layer.
    x, y : array_like
        Examples [n, features] and their class numbers [n].
    network : int
        The network whose matrix and histogram are shown.

    Returns
    -------
    Panel
        Controls: share, mode (the smallest weights, or the weakest neurons).

    Raises
    ------
    TypeError, ValueError
        For what is not an Ensemble, has no hidden layer, or does not fit.
    """
    cuts = {mode: sweep(networks, x, y, SHARES, mode=mode, network=network) for mode in MODES}
    view = PruningView(networks.weights[0][network].abs().cpu().numpy(), cuts)
    labelled = [(f"{100 * share:.0f} %", share) for share in SHARES]
    controls = {
        "share": ipywidgets.SelectionSlider(
            options=labelled, value=view.edge("unstructured"), description="pruned"
        ),
        "mode": ipywidgets.ToggleButtons(
            options=[(f"{THINGS[mode]} ({mode})", mode) for mode in MODES],
            value=MODES[0],
            description="what",
            style={"button_width": "auto"},
        ),
    }
    return Panel(view, controls)


class PruningView(View):
    """The first layer's matrix, the histogram with the threshold, and the accuracies with their bands.

    Parameters
    ----------
    magnitudes : ndarray of float32
        The first layer's, [out, in].
    cuts : mapping of Mode to tuple of Cut
        What each share leaves, by mode.
    """

    alt = (
        "On the left a weight matrix with its pruned cells black; beside it the histogram of sizes, dark up "
        "to the threshold, above the accuracy against the share pruned, with a band over the networks: it "
        "stays level for long and then falls like a cliff."
    )

    def __init__(self, magnitudes: NDArray[np.float32], cuts: Mapping[Mode, tuple[Cut, ...]]) -> None:
        super().__init__()
        self.magnitudes, self.cuts = magnitudes, cuts
        with style.look():
            grid = self.figure.add_gridspec(2, 2, width_ratios=(1, 1.7), height_ratios=(1, 1.5))
            self._matrix(self.figure.add_subplot(grid[:, 0]))
            self._histogram(self.figure.add_subplot(grid[0, 1]))
            self._accuracy(self.figure.add_subplot(grid[1, 1]))
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def _matrix(self, ax: Axes) -> None:
        self.cells = matrix(ax, self.magnitudes)
        ax.set_title("first layer", fontweight="normal")
        self.cells.set_zorder(3)
        self.moving.append(self.cells)

    def _histogram(self, ax: Axes) -> None:
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.08)
        ax.set_yticks([])
        describe(ax, "size (1: the largest)", "how many")
        heights, edges = np.zeros(BINS), np.linspace(0, 1, BINS + 1)
        self.stays: Any = ax.stairs(heights, edges, fill=True, color=style.BLUE, zorder=3)
        self.goes = ax.stairs(heights, edges, fill=True, color="black", zorder=3.1)
        self.threshold = ax.axvline(0, color=style.VERMILLION, linewidth=2, zorder=4)
        self.count = ax.set_title(" ", fontweight="normal", zorder=5)
        self.moving += [self.stays, self.goes, self.threshold, self.count]

    def _accuracy(self, ax: Axes) -> None:
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 105)
        ax.yaxis.set_major_formatter(PERCENT)
        describe(ax, "pruned (%)", "accuracy")
        self.lines = {mode: self._line(ax, mode, 0.34 - 0.16 * row) for row, mode in enumerate(MODES)}
        ring: dict[str, Any] = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": style.INK}
        (self.here,) = ax.plot([], [], "o", markeredgewidth=2, zorder=5, clip_on=False, **ring)
        self.reading = ax.set_title(" ", fontweight="normal", zorder=5)
        self.moving += [self.here, self.reading]

    def _line(self, ax: Axes, mode: Mode, height: float) -> tuple[Artist, ...]:
        """Draw the line of one mode, its band and, at ``height``, its name with a piece of the line."""
        middle, low, high = 100 * np.array([cut.band for cut in self.cuts[mode]]).T
        shares, dash = 100 * np.array(SHARES), style.DASHES[MODES.index(mode)]
        band = ax.fill_between(shares, low, high, linewidth=0, alpha=BAND_ALPHA)
        (line,) = ax.plot(shares, middle, dash)
        key = Line2D([0.04, 0.13], [height] * 2, linestyle=line.get_linestyle(), transform=ax.transAxes)
        ax.text(0.16, height, THINGS[mode], va="center", transform=ax.transAxes)
        made = band, line, ax.add_line(key)
        self.moving += made
        return made

    def edge(self, mode: Mode) -> float:
        """Return the last share before the accuracy is more than three points below that of the dense.

        Parameters
        ----------
        mode : Mode
            Whether weights or neurons are pruned.

        Returns
        -------
        float
            One of SHARES.
        """
        return SHARES[last_steady(self.cuts[mode], AT_THE_EDGE)]

    def update(self, share: float, mode: Mode) -> dict[str, Any]:
        """Prune a share of the weights or neurons.

        Parameters
        ----------
        share : float
            One of SHARES.
        mode : Mode
            Whether weights or neurons are pruned.

        Returns
        -------
        dict of str to object
            By name; ``low`` to ``high`` holds 80 % of the networks.
        """
        cut, dense = self.cuts[mode][SHARES.index(share)], self.cuts[mode][0].band[0]
        middle, low, high = cut.band
        shown = {
            "share": share,
            "mode": mode,
            "gone": int(np.count_nonzero(~cut.stays)),
            "total": len(cut.stays),
            "threshold": cut.threshold,
            "accuracy": middle,
            "low": low,
            "high": high,
            "lost": dense - middle,
        }
        edges, everything, gone = _bars(cut)
        self.stays.set_data(everything, edges, gone)
        self.goes.set_data(gone, edges, 0)
        self.threshold.set_xdata([cut.threshold] * 2)
        self.cells.set_data(np.where(cut.cells, self.magnitudes, np.nan))
        self.here.set_data([100 * share], [100 * middle])
        for name, artists in self.lines.items():
            for artist in artists:
                artist.set(color=style.BLUE if name == mode else style.GREY, zorder=4 if name == mode else 3)
        self._say(shown)
        return shown

    def _say(self, shown: dict[str, Any]) -> None:
        things, lost = THINGS[shown["mode"]], 100 * shown["lost"]
        self.count.set_text(f"{shown['gone']:,} of {shown['total']:,} {things} go")
        self.reading.set_text(
            f"median {100 * shown['accuracy']:.1f} %, "
            f"band {100 * shown['low']:.1f} to {100 * shown['high']:.1f}"
        )
        price = f"{lost:.1f} points of accuracy lost" if lost >= 0.05 else "no accuracy lost"
        share = f"{100 * shown['share']:.0f} % of the {things} pruned: {price}"
        self.title.set_text(share if shown["gone"] else "Nothing pruned yet: all of the accuracy is there")


def _bars(cut: Cut) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the histogram's (edges, all, those that go), relative to the highest bar."""
    everything, edges = np.histogram(cut.sizes, BINS, (0, 1))
    gone, _ = np.histogram(cut.sizes[~cut.stays], edges)
    return edges, everything / everything.max(), gone / everything.max()
