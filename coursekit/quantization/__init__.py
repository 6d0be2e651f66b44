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
from coursekit.quantization.budget import BitPlan, allocate_bits
from coursekit.quantization.by_method import MethodRow, MethodTable
from coursekit.quantization.one_row import ErrorSteps, error_steps
from coursekit.quantization.one_weight import OneWeight, straight_through
from coursekit.quantization.packing import pack, unpack

if TYPE_CHECKING:
    from coursekit.quantization.activation_aware import ScaledRounding, awq, fold_scales
    from coursekit.quantization.aware import AwareTraining, aware_training, round_many
    from coursekit.quantization.calibration import (
        Calibration,
        calibrate,
        hessian,
        layer_inputs,
        observed,
        output_error,
    )
    from coursekit.quantization.clipping import round_clipped
    from coursekit.quantization.column_rounding import gptq
    from coursekit.quantization.fake import FakeWeight, baked, fake_quantize, with_fake_weights
    from coursekit.quantization.matrices import Rounded, round_matrix
    from coursekit.quantization.normal_floats import NormalFloat, nf4, nf4_levels
    from coursekit.quantization.smoothing import smoothed, smoothing_scales, with_rounded_inputs
    from coursekit.quantization.whole_models import LayerRounding, RoundedModel, rounded

__all__ = [
    "ROUNDING",
    "AwareTraining",
    "BitPlan",
    "Calibration",
    "ErrorSteps",
    "FakeWeight",
    "FloatArray",
    "LayerRounding",
    "MethodRow",
    "MethodTable",
    "NormalFloat",
    "OneWeight",
    "Quantized",
    "Rounded",
    "RoundedModel",
    "ScaleSearch",
    "ScaledRounding",
    "allocate_bits",
    "aware_training",
    "awq",
    "baked",
    "best_scale",
    "calibrate",
    "error_steps",
    "fake_quantize",
    "fold_scales",
    "gptq",
    "hessian",
    "layer_inputs",
    "nf4",
    "nf4_levels",
    "observed",
    "output_error",
    "pack",
    "quantize",
    "round_clipped",
    "round_many",
    "round_matrix",
    "rounded",
    "smoothed",
    "smoothing_scales",
    "sqnr",
    "straight_through",
    "unpack",
    "with_fake_weights",
    "with_rounded_inputs",
]

_FROM_TORCH = {
    "activation_aware": (
        "ScaledRounding",
        "awq",
        "fold_scales",
    ),
    "aware": ("AwareTraining", "aware_training", "round_many"),
    "calibration": (
        "Calibration",
        "calibrate",
        "hessian",
        "layer_inputs",
        "observed",
        "output_error",
    ),
    "clipping": ("round_clipped",),
    "fake": (
        "FakeWeight",
        "baked",
        "fake_quantize",
        "with_fake_weights",
    ),
    "column_rounding": ("gptq",),
    "matrices": (
        "Rounded",
        "round_matrix",
    ),
    "normal_floats": (
        "NormalFloat",
        "nf4",
        "nf4_levels",
    ),
    "smoothing": (
        "smoothed",
        "smoothing_scales",
        "with_rounded_inputs",
    ),
    "whole_models": (
        "LayerRounding",
        "RoundedModel",
        "rounded",
    ),
}
_HOMES = {name: module for module, names in _FROM_TORCH.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load what needs PyTorch when it is first used (PEP 562)."""
    if name == "dynamic":  # a room inside this one
        return imports.whole("coursekit.quantization.dynamic")
    if name not in _HOMES:
        raise AttributeError(f"module 'coursekit.quantization' has no attribute {name!r}")
    return getattr(imports.whole(f"coursekit.quantization.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
