"""Plots draw on an Axes, return their artists and change nothing else.

Each topic has its module, loaded on first use; ``plots.style`` holds the colours and makes figures.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from coursekit._core import imports

if TYPE_CHECKING:
    from coursekit.plots import (
        batching,
        bits,
        comparison,
        crossover,
        distillation,
        gain_map,
        guesses,
        memory,
        need_page,
        numbers,
        onnx_graph,
        pareto,
        pipeline,
        profiles,
        pruning,
        quantized,
        roofline,
        style,
    )

__all__ = [
    "batching",
    "bits",
    "comparison",
    "crossover",
    "distillation",
    "gain_map",
    "guesses",
    "memory",
    "need_page",
    "numbers",
    "onnx_graph",
    "pareto",
    "pipeline",
    "profiles",
    "pruning",
    "quantized",
    "roofline",
    "style",
]


def __getattr__(name: str) -> ModuleType:
    """Load the submodule ``name`` when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'coursekit.plots' has no attribute {name!r}")
    return imports.whole(f"coursekit.plots.{name}")


def __dir__() -> list[str]:
    return [*__all__]
