"""Who is in the next pass of the model, and with which tokens: static and continuous batching.

Served or simulated, the same scheduler plans.
"""

import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coursekit._core import arguments
from coursekit.kv_cache.blocks import BlockManager
from coursekit.kv_cache.pool import MOST_SLOTS
from coursekit.kv_cache.prefixes import PrefixTree
from coursekit.kv_cache.requests import Request

__all__ = ["BATCHINGS", "Batching", "Engine", "Plan", "Running", "Scheduler"]

Batching = Literal["static", "continuous"]
BATCHINGS: tuple[Batching, ...] = ("static", "continuous")


@dataclass(frozen=True)
class Engine:
    """What an engine has: its memory, and how it fills a pass.

    Parameters
    ----------
    blocks : int
        Of its memory.
    page_size : int, optional
        Tokens per block. With as many as the longest request has, a block is one contiguous piece.
    most : int, optional
        Requests at once.
    budget : int, optional
        Tokens per pass: those that answer take one each, what is left reads prompts, in pieces.
    batching : {"continuous", "static"}, optional
        Whether a request may begin whenever there is room, or only when all those before it are done.
    share : bool, optional
        Whether prompts that begin alike share their blocks.

    Raises
    ------
    TypeError, ValueError
        Unless they are such numbers, or for a budget below ``most``.
    """

    blocks: int
    page_size: int = 16
    most: int = 16
    budget: int = 64
    batching: Batching = "continuous"
    share: bool = False

    def __post_init__(self) -> None:
        for name in ("blocks", "page_size", "most", "budget"):
            object.__setattr__(self, name, arguments.size(name, getattr(self, name)))
        page_size = arguments.size("page_size", self.page_size, most=MOST_SLOTS)
        arguments.size("blocks", self.blocks, most=MOST_SLOTS // page_size)
        arguments.choice("batching", self.batching, BATCHINGS)
        arguments.flag("share", self.share)
        if self.budget < self.most:
            raise ValueError(f"budget must be at least most, {self.most}; got {self.budget}")


@dataclass(eq=False)
class Running:
    """A request on its way: its text so far, and when it had its first token and its last.

    Parameters
    ----------
    number : int
        Among all requests; the block manager knows it by this.
    asked : Request
        What came.
    text : list of int
        The prompt, and the new tokens so far.
    first, finished : float, optional
        Seconds.
    """

    number: int
    asked: Request
    text: list[int]
    first: float = math.nan
    finished: float = math.nan

    @property
    def done(self) -> bool:
        """Whether it has all its tokens."""
        return len(self.text) == len(self.asked.prompt) + self.asked.new


Plan = dict[Running, list[int]]


class Scheduler:
    """Plans passes: who answers goes first, then prompts in pieces; others begin as far as memory goes.

    Parameters
    ----------
    requests : sequence of Request
        By arrival.
    engine : Engine
        What there is.
    manager : BlockManager
        Of the engine's blocks. Who makes the pass appends the planned tokens to it.

    Attributes
    ----------
    all : list of Running
        The requests, as they came.
    waiting, running : deque and list of Running
        Those that have no blocks yet, and those that have.
    preempted : int
        How often one was sent back to wait.

    Raises
    ------
    TypeError, ValueError
        For requests that do not ascend, or one that the memory cannot hold.
    """

    def __init__(self, requests: Sequence[Request], engine: Engine, manager: BlockManager) -> None:
        asked = arguments.instances("requests", requests, Request)
        self.engine, self.manager = engine, manager
        slots = engine.blocks * engine.page_size
        if any(later.arrival < each.arrival for each, later in zip(asked, asked[1:], strict=False)):
            raise ValueError("requests must be in the order of their arrivals")
        if any(each.length > slots for each in asked):
            longest = max(each.length for each in asked)
            raise ValueError(f"requests must fit a memory of {slots} tokens one by one; got {longest} tokens")
        self.all = [Running(number, each, [*each.prompt]) for number, each in enumerate(asked)]
        self.waiting, self.running = deque(self.all), list[Running]()
        self.tree = PrefixTree(manager) if engine.share else None
        self.preempted = 0

    def unread(self, each: Running) -> int:
        """Return how many tokens of its text are not in the cache yet."""
        return len(each.text) - self.manager.lengths.get(each.number, 0)

    def plan(self, now: float) -> Plan:
        """Return who reads which tokens in the next pass; empty if nobody has come yet."""
        self._admit(now)
        plan: Plan = {}
        left = self.engine.budget
        for each in sorted(self.running, key=lambda each: self.unread(each) > 1):
            if left and each in self.running:  # unless it had to make room for one before it
                self._begin(each)
                count = min(self.unread(each), left)
                if self._make_room(plan, each, count):
                    read = self.manager.lengths[each.number]
                    plan[each] = each.text[read : read + count]
                    left -= count
        return plan

    def finish(self, plan: Plan, chosen: Sequence[int], now: float) -> None:
        """Give those that have read their whole text the token that comes next."""
        for each, token in zip(plan, chosen, strict=True):
            if self.tree and math.isnan(each.first):  # as soon as a page is read, others can have it
                read = each.text[: self.manager.lengths[each.number]]
                self.tree.insert(read, self.manager.tables[each.number])
            if self.unread(each):
                continue
            if math.isnan(each.first):
                each.first = now
            each.text.append(token)
            if each.done:
                each.finished = now
                self.running.remove(each)
                self.manager.release(each.number)

    def _admit(self, now: float) -> None:
        """Let requests begin that have come, as long as all prompts fit into what is free."""
        if self.engine.batching == "static" and self.running:
            return
        promised = sum(self.manager.needed(each.number, self.unread(each)) for each in self.running)
        while self.waiting and len(self.running) < self.engine.most:
            each = self.waiting[0]
            promised += self.manager.needed(each.number, len(each.text))
            if each.asked.arrival > now or promised > self._free():
                break
            self.running.append(self.waiting.popleft())

    def _free(self) -> int:
        """Return the blocks that are free, or held by the tree alone."""
        idle = self.tree.idle if self.tree else 0
        return len(self.manager.free) + idle

    def _begin(self, each: Running) -> None:
        """Begin a request with the blocks that are there already; its last token is read for its logits."""
        if each.number not in self.manager.tables:
            self.manager.start(each.number, self.tree.match(each.text[:-1]) if self.tree else ())

    def _make_room(self, plan: Plan, each: Running, count: int) -> bool:
        """See to it that there are blocks for so many tokens; the youngest request gives its own back."""
        while each in self.running:
            planned = {one.number: len(tokens) for one, tokens in plan.items()} | {each.number: count}
            missing = sum(itertools.starmap(self.manager.needed, planned.items())) - len(self.manager.free)
            if missing <= 0:
                return True
            if not (self.tree and self.tree.evict(missing)):
                self._preempt(plan)
        return False

    def _preempt(self, plan: Plan) -> None:
        """Send the youngest back to wait: its text will be read again."""
        youngest = self.running.pop()
        plan.pop(youngest, None)
        if youngest.number in self.manager.tables:
            self.manager.release(youngest.number)
        self.waiting.appendleft(youngest)
        self.preempted += 1
