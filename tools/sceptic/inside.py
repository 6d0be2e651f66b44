"""What a change does in the notebook's own kernel: the functions that a cell calls return something else.

Only attributes of coursekit's modules are replaced, as a cell sees them: what the package calls inside stays.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn

from coursekit import data, distillation, models, pruning
from coursekit.plots import style

__all__ = [
    "another_split",
    "deeper",
    "other_seeds",
    "show_titles",
    "shuffled_labels",
    "twice_the_epochs",
    "two_classes",
]

SPLIT, SEED = 12, 500
TITLES = "application/x-titles"


def shuffled_labels() -> None:
    """Give every picture and every message the label of another one: nothing is left to learn."""

    def shuffled(labels: Any) -> Any:
        return np.random.default_rng(SEED).permutation(labels)

    def split(part: data.Split) -> data.Split:
        return dataclasses.replace(part, y=shuffled(part.y))

    def digits(make: Callable[[], data.Digits]) -> data.Digits:
        found = make()
        return data.Digits(split(found.train), split(found.validation), split(found.test))

    def messages(make: Callable[..., data.Messages], *args: Any, **options: Any) -> data.Messages:
        found = make(*args, **options)
        return dataclasses.replace(found, labels=shuffled(found.labels))

    _wrap(data, "digits", digits)
    _wrap(data, "messages", messages)


def two_classes() -> None:
    """Leave only the pictures of two digits, 3 and 8, with the labels 0 and 1."""

    def split(part: data.Split) -> data.Split:
        kept = np.isin(part.y, (3, 8))
        return data.Split(part.x[kept], (part.y[kept] == 8).astype(np.int64))

    def digits(make: Callable[[], data.Digits]) -> data.Digits:
        found = make()
        return data.Digits(split(found.train), split(found.validation), split(found.test))

    _wrap(data, "digits", digits)


def another_split() -> None:
    """Draw the three parts of the digits anew."""
    data.SPLIT_SEED = SPLIT


def other_seeds() -> None:
    """Start and shuffle every single network otherwise, where a cell does not say how."""

    def seeded(make: Callable[..., Any], *args: Any, **options: Any) -> Any:
        bound = inspect.signature(make).bind_partial(*args, **options)
        return make(*args, **options) if "seed" in bound.arguments else make(*args, seed=SEED, **options)

    for name in ("mlp", "fit"):
        _wrap(models, name, seeded)


def twice_the_epochs() -> None:
    """Train twice as long where a cell does not say how long; what it says is doubled in its text."""

    def doubled(train: Callable[..., Any], *args: Any, **options: Any) -> Any:
        default = inspect.signature(train).parameters["epochs"].default
        stated = "epochs" in options or options.get("schedule") is not None
        more = {} if stated or not isinstance(default, int) else {"epochs": 2 * default}
        return train(*args, **options, **more)

    for module in (models, pruning, distillation):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function) and "epochs" in inspect.signature(function).parameters:
                _wrap(module, name, doubled)


def deeper(width: int) -> nn.Sequential:
    """Return an untrained network with one more layer and a LayerNorm.

    Parameters
    ----------
    width : int
        Of its first hidden layer.

    Returns
    -------
    nn.Sequential
        64 inputs, 10 outputs.

    """
    first = models.mlp((64, width, 96))
    return nn.Sequential(*first, nn.LayerNorm(96), nn.ReLU(), nn.Linear(96, 10)).eval()


def show_titles() -> None:
    """Let every picture tell its titles beside its PNG, for whoever judges them."""
    show = style.Picture._repr_mimebundle_

    def with_titles(self: style.Picture, include: Any = None, exclude: Any = None) -> Any:
        bundle, metadata = show(self, include, exclude)
        titles = [ax.get_title(loc=loc) for ax in self.axes for loc in ("left", "center", "right")]
        return {**bundle, TITLES: list(filter(None, [self.get_suptitle(), *titles]))}, metadata

    style.Picture._repr_mimebundle_ = with_titles  # type: ignore[method-assign]


def _wrap(module: ModuleType, name: str, change: Callable[..., Any]) -> None:
    function = getattr(module, name)

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:
        return change(function, *args, **options)

    setattr(module, name, wrapped)
