"""The panel that snaps weights to the levels of a number line and shows what that does to them."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.plots import style
from coursekit.quantization import ROUNDING, quantize, sqnr
from coursekit.widgets.panel import Panel, View

__all__ = ["LECTURE", "MOST_DRAWN", "NumberLineView", "number_line"]

LECTURE = (-0.81, -0.42, -0.05, 0.12, 0.47, 0.79)
SAMPLE, SPREAD, SEED = 200, 0.28, 3
MOST_DRAWN = 400  # more dots than that are a smear
GOLDEN = 0.6180339887498949  # multiples of it, taken modulo 1, spread evenly: neighbours stand apart
INNER = np.linspace(-0.5, 0.5, 6)  # bins of the errors, in units of the scale
LEAST_CLIP = 0.2


@dataclass(frozen=True)
class _Layout:
    """Heights as shares of the upper axes; places of the histogram below in units of the scale."""

    levels_top: float = 0.16
    dots_from: float = 0.5
    dots_to: float = 0.95
    cut_at: float = 0.85  # where the bars of the weights beyond the levels stand
    cut_width: float = 0.2  # as wide as the others


LAYOUT = _Layout()


def number_line(weights: ArrayLike | None = None, bits: int = 4) -> Panel:
    """Return a panel on which ``weights`` snap to the levels that ``bits`` allow, errors counted below.

    Parameters
    ----------
    weights : array_like, optional
        Finite numbers of any shape, not all zero. Default: 200 drawn from a Gaussian, and the lecture's six.
    bits : int
        2 to 8.

    Returns
    -------
    Panel
        Controls: bits, symmetric, clip (which part of the range keeps levels).

    Raises
    ------
    TypeError, ValueError
        For weights that are empty, not finite or all zero, or other bits.
    """
    values = arguments.array("weights", _sample() if weights is None else weights).ravel()
    if not values.any():
        raise ValueError("weights must not be all zero: there is no range to divide into levels")
    controls = {
        "bits": ipywidgets.IntSlider(arguments.integer("bits", bits, 2, 8), 2, 8, description="bits"),
        "symmetric": ipywidgets.Checkbox(True, description="symmetric around zero"),
        "clip": ipywidgets.FloatSlider(1.0, min=LEAST_CLIP, max=1.0, step=0.05, description="clip at"),
    }
    return Panel(NumberLineView(values), controls)


class NumberLineView(View):
    """Dots tied to levels above, a histogram of the errors and the numbers below.

    Parameters
    ----------
    weights : ndarray of float32
        [n].
    """

    alt = (
        "Weights as dots above a number line, each tied to the nearest quantization level; below, a "
        "histogram of the errors between minus and plus half a scale, and bars apart for weights cut off."
    )

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__()
        self.weights = np.sort(weights)
        places = np.linspace(0, weights.size - 1, min(weights.size, MOST_DRAWN))
        self.drawn = np.rint(places).astype(int)
        spread = np.arange(self.drawn.size) * GOLDEN % 1
        self.heights = LAYOUT.dots_from + (LAYOUT.dots_to - LAYOUT.dots_from) * spread
        with style.look():
            grid = self.figure.add_gridspec(2, 2, width_ratios=(2.1, 1), height_ratios=(1.15, 1))
            self._line(self.figure.add_subplot(grid[0, :]))
            self._histogram(self.figure.add_subplot(grid[1, 0]))
            self._numbers(self.figure.add_subplot(grid[1, 1]))

    def _line(self, ax: Axes) -> None:
        low, high = min(self.weights[0], 0.0), max(self.weights[-1], 0.0)
        reach, room = max(-low, high), (high - low) / 6  # two bits put a level up to half a step outside
        ax.set_xlim(min(low - room, -1.02 * reach), max(high + room, 1.02 * reach))
        ax.set_ylim(0, 1)
        middles = [LAYOUT.levels_top / 2, (LAYOUT.dots_from + LAYOUT.dots_to) / 2]
        ax.set_yticks(middles, ["levels", self._weights_label()])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("weight")
        self.title = ax.set_title(" ", zorder=5)
        size = 0.38 * mpl.rcParams["font.size"]
        (self.ties,) = ax.plot([], [], color=style.PALE, linewidth=0.8, zorder=3)
        (self.cut_ties,) = ax.plot([], [], color=style.VERMILLION, linewidth=0.8, zorder=3.1)
        (self.levels,) = ax.plot([], [], color=style.INK, solid_capstyle="butt", zorder=4)
        (self.dots,) = ax.plot([], [], "o", color=style.BLUE, markersize=size, zorder=3.5)
        (self.cut_dots,) = ax.plot([], [], "D", color=style.VERMILLION, markersize=size, zorder=3.6)
        self.moving += [self.title, self.ties, self.cut_ties, self.levels, self.dots, self.cut_dots]

    def _weights_label(self) -> str:
        if self.drawn.size == self.weights.size:
            return "weights"
        return f"weights\n({self.drawn.size} of {self.weights.size:,})"

    def _histogram(self, ax: Axes) -> None:
        ax.set_xlim(-1.05, 1.05)
        ax.set_ylim(0, 1.2 * self._highest_bar())
        places = (-LAYOUT.cut_at, LAYOUT.cut_at)
        ticks = [places[0], -0.5, 0, 0.5, places[1]]
        ax.set_xticks(ticks, ["cut off", "−scale/2", "0", "+scale/2", "cut off"])
        ax.set_xlabel("error: weight − its level")
        ax.set_ylabel("weights")
        ax.vlines(
            [-0.5, 0.5],
            0,
            1,
            transform=ax.get_xaxis_transform(),
            color=style.INK,
            linestyle="--",
            linewidth=1,
        )
        self.bars = ax.stairs(np.zeros(INNER.size - 1), INNER, fill=True, color=style.BLUE, zorder=3)
        ink = style.legible(style.VERMILLION)
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "color": ink, "zorder": 5}
        self.cut_bars = list(ax.bar(places, 0, LAYOUT.cut_width, color=style.VERMILLION, zorder=3))
        self.cut_counts = [ax.text(place, 0, "", **look) for place in places]
        self.moving += [self.bars, *self.cut_bars, *self.cut_counts]

    def _numbers(self, ax: Axes) -> None:
        ax.set_axis_off()
        names = "scale\nzero point\nlevels used\nlargest error\nRMS error\nSQNR"
        ax.text(0.0, 0.98, names, va="top", linespacing=1.55, transform=ax.transAxes)
        self.numbers = ax.text(
            1.0, 0.98, "", va="top", ha="right", linespacing=1.55, zorder=5, transform=ax.transAxes
        )
        self.moving.append(self.numbers)

    def update(self, bits: int, symmetric: bool, clip: float) -> dict[str, Any]:
        """Quantize with the range cut.

        Parameters
        ----------
        bits : int
            How many bits a weight gets.
        symmetric : bool
            Whether the zero point is 0.
        clip : float
            The share of the range that is kept.

        Returns
        -------
        dict of str to object
            By name; ``clipped`` counts errors beyond scale/2.
        """
        quantized = quantize(self._kept(symmetric, clip), bits, symmetric=symmetric)
        restored, scale = quantized.dequantize(), float(quantized.scale)
        errors = quantized.error(self.weights)
        cut = self._cut(errors, scale)
        low, high = quantized.levels
        levels: NDArray[Any] = (np.arange(low, high + 1) - int(quantized.zero_point)) * scale
        shown = {
            "scale": scale,
            "zero_point": int(quantized.zero_point),
            "levels": levels.size,
            "levels_used": np.unique(quantized.q).size,
            "max_error": float(np.abs(errors).max()),
            "rms_error": float(np.sqrt(np.mean(np.square(errors, dtype=np.float64)))),
            "clipped": int(cut.sum()),
            "sqnr": sqnr(self.weights, restored),
        }
        self._tie(restored, cut, levels)
        self._count(errors / scale, cut)
        self._say(bits, clip, shown)
        return shown

    def _errors(
        self, bits: int, symmetric: bool, clip: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        quantized = quantize(self._kept(symmetric, clip), bits, symmetric=symmetric)
        errors = quantized.error(self.weights)
        return errors / quantized.scale, self._cut(errors, float(quantized.scale))

    def _cut(self, errors: NDArray[np.float32], scale: float) -> NDArray[np.bool_]:
        return np.abs(errors) > scale / 2 + ROUNDING * np.abs(self.weights).max()

    def _kept(self, symmetric: bool, clip: float) -> NDArray[np.float32]:
        low, high = self.weights[0], self.weights[-1]
        if symmetric:
            low, high = -max(-low, high), max(-low, high)
        return np.clip(self.weights, clip * min(low, 0), clip * max(high, 0))

    def _tie(
        self, restored: NDArray[np.float32], cut: NDArray[np.bool_], levels: NDArray[np.float64]
    ) -> None:
        x, feet, off = self.weights[self.drawn], restored[self.drawn], cut[self.drawn]
        for ties, dots, picked in ((self.ties, self.dots, ~off), (self.cut_ties, self.cut_dots, off)):
            tops = self.heights[picked]
            dots.set_data(x[picked], tops)
            ends = np.full(tops.size, LAYOUT.levels_top)
            ties.set_data(_strokes(x[picked], feet[picked]), _strokes(tops, ends))
        ends = np.full(levels.size, LAYOUT.levels_top)
        self.levels.set_data(_strokes(levels, levels), _strokes(np.zeros(levels.size), ends))
        self.levels.set_linewidth(float(np.clip(40 / levels.size, 0.6, 3.0)))

    def _count(self, steps: NDArray[np.float32], cut: NDArray[np.bool_]) -> None:
        below, *inner, above = _counts(steps, cut)
        self.bars.set_data(np.array(inner))
        for count, bar, text in zip((below, above), self.cut_bars, self.cut_counts, strict=True):
            bar.set_height(count)
            text.set(y=count, text=str(count) if count else "")

    def _say(self, bits: int, clip: float, shown: dict[str, Any]) -> None:
        moved = f"of {self.weights.size:,} weights move further than scale/2"
        calm = f"{bits} bits, {shown['levels']} levels: no weight moves further than scale/2"
        self.title.set_text(
            f"Cut to {100 * clip:.0f} %: {shown['clipped']:,} {moved}" if shown["clipped"] else calm
        )
        lines = [
            significant(shown["scale"]),
            str(shown["zero_point"]).replace("-", "−"),
            f"{shown['levels_used']} of {shown['levels']}",
            significant(shown["max_error"]),
            significant(shown["rms_error"]),
            f"{shown['sqnr']:.1f} dB",
        ]
        self.numbers.set_text("\n".join(lines))

    def _highest_bar(self) -> float:
        """Return the highest bar at the ends of the controls, so that the axis can stay as it is."""
        settings = product(range(2, 9), (True, False), (LEAST_CLIP, 1.0))
        return max(np.max(_counts(*self._errors(*setting))) for setting in settings)


def _counts(steps: NDArray[np.float32], cut: NDArray[np.bool_]) -> list[Any]:
    """Return how many errors (in units of the scale) are cut off below, in each bin, cut off above."""
    inner = np.histogram(np.clip(steps[~cut], -0.5, 0.5), INNER)[0]
    return [np.count_nonzero(cut & (steps < 0)), *inner, np.count_nonzero(cut & (steps > 0))]


def _strokes(starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[Any]:
    """Return one coordinate of many short strokes as a single line, lifted between them by NaN."""
    return np.stack([starts, ends, np.full(starts.size, np.nan)], axis=1).ravel()


def _sample() -> NDArray[np.float32]:
    drawn = np.random.default_rng(SEED).normal(0, SPREAD, SAMPLE)
    return np.concatenate([drawn, LECTURE]).astype(np.float32)
