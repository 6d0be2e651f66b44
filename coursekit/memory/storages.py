"""Where an object keeps its bytes: every storage in it, whatever wraps or packs the tensors.

torch is imported inside the functions: the formulas of ``memory`` do without it.
"""

from collections import deque
from collections.abc import Iterator, Mapping, MappingView
from dataclasses import fields, is_dataclass
from numbers import Number
from typing import Any

import numpy as np

__all__ = ["Key", "holds", "inside", "is_array", "is_module", "parts", "storages"]

Key = tuple[Any, ...]
PLAIN, BLOCKS = "torch.strided", {"torch.sparse_csr": "crow col", "torch.sparse_bsr": "crow col"}
BLOCKS |= {"torch.sparse_csc": "ccol row", "torch.sparse_bsc": "ccol row"}
NESTED = ("_nested_tensor_size", "_nested_tensor_strides", "_nested_tensor_storage_offsets")
# What every module has besides the reader's own attributes, and what it reaches by its own methods.
REGISTERED = ("_parameters", "_buffers", "_modules")
COLLECTIONS = (list, tuple, set, frozenset, deque, Mapping, MappingView, Iterator)
# What may stand beside tensors in a collection; other objects, a table's say, have bytes that nobody counts.
BESIDE = (Number, str, bytes, type(None), type, np.generic, np.dtype)


def holds(value: Any) -> bool:
    """Tell whether something may hold tensors: one, or a model, optimizer or container.

    Parameters
    ----------
    value : object
        Any object.

    Returns
    -------
    bool
        True or False.
    """
    return (
        is_array(value)
        or is_module(value)
        or _is_optimizer(value)
        or (is_dataclass(value) and not isinstance(value, type))
        or isinstance(value, COLLECTIONS)
    )


def inside(value: Any) -> list[Any]:
    """Return every tensor and array inside ``value``, packed weights unpacked.

    Parameters
    ----------
    value : object
        Tensors, arrays, models, optimizers (their state), dataclasses, and collections of these.

    Returns
    -------
    list
        The same tensor may come more than once. Keep the list as long as addresses count: packed weights are
        unpacked into new tensors.
    """
    return list(_walk(value, set()))


def storages(tensors: list[Any]) -> dict[Key, int]:
    """Return the bytes of the storages behind tensors and arrays, each under a key of its own.

    Parameters
    ----------
    tensors : list
        As ``inside`` returns them; they must stay alive as long as the keys are compared.

    Returns
    -------
    dict
        Bytes by key; views of one storage share a key.
    """
    found: dict[Key, int] = {}
    kept = []
    for tensor in tensors:
        pieces = parts(tensor)
        kept.append(pieces)
        found.update(map(_storage, pieces))
    return found


def parts(tensor: Any) -> list[Any]:
    """Return the plain tensors that a tensor consists of: a sparse one's indices and values, say.

    Parameters
    ----------
    tensor : Tensor or ndarray
        Plain, sparse, nested, quantized, masked, or a subclass that wraps others.

    Returns
    -------
    list
        Plain tensors and arrays; ``tensor`` alone where it is one.
    """
    if isinstance(tensor, np.ma.MaskedArray):
        return [tensor.data, *([] if tensor.mask is np.ma.nomask else [tensor.mask])]
    if not hasattr(tensor, "untyped_storage"):
        return [tensor]
    if hasattr(tensor, "__tensor_flatten__"):
        names = tensor.__tensor_flatten__()[0]
        return [piece for name in names for piece in parts(getattr(tensor, name))]
    layout = str(tensor.layout)
    if layout == "torch.sparse_coo":
        return [tensor._indices(), *parts(tensor._values())]
    if layout in BLOCKS:
        indices = [getattr(tensor, f"{name}_indices")() for name in BLOCKS[layout].split()]
        return [*indices, *parts(tensor.values())]
    if layout == PLAIN and tensor.is_nested:
        return [tensor.values(), *(getattr(tensor, name)() for name in NESTED)]
    return [tensor, *_scales(tensor)]


def is_module(value: Any) -> bool:
    """Tell whether something is a torch module, without importing torch.

    Parameters
    ----------
    value : object
        Any object.

    Returns
    -------
    bool
        True or False.
    """
    return hasattr(value, "named_modules") and not isinstance(value, type)


def is_array(value: Any) -> bool:
    """Tell whether something is a tensor or a numpy array.

    Parameters
    ----------
    value : object
        Any object.

    Returns
    -------
    bool
        True or False.
    """
    if isinstance(value, type):
        return False
    return hasattr(value, "untyped_storage") or (hasattr(value, "__array_interface__") and value.ndim >= 0)


def _walk(value: Any, seen: set[int], known: bool = False) -> Iterator[Any]:
    if is_array(value):
        yield value
        return
    if id(value) in seen:
        return
    if not (holds(value) or _is_packed(value)):
        if not (known or isinstance(value, BESIDE) or type(value).__module__.startswith("torch")):
            raise TypeError(f"bytes can be counted of tensors, arrays and models; got {type(value).__name__}")
        return
    seen.add(id(value))
    known = known or not isinstance(value, COLLECTIONS)  # a model's own attributes may be anything
    for item in _content(value):
        yield from _walk(item, seen, known)


def _content(value: Any) -> list[Any]:
    if _is_packed(value):
        # Of a packed weight: itself and the bias, but not the numbers that say how it is packed.
        return [item for item in _unpacked(value.__getstate__()) if _is_number(item)]
    if is_module(value):
        own = [item for name, item in vars(value).items() if name not in REGISTERED]
        children = [child for child in value._modules.values() if child is not None]
        return [*value.parameters(recurse=False), *value.buffers(recurse=False), *own, *children]
    if _is_optimizer(value):
        return [value.state]
    if is_dataclass(value):
        return [getattr(value, field.name, None) for field in fields(value)]
    return list(value.values() if isinstance(value, Mapping) else value)


def _unpacked(state: Any) -> Iterator[Any]:
    if isinstance(state, list | tuple):
        for item in state:
            yield from _unpacked(item)
    elif _is_packed(state):
        yield from _unpacked(state.__getstate__())
    elif is_array(state):
        yield state


def _is_number(tensor: Any) -> bool:
    return bool(tensor.is_quantized or tensor.is_floating_point())


def _is_packed(value: Any) -> bool:
    """Tell whether ``value`` is one of the objects in which PyTorch's engines keep INT8 weights."""
    return type(value).__name__ == "ScriptObject" and hasattr(value, "__getstate__")


def _is_optimizer(value: Any) -> bool:
    return hasattr(value, "param_groups") and hasattr(value, "state")


def _scales(tensor: Any) -> list[Any]:
    """Return the scales and zero points that a quantized tensor keeps for every channel."""
    if not tensor.is_quantized or "per_channel" not in str(tensor.qscheme()):
        return []
    return [tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()]


def _storage(tensor: Any) -> tuple[Key, int]:
    """Return (what tells this storage from others, its bytes); views of one storage agree in both."""
    if not hasattr(tensor, "untyped_storage"):
        while isinstance(tensor.base, np.ndarray):  # a view: the array it looks at
            tensor = tensor.base
        if hasattr(tensor.base, "untyped_storage"):  # it looks at a tensor
            return _storage(tensor.base)
        return ("cpu", tensor.__array_interface__["data"][0]), tensor.nbytes
    try:
        storage = tensor.untyped_storage()
        if tensor.device.type == "meta":  # no addresses there
            return ("meta", storage._cdata), storage.nbytes()
        address = storage.data_ptr()
    except (NotImplementedError, RuntimeError):  # a form of its own, such as oneDNN's, or a fake tensor
        return ("opaque", id(tensor)), tensor.numel() * tensor.element_size()
    # A fake tensor has bytes and no address.
    return (str(tensor.device), address or storage._cdata), storage.nbytes()
