"""The course's small networks, and any network of the reader's: fit, predict, train many seeds at once."""

from coursekit.models.ensembles import (
    After,
    Ensemble,
    Loss,
    SeenAs,
    fit_many,
    start_many,
    train_many,
    tune_many,
)
from coursekit.models.networks import DIGITS_WIDTHS, fit, mlp, predict
from coursekit.models.training import History, Schedule

__all__ = [
    "DIGITS_WIDTHS",
    "After",
    "Ensemble",
    "History",
    "Loss",
    "Schedule",
    "SeenAs",
    "fit",
    "fit_many",
    "mlp",
    "predict",
    "start_many",
    "train_many",
    "tune_many",
]
