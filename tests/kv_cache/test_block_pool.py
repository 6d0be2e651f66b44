"""One pass over many requests against the model that reads each text alone."""

import pytest
import torch

from coursekit import language
from coursekit.kv_cache import BlockPool, OutOfBlocks, PrefixTree, read
from coursekit.language import Config, Transformer

TINY = Config(vocab_size=50, width=24, layers=2, heads=6, kv_heads=2, hidden=40, context=64, qkv_bias=True)


@pytest.fixture(scope="module")
def model():
    made = Transformer(TINY).eval()
    draw = torch.Generator().manual_seed(1)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, 1.0 if weight.dim() == 1 else 0.0, 0.3, generator=draw)
    return made


def texts(count=5):
    draw = torch.Generator().manual_seed(7)
    return {n: torch.randint(0, 50, (9 + 4 * n,), generator=draw).tolist() for n in range(count)}


def alone(model, text):
    with torch.no_grad():
        return model(torch.tensor([text]))[0]


@pytest.mark.parametrize("page_size", [1, 4, 64])
def test_prompts_in_pieces_beside_answers_give_the_same_logits(model, page_size):
    asked = texts()
    pool = BlockPool(TINY, 400 // page_size, page_size)
    read_so_far, step = dict.fromkeys(asked, 0), 0
    while any(read_so_far[name] < len(text) for name, text in asked.items()):
        pieces = {}
        for name, text in asked.items():
            count = (1, 3, 5, 1, 2)[(step + name) % 5]
            if name <= step and text[read_so_far[name] :]:
                pieces[name] = text[read_so_far[name] : read_so_far[name] + count]
        logits = read(model, pool, pieces)
        for row, (name, tokens) in zip(logits, pieces.items(), strict=True):
            read_so_far[name] += len(tokens)
            assert torch.allclose(row, alone(model, asked[name])[read_so_far[name] - 1], atol=1e-4)
        step += 1
    for name, text in asked.items():
        assert pool.manager.lengths[name] == len(text)


def test_a_prefix_from_the_tree_gives_the_same_logits(model):
    pool = BlockPool(TINY, 40, 4)
    tree = PrefixTree(pool.manager)
    system = texts()[4][:14]
    for number, end in enumerate(([1, 2, 3], [1, 9], [7])):
        text = [*system, *end]
        shared = tree.match(text[:-1])
        pool.manager.start(number, shared)
        rest = text[4 * len(shared) :]
        logits = read(model, pool, {number: rest})[0]
        assert torch.allclose(logits, alone(model, text)[-1], atol=1e-4)
        assert len(shared) == (0 if number == 0 else 3)
        tree.insert(text, pool.manager.tables[number])


def test_a_fork_goes_on_differently_and_leaves_the_other_as_it_was(model):
    pool = BlockPool(TINY, 40, 4)
    text = texts()[1]
    read(model, pool, {"a": text})
    pool.manager.fork("a", "b")
    both = read(model, pool, {"b": [5], "a": [6]})
    for row, end in zip(both, (5, 6), strict=True):
        assert torch.allclose(row, alone(model, [*text, end])[-1], atol=1e-4)
    again = read(model, pool, {"a": [7], "b": [8, 9]})
    assert torch.allclose(again[0], alone(model, [*text, 6, 7])[-1], atol=1e-4)
    assert torch.allclose(again[1], alone(model, [*text, 5, 8, 9])[-1], atol=1e-4)


def test_the_small_model_reads_through_blocks_as_it_reads_alone():
    small = language.small()
    rows = [small.tokenizer.encode(language.text()[n : n + 200]) for n in (0, 700, 3000)]
    pool = BlockPool(small.model.config, 40, like=small.model.head)
    logits = read(small.model, pool, dict(enumerate(rows)))
    for row, text in zip(logits, rows, strict=True):
        assert torch.allclose(row, alone(small.model, text)[-1], atol=1e-3)


def test_too_few_blocks_and_empty_pieces_are_refused(model):
    pool = BlockPool(TINY, 2, 4)
    with pytest.raises(OutOfBlocks, match="tokens"):
        read(model, pool, {0: [1] * 9})
    for pieces in ({}, {0: []}):
        with pytest.raises(ValueError, match="pieces"):
            read(model, pool, pieces)


def test_what_a_model_cannot_read_is_refused_before_a_block_is_taken(model):
    pool = BlockPool(TINY, 100, 1)
    with pytest.raises(ValueError, match="pieces may make a text 64 tokens long; got 65"):
        read(model, pool, {"a": [1], "b": [1] * 65})
    assert len(pool.manager.free) == 100
    other = Config(vocab_size=50, width=24, layers=1, heads=6, kv_heads=3, hidden=40, context=64)
    with pytest.raises(ValueError, match=r"pool must have .* \(2, 2, 4\); got \(1, 3, 4\)"):
        read(model, BlockPool(other, 4), {"a": [1]})


def test_a_pool_that_no_machine_has_is_refused_at_once():
    with pytest.raises(ValueError, match="blocks must be at most 1048576; got 1000000000"):
        BlockPool(TINY, 10**9)
    with pytest.raises(ValueError, match="request must be one that has begun; got 'a'"):
        BlockPool(TINY, 4).slots("a")
    with pytest.raises(TypeError, match="like must be a Tensor; got 3"):
        BlockPool(TINY, 4, like=3)
