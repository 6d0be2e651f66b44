"""The arithmetic of dynamic INT8: the same five steps as PyTorch's, written in integers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coursekit._core import arguments

__all__ = [
    "DynamicLinear",
    "activation_qparams",
    "engine",
    "need_cpu",
    "quantize_activation",
    "quantize_weight",
]

# Without VNNI a CPU adds two uint8 * int8 products in 16 bits: 2 * 127 * 128 fits, 2 * 255 * 128 does not.
REDUCED, FULL = 127, 255
# Limits that PyTorch sets so that no scale is too small to divide by.
LEAST_WEIGHT_SCALE = 2.0**-23
LEAST_ACTIVATION_SCALE = 6.1e-5
NO_RECIPROCAL = 2.0**-128
ALL_ZERO_SCALE = 0.1


class DynamicLinear(nn.Module):
    """A linear layer with INT8 weights that quantizes each batch to unsigned integers as it comes.

    The five steps and their numbers are those of PyTorch's dynamic Linear: the outputs are equal to the last
    bit with its x86 and fbgemm engines (unless the bias vanishes beside the product), and up to float32
    rounding with qnnpack and onednn.

    Parameters
    ----------
    linear : Linear
        The layer, which stays as it is; ``weight`` becomes int8 [out, in] with the float32 ``scale``,
        ``bias`` stays float32.
    reduce_range : bool, optional
        Whether one of the eight bits stays unused; see ``activation_qparams``.

    Raises
    ------
    TypeError
        Unless given an nn.Linear.
    ValueError
        For input that is not finite or not on the CPU.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, reduce_range: bool | None = None) -> None:
        super().__init__()
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear must be an nn.Linear; got {type(linear).__name__}")
        weight, scale = quantize_weight(linear.weight)
        self.reduce_range = None if reduce_range is None else arguments.flag("reduce_range", reduce_range)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return x @ weight.T + bias, computed in integers.

        Parameters
        ----------
        x : Tensor
            [..., in].

        Returns
        -------
        Tensor
            [..., out], of the type of ``x``.
        """
        # 1, 2: the range of this batch gives the scale and the zero point
        scale, zero_point = activation_qparams(x, self.reduce_range)
        # 3: activations to uint8
        q = quantize_activation(x, scale, zero_point)
        # 4: int32 products and sums; the zero point's share is the same for every row, and comes off
        weight = self.weight.int()
        total = q.int() @ weight.T - zero_point * weight.sum(1, dtype=torch.int32)
        # 5: back to real numbers. The library multiplies and adds with one rounding; float64 does the same.
        y = total.double() * (self.scale * scale)
        return (y if self.bias is None else y + self.bias).to(x.dtype)

    def extra_repr(self) -> str:
        """Name the sizes and the type, as PyTorch's layers do.

        Returns
        -------
        str
            What stands between the brackets of the layer's text.
        """
        out_features, in_features = self.weight.shape
        return f"in_features={in_features}, out_features={out_features}, dtype={self.weight.dtype}"


def activation_qparams(x: Any, reduce_range: bool | None = None) -> tuple[float, int]:
    """Return the scale and zero point that PyTorch gives to activations: asymmetric, one for all.

    The range of ``x``, widened to include 0, is spread over 127 steps, so one of the eight bits stays unused:
    the sums of CPUs without VNNI would overflow. PyTorch's qnnpack engine, found on Arm, uses all 255.

    Parameters
    ----------
    x : object
        The activations, any shape.
    reduce_range : bool, optional
        Whether 127 steps are used; by default as the engine here does.

    Returns
    -------
    tuple of (float, int)
        The scale, rounded to float32, and the zero point.

    Raises
    ------
    ValueError
        If ``x`` is not finite or not on the CPU.

    Notes
    -----
    Source: ATen/native/quantized/cpu/QuantUtils.h.
    """
    values = _numbers("x", x)
    reduced = engine() != "qnnpack" if reduce_range is None else arguments.flag("reduce_range", reduce_range)
    levels = REDUCED if reduced else FULL
    low, high = (float(end) for end in torch.cat([values.flatten(), torch.zeros(1)]).aminmax())
    scale = (high - low) / levels
    if scale <= NO_RECIPROCAL:
        scale = ALL_ZERO_SCALE
    zero_point = min(max(round(-low / scale), 0), levels)
    return float(np.float32(max(scale, LEAST_ACTIVATION_SCALE))), zero_point


def quantize_activation(x: Any, scale: float, zero_point: int) -> Tensor:
    """Return ``x`` as uint8: round(x * (1 / scale) + zero_point), ties to even, clipped to 0..255.

    Parameters
    ----------
    x : object
        The activations, any shape.
    scale : float
        Above 0.
    zero_point : int
        0 to 255.

    Returns
    -------
    Tensor
        uint8, of the shape of ``x``.

    Raises
    ------
    ValueError
        If ``x`` is not finite or not on the CPU, scale <= 0, or zero_point outside 0..255.
    """
    scale = arguments.real("scale", scale, NO_RECIPROCAL)
    zero_point = arguments.integer("zero_point", zero_point, 0, FULL)
    # The library multiplies by the float32 reciprocal and adds with one rounding; float64 does the same.
    reciprocal = float(np.float32(1) / np.float32(scale))
    q = torch.round((_numbers("x", x).double() * reciprocal + zero_point).float())
    return q.clamp(0, FULL).to(torch.uint8)


def quantize_weight(weight: Any) -> tuple[Tensor, Tensor]:
    """Return ``weight`` as int8 and its float32 scale, max|w| / 127.5: PyTorch's choice, one for all.

    Parameters
    ----------
    weight : object
        Any shape.

    Returns
    -------
    tuple of 2 Tensor
        The weights as int8, and the scale.

    Raises
    ------
    ValueError
        If ``weight`` is empty or not finite.

    Notes
    -----
    Not 127: half of the 255 steps from -128 to 127. The largest weight lies at 127.5, so it may be clipped.
    Source: torch.ao.quantization.MinMaxObserver.
    """
    values = _numbers("weight", weight)
    if not values.numel():
        raise ValueError(f"weight is empty (shape {tuple(values.shape)}): there is nothing to quantize")
    scale = (values.abs().max() / 127.5).clamp(min=LEAST_WEIGHT_SCALE)
    return torch.round(values * scale.reciprocal()).clamp(-128, 127).to(torch.int8), scale


def need_cpu(name: str, tensor: Tensor) -> None:
    """Refuse a tensor that is not on the CPU, and say what to do.

    Parameters
    ----------
    name : str
        What the error calls it.
    tensor : Tensor
        The tensor.

    Raises
    ------
    ValueError
        If it is on another device.
    """
    if tensor.device.type != "cpu":
        raise ValueError(
            f"{name} is on {tensor.device}, but dynamic INT8 is a CPU feature: use {name}.cpu(). "
            "On a GPU compare FP16, BF16 or TF32 instead."
        )


def engine() -> str:
    """Return the name of PyTorch's integer backend, "none" where it has none.

    Returns
    -------
    str
        The name.
    """
    try:
        return str(torch.backends.quantized.engine)
    except AttributeError:
        return "none"


def _numbers(name: str, value: Any) -> Tensor:
    """Return ``value`` as a finite float32 tensor on the CPU; it may be empty, as a batch may."""
    if isinstance(value, Tensor):
        need_cpu(name, value)
    arguments.dense(name, value)
    try:
        tensor = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be an array of numbers; got {type(value).__name__}") from None
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"{name} must be an array of numbers; got {tensor.dtype}")
    need_cpu(name, tensor)
    if not torch.isfinite(tensor.float()).all():
        raise ValueError(f"{name} must be finite: NaN or infinity leaves no range to quantize")
    return tensor.float()
