"""Build the variants that are missing, and measure all of them in one sitting."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from coursekit import accuracy, models, runtime, scoreboard, timing
from coursekit._core import arguments, display
from coursekit._core.progress import Bar
from coursekit.data import digits
from coursekit.variants import files, own
from coursekit.variants.examples import as_examples
from coursekit.variants.files import Network
from coursekit.variants.rows import BASELINE, VARIANTS, Row, Sitting

__all__ = ["SECONDS", "Progress", "Variants", "build", "folder", "measure"]

SECONDS = 1.5  # that one sitting measures for
Progress = Callable[[float], object]


@dataclass(frozen=True, repr=False, eq=False)
class Variants(display.Shown, Mapping[str, Network]):
    """The networks by name, in the table's order.

    Parameters
    ----------
    networks : mapping
        Network by name.
    built : tuple of str
        Those that had to be made just now.
    left_out : mapping
        Why a variant is missing, by name: what cannot be done with a network of the reader's.
    about : str
        The network that all are made from.
    kept : object, optional
        What must live as long as the networks: the folder of their files.
    """

    networks: Mapping[str, Network]
    built: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    about: str = Sitting.about
    kept: Any = None

    def __getitem__(self, name: str) -> Network:
        return self.networks[arguments.choice("name", name, self.networks)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.networks)

    def __len__(self) -> int:
        return len(self.networks)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.networks.values()), *_left_out(self)])


def build(
    progress: Progress | None = None,
    *,
    model: nn.Module | None = None,
    data: Any = None,
    student: nn.Module | None = None,
    schedule: models.Schedule | None = None,
) -> Variants:
    """Return all seven networks: kept ones are loaded, what the scoreboard lacks is built and kept.

    With a model or data of the reader's, the same variants are built of that network, anew each time and into
    a folder of their own, so that they never mix with the course's. What cannot be done with it is left out,
    with the reason in ``left_out``.

    Parameters
    ----------
    progress : callable, optional
        Called with the part done (0 to 1); None shows a bar in a notebook and nothing elsewhere.
    model : nn.Module, optional
        A trained network of the reader's that returns logits [n, classes]; it stays as it is. None with data:
        a network with one hidden layer is trained.
    data : optional
        ``(x_train, y_train, x_test, y_test)``, a mapping with these names, or an object whose ``train`` and
        ``test`` have an ``x`` and a ``y``. None with a model: the digits.
    student : nn.Module, optional
        An untrained network to distil the model into. None: a narrower one, where the model is a chain of
        nn.Linear.
    schedule : models.Schedule, optional
        How to train a network of the reader's from scratch; a third of the epochs follow after pruning.

    Returns
    -------
    Variants
        The networks by name.

    Raises
    ------
    TypeError, ValueError
        For a model that cannot take the data, or returns no logits for their classes. Whatever ``progress``
        raises goes through.
    OSError
        If the results folder cannot be written.
    TimeoutError
        If another kernel holds the scoreboard.

    Notes
    -----
    The course's networks take some ten seconds where everything is missing. A damaged scoreboard is moved
    aside with a warning, and a network that cannot be read is built again.
    """
    if progress is not None:
        arguments.function("progress", progress, "with the part done")
    start, bar = time.perf_counter(), Bar("Building what is missing")
    report = bar if progress is None else progress
    if model is None and data is None:
        if student is not None or schedule is not None:
            raise TypeError("student and schedule belong to a model or data of your own; got neither of them")
        made = _course(report)
    else:
        examples = as_examples(digits() if data is None else data)
        mine = own.build(model, examples, student, schedule, report)
        made = Variants(mine.networks, tuple(mine.networks), mine.left_out, mine.about, mine.folder)
    if progress is None:
        bar.end(_built(made, time.perf_counter() - start))
    return made


def measure(networks: Mapping[str, Network], *, seconds: float = SECONDS) -> Sitting:
    """Measure the networks in one sitting, put the results on the scoreboard, and return them as a table.

    The clock runs on one picture per call, one thread, for ``seconds``, every network in turns
    (``timing.compare``); the accuracies are those on the 360 test pictures, or on the reader's own test
    examples, each beside the baseline's.

    Parameters
    ----------
    networks : mapping
        What ``build`` returns, or some of it with the baseline.
    seconds : float
        How long the clock runs.

    Returns
    -------
    Sitting
        A row per network.

    Raises
    ------
    TypeError, ValueError
        For networks without a baseline or of different data, or seconds that are not positive.
    """
    _check(networks)
    examples = networks[BASELINE].examples
    x, y = digits().test.tensors("cpu") if examples is None else examples.test()
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
    notes = (*_doubts(timed), *_left_out(networks))
    about = getattr(networks, "about", Sitting.about if examples is None else "a network of your own")
    unit = "picture" if examples is None else "example"
    return Sitting(tuple(rows), runtime.describe().label, notes, about, unit)


def folder() -> Path:
    """Return where the networks are kept.

    Returns
    -------
    Path
        The folder.
    """
    return files.folder()


def _course(report: Progress) -> Variants:
    """Return the course's networks, those that are missing built and kept."""
    kept = _kept()
    missing = [variant for variant in VARIANTS if kept[variant.name] is None]
    for done, variant in enumerate(missing):
        report(done / len(missing))
        kept[variant.name] = files.make(variant)
    report(1.0)
    found = {name: network for name, network in kept.items() if network is not None}
    return Variants(found, tuple(variant.name for variant in missing))


def _left_out(networks: Mapping[str, Network]) -> list[str]:
    reasons: Mapping[str, str] = getattr(networks, "left_out", {})
    return [f"{name} left out: {reason}" for name, reason in reasons.items()]


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
            f"networks must hold the baseline and at least one more; got {', '.join(networks) or 'nothing'}"
        )
    if len({id(network.examples) for network in networks.values()}) > 1:
        raise ValueError("networks must be judged on the same data; got those of different builds")


def _built(made: Variants, seconds: float) -> str:
    if not made.built:
        return "All seven variants were there: nothing to build."
    return ". ".join([f"Built in {seconds:.0f} s: {', '.join(made.built)}", *_left_out(made)]) + "."
