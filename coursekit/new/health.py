"""What a built notebook must not contain, found without running it."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

__all__ = [
    "ANSWER",
    "MACHINE_PATH",
    "MAX_BYTES",
    "WIDGET_STATE",
    "WIDGET_VIEW",
    "answers",
    "cell_faults",
    "clear_outputs",
    "faults",
    "is_answer",
    "output_text",
    "withhold",
]

MAX_BYTES = 600_000
ANSWER = "answer"  # the tag of a cell whose output is not for students' copies
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# Folders that only one machine has; a notebook that shows one was written for that machine.
MACHINE_PATH = re.compile(
    r"(?<![\w./:-])(?:/(?:home|root|tmp|work|Users|private|var|mnt|opt)/[\w.-]+|[A-Za-z]:\\+\w+)"
)


def faults(notebook: NotebookNode, size: int = 0) -> Iterator[str]:
    """Yield what is wrong with an executed notebook, as text for people.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook.
    size : int
        Its file's bytes.

    Yields
    ------
    str
        One fault each.

    """
    if size > MAX_BYTES:
        yield f"{size / 1000:.0f} kB, more than {MAX_BYTES / 1000:.0f}: draw fewer or smaller pictures"
    if "widgets" in notebook.metadata:
        yield "holds stored widget state: static readers lose the pictures"
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            yield from (f"cell {number}: {fault}" for fault in cell_faults(cell))


def cell_faults(cell: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with the outputs of an executed code cell.

    Parameters
    ----------
    cell : NotebookNode
        The cell, with its outputs.

    Yields
    ------
    str
        One fault each.
    """
    if cell.execution_count is None and cell.source.strip():
        yield "was not executed: its outputs are missing"
    for output in cell.outputs:
        text = output_text(output)
        if output.output_type == "error":
            yield f"error output {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"text on stderr: {text.strip()}"
        if WIDGET_STATE in output.get("data", {}):
            yield "holds stored widget state"
        path = MACHINE_PATH.search(text)
        if path:
            yield f"shows a path of one machine: {path[0]}"


def output_text(output: NotebookNode) -> str:
    """Return everything textual in an output: stream, text/plain, text/html, traceback.

    Parameters
    ----------
    output : NotebookNode
        An output of a cell.

    Returns
    -------
    str
        The text.
    """
    data = output.get("data", {})
    parts = [
        output.get("text", ""),
        *(data.get(kind, "") for kind in ("text/plain", "text/html", "text/markdown")),
    ]
    return "\n".join("".join(part) for part in (*parts, *output.get("traceback", [])))


def is_answer(cell: NotebookNode) -> bool:
    """Tell whether the cell is tagged "answer": its output would answer an open prediction or exercise.

    Parameters
    ----------
    cell : NotebookNode
        A code cell.

    Returns
    -------
    bool
        True or False.
    """
    return ANSWER in cell.metadata.get("tags", ())


def answers(notebook: NotebookNode) -> Iterator[str]:
    """Yield where a student's copy stores an answer, as text for people.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook.

    Yields
    ------
    str
        One fault each.
    """
    for number, cell in enumerate(notebook.cells):
        if cell.get("outputs") and is_answer(cell):
            yield f"cell {number}: stores an output although it is tagged {ANSWER!r}"


def withhold(notebook: NotebookNode) -> None:
    """Empty the outputs of the cells that are tagged "answer"; that they ran stays to be seen.

    Parameters
    ----------
    notebook : NotebookNode
        A student's copy, executed.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code" and is_answer(cell):
            cell.outputs = []


def clear_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without outputs and execution counts.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook, which stays as it is.

    Returns
    -------
    NotebookNode
        The copy.
    """
    copy = notebook.copy()
    copy.cells = [_cleared(cell) for cell in notebook.cells]
    return copy


def _cleared(cell: NotebookNode) -> NotebookNode:
    empty: dict[str, object] = {"outputs": [], "execution_count": None} if cell.cell_type == "code" else {}
    return NotebookNode({**cell, **empty})
