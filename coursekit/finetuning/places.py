"""The layers of a model by name, and others in their places."""

import fnmatch
from collections.abc import Sequence

from torch import nn

from coursekit._core import arguments

__all__ = ["layer_names", "put"]

INSIDE = "layers.*"  # neither the embedding nor the output layer


def layer_names(
    model: nn.Module,
    include: Sequence[str] | None,
    exclude: Sequence[str],
    kinds: tuple[type[nn.Module], ...],
) -> list[str]:
    """Return the names of the layers that ``include`` and ``exclude`` choose.

    Parameters
    ----------
    model : Module
        The model.
    include, exclude : sequence of str or None
        Names or patterns; None includes all that lie in the model's ``layers``.
    kinds : tuple of type
        The classes that count.

    Returns
    -------
    list of str
        In the model's order, at least one.

    Raises
    ------
    ValueError
        For a pattern that fits no layer, or a choice that leaves no layer.
    """
    there = [name for name, part in model.named_modules() if isinstance(part, kinds)]
    wanted = {INSIDE} if include is None else {*arguments.labels("include", include)}
    nothing = isinstance(exclude, tuple | list) and not exclude
    unwanted = set() if nothing else {*arguments.labels("exclude", exclude)}
    for pattern in wanted | unwanted:
        if not fnmatch.filter(there, pattern):
            some = ", ".join(there[:3]) or "without any"
            raise ValueError(f"include and exclude must fit layers of the model ({some}, …); got {pattern!r}")
    chosen = [
        name
        for name in there
        if any(fnmatch.fnmatchcase(name, each) for each in wanted)
        and not any(fnmatch.fnmatchcase(name, each) for each in unwanted)
    ]
    if not chosen:
        raise ValueError("include and exclude leave no layer; exclude fewer")
    return chosen


def put(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of another.

    Parameters
    ----------
    model : Module
        Changed in place.
    name : str
        Of the place.
    layer : Module
        What stands there from now on.
    """
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
