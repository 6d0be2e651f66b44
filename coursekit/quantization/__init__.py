"""Quantization: affine integers by hand, and the methods that round the weights of language models.

Where a function takes a scheme, ``bits``, ``group_size`` and ``symmetric`` mean the same: how many bits a
weight has, how many neighbours along a row share a scale, and whether 0 lies in the middle of the levels.
What works on tensors loads PyTorch on first use; the rest needs numpy alone.
"""

from typing import TYPE_CHECKING, Any

from coursekit._core import imports
from coursekit.quantization.affine import (
    ROUNDING,
    FloatArray,
    Quantized,
    ScaleSearch,
    best_scale,
    quantize,
    sqnr,
)
from coursekit.quantization.columns import ErrorSteps, error_steps
from coursekit.quantization.one_weight import OneWeight, straight_through

if TYPE_CHECKING:
    from coursekit.quantization.aware import AwareTraining, aware_training, round_many
    from coursekit.quantization.fake import FakeWeight, baked, fake_quantize, with_fake_weights

__all__ = [
    "ROUNDING",
    "AwareTraining",
    "ErrorSteps",
    "FakeWeight",
    "FloatArray",
    "OneWeight",
    "Quantized",
    "ScaleSearch",
    "aware_training",
    "baked",
    "best_scale",
    "error_steps",
    "fake_quantize",
    "quantize",
    "round_many",
    "sqnr",
    "straight_through",
    "with_fake_weights",
]

_FROM_TORCH = {
    "aware": ("AwareTraining", "aware_training", "round_many"),
    "fake": ("FakeWeight", "baked", "fake_quantize", "with_fake_weights"),
}
_HOMES = {name: module for module, names in _FROM_TORCH.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'coursekit.quantization' has no attribute {name!r}")
    return getattr(imports.whole(f"coursekit.quantization.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
