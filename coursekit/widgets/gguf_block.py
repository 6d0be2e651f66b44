"""The panel that opens 256 weights in one of GGUF's formats: their bytes, and what one weight is made of."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from numpy.typing import ArrayLike, NDArray

from coursekit._core import arguments
from coursekit._core.display import significant
from coursekit.language import gguf
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.widgets.panel import Panel, View

__all__ = ["FORMATS", "WEIGHTS", "GGUFBlockView", "gguf_block"]

FORMATS = ("Q8_0", "Q6_K", "Q4_1", "Q4_0", "Q4_K")
WEIGHTS, ROW, COLUMNS = 256, 32, 34  # weights; those in a picture; bytes per row of the widest format
FEW_LEVELS = 16
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PALE)
NO_BYTE = len(COLOURS)
SLOTS = {2: (0, 3), 3: (0, 1, 3), 4: (0, 1, 2, 3)}  # colours by the number of fields: the levels are pale
UNIT = 2  # bytes of a number in FP16, with which a block begins, or ends
SEED = 8
RESTING = 37


def gguf_block(weights: ArrayLike | None = None, format: str = "Q4_0") -> Panel:
    """Return a panel that shows how GGUF's formats store weights.

    Parameters
    ----------
    weights : array_like, optional
        256 numbers, one after the other in a row of a matrix. Default: normally distributed ones.
    format : {"Q8_0", "Q6_K", "Q4_1", "Q4_0", "Q4_K"}
        With which it starts.

    Returns
    -------
    Panel
        Controls: format, weight.

    Raises
    ------
    TypeError, ValueError
        For another format, or weights that are not 256 finite numbers.
    """
    given = np.random.default_rng(SEED).normal(0, 0.05, WEIGHTS) if weights is None else weights
    row = arguments.array("weights", given, np.float32, ndim=1)
    if len(row) != WEIGHTS:
        raise ValueError(f"weights must be {WEIGHTS} numbers; got {len(row)}")
    controls = {
        "format": ipywidgets.ToggleButtons(
            options=FORMATS,
            value=arguments.choice("format", format, FORMATS),
            description="format",
            style={"button_width": "auto"},
        ),
        "weight": ipywidgets.IntSlider(RESTING, 0, WEIGHTS - 1, description="weight"),
    }
    return Panel(GGUFBlockView(row), controls)


class GGUFBlockView(View):
    """All bytes of 256 weights by what they are for, and below 32 of the weights before and after.

    Parameters
    ----------
    weights : ndarray
        256 numbers.
    """

    alt = (
        "Above, the bytes of a stretch of weights as squares in eight rows, coloured by what they are for, "
        "with frames around those that one weight is read from; below, the weights near it, the levels that "
        "the format has there, and the level that each weight got."
    )

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__(height=4.8)
        self.weights = weights
        self.blocks = {name: gguf.encode(weights, name) for name in FORMATS}
        self.decoded = {name: gguf.decode(raw, name).ravel() for name, raw in self.blocks.items()}
        with style.look():
            above, below = self.figure.subplots(2, 1, height_ratios=(1, 1.15))
            for ax in (above, below):
                style.keep_type_size(ax)
            self._bytes(above)
            self._levels(below)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
            self.formula = above.set_title(" ", fontweight="normal", zorder=6)
        self.moving += [self.title, self.formula]

    def _bytes(self, ax: Axes) -> None:
        colours = ListedColormap([*COLOURS, "white"])
        look: dict[str, Any] = {"cmap": colours, "vmin": -0.5, "vmax": NO_BYTE + 0.5, "aspect": "auto"}
        self.cells = ax.imshow(np.full((8, COLUMNS), NO_BYTE), interpolation="nearest", zorder=2, **look)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        edges = [[(x - 0.5, -0.5), (x - 0.5, 7.5)] for x in range(COLUMNS + 1)]
        edges += [[(-0.5, y - 0.5), (COLUMNS - 0.5, y - 0.5)] for y in range(9)]
        grid = ax.add_collection(LineCollection(edges, colors="white", linewidths=1.2, zorder=3))
        frame: dict[str, Any] = {
            "markeredgecolor": style.INK,
            "markerfacecolor": "none",
            "markeredgewidth": 2.2,
        }
        (self.frames,) = ax.plot([], [], "s", markersize=10.5, zorder=4, **frame)
        self.names = []
        for slot, colour in enumerate(COLOURS):
            place: dict[str, Any] = {"transform": ax.transAxes, "clip_on": False, "zorder": 5}
            (square,) = ax.plot([slot / 4 + 0.01], [-0.1], "s", color=colour, markersize=8, **place)
            text = ax.text(slot / 4 + 0.03, -0.1, "", va="center", transform=ax.transAxes, zorder=5)
            self.names.append((square, text))
            self.moving += [square, text]
        self.moving += [self.cells, grid, self.frames]

    def _levels(self, ax: Axes) -> None:
        self.most = most = 1.12 * float(np.abs(self.weights).max()) or 1.0
        ax.set_xlim(-0.8, ROW - 0.2)
        ax.set_ylim(-most, most)
        describe(ax, f"place among {ROW} neighbours", "weight")
        self.steps = LineCollection([], colors=style.PALE, linewidths=1.4, zorder=1)
        ax.add_collection(self.steps)
        look: dict[str, Any] = {"linestyle": "none", "zorder": 3}
        (self.after,) = ax.plot([], [], "s", color=style.BLUE, markersize=6.5, label="stored", **look)
        (self.before,) = ax.plot([], [], ".", color=style.INK, markersize=6, label="weight", **look)
        (self.ring,) = ax.plot(
            [], [], "o", markersize=15, markerfacecolor="none", markeredgecolor=style.VERMILLION, zorder=4
        )
        self.ring.set_markeredgewidth(2)
        legend = ax.legend(ncols=2, loc="upper right", bbox_to_anchor=(1, 1.2), handletextpad=0.1)
        self.moving += [self.steps, self.after, self.before, self.ring, legend]

    def update(self, format: str, weight: int) -> dict[str, Any]:
        """Show one format, and what one weight is made of.

        Parameters
        ----------
        format : str
            One of ``FORMATS``.
        weight : int
            From 0 to 255.

        Returns
        -------
        dict of str to object
            By name; ``bytes`` are the numbers of the bytes that the weight is read from.
        """
        kind = gguf.named(format)
        number, within = divmod(weight, kind.weights)
        used = [number * kind.nbytes + part.byte for part in gguf.parts(format, within)]
        said = gguf.read(format, self.blocks[format][number], within)
        self._paint(format, used)
        self._draw(format, weight)
        stored, given = float(self.decoded[format][weight]), float(self.weights[weight])
        self.title.set_text(f"{format}: {kind.nbytes} bytes for {kind.weights} weights")
        self.formula.set_text(f"weight {weight}, {_short(given)}, is stored as {_formula(said, stored)}")
        return {
            "format": format,
            "weight": weight,
            "bytes": used,
            "level": said.level,
            "scale": said.scale,
            "minimum": said.minimum,
            "given": given,
            "stored": stored,
            "bits_per_weight": kind.bits_per_weight,
        }

    def _paint(self, format: str, used: list[int]) -> None:
        """Colour all bytes by their fields, eight rows of equally many, and frame those used."""
        kind, fields = gguf.named(format), gguf.FIELDS[format]
        order = np.repeat(np.arange(len(fields)), [nbytes for _, nbytes in fields])
        places = SLOTS[len(fields)] if fields[0][1] == UNIT else SLOTS[len(fields)][::-1]
        colours = np.tile(np.array(places)[order], WEIGHTS // kind.weights)
        wide = -(-len(colours) // 8)
        cells = np.full((8, COLUMNS), NO_BYTE)
        for byte, colour in enumerate(colours):
            cells[byte // wide, byte % wide] = colour
        self.cells.set_data(cells)
        self.frames.set_data([byte % wide for byte in used], [byte // wide for byte in used])
        named = dict(zip(places, (name for name, _ in fields), strict=True))
        for slot, (square, text) in enumerate(self.names):
            place = sorted(named).index(slot) / 4 if slot in named else 0
            square.set(visible=slot in named, xdata=[place + 0.01])
            text.set(text=named.get(slot, ""), x=place + 0.03)

    def _draw(self, format: str, weight: int) -> None:
        """Show the 32 weights around, and the levels of the group of the chosen one."""
        row = weight // ROW * ROW
        near = slice(row, row + ROW)
        self.before.set_data(range(ROW), self.weights[near])
        self.after.set_data(range(ROW), self.decoded[format][near])
        self.ring.set_data([weight - row], [self.decoded[format][weight]])
        most = 0.98 * float(self.most)  # what lies on the frame would be drawn over it
        ends = [y for y in self._steps(format, weight) if abs(y) < most]
        self.steps.set_segments([[(-0.6, y), (ROW - 0.4, y)] for y in ends])

    def _steps(self, format: str, weight: int) -> list[float]:
        """Return the levels of a weight's group, if they are few."""
        kind = gguf.named(format)
        number, within = divmod(weight, kind.weights)
        said = gguf.read(format, self.blocks[format][number], within)
        if format in ("Q8_0", "Q6_K"):
            return []
        first = -8 if said.minimum is None else 0
        return [said.scale * (first + n) - (said.minimum or 0.0) for n in range(FEW_LEVELS)]


def _short(value: float) -> str:
    return significant(value).replace("-", "−")


def _formula(said: gguf.Reading, stored: float) -> str:
    """Return how a weight is computed, in figures."""
    product = f"{_short(said.scale)} × {said.level}".replace("-", "−")
    if said.minimum is None:
        return f"{product} = {_short(stored)}"
    sign = "−" if said.minimum >= 0 else "+"
    return f"{product} {sign} {_short(abs(said.minimum))} = {_short(stored)}"
