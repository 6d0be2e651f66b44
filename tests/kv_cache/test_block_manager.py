"""The block manager against a memory that is really written and read back, over 10,000 sequences of calls."""

import copy
import inspect
import random
from collections import Counter
from itertools import count

import pytest

from coursekit.kv_cache import BlockManager, OutOfBlocks, blocks

SEQUENCES, CALLS = 10_000, 14


class Memory:
    """Slots that are really written, and what every request should read back."""

    def __init__(self, draw):
        self.draw = draw
        self.manager = BlockManager(draw.randint(1, 12), draw.randint(1, 5))
        self.slots = [[None] * self.manager.page_size for _ in self.manager.owners]
        self.texts, self.held = {}, Counter()
        self.names, self.tokens = count(), count()

    def append(self):
        name = self.draw.choice([*self.texts, next(self.names)])
        tokens = self.draw.randint(0, 2 * self.manager.page_size)
        before = self.state()
        try:
            copies = self.manager.append(name, tokens)
        except OutOfBlocks:
            assert self.state() == before
            return
        for old, new in copies:
            self.slots[new] = [*self.slots[old]]
        text = self.texts.setdefault(name, [])
        for _ in range(tokens):
            block = self.manager.tables[name][len(text) // self.manager.page_size]
            self.slots[block][len(text) % self.manager.page_size] = token = next(self.tokens)
            text.append(token)

    def fork(self):
        if self.texts:
            name, copy = self.draw.choice([*self.texts]), next(self.names)
            self.manager.fork(name, copy)
            self.texts[copy] = [*self.texts[name]]

    def release(self):
        if self.texts:
            name = self.draw.choice([*self.texts])
            self.manager.release(name)
            del self.texts[name]

    def keep(self):
        """Hold the full blocks of a request, as a tree of prefixes does, and begin another with them."""
        if self.texts:
            text = self.texts[name := self.draw.choice([*self.texts])]
            whole = len(text) // self.manager.page_size
            full = self.manager.tables[name][:whole]
            self.manager.hold(full)
            self.held.update(full)
            self.manager.start(copy := next(self.names), full)
            self.texts[copy] = text[: whole * self.manager.page_size]

    def forget(self):
        self.manager.drop(block for block, times in self.held.items() for _ in range(times))
        self.held.clear()

    def state(self):
        return (
            [*self.manager.free],
            [*self.manager.owners],
            {name: [*table] for name, table in self.manager.tables.items()},
            {**self.manager.lengths},
        )

    def check(self):
        manager, size = self.manager, self.manager.page_size
        owners = Counter(block for table in manager.tables.values() for block in table) + self.held
        assert manager.owners == [owners[block] for block in range(len(manager.owners))]
        assert sorted(manager.free) == [block for block, held in enumerate(manager.owners) if not held]
        filled = {}
        for name, text in self.texts.items():
            table = manager.tables[name]
            assert manager.lengths[name] == len(text)
            assert len(table) == -(-len(text) // size)
            read = [self.slots[block][place] for block in table for place in range(size)][: len(text)]
            assert read == text
            for n, block in enumerate(table):
                filled[block] = min(size, len(text) - n * size)
        kept = sum(filled.get(block, size) for block in owners)
        assert manager.wasted == len(owners) * size - kept


def test_no_block_is_lost_and_none_is_shared_by_mistake_in_10_000_sequences():
    draw = random.Random(3)
    calls = (Memory.append,) * 5 + (Memory.fork, Memory.release, Memory.release, Memory.keep, Memory.forget)
    for _ in range(SEQUENCES):
        memory = Memory(draw)
        for call in draw.choices(calls, k=CALLS):
            call(memory)
        memory.check()
        for name in [*memory.texts]:
            memory.manager.release(name)
        memory.forget()
        assert sorted(memory.manager.free) == list(range(len(memory.manager.owners)))


def test_after_every_single_call_of_some_sequences_all_is_in_order():
    draw = random.Random(4)
    calls = (Memory.append, Memory.append, Memory.fork, Memory.release, Memory.keep, Memory.forget)
    for _ in range(300):
        memory = Memory(draw)
        for call in draw.choices(calls, k=25):
            call(memory)
            memory.check()


def test_without_sharing_the_waste_is_that_of_the_last_blocks():
    manager = BlockManager(100, 16)
    for length in (1, 15, 16, 17, 100):
        manager.append(length, length)
    assert manager.wasted == sum(-length % 16 for length in (1, 15, 16, 17, 100))
    assert len(manager.free) == 100 - sum(-(-length // 16) for length in (1, 15, 16, 17, 100))


def test_a_shared_block_is_copied_when_one_of_its_owners_writes():
    manager = BlockManager(4, 4)
    assert manager.append("a", 6) == []
    manager.fork("a", "b")
    assert manager.tables["a"] == manager.tables["b"] == [0, 1]
    assert manager.append("b") == [(1, 2)]
    assert manager.append("a") == []  # which has its last block for itself by now
    assert manager.tables == {"a": [0, 1], "b": [0, 2]}
    assert manager.owners == [2, 1, 1, 0]


def test_a_full_block_is_never_copied():
    manager = BlockManager(4, 4)
    manager.append("a", 4)
    manager.fork("a", "b")
    assert manager.append("b") == []
    assert manager.tables["b"] == [0, 1]


def test_too_few_blocks_change_nothing():
    manager = BlockManager(2, 4)
    manager.append("a", 7)
    with pytest.raises(OutOfBlocks, match="tokens need 1 blocks, 0 are free; got 2 tokens"):
        manager.append("a", 2)
    assert manager.lengths == {"a": 7}
    with pytest.raises(OutOfBlocks):
        manager.append("b")
    assert manager.tables == {"a": [0, 1]}
    assert manager.append("a") == []


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: m.release("x"), "request"),
        (lambda m: m.fork("x", "y"), "request"),
        (lambda m: m.fork("a", "a"), "copy"),
        (lambda m: m.start("a", []), "request"),
        (lambda m: m.start("b", [3]), "shared must be blocks that someone holds"),
        (lambda m: m.start("b", [4]), "shared must be"),
        (lambda m: m.hold([0, -4]), "blocks must be"),
        (lambda m: m.drop([0, 1]), "blocks must be blocks that someone holds"),
        (lambda m: m.append("a", -1), "tokens"),
        (lambda m: BlockManager(0), "blocks"),
        (lambda m: BlockManager(4, 0), "page_size"),
    ],
)
def test_what_makes_no_sense_is_refused(call, named):
    manager = BlockManager(4)
    manager.append("a")
    before = copy.deepcopy(vars(manager))
    with pytest.raises(ValueError, match=named):
        call(manager)
    assert vars(manager) == before


def test_the_file_fits_on_a_screen_or_two():
    assert len(inspect.getsource(blocks).splitlines()) < 120
