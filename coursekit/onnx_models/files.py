"""ONNX files on the disk: read with care, weighed with all that belongs to them, written in one step."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coursekit._core import arguments, display, files
from coursekit.onnx_models.contents import float_weights, graphs, quantized
from coursekit.onnx_models.packages import need

__all__ = [
    "OnnxFile",
    "Value",
    "checked_path",
    "counts_text",
    "damaged",
    "describe",
    "described",
    "existing",
    "external_files",
    "read",
    "real_inputs",
    "replacing",
    "shortened",
    "target_path",
    "write",
]

if TYPE_CHECKING:
    import onnx

Value = tuple[str, str, tuple[int | str, ...]]  # name, type, sizes (a name where any size goes)
AGAIN = "Export the model again, or copy the file again"
FLOATS = {"float": "float32", "double": "float64"}  # ONNX's names, in numpy's words
MOST_OPERATORS = 12  # that are listed before an ellipsis
MOST_OF_A_MESSAGE = 300  # characters
MOST_OF_A_PATH = 150  # characters
MOST_IN_ONE_FILE = 2_000_000_000  # bytes; a protobuf message ends at 2 GiB
SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, repr=False)
class OnnxFile(display.Tabled):
    """What an ONNX file holds; ``size_bytes`` includes ``external``, the weights that lie in other files.

    ``left_in_float``, of a quantized file: how many weights are still floats, by the kind of operator that
    multiplies with them; empty where every matrix is stored in few bits.
    """

    path: Path
    size_bytes: int
    operators: tuple[str, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    external: int = 0
    left_in_float: Mapping[str, int] = field(default_factory=dict)

    def _table(self) -> display.Table:
        shown = self.operators[:MOST_OPERATORS]
        more = f" and {len(self.operators) - len(shown)} more" if len(self.operators) > len(shown) else ""
        beside = f", of which {display.size(self.external)} outside the .onnx" if self.external else ""
        left = [("in floats", counts_text(self.left_in_float))] if self.left_in_float else []
        facts = [
            ("file", self.path.name),
            ("size", f"{display.size(self.size_bytes)}{beside}"),
            ("operators", f"{len(self.operators)}: {', '.join(shown)}{more}"),
            ("inputs", "; ".join(map(_value_text, self.inputs))),
            ("outputs", "; ".join(map(_value_text, self.outputs))),
            *left,
        ]
        return display.Table(("ONNX file", ""), facts, left=2, facts=True)


def checked_path(name: str, path: Any) -> Path:
    """Return what is given as a Path.

    Parameters
    ----------
    name, path : str, object
        What an error calls the argument, and the argument.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    TypeError, ValueError
        Unless it is text or a path that a file can have.
    """
    return arguments.path(name, path)


def target_path(name: str, path: Any) -> Path:
    """Return what is given as a Path that a file can be written to.

    Parameters
    ----------
    name, path : str, object
        What an error calls the argument, and the argument.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    TypeError, ValueError
        For what is not a path, a folder, or a folder that is missing.
    """
    target = checked_path(name, path)
    _only_a_file(name, target)
    if not target.parent.is_dir():
        raise ValueError(
            f"{name} lies in the folder {_short(target.parent)}, which does not exist: make it first"
        )
    return target


def existing(name: str, path: Any) -> Path:
    """Return what is given as the Path of a file that is there.

    Parameters
    ----------
    name, path : str, object
        What an error calls the argument, and the argument.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    TypeError, ValueError
        For a folder, and for what cannot be a file's name.
    """
    where = checked_path(name, path)
    try:
        mode = os.stat(where).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{name} must be an ONNX file; there is no file {_short(where)}: export the model first"
        ) from None
    except OSError as error:
        raise ValueError(f"{name} must be a file's name; got {_short(where)} ({error.strerror})") from None
    if stat.S_ISDIR(mode):
        raise ValueError(f"{name} must be an ONNX file; {_short(where)} is a folder: name a file in it")
    return where


def read(path: Any, name: str = "path", *, weights: bool = False) -> "onnx.ModelProto":
    """Return the model in a file after looking it over.

    Parameters
    ----------
    path : object
        The file.
    name : str
        What an error calls the argument.
    weights : bool, optional
        Whether what lies in other files is loaded, too.

    Returns
    -------
    ModelProto
        The model.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        For a folder, a damaged file, missing or unsafe external data.
    """
    onnx = need("onnx")
    where = existing(name, path)
    model = _parsed(where)
    external_files(model, where)
    try:
        onnx.checker.check_model(str(where) if _outside(model) else model)
        if weights:
            onnx.load_external_data_for_model(model, str(where.parent))
    except (onnx.checker.ValidationError, ValueError, RuntimeError, OSError) as error:
        raise damaged(where, _first_line(error)) from None
    return model


def damaged(path: Path, why: str) -> ValueError:
    """Return the error that says why the file cannot be used and what to do.

    Parameters
    ----------
    path, why : Path, str
        The file, and what is wrong with it.

    Returns
    -------
    ValueError
        The error, not raised.
    """
    return ValueError(f"{path} is not a usable ONNX file ({why}). {AGAIN}; the file was left as it is.")


def shortened(message: str) -> str:
    """Return the message on one line of at most MOST_OF_A_MESSAGE characters; the middle gives way.

    Parameters
    ----------
    message : str
        Any text.

    Returns
    -------
    str
        The line.
    """
    line = " ".join(message.split())
    half = (MOST_OF_A_MESSAGE - 3) // 2
    return line if len(line) <= MOST_OF_A_MESSAGE else f"{line[:half]} … {line[-half:]}"


def describe(path: Any) -> OnnxFile:
    """Return what an ONNX file holds, with its true size.

    Parameters
    ----------
    path : object
        The file.

    Returns
    -------
    OnnxFile
        The description.

    Raises
    ------
    FileNotFoundError, ValueError
        As for ``read``.
    """
    model = read(path)
    where = checked_path("path", path)
    external = sum(file.stat().st_size for file in external_files(model, where))
    return OnnxFile(
        where,
        where.stat().st_size + external,
        tuple(node.op_type for node in model.graph.node),
        tuple(_value(info) for info in real_inputs(model)),
        tuple(_value(info) for info in model.graph.output),
        external,
        dict(float_weights(model)) if quantized(model) else {},
    )


def described(temporary: Path, target: Path) -> OnnxFile:
    """Return what the file under its temporary name holds, named as ``target``, whose place it will take.

    Parameters
    ----------
    temporary, target : Path
        The file, and the name that it will have.

    Returns
    -------
    OnnxFile
        The description.
    """
    return replace(describe(temporary), path=target)


def counts_text(weights: Mapping[str, int]) -> str:
    """Return counts of weights by operator as text: "LSTM (393,216 weights)".

    Parameters
    ----------
    weights : mapping of str to int
        Numbers of weights by the operator's kind.

    Returns
    -------
    str
        The text.
    """
    return ", ".join(f"{kind} ({count:,} weights)" for kind, count in weights.items())


def real_inputs(model: "onnx.ModelProto") -> list[Any]:
    """Return the inputs that a caller has to give: old files list their weights among the inputs, too.

    Parameters
    ----------
    model : ModelProto
        The model.

    Returns
    -------
    list of ValueInfoProto
        The inputs, in the file's order.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in stored]


def external_files(model: "onnx.ModelProto", path: Path) -> set[Path]:
    """Return the other files that hold this model's weights.

    Parameters
    ----------
    model, path : ModelProto, Path
        The model, and the file that it was read from.

    Returns
    -------
    set of Path
        The files; empty if all weights are in the file itself.

    Raises
    ------
    ValueError
        Where one is missing, too short, or outside the model's folder: a hostile file could name any file
        of yours.
    """
    found: dict[Path, int] = {}
    folder = path.resolve().parent
    for tensor in _outside(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location", "")
        file = (folder / name).resolve()
        if not name or Path(name).is_absolute() or not file.is_relative_to(folder):
            raise damaged(path, f"its weights {tensor.name!r} point outside its folder, to {name!r}")
        if not file.is_file():
            raise damaged(path, f"its weights are in {name!r}, which is missing: the two travel together")
        found[file] = max(found.get(file, 0), _end(entries, path))
    for file, end in found.items():
        if file.stat().st_size < end:
            raise damaged(path, f"{file.name!r}, which holds its weights, is cut short")
    return set(found)


def write(model: "onnx.ModelProto", path: Path) -> None:
    """Write a model as one file.

    Parameters
    ----------
    model, path : ModelProto, Path
        The model, and where to.

    Raises
    ------
    ValueError
        Beyond what one file can hold.
    """
    size = model.ByteSize()
    if size > MOST_IN_ONE_FILE:
        raise ValueError(f"one ONNX file holds 2 GB at most; this model needs {display.size(size)}")
    path.write_bytes(model.SerializeToString())


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary name in the target's folder; what stands there at the end takes the target's place.

    Parameters
    ----------
    target : Path
        The file that is made or replaced.

    Yields
    ------
    Path
        The temporary name.

    Raises
    ------
    ValueError
        If ``target`` is a folder.
    """
    _only_a_file("target", target)
    with files.replacing(target) as temporary:
        yield temporary
        _only_a_file("target", target)


def _short(path: Path) -> str:
    """Return a path as a message shows it: on one line, its end where it is long."""
    shown = str(path) if str(path).isprintable() else repr(str(path))
    return shown if len(shown) <= MOST_OF_A_PATH else f"…{shown[-MOST_OF_A_PATH:]}"


def _only_a_file(name: str, target: Path) -> None:
    """Refuse what exists and is not a regular file: a replaced device or socket is gone for everybody."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} must be a file's name; got {_short(target)} ({getattr(error, 'strerror', error)})"
        ) from None
    if not stat.S_ISREG(mode):
        what = SPECIAL.get(stat.S_IFMT(mode), "a special file")
        raise ValueError(f"{name} must be a file's name; {_short(target)} is {what}")


def _parsed(path: Path) -> "onnx.ModelProto":
    onnx = need("onnx")
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise damaged(path, _unreadable(path, error)) from None
    if not model.HasField("graph"):
        raise damaged(path, "it is empty" if not path.stat().st_size else "it holds no graph")
    return model


def _unreadable(path: Path, error: Exception) -> str:
    start = path.read_bytes()[:512]
    if start and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "it is a text file"
    return "it is cut short or no ONNX at all" if "pars" in str(error).lower() else _first_line(error)


def _outside(model: "onnx.ModelProto") -> list[Any]:
    """Return all tensors whose numbers lie in another file."""
    outside = 1  # TensorProto.EXTERNAL
    found = []
    for graph in graphs(model.graph):
        found += graph.initializer
        for sparse in graph.sparse_initializer:
            found += [sparse.values, sparse.indices]
        for node in graph.node:
            for attribute in node.attribute:
                found += [attribute.t, *attribute.tensors]
    return [tensor for tensor in found if tensor.data_location == outside]


def _end(entries: dict[str, str], path: Path) -> int:
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
    except ValueError:
        raise damaged(path, "its external data have no readable offset") from None
    if offset < 0 or length < 0:
        raise damaged(path, "its external data have a negative offset")
    return offset + length


def _value(info: Any) -> Value:
    onnx = need("onnx")
    if not info.type.HasField("tensor_type"):
        return info.name, info.type.WhichOneof("value") or "unknown", ()
    kind = info.type.tensor_type
    name = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    dims = kind.shape.dim
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "any" for dim in dims)
    return info.name, FLOATS.get(name, name), sizes


def _value_text(value: Value) -> str:
    name, kind, shape = value
    return f"{name} {kind} [{', '.join(map(str, shape))}]"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
