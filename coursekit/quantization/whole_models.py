"""A whole model rounded by one method, with a report of what it did and what it left."""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from coursekit._core import arguments, display
from coursekit.quantization.activation_aware import awq
from coursekit.quantization.calibration import Calibration, output_error, same_inputs
from coursekit.quantization.clipping import round_clipped
from coursekit.quantization.column_rounding import gptq
from coursekit.quantization.layers import Chosen, chosen
from coursekit.quantization.matrices import round_matrix
from coursekit.quantization.normal_floats import nf4

__all__ = ["LayerRounding", "METHODS", "RoundedModel", "rounded"]

METHODS = ("nearest", "clipped", "gptq", "awq", "nf4")
CALIBRATED = ("gptq", "awq")
Method = Callable[[Tensor, Calibration | None], Any]


@dataclass(frozen=True)
class LayerRounding:
    """What became of a layer.

    ``weight_error`` is the root of the squared error of its weights relative to their squares,
    ``output_error`` that of its outputs on the calibration's inputs; None without a calibration.
    """

    name: str
    shape: tuple[int, int]
    bits_per_weight: float
    weight_error: float
    output_error: float | None


@dataclass(frozen=True, repr=False, eq=False)
class RoundedModel(display.Tabled):
    """A model with rounded weights, and the report.

    ``layers`` says what became of each layer that was rounded, ``left`` why each other matrix stays in float,
    by parameter; ``left_weights`` counts all parameters that stay in float, biases and norms included.
    """

    model: nn.Module
    layers: tuple[LayerRounding, ...]
    left: dict[str, str]
    left_weights: int

    @property
    def weights(self) -> int:
        """How many weights were rounded."""
        return sum(layer.shape[0] * layer.shape[1] for layer in self.layers)

    @property
    def bits_per_weight(self) -> float:
        """Bits per rounded weight, scales included."""
        total = sum(layer.bits_per_weight * layer.shape[0] * layer.shape[1] for layer in self.layers)
        return total / self.weights

    @property
    def bits_per_parameter(self) -> float:
        """Bits per parameter of the whole model, with what stays in float counted as FP16."""
        return (self.bits_per_weight * self.weights + 16 * self.left_weights) / (
            self.weights + self.left_weights
        )

    def _table(self) -> display.Table:
        rows = [
            (
                layer.name,
                f"{layer.shape[0]} × {layer.shape[1]}",
                display.significant(layer.bits_per_weight),
                f"{layer.weight_error:.3g}",
                "" if layer.output_error is None else f"{layer.output_error:.3g}",
            )
            for layer in self.layers
        ]
        notes = [f"{name} stays in float: {why}" for name, why in self.left.items()]
        notes.append(
            f"{self.weights:,} weights at {display.significant(self.bits_per_weight)} bits, "
            f"{self.left_weights:,} parameters in float: "
            f"{display.significant(self.bits_per_parameter)} bits per parameter with those as FP16"
        )
        headers = ("layer", "shape", "bits per weight", "weight error", "output error")
        return display.Table(headers, rows, notes=notes)


def rounded(
    model: nn.Module,
    bits: int | Mapping[str, int],
    group_size: int | None = None,
    *,
    method: str | Method = "nearest",
    axis: int | None = 0,
    symmetric: bool = True,
    calibration: Mapping[str, Calibration] | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    share: bool = False,
) -> RoundedModel:
    """Return a copy of ``model`` whose nn.Linear layers have rounded weights, and what became of each.

    Parameters
    ----------
    model : nn.Module
        It stays as it is.
    bits : int or mapping of str to int
        For all layers, or for each by name.
    group_size, symmetric : int or None, bool
        As in ``round_matrix``; NF4 has blocks of its own.
    method : str or callable
        "nearest", "clipped", "gptq", "awq" or "nf4" (which takes 4 bits); or a function of a weight and its
        calibration (or None) whose result has ``dequantized()`` and ``bits_per_weight``:
        ``lambda weight, calibration: gptq(weight, calibration.hessian, 3, 64, act_order=True)``. Whatever
        ``method`` raises goes through.
    axis : int, optional
        None: one scale per matrix, for "nearest" only.
    calibration : mapping of str to Calibration, optional
        What ``calibrate`` returned; "gptq" and "awq" need it, and with it output errors are reported. With
        "awq", layers that were given the same inputs share their scales.
    include, exclude : sequence of str
        Names of layers or patterns such as ``"blocks.*"``. By default all nn.Linear, but for those that share
        their weight with a module of another kind, such as an embedding: these stay in float, and ``left``
        says so. One that ``include`` names is rounded, once, for all that share it.
    share : bool, optional
        Let both models hold the same tensors where nothing is rounded, to save memory: training one of them
        then changes the other. By default everything is copied.

    Returns
    -------
    RoundedModel
        ``.model`` computes in float with the rounded values.

    Raises
    ------
    TypeError, ValueError
        As the methods; for a pattern that fits no layer, a model without nn.Linear, weights that are computed
        anew at every call, and a calibration that is missing or lacks a layer.
    """
    if axis is not None:
        arguments.integer("axis", axis, 0, 0)
    if group_size is not None:
        group_size = arguments.integer("group_size", group_size, 1)
    symmetric, share = arguments.flag("symmetric", symmetric), arguments.flag("share", share)
    found = chosen(model, include, exclude)
    known = _known(calibration, found)
    make = _maker(method, _bits_of(bits, found), axis, group_size, symmetric, found, known)
    result = copy.deepcopy(model, _left_alone(model, found) if share else {})
    report = []
    for name, layer in found.layers.items():
        weight = _weight(layer)
        done = make(name, weight)
        values = _values(done, weight)
        with torch.no_grad():
            _weight(result if layer is model else result.get_submodule(name)).copy_(values)
        report.append(_said(name, weight, values, float(done.bits_per_weight), known.get(name)))
    total = sum(parameter.numel() for parameter in model.parameters())
    left = total - sum(entry.shape[0] * entry.shape[1] for entry in report)
    return RoundedModel(result, tuple(report), found.left, left)


def _left_alone(model: nn.Module, found: Chosen) -> dict[int, Any]:
    """Return the tensors in which nothing is rounded, as ``copy.deepcopy`` is told not to copy them."""
    rounded = {id(layer.weight) for layer in found.layers.values()}
    tensors = itertools.chain(model.parameters(), model.buffers())
    return {id(tensor): tensor for tensor in tensors if id(tensor) not in rounded}


def _maker(
    method: Any,
    bits: dict[str, int],
    axis: int | None,
    group_size: int | None,
    symmetric: bool,
    found: Chosen,
    known: dict[str, Calibration],
) -> Callable[[str, Tensor], Any]:
    """Return what rounds the weight of a named layer."""
    if callable(method):
        return lambda name, weight: method(weight, known.get(name))
    arguments.choice("method", method, METHODS)
    if method in CALIBRATED and not known:
        raise ValueError(f"calibration must be given for {method}: what quantization.calibrate returns")
    if method == "nf4" and set(bits.values()) != {4}:
        raise ValueError(f"bits must be 4 for nf4; got {sorted(set(bits.values()))}")
    if axis is None and (method != "nearest" or group_size is not None):
        raise ValueError(f"axis must be 0 for method {method} and group_size {group_size}; got None")
    alphas = _alphas(found, known, bits, group_size, symmetric) if method == "awq" else {}
    makers: dict[str, Callable[[str, Tensor], Any]] = {
        "nearest": lambda n, w: round_matrix(w, bits[n], axis, group_size, symmetric=symmetric),
        "clipped": lambda n, w: round_clipped(w, bits[n], group_size, symmetric=symmetric),
        "gptq": lambda n, w: gptq(w, known[n].hessian, bits[n], group_size, symmetric=symmetric),
        "awq": lambda n, w: awq(w, known[n], bits[n], group_size, symmetric=symmetric, alphas=[alphas[n]]),
        "nf4": lambda n, w: nf4(w),
    }
    return makers[method]


def _alphas(
    found: Chosen,
    known: dict[str, Calibration],
    bits: dict[str, int],
    group_size: int | None,
    symmetric: bool,
) -> dict[str, float]:
    """Return AWQ's alpha for each layer: one for those that share their inputs and their bits."""
    alphas: dict[str, float] = {}
    for group in same_inputs(known):
        for own in sorted({bits[name] for name in group}):
            names = [name for name in group if bits[name] == own]
            stacked = torch.cat([_weight(found.layers[name]) for name in names])
            search = awq(stacked, known[names[0]], own, group_size, symmetric=symmetric)
            alphas |= dict.fromkeys(names, search.alpha)
    return alphas


def _bits_of(bits: Any, found: Chosen) -> dict[str, int]:
    """Return the bits of each layer by name."""
    if not isinstance(bits, Mapping):
        return dict.fromkeys(found.layers, arguments.integer("bits", bits, 1))
    wrong = set(bits) ^ set(found.layers)
    if wrong:
        some = sorted(map(str, wrong))[0]
        raise ValueError(
            f"bits must have one entry for each layer that is rounded; {some} is in one of them only"
        )
    return {name: arguments.integer(f"bits[{name!r}]", bits[name], 1) for name in found.layers}


def _known(calibration: Any, found: Chosen) -> dict[str, Calibration]:
    """Return the calibrations of the layers, of all or of none."""
    if calibration is None:
        return {}
    if not isinstance(calibration, Mapping):
        raise TypeError(f"calibration must be what calibrate returned; got {arguments.shown(calibration)}")
    missing = [name for name in found.layers if name not in calibration]
    if missing:
        raise ValueError(f"calibration must hold each layer that is rounded; it lacks {missing[0]}")
    return {
        name: arguments.instance(f"calibration[{name!r}]", calibration[name], Calibration)
        for name in found.layers
    }


def _weight(layer: nn.Module) -> Tensor:
    weight: Tensor = layer.weight.detach()  # type: ignore[operator]
    return weight


def _values(done: Any, weight: Tensor) -> Tensor:
    """Return the dequantized weight, if the method returned one that fits."""
    if not hasattr(done, "dequantized") or not hasattr(done, "bits_per_weight"):
        raise TypeError(
            f"method must return what has dequantized() and bits_per_weight; got {arguments.shown(done)}"
        )
    values: Tensor = done.dequantized()
    if values.shape != weight.shape:
        got = tuple(values.shape)
        raise ValueError(f"method must keep the shape of the weight, {tuple(weight.shape)}; got {got}")
    return values


def _said(
    name: str, weight: Tensor, values: Tensor, bits_per_weight: float, known: Calibration | None
) -> LayerRounding:
    before, after = weight.double().cpu(), values.double().cpu()
    whole = float(before.square().sum())
    lost = float((before - after).square().sum() / whole) ** 0.5 if whole else 0.0
    output = None
    if known is not None and whole and bool(known.mean.any()):
        output = output_error(before, after, known.hessian) ** 0.5
    rows, columns = weight.shape
    return LayerRounding(name, (rows, columns), bits_per_weight, lost, output)
