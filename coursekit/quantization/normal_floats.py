"""NF4: sixteen levels that normal weights use about equally often, in blocks with one scale each.

Source: Dettmers et al. 2023, QLoRA: Efficient Finetuning of Quantized LLMs.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coursekit._core import arguments, display
from coursekit.quantization.matrices import SCALE_BITS

__all__ = ["BLOCK", "NormalFloat", "nf4", "nf4_levels"]

BITS = 4
BLOCK = 64  # weights that share a scale
NEGATIVE, POSITIVE = 7, 8  # levels on either side of 0
# The outermost probability, 1 - (1/30 + 1/32) / 2, to the seven digits that the published levels were made
# with: halfway between the middles of the last of 15 and of the last of 16 equal parts.
OUTERMOST = 0.9677083


@dataclass(frozen=True, repr=False, eq=False)
class NormalFloat(display.Shown):
    """A tensor in NF4: ``codes`` 0 to 15 (uint8) in its shape, and the ``largest`` magnitude per block."""

    codes: Tensor
    largest: Tensor
    block: int

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight, with the blocks' scales counted as FP16."""
        return BITS + SCALE_BITS / self.block

    def dequantized(self) -> Tensor:
        """Return the level of each code times the largest magnitude of its block.

        Returns
        -------
        Tensor
            float32, in the shape of ``codes``.
        """
        blocks = torch.from_numpy(nf4_levels())[self.codes.reshape(-1, self.block).long()]
        return (blocks * self.largest[:, None]).reshape(self.codes.shape)

    def __str__(self) -> str:
        bits = display.significant(self.bits_per_weight)
        return f"NF4, {self.codes.numel()} weights in blocks of {self.block}: {bits} bits per weight"


def nf4_levels() -> NDArray[np.float32]:
    """Return the 16 levels of NF4, from -1 to 1.

    Returns
    -------
    NDArray
        float32, ascending. 0 is the eighth of them.

    Notes
    -----
    Quantiles of the standard normal distribution, at 8 equally spaced probabilities from the outermost down
    towards 1/2 above 0 and at 7 below it, divided by the largest, in float32 throughout: the published levels
    to the last bit.
    """
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in torch.linspace(OUTERMOST, 0.5, POSITIVE + 1)[:-1].tolist()]
    below = [-quantile(p) for p in torch.linspace(OUTERMOST, 0.5, NEGATIVE + 1)[:-1].tolist()]
    levels = np.sort([*below, 0.0, *above]).astype(np.float32)
    return levels / levels[-1]


def nf4(weight: Any, block: int = BLOCK) -> NormalFloat:
    """Return a tensor in NF4, row after row in blocks with one scale each.

    Parameters
    ----------
    weight : array_like
        Finite numbers of any shape.
    block : int
        How many neighbours share a scale, their largest magnitude.

    Returns
    -------
    NormalFloat
        The nearest of the levels, the lower one on a tie. A block of zeros stays one.

    Raises
    ------
    TypeError, ValueError
        For what is not finite numbers, and a block that does not divide their count.
    """
    values = arguments.array("weight", weight)
    block = arguments.integer("block", block, 1)
    if values.size % block:
        raise ValueError(f"block must divide the {values.size} values of weight; got {block}")
    blocks = values.reshape(-1, block)
    largest = np.abs(blocks).max(axis=1)
    levels = nf4_levels()
    shares = blocks / np.where(largest == 0, 1, largest)[:, None]
    codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, shares, side="left").astype(np.uint8)
    return NormalFloat(torch.from_numpy(codes.reshape(values.shape)), torch.from_numpy(largest), block)
