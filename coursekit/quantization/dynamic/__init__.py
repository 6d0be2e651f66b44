"""Dynamic INT8 quantization: PyTorch's own where it exists, and the same five steps written in integers."""

from coursekit.quantization.dynamic.arithmetic import (
    DynamicLinear,
    activation_qparams,
    quantize_activation,
    quantize_weight,
)
from coursekit.quantization.dynamic.quantizing import quantize_dynamic, state_dict_size

__all__ = [
    "DynamicLinear",
    "activation_qparams",
    "quantize_activation",
    "quantize_dynamic",
    "quantize_weight",
    "state_dict_size",
]
