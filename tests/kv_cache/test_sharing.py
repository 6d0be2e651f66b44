"""What a tree of prefixes saves, against a count over all pairs of texts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit import kv_cache

TEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_what_is_reused_is_the_longest_beginning_in_whole_blocks(texts, size):
    found = kv_cache.sharing(texts, size)
    for number, text in enumerate(texts):
        most = max((kv_cache.longest_shared_prefix(text[:-1], each) for each in texts[:number]), default=0)
        # only whole blocks of the earlier text are kept
        whole = max(
            (
                min(kv_cache.longest_shared_prefix(text[:-1], each), len(each) // size * size) // size * size
                for each in texts[:number]
            ),
            default=0,
        )
        assert found.reused[number] == whole <= most
        assert found.apart[number] == sum(-(-len(each) // size) for each in texts[: number + 1])
    assert (found.together <= found.apart).all()
    saved = np.cumsum(found.reused) // size
    assert (found.apart - found.together == saved).all()
    assert str(found.page_size) in str(found)


def test_odd_texts_are_refused_by_name():
    for odd, error in (([], TypeError), ("abc", TypeError), ([[]], ValueError), ([[1], [-1]], ValueError)):
        with pytest.raises(error, match="texts"):
            kv_cache.sharing(odd, 4)
    with pytest.raises(ValueError, match="texts must hold at most"):
        kv_cache.sharing([[0] * 2**20, [0]], 4)
    with pytest.raises(ValueError, match="page_size"):
        kv_cache.sharing([[1]], 0)
