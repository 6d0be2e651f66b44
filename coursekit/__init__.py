"""Widgets, plots, timing and checks for the notebooks on efficient machine learning.

Submodules load on first use, so that ``import coursekit`` costs next to nothing.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from coursekit._core import imports

if TYPE_CHECKING:
    from coursekit import (
        accuracy,
        batching,
        claims,
        classroom,
        data,
        deployment,
        distillation,
        exercises,
        finetuning,
        floats,
        kv_cache,
        language,
        memory,
        models,
        onnx_models,
        plots,
        pruning,
        quantization,
        runtime,
        scoreboard,
        timing,
        variants,
        widgets,
    )
    from coursekit.deployment import serving
    from coursekit.quantization import dynamic
    from coursekit.timing import launches, profiles, roofline

__version__ = "0.2.0"

__all__ = [
    "accuracy",
    "batching",
    "claims",
    "classroom",
    "data",
    "deployment",
    "distillation",
    "dynamic",
    "exercises",
    "finetuning",
    "floats",
    "kv_cache",
    "language",
    "launches",
    "memory",
    "models",
    "onnx_models",
    "plots",
    "profiles",
    "pruning",
    "quantization",
    "roofline",
    "runtime",
    "scoreboard",
    "serving",
    "timing",
    "variants",
    "widgets",
]

# Modules that stand in a room, but are imported from here.
_ELSEWHERE = {
    "dynamic": "quantization.dynamic",
    "launches": "timing.launches",
    "profiles": "timing.profiles",
    "roofline": "timing.roofline",
    "serving": "deployment.serving",
}


def __getattr__(name: str) -> ModuleType:
    """Load the submodule ``name`` when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'coursekit' has no attribute {name!r}")
    return imports.whole(f"coursekit.{_ELSEWHERE.get(name, name)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
