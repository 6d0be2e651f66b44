"""LoRA: a frozen layer and two thin matrices beside it that learn.

Source: Hu and others 2021, LoRA: Low-Rank Adaptation of Large Language Models.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit._core import arguments
from coursekit.finetuning.frozen import NF4Linear
from coursekit.finetuning.places import layer_names, put
from coursekit.language.transformer import Transformer

__all__ = ["LoRA", "adapters", "merged", "with_lora"]

KINDS = (nn.Linear, NF4Linear)


class LoRA(nn.Module):
    """A layer that stays as it is, plus ``scale · B A x``, which begins at 0 and learns.

    Parameters
    ----------
    layer : Linear or NF4Linear
        It is frozen.
    rank : int
        Rows of A, columns of B; at most the smaller side of the layer.
    alpha : float, optional
        The scale is ``alpha / rank``; by default 1.
    seed : int, optional
        Of A: normal numbers that keep the size of their input. B starts at 0.
    """

    def __init__(
        self, layer: nn.Linear | NF4Linear, rank: int, alpha: float | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(layer, KINDS):
            raise TypeError(f"layer must be a Linear or NF4Linear; got {type(layer).__name__}")
        inputs, outputs = layer.in_features, layer.out_features
        rank = arguments.integer("rank", rank, 1, min(inputs, outputs))
        self.layer = layer.requires_grad_(False)
        self.scale = 1.0 if alpha is None else arguments.positive("alpha", alpha) / rank
        draw = torch.Generator().manual_seed(arguments.integer("seed", seed, 0))
        start = torch.randn(rank, inputs, generator=draw) / math.sqrt(inputs)
        device = next(iter([*layer.parameters(), *layer.buffers()])).device
        self.a = nn.Parameter(start.to(device))
        self.b = nn.Parameter(torch.zeros(outputs, rank, device=device))

    @property
    def change(self) -> Tensor:
        """What it adds to the layer's weight [out, in]: ``scale · B A``."""
        return self.scale * self.b @ self.a

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's answer to x [..., in] plus that of the two thin matrices."""
        return self.layer(x) + self.scale * F.linear(F.linear(x, self.a), self.b)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return one ordinary layer that computes the same.

        Returns
        -------
        Linear
            In float32.
        """
        weight = self.layer.weight
        plain = nn.Linear(self.layer.in_features, self.layer.out_features, device="meta")
        plain.weight = nn.Parameter(weight + self.change)
        bias = self.layer.bias
        plain.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        return plain


def with_lora(
    model: Transformer,
    rank: int,
    *,
    alpha: float | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    seed: int = 0,
) -> Transformer:
    """Return a copy of a model whose weights are frozen and whose layers have adapters.

    Parameters
    ----------
    model : Transformer
        The original; it stays as it is. Its layers may be in NF4.
    rank : int
        Of all adapters.
    alpha : float, optional
        Their scale is ``alpha / rank``; by default 1.
    include, exclude : sequence of str, optional
        Names or patterns of the layers, such as ``"*.q_proj"``; by default every matrix of every layer.
    seed : int, optional
        Of the adapters.

    Returns
    -------
    Transformer
        Only ``a`` and ``b`` of the adapters learn. What is frozen is shared with no other model.

    Raises
    ------
    TypeError, ValueError
        For a pattern that fits no layer, a rank larger than a layer, and a model that has adapters.
    """
    changed = copy.deepcopy(arguments.instance("model", model, Transformer)).requires_grad_(False)
    if adapters(changed):
        raise ValueError("model must have no adapters yet; merged makes a copy without")
    names = layer_names(changed, include, exclude, KINDS)
    seed = arguments.integer("seed", seed, 0)
    for number, name in enumerate(names):
        layer = changed.get_submodule(name)
        assert isinstance(layer, KINDS)
        put(changed, name, LoRA(layer, rank, alpha, seed * len(names) + number))
    return changed


def adapters(model: nn.Module) -> dict[str, LoRA]:
    """Return the adapters of a model by the names of their layers.

    Parameters
    ----------
    model : Module
        Of :func:`with_lora`.

    Returns
    -------
    dict of str to LoRA
        Empty if there are none.
    """
    parts = arguments.module("model", model).named_modules()
    return {name: part for name, part in parts if isinstance(part, LoRA)}


@torch.no_grad()
def merged(model: Transformer) -> Transformer:
    """Return a copy in which every adapter is added to its layer's weight.

    Parameters
    ----------
    model : Transformer
        Of :func:`with_lora`.

    Returns
    -------
    Transformer
        Of the original's shape, in float32; layers in NF4 without an adapter stay so.

    Raises
    ------
    ValueError
        If it has no adapters.
    """
    plain = copy.deepcopy(arguments.instance("model", model, Transformer))
    found = adapters(plain)
    if not found:
        raise ValueError("model must have adapters; with_lora makes a copy with some")
    for name, part in found.items():
        put(plain, name, part.merged())
    return plain.requires_grad_(True)
