"""Build the variants that are missing, and measure all of them in one sitting."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coursekit import accuracy, data, runtime, scoreboard, timing
from coursekit._core import arguments
from coursekit._core.progress import Bar
from coursekit.variants import files
from coursekit.variants.files import Network
from coursekit.variants.rows import BASELINE, VARIANTS, Row, Sitting

__all__ = ["SECONDS", "Progress", "Variants", "build", "folder", "measure"]

SECONDS = 1.5  # that one sitting measures for
Progress = Callable[[float], object]


@dataclass(frozen=True, repr=False, eq=False)
class Variants(Mapping[str, Network]):
    """The networks by name, in the table's order; ``built`` names those that had to be made just now."""

    networks: Mapping[str, Network]
    built: tuple[str, ...]

    def __getitem__(self, name: str) -> Network:
        return self.networks[arguments.choice("name", name, self.networks)]

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
        kept[variant.name] = files.make(variant)
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
    return files.folder()


def _kept() -> dict[str, Network | None]:
    """Return the networks that need not be built, and None for the others."""
    here = scoreboard.table().here
    kept = {v.name: files.load(v) if v.board in here else None for v in VARIANTS}
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
