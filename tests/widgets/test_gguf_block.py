import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit.language import gguf
from coursekit.widgets.gguf_block import FORMATS, gguf_block

WEIGHTS = np.random.default_rng(3).normal(0, 0.2, 256).astype(np.float32)


@pytest.fixture(scope="module")
def shared():
    return gguf_block(WEIGHTS)


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["format"].value, shared.controls["weight"].value = "Q4_0", 37
    return shared


@pytest.mark.parametrize("name", ["format", "weight"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("format", FORMATS)
def test_numbers_and_marks_are_those_of_the_blocks(panel, format):
    stored = gguf.decode(gguf.encode(WEIGHTS, format), format).ravel()
    kind = gguf.named(format)
    with panel.hold():
        panel.controls["format"].value = format
    for weight in (0, 31, 32, 100, 255):
        shown = move(panel, "weight", weight)
        assert shown["stored"] == pytest.approx(float(stored[weight]))
        assert shown["scale"] * shown["level"] - (shown["minimum"] or 0) == pytest.approx(
            float(stored[weight]), rel=1e-5, abs=1e-7
        )
        assert shown["bits_per_weight"] == kind.bits_per_weight
        near = slice(weight // 32 * 32, weight // 32 * 32 + 32)
        np.testing.assert_array_equal(panel.view.after.get_ydata(), stored[near])
        np.testing.assert_array_equal(panel.view.before.get_ydata(), WEIGHTS[near])
        assert len(panel.view.frames.get_xdata()) == len(shown["bytes"])
    cells = np.asarray(panel.view.cells.get_array())
    assert (cells < 4).sum() == 256 // kind.weights * kind.nbytes


def test_another_weight_of_the_block_moves_only_when_its_bytes_do(panel):
    """The frames stand around bytes on which the weight hangs: change one, and it alone tells."""
    shown = move(panel, "weight", 200)
    raw = panel.view.blocks["Q4_0"].copy()
    raw.reshape(-1)[shown["bytes"][-1]] ^= 0xFF
    moved = np.flatnonzero(gguf.decode(raw, "Q4_0").ravel() != panel.view.decoded["Q4_0"])
    assert 200 in moved
    assert len(moved) == 2


def test_levels_are_drawn_where_they_are_few(panel):
    assert len(panel.view.steps.get_segments()) == 16
    heights = [segment[0][1] for segment in panel.view.steps.get_segments()]
    assert all(np.isclose(heights, value).any() for value in panel.view.after.get_ydata())
    move(panel, "format", "Q8_0")
    assert not panel.view.steps.get_segments()


def test_the_title_says_how_the_weight_is_computed(panel):
    shown = panel.values
    assert panel.view.title.get_text() == "Q4_0: 18 bytes for 32 weights"
    said = panel.view.formula.get_text()
    assert said.startswith("weight 37, ")
    assert f"× {shown['level']}".replace("-", "−") in said


@pytest.mark.parametrize("weights", [np.zeros(256), np.linspace(-1e4, 1e4, 256), np.full(256, 3e-5)])
@pytest.mark.parametrize("present", ["0", "1"])
def test_any_weights_can_be_read(weights, present, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = gguf_block(weights, format="Q4_K")
    for format in FORMATS:
        move(panel, "format", format)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules(panel, monkeypatch):
    moves = [("format", "Q6_K"), ("weight", 255), ("format", "Q4_K"), ("weight", 0), ("format", "Q8_0")]
    assert_keeps_the_rules(panel, moves, monkeypatch)


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match="weights must be 256 numbers; got 3"):
        gguf_block([1, 2, 3])
    with pytest.raises(ValueError, match="format must be one of Q8_0, Q6_K"):
        gguf_block(format="Q5_K")
