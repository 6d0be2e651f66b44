"""The panel of shared beginnings: requests come one by one, and what is there is not computed again."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from coursekit._core import arguments
from coursekit.kv_cache import Sharing, sharing
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.page import tint
from coursekit.widgets.panel import Panel, View

__all__ = ["PAGE_SIZES", "PrefixTreeView", "prefix_tree"]

PAGE_SIZES = (1, 4, 8, 16, 32, 64)
MOST = 12  # requests in the picture
OFTEN = 0.62  # of a row is its bar
PALE = 0.35
SEED, VOCABULARY = 4, 1000
OWN = (6, 30)  # tokens that belong to one request alone


def prefix_tree(texts: Mapping[str, Sequence[Sequence[int]]] | None = None) -> Panel:
    """Return a panel that shows what requests share with those before them, in whole blocks.

    Parameters
    ----------
    texts : mapping of str to sequence of sequence of int, optional
        Sets of requests by name, each 2 to 12 texts as tokens. Default: one system prompt for all, four chats
        that go on, and texts that have nothing in common.

    Returns
    -------
    Panel
        Controls: which texts, page size, how many have come.

    Raises
    ------
    TypeError, ValueError
        Unless they are such sets.
    """
    sets = _sample() if texts is None else _checked(texts)
    first, most = next(iter(sets)), max(map(len, sets.values()))
    controls = {
        "texts": ipywidgets.Dropdown(options=list(sets), value=first, description="texts"),
        "page_size": ipywidgets.SelectionSlider(options=PAGE_SIZES, value=16, description="page size"),
        "count": ipywidgets.IntSlider(len(sets[first]), 1, most, description="requests"),
    }
    return Panel(PrefixTreeView(sets), controls)


class PrefixTreeView(View):
    """On the left the requests as rows of tokens; on the right the blocks that hold all of them.

    Parameters
    ----------
    sets : mapping of str to sequence of sequence of int
        Texts as tokens, by the name of their set.
    """

    alt = (
        "On the left requests as rows of tokens: the pale part of a row lay in whole blocks already, the "
        "strong part is computed, and a line leads to the request that it was taken from. On the right, the "
        "blocks that hold all requests so far, with shared beginnings and without."
    )

    def __init__(self, sets: Mapping[str, Sequence[Sequence[int]]]) -> None:
        super().__init__()
        self.sets = sets
        self.found: Callable[[str, int], Sharing] = functools.cache(
            lambda name, size: sharing(sets[name], size)
        )
        with style.look():
            left, right = self.figure.subplots(1, 2, width_ratios=(1.5, 1))
            for ax in (left, right):
                style.keep_type_size(ax)
            self._rows(left)
            self._blocks(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def _rows(self, ax: Axes) -> None:
        self.taken = [self._bar(ax, row, tint(style.BLUE, PALE)) for row in range(MOST)]
        self.computed = [self._bar(ax, row, style.BLUE) for row in range(MOST)]
        self.lines = [ax.plot([], [], color=style.INK, linewidth=1.5, zorder=4)[0] for _ in range(MOST)]
        longest = max(len(text) for texts in self.sets.values() for text in texts)
        ax.set_xlim(0, 1.03 * longest)
        ax.set_ylim(MOST + 0.2, -0.4)
        ax.set_yticks([0.5, MOST - 0.5], ["first", f"{MOST}th"])
        ax.set_xlabel("token (pale: there already)")
        self.moving += [*self.taken, *self.computed, *self.lines]

    @staticmethod
    def _bar(ax: Axes, row: int, colour: Any) -> Rectangle:
        bar = Rectangle((0, row + (1 - OFTEN) / 2), 0, OFTEN, facecolor=colour, zorder=3)
        ax.add_patch(bar)
        return bar

    def _blocks(self, ax: Axes) -> None:
        looks = {"each alone": (style.VERMILLION, "--", "s"), "shared": (style.BLUE, "-", "o")}
        self.curves = {}
        for name, (colour, dash, mark) in looks.items():
            look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": mark, "markersize": 5}
            (self.curves[name],) = ax.plot([], [], label=name, zorder=3, **look)
        ax.set_xlim(0.5, MOST + 0.5)
        ax.set_ylim(0, 1)
        ax.set_yticks([0, 0.5, 1], ["0", "half", "all"])
        ax.legend(loc="upper left")
        ax.set_xticks([1, 4, 8, MOST])
        describe(ax, "requests", f"blocks (all: {MOST} without sharing)")
        self.moving += [*self.curves.values()]

    def update(self, texts: str, page_size: int, count: int) -> dict[str, Any]:
        """Show the first requests of a set.

        Parameters
        ----------
        texts : str
            The set's name.
        page_size : int
            Tokens per block; only whole ones are shared.
        count : int
            How many requests have come.

        Returns
        -------
        dict of str to object
            By name.
        """
        found, shown = self.found(texts, page_size), min(count, len(self.sets[texts]))
        for row in range(MOST):
            there = row < shown
            length, reused = (int(found.lengths[row]), int(found.reused[row])) if there else (0, 0)
            self.taken[row].set_width(reused)
            self.computed[row].set_x(reused)
            self.computed[row].set_width(length - reused)
            parent = int(found.parents[row]) if there else -1
            ends = ([reused, reused], [parent + 0.5, row + 0.5]) if parent >= 0 else ([], [])
            self.lines[row].set_data(*ends)
        whole = int(found.apart[-1])
        for name, series in (("each alone", found.apart), ("shared", found.together)):
            self.curves[name].set_data(np.arange(1, shown + 1), series[:shown] / whole)
        tokens, reused = int(found.lengths[:shown].sum()), int(found.reused[:shown].sum())
        self.title.set_text(f"Pages of {page_size}: {reused:,} of {tokens:,} tokens were there already")
        return {
            "texts": texts,
            "page_size": page_size,
            "count": shown,
            "tokens": tokens,
            "reused": reused,
            "blocks": int(found.together[shown - 1]),
            "apart": int(found.apart[shown - 1]),
        }


def _checked(texts: Any) -> dict[str, list[Sequence[int]]]:
    if not isinstance(texts, Mapping) or not texts:
        raise TypeError(f"texts must be sets of texts by name; got {arguments.shown(texts)}")
    for name, each in texts.items():
        arguments.label("a name of texts", name)
        if not isinstance(each, list | tuple) or not 2 <= len(each) <= MOST:
            raise ValueError(
                f"texts[{name!r}] must be a list of 2 to {MOST} texts; got {arguments.shown(each)}"
            )
        sharing(each, 1)
    return {name: list(each) for name, each in texts.items()}


def _sample() -> dict[str, list[Sequence[int]]]:
    """Return requests to an assistant, turns of four chats, and texts that have nothing in common."""
    draw = np.random.default_rng(SEED)

    def some(tokens: int) -> tuple[int, ...]:
        return tuple(draw.integers(0, VOCABULARY, tokens).tolist())

    def own() -> tuple[int, ...]:
        return some(int(draw.integers(*OWN)))

    rules, examples = some(90), [some(50), some(25)]
    assistant: list[Sequence[int]] = [rules + examples[n % 3 // 2] + own() for n in range(MOST)]
    chats, turns = [rules[:20] + own() for _ in range(4)], list[Sequence[int]]()
    for n in range(MOST):
        chats[n % 4] += own() + some(20)
        turns.append(chats[n % 4])
    apart: list[Sequence[int]] = [some(60) + own() for _ in range(MOST)]
    return {"one assistant": assistant, "four chats": turns, "nothing in common": apart}
