"""Progress: which exercises are solved, tried and open, notebook by notebook, as the log says."""

import ast
import contextlib
import html
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from coursekit._core import arguments, courses, display, texts
from coursekit.exercises import checking, tries
from coursekit.exercises.tries import OPEN, SOLVED, TRIED, Tries

__all__ = ["MARKS", "Progress", "offered", "progress"]

HEADERS = ("notebook", "exercises", "solved", "tried", "open", "tries", "hints")
OF_ONE = ("exercise", "", "tries", "hints")  # the columns for one notebook
MARKS = {SOLVED: "✓", TRIED: "✗", OPEN: "○"}
_COLOURS = {SOLVED: "#009E73", TRIED: "#D55E00", OPEN: "#8C8C8C"}
_WORKED = "This is a worked solution: what it checks does not count."


@dataclass(frozen=True, repr=False)
class Progress(display.Shown):
    """What became of the exercises.

    Parameters
    ----------
    notebook : str
        The notebook's name; empty for all.
    exercises : tuple of Tries
        Every exercise, notebook by notebook.
    notes : tuple of str
        What there is to say beside the numbers.
    """

    __module__ = "coursekit.exercises"

    notebook: str
    exercises: tuple[Tries, ...]
    notes: tuple[str, ...] = ()

    @property
    def solved(self) -> int:
        """How many are solved."""
        return self._count(SOLVED)

    @property
    def tried(self) -> int:
        """How many were tried and are not solved."""
        return self._count(TRIED)

    @property
    def open(self) -> int:
        """How many were not tried yet."""
        return self._count(OPEN)

    @property
    def by_notebook(self) -> dict[str, "Progress"]:
        """The same for each notebook by its name."""
        names = dict.fromkeys(each.notebook for each in self.exercises)
        return {
            name: Progress(name, tuple(each for each in self.exercises if each.notebook == name))
            for name in names
        }

    @property
    def summary(self) -> str:
        """The three numbers in a line."""
        where = f" in notebook {self.notebook}" if self.notebook else ""
        if not self.exercises:
            return f"There are no exercises{where}."
        numbers = f"{self.solved} of {len(self.exercises)} solved, {self.tried} tried, {self.open} open"
        return f"Exercises{where}: {numbers}"

    def _count(self, outcome: str) -> int:
        return sum(each.outcome == outcome for each in self.exercises)

    def _row(self, marks: str) -> tuple[str, ...]:
        counted = (self.solved, self.tried, self.open)
        tried, hints = sum(each.tries for each in self.exercises), sum(each.hints for each in self.exercises)
        return (self.notebook, marks, *map(str, (*counted, tried, hints)))

    def _table(self, *, marked: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headers and rows: an exercise a row for one notebook, a notebook a row for all."""
        mark = _mark if marked else _plain
        if self.notebook:
            return OF_ONE, [_of_exercise(each, mark(each, each.outcome)) for each in self.exercises]
        parts = self.by_notebook.values()
        return HEADERS, [part._row(" ".join(mark(each) for each in part.exercises)) for part in parts]

    def __str__(self) -> str:
        headers, rows = self._table(marked=False)
        lines = [display.table_text(headers, rows, left=2)] if rows else []
        return "\n".join([self.summary, *lines, *self.notes])

    def _repr_html_(self) -> str:
        headers, rows = self._table(marked=True)
        table = display.table_html(headers, rows, self.summary, left=2, escaped=True) if rows else ""
        notes = [] if rows else [self.summary]
        return table + "".join(f"<div>{html.escape(note)}</div>" for note in (*notes, *self.notes))


def progress(notebook: str | None = None) -> Progress:
    """Return which exercises are solved, tried and open, from all sessions on this machine.

    An exercise is solved once an answer of yours was right, for good. Worked solutions do not count.

    Parameters
    ----------
    notebook : str, optional
        Its name, such as "05"; by default all notebooks.

    Returns
    -------
    Progress
        The exercises and the counts; it shows itself as a table.

    Raises
    ------
    TypeError, ValueError
        If there is no such notebook, or its ``checks.py`` cannot be run.
    OSError
        If the log is there and cannot be read.
    """
    known = courses.notebooks()
    if notebook is not None and arguments.label("notebook", notebook) not in known:
        raise texts.unknown("notebook", notebook, known)
    ids, notes = _of_one(notebook) if notebook is not None else offered()
    found = tries.together(tries.VERDICTS.read())
    worked = (_WORKED,) if tries.in_solutions() else ()
    return Progress(notebook or "", tuple(found.get(id, Tries(id)) for id in ids), (*worked, *notes))


def offered() -> tuple[list[str], list[str]]:
    """Return all exercises of the courses, and what keeps some from being found.

    Returns
    -------
    tuple of list of str and list of str
        Ids, notebook by notebook, and a line for each notebook whose checks cannot be run here.
    """
    ids: list[str] = []
    notes = []
    for name in _in_order(courses.files(courses.CHECKS)):
        try:
            ids += _of_one(name)[0]
        except ValueError:
            notes.append(f"Notebook {name} is left out: its checks cannot be run here.")
    return ids, notes


def _of_one(notebook: str) -> tuple[list[str], list[str]]:
    path = courses.files(courses.CHECKS).get(notebook)
    if path is None:
        return [], []
    return _written(path) or list(checking.checkers(notebook)), []


def _written(path: Path) -> list[str]:
    """Return the ids that are written in ``CHECKERS``, empty if they are not plain."""
    with contextlib.suppress(OSError, ValueError, SyntaxError):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            names = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(name, ast.Name) and name.id == "CHECKERS" for name in names):
                return _keys(node.value)
    return []


def _keys(value: ast.expr | None) -> list[str]:
    """Return the keys of a dict, also of one in ``MappingProxyType(…)``; empty if one of them is computed."""
    if isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords:
        value = value.args[0]
    if not isinstance(value, ast.Dict):
        return []
    keys = [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return keys if len(keys) == len(value.keys) else []


def _in_order(names: Iterable[str]) -> list[str]:
    """Return numbered notebooks first, then words, then letters."""
    return sorted(names, key=lambda name: (not name[0].isdigit(), len(name) == 1, name))


def _of_exercise(each: Tries, mark: str) -> tuple[str, ...]:
    return html.escape(each.id), mark, str(each.tries), str(each.hints)


def _plain(each: Tries, word: str = "") -> str:
    return f"{MARKS[each.outcome]} {word}".rstrip()


def _mark(each: Tries, word: str = "") -> str:
    """Return a mark with a coloured line below it; its exercise shows when it is pointed at."""
    line = f"border-bottom:.2em solid {_COLOURS[each.outcome]}"
    title = f"{html.escape(each.id)}: {each.outcome}"
    return f'<span title="{title}" style="{line}">{_plain(each, word)}</span>'
