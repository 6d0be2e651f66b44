"""Fake quantization: weights rounded at every call and trained through the straight-through estimator.

Source: Bengio et al. 2013, Estimating or Propagating Gradients Through Stochastic Neurons; for 1 bit
Rastegari et al. 2016, XNOR-Net.
"""

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from coursekit._core import arguments
from coursekit.models.inputs import as_module
from coursekit.quantization.layers import CONVOLUTIONS, chosen

__all__ = ["FakeWeight", "baked", "fake_quantize", "with_fake_weights"]

MOST_BITS = 16
Module = TypeVar("Module", bound=nn.Module)


def fake_quantize(
    weight: Tensor,
    bits: int,
    axis: int | None = 0,
    group_size: int | None = None,
    *,
    symmetric: bool = True,
    clip: float = 1.0,
) -> Tensor:
    """Return ``weight`` rounded to ``bits`` bits and back, with a gradient that passes straight through.

    Parameters
    ----------
    weight : Tensor
        Finite floats of any shape.
    bits : int
        1 to 16. Symmetric levels run from -(2**(bits-1) - 1) to 2**(bits-1) - 1 times the scale. With 1 bit
        there are two: ± the mean magnitude; 0 counts as positive.
    axis : int, optional
        One scale for every index of this axis; None: one for all. Groups make their own.
    group_size : int, optional
        One scale for so many neighbours along the last axis, whatever ``axis`` says.
    symmetric : bool
        Else 2**bits - 1 steps from the smallest to the largest value, widened to include 0.
    clip : float
        More than 0, up to 1: the share of the range that the levels cover. What lies outside is clipped.

    Returns
    -------
    Tensor
        The values of ``quantization.quantize(…).dequantize()``, in the shape and type of ``weight``.

    Raises
    ------
    TypeError, ValueError
        For what is not a finite float tensor, for bits, an axis, a group size or a clip that do not fit, and
        for a clip with 1 bit, which has no range.

    Notes
    -----
    Rounding has gradient 0 almost everywhere. Here the gradient with respect to ``weight`` is 1 for values
    inside the range, ends included, and 0 for those that ``clip`` cuts off; the scale counts as a constant.
    With ``clip=1`` and with 1 bit nothing is cut off: the gradient is 1 everywhere.
    """
    values = _checked(weight)
    scheme = FakeWeight(bits, axis, group_size, symmetric=symmetric, clip=clip)
    scheme.right_inverse(values)
    rounded: Tensor = scheme(values)
    return rounded


class FakeWeight(nn.Module):
    """A parametrization of torch that shows a layer its weight rounded, as ``fake_quantize`` does.

    Parameters
    ----------
    bits, axis, group_size, symmetric, clip : int, int or None, int or None, bool, float
        As in ``fake_quantize``.

    Raises
    ------
    TypeError, ValueError
        As ``fake_quantize``.
    """

    def __init__(
        self,
        bits: int,
        axis: int | None = 0,
        group_size: int | None = None,
        *,
        symmetric: bool = True,
        clip: float = 1.0,
    ) -> None:
        super().__init__()
        self.bits = arguments.integer("bits", bits, 1, MOST_BITS)
        self.axis = axis if axis is None else arguments.integer("axis", axis)
        self.group_size = group_size if group_size is None else arguments.integer("group_size", group_size, 1)
        self.symmetric = arguments.flag("symmetric", symmetric)
        self.clip = arguments.positive("clip", arguments.real("clip", clip, high=1))
        if self.bits == 1 and self.symmetric and self.clip < 1:
            raise ValueError(
                f"clip must be 1 where bits is 1 and symmetric: there is no range; got {self.clip}"
            )

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight rounded, with the straight-through gradient.

        Parameters
        ----------
        weight : Tensor
            Of a shape that ``right_inverse`` has looked at.

        Returns
        -------
        Tensor
            Of the same shape and type.
        """
        with torch.no_grad():
            rounded, inside = self._nearest(weight.detach())
        # Not weight + (rounded - weight): that is off by a float rounding.
        passed = weight - weight.detach()
        return rounded + (passed if inside is None else passed * inside)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return ``weight``, from which training starts, if the scheme fits its shape.

        Parameters
        ----------
        weight : Tensor
            The layer's weight.

        Returns
        -------
        Tensor
            The same.

        Raises
        ------
        ValueError
            For an axis that it lacks, or a group size that does not divide its last axis.
        """
        last = weight.shape[-1] if weight.ndim else 0
        if self.group_size is not None and (not last or last % self.group_size):
            raise ValueError(
                f"group_size must divide the last axis of weight, {last} long; got {self.group_size}"
            )
        if self.group_size is None and self.axis is not None:
            if not weight.ndim:
                raise ValueError("axis must be None for a weight that is a single number")
            arguments.integer("axis", self.axis, -weight.ndim, weight.ndim - 1)
        return weight

    def extra_repr(self) -> str:
        """Return what stands in the brackets of the module's text.

        Returns
        -------
        str
            The bits and what shares a scale.
        """
        shared = f"axis={self.axis}" if self.group_size is None else f"group_size={self.group_size}"
        return f"bits={self.bits}, {shared}"

    def _nearest(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the nearest level of each value and, where there is a clip, which values lie inside."""
        values = weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight
        blocks, over = self._blocks(values)
        if self.symmetric and self.bits == 1:
            scale = blocks.double().abs().mean(over, keepdim=True).to(blocks.dtype)
            return torch.where(blocks < 0, -scale, scale).reshape(weight.shape).to(weight.dtype), None
        scale, low, high = self._range(blocks, over)
        quotients = blocks / scale
        rounded = (quotients.round().clamp(low, high) * scale).reshape(weight.shape).to(weight.dtype)
        if self.clip == 1:
            return rounded, None
        return rounded, ((low <= quotients) & (quotients <= high)).reshape(weight.shape)

    def _blocks(self, values: Tensor) -> tuple[Tensor, list[int]]:
        """Return the values, and over which of their dimensions a scale is shared."""
        if self.group_size is not None:
            return values.reshape(*values.shape[:-1], -1, self.group_size), [values.ndim]
        keep = None if self.axis is None else self.axis % values.ndim
        return values, [number for number in range(values.ndim) if number != keep]

    def _range(self, blocks: Tensor, over: list[int]) -> tuple[Tensor, Any, Any]:
        """Return the scale, and the first and the last level in steps of it."""
        lowest = blocks.amin(over, keepdim=True).clamp(max=0) if over else blocks.clamp(max=0)
        highest = blocks.amax(over, keepdim=True).clamp(min=0) if over else blocks.clamp(min=0)
        low, high = lowest.double() * self.clip, highest.double() * self.clip
        last = 2 ** (self.bits - 1) - 1 if self.symmetric else 2**self.bits - 1
        span = torch.maximum(-low, high) if self.symmetric else high - low
        scale = (span / last).to(blocks.dtype)
        scale = torch.where(scale == 0, torch.ones_like(scale), scale)
        if self.symmetric:
            return scale, -last, last
        first = (low.to(blocks.dtype) / scale).round()
        return scale, first, first + last


def with_fake_weights(
    model: Module,
    bits: int,
    *,
    axis: int | None = 0,
    group_size: int | None = None,
    symmetric: bool = True,
    clip: float = 1.0,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> Module:
    """Return a copy of ``model`` to train at ``bits`` bits: its layers see their weights rounded.

    Parameters
    ----------
    model : nn.Module
        Any that holds an nn.Linear or a convolution; it stays as it is.
    bits, axis, group_size, symmetric, clip : int, int or None, int or None, bool, float
        As in ``fake_quantize``.
    include, exclude : sequence of str
        Names of layers or patterns such as ``"blocks.*"``; by default all nn.Linear and convolutions, but for
        those that share their weight with an embedding.

    Returns
    -------
    nn.Module
        Of the same kind, and trained as any model is: its parameters are the weights before rounding.
        ``.left_in_float`` says, by parameter, which matrices are not rounded and why.

    Raises
    ------
    TypeError, ValueError
        As ``fake_quantize``, and for a model without such layers, a name that fits none, or weights that are
        computed anew at every call already.
    """
    scheme = FakeWeight(bits, axis, group_size, symmetric=symmetric, clip=clip)
    found = chosen(model, include, exclude, (nn.Linear, *CONVOLUTIONS))
    for layer in found.layers.values():
        scheme.right_inverse(layer.weight)  # type: ignore[arg-type]
    trained = copy.deepcopy(model)
    for name in (*found.layers, *found.also):
        layer = trained if name == "model" and isinstance(model, nn.Linear) else trained.get_submodule(name)
        parametrize.register_parametrization(layer, "weight", copy.deepcopy(scheme))
    trained.left_in_float = found.left  # type: ignore[assignment]
    return trained


def baked(model: Module) -> Module:
    """Return a copy of a model of ``with_fake_weights`` whose plain weights are the rounded ones.

    Parameters
    ----------
    model : nn.Module
        It stays as it is.

    Returns
    -------
    nn.Module
        With the parameters' names from before ``with_fake_weights``.

    Raises
    ------
    TypeError, ValueError
        For what is not a model, or a model without fake weights.
    """
    plain = copy.deepcopy(as_module("model", model))
    layers = [part for part in plain.modules() if _is_fake(part)]
    if not layers:
        raise ValueError(f"model must come from with_fake_weights; this {type(model).__name__} does not")
    values = [layer.weight.detach().clone() for layer in layers]  # type: ignore[operator]
    for layer, value in zip(layers, values, strict=True):
        _own_class(layer)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        with torch.no_grad():
            layer.weight.copy_(value)  # type: ignore[operator]
        for name in [each for each in layer._parameters if each != "weight"]:  # the order from before
            layer._parameters[name] = layer._parameters.pop(name)
    return plain  # type: ignore[return-value]


def _is_fake(part: nn.Module) -> bool:
    if not parametrize.is_parametrized(part, "weight"):
        return False
    return isinstance(part.parametrizations["weight"][0], FakeWeight)  # type: ignore[index]


def _own_class(layer: nn.Module) -> None:
    """Give a copied layer a class of its own: torch takes the weight off the class, which copies share."""
    kind = type(layer)
    body = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    layer.__class__ = type(kind.__name__, kind.__bases__, body)


def _checked(weight: Any) -> Tensor:
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight must be a Tensor; got {arguments.shown(weight)}")
    arguments.dense("weight", weight)
    if not weight.is_floating_point() or weight.itemsize == 1:
        raise TypeError(f"weight must hold floats of 16 bits or more; got {weight.dtype}")
    if not weight.numel():
        raise ValueError(f"weight is empty (shape {tuple(weight.shape)}): at least one number is needed")
    bad = int((~torch.isfinite(weight.detach())).sum())
    if bad:
        raise ValueError(f"weight must be finite; {bad} of {weight.numel()} values are NaN or infinite")
    return weight
