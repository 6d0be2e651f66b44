import dataclasses
import itertools

import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit import models, widgets
from coursekit.quantization import AwareTraining
from coursekit.widgets.qat import _sentence, _signed

BITS = (8, 4, 3, 2, 1)


def made_up(networks=12, seed=0):
    """Return an experiment in which everything about every method is another number."""
    random = np.random.default_rng(seed)
    start = 0.95 + 0.01 * random.random(networks)
    drop = np.array([0, 0.002, 0.01, 0.1, 0.2])[:, None]
    noise = lambda: 0.004 * random.random((len(BITS), networks))  # noqa: E731
    parts = [start - drop + shift + noise() for shift in (0, 0.001, 0.006, 0.008)]
    return AwareTraining(
        BITS, models.Schedule(3), start, start + 0.006, *parts, start - drop / 9 + 0.006 + noise()
    )


@pytest.fixture(scope="module")
def shared():
    return widgets.qat(made_up())


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["bits"].value, shared.controls["scale"].value = 8, "largest weight"
    return shared


@pytest.mark.parametrize("name", ["bits", "scale"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize(("scale", "ending"), [("largest weight", ""), ("least error", "_clipped")])
def test_numbers_and_marks_are_the_experiments(panel, scale, ending):
    result = made_up()
    names = {"ptq": f"ptq{ending}", "control": f"control{ending}", "qat": "qat"}
    for place, bits in enumerate(BITS):
        shown = panel.view.update(bits, scale)
        found = {name: 100 * getattr(result, field)[place] for name, field in names.items()}
        for name, values in found.items():
            assert shown[name] == pytest.approx(values.mean())
        pairs = (("qat", "ptq"), ("control", "ptq"), ("qat", "control"))
        for (one, other), (dots, bar, mean, _) in zip(pairs, panel.view.gaps, strict=True):
            gaps = found[one] - found[other]
            assert shown[f"{one}-{other}"] == pytest.approx(gaps.mean())
            np.testing.assert_allclose(dots.get_xdata(), gaps)
            assert mean.get_xdata()[0] == pytest.approx(gaps.mean())
            np.testing.assert_allclose(bar.get_xdata(), shown[f"{one}-{other} ends"])
            assert np.mean(bar.get_xdata()) == pytest.approx(gaps.mean())
    for (bars, line), field in zip(panel.view.lines, names.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * getattr(result, field).mean(1))
        ends = bars.get_ydata().reshape(-1, 3)[:, :2]
        np.testing.assert_allclose(ends.mean(1), line.get_ydata())


def test_it_rests_where_the_control_explains_the_gain(panel):
    assert panel.values["bits"] == 8
    assert panel.view.title.get_text() == (
        f"8 bits: QAT {_signed(panel.values['qat-ptq'])} points over PTQ, "
        f"longer training alone {_signed(panel.values['control-ptq'])}"
    )
    move(panel, "bits", 1)
    assert panel.view.title.get_text().startswith("1 bit: QAT +1")


def test_a_loss_is_written_as_one():
    assert _sentence(4, -1.254, 0.001) == "4 bits: QAT −1.25 points over PTQ, longer training alone 0.00"
    assert _signed(-12.34) == "−12.3"


def test_all_marks_lie_in_the_picture(panel):
    for bits, scale in itertools.product(BITS, ("largest weight", "least error")):
        panel.view.update(bits, scale)
        for artist in itertools.chain(*(gap[:3] for gap in panel.view.gaps), *panel.view.lines):
            low, high = sorted(artist.axes.get_xlim())
            x = np.asarray(artist.get_xdata(), float)
            assert (x >= low).all()
            assert (x <= high).all()


def test_a_wide_interval_is_not_cut():
    result = made_up(networks=4)
    apart = result.control - np.linspace(0, 0.1, 4)
    view = widgets.qat(dataclasses.replace(result, control=apart, control_clipped=apart)).view
    view.update(1, "largest weight")
    low, high = view.lines[0][0].axes.get_ylim()
    for bars, _ in view.lines:
        ends = np.asarray(bars.get_ydata(), float)
        assert low < np.nanmin(ends)
        assert np.nanmax(ends) < high


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = widgets.qat(made_up())
    for bits, scale in itertools.product(BITS, ("largest weight", "least error")):
        panel.view.update(bits, scale)
        assert texts_collide(panel.view) == []


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    assert_keeps_the_rules(panel, (("bits", 2), ("scale", "least error"), ("bits", 4)), monkeypatch)


def test_something_else_is_named():
    with pytest.raises(TypeError, match="result must be a"):
        widgets.qat([1, 2])
