"""SmoothQuant: outliers of the activations move into the weights, so that both fit 8 bits.

Source: Xiao et al. 2023, SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from coursekit._core import arguments
from coursekit.models.inputs import as_module
from coursekit.quantization.calibration import Calibration, same_inputs
from coursekit.quantization.layers import chosen
from coursekit.quantization.matrices import as_matrix

__all__ = ["smoothed", "smoothing_scales", "with_rounded_inputs"]

FAINTEST = 1e-5  # the smallest magnitude that counts, as a share of the largest
MOST_BITS = 16
Module = TypeVar("Module", bound=nn.Module)


def smoothing_scales(weight: Any, calibration: Calibration, alpha: float = 0.5) -> Tensor:
    """Return what each input of a layer is divided by, and each column of its weight multiplied by.

    Parameters
    ----------
    weight : array_like
        [out, in]; matrices that are given the same inputs stand one below the other.
    calibration : Calibration
        What the layer is given.
    alpha : float
        0 to 1: how much of the difficulty moves into the weights.

    Returns
    -------
    Tensor
        max|x| ** alpha / max|w| ** (1 - alpha) for each input, [in].

    Raises
    ------
    TypeError, ValueError
        For a calibration of other inputs, an alpha outside 0 to 1, and nothing but zeros.
    """
    columns = torch.from_numpy(as_matrix(weight)).abs().amax(0).double()
    inputs = arguments.instance("calibration", calibration, Calibration).largest.double()
    alpha = arguments.real("alpha", alpha, 0, 1)
    if inputs.shape != columns.shape:
        raise ValueError(
            f"calibration must be of the {len(columns)} inputs of weight; got one of {len(inputs)}"
        )
    for name, magnitudes in (("calibration", inputs), ("weight", columns)):
        if not magnitudes.any():
            raise ValueError(f"{name} must hold numbers other than 0: there is nothing to scale by")
        magnitudes.clamp_(min=FAINTEST * float(magnitudes.max()))
    return (inputs**alpha / columns ** (1 - alpha)).float()


def smoothed(model: Module, calibration: Mapping[str, Calibration], alpha: float = 0.5) -> Module:
    """Return a copy of ``model`` that computes the same with smaller outliers in the inputs of its layers.

    Parameters
    ----------
    model : nn.Module
        It stays as it is.
    calibration : mapping of str to Calibration
        Of the layers to smooth, as ``calibrate`` returns it. Those that were given the same inputs share
        their scales, so that the layer before could take them over.
    alpha : float
        As in ``smoothing_scales``.

    Returns
    -------
    nn.Module
        Each layer divides its input by the scales, which a deployed model folds into the norm before it
        (``fold_scales``), and has a weight multiplied by them.

    Raises
    ------
    TypeError, ValueError
        As ``smoothing_scales``, and for names that are no nn.Linear of the model.
    """
    known = _known(model, calibration)
    result = copy.deepcopy(model)
    for names in same_inputs(known):
        layers = [_part(result, name) for name in names]
        stacked = torch.cat([layer.weight.detach() for layer in layers])
        scales = smoothing_scales(stacked, known[names[0]], alpha)
        for layer in layers:
            own = scales.to(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(own)
            layer.register_buffer("smoothing", own, persistent=False)
            layer.register_forward_pre_hook(_divide)
    return result


def with_rounded_inputs(
    model: Module,
    bits: int = 8,
    *,
    calibration: Mapping[str, Calibration] | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> Module:
    """Return a copy of ``model`` whose nn.Linear layers round their inputs, with one scale for each tensor.

    Parameters
    ----------
    model : nn.Module
        It stays as it is.
    bits : int
        2 to 16.
    calibration : mapping of str to Calibration, optional
        Gives each layer a fixed scale, from the largest input that it was given; what is larger is clipped.
        By default the scale is that of the largest number in each call.
    include, exclude : sequence of str
        Names of layers or patterns such as ``"blocks.*"``; by default all, or those in ``calibration``.

    Returns
    -------
    nn.Module
        With the same weights. Its gradients are those of rounding, 0: it is for evaluation.

    Raises
    ------
    TypeError, ValueError
        As ``quantization.rounded`` for the names; for bits outside 2 to 16, and layers that ``calibration``
        lacks.
    """
    bits = arguments.integer("bits", bits, 2, MOST_BITS)
    known = None if calibration is None else _known(model, calibration)
    found = chosen(model, list(known) if known and include is None else include, exclude)
    result = copy.deepcopy(model)
    for name in (*found.layers, *found.also):
        layer = _part(result, name)
        if known is not None:
            if name not in known:
                raise ValueError(
                    f"calibration must hold each layer whose inputs are rounded; it lacks {name}"
                )
            layer.register_buffer("largest_input", known[name].largest.max(), persistent=False)
        layer.input_bits = bits  # type: ignore[assignment]
        layer.register_forward_pre_hook(_round)
    return result


def _divide(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (given[0] / layer.smoothing, *given[1:])


def _round(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    x, last = given[0], 2 ** (int(layer.input_bits) - 1) - 1  # type: ignore[arg-type]
    largest = getattr(layer, "largest_input", None)
    scale = (x.abs().amax() if largest is None else largest.to(x)) / last
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return ((x / scale).round().clamp(-last, last) * scale, *given[1:])


def _known(model: Any, calibration: Any) -> dict[str, Calibration]:
    """Return a calibration whose names are nn.Linear layers of the model."""
    as_module("model", model)
    if not isinstance(calibration, Mapping) or not calibration:
        raise TypeError(f"calibration must be what calibrate returned; got {arguments.shown(calibration)}")
    layers = {name or "model": part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    for name, each in calibration.items():
        arguments.instance(f"calibration[{name!r}]", each, Calibration)
        if name not in layers:
            raise ValueError(f"calibration must name nn.Linear layers of model; got {arguments.shown(name)}")
    return dict(calibration)


def _part(model: nn.Module, name: str) -> nn.Linear:
    found = model if name == "model" and isinstance(model, nn.Linear) else model.get_submodule(name)
    return arguments.instance("layer", found, nn.Linear)
