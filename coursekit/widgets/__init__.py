"""Panels to drag: controls above one picture. The only importer of ipywidgets.

A panel loads on first use, so that a notebook pays for its own panels only.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from coursekit._core import imports

# Each panel is the function of this name in the module of this name.
__all__ = [
    "amdahl",
    "channel_heatmap",
    "click_a_bit",
    "context_growth",
    "crossover",
    "draw_a_digit",
    "dynamic_batching",
    "encode_stepper",
    "noise",
    "number_line",
    "pareto",
    "patience",
    "pipeline",
    "pruning",
    "roofline_chart",
    "slo",
    "sparse_bytes",
    "staircase",
    "temperature",
    "will_it_fit",
]


class _Panels(ModuleType):
    """Keeps ``widgets.number_line`` the function, where Python would put the module of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Panels


def __getattr__(name: str) -> Callable[..., Any]:
    """Load the panel ``name`` when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'coursekit.widgets' has no attribute {name!r}")
    imports.whole(f"coursekit.widgets.{name}")
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__]
