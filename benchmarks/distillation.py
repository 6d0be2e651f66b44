"""Distillation: seconds for 20 seeds at once, and how surely each verdict of notebook 08 holds."""

import time
from collections.abc import Callable

import numpy as np
from torch import Tensor

from coursekit import distillation
from coursekit._core import display
from coursekit.distillation.tasks import Task

SEEDS, BLOCKS = 20, 10
TIMED = ("clean", "noisy", "pool")


def main() -> None:
    """Print one row per set-up: first the seconds, then the verdicts over blocks of other seeds."""
    print(display.table_text(("set-up", "20 seeds at once", "one after the other", "ratio"), _seconds()))
    header = ("set-up", "mean gain", "lowest block", "highest block", "better", "same", "worse")
    print(f"\nGain in accuracy over {BLOCKS} blocks of {SEEDS} seeds; verdicts by their 95 % intervals")
    rows = [(setup.name, *_blocks(setup)) for setup in distillation.SETUPS.values()]
    rows += [(f"control: {kind}", *_blocks("clean", kind)) for kind in distillation.CONTROLS]
    print(display.table_text(header, rows))


def _seconds() -> list[tuple[str, ...]]:
    """Return the seconds of every set-up, batched and one seed after the other, and of all of them."""
    times = []
    _run(Task(distillation.SETUPS["clean"], [0]))  # the first training of a process pays for others
    for name in TIMED:
        setup = distillation.SETUPS[name]
        together = _timed(lambda setup=setup: _run(Task(setup, range(SEEDS))))
        times.append((together, _timed(lambda setup=setup: _one_by_one(setup))))
    names = [*TIMED, "all three"]
    pairs = [*times, tuple(np.sum(times, axis=0))]
    return [
        (name, display.seconds(one), display.seconds(other), f"{other / one:.1f}×")
        for name, (one, other) in zip(names, pairs, strict=True)
    ]


def _run(task: Task, logits: Tensor | None = None) -> None:
    task.test(task.hard())
    heard = task.teacher()[0] if logits is None else logits
    task.test(task.distilled(heard, task.setup.temperature, task.setup.alpha))


def _one_by_one(setup: distillation.Setup) -> None:
    """Train every seed's networks alone; a teacher that all seeds share is trained once."""
    shared = setup.teacher_knows == "all labels"
    logits = Task(setup, range(SEEDS)).teacher()[0] if shared else None
    for seed in range(SEEDS):
        _run(Task(setup, [seed]), None if logits is None else logits[seed : seed + 1])


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _blocks(setup: distillation.Setup | str, kind: str = "") -> tuple[str, ...]:
    """Return what the blocks say about one set-up, or about a control of it."""
    found = []
    for block in range(BLOCKS):
        seeds = range(SEEDS * block, SEEDS * (block + 1))
        made = distillation.control(kind, setup, seeds) if kind else distillation.experiment(setup, seeds)
        found.append(made.difference)
    means = [one.mean for one in found]
    verdicts = [sum(one.verdict == said for one in found) for said in ("a better", "same", "b better")]
    gains = (float(np.mean(means)), min(means), max(means))
    return (*(f"{gain:+.4f}" for gain in gains), *map(str, verdicts))


if __name__ == "__main__":
    main()
