"""A memory while requests come, grow by a token per step, and go: who has which slot, and which are empty."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display
from coursekit.kv_cache.allocating import POLICIES, Policy, allocate
from coursekit.kv_cache.blocks import BlockManager, OutOfBlocks
from coursekit.kv_cache.requests import Request

__all__ = ["Occupancy", "occupancy"]

FREE = -1
MOST_STEPS, MOST_SLOTS, MOST_CELLS = 10_000, 2**16, 2**24


@dataclass(frozen=True, repr=False, eq=False)
class Occupancy(display.Text):
    """A memory, step by step.

    Parameters
    ----------
    policy : str
        How it was handed out.
    owners : ndarray
        int [steps, slots]: the number of the request that each slot is reserved for, -1 where it is free.
    filled : ndarray
        bool [steps, slots]: whether it holds a token.
    running, waiting, done : ndarray
        int [steps]: how many requests have memory, wait for some, and are finished.
    """

    policy: Policy
    owners: NDArray[np.int64]
    filled: NDArray[np.bool_]
    running: NDArray[np.int64]
    waiting: NDArray[np.int64]
    done: NDArray[np.int64]

    @property
    def reserved(self) -> NDArray[np.int64]:
        """Slots that are not free, [steps]."""
        return (self.owners != FREE).sum(axis=1)

    @property
    def waste(self) -> NDArray[np.float64]:
        """The share of the reserved slots that hold no token, [steps]; 0 where nothing is reserved."""
        empty = self.reserved - self.filled.sum(axis=1)
        return empty / np.maximum(self.reserved, 1)

    def __str__(self) -> str:
        return (
            f"{self.policy}: {self.running.mean():.1f} requests at once, {100 * self.waste.mean():.0f} % "
            f"of what is reserved empty, {self.done[-1]} done after {len(self.done)} steps"
        )


def occupancy(
    requests: Sequence[Request],
    policy: Policy,
    *,
    slots: int = 512,
    page_size: int = 16,
    most: int = 128,
    steps: int = 100,
) -> Occupancy:
    """Return what a memory looks like while requests come and go.

    Who comes first begins first. Pieces go to the first gap that is long enough and stay where they are;
    pages are taken when they are needed. Where none is left, the youngest request gives its own back.

    Parameters
    ----------
    requests : sequence of Request
        Arrivals count in steps. In each step, every request that has memory writes one token.
    policy : str
        One of ``POLICIES``.
    slots : int, optional
        Of the memory.
    page_size : int, optional
        Slots per page, of which the memory has whole ones.
    most : int, optional
        The longest request that is allowed: what a contiguous piece has room for.
    steps : int, optional
        How long to watch.

    Returns
    -------
    Occupancy
        One map of the memory per step.

    Raises
    ------
    TypeError, ValueError
        For a request that is longer than ``most``, a memory that the longest does not fit into, or more than
        2^24 slots times steps.
    """
    asked = arguments.instances("requests", requests, Request)
    chosen: Any = arguments.choice("policy", policy, POLICIES)
    steps = arguments.integer("steps", steps, 1, MOST_STEPS)
    slots, most = arguments.integer("slots", slots, 1, MOST_SLOTS), arguments.size("most", most)
    if slots * steps > MOST_CELLS:
        raise ValueError(f"slots times steps must be at most {MOST_CELLS:,}; got {slots:,} and {steps:,}")
    page_size = arguments.integer("page_size", page_size, 1, slots)
    if max(each.length for each in asked) > most or most > slots // page_size * page_size:
        longest = max(each.length for each in asked)
        raise ValueError(
            f"slots must hold most, and most the longest request; got {slots}, {most}, {longest}"
        )
    if chosen == "paged":
        return _Watch(asked, _Pages(slots, page_size)).run(chosen, steps, slots)
    sizes = allocate([each.length for each in asked], chosen, most=most).reserved.tolist()
    return _Watch(asked, _Pieces(min(size, slots) for size in sizes)).run(chosen, steps, slots)


class _Pieces:
    """Each request has one piece, where it was put."""

    def __init__(self, sizes: Any) -> None:
        self.sizes = list(sizes)
        self.starts: dict[int, int] = {}

    def put(self, number: int, length: int, slots: int) -> bool:
        """Reserve a piece in the first gap that is long enough, if there is one."""
        taken = sorted((start, start + self.sizes[each]) for each, start in self.starts.items())
        begins = [0, *(end for _, end in taken)]
        for begin, end in zip(begins, [*(start for start, _ in taken), slots], strict=True):
            if end - begin >= self.sizes[number]:
                self.starts[number] = begin
                return True
        return False

    def grow(self, number: int) -> bool:
        return True

    def remove(self, number: int) -> None:
        del self.starts[number]

    def where(self, number: int) -> NDArray[np.int64]:
        return self.starts[number] + np.arange(self.sizes[number])


class _Pages:
    """Each request has as many pages as it needs, wherever they lie."""

    def __init__(self, slots: int, page_size: int) -> None:
        self.manager = BlockManager(slots // page_size, page_size)

    def put(self, number: int, length: int, slots: int) -> bool:
        """Take the pages that the prompt needs, if they are there and the token after it has room, too."""
        most = len(self.manager.owners) * self.manager.page_size
        if self.manager.needed(number, min(length + 1, most)) > len(self.manager.free):
            return False
        self.manager.append(number, length)
        return True

    def grow(self, number: int) -> bool:
        try:
            self.manager.append(number)
        except OutOfBlocks:
            return False
        return True

    def remove(self, number: int) -> None:
        self.manager.release(number)

    def where(self, number: int) -> NDArray[np.int64]:
        size, table = self.manager.page_size, np.array(self.manager.tables[number], np.int64)
        return (table[:, None] * size + np.arange(size)).ravel()


@dataclass
class _Watch:
    """Requests in a memory: ``lengths`` are the tokens written so far, of those that have memory."""

    asked: Sequence[Request]
    memory: _Pieces | _Pages
    lengths: dict[int, int] = field(default_factory=dict)
    done: int = 0

    def run(self, policy: Policy, steps: int, slots: int) -> Occupancy:
        """Watch, step by step."""
        waiting = deque(range(len(self.asked)))
        owners, filled = np.full((steps, slots), FREE), np.zeros((steps, slots), bool)
        counts = np.zeros((3, steps), np.int64)
        written = {number: len(each.prompt) for number, each in enumerate(self.asked)}
        for step in range(steps):
            self._grow(waiting, written)
            while waiting and self.asked[waiting[0]].arrival <= step:
                number = waiting[0]
                if not self.memory.put(number, written[number], slots):
                    break
                self.lengths[waiting.popleft()] = written[number]
            for number, length in self.lengths.items():
                where = self.memory.where(number)
                owners[step, where] = number
                filled[step, where[:length]] = True
            here = sum(self.asked[number].arrival <= step for number in waiting)
            counts[:, step] = len(self.lengths), here, self.done
        return Occupancy(policy, owners, filled, *counts)

    def _grow(self, waiting: deque[int], written: dict[int, int]) -> None:
        """Let all that have memory write a token, oldest first; those that are finished go."""
        for number in [*self.lengths]:
            if self.lengths.get(number) == self.asked[number].length:
                self._remove(number)
                self.done += 1
        for number in [*self.lengths]:
            while number in self.lengths and not self.memory.grow(number):
                youngest = [*self.lengths][-1]
                written[youngest] = self._remove(youngest)
                waiting.appendleft(youngest)
            if number in self.lengths:
                self.lengths[number] += 1

    def _remove(self, number: int) -> int:
        self.memory.remove(number)
        return self.lengths.pop(number)
