"""A bar for imports: a cell that waits for them says which module comes now, and how many are left."""

import ast
import contextlib
import importlib.abc
import linecache
import sys
import time
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from coursekit._core import display
from coursekit._core.progress import PUBLIC, Bar, notebook_shell

__all__ = ["Watch", "loading", "pending"]

EVENTS = ("post_run_cell", "pre_run_cell")


def loading() -> None:
    """Show in a notebook how far the imports below this call are, until the cell ends; elsewhere nothing.

    A cell that has nothing to load, because it has been run before, shows nothing.
    """
    shell, caller = notebook_shell(), sys._getframe(1)
    if shell is None:
        return
    with contextlib.suppress(Exception):  # no bar may stop a cell
        names = pending("".join(linecache.getlines(caller.f_code.co_filename)), caller.f_lineno)
        if names:
            Watch(names, shell)


loading.__module__ = PUBLIC


class Watch(importlib.abc.MetaPathFinder):
    """Finds nothing; sees what the finders are asked for, and moves a bar at each of ``names``.

    Parameters
    ----------
    names : list of str
        The modules to come; at least one.
    shell : InteractiveShell
        IPython's: the end of its cell ends the bar.
    """

    def __init__(self, names: list[str], shell: Any) -> None:
        self.names, self._shell, self._start = names, shell, time.perf_counter()
        self._coming, self._ended = set(names), False
        for event in EVENTS:
            shell.events.register(event, self._end)
        import asyncio  # every kernel has loaded it

        with contextlib.suppress(RuntimeError):  # no loop runs
            asyncio.get_running_loop().call_soon(self._idle)
        self._bar = Bar(f"Loading {names[0]}")
        sys.meta_path.insert(0, self)
        self._bar(0.0)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Say that ``fullname`` comes now, if it is one of the names; the next finder finds it."""
        if fullname in self.names:
            self._coming.discard(fullname)
            self._bar.title = f"Loading {fullname}"
            # Counted, not by its place: another module may ask for it before its turn.
            self._bar(1 - (len(self._coming) + 1) / len(self.names))

    def _idle(self) -> None:
        """End the bar if all came. JupyterLite does not say when a cell with ``await`` in it ends."""
        if all(name in sys.modules for name in self.names):
            self._end()

    def _end(self, *_: object) -> None:
        """Stop watching, and say what came."""
        if self._ended:
            return
        self._ended = True
        for event in EVENTS:
            self._shell.events.unregister(event, self._end)
        if self in sys.meta_path:  # others may have put the list back as they found it
            sys.meta_path.remove(self)
        loaded, total = sum(name in sys.modules for name in self.names), len(self.names)
        seconds = display.seconds(time.perf_counter() - self._start)
        self._bar.end(f"Loaded {loaded} of {total} modules in {seconds}.")


def pending(source: str, line: int) -> list[str]:
    """Return what the imports of a cell's ``source`` below its line ``line`` have yet to load, in order.

    Nothing for what Python cannot read, such as a cell with its ``%pip`` in it: no bar may stop a cell.
    """
    try:
        cell = ast.parse(source)
    except SyntaxError:
        return []
    return [name for name in dict.fromkeys(_imported(cell, line)) if name not in sys.modules]


def _imported(cell: ast.Module, line: int) -> Iterator[str]:
    """Yield the modules that stand in the imports: of coursekit each by itself, wherever it is kept."""
    for node in cell.body:
        if isinstance(node, ast.Import) and node.lineno > line:
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.lineno > line and node.module and not node.level:
            if node.module == "coursekit":
                room = sys.modules["coursekit"]
                names = [each.name for each in node.names if each.name in room.__all__]
                yield from (f"coursekit.{room._ELSEWHERE.get(name, name)}" for name in names)
            else:
                yield node.module
