"""The panel of a memory: what it says is what the occupancy says, and its colours are those of the owners."""

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide
from matplotlib.colors import to_rgb

from coursekit import kv_cache, widgets
from coursekit.kv_cache import Request
from coursekit.plots import style
from coursekit.widgets.allocator import MOST, PAGE_SIZES, SLOTS, STEPS, _colours, _sample


@pytest.fixture
def panel():
    return widgets.allocator()


@pytest.mark.parametrize("policy", kv_cache.POLICIES)
def test_the_numbers_are_those_of_the_occupancy(panel, policy):
    move(panel, "policy", policy)
    for page_size, step in ((16, 60), (4, 100)):
        move(panel, "page_size", page_size)
        move(panel, "step", step)
        size = page_size if policy == "paged" else 1
        found = kv_cache.occupancy(_sample(), policy, slots=SLOTS, page_size=size, most=MOST, steps=STEPS)
        shown = panel.values
        assert (shown["running"], shown["waiting"], shown["done"]) == (
            found.running[step],
            found.waiting[step],
            found.done[step],
        )
        assert shown["waste"] == found.waste[step]
        assert f"{100 * found.waste[step]:.0f} % of {found.reserved[step]}" in panel.view.title.get_text()
        assert f"{found.running[step]} at once" in panel.view.said.get_text()


def test_the_resting_picture_makes_the_point(panel):
    held = {}
    for policy in kv_cache.POLICIES:
        move(panel, "policy", policy)
        held[policy] = panel.values["running"], panel.values["waste"]
    assert held["contiguous"][0] < held["power of two"][0] < held["paged"][0]
    assert held["contiguous"][1] > held["power of two"][1] > held["paged"][1]


def test_free_slots_are_white_reserved_ones_pale_and_filled_ones_full():
    shown = _colours(np.array([-1, 0, 0, 5]), np.array([False, False, True, True]))
    grey = shown @ (0.213, 0.715, 0.072)
    assert grey[0] == pytest.approx(1)
    assert grey[0] > grey[1] > grey[2]
    assert shown[3] == pytest.approx(to_rgb(style.SERIES[1]))


def test_every_control_changes_the_picture(panel):
    sweep(panel, "step")
    sweep(panel, "page_size")
    sweep(panel, "policy")


def test_nothing_collides(panel):
    for policy in kv_cache.POLICIES:
        for page_size in (PAGE_SIZES[0], PAGE_SIZES[-1]):
            for step in (0, STEPS - 1):
                for name, value in (("policy", policy), ("page_size", page_size), ("step", step)):
                    panel.controls[name].value = value
                assert texts_collide(panel.view) == []


def test_it_keeps_the_rules(panel, monkeypatch):
    assert_keeps_the_rules(panel, [("policy", "contiguous"), ("step", 100), ("page_size", 64)], monkeypatch)


def test_pages_of_16_give_room_to_three_times_as_many_and_pages_of_64_to_about_twice(panel):
    one_piece = panel.view.watched("contiguous", 1).running.mean()
    paged = {size: panel.view.watched("paged", size).running.mean() / one_piece for size in (16, 64)}
    assert paged[16] > 3
    assert paged[64] == pytest.approx(2, rel=0.1)


def test_requests_of_ones_own():
    panel = widgets.allocator([Request((0,) * 100, 20)])
    move(panel, "step", 3)
    assert panel.values["running"] == 1
    assert panel.values["reserved"] == 112
    with pytest.raises(ValueError, match="slots must hold most"):
        widgets.allocator([Request((0,) * 200, 20)])
    with pytest.raises(TypeError, match="requests"):
        widgets.allocator([1, 2])
