"""The course's small networks: build, fit, predict, and train many seeds at once."""

from coursekit.models.networks import (
    DIGITS_WIDTHS,
    Ensemble,
    History,
    Loss,
    fit,
    fit_many,
    mlp,
    predict,
    start_many,
    train_many,
    tune_many,
)

__all__ = [
    "DIGITS_WIDTHS",
    "Ensemble",
    "History",
    "Loss",
    "fit",
    "fit_many",
    "mlp",
    "predict",
    "start_many",
    "train_many",
    "tune_many",
]
