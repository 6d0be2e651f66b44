"""Masks: which weights go, and a model trained on with the masks held."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from coursekit import models
from coursekit._core import arguments
from coursekit.pruning.weights import (
    check_masks,
    copied,
    magnitudes,
    matrix,
    of_layers,
    smallest,
    tensors,
    weights_of,
)

__all__ = ["apply", "finetune", "masks", "sparsity", "two_four"]

# Of every four neighbours two stay. Source: Mishra et al. 2021, Accelerating Sparse Deep Neural Networks.
KEPT, OF = 2, 4
USUAL = models.Schedule(epochs=10, lr=1e-3)  # for training on
Module = TypeVar("Module", bound=nn.Module)


def masks(
    weights: Any, sparsity: float, *, scope: str = "global", layers: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Return masks that prune the ``sparsity`` share of the weights with the smallest magnitudes.

    weights: a model, or a tensor or array, or a list of them; one mask comes back per weight. scope: "global"
    ranks all weights together, "layer" each tensor alone. layers: the numbers of those to prune (all); the
    others keep every weight. Exactly round(sparsity · n) weights go: where magnitudes tie, the first ones.
    Errors: TypeError or ValueError for weights that are empty or not finite, a sparsity outside 0 to 1, an
    unknown scope or layer.
    """
    share = arguments.real("sparsity", sparsity, 0, 1)
    found = tensors(weights)
    chosen = of_layers(layers, len(found))
    made = [torch.ones_like(weight, dtype=torch.bool) for weight in found]
    gone = smallest([magnitudes(found[number]) for number in chosen], share, scope)
    for number, mask in zip(chosen, gone, strict=True):
        made[number] = ~mask
    return tuple(made)


def two_four(weight: Any) -> Tensor:
    """Return the 2:4 mask of ``weight`` [out, in]: of every four neighbours along a row the two largest stay.

    Where magnitudes tie, the later ones stay. GPUs from NVIDIA's Ampere on multiply such weights with less
    work. Errors: ValueError if the row's length is no multiple of 4, TypeError or ValueError for what is no
    finite matrix.
    """
    dense = matrix(weight)
    shape = tuple(dense.shape)
    if shape[1] % OF:
        raise ValueError(
            f"weight must have rows whose length is a multiple of {OF}; got {shape[1]} in shape {shape}"
        )
    fours = magnitudes(dense).reshape(-1, OF)
    kept = fours.argsort(dim=1, stable=True)[:, OF - KEPT :]
    return torch.zeros_like(fours, dtype=torch.bool).scatter_(1, kept, True).reshape(shape)


def sparsity(weights: Any) -> float:
    """Return the share of zeros among the weights of a model, or of a tensor, array or list of them.

    Errors: as for ``masks``.
    """
    found = tensors(weights)
    return sum(int((weight == 0).sum()) for weight in found) / sum(weight.numel() for weight in found)


def apply(model: Module, masks: Sequence[Any]) -> Module:
    """Return a copy of ``model`` with the weights that ``masks`` leave out set to 0.

    Errors: TypeError or ValueError unless there is one bool mask per layer, of its weight's shape.
    """
    pruned = copied(model)
    _hold(pruned, masks)
    return pruned


def finetune(
    model: Module,
    masks: Sequence[Any],
    x: Any,
    y: Any,
    *,
    epochs: int = USUAL.epochs,
    lr: float = USUAL.lr,
    batch_size: int = USUAL.batch_size,
    seed: int = USUAL.seed,
    schedule: models.Schedule | None = None,
) -> Module:
    """Return a copy of ``model``, pruned by ``masks`` and trained on as ``models.fit`` does, the masks held.

    Parameters
    ----------
    model : nn.Module
        Whatever returns logits [n, classes] and holds an nn.Linear or a convolution; it stays as it is.
    masks : sequence
        One per layer, in the shape of its weight, as ``masks`` gives them.
    x, y : array_like
        Examples first [n, …], in the shape that the model takes; their class numbers [n].
    epochs, lr, batch_size, seed : int, float, int, int
        How long and how fast, as in ``models.Schedule``.
    schedule : Schedule, optional
        The same four in one object.

    Returns
    -------
    nn.Module
        Of the same kind, in eval mode.

    Raises
    ------
    TypeError, ValueError
        As ``apply`` and ``models.fit``.
    """
    plan = models.Schedule(epochs, lr, batch_size, seed).or_else(schedule, USUAL)
    tuned = apply(model, masks)
    weights = weights_of(tuned)
    pairs = zip(weights, check_masks(masks, weights), strict=True)
    # Adam leaves alone what never had a gradient.
    handles = [weight.register_hook(_without(~mask)) for weight, mask in pairs if weight.requires_grad]
    models.fit(tuned, x, y, schedule=plan)
    for handle in handles:
        handle.remove()
    return tuned


def _without(gone: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient.masked_fill(gone, 0)


def _hold(model: nn.Module, masks: Sequence[Any]) -> None:
    """Set the weights that the masks leave out to 0, and to no -0, which compresses worse."""
    weights = weights_of(model)
    with torch.no_grad():
        for weight, mask in zip(weights, check_masks(masks, weights), strict=True):
            weight.masked_fill_(~mask, 0)
