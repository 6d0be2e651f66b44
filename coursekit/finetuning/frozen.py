"""Layers whose frozen weights lie in NF4, two to a byte, and are unpacked when they are used.

Source: Dettmers and others 2023, QLoRA: Efficient Finetuning of Quantized LLMs.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit._core import arguments
from coursekit.finetuning.places import layer_names, put
from coursekit.language.transformer import Transformer
from coursekit.quantization.normal_floats import BLOCK, nf4, nf4_levels

__all__ = ["NF4Linear", "in_nf4"]


class NF4Linear(nn.Module):
    """A linear layer that stores NF4 and multiplies in float32; it cannot learn.

    Parameters
    ----------
    layer : Linear
        The original; its bias stays in float.
    block : int, optional
        How many weights share a scale.

    Raises
    ------
    TypeError, ValueError
        For another layer, and a block that does not divide the weights.
    """

    codes: Tensor
    largest: Tensor
    levels: Tensor

    def __init__(self, layer: nn.Linear, block: int = BLOCK) -> None:
        super().__init__()
        weight = arguments.instance("layer", layer, nn.Linear).weight.detach()
        found = nf4(weight.cpu(), block)
        pairs = found.codes.reshape(-1, 2)
        self.block, self.in_features, self.out_features = found.block, layer.in_features, layer.out_features
        for name, part in (
            ("codes", 16 * pairs[:, 0] + pairs[:, 1]),  # two codes of 4 bits in a byte
            ("largest", found.largest),
            ("levels", torch.from_numpy(nf4_levels())),
        ):
            self.register_buffer(name, part.to(weight.device))
        self.bias = (
            None if layer.bias is None else nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
        )

    @property
    def weight(self) -> Tensor:
        """The weights unpacked, float32 [out, in]; a new tensor with every call."""
        codes = torch.stack([self.codes >> 4, self.codes & 15], dim=-1)
        blocks = self.levels[codes.reshape(-1, self.block).long()] * self.largest[:, None]
        return blocks.reshape(self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., in] times the unpacked weights, which are not kept for the backward pass."""
        return _Unpacked.apply(x, self)


class _Unpacked(torch.autograd.Function):
    """A product with weights that are unpacked on the way there and once more on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: NF4Linear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.weight, layer.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] @ ctx.layer.weight, None


def in_nf4(
    model: Transformer,
    block: int = BLOCK,
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
) -> Transformer:
    """Return a copy of a model whose layers store NF4; embedding and norms stay in float.

    Parameters
    ----------
    model : Transformer
        The original; it stays as it is.
    block : int, optional
        How many weights share a scale.
    include, exclude : sequence of str, optional
        Names or patterns of the layers; by default every matrix of every layer.

    Returns
    -------
    Transformer
        Frozen: nothing in it learns.

    Raises
    ------
    TypeError, ValueError
        For a pattern that fits no layer, and a block that does not divide the weights.
    """
    changed = copy.deepcopy(arguments.instance("model", model, Transformer)).requires_grad_(False)
    for name in layer_names(changed, include, exclude, (nn.Linear,)):
        layer = changed.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        put(changed, name, NF4Linear(layer, block))
    return changed
