"""The panel of shared beginnings: what it says is what a tree over a block manager does."""

import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit import kv_cache, widgets
from coursekit.widgets.prefix_tree import PAGE_SIZES, _sample


@pytest.fixture
def panel():
    return widgets.prefix_tree()


@pytest.mark.parametrize("name", _sample())
@pytest.mark.parametrize("page_size", [1, 16])
def test_the_numbers_are_those_of_a_tree(panel, name, page_size):
    for control, value in (("texts", name), ("page_size", page_size), ("count", 7)):
        move(panel, control, value)
    manager = kv_cache.BlockManager(4096, page_size)
    tree, reused, tokens = kv_cache.PrefixTree(manager), 0, 0
    for text in _sample()[name][:7]:
        known = tree.match(text[:-1])
        manager.start(text, known)
        manager.append(text, len(text) - page_size * len(known))
        tree.insert(text, manager.tables[text])
        reused, tokens = reused + page_size * len(known), tokens + len(text)
    shown = panel.values
    assert (shown["reused"], shown["tokens"]) == (reused, tokens)
    assert shown["blocks"] == 4096 - len(manager.free)
    assert shown["apart"] == sum(-(-len(text) // page_size) for text in _sample()[name][:7])
    assert f"{reused:,} of {tokens:,} tokens" in panel.view.title.get_text()


def test_the_resting_picture_makes_the_point(panel):
    assert panel.values["blocks"] < panel.values["apart"] / 2
    assert panel.values["reused"] > panel.values["tokens"] / 2
    move(panel, "texts", "nothing in common")
    assert panel.values["reused"] == 0
    assert panel.values["blocks"] == panel.values["apart"]


def test_larger_pages_share_less(panel):
    shared = [panel.values["reused"]]
    for size in (32, 64):
        shared.append(move(panel, "page_size", size)["reused"])
    assert shared == sorted(shared, reverse=True)
    assert shared[0] > shared[-1]


def test_a_line_leads_to_the_first_request_that_shares_as_much(panel):
    move(panel, "texts", "four chats")
    texts, found = _sample()["four chats"], panel.view.found("four chats", 16)
    for number, (parent, reused) in enumerate(zip(found.parents, found.reused, strict=True)):
        sharers = [
            n for n in range(number) if kv_cache.longest_shared_prefix(texts[n], texts[number]) >= reused
        ]
        assert parent == (sharers[0] if reused else -1)
        x, y = panel.view.lines[number].get_data()
        assert list(x) == ([reused, reused] if reused else [])
        assert list(y) == ([parent + 0.5, number + 0.5] if reused else [])


def test_every_control_changes_the_picture(panel):
    for name in panel.controls:
        sweep(panel, name)


def test_nothing_collides(panel):
    for name in _sample():
        for size in (PAGE_SIZES[0], PAGE_SIZES[-1]):
            move(panel, "texts", name)
            move(panel, "page_size", size)
            assert texts_collide(panel.view) == []


def test_it_keeps_the_rules(panel, monkeypatch):
    assert_keeps_the_rules(panel, [("texts", "four chats"), ("count", 5), ("page_size", 64)], monkeypatch)


def test_texts_of_ones_own():
    panel = widgets.prefix_tree({"two": [[1, 2, 3, 4], [1, 2, 3, 5, 6]]})
    assert move(panel, "page_size", 1)["reused"] == 3
    for odd, error in (({}, TypeError), ({"one": [[1]]}, ValueError), ({"two": [[1], ["a"]]}, TypeError)):
        with pytest.raises(error, match="texts"):
            widgets.prefix_tree(odd)
