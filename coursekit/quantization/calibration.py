"""Calibration: what the layers of a model are given when it reads some text."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit._core import arguments, display
from coursekit.models.inputs import evaluating
from coursekit.quantization.layers import chosen

__all__ = ["Calibration", "calibrate", "hessian", "layer_inputs", "observed", "output_error", "same_inputs"]

AT_ONCE = 4096  # tokens that become float64 together


@dataclass(frozen=True, repr=False, eq=False)
class Calibration(display.Shown):
    """What a layer was given, in figures.

    ``hessian`` is the mean over all tokens of x xᵀ, [in, in] in float64; ``mean`` and ``largest`` are the
    mean and the largest magnitude of each input, [in]; ``tokens`` counts the vectors.
    """

    hessian: Tensor
    mean: Tensor
    largest: Tensor
    tokens: int

    def __str__(self) -> str:
        spread = float(self.largest.max() / self.largest.median()) if self.largest.median() else np.inf
        shown = display.significant(spread) if np.isfinite(spread) else "infinite"
        return (
            f"{self.tokens} tokens of {len(self.mean)} inputs; largest / median of the inputs' maxima {shown}"
        )


def hessian(inputs: Any) -> Tensor:
    """Return the mean over all tokens of x xᵀ: what GPTQ knows about a layer's inputs.

    Parameters
    ----------
    inputs : Tensor or array_like
        [..., in]: all axes but the last count tokens.

    Returns
    -------
    Tensor
        [in, in], float64, on the CPU, added up in batches. Half the second derivative of the mean squared
        output error with respect to a row of weights; the factor 2 changes nothing in GPTQ.

    Raises
    ------
    TypeError, ValueError
        For what is not finite numbers with an axis.
    """
    return observed(inputs).hessian


def observed(inputs: Any) -> Calibration:
    """Return what GPTQ, AWQ and SmoothQuant use of a layer's inputs.

    Parameters
    ----------
    inputs : Tensor or array_like
        [..., in]: all axes but the last count tokens.

    Returns
    -------
    Calibration
        On the CPU.

    Raises
    ------
    TypeError, ValueError
        As ``hessian``.
    """
    values = arguments.array("inputs", inputs)
    if values.ndim == 0:
        raise ValueError("inputs must be [tokens, in]; got a single number")
    sums = _Sums(values.shape[-1])
    sums.add(torch.from_numpy(values))
    return sums.result()


def output_error(weight: Any, rounded: Any, hessian: Any) -> float:
    """Return the mean over tokens of the squared error of a layer's outputs, relative to their mean square.

    Parameters
    ----------
    weight, rounded : array_like
        The matrix before and after, [out, in].
    hessian : array_like
        Of the layer's inputs, [in, in].

    Returns
    -------
    float
        0 where nothing changed, 1 where nothing is left.

    Raises
    ------
    TypeError, ValueError
        For other shapes, and where all outputs are 0.
    """
    before = arguments.array("weight", weight, np.float64, ndim=2)
    after = arguments.array("rounded", rounded, np.float64, ndim=2)
    inner = arguments.array("hessian", hessian, np.float64, ndim=2)
    if after.shape != before.shape:
        raise ValueError(f"rounded must have the shape of weight, {before.shape}; got {after.shape}")
    if inner.shape != (before.shape[1],) * 2:
        raise ValueError(f"hessian must be [in, in] with in = {before.shape[1]}; got {inner.shape}")
    whole = _power(before, inner)
    if whole <= 0:
        raise ValueError("weight has no output to compare with: all are 0 for inputs of this hessian")
    return max(0.0, _power(before - after, inner) / whole)


def _power(weight: NDArray[np.float64], hessian: NDArray[np.float64]) -> float:
    """Return the sum over rows w of w H wᵀ, by PyTorch: see ``quantization.column_rounding``."""
    rows = torch.from_numpy(weight)
    return float(((rows @ torch.from_numpy(hessian)) * rows).sum())


def calibrate(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> dict[str, Calibration]:
    """Return, by name, what the nn.Linear layers of a model are given when it reads some batches.

    Parameters
    ----------
    model : nn.Module
        It stays as it is, and runs in eval mode without gradients.
    batches : iterable of Tensor
        What the model is called with, one after the other; a tuple or list is spread over its arguments.
    include, exclude : sequence of str
        Names of layers or patterns such as ``"blocks.*"``; by default all whose weight no embedding shares.

    Returns
    -------
    dict of str to Calibration
        Only sums are kept, not the inputs. Layers that are given the same tensor share one Hessian.

    Raises
    ------
    TypeError, ValueError
        As ``quantization.rounded`` for the names; for inputs that are not finite, no batch, and layers that
        the model never calls. Whatever the model raises goes through; its hooks are removed all the same.
    """
    names = _names(model, include, exclude)
    sums: dict[str, _Sums] = {}
    latest: list[tuple[Tensor, int, _Sums]] = []  # a model hands one tensor to several layers in turn

    def look(name: str, x: Tensor) -> None:
        if not (latest and latest[0][0] is x and latest[0][1] == x._version):
            latest[:] = [(x, x._version, _Sums(x.shape[-1]).add(x))]
        sums.setdefault(name, _Sums(x.shape[-1])).join(latest[0][2])

    _run(model, batches, names, look)
    return {name: sums[name].result() for name in dict.fromkeys(names.values())}


def layer_inputs(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Return, by name, the inputs themselves of the nn.Linear layers of a model.

    Parameters
    ----------
    model, batches, include, exclude : nn.Module, iterable, sequence of str, sequence of str
        As in ``calibrate``.

    Returns
    -------
    dict of str to Tensor
        [tokens, in] each, on the CPU. They take much memory: tokens · in · 4 bytes per layer.

    Raises
    ------
    TypeError, ValueError
        As ``calibrate``.
    """
    names = _names(model, include, exclude)
    found: dict[str, list[Tensor]] = {}

    def look(name: str, x: Tensor) -> None:
        found.setdefault(name, []).append(x.reshape(-1, x.shape[-1]).to("cpu", torch.float32, copy=True))

    _run(model, batches, names, look)
    return {name: torch.cat(found[name]) for name in dict.fromkeys(names.values())}


def same_inputs(calibration: Mapping[str, Calibration]) -> list[list[str]]:
    """Return the names of layers in groups that were given the same inputs, to the last bit.

    Parameters
    ----------
    calibration : mapping of str to Calibration
        As ``calibrate`` returns it.

    Returns
    -------
    list of list of str
        Each name once.
    """
    groups: dict[tuple[int, bytes], list[str]] = {}
    for name, each in calibration.items():
        key = (each.tokens, each.hessian.diagonal().numpy().tobytes())
        groups.setdefault(key, []).append(name)
    return list(groups.values())


class _Sums:
    """Sums over tokens, in float64."""

    def __init__(self, width: int) -> None:
        self.products = torch.zeros(width, width, dtype=torch.float64)
        self.magnitudes = torch.zeros(width, dtype=torch.float64)
        self.largest = torch.zeros(width)
        self.tokens = 0

    def add(self, x: Tensor) -> "_Sums":
        """Count the vectors of ``x``, [..., width]."""
        rows = x.detach().reshape(-1, x.shape[-1])
        for part in rows.split(AT_ONCE):
            wide = part.double()
            self.products += (wide.T @ wide).cpu()
            self.magnitudes += wide.abs().sum(0).cpu()
            self.largest = torch.maximum(self.largest, wide.abs().amax(0).float().cpu())
        self.tokens += len(rows)
        return self

    def join(self, other: "_Sums") -> None:
        """Count what another has counted."""
        self.products += other.products
        self.magnitudes += other.magnitudes
        self.largest = torch.maximum(self.largest, other.largest)
        self.tokens += other.tokens

    def result(self) -> Calibration:
        return Calibration(
            self.products / self.tokens, (self.magnitudes / self.tokens).float(), self.largest, self.tokens
        )


def _names(model: nn.Module, include: Sequence[str] | None, exclude: Sequence[str]) -> dict[nn.Module, str]:
    """Return the layers to look at, those that share a weight under the name of the first of them."""
    found = chosen(model, include, exclude)
    names = {layer: name for name, layer in found.layers.items()}
    return names | {model.get_submodule(other): first for other, first in found.also.items()}


def _run(
    model: nn.Module,
    batches: Iterable[Any],
    names: dict[nn.Module, str],
    look: Callable[[str, Tensor], None],
) -> None:
    """Call the model with each batch and ``look`` at what each layer is given; the hooks go in any case."""
    called: set[str] = set()

    def hook(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        x = given[0] if given else named["input"]
        if not isinstance(x, Tensor):
            got = arguments.shown(x)
            raise TypeError(f"batches must give {names[layer]} a Tensor to take; it was given {got}")
        if not torch.isfinite(x).all():
            raise ValueError(
                f"batches must keep the inputs of {names[layer]} finite; some are NaN or infinite"
            )
        if x.numel():
            called.add(names[layer])
            look(names[layer], x)

    handles = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in names]
    try:
        with evaluating(model):
            for batch in _batches(batches):
                model(*batch)
    finally:
        for handle in handles:
            handle.remove()
    missed = [name for name in names.values() if name not in called]
    if missed:
        raise ValueError(f"model must call the layers it is calibrated for; {missed[0]} was given no input")


def _batches(batches: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of each call; at least one."""
    if isinstance(batches, Tensor | str | dict) or not isinstance(batches, Iterable):
        raise TypeError(f"batches must be a list of what the model takes; got {arguments.shown(batches)}")
    empty = True
    for batch in batches:
        empty = False
        yield tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if empty:
        raise ValueError("batches must hold at least one batch; got none")
