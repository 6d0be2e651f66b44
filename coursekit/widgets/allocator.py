"""The panel of a memory for keys and values: requests come, fill their slots and go; waste counts itself."""

import functools
from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from coursekit._core import arguments
from coursekit.kv_cache import POLICIES, Occupancy, Policy, Request, occupancy
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.page import tint
from coursekit.widgets.panel import Panel, View

__all__ = ["PAGE_SIZES", "AllocatorView", "allocator"]

SLOTS, MOST, STEPS = 512, 128, 120
PAGE_SIZES = (1, 4, 8, 16, 32, 64)
COLUMNS = 32  # slots in a row of the map
COUNT, MEAN_PROMPT, MEAN_NEW, SPREAD, SEED = 80, 14, 24, 0.6, 3
FAINT = 0.35  # of its colour, in a slot that is reserved and empty


def allocator(requests: Sequence[Request] | None = None) -> Panel:
    """Return a panel that shows which slots of a memory are reserved and which are filled, step by step.

    Parameters
    ----------
    requests : sequence of kv_cache.Request, optional
        Arrivals count in steps; up to 128 tokens each. Default: 80 random ones, one about every step.

    Returns
    -------
    Panel
        Controls: policy, page size, step.

    Raises
    ------
    TypeError, ValueError
        Unless they are such requests.
    """
    asked = _sample() if requests is None else arguments.instances("requests", requests, Request)
    wide = {"button_width": "auto"}
    controls = {
        "policy": ipywidgets.ToggleButtons(
            options=POLICIES, value="paged", description="memory in", style=wide
        ),
        "page_size": ipywidgets.SelectionSlider(options=PAGE_SIZES, value=16, description="page size"),
        "step": ipywidgets.IntSlider(60, 0, STEPS - 1, description="step"),
    }
    return Panel(AllocatorView(asked), controls)


class AllocatorView(View):
    """On the left the memory, slot by slot; on the right how many requests have some, over time.

    Parameters
    ----------
    requests : sequence of Request
        Arrivals count in steps.
    """

    alt = (
        "On the left a memory as a grid of slots: strong ones hold a token, faint ones are reserved and "
        "empty, blank ones are free. On the right, how many requests have memory at once in each step, for "
        "all three ways of handing it out."
    )

    def __init__(self, requests: Sequence[Request]) -> None:
        super().__init__()
        self.requests = requests
        self.watched = functools.cache(self._watch)
        with style.look():
            left, right = self.figure.subplots(1, 2, width_ratios=(1.15, 1))
            for ax in (left, right):
                style.keep_type_size(ax)
            self._map(left)
            self._over_time(right)
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def _watch(self, policy: Policy, page_size: int) -> Occupancy:
        size = page_size if policy == "paged" else 1
        return occupancy(self.requests, policy, slots=SLOTS, page_size=size, most=MOST, steps=STEPS)

    def _map(self, ax: Axes) -> None:
        rows = SLOTS // COLUMNS
        self.cells = ax.imshow(np.ones((rows, COLUMNS, 3)), aspect="auto", interpolation="nearest", zorder=2)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(True)
        ax.set_xticks(np.arange(COLUMNS + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        ax.tick_params(which="minor", length=0)
        lines = [
            *(ax.axvline(x - 0.5, color="white", linewidth=1, zorder=3) for x in range(1, COLUMNS)),
            *(ax.axhline(y - 0.5, color="white", linewidth=1, zorder=3) for y in range(1, rows)),
        ]
        self.said = ax.set_title(" ", fontweight="normal", zorder=6)
        ax.set_xlabel("strong: filled, faint: reserved, blank: free")
        self.moving += [self.cells, *lines, *ax.spines.values(), self.said]

    def _over_time(self, ax: Axes) -> None:
        self.lines = {}
        for number, policy in enumerate(POLICIES):
            look: dict[str, Any] = {"color": style.SERIES[number], "drawstyle": "steps-post", "zorder": 3}
            (line,) = ax.plot([], [], style.DASHES[number], label=policy, **look)
            self.lines[policy] = line
        (self.here,) = ax.plot([], [], "o", color=style.INK, markersize=8, zorder=5)
        ax.set_xlim(0, STEPS)
        highest = max(int(self.watched(policy, 1).running.max()) for policy in POLICIES)
        ax.set_ylim(0, 1.45 * highest)
        ax.legend(loc="upper left", handlelength=2.6, ncols=2)
        describe(ax, "step", "requests at once")
        self.moving += [*self.lines.values(), self.here]

    def update(self, policy: Policy, page_size: int, step: int) -> dict[str, Any]:
        """Show the memory in one step.

        Parameters
        ----------
        policy : str
            One of ``kv_cache.POLICIES``.
        page_size : int
            Slots per page; only pages have it.
        step : int
            From 0 on.

        Returns
        -------
        dict of str to object
            By name.
        """
        for each, line in self.lines.items():
            line.set_data(range(STEPS), self.watched(each, page_size).running)
            line.set_linewidth(3.0 if each == policy else 1.5)
        found = self.watched(policy, page_size)
        self.cells.set_data(_colours(found.owners[step], found.filled[step]).reshape(-1, COLUMNS, 3))
        running, waste = int(found.running[step]), float(found.waste[step])
        self.here.set_data([step], [running])
        self.said.set_text(f"{running} at once, {found.waiting[step]} wait, {found.done[step]} done")
        self.title.set_text(_sentence(policy, page_size, step, int(found.reserved[step]), waste))
        return {
            "policy": policy,
            "page_size": page_size,
            "step": step,
            "running": running,
            "waiting": int(found.waiting[step]),
            "done": int(found.done[step]),
            "waste": waste,
            "reserved": int(found.reserved[step]),
        }


def _sentence(policy: Policy, page_size: int, step: int, reserved: int, waste: float) -> str:
    """Return how much of what is reserved is empty.

    Parameters
    ----------
    policy : str
        How memory is handed out.
    page_size, step, reserved : int
        Slots per page, the step, and slots that are not free.
    waste : float
        The share of these that hold no token.

    Returns
    -------
    str
        A title.
    """
    how = {"contiguous": "One piece each", "power of two": "Powers of two"}
    named = how.get(policy, f"Pages of {page_size}")
    return f"{named}, step {step}: {100 * waste:.0f} % of {reserved} reserved slots are empty"


def _colours(owners: Any, filled: Any) -> Any:
    """Return red, green and blue of each slot: four colours in turn, pale where no token is.

    Parameters
    ----------
    owners, filled : ndarray
        [slots]: the number of its request or -1, and whether it holds a token.

    Returns
    -------
    ndarray
        [slots, 3].
    """
    full = np.array([to_rgb(colour) for colour in style.SERIES])
    pale = np.array([tint(colour, FAINT) for colour in style.SERIES])
    turn = owners % len(style.SERIES)
    shown = np.where(filled[:, None], full[turn], pale[turn])
    return np.where((owners < 0)[:, None], 1.0, shown)


def _sample() -> list[Request]:
    """Return requests of random lengths that come one by one."""
    draw = np.random.default_rng(SEED)
    lengths = [
        np.exp(draw.normal(np.log(mean) - SPREAD**2 / 2, SPREAD, COUNT)).round().clip(2, MOST // 2)
        for mean in (MEAN_PROMPT, MEAN_NEW)
    ]
    arrivals = draw.exponential(1.0, COUNT).cumsum()
    return [Request((0,) * int(p), int(n), float(t)) for p, n, t in zip(*lengths, arrivals, strict=True)]
