"""The panel that tells quantization-aware training from training longer, at every number of bits."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from coursekit._core import arguments
from coursekit._core.statistics import PairedDifference
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.quantization.aware import METHODS, AwareTraining, Method
from coursekit.widgets.panel import Panel, View

__all__ = ["SCALES", "QatView", "qat"]

SCALES = {"largest weight": "", "least error": "_clipped"}
LINES = ("PTQ", "control", "QAT")
GAPS = (("QAT − PTQ", "qat", "ptq"), ("control − PTQ", "control", "ptq"), ("QAT − control", "qat", "control"))
APART = 0.13  # between the marks of three methods at the same bits
LINEAR = 1.0  # points: within them the scale of the differences is even, beyond it is logarithmic
TICKS = (-10, -1, 0, 1, 10)


def qat(result: AwareTraining) -> Panel:
    """Return a panel over an experiment that compares QAT, rounding and a control that trains as long.

    Parameters
    ----------
    result : quantization.AwareTraining
        What was measured.

    Returns
    -------
    Panel
        Controls: bits, scale (how PTQ and the control choose each row's scale).

    Raises
    ------
    TypeError
        If ``result`` is something else.
    """
    found = arguments.instance("result", result, AwareTraining)
    controls = {
        "bits": ipywidgets.SelectionSlider(options=found.bits, value=found.bits[0], description="bits"),
        "scale": ipywidgets.ToggleButtons(
            options=list(SCALES),
            value=next(iter(SCALES)),
            description="scale from",
            style={"button_width": "auto"},
        ),
    }
    return Panel(QatView(found), controls)


class QatView(View):
    """The accuracies against the bits, and at the chosen bits the paired differences of all networks.

    Parameters
    ----------
    result : AwareTraining
        What was measured.
    """

    alt = (
        "On the left the accuracy of rounded networks, of a control trained on and then rounded, and of "
        "quantization-aware training, against the bits per weight; on the right the differences at the "
        "chosen bits, network by network, with their means and intervals, against a line at zero."
    )

    def __init__(self, result: AwareTraining) -> None:
        super().__init__()
        self.result = result
        self.means = {method: [result.mean(method, bits) for bits in result.bits] for method in METHODS}
        with style.look():
            left, right = self.figure.subplots(1, 2, width_ratios=(1, 1.05))
            for ax in (left, right):
                style.keep_type_size(ax)
            self._accuracies(left)
            self._differences(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def _accuracies(self, ax: Axes) -> None:
        result = self.result
        heights = [end for found in self.means.values() for reading in found for end in reading]
        lowest, highest = min(heights), max(100 * float(result.start.mean()), *heights)
        free = 0.12 * (highest - lowest) or 1.0
        ax.set_ylim(lowest - free, highest + free)
        ax.set_xlim(-0.5, len(result.bits) - 0.5)
        ax.set_xticks(range(len(result.bits)), [str(bits) for bits in result.bits])
        describe(ax, "bits per weight", "right answers (%)")
        mark: dict[str, Any] = {"color": style.INK, "markersize": 11, "clip_on": False, "zorder": 5}
        (self.here,) = ax.plot([0], [0.01], "^", transform=ax.get_xaxis_transform(), **mark)
        before = ax.axhline(100 * result.start.mean(), color=style.INK, linewidth=1, linestyle=(0, (4, 3)))
        before.set_label("float, before")
        self.lines: list[tuple[Line2D, Line2D]] = []
        for number, name in enumerate(LINES):
            look: dict[str, Any] = {"color": style.SERIES[number], "zorder": 4}
            (bars,) = ax.plot([], [], color=style.GREY, linewidth=3, alpha=0.6, zorder=3.5)
            (line,) = ax.plot([], [], style.DASHES[number], marker=style.MARKERS[number], label=name, **look)
            self.lines.append((bars, line))
            self.moving += [bars, line]
        ax.legend(loc="lower left", handlelength=2.6, bbox_to_anchor=(0, 0.05))
        self.moving.append(self.here)

    def _differences(self, ax: Axes) -> None:
        most = max(
            float(np.abs(100 * (self.result.qat - part)).max())
            for part in (self.result.ptq, self.result.control)
        )
        ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
        end = 1.4 * max(most, TICKS[-1])
        ax.set_xlim(-end, end)
        ax.set_xticks(TICKS, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in TICKS])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylim(len(GAPS) - 0.4, -0.6)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        rows = np.arange(len(GAPS))
        ax.vlines(0 * rows, rows - 0.22, rows + 0.4, color=style.INK, linewidth=1.2)
        describe(ax, "points (logarithmic beyond ±1)", "")
        self.gaps = []
        for row, (name, _, _) in enumerate(GAPS):
            ax.text(0.0, row - 0.36, name, transform=ax.get_yaxis_transform(), fontweight="bold")
            (dots,) = ax.plot([], [], "o", color=style.GREY, markersize=4, alpha=0.6, zorder=3)
            (bar,) = ax.plot([], [], color=style.BLUE, linewidth=5, solid_capstyle="butt", zorder=4)
            (mean,) = ax.plot([], [], "D", color=style.BLUE, markersize=8, markeredgecolor="white", zorder=5)
            said = ax.text(1.0, row - 0.36, "", transform=ax.get_yaxis_transform(), ha="right", zorder=5)
            self.gaps.append((dots, bar, mean, said))
            self.moving += self.gaps[-1]

    def update(self, bits: int, scale: str) -> dict[str, Any]:
        """Show the differences at so many bits.

        Parameters
        ----------
        bits : int
            One of the result's.
        scale : str
            One of SCALES.

        Returns
        -------
        dict of str to object
            By name, in percent and in points.
        """
        names: dict[str, Method] = {
            "ptq": "ptq_clipped" if SCALES[scale] else "ptq",
            "control": "control_clipped" if SCALES[scale] else "control",
            "qat": "qat",
        }
        place = self.result.bits.index(bits)
        self.here.set_xdata([place])
        for number, (method, (bars, line)) in enumerate(zip(names.values(), self.lines, strict=True)):
            self._draw_line(method, (number - 1) * APART, bars, line)
        shown: dict[str, Any] = {"bits": bits, "scale": scale}
        for name, method in names.items():
            shown[name] = 100 * float(self.result.accuracy(method, bits).mean())
        found = {}
        for (label, one, other), artists in zip(GAPS, self.gaps, strict=True):
            found[label] = self._draw_gap(bits, names[one], names[other], artists)
            shown[f"{one}-{other}"] = found[label].mean
            shown[f"{one}-{other} ends"] = (found[label].low, found[label].high)
        self.title.set_text(_sentence(bits, found["QAT − PTQ"].mean, found["control − PTQ"].mean))
        return shown

    def _draw_line(self, method: Method, shift: float, bars: Line2D, line: Line2D) -> None:
        found = self.means[method]
        x = np.arange(len(found)) + shift
        line.set_data(x, [mean for mean, _, _ in found])
        ends = np.array([[low, high, np.nan] for _, low, high in found])
        bars.set_data(np.repeat(x, 3), ends.ravel())

    def _draw_gap(self, bits: int, one: Method, other: Method, artists: Any) -> PairedDifference:
        dots, bar, mean, said = artists
        row = self.gaps.index(artists)
        gaps = 100 * (self.result.accuracy(one, bits) - self.result.accuracy(other, bits))
        found = self.result.difference(bits, one, other)
        dots.set_data(gaps, row + 0.12 + 0.2 * np.linspace(0, 1, len(gaps)))
        bar.set_data([found.low, found.high], [row, row])
        mean.set_data([found.mean], [row])
        said.set_text(f"{_signed(found.mean)} ({_signed(found.low)} to {_signed(found.high)})")
        return found


def _sentence(bits: int, gain: float, longer: float) -> str:
    """Return what was found at so many bits.

    Parameters
    ----------
    bits : int
        Per weight.
    gain, longer : float
        What QAT and what the control's longer training add to PTQ, in points.

    Returns
    -------
    str
        A title.
    """
    where = "1 bit" if bits == 1 else f"{bits} bits"
    return f"{where}: QAT {_signed(gain)} points over PTQ, longer training alone {_signed(longer)}"


def _signed(points: float) -> str:
    """Return points with their sign, a true minus, and fewer digits from 10 on.

    Parameters
    ----------
    points : float
        A difference.

    Returns
    -------
    str
        Such as "+0.67" or "−12.3".
    """
    text = f"{points:+.2f}" if abs(points) < TICKS[-1] else f"{points:+.1f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")
