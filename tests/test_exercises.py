import pickle
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursekit import claims, course, exercises
from coursekit._core import courses, texts
from coursekit.exercises import answers, checking
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG, Stop, Verdict, not_tried, right, wrong

BLANKS = [
    None,
    ...,
    (..., 1),
    [1, ...],
    {"a": ...},
    [[1, ...], [2, 3]],
    (None, None),
    np.array([..., 1], dtype=object),
]
QUESTION = """
[[question]]
text = "Which is `a < b`?"
[[question.choice]]
text = "<script>alert(1)</script>"
right = false
why = "No: `<` is escaped."
[[question.choice]]
text = "The **second** one"
right = true
why = "Yes & no."
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "course"
    folder.mkdir()
    monkeypatch.setattr(courses, "_ours", lambda: courses.Course(folder))
    return folder


@pytest.fixture(autouse=True)
def notebook_99(tmp_path, monkeypatch):
    """Add a course of one notebook, 99, with one exercise of each sort."""
    (tmp_path / "99").mkdir()
    (tmp_path / "99" / "checks.py").write_text("from test_exercises import CHECKERS\n", encoding="utf-8")
    added = []
    monkeypatch.setattr(courses, "_added", lambda: added)
    exercises.use(tmp_path / "99")


def check_answer(answer):
    """The number 42."""  # noqa: D401 - a checker says what it expects
    number = answers.as_number(answer)
    return right("It is.") if number == 42 else wrong(f"`{number}` is not it.", "Multiply **six** by seven.")


def check_double(function):
    values = np.array([1.0, 2.0])
    doubled = answers.as_array(answers.call(function, values), "your result", shape=(2,))
    return right() if np.array_equal(doubled, 2 * values) else wrong("Not twice as much.")


def check_picky(answer):
    """A list whose first item is a dict."""  # noqa: D401 - a checker says what it expects
    return right() if answer[0]["key"] else wrong("The key is empty.")


CHECKERS = {
    "99-answer": check_answer,
    "99-double": check_double,
    "99-picky": check_picky,
    "99-broken": lambda answer: "right",
}


def outcome(id, answer):
    return exercises.check(id, answer).outcome


def stopped(function, *args, **options):
    """Return the verdict with which a helper ends the check."""
    with pytest.raises(Stop) as stop:
        function(*args, **options)
    return stop.value.verdict


@pytest.mark.parametrize("blank", BLANKS, ids=repr)
def test_a_blank_is_not_tried(blank):
    assert answers.untried(blank)
    verdict = exercises.check("99-answer", blank)
    assert str(verdict) == repr(verdict) == "○ not tried yet"


@pytest.mark.parametrize(
    "answer", [0, "", (), [], {}, False, [None, 1], np.array([]), np.zeros(2), "...", type, print]
)
def test_a_wrong_answer_is_not_a_blank(answer):
    assert not answers.untried(answer)


def dots(x): ...


def described(x):
    """Say what it would do."""


@pytest.mark.parametrize("blank", [dots, described, lambda: ..., lambda x: None])
def test_a_function_that_does_nothing_is_blank(blank):
    assert answers.is_blank(blank)
    assert stopped(answers.call, blank, 1).outcome == NOT_TRIED


@pytest.mark.parametrize("tried", [print, lambda x: 0, lambda x: x, lambda x: x or None, Stop])
def test_a_function_with_a_body_is_not_a_blank(tried):
    assert not answers.is_blank(tried)


def test_a_list_that_holds_itself_is_not_a_trap():
    loop = [1]
    loop.append(loop)
    assert outcome("99-answer", loop) == WRONG


@pytest.mark.parametrize(
    "answer", [42, 42.0, np.float32(42), np.array([42]), [42], torch.tensor(42.0), torch.tensor([42])]
)
def test_a_right_answer_is_right_in_every_form(answer):
    verdict = exercises.check("99-answer", answer)
    assert verdict.outcome == RIGHT
    assert str(verdict) == "✓ right: It is."
    assert "<details>" not in verdict._repr_html_()


def test_a_wrong_answer_gets_a_reason_a_hint_and_a_pointer():
    verdict = exercises.check("99-answer", 41)
    assert str(verdict) == (
        "✗ wrong: `41` is not it.\n  Hint: Multiply six by seven.\n"
        "  Still stuck? The worked solutions are in the folder solutions, beside the notebook."
    )
    html = verdict._repr_html_()
    assert "<strong>✗ wrong: 99-answer</strong>" in html
    assert "<code>41</code> is not it." in html
    hidden = re.search("<details>.*</details>", html).group()
    assert "Multiply <strong>six</strong> by seven." in hidden
    assert "worked solutions are in the folder solutions" in hidden


class Hostile:
    """Raises whenever anybody looks."""

    def __getattr__(self, name):
        raise RuntimeError("do not touch")

    def __repr__(self):
        raise RuntimeError("do not look")

    def __iter__(self):
        raise RuntimeError("do not count")

    def __eq__(self, other):
        raise RuntimeError("do not compare")

    __hash__ = None


ODD = [
    "text",
    b"bytes",
    1j,
    object(),
    Hostile(),
    Hostile,
    [[]],
    {1: 2},
    {1},
    print,
    lambda: 1,
    float("nan"),
    10**400,
]
ODD += [
    torch.ones(2, 3),
    np.zeros((2, 0)),
    np.array("x"),
    [Hostile()],
    range(3),
    iter("ab"),
    warnings,
    int,
    ["a", None],
]


@pytest.mark.parametrize("answer", ODD, ids=lambda answer: type(answer).__name__)
@pytest.mark.parametrize("id", ["99-answer", "99-double", "99-picky", "99-broken"])
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_no_answer_makes_a_check_raise(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert verdict.id == id
    assert verdict.message or verdict.outcome == NOT_TRIED
    assert verdict._repr_html_()


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.just(...),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=anything)
def test_every_answer_gets_one_of_three_outcomes(answer):
    for id in ("99-answer", "99-double", "99-picky"):
        verdict = exercises.check(id, answer)
        assert verdict.outcome in (RIGHT, WRONG, NOT_TRIED)
        assert (verdict.outcome == NOT_TRIED) == answers.untried(answer)


def test_an_odd_answer_is_told_what_came_and_what_is_expected():
    assert "Your answer should be a number, but it is 'forty-two' (str)." in str(
        exercises.check("99-answer", "forty-two")
    )
    verdict = exercises.check("99-picky", {"a": 1})
    assert "Your answer, {'a': 1} (dict), could not be checked (`KeyError: 0`)." in str(verdict)
    assert verdict.hint == "Expected: A list whose first item is a dict."


@pytest.mark.parametrize(
    ("id", "answer", "ok"),
    [("99-answer", 42, True), ("99-answer", 41, False), ("99-answer", ..., False), ("99-broken", 1, False)],
)
@pytest.mark.parametrize("strict", ["1", "claims", "0", ""])
def test_only_strictness_1_raises_and_only_for_what_is_not_right(monkeypatch, strict, id, answer, ok):
    monkeypatch.setenv("COURSEKIT_STRICT", strict)
    if strict == "1" and not ok:
        with pytest.raises(AssertionError, match=f"exercise {id}: [✗○]"):
            exercises.check(id, answer)
    else:
        assert (outcome(id, answer) == RIGHT) == ok


@pytest.mark.parametrize(
    ("id", "error", "says"),
    [
        ("99-anser", ValueError, "there is no exercise '99-anser'; did you mean '99-answer'"),
        ("98-answer", ValueError, "no exercises for notebook '98'"),
        ("", ValueError, "no exercises for notebook ''"),
        ("..-x", ValueError, "no exercises for notebook"),
        (99, TypeError, "id must be text such as '01-encode'; got 99"),
    ],
)
def test_an_unknown_id_is_an_error(id, error, says):
    with pytest.raises(error, match=re.escape(says)):
        exercises.check(id, 42)


def in_place(values):
    values *= 2
    return values


def noisy(values):
    print("thinking")
    print("aloud", file=sys.stderr)
    warnings.warn("careful", stacklevel=1)
    return values * 2


def raising(values):
    print("got here")
    raise KeyError("scale")


def leaving(values):
    raise SystemExit(3)


def half_done(values):
    factor = ...
    return values * factor


def returning(result):
    return lambda values: result


def two_arguments(values, factor):
    return values * factor


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (noisy, RIGHT),
        (in_place, RIGHT),
        (returning(torch.tensor([2.0, 4.0], dtype=torch.bfloat16)), RIGHT),
        (returning((2, 4)), RIGHT),
        (returning(...), NOT_TRIED),
        (returning(None), WRONG),
        (half_done, NOT_TRIED),
        (returning([1, 2, 3]), WRONG),
        (returning([2, float("nan")]), WRONG),
        (returning("24"), WRONG),
        (raising, WRONG),
        (leaving, WRONG),
        (two_arguments, WRONG),
        (42, WRONG),
    ],
)
@pytest.mark.filterwarnings("ignore:careful")
def test_functions_are_called_safely(capfd, function, expected):
    assert outcome("99-double", function) == expected
    assert capfd.readouterr() == ("", "")


def test_an_error_in_the_students_function_is_told_with_the_call_and_what_was_printed():
    verdict = exercises.check("99-double", raising)
    assert verdict.message == (
        "`raising(ndarray of shape (2,) and dtype float64)` raised `KeyError: 'scale'`. "
        "Before that it printed: got here"
    )
    assert "two_arguments(" in str(exercises.check("99-double", two_arguments))
    assert "missing 1 required positional argument" in str(exercises.check("99-double", two_arguments))


def test_a_function_cannot_change_what_the_checker_holds():
    graph = torch.ones(2, requires_grad=True) * 2
    held = [[1, 2], np.ones(2), torch.ones(2), graph]

    def spoil(items, array, tensor, middle, *, more):
        for values in (items, array, tensor, more):
            values[0] = 7
        middle.detach()[0] = 7
        return items[0] + array[0]

    more = [1]
    assert answers.call(spoil, *held, more=more) == 14
    assert (held[0], more) == ([1, 2], [1])
    assert [values[0].item() for values in held[1:]] == [1, 1, 2]
    assert answers.call(next, iter([3])) == 3


@pytest.mark.parametrize("text", ["01000010", "0100 0010", "0b0100_0010", " 01 00 00 10\n"])
@pytest.mark.parametrize(
    "form", [str, list, lambda t: np.array(list(t)), lambda t: t.split(), lambda t: tuple(t)]
)
def test_bits_come_back_from_every_form(text, form):
    if form in (str,):
        assert answers.as_bits(form(text)) == "01000010"
    else:
        assert (
            answers.as_bits(form("".join(text.replace("_", "").split()).removeprefix("0b")), 8) == "01000010"
        )


@given(st.integers(0, 255))
def test_bits_come_back_from_numbers_and_lists_of_them(pattern):
    text = f"{pattern:08b}"
    digits = [int(bit) for bit in text]
    forms = [
        pattern,
        np.uint8(pattern),
        torch.tensor(pattern),
        digits,
        np.array(digits),
        np.array(digits, float),
    ]
    for form in [
        *forms,
        torch.tensor(digits),
        [bool(bit) for bit in digits],
        [text[:1], text[1:5], text[5:]],
    ]:
        assert answers.as_bits(form, 8) == text


@pytest.mark.parametrize(
    ("answer", "width", "says"),
    [
        ("012", None, "should be bits"),
        ("", None, "should be bits"),
        (5, None, "should be bits"),
        ([1, 0.5], None, "should be bits"),
        ([[1, 0], [0, 1]], None, "should be bits"),
        (-1, 8, "should be 8 bits, but it is -1 (int)"),
        (True, 8, "should be 8 bits"),
        (2.0, 8, "should be 8 bits"),
        ("0101", 8, "has 4 bits, but 8 are expected"),
        (256, 8, "has 9 bits, but 8 are expected"),
    ],
)
def test_what_is_not_a_pattern_is_wrong(answer, width, says):
    assert says in stopped(answers.as_bits, answer, width).message


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2]
)
def test_arrays_come_back_from_tensors_of_any_float_type(dtype):
    tensor = torch.tensor([1.0, -2.0]).to(dtype)
    assert answers.as_array(tensor).tolist() == [1.0, -2.0]
    assert answers.as_array(tensor).dtype == np.float64


def test_the_shape_and_the_wholeness_are_told():
    assert (
        stopped(answers.as_array, [1, 2], "q", shape=(3,)).message
        == "q has shape `(2,)`, but `(3,)` is expected."
    )
    assert "NaN" in stopped(answers.as_array, [float("nan")]).message
    assert answers.as_integer(3.0) == 3
    assert type(answers.as_integer(np.float32(3))) is int
    assert answers.as_number(2**60 + 1) == 2**60 + 1
    assert answers.as_number(float("inf")) == float("inf")
    for odd in (3.5, float("nan"), float("inf"), "3", None):
        assert "should be a" in stopped(answers.as_integer, odd).message


def test_a_prediction_is_kept_for_the_claim_and_forgotten_when_taken_back():
    assert str(exercises.predict("99-size", ...)).startswith("○ no guess yet")
    assert claims.guess("99-size") is None
    prediction = exercises.predict("99-size", 20_000, "B")
    assert repr(prediction) == "Your guess is kept: 20,000 B"
    assert "20,000 B" in prediction._repr_html_()
    assert claims.guess("99-size") == "20,000 B"
    exercises.predict("99-other", 3)
    exercises.predict("99-size", None)
    assert claims.guess("99-size") is None
    assert claims.guess("99-other") == "3"


@pytest.mark.parametrize(
    ("guess", "text"),
    [
        (16_777_217, "16,777,217 x"),
        (2**63 + 1, "9,223,372,036,854,775,809 x"),
        (0.25, "0.25 x"),
        (np.float32(0.5), "0.5 x"),
    ]
    + [(torch.tensor(3), "3 x"), (1e-8, "1.000000000e-08 x"), (-2.5, "-2.5 x")],
)
def test_guesses_are_shown_as_they_were_made(guess, text):
    assert exercises.predict("99-size", guess, "x").guess == text


def test_a_choice_must_be_one_of_the_choices():
    choices = ("faster", "same", "slower")
    assert exercises.predict("99-speed", "same", choices=choices).guess == "same"
    with pytest.raises(ValueError, match="guess must be one of faster, same, slower; got 'fast'"):
        exercises.predict("99-speed", "fast", choices=choices)
    with pytest.raises(TypeError, match="guess must be one of"):
        exercises.predict("99-speed", 1, choices=choices)
    assert claims.guess("99-speed") == "same"


@pytest.mark.parametrize(
    ("id", "guess", "error"),
    [
        ("99-x", "many", ValueError),
        ("99-x", float("nan"), ValueError),
        ("99-x", [1], TypeError),
        ("x", 1, ValueError),
        (9, 1, ValueError),
    ],
)
def test_what_is_not_a_guess_is_refused(id, guess, error):
    with pytest.raises(error, match="guess must be|id must be like"):
        exercises.predict(id, guess)


class Reader(HTMLParser):
    """Read a quiz as a browser does: the summaries, what they hide, and every tag used."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.summaries, self.hidden = set(), [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.open.append(tag)
        if tag == "summary":
            self.summaries.append("")
            self.hidden.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "summary" in self.open:
            self.summaries[-1] += data
        elif "details" in self.open:
            self.hidden[-1] += data


def put(folder, notebook, text, encoding="utf-8"):
    (folder / notebook).mkdir(exist_ok=True)
    (folder / notebook / "quiz.toml").write_text(text, encoding=encoding)


@pytest.fixture
def sample(folder):
    put(folder, "42", QUESTION * 3, encoding="utf-8")
    return exercises.quiz("42")


def test_a_quiz_hides_each_reason_behind_its_choice(sample):
    read = Reader(sample._repr_html_())
    choices = {"<script>alert(1)</script>": "✗ No: < is escaped.", "The second one": "✓ Yes & no."}
    assert sorted(read.summaries) == sorted([*choices] * 3)
    assert read.hidden == [choices[text] for text in read.summaries]
    assert read.tags == {"div", "strong", "ol", "li", "details", "summary", "code"}
    assert "<div>Which is <code>a &lt; b</code>?</div>" in sample._repr_html_()


def test_a_quiz_is_the_same_every_time_and_short_where_nbval_compares(sample):
    assert sample._repr_html_() == exercises.quiz("42")._repr_html_()
    assert repr(sample) == "Quiz 42: 3 questions"


def test_a_quiz_can_be_read_in_a_terminal(sample):
    lines = str(sample).splitlines()
    choices = {"<script>alert(1)</script>": "✗ No: `<` is escaped.", "The second one": "✓ Yes & no."}
    order = [choice.text.replace("**", "") for choice in sample.questions[0].choices]
    assert lines[2:5] == ["1. Which is `a < b`?", f"   a) {order[0]}", f"   b) {order[1]}"]
    answers = [choices[text] for text in order]
    assert lines[-6:] == [
        f"{n}{letter}) {why}" for n in (1, 2, 3) for letter, why in zip("ab", answers, strict=True)
    ]


def test_the_order_of_choices_is_drawn_once_per_question_and_no_place_is_favoured(folder):
    table = "[[question]]\ntext = 'Which, {n}?'\n" + "".join(
        f"[[question.choice]]\ntext = '{text}'\nright = {str(text == 'yes').lower()}\nwhy = 'so'\n"
        for text in ("no", "yes", "never")
    )
    places = []
    for n in range(100):
        put(folder, "42", (table.replace("{n}", str(n)) + QUESTION * 2))
        first, again = (exercises.quiz("42").questions[0].choices for _ in range(2))
        assert first == again
        places += [place for place, choice in enumerate(first) if choice.right]
    assert all(20 < places.count(place) < 47 for place in range(3))


def test_the_shipped_quizzes_favour_no_place():
    questions = [q for name in courses.files(courses.QUIZ) for q in exercises.quiz(name).questions]
    single = [[choice.right for choice in q.choices].index(True) for q in questions if not q.several]
    assert max(map(single.count, range(4))) <= len(single) // 2


def test_the_drawn_order_is_the_same_on_every_machine(folder):
    put(folder, "42", QUESTION * 3)
    drawn = [choice.text for choice in exercises.quiz("42").questions[0].choices]
    assert drawn == ["<script>alert(1)</script>", "The **second** one"]


def test_several_right_choices_are_announced(folder):
    several = QUESTION.replace("right = false", "right = true").replace('?"', '?"\nseveral = true')
    put(folder, "42", several + 2 * QUESTION)
    quiz = exercises.quiz("42")
    assert quiz.questions[0].title.endswith("(More than one is right.)")
    assert not quiz.questions[1].several


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (QUESTION * 2, "must have 3 to 5 questions; got 2"),
        (QUESTION * 6, "must have 3 to 5 questions; got 6"),
        ("", "has no 'question'"),
        (
            QUESTION * 2 + QUESTION.replace("true", "false"),
            "question 3 must have .* exactly one right choice",
        ),
        (QUESTION * 2 + QUESTION.replace("false", "true"), "got 2 right of 2"),
        (QUESTION.replace('?"', '?"\nseveral = true') * 3, "two or more right choices; got 1 right of 2"),
        (QUESTION.replace('why = "Yes & no."', "") * 3, "question 1, choice 2 has no 'why'"),
        (QUESTION.replace('why = "Yes & no."', 'why = ""') * 3, "why must be a str and not empty"),
        (QUESTION.replace("right = true", 'right = "true"') * 3, "right must be a bool"),
        (QUESTION.replace("right", "correct") * 3, "unknown key 'correct'"),
        (
            QUESTION.replace("<script>alert(1)</script>", "The **second** one") * 3,
            r"question 1 must have different choices; got 'The \*\*second",
        ),
        ('[[question]]\ntext = "?"\nchoice = []\n' * 3, "question 1: choice|must have two or more choices"),
        ("question = [1, 2, 3]", "question 1 must be a table"),
        ("[[question", "42/quiz.toml: "),
    ],
)
def test_a_quiz_that_breaks_the_rules_is_refused(folder, text, says):
    put(folder, "42", text)
    with pytest.raises(ValueError, match=says) as error:
        exercises.quiz("42")
    assert "42/quiz.toml" in str(error.value)


@pytest.mark.parametrize("id", ["43", "", "../secret"])
def test_an_unknown_quiz_is_an_error(sample, id):
    with pytest.raises(ValueError, match="there is no quiz .*42"):
        exercises.quiz(id)


def test_every_shipped_quiz_keeps_the_rules():
    names = list(courses.files(courses.QUIZ))
    assert names
    for name in names:
        quiz = exercises.quiz(name)
        read = Reader(quiz._repr_html_())
        assert len(read.summaries) == sum(len(question.choices) for question in quiz.questions)
        assert "!" not in str(quiz).replace("!=", "")


def test_every_shipped_checker_takes_a_blank_and_says_what_it_expects():
    folder = Path(course.__file__).parent
    for path in sorted(folder.glob("*/checks.py")):
        number = path.parent.name.removeprefix("nb")
        for id in checking.checkers(number):
            assert id.startswith(f"{number}-")
            assert outcome(id, ...) == NOT_TRIED


@given(st.text())
def test_texts_are_escaped_whatever_they_hold(text):
    for shown in (texts.rich(text), wrong(text, text)._repr_html_(), Verdict(RIGHT, text)._repr_html_()):
        tags = set(re.findall("</?([a-z]+)", shown))
        assert tags <= {"code", "strong", "div", "details", "summary", "p"}
    assert not_tried().message == ""


def test_the_evidence_modules_load_neither_torch_nor_pictures():
    code = (
        "import sys; from coursekit import scoreboard, claims, exercises;"
        "print([m for m in ('torch', 'matplotlib', 'ipywidgets', 'IPython') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("room", [claims, exercises])
def test_what_teachers_import_reports_where_it_is_imported_from(room):
    for name in room.__all__:
        found = getattr(room, name)
        if isinstance(found, type):
            assert (found.__module__, found.__qualname__) == (room.__name__, name)
            assert pickle.loads(pickle.dumps(found)) is found


@pytest.mark.parametrize("huge", [10**400, -(10**400)])
def test_a_guess_that_no_float_holds_is_refused_and_the_last_one_kept(huge):
    exercises.predict("05-crossover", 3)
    with pytest.raises(ValueError, match="^guess is too large"):
        exercises.predict("05-crossover", huge)
    assert claims.guess("05-crossover") == "3"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("helper", [answers.as_number, answers.as_integer, answers.as_array, answers.as_bits])
def test_answers_that_hide_or_pack_their_numbers_get_a_verdict(helper):
    for odd in (
        np.ma.masked,
        torch.ones(2).to_sparse(),
        torch.ones(1, device="meta"),
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    ):
        with pytest.raises(Stop) as stop:
            helper(odd)
        assert stop.value.verdict.outcome == WRONG


@pytest.mark.parametrize("odd", [None, 3, np.ones(2), b"q", torch.ones(2)])
def test_whoever_writes_a_checker_is_told_what_is_not_text(odd):
    for call in (
        lambda: answers.as_number(3, odd),
        lambda: answers.as_integer(3, odd),
        lambda: answers.as_array([3], odd),
        lambda: answers.as_bits("01", name=odd),
    ):
        with pytest.raises(TypeError, match=r"^name must be text; got"):
            call()
    for call in (lambda: right(odd), lambda: wrong(odd)):
        with pytest.raises(TypeError, match=r"^message must be text; got"):
            call()
    for call in (lambda: wrong("a", odd), lambda: answers.as_bits("01", hint=odd)):
        with pytest.raises(TypeError, match=r"^hint must be text; got"):
            call()
    with pytest.raises(TypeError, match=r"^id must be text; got"):
        exercises.quiz(odd)


def test_a_shape_is_a_tuple_and_a_type_is_a_type():
    assert answers.as_array([1, 2], shape=(np.int64(2),)).shape == (2,)
    assert answers.as_array(3, shape=()).shape == ()
    for odd in (3, [2], np.ones(2), "2"):
        with pytest.raises(TypeError, match=r"^shape must be a tuple"):
            answers.as_array([1, 2], shape=odd)
    with pytest.raises(TypeError, match=r"^dtype must be a type; got"):
        answers.as_array([1, 2], dtype=None)


@pytest.mark.parametrize("odd", ["one\ntwo " * 300, torch.ones(8, 4), 10**400, 3])
def test_what_is_no_course_is_refused_in_one_line(odd):
    with pytest.raises((TypeError, ValueError), match=r"^source must be a package or a folder") as refused:
        exercises.Course(odd)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_an_answer_that_leaves_when_it_is_looked_at_gets_a_verdict():
    class Leaving:
        def __array__(self, dtype=None, copy=None):
            raise SystemExit(3)

        def __float__(self):
            raise SystemExit(3)

    verdict = exercises.check("05-file-size", Leaving())
    assert verdict.outcome == "wrong"
