"""Courses of one's own: found in packages and folders, read again after edits, refused with a reason."""

import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit import claims, course, exercises
from coursekit._core import courses
from coursekit.exercises import Course, use

CHECKS = """
from coursekit.exercises import as_number, right, wrong


def number(answer):
    return right() if as_number(answer) == {wanted} else wrong("Not it.")


CHECKERS = {{"{id}": number}}
"""
CLAIM = """
[[claim]]
id = "{id}"
kind = "arithmetic"
says = "Two."
why = "One and one."
holds = {{ equals = 2 }}
"""


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Leave no course behind, and keep what is recorded apart."""
    added = []
    monkeypatch.setattr(courses, "_added", lambda: added)
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


@pytest.fixture(params=["plain", "with spaces, ümläuts & 量子"])
def folder(tmp_path, request):
    return tmp_path / request.param


def lay(folder, wanted=2, id=None, claim=None):
    """Write one notebook's folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    number = folder.name.partition("-")[0]
    (folder / "checks.py").write_text(
        CHECKS.format(wanted=wanted, id=id or f"{number}-two"), encoding="utf-8"
    )
    (folder / "claims.toml").write_text(CLAIM.format(id=claim or f"{number}-sum"), encoding="utf-8")
    return folder


def outcome(id, answer=2):
    return exercises.check(id, answer).outcome


# What can be handed in


def test_a_folder_of_notebooks_is_a_course(folder):
    lay(folder / "20-my-topic", 2)
    lay(folder / "21-other", 3)
    (folder / "README.md").write_text("no notebook", encoding="utf-8")
    (folder / "pictures").mkdir()
    made = use(folder)
    assert dict(made.notebooks) == {"20": folder / "20-my-topic", "21": folder / "21-other"}
    assert [outcome(id, 3) for id in ("20-two", "21-two")] == ["wrong", "right"]
    assert claims.show("21-sum", measured=2).verdict == "holds"
    assert (made.package, made.folder) == ("", folder)
    assert str(folder) in repr(made)
    assert "20, 21" in repr(made)


def test_a_folder_of_one_notebook_is_a_course(folder):
    use(str(lay(folder / "20-my-topic")))
    assert outcome("20-two") == "right"


def test_our_own_notebooks_stay_and_come_first(folder):
    use(lay(folder / "20-my-topic"))
    assert list(courses.notebooks())[-1] == "20"
    assert outcome("01-decode", -0.75) == "right"
    assert use("coursekit.course") is courses.courses()[0] or len(courses.courses()) == 2


@pytest.mark.parametrize("form", ["name", "module"])
def test_a_package_is_a_course_and_its_checks_import_each_other(folder, form, monkeypatch):
    package = folder / "a_course_for_tests"
    lay(package / "nb20")
    for place in (package, package / "nb20"):
        (place / "__init__.py").write_text("", encoding="utf-8")
    (package / "nb20" / "answers.py").write_text("TWO = 2", encoding="utf-8")
    checks = package / "nb20" / "checks.py"
    checks.write_text(
        "from a_course_for_tests.nb20.answers import TWO\n" + CHECKS.format(wanted="TWO", id="20-two")
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder.parent)
    try:
        made = use(package.name if form == "name" else importlib.import_module(package.name))
        assert (made.package, made.folder) == (package.name, package)
        assert outcome("20-two") == "right"
    finally:
        for name in [name for name in sys.modules if name.startswith(package.name)]:
            del sys.modules[name]


def test_a_relative_folder_is_found_from_the_copies_below_and_stays_found_elsewhere(folder, monkeypatch):
    lay(folder / "20-my-topic")
    (folder / "solutions").mkdir()
    monkeypatch.chdir(folder / "solutions")
    use("20-my-topic")
    monkeypatch.chdir("/")
    assert outcome("20-two") == "right"


def test_a_folder_beside_the_notebook_is_not_a_package_although_python_could_import_it(tmp_path, monkeypatch):
    lay(tmp_path / "my_course" / "20-my-topic")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert use("my_course").package == ""


def test_the_public_home_of_the_names_is_exercises():
    assert Course.__module__ == use.__module__ == exercises.__name__
    assert pickle.loads(pickle.dumps(Course)) is Course
    assert courses.courses()[0].package == course.__name__


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (42, TypeError, "source must be a package or a folder; got 42 (int)"),
        (None, TypeError, "got None"),
        (b"20", TypeError, "got b'20' (bytes)"),
        (pickle, TypeError, "got the module 'pickle'"),
        ("", ValueError, "there is neither at ''"),
        ("there-is-nothing", ValueError, "there is neither at 'there-is-nothing'"),
        ("a_package.that.is_missing", ValueError, "there is neither"),
        ("~nobody-of-this-name/x", ValueError, "there is neither"),
        (Path(__file__), ValueError, "there is neither"),
        ("email", ValueError, "source must hold a notebook's checks.py or claims.toml or quiz.toml"),
    ],
)
def test_what_is_not_a_course_is_refused(source, error, says):
    with pytest.raises(error) as caught:
        use(source)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(courses.courses()) == 1


@pytest.mark.parametrize("name", ["my topic", "-20", "20_topic", "über", "20-v1.5", "nb20_x"])
def test_a_folder_that_no_id_could_begin_with_is_refused(folder, name):
    lay(folder / name, id="x", claim="x")
    with pytest.raises(ValueError, match="like '20-my-topic'; got") as caught:
        use(folder)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__pycache__", ".git", "_drafts"])
def test_hidden_folders_are_not_notebooks(folder, name):
    lay(folder / name, id="x", claim="x")
    lay(folder / "20-my-topic")
    assert list(Course(folder).notebooks) == ["20"]


@pytest.mark.parametrize(
    ("name", "notebook"),
    [
        ("nb20", "20"),
        ("nb100", "100"),
        ("nbA", "A"),
        ("nbABC", "nbABC"),
        ("20-nb05", "20"),
        ("dashboard", "dashboard"),
    ],
)
def test_names_of_notebooks(folder, name, notebook):
    lay(folder / name)
    assert list(Course(folder).notebooks) == [notebook]


# Names that are taken


def test_two_notebooks_of_one_name_are_refused(folder):
    lay(folder / "20-my-topic")
    lay(folder / "nb20")
    with pytest.raises(ValueError, match="are both notebook '20'; rename one of them"):
        use(folder)


def test_a_name_of_another_course_is_refused_and_nothing_changes(folder, tmp_path):
    use(lay(folder / "20-my-topic"))
    for taken in ("20-other", "05-mine"):
        with pytest.raises(ValueError, match="and so has .*; rename the folder"):
            use(lay(tmp_path / "again" / taken))
    assert len(courses.courses()) == 2
    assert outcome("20-two") == "right"


def test_one_folder_alone_and_with_its_neighbours_is_the_same_notebook(folder):
    lay(folder / "20-my-topic")
    lay(folder / "21-another")
    for source in (folder / "20-my-topic", folder, folder / "20-my-topic"):
        use(source)
        assert outcome("20-two") == "right"
    assert {"20", "21"} <= set(courses.notebooks())


def test_using_it_again_finds_what_was_added_and_forgets_what_went(folder):
    lay(folder / "20-my-topic")
    use(folder)
    with pytest.raises(ValueError, match="no exercises for notebook '21'"):
        outcome("21-two")
    lay(folder / "21-other")
    use(folder)
    use(Course(folder))
    assert outcome("21-two") == "right"
    assert len(courses.courses()) == 2


def test_ids_of_a_foreign_notebook_are_refused(folder):
    use(lay(folder / "20-my-topic", id="05-two", claim="21-sum"))
    with pytest.raises(ValueError, match=r"checks.py: ids must begin with '20-'; got '05-two'"):
        outcome("20-two")
    with pytest.raises(ValueError, match=r"20-my-topic/claims.toml: 21-sum .* belongs to notebook 21"):
        claims.show("20-sum", measured=2)


def test_an_unknown_notebook_is_named(folder):
    made = Course(lay(folder / "20-my-topic"))
    with pytest.raises(ValueError, match="there is no notebook '21'"):
        made.checkers("21")


@pytest.mark.parametrize("missing", ["checks.py", "claims.toml", "quiz.toml"])
def test_a_notebook_may_lack_a_file_and_says_so_when_it_is_asked_for(folder, missing):
    place = lay(folder / "20-my-topic")
    (place / "quiz.toml").write_text("", encoding="utf-8")
    (place / missing).unlink()
    use(place)
    ask = {
        "checks.py": lambda: outcome("20-two"),
        "claims.toml": lambda: claims.show("20-sum", measured=2),
        "quiz.toml": lambda: exercises.quiz("20"),
    }
    with pytest.raises(ValueError, match="there (is|are) no (exercises for notebook|claim|quiz) '20"):
        ask.pop(missing)()


# Files that change


def test_an_edit_counts_at_the_next_check_even_within_a_second_and_at_the_same_length(folder):
    place = lay(folder / "20-my-topic", wanted=2)
    use(place)
    for wanted in (3, 4, 2, 5):
        lay(place, wanted)
        assert outcome("20-two", wanted) == "right"
        assert outcome("20-two", 1) == "wrong"
    assert not list(folder.rglob("__pycache__"))


def test_a_neighbour_is_imported_and_its_edits_count(folder):
    place = lay(folder / "20-my-topic")
    body = CHECKS.format(wanted="TWO * FACTOR", id="20-two")
    (place / "checks.py").write_text("from .answers import TWO\nfrom ..common import FACTOR\n" + body)
    (place / "answers.py").write_text("TWO = 2")
    (folder / "common.py").write_text("FACTOR = 1")
    use(folder)
    assert outcome("20-two", 2) == "right"
    (place / "answers.py").write_text("TWO = 7")
    assert outcome("20-two", 7) == "right"
    (folder / "common.py").write_text("FACTOR = 2")
    assert outcome("20-two", 14) == "right"


def test_neighbours_of_one_name_are_not_mixed_up(folder):
    for number, value in ((20, 2), (21, 3)):
        place = lay(folder / f"{number}-topic")
        (place / "answers.py").write_text(f"VALUE = {value}")
        body = CHECKS.format(wanted="VALUE", id=f"{number}-two")
        (place / "checks.py").write_text("from .answers import VALUE\n" + body)
    use(folder)
    assert [outcome(id, 3) for id in ("20-two", "21-two", "20-two")] == ["wrong", "right", "wrong"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\ndef f(:\n    pass", "checks.py, line 2: SyntaxError: invalid syntax"),
        ("import math\nmath.no", "checks.py, line 2: AttributeError: module 'math' has no attribute 'no'"),
        ("import not_there", "checks.py, line 1: ModuleNotFoundError: No module named 'not_there'"),
        ("import beside", "what lies beside it is imported as 'from . import beside'"),
        ("from . import broken", "broken.py, line 2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit('over')", "checks.py, line 2: SystemExit: over"),
        ("raise ValueError('one\\ntwo')", "checks.py, line 1: ValueError: one two"),
        ("x = 1", "checks.py must define CHECKERS, a dict of exercise id to function"),
        ("CHECKERS = [1]", "checks.py must define CHECKERS"),
        ("CHECKERS = {'20-two': 42}", "checks.py: '20-two' must be a function; got int"),
        ("CHECKERS = {20: print}", "checks.py: ids must begin with '20-'; got 20"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_with_its_error_and_works_once_it_is_mended(folder, text, says):
    place = lay(folder / "20-my-topic")
    (place / "beside.py").write_text("")
    (place / "broken.py").write_text("x = 1\n1 / 0")
    use(place)
    (place / "checks.py").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="20-my-topic") as caught:
        outcome("20-two")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    lay(place)
    assert outcome("20-two") == "right"


def test_a_broken_file_does_not_hide_the_other_notebooks(folder):
    lay(folder / "20-my-topic")
    (lay(folder / "21-other") / "checks.py").write_text("1 / 0")
    use(folder)
    assert outcome("20-two") == "right"
    assert claims.show("21-sum", measured=2).verdict == "holds"


def test_a_course_works_in_a_fresh_python_that_starts_elsewhere(folder):
    lay(folder / "20-my-topic")
    code = (
        "from coursekit import exercises; exercises.use('20-my-topic'); print(exercises.check('20-two', 2))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, encoding="utf-8", check=True
    )
    assert (run.stdout, run.stderr) == ("✓ right\n", "")
