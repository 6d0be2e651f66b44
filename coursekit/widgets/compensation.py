"""The panel that rounds a row of weights column by column and hands the error on, or does not."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.gain_map import SIGNED
from coursekit.quantization.one_row import Handling, error_steps
from coursekit.widgets.panel import Panel, View

__all__ = ["ORDERS", "SIGNS", "CompensationView", "compensation"]

ORDERS = {"left to right": False, "largest inputs first": True}
SIGNS: dict[str, Handling] = {"right (−)": "handed on", "the lecture's (+)": "wrong sign"}
COLUMNS, EXAMPLES, CAUSES, OWN = 14, 200, 4, 0.5
SEED = 285  # of 300, one whose errors are related as they are in the median at 3 bits
FEWEST, MOST = 2, 32
LIMIT = 0.5  # of a level, the most that rounding alone changes: the colour's end
LEAST = 0.05  # of a level: what is less is not written
MOST_NUMBERS = 16  # columns whose cells have room for a number


def compensation(weights: ArrayLike | None = None, inputs: ArrayLike | None = None, bits: int = 3) -> Panel:
    """Return a panel that shows how GPTQ hands each column's rounding error on to those that wait.

    Parameters
    ----------
    weights : array_like, optional
        One row of a weight matrix, 2 to 32 numbers, not all 0. Default: 14 random ones.
    inputs : array_like, optional
        What the row is multiplied with, [n, columns], more examples than columns. Default: random ones that
        have much in common.
    bits : int
        2 to 8.

    Returns
    -------
    Panel
        Controls: column (how many are rounded), order, sign of the correction.

    Raises
    ------
    TypeError, ValueError
        For other shapes or numbers, and where only one of weights and inputs is given.
    """
    if (weights is None) != (inputs is None):
        raise ValueError("weights and inputs must be given both or not at all; got one of them")
    row, examples = _sample() if weights is None else (weights, inputs)
    view = CompensationView(*_checked(row, examples), arguments.integer("bits", bits, 2, 8))
    last = len(view.weights)
    buttons = {"button_width": "auto"}
    controls = {
        "column": ipywidgets.IntSlider(last, 0, last, description="rounded"),
        "order": ipywidgets.ToggleButtons(options=ORDERS, value=False, description="order", style=buttons),
        "sign": ipywidgets.ToggleButtons(
            options=SIGNS, value="handed on", description="correction", style=buttons
        ),
    }
    return Panel(view, controls)


class CompensationView(View):
    """What has changed in the row, alone and with the error handed on, and both output errors below.

    Parameters
    ----------
    weights : ndarray
        The row, [columns].
    inputs : ndarray
        What it is multiplied with, [n, columns].
    bits : int
        Per weight.
    """

    alt = (
        "Above, two strips of colour show how much each weight of a row has changed: where every column is "
        "rounded alone, and where each error is handed on to the columns that wait. Below, the error of the "
        "row's output so far grows with the columns rounded, for both."
    )

    def __init__(self, weights: NDArray[np.float64], inputs: NDArray[np.float64], bits: int) -> None:
        super().__init__()
        self.weights, self.bits = weights, bits
        products = inputs.T @ inputs / len(inputs)
        handlings: tuple[Handling, ...] = ("kept", *SIGNS.values())
        self.runs = {
            (handling, by_size): error_steps(weights, products, bits, handling=handling, act_order=by_size)
            for handling in handlings
            for by_size in ORDERS.values()
        }
        with style.look():
            above, below = self.figure.subplots(2, 1, height_ratios=(1, 1.7))
            for ax in (above, below):
                style.keep_type_size(ax)
            self._strips(above)
            self._errors(below)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def _strips(self, ax: Axes) -> None:
        look: dict[str, Any] = {"cmap": SIGNED, "vmin": -LIMIT, "vmax": LIMIT, "aspect": "auto"}
        self.strips = ax.imshow(np.zeros((2, len(self.weights))), interpolation="nearest", zorder=3, **look)
        ax.set_yticks([0, 1], ["alone", "handed on"])
        ax.set_xticks(range(len(self.weights)), [str(n + 1) for n in range(len(self.weights))])
        ax.tick_params(length=0)
        between = ax.axhline(0.5, color=style.GREY, linewidth=1, zorder=4)
        ax.set_xlabel("column of the weight matrix (dot: rounded); numbers: change in levels")
        (self.done,) = ax.plot([], [], "o", color=style.INK, markersize=4.5, zorder=5)
        columns = range(len(self.weights)) if len(self.weights) <= MOST_NUMBERS else ()
        look = {"ha": "center", "va": "center", "fontsize": style.TYPE * 0.8, "zorder": 6, "color": "black"}
        self.numbers = [[ax.text(column, row - 0.08, "", **look) for column in columns] for row in (0, 1)]
        self.moving += [self.strips, between, self.done, *self.numbers[0], *self.numbers[1]]

    def _errors(self, ax: Axes) -> None:
        most = max(float(run.errors.max()) for run in self.runs.values())
        ax.set_ylim(0, 1.1 * most or 1.0)
        ax.set_xlim(0, len(self.weights) + 0.2)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        describe(ax, "columns rounded", "error of the output (%)")
        self.lines = []
        for number, name in enumerate(("alone", "handed on")):
            colour, marker, dash = style.SERIES[number], style.MARKERS[number], style.DASHES[number]
            (all_of_it,) = ax.plot([], [], dash, color=colour, linewidth=1, alpha=0.5, zorder=3)
            (line,) = ax.plot([], [], dash, color=colour, marker=marker, markersize=5, zorder=4, label=name)
            self.lines.append((all_of_it, line))
            self.moving += [all_of_it, line]
        ax.legend(loc="upper left", handlelength=2.6)

    def update(self, column: int, order: bool, sign: Handling) -> dict[str, Any]:
        """Show the row with so many columns rounded.

        Parameters
        ----------
        column : int
            How many are rounded, from 0 to all.
        order : bool
            Whether the columns with the largest inputs come first.
        sign : str
            "handed on" or "wrong sign".

        Returns
        -------
        dict of str to object
            By name.
        """
        runs = [self.runs[handling, order] for handling in ("kept", sign)]
        changes = np.array([run.states[column] - self.weights for run in runs]) / runs[0].scale
        self.strips.set_data(changes)
        for texts, row in zip(self.numbers, changes, strict=True):
            for text, change in zip(texts, row, strict=False):
                text.set_text(f"{change:+.1f}".replace("-", "−") if abs(change) >= LEAST else "")
        rounded = runs[0].order[:column]
        self.done.set_data(np.tile(rounded, 2), np.repeat([0.33, 1.33], len(rounded)))
        for run, (all_of_it, line) in zip(runs, self.lines, strict=True):
            all_of_it.set_data(range(len(run) + 1), run.errors)
            line.set_data(range(column + 1), run.errors[: column + 1])
        alone, handed_on = (float(run.errors[column]) for run in runs)
        shown = {"column": column, "order": runs[0].order.tolist(), "sign": sign, "changes": changes}
        shown |= {"alone": alone, "handed_on": handed_on}
        self.title.set_text(self._sentence(column, sign, alone, handed_on))
        return shown

    def _sentence(self, column: int, sign: Handling, alone: float, handed_on: float) -> str:
        if not column:
            return "No column is rounded yet: the output is exact"
        how = "Handed on" if sign == "handed on" else "Wrong sign"
        where = f"{how}, {column} of {len(self.weights)}"
        if not alone:
            return f"{where}: rounding alone has lost nothing yet"
        return f"{where}: {handed_on / alone:.2f} × the error of rounding alone"


def _checked(weights: Any, inputs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    row = arguments.array("weights", weights, np.float64, ndim=1)
    if not FEWEST <= len(row) <= MOST:
        raise ValueError(f"weights must be one row of {FEWEST} to {MOST} numbers; got {len(row)}")
    examples = arguments.array("inputs", inputs, np.float64, ndim=2)
    if examples.shape[1] != len(row):
        raise ValueError(f"inputs must be [n, {len(row)}], as weights are [{len(row)}]; got {examples.shape}")
    return row, examples


def _sample() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a random row, and inputs that share a few causes, as the activations of a network do."""
    random = np.random.default_rng(SEED)
    causes = random.normal(size=(EXAMPLES, CAUSES)) @ random.normal(size=(CAUSES, COLUMNS))
    inputs = (causes + OWN * random.normal(size=(EXAMPLES, COLUMNS))) * random.uniform(0.5, 1.5, COLUMNS)
    return random.normal(size=COLUMNS), inputs
