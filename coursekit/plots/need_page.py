"""A model's need on a page (see ``page``): one bar for its parts, then a row per device with a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from coursekit._core.display import size
from coursekit.memory import Device, Need, fits
from coursekit.plots import style
from coursekit.plots.lettering import CAPITAL, PIXELS_PER_POINT, SANS, Lettering, Phrase
from coursekit.plots.page import brief, tint

__all__ = ["PAGE", "PARTS", "NeedPage", "boxes", "need_page", "show_need"]

# Blue grows with the model, orange with what it is given; in grey, those shown together are steps apart.
PARTS = {
    "weights": style.BLUE,
    "gradients": tint(style.BLUE, 0.7),
    "optimizer": tint(style.BLUE, 0.42),
    "KV cache": style.ORANGE,
    "activations": tint(style.ORANGE, 0.4),
}
EXCESS = style.legible(style.VERMILLION)  # hatched over what a device does not hold


@dataclass(frozen=True)
class _Page:
    """Where things stand, in the page's pixels from its upper left corner; type sizes in points."""

    title: float = 12.1
    words: float = 10.4
    ticks: float = 10.0
    width: float = 700.0
    edge: float = 6.0
    whole_top: float = 28.0  # the bar of the whole need
    whole_bottom: float = 52.0
    names: float = 70.0  # the middle of its parts' names
    slots: int = 4  # parts that one setting has at most
    square: float = 10.0  # the side of the square before a name
    first: float = 90.0  # where the rows of the devices begin
    last: float = 352.0
    empty: float = 166.0  # 0 percent of a device's memory
    full: float = 428.0  # 100 percent
    end: float = 559.0  # 150 percent: the rest is not drawn
    thick: float = 0.6  # of a row

    def place(self, share: Any) -> Any:
        """Return where a share of a device's memory ends."""
        return self.empty + (self.full - self.empty) * share

    def left(self, count: int) -> Any:
        """Return the left edges of the first ``count`` parts' names."""
        return self.edge + np.arange(count) * self.width / self.slots


PAGE = _Page()


@dataclass(frozen=True)
class NeedPage:
    """The artists of ``need_page`` that move; ``names`` are the parts', ``verdicts`` the devices'."""

    devices: Sequence[Device]
    bars: dict[str, PolyCollection]
    squares: PolyCollection
    excess: PolyCollection
    limit: Line2D
    beyond: Line2D
    letters: Lettering
    title: Phrase
    names: list[Phrase]
    verdicts: list[Phrase]

    @property
    def artists(self) -> list[Artist]:
        """All of them."""
        return [*self.bars.values(), self.excess, self.squares, self.limit, self.beyond, self.letters]


def need_page(ax: Axes, devices: Sequence[Device]) -> NeedPage:
    """Write the devices' names and the scale on the page ``ax``; what ``show_need`` fills in is empty.

    Parameters
    ----------
    ax : Axes
        The page.
    devices : sequence of Device
        A row each, from the top.

    Returns
    -------
    NeedPage
        What ``show_need`` fills in.
    """
    rows = _middles(len(devices))
    _scale(ax, devices, rows)
    bars = {name: PolyCollection([], facecolor=colour, **_OUTLINE) for name, colour in PARTS.items()}
    squares = PolyCollection([], linewidth=0, zorder=3)
    excess = PolyCollection([], facecolor="none", hatch="////", edgecolor=EXCESS, linewidth=1.2, zorder=3.5)
    for collection in (*bars.values(), squares, excess):
        ax.add_collection(collection, autolim=False)
    ends = [PAGE.first, PAGE.last]
    (limit,) = ax.plot([PAGE.full, PAGE.full], ends, color=style.INK, linewidth=1.6, zorder=4)
    (beyond,) = ax.plot([], [], ">", color=style.VERMILLION, markersize=8, zorder=5)
    letters = Lettering(ax, zorder=6)
    return NeedPage(
        devices,
        bars,
        squares,
        excess,
        limit,
        beyond,
        letters,
        letters.phrase(PAGE.edge, 17, PAGE.title, font=SANS),
        [_level(letters, place + 1.6 * PAGE.square, PAGE.names) for place in PAGE.left(PAGE.slots)],
        [_level(letters, PAGE.end + 13, row) for row in rows],
    )


def show_need(page: NeedPage, need: Need, title: str) -> None:
    """Move the bars and write the sizes and verdicts of a need for memory.

    Parameters
    ----------
    page : NeedPage
        What ``need_page`` returned.
    need : Need
        The bytes of each part.
    title : str
        The title, a sentence.
    """
    page.title.show(title, weight="bold")
    _show_whole(page, need)
    _show_names(page, need)
    _show_shares(page, need)
    for phrase, device in zip(page.verdicts, page.devices, strict=True):
        fit = fits(need, device)
        if fit.verdict == "fits":
            phrase.show(f"✓ {size(fit.room)} left", style.legible(style.GREEN))
        else:
            phrase.show(f"✗ {size(-fit.room)} over", style.legible(style.VERMILLION), "bold")


def boxes(left: ArrayLike, right: ArrayLike, low: ArrayLike, high: ArrayLike) -> Any:
    """Return rectangles as polygons, [n, 4, 2]; empty ones stay, as lines without width.

    Parameters
    ----------
    left : array_like
        The left edges, [n] or one for all.
    right : array_like
        The right edges.
    low : array_like
        The lower edges.
    high : array_like
        The upper edges.

    Returns
    -------
    ndarray
        Four corners (x, y) of each, [n, 4, 2].
    """
    ends = np.broadcast_arrays(*map(np.atleast_1d, (left, right, low, high)))
    left, right, low, high = (end.astype(float) for end in ends)
    corners = [(left, low), (right, low), (right, high), (left, high)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)


_OUTLINE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.6, "zorder": 3}


def _scale(ax: Axes, devices: Sequence[Device], rows: NDArray[np.float64]) -> None:
    letters = Lettering(ax, zorder=2)
    for device, row in zip(devices, rows, strict=True):
        name = _level(letters, PAGE.empty - 8, row, PAGE.ticks, align="right")
        for length in range(len(str(device)), 5, -1):
            name.show(brief(str(device), length))
            if name.left >= PAGE.edge / 2:
                break
    for percent in range(0, 101, 25):
        x = PAGE.place(percent / 100)
        ax.plot([x, x], [PAGE.last, PAGE.last + 4], color=style.INK, linewidth=0.8, zorder=2)
        letters.phrase(x, PAGE.last + 19, PAGE.ticks, align="center", font=SANS).show(str(percent))
    label = letters.phrase(PAGE.place(0.5), PAGE.last + 39, PAGE.words, align="center", font=SANS)
    label.show("share of the device's memory (%)")
    beyond = boxes(PAGE.full, PAGE.end, PAGE.first, PAGE.last)
    too_much = PolyCollection(beyond, facecolor=style.PALE, alpha=0.5, zorder=0)
    ax.add_collection(too_much, autolim=False)


def _show_whole(page: NeedPage, need: Need) -> None:
    reached = PAGE.edge
    for name, nbytes in need.parts:
        end = reached + nbytes / need.total * (PAGE.width - 2 * PAGE.edge)
        page.bars[name].set_verts(boxes(reached, end, PAGE.whole_top, PAGE.whole_bottom))
        reached = end


def _show_names(page: NeedPage, need: Need) -> None:
    parts = [(name, nbytes) for name, nbytes in need.parts if nbytes]
    for number, phrase in enumerate(page.names):
        phrase.show(f"{parts[number][0]} {size(parts[number][1])}" if number < len(parts) else "")
    if need.worked is not None:  # the last part of three: the place of a fourth is free
        last = page.names[len(parts) - 1]
        last.show(f"{last.text} ({need.worked:,} tokens at a time)")
    lefts, half = PAGE.left(len(parts)), PAGE.square / 2
    page.squares.set_verts(boxes(lefts, lefts + PAGE.square, PAGE.names - half, PAGE.names + half))
    colours: list[Any] = [PARTS[name] for name, _ in parts]
    page.squares.set_facecolor(colours)


def _show_shares(page: NeedPage, need: Need) -> None:
    """Add a bar per device to what ``_show_whole`` drew: the need as a share of its memory."""
    rows, high = _middles(len(page.devices)), PAGE.thick * (PAGE.last - PAGE.first) / len(page.devices)
    capacity = np.array([device.memory for device in page.devices], float)
    reached = np.zeros(len(rows))
    for name, nbytes in need.parts:
        ends = reached + nbytes / capacity
        left, right = (np.minimum(PAGE.place(share), PAGE.end) for share in (reached, ends))
        whole = [np.asarray(path.vertices)[:4] for path in page.bars[name].get_paths()]
        page.bars[name].set_verts([*whole, *boxes(left, right, rows - high / 2, rows + high / 2)])
        reached = ends
    over = reached > 1
    ends = np.minimum(PAGE.place(reached[over]), PAGE.end)
    page.excess.set_verts(boxes(PAGE.full, ends, rows[over] - high / 2, rows[over] + high / 2))
    out = rows[PAGE.place(reached) > PAGE.end]
    page.beyond.set_data(np.full(out.size, PAGE.end), out)


def _middles(count: int) -> NDArray[np.float64]:
    return PAGE.first + (PAGE.last - PAGE.first) * (np.arange(count) + 0.5) / count


def _level(
    letters: Lettering, x: float, y: float, points: float = PAGE.words, *, align: str = "left"
) -> Phrase:
    """Return a phrase whose capitals stand around the height ``y``."""
    baseline = y + CAPITAL * points * PIXELS_PER_POINT / 2
    return letters.phrase(x, baseline, points, align=align, font=SANS)
