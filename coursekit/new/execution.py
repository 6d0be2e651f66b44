"""Run a notebook in a fresh kernel of its own and accept nothing on stderr."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit.new import health
from coursekit.new.masters import KERNELSPEC, LANGUAGE, BuildError

__all__ = ["environment", "execute"]

CELL_TIMEOUT = 120


def execute(notebook: NotebookNode, name: str, folder: Path, *, strict: str) -> None:
    """Run a notebook on the CPU and leave its outputs in it.

    Parameters
    ----------
    notebook : NotebookNode
        What is run.
    name : str
        What messages call it.
    folder : Path
        Where it is run.
    strict : str
        COURSEKIT_STRICT for the kernel: "0", "1" or "claims".

    Raises
    ------
    BuildError
        With the cell, if it raises, takes too long, or leaves an error or text on stderr.

    """
    with tempfile.TemporaryDirectory() as home:
        _run(notebook, name, folder, environment(home, COURSEKIT_STRICT=strict))
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    _refuse_faults(notebook, name)
    _fix_model_ids(notebook)


def environment(home: str, **extra: str) -> dict[str, str]:
    """Return a kernel's environment: on the CPU, and without the author's own settings.

    Parameters
    ----------
    home : str
        The folder for results.
    **extra : str
        Further variables.

    Returns
    -------
    dict of str to str
        Names, each with its value.

    """
    mine = {key: value for key, value in os.environ.items() if not key.startswith("COURSEKIT_")}
    return {**mine, "COURSEKIT_DEVICE": "cpu", "COURSEKIT_HOME": home, **extra}


def _run(notebook: NotebookNode, name: str, folder: Path, env: dict[str, str]) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    # store_widget_state=False, because GitHub and nbconvert show no pictures beside stored state.
    # The log level, because ipykernel warns about every kernel that talks over TCP.
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )
    try:
        client.execute(env=env)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise BuildError(f"{name}: {error}") from None


def _refuse_faults(notebook: NotebookNode, name: str) -> None:
    for number, cell in enumerate(notebook.cells):
        wrong = list(health.cell_faults(cell)) if cell.cell_type == "code" else []
        if wrong:
            trace = "\n".join(line for output in cell.outputs for line in output.get("traceback", []))
            raise BuildError(f"{name}, cell {number}: {'; '.join(wrong)}\n\n{cell.source}\n{trace}")


def _fix_model_ids(notebook: NotebookNode) -> None:
    """Replace the kernel's random widget ids, which mean nothing without it and change with every build."""
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        views = [o.data[health.WIDGET_VIEW] for o in cell.outputs if health.WIDGET_VIEW in o.get("data", {})]
        for number, view in enumerate(views):
            view["model_id"] = f"{cell.id}-{number}"
