"""nbgrader and otter grade notebook 01: a right copy in full, half of it half, a blank one with nothing.

Both are in none of the requirements: ``pip install nbgrader==0.9.6 otter-grader==7.0.0`` beside them.
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
from environments import output

NAME = "01-floating-point-basics"
COPIES = {"right": "11111", "half": "10101", "blank": "00000"}
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


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


def answers(notebook):
    return [cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", [])]


def submit(release, solved, copy, path):
    """Write a student's copy to ``path``: the release, in which the exercises with a 1 are solved."""
    notebook = nbformat.read(release, as_version=4)
    for one, mine, right in zip(COPIES[copy], answers(notebook), answers(solved), strict=True):
        if one == "1":
            mine.source = right.source
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


@needs("nbgrader")
@pytest.mark.usefixtures("surroundings")
def test_nbgrader_gives_what_is_earned(built):
    folder, nbgrader = built / "nbgrader", [sys.executable, "-m", "nbgrader"]
    output(*nbgrader, "generate_assignment", NAME, cwd=folder)
    release = folder / "release" / NAME / f"{NAME}.ipynb"
    source = nbformat.read(folder / "source" / NAME / f"{NAME}.ipynb", as_version=4)
    for copy in COPIES:
        submit(release, source, copy, folder / "submitted" / copy / NAME / f"{NAME}.ipynb")
    output(*nbgrader, "autograde", NAME, cwd=folder)
    output(*nbgrader, "export", cwd=folder)
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {copy: solved.count("1") for copy, solved in COPIES.items()}


@needs("otter")
@pytest.mark.usefixtures("surroundings")
def test_otter_gives_what_is_earned(built, tmp_path):
    otter = [sys.executable, "-m", "otter"]
    made = tmp_path / "dist"
    output(*otter, "assign", "--no-run-tests", built / "otter" / NAME / f"{NAME}.ipynb", made)
    (package,) = (made / "autograder").glob("*.zip")
    solved = nbformat.read(made / "autograder" / f"{NAME}.ipynb", as_version=4)
    for copy, earned in COPIES.items():
        mine = tmp_path / copy / f"{NAME}.ipynb"
        submit(made / "student" / f"{NAME}.ipynb", solved, copy, mine)
        run = [*otter, "run", "-a", package, "-o", mine.parent, "--no-logo", mine]
        subprocess.run([*map(str, run)], cwd=mine.parent, check=True, capture_output=True)
        tests = json.loads((mine.parent / "results.json").read_text(encoding="utf-8"))["tests"]
        scores = [each["score"] for each in tests if "score" in each]
        assert scores == [float(one) for one in earned]
