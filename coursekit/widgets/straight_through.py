"""The panel that trains one weight through its own rounding, step by step."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes

from coursekit._core import arguments
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.quantization.one_weight import OneWeight
from coursekit.quantization.one_weight import straight_through as follow
from coursekit.widgets.panel import Panel, View

__all__ = ["BITS", "STEPS", "StraightThroughView", "straight_through"]

BITS = (2, 3, 4, 8)
STEPS = 600
RESTING = 400
MOST_POINTS = 4000  # of the staircase
ARROW = 0.16  # the length of the arrow along the weight's axis, as a share of it
DIGITS = 5


def straight_through(
    weight: float = 0.37, target: float = 0.45, *, largest: float = 0.7, lr: float = 0.005
) -> Panel:
    """Return a panel that shows the straight-through estimator on one weight.

    The loss is half the squared distance of the rounded weight to ``target``. With the lecture's numbers,
    which are the defaults, its gradient is -0.05 at first.

    Parameters
    ----------
    weight : float
        Where it starts, from -largest to largest.
    target : float
        What the loss wants, from -largest to largest.
    largest : float
        The last level, above 0.
    lr : float
        The learning rate, from 0 to 1.

    Returns
    -------
    Panel
        Controls: steps, bits.

    Raises
    ------
    TypeError, ValueError
        For other numbers.
    """
    runs = {bits: follow(weight, target, bits=bits, largest=largest, lr=lr, steps=STEPS) for bits in BITS}
    controls = {
        "steps": ipywidgets.IntSlider(RESTING, 0, STEPS, description="steps"),
        "bits": ipywidgets.SelectionSlider(options=BITS, value=4, description="bits"),
    }
    return Panel(StraightThroughView(runs, target, lr), controls)


class StraightThroughView(View):
    """The staircase with the weight on it, and beside it both weights as the steps go on.

    Parameters
    ----------
    runs : mapping of int to OneWeight
        What happens at each number of bits.
    target : float
        What the loss wants.
    lr : float
        The learning rate.
    """

    alt = (
        "On the left the staircase of rounding, with the weight on one of its steps and an arrow where the "
        "gradient pushes it, which the flat step alone would not; on the right the weight creeps with each "
        "step while its rounded value stays, and jumps where the weight passes a threshold."
    )

    def __init__(self, runs: dict[int, OneWeight], target: float, lr: float) -> None:
        super().__init__()
        arguments.instances("runs", list(runs.values()), OneWeight)
        self.runs, self.target, self.lr = runs, target, lr
        parts = [part for run in runs.values() for part in (run.latent, run.rounded)]
        low, high = min(target, *(part.min() for part in parts)), max(target, *(part.max() for part in parts))
        free = 0.08 * float(high - low) or 0.1
        self.low, self.high = float(low) - free, float(high) + free
        with style.look():
            left, right = self.figure.subplots(1, 2, width_ratios=(1, 1.35), sharey=True)
            for ax in (left, right):
                style.keep_type_size(ax)
                ax.axhline(target, color=style.INK, linewidth=1, linestyle=(0, (4, 3)))
            self._stairs(left)
            self._course(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
            self.first = right.set_title(" ", fontweight="normal", zorder=6)
        self.moving += [self.title, self.first]

    def _stairs(self, ax: Axes) -> None:
        ax.set_xlim(self.low, self.high)
        ax.set_ylim(self.low, self.high)
        describe(ax, "weight", "rounded weight")
        ends = [self.low, self.high]
        ax.plot(ends, ends, ":", color=style.GREY, linewidth=1.6)
        ax.text(1.0, self.target, "target", transform=ax.get_yaxis_transform(), ha="right", va="bottom")
        (self.stairs,) = ax.plot([], [], color=style.BLUE, zorder=3)
        (self.here,) = ax.plot(
            [], [], "o", color=style.ORANGE, markersize=10, markeredgecolor=style.INK, zorder=5
        )
        look = {
            "arrowstyle": "-|>,head_width=.35,head_length=.7",
            "color": style.VERMILLION,
            "linewidth": 2.2,
        }
        self.arrow = ax.annotate("", (0, 0), (0, 0), arrowprops=look, annotation_clip=False, zorder=5.5)
        self.pushed = ax.set_title(" ", fontweight="normal", zorder=6)
        self.moving += [self.stairs, self.here, self.arrow, self.pushed]

    def _course(self, ax: Axes) -> None:
        ax.set_xlim(-0.02 * STEPS, 1.02 * STEPS)
        describe(ax, "steps", "")
        (self.rounded,) = ax.plot([], [], "o", color=style.BLUE, markersize=2.6, zorder=3, label="rounded")
        (self.latent,) = ax.plot([], [], "--", color=style.ORANGE, zorder=4, label="weight")
        (self.point,) = ax.plot(
            [], [], "o", color=style.ORANGE, markersize=9, markeredgecolor=style.INK, zorder=5
        )
        # Free at all bits, with the lecture's numbers.
        legend = ax.legend(ncols=2, markerscale=2, loc="lower right", bbox_to_anchor=(1, 0.12))
        legend.set_zorder(6)
        self.moving += [self.rounded, self.latent, self.point, legend]

    def update(self, steps: int, bits: int) -> dict[str, Any]:
        """Show the weight after so many steps.

        Parameters
        ----------
        steps : int
            From 0 to STEPS.
        bits : int
            One of BITS.

        Returns
        -------
        dict of str to object
            By name.
        """
        run = self.runs[bits]
        shown = {
            "steps": steps,
            "bits": bits,
            "scale": run.scale,
            "weight": float(run.latent[steps]),
            "rounded": float(run.rounded[steps]),
            "gradient": float(run.gradient[steps]),
            "first": float(run.latent[1]),
            "changes": run.changes(steps),
        }
        past = np.arange(steps + 1)
        self.rounded.set_data(past, run.rounded[: steps + 1])
        self.latent.set_data(past, run.latent[: steps + 1])
        self.point.set_data([steps], [shown["weight"]])
        self.here.set_data([shown["weight"]], [shown["rounded"]])
        self._draw_stairs(run)
        self._point_along(shown)
        self._say(run, shown)
        return shown

    def _draw_stairs(self, run: OneWeight) -> None:
        edges = np.concatenate([[self.low], (run.levels[1:] + run.levels[:-1]) / 2, [self.high]])
        self.stairs.set_data(np.repeat(edges, 2)[1:-1], np.repeat(run.levels, 2))

    def _point_along(self, shown: dict[str, Any]) -> None:
        """Let the arrow point where the step goes: against the gradient."""
        length = -np.sign(shown["gradient"]) * ARROW * (self.high - self.low)
        self.arrow.xy = (shown["weight"] + length, shown["rounded"])
        self.arrow.set_position((shown["weight"], shown["rounded"]))
        self.pushed.set_text(f"gradient {_text(shown['gradient'], 3)}, passed on")

    def _say(self, run: OneWeight, shown: dict[str, Any]) -> None:
        before, after = run.latent[:2]
        way = "up" if after > before else "down" if after < before else "no move"
        self.first.set_text(f"first step: {_text(before)} → {_text(after)}, {way}")
        steps, changes = shown["steps"], shown["changes"]
        done = f"After {steps} step{'s' * (steps != 1)}" if steps else "Before the first step"
        jumps = f"{changes or 'no'} jump{'s' * (changes != 1)}"
        self.title.set_text(
            f"{done}: weight {_text(shown['weight'])}, rounded {_text(shown['rounded'])}, {jumps}"
        )


def _text(value: float, digits: int = DIGITS) -> str:
    """Return a number with up to so many significant digits and a true minus.

    Parameters
    ----------
    value : float
        The number.
    digits : int
        How many.

    Returns
    -------
    str
        Such as "0.37025".
    """
    return f"{round(float(value), 12):.{digits}g}".replace("-", "−")
