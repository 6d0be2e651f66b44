"""Broken notebooks must not pass: the build refuses them, nbval goes red, and only for the right reason."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import build_notebooks
import nbformat
import pytest
import toy
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import v4

from coursekit.new.execution import environment, execute
from coursekit.new.masters import BuildError

CALLBACK = (
    "import ipywidgets\n\nbutton = ipywidgets.Button()\nbutton.on_click(lambda _: 1 / 0)\nbutton.click()"
)
# name: (source, stored text on stdout, tags)
CELLS = {
    "sound": ("print('as stored')", "as stored\n", []),
    "device": ("import os\nprint(os.environ['COURSEKIT_DEVICE'])", "cpu\n", []),
    "settings": (
        "print(os.environ['COURSEKIT_STRICT'], os.listdir(os.environ['COURSEKIT_HOME']))",
        "claims []\n",
        [],
    ),
    "leak": ("print('COURSEKIT_PRESENT' in os.environ)", "False\n", []),
    "drifted": ("print('new')", "old\n", []),
    "answer": ("print('measured')", "", ["answer"]),
    "ignored": ("print('new')", "old\n", ["nbval-ignore-output"]),
    "raises": ("...\nanswer + 1", "", ["exercise", "nbval-ignore-output"]),
    "callback": (CALLBACK, "", ["nbval-ignore-output"]),
    "warns": ("import sys\nprint('careful', file=sys.stderr)", "", ["nbval-ignore-output"]),
}
RED_ON_CPU = {"drifted", "raises", "callback", "warns"}
# "settings" differ on no device; "device" and "drifted" print something else, which only the CPU compares.
RED_ON_CUDA = {"raises", "callback", "warns"}


def stored(source, text, tags):
    outputs = [v4.new_output("stream", name="stdout", text=text)] if text else []
    return v4.new_code_cell(source, execution_count=1, outputs=outputs, metadata={"tags": tags})


def pytest_in(folder, *arguments):
    shutil.copy(toy.ROOT / "conftest.py", folder)
    env = {**os.environ, "COURSEKIT_TEST_DEVICES": "cpu,cuda", "COURSEKIT_PRESENT": "1"}
    command = [sys.executable, "-m", "pytest", "-c", toy.ROOT / "pyproject.toml", "--rootdir", folder]
    command += ["-p", "no:cacheprovider", "--color=no", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Run nbval on a notebook of broken cells, on the CPU and on a device that is only called cuda."""
    folder = tmp_path_factory.mktemp("broken")
    notebook = v4.new_notebook(cells=[stored(*cell) for cell in CELLS.values()])
    nbformat.write(notebook, folder / "broken.ipynb")
    run = pytest_in(folder, "-v", "--junitxml=report.xml", "broken.ipynb")
    names = list(CELLS)
    cases = ET.parse(folder / "report.xml").getroot().iter("testcase")
    results = {}
    for case in cases:
        number, device = case.get("name").removeprefix("Cell ").rstrip("]").split("[")
        failure = case.find("failure")
        results[names[int(number)], device] = None if failure is None else failure.text
    return run, results


def red(report, device):
    return {name for (name, where), failure in report[1].items() if where == device and failure}


def test_nbval_is_red_on_the_cpu_for_what_is_broken_and_for_nothing_else(report):
    run, results = report
    assert run.returncode == 1
    assert len(results) == 2 * len(CELLS)
    assert red(report, "cpu") == RED_ON_CPU


def test_on_another_device_errors_count_and_differences_do_not(report):
    assert red(report, "cuda") == RED_ON_CUDA


def test_in_the_solutions_answers_are_compared_and_exercises_must_be_right(tmp_path):
    cells = [stored("import os\n" + CELLS["settings"][0], "1 []\n", [])]
    cells += [stored(CELLS["answer"][0], text, ["answer"]) for text in ("measured\n", "drifted\n")]
    notebook = v4.new_notebook(cells=cells)
    (tmp_path / "solutions").mkdir()
    nbformat.write(notebook, tmp_path / "solutions" / "small.ipynb")
    run = pytest_in(tmp_path, "-v", "-m", "not cuda", "solutions/small.ipynb")
    results = re.findall(r"::Cell (\d)\[cpu\] (PASSED|FAILED)", run.stdout)
    assert results[:3] == [("0", "PASSED"), ("1", "PASSED"), ("2", "FAILED")], run.stdout


def test_guess_first_stops_a_run_at_the_prediction_with_one_line(tmp_path):
    cells = 'from coursekit import exercises\nexercises.predict("05-cliff", ..., "bits")', "1 + 1"
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in cells])
    env = environment(str(tmp_path), COURSEKIT_GUESS_FIRST="1")
    with pytest.raises(CellExecutionError):
        NotebookClient(notebook, kernel_name="python3").execute(env=env)
    (output,) = notebook.cells[0].outputs
    line = "○ 05-cliff: type your guess in place of the dots, then run on from here."
    assert (output.ename, output.traceback) == ("GuessFirst", [line])
    assert notebook.cells[1].execution_count is None


def test_every_failure_names_its_reason(report):
    _, results = report
    assert "Cell outputs differ" in results["drifted", "cpu"]
    assert "NameError" in results["raises", "cpu"]
    assert "ZeroDivisionError" in results["callback", "cpu"]
    assert "careful" in results["warns", "cuda"]


def test_ids_show_the_device_and_cuda_cells_carry_the_mark(report):
    run, _ = report
    assert "broken.ipynb::Cell 0[cpu] PASSED" in run.stdout
    assert "broken.ipynb::Cell 4[cuda] PASSED" in run.stdout
    assert "broken.ipynb::Cell 4[cpu] FAILED" in run.stdout


def test_a_cell_is_chosen_by_its_id_on_every_device_and_a_device_by_its_mark(report, tmp_path):
    cells = [stored(*CELLS["sound"]), stored(*CELLS["leak"])]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "small.ipynb")
    run = pytest_in(tmp_path, "-q", "--collect-only", "-m", "cuda", "small.ipynb::Cell 0")
    assert [line for line in run.stdout.splitlines() if "::" in line] == ["small.ipynb::Cell 0[cuda]"]
    assert "1/2 tests collected (1 deselected)" in run.stdout


@pytest.mark.parametrize(
    ("chosen", "present", "expected"),
    [("", True, ("cpu", "cuda")), ("", False, ("cpu",)), ("cuda", False, ("cuda",))],
)
def test_the_gpu_comes_second_where_there_is_one(monkeypatch, chosen, present, expected):
    spec = importlib.util.spec_from_file_location("devices_of_the_tests", toy.ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("COURSEKIT_TEST_DEVICES", chosen)
    monkeypatch.setattr("torch.cuda.is_available", lambda: present)
    assert module.devices() == expected


# The build, with a real kernel


def test_the_build_runs_a_sound_notebook_without_a_trace_of_this_machine(tmp_path, capfd):
    panel = """
# %%
import ipywidgets

ipywidgets.IntSlider(value=3)
"""
    course = toy.course(tmp_path, toy.MASTER + panel)
    assert build_notebooks.main([], course) == 0
    student = nbformat.read(course.paths(toy.NAME)[0], as_version=4)
    assert student.cells[4].outputs[0].text == "seen on cpu\n"
    assert [cell.execution_count for cell in build_notebooks.code_cells(student)] == [1, 2, 3, 4]
    assert "widgets" not in student.metadata
    assert all(set(cell.metadata) <= {"tags", "slideshow"} for cell in student.cells)
    assert build_notebooks.check(course, [toy.NAME]) == []
    assert capfd.readouterr().err == ""
    first = course.paths(toy.NAME)[0].read_bytes()
    assert build_notebooks.main(["--all"], course) == 0
    assert course.paths(toy.NAME)[0].read_bytes() == first


def test_the_build_refuses_an_unsolved_cell_that_raises(tmp_path, capsys):
    course = toy.course(tmp_path, toy.MASTER + "\n# %%\nanswer + 1\n")
    assert build_notebooks.main([], course) == 1
    error = capsys.readouterr().err
    assert "01-toy" in error
    assert "answer + 1" in error
    assert "TypeError" in error
    assert not any(path.exists() for path in course.paths(toy.NAME))


@pytest.mark.parametrize("name", ["callback", "warns"])
def test_the_build_refuses_what_nbclient_lets_pass(tmp_path, name):
    notebook = v4.new_notebook(cells=[v4.new_code_cell(CELLS[name][0])])
    with pytest.raises(BuildError, match="broken, cell 0") as error:
        execute(notebook, "broken", tmp_path, strict="claims")
    assert CELLS[name][0] in str(error.value)


SKIPS = """
import pytest


@pytest.mark.parametrize("why", ["needs a GPU", "no CUDA provider", "needs requirements-site.txt"])
def test_skipped(why):
    pytest.skip(why)


@pytest.mark.skip(reason="not today")
def test_never(): ...


@pytest.mark.xfail
def test_known():
    assert False
"""


@pytest.mark.parametrize(("allowed", "failed"), [("gpu", 2), ("gpu,users", 2), ("", 0)])
def test_where_only_a_gpu_is_missing_no_other_skip_passes(tmp_path, monkeypatch, allowed, failed):
    monkeypatch.setenv("COURSEKIT_SKIPS", allowed)
    (tmp_path / "test_skips.py").write_text(SKIPS, encoding="utf-8")
    (tmp_path / "test_whole.py").write_text("import pytest\npytest.importorskip('no_such')", encoding="utf-8")
    run = pytest_in(tmp_path, "-q", "test_skips.py")
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", run.stdout.splitlines()[-1])}
    assert counts.get("failed", 0) + counts.get("error", 0) == failed  # an error where the mark skips
    assert counts["skipped"] == 4 - failed
    assert (pytest_in(tmp_path, "-q", "test_whole.py").returncode == 2) == bool(failed)
