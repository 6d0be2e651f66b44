"""Progress: verdicts are kept as they fell, whatever happens to the kernel, the disk or the file."""

import getpass
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coursekit import exercises
from coursekit._core import courses, files
from coursekit.exercises import progressing, tries

CHECKS = '''
from coursekit.exercises import as_number, call, right, wrong
def two(answer):
    """A number."""
    number = as_number(answer)
    return right() if number == 2 else wrong(f"{number:g} is not it.", "One and one.")
def doubled(answer):
    return right() if call(answer, 2) == 4 else wrong("Not 4.", "Twice.")
def lost(answer):
    return open("/home/somebody/secret/file.txt") and right()
CHECKERS = {"97-two": two, "97-double": doubled, "97-lost": lost}
'''
HINTS = '[[exercise]]\nid = "97-two"\nquestion = "What is 1?"\nplace = "Here."\nnearly = "1 + 1"\n'
ELSEWHERE = """
import sys
from coursekit import exercises
exercises.use(sys.argv[1])
for number in range(int(sys.argv[2])):
    exercises.check("97-two", 10 + number)
    print(number, flush=True)
"""


@pytest.fixture(autouse=True)
def course_97(tmp_path, monkeypatch):
    """Add a course of one notebook, 97, and a results folder of our own."""
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
    folder = tmp_path / "97"
    folder.mkdir()
    (folder / "checks.py").write_text(CHECKS, encoding="utf-8")
    (folder / "hints.toml").write_text(HINTS, encoding="utf-8")
    added = []
    monkeypatch.setattr(courses, "_added", lambda: added)
    exercises.use(folder)
    return folder


def restart():
    """Forget what this kernel knows, as a restart does."""
    tries._session_of.cache_clear()


def two():
    """Return what became of the exercise 97-two."""
    return exercises.progress("97").exercises[0]


def test_what_was_checked_is_counted():
    assert str(exercises.progress("97")).startswith(
        "Exercises in notebook 97: 0 of 3 solved, 0 tried, 3 open"
    )
    for answer in (..., None, 5, 5, 6, "2"):
        exercises.check("97-two", answer)
    assert (two().outcome, two().tries) == ("tried", 3)  # blanks, and 5 once more, are no tries
    exercises.check("97-two", 2)
    exercises.check("97-two", 7)
    found = two()
    assert (found.outcome, found.tries, found.hints) == ("solved", 4, 0)
    assert {(each.kind, each.message, each.hint, each.count) for each in found.wrong} == {
        ("number", "5 is not it.", "One and one.", 1),
        ("number", "6 is not it.", "One and one.", 1),
        ("text", "Your answer should be a number, but it is '2' (str).", found.wrong[2].hint, 1),
    }
    progress = exercises.progress("97")
    assert (progress.solved, progress.tried, progress.open) == (1, 0, 2)
    assert "✓ solved" in progress._repr_html_()


def test_an_exercise_stays_solved_and_running_it_again_is_no_try():
    exercises.check("97-two", 3)
    exercises.check("97-two", 2)
    before = two()
    for _ in range(3):
        restart()
        exercises.check("97-two", 2)
    restart()
    exercises.check("97-two", 9)
    after = two()
    assert (after.outcome, after.solved) == ("solved", before.solved)
    assert after.tries <= 2 + 4  # within the second in which it was solved, sessions cannot be told apart


def test_tries_of_sessions_before_the_solution_add_up(monkeypatch):
    clock = iter(f"2026-11-20T10:00:{second:02d}+00:00" for second in range(60))
    monkeypatch.setattr(tries.log, "now", lambda: next(clock))
    for answers in ((3, 4), (5, 2), (6, 2)):
        restart()
        for answer in answers:
            exercises.check("97-two", answer)
    assert (two().outcome, two().tries, len(two().wrong)) == ("solved", 4, 3)


def test_hints_are_counted_and_need_no_try(monkeypatch):
    from coursekit.exercises import hints

    monkeypatch.setattr(hints, "_used", dict)
    used = {}
    monkeypatch.setattr(hints, "_used", lambda: used)
    for _ in range(2):
        exercises.hint("97-two")
    assert (two().outcome, two().hints, two().tries) == ("open", 2, 0)


def test_the_answer_is_not_kept():
    exercises.check("97-double", lambda secret_name: 987654321)
    exercises.check("97-double", 987654321)
    text = tries.VERDICTS.path.read_text(encoding="utf-8")
    assert "Not 4." in text
    assert "secret_name" not in text

    def loud(_):
        print("my own output")
        raise KeyError

    assert "my own output" in str(exercises.check("97-double", loud))
    assert "my own output" not in tries.VERDICTS.path.read_text(encoding="utf-8")
    assert [each.kind for each in exercises.progress("97").exercises[1].wrong] == [
        "function",
        "number",
        "function",
    ]


def test_neither_paths_nor_names_are_kept(monkeypatch):
    monkeypatch.setattr(tries, "_own_names", lambda: ("jdoe", "doe-laptop"))
    exercises.check("97-lost", 1)
    told = tries._told("in `/home/jdoe/lab/a.py`, ~/x/y.txt or C:\\Users\\jdoe\\a.py on doe-laptop: 1/2, a/b")
    assert told == "in `…`, … or … on …: 1/2, a/b"
    text = tries.VERDICTS.path.read_text(encoding="utf-8")
    assert "somebody" not in text
    assert "FileNotFoundError" in text


def test_names_that_are_words_of_everybody_stay():
    assert not {"root", "user", "jovyan"} & {*tries._own_names()}
    own = {getpass.getuser(), platform.node()} - tries._NOBODY
    assert own <= {*tries._own_names()}


@pytest.mark.parametrize("where", ["folder", "jupyter", "strict"])
def test_worked_solutions_and_tests_do_not_count(tmp_path, monkeypatch, where):
    (tmp_path / "solutions").mkdir()
    if where == "folder":
        monkeypatch.chdir(tmp_path / "solutions")
    if where == "jupyter":
        monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/solutions/97.ipynb")
    if where == "strict":
        monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert exercises.check("97-two", 2).outcome == "right"
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
    assert two().outcome == "open"
    assert ("worked solution" in str(exercises.progress("97"))) == (where != "strict")


def test_to_run_the_worked_solutions_costs_nobody_a_guess(tmp_path, monkeypatch):
    exercises.predict("01-sum", 1)
    (tmp_path / "solutions").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "solutions")
        exercises.predict("01-sum", ...)
    assert len(exercises.guesses("01").made) == 1
    exercises.predict("01-sum", ...)
    assert exercises.guesses("01").made == ()


def test_a_full_disk_costs_a_warning_and_the_next_check_makes_up_for_it(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    exercises.check("97-two", 3)
    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", full)
        with pytest.warns(UserWarning, match="could not be kept.*No space left"):
            assert exercises.check("97-two", 4).outcome == "wrong"
    assert two().tries == 1
    exercises.check("97-two", 4)
    assert two().tries == 2
    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", full)
        with pytest.warns(UserWarning, match="could not be kept"):
            exercises.check("97-two", 2)
    exercises.check("97-two", 2)
    assert (two().outcome, two().tries) == ("solved", 3)


def test_a_damaged_log_loses_what_is_damaged_only():
    exercises.check("97-two", 2)
    exercises.check("97-double", 1)
    path = tries.VERDICTS.path
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(
        b"\n".join([lines[0], b'{"id": "97-x"', lines[1].replace(b'"tries": 1', b'"tries": -1')])
    )
    with pytest.warns(UserWarning, match="2 of its 3 lines could not be read"):
        progress = exercises.progress("97")
    assert [each.outcome for each in progress.exercises] == ["solved", "open", "open"]
    exercises.check("97-double", 2)
    assert exercises.progress("97").exercises[1].tries == 2  # this kernel still knew


def test_threads_of_one_kernel_lose_nothing():
    def work(first):
        for number in range(first, first + 5):
            exercises.check("97-two", number)

    threads = [threading.Thread(target=work, args=(first,)) for first in (10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert two().tries == 15


def elsewhere(folder, count):
    """Start another kernel that checks ``count`` wrong answers."""
    root = str(Path(__file__).parents[1])
    code = [sys.executable, "-c", ELSEWHERE, str(folder), str(count)]
    return subprocess.Popen(code, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root})


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_two_kernels_at_once_and_one_that_is_killed(course_97):
    steady, killed = elsewhere(course_97, 8), elsewhere(course_97, 10_000)
    said = [killed.stdout.readline() for _ in range(5)]
    time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    said += killed.stdout.readlines()
    killed.wait()
    assert steady.wait() == 0
    steady.stdout.close()
    killed.stdout.close()
    done = len([line for line in said if line.strip()])
    # What was said to be done is there; one more may have reached the disk before the kernel could say so.
    assert two().tries in (8 + done, 8 + done + 1)
    exercises.check("97-two", 2)
    assert two().outcome == "solved"


@pytest.mark.parametrize("notebook", ["01", "02", "dashboard"])
def test_exercises_are_found_without_running_the_checks(notebook):
    found = progressing._written(courses.files(courses.CHECKS)[notebook])
    assert found == list(exercises.checking.checkers(notebook))


@pytest.mark.parametrize(
    "text", ["CHECKERS = make()", "CHECKERS = {f'97-{n}': n for n in 'ab'}", "CHECKERS = {**a}", "x = 1", "("]
)
def test_checks_that_are_written_otherwise_are_run(tmp_path, text):
    file = tmp_path / "checks.py"
    file.write_text(text, encoding="utf-8")
    assert progressing._written(file) == []


def test_a_notebook_whose_checks_cannot_be_run_does_not_hide_the_others(course_97):
    (course_97 / "checks.py").write_text("CHECKERS = dict(a=1)\nraise OSError", encoding="utf-8")
    everything = exercises.progress()
    assert "Notebook 97 is left out: its checks cannot be run here." in str(everything)
    assert {"01", "dashboard", "A"} <= {*everything.by_notebook}
    with pytest.raises(ValueError, match=r"checks\.py"):
        exercises.progress("97")
    with pytest.raises(ValueError, match="there is no notebook '96'"):
        exercises.progress("96")
