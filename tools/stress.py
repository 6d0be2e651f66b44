"""Run every notebook again and again while other programs compete for the processor, and count failures.

python tools/stress.py [--rounds 20] [--load N] prints a table for docs/benchmarks.md. A run fails on an
error, a warning, or a claim that must hold and does not. Results stay between runs, as for a reader who
comes back.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from execution import environment
from run_notebooks import run

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


@contextmanager
def competing(processes: int) -> Iterator[None]:
    """Keep so many other processes busy inside the block."""
    others = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def _spin() -> None:
    while True:
        sum(range(100_000))


def main() -> int:
    """Print the table, and on stderr what went wrong as it does; return how many runs failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, choices=range(1, 1001), metavar="N")
    parser.add_argument("--load", type=int, default=os.cpu_count(), help="competing processes")
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(NOTEBOOKS.glob("*.ipynb")))
    options = parser.parse_args()
    results = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch, competing(options.load):
        os.environ.update(environment(scratch, COURSEKIT_STRICT="claims"))
        for number in range(1, options.rounds + 1):
            for path in options.notebooks:
                result = run(path, sys.executable, Path(scratch))
                results[path.name].append(result)
                if _wrong(result):
                    print(f"{path.name}: {_wrong(result)}", file=sys.stderr)
            print(f"round {number} of {options.rounds}", file=sys.stderr)
    print(_table(results, options.load))
    return sum(bool(_wrong(each)) for runs in results.values() for each in runs)


def _wrong(result: dict[str, Any]) -> str:
    return result["error"] or result["stderr"]


def _table(results: dict[str, list[dict[str, Any]]], load: int) -> str:
    lines = ["| notebook | runs | failures | median | slowest |", "|---|---|---|---|---|"]
    for name, runs in results.items():
        seconds = [each["seconds"] for each in runs]
        failed = sum(bool(_wrong(each)) for each in runs)
        lines.append(f"| {name} | {len(runs)} | {failed} | {median(seconds):.0f} s | {max(seconds):.0f} s |")
    return "\n".join([*lines, "", f"Processes that competed for the {os.cpu_count()} cores: {load}."])


if __name__ == "__main__":
    sys.exit(min(main(), 1))
