"""nbgrader and otter grade a right copy in full, every second exercise solved half, a blank one with nothing.

Both are in requirements-extra.txt only. COURSEKIT_GRADED names other notebooks than 01: "E F", or "" for all.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import assignments
import nbformat
import pytest
from build_notebooks import Course
from environments import output

NAMES = Course().select(os.environ.get("COURSEKIT_GRADED", "01").split())
COPIES = "right", "half", "blank"
# Its third exercise calls what the second defines, so it is not right alone.
HALF = {"02-parameter-count-and-memory": "1000"}
pytestmark = [pytest.mark.long, pytest.mark.extra]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grading")
    assignments.build(folder)
    return folder


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """Give the tools the programs beside this Python, and settings of nobody."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for kind in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(tmp_path / kind))
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
    yield
    assert not (tmp_path / "home").exists()  # what students solved is not among one's own results


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


def answers(notebook):
    return [cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", [])]


def solved_in(copy, count):
    """Return a 1 for each of ``count`` exercises that is solved in the copy, a 0 for the others."""
    return {"right": "1" * count, "half": ("10" * count)[:count], "blank": "0" * count}[copy]


def earned(name, copy, count):
    """Return a 1 for each exercise that is right in the copy."""
    return HALF.get(name, solved_in(copy, count)) if copy == "half" else solved_in(copy, count)


def submit(release, solved, copy, path):
    """Write a student's copy to ``path``: the release, in which some exercises are solved."""
    notebook = nbformat.read(release, as_version=4)
    pairs = list(zip(answers(notebook), answers(solved), strict=True))
    for one, (mine, right) in zip(solved_in(copy, len(pairs)), pairs, strict=True):
        if one == "1":
            mine.source = right.source
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@needs("nbgrader")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("surroundings")
def test_nbgrader_gives_what_is_earned(built, name):
    folder, nbgrader = built / "nbgrader", [sys.executable, "-m", "nbgrader"]
    output(*nbgrader, "generate_assignment", name, cwd=folder)
    release = folder / "release" / name / f"{name}.ipynb"
    source = nbformat.read(folder / "source" / name / f"{name}.ipynb", as_version=4)
    for copy in COPIES:
        submit(release, source, copy, folder / "submitted" / copy / name / f"{name}.ipynb")
    output(*nbgrader, "autograde", name, cwd=folder)
    output(*nbgrader, "export", cwd=folder)
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["assignment"] == name]
    scores = {row["student_id"]: float(row["score"]) for row in rows}
    count = len(answers(source))
    assert scores == {copy: earned(name, copy, count).count("1") for copy in COPIES}


@needs("otter")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("surroundings")
def test_otter_gives_what_is_earned(built, name, tmp_path):
    otter = [sys.executable, "-m", "otter"]
    made = tmp_path / "dist"
    output(*otter, "assign", "--no-run-tests", built / "otter" / name / f"{name}.ipynb", made)
    (package,) = (made / "autograder").glob("*.zip")
    solved = nbformat.read(made / "autograder" / f"{name}.ipynb", as_version=4)
    for copy in COPIES:
        mine = tmp_path / copy / f"{name}.ipynb"
        submit(made / "student" / f"{name}.ipynb", solved, copy, mine)
        run = [*otter, "run", "-a", package, "-o", mine.parent, "--no-logo", mine]
        subprocess.run([*map(str, run)], cwd=mine.parent, check=True, capture_output=True)
        tests = json.loads((mine.parent / "results.json").read_text(encoding="utf-8"))["tests"]
        scores = [each["score"] for each in tests if "score" in each]
        assert scores == [float(one) for one in earned(name, copy, len(answers(solved)))]
