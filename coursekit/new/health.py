"""What a built notebook must not contain, found without running it."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

__all__ = [
    "MACHINE_PATH",
    "MAX_BYTES",
    "WIDGET_STATE",
    "WIDGET_VIEW",
    "cell_faults",
    "clear_outputs",
    "faults",
    "leftovers",
    "output_text",
]

MAX_BYTES = 600_000
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


def leftovers(notebook: NotebookNode) -> Iterator[str]:
    """Yield what a notebook with solutions should not have stored.

    Parameters
    ----------
    notebook : NotebookNode
        The notebook.

    Yields
    ------
    str
        One leftover each.
    """
    for number, cell in enumerate(notebook.cells):
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"cell {number}: solutions are stored without outputs"


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
