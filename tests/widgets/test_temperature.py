import numpy as np
import pytest
from helpers import assert_keeps_the_rules, move, pixels, sweep, texts_collide
from scipy import stats

from coursekit import data, models
from coursekit.distillation import entropy
from coursekit.widgets import temperature as build
from coursekit.widgets.temperature import VISIBLE

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 6, (40, 10)).astype(np.float32)
LOGITS[7] = [0, 1, 20, 12.0, 0, 1, 0, 10.5, 1, 0]
IMAGES = RNG.random((40, 8, 8)).astype(np.float32)
LABELS = LOGITS.argmax(1)


@pytest.fixture(scope="module")
def shared():
    return build(LOGITS, IMAGES, LABELS)


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["temperature"].value, shared.controls["picture"].value = 4.0, 7
    return shared


@pytest.mark.parametrize("name", ["temperature", "picture"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


@pytest.mark.parametrize("heat", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("picture", [0, 7, 39])
def test_numbers_agree_with_the_definition(panel, heat, picture):
    shown = panel.view.update(heat, picture)
    weights = np.exp(LOGITS[picture].astype(np.float64) / heat)
    expected = weights / weights.sum()
    np.testing.assert_allclose(shown["probabilities"], expected, rtol=1e-4, atol=1e-9)
    assert shown["entropy"] == pytest.approx(stats.entropy(expected, base=2), abs=1e-4)
    assert shown["visible"] == (expected >= VISIBLE).sum()
    assert list(shown["guesses"]) == list(np.argsort(-LOGITS[picture], kind="stable"))
    np.testing.assert_allclose([bar.get_height() for bar in panel.view.bars], 100 * expected, atol=1e-3)
    plain = np.exp(LOGITS[picture].astype(np.float64))
    outlines = [bar.get_height() for bar in panel.view.outlines]
    np.testing.assert_allclose(outlines, 100 * plain / plain.sum(), atol=1e-3)
    numbers = [text.get_text() for text in panel.view.numbers]
    assert numbers == [f"{100 * share:.0f}" if share >= VISIBLE else "" for share in expected]


def test_heat_raises_the_entropy_and_never_changes_the_order(panel):
    shown = [panel.view.update(heat, 7) for heat in (0.5, 1, 2, 4, 8, 20)]
    entropies = [one["entropy"] for one in shown]
    assert entropies == sorted(entropies)
    assert len({tuple(one["guesses"]) for one in shown}) == 1


def test_the_title_says_what_is_to_see(panel):
    says = {}
    for heat in (0.5, 2.5, 4.0, 8.0, 20.0):
        move(panel, "temperature", heat)
        says[heat] = panel.view.title.get_text()
    assert says[0.5] == "T = 0.5: only the first guess is visible"
    assert says[2.5] == "T = 2.5: the second guess is visible"
    assert says[4.0] == "T = 4: the second and third guess are visible"
    assert says[8.0].endswith("guesses are visible")
    assert panel.view.update(20.0, 7)["entropy"] < np.log2(10)
    assert panel.view.caption.get_text() == f"picture 7\nlabel: {LABELS[7]}"
    flat = build([[0.1, 0.2, 0.0], [0.0, 0.0, 0.0]], np.zeros((2, 3, 3)))
    assert flat.view.title.get_text() == "T = 4: so hot that all guesses look alike"
    assert flat.view.caption.get_text() == f"picture {flat.values['picture']}"


def test_it_starts_where_the_second_and_third_guess_come_out_of_nothing():
    panel = build(LOGITS, IMAGES, LABELS)
    assert panel.values["visible"] == 3
    assert panel.view.update(1.0, panel.values["picture"])["visible"] == 1


def test_by_default_a_teacher_answers_the_test_pictures(monkeypatch):
    real, seen = models.fit_many, {}

    def short(widths, *a, **how):
        seen["widths"] = widths
        return real(widths, *a, **(how | {"epochs": 12}))

    monkeypatch.setattr(models, "fit_many", short)
    panel = build()
    test = data.digits().test
    assert seen["widths"] == (64, 256, 10)
    assert (panel.view.logits.argmax(1) == test.y).mean() > 0.93
    assert np.array_equal(panel.view.images, test.images)
    assert panel.values["visible"] == 3
    sure = panel.view.update(1.0, panel.values["picture"])
    assert sure["visible"] == 1
    assert sure["probabilities"].max() > 0.95
    assert sure["guesses"][0] == test.y[panel.values["picture"]]


def test_entropy_of_sure_and_even_answers():
    assert entropy(np.array([0.0, 1.0, 0.0])) == 0.0
    assert entropy(np.full(8, 1 / 8)) == pytest.approx(3.0)


def test_panel_keeps_the_rules_of_all_panels(monkeypatch):
    panel = build(LOGITS, IMAGES, LABELS)
    moves = [("temperature", 20.0), ("picture", 3), ("temperature", 0.5), ("picture", 11)]
    assert_keeps_the_rules(panel, moves, monkeypatch)


@pytest.mark.parametrize("presenting", ["0", "1"])
def test_texts_never_collide(monkeypatch, presenting):
    monkeypatch.setenv("COURSEKIT_PRESENT", presenting)
    panel = build(LOGITS, IMAGES, LABELS)
    for heat in (0.5, 4.0, 20.0):
        for picture in (7, 20):
            move(panel, "temperature", heat)
            move(panel, "picture", picture) if panel.controls["picture"].value != picture else None
            assert texts_collide(panel.view) == []


def test_the_same_values_give_the_same_picture(panel):
    before = pixels(panel)
    move(panel, "temperature", 11.0)
    move(panel, "temperature", 4.0)
    assert np.array_equal(pixels(panel), before)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((LOGITS,), ValueError, "together"),
        ((None, IMAGES), ValueError, "together"),
        ((LOGITS[:5], IMAGES), ValueError, r"equally long; got \[5, 40, 5\]"),
        ((LOGITS, IMAGES, LABELS[:3]), ValueError, "equally long"),
        ((np.full((40, 10), np.nan), IMAGES), ValueError, "logits must be finite"),
        ((LOGITS, np.full((40, 8, 8), np.inf)), ValueError, "images must be finite"),
        ((LOGITS[:, :1], IMAGES), ValueError, "2 to 16 classes"),
        ((np.zeros((40, 17)), IMAGES), ValueError, "2 to 16 classes"),
        ((LOGITS[:1], IMAGES[:1]), ValueError, "at least 2 rows"),
        ((LOGITS, IMAGES.reshape(40, 64)), ValueError, "images must have 3"),
        (("abc", IMAGES), TypeError, "logits"),
        ((LOGITS, IMAGES, np.full(40, 0.5)), ValueError, "labels must hold whole numbers"),
    ],
)
def test_the_panel_names_what_does_not_fit(arguments, error, says):
    with pytest.raises(error, match=says):
        build(*arguments)
