"""Run a notebook's solutions with one change, to its end whatever happens, and keep what it showed."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from coursekit.new import masters
from coursekit.new.execution import environment
from sceptic.changes import Change

__all__ = ["TOOLS", "Run", "notebook", "run", "text_of"]

CELL_TIMEOUT = 300
TOOLS = Path(__file__).resolve().parents[1]
TEXTS = {masters.INSTALL: "", masters.BADGES: ""}


@dataclass(frozen=True)
class Run:
    """One notebook under one change.

    Parameters
    ----------
    name : str
        The notebook's.
    change : Change
        What was changed.
    cells : tuple of NotebookNode
        Its code cells as the reader sees them, with the outputs; the code is the unchanged one.
    edited : frozenset of int
        Numbers of cells whose text was changed.
    claims : mapping
        Claims by id, each as the log kept it.
    seconds : float
        How long it took.

    """

    name: str
    change: Change
    cells: tuple[NotebookNode, ...]
    edited: frozenset[int]
    claims: Mapping[str, Mapping[str, Any]]
    seconds: float


def notebook(master: Path) -> NotebookNode:
    """Return the solutions of a notebook, from its master.

    Parameters
    ----------
    master : Path
        The percent script.

    Returns
    -------
    NotebookNode
        Without outputs.

    """
    return masters.solution(masters.read(master), TEXTS)


def run(master: Path, change: Change) -> Run:
    """Run a notebook with a change.

    Parameters
    ----------
    master : Path
        The percent script.
    change : Change
        What is changed.

    Returns
    -------
    Run
        What it showed.

    """
    plain, changed = notebook(master), notebook(master)
    edited: set[int] = set()
    code = [cell for cell in changed.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code):
        source = cell.source if change.first and edited else change.edit(cell.source)
        if source != cell.source:
            edited.add(number)
        cell.source = source
    _set_up(code[0], change)
    with tempfile.TemporaryDirectory() as home:
        begin = time.perf_counter()
        _execute(changed, environment(home, COURSEKIT_STRICT="0", **_variables(change)))
        seconds = time.perf_counter() - begin
        kept = _claims(Path(home))
    cells = [cell for cell in plain.cells if cell.cell_type == "code"]
    for cell, ran in zip(cells, code, strict=True):
        cell.outputs = ran.outputs
    return Run(master.stem, change, tuple(cells), frozenset(edited), kept, seconds)


def _set_up(cell: NotebookNode, change: Change) -> None:
    lines = ["", "import sys as _sys", f"_sys.path.insert(0, {str(TOOLS)!r})", "from sceptic import inside"]
    calls = [f"inside.{name}()" for name in ("show_titles", *change.inside)]
    cell.source += "\n".join([*lines, *calls])


def _variables(change: Change) -> dict[str, str]:
    """Return what the kernel's environment adds; threads that wait must not spin, others run meanwhile."""
    path = os.pathsep.join([str(TOOLS.parent), *sys.path])
    return {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE", **change.env}


def _execute(changed: NotebookNode, env: dict[str, str]) -> None:
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            changed,
            timeout=CELL_TIMEOUT,
            interrupt_on_timeout=True,  # then the cell has an error, which is judged, and the others run on
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],
            store_widget_state=False,
            coalesce_streams=True,
            allow_errors=True,
        )
        client.execute(env=env)


def _claims(home: Path) -> dict[str, dict[str, Any]]:
    path = home / "claims.jsonl"
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {record["id"]: record for record in records if "id" in record}


def text_of(output: Mapping[str, Any]) -> str:
    """Return what an output says in words.

    Parameters
    ----------
    output : mapping
        Of a cell.

    Returns
    -------
    str
        "" for a picture.

    """
    if output["output_type"] == "stream":
        return str(output["text"])
    data = output.get("data", {})
    return "" if "image/png" in data else str(data.get("text/plain", ""))
