import itertools

import numpy as np
import pytest
from helpers import (
    assert_keeps_the_rules,
    move,
    sweep,
    texts_collide,
)

from coursekit.widgets.channel_heatmap import channel_heatmap, typical_weights


@pytest.fixture(scope="module")
def shared():
    return channel_heatmap()


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["bits"].value, shared.controls["outlier"].value = 4, 1.0
    return shared


def by_hand(weights, bits, per_channel):
    w = np.asarray(weights, np.float64)
    largest = np.abs(w).max(axis=1, keepdims=True) if per_channel else np.abs(w).max()
    scale = largest / (2 ** (bits - 1) - 1)
    return w - np.rint(w / scale) * scale


@pytest.mark.parametrize("name", ["bits", "outlier"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize(("bits", "outlier"), list(itertools.product((2, 4, 8), (1.0, 7.5, 20.0))))
def test_numbers_agree_with_the_definition(panel, bits, outlier):
    shown = panel.view.update(bits, outlier)
    weights = np.float64(panel.view.weights)
    weights[panel.view.outlier] *= outlier
    for name, per_channel in (("per_tensor", False), ("per_channel", True)):
        errors = by_hand(weights, bits, per_channel)
        ratio = 10 * np.log10(np.sum(weights**2) / np.sum(errors**2))
        assert shown[f"{name}_sqnr"] == pytest.approx(ratio, abs=1e-3)
        assert shown[f"{name}_max_error"] == pytest.approx(np.abs(errors).max(), rel=1e-3)
        share = 100 * np.abs(errors).mean(axis=1) / np.median(np.abs(panel.view.weights), axis=1)
        np.testing.assert_allclose(shown[f"{name}_row_error"], share, rtol=1e-3)
        assert shown[f"{name}_lost"] == np.count_nonzero((errors == weights).all(axis=1))


def test_the_default_makes_the_point(panel):
    assert panel.values["per_tensor_lost"] >= 3
    assert panel.values["per_channel_lost"] == 0
    assert panel.values["per_channel_sqnr"] > panel.values["per_tensor_sqnr"]
    lost = panel.values["per_tensor_lost"]
    assert panel.view.title.get_text() == f"4 bits, one scale for all: {lost} of 8 channels become zero"


def test_an_outlier_hurts_its_own_channel_or_all_of_them(panel):
    row = panel.view.outlier[0]
    calm, stretched = panel.view.update(4, 1.0), panel.view.update(4, 20.0)
    others = np.arange(8) != row
    np.testing.assert_array_equal(
        stretched["per_channel_row_error"][others], calm["per_channel_row_error"][others]
    )
    assert stretched["per_channel_row_error"][row] > 5 * calm["per_channel_row_error"][row]
    assert stretched["per_tensor_sqnr"] < calm["per_tensor_sqnr"]
    assert stretched["per_tensor_lost"] >= calm["per_tensor_lost"]


def test_the_title_says_when_nothing_is_lost(panel):
    shown = move(panel, "bits", 8)
    assert shown["per_tensor_lost"] == 0
    assert panel.view.title.get_text() == "8 bits, no channel becomes zero, with one scale or many"


def test_both_maps_share_their_colours(panel):
    one, many = panel.view.maps
    assert one.get_clim() == many.get_clim()
    assert one.get_cmap() == many.get_cmap()


def test_the_typical_weight_ignores_an_outlier():
    weights = np.float32([[0.1, -0.2, 0.3], [1, 2, 3]])
    loud = weights.copy()
    loud[0, 2] = 90
    np.testing.assert_array_equal(typical_weights(loud), typical_weights(weights))
    np.testing.assert_allclose(typical_weights(weights), [0.2, 2])


def test_the_typical_weight_of_sparse_rows_is_never_zero():
    np.testing.assert_allclose(typical_weights(np.float32([[0, 0, 3], [0, 0, 0]])), [1.0, 1.0])


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = channel_heatmap()
    for bits, outlier in itertools.product(range(2, 9), (1.0, 20.0)):
        panel.view.update(bits, outlier)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("bits", 2), ("outlier", 12.0), ("bits", 8)), monkeypatch)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (16, 4), (17, 40), (128, 64)])
def test_a_matrix_of_any_shape_is_drawn(shape):
    weights = np.random.default_rng(0).normal(size=shape)
    before = weights.copy()
    panel = channel_heatmap(weights)
    assert panel.values["per_channel_row_error"].shape == (shape[0],)
    assert texts_collide(panel.view) == []
    assert np.array_equal(weights, before)


def test_a_row_of_zeros_is_not_called_lost():
    panel = channel_heatmap([[1.0, 0.5], [0.0, 0.0]])
    assert panel.values["per_tensor_lost"] == 0
    assert panel.values["per_tensor_row_error"][1] == 0


@pytest.mark.parametrize(
    ("weights", "bits", "error", "says"),
    [
        ([1.0, 2.0], 4, ValueError, "weights"),
        ([[]], 4, ValueError, "weights"),
        (np.zeros((2, 2)), 4, ValueError, "weights"),
        ([[np.inf]], 4, ValueError, "weights"),
        ([["a"]], 4, TypeError, "weights"),
        ([[1.0]], 1, ValueError, "bits"),
        ([[1.0]], 9, ValueError, "bits"),
    ],
)
def test_bad_input_is_named(weights, bits, error, says):
    with pytest.raises(error, match=says):
        channel_heatmap(weights, bits)
