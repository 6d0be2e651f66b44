"""Run the notebooks as a sceptic would, each changed in many ways, and judge what they say then.

python tools/doubt.py [--short] [--changes NAME …] [NOTEBOOK …] prints each contradiction on a line, then a
table for docs/benchmarks.md; the exit status says whether there was any. A contradiction is an error, text on
stderr, a right answer that a check refuses, a claim that must hold and does not (unless ``when`` in its
claims.toml names the condition that the change breaks), inf or NaN on a card, a title typed in the notebook
that states a finding, or a size that stays although its cell works with what was changed.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build_notebooks import Course
from sceptic import changes, judging, running

from coursekit.new.building import Folder


def main(arguments: list[str] | None = None) -> int:
    """Print the contradictions and the table; return 1 if there is a contradiction, otherwise 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", help="such as 05 or A (default: all)")
    parser.add_argument(
        "--short", action="store_true", help="one change that stands for all: a minute or two"
    )
    parser.add_argument("--changes", nargs="+", default=[], choices=changes.NAMES, metavar="NAME")
    parser.add_argument("--at-once", type=int, default=2, help="kernels beside each other")
    parser.add_argument("--folder", type=Path, help="of your own notebooks, with masters in source/")
    options = parser.parse_args(arguments)
    folder = Folder(options.folder.resolve()) if options.folder else Course()
    names = folder.select(options.notebooks)
    masters = [folder.masters()[name] for name in names]
    wanted = changes.chosen(options.changes, short=options.short)
    runs, found = [], [finding for master in masters for finding in judging.literal_titles(master)]
    report(found)
    with ThreadPoolExecutor(options.at_once) as pool:
        pairs = [(master, change) for master in masters for change in wanted]
        for done in pool.map(_run, pairs):
            runs.append(done)
            found += report(judging.judge(done))
            print(f"{done.name}, {done.change.name}: {done.seconds:.0f} s", file=sys.stderr, flush=True)
    for name in names:
        found += report(judging.typed_numbers([run for run in runs if run.name == name]))
    print(table(names, wanted, found))
    return min(len(found), 1)


def report(found: list[judging.Finding]) -> list[judging.Finding]:
    """Print findings, a line each, and return them."""
    for finding in found:
        print(finding, flush=True)
    return found


def table(names: Sequence[str], wanted: Sequence[changes.Change], found: Sequence[judging.Finding]) -> str:
    """Return how many contradictions there are, by change and notebook, as a Markdown table."""
    short = [name.partition("-")[0] for name in names]
    rows = ["read", *(change.name for change in wanted), "every change"]
    lines = [f"| changed | {' | '.join(short)} |", f"|---|{'---|' * len(names)}"]
    for row in rows:
        counts = [sum(each.notebook == name and each.change == row for each in found) for name in names]
        lines.append(f"| {row} | {' | '.join(map(str, counts))} |")
    return "\n".join([*lines, "", f"{len(found)} contradictions."])


def _run(pair: tuple[Path, changes.Change]) -> running.Run:
    return running.run(*pair)


if __name__ == "__main__":
    sys.exit(main())
