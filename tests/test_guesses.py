"""Guesses: what people type is taken, and the card says afterwards how far off they were."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import tensor

from coursekit import claims, exercises, plots, runtime
from coursekit._core import courses
from coursekit.claims import guesses as kept
from coursekit.exercises import typed

CLAIMS = """
[[claim]]
id = "98-speed"
kind = "hardware"
says = "250 times"
unit = "×"
holds = { at_least = 2 }
why = "because"
[[claim]]
id = "98-share"
kind = "statistical"
says = "half"
unit = "% of all"
holds = { between = [10, 90] }
why = "because"
[[claim]]
id = "98-size"
kind = "arithmetic"
says = "a gigabyte"
unit = "B"
holds = { at_least = 1 }
why = "because"
[[claim]]
id = "98-verdict"
kind = "hardware"
says = "the same"
holds = { verdict = ["faster"] }
why = "because"
[[claim]]
id = "98-yes"
kind = "arithmetic"
says = "yes"
holds = { is = true }
why = "because"
"""
CHOICES = ("faster", "same", "slower")


@pytest.fixture(autouse=True)
def course_98(tmp_path, monkeypatch):
    """Add a course of one notebook, 98, and a results folder and a session of our own."""
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    for name in ("COURSEKIT_STRICT", "COURSEKIT_GUESS_FIRST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "98").mkdir()
    (tmp_path / "98" / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    added = []
    monkeypatch.setattr(courses, "_added", lambda: added)
    opened = set()
    monkeypatch.setattr(kept, "_open", lambda: opened)
    exercises.use(tmp_path / "98")


def told(id, measured):
    """Return what the claim's card says about the guess."""
    return dict(claims.show(id, measured=measured).lines()).get("You guessed", "")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("250x", "×", 250),
        ("250×", "×", 250),
        ("250 X", "× as fast", 250),
        ("250 times", "×", 250),
        ("3 times as fast", "times as fast", 3),
        ("3 times as fast", "× as fast", 3),
        ("50 %", "%", 50),
        ("50%", "% of the weights", 50),
        ("50 percent", "%", 50),
        ("0.5 points", "points", 0.5),
        ("1,000", "", 1000),
        ("1,234,567.5", "", 1234567.5),
        ("1 000", "tokens", 1000),
        ("1_000", "", 1000),
        ("1'000", "", 1000),
        ("2,5", "×", 2.5),
        ("0,125", "×", 0.125),
        ("1e3", "", 1000),
        ("1.5E-3", "", 0.0015),
        ("~250", "×", 250),
        ("≈ 250", "×", 250),
        ("about 250x", "×", 250),
        (" 12 ", "bits", 12),
        ("12 bit", "bits", 12),
        ("1 bits", "bits", 1),
        ("12 Bits, where it breaks", "bits, where it breaks", 12),
        ("-3", "points", -3),
        ("−3 points", "points", -3),
        ("+3", "points", 3),
        (".5", "", 0.5),
        ("5.", "", 5),
        ("2.5 ms", "s", 0.0025),
        ("2.5ms", "ms", 2.5),
        ("3 s", "ms", 3000),
        ("7 us", "s", 7e-6),
        ("2 minutes", "s", 120),
        ("3 MB", "B", 3e6),
        ("3 mb", "GB", 0.003),
        ("500MB", "GB", 0.5),
        ("1 GiB", "B", 2**30),
        ("2 kB", "B", 2000),
        ("1 million", "parameters", 1e6),
        ("10k", "parameters", 10_000),
        ("10 thousand parameters", "parameters", 10_000),
        ("7M", "", 7e6),
        ("1.5K", "parameters", 1500),
        ("x5", "×", 5),
        ("× 2.5", "times as fast", 2.5),
        ("5 billion", "billion parameters", 5),
        ("5", "billion parameters", 5),
        ("5 billion parameters", "billion parameters", 5),
        ("5 million", "billion parameters", 0.005),
        ("5 M", "MB", 5),
        ("5 tok", "tokens", 5),
        ("１２", "", 12),
        ("-0", "×", 0),
    ],
)
def test_what_people_type_is_taken(text, unit, value):
    assert typed.number(text, unit) == pytest.approx(value, rel=1e-12)
    assert exercises.predict("98-speed", text, unit).guess
    assert kept.kept()[-1].value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("twelve", "×", "a number in ×, such as 250 or '250×', or ... for none yet; got 'twelve' (str)"),
        ("twelve", "", "a number, such as 250 or '1e3', or ... for none yet; got 'twelve'"),
        ("5 kg", "s", "a number in s or another unit of time, such as 250 or '250 s'"),
        ("5 MB", "s", "another unit of time"),
        ("5 ms", "GB", "another unit of size"),
        ("5 ms", "×", "a number in ×"),
        ("50 %", "×", "a number in ×"),
        ("50", None, "unit must be text"),
        ("1,00,0", "", "a number"),
        ("1.000.000", "", "a number"),
        ("2-3", "", "a number"),
        ("nan", "", "a number"),
        ("inf", "", "a number"),
        ("x", "×", "a number"),
        ("%", "%", "a number"),
        ("5" * 400, "", "guess is too large for a float"),
        ("1e999", "", "guess must be finite"),
        ("many\nlines", "", "a number"),
        ("9" * 5000, "", "a number"),
        ("3M", "ms", "a number in ms"),
        ("5 m", "ms", "a number in ms"),
        ("5 m", "messages", "a number in messages"),
        ("x5", "bits", "a number in bits"),
        ("5 to 10", "×", "a number in ×"),
        ("1.234,5", "", "a number"),
        (True, "×", "guess must be a number in ×"),
        (np.True_, "×", "guess must be a number"),
    ],
)
def test_what_is_no_guess_is_refused_in_one_line_that_says_what_is_allowed(text, unit, says):
    with pytest.raises((ValueError, TypeError)) as refused:
        exercises.predict("98-speed", text, unit)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert claims.guess("98-speed") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), unit=st.sampled_from(["", "×", "%", "points", "s", "GB", "bits", "times as long"]))
def test_any_text_is_a_guess_or_refused_as_one(text, unit):
    refused = ""
    try:
        exercises.predict("98-speed", text, unit)
    except ValueError as error:
        refused = str(error)
    assert refused == "" or re.fullmatch("guess .+", refused)


@pytest.mark.parametrize("text", ["", " ", "...", "…"])
def test_dots_in_quotes_are_no_guess_yet(text):
    exercises.predict("98-speed", 3)
    assert str(exercises.predict("98-speed", text, "×")).startswith("○ no guess yet")
    assert claims.guess("98-speed") is None


@pytest.mark.parametrize("text", ["same", "Same", " SAME "])
def test_a_choice_may_be_typed_in_another_case(text):
    assert exercises.predict("98-verdict", text, choices=CHOICES).guess == "same"


@pytest.mark.parametrize(
    ("id", "guess", "unit", "measured", "says"),
    [
        ("98-speed", 100, "×", 250, "100×: 2.5 times too low"),
        ("98-speed", "1,000x", "× as fast", 250, "1,000× as fast: 4 times too high"),
        ("98-speed", 250, "×", 251.0, "250×: right on"),
        ("98-speed", 150, "×", 250, "150×: within a factor of 2 (1.7 times too low)"),
        ("98-speed", 1, "×", 25000, "1×: 25,000 times too low"),
        ("98-speed", 0, "×", 25, "0×: 25 too low"),
        ("98-share", "62 %", "%", 50, "62 %: 12 points too high"),
        ("98-share", 50.5, "% of all", 50, "50.5 % of all: within a point (0.5 too high)"),
        ("98-share", 50, "%", 50, "50 %: right on"),
        ("98-size", 2, "GB", 10**9, "2 GB: within a factor of 2 (2 times too high)"),
        ("98-size", "500 MB", "GB", 10**9, "0.5 GB: within a factor of 2 (2 times too low)"),
        ("98-size", 3, "tokens", 10**9, "3 tokens"),
        ("98-speed", "50 %", "%", 2, "50 %"),
        ("98-share", 2, "×", 50, "2×"),
        ("98-share", 40, "", 50, "40: within a factor of 2 (1.2 times too low)"),
        ("98-yes", True, "", True, "yes: right"),
        ("98-yes", False, "", True, "no: wrong"),
        ("98-yes", 3, "", True, "3"),
    ],
)
def test_the_card_says_how_far_off_the_guess_was(id, guess, unit, measured, says):
    exercises.predict(id, guess, unit)
    assert told(id, measured) == says


@pytest.mark.parametrize(("guess", "says"), [("same", "same: right"), ("Faster", "faster: wrong")])
def test_the_card_says_whether_a_choice_was_right(guess, says):
    exercises.predict("98-verdict", guess, choices=CHOICES)
    assert told("98-verdict", "same") == says


@pytest.mark.parametrize(
    ("interval", "says"),
    [((0.99, 1.02), "same"), ((1.2, 1.3), "faster"), ((0.8, 0.9), "slower"), ((0.9, 1.02), None)],
)
def test_an_interval_means_a_choice_where_two_are_compared_within_a_margin(interval, says):
    claim = claims.rules.find("98-speed")
    rule = replace(claim.holds, name="same", low=0.95, high=1.05)
    exercises.predict("98-speed", "same", choices=CHOICES)
    kept.against(replace(claim, holds=rule), claims.judging.Reading(1.0, *interval))
    assert kept.kept()[-1].measured == says
    assert kept.kept()[-1].met == (None if says is None else says == "same")


def test_a_verdict_that_was_no_choice_is_not_held_against_the_guess(monkeypatch):
    exercises.predict("98-verdict", "same", choices=CHOICES)
    assert told("98-verdict", "too noisy") == "same"
    assert exercises.guesses("98").summary == "1 not compared with a measurement yet"


@pytest.mark.parametrize(
    ("guessed", "measured", "unit", "says"),
    [
        (2, 3, "bits", "1 too low"),
        (0, 1, "of 2 formats", "1 too low"),
        (2, 3, "times as long", "within a factor of 2 (1.5 times too low)"),
        (-1, 2, "points", "3 points too low"),
        (40, 20, "neurons wide", "within a factor of 2 (2 times too high)"),
        (1e-300, 1e300, "", "far too low"),
    ],
)
def test_a_distance_is_a_factor_or_a_difference(guessed, measured, unit, says):
    assert kept.distance(guessed, measured, unit) == says


def test_all_guesses_of_a_notebook_stand_together_in_the_order_of_its_claims():
    assert exercises.guesses("98").summary.startswith("No guess yet in notebook 98")
    assert "No guess yet" in str(exercises.guesses("98"))
    exercises.predict("98-verdict", "same", choices=CHOICES)
    exercises.predict("98-share", 90, "%")
    exercises.predict("98-speed", 3, "×")
    assert exercises.guesses("98").summary == "3 not compared with a measurement yet"
    claims.show("98-verdict", measured="same")
    claims.show("98-speed", measured=30)
    claims.show("98-share", measured=80)
    claims.show("98-share", measured=80)
    made = exercises.guesses("98")
    assert [guess.id for guess in made.made] == ["98-speed", "98-share", "98-verdict"]
    assert made.summary == "0 of 1 within a factor of 2, 1 of 1 chosen right, 1 of 1 within 10 points"
    assert "98-share" in made._repr_html_()
    assert "10 points too high" in str(made)
    assert exercises.guesses().made == made.made
    exercises.predict("98-share", 70, "%")  # another guess waits for its own measurement
    assert exercises.guesses("98").summary.endswith("1 not compared with a measurement yet")


def test_a_guess_in_per_cent_is_not_near_because_it_is_more_than_half():
    exercises.predict("98-share", 99, "%")
    claims.show("98-share", measured=51)
    made = exercises.guesses("98")
    assert made.summary == "0 of 1 within 10 points"
    assert made.made[0].ratio is None


def test_yes_and_no_may_be_choices_of_a_claim_that_is_true_or_false():
    exercises.predict("98-yes", "No", choices=["yes", "no"])
    assert told("98-yes", True) == "no: wrong"
    exercises.predict("98-yes", "yes", choices=["yes", "no"])
    assert told("98-yes", np.True_) == "yes: right"


def test_values_that_no_factor_compares_are_counted_apart():
    exercises.predict("98-speed", -2, "×")
    claims.show("98-speed", measured=2)
    assert exercises.guesses("98").summary == "1 compared by the difference"


def test_a_log_of_an_earlier_version_is_still_read():
    path = kept.GUESSES.path
    path.write_text('{"id": "98-speed", "guess": "4×"}\n', encoding="utf-8")
    assert claims.guess("98-speed") == "4×"
    assert told("98-speed", 8) == "4×"


def test_an_unknown_notebook_is_refused():
    with pytest.raises(ValueError, match="there is no notebook '97'"):
        exercises.guesses("97")


# Guess first


@pytest.fixture
def first(monkeypatch):
    monkeypatch.setenv("COURSEKIT_GUESS_FIRST", "1")


def test_start_asks_for_guesses_first_and_leaves_it_as_it_is(monkeypatch):
    monkeypatch.setenv("COURSEKIT_GUESS_FIRST", "0")  # so that it is put back afterwards
    assert "guesses first" not in str(runtime.start())
    assert "guesses first" in str(runtime.start(guess_first=True))
    assert runtime.guess_first()
    assert runtime.start().guess_first
    assert not runtime.start(guess_first=False).guess_first
    with pytest.raises(TypeError, match="guess_first must be"):
        runtime.start(guess_first="yes")


def test_without_a_guess_the_run_stops_with_one_line(first):
    with pytest.raises(exercises.GuessFirst) as stopped:
        exercises.predict("98-speed", ..., "×")
    assert stopped.value._render_traceback_() == [str(stopped.value)]
    assert str(stopped.value) == "○ 98-speed: type your guess in place of the dots, then run on from here."


def test_a_claim_whose_prediction_is_open_shows_no_number(first):
    with pytest.raises(exercises.GuessFirst):
        exercises.predict("98-speed", ..., "×")
    card = claims.show("98-speed", measured=777)
    assert card.verdict == claims.GUESS_FIRST
    for shown in (str(card), card._repr_html_()):
        assert not re.search(r"777|250 times|because", shown)
        assert "Type your guess" in shown
    assert "777" not in str(claims.report())
    assert "77.7 %" in str(claims.show("98-share", measured=np.float64(77.7)))
    exercises.predict("98-speed", 700, "×")
    assert told("98-speed", 777) == "700×: within a factor of 2 (1.1 times too low)"


def test_without_guess_first_an_open_prediction_hinders_nothing():
    exercises.predict("98-speed", ..., "×")
    assert "777" in str(claims.show("98-speed", measured=777))


# The picture


def test_the_picture_shows_a_dot_where_a_factor_compares_and_words_elsewhere():
    none = plots.guesses.picture(exercises.guesses("98"))
    assert none.axes[0].get_title(loc="left").startswith("No guess yet")
    exercises.predict("98-speed", 300, "×")
    exercises.predict("98-share", 30, "%")
    exercises.predict("98-verdict", "same", choices=CHOICES)
    claims.show("98-speed", measured=1e-9)
    claims.show("98-share", measured=31)
    figure, ax = plots.style.axes(alt="Guesses.")
    drawn = plots.guesses.draw(ax, exercises.guesses("98"))
    assert [dot.get_xdata()[0] for dot in drawn.dots] == [plots.guesses.FARTHEST]
    assert [text.get_text() for text in drawn.labels] == [
        "within a point (1 too low)",
        "not compared yet",
    ]
    assert ax.get_title(loc="left").replace("\n", " ") == exercises.guesses("98").summary
    assert figure.png()


def test_a_guess_keeps_numbers_of_any_form_and_refuses_the_rest():
    for value in (np.array(3), np.float32(3), tensor(3), 3):
        claims.keep_guess("01-sum", "3", value=value)
    for odd in ([1, 2], math.nan, object()):
        with pytest.raises((TypeError, ValueError), match="value"):
            claims.keep_guess("01-sum", "3", value=odd)
