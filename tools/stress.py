"""Run every notebook again and again, more of them at once than there are cores, and count failures.

python tools/stress.py [--rounds 20] [--at-once N] prints a table for docs/benchmarks.md. A run fails on an
error, a warning, or a claim that must hold and does not. Results stay between runs, as for a reader who
comes back.
"""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

from build_notebooks import Course
from run_notebooks import run

from coursekit.new.execution import environment

CORES = os.cpu_count() or 1


def main() -> int:
    """Print the table, and on stderr what went wrong as it does; return how many runs failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, choices=range(1, 1001), metavar="N")
    parser.add_argument("--at-once", type=int, default=CORES + 1, help="notebooks that compete for the cores")
    parser.add_argument("notebooks", nargs="*", type=Path, default=Course().students())
    options = parser.parse_args()
    results, paths = defaultdict(list), options.notebooks * options.rounds
    with tempfile.TemporaryDirectory() as home, ProcessPoolExecutor(options.at_once) as pool:
        env = environment(home, COURSEKIT_STRICT="claims")
        for number, result in enumerate(pool.map(_run, paths, repeat(env)), 1):
            results[result["notebook"]].append(result)
            outcome = _wrong(result) or f"{result['seconds']} s"
            print(f"{number} of {len(paths)}: {result['notebook']}: {outcome}", file=sys.stderr, flush=True)
    print(_table(results, options.at_once))
    return sum(bool(_wrong(each)) for runs in results.values() for each in runs)


def _run(path: Path, env: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as kernels:
        return run(path, sys.executable, Path(kernels), env)


def _wrong(result: dict[str, Any]) -> str:
    return result["error"] or result["stderr"]


def _table(results: dict[str, list[dict[str, Any]]], at_once: int) -> str:
    lines = ["| notebook | runs | failures | median | slowest |", "|---|---|---|---|---|"]
    for name, runs in results.items():
        seconds = [each["seconds"] for each in runs]
        failed = sum(bool(_wrong(each)) for each in runs)
        lines.append(f"| {name} | {len(runs)} | {failed} | {median(seconds):.0f} s | {max(seconds):.0f} s |")
    return "\n".join([*lines, "", f"{at_once} notebooks at once competed for {CORES} cores."])


if __name__ == "__main__":
    sys.exit(min(main(), 1))
