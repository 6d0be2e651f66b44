"""What in a model can become INT8, what stays in FP32, and what has to be done first."""

import copy
import dis
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.quantization.dynamic.arithmetic import DynamicLinear, need_cpu

__all__ = ["Survey", "copied", "survey"]

MATRIX = 2  # axes: biases and what a norm stores stay in FP32 in every INT8 model, and are not mentioned
# How PyTorch names the parameters that a weight is computed from, what that is, and what undoes it.
COMPUTED = (
    ("_orig", "_mask", "is pruned by a mask", "torch.nn.utils.prune.remove"),
    ("_g", "_v", "has a weight norm", "torch.nn.utils.remove_weight_norm"),
    ("_orig", "_u", "has a spectral norm", "torch.nn.utils.remove_spectral_norm"),
)


@dataclass(frozen=True)
class Survey:
    """The places of the layers to quantize, and what stays in FP32: names with the number of weights.

    ``places`` gives for every layer all that hold it, as (owner, name): a layer may be used several times.
    """

    places: dict[nn.Linear, list[tuple[nn.Module, str]]]
    left: dict[str, int]


def survey(held: nn.Sequential) -> Survey:
    """Look a model over, the only part of ``held``, before it is quantized.

    Parameters
    ----------
    held : Sequential
        Holds the model and nothing else.

    Returns
    -------
    Survey
        The layers to quantize, and what stays as it is.

    Raises
    ------
    ValueError
        For a model that is not on the CPU, compiled, TorchScript, quantized already, not initialised, pruned
        with masks or parametrized, with weights that are not finite or not float32, or without nn.Linear.

    """
    _ordinary(held)
    places = _places(held)
    for layer in places:
        _float32(next(name for name, each in _named(held) if each is layer), layer)
    left = {name: count for name, count in _left(held, set(places)) if count}
    if not places:
        stays = f"; {', '.join(left)} cannot become INT8 here" if left else ""
        raise ValueError(f"model has no nn.Linear layer to quantize; got {type(held[0]).__name__}{stays}")
    return Survey(places, left)


def copied(held: nn.Sequential) -> nn.Sequential:
    """Return a copy of the model; tensors that were computed from others are copied as plain numbers.

    Parameters
    ----------
    held : Sequential
        Holds the model and nothing else.

    Returns
    -------
    Sequential
        The copy.

    Raises
    ------
    ValueError
        Where something in the model cannot be copied, a lock or an open file.

    """
    memo: dict[int, Any] = {}
    for module in held.modules():
        for value in module.__dict__.values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(held, memo)
    except Exception as error:
        kind, first = type(held[0]).__name__, str(error).partition("\n")[0]
        raise ValueError(
            f"model cannot be copied ({kind}: {first}): take that attribute off first"
        ) from error


def _places(held: nn.Sequential) -> dict[nn.Linear, list[tuple[nn.Module, str]]]:
    """Return all places of every nn.Linear whose weight nobody reads past it."""
    found: dict[nn.Linear, list[tuple[nn.Module, str]]] = {}
    read: set[nn.Module | None] = set()
    for owner in held.modules():
        read |= {owner._modules[name] for name in _weights_read_by(owner)}
        for name, child in owner._modules.items():  # named_children would name a layer once
            # Subclasses may compute something else; PyTorch leaves them alone, too.
            if type(child) is nn.Linear:
                found.setdefault(child, []).append((owner, name))
    return {layer: owners for layer, owners in found.items() if layer not in read}


def _ordinary(held: nn.Sequential) -> None:
    """Refuse a model whose layers are not what they seem, with the call that helps."""
    model = held[0]
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "model is TorchScript, which has no nn.Linear left: give the module it was made from"
        )
    if hasattr(model, "_orig_mod"):
        raise ValueError("model is compiled: give the model that torch.compile was called with")
    for name, module in _named(held):
        kind = type(module)
        if ".quantized" in kind.__module__ or isinstance(module, DynamicLinear):
            raise ValueError(
                f"model is quantized already ({name}: {kind.__name__}): start from the float model"
            )
        _not_computed(name, module)
        for part, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if nn.parameter.is_lazy(tensor):
                raise ValueError(f"layer {name} of model has no {part} yet: run the model once first")
            need_cpu("model", tensor)
            _no_nan(name, part, tensor)


def _not_computed(name: str, module: nn.Module) -> None:
    """Refuse a layer whose weight is computed anew with every call."""
    parametrized = module._modules.get("parametrizations")
    if parametrized is not None:
        part = next(name for name, _ in parametrized.named_children())
        raise ValueError(
            f"layer {name} of model is parametrized: use "
            f"torch.nn.utils.parametrize.remove_parametrizations(layer, {part!r}) first"
        )
    stored = {*module._parameters, *module._buffers}
    for first, second, what, remedy in COMPUTED:
        for part in (each.removesuffix(first) for each in module._parameters if each.endswith(first)):
            if part + second in stored:
                raise ValueError(f"layer {name} of model {what}: use {remedy}(layer, {part!r}) first")


def _no_nan(name: str, part: str, tensor: Tensor) -> None:
    """Refuse NaN anywhere, and infinity but in buffers: masks are made of it."""
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        return
    bad = ~tensor.isfinite() if isinstance(tensor, nn.Parameter) else tensor.isnan()
    if bad.any():
        raise ValueError(
            f"layer {name} of model must be finite; {int(bad.sum())} of {tensor.numel()} numbers in its "
            f"{part} are NaN or infinite"
        )


def _float32(name: str, layer: nn.Linear) -> None:
    if layer.weight.dtype != torch.float32 or layer.weight.layout is not torch.strided:
        kind = str(layer.weight.dtype).removeprefix("torch.")
        raise ValueError(
            f"layer {name} of model has {kind} weights, and only dense float32 is quantized: "
            "use model.float()"
        )


def _left(held: nn.Sequential, quantized: set[nn.Linear]) -> Iterator[tuple[str, int]]:
    """Yield every module that keeps a matrix of floats, with its class and how many numbers that holds."""
    for name, module in _named(held):
        own = [each for each in module.parameters(recurse=False) if each.ndim >= MATRIX]
        if module not in quantized:
            yield f"{name} ({type(module).__name__})", sum(each.numel() for each in own)


def _weights_read_by(module: nn.Module) -> set[str]:
    """Return the layers whose ``.weight`` the module's own forward reads: integers would not do there.

    PyTorch's own modules do so in their fast paths, which ``quantize_dynamic`` switches off.
    """
    kind = type(module)
    if kind.__module__.startswith("torch."):
        return set()
    found: set[str] = set()
    wanted, seen = ["forward"], set()
    while wanted:
        function = getattr(kind, name := wanted.pop(), None)
        if name not in seen and isinstance(function, FunctionType):
            seen.add(name)
            wanted += function.__code__.co_names
            steps = [str(each.argval) for each in dis.get_instructions(function)]
            found |= {first for first, second in zip(steps, steps[1:], strict=False) if second == "weight"}
    return {name for name in found & module._modules.keys() if module._modules[name] is not None}


def _named(held: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of the model with the names that they have in it."""
    for name, module in held[0].named_modules():
        yield name or "itself", module
