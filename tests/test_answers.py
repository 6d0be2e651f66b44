"""A reader who has only a student's copy finds no answer in it to its predictions and exercises."""

import answers
import nbformat
import pytest
from answers import NOT_ADOPTED
from build_notebooks import Course, load
from nbformat import v4

COURSE = Course()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


def report(name):
    """Return a line per cell of the student's copy that gives something away."""
    student, solution = (load(path) for path in COURSE.paths(name))
    return [
        f"cell {number} ({student.cells[number].source.partition(chr(10))[0]}): {'; '.join(sorted(set(why)))}"
        for number, why in answers.found(student, solution).items()
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason="tags to come", strict=True))
        if name in NOT_ADOPTED
        else name
        for name in COURSE.masters()
    ],
)
def test_no_answer_is_stored_in_front_of_its_question(name):
    assert report(name) == [], 'tag these cells: # %% tags=["answer"]'


def test_the_list_of_those_that_wait_names_notebooks():
    assert set(COURSE.masters()) >= NOT_ADOPTED


def cell(source, shown=""):
    outputs = [v4.new_output("stream", name="stdout", text=shown)] if shown else []
    return v4.new_code_cell(source, execution_count=1, outputs=outputs)


def found(*cells):
    notebook = v4.new_notebook(cells=list(cells))
    nbformat.validate(notebook)
    return list(answers.found(notebook, notebook))


PREDICT = cell('exercises.predict("02-mlp", ..., unit="parameters")', "○ no guess yet")
CARD = "Claim 02-mlp (arithmetic)\nThis machine says: 9,610 parameters\n"


def test_outputs_between_a_prediction_and_its_claim_are_found():
    measured = cell("net", "a table")
    assert found(cell("x", "before"), PREDICT, measured, cell('claims.show("02-mlp", measured=1)')) == [2]
    assert found(PREDICT, cell("net"), cell('claims.show("02-mlp", measured=1)', "a card"), measured) == [2]
    assert found(PREDICT, cell("net"), cell('claims.show("02-mlp", measured=1)'), measured) == []


def test_a_measured_figure_is_found_wherever_it_stands():
    shows = cell('claims.show("02-mlp", measured=1)', CARD)
    assert found(cell("a", "so 9,610."), cell("a", "19,610"), PREDICT, shows, cell("b", "9,610")) == [0, 3, 4]


def test_a_ratio_is_not_found_in_a_number_that_counts_something_else():
    predict = cell('exercises.predict("03-load-once", ..., unit="×")', "○ no guess yet")
    card = "Claim 03-load-once (hardware)\nThis machine says: 371× [360× to 380×]\n"
    shows = cell('claims.show("03-load-once", measured=1)', card)
    assert found(cell("a", "371 samples"), cell("a", "so 371×"), cell("a", "371 times"), predict, shows) == [
        1,
        2,
        4,
    ]


@pytest.mark.parametrize(
    ("id", "shown", "leaks"),
    [
        ("01-first-missing", "all up to 16,777,216", False),
        ("01-first-missing", "16,777,217 is missing", True),
        ("01-decode", "it is -0.75", True),
        ("01-encode", "0 10000000 10100000000000000000000", True),
        ("01-encode", "0 10000001 10100000000000000000000", False),
        ("02-count", "4,640 and 2,362,368 parameters", True),
        ("02-count", "4,640 parameters", False),
    ],
)
def test_the_answer_of_an_exercise_is_found_in_front_of_it(id, shown, leaks):
    asks = cell(f'exercises.check("{id}", answer)', "○ not tried yet")
    assert found(cell("shown", shown), asks) == [0] * leaks
    assert found(asks, v4.new_markdown_cell("## 2."), cell("shown", shown)) == []


def test_an_output_right_below_an_exercise_that_it_carries_out_is_found():
    asks = cell('exercises.check("04-fit", fit)', "○ not tried yet")
    assert found(asks, v4.new_markdown_cell("So:"), cell("a, b", "1.5")) == [2]
    assert found(asks, v4.new_markdown_cell("### Next"), cell("a, b", "1.5")) == []


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("in KiB, units of 1,024 bytes.", True),
        ("INT8 wins from 1,024 on", False),
        ("1,024 hidden neurons", False),
        ("the answer is 1,024 and no more", False),
        ("1,024 neurons, 1,024 bytes", False),
        ("1,024", False),
    ],
)
def test_a_measured_figure_is_another_one_only_where_another_unit_follows_it(text, other):
    assert answers.by_chance("1,024 neurons wide", "1,024", text) == other
