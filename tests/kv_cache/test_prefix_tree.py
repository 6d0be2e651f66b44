"""The tree of prefixes against a plain list of all texts."""

import random

import pytest

from coursekit.kv_cache import BlockManager, PrefixTree, longest_shared_prefix


def by_trying(first, second):
    return max(n for n in range(min(len(first), len(second)) + 1) if [*first[:n]] == [*second[:n]])


def kept(manager, tree, text):
    """Put a text into blocks of its own, keep it in the tree, and let its request go."""
    request = object()
    manager.start(request, tree.match(text))
    manager.append(request, len(text) - manager.lengths[request])
    new = tree.insert(text, manager.tables[request])
    manager.release(request)
    return new


def test_the_longest_shared_prefix():
    assert longest_shared_prefix([1, 2, 3], [1, 2, 4, 5]) == 2
    assert longest_shared_prefix([], [1]) == 0
    assert longest_shared_prefix([1, 2], [1, 2]) == 2
    draw = random.Random(0)
    for _ in range(300):
        pair = [[draw.randint(0, 1) for _ in range(draw.randint(0, 6))] for _ in range(2)]
        assert longest_shared_prefix(*pair) == by_trying(*pair)


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_it_finds_what_looking_at_every_text_finds(page_size):
    draw = random.Random(page_size)
    for _ in range(60):
        manager = BlockManager(400, page_size)
        tree, texts = PrefixTree(manager), []
        for _ in range(20):
            text = [draw.randint(0, 1) for _ in range(draw.randint(0, 12))]
            best = max((by_trying(text, other) for other in texts), default=0) // page_size
            # Of every text only whole blocks are kept, so the best one may end earlier.
            assert len(tree.match(text)) == best
            pages = {tuple(t[: n * page_size]) for t in texts for n in range(1, len(t) // page_size + 1)}
            kept(manager, tree, text)
            texts.append(text)
            after = {tuple(t[: n * page_size]) for t in texts for n in range(1, len(t) // page_size + 1)}
            assert tree.blocks == len(after) == len(after - pages) + len(pages)
            assert tree.blocks == sum(owners == 1 for owners in manager.owners)
            assert len(manager.free) == 400 - tree.blocks
        assert tree.evict(10**6) == len(texts and after)
        assert len(manager.free) == 400


def test_blocks_of_a_match_hold_the_same_tokens():
    manager, contents = BlockManager(50, 2), {}
    tree = PrefixTree(manager)
    for text in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 9, 9], [1, 2, 7, 7], [5, 5]):
        request = tuple(text)
        manager.start(request, tree.match(text))
        manager.append(request, len(text) - manager.lengths[request])
        for n, block in enumerate(manager.tables[request]):
            assert contents.setdefault(block, text[2 * n : 2 * n + 2]) == text[2 * n : 2 * n + 2]
        tree.insert(text, manager.tables[request])
    assert [(depth, text) for depth, text, _ in tree.edges()] == [
        (0, (1, 2)),
        (1, (3, 4)),
        (2, (5, 6)),
        (2, (9, 9)),
        (1, (7, 7)),
        (0, (5, 5)),
    ]
    assert "2 tokens in blocks" in str(tree)


def test_it_forgets_what_was_used_least_recently_and_nothing_that_is_in_use():
    manager = BlockManager(6, 1)
    tree = PrefixTree(manager)
    for text in ([1, 2, 3], [1, 2, 4], [5]):
        kept(manager, tree, text)
    assert len(manager.free) == 1
    tree.match([1, 2, 3])
    manager.start("runs", tree.match([5]))
    assert tree.idle == 4
    assert tree.evict(1) == 1
    assert [len(tree.match(text)) for text in ([1, 2, 3], [1, 2, 4], [5])] == [3, 2, 1]
    assert tree.evict(100) == 3
    assert tree.blocks == 1
    assert str(PrefixTree(manager)) == "an empty tree"


def test_what_are_no_tokens_is_refused():
    tree = PrefixTree(BlockManager(4))
    with pytest.raises(TypeError, match="tokens"):
        tree.match(["a"])
    with pytest.raises(ValueError, match="first"):
        longest_shared_prefix([-1], [2])
    with pytest.raises(TypeError, match="manager"):
        PrefixTree(None)


def test_blocks_that_nobody_holds_are_refused():
    manager = BlockManager(4, 2)
    manager.append("a", 4)
    tree = PrefixTree(manager)
    for blocks, message in (
        ([0, 3], "got 3, which is free"),
        ([0, 4], "from 0 to 3"),
        ([-1, 0], "from 0 to 3"),
    ):
        with pytest.raises(ValueError, match=message):
            tree.insert([1, 2, 3, 4], blocks)
    assert tree.insert([1, 2, 3, 4], []) == tree.blocks == 0
    assert manager.owners == [1, 1, 0, 0]
    with pytest.raises(TypeError, match="blocks must be a whole number; got '1'"):
        tree.evict("1")
