"""Build the notebooks from their masters: students' copies executed on the CPU, solutions without outputs.

Only what differs from its master is written, and only notebooks whose code changed run again, so that outputs
do not churn in git. With --check nothing is run or written.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import generated
import guide
import masters
import nbformat
import notebook_health as health
from execution import execute
from masters import BuildError
from nbformat import NotebookNode

FIX = "fix it with `make notebooks`"


@dataclass(frozen=True)
class Course:
    """The folders of the course under ``root``."""

    root: Path = generated.ROOT

    @property
    def notebooks(self) -> Path:
        """Where the built notebooks lie."""
        return self.root / "notebooks"

    def masters(self) -> dict[str, Path]:
        """Return name to path of every master, in the order of the course (numbered ones first)."""
        paths = sorted((self.notebooks / "source").glob("*.py"))
        return {path.stem: path for path in sorted(paths, key=lambda path: not path.stem[0].isdigit())}

    def paths(self, name: str) -> tuple[Path, Path]:
        """Return where the student copy and the solutions of ``name`` are written."""
        return self.notebooks / f"{name}.ipynb", self.notebooks / "solutions" / f"{name}.ipynb"

    def expected(self, name: str) -> tuple[NotebookNode, NotebookNode]:
        """Return what the master ``name`` says: student copy and solutions, both without outputs."""
        master, repo = masters.read(self.masters()[name]), generated.repository(self.root)
        return masters.student(master, name, repo), masters.solution(master, name, repo)

    def select(self, wanted: list[str]) -> list[str]:
        """Return the names that ``wanted`` means (numbers, names or paths); all of them if it is empty."""
        names = list(self.masters())
        if not wanted:
            return names
        stems = [Path(text).name.removesuffix(".py").removesuffix(".ipynb") for text in wanted]
        for text, stem in zip(wanted, stems, strict=True):
            if not any(name == stem or name.startswith(f"{stem}-") for name in names):
                raise BuildError(f"no master for {text!r}; there are: {', '.join(names) or 'none'}")
        return [name for name in names if any(name == s or name.startswith(f"{s}-") for s in stems)]


def build(course: Course, name: str, *, force: bool = False) -> list[str]:
    """Bring both notebooks of ``name`` up to date; return what was done, nothing if all was up to date.

    Errors: BuildError if the master is malformed or its student copy does not run cleanly; then nothing
    is written.
    """
    (student, solution), (student_path, solution_path) = course.expected(name), course.paths(name)
    old, changes = load(student_path), []
    sound = old is not None and not list(health.faults(old, student_path.stat().st_size))
    if force or not sound or difference(old, student):
        how = "executed"
        if sound and not force and keep_outputs(old, student):
            how = "written, its code is the same"
        else:
            execute(student, name, course.notebooks, strict="claims")
            _refuse_size(student, name)
        changes.append((student_path, student, how))
    if force or difference(load(solution_path), solution):
        changes.append((solution_path, solution, "written"))
    for path, notebook, _ in changes:
        write(path, notebook)
    return [f"{path.relative_to(course.root)} {how}" for path, _, how in changes]


def keep_outputs(old: NotebookNode, fresh: NotebookNode) -> bool:
    """Move the outputs of ``old`` into ``fresh`` if both run the same code; tell whether they do.

    Install lines may name different repositories: they run nowhere but in Colab.
    """
    before, after = code_cells(old), code_cells(fresh)
    if [_runs(cell) for cell in before] != [_runs(cell) for cell in after]:
        return False
    for source, target in zip(before, after, strict=True):
        target.outputs, target.execution_count = source.outputs, source.execution_count
    return True


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the notebook's code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _runs(cell: NotebookNode) -> str:
    return generated.INSTALLED.sub(generated.INSTALL, cell.source)


def difference(built: NotebookNode | None, expected: NotebookNode) -> str:
    """Return where the built notebook differs from its master (outputs aside), "" if it does not."""
    if built is None:
        return "is missing or cannot be read"
    one, two = health.clear_outputs(built), health.clear_outputs(expected)
    if len(one.cells) != len(two.cells):
        return f"{len(one.cells)} cells, the master has {len(two.cells)}"
    for number, (left, right) in enumerate(zip(one.cells, two.cells, strict=True)):
        for key in sorted({*left, *right}, key=lambda key: (key != "source", key)):
            if left.get(key) != right.get(key):
                return f"cell {number}: {key} differs from the master"
    keys = ("metadata", "nbformat", "nbformat_minor")
    return next((f"notebook {key} differs" for key in keys if one.get(key) != two.get(key)), "")


def readme(course: Course) -> tuple[str, str]:
    """Return the README as it is and as it should be; both empty if there is none."""
    path = course.root / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    summaries = {name: masters.summary(masters.read(master)) for name, master in course.masters().items()}
    return text, generated.with_table(text, generated.repository(course.root), summaries)


def update_readme(course: Course) -> list[str]:
    """Write the README's table of notebooks anew if it is not what the masters say; return what was done."""
    before, after = readme(course)
    if before == after:
        return []
    replace_text(course.root / "README.md", after)
    return ["README.md written"]


def instructor_guide(course: Course) -> tuple[str, dict[str, guide.Figure]]:
    """Return the instructor's guide as it is, if there is one, and the figures of the stored notebooks."""
    path = course.root / guide.PATH
    if not path.exists():
        return "", {}
    built = [load(course.paths(name)[0]) for name in course.masters()]
    return path.read_text(encoding="utf-8"), guide.figures(filter(None, built))


def update_guide(course: Course) -> list[str]:
    """Write the guide's figures anew if they are not those of the stored notebooks; return what was done."""
    before, known = instructor_guide(course)
    after = guide.with_figures(before, known)
    if before == after:
        return []
    replace_text(course.root / guide.PATH, after)
    return [f"{guide.PATH} written"]


def check(course: Course, names: list[str]) -> list[str]:
    """Return what is wrong with the built notebooks, one line each; runs no notebook."""
    found = [line for name in names for line in _check_one(course, name)]
    before, after = readme(course)
    if before != after:
        found.append("README.md: its table of notebooks is not what the masters say")
    return found + list(_check_guide(course)) + _orphans(course)


def load(path: Path) -> NotebookNode | None:
    """Return the notebook at ``path``, or None if there is none that can be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def write(path: Path, notebook: NotebookNode) -> None:
    """Write the notebook to ``path``, after a check that it is a valid one."""
    nbformat.validate(notebook)
    replace_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write the file in one step: whoever reads meanwhile sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part", text=True)
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(part, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def main(arguments: list[str] | None = None, course: Course | None = None) -> int:
    """Build or check what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="notebooks: 01 or 01-floating-point-basics (default: all)")
    parser.add_argument("--all", action="store_true", help="rebuild and run even what is up to date")
    parser.add_argument("--check", action="store_true", help="only look; fail if something is stale")
    options = parser.parse_args(arguments)
    course = course or Course()
    try:
        names = course.select(options.names)
        if options.check:
            return _report_check(check(course, names), names)
        return _build_all(course, names, options.all)
    except (BuildError, generated.AddressError) as error:
        print(error, file=sys.stderr)
        return 1


def _refuse_size(notebook: NotebookNode, name: str) -> None:
    for fault in health.faults(notebook, len(nbformat.writes(notebook).encode())):
        raise BuildError(f"{name}: {fault}")


def _build_all(course: Course, names: list[str], force: bool) -> int:
    failed = 0
    for name in names:
        try:
            done = build(course, name, force=force)
        except BuildError as error:
            print(error, file=sys.stderr, flush=True)
            failed += 1
        else:
            print("\n".join(done) or f"{name} is up to date", flush=True)
    for line in [] if failed else update_readme(course) + update_guide(course):
        print(line)
    return 1 if failed else 0


def _report_check(lines: list[str], names: list[str]) -> int:
    count = f"{len(names)} notebooks are what their masters say"
    print("\n".join(lines) or ("1 notebook is what its master says" if len(names) == 1 else count))
    if lines:
        print(FIX)
    return 1 if lines else 0


def _check_one(course: Course, name: str) -> Iterator[str]:
    for path, fresh in zip(course.paths(name), course.expected(name), strict=True):
        built = load(path)
        found = [difference(built, fresh)]
        if built is not None:
            is_student = path.parent == course.notebooks
            found += health.faults(built, path.stat().st_size) if is_student else health.leftovers(built)
        yield from (f"{path.relative_to(course.root)}: {fault}" for fault in found if fault)


def _check_guide(course: Course) -> Iterator[str]:
    text, known = instructor_guide(course)
    if text != guide.with_figures(text, known):
        yield f"{guide.PATH}: its figures are not those of the stored notebooks"
    for id in guide.unknown(text, known):
        yield f"{guide.PATH}: no stored notebook shows the claim {id}; correct its name there"


def _orphans(course: Course) -> list[str]:
    known = {path for name in course.masters() for path in course.paths(name)}
    built = [*course.notebooks.glob("*.ipynb"), *course.notebooks.glob("solutions/*.ipynb")]
    strays = sorted(path for path in built if path not in known)
    return [f"{path.relative_to(course.root)}: has no master; delete it" for path in strays]


if __name__ == "__main__":
    sys.exit(main())
