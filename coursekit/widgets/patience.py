"""The panel that shows when a teacher helps: temperature, weight and length of training, all measured."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.patches import Rectangle

from coursekit.distillation.gain_grid import GainGrid, sentence, signed
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.gain_map import gain_map
from coursekit.widgets.panel import Panel, View

__all__ = ["PatienceView", "patience"]

FREE = 0.12  # of the range of gains, left free above and below


def patience(results: GainGrid) -> Panel:
    """Return a panel over measured gains of distilled students over those with labels alone.

    It starts after the longest training, in the middle of the map.

    Parameters
    ----------
    results : distillation.GainGrid
        What was measured.

    Returns
    -------
    Panel
        Controls: epochs, temperature, alpha.

    Raises
    ------
    TypeError
        If ``results`` is not a GainGrid.
    """
    if not isinstance(results, GainGrid):
        raise TypeError(f"results must be a GainGrid; got {type(results).__name__}")
    choices = {
        "epochs": (results.epochs, results.epochs[-1]),
        "temperature": (results.temperatures, results.temperatures[len(results.temperatures) // 2]),
        "alpha": (results.alphas, results.alphas[len(results.alphas) // 2]),
    }
    controls = {
        name: ipywidgets.SelectionSlider(options=options, value=value, description=name)
        for name, (options, value) in choices.items()
    }
    return Panel(PatienceView(results), controls)


class PatienceView(View):
    """The map of mean gains after some epochs, and the gain of every seed in the chosen cell.

    Parameters
    ----------
    results : GainGrid
        The measured gains.
    """

    alt = (
        "On the left a map of the points that a teacher adds, over temperature and alpha; on the right the "
        "gain of every seed in the chosen cell, with the mean and its interval, against a line at zero."
    )

    def __init__(self, results: GainGrid) -> None:
        super().__init__()
        self.results = results
        with style.look():
            left, right = self.figure.subplots(1, 2, width_ratios=(5, 2))
            for ax in (left, right):
                style.keep_type_size(ax)
            self.map = gain_map(left, results)
            look: dict[str, Any] = {
                "facecolor": "none",
                "edgecolor": style.INK,
                "linewidth": 2.5,
                "zorder": 5,
            }
            self.ring = left.add_patch(Rectangle((0, 0), 1, 1, **look))
            self._seeds(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
            self.reading = left.set_title(" ", fontweight="normal", zorder=6)
        self.map.image.set_zorder(3)  # above the frame, which is drawn once
        artists = [self.map.image, *self.map.texts, self.ring, self.dots, self.bar, self.mean]
        self.moving = [*artists, self.title, self.reading]

    def _seeds(self, ax: Any) -> None:
        low, high = min(0.0, self.results.gain.min()), max(0.0, self.results.gain.max())
        free = FREE * (high - low) or 1.0
        ax.set_ylim(low - free, high + free)
        ax.set_xlim(-1, 1)
        ax.set_xticks([])
        ax.axhline(0, color=style.INK, linewidth=1.2)
        describe(ax, "one dot per seed", "points gained by the teacher")
        (self.dots,) = ax.plot([], [], "o", color=style.GREY, alpha=0.7, zorder=3)
        (self.bar,) = ax.plot([], [], color=style.BLUE, linewidth=4, solid_capstyle="butt", zorder=4)
        (self.mean,) = ax.plot([], [], "D", color=style.BLUE, markersize=9, zorder=5)

    def update(self, epochs: int, temperature: float, alpha: float) -> dict[str, Any]:
        """Show the map after some epochs, and one cell of it.

        Parameters
        ----------
        epochs : int
            One of the grid's.
        temperature : float
            One of the grid's.
        alpha : float
            One of the grid's.

        Returns
        -------
        dict of str to object
            By name, in points; ``verdict`` compares with labels alone.
        """
        gains = self.results.at(epochs, temperature, alpha)
        found = self.results.difference(epochs, temperature, alpha)
        self.map.show(self.results.means(epochs))
        row, column = self.results.temperatures.index(temperature), self.results.alphas.index(alpha)
        self.ring.set_bounds(column - 0.47, row - 0.47, 0.94, 0.94)
        self.dots.set_data(np.linspace(-0.75, -0.15, len(gains)), gains)
        self.bar.set_data([0.45, 0.45], [found.low, found.high])
        self.mean.set_data([0.45], [found.mean])
        self.title.set_text(
            f"After {epochs} epochs with T = {temperature:g}, alpha = {alpha:g}: {sentence(found)}"
        )
        interval = f"interval {signed(found.low)} to {signed(found.high)}"
        self.reading.set_text(f"{signed(found.mean)} points, {interval}, {self.results.seeds} seeds")
        shown = {"epochs": epochs, "temperature": temperature, "alpha": alpha, "gain": found.mean}
        return {**shown, "low": found.low, "high": found.high, "wins": found.wins, "verdict": found.verdict}
