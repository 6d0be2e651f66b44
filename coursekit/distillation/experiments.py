"""When does a teacher help: experiments over seeds, their controls, and a grid over T and alpha."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from coursekit import models
from coursekit._core import arguments, display
from coursekit._core.statistics import PairedDifference, paired
from coursekit.distillation.tasks import OTHER_SEEDS, SETUPS, TEACHER_SEEDS, Setup, Task

__all__ = ["CONTROLS", "Experiment", "Grid", "control", "experiment", "grid"]

CONTROLS = {"start": "another start, no teacher", "smoothing": "smoothed labels, no teacher"}


@dataclass(frozen=True, repr=False, eq=False)
class Experiment(display.Shown):
    """Test accuracies [seeds] of students with labels only, ``hard``, and of their distilled twins, ``soft``.

    ``teacher`` [seeds] holds the teachers' accuracies, None in a control; ``students`` are the distilled.
    """

    setup: Setup
    seeds: tuple[int, ...]
    hard: NDArray[np.float64]
    soft: NDArray[np.float64]
    teacher: NDArray[np.float64] | None
    students: models.Ensemble

    @property
    def difference(self) -> PairedDifference:
        """Soft minus hard, seed by seed: twins share the start and the labelled pictures."""
        return paired(self.soft, self.hard)

    def rows(self) -> list[tuple[str, str]]:
        """Return the facts as (name, value) pairs, for people.

        Returns
        -------
        list of tuple of 2 str
            Pairs, from the top.
        """
        teacher = [] if self.teacher is None else [("teacher", f"{self.teacher.mean():.3f}")]
        return [
            ("labels only", f"{self.hard.mean():.3f}"),
            ("distilled" if teacher else "control", f"{self.soft.mean():.3f}"),
            *teacher,
            (f"difference, {len(self.seeds)} seeds", str(self.difference)),
        ]

    def __str__(self) -> str:
        return "\n".join([self.setup.title, *(f"  {name:24}{value}" for name, value in self.rows())])

    def _repr_html_(self) -> str:
        return display.table_html((self.setup.title, ""), self.rows())


@dataclass(frozen=True, repr=False, eq=False)
class Grid:
    """Every seed's gain in test accuracy, ``gains`` [temperatures, alphas, seeds], of one set-up."""

    setup: Setup
    temperatures: tuple[float, ...]
    alphas: tuple[float, ...]
    gains: NDArray[np.float64]

    @property
    def gain(self) -> NDArray[np.float64]:
        """The mean over the seeds, [temperatures, alphas]."""
        return self.gains.mean(-1)

    def __repr__(self) -> str:
        t, a = np.unravel_index(self.gain.argmax(), self.gain.shape)
        return f"best at T = {self.temperatures[t]:g}, α = {self.alphas[a]:g}: {self.gain[t, a]:+.3f}"


def experiment(setup: str | Setup, seeds: Sequence[int] = range(20)) -> Experiment:
    """Train every seed's two students, all at once, and judge them on the 360 test pictures.

    Parameters
    ----------
    setup : str or Setup
        A name from ``SETUPS``, or one of your own.
    seeds : sequence of int
        At least two.

    Returns
    -------
    Experiment
        Accuracies with labels only and distilled, seed by seed.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, fewer than two seeds, or values that no training can use.
    """
    task = _task(setup, seeds)
    logits, teacher = task.teacher()
    soft = task.distilled(logits, task.setup.temperature, task.setup.alpha)
    return Experiment(task.setup, task.seeds, task.test(task.hard()), task.test(soft), teacher, soft)


def control(kind: str, setup: str | Setup = "clean", seeds: Sequence[int] = range(20)) -> Experiment:
    """Return the experiment with nothing in the teacher's place.

    Parameters
    ----------
    kind : str
        "start": a second student with labels only, from another start and with its batches in another order.
        "smoothing": the labels themselves, a tenth of each spread over all classes.
    setup : str or Setup
        A name from ``SETUPS``, or one of your own.
    seeds : sequence of int
        At least two.

    Returns
    -------
    Experiment
        With ``teacher`` None.

    Raises
    ------
    TypeError, ValueError
        As ``experiment``.
    """
    title = CONTROLS[arguments.choice("kind", kind, CONTROLS)]
    task = _task(setup, seeds)
    other = task.hard(OTHER_SEEDS) if kind == "start" else task.smoothed()
    labels = task.setup.title.partition(";")[0]
    named = replace(task.setup, name=f"{task.setup.name}, {kind}", title=f"{labels}; {title}")
    return Experiment(named, task.seeds, task.test(task.hard()), task.test(other), None, other)


def grid(
    setup: str | Setup,
    temperatures: Sequence[float],
    alphas: Sequence[float],
    seeds: Sequence[int] = range(5),
) -> Grid:
    """Return the gain at every temperature and alpha; the students of all of them are trained at once.

    Parameters
    ----------
    setup : str or Setup
        A name from ``SETUPS``, or one of your own.
    temperatures, alphas : sequence of float
        The axes.
    seeds : sequence of int
        At least two.

    Returns
    -------
    Grid
        Every seed's gain in test accuracy.

    Raises
    ------
    TypeError, ValueError
        As ``experiment``, and for temperatures or alphas that ``loss`` refuses.
    """
    task = _task(setup, seeds)
    warmths: tuple[float, ...] = tuple(arguments.array("temperatures", temperatures, np.float64, 1).tolist())
    shares: tuple[float, ...] = tuple(arguments.array("alphas", alphas, np.float64, 1).tolist())
    logits, _ = task.teacher()
    points = np.repeat(list(product(warmths, shares)), len(task.seeds), axis=0)
    times = len(warmths) * len(shares)
    wide = Task(task.setup, task.seeds * times)
    students = wide.distilled(logits.repeat(times, 1, 1), points[:, 0], points[:, 1])
    gains = wide.test(students).reshape(times, -1) - task.test(task.hard())
    return Grid(task.setup, warmths, shares, gains.reshape(len(warmths), len(shares), -1))


def _task(setup: str | Setup, seeds: Sequence[int]) -> Task:
    case = setup if isinstance(setup, Setup) else SETUPS[arguments.choice("setup", setup, SETUPS)]
    if case.pool and case.alpha != 1:
        raise ValueError(f"alpha must be 1 where pictures have no label (pool=True); got {case.alpha}")
    numbers = [arguments.integer("an entry of seeds", seed, 0, TEACHER_SEEDS - 1) for seed in seeds]
    if len(numbers) < 2:
        raise ValueError(f"seeds must hold at least two seeds, or there is no interval; got {len(numbers)}")
    return Task(case, numbers)
