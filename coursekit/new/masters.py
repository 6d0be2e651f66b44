"""From a master (a percent script, solutions included) to its two notebooks: for students and with solutions.

Nothing is executed here, so reading every master takes well under a second.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

__all__ = [
    "ABSOLUTE",
    "BADGES",
    "INSTALL",
    "INSTALLED",
    "KERNELSPEC",
    "LANGUAGE",
    "LINK",
    "BuildError",
    "check_markers",
    "number",
    "read",
    "reveal",
    "slide_type",
    "solution",
    "student",
    "summary",
]

BADGES, INSTALL = "{{badges}}", "{{install}}"
# What stands in the place of INSTALL.
INSTALLED = re.compile(r"coursekit @ git\+https://github\.com/[\w.-]+/[\w.-]+(@[\w.-]+)?")
OPEN, CLOSE, BLANK = "# solution", "# end solution", "..."
EXERCISE = "exercise"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
# What jupytext adds for its own way back to text; every other key has to be one we know.
ALLOWED = {"tags", "slideshow", "jupyter"}
DROPPED = {"lines_to_next_cell", "lines_to_end_of_cell_marker", "title"}
FOLDED = {"source_hidden": True}  # what "jupyter" may say: a cell that only draws is folded
HEADER = re.compile(r"# %%(?=$|[ \t])")
LINK = re.compile(r"(\]\()([^)\s]+)")
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|#|/", re.IGNORECASE)


class BuildError(Exception):
    """A master or a notebook is not as it should be; the message names the file and the place."""


def read(path: Path) -> NotebookNode:
    """Return the master as a notebook with solutions, markers and placeholders still in it.

    Parameters
    ----------
    path : Path
        A percent script.

    Returns
    -------
    NotebookNode
        The notebook.

    Raises
    ------
    BuildError
        For markers that do not pair, nest or stand outside an exercise cell, and for unknown metadata.

    """
    text = path.read_text(encoding="utf-8")
    check_markers(text, path.name)
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        _tidy(cell, f"{path.name}, cell {number}")
    _set_ids(notebook, path.stem)
    return notebook


def student(master: NotebookNode, texts: Mapping[str, str]) -> NotebookNode:
    """Return the copy to work in, where every solution is one line ``...``.

    Parameters
    ----------
    master : NotebookNode
        As ``read`` returns it.
    texts : mapping of str to str
        Placeholders, each with what replaces it.

    Returns
    -------
    NotebookNode
        The copy.

    """
    return _copy(master, texts, lambda source: reveal(source, solved=False), lambda source: source)


def solution(master: NotebookNode, texts: Mapping[str, str]) -> NotebookNode:
    """Return the copy with the solutions; its relative links are made to fit the folder it lies in.

    Parameters
    ----------
    master : NotebookNode
        As ``read`` returns it.
    texts : mapping of str to str
        Placeholders, each with what replaces it.

    Returns
    -------
    NotebookNode
        The copy.

    """

    def relinked(source: str) -> str:
        return LINK.sub(lambda match: match[1] + _from_solutions(match[2]), source)

    return _copy(master, texts, lambda source: reveal(source, solved=True), relinked)


def reveal(source: str, *, solved: bool) -> str:
    """Return the code without marker lines, and with the blank instead of each solution unless ``solved``.

    Parameters
    ----------
    source : str
        A cell's code. The blank is ``...``, or what the marker says: ``# solution: answer = ...``.
    solved : bool
        Whether the solutions stay.

    Returns
    -------
    str
        The code.

    """
    lines, inside = [], False
    for line in source.split("\n"):
        if _marker(line) == OPEN:
            inside = True
            if not solved:
                indent, blank = line[: len(line) - len(line.lstrip())], line.strip()[len(OPEN) + 2 :]
                lines.append(indent + (blank or BLANK))
        elif _marker(line) == CLOSE:
            inside = False
        elif solved or not inside:
            lines.append(line)
    return "\n".join(lines)


def check_markers(text: str, name: str) -> None:
    """Look for solution markers that are not where they belong.

    Parameters
    ----------
    text : str
        A master.
    name : str
        What messages call it.

    Raises
    ------
    BuildError
        With file and line, for the first of them.

    """
    opened, found = 0, 0
    for first, header, lines in _code_cells(text):
        exercise = re.search(r'["\']exercise["\']', header) is not None
        found = 0
        for number, line in enumerate(lines, first):
            marker = _marker(line)
            if not marker:
                continue
            fault = _fault(marker, opened, exercise)
            if fault:
                raise BuildError(f"{name}:{number}: {fault}")
            opened = number if marker == OPEN else 0
            found += 1
        if opened:
            raise BuildError(f"{name}:{opened}: '{OPEN}' without '{CLOSE}' in the same cell")
        if exercise and not found:
            raise BuildError(f"{name}:{first}: an exercise cell without '{OPEN}' … '{CLOSE}'")


def summary(notebook: NotebookNode) -> tuple[str, str]:
    """Return the notebook's title, without its number, and the minutes it takes.

    Parameters
    ----------
    notebook : NotebookNode
        Its first cell says both.

    Returns
    -------
    tuple of 2 str
        The title and the minutes, "" for what the cell does not say.

    """
    text = notebook.cells[0].source
    found = re.search(r"^# (?:\d+ |[A-Z] · )?(.*)$", text, re.MULTILINE), re.search(r"(\d+) minutes", text)
    title, minutes = (match[1].strip() if match else "" for match in found)
    return title, minutes


def number(name: str) -> str:
    """Return a notebook's number or letter, as its name begins with it.

    Parameters
    ----------
    name : str
        A master's.

    Returns
    -------
    str
        Such as "01" or "A"; "" for a name without.

    """
    found = re.match(r"(\d+|[A-Z])-", name)
    return found[1] if found else ""


def _marker(line: str) -> str:
    """Return which marker the line is, if any."""
    text = line.strip()
    return OPEN if text.startswith(f"{OPEN}: ") else text if text in (OPEN, CLOSE) else ""


def _fault(marker: str, opened: int, exercise: bool) -> str:
    if not exercise:
        return f"'{marker}' outside an exercise cell; tag the cell: # %% tags=[\"exercise\"]"
    if marker == OPEN and opened:
        return f"'{OPEN}' inside the solution that starts in line {opened}"
    if marker == CLOSE and not opened:
        return f"'{CLOSE}' without '{OPEN}' before it"
    return ""


def _code_cells(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (number of the first line, header, lines) of each code cell."""
    lines = text.split("\n")
    starts = sorted({0, *(i for i, line in enumerate(lines) if HEADER.match(line)), len(lines)})
    for start, end in zip(starts, starts[1:], strict=False):
        if "[markdown]" not in lines[start] and "[raw]" not in lines[start]:
            yield start + 1, lines[start], lines[start:end]


def _copy(
    master: NotebookNode, texts: Mapping[str, str], code: Callable[[str], str], prose: Callable[[str], str]
) -> NotebookNode:
    notebook = nbformat.from_dict(master)
    for cell in notebook.cells:
        cell.source = (code if cell.cell_type == "code" else prose)(cell.source)
        for placeholder, text in texts.items():
            cell.source = cell.source.replace(placeholder, text)
    return notebook


def _tidy(cell: NotebookNode, where: str) -> None:
    """Leave tags, fold and slide type as the only metadata, and drop what only the percent script needs."""
    unknown = set(cell.metadata) - ALLOWED - DROPPED
    folded = cell.metadata.get("jupyter", {})
    if unknown or folded not in ({}, FOLDED):
        names = ", ".join(sorted(unknown or {"jupyter"}))
        raise BuildError(
            f"{where}: unknown metadata {names}; only tags, slideshow and jupyter={FOLDED} are kept"
        )
    tags = cell.metadata.get("tags", [])
    slide = cell.metadata.get("slideshow", {}).get("slide_type") or slide_type(cell)
    cell.metadata = nbformat.from_dict(
        {
            **({"tags": tags} if tags else {}),
            **({"jupyter": dict(folded)} if folded else {}),
            "slideshow": {"slide_type": slide},
        }
    )
    if cell.cell_type == "code":
        cell.source = _without_pass(cell.source)
        cell.outputs, cell.execution_count = [], None


def slide_type(cell: NotebookNode) -> str:
    """Return the slide type by rule: headings open slides, text comes step by step, code stays with it.

    Parameters
    ----------
    cell : NotebookNode
        A cell of a master.

    Returns
    -------
    str
        "slide", "fragment" or "-".

    """
    if cell.cell_type == "code":
        return "-"
    return "slide" if re.match(r"##? ", cell.source) else "fragment"


def _without_pass(source: str) -> str:
    """Drop the ``pass`` after a magic: the master, where magics are comments, needs it to be valid Python."""
    return re.sub(r"^([ \t]+)([%!].*)\n\1pass$", r"\1\2", source, flags=re.MULTILINE)


def _set_ids(notebook: NotebookNode, name: str) -> None:
    """Give cells ids that follow from what students see, so that only a changed cell changes its id."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        text = f"{name}\n{cell.cell_type}\n{reveal(cell.source, solved=False)}"
        cell.id = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:8]
        seen[text] += 1


def _from_solutions(target: str) -> str:
    """Return a relative link of the student copy as it reads from the folder with the solutions."""
    if ABSOLUTE.match(target) or re.fullmatch(r"[^/]+\.ipynb(#.*)?", target):
        return target
    return target.removeprefix("solutions/") if target.startswith("solutions/") else f"../{target}"
