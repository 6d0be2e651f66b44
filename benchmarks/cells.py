"""Cells: which keep a room waiting (over 1 s), and for how long without a word.

The solutions' copies, because there every exercise does its work. CPU seconds stand beside the clock's: what
else the machine does moves them less.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import psutil
from nbclient import NotebookClient

from coursekit._core import display

SOLUTIONS = Path(__file__).parent.parent / "notebooks" / "solutions"
TIMES = 3
LONG = 1.0  # seconds that a room waits
WORDS = ("display_data", "update_display_data", "execute_result", "stream")


class Cell(NamedTuple):
    """One cell's seconds: on the clock, of the CPU, and the longest without a word; and its first line."""

    clock: float
    cpu: float
    silence: float
    line: str


class Clocked(NotebookClient):
    """Runs a notebook and keeps when each cell said something."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cells: list[Cell] = []
        self.said: list[float] = []
        self.cpu = 0.0
        self.on_cell_execute = self._begin
        self.on_cell_executed = self._end

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Note the time of everything that a reader would see."""
        if msg["msg_type"] in WORDS:
            self.said.append(time.perf_counter())
        return super().process_message(msg, cell, cell_index)

    def _begin(self, **_: Any) -> None:
        self.said, self.cpu = [time.perf_counter()], self._cpu_seconds()

    def _end(self, cell: Any, **_: Any) -> None:
        end = time.perf_counter()
        gaps = [after - before for before, after in zip(self.said, [*self.said[1:], end], strict=True)]
        cpu = self._cpu_seconds() - self.cpu
        self.cells.append(Cell(end - self.said[0], cpu, max(gaps), _first_line(cell.source)))

    def _cpu_seconds(self) -> float:
        times = psutil.Process(self.km.provisioner.pid).cpu_times()  # its ended children count too
        return times.user + times.system + times.children_user + times.children_system


def main(stems: tuple[str, ...] = ("",), times: int = TIMES) -> None:
    """Print the medians over fresh kernels: a row per cell that takes long, then one per notebook.

    Parameters
    ----------
    stems : tuple of str, optional
        How the notebooks' names begin; by default all are run.
    times : int, optional
        How often each is run, in turns.
    """
    paths = [path for path in sorted(SOLUTIONS.glob("*.ipynb")) if path.stem.startswith(stems)]
    rounds = [[_run(path) for path in paths] for _ in range(times)]
    slow, totals = [], []
    for path, *runs in zip(paths, *rounds, strict=True):
        cells = [_median(runs) for runs in zip(*runs, strict=True)]
        slow += [(path.stem[:9], *_row(cell), cell.line) for cell in cells if cell.clock > LONG]
        clock, cpu = (sum(cell[i] for cell in cells) for i in (0, 1))
        totals.append((path.stem, display.seconds(clock), display.seconds(cpu)))
    print(display.table_text(("notebook", "clock", "CPU", "silent for", "cell"), slow))
    print()
    print(display.table_text(("notebook", "clock", "CPU"), totals))


def _run(path: Path) -> list[Cell]:
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as home:
        where = {"metadata": {"path": str(path.parent)}}
        client = Clocked(notebook, store_widget_state=False, resources=where)
        client.execute(env={**os.environ, "COURSEKIT_HOME": home})
    return client.cells


def _median(runs: tuple[Cell, ...]) -> Cell:
    clock, cpu, silence = (statistics.median(run[i] for run in runs) for i in (0, 1, 2))
    return Cell(clock, cpu, silence, runs[0].line)


def _row(cell: Cell) -> tuple[str, ...]:
    return display.seconds(cell.clock), display.seconds(cell.cpu), display.seconds(cell.silence)


def _first_line(source: str) -> str:
    """Return the first line that does something, cut."""
    lines = [line for line in source.splitlines() if line.strip() and not line.startswith(("#", "%", "!"))]
    return (lines or [""])[0][:60]


if __name__ == "__main__":
    main()
