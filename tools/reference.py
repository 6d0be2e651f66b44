"""Write the pages of the API reference: one per public room, with all that its modules offer.

What a package offers stands at its top; what only one of its modules offers follows, module by module.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_origin

import coursekit

FOLDER = "reference"
PLOTS = "coursekit.plots."  # each of them is a room of its own
LEFT_OUT = ("coursekit.course",)  # the course's own checks: who reads them knows the answers
LONGEST = 60  # characters of a constant's value
FOREIGN = r"~?\b(?:numpy|typing|collections|torch|matplotlib|ipywidgets)(?:\.\w+)*\.(?=\w)"
# What autodoc makes of two names in numpy.typing.
ARRAY_LIKE = re.escape(
    "_Buffer | _SupportsArray[dtype[Any]] | _NestedSequence[_SupportsArray[dtype[Any]]] "
    "| complex | bytes | str | _NestedSequence[complex | bytes | str]"
)
ARRAY = r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]"
COMMENT = r"^{name}\b[^#\n]*#\s*(.+)$"


def write(folder: Path) -> None:
    """Write a page per room into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in rooms():
        (folder / f"{name}.rst").write_text(page(name), encoding="utf-8")
    (folder / "index.rst").write_text(index(), encoding="utf-8")


def index() -> str:
    """Return the first page: what each room is about, in the sentence that it says itself."""
    said = [f":doc:`{name}`\n   {plain(summary(name))}\n" for name in rooms()]
    text = (
        "What coursekit offers, module by module; ``help(coursekit.pruning)`` says the same where you work.\n"
    )
    tops = [name for name in rooms() if not name.startswith(PLOTS)]
    return "\n".join([title("Reference", "="), text, *said, toctree(tops)])


def summary(name: str) -> str:
    """Return the first sentence of a module's docstring."""
    return str(importlib.import_module(name).__doc__).partition("\n")[0]


def toctree(names: list[str]) -> str:
    """Return a hidden table of contents, which the theme shows at the side."""
    return "\n".join([".. toctree::", "   :hidden:", "", *(f"   {name}" for name in names), ""])


def rooms() -> list[str]:
    """Return the names of the modules and packages right inside coursekit and coursekit.plots."""
    found = [name for name in public(coursekit) if name.count(".") == 1]
    return sorted([*found, *(name for name in public(coursekit) if name.startswith(PLOTS))])


def public(package: ModuleType) -> Iterator[str]:
    """Yield the full names of all public modules in a package, those in its packages included."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        private = any(part.startswith("_") for part in found.name.split("."))
        if not private and not found.name.startswith(LEFT_OUT):
            yield found.name


def page(name: str) -> str:
    """Return the reStructuredText of a room's page."""
    module = importlib.import_module(name)
    parts = [title(name, "="), part(name)]
    if name == "coursekit.plots":
        parts.append(toctree([room for room in rooms() if room.startswith(PLOTS)]))
    elif hasattr(module, "__path__"):
        offered = {id(thing) for _, thing in here(module)}
        for inner in public(module):
            rest = [each for each in here(importlib.import_module(inner)) if id(each[1]) not in offered]
            if rest:
                parts += [title(inner, "-"), part(inner, dict(rest))]
                offered |= {id(thing) for _, thing in rest}
    return "\n".join(parts)


def title(name: str, line: str) -> str:
    """Return a heading."""
    return f"{name}\n{line * len(name)}\n"


def part(name: str, offered: dict[str, Any] | None = None) -> str:
    """Return a module's sentence, the table of its functions and classes, and each of them in full."""
    module = importlib.import_module(name)
    shown = dict(here(module)) if offered is None else offered
    defined = {each: thing for each, thing in shown.items() if is_definition(thing)}
    lines = [f".. automodule:: {name}\n   :no-members:\n", f".. currentmodule:: {name}\n"]
    if defined:
        lines += [".. autosummary::\n", *(f"   ~{home(thing)}.{each}" for each, thing in defined.items()), ""]
    lines += [constant(each, thing, module) for each, thing in shown.items() if each not in defined]
    for each, thing in defined.items():
        lines.append(f".. auto{'class' if isinstance(thing, type) else 'function'}:: {home(thing)}.{each}")
        lines.append("   :members:\n" if isinstance(thing, type) else "")
    elsewhere = [each for each in module.__all__ if each not in dict(here(module))] if not offered else []
    if elsewhere:
        lines.append(
            f"Also here: {', '.join(f':py:obj:`{each} <{where(module, each)}>`' for each in elsewhere)}.\n"
        )
    return "\n".join(lines)


def here(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield (name, object) of what a module offers and nobody else is the home of."""
    for name in module.__all__:
        thing = definition(getattr(module, name))
        if isinstance(thing, ModuleType):
            continue
        if not is_definition(thing) or f"{home(thing)}.".startswith(f"{module.__name__}."):
            yield name, thing


def definition(thing: Any) -> Any:
    """Return the function in a panel's module that can be called, and anything else as it is."""
    callable_module = isinstance(thing, ModuleType) and callable(thing)
    return getattr(thing, thing.__name__.rpartition(".")[2]) if callable_module else thing


def is_definition(thing: Any) -> bool:
    """Tell our functions and classes from constants and names of types."""
    ours = isinstance(thing, type | FunctionType) and get_origin(thing) is None
    return ours and thing.__module__.startswith("coursekit")


def home(thing: Any) -> str:
    """Return the module that a function or class reports."""
    return str(thing.__module__)


def where(module: ModuleType, name: str) -> str:
    """Return the full name under which the reference describes what ``module`` offers as ``name``."""
    thing = definition(getattr(module, name))
    if isinstance(thing, ModuleType):
        return thing.__name__
    return f"{home(thing)}.{name}"


def constant(name: str, value: Any, module: ModuleType) -> str:
    """Return a constant with its value, if that is short, and the comment beside its definition."""
    shown = " ".join(repr(value).split())
    lines = [f".. py:data:: {name}"]
    if len(shown) <= LONGEST and " at 0x" not in shown:
        lines.append(f"   :value: {shown}")
    found = re.search(COMMENT.format(name=name), inspect.getsource(module), re.MULTILINE)
    return "\n".join([*lines, "", f"   {plain(found[1])}" if found else "", ""])


def short(signature: str) -> str:
    """Return a signature in which types of other libraries are named as the source names them."""
    named = re.sub(ARRAY_LIKE, "ArrayLike", re.sub(FOREIGN, "", signature))
    return re.sub(ARRAY, r"NDArray[\1]", named)


def plain(text: str) -> str:
    """Return prose in which stars, bars and backticks mean themselves, except in ``code``."""
    pieces = re.split(r"(``.+?``)", text)
    escaped = [re.sub(r"([\\*|`])|_(?!\w)", lambda match: "\\" + match[0], each) for each in pieces[::2]]
    pieces[::2] = escaped
    return "".join(pieces)
