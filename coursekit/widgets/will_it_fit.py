"""The panel that weighs a model in a setting against many devices."""

from collections.abc import Sequence
from typing import Any

import ipywidgets

from coursekit._core import arguments
from coursekit._core.display import size
from coursekit.memory import DEVICES, MODELS, MODES, WIDTHS, Device, Model, fits, need
from coursekit.plots.need_page import need_page, show_need
from coursekit.plots.page import page
from coursekit.widgets.panel import Panel, View
from coursekit.widgets.stops import round_slider

__all__ = ["BATCHES", "CONTEXTS", "OWN", "FitView", "WillItFit", "will_it_fit"]

OWN = "own size"
KV_WIDTHS = WIDTHS[1:]
CONTEXTS = tuple(2**power for power in range(8, 18))
BATCHES = tuple(2**power for power in range(9))
LEAST, MOST = 1e8, 1e12  # what the parameters' slider spans
MOST_DEVICES = 10
NAMES = {"inference": "inference", "lora": "LoRA training", "full": "full training"}


def will_it_fit(
    model: str = "LLaMA-7B",
    bits: int = 8,
    kv_bits: int = 16,
    context: int = 8192,
    batch: int = 1,
    mode: str = "inference",
    devices: Sequence[Device] | None = None,
) -> Panel:
    """Return a panel that weighs a model in a setting against devices.

    Full training knows 32 and 16 bits only.

    Parameters
    ----------
    model : str
        A name in ``memory.MODELS``.
    bits, kv_bits : int
        Bits of a weight, and of a number in the KV cache.
    context, batch : int
        Tokens per sequence, and sequences at once.
    mode : str
        A name in ``memory.MODES``.
    devices : sequence of memory.Device, optional
        Default: the presets.

    Returns
    -------
    Panel
        Controls: model ("own size" frees the parameters' slider), parameters, mode, bits of the weights and
        of the KV cache, context, batch.

    Raises
    ------
    TypeError, ValueError
        For a setting that no control has, or devices that are not a list of Devices, or too many for a
        picture.
    """
    chosen = _devices(DEVICES.values() if devices is None else devices)
    arguments.choice("mode", mode, MODES)
    arguments.choice("model", model, [*MODELS, OWN])
    start = {"bits": bits, "kv_bits": kv_bits, "context": context, "batch": batch}
    offered = {"bits": _widths(mode), "kv_bits": KV_WIDTHS, "context": CONTEXTS, "batch": BATCHES}
    for name, value in start.items():
        if arguments.integer(name, value) not in offered[name]:
            raise ValueError(f"{name} must be one of {', '.join(map(str, offered[name]))}; got {value}")
    return WillItFit(FitView(chosen), _controls(model, mode, start))


class FitView(View):
    """The need as one bar split into its parts, and below it a row per device.

    Parameters
    ----------
    devices : sequence of Device
        A row each.
    """

    alt = (
        "The memory that a model needs as a stacked bar, its parts named with their sizes; below, a row per "
        "device shows the same bar as a share of its memory: a check mark where it fits, a cross where not."
    )

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__()
        self.devices = devices
        self.page = need_page(page(self.figure), devices)
        self.moving = self.page.artists

    def update(
        self, model: str, parameters: float, mode: str, bits: int, kv_bits: int, context: int, batch: int
    ) -> dict[str, Any]:
        """Weigh one setting.

        Parameters
        ----------
        model : str
            One of MODELS' names, or OWN.
        parameters : float
            The size of an own model.
        mode : str
            What the model is used for.
        bits : int
            Of a weight.
        kv_bits : int
            Of a number in the cache.
        context : int
            Tokens per sequence.
        batch : int
            How many sequences at once.

        Returns
        -------
        dict of str to object
            By name, in bytes; ``verdicts`` and ``room`` (bytes left, negative if missing) are per device.
        """
        weighed = Model.like_llama(parameters) if model == OWN else MODELS[model]
        wanted = need(weighed, bits, kv_bits, context, batch, mode)
        found = {device.name: fits(wanted, device) for device in self.devices}
        count = sum(fit.verdict == "fits" for fit in found.values())
        many = {0: "no device", len(found): "every device"}.get(count, f"{count} of {len(found)} devices")
        show_need(self.page, wanted, f"{weighed.name} needs {size(wanted.total)} and fits into {many}")
        return {
            "parameters": weighed.parameters,
            **{name.replace(" ", "_").lower(): nbytes for name, nbytes in wanted.parts},
            "total": wanted.total,
            "verdicts": {name: fit.verdict for name, fit in found.items()},
            "room": {name: fit.room for name, fit in found.items()},
        }


class WillItFit(Panel):
    """The panel; controls that a setting has no use for are switched off."""

    def rows(self) -> list[ipywidgets.Widget]:
        """Return the rows: what model, what for, how stored, how much of it.

        Returns
        -------
        list of Widget
            From the top.
        """
        # Bits of weights and of the cache stand below each other: side by side they would read as one row.
        groups = (("model", "parameters"), ("mode",), ("bits",), ("kv_bits",), ("context", "batch"))
        self.arrange("mode")
        return [ipywidgets.HBox([self.controls[name] for name in group]) for group in groups]

    def arrange(self, moved: str) -> None:
        """Offer the widths that the mode can have, and free the slider for an own size.

        Parameters
        ----------
        moved : str
            The name of the control that moved.
        """
        mode, bits, model = self.controls["mode"].value, self.controls["bits"], self.controls["model"].value
        if tuple(bits.options) != _widths(mode):
            before = bits.value
            with bits.hold_trait_notifications():
                bits.options = _widths(mode)
                bits.value = max(before, 16) if mode == "full" else before
        self.controls["kv_bits"].disabled = mode != "inference" or (
            model != OWN and not MODELS[model].generates
        )
        own = self.controls["parameters"]  # beside a model with a size of its own it would say something else
        own.disabled, own.layout.display = model != OWN, None if model == OWN else "none"


def _controls(model: str, mode: str, start: dict[str, int]) -> dict[str, ipywidgets.Widget]:
    modes = [(title, name) for name, title in NAMES.items()]
    return {
        "model": ipywidgets.Dropdown(options=[*MODELS, OWN], value=model, description="model"),
        "parameters": round_slider(3e9, LEAST, MOST, "parameters", show=_counted),
        "mode": _toggle("for", modes, mode, "9em"),
        "bits": _toggle("weight bits", _widths(mode), start["bits"]),
        "kv_bits": _toggle("KV bits", KV_WIDTHS, start["kv_bits"]),
        "context": _powers("context", CONTEXTS, start["context"]),
        "batch": _powers("batch", BATCHES, start["batch"]),
    }


def _counted(parameters: float) -> str:
    unit, name = (1e9, "billion") if parameters >= 1e9 else (1e6, "million")
    return f"{parameters / unit:g} {name}"


def _powers(name: str, values: Sequence[int], start: int) -> ipywidgets.SelectionSlider:
    options = [(f"{value:,}", value) for value in values]
    return ipywidgets.SelectionSlider(options=options, value=start, description=name)


def _toggle(title: str, options: Sequence[Any], value: Any, width: str = "3em") -> ipywidgets.ToggleButtons:
    made = ipywidgets.ToggleButtons(options=options, value=value, description=title)
    made.style.button_width = width
    return made


def _widths(mode: str) -> tuple[int, ...]:
    return WIDTHS[:2] if mode == "full" else WIDTHS


def _devices(given: Any) -> tuple[Device, ...]:
    devices = tuple(given)
    for device in devices:
        if not isinstance(device, Device):
            raise TypeError(f"devices must be Devices; got {type(device).__name__}")
    if not 1 <= len(devices) <= MOST_DEVICES or len({device.name for device in devices}) < len(devices):
        raise ValueError(f"devices must be 1 to {MOST_DEVICES}, each with its own name; got {len(devices)}")
    return devices
