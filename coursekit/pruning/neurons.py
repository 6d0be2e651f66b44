"""Whole neurons: which are weakest, their rows set to zero, and the network rebuilt without them."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit._core import arguments
from coursekit.pruning.weights import check_masks, smallest, tensors

__all__ = ["Share", "linears", "neuron_masks", "shrink", "structured"]

Share = float | Sequence[float]


def neuron_masks(model: nn.Sequential, share: Share) -> tuple[Tensor, ...]:
    """Return a mask [neurons] per hidden layer that drops the ``share`` with the smallest weights (L2 norm).

    share: one for all hidden layers, or a list with one for each; exactly round(share · neurons) go, where
    norms tie the first ones. The last layer's neurons are the classes and stay.
    Errors: TypeError or ValueError for a model that is no chain of nn.Linear and nn.ReLU, for weights that
    are not finite, a share outside 0 to 1 or a list of the wrong length.
    """
    hidden = linears(model)[:-1]
    shares = _shares(share, len(hidden))
    norms = [layer.weight.detach().norm(dim=1) for layer in hidden]
    return tuple(~smallest([norm], part, "layer")[0] for norm, part in zip(norms, shares, strict=True))


def structured(model: nn.Sequential, share: Share) -> nn.Sequential:
    """Return a copy of ``model`` with the rows of the neurons that ``neuron_masks`` drops set to zero.

    Their biases stay, as in ``torch.nn.utils.prune.ln_structured``: such a neuron still outputs relu(bias).
    Errors: as for ``neuron_masks``.
    """
    masks = neuron_masks(model, share)
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for layer, kept in zip(linears(pruned), masks, strict=False):
            layer.weight[~kept] = 0
    return pruned


def shrink(model: nn.Sequential, keep: Sequence[Any] | None = None) -> nn.Sequential:
    """Return a new, smaller network with the same outputs as ``model`` with its dead neurons' rows at zero.

    keep: a bool mask [neurons] per hidden layer, as ``neuron_masks`` gives; None: every hidden neuron whose
    weights are all zero is dead, also one that only listened to dead neurons. A dead neuron's constant
    output relu(bias), times its outgoing weights, goes into the next layer's bias. A layer whose neurons are
    all dead keeps one, so that a network remains. Inputs and outputs stay as they are.
    Errors: TypeError or ValueError for a model that is no chain of nn.Linear and nn.ReLU, for weights or
    biases that are not finite, and for masks that do not fit.
    """
    chain = linears(model)
    kept = None if keep is None else check_masks(keep, [_row(layer) for layer in chain[:-1]], name="keep")
    weights = [layer.weight.detach().to(torch.float64, copy=True) for layer in chain]
    biases = [_bias(layer) for layer in chain]
    # All rows first: a dead neuron listens to nothing, so nothing may be folded into its bias.
    for weight, stays in zip(weights, kept or (), strict=False):
        weight[~stays] = 0
    made = []
    for number, activations in enumerate(_between(model)):
        stays = weights[number].any(dim=1) if kept is None else kept[number]
        biases[number + 1] += weights[number + 1][:, ~stays] @ activations(biases[number][~stays])
        weights[number + 1][:, ~stays] = 0
        stays = stays if stays.any() else torch.arange(len(stays), device=stays.device) == 0
        made.append(_linear(weights[number][stays], biases[number][stays], chain[number]))
        weights[number + 1] = weights[number + 1][:, stays]
    made.append(_linear(weights[-1], biases[-1], chain[-1]))
    smaller = iter(made)
    parts = [next(smaller) if isinstance(part, nn.Linear) else copy.deepcopy(part) for part in model]
    return nn.Sequential(*parts).train(model.training)


def linears(model: Any) -> list[nn.Linear]:
    """Return the nn.Linear layers of a chain; errors for a model that is anything else."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Sequential; got {type(model).__name__}")
    if type(model) is not nn.Sequential:
        raise ValueError(
            f"model must be an nn.Sequential, so that each layer's output goes to the next one only; got "
            f"{type(model).__name__}"
        )
    for number, part in enumerate(model):
        if type(part) not in (nn.Linear, nn.ReLU):
            raise ValueError(
                f"model must consist of nn.Linear and nn.ReLU; its part {number} is {type(part).__name__}"
            )
    tensors(model, name="model's weights")
    chain = [part for part in model if isinstance(part, nn.Linear)]
    for layer, after in zip(chain, chain[1:], strict=False):
        if layer.out_features != after.in_features:
            raise ValueError(
                f"model does not fit together: {layer.out_features} outputs, then {after.in_features} inputs"
            )
    tensors([layer.bias for layer in chain if layer.bias is not None] or [0.0], name="model's biases")
    return chain


def _between(model: nn.Sequential) -> list[nn.Sequential]:
    """Return what lies between each nn.Linear and the next: one ReLU, or none, or several."""
    parts = list(model)
    numbers = [number for number, part in enumerate(parts) if isinstance(part, nn.Linear)]
    return [nn.Sequential(*parts[a + 1 : b]) for a, b in zip(numbers[:-1], numbers[1:], strict=True)]


def _bias(layer: nn.Linear) -> Tensor:
    """Return the bias in float64, zeros where there is none: what is folded must not be rounded twice."""
    if layer.bias is None:
        return layer.weight.new_zeros(layer.out_features, dtype=torch.float64)
    return layer.bias.detach().to(torch.float64, copy=True)


def _linear(weight: Tensor, bias: Tensor, like: nn.Linear) -> nn.Linear:
    """Return a layer of these numbers in the type of ``like``; a bias only where it is needed."""
    has_bias = like.bias is not None or bool(bias.any())
    settings = {"bias": has_bias, "dtype": like.weight.dtype, "device": like.weight.device}
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], **settings)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if has_bias:
            layer.bias.copy_(bias)
    return layer


def _row(layer: nn.Linear) -> Tensor:
    return layer.weight[:, 0]


def _shares(share: Share, count: int) -> list[float]:
    if not isinstance(share, Sequence):
        return [arguments.real("share", share, 0, 1)] * count
    if len(share) != count:
        raise ValueError(f"share must hold {count} numbers, one per hidden layer; got {len(share)}")
    return [arguments.real(f"share[{number}]", part, 0, 1) for number, part in enumerate(share)]
