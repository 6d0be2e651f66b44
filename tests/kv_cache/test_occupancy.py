"""A memory over time, against what each request must have in every step."""

import numpy as np
import pytest

from coursekit import kv_cache
from coursekit.kv_cache import Request, occupancy


def ask(count=40, seed=0, most=64):
    draw = np.random.default_rng(seed)
    arrivals = draw.exponential(1.5, count).cumsum()
    lengths = draw.integers(1, most // 2, (count, 2)).tolist()
    return [Request((0,) * p, n, t) for (p, n), t in zip(lengths, arrivals, strict=True)]


@pytest.mark.parametrize("policy", kv_cache.POLICIES)
@pytest.mark.parametrize("page_size", [1, 8])
def test_in_every_step_each_request_has_what_its_policy_gives(policy, page_size):
    asked = ask()
    found = occupancy(asked, policy, slots=256, page_size=page_size, most=64, steps=300)
    arrivals = np.array([each.arrival for each in asked])
    assert found.done[-1] == len(asked)
    for step in range(300):
        owners, filled = found.owners[step], found.filled[step]
        numbers, counts = np.unique(owners[owners >= 0], return_counts=True)
        assert len(numbers) == found.running[step]
        assert not filled[owners < 0].any()
        assert found.running[step] + found.waiting[step] + found.done[step] == (arrivals <= step).sum()
        for number, reserved in zip(numbers, counts, strict=True):
            written = int(filled[owners == number].sum())
            assert len(asked[number].prompt) <= written <= asked[number].length
            if policy == "paged":
                assert reserved == kv_cache.pages(written, page_size) * page_size
            else:
                assert reserved == kv_cache.allocate([asked[number].length], policy, most=64).reserved[0]
                assert np.ptp(np.flatnonzero(owners == number)) == reserved - 1
    used = found.reserved > 0
    assert found.waste[used] == pytest.approx(1 - found.filled.sum(1)[used] / found.reserved[used])
    assert (found.waste[~used] == 0).all()


def test_a_request_writes_a_token_per_step_and_goes():
    (found,) = [occupancy([Request((0,) * 3, 4, 2)], "paged", slots=16, page_size=4, most=8, steps=10)]
    assert found.filled.sum(axis=1).tolist() == [0, 0, 3, 4, 5, 6, 0, 0, 0, 0]
    assert found.reserved.tolist() == [0, 0, 4, 4, 8, 8, 0, 0, 0, 0]
    assert found.done.tolist() == [0] * 6 + [1] * 4


def test_where_no_page_is_left_the_youngest_waits_and_comes_back():
    asked = [Request((0,) * 4, 6), Request((0,) * 4, 6)]
    found = occupancy(asked, "paged", slots=12, page_size=4, most=9, steps=20)
    assert found.running.tolist() == [2] + [1] * 11 + [0] * 8
    assert found.waiting.tolist() == [0] + [1] * 5 + [0] * 14
    assert found.done[-1] == 2


def test_a_gap_that_is_too_short_stays_free():
    """Pieces of 4, 2 and 4 in 8 slots: the last waits for the first, though 2 are free."""
    asked = [Request((0,) * 3, 2), Request((0,), 2), Request((0,) * 3, 2)]
    found = occupancy(asked, "power of two", slots=8, most=4, steps=4, page_size=1)
    assert found.running.tolist() == [2, 2, 1, 1]
    assert found.owners[0].tolist() == [0] * 4 + [1] * 2 + [-1] * 2
    assert found.waiting.tolist() == [1, 1, 0, 0]


def test_pages_hold_more_requests_at_once():
    options = {"slots": 256, "page_size": 8, "most": 64}
    runs = {policy: occupancy(ask(80, most=32), policy, **options) for policy in kv_cache.POLICIES}
    done = [runs[policy].done[-1] for policy in kv_cache.POLICIES]
    assert done == sorted(done)
    assert runs["paged"].running.max() > runs["contiguous"].running.max() == 4
    assert "requests at once" in str(runs["paged"])


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "pages"},
        {"most": 8},
        {"slots": 32},
        {"page_size": 0},
        {"steps": 0},
        {"slots": 2**16, "steps": 500},
    ],
)
def test_what_does_not_fit_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        occupancy(ask(), **{"policy": "paged", "slots": 256, "most": 64, **options})
