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
import masters
import nbformat
import notebook_health as health
from masters import BuildError
from nbformat import NotebookNode

CELL_TIMEOUT = 120
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
        paths = sorted(
            (self.notebooks / "source").glob("*.py"), key=lambda path: (not path.stem[0].isdigit(), path)
        )
        return {path.stem: path for path in paths}

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

    Errors: BuildError if the master is malformed or its student copy does not run cleanly; nothing is written
    for that copy then.
    """
    done = []
    for path, fresh in zip(course.paths(name), course.expected(name), strict=True):
        old = load(path)
        is_student = path.parent == course.notebooks
        sound = old is not None and not (is_student and list(health.faults(old)))
        if not force and sound and difference(old, fresh) is None:
            continue
        run = is_student and (force or not sound or not same_code(old, fresh))
        if run:
            execute(fresh, name, course.notebooks)
        elif is_student:
            keep_outputs(old, fresh)
        write(path, fresh)
        done.append(f"{path.relative_to(course.root)} {'executed' if run else 'written'}")
    return done


def execute(notebook: NotebookNode, name: str, folder: Path) -> None:
    """Run the notebook in a fresh kernel on the CPU and leave its outputs in it.

    Errors: BuildError with the cell if it raises, or leaves an error or text on stderr.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    # store_widget_state=False, because GitHub and nbconvert show no pictures beside stored state.
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )
    with tempfile.TemporaryDirectory() as home:
        try:
            client.execute(env=environment(home, COURSEKIT_STRICT="claims"))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise BuildError(f"{name}: {error}") from None
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": masters.KERNELSPEC, "language_info": masters.LANGUAGE}
    )
    _refuse_faults(notebook, name)
    _fix_model_ids(notebook)


def environment(home: str, **extra: str) -> dict[str, str]:
    """Return a kernel's environment: on the CPU, results in ``home``, none of the author's own settings."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("COURSEKIT_")}
    return {**mine, "COURSEKIT_DEVICE": "cpu", "COURSEKIT_HOME": home, **extra}


def keep_outputs(old: NotebookNode, fresh: NotebookNode) -> None:
    """Move the outputs of ``old`` into ``fresh``, whose code cells are the same."""
    for before, after in zip(_code(old), _code(fresh), strict=True):
        after.outputs, after.execution_count = before.outputs, before.execution_count


def same_code(old: NotebookNode, fresh: NotebookNode) -> bool:
    """Tell whether both run the same code, whatever repository their install lines name."""
    sources = [
        [generated.INSTALLED.sub("", cell.source) for cell in _code(notebook)] for notebook in (old, fresh)
    ]
    return sources[0] == sources[1]


def difference(built: NotebookNode, expected: NotebookNode) -> str | None:
    """Return where the built notebook differs from its master (outputs aside), or None."""
    one, two = health.clear_outputs(built), health.clear_outputs(expected)
    if len(one.cells) != len(two.cells):
        return f"{len(one.cells)} cells, the master has {len(two.cells)}"
    for number, (left, right) in enumerate(zip(one.cells, two.cells, strict=True)):
        for key in sorted({*left, *right}):
            if left.get(key) != right.get(key):
                return f"cell {number}: {key} differs from the master"
    keys = ("metadata", "nbformat", "nbformat_minor")
    return next((f"notebook {key} differs" for key in keys if one.get(key) != two.get(key)), None)


def check(course: Course, names: list[str]) -> list[str]:
    """Return what is wrong with the built notebooks, one line each; runs no notebook."""
    return [*(line for name in names for line in _check_one(course, name)), *_orphans(course)]


def load(path: Path) -> NotebookNode | None:
    """Return the notebook at ``path``, or None if there is none that can be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def write(path: Path, notebook: NotebookNode) -> None:
    """Write the notebook in one step: whoever reads meanwhile sees the old file or the new one."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8"
    ) as file:
        try:
            file.write(text)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            raise


def main(arguments: list[str] | None = None, course: Course | None = None) -> int:
    """Build or check what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", help="notebooks, e.g. 01 or 01-floating-point-basics (default: all)"
    )
    parser.add_argument("--all", action="store_true", help="rebuild and run even what is up to date")
    parser.add_argument(
        "--check", action="store_true", help="run and write nothing; fail if something is stale"
    )
    options = parser.parse_args(arguments)
    course = course or Course()
    try:
        names = course.select(options.names)
        return (
            _report_check(check(course, names), names)
            if options.check
            else _build_all(course, names, options.all)
        )
    except (BuildError, generated.AddressError) as error:
        print(error, file=sys.stderr)
        return 1


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
    return 1 if failed else 0


def _report_check(lines: list[str], names: list[str]) -> int:
    print("\n".join(lines) or f"{len(names)} notebooks are what their masters say")
    if lines:
        print(FIX)
    return 1 if lines else 0


def _check_one(course: Course, name: str) -> Iterator[str]:
    for path, fresh in zip(course.paths(name), course.expected(name), strict=True):
        where, built = path.relative_to(course.root), load(path)
        if built is None:
            yield f"{where}: {'cannot be read' if path.exists() else 'is missing'}"
            continue
        found = difference(built, fresh)
        wrong = health.faults(built, health.size(path)) if path.parent == course.notebooks else _stored(built)
        yield from (f"{where}: {fault}" for fault in [*([found] if found else []), *wrong])


def _stored(built: NotebookNode) -> list[str]:
    numbers = [i for i, cell in enumerate(built.cells) if cell.get("outputs") or cell.get("execution_count")]
    return [f"cell {i}: solutions are stored without outputs" for i in numbers]


def _orphans(course: Course) -> list[str]:
    known = {path for name in course.masters() for path in course.paths(name)}
    built = [*course.notebooks.glob("*.ipynb"), *course.notebooks.glob("solutions/*.ipynb")]
    return [
        f"{p.relative_to(course.root)}: has no master; delete it" for p in sorted(built) if p not in known
    ]


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _refuse_faults(notebook: NotebookNode, name: str) -> None:
    for number, cell in enumerate(notebook.cells):
        wrong = list(health.cell_faults(cell)) if cell.cell_type == "code" else []
        if wrong:
            trace = "\n".join(line for o in cell.outputs for line in o.get("traceback", []))
            raise BuildError(f"{name}, cell {number}: {'; '.join(wrong)}\n\n{cell.source}\n{trace}")


def _fix_model_ids(notebook: NotebookNode) -> None:
    """Replace the kernel's random widget ids, which mean nothing without it and change with every build."""
    for cell in _code(notebook):
        views = [o.data[health.WIDGET_VIEW] for o in cell.outputs if health.WIDGET_VIEW in o.get("data", {})]
        for number, view in enumerate(views):
            view["model_id"] = f"{cell.id}-{number}"


if __name__ == "__main__":
    sys.exit(main())
