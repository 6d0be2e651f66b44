"""Pruning many seeds at once: every network by its own threshold, all in the same products."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit import models
from coursekit._core import arguments
from coursekit.models import Ensemble
from coursekit.models.ensembles import as_ensemble
from coursekit.pruning.masking import USUAL
from coursekit.pruning.weights import check_masks, magnitudes, of_layers, smallest, tensors

__all__ = ["finetune_many", "hold_many", "masks_many", "prune_many", "structured_many"]


def masks_many(
    networks: Ensemble, sparsity: float, *, scope: str = "global", layers: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    """Return the masks that ``masks`` gives each network alone.

    Parameters
    ----------
    networks : models.Ensemble
        They stay as they are.
    sparsity : float
        A share, 0 to 1.
    scope : str
        "global" ranks all weights together, "layer" each tensor alone.
    layers : sequence of int, optional
        The numbers of those to prune; the others keep every weight. By default all.

    Returns
    -------
    tuple of Tensor
        One bool mask per layer, [networks, out, in].

    Raises
    ------
    TypeError, ValueError
        As ``masks``.
    """
    weights = _weights(networks)
    share = arguments.real("sparsity", sparsity, 0, 1)
    chosen = of_layers(layers, len(weights))
    made = [torch.ones_like(weight, dtype=torch.bool) for weight in weights]
    gone = smallest([magnitudes(weights[number]) for number in chosen], share, scope, batched=True)
    for number, mask in zip(chosen, gone, strict=True):
        made[number] = ~mask
    return tuple(made)


def prune_many(
    networks: Ensemble, sparsity: float, *, scope: str = "global", layers: Sequence[int] | None = None
) -> Ensemble:
    """Return the networks with the ``sparsity`` share of each one's weights set to 0, the smallest ones.

    Parameters
    ----------
    networks : models.Ensemble
        They stay as they are.
    sparsity, scope, layers
        As in ``masks``.

    Returns
    -------
    Ensemble
        The pruned networks.

    Raises
    ------
    TypeError, ValueError
        As ``masks``.
    """
    return hold_many(networks, masks_many(networks, sparsity, scope=scope, layers=layers))


def structured_many(networks: Ensemble, share: float) -> Ensemble:
    """Return the networks with the rows of the weakest neurons of every hidden layer set to 0.

    Parameters
    ----------
    networks : models.Ensemble
        They stay as they are.
    share : float
        How many of a layer's neurons, 0 to 1.

    Returns
    -------
    Ensemble
        The pruned networks.

    Raises
    ------
    TypeError, ValueError
        As ``structured``.
    """
    weights = _weights(networks)
    part = arguments.real("share", share, 0, 1)
    norms = [weight.norm(dim=2) for weight in weights[:-1]]
    gone = smallest(norms, part, "layer", batched=True) if norms else []
    kept = [~rows.unsqueeze(2).expand_as(weight) for rows, weight in zip(gone, weights, strict=False)]
    return hold_many(networks, [*kept, torch.ones_like(weights[-1], dtype=torch.bool)])


def finetune_many(
    networks: Ensemble,
    masks: Sequence[Any],
    x: Any,
    y: Any,
    *,
    seeds: Sequence[int],
    epochs: int = USUAL.epochs,
    lr: float = USUAL.lr,
    batch_size: int = USUAL.batch_size,
    schedule: models.Schedule | None = None,
    after: models.After | None = None,
) -> Ensemble:
    """Return the networks trained on with cross-entropy, their masks held.

    Parameters
    ----------
    networks : models.Ensemble
        They stay as they are.
    masks : sequence
        One per layer, [networks, out, in].
    x, y : array_like
        Examples [n, features] and their class numbers [n].
    seeds : sequence of int
        One per network, for the order of its batches.
    epochs, lr, batch_size : int, float, int
        As in ``models.Schedule``.
    schedule : Schedule, optional
        The same three in one object.
    after : callable, optional
        As in ``models.train_many``.

    Returns
    -------
    Ensemble
        The trained networks.

    Raises
    ------
    TypeError, ValueError
        As ``apply`` and ``models.tune_many``.

    Notes
    -----
    Untrained networks and the masks of trained ones make a rewind (the lottery ticket).
    """
    held = check_masks(masks, _weights(networks))
    plan = models.Schedule(epochs, lr, batch_size).or_else(schedule, USUAL)
    tuned = models.tune_many(networks, x, y, seeds=seeds, masks=held, schedule=plan, after=after)
    return hold_many(tuned, held)


def hold_many(networks: Ensemble, masks: Sequence[Tensor]) -> Ensemble:
    """Return the networks with the weights that the masks leave out set to 0.

    Parameters
    ----------
    networks : models.Ensemble
        They stay as they are.
    masks : sequence of Tensor
        Bools, one per layer, [networks, out, in].

    Returns
    -------
    Ensemble
        The pruned networks.
    """
    pairs = zip(networks.weights, masks, strict=True)
    return networks.replace([weight.masked_fill(~mask, 0) for weight, mask in pairs])


def _weights(networks: Any) -> list[Tensor]:
    return tensors(list(as_ensemble("networks", networks).weights), name="networks")
