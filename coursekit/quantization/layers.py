"""The layers of a model whose weights are quantized, each weight once, and what stays in float and why."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from coursekit._core import arguments
from coursekit.models.inputs import as_module

__all__ = ["CONVOLUTIONS", "Chosen", "chosen"]

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MATRIX = 2  # dimensions


@dataclass(frozen=True)
class Chosen:
    """Which layers are quantized, and what is left.

    ``layers`` holds the layers by name, each weight once: ``also`` maps the name of a layer that shares its
    weight with one of them to that one's name. ``left`` maps every other parameter of two or more dimensions
    to the reason why it stays in float.
    """

    layers: dict[str, nn.Module]
    also: dict[str, str]
    left: dict[str, str]


def chosen(
    model: Any,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    kinds: tuple[type[nn.Module], ...] = (nn.Linear,),
) -> Chosen:
    """Return the layers of ``model`` whose weights are to be quantized.

    A layer that shares its weight with a module of another kind, as a language model's output does with its
    embedding, is left in float unless ``include`` names it: rounding it would round the embedding too.

    Parameters
    ----------
    model : nn.Module
        The model.
    include : sequence of str, optional
        Names of layers, or patterns such as ``"blocks.*"``; by default all.
    exclude : sequence of str
        Names or patterns of layers to leave out.
    kinds : tuple of type
        The classes of layers that count.

    Returns
    -------
    Chosen
        At least one layer.

    Raises
    ------
    TypeError, ValueError
        For what is not a model, a pattern that fits no layer, a layer whose weight is computed anew at every
        call, and a choice that leaves no layer.
    """
    as_module("model", model)
    found = {name or "model": part for name, part in model.named_modules() if isinstance(part, kinds)}
    wanted = _matching(found, include, exclude)
    owners = _owners(model)
    layers: dict[str, nn.Module] = {}
    also: dict[str, str] = {}
    first: dict[int, str] = {}
    for name in wanted:
        layer = found[name]
        weight = _plain_weight(name, layer)
        if include is None and any(not isinstance(owner, kinds) for _, owner in owners[id(weight)]):
            continue
        if id(weight) in first:
            also[name] = first[id(weight)]
        else:
            first[id(weight)], layers[name] = name, layer
    if not layers:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"model has no {names} to quantize that is not left out; got {type(model).__name__}")
    return Chosen(layers, also, _left(model, first, kinds))


def _matching(
    found: dict[str, nn.Module], include: Sequence[str] | None, exclude: Sequence[str]
) -> list[str]:
    """Return the names that include admits and exclude does not forbid, in the model's order."""
    kept = set(found) if include is None else _fitting("include", include, found)
    kept -= _fitting("exclude", exclude, found)
    return [name for name in found if name in kept]


def _fitting(name: str, patterns: Sequence[str], found: dict[str, nn.Module]) -> set[str]:
    fitting: set[str] = set()
    for pattern in arguments.labels(name, patterns):
        hits = set(fnmatch.filter(found, pattern))
        if not hits:
            some = ", ".join(list(found)[:4]) or "none"
            raise ValueError(
                f"{name} must fit layers of the model ({some}, …); got {arguments.shown(pattern)}"
            )
        fitting |= hits
    return fitting


def _owners(model: nn.Module) -> dict[int, list[tuple[str, nn.Module]]]:
    """Return, by a parameter's identity, the modules that hold it."""
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, part in model.named_modules():
        for parameter in part.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, part))
    return owners


def _plain_weight(name: str, layer: nn.Module) -> nn.Parameter:
    own = dict(layer.named_parameters(recurse=False))
    if parametrize.is_parametrized(layer, "weight") or "weight" not in own:
        raise ValueError(
            f"model computes the weight of {name} anew at every call; make it permanent first, as "
            "quantization.baked, parametrize.remove_parametrizations or prune.remove do"
        )
    return own["weight"]


def _left(model: nn.Module, done: dict[int, str], kinds: tuple[type[nn.Module], ...]) -> dict[str, str]:
    """Return why each matrix that is not done stays in float."""
    owners, left = _owners(model), {}
    for name, parameter in model.named_parameters():
        if parameter.ndim < MATRIX or id(parameter) in done:
            continue
        held = owners[id(parameter)]
        other = [type(owner).__name__ for _, owner in held if not isinstance(owner, kinds)]
        if not other:
            left[name] = "left out"
        elif len(held) == len(other):
            left[name] = f"held by {other[0]}"
        else:
            shared = ", ".join(owner_name for owner_name, owner in held if isinstance(owner, kinds))
            left[name] = f"shared by {other[0]} and {shared}"
    return left
