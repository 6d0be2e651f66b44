"""Turns: our notebooks and another folder's, which begin with the same number, from fresh kernels.

``python -m benchmarks.turns FOLDER``: one after the other in one run, so that a slow minute hits both. What
counts is what a room waits for: starting the kernel, and the cells. The end of a kernel is left out.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from coursekit._core import display

OURS = Path(__file__).parent.parent / "notebooks"
TIMES = 3


def main(folder: str, times: int = TIMES) -> None:
    """Print the medians of both, and their sums.

    Parameters
    ----------
    folder : str
        Where the other notebooks lie.
    times : int, optional
        How often each is run; every second time ours comes first.
    """
    others = {path.stem[:2]: path for path in sorted(Path(folder).glob("[0-9][0-9]*.ipynb"))}
    numbered = [path for path in sorted(OURS.glob("0*.ipynb")) if path.stem[:2] in others]
    pairs = [(path, others[path.stem[:2]]) for path in numbered]
    if not pairs:
        raise SystemExit(f"{folder} holds no notebook whose name begins with 01 to 08")
    seconds: dict[Path, list[float]] = {path: [] for pair in pairs for path in pair}
    for turn in range(times):
        for pair in pairs:
            for path in pair[:: 1 if turn % 2 else -1]:
                seconds[path].append(_run(path))
    medians = [tuple(statistics.median(seconds[path]) for path in pair) for pair in pairs]
    rows = [(ours.stem, *medians[number]) for number, (ours, _) in enumerate(pairs)]
    rows.append(("all", *(sum(each) for each in zip(*medians, strict=True))))
    table = [(name, display.seconds(a), display.seconds(b), f"{a / b:.1f}") for name, a, b in rows]
    print(display.table_text(("notebook", "ours", "theirs", "ratio"), table))


def _run(path: Path) -> float:
    """Return the seconds from the kernel's start to the end of the last cell."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        client = NotebookClient(
            nbformat.read(path, as_version=4),
            store_widget_state=False,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_executed=lambda **_: ends.append(time.perf_counter()),
        )
        start = time.perf_counter()
        try:
            client.execute(env={**os.environ, "COURSEKIT_HOME": home})
        except CellExecutionError as error:
            raise SystemExit(f"{path} fails: {error.ename}: {error.evalue}") from None
    return ends[-1] - start


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("which folder? python -m benchmarks.turns FOLDER")
    main(sys.argv[1])
