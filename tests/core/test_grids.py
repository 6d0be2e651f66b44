import numpy as np
import pytest

from coursekit._core import grids


@pytest.mark.parametrize("given", [(1, 2, 4), [1.0, 2.0, 4.0], np.array([1, 2, 4], np.int8), range(1, 3)])
def test_an_axis_holds_the_numbers_given_and_whole_ones_are_ints(given):
    found = grids.ascending("widths", given)
    assert found == tuple(given)
    assert all(type(number) is int for number in found)
    assert grids.ascending("alphas", [0.25, 1]) == (0.25, 1)


@pytest.mark.parametrize(
    "given", [(), (1, 1), (2, 1), (1, np.nan), (1, np.inf), "12", None, 3, (1, "2"), (True, 2)]
)
def test_what_is_not_an_axis_is_refused_on_one_line_that_names_it(given):
    with pytest.raises((TypeError, ValueError), match="^(an entry of )?widths [^\n]*$"):
        grids.ascending("widths", given)


@pytest.mark.parametrize("given", [(0, 1), (-1, 1), (1, 2.5)])
def test_whole_numbers_count_from_one(given):
    with pytest.raises((TypeError, ValueError), match="an entry of batches"):
        grids.ascending("batches", given, whole=True)


def test_the_position_is_that_of_an_equal_number():
    assert [grids.position("width", value, (1, 2, 4)) for value in (1, np.float32(2), 4.0)] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"width must be one of 1, 2, 4; got 3"):
        grids.position("width", 3, (1, 2, 4))
    with pytest.raises(TypeError, match="width must be a number"):
        grids.position("width", "1", (1, 2, 4))
