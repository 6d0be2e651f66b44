"""Write the notebooks as assignments for nbgrader and otter-grader, and quizzes and flashcards for elsewhere.

All is made from the masters and the quizzes; no notebook runs. An exercise earns its points if its check says
"right": the test behind each exercise asks the same check that the student sees.
"""

import argparse
import ast
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import flashcards
import generated
import nbformat
import pages
import quiz_files
from build_notebooks import Course
from nbformat import NotebookNode

from coursekit.new import masters
from coursekit.new.building import replace_text, write
from coursekit.new.masters import BADGES, BuildError

OUTPUT = generated.ROOT / "build" / "assignments"
MARKER = re.compile(r"(?P<indent>\s*)# (?:solution(?:: (?P<blank>.*))?|(?P<end>end) solution)\s*")
PLUGIN = "coursekit._core.graded.Apart"  # what keeps students' results apart where otter grades
CHECKERS = "coursekit.exercises.checking"  # where ``exercises.check`` is from, unless somebody replaced it
LONGEST_CELL_S = 900  # seconds; nbgrader's own limit of 30 is too short for a cell that trains
STUB = "...  # your code"
CONFIG = f"""\
# Made by `make assignments`. Without it nbgrader stops a cell after 30 seconds, its own stub raises, and what
# students solved counts among your own results.
import atexit
import os
import shutil
import tempfile

os.environ["COURSEKIT_HOME"] = tempfile.mkdtemp(prefix="coursekit-graded-")
atexit.register(shutil.rmtree, os.environ["COURSEKIT_HOME"], ignore_errors=True)
c = get_config()
c.CourseDirectory.course_id = "coursekit"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.Execute.timeout = {LONGEST_CELL_S}
"""


@dataclass(frozen=True)
class Exercise:
    """An exercise of a master: its id, and the expression that its cell hands to the check."""

    id: str
    answer: str

    @property
    def solved(self) -> str:
        """The assertion that its check says "right"."""
        asked = f'exercises.check("{self.id}", {self.answer}).outcome'
        return f'assert {asked} == "right", "{self.id} is not solved"'

    @property
    def untouched(self) -> str:
        """The assertion that the check is the course's own."""
        return f'assert exercises.check.__module__ == "{CHECKERS}", "exercises.check was replaced"'


def exercise(cell: NotebookNode) -> Exercise | None:
    """Return the exercise of a master's cell, None if it has none.

    Errors: BuildError for an exercise cell that does not end with the one check of its answer.
    """
    if masters.EXERCISE not in cell.metadata.get("tags", []):
        return None
    last = ast.parse(cell.source).body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "exercises.check":
        match call:
            case ast.Call(args=[ast.Constant(value=str(id)), answer], keywords=[]):
                return Exercise(id, ast.get_source_segment(cell.source, answer) or ast.unparse(answer))
    raise BuildError(f'an exercise cell must end with exercises.check("…", …); got {ast.unparse(last)}')


def remarked(source: str, opening: Callable[[str], list[str]], closing: str) -> str:
    """Return the code with other markers: ``opening`` makes lines of the blank that a marker asks for."""
    lines = []
    for line in source.split("\n"):
        marker = MARKER.fullmatch(line)
        if marker is None:
            lines.append(line)
        else:
            new = [closing] if marker["end"] else opening(marker["blank"] or "")
            lines += [marker["indent"] + text for text in new]
    return "\n".join(lines)


def for_nbgrader(cell: NotebookNode, asked: Exercise, points: float) -> Iterator[NotebookNode]:
    """Yield an exercise's cells as nbgrader reads them: the solution, and a locked test with its points."""

    def opening(blank: str) -> list[str]:
        return [blank, "### BEGIN SOLUTION"] if blank else ["### BEGIN SOLUTION"]

    cell.source = remarked(cell.source, opening, "### END SOLUTION")
    cell.metadata["nbgrader"] = _grading(f"{asked.id}-answer")
    yield cell
    hidden = f"### BEGIN HIDDEN TESTS\n{asked.untouched}\n### END HIDDEN TESTS"
    test = _code(f"# Worth {points:g} of the points.\n{asked.solved}\n{hidden}", asked.id)
    test.metadata["nbgrader"] = _grading(asked.id, points)
    yield test


def for_otter(cell: NotebookNode, asked: Exercise, points: float) -> Iterator[NotebookNode]:
    """Yield an exercise's cells as `otter assign` reads them: a question, its solution, its tests."""

    def opening(blank: str) -> list[str]:
        prompt = ['"""  # BEGIN PROMPT', blank, '"""  # END PROMPT', "# BEGIN SOLUTION NO PROMPT"]
        return prompt if blank else ["# BEGIN SOLUTION"]

    name = asked.id.replace("-", "_")
    settings = f"name: {name}\npoints: {points:g}\nall_or_nothing: true"
    cell.source = remarked(cell.source, opening, "# END SOLUTION")
    yield _raw(f"# BEGIN QUESTION\n{settings}", asked.id)
    yield _raw("# BEGIN SOLUTION", asked.id)
    yield cell
    yield _raw("# END SOLUTION", asked.id)
    yield _raw("# BEGIN TESTS", asked.id)
    yield _code(asked.solved, asked.id)
    yield _code(f"# HIDDEN\n{asked.untouched}", asked.id)
    yield _raw("# END TESTS", asked.id)
    yield _raw("# END QUESTION", asked.id)


def otter_head(name: str, install: str) -> NotebookNode:
    """Return the cell that `otter assign` takes its settings from."""
    settings = f"name: {name}\nrequirements:\n  - {install!r}\nexport_cell:\n  pdf: false\n  run_tests: false"
    settings += f"\nplugins:\n  - {PLUGIN}"
    return _raw(f"# ASSIGNMENT CONFIG\n{settings}", name)


def assignment(
    course: Course,
    name: str,
    cells: Callable[[NotebookNode, Exercise, float], Iterator[NotebookNode]],
    points: float,
) -> NotebookNode:
    """Return notebook ``name``, its exercises as ``cells`` writes them; no badges, links lead to GitHub.

    Errors: BuildError as for ``exercise``.
    """
    path = course.masters()[name]
    master, file = masters.read(path), course.relative(course.paths(name)[0])
    made: list[NotebookNode] = []
    for cell in master.cells:
        asked = exercise(cell)
        made += [cell] if asked is None else cells(cell, asked, points)
    master.cells = made
    notebook = masters.student(master, course.texts(name, solution=False) | {BADGES: ""})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = pages.relinked(cell.source, file, course.root)
    return notebook


def build(output: Path = OUTPUT, root: Path = generated.ROOT, points: float = 1) -> list[Path]:
    """Write all assignments, quizzes and flashcards to ``output``; return the files."""
    course, written = Course(root), []
    install = generated.repository(root).install
    for name in course.masters():
        source = assignment(course, name, for_nbgrader, points)
        if not any("nbgrader" in cell.metadata for cell in source.cells):
            continue
        otter = assignment(course, name, for_otter, points)
        otter.cells.insert(0, otter_head(name, install))
        for path, notebook in (
            (output / "nbgrader" / "source" / name / f"{name}.ipynb", source),
            (output / "otter" / name / f"{name}.ipynb", otter),
        ):
            write(path, notebook)
            written.append(path)
    replace_text(output / "nbgrader" / "nbgrader_config.py", CONFIG)
    written.append(output / "nbgrader" / "nbgrader_config.py")
    return [*written, *quiz_files.write(output / "quizzes", course), flashcards.write(output, course)]


def _grading(id: str, points: float | None = None) -> dict:
    """Return nbgrader's metadata of a solution, or of a test with points, in version 3 of its format."""
    test = points is not None
    kinds = {"grade": test, "locked": test, "solution": not test, "task": False}
    return {"schema_version": 3, "grade_id": id, **kinds, **({"points": points} if test else {})}


def _code(source: str, id: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, id=_id(source, id))


def _raw(source: str, id: str) -> NotebookNode:
    return nbformat.v4.new_raw_cell(source, id=_id(source, id))


def _id(source: str, id: str) -> str:
    """Return a cell's id that follows from its text, so that the same master makes the same file."""
    return hashlib.sha256(f"{id}\n{source}".encode()).hexdigest()[:8]


def main(arguments: list[str] | None = None) -> int:
    """Write what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", nargs="?", type=Path, default=OUTPUT, help="default: build/assignments")
    parser.add_argument("--points", type=float, default=1, help="of each exercise (default: 1)")
    options = parser.parse_args(arguments)
    if not 0 < options.points < float("inf"):
        parser.error(f"--points must be positive and finite; got {options.points:g}")
    try:
        written = build(options.output, points=options.points)
    except (BuildError, generated.AddressError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(written)} files in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
