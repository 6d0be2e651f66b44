"""Distillation: soft labels, the loss, students trained many at once, and when it helps, measured over seeds.

Whether a teacher helps hangs on what it knows, on the temperature and on the length of training; ``SETUPS``
holds cases.
``benchmarks/distillation.py`` measures how surely each of them helps, harms or does nothing.
"""

from coursekit.distillation.experiments import CONTROLS, Experiment, Grid, control, experiment, grid
from coursekit.distillation.gain_grid import GainGrid
from coursekit.distillation.losses import (
    GradientSizes,
    gradient_sizes,
    label_smoothing,
    loss,
    noisy_labels,
    soften,
)
from coursekit.distillation.softness import entropy, mean_answers
from coursekit.distillation.tasks import SETUPS, STUDENT, TEACHER, Setup
from coursekit.distillation.training import Matched, distil, distil_many, hidden, match_hidden

__all__ = [
    "CONTROLS",
    "SETUPS",
    "STUDENT",
    "TEACHER",
    "Experiment",
    "GainGrid",
    "GradientSizes",
    "Grid",
    "Matched",
    "Setup",
    "control",
    "distil",
    "distil_many",
    "entropy",
    "experiment",
    "gradient_sizes",
    "grid",
    "hidden",
    "label_smoothing",
    "loss",
    "match_hidden",
    "mean_answers",
    "noisy_labels",
    "soften",
]
