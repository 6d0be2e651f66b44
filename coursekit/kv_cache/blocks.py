"""A block manager: which blocks of the KV cache belong to whom, who shares them, and when one is copied."""

from collections.abc import Hashable, Iterable

from coursekit._core import arguments

__all__ = ["BlockManager", "OutOfBlocks"]


class OutOfBlocks(ValueError):
    """A request needs more blocks than are free. Nothing has changed."""


class BlockManager:
    """Hands out blocks of ``page_size`` slots; each slot is room for one token's keys and values.

    Parameters
    ----------
    blocks : int
        How many there are.
    page_size : int, optional
        Slots per block.

    Attributes
    ----------
    free : list of int
        Blocks that nobody holds; the last one is handed out first.
    owners : list of int
        How many hold each block.
    tables : dict
        The blocks of each request, in the order of its tokens.
    lengths : dict
        The tokens of each request.
    """

    def __init__(self, blocks: int, page_size: int = 16) -> None:
        self.page_size = arguments.size("page_size", page_size)
        self.free = list(range(arguments.size("blocks", blocks)))[::-1]
        self.owners = [0] * len(self.free)
        self.tables: dict[Hashable, list[int]] = {}
        self.lengths: dict[Hashable, int] = {}

    def needed(self, request: Hashable, tokens: int) -> int:
        """Return how many free blocks it takes to append so many tokens to a request, new or known."""
        table, length = self.tables.get(request, []), self.lengths.get(request, 0)
        more = -(-(length + arguments.integer("tokens", tokens, 0)) // self.page_size) - len(table)
        return more + (tokens > 0 and self._last_is_shared(request))

    def append(self, request: Hashable, tokens: int = 1) -> list[tuple[int, int]]:
        """Make room for more tokens; return (from, to) of the block to copy before they are written."""
        needed = self.needed(request, tokens)
        if needed > len(self.free):
            raise OutOfBlocks(f"tokens need {needed} blocks, {len(self.free)} are free; got {tokens} tokens")
        table, copies = self.tables.setdefault(request, []), []
        if tokens and self._last_is_shared(request):  # copy on write: others still read the old one
            old, table[-1] = table[-1], self._take()
            self.owners[old] -= 1
            copies = [(old, table[-1])]
        self.lengths[request] = self.lengths.get(request, 0) + tokens
        table += [self._take() for _ in range(needed - len(copies))]
        return copies

    def start(self, request: Hashable, shared: Iterable[int]) -> None:
        """Begin a request with full blocks that someone holds already."""
        if request in self.tables:
            raise ValueError(f"request must be new; got {arguments.shown(request)}")
        self.hold(table := self.held("shared", shared))
        self.tables[request], self.lengths[request] = table, len(table) * self.page_size

    def fork(self, request: Hashable, copy: Hashable) -> None:
        """Let another request go on from where this one is: all blocks are shared, none is copied yet."""
        if self._known(request) == copy or copy in self.tables:
            raise ValueError(f"copy must be a new request; got {arguments.shown(copy)}")
        self.hold(self.tables[request])
        self.tables[copy], self.lengths[copy] = [*self.tables[request]], self.lengths[request]

    def release(self, request: Hashable) -> None:
        """End a request; its blocks are free unless others hold them."""
        del self.lengths[self._known(request)]
        self.drop(self.tables.pop(request))

    def hold(self, blocks: Iterable[int]) -> None:
        """Count one more owner for each block."""
        for block in self.held("blocks", blocks):
            self.owners[block] += 1

    def drop(self, blocks: Iterable[int]) -> None:
        """Count one owner less for each block; those without any are free."""
        for block in self.held("blocks", blocks):
            self.owners[block] -= 1
            if not self.owners[block]:
                self.free.append(block)

    def held(self, name: str, blocks: Iterable[int]) -> list[int]:
        """Return blocks that someone holds, each of them; ``name`` is what an error calls them."""
        held = [arguments.integer(name, block, 0, len(self.owners) - 1) for block in blocks]
        if free := [block for block in held if not self.owners[block]]:
            raise ValueError(f"{name} must be blocks that someone holds; got {free[0]}, which is free")
        return held

    @property
    def wasted(self) -> int:
        """Slots in blocks that are held and that no token fills: at the end of each request's last block."""
        last = {table[-1]: -self.lengths[request] for request, table in self.tables.items() if table}
        return sum(length % self.page_size for length in last.values())

    def _take(self) -> int:
        block = self.free.pop()
        self.owners[block] = 1
        return block

    def _last_is_shared(self, request: Hashable) -> bool:
        partly = self.lengths.get(request, 0) % self.page_size > 0
        return partly and self.owners[self.tables[request][-1]] > 1

    def _known(self, request: Hashable) -> Hashable:
        if request not in self.tables:
            raise ValueError(f"request must be one that has begun; got {arguments.shown(request)}")
        return request
