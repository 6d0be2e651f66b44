import pytest

from coursekit._core.progress import Tenths


@pytest.mark.parametrize("steps", [1, 3, 10, 27, 100])
def test_however_many_steps_ten_are_told(steps):
    told = []
    tenths = Tenths(lambda: told.append(done), steps)
    for step in range(1, steps + 1):
        done = step
        tenths.step()
        assert len(told) == 10 * step // steps
    tenths.reach(1.0)
    tenths.reach(7.0)
    assert len(told) == 10


def test_nobody_needs_to_listen():
    Tenths(None).reach(1.0)
