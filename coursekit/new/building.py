"""Build notebooks from their masters: students' copies and solutions, both executed on the CPU.

The students' copies store no output that answers a question: cells tagged "answer" are left empty there.

Only what differs from its master is written, and only notebooks whose code changed run again, so that outputs
do not churn in git.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit._core import published
from coursekit.new import health, masters
from coursekit.new.execution import execute
from coursekit.new.masters import BADGES, INSTALL, INSTALLED, BuildError

__all__ = [
    "Folder",
    "build",
    "build_all",
    "code_cells",
    "difference",
    "keep_outputs",
    "load",
    "replace_text",
    "requirement",
    "stale",
    "write",
]


class Folder:
    """A folder of notebooks: masters in ``source/``, copies to work in beside it, ``solutions/``.

    Parameters
    ----------
    notebooks : Path
        The folder.
    *parts : str
        Folders in it that hold further notebooks, with a ``source/`` and ``solutions/`` of their own.

    """

    def __init__(self, notebooks: Path, *parts: str) -> None:
        self.notebooks = self.root = notebooks
        self.places = (notebooks, *(notebooks / part for part in parts))

    def masters(self) -> dict[str, Path]:
        """Return name to path of every master, in order: place by place, numbered ones first.

        Returns
        -------
        dict of str to Path
            Names, each with the master's path.
        """
        places = [sorted(place.glob("source/*.py")) for place in self.places]
        ordered = [sorted(paths, key=lambda path: not path.stem[0].isdigit()) for paths in places]
        return {path.stem: path for paths in ordered for path in paths}

    def paths(self, name: str) -> tuple[Path, Path]:
        """Return where the student copy and the solutions are written.

        Parameters
        ----------
        name : str
            The master's.

        Returns
        -------
        tuple of 2 Path
            Both paths.
        """
        place = self.masters()[name].parent.parent
        return place / f"{name}.ipynb", place / "solutions" / f"{name}.ipynb"

    def students(self) -> list[Path]:
        """Return where the students' copies of all masters are written.

        Returns
        -------
        list of Path
            Their paths, in the order of the course.
        """
        return [self.paths(name)[0] for name in self.masters()]

    def texts(self, name: str, *, solution: bool) -> dict[str, str]:
        """Return what replaces the placeholders in a copy.

        Parameters
        ----------
        name : str
            The master's.
        solution : bool
            Whether the copy is the one with solutions.

        Returns
        -------
        dict of str to str
            Placeholders, each with its text.
        """
        return {INSTALL: requirement(), BADGES: ""}

    def expected(self, name: str) -> tuple[NotebookNode, NotebookNode]:
        """Return what a master says: student copy and solutions, both without outputs.

        Parameters
        ----------
        name : str
            The master's.

        Returns
        -------
        tuple of 2 NotebookNode
            Both notebooks.

        Raises
        ------
        BuildError
            As for ``masters.read``.
        """
        master = masters.read(self.masters()[name])
        return (
            masters.student(master, self.texts(name, solution=False)),
            masters.solution(master, self.texts(name, solution=True)),
        )

    def select(self, wanted: list[str]) -> list[str]:
        """Return the masters that are meant; all of them if nothing is named.

        Parameters
        ----------
        wanted : list of str
            Numbers, names or paths.

        Returns
        -------
        list of str
            Names, in the order of the course.

        Raises
        ------
        BuildError
            If one of ``wanted`` has no master.
        """
        names = list(self.masters())
        if not wanted:
            return names
        stems = [Path(text).name.removesuffix(".py").removesuffix(".ipynb") for text in wanted]
        for text, stem in zip(wanted, stems, strict=True):
            if not any(name == stem or name.startswith(f"{stem}-") for name in names):
                raise BuildError(f"no master for {text!r}; there are: {', '.join(names) or 'none'}")
        return [name for name in names if any(name == s or name.startswith(f"{s}-") for s in stems)]


def build(folder: Folder, name: str, *, force: bool = False) -> list[str]:
    """Bring both notebooks of ``name`` up to date.

    The solutions are run as well, and every exercise in them must be right. A change of the checks, claims,
    hints or quiz beside the notebook asks for a new run, too.

    Parameters
    ----------
    folder : Folder
        Where the notebooks lie.
    name : str
        The master's name, without its ending.
    force : bool
        Run and write what is up to date, too.

    Returns
    -------
    list of str
        What was done, a line per file; nothing if all was up to date.

    Raises
    ------
    BuildError
        If the master is malformed or a copy does not run cleanly; then nothing is written.

    """
    copies, paths, changes = folder.expected(name), folder.paths(name), []
    force = force or _is_older(paths[0], paths[0].with_suffix(""))
    for path, notebook in zip(paths, copies, strict=True):
        how = _brought_up(load(path), notebook, path, "claims" if path == paths[0] else "1", force)
        if not how:
            continue
        if path == paths[0]:
            health.withhold(notebook)
        _refuse_size(notebook, name)
        changes.append((path, notebook, how))
    for path, notebook, _ in changes:
        write(path, notebook)
    return [f"{path.relative_to(folder.root)} {how}" for path, _, how in changes]


def _brought_up(old: NotebookNode | None, fresh: NotebookNode, path: Path, strict: str, force: bool) -> str:
    """Give ``fresh`` its outputs, old ones where the code is the same; return how, "" if nothing is to do."""
    sound = old if old and not list(health.faults(old, path.stat().st_size)) else None
    answers = strict == "claims" and sound is not None and list(health.answers(sound))
    if not (force or answers or difference(sound, fresh)):
        return ""
    if sound and not force and keep_outputs(sound, fresh):
        return "written, its code is the same"
    path.parent.mkdir(parents=True, exist_ok=True)
    execute(
        fresh,
        path.stem if strict == "claims" else f"{path.parent.name}/{path.stem}",
        path.parent,
        strict=strict,
    )
    return "executed"


def _is_older(built: Path, beside: Path) -> bool:
    """Tell whether checks, claims or quiz changed since the build: the verdicts may be others by now."""
    changed = [path.stat().st_mtime_ns for path in beside.glob("*") if path.suffix in (".py", ".toml")]
    return built.exists() and any(time > built.stat().st_mtime_ns for time in changed)


def keep_outputs(old: NotebookNode, fresh: NotebookNode) -> bool:
    """Move the outputs of ``old`` into ``fresh`` if both run the same code; tell whether they do.

    Install lines may name different repositories: they run nowhere but in Colab.

    Parameters
    ----------
    old, fresh : NotebookNode
        The copy as it is, and as its master says.

    Returns
    -------
    bool
        True if the outputs were moved.

    """
    before, after = code_cells(old), code_cells(fresh)
    if [_runs(cell) for cell in before] != [_runs(cell) for cell in after]:
        return False
    pairs = zip(before, after, strict=True)
    if any(health.is_answer(old) and not health.is_answer(new) and not old.outputs for old, new in pairs):
        return False  # what was held back is not there to be moved
    for source, target in zip(before, after, strict=True):
        target.outputs, target.execution_count = source.outputs, source.execution_count
    return True


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the notebook's code cells.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook.

    Returns
    -------
    list of NotebookNode
        The cells, from the top.
    """
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _runs(cell: NotebookNode) -> str:
    return INSTALLED.sub(INSTALL, cell.source)


def difference(built: NotebookNode | None, expected: NotebookNode) -> str:
    """Return where the built notebook differs from its master (outputs aside), "" if it does not.

    Parameters
    ----------
    built : NotebookNode or None
        The copy as it is; None if it is missing.
    expected : NotebookNode
        The copy as its master says.

    Returns
    -------
    str
        The first difference.

    """
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


def build_all(folder: Folder, names: list[str], *, force: bool = False) -> int:
    """Build several notebooks, print what was done, and go on after a failure.

    Parameters
    ----------
    folder : Folder
        Where they lie.
    names : list of str
        The masters' names.
    force : bool
        As for ``build``.

    Returns
    -------
    int
        How many failed.

    """
    failed = 0
    for name in names:
        try:
            done = build(folder, name, force=force)
        except BuildError as error:
            print(error, file=sys.stderr, flush=True)
            failed += 1
        else:
            print("\n".join(done) or f"{name} is up to date", flush=True)
    return failed


def stale(folder: Folder, names: list[str]) -> list[str]:
    """Return where built notebooks are unsound or not what their masters say; run none.

    Parameters
    ----------
    folder : Folder
        Where they lie.
    names : list of str
        The masters' names.

    Returns
    -------
    list of str
        A line per fault.

    """
    return [line for name in names for line in _stale(folder, name)] + _orphans(folder)


def requirement() -> str:
    """Return what pip installs this coursekit from, for the install line of Colab.

    Returns
    -------
    str
        A requirement as pip reads it.
    """
    known = published.repository()
    return f"coursekit @ git+{known[0]}@{known[1]}" if known else "coursekit"


def load(path: Path) -> NotebookNode | None:
    """Return a notebook, or None if there is none that can be read.

    Parameters
    ----------
    path : Path
        The notebook's file.

    Returns
    -------
    NotebookNode or None
        The notebook, or None.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook, after a check that it is a valid one.

    Parameters
    ----------
    path : Path
        Where to.
    notebook : NotebookNode
        What is written.

    """
    nbformat.validate(notebook)
    replace_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads meanwhile sees the old text or the new one.

    Parameters
    ----------
    path : Path
        Where to; its folder is made if it is missing.
    text : str
        What is written.

    Raises
    ------
    OSError
        If the file cannot be written; the old one stays.

    """
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


def _refuse_size(notebook: NotebookNode, name: str) -> None:
    for fault in health.faults(notebook, len(nbformat.writes(notebook).encode())):
        raise BuildError(f"{name}: {fault}")


def _stale(folder: Folder, name: str) -> Iterator[str]:
    for path, fresh in zip(folder.paths(name), folder.expected(name), strict=True):
        built = load(path)
        found = [difference(built, fresh)]
        if built is not None:
            found += health.faults(built, path.stat().st_size)
            found += health.answers(built) if path.parent in folder.places else ()
        yield from (f"{path.relative_to(folder.root)}: {fault}" for fault in found if fault)


def _orphans(folder: Folder) -> list[str]:
    known = {path for name in folder.masters() for path in folder.paths(name)}
    patterns = ("*.ipynb", "solutions/*.ipynb")
    built = [path for place in folder.places for pattern in patterns for path in place.glob(pattern)]
    strays = sorted(path for path in built if path not in known)
    return [f"{path.relative_to(folder.root)}: has no master; delete it" for path in strays]
