"""The panel that prunes trained networks step by step, weight by weight or neuron by neuron."""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from coursekit import runtime
from coursekit._core import arguments
from coursekit.models import Ensemble
from coursekit.plots import style
from coursekit.plots.comparison import BAND_ALPHA, describe
from coursekit.plots.pruning import BAND, PERCENT, matrix
from coursekit.pruning import masks_many, structured_many
from coursekit.widgets.panel import Panel, View

SHARES = (*(step / 20 for step in range(20)), 0.97, 0.99)
MODES = ("unstructured", "structured")
THINGS = dict(zip(MODES, ("weights", "neurons"), strict=True))
BINS = 40
AT_THE_EDGE = 0.03  # of accuracy: the panel starts where no more than that is lost, and the cliff comes next


def pruning(networks: Ensemble, x: ArrayLike, y: ArrayLike, *, network: int = 0) -> Panel:
    """Return a panel that prunes ``networks`` and shows what is left of their accuracy on ``x`` and ``y``.

    networks: a models.Ensemble; x [n, features], y class numbers [n]; matrix and histogram show number
    ``network``. Controls: share, mode (the smallest weights, or the weakest neurons). Every accuracy is
    measured once, when the panel is made; the band holds the middle 80 % of the networks.
    Errors: TypeError or ValueError for what is no Ensemble, has no hidden layer, or does not fit.
    """
    if not isinstance(networks, Ensemble):
        raise TypeError(f"networks must be a models.Ensemble; got {type(networks).__name__}")
    if len(networks.weights) < 2:
        raise ValueError(f"networks must have a hidden layer, or no neuron can go; got {networks.widths}")
    network = arguments.integer("network", network, 0, len(networks) - 1)
    cuts = {mode: _cuts(mode, networks, x, y, network) for mode in MODES}
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


@dataclass(frozen=True, eq=False)
class Cut:
    """One share pruned in one way: what goes of the network shown, and the accuracy of all networks.

    cells: [out, in], True where the first layer keeps a weight. sizes: magnitudes of the weights, or norms of
    the first layer's neurons, as shares of the largest; stays: which of them stay. accuracies: [networks].
    """

    cells: NDArray[np.bool_]
    sizes: NDArray[np.float64]
    stays: NDArray[np.bool_]
    accuracies: NDArray[np.float64]

    @property
    def threshold(self) -> float:
        """The largest size that goes, 0 where nothing does."""
        return float(self.sizes[~self.stays].max(initial=0))

    @property
    def band(self) -> tuple[float, float, float]:
        """The median accuracy and the ends of the middle 80 % of the networks."""
        return tuple(float(part) for part in np.quantile(self.accuracies, (0.5, *BAND)))

    def bars(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the histogram's (edges, all, those that go), relative to the highest bar."""
        everything, edges = np.histogram(self.sizes, BINS, (0, 1))
        gone, _ = np.histogram(self.sizes[~self.stays], edges)
        return edges, everything / everything.max(), gone / everything.max()


class PruningView(View):
    """The first layer's matrix, the histogram with the threshold, and the accuracies with their bands."""

    alt = (
        "On the left a weight matrix with its pruned cells black; beside it the histogram of sizes, dark up "
        "to the threshold, above the accuracy against the share pruned, with a band over the networks: it "
        "stays level for long and then falls like a cliff."
    )

    def __init__(self, magnitudes: NDArray[np.float32], cuts: dict[str, tuple[Cut, ...]]) -> None:
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
        self.stays = ax.stairs(heights, edges, fill=True, color=style.BLUE, zorder=3)
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
        ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": style.INK}
        (self.here,) = ax.plot([], [], "o", markeredgewidth=2, zorder=5, clip_on=False, **ring)
        self.reading = ax.set_title(" ", fontweight="normal", zorder=5)
        self.moving += [self.here, self.reading]

    def _line(self, ax: Axes, mode: str, height: float) -> tuple[Artist, ...]:
        """Draw the line of one mode, its band and, at ``height``, its name with a piece of the line."""
        middle, low, high = 100 * np.array([cut.band for cut in self.cuts[mode]]).T
        shares, dash = 100 * np.array(SHARES), style.DASHES[MODES.index(mode)]
        band = ax.fill_between(shares, low, high, linewidth=0, alpha=BAND_ALPHA)
        (line,) = ax.plot(shares, middle, dash)
        key = Line2D([0.04, 0.13], [height] * 2, linestyle=dash, transform=ax.transAxes)
        ax.text(0.16, height, THINGS[mode], va="center", transform=ax.transAxes)
        made = band, line, ax.add_line(key)
        self.moving += made
        return made

    def edge(self, mode: str) -> float:
        """Return the last share before the accuracy is more than three points below that of the dense."""
        medians = np.array([cut.band[0] for cut in self.cuts[mode]])
        steady = np.logical_and.accumulate(medians > medians[0] - AT_THE_EDGE)
        return SHARES[int(steady.sum()) - 1]

    def update(self, share: float, mode: str) -> dict[str, Any]:
        """Prune ``share`` of the weights or neurons; ``low`` to ``high`` holds 80 % of the networks."""
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
        edges, everything, gone = cut.bars()
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


def _cuts(mode: str, networks: Ensemble, x: ArrayLike, y: ArrayLike, network: int) -> tuple[Cut, ...]:
    cut = _weights if mode == "unstructured" else _neurons
    with runtime.threads(1):
        return tuple(cut(networks, share, x, y, network) for share in SHARES)


def _weights(networks: Ensemble, share: float, x: ArrayLike, y: ArrayLike, network: int) -> Cut:
    masks = masks_many(networks, share)
    pruned = networks.replace([w * m for w, m in zip(networks.weights, masks, strict=True)])
    sizes = torch.cat([weight[network].abs().flatten() for weight in networks.weights])
    stays = torch.cat([mask[network].flatten() for mask in masks])
    return _cut(masks[0][network], sizes, stays, pruned.accuracy(x, y))


def _neurons(networks: Ensemble, share: float, x: ArrayLike, y: ArrayLike, network: int) -> Cut:
    pruned = structured_many(networks, share)
    stays = pruned.weights[0][network].any(dim=1)
    sizes = networks.weights[0][network].norm(dim=1)
    cells = stays.unsqueeze(1).expand_as(pruned.weights[0][network])
    return _cut(cells, sizes, stays, pruned.accuracy(x, y))


def _cut(
    cells: torch.Tensor, sizes: torch.Tensor, stays: torch.Tensor, accuracies: NDArray[np.float64]
) -> Cut:
    relative = (sizes / sizes.max().clamp(min=torch.finfo(sizes.dtype).tiny)).double()
    return Cut(cells.cpu().numpy(), relative.cpu().numpy(), stays.cpu().numpy(), accuracies)
