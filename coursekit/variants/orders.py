"""Every order of distil, prune and quantize, and what it gives: measured once, kept beside the scoreboard."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coursekit import data, runtime
from coursekit._core import arguments, display, log
from coursekit._core.progress import Bar
from coursekit.variants import shrinking
from coursekit.variants.shrinking import STEPS, Stage

__all__ = [
    "LOG",
    "ORDERS",
    "Pipeline",
    "Pipelines",
    "Progress",
    "checked",
    "name_of",
    "pipeline",
    "pipelines",
]

SEEDS = tuple(range(10))
ORDERS = tuple(order for length in range(len(STEPS) + 1) for order in permutations(STEPS, length))
RECIPE = 1  # one more whenever a step changes, so that kept results are measured again
HEADERS = ("pipeline", "size", "smaller", "accuracy, mean", "worst to best seed")
Progress = Callable[[float], object]


@dataclass(frozen=True, repr=False, eq=False)
class Pipeline(display.Shown):
    """What an order of steps gives: bytes of the file, and the share of right answers per seed."""

    steps: tuple[str, ...]
    size_bytes: int
    accuracies: NDArray[np.float64]

    @property
    def name(self) -> str:
        """The steps in their order."""
        return name_of(self.steps)

    @property
    def mean(self) -> float:
        """The mean accuracy over the seeds."""
        return float(self.accuracies.mean())

    @property
    def low(self) -> float:
        """The worst seed."""
        return float(self.accuracies.min())

    @property
    def high(self) -> float:
        """The best seed."""
        return float(self.accuracies.max())

    def __str__(self) -> str:
        spread = f"{100 * self.low:.1f} to {100 * self.high:.1f} over {len(self.accuracies)} seeds"
        return f"{self.name}: {display.size(self.size_bytes)}, {100 * self.mean:.1f} % ({spread})"


@dataclass(frozen=True, repr=False, eq=False)
class Pipelines(display.Tabled):
    """The results of every order of steps, on the same seeds and one machine."""

    results: Mapping[tuple[str, ...], Pipeline]
    machine: str = ""

    def __post_init__(self) -> None:
        missing = [name_of(order) for order in ORDERS if order not in self.results]
        if missing:
            raise ValueError(f"results must hold every order of steps; missing: {', '.join(missing)}")
        if len({len(result.accuracies) for result in self.results.values()}) != 1:
            raise ValueError("results must hold the same seeds in every order")

    def __getitem__(self, steps: Sequence[str]) -> Pipeline:
        """Return the result of these steps in this order; errors as ``checked``."""
        return self.results[checked(steps)]

    def __iter__(self) -> Iterator[Pipeline]:
        return iter(self.results[order] for order in ORDERS)

    def __len__(self) -> int:
        return len(ORDERS)

    @property
    def seeds(self) -> int:
        """How many networks each order was measured on."""
        return len(self[()].accuracies)

    def same_steps(self, steps: Sequence[str]) -> tuple[Pipeline, ...]:
        """Return all orders of the same steps, this one first.

        Parameters
        ----------
        steps : sequence of str
            "distil", "prune", "quantize", each at most once.

        Returns
        -------
        tuple of Pipeline
            Their results.

        Raises
        ------
        TypeError, ValueError
            As ``checked``.
        """
        chosen = checked(steps)
        others = [order for order in permutations(chosen) if order != chosen]
        return tuple(self.results[order] for order in (chosen, *others))

    def _table(self) -> display.Table:
        whole = self[()].size_bytes
        rows = [
            (
                pipeline.name,
                display.size(pipeline.size_bytes),
                f"{whole / pipeline.size_bytes:.1f}×",
                f"{100 * pipeline.mean:.1f} %",
                f"{100 * pipeline.low:.1f} to {100 * pipeline.high:.1f} %",
            )
            for pipeline in self
        ]
        return display.Table(HEADERS, rows, caption=f"{self.seeds} seeds each, {self.machine}".rstrip(", "))


def pipeline(steps: Sequence[str], *, seeds: Sequence[int] = SEEDS) -> Pipeline:
    """Measure these steps in this order, from training on.

    Parameters
    ----------
    steps : sequence of str
        "distil", "prune", "quantize", each at most once.
    seeds : sequence of int
        One network each.

    Returns
    -------
    Pipeline
        Size, and accuracy per seed.

    Raises
    ------
    TypeError, ValueError
        For other steps, a step that comes twice, or no seeds.
    """
    chosen, stage = checked(steps), shrinking.baseline(_seeds(seeds))
    for step in chosen:
        stage = STEPS[step](stage)
    return _measured(chosen, stage)


def pipelines(
    progress: Progress | None = None, *, seeds: Sequence[int] = SEEDS, again: bool = False
) -> Pipelines:
    """Return every order of the three steps, measured on test pictures with the same networks to start from.

    Parameters
    ----------
    progress : callable, optional
        Called with the part done (0 to 1); None shows a bar in a notebook and nothing elsewhere.
    seeds : sequence of int
        One network each.
    again : bool
        Measure anew what was kept.

    Returns
    -------
    Pipelines
        Every order.

    Raises
    ------
    TypeError, ValueError
        For what cannot be called, and for seeds that are not whole numbers from 0 on. Whatever ``progress``
        raises goes through.

    Notes
    -----
    Results are kept in ``runtime.home()``; this machine's with the same seeds, steps and torch are not
    measured anew unless ``again``.
    """
    again = arguments.flag("again", again)
    if progress is not None:
        arguments.function("progress", progress, "with the part done")
    bar, chosen, machine = Bar("Measuring every order"), _seeds(seeds), runtime.describe()
    kept = None if again else _kept(chosen, machine.fingerprint)
    if kept is None:
        with runtime.threads(
            1
        ):  # small products: sharing them between threads would cost more than it brings
            kept = _all(chosen, bar if progress is None else progress)
        LOG.append(_record(chosen, machine, kept))
    (bar if progress is None else progress)(1.0)
    if progress is None:
        bar.end(f"{len(kept)} orders, {len(chosen)} seeds each.")
    return Pipelines(kept, machine.label)


def checked(steps: Any) -> tuple[str, ...]:
    """Return the steps as a tuple.

    Parameters
    ----------
    steps : sequence of str
        "distil", "prune", "quantize", each at most once.

    Returns
    -------
    tuple of str
        The same steps.

    Raises
    ------
    TypeError, ValueError
        For unknown ones, or one that comes twice.
    """
    if isinstance(steps, str | bytes) or not isinstance(arguments.dense("steps", steps), Iterable):
        raise TypeError(f"steps must be a list such as ['distil', 'prune']; got {arguments.shown(steps)}")
    try:
        given = tuple(steps)
    except (TypeError, RuntimeError):  # an array without an axis
        raise TypeError(f"steps must be a list of steps; got {arguments.shown(steps)}") from None
    chosen = tuple(arguments.choice("a step of steps", step, STEPS) for step in given)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"steps must come at most once each; got {name_of(chosen)}")
    return chosen


def name_of(steps: Sequence[str]) -> str:
    """Return the steps as one text.

    Parameters
    ----------
    steps : sequence of str
        The steps, first to last.

    Returns
    -------
    str
        The text.
    """
    return " → ".join(steps) or "nothing"


def _all(seeds: tuple[int, ...], progress: Progress) -> dict[tuple[str, ...], Pipeline]:
    """Measure every order; orders that begin alike share what they have in common."""
    stages: dict[tuple[str, ...], Stage] = {}
    results = {}
    for done, order in enumerate(ORDERS):
        stage = STEPS[order[-1]](stages[order[:-1]]) if order else shrinking.baseline(seeds)
        stages[order], results[order] = stage, _measured(order, stage)
        progress((done + 1) / len(ORDERS))
    return results


def _measured(steps: tuple[str, ...], stage: Stage) -> Pipeline:
    return Pipeline(steps, stage.size(), stage.accuracies(data.digits().test))


def _seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    return arguments.integers("seeds", seeds, 0)


def _record(
    seeds: tuple[int, ...], machine: runtime.Machine, results: Mapping[Any, Pipeline]
) -> dict[str, Any]:
    return {
        **_label(seeds, machine.fingerprint),
        "machine": machine.label,
        "time": log.now(),
        "results": [
            {"steps": list(p.steps), "size_bytes": p.size_bytes, "accuracies": p.accuracies.tolist()}
            for p in results.values()
        ],
    }


def _label(seeds: tuple[int, ...], fingerprint: str) -> dict[str, Any]:
    """Return what must agree for kept results to stand for new ones."""
    return {"recipe": RECIPE, "seeds": list(seeds), "fingerprint": fingerprint, "torch": torch.__version__}


def _kept(seeds: tuple[int, ...], fingerprint: str) -> Mapping[tuple[str, ...], Pipeline] | None:
    label = _label(seeds, fingerprint)
    fitting = [record for record in LOG.read() if all(record.get(key) == label[key] for key in label)]
    return _results(fitting[-1]) if fitting else None


def _results(record: Mapping[str, Any]) -> dict[tuple[str, ...], Pipeline]:
    """Return what a line of the file holds; KeyError, TypeError or ValueError if it is not one of ours."""
    found = {}
    for result in record["results"]:
        steps = checked(result["steps"])
        size = arguments.integer("size_bytes", result["size_bytes"], 1)
        right = arguments.array("accuracies", result["accuracies"], np.float64, ndim=1)
        if right.min() < 0 or right.max() > 1 or len(right) != len(record["seeds"]):
            raise ValueError(f"accuracies must be one fraction per seed; got {right}")
        found[steps] = Pipeline(steps, size, right)
    Pipelines(found)
    return found


LOG = log.Log("pipelines", runtime.home, check=_results, key=("fingerprint", "seeds", "recipe", "torch"))
