"""What tensors really take up: bytes counted on the objects themselves, by no formula.

torch is imported inside the functions: the formulas of ``memory`` do without it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit._core import display

__all__ = ["Layer", "Layers", "by_layer", "saved_bytes", "tensor_bytes"]

if TYPE_CHECKING:
    import torch

HEADERS = ("layer", "kind", "shapes", "parameters", "size")
LEFT = 3  # columns of words


@dataclass(frozen=True)
class Layer:
    """One module with parameters of its own: its name in the model, kind, shapes, count and bytes."""

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    nbytes: int


@dataclass(frozen=True, repr=False)
class Layers:
    """The layers of a model that hold parameters, in the order of the model."""

    rows: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """The number of parameters in all layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def nbytes(self) -> int:
        """The bytes of all parameters."""
        return sum(row.nbytes for row in self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        rows = [
            (r.name, r.kind, " + ".join("×".join(map(str, s)) for s in r.shapes), r.parameters, r.nbytes)
            for r in self.rows
        ]
        rows.append(("all", "", "", self.parameters, self.nbytes))
        return [(*words, f"{count:,}", display.size(nbytes)) for *words, count, nbytes in rows]

    def __str__(self) -> str:
        return display.table_text(HEADERS, self._cells(), left=LEFT)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return display.table_html(HEADERS, self._cells(), left=LEFT)


def by_layer(model: "torch.nn.Module") -> Layers:
    """Return the parameters of ``model`` layer by layer; one that is shared counts where it comes first.

    Works on the meta device too, where a model has shapes but no numbers. Errors: TypeError unless a module.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    seen: set[int] = set()
    rows = []
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own:
            rows.append(_row(name or "(the model)", module, own))
    return Layers(tuple(rows))


def tensor_bytes(*holders: Any) -> int:
    """Return the bytes of all tensors in ``holders``, each storage once.

    Takes tensors, numpy arrays, models (parameters and buffers), and dicts, lists and tuples of these, such
    as an optimizer's state; other values in them count nothing. Errors: TypeError for anything else on top.
    """
    for holder in holders:
        if not (_has_bytes(holder) or isinstance(holder, Mapping | list | tuple) or _is_model(holder)):
            got = type(holder).__name__
            raise TypeError(f"holders must be tensors, models, or dicts and lists of them; got {got}")
    return sum(dict(map(_storage, _tensors(holders))).values())


def saved_bytes(function: Callable[[], Any], *apart_from: Any) -> int:
    """Return the bytes that one call of ``function`` keeps for the backward pass, each storage once.

    What is in ``apart_from`` (the model, say, whose weights are there anyway) does not count.
    Source: torch.autograd.graph.saved_tensors_hooks.
    """
    import torch

    saved: dict[Any, int] = {}
    there = {key for key, _ in map(_storage, _tensors(apart_from))}
    kept_alive = []  # so that no storage is freed and its address used again while we count

    def note(tensor: "torch.Tensor") -> "torch.Tensor":
        key, nbytes = _storage(tensor)
        if key not in there:
            saved[key] = nbytes
            kept_alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept_alive.append(function())
    return sum(saved.values())


def _row(name: str, module: "torch.nn.Module", own: list["torch.nn.Parameter"]) -> Layer:
    shapes = tuple(tuple(p.shape) for p in own)
    nbytes = sum(p.numel() * p.element_size() for p in own)
    return Layer(name, type(module).__name__, shapes, sum(p.numel() for p in own), nbytes)


def _tensors(value: Any) -> Iterator[Any]:
    """Yield every tensor and array inside ``value``."""
    if _is_model(value):
        value = [*value.parameters(), *value.buffers()]
    if _has_bytes(value):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors([*value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _is_model(value: Any) -> bool:
    return hasattr(value, "parameters") and hasattr(value, "buffers")


def _has_bytes(value: Any) -> bool:
    return hasattr(value, "untyped_storage") or (hasattr(value, "__array_interface__") and value.ndim >= 0)


def _storage(tensor: Any) -> tuple[Any, int]:
    """Return (what tells this storage from others, its bytes); views of one storage agree in both."""
    if not hasattr(tensor, "untyped_storage"):
        while isinstance(tensor.base, np.ndarray):  # a view: the array it looks at
            tensor = tensor.base
        if hasattr(tensor.base, "untyped_storage"):  # it looks at a tensor
            return _storage(tensor.base)
        return ("numpy", tensor.__array_interface__["data"][0]), tensor.nbytes
    storage = tensor.untyped_storage()
    if tensor.device.type == "meta":  # no addresses there
        return ("meta", storage._cdata), storage.nbytes()
    return (tensor.device, storage.data_ptr()), storage.nbytes()
