import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_rel
from torch.nn import functional

from coursekit import accuracy

SMALL = 20


def answers(both, only_a, only_b, neither):
    """Return predictions of a and b and labels with these counts; right answers are 1."""
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return a, b, [1] * len(a)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_interval_is_wilsons_for_every_small_table(confidence):
    for total in range(1, SMALL + 1):
        for correct in range(total + 1):
            theirs = binomtest(correct, total).proportion_ci(confidence, "wilson")
            ours = accuracy.interval(correct, total, confidence)
            assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_interval_ends_at_zero_and_one_exactly():
    assert accuracy.interval(0, 7)[0] == 0.0
    assert accuracy.interval(7, 7)[1] == 1.0


@given(st.integers(1, 10**6), st.data())
def test_interval_holds_the_share_and_lies_within_zero_and_one(total, data):
    correct = data.draw(st.integers(0, total))
    low, high = accuracy.interval(correct, total)
    assert 0 <= low <= correct / total <= high <= 1
    assert low < high


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((5, 4), ValueError),
        ((-1, 4), ValueError),
        ((0, 0), ValueError),
        ((1.5, 4), TypeError),
        ((True, 4), TypeError),
        ((1, 4, 0), ValueError),
        ((1, 4, 1), ValueError),
        ((1, 4, math.nan), ValueError),
        ((1, 4, "95 %"), TypeError),
    ],
)
def test_interval_refuses(arguments, error):
    with pytest.raises(error, match="correct|total|confidence"):
        accuracy.interval(*arguments)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_of_takes_lists_arrays_and_tensors(kind):
    found = accuracy.of(kind([0, 1, 2, 2]), kind([0, 1, 2, 0]))
    assert (found.correct, found.total, found.value) == (3, 4, 0.75)
    assert (found.low, found.high) == accuracy.interval(3, 4)


def test_of_takes_text_bools_and_whole_floats():
    assert accuracy.of(["spam", "ham"], ["spam", "spam"]).correct == 1
    assert accuracy.of([True, False], [True, True]).correct == 1
    assert accuracy.of([1.0, 2.0], [1, 3]).correct == 1


def test_of_reads_as_a_sentence():
    found = accuracy.of([1] * 347 + [0] * 13, [1] * 360)
    assert str(found) == "0.964 (95 % interval 0.939 to 0.979, 347 of 360 right)"
    assert repr(found) == str(found)
    assert str(found) in found._repr_html_()
    assert "99 % interval" in str(accuracy.of([1, 0], [1, 1], confidence=0.99))


@pytest.mark.parametrize(
    ("predictions", "labels", "error", "words"),
    [
        ([1, 2], [1, 2, 3], ValueError, "predictions.*3.*2"),
        ([], [], ValueError, "labels is empty"),
        (np.array([], bool), np.array([], bool), ValueError, "labels is empty"),
        ([1], np.array([], str), ValueError, "labels is empty"),
        (np.array([], bool), [True], ValueError, "predictions is empty"),
        ([1.0, 0.5, 0.25], [1, 0, 1], ValueError, r"fractions such as 0\.5: use argmax"),
        ([[1, 2], [3, 4]], [1, 2], ValueError, "predictions.*shape"),
        ([1, 2], [[1, 2]], ValueError, "labels.*shape"),
        ([1.0, math.nan], [1, 2], ValueError, "predictions.*NaN"),
        ([1, 2], [1.0, math.nan], ValueError, "labels.*NaN"),
        ([0.93, 0.2], [1, 0], ValueError, "argmax"),
        (["spam"], [1], TypeError, "numbers or both be text"),
        ([None, 1], [1, 1], TypeError, "predictions"),
        (3, 3, ValueError, "shape"),
    ],
)
def test_of_refuses(predictions, labels, error, words):
    with pytest.raises(error, match=words):
        accuracy.of(predictions, labels)


def test_mcnemar_is_the_exact_binomial_test_for_every_small_table():
    for only_a, only_b in itertools.product(range(SMALL), repeat=2):
        found = accuracy.mcnemar(*answers(2, only_a, only_b, 1))
        theirs = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        assert (found.only_a, found.only_b) == (only_a, only_b)
        assert found.p_value == pytest.approx(theirs, rel=1e-10)
        better = "a better" if only_a > only_b else "b better"
        assert found.verdict == (better if theirs < accuracy.ALPHA else "same")


@pytest.mark.parametrize(("only_a", "only_b"), [(500, 560), (3000, 3200), (0, 400)])
def test_mcnemar_stays_exact_for_large_tables(only_a, only_b):
    found = accuracy.mcnemar(*answers(0, only_a, only_b, 0))
    assert found.p_value == pytest.approx(binomtest(only_a, only_a + only_b).pvalue, rel=1e-9)


def test_mcnemar_names_the_better_model_and_says_how():
    found = accuracy.mcnemar(*answers(10, 1, 12, 3))
    assert found.verdict == "b better"
    assert str(found) == "b better (only a right 1, only b right 12, p = 0.00342, exact McNemar test)"
    assert str(found) in found._repr_html_()


def test_mcnemar_counts_different_wrong_answers_as_neither_right():
    found = accuracy.mcnemar([5, 6, 1], [7, 8, 1], [1, 1, 1])
    assert (found.only_a, found.only_b, found.p_value, found.verdict) == (0, 0, 1.0, "same")


@pytest.mark.parametrize("test", [accuracy.mcnemar, accuracy.difference])
def test_paired_tests_name_the_bad_argument(test):
    with pytest.raises(ValueError, match="predictions_b"):
        test([1, 2], [1], [1, 2])
    with pytest.raises(ValueError, match="predictions_a"):
        test([1, math.nan], [1, 2], [1, 2])
    for nothing in ([], np.array([], bool), np.array([], str)):
        with pytest.raises(ValueError, match="labels is empty"):
            test([1], [1], nothing)
    with pytest.raises(ValueError, match="is empty"):
        test(*[np.array([], bool)] * 3)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((14, 5, 0, 22), 0.011, 0.226),  # Altman et al., Statistics with Confidence (2000), page 52
        ((1, 1, 7, 12), -0.507, -0.026),  # Fagerland et al., Statistics in Medicine 33 (2014)
    ],
)
def test_difference_gives_published_intervals(table, low, high):
    found = accuracy.difference(*answers(*table))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def newcombe(both, only_a, only_b, neither):
    """Compute method 10 anew, from scipy's Wilson interval and the correlation of the two 0/1 columns."""
    a, b, _ = (np.array(column) for column in answers(both, only_a, only_b, neither))
    n = len(a)
    (la, ua), (lb, ub) = (binomtest(int(x.sum()), n).proportion_ci(method="wilson") for x in (a, b))
    phi = 0.0
    if a.std() * b.std() > 0:
        phi = np.corrcoef(a, b)[0, 1]
        if phi > 0:
            phi = max(0, phi - 1 / (2 * n) / (a.std() * b.std()))
    pa, pb = a.mean(), b.mean()
    low = math.sqrt((pa - la) ** 2 - 2 * phi * (pa - la) * (ub - pb) + (ub - pb) ** 2)
    high = math.sqrt((ua - pa) ** 2 - 2 * phi * (ua - pa) * (pb - lb) + (pb - lb) ** 2)
    return pa - pb, pa - pb - low, pa - pb + high


def test_difference_agrees_with_newcombe_computed_anew_on_every_small_table():
    for table in itertools.product(range(5), repeat=4):
        if sum(table):
            found = accuracy.difference(*answers(*table))
            assert (found.value, found.low, found.high) == pytest.approx(newcombe(*table), abs=1e-9)


@given(st.tuples(*[st.integers(0, 200)] * 4).filter(any))
def test_difference_turns_its_sign_when_the_models_swap(table):
    a, b, labels = answers(*table)
    one, other = accuracy.difference(a, b, labels), accuracy.difference(b, a, labels)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-12)
    assert -1 <= one.low <= one.value <= one.high <= 1


def test_difference_covers_the_truth_in_19_of_20_samples():
    rng = np.random.default_rng(0)
    chances = np.array([0.85, 0.06, 0.03, 0.06])
    hits = 0
    for table in rng.multinomial(200, chances, 400):
        found = accuracy.difference(*answers(*table))
        hits += found.low <= chances[1] - chances[2] <= found.high
    assert 0.93 <= hits / 400 <= 0.99


def test_difference_reads_as_a_sentence():
    text = str(accuracy.difference(*answers(80, 10, 2, 8)))
    assert re.fullmatch(r"\+0\.0800 \(95 % interval \+0\.\d{4} to \+0\.\d{4}, paired\)", text)


def students_quantile(confidence, freedom):
    """Return scipy's, after a step of Newton's: in older releases it is good to eight digits only."""
    share = (1 + confidence) / 2
    found = t.ppf(share, freedom)
    return found - (t.cdf(found, freedom) - share) / t.pdf(found, freedom)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=40),
    st.floats(0.01, 0.999),
)
def test_paired_is_scipys_interval_of_students_paired_test(pairs, confidence):
    a, b = np.array(pairs).T
    found = accuracy.paired(a, b.tolist(), confidence)
    gaps = a - b
    half = students_quantile(confidence, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    assert found.mean == pytest.approx(gaps.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), abs=1e-9)
    assert (found.wins, found.losses, found.ties) == ((a > b).sum(), (a < b).sum(), (a == b).sum())
    expected = "a better" if found.low > 0 else "b better" if found.high < 0 else "same"
    assert found.verdict == expected


@pytest.mark.parametrize("pairs", [2, 3, 4, 5, 20, 21, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
def test_paired_uses_students_quantile(pairs, confidence):
    a = np.arange(pairs) % 3 + 1.0
    half = students_quantile(confidence, pairs - 1) * a.std(ddof=1) / np.sqrt(pairs)
    found = accuracy.paired(a, np.zeros(pairs), confidence)
    assert (found.low, found.high) == pytest.approx((a.mean() - half, a.mean() + half), rel=1e-9)


@pytest.mark.parametrize("pairs", [2, 3, 4, 5, 20, 21, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_paired_is_the_interval_of_scipys_own_test(pairs, confidence):
    a, b = np.arange(pairs) % 3 + 1.0, np.zeros(pairs)
    theirs = ttest_rel(a, b).confidence_interval(confidence)
    found = accuracy.paired(a, b, confidence)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_paired_covers_the_truth_in_19_of_20_samples_and_turns_its_sign():
    rng = np.random.default_rng(0)
    found = [accuracy.paired(one, np.zeros(8)) for one in rng.normal(0.3, 2, (2000, 8))]
    assert 0.935 <= np.mean([one.low <= 0.3 <= one.high for one in found]) <= 0.965
    a, b = rng.normal(0, 1, (2, 9))
    one, other = accuracy.paired(a, b), accuracy.paired(b, a)
    assert (one.low, one.high, one.wins) == pytest.approx((-other.high, -other.low, other.losses))


def test_paired_reads_as_a_sentence():
    found = accuracy.paired([0.95, 0.94, 0.96, 0.93], [0.90, 0.92, 0.91, 0.93])
    expected = r"\+0\.0300 \(95 % interval -0\.0090 to \+0\.0690; 3 wins, 0 losses, 1 tie\)"
    assert re.fullmatch(expected, str(found)), str(found)
    assert repr(found) == str(found)
    assert "3 wins" in found._repr_html_()


@pytest.mark.parametrize(
    ("a", "b", "confidence", "says"),
    [
        ([1.0], [0.5], 0.95, "equally long, at least 2; got 1 and 1"),
        ([1.0, 2.0], [0.5], 0.95, "got 2 and 1"),
        ([1.0, float("nan")], [0.5, 1.0], 0.95, "a must be finite"),
        ([[1.0, 2.0]], [0.5, 1.0], 0.95, "a must have 1"),
        ([], [], 0.95, "a is empty"),
        ([1.0, 2.0], [0.5, 1.0], 1.0, "confidence"),
        ([1.0, 2.0], [0.5, 1.0], 0.0, "confidence"),
    ],
)
def test_paired_refuses_what_it_cannot_answer(a, b, confidence, says):
    with pytest.raises(ValueError, match=says):
        accuracy.paired(a, b, confidence)


# Kinds of labels


TEXT = ["3", "3", "7", "7", "3"]
GUESS = ["3", "7", "7", "7", "7"]


@pytest.mark.parametrize(
    "form",
    [
        list,
        np.array,
        lambda each: np.array(each, dtype=object),
        lambda each: np.array(each, dtype="<U40"),
        lambda each: [int(one) for one in each],
        lambda each: np.array([int(one) for one in each], np.uint8),
        lambda each: torch.tensor([int(one) for one in each]),
        lambda each: [float(one) for one in each],
        lambda each: np.ma.masked_array([int(one) for one in each]),
    ],
)
def test_labels_of_any_kind_are_compared_as_labels(form):
    assert (accuracy.of(form(GUESS), form(TEXT)).correct, accuracy.of(form(TEXT), form(TEXT)).correct) == (
        3,
        5,
    )
    assert accuracy.mcnemar(form(TEXT), form(GUESS), form(TEXT)).only_a == 2


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, lambda each: np.array(each, float)])
def test_what_pytorchs_losses_ignore_does_not_count(form):
    labels, guesses = [2, 1, -100, 0, -100], [2, 1, 0, 1, -100]
    found = accuracy.of(form(guesses), form(labels))
    assert (found.correct, found.total) == (2, 3)
    logits = functional.one_hot(torch.tensor(guesses).clamp(min=0), 3) * 50.0
    loss = functional.cross_entropy(logits, torch.tensor(labels), reduction="sum")
    assert loss.item() == pytest.approx(50, abs=1e-3)  # one of three is wrong
    assert (found.low, found.high) == accuracy.interval(2, 3)
    pairs = accuracy.mcnemar(form([2, 1, 5, 0, 5]), form(guesses), form(labels))
    assert (pairs.only_a, pairs.only_b) == (1, 0)
    kept = accuracy.difference([2, 1, 0], [2, 1, 1], [2, 1, 0])
    assert accuracy.difference(form([2, 1, 5, 0, 5]), form(guesses), form(labels)) == kept


def test_large_whole_numbers_stay_apart():
    labels = [2**53, 2**60, 2**62]
    near = [each + 1 for each in labels]
    for form in (
        list,
        lambda each: np.array(each, np.int64),
        lambda each: np.array(each, np.uint64),
        torch.tensor,
    ):
        assert accuracy.of(form(near), form(labels)).correct == 0
        assert accuracy.of(form(labels), form(labels)).correct == 3


@pytest.mark.parametrize(
    ("predictions", "labels", "says"),
    [
        ([0, 0, 1, 1], ["3", "3", "7", "7"], "both be numbers or both be text"),
        ([0, 1], [-100, -100], "labels are all -100"),
        (
            np.ma.masked_array([0, 1], [False, True]),
            [0, 1],
            "predictions must be a plain array .* hides 1 of its",
        ),
        ([0, 1], np.ma.masked_array([0, 1], [True, True]), "labels must be a plain array .* hides 2 of its"),
        (np.array(["a", 1], dtype=object), ["a", "b"], "predictions must be an array of numbers"),
        (np.array([b"a", b"b"]), ["a", "b"], "predictions must be an array of numbers"),
        ([0, None], [0, 1], "predictions must be an array of numbers"),
        ([0.0, np.nan], [0, 1], "predictions must be finite"),
        (torch.zeros(2, device="meta"), [0, 1], "predictions"),
        ([[0.2, 0.8]], [1], "one class per example"),
        ([0.5, 1.0], [0, 1], "whole numbers, one class each"),
        (np.array(["2020-01-01"], "M8[D]"), [0], "predictions must be an array of numbers"),
        ([1j], [1], "predictions must be an array of numbers"),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(predictions, labels, says):
    with pytest.raises((TypeError, ValueError), match=says):
        accuracy.of(predictions, labels)


@pytest.mark.parametrize("total", [10**16, 10**400])
def test_counts_beyond_a_floats_digits_are_refused(total):
    with pytest.raises(ValueError, match="total"):
        accuracy.interval(1, total)
