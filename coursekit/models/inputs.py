"""What a model is given and gives: examples in the type that it takes, labels, and logits worth the name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coursekit._core import arguments

__all__ = [
    "as_device",
    "as_features",
    "as_inputs",
    "as_labels",
    "as_logits",
    "as_module",
    "evaluating",
    "home",
    "pair",
    "run",
]

ALONE = "more than 1 value per channel"  # what torch says where BatchNorm sees one example
LONGEST_REASON = 150  # characters of what torch says
SAMPLE = 2  # examples that a model is tried on


def as_module(name: str, model: Any) -> nn.Module:
    """Return ``model`` if it is an nn.Module that holds numbers.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    model : object
        The model.

    Returns
    -------
    Module
        ``model``.

    Raises
    ------
    TypeError
        For anything else, a class that was not called among it.
    ValueError
        For a model on the meta device, or one that is not initialised yet.
    """
    if not isinstance(model, nn.Module):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"{name} must be an nn.Module; got {got}")
    if any(part.is_meta for part in (*model.parameters(), *model.buffers())):
        raise ValueError(f"{name} must hold numbers; {type(model).__name__} is on the meta device")
    return model


def as_device(name: str, device: Any) -> torch.device:
    """Return a device if it is here and holds numbers.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    device : object
        A torch.device or its name; None: the CPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    TypeError
        For what is neither.
    ValueError
        For a device that torch does not know or that is not on this machine, and for "meta".
    """
    if not isinstance(device, str | torch.device | None):
        raise TypeError(f"{name} must be a torch.device or its name; got {arguments.shown(device)}")
    try:
        found = torch.device("cpu" if device is None else device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).strip().partition("\n")[0][:LONGEST_REASON]
        raise ValueError(
            f"{name} must be a device of this machine; got {arguments.shown(device)}: {said}"
        ) from None
    if found.type == "meta":
        raise ValueError(f"{name} must be a device that holds numbers; got meta")
    return found


def home(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return the device of a model, and the type of its floats; CPU and float32 where it has none.

    Parameters
    ----------
    model : Module
        The model.

    Returns
    -------
    tuple of (device, dtype)
        The device and the type.
    """
    parts = [*model.parameters(), *model.buffers()]
    device = parts[0].device if parts else torch.device("cpu")
    return device, next((part.dtype for part in parts if part.is_floating_point()), torch.float32)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold a model in eval mode, without gradients, and give every module its own mode back afterwards.

    Parameters
    ----------
    model : Module
        The model.

    Yields
    ------
    None
        The mode holds until the block ends.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def run(model: nn.Module, x: Tensor) -> Any:
    """Return ``model(x)``; ValueError, with what the model said, where it cannot take ``x``.

    Parameters
    ----------
    model : nn.Module
        Whatever takes one tensor.
    x : Tensor
        Examples [n, …].

    Returns
    -------
    object
        What the model returns.

    Raises
    ------
    ValueError
        For another shape or type than the model takes.
    """
    try:
        return model(x)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if ALONE in str(error):
            raise ValueError(
                f"model has a BatchNorm, which needs at least 2 examples per batch; got {len(x)}"
            ) from error
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"model cannot take x, {_described(x)}: {said}") from error


def as_inputs(model: nn.Module, x: Any, name: str = "x") -> Tensor:
    """Return ``x`` as a tensor beside ``model``, in the type that it takes.

    Parameters
    ----------
    model : nn.Module
        What is going to take it; it is tried on two examples where these are whole numbers.
    x : array_like
        Examples first [n, …]. Floats take the model's type. Whole numbers stay so, as int64, for a model that
        takes them (an Embedding wants token ids), and become floats for any other.
    name : str
        What messages call it.

    Returns
    -------
    Tensor
        Of the shape of ``x``, on the model's device.

    Raises
    ------
    TypeError, ValueError
        For what is not finite numbers, or does not fit the first nn.Linear of a chain.
    """
    device, dtype = home(model)
    wide = np.float64 if dtype == torch.float64 else np.float32
    whole = _holds_whole_numbers(x)
    found = torch.as_tensor(arguments.array(name, x, np.int64 if whole else wide), device=device)
    first = _first_linear(model)
    if found.ndim == 0 or (first is not None and found.ndim < 2):
        raise ValueError(f"{name} must hold the examples first, [n, …]; got shape {tuple(found.shape)}")
    if first is not None and found.shape[-1] != first.in_features:
        raise ValueError(
            f"{name} must have {first.in_features} features per row; got shape {tuple(found.shape)}"
        )
    return found if whole and _takes(model, found[:SAMPLE]) else found.to(dtype)


def as_logits(model: nn.Module, x: Tensor) -> Tensor:
    """Return the logits [k, classes] of the first examples of ``x``; ValueError where the model gives none.

    Parameters
    ----------
    model : nn.Module
        Stays in its mode.
    x : Tensor
        What ``as_inputs`` returned, [n, …].

    Returns
    -------
    Tensor
        Logits of at most two examples.

    Raises
    ------
    TypeError, ValueError
        If the model cannot take ``x``, or returns something else than a float tensor [n, classes].
    """
    with evaluating(model):
        given = run(model, x[:SAMPLE])
    if not isinstance(given, Tensor):
        raise TypeError(
            f"model must return its logits, a tensor [n, classes]; got {type(given).__name__}: wrap it in a "
            "module that returns the logits alone"
        )
    if given.ndim != 2 or len(given) != len(x[:SAMPLE]) or not given.is_floating_point():
        raise ValueError(
            f"model must return logits, floats [n, classes]; got shape {tuple(given.shape)} and type "
            f"{_short(given.dtype)} for {len(x[:SAMPLE])} examples of x"
        )
    return given


def as_features(x: Any, width: int, device: torch.device) -> Tensor:
    """Return examples as float32 on a device.

    Parameters
    ----------
    x : object
        The examples, [n, width].
    width : int
        The number of features.
    device : device
        Where they are put.

    Returns
    -------
    Tensor
        [n, width].

    Raises
    ------
    ValueError
        For another width.
    """
    values = arguments.array("x", x, ndim=2)
    if values.shape[1] != width:
        raise ValueError(f"x must have {width} features per row; got shape {values.shape}")
    return torch.as_tensor(values, device=device)


def as_labels(y: Any, classes: int, device: torch.device, name: str = "y") -> Tensor:
    """Return class numbers as int64 on a device.

    Parameters
    ----------
    y : object
        The class numbers, [n].
    classes : int
        How many classes there are.
    device : device
        Where they are put.
    name : str, optional
        What an error calls the argument.

    Returns
    -------
    Tensor
        [n].

    Raises
    ------
    ValueError
        For what is not one of the classes.
    """
    values = arguments.array(name, y, dtype=np.float64, ndim=1)
    if (values != np.round(values)).any() or values.min() < 0 or values.max() >= classes:
        raise ValueError(
            f"{name} must hold class numbers from 0 to {classes - 1}; "
            f"got {values.min():g} to {values.max():g}"
        )
    return torch.as_tensor(values.astype(np.int64), device=device)


def pair(x: Tensor, y: Any, classes: int) -> tuple[Tensor, Tensor]:
    """Return examples and the class numbers beside them.

    Parameters
    ----------
    x : Tensor
        The examples, [n, features].
    y : object
        The class numbers, [n].
    classes : int
        How many classes there are.

    Returns
    -------
    tuple of 2 Tensor
        ``x`` and the class numbers, int64 [n].

    Raises
    ------
    ValueError
        Unless they are equally long.
    """
    labels = as_labels(y, classes, x.device)
    if len(x) != len(labels):
        raise ValueError(f"x and y must have equally many rows; got {len(x)} and {len(labels)}")
    return x, labels


def _holds_whole_numbers(x: Any) -> bool:
    if isinstance(x, Tensor):
        return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)
    try:
        return np.asarray(x).dtype.kind in "iu"
    except (TypeError, ValueError, RuntimeError):
        return False  # arguments.array says what is wrong with it


def _takes(model: nn.Module, x: Tensor) -> bool:
    """Tell whether whole numbers are what the model takes; if neither they nor floats are, say why."""
    with evaluating(model):
        try:
            run(model, x)
        except ValueError:
            if not any(isinstance(each, nn.Embedding | nn.EmbeddingBag) for each in model.modules()):
                return False
            raise
    return True


def _first_linear(model: nn.Module) -> nn.Linear | None:
    """Return the nn.Linear that a chain begins with, if it does."""
    part: nn.Module | None = model
    while type(part) is nn.Sequential and len(part):
        part = next((each for each in part if not isinstance(each, nn.Identity | nn.Dropout)), None)
    return part if isinstance(part, nn.Linear) else None


def _described(x: Tensor) -> str:
    whole = f" from {int(x.min())} to {int(x.max())}" if x.dtype == torch.int64 and x.numel() else ""
    return f"{_short(x.dtype)} of shape {tuple(x.shape)}{whole}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
