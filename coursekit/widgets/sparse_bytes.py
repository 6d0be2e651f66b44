"""The panel that shows from how many zeros on a sparse format takes less room than the dense matrix."""

from types import MappingProxyType
from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from coursekit._core import arguments, display
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.pruning.layouts import Layout
from coursekit.widgets.panel import Panel, View

__all__ = ["INDICES", "NUMBERS", "SparseBytesView", "sparse_bytes"]

NUMBERS = MappingProxyType({"FP32": 4, "FP16": 2, "INT8": 1})
INDICES = MappingProxyType({"16 bits": 2, "32 bits": 4, "64 bits": 8})
MOST_ZEROS = 99.5  # per cent
TOP, BOTTOM = 1200, 0.5  # per cent of the dense bytes, where the axis ends
TICKS = (1, 10, 100, 1000)
NAMES = ("CSR", "bitmask")


def sparse_bytes(rows: int = 1024, columns: int = 1024) -> Panel:
    """Return a panel on the bytes of a matrix with zeros: dense, in CSR, and with a bitmask.

    Dots mark where each format breaks even.

    Parameters
    ----------
    rows, columns : int
        The shape of the matrix, 16 to 65,536 each.

    Returns
    -------
    Panel
        Controls: the share of zeros, what a number takes, and what a column index takes.

    Raises
    ------
    TypeError, ValueError
        For another shape.
    """
    shape = [
        arguments.integer(name, side, 16, 2**16) for name, side in (("rows", rows), ("columns", columns))
    ]
    controls = {
        "zeros": ipywidgets.FloatSlider(
            60.0, min=0.0, max=MOST_ZEROS, step=0.5, description="zeros (%)", readout_format=".1f"
        ),
        "number": ipywidgets.ToggleButtons(options=list(NUMBERS), description="a number"),
        "index": ipywidgets.ToggleButtons(options=list(INDICES), value="32 bits", description="an index"),
    }
    return Panel(SparseBytesView(*shape), controls)


class SparseBytesView(View):
    """Bytes against the share of zeros as shares of the dense matrix, one line per format.

    Parameters
    ----------
    rows : int
        Of the matrix.
    columns : int
        Of the matrix.
    """

    alt = (
        "The bytes of a matrix, as a share of the dense ones, against its share of zeros: a falling line for "
        "CSR and one for a bitmask, each with a dot where it crosses the flat line of the dense matrix."
    )

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.shape = rows, columns
        with style.look():
            self._draw(self.figure.add_subplot())

    def _draw(self, ax: Axes) -> None:
        ax.set(yscale="log", xlim=(0, 100), ylim=(BOTTOM, TOP), yticks=TICKS)
        ax.yaxis.set_minor_locator(NullLocator())
        for axis, form in ((ax.xaxis, "{:.0f} %"), (ax.yaxis, "{:g} %")):
            axis.set_major_formatter(FuncFormatter(lambda value, _, form=form: form.format(value)))
        ax.axhline(100, color=style.INK, linewidth=1.5, zorder=1)
        ax.text(1.02, 100, "dense", transform=ax.get_yaxis_transform(), va="center")
        describe(ax, f"zeros among the {_side(self.shape)} numbers", "bytes, as a share of dense")
        self.title = ax.set_title(" ", pad=1.9 * mpl.rcParams["font.size"], zorder=6)
        self.reading = ax.text(0, 1.02, "", va="bottom", transform=ax.transAxes, zorder=6)
        self.place = ax.axvline(0, color=style.GREY, linewidth=1, zorder=2.6)
        self.lines, self.labels, self.dots, self.rings = {}, {}, {}, {}
        for number, name in enumerate(NAMES):
            look: dict[str, Any] = {"color": style.SERIES[number], "zorder": 3}
            ink = style.legible(style.SERIES[number])
            (self.lines[name],) = ax.plot([], [], linestyle=style.DASHES[number], **look)
            (self.dots[name],) = ax.plot([], [], style.MARKERS[number], markersize=9, **look)
            (self.rings[name],) = ax.plot([], [], style.MARKERS[number], markersize=13, mfc="none", **look)
            self.labels[name] = ax.text(
                1.02, 1, name, va="center", transform=ax.get_yaxis_transform(), color=ink, zorder=3
            )
        groups = (self.lines, self.labels, self.dots, self.rings)
        self.moving += [
            self.title,
            self.reading,
            self.place,
            *(artist for group in groups for artist in group.values()),
        ]

    def update(self, zeros: float, number: str, index: str) -> dict[str, Any]:
        """Show a matrix with some zeros.

        Parameters
        ----------
        zeros : float
            In per cent.
        number : str
            A type of numbers.
        index : str
            A type of indices.

        Returns
        -------
        dict of str to object
            By name: sizes in bytes, break-evens in per cent of zeros.
        """
        layout = Layout(*self.shape, NUMBERS[number], INDICES[index])
        shares = np.linspace(0, MOST_ZEROS, 120)
        bytes_of = {"CSR": layout.csr, "bitmask": layout.bitmask}
        even = layout.break_even()
        shown: dict[str, Any] = {"zeros": zeros, "dense": layout.dense}
        for name, count in bytes_of.items():
            relative = 100 * count(shares / 100) / layout.dense
            self.lines[name].set_data(shares, relative)
            self.labels[name].set_y(relative[-1])
            self.dots[name].set_data([100 * even[name]], [100.0])
            shown[name] = int(np.ceil(count(zeros / 100)))
            self.rings[name].set_data([zeros], [100 * shown[name] / layout.dense])
            shown[f"{name} break-even"] = 100 * even[name]
        self.place.set_xdata([zeros, zeros])
        self.title.set_text(_sentence(shown))
        self.reading.set_text(_reading(shown))
        return shown


def _sentence(shown: dict[str, Any]) -> str:
    csr, mask = (f"{shown[f'{name} break-even']:.0f} %" for name in NAMES)
    return f"CSR breaks even at {csr} zeros, a bitmask at {mask}"


def _reading(shown: dict[str, Any]) -> str:
    sizes = ", ".join(f"{name} {display.size(shown[name])}" for name in ("dense", *NAMES))
    return f"At {shown['zeros']:g} % zeros: {sizes}"


def _side(shape: tuple[int, int]) -> str:
    return " × ".join(f"{side:,}" for side in shape)
