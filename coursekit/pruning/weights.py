"""What all of pruning needs: the weights of a model, checked, and the smallest share of them."""

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from coursekit._core import arguments
from coursekit.models.ensembles import as_masks
from coursekit.models.inputs import as_module

__all__ = [
    "check_masks",
    "copied",
    "magnitudes",
    "matrix",
    "of_layers",
    "smallest",
    "tensors",
    "weighted",
    "weights_of",
]

SCOPES = ("global", "layer")
Module = TypeVar("Module", bound=nn.Module)
PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def weighted(model: Any) -> list[nn.Module]:
    """Return the layers of a model whose weights can be pruned, each once.

    Layers that share one weight count as one: it is pruned where it comes first.

    Parameters
    ----------
    model : object
        The model.

    Returns
    -------
    list of Module
        The layers, one at least.

    Raises
    ------
    TypeError
        For what is not an nn.Module.
    ValueError
        For a model without such a layer, or with weights that are computed from others.
    """
    as_module("model", model)
    named = [(name, part) for name, part in model.named_modules() if isinstance(part, PRUNABLE)]
    if not named:
        raise ValueError(f"model has no nn.Linear and no convolution to prune; got {type(model).__name__}")
    found: dict[int, nn.Module] = {}
    for name, layer in named:
        if "weight" not in dict(layer.named_parameters(recurse=False)):
            raise ValueError(_computed(f'model.get_submodule("{name}")' if name else "model", layer))
        found.setdefault(id(layer.weight), layer)
    return list(found.values())


def weights_of(model: Any) -> list[nn.Parameter]:
    """Return the weights of a model that can be pruned, each once.

    Parameters
    ----------
    model : object
        The model.

    Returns
    -------
    list of Parameter
        The weights, one at least.

    Raises
    ------
    TypeError, ValueError
        As for ``weighted``.
    """
    return [parameter for layer in weighted(model) if isinstance(parameter := layer.weight, nn.Parameter)]


def _computed(name: str, layer: nn.Module) -> str:
    """Say what makes the weight of a layer permanent that is computed anew at every call."""
    if parametrize.is_parametrized(layer, "weight"):
        remedy = f'torch.nn.utils.parametrize.remove_parametrizations({name}, "weight")'
    elif "weight_g" in dict(layer.named_parameters(recurse=False)):
        remedy = f"torch.nn.utils.remove_weight_norm({name})"
    elif hasattr(layer, "weight_u"):
        remedy = f"torch.nn.utils.remove_spectral_norm({name})"
    else:
        remedy = f'torch.nn.utils.prune.remove({name}, "weight")'
    return f"model computes the weight of {name} anew at every call; make it permanent first: {remedy}"


def copied(model: Module) -> Module:
    """Return a deep copy of a model that can be pruned.

    Parameters
    ----------
    model : Module
        The model.

    Returns
    -------
    Module
        The copy.

    Raises
    ------
    TypeError, ValueError
        As for ``tensors``.
    """
    tensors(as_module("model", model), "model")
    return copy.deepcopy(model)


def tensors(weights: Any, name: str = "weights") -> list[Tensor]:
    """Return weights as tensors, finite and not empty.

    Parameters
    ----------
    weights : object
        A model, a list of tensors, or one tensor.
    name : str, optional
        What an error calls the argument.

    Returns
    -------
    list of Tensor
        The tensors, one at least.

    Raises
    ------
    TypeError, ValueError
        For weights that are not numbers, not finite or empty.
    """
    if isinstance(weights, nn.Module):
        found: list[Any] = list(weights_of(weights))
    elif isinstance(weights, list | tuple) and any(
        hasattr(entry, "ndim") and entry.ndim for entry in weights
    ):
        found = list(weights)
    else:
        found = [weights]
    return [_tensor(name, each) for each in found]


def matrix(weight: Any) -> Tensor:
    """Return a single finite matrix.

    Parameters
    ----------
    weight : object
        A matrix [out, in], or a model or list that holds just one.

    Returns
    -------
    Tensor
        [out, in].

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    found = tensors(weight, name="weight")
    if len(found) > 1:
        raise ValueError(
            "weight must be a single matrix [out, in], such as model[0].weight; "
            f"got {len(found)} weights ({type(weight).__name__})"
        )
    if found[0].ndim != 2:
        raise ValueError(f"weight must be a matrix [out, in]; got shape {tuple(found[0].shape)}")
    return found[0]


def magnitudes(weight: Tensor) -> Tensor:
    """Return the magnitudes to rank by, of integers as float64: -128 has no magnitude in int8.

    Parameters
    ----------
    weight : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of the shape of ``weight``.
    """
    return (weight if weight.is_floating_point() else weight.double()).abs()


def check_masks(masks: Any, weights: Sequence[Tensor], name: str = "masks") -> list[Tensor]:
    """Return masks as bool tensors beside their weights.

    Parameters
    ----------
    masks : object
        One per weight and of its shape, or a single one.
    weights : sequence of Tensor
        The weights.
    name : str, optional
        What an error calls the argument.

    Returns
    -------
    list of Tensor
        The masks.

    Raises
    ------
    TypeError, ValueError
        Unless one fits each weight.
    """
    if masks is None:
        raise TypeError(f"{name} must be a list of masks, one per layer; got None")
    given = [masks] if isinstance(masks, Tensor) or hasattr(masks, "dtype") else masks
    return as_masks(name, given, weights)


def of_layers(layers: Sequence[int] | None, count: int) -> list[int]:
    """Return the numbers of the layers to prune, in order and each once.

    Parameters
    ----------
    layers : sequence of int
        Numbers of layers, from 0; None: all.
    count : int
        How many layers there are.

    Returns
    -------
    list of int
        Ascending numbers, one at least.

    Raises
    ------
    TypeError, ValueError
        For a layer that the model lacks, or an empty list.
    """
    if layers is None:
        return list(range(count))
    return sorted(set(arguments.integers("layers", layers, 0, count - 1)))


def smallest(parts: Sequence[Tensor], share: float, scope: str, batched: bool = False) -> list[Tensor]:
    """Return where the round(share · n) smallest numbers stand.

    Parameters
    ----------
    parts : sequence of Tensor
        The numbers, n of them.
    share : float
        0 to 1.
    scope : str
        "global" ranks all parts together, "layer" each alone.
    batched : bool, optional
        The first axis of all parts counts networks, and each is ranked alone.

    Returns
    -------
    list of Tensor
        A bool tensor for each part, of its shape.
    """
    grouped = [parts] if arguments.choice("scope", scope, SCOPES) == "global" else [[part] for part in parts]
    return [where for group in grouped for where in _smallest(group, share, batched)]


def _smallest(parts: Sequence[Tensor], share: float, batched: bool) -> list[Tensor]:
    rows = [part.reshape(len(part) if batched else 1, -1) for part in parts]
    joined = torch.cat(rows, dim=1)
    where, count = torch.zeros_like(joined, dtype=torch.bool), round(share * joined.shape[1])
    if count:
        # The largest that goes, found without sorting. Of those that equal it only the first few go.
        last = joined.kthvalue(count, dim=1, keepdim=True).values
        smaller, equal = joined < last, joined == last
        where = smaller | (equal & (equal.cumsum(1) <= count - smaller.sum(1, keepdim=True)))
    split = where.split([row.shape[1] for row in rows], dim=1)
    return [piece.reshape(part.shape) for piece, part in zip(split, parts, strict=True)]


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(arguments.dense(name, value), Tensor):
        return torch.as_tensor(arguments.array(name, value))
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must hold real numbers; got {value.dtype}")
    if "float8" in str(value.dtype) or "float4" in str(value.dtype):
        raise TypeError(f"{name} must hold numbers that can be sorted; got {value.dtype}: use .float()")
    if not value.numel():
        raise ValueError(f"{name} is empty (shape {tuple(value.shape)}): at least one number is needed")
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        raise ValueError(f"{name} must be finite; {bad} of {value.numel()} values are NaN or infinite")
    return value.detach()
