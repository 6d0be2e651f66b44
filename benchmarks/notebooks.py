"""Notebooks: seconds, peak memory and size, from a fresh kernel.

Budgets: 25 s and 900 MB, lettered ones 40 s and 1.2 GB; each 600 KB.
"""

import os
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from coursekit._core import display
from coursekit.new.building import Folder

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


class PeakMemory(threading.Thread):
    """Watch the resident memory of this process's children, the kernels, every 20 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.kernel, self.family = 0, 0
        self.done = threading.Event()

    def run(self) -> None:
        """Keep the most that one kernel held, alone and with its own children, until ``done`` is set."""
        while not self.done.wait(0.02):
            for kernel in psutil.Process().children():
                alone, together = _resident(kernel)
                self.kernel, self.family = max(self.kernel, alone), max(self.family, together)


def main() -> None:
    """Print one row per notebook."""
    rows = []
    for path in Folder(NOTEBOOKS, "beyond").students():
        with tempfile.TemporaryDirectory() as home:
            rows.append((path.name, *_measure(path, home)))
            if path.stem == "dashboard":  # what it builds is kept beside the scoreboard
                rows.append(("once more, nothing to build", *_measure(path, home)))
    headers = ("notebook", "run all", "first picture", "peak memory", "with its processes", "on disk")
    print(display.table_text(headers, rows))


def _measure(path: Path, home: str) -> tuple[str, ...]:
    notebook = nbformat.read(path, as_version=4)
    first: list[float] = []
    memory = PeakMemory()
    client = NotebookClient(
        notebook, store_widget_state=False, resources={"metadata": {"path": str(path.parent)}}
    )
    client.on_cell_executed = lambda cell, **_: _note_picture(cell, first)
    memory.start()
    start = time.perf_counter()
    client.execute(env={**os.environ, "COURSEKIT_HOME": home})
    seconds = time.perf_counter() - start
    memory.done.set()
    memory.join()
    picture = display.seconds(first[0] - start) if first else "none"
    sizes = map(display.size, (memory.kernel, memory.family, path.stat().st_size))
    return display.seconds(seconds), picture, *sizes


def _note_picture(cell: nbformat.NotebookNode, first: list[float]) -> None:
    if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
        first.append(time.perf_counter())


def _resident(process: psutil.Process) -> tuple[int, int]:
    """Return the bytes of a process alone, and together with its children's."""
    try:
        alone = process.memory_info().rss
        return alone, alone + sum(p.memory_info().rss for p in process.children(recursive=True))
    except psutil.NoSuchProcess:
        return 0, 0


if __name__ == "__main__":
    main()
