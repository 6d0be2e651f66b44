"""What tensors really take up: bytes counted on the objects themselves, by no formula.

torch is imported inside the functions: the formulas of ``memory`` do without it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coursekit._core import arguments, display
from coursekit.memory.storages import holds, inside, parts, storages

if TYPE_CHECKING:
    import torch

__all__ = ["Layer", "Layers", "by_layer", "saved_bytes", "tensor_bytes"]

HEADERS = ("layer", "kind", "shapes", "parameters", "size")
LEFT = 3  # columns of words
PACKED = ("_packed_params", "_all_weight_values")  # where PyTorch's INT8 layers keep theirs


@dataclass(frozen=True)
class Layer:
    """One module with parameters of its own: its name in the model, kind, shapes, count and bytes."""

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    nbytes: int


@dataclass(frozen=True, repr=False)
class Layers(display.Tabled):
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
            (
                r.name,
                r.kind,
                " + ".join("×".join(map(str, s)) or "1" for s in r.shapes),
                r.parameters,
                r.nbytes,
            )
            for r in self.rows
        ]
        rows.append(("all", "", "", self.parameters, self.nbytes))
        return [(*words, f"{count:,}", display.size(nbytes)) for *words, count, nbytes in rows]

    def _table(self) -> display.Table:
        return display.Table(HEADERS, self._cells(), left=LEFT)


def by_layer(model: "torch.nn.Module") -> Layers:
    """Return the parameters of ``model`` layer by layer; one that is shared counts where it comes first.

    Parameters
    ----------
    model : nn.Module
        Also one on the meta device, where a model has shapes but no numbers. Of a layer that was quantized,
        the INT8 weights count as its parameters, with the bias.

    Returns
    -------
    Layers
        A row for every module that holds parameters of its own.

    Raises
    ------
    TypeError
        Unless it is an nn.Module.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    seen: set[Any] = set()
    rows, kept = [], []
    for name, module in model.named_modules():
        found = _own(module)
        kept.append(found)  # unpacked weights are new tensors: no other may get their addresses
        own = []
        for tensor in found:
            key = _identity(tensor)
            if key not in seen:
                own.append(tensor)
            seen.add(key)
        if own:
            rows.append(_row(*_named(model, name, module), own))
    return Layers(tuple(rows))


def tensor_bytes(*holders: Any) -> int:
    """Return the bytes of all tensors in ``holders``, each storage once.

    Parameters
    ----------
    *holders : object
        Tensors of any form (sparse, nested and quantized ones count all their parts), numpy arrays, models
        (parameters, buffers, packed INT8 weights, and tensors that are plain attributes; no gradients),
        optimizers (their state), dataclasses, and dicts, lists and other collections of these. Numbers and
        texts in them count nothing.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError
        For anything else, such as a table of pandas, also in a collection.
    """
    for holder in holders:
        if not holds(holder):
            got = type(holder).__name__
            raise TypeError(f"holders must be tensors, models, or dicts and lists of them; got {got}")
    return sum(storages(inside(holders)).values())


def saved_bytes(function: Callable[[], Any], *apart_from: Any) -> int:
    """Return the bytes that one call of ``function`` keeps for the backward pass, each storage once.

    Parameters
    ----------
    function : callable
        It is called once, without arguments.
    *apart_from : object
        What does not count: the model, say, whose weights are there anyway.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    TypeError
        Unless it can be called. Whatever ``function`` raises goes through.

    Notes
    -----
    Counted by torch.autograd.graph.saved_tensors_hooks.
    """
    import torch

    arguments.function("function", function, "without arguments")
    excluded = inside(apart_from)
    there, saved = storages(excluded), {}
    kept_alive: list[Any] = [
        excluded
    ]  # so that no storage is freed and its address used again while we count

    def note(tensor: "torch.Tensor") -> "torch.Tensor":
        kept_alive.append(tensor)
        saved.update({key: size for key, size in storages([tensor]).items() if key not in there})
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept_alive.append(function())
    return sum(saved.values())


def _row(name: str, kind: str, own: list["torch.Tensor"]) -> Layer:
    shapes = tuple(tuple(tensor.shape) for tensor in own)
    return Layer(name, kind, shapes, sum(tensor.numel() for tensor in own), sum(map(_size, own)))


def _size(tensor: "torch.Tensor") -> int:
    """Return the bytes of a tensor alone: of a view into a larger storage, those that it shows."""
    pieces = parts(tensor)
    if len(pieces) == 1:
        return int(tensor.numel() * tensor.element_size())
    return sum(storages(pieces).values())


def _identity(tensor: "torch.Tensor") -> tuple[Any, ...]:
    """Return what two tensors agree in that show the same bytes."""
    pieces = parts(tensor)
    place = (pieces[0].storage_offset(), tuple(pieces[0].shape)) if len(pieces) == 1 else ()
    return (*storages(pieces), *place)


def _own(module: "torch.nn.Module") -> list["torch.Tensor"]:
    """Return a module's own parameters; where it was quantized, what it holds in their place."""
    own = list(module.parameters(recurse=False))
    packed = [inside(value) for value in vars(module).values() if type(value).__name__ == "ScriptObject"]
    buffers = dict(module.named_buffers(recurse=False))
    if own or packed or "weight" not in buffers:
        return [*own, *(tensor for tensors in packed for tensor in tensors)]
    return list(buffers.values())


def _named(model: "torch.nn.Module", name: str, module: "torch.nn.Module") -> tuple[str, str]:
    """Return a layer's name and kind; packed weights lie one level below the layer that they belong to."""
    words = name.split(".") if name else []
    packed = [number for number, word in enumerate(words) if word in PACKED]
    if packed:
        name = ".".join(words[: packed[0]])
        module = model.get_submodule(name)
    return name or "(the model)", type(module).__name__
