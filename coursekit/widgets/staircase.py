"""The panel that turns a sine into a staircase and counts what each bit is worth."""

import functools
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.quantization import Quantized, quantize, sqnr
from coursekit.widgets.panel import Panel, View

__all__ = ["StaircaseView", "all_ratios", "digitise", "predicted", "restore", "sine", "staircase"]

BITS = range(1, 11)
FREQUENCIES = (1.0, 8.0)  # Hz
SAMPLES = 2000  # over one second: what a picture can show
MANY_SAMPLES = 10_000  # so that the measured ratio does not depend on where the samples fall
DB_PER_BIT, DB_OF_A_SINE = 6.02, 1.76  # 20 log10 2, and 10 log10 1.5 for a sine of full height
MOST_GRID_LINES = 16


def staircase(bits: int = 3, frequency: float = 2.0) -> Panel:
    """Return a panel with a quantized sine: its steps, its error, its signal-to-noise ratio.

    Parameters
    ----------
    bits : int
        1 to 10.
    frequency : float
        1 to 8 Hz.

    Returns
    -------
    Panel
        Controls: bits, frequency.

    Raises
    ------
    TypeError, ValueError
        For numbers outside these ranges.
    """
    bits = arguments.integer("bits", bits, BITS[0], BITS[-1])
    frequency = arguments.real("frequency", frequency, *FREQUENCIES)
    low, high = FREQUENCIES
    controls = {
        "bits": ipywidgets.IntSlider(bits, BITS[0], BITS[-1], description="bits"),
        "frequency": ipywidgets.FloatSlider(frequency, min=low, max=high, step=0.5, description="Hz"),
    }
    return Panel(StaircaseView(), controls)


class StaircaseView(View):
    """The sine and its staircase, their difference below, and the SQNR of all widths beside them."""

    alt = (
        "A sine and the staircase that quantization makes of it, their difference below, and beside them the "
        "signal-to-noise ratio against the number of bits, next to the rule of six decibels per bit."
    )

    def __init__(self) -> None:
        super().__init__()
        with style.look():
            grid = self.figure.add_gridspec(2, 2, width_ratios=(1.7, 1), height_ratios=(1.7, 1))
            above = self.figure.add_subplot(grid[0, 0])
            self._wave(above)
            self._error(self.figure.add_subplot(grid[1, 0], sharex=above))
            self._ratio(self.figure.add_subplot(grid[:, 1]))
            self.figure.align_ylabels(self.figure.axes[:2])

    def _wave(self, ax: Axes) -> None:
        ax.set_xlim(0, 1)
        ax.set_ylim(-1.15, 1.15)
        ax.set_ylabel("signal")
        ax.tick_params(labelbottom=False)
        self.title = ax.set_title(" ", zorder=6)
        (self.grid,) = ax.plot([], [], color=style.PALE, linewidth=0.8, zorder=3)
        (self.sine,) = ax.plot([], [], color=style.ORANGE, linewidth=2.5, zorder=3.5)
        (self.steps,) = ax.plot([], [], color=style.BLUE, linewidth=1.6, zorder=4)
        self.moving += [self.title, self.grid, self.sine, self.steps]

    def _error(self, ax: Axes) -> None:
        ax.set_ylim(-0.6, 0.6)
        ax.set_yticks([-0.5, 0, 0.5], ["−scale/2", "0", "+scale/2"])
        describe(ax, "time (s)", "error")
        ax.hlines([-0.5, 0.5], 0, 1, color=style.INK, linestyle="--", linewidth=1)
        (self.error,) = ax.plot([], [], color=style.VERMILLION, linewidth=1.2, zorder=3)
        self.moving.append(self.error)

    def _ratio(self, ax: Axes) -> None:
        bits = np.array([BITS[0], BITS[-1]])
        ax.set_xlim(0.4, 10.6)
        ax.set_ylim(0, 96)
        ax.set_yticks(range(0, 61, 10))
        ax.set_xticks(list(BITS[1::2]))
        describe(ax, "bits", "SQNR (dB)")
        ax.plot(bits, predicted(bits), "--", color=style.GREY, linewidth=1.4)
        (self.measured,) = ax.plot([], [], "o", color=style.BLUE, markersize=5, zorder=3)
        (self.chosen,) = ax.plot(
            [], [], "o", color=style.BLUE, markersize=11, markeredgecolor=style.INK, zorder=4
        )
        look: dict[str, Any] = {"va": "top", "linespacing": 1.4, "transform": ax.transAxes, "zorder": 5}
        ax.text(0.05, 0.98, "levels\nscale\nmeasured\nrule", **look)
        ax.text(0.98, 0.14, "rule: 6.02 · bits\n+ 1.76 dB", ha="right", **look)
        self.numbers = ax.text(0.92, 0.98, "", ha="right", **look)
        self.moving += [self.measured, self.chosen, self.numbers]

    def update(self, bits: int, frequency: float) -> dict[str, Any]:
        """Show the sine in 2**bits levels.

        Parameters
        ----------
        bits : int
            1 to 10.
        frequency : float
            In Hz.

        Returns
        -------
        dict of str to object
            By name; ``predicted_sqnr`` is the rule's 6.02 dB per bit and 1.76 dB.
        """
        time, wave = sine(frequency)
        stored = digitise(wave, bits)
        restored, scale = restore(stored), float(stored.scale)
        self.sine.set_data(time, wave)
        self.steps.set_data(time, restored)
        self.error.set_data(time, (wave - restored) / scale)
        self._mark_levels(2**bits)
        ratios = all_ratios(frequency)
        self.measured.set_data(list(BITS), ratios)
        self.chosen.set_data([bits], [ratios[bits - 1]])
        shown = {
            "bits": bits,
            "levels": 2**bits,
            "scale": scale,
            "sqnr": ratios[bits - 1],
            "predicted_sqnr": float(predicted(bits)),
        }
        self._say(shown)
        return shown

    def _mark_levels(self, count: int) -> None:
        levels = np.linspace(-1, 1, count) if count <= MOST_GRID_LINES else np.zeros(0)
        self.grid.set_data(np.tile([0, 1, np.nan], levels.size), np.repeat(levels, 3))

    def _say(self, shown: dict[str, Any]) -> None:
        bits = "1 bit" if shown["bits"] == 1 else f"{shown['bits']} bits"
        self.title.set_text(f"{bits}: the error is {shown['sqnr']:.1f} dB below the signal")
        lines = [
            str(shown["levels"]),
            significant(shown["scale"]),
            f"{shown['sqnr']:.1f} dB",
            f"{shown['predicted_sqnr']:.1f} dB",
        ]
        self.numbers.set_text("\n".join(lines))


def sine(frequency: float, samples: int = SAMPLES) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return time in seconds and a sine of height 1, one second long.

    Parameters
    ----------
    frequency : float
        In Hz.
    samples : int, optional
        How many.

    Returns
    -------
    tuple of (ndarray of float64, ndarray of float32)
        Time and height, [samples].
    """
    time = (np.arange(samples) + 0.5) / samples
    return time, np.sin(2 * np.pi * frequency * time).astype(np.float32)


def digitise(wave: NDArray[np.float32], bits: int) -> Quantized:
    """Quantize as a sound card does: shifted up so that the lowest value is 0, levels spread from end to end.

    With a level at zero, one bit would have to round both halves of the wave to it.

    Parameters
    ----------
    wave : ndarray of float32
        Between -1 and 1.
    bits : int
        How many.

    Returns
    -------
    Quantized
        The stored wave.
    """
    return quantize(wave + 1, bits, symmetric=False, signed=False, scale=2 / (2**bits - 1))


def restore(stored: Quantized) -> NDArray[np.float32]:
    """Return the wave that ``digitise`` stored, shifted back.

    Parameters
    ----------
    stored : Quantized
        As ``digitise`` returns it.

    Returns
    -------
    ndarray of float32
        The wave, with the errors of rounding.
    """
    return stored.dequantize() - 1


def predicted(bits: Any) -> Any:
    """Return the rule's SQNR in dB for a full-height sine (Bennett 1948: noise of scale² / 12).

    Parameters
    ----------
    bits : object
        How many, or an array of them.

    Returns
    -------
    float or ndarray
        dB.
    """
    return DB_PER_BIT * bits + DB_OF_A_SINE


@functools.lru_cache(maxsize=64)
def all_ratios(frequency: float) -> tuple[float, ...]:
    """Return the measured SQNR in dB at 1 to 10 bits.

    Parameters
    ----------
    frequency : float
        In Hz.

    Returns
    -------
    tuple of float
        dB, from 1 bit on.
    """
    _, wave = sine(frequency, MANY_SAMPLES)
    return tuple(sqnr(wave, restore(digitise(wave, bits))) for bits in BITS)
