"""Run all benchmarks, or those named: ``python -m benchmarks panels imports``."""

import importlib
import sys

from coursekit import runtime

ALL = (
    "imports",
    "panels",
    "notebooks",
    "cells",
    "timing_trust",
    "roofline_and_batching",
    "onnx",
    "pruning",
    "distillation",
    "browser",
)
# Only if named: they take long, need what the course does without, and store what they find.
EXTRA = ("engines", "students", "deployment")


def main(names: list[str]) -> None:
    """Print the tables of the named benchmarks (default: ALL) as Markdown, headed by the machine's name."""
    unknown = sorted(set(names) - {*ALL, *EXTRA})
    if unknown:
        raise SystemExit(f"unknown benchmark: {', '.join(unknown)}; there are {', '.join((*ALL, *EXTRA))}")
    machine = runtime.describe()
    print(f"# Benchmarks\n\nThe last tables of `make bench`, measured on {machine.label}.\n")
    print(f"```\n{machine}\n```\n", flush=True)
    for name in names or ALL:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"## {module.__doc__.splitlines()[0]}\n\n```", flush=True)
        module.main()
        print("```\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
