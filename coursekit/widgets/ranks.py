"""The panel that weighs ranks: how far the loss has fallen after so many steps, and the bytes it took."""

from typing import Any

import ipywidgets
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from coursekit._core import arguments, display
from coursekit.finetuning.ranks import RankRow, RankTable
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.widgets.panel import Panel, View

__all__ = ["RanksView", "ranks"]

# Four colours, then two of them with open marks: six that differ without colour too.
LOOKS: tuple[tuple[str, str, str, bool], ...] = (
    (style.BLUE, "o", "-", True),
    (style.VERMILLION, "s", "--", True),
    (style.GREEN, "^", "-.", True),
    (style.ORANGE, "D", ":", True),
    (style.BLUE, "v", "--", False),
    (style.VERMILLION, "P", "-", False),
)
IN_A_ROW = 4  # names
FREE = 0.1  # of the range of losses, above and below
ROOM = 2.5  # on the axis of bytes, beyond the outermost
PLAIN, STRONG = 1.5, 3.0  # width of a line, and of the chosen one


def ranks(table: RankTable) -> Panel:
    """Return a panel over runs of fine-tuning: steps and ranks against the loss, with the bytes.

    Parameters
    ----------
    table : finetuning.RankTable
        What was measured; all others are compared with its last row.

    Returns
    -------
    Panel
        Controls: steps, run.

    Raises
    ------
    TypeError
        If ``table`` is something else.
    """
    found = arguments.instance("table", table, RankTable)
    controls = {
        "steps": ipywidgets.SelectionSlider(options=found.steps, value=found.steps[-1], description="steps"),
        "run": ipywidgets.ToggleButtons(
            options=found.names, value=found.names[0], description="run", style={"button_width": "auto"}
        ),
    }
    return Panel(RanksView(found), controls)


class RanksView(View):
    """Left, the loss against the steps; right, the same losses at the chosen step against the bytes.

    Parameters
    ----------
    table : RankTable
        What was measured.
    """

    alt = (
        "On the left the loss on windows that were not trained on, against the steps, a line for each run; "
        "on the right the losses at the chosen step against the bytes of gradients and optimizer, on a "
        "logarithmic axis, the chosen one in a ring."
    )

    def __init__(self, table: RankTable) -> None:
        super().__init__()
        self.table = table
        found = [loss for row in table.rows for loss in row.losses]
        free = FREE * (max(found) - min(found)) or 1.0
        with style.look():
            left, right = self.figure.subplots(1, 2, sharey=True, width_ratios=(1.1, 1))
            for ax in (left, right):
                style.keep_type_size(ax)
                ax.set_ylim(min(found) - free, max(found) + free)
            self._over_steps(left)
            self._against_bytes(right)
            named = [self.lines[name] for name in table.names]
            self.figure.legend(
                handles=named, loc="outside lower center", ncols=min(len(named), IN_A_ROW), handlelength=2.6
            )
            self.title = self.figure.suptitle(" ", x=0.01, ha="left", fontweight="bold", zorder=6)
        self.moving.append(self.title)

    def _over_steps(self, ax: Axes) -> None:
        self.lines = {}
        for row, (colour, marker, dash, filled) in zip(self.table.rows, LOOKS, strict=False):
            look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "zorder": 3}
            face = colour if filled else "white"
            look |= {"markersize": 5, "markerfacecolor": face, "label": row.name}
            (self.lines[row.name],) = ax.plot(row.steps, row.losses, **look)
        self.here = ax.axvline(0, color=style.INK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2.6)
        describe(ax, "steps", "loss on other windows (nats)")
        self.moving += [self.here, *self.lines.values()]

    def _against_bytes(self, ax: Axes) -> None:
        counts = [row.bytes for row in self.table.rows]
        ax.set_xscale("log")
        ax.set_xlim(min(counts) / ROOM, max(counts) * ROOM)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: display.size(value, 1)))
        ax.tick_params(axis="y", left=False)
        self.points = {}
        for row, (colour, marker, _, filled) in zip(self.table.rows, LOOKS, strict=False):
            look: dict[str, Any] = {"color": colour, "markerfacecolor": colour if filled else "white"}
            (self.points[row.name],) = ax.plot([], [], marker, markersize=8, zorder=4, **look)
        ring: dict[str, Any] = {"markerfacecolor": "none", "color": style.INK, "markersize": 15, "zorder": 5}
        (self.ring,) = ax.plot([], [], "o", **ring)
        describe(ax, "bytes of gradients and Adam", "")
        self.moving += [*self.points.values(), self.ring]

    def update(self, steps: int, run: str) -> dict[str, Any]:
        """Show the losses after so many steps, and one run among them.

        Parameters
        ----------
        steps : int
            One of the table's.
        run : str
            The name of one of its rows.

        Returns
        -------
        dict of str to object
            By name; ``losses`` of all runs.
        """
        place = self.table.steps.index(steps)
        losses = {row.name: row.losses[place] for row in self.table.rows}
        self.here.set_xdata([steps, steps])
        for name, loss in losses.items():
            self.points[name].set_data([self.table.row(name).bytes], [loss])
            self.lines[name].set_linewidth(STRONG if name == run else PLAIN)
        chosen, last = self.table.row(run), self.table.rows[-1]
        self.ring.set_data([chosen.bytes], [losses[run]])
        self.title.set_text(_sentence(chosen, last, steps, losses[run]))
        return {
            "steps": steps,
            "run": run,
            "loss": losses[run],
            "losses": losses,
            "bytes": chosen.bytes,
            "fewer": last.bytes / chosen.bytes,
        }


def _sentence(chosen: RankRow, last: RankRow, steps: int, loss: float) -> str:
    """Return what a run has reached, and with how many bytes.

    Parameters
    ----------
    chosen, last : RankRow
        The run, and the one that all are compared with.
    steps : int
        So far.
    loss : float
        Of the run.

    Returns
    -------
    str
        A title.
    """
    taken = display.size(chosen.bytes)
    if chosen.name != last.name:
        taken += f", {display.significant(last.bytes / chosen.bytes)}× fewer than {last.name}"
    return f"{chosen.name}, {steps} steps: loss {loss:.3f}, {taken}"
