"""Run notebooks from top to bottom, each in a fresh kernel of some Python, and say what went wrong.

python run_notebooks.py [--python PYTHON] NOTEBOOK…: prints a line of JSON per notebook with its
seconds, its text on stderr, and the error that stopped it, if any. The kernel inherits limits and settings.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

CELL_TIMEOUT = 240


def main() -> int:
    """Return how many notebooks failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in options.notebooks:
            result = run(path, options.python, Path(folder))
            failed += result["error"] is not None
            print(json.dumps(result), flush=True)
    return failed


def run(path: Path, python: str, kernels: Path, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run one notebook in its own folder, with the settings ``env`` (default: ours); the file stays."""
    notebook = nbformat.read(path, 4)
    begin, error = time.perf_counter(), None
    client = NotebookClient(
        notebook,
        km=_manager(python, kernels),
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
    )
    try:
        # nbclient leaves a kernel running whose manager it did not make, unless it is told to clean up.
        client.execute(cleanup_kc=True, **({} if env is None else {"env": env}))
    except Exception as wrong:  # whatever stopped it is the result
        error = f"{type(wrong).__name__}: {wrong}"[-2000:]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return {
        "notebook": path.name,
        "seconds": round(time.perf_counter() - begin, 1),
        "error": error or next((f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"), None),
        "stderr": "".join(o.text for o in outputs if o.get("name") == "stderr")[-2000:],
        "stdout": "".join(o.text for o in outputs if o.get("name") == "stdout"),
    }


def _manager(python: str, kernels: Path) -> AsyncKernelManager:
    """Return what starts a kernel of ``python``."""
    folder = kernels / "kernels" / "place"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    spec = {"argv": argv, "display_name": "place", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    specs = KernelSpecManager(kernel_dirs=[str(folder.parent)])
    return AsyncKernelManager(kernel_name="place", kernel_spec_manager=specs)


if __name__ == "__main__":
    sys.exit(main())
