"""Panels to drag: controls above one picture. The only importer of ipywidgets.

A panel loads on first use, so that a notebook pays for its own panels only. ``explore`` makes one from a
function of the reader's; ``Panel`` and ``View`` are what all of them are made of.
"""

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from coursekit._core import imports

if TYPE_CHECKING:  # Python loads what is used; type checkers and editors see all of it
    from coursekit.widgets.allocator import allocator
    from coursekit.widgets.amdahl import amdahl
    from coursekit.widgets.channel_heatmap import channel_heatmap
    from coursekit.widgets.click_a_bit import click_a_bit
    from coursekit.widgets.compensation import compensation
    from coursekit.widgets.context_growth import context_growth
    from coursekit.widgets.crossover import crossover
    from coursekit.widgets.draw_a_digit import draw_a_digit
    from coursekit.widgets.dynamic_batching import dynamic_batching
    from coursekit.widgets.encode_stepper import encode_stepper
    from coursekit.widgets.explore import explore
    from coursekit.widgets.gguf_block import gguf_block
    from coursekit.widgets.keep_training import keep_training
    from coursekit.widgets.kv_cache import kv_cache
    from coursekit.widgets.methods_by_bits import methods_by_bits
    from coursekit.widgets.next_token import next_token
    from coursekit.widgets.noise import noise
    from coursekit.widgets.number_line import number_line
    from coursekit.widgets.panel import InputError, Panel, View
    from coursekit.widgets.pareto import pareto
    from coursekit.widgets.patience import patience
    from coursekit.widgets.pipeline import pipeline
    from coursekit.widgets.prefix_tree import prefix_tree
    from coursekit.widgets.pruning import pruning
    from coursekit.widgets.qat import qat
    from coursekit.widgets.ranks import ranks
    from coursekit.widgets.roofline_chart import roofline_chart
    from coursekit.widgets.slo import slo
    from coursekit.widgets.sparse_bytes import sparse_bytes
    from coursekit.widgets.staircase import staircase
    from coursekit.widgets.straight_through import straight_through
    from coursekit.widgets.temperature import temperature
    from coursekit.widgets.will_it_fit import will_it_fit

__all__ = [
    "InputError",
    "Panel",
    "View",
    "allocator",
    "amdahl",
    "channel_heatmap",
    "click_a_bit",
    "compensation",
    "context_growth",
    "crossover",
    "draw_a_digit",
    "dynamic_batching",
    "encode_stepper",
    "explore",
    "gguf_block",
    "keep_training",
    "kv_cache",
    "methods_by_bits",
    "next_token",
    "noise",
    "number_line",
    "pareto",
    "patience",
    "pipeline",
    "prefix_tree",
    "pruning",
    "qat",
    "ranks",
    "roofline_chart",
    "slo",
    "sparse_bytes",
    "staircase",
    "straight_through",
    "temperature",
    "will_it_fit",
]

_PARTS = ("InputError", "Panel", "View")  # of every panel: they stand in the module ``panel``
# Each panel is the function of this name in the module of this name.
PANELS = tuple(name for name in __all__ if name not in _PARTS)


class _PanelModule(ModuleType):
    """A panel's module that can be called as the panel.

    ``widgets.number_line`` is one attribute, and Python wants it to be the module: callable, it serves both
    ``widgets.number_line(…)`` and ``import coursekit.widgets.number_line``.
    """

    def __call__(self, /, *args: Any, **options: Any) -> Any:
        return _function(self)(*args, **options)


class _Panels(ModuleType):
    """Makes a panel's module callable when Python has loaded it and puts it here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in PANELS and isinstance(value, ModuleType):
            value.__class__ = _PanelModule
            function = _function(value)
            value.__doc__ = function.__doc__
            vars(value)["__signature__"] = inspect.signature(function)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Panels


def __getattr__(name: str) -> Any:
    """Load what is called ``name`` when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'coursekit.widgets' has no attribute {name!r}")
    if name in _PARTS:
        return getattr(imports.whole("coursekit.widgets.panel"), name)
    return imports.whole(f"coursekit.widgets.{name}")


def __dir__() -> list[str]:
    return [*__all__]


def _function(module: ModuleType) -> Any:
    return getattr(module, module.__name__.rpartition(".")[2])
