"""The dashboard: variants of one network, built where they are missing and measured in one sitting.

All rows are made from one network, so that they can be compared. What notebooks 05 to 08 recorded came from
other sittings and partly from other networks, so the dashboard's rows stand on the scoreboard under names of
their own, ``dashboard-baseline`` and so on; ``Variant.recorded`` names the notebooks' record of the same kind
(baseline: fp32, pruned: pruned-structured, distilled: student-distilled, the others: the row's own name).
A row is missing if the board has none from this machine, or if its network is not in the results folder: a
record holds figures, and a clock needs the network itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coursekit import _arguments, _variants_files, accuracy, data, runtime, scoreboard, timing
from coursekit._progress import Bar
from coursekit._variants_decisions import Decisions as Decisions
from coursekit._variants_decisions import decisions as decisions
from coursekit._variants_files import Network as Network
from coursekit._variants_pipelines import Pipeline as Pipeline
from coursekit._variants_pipelines import Pipelines as Pipelines
from coursekit._variants_pipelines import pipeline as pipeline
from coursekit._variants_pipelines import pipelines as pipelines
from coursekit._variants_rows import BASELINE, VARIANTS
from coursekit._variants_rows import BUDGETS as BUDGETS
from coursekit._variants_rows import Budget as Budget
from coursekit._variants_rows import Row as Row
from coursekit._variants_rows import Sitting as Sitting
from coursekit._variants_rows import Variant as Variant
from coursekit._variants_rows import dominates as dominates
from coursekit._variants_rows import front as front

SECONDS = 1.5  # that one sitting measures for
Progress = Callable[[float], object]


@dataclass(frozen=True, repr=False, eq=False)
class Variants(Mapping[str, Network]):
    """The networks by name, in the table's order; ``built`` names those that had to be made just now."""

    networks: Mapping[str, Network]
    built: tuple[str, ...]

    def __getitem__(self, name: str) -> Network:
        return self.networks[_arguments.choice("name", name, self.networks)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.networks)

    def __len__(self) -> int:
        return len(self.networks)

    def __str__(self) -> str:
        return "\n".join(map(str, self.networks.values()))

    __repr__ = __str__


def build(progress: Progress | None = None) -> Variants:
    """Return all seven networks: kept ones are loaded, what the scoreboard lacks is built and kept.

    ``progress`` is called with the part done (0 to 1); None shows a bar in a notebook and nothing elsewhere.
    Takes some ten seconds where everything is missing. Errors: OSError if the results folder cannot be
    written, TimeoutError if another kernel holds the scoreboard. A damaged scoreboard is moved aside with a
    warning, and a network that cannot be read is built again.
    """
    start, bar = time.perf_counter(), Bar("Building what is missing")
    report = bar if progress is None else progress
    kept = _kept()
    missing = [variant for variant in VARIANTS if kept[variant.name] is None]
    for done, variant in enumerate(missing):
        report(done / len(missing))
        kept[variant.name] = _variants_files.make(variant)
    report(1.0)
    built = tuple(variant.name for variant in missing)
    if progress is None:
        bar.end(_built(built, time.perf_counter() - start))
    return Variants(kept, built)


def measure(networks: Mapping[str, Network], *, seconds: float = SECONDS) -> Sitting:
    """Measure the networks in one sitting, put the results on the scoreboard, and return them as a table.

    The clock runs on one picture per call, one thread, for ``seconds``, every network in turns
    (``timing.compare``); the accuracies are those on the 360 test pictures, each beside the baseline's.
    Errors: TypeError or ValueError for networks without a baseline, or seconds that are not positive.
    """
    x, y = data.digits().test.tensors("cpu")
    _check(networks)
    with torch.inference_mode():
        calls = {name: network.call(x[:1]) for name, network in networks.items()}
        timed = timing.compare(calls, BASELINE, max_time=seconds, threads=1)
    answers = {name: network.predict(x) for name, network in networks.items()}
    rows = []
    for name, network in networks.items():
        right = accuracy.of(answers[name], y)
        paired = accuracy.mcnemar(answers[name], answers[BASELINE], y)
        rows.append(_row(network, timed, right, paired))
        scoreboard.record(
            network.variant.board,
            size_bytes=network.size_bytes,
            latency=timed.measurements[name],
            accuracy=right,
            notebook="dashboard",
            device="cpu",
        )
    return Sitting(tuple(rows), runtime.describe().label, _doubts(timed))


def folder() -> Path:
    """Return where the networks are kept."""
    return _variants_files.folder()


def _kept() -> dict[str, Network | None]:
    """Return the networks that need not be built, and None for the others."""
    here = scoreboard.table().here
    kept = {v.name: _variants_files.load(v) if v.board in here else None for v in VARIANTS}
    # Everything is made from the baseline: with another one, nothing else would belong to it.
    return kept if kept[BASELINE] is not None else dict.fromkeys(kept)


def _row(
    network: Network, timed: timing.Comparison, right: accuracy.Accuracy, paired: accuracy.PairedTest
) -> Row:
    taken = timed.measurements[network.name]
    low, high = (float(end) for end in np.quantile(taken.samples, (0.25, 0.75)))
    return Row(
        network.name,
        network.size_bytes,
        taken.median,
        low,
        high,
        timed.ratio(network.name),
        timed.verdict(network.name),
        right,
        paired,
        network.variant.portable,
    )


def _doubts(timed: timing.Comparison) -> tuple[str, ...]:
    """Return what there is to say against the times, one line per kind of doubt."""
    kinds: dict[str, list[str]] = {}
    for name, taken in timed.measurements.items():
        for text in taken.warnings:
            kinds.setdefault(text.partition(":")[0], []).append(name)
    return (*(f"{kind}: {', '.join(names)}" for kind, names in kinds.items()), *timed.warnings)


def _check(networks: Any) -> None:
    if not isinstance(networks, Mapping) or not all(isinstance(n, Network) for n in networks.values()):
        raise TypeError(f"networks must be what variants.build returns; got {type(networks).__name__}")
    if BASELINE not in networks or len(networks) < 2:
        raise ValueError(
            f"networks must hold the baseline and at least one more; got {', '.join(networks) or 'none'}"
        )


def _built(built: tuple[str, ...], seconds: float) -> str:
    if not built:
        return "All seven variants were there: nothing to build."
    return f"Built in {seconds:.0f} s: {', '.join(built)}."
