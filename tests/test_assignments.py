"""Assignments for nbgrader and otter. Both grade for real in tests/places/test_grading.py."""

import ast
import importlib
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import assignments
import nbformat
import pytest
import toy
from build_notebooks import Course

from coursekit import exercises
from coursekit._core import courses
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG
from coursekit.new import masters
from coursekit.new.masters import BuildError

COURSE = Course()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Write all there is; return the folder, and by notebook what nbgrader and otter read."""
    folder = tmp_path_factory.mktemp("assignments")
    written = assignments.build(folder)
    assert all(path.stat().st_size for path in written)
    read = {
        path.stem: {
            kind: nbformat.read(folder / kind / inner / path.stem / path.name, as_version=4)
            for kind, inner in (("nbgrader", "source"), ("otter", "."))
        }
        for path in written
        if path.suffix == ".ipynb"
    }
    return folder, read


def nbgrader_cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get(kind)]


def released(source):
    """Return what a student gets of a cell: our reading of nbgrader's manual, not its code."""
    solution = re.compile(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION", re.DOTALL | re.MULTILINE)
    return solution.sub(lambda match: match[1] + assignments.STUB, source)


def test_every_exercise_of_the_course_is_worth_a_point_in_both(built):
    _, read = built
    known = [id for nb, course in courses.notebooks().items() for id in course.checkers(nb)]
    for kind in ("nbgrader", "otter"):
        text = [json.dumps(each[kind].cells) for each in read.values()]
        assert all(sum(f'exercises.check(\\"{id}\\"' in one for one in text) == 1 for id in known)
    ids = [
        c.metadata.nbgrader.grade_id for n in read.values() for c in nbgrader_cells(n["nbgrader"], "grade")
    ]
    assert sorted(ids) == sorted(known)


def test_nbgrader_finds_its_metadata_on_every_solution_and_test(built):
    for notebook in (each["nbgrader"] for each in built[1].values()):
        nbformat.validate(notebook)
        marked = [cell.metadata.nbgrader for cell in notebook.cells if "nbgrader" in cell.metadata]
        assert len({meta.grade_id for meta in marked}) == len(marked)
        for meta in marked:
            assert meta.schema_version == 3
            assert not meta.task
            assert meta.grade == meta.locked == ("points" in meta) != meta.solution
            assert re.fullmatch(r"[A-Za-z0-9_-]+", meta.grade_id)


@pytest.mark.parametrize("grader", ["nbgrader", "otter"])
def test_what_is_graded_is_kept_apart_from_ones_own_results(grader, built, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    goes = []
    monkeypatch.setattr("atexit.register", lambda remove, *given, **options: goes.append((remove, given)))
    if grader == "nbgrader":
        config = (built[0] / "nbgrader" / "nbgrader_config.py").read_text(encoding="utf-8")
        exec(config, {"get_config": MagicMock})
    else:
        for notebook in built[1].values():
            assert notebook["otter"].cells[0].source.endswith(f"plugins:\n  - {assignments.PLUGIN}")
        module, _, plugin = assignments.PLUGIN.rpartition(".")
        getattr(importlib.import_module(module), plugin)("", {}, {}).before_grading(None)
    home = Path(os.environ["COURSEKIT_HOME"])
    assert home != tmp_path
    assert list(home.iterdir()) == []
    ((remove, given),) = goes
    remove(*given)
    assert not home.exists()


def test_a_release_holds_no_line_of_a_solution_and_still_runs(built):
    for name, notebook in built[1].items():
        master = masters.read(COURSE.masters()[name])
        asked = [c.source for c in master.cells if masters.EXERCISE in c.metadata.get("tags", [])]
        cells = nbgrader_cells(notebook["nbgrader"], "solution")
        for source, cell in zip(asked, cells, strict=True):
            ast.parse(released(cell.source))
            ours, theirs = masters.reveal(source, solved=False), released(cell.source)
            assert theirs.replace(f"\n{assignments.STUB}", "") in (ours, ours.replace("\n...", "")) or (
                theirs.replace(assignments.STUB, "...") == ours
            )
            lines = [line for line in cell.source.split("\n") if not line.strip().startswith("###")]
            solved = masters.reveal(source, solved=True).split("\n")
            assert [line for line in lines if line in solved] == solved


def test_the_test_behind_an_exercise_asks_its_check():
    asked = assignments.Exercise("01-encode", "bits")

    def says(outcome):
        return SimpleNamespace(check=lambda id, answer: SimpleNamespace(outcome=outcome))

    exec(asked.solved, {"exercises": says(RIGHT), "bits": 1})
    for outcome in (WRONG, NOT_TRIED):
        with pytest.raises(AssertionError, match="01-encode is not solved"):
            exec(asked.solved, {"exercises": says(outcome), "bits": 1})
    exec(asked.untouched, {"exercises": exercises})
    with pytest.raises(AssertionError, match="replaced"):
        exec(asked.untouched, {"exercises": says(RIGHT)})


@pytest.mark.parametrize(("solve", "earned"), [("11111", 5), ("10101", 3), ("00000", 0)])
def test_the_exercises_of_notebook_01_earn_what_is_solved(built, solve, earned):
    import numpy as np

    notebook, points = built[1]["01-floating-point-basics"]["nbgrader"], 0
    space = {"exercises": exercises, "np": np}
    pairs = zip(nbgrader_cells(notebook, "solution"), nbgrader_cells(notebook, "grade"), strict=True)
    for one, (answer, test) in zip(solve, pairs, strict=True):
        exec(answer.source if one == "1" else released(answer.source), space)
        try:
            exec(test.source, space)
        except AssertionError:
            continue
        points += test.metadata.nbgrader.points
    assert points == earned


def test_otter_finds_its_blocks_in_order(built):
    kinds = ["QUESTION", "SOLUTION", "TESTS"]
    for name, notebook in built[1].items():
        raw = [cell.source.split("\n")[0] for cell in notebook["otter"].cells if cell.cell_type == "raw"]
        assert raw[0] == "# ASSIGNMENT CONFIG"
        one = [
            f"# {end} {kind}"
            for kind, end in zip(
                [kinds[0], kinds[1], kinds[1], kinds[2], kinds[2], kinds[0]],
                ["BEGIN", "BEGIN", "END", "BEGIN", "END", "END"],
                strict=True,
            )
        ]
        count = len(nbgrader_cells(built[1][name]["nbgrader"], "grade"))
        assert raw[1:] == one * count
        names = re.findall(r"name: (\w+)\\npoints: 1", json.dumps(notebook["otter"].cells))
        assert len(set(names)) == count


def test_an_assignment_links_to_nothing_beside_it_and_shows_no_solutions(built):
    for kinds in built[1].values():
        for notebook in kinds.values():
            text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
            assert not re.findall(r"\]\((?![a-z]+:|#)[^)]*\)", text)
            assert "{{" not in text
            assert "badge" not in text
            assert all(not cell.get("outputs") for cell in notebook.cells)


def test_points_are_those_asked_for(tmp_path):
    ending = 'exercises.check("01-double", answer)\n'
    course = toy.course(tmp_path, toy.TITLE + toy.SETUP + toy.EXERCISE + ending + toy.OUTPUT)
    notebook = assignments.assignment(course, toy.NAME, assignments.for_nbgrader, 2.5)
    assert [cell.metadata.nbgrader.points for cell in nbgrader_cells(notebook, "grade")] == [2.5]
    with pytest.raises(SystemExit):
        assignments.main(["--points", "nan"])


@pytest.mark.parametrize(
    "source", ["answer = 1", 'exercises.check("01-a")', 'exercises.check("01-a", 1, x=2)']
)
def test_an_exercise_that_does_not_end_with_its_check_is_refused(source):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["exercise"]})
    with pytest.raises(BuildError, match="must end with exercises.check"):
        assignments.exercise(cell)
