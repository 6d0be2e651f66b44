"""Bits for each layer under a budget: where they cost least, by exact search or with the gap stated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display

__all__ = ["BitPlan", "allocate_bits"]

MOST_STATES = 200_000  # that the exact search keeps at once
HALVINGS = 100  # of the interval that holds the price of a bit


@dataclass(frozen=True, repr=False, eq=False)
class BitPlan(display.Shown):
    """How many bits each layer gets.

    ``loss`` is the sum of the layers' sensitivities, ``bits_per_weight`` the mean over all weights. ``gap``
    says by how much the loss could be lower at most: 0 where the plan is the best there is.
    """

    bits: tuple[int, ...]
    loss: float
    bits_per_weight: float
    gap: float

    def __str__(self) -> str:
        best = "the best there is" if self.gap == 0 else f"within {self.gap:.3g} of the best"
        return (
            f"bits {', '.join(map(str, self.bits))}: "
            f"{display.significant(self.bits_per_weight)} bits per weight, "
            f"loss {display.significant(self.loss)} ({best})"
        )


def allocate_bits(sensitivity: Any, sizes: Any, options: Any, budget: float) -> BitPlan:
    """Return the bits per layer with the least total sensitivity whose mean per weight keeps to a budget.

    Parameters
    ----------
    sensitivity : array_like
        [layers, options]: what is lost where one layer alone gets so many bits. That losses add up is
        assumed.
    sizes : sequence of int
        Weights per layer.
    options : sequence of int
        Bits to choose from, ascending.
    budget : float
        Bits per weight, at least the smallest option.

    Returns
    -------
    BitPlan
        The best plan; among equal ones one with fewer bits. Where an exact search would take too much memory,
        one from a search over the price of a bit, with the gap to the best.

    Raises
    ------
    TypeError, ValueError
        For shapes that do not fit, and a budget that even the fewest bits exceed.
    """
    losses = arguments.array("sensitivity", sensitivity, np.float64, ndim=2)
    counts = np.array(arguments.integers("sizes", sizes, 1), np.int64)
    bits = np.array(arguments.ascending("options", options, 1, 64, whole=True), np.int64)
    if losses.shape != (len(counts), len(bits)):
        raise ValueError(
            f"sensitivity must be [layers, options], {(len(counts), len(bits))} for these sizes and options; "
            f"got {losses.shape}"
        )
    budget = min(arguments.real("budget", budget), float(bits[-1]))
    if budget < bits[0]:
        raise ValueError(f"budget must be at least the smallest of the options, {bits[0]}; got {budget:g}")
    costs = counts[:, None] * bits
    most = int(np.floor(budget * counts.sum() * (1 + 1e-12)))
    picks, gap = _exactly(losses, costs, most), 0.0
    if picks is None:
        picks, gap = _by_price(losses, costs, most)
    layers = np.arange(len(counts))
    spent = int(costs[layers, picks].sum())
    loss = float(losses[layers, picks].sum())
    return BitPlan(tuple(bits[picks].tolist()), loss, spent / int(counts.sum()), gap)


def _exactly(losses: NDArray[np.float64], costs: NDArray[np.int64], most: int) -> NDArray[np.int64] | None:
    """Return the best option of each layer; None where more states come up than are kept.

    A state is a total cost with the least loss that reaches it; one that costs more and loses as much is
    dropped.
    """
    later = np.append(np.cumsum(costs[::-1, 0])[::-1][1:], 0)  # that the layers to come take at least
    cost, loss = np.zeros(1, np.int64), np.zeros(1)
    trail: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for own_loss, own_cost, rest in zip(losses, costs, later, strict=True):
        every_cost = (cost[:, None] + own_cost).ravel()
        every_loss = (loss[:, None] + own_loss).ravel()
        order = np.lexsort((every_loss, every_cost))
        order = order[every_cost[order] <= most - rest]
        least = np.minimum.accumulate(every_loss[order])
        kept = order[np.append(True, least[1:] < least[:-1])]
        if len(kept) > MOST_STATES:
            return None
        cost, loss = every_cost[kept], every_loss[kept]
        trail.append((kept // len(own_cost), kept % len(own_cost)))
    state, picks = len(loss) - 1, []
    for before, pick in reversed(trail):
        picks.append(int(pick[state]))
        state = int(before[state])
    return np.array(picks[::-1], np.int64)


def _by_price(
    losses: NDArray[np.float64], costs: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], float]:
    """Return the options that are best at some price of a bit, filled up greedily, and the gap at most."""
    layers = np.arange(len(losses))

    def at(price: float) -> NDArray[np.int64]:
        return np.argmin(losses + price * costs, axis=1)  # the fewest bits on a tie

    low, high = 0.0, 1.0
    while costs[layers, at(high)].sum() > most:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if costs[layers, at(middle)].sum() > most else (low, middle)
    picks = at(high)
    # At any price, the least of loss + price · cost bounds the loss of every plan that keeps to the budget.
    bound = max(float((losses + p * costs).min(axis=1).sum()) - p * most for p in (0.0, low, high))
    room = most - int(costs[layers, picks].sum())
    while True:
        gain = losses[layers, picks][:, None] - losses
        extra = costs - costs[layers, picks][:, None]
        useful = (gain > 0) & (extra <= room)
        if not useful.any():
            break
        layer, pick = np.unravel_index(np.argmax(np.where(useful, gain, -np.inf)), gain.shape)
        room -= int(extra[layer, pick])
        picks[layer] = pick
    return picks, max(0.0, float(losses[layers, picks].sum()) - bound)
