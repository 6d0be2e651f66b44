"""Whole neurons: which are weakest, their rows set to zero, and the network rebuilt without them."""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit._core import arguments
from coursekit.models.inputs import as_module
from coursekit.pruning.weights import check_masks, smallest, tensors

__all__ = ["Share", "as_chain", "linears", "neuron_masks", "shrink", "structured"]

Share = float | Sequence[float]
# What says the same of each number, whichever numbers stand beside it.
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Tanh,
    nn.Sigmoid,
)
PASSED = (nn.Identity, nn.Dropout, nn.Flatten)  # in eval mode, each hands a row of numbers on as it is
FOLD = "fold it into the layer before: torch.nn.utils.fusion.fuse_linear_bn_eval"
ADVICE = "prune it by single weights: pruning.masks, pruning.finetune"


def neuron_masks(model: nn.Sequential, share: Share) -> tuple[Tensor, ...]:
    """Return a mask per hidden layer that drops its neurons with the smallest weights (L2 norm).

    Parameters
    ----------
    model : nn.Sequential
        A chain of nn.Linear with activations that take each number alone (ReLU, GELU, Tanh …), Dropout,
        Identity and Flatten; Sequentials inside of it count as their parts.
    share : float or sequence of float
        One for all hidden layers, or one for each. Exactly round(share · neurons) go, where norms tie the
        first ones. The last layer's neurons are the classes and stay.

    Returns
    -------
    tuple of Tensor
        Bools [neurons], True where a neuron stays.

    Raises
    ------
    TypeError, ValueError
        For any other model, with the part that is in the way; for weights that are not finite, a share
        outside 0 to 1 or a list of the wrong length.
    """
    hidden = linears(model)[:-1]
    shares = _shares(share, len(hidden))
    norms = [layer.weight.detach().norm(dim=1) for layer in hidden]
    return tuple(~smallest([norm], part, "layer")[0] for norm, part in zip(norms, shares, strict=True))


def structured(model: nn.Sequential, share: Share) -> nn.Sequential:
    """Return a copy of ``model`` with the rows of the neurons that ``neuron_masks`` drops set to zero.

    Parameters
    ----------
    model, share
        As in ``neuron_masks``.

    Returns
    -------
    nn.Sequential
        Of the same sizes.

    Raises
    ------
    TypeError, ValueError
        As ``neuron_masks``.

    Notes
    -----
    Their biases stay, as in ``torch.nn.utils.prune.ln_structured``: such a neuron still outputs relu(bias).
    """
    masks = neuron_masks(model, share)
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for layer, kept in zip(linears(pruned), masks, strict=False):
            layer.weight[~kept] = 0
    return pruned


def shrink(model: nn.Sequential, keep: Sequence[Any] | None = None) -> nn.Sequential:
    """Return a new, smaller network with the outputs of ``model``, its dead neurons' rows at zero.

    Parameters
    ----------
    model : nn.Sequential
        As in ``neuron_masks``; it stays as it is.
    keep : sequence, optional
        A bool mask [neurons] per hidden layer, as ``neuron_masks`` gives. None: every hidden neuron whose
        weights are all zero is dead, also one that only listened to dead neurons.

    Returns
    -------
    nn.Sequential
        Its parts have the names and the places of the old ones.

    Raises
    ------
    TypeError, ValueError
        For another model, weights or biases that are not finite, and for masks that do not fit.

    Notes
    -----
    A dead neuron's constant output, relu(bias) say, times its outgoing weights, goes into the next layer's
    bias. A layer whose neurons are all dead keeps one, so that a network remains. Inputs and outputs stay.
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
    return _rebuilt(model, iter(made))


def as_chain(model: Any) -> nn.Sequential:
    """Return a model if it is an nn.Sequential, no subclass.

    Parameters
    ----------
    model : object
        The model.

    Returns
    -------
    Sequential
        ``model``.

    Raises
    ------
    TypeError
        For what is not an nn.Module.
    ValueError
        For another nn.Module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Sequential; got {type(model).__name__}")
    if not isinstance(as_module("model", model), nn.Sequential) or type(model) is not nn.Sequential:
        raise ValueError(
            f"model must be an nn.Sequential, so that each layer's output goes to the next one only; got "
            f"{type(model).__name__}: {ADVICE}"
        )
    return model


def linears(model: Any) -> list[nn.Linear]:
    """Return the nn.Linear layers of a chain.

    Parameters
    ----------
    model : object
        The chain.

    Returns
    -------
    list of Linear
        The layers, first to last.

    Raises
    ------
    TypeError, ValueError
        For a model that is anything else.
    """
    parts = list(_parts(as_chain(model)))
    for name, part in parts:
        _check_part(name, part)
    tensors(model, name="model's weights")
    named = [(name, part) for name, part in parts if isinstance(part, nn.Linear)]
    _check_apart(named)
    _check_hooks(model)
    chain = [part for _, part in named]
    for layer, after in zip(chain, chain[1:], strict=False):
        if layer.out_features != after.in_features:
            raise ValueError(
                f"model does not fit together: {layer.out_features} outputs, then {after.in_features} inputs"
            )
    tensors([layer.bias for layer in chain if layer.bias is not None] or [0.0], name="model's biases")
    return chain


def _parts(model: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts with their names, in the order in which they run, as often as they do."""
    for name, part in model._modules.items():
        if isinstance(part, nn.Sequential) and type(part) is nn.Sequential:
            yield from _parts(part, f"{prefix}{name}.")
        elif part is not None:
            yield f"{prefix}{name}", part


def _check_part(name: str, part: nn.Module) -> None:
    kind = type(part)
    if kind is nn.BatchNorm1d:
        raise ValueError(f"model must be a chain of nn.Linear; its part {name} is BatchNorm1d: {FOLD}")
    if isinstance(part, nn.Flatten) and not (part.start_dim == 1 and part.end_dim == -1):
        raise ValueError(f"model must keep its examples apart; its part {name} is {part}")
    if kind is not nn.Linear and kind not in (*ACTIVATIONS, *PASSED):
        raise ValueError(
            "model must consist of nn.Linear, activations such as nn.ReLU, Dropout, Identity and Flatten; "
            f"its part {name} is {kind.__name__}: {ADVICE}"
        )


def _check_hooks(model: nn.Module) -> None:
    """Refuse forward hooks: the smaller layers would not have them, and the answers would be others."""
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            where = f"its part {name}" if name else "it"
            raise ValueError(
                f"model must not have forward hooks; {where} has one: call its handle's remove()"
            )


def _check_apart(named: Sequence[tuple[str, nn.Linear]]) -> None:
    """Refuse a layer that comes twice, or shares its weight: each use would need rows of its own."""
    first: dict[int, str] = {}
    for name, layer in named:
        other = first.setdefault(id(layer.weight), name)
        if other != name:
            raise ValueError(f"model must use every weight once; its parts {other} and {name} share one")


def _between(model: nn.Sequential) -> list[nn.Sequential]:
    """Return what lies between each nn.Linear and the next: one activation, or none, or several."""
    found: list[list[nn.Module]] = []
    for _, part in _parts(model):
        if isinstance(part, nn.Linear):
            found.append([])
        elif found and not isinstance(part, PASSED):
            found[-1].append(part)
    return [nn.Sequential(*parts) for parts in found[:-1]]


def _rebuilt(model: nn.Sequential, smaller: Iterator[nn.Linear]) -> nn.Sequential:
    """Return the same parts in the same places, with the smaller layers for the old ones."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, part in model._modules.items():
        if isinstance(part, nn.Linear):
            parts[name] = next(smaller).train(part.training)
        elif isinstance(part, nn.Sequential):
            parts[name] = _rebuilt(part, smaller)
        elif part is not None:
            parts[name] = copy.deepcopy(part)
    made = nn.Sequential(parts)
    made.training = model.training
    return made


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
