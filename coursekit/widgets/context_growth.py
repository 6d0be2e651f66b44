"""The panel that shows memory growing with the context, and where a device is full."""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from coursekit._core import arguments
from coursekit._core.display import size
from coursekit.memory import DEVICES, MODELS, WIDTHS, Device, Model, kv_cache, longest_context, need
from coursekit.plots import style
from coursekit.plots.comparison import describe
from coursekit.plots.memory import round_size
from coursekit.widgets.panel import Panel, View

__all__ = ["BATCHES", "TALKING", "ContextGrowth", "GrowthView", "context_growth"]

TALKING = {name: model for name, model in MODELS.items() if model.generates}
KV_WIDTHS = WIDTHS[1:]
BATCHES = tuple(2**power for power in range(9))
CONTEXTS = np.unique(np.rint(2.0 ** np.arange(7, 20.1, 0.25)).astype(int))


@dataclass(frozen=True)
class _Layout:
    """Where the device's name stands, as shares of the axes' width, and the bytes that the picture spans."""

    right: float = 0.99
    aside: float = 0.6
    crowded: int = 2**18  # tokens: a ring beyond them pushes the name aside
    lowest: float = 1.1e8  # bytes
    highest: float = 9e12


LAYOUT = _Layout()


def context_growth(
    model: str = "LLaMA-7B", bits: int = 4, kv_bits: int = 16, batch: int = 1, device: str = "laptop"
) -> Panel:
    """Return a panel with weights, KV cache and their sum against the context, and a device's memory.

    Parameters
    ----------
    model, device : str
        Names in ``memory.MODELS`` and ``memory.DEVICES``.
    bits, kv_bits : int
        Bits of a weight, and of a number in the KV cache.
    batch : int
        Sequences at once.

    Returns
    -------
    Panel
        Controls: model, bits of the weights and of the cache, batch, device.

    Raises
    ------
    ValueError
        For a setting that no control has.
    """
    arguments.choice("model", model, TALKING)
    arguments.choice("device", device, DEVICES)
    numbers = (("bits", bits, WIDTHS), ("kv_bits", kv_bits, KV_WIDTHS), ("batch", batch, BATCHES))
    for name, value, offered in numbers:
        if arguments.integer(name, value) not in offered:
            raise ValueError(f"{name} must be one of {', '.join(map(str, offered))}; got {value}")
    controls = {
        "model": ipywidgets.Dropdown(options=list(TALKING), value=model, description="model"),
        "device": ipywidgets.Dropdown(options=list(DEVICES), value=device, description="device"),
        "bits": _toggle("weight bits", WIDTHS, bits),
        "kv_bits": _toggle("KV bits", KV_WIDTHS, kv_bits),
        "batch": ipywidgets.SelectionSlider(options=BATCHES, value=batch, description="batch"),
    }
    return ContextGrowth(GrowthView(), controls)


class GrowthView(View):
    """Three lines over the context, the device's memory as a ceiling, and a ring where they meet."""

    alt = (
        "Memory against the length of the context, both axes logarithmic: the weights are a flat line, the "
        "KV cache rises with the context, their sum meets the memory of the device at the longest context."
    )

    def __init__(self) -> None:
        super().__init__()
        with style.look():
            ax = self.figure.add_subplot()
            self._frame(ax)
            self._lines(ax)
            self.title = ax.set_title(" ", pad=2.0 * mpl.rcParams["font.size"], zorder=6)
            self.reading = ax.text(0, 1.02, "", va="bottom", transform=ax.transAxes, zorder=6)
        # the axis' line lies on the ground above the ceiling, so that it has to be drawn again, too
        self.moving = [
            self.above,
            ax.spines["left"],
            self.ceiling,
            self.name,
            self.weights,
            self.cache,
            self.sum,
        ]
        self.moving += [self.even, self.drop, self.ring, self.title, self.reading]

    def _frame(self, ax: Axes) -> None:
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=10)
        ax.set_xlim(CONTEXTS[0], CONTEXTS[-1])
        ax.set_ylim(LAYOUT.lowest, LAYOUT.highest)
        ax.set_xticks(CONTEXTS[::8])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:,.0f}"))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda nbytes, _: round_size(nbytes)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_locator(NullLocator())
        describe(ax, "context of each sequence (tokens)", "memory")

    def _lines(self, ax: Axes) -> None:
        top = LAYOUT.highest
        self.above = ax.axhspan(top, top, color=style.PALE, alpha=0.5, linewidth=0, zorder=2)
        self.ceiling = ax.axhline(top, color=style.INK, linewidth=1.2, zorder=3)
        self.name = ax.text(
            LAYOUT.right, top, "", ha="right", va="bottom", transform=ax.get_yaxis_transform(), zorder=6
        )
        (self.sum,) = ax.plot(
            [], [], color=style.INK, linewidth=3.5, alpha=0.35, zorder=3.5, label="together"
        )
        (self.weights,) = ax.plot([], [], color=style.BLUE, zorder=4, label="weights")
        (self.cache,) = ax.plot([], [], "--", color=style.ORANGE, zorder=4, label="KV cache")
        (self.even,) = ax.plot(
            [], [], "D", color=style.GREY, markersize=7, zorder=5, label="as large as the weights"
        )
        ring: dict[str, Any] = {
            "markerfacecolor": "none",
            "markeredgecolor": style.VERMILLION,
            "markeredgewidth": 2.2,
        }
        (self.ring,) = ax.plot([], [], "o", markersize=13, zorder=5, label="device full", **ring)
        (self.drop,) = ax.plot([], [], ":", color=style.VERMILLION, linewidth=1.5, zorder=3)
        self.figure.legend(loc="outside lower center", ncols=5, columnspacing=1.2, handletextpad=0.5)

    def update(self, model: str, device: str, bits: int, kv_bits: int, batch: int) -> dict[str, Any]:
        """Draw one setting.

        Parameters
        ----------
        model : str
            One of MODELS' names.
        device : str
            One of DEVICES' names.
        bits : int
            Of a weight.
        kv_bits : int
            Of a number in the cache.
        batch : int
            How many sequences at once.

        Returns
        -------
        dict of str to object
            By name, in bytes; ``longest`` is in tokens, ``even`` where the cache outgrows the weights.
        """
        chosen, found = MODELS[model], DEVICES[device]
        needs = [need(chosen, bits, kv_bits, int(tokens), batch) for tokens in CONTEXTS]
        weights = needs[0].weights
        longest = longest_context(chosen, found, bits=bits, kv_bits=kv_bits, batch=batch)
        per_token = kv_cache(chosen, 1, batch, bits=kv_bits)
        shown = {
            "weights": weights,
            "per_token": per_token,
            "longest": longest,
            "even": -(-weights // per_token),
            "memory": found.memory,
        }
        self.weights.set_data(CONTEXTS, [weights] * len(CONTEXTS))
        self.cache.set_data(CONTEXTS, [one.kv_cache for one in needs])
        self.sum.set_data(CONTEXTS, [one.total for one in needs])
        self._mark(shown)
        self._say(chosen, found, shown, batch)
        return shown

    def _mark(self, shown: dict[str, Any]) -> None:
        memory, longest = shown["memory"], shown["longest"]
        inside = CONTEXTS[0] <= longest <= CONTEXTS[-1]
        self.ring.set_data(*([longest], [memory]) if inside else ([], []))
        self.drop.set_data(*([longest] * 2, [LAYOUT.lowest, memory]) if inside else ([], []))
        self.even.set_data([shown["even"]], [shown["weights"]])
        self.ceiling.set_ydata([memory, memory])
        self.above.set(y=memory, height=LAYOUT.highest - memory)
        self.name.set(x=LAYOUT.aside if longest > LAYOUT.crowded else LAYOUT.right, y=1.1 * memory)

    def _say(self, model: Model, device: Device, shown: dict[str, Any], batch: int) -> None:
        longest, times = shown["longest"], "" if batch == 1 else f"{batch} × "
        room = f"room for {times}{longest:,} tokens" if longest else "not even one token fits"
        self.title.set_text(f"{model.name} on {_with_article(device.name)}: {room}")
        self.name.set_text(str(device))
        each = "Each token adds" if batch == 1 else f"Each {batch} tokens add"
        past = f"past {shown['even']:,} the cache outweighs the weights"
        self.reading.set_text(f"{each} {size(shown['per_token'])}; {past}")


class ContextGrowth(Panel):
    """The panel, its controls in rows."""

    def rows(self) -> list[ipywidgets.Widget]:
        """Return what model where, then how stored and how many at once.

        Returns
        -------
        list of Widget
            From the top.
        """
        groups = (("model", "device"), ("bits",), ("kv_bits",), ("batch",))
        return [ipywidgets.HBox([self.controls[name] for name in group]) for group in groups]


def _toggle(title: str, options: tuple[int, ...], value: int) -> ipywidgets.ToggleButtons:
    made = ipywidgets.ToggleButtons(options=options, value=value, description=title)
    made.style.button_width = "3em"
    return made


def _with_article(name: str) -> str:
    spelled = name[0] in "AHR" and not name[1].islower()  # an H100, but a Raspberry Pi
    return f"{'an' if spelled else 'a'} {name}"
