import bisect
import copy
import functools
import re
import sys
import threading
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from build_notebooks import Course, code_cells
from scipy.spatial.distance import cdist
from sklearn.metrics import pairwise_distances_argmin

from coursekit import exercises
from coursekit.course.nb03 import checks
from coursekit.exercises import answers, effort
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

LECTURE = {"read CSV": 1.8, "load pickle": 0.6, "predict": 0.001}


@pytest.fixture(scope="module")
def notebook():
    """Return what the notebook's mysteries define, without running the rest of it."""
    wanted = ("def known_words", "def drop_repeats", "def distance")
    names = {"np": np}
    for cell in code_cells(Course().expected("03-profiling-basics")[1]):
        if any(text in cell.source for text in wanted):
            lines = [line for line in cell.source.split("\n") if line[:1] in ("d", " ", "")]
            exec("\n".join(line for line in lines if not line.startswith(("(", "some"))), names)
    return names


# Amdahl


def gone(seconds, part):
    return sum(seconds.values()) / sum(time for name, time in seconds.items() if name != part)


def with_arrays(seconds, part):
    times = torch.tensor(list(seconds.values()), dtype=torch.float64)
    return times.sum() / (times.sum() - seconds[part])


def changing(seconds, part):
    total = sum(seconds.values())
    del seconds[part]
    return np.float64(total / sum(seconds.values()))


# Mystery 1: how many words of each message are unknown


def once(texts, read):
    known = read()
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def once_with_numpy(texts, read):
    known = read()
    return np.array([len([w for w in text.lower().split() if w not in known]) for text in texts])


def cached(texts, read):
    remembered = functools.cache(read)
    return tuple(sum(word not in remembered() for word in text.lower().split()) for text in texts)


def in_batches(texts, read):
    found = []
    for start in range(0, len(texts), 20):
        known = read()
        found += [sum(w not in known for w in t.lower().split()) for t in texts[start : start + 20]]
    return found


def every_time(texts, read):
    return [sum(word not in read() for word in text.lower().split()) for text in texts]


def own_list(texts, read):
    known = {"the", "a"}
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def with_bisect(texts, read):
    known = sorted(read())

    def is_known(word):
        place = bisect.bisect_left(known, word)
        return place < len(known) and known[place] == word

    return [sum(not is_known(word) for word in text.lower().split()) for text in texts]


def as_sets(texts, read):
    unknown = set(" ".join(texts).lower().split()) - set(read())
    return [sum(word in unknown for word in text.lower().split()) for text in texts]


def typed_in(texts, read):
    known = sorted(checks.KNOWN)
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def through_a_list_of_words(texts, read):
    known = list(read())
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def with_count(texts, read):
    known = tuple(read())
    return [sum(known.count(word) == 0 for word in text.lower().split()) for text in texts]


def through_an_array(texts, read):
    known = np.array(list(read()))
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def all_at_once_in_an_array(texts, read):
    words = [text.lower().split() for text in texts]
    unknown = np.split(~np.isin(np.concatenate(words), [*read()]), np.cumsum([*map(len, words)])[:-1])
    return [each.sum() for each in unknown]


def equal_to_any(texts, read):
    known = np.array(list(read()))
    return [sum(not (known == word).any() for word in text.lower().split()) for text in texts]


def in_one_text(texts, read):
    known = f" {' '.join(read())} "
    return [sum(f" {word} " not in known for word in text.lower().split()) for text in texts]


def a_new_set_per_word(texts, read):
    known = read()
    return [sum(word not in frozenset(known) for word in text.lower().split()) for text in texts]


def with_an_index(texts, read):
    known = pd.Index([*read()])
    return [sum(word not in known for word in text.lower().split()) for text in texts]


def with_a_dict(texts, read):
    known = dict.fromkeys(read())
    return [sum(known.get(word, word) is not None for word in text.lower().split()) for text in texts]


def with_searchsorted(texts, read):
    known = np.sort(np.array([*read()]))

    def unknown(words):
        return (known[np.searchsorted(known, words).clip(max=len(known) - 1)] != words).sum()

    return [unknown(text.lower().split()) for text in texts]


def different_words(texts, read):
    return [len(set(text.lower().split()) - read()) for text in texts]


def case_matters(texts, read):
    known = read()
    return [sum(word not in known for word in text.split()) for text in texts]


def one_number(texts, read):
    return sum(once(texts, read))


# Mystery 2: characters of all messages, each kept once


def as_a_set(texts):
    return sum(len(text) for text in set(texts))


def in_order(texts):
    return sum(map(len, dict.fromkeys(texts)))


def counted(texts):
    return sum(len(text) for text in Counter(texts))


def sorted_first(texts):
    ordered = sorted(texts)
    neighbours = zip(ordered, ordered[1:], strict=False)
    return len(ordered[0]) + sum(len(b) for a, b in neighbours if a != b)


def with_numpy(texts):
    return np.char.str_len(np.unique(texts)).sum()


def with_pandas(texts):
    return pd.Series(texts).drop_duplicates().str.len().sum()


def step_by_step(texts):
    seen, total = set(), 0
    for text in texts:
        if text not in seen:
            seen.add(text)
            total += len(text)
    return torch.tensor(total)


def through_a_list(texts):
    kept = []
    for text in texts:
        if text not in kept:
            kept.append(text)
    return sum(map(len, kept))


def lower_first(texts):
    return through_a_list([text.lower() for text in texts])


def through_a_comprehension(texts):
    return sum(len(text) for i, text in enumerate(texts) if text not in texts[:i])


def all_of_them(texts):
    return sum(map(len, texts))


def how_many(texts):
    return len(set(texts))


# Mystery 3: the nearest centre


def broadcast(pictures, centres):
    return ((pictures[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)


def with_norm(pictures, centres):
    return np.linalg.norm(pictures[:, None] - centres, axis=2).argmin(axis=1).tolist()


def with_products(pictures, centres):
    return ((centres**2).sum(axis=1) - 2 * pictures @ centres.T).argmin(axis=1)


def with_torch(pictures, centres):
    return torch.cdist(torch.as_tensor(pictures), torch.as_tensor(centres)).argmin(dim=1)


def with_scipy(pictures, centres):
    return cdist(pictures, centres).argmin(axis=1)


def with_sklearn(pictures, centres):
    return pairwise_distances_argmin(pictures, centres)


def row_by_row(pictures, centres):
    found = []
    for picture in pictures:
        differences = centres - picture
        squares = np.sum(differences**2, axis=1)
        found.append(int(np.argmin(squares)))
    return found


def centre_by_centre(pictures, centres):
    distances = [np.sum((pictures - centre) ** 2, axis=1) for centre in centres]
    return np.argmin(np.stack(distances), axis=0)


def in_python(pictures, centres):
    found = []
    for picture in pictures:
        distances = []
        for centre in centres:
            total = 0.0
            for a, b in zip(picture, centre, strict=True):
                total += (a - b) ** 2
            distances.append(total)
        found.append(distances.index(min(distances)))
    return found


def in_one_line(pictures, centres):
    return [
        min(range(len(centres)), key=lambda j: sum((a - b) ** 2 for a, b in zip(p, centres[j], strict=True)))
        for p in pictures
    ]


def pair_by_pair(pictures, centres):
    return [int(np.argmin([((p - c) ** 2).sum() for c in centres])) for p in pictures]


def vectorised_in_name(pictures, centres):
    nearest = np.vectorize(
        lambda p, c: sum((a - b) ** 2 for a, b in zip(p, c, strict=True)), signature="(n),(n)->()"
    )
    return nearest(pictures[:, None], centres[None]).argmin(axis=1)


def farthest(pictures, centres):
    return cdist(pictures, centres).argmax(axis=1)


OTHER_DISTANCES = [
    (lambda p, c: cdist(p, c, "cityblock").argmin(axis=1), "sums of differences"),
    (lambda p, c: np.abs(p[:, None] - c).sum(axis=2).argmin(axis=1), "squares each difference"),
    (lambda p, c: cdist(p, c, "chebyshev").argmin(axis=1), "largest difference alone"),
    (lambda p, c: cdist(p, c, "cosine").argmin(axis=1), "compares directions"),
    (lambda p, c: (p @ c.T).argmax(axis=1), "largest product"),
    (lambda p, c: np.abs((p[:, None] - c).sum(axis=2)).argmin(axis=1), "squares are missing"),
    (lambda p, c: cdist(p, c, "canberra").argmin(axis=1), "differ from those"),
]


def wrong_axis(pictures, centres):
    return ((pictures[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=0)


def from_one(pictures, centres):
    return broadcast(pictures, centres) + 1


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("03-without", gone),
        ("03-without", with_arrays),
        ("03-without", changing),
        *[("03-without", lambda s, p, n=n: round(gone(s, p), n)) for n in (1, 2, 3)],
        ("03-without", lambda s, p: float(f"{gone(s, p):.3g}")),
        *[("03-mystery-1", ("known_words", f)) for f in (once, once_with_numpy, cached, in_batches)],
        *[("03-mystery-1", ("known_words", f)) for f in (with_bisect, as_sets, with_a_dict, with_an_index)],
        *[("03-mystery-1", ("known_words", f)) for f in (with_searchsorted, all_at_once_in_an_array)],
        ("03-mystery-1", ["known_words()", once]),
        ("03-mystery-1", (" Known_Words ", once)),
        *[
            ("03-mystery-2", ("drop_repeats", f))
            for f in (as_a_set, in_order, counted, sorted_first, with_numpy, with_pandas, step_by_step)
        ],
        *[
            ("03-mystery-3", ("distance", f))
            for f in (
                broadcast, with_norm, with_products, with_torch, with_scipy, with_sklearn, row_by_row,
                centre_by_centre,
            )
        ],
    ],
)  # fmt: skip
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("03-without", lambda seconds, part: sum(seconds.values()) / seconds[part], "divided by the part"),
        ("03-without", lambda seconds, part: seconds[part] / sum(seconds.values()), "share"),
        ("03-without", lambda seconds, part: 1 / gone(seconds, part), "the other way round"),
        ("03-without", lambda seconds, part: sum(seconds.values()) - seconds[part], "seconds that are left"),
        ("03-without", lambda seconds, part: 100 - 100 / gone(seconds, part), "per cent"),
        ("03-without", lambda seconds, part: 4, "4"),
        ("03-without", lambda s, p: round(gone(s, p)), "Rounded to a whole number"),
        ("03-without", 3.99, "a function"),
        ("03-without", lambda seconds: 1.0, "TypeError"),
        ("03-mystery-1", ("known_words", every_time), "still called"),
        ("03-mystery-1", ("known_words", different_words), "answers"),
        ("03-mystery-1", ("known_words", through_a_list_of_words), "looks through a whole list"),
        ("03-mystery-1", ("known_words", with_count), "looks through a whole list"),
        *[
            ("03-mystery-1", ("known_words", f), "still goes through all of it")
            for f in (through_an_array, equal_to_any, in_one_text, a_new_set_per_word)
        ],
        ("03-mystery-1", ("known_words", own_list), "from `read()`"),
        ("03-mystery-1", ("known_words", typed_in), "never called"),
        ("03-mystery-1", ("known_words", case_matters), "differ"),
        ("03-mystery-1", ("known_words", one_number), "1 answers came for 60"),
        ("03-mystery-1", ("unknown", once), "because of what it calls"),
        ("03-mystery-1", ("split", once), "tottime"),
        ("03-mystery-1", (3, once), "should be text"),
        ("03-mystery-1", ("known_words", "once"), "your faster function"),
        ("03-mystery-1", once, "Hand in both"),
        ("03-mystery-2", ("drop_repeats", through_a_list), "still compared"),
        ("03-mystery-2", ("drop_repeats", through_a_comprehension), "still compared"),
        ("03-mystery-2", ("drop_repeats", lower_first), "capital letter makes another"),
        ("03-mystery-2", ("drop_repeats", lambda t: sum(map(len, {x.lower() for x in t}))), "capital letter"),
        (
            "03-mystery-2",
            ("drop_repeats", lambda t: sum(map(len, {x.strip() for x in t}))),
            "space at the end",
        ),
        (
            "03-mystery-2",
            ("drop_repeats", lambda t: sum({x: len(x) for x in map(str.casefold, t)}.values())),
            "capital",
        ),
        (
            "03-mystery-2",
            ("drop_repeats", lambda t: sum(map(len, {" ".join(x.lower().split()) for x in t}))),
            "spaces",
        ),
        ("03-mystery-2", ("drop_repeats", all_of_them), "count once"),
        ("03-mystery-2", ("drop_repeats", how_many), "360 characters"),
        ("03-mystery-2", ("characters", as_a_set), "next to nothing"),
        ("03-mystery-3", ("distance", in_python), "lines per picture"),
        ("03-mystery-3", ("distance", in_one_line), "lines per picture"),
        ("03-mystery-3", ("distance", pair_by_pair), "lines per picture"),
        ("03-mystery-3", ("distance", vectorised_in_name), "lines per picture"),
        ("03-mystery-3", ("distance", farthest), "differ"),
        *[("03-mystery-3", ("distance", f), says) for f, says in OTHER_DISTANCES],
        ("03-mystery-3", ("distance", from_one), "counted from 0"),
        ("03-mystery-3", ("distance", wrong_axis), "40 answers came for 10"),
        ("03-mystery-3", ("nearest", broadcast), "because of what it calls"),
    ],
)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("03-without", lambda seconds, part: ...),
        ("03-without", ...),
        *[(f"03-mystery-{n}", (..., lambda *given: ...)) for n in (1, 2, 3)],
        ("03-mystery-1", ("known_words", lambda texts, read: ...)),
        ("03-mystery-2", (..., as_a_set)),
        ("03-mystery-3", None),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


# The notebook's own programs


def test_the_notebooks_slow_programs_are_slow_in_the_checkers_eyes(notebook):
    for number, name in ((1, "known_words"), (2, "drop_repeats"), (3, "distance")):
        verdict = exercises.check(f"03-mystery-{number}", (notebook[name], notebook[f"mystery_{number}"]))
        assert verdict.outcome == WRONG
        assert "right, but" in str(verdict), str(verdict)


def test_the_slow_program_and_its_repair_give_the_same_answers(notebook):
    texts = ["Win a PRIZE now", "Are we still meeting?", "Win a PRIZE now", ""]
    assert notebook["mystery_1"](texts, lambda: {"a", "we"}) == once(texts, lambda: {"a", "we"})
    assert notebook["mystery_2"](texts) == as_a_set(texts)
    rng = np.random.default_rng(0)
    pictures, centres = rng.random((20, 64)), rng.random((10, 64))
    assert notebook["mystery_3"](pictures, centres) == broadcast(pictures, centres).tolist()


# Counting work


def test_calls_are_counted_through_copies():
    counting = effort.Counted(lambda x: 2 * x)
    assert [counting(1), counting(x=2)] == [2, 4]
    copy.deepcopy([counting])[0](3)
    assert counting.calls == 3


def test_comparisons_of_texts_are_counted_and_texts_stay_texts():
    counting = effort.Comparisons()
    one, other = counting.text("abc"), counting.text("abd")
    assert (one == other, one != other, one < other) == (False, True, True)
    assert counting.count == 3
    assert one.lower() in [other, counting.text("abc")]
    assert counting.count == 5
    assert (len(one), one + "d", isinstance(one, str), {one: 1}["abc"]) == (3, "abcd", True, 1)


def loop(count):
    total = 0
    for i in range(count):
        total += i
    return total


def test_steps_grow_with_own_python_code_and_not_with_that_of_libraries():
    few, many = (effort.steps(lambda n=n: loop(n)) for n in (10, 110))
    assert many - few == 200  # two lines per turn
    one, more = (effort.steps(lambda n=n: pd.Series(range(n)).mean()) for n in (10, 1000))
    assert one == more


def test_tracing_is_restored_also_after_an_error():
    def trace(*_):
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(ZeroDivisionError):
            effort.steps(lambda: 1 / 0)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)


def test_what_runs_too_many_lines_is_stopped_and_what_is_blank_stays_so():
    limited = effort.Limited(loop, 100)
    assert limited(10) == 45
    with pytest.raises(effort.EndlessError):
        limited(1000)
    assert answers.is_blank(effort.Limited(lambda: ..., 100))
    assert not answers.is_blank(limited)


def test_a_caller_is_not_traced_when_what_swallows_the_end_was_stopped():
    def swallowing():
        while True:
            try:
                loop(1000)
            except BaseException:  # it takes the check's own error, too
                continue

    before, mine = sys.gettrace(), sys._getframe().f_trace
    with pytest.raises(effort.EndlessError) as ended:
        effort.steps(swallowing, 100)
    del ended
    assert (sys.gettrace(), sys._getframe().f_trace) == (before, mine)


def test_another_thread_that_lets_go_of_the_error_is_not_traced():
    held, given, left = [], threading.Event(), threading.Event()
    found = []

    def letting_go():
        given.wait(10)
        held.clear()
        found.append(sys.gettrace())
        sys.settrace(None)
        left.set()

    def handing_over():
        try:
            loop(1000)
        except BaseException as error:
            held.append(error.with_traceback(None))
        given.set()
        left.wait(10)

    other = threading.Thread(target=letting_go)
    before = threading.gettrace()
    threading.settrace(None)
    try:
        other.start()
    finally:
        threading.settrace(before)
    effort.steps(handing_over, 100)
    other.join()
    assert found == [None]


def test_hints_name_no_size_that_the_test_does_not_use():
    verdict = exercises.check("03-mystery-3", ("distance", in_python))
    assert not re.search(r"\b(10|64)\b", verdict.hint)
