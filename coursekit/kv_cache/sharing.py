"""What a tree of prefixes saves when texts come one after the other, and none is forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display
from coursekit.kv_cache.allocating import pages
from coursekit.kv_cache.blocks import BlockManager
from coursekit.kv_cache.prefixes import PrefixTree, longest_shared_prefix

__all__ = ["Sharing", "sharing"]

MOST_TOKENS = 2**20  # of all texts


@dataclass(frozen=True, repr=False, eq=False)
class Sharing(display.Text):
    """Texts in the order in which they came, and what each found there.

    Parameters
    ----------
    page_size : int
        Tokens per block.
    lengths : ndarray
        int [texts]: tokens of each.
    reused : ndarray
        int [texts]: how many of them lay in whole blocks that were there already.
    parents : ndarray
        int [texts]: the earlier text that shares most with each, the first such; -1 where nothing is reused.
    together, apart : ndarray
        int [texts]: blocks that hold all texts so far, shared and each on its own.
    """

    page_size: int
    lengths: NDArray[np.int64]
    reused: NDArray[np.int64]
    parents: NDArray[np.int64]
    together: NDArray[np.int64]
    apart: NDArray[np.int64]

    def __str__(self) -> str:
        return (
            f"{self.reused.sum():,} of {self.lengths.sum():,} tokens were there already, in blocks of "
            f"{self.page_size}: {self.together[-1]:,} blocks instead of {self.apart[-1]:,}"
        )


def sharing(texts: Sequence[Sequence[int]], page_size: int) -> Sharing:
    """Let texts come one by one to a memory that forgets nothing, with a :class:`PrefixTree` over it.

    Parameters
    ----------
    texts : sequence of sequence of int
        The tokens of each.
    page_size : int
        Tokens per block.

    Returns
    -------
    Sharing
        What each text found.

    Raises
    ------
    TypeError, ValueError
        Unless there is a text, each has a token, and all of them together at most 2^20.
    """
    size = arguments.size("page_size", page_size)
    if not isinstance(texts, list | tuple) or not texts:
        raise TypeError(f"texts must be a list of texts, each a list of tokens; got {arguments.shown(texts)}")
    asked = [arguments.integers(f"texts[{n}]", text, 0) for n, text in enumerate(texts)]
    lengths = np.array([len(text) for text in asked])
    if lengths.sum() > MOST_TOKENS:
        raise ValueError(f"texts must hold at most {MOST_TOKENS:,} tokens together; got {lengths.sum():,}")
    alone = np.array([pages(int(length), size) for length in lengths])
    manager = BlockManager(int(alone.sum()), size)
    tree = PrefixTree(manager)
    reused, together = [], []
    for number, text in enumerate(asked):
        known = tree.match(text[:-1])  # the last token is read in any case: its logits are wanted
        manager.start(str(number), known)
        manager.append(str(number), len(text) - size * len(known))
        tree.insert(text, manager.tables[str(number)])
        reused.append(size * len(known))
        together.append(int((np.asarray(manager.owners) > 0).sum()))
    parents = [_parent(asked, number, taken) for number, taken in enumerate(reused)]
    return Sharing(size, lengths, np.array(reused), np.array(parents), np.array(together), alone.cumsum())


def _parent(texts: Sequence[Sequence[int]], number: int, reused: int) -> int:
    """Return the first earlier text that begins with the same ``reused`` tokens, or -1."""
    shared = (longest_shared_prefix(texts[number], texts[each]) >= reused for each in range(number))
    return next((each for each, is_parent in enumerate(shared) if is_parent and reused), -1)
