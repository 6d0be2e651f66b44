"""Quantize a model dynamically: with PyTorch's own function, or by hand where that is gone."""

import functools
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from coursekit.quantization.dynamic.arithmetic import DynamicLinear, engine
from coursekit.quantization.dynamic.survey import Survey, copied, survey

__all__ = ["quantize_dynamic", "state_dict_size"]

# What PyTorch 2.13 says whenever it quantizes. Anything else it says is still heard.
KNOWN_WARNINGS: tuple[tuple[type[Warning], str], ...] = (
    (DeprecationWarning, r"torch\.ao\.quantization is deprecated"),
    (UserWarning, r"torch\.quantize_per_tensor, torch\.quantize_per_channel and other quantized tensor"),
)
BY_HAND = "Each nn.Linear is now coursekit's DynamicLinear: the same integers, but its speed means nothing."
MOST_NAMED = 3  # layers in a warning


def quantize_dynamic(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` whose nn.Linear layers have INT8 weights and quantize their inputs.

    PyTorch's ``quantize_dynamic`` does it, without its warnings. Where that is gone or has no engine for this
    CPU, every nn.Linear becomes a ``DynamicLinear`` and a printed notice says so.

    Parameters
    ----------
    model : torch.nn.Module
        On the CPU, of float32. A layer that is used in several places becomes INT8 in all of them.

    Returns
    -------
    torch.nn.Module
        In eval mode. ``.quantized_by`` names what did it, ``.left_in_fp32`` the modules whose matrices stay
        floats, with how many weights they have: only nn.Linear itself becomes INT8.

    Warns
    -----
    UserWarning
        Where matrices stay floats.

    Raises
    ------
    TypeError
        Unless ``model`` is an nn.Module.
    ValueError
        If it is not on the CPU, has no nn.Linear, is compiled, TorchScript or quantized already, has weights
        that are not float32 or not finite, or layers whose weight is computed anew with every call (masks of
        torch.nn.utils.prune, weight norm, parametrizations): the message names the layer and the remedy.

    Notes
    -----
    nn.TransformerEncoderLayer has a fast path that reads its weights past the layers; the copy does without.

    """
    _module(model)
    held = nn.Sequential(model)  # even a model of one layer is a child of it
    found = survey(held)
    held = copied(held)
    places = survey(held).places
    layers = list(places)
    try:
        made, how = _by_torch(layers), f"PyTorch ({engine()})"
    except (ImportError, AttributeError, NotImplementedError) as error:
        made, how = [DynamicLinear(layer) for layer in layers], "coursekit.DynamicLinear"
        _say_by_hand(str(error).partition("\n")[0])
    _put(places, _once_each(layers, made))
    result = _finished(held, how, found)
    if found.left:
        _say_left(found, warn_from=3)
    return result


def state_dict_size(model: nn.Module) -> int:
    """Return the bytes of ``model``'s state_dict as torch.save writes it.

    Parameters
    ----------
    model : Module
        The model.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError
        Unless ``model`` is an nn.Module.

    """
    _module(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getbuffer().nbytes


def _module(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")


def _by_torch(layers: Sequence[nn.Linear]) -> list[nn.Module]:
    """Quantize with PyTorch; AttributeError, ImportError or NotImplementedError where it cannot."""
    if engine() == "none":
        raise NotImplementedError("it has no integer engine for this CPU")
    held = nn.ModuleList(layers)  # each on its own: PyTorch replaces a layer in the first of its places only
    with _quiet():
        held = torch.ao.quantization.quantize_dynamic(held, {nn.Linear}, dtype=torch.qint8, inplace=True)
    if engine() == "qnnpack":
        _use_up_qnnpack_warning()
    return list(held)


def _once_each(layers: Sequence[nn.Linear], made: Sequence[nn.Module]) -> dict[nn.Module, nn.Module]:
    """Return what takes the place of each layer: the same for layers that share weight and bias."""
    first: dict[tuple[int, int], nn.Module] = {}
    return {
        layer: first.setdefault((id(layer.weight), id(layer.bias)), new)
        if not (layer._forward_hooks or layer._forward_pre_hooks)
        else new
        for layer, new in zip(layers, made, strict=True)
    }


def _put(places: dict[nn.Linear, list[tuple[nn.Module, str]]], new: dict[nn.Module, nn.Module]) -> None:
    for layer, owners in places.items():
        for owner, name in owners:
            owner._modules[name] = new[layer]


def _finished(held: nn.Module, how: str, found: Survey) -> nn.Module:
    """Look at what came out, and return it."""
    result = next(held.children())
    kinds = [type(module) for module in result.modules()]
    made = sum(kind is DynamicLinear or "quantized" in kind.__module__ for kind in kinds)
    if not made or any(type(layer) is nn.Linear for layer in _reached(result, found)):
        raise RuntimeError(f"{how} left layers of {type(result).__name__} in FP32 that should be INT8")
    for module in result.modules():
        # Fast paths that read the weights of their layers, and cannot read integers.
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
    result.eval()
    result.quantized_by = how  # type: ignore[assignment]
    result.left_in_fp32 = found.left  # type: ignore[assignment]
    result.register_state_dict_post_hook(_share)
    return result


def _reached(result: nn.Module, found: Survey) -> list[nn.Module]:
    """Return the modules of the result that should be INT8."""
    left = {name.partition(" (")[0] for name in found.left}
    return [module for name, module in result.named_modules() if (name or "itself") not in left]


def _share(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Store the numbers of a layer that is used several times once: PyTorch unpacks them anew for each."""
    first: dict[int, str] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        start = f"{prefix}{name}."
        if id(layer) not in first:
            first[id(layer)] = start
        elif "quantized" in type(layer).__module__:
            for key in [key for key in state if key.startswith(start)]:
                state[key] = state[first[id(layer)] + key.removeprefix(start)]


def _say_left(found: Survey, warn_from: int) -> None:
    names = [f"{name}: {count:,} weights" for name, count in found.left.items()]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    warnings.warn(
        f"only nn.Linear becomes INT8; in FP32 stay {', '.join(names[:MOST_NAMED])}{more}",
        stacklevel=warn_from,
    )


@functools.cache
def _say_by_hand(reason: str) -> None:
    """Print the notice once per process and reason, however many models follow."""
    print(f"PyTorch {torch.__version__} cannot quantize dynamically here ({reason}).\n{BY_HAND}")


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for category, message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


def _use_up_qnnpack_warning() -> None:
    """Run one tiny layer with the process's stderr closed: C++ prints its one warning there, past Python."""
    with _quiet():
        layer = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(1, 1)), {nn.Linear})
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
            layer(torch.zeros(1, 1))
    finally:
        os.dup2(saved, 2)
        os.close(saved)
