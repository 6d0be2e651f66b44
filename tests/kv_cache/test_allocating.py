"""What policies reserve, against counting slot by slot, and the formula of the last page."""

import numpy as np
import pytest

from coursekit import kv_cache

LENGTHS = (1, 5, 16, 17, 100, 256, 257, 1024)


def by_counting(length, policy, page_size, most):
    """Take pages, or double a piece, until the tokens fit."""
    if policy == "contiguous":
        return most
    room = page_size if policy == "paged" else 1
    while room < length:
        room = room + page_size if policy == "paged" else 2 * room
    return room


@pytest.mark.parametrize("policy", kv_cache.POLICIES)
@pytest.mark.parametrize("page_size", [1, 16, 100])
def test_a_policy_reserves_what_counting_finds(policy, page_size):
    found = kv_cache.allocate(LENGTHS, policy, page_size=page_size, most=1024)
    assert found.reserved.tolist() == [by_counting(n, policy, page_size, 1024) for n in LENGTHS]
    assert found.wasted == found.reserved.sum() - sum(LENGTHS)
    assert found.waste == found.wasted / found.reserved.sum()
    assert f"{100 * found.waste:.1f} %" in str(found)


@pytest.mark.parametrize("page_size", [1, 2, 16, 64])
def test_the_formula_is_exact_where_the_last_page_is_as_likely_to_hold_any_count(page_size):
    lengths = range(1 + 5 * page_size, 1 + 9 * page_size)  # each remainder four times
    found = kv_cache.allocate(lengths, "paged", page_size=page_size)
    mean = np.mean(lengths)
    empty = found.wasted / len(lengths)
    assert empty == (page_size - 1) / 2
    assert found.waste == pytest.approx(kv_cache.expected_waste(mean, page_size))


def test_pages_of_16_waste_4_percent_from_180_tokens_on():
    assert kv_cache.expected_waste(180) == pytest.approx(0.04)
    assert kv_cache.mean_for_waste(0.04) == pytest.approx(180)
    assert kv_cache.expected_waste(50) == pytest.approx(0.13, abs=0.001)
    assert kv_cache.expected_waste(kv_cache.mean_for_waste(0.2, 64), 64) == pytest.approx(0.2)


def test_pages():
    assert [kv_cache.pages(n) for n in (0, 1, 16, 17, 160)] == [0, 1, 1, 2, 10]
    assert kv_cache.pages(7, 1) == 7


def test_a_memory_holds_the_first_requests_that_fit():
    found = kv_cache.allocate([16, 17, 16], "paged")
    assert [found.fit(n) for n in (0, 15, 16, 47, 48, 63, 64, 1000)] == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: kv_cache.allocate([0], "paged"), "lengths"),
        (lambda: kv_cache.allocate([1025], "paged", most=1024), "lengths"),
        (lambda: kv_cache.allocate([], "paged"), "lengths"),
        (lambda: kv_cache.allocate([1], "pages"), "policy"),
        (lambda: kv_cache.allocate([1], "paged", page_size=0), "page_size"),
        (lambda: kv_cache.pages(-1), "tokens"),
        (lambda: kv_cache.pages(1.5), "tokens"),
        (lambda: kv_cache.expected_waste(0), "mean"),
        (lambda: kv_cache.mean_for_waste(1), "share"),
    ],
)
def test_what_is_no_length_is_refused(call, named):
    with pytest.raises((TypeError, ValueError), match=named):
        call()
