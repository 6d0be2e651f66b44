"""Distillation: soft labels, the loss, students trained many at once, and when it helps, measured over seeds.

A teacher helps where it knows something that the student's labels do not say. ``SETUPS`` holds the cases:
each differs from "clean" in one thing only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coursekit import _arguments, _display, data, models, runtime
from coursekit._distillation_loss import (
    GradientSizes,
    gradient_sizes,
    label_smoothing,
    loss,
    noisy_labels,
    soften,
)
from coursekit._distillation_training import Matched, distil, distil_many, hidden, match_hidden
from coursekit._seeds import PairedDifference, paired

__all__ = [
    "CONTROLS",
    "SETUPS",
    "STUDENT",
    "TEACHER",
    "Experiment",
    "GradientSizes",
    "Grid",
    "Matched",
    "Setup",
    "control",
    "distil",
    "distil_many",
    "experiment",
    "gradient_sizes",
    "grid",
    "hidden",
    "label_smoothing",
    "loss",
    "match_hidden",
    "noisy_labels",
    "paired",
    "soften",
]

STUDENT, TEACHER = (64, 16, 10), (64, 256, 10)
LABELLED = 200
# Teachers and other starts draw from seeds that no student uses.
TEACHER_SEEDS, OTHER_SEEDS = 100_000, 200_000
CONTROLS = ("start", "smoothing")


@dataclass(frozen=True)
class Setup:
    """One comparison: a student trained on labels against the same student that also hears a teacher.

    labelled: pictures with a label, drawn anew for every seed; noise: the share of wrong labels among them.
    pool: the distilled student sees all 1,150 training pictures, the others without a label. teacher_knows:
    "the same labels" trains one teacher per seed on the labelled pictures; "all labels" trains one teacher on
    all training pictures with their right labels. epochs and pool_epochs make the same number of steps.
    """

    name: str
    title: str
    labelled: int = LABELLED
    noise: float = 0.0
    pool: bool = False
    teacher_knows: str = "the same labels"
    temperature: float = 2.0
    alpha: float = 0.5
    epochs: int = 100
    lr: float = 1e-2
    batch_size: int = 64
    teacher_epochs: int = 60


SETUPS: dict[str, Setup] = {
    setup.name: setup
    for setup in (
        Setup("clean", "200 right labels; the teacher learned from the same 200"),
        Setup(
            "noisy",
            "1,150 labels, 40 % of them wrong; the teacher learned from right ones",
            labelled=1150,
            noise=0.4,
            teacher_knows="all labels",
            epochs=22,
        ),
        Setup(
            "pool",
            "200 right labels and 950 pictures without; the teacher knows the 200",
            pool=True,
            alpha=1.0,
        ),
        Setup("informed", "200 right labels; the teacher learned from 1,150", teacher_knows="all labels"),
        Setup(
            "short",
            "200 right labels; the teacher learned from 1,150; a third of the steps at a third of the rate",
            teacher_knows="all labels",
            epochs=30,
            lr=3e-3,
        ),
    )
}


@dataclass(frozen=True, repr=False, eq=False)
class Experiment:
    """Test accuracies [seeds] of students with labels only (``hard``) and with a teacher (``soft``)."""

    setup: Setup
    seeds: tuple[int, ...]
    hard: NDArray[np.float64]
    soft: NDArray[np.float64]
    teacher: NDArray[np.float64]
    students: models.Ensemble

    @property
    def difference(self) -> PairedDifference:
        """Soft minus hard, pair by pair: each pair shares start, pictures and batches."""
        return paired(self.soft, self.hard)

    def rows(self) -> list[tuple[str, str]]:
        """Return the facts as (name, value) pairs, for people."""
        return [
            ("labels only", f"{self.hard.mean():.3f}"),
            ("distilled", f"{self.soft.mean():.3f}"),
            ("teacher", f"{self.teacher.mean():.3f}"),
            (f"difference over {len(self.seeds)} seeds", str(self.difference)),
        ]

    def __str__(self) -> str:
        return "\n".join([self.setup.title, *(f"{name}: {value}" for name, value in self.rows())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _display.table_html((self.setup.title, ""), self.rows())


@dataclass(frozen=True, repr=False, eq=False)
class Grid:
    """Mean gain in test accuracy over the seeds, [temperatures, alphas], of one set-up."""

    setup: Setup
    temperatures: tuple[float, ...]
    alphas: tuple[float, ...]
    gain: NDArray[np.float64]

    def __repr__(self) -> str:
        t, a = np.unravel_index(self.gain.argmax(), self.gain.shape)
        return f"best at T = {self.temperatures[t]:g}, alpha = {self.alphas[a]:g}: {self.gain[t, a]:+.3f}"


def experiment(setup: str | Setup, seeds: Sequence[int] = range(20)) -> Experiment:
    """Train every seed's two students, all at once, and return their accuracies on the 360 test pictures.

    setup: a name from ``SETUPS`` or a Setup of your own. Errors: TypeError or ValueError for an unknown name,
    no seeds, or values that no training can use.
    """
    case, task = _Task.of(setup, seeds)
    logits, teacher = task.teacher()
    soft = task.distilled(logits, case.temperature, case.alpha)
    return Experiment(case, task.seeds, task.test(task.hard()), task.test(soft), teacher, soft)


def control(kind: str, setup: str | Setup = "clean", seeds: Sequence[int] = range(20)) -> Experiment:
    """Return the experiment with nothing in the teacher's place.

    kind "start": a second student with labels only, from another start and in another order. kind
    "smoothing": the labels themselves, smoothed by a tenth, at alpha 1. Errors as in ``experiment``.
    """
    kind = _arguments.choice("kind", kind, CONTROLS)
    case, task = _Task.of(setup, seeds)
    other = task.hard(OTHER_SEEDS) if kind == "start" else task.smoothed()
    titles = {"start": "another start, no teacher", "smoothing": "smoothed labels, no teacher"}
    named = replace(
        case, name=f"{case.name}-{kind}", title=f"{titles[kind]} ({case.title.partition(';')[0]})"
    )
    nobody = np.full(len(task.seeds), np.nan)
    return Experiment(named, task.seeds, task.test(task.hard()), task.test(other), nobody, other)


def grid(
    setup: str | Setup,
    temperatures: Sequence[float],
    alphas: Sequence[float],
    seeds: Sequence[int] = range(5),
) -> Grid:
    """Return the gain at every temperature and alpha, all students of all of them trained at once.

    Errors as in ``experiment``; also for temperatures or alphas that ``loss`` refuses.
    """
    case, task = _Task.of(setup, seeds)
    values = [
        _arguments.array(name, given, np.float64, 1).tolist()
        for name, given in (("temperatures", temperatures), ("alphas", alphas))
    ]
    pairs = [(t, a) for t in values[0] for a in values[1]]
    logits, _ = task.teacher()
    wide = _Task(case, task.seeds * len(pairs))
    t, a = (np.repeat(part, len(task.seeds)) for part in zip(*pairs, strict=True))
    students = wide.distilled(logits.repeat(len(pairs), 1, 1), t, a)
    gain = wide.test(students).reshape(len(pairs), -1) - task.test(task.hard())
    return Grid(case, *map(tuple, values), gain.mean(1).reshape(len(values[0]), len(values[1])))


class _Task:
    """The pictures and labels of one set-up: everything [seeds, …], each seed with its own draw."""

    def __init__(self, setup: Setup, seeds: Sequence[int]) -> None:
        self.setup, self.seeds = setup, tuple(seeds)
        self.digits = data.digits()
        self.x, self.y = self.digits.train.tensors(runtime.device())
        orders = [np.random.default_rng(seed).permutation(len(self.y)) for seed in self.seeds]
        self.seen = torch.as_tensor(np.stack(orders), device=self.x.device)
        self.labelled = self.seen[:, : setup.labelled]
        labels = [
            noisy_labels(self.y[rows], setup.noise, seed)
            for rows, seed in zip(self.labelled, self.seeds, strict=True)
        ]
        self.labels = torch.as_tensor(np.stack(labels), device=self.x.device)

    @classmethod
    def of(cls, setup: str | Setup, seeds: Sequence[int]) -> "tuple[Setup, _Task]":
        case = setup if isinstance(setup, Setup) else SETUPS[_arguments.choice("setup", setup, SETUPS)]
        numbers = [_arguments.integer("an entry of seeds", seed, 0, TEACHER_SEEDS - 1) for seed in seeds]
        if not numbers:
            raise ValueError("seeds is empty: at least one seed is needed")
        return case, cls(case, numbers)

    def teacher(self) -> tuple[Tensor, NDArray[np.float64]]:
        """Return the teachers' logits for what the students see, and their test accuracies [seeds]."""
        if (
            _arguments.choice("teacher_knows", self.setup.teacher_knows, ("the same labels", "all labels"))
            == "all labels"
        ):
            made = models.fit_many(TEACHER, self.x, self.y, seeds=[TEACHER_SEEDS], epochs=30)
            logits = made.logits(self.x)[0][self.pictures()]
            return logits, np.repeat(self.test(made), len(self.seeds))
        made = self._train(TEACHER, self.labelled, self.labels, TEACHER_SEEDS, self.setup.teacher_epochs)
        networks = torch.arange(len(self.seeds), device=self.x.device).unsqueeze(1)
        return made.logits(self.x)[networks, self.pictures()], self.test(made)

    def pictures(self) -> Tensor:
        """Return the numbers of the pictures that the distilled students see, [seeds, n]."""
        return self.seen if self.setup.pool else self.labelled

    def hard(self, first_seed: int = 0) -> models.Ensemble:
        """Train the students that have labels only."""
        return self._train(STUDENT, self.labelled, self.labels, first_seed, self.setup.epochs)

    def smoothed(self) -> models.Ensemble:
        """Train the students on smoothed labels."""
        logits = label_smoothing(self.labels.flatten()).to(self.x.device).view(*self.labels.shape, -1)
        return self._distil(STUDENT, self.labelled, None, logits, 1.0, 1.0, self.setup.epochs)

    def distilled(self, logits: Tensor, temperature: Any, alpha: Any) -> models.Ensemble:
        """Train the students that hear the teacher, as many steps as the others."""
        rows = self.pictures()
        steps = self.setup.epochs * -(-self.setup.labelled // self.setup.batch_size)
        epochs = max(1, round(steps / -(-rows.shape[1] // self.setup.batch_size)))
        labels = None if self.setup.pool else self.labels
        return self._distil(STUDENT, rows, labels, logits, temperature, alpha, epochs)

    def test(self, networks: models.Ensemble) -> NDArray[np.float64]:
        """Return the networks' accuracies on the test pictures."""
        return networks.accuracy(self.digits.test.x, self.digits.test.y)

    def _train(
        self, widths: tuple[int, ...], rows: Tensor, labels: Tensor, first_seed: int, epochs: int
    ) -> models.Ensemble:
        return self._distil(widths, rows, labels, None, 1.0, 0.0, epochs, first_seed)

    def _distil(
        self,
        widths: Any,
        rows: Tensor,
        labels: Any,
        logits: Any,
        temperature: Any,
        alpha: Any,
        epochs: int,
        first_seed: int = 0,
    ) -> models.Ensemble:
        seeds = [first_seed + seed for seed in self.seeds]
        return distil_many(
            widths,
            self.x[rows],
            labels,
            logits,
            seeds=seeds,
            temperature=temperature,
            alpha=alpha,
            epochs=epochs,
            lr=self.setup.lr,
            batch_size=self.setup.batch_size,
        )
