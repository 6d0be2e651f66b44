"""A tree of texts whose keys and values are kept: requests that begin alike share blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from coursekit._core import arguments, display
from coursekit.kv_cache.blocks import BlockManager

__all__ = ["PrefixTree", "longest_shared_prefix"]


def longest_shared_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two texts have in common from their beginning.

    Parameters
    ----------
    first, second : sequence of int
        The tokens.

    Returns
    -------
    int
        From 0 to the length of the shorter one.

    Raises
    ------
    TypeError, ValueError
        Unless they are whole numbers.
    """
    pair = [_tokens(name, each) for name, each in (("first", first), ("second", second))]
    return _shared(*pair)


@dataclass(eq=False)
class _Node:
    """An edge's tokens, whole pages of them, with their blocks; what follows, by its first page."""

    tokens: tuple[int, ...] = ()
    blocks: list[int] = field(default_factory=list)
    after: "dict[tuple[int, ...], _Node]" = field(default_factory=dict)
    used: int = 0


class PrefixTree(display.Shown):
    """A radix tree over texts: a path from the root is a text, each edge holds the blocks of its tokens.

    It shares whole blocks only, because a block that is not full will still be written.

    Parameters
    ----------
    manager : BlockManager
        Whose blocks they are. The tree counts as one owner of each block in it.
    """

    def __init__(self, manager: BlockManager) -> None:
        self.manager = arguments.instance("manager", manager, BlockManager)
        self._root, self._time = _Node(), 0

    def match(self, tokens: Sequence[int]) -> list[int]:
        """Return the blocks of the longest beginning of a text that the tree has, in whole blocks.

        Parameters
        ----------
        tokens : sequence of int
            The text. Leave out its last token if it will be read for its logits.

        Returns
        -------
        list of int
            Blocks, to begin a request with.
        """
        text, found, node = _tokens("tokens", tokens), list[int](), self._root
        self._time += 1
        while (child := node.after.get(text[: self.manager.page_size])) is not None:
            whole = self._whole(_shared(child.tokens, text))
            found += child.blocks[: whole // self.manager.page_size]
            child.used = self._time
            if whole < len(child.tokens):
                break
            node, text = child, text[whole:]
        return found

    def insert(self, tokens: Sequence[int], blocks: Sequence[int]) -> int:
        """Keep a text: where the tree has its beginning, only the rest is added.

        Parameters
        ----------
        tokens : sequence of int
            The text.
        blocks : sequence of int
            Where it lies, as its request's table says. What does not fill a block is left out.

        Returns
        -------
        int
            How many blocks are new in the tree.

        Raises
        ------
        TypeError, ValueError
            For other tokens, or blocks that nobody holds.
        """
        size = self.manager.page_size
        text = _tokens("tokens", tokens)
        rest, node = self.manager.held("blocks", blocks), self._root
        text = text[: min(self._whole(len(text)), size * len(rest))]
        rest = rest[: len(text) // size]
        self._time += 1
        while text and (child := node.after.get(text[:size])) is not None:
            whole = self._whole(_shared(child.tokens, text))
            if whole < len(child.tokens):
                child = self._split(node, child, whole)
            child.used = self._time
            node, text, rest = child, text[whole:], rest[whole // size :]
        if text:
            self.manager.hold(rest)
            node.after[text[:size]] = _Node(text, rest, used=self._time)
        return len(rest)

    def evict(self, blocks: int) -> int:
        """Forget the texts that were used least recently, ends first, until so many blocks are free again.

        Parameters
        ----------
        blocks : int
            How many are wanted.

        Returns
        -------
        int
            How many were freed: fewer, if running requests hold the rest.

        Raises
        ------
        TypeError, ValueError
            Unless it is such a number.
        """
        blocks, freed = arguments.integer("blocks", blocks, 0), 0
        while freed < blocks:
            leaves = [
                (parent, leaf) for parent, leaf in self._edges() if not leaf.after and self._is_idle(leaf)
            ]
            if not leaves:
                break
            parent, leaf = min(leaves, key=lambda pair: pair[1].used)
            self.manager.drop(leaf.blocks)
            freed += len(leaf.blocks)
            del parent.after[leaf.tokens[: self.manager.page_size]]
        return freed

    @property
    def blocks(self) -> int:
        """How many blocks it holds."""
        return sum(len(edge.blocks) for _, edge in self._edges())

    @property
    def idle(self) -> int:
        """How many of them nobody else holds: those that :meth:`evict` could free."""
        return sum(self._is_idle(edge) * len(edge.blocks) for _, edge in self._edges())

    def edges(self) -> Iterator[tuple[int, tuple[int, ...], list[int]]]:
        """Yield (depth, tokens, blocks) of every edge, each before what follows it.

        Yields
        ------
        tuple of (int, tuple of int, list of int)
            Depth 0 begins a text.
        """
        waiting = [(0, edge) for edge in reversed(self._root.after.values())]
        while waiting:
            depth, edge = waiting.pop()
            yield depth, edge.tokens, [*edge.blocks]
            waiting += [(depth + 1, each) for each in reversed(edge.after.values())]

    def __str__(self) -> str:
        rows = (("    " * depth, len(text), blocks) for depth, text, blocks in self.edges())
        said = (f"{indent}{tokens} tokens in blocks {blocks}" for indent, tokens, blocks in rows)
        return "\n".join(said) or "an empty tree"

    def _is_idle(self, edge: _Node) -> bool:
        return all(self.manager.owners[block] == 1 for block in edge.blocks)

    def _whole(self, tokens: int) -> int:
        return tokens - tokens % self.manager.page_size

    def _edges(self) -> Iterator[tuple[_Node, _Node]]:
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            yield from ((node, each) for each in node.after.values())
            waiting += node.after.values()

    def _split(self, parent: _Node, child: _Node, tokens: int) -> _Node:
        """Cut an edge in two after so many tokens; return its first part."""
        size = self.manager.page_size
        first = _Node(child.tokens[:tokens], child.blocks[: tokens // size], used=child.used)
        child.tokens, child.blocks = child.tokens[tokens:], child.blocks[tokens // size :]
        first.after[child.tokens[:size]] = child
        parent.after[first.tokens[:size]] = first
        return first


def _tokens(name: str, tokens: Sequence[int]) -> tuple[int, ...]:
    if isinstance(tokens, tuple | list) and not tokens:
        return ()  # an empty text has nothing in common with any other
    return arguments.integers(name, tokens, 0)


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (one, other) in pairs if one != other), min(len(first), len(second)))
