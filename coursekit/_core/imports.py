"""Imports that an interrupt does not tear in half: what is compiled enters a process only once."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType

__all__ = ["after", "need", "whole"]


def need(name: str, extra: str = "notebooks") -> ModuleType:
    """Import what only some notebooks need.

    Parameters
    ----------
    name : str
        The module.
    extra : str
        The extra of coursekit in pyproject.toml that names its package, so that the advice agrees with it.

    Returns
    -------
    module
        The module, imported to its end.

    Raises
    ------
    ImportError
        If it is not installed, with what to do. In Colab that is the notebook's set-up cell, which spares
        Colab's own packages.
    """
    try:
        return whole(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        remedy = f'pip install "coursekit[{extra}]"'
        if "google.colab" in sys.modules:
            remedy = "run the notebook's set-up cell (the first one with code) again"
        raise ImportError(f"{missing} is not installed, and this needs it: {remedy}", name=missing) from error


def whole(name: str) -> ModuleType:
    """Import the module ``name`` to its end; an interrupt that comes meanwhile is passed on afterwards.

    Without it, stopping the cell that first imports torch or matplotlib leaves a process in which neither can
    be imported any more.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone hears interrupts
        return importlib.import_module(name)
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        return importlib.import_module(name)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if came:
            signal.raise_signal(signal.SIGINT)


def after(name: str, action: Callable[[], object]) -> None:
    """Call ``action`` as soon as the module ``name`` is imported, by whomever: now, if it is already.

    Only the last action given for a module counts, and it is called once. Spares a process that never needs
    the module (190 MB for torch) its import.
    """
    for old in [each for each in sys.meta_path if isinstance(each, _Watch) and each.name == name]:
        sys.meta_path.remove(old)
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Watch(name, action))


class _Watch(importlib.abc.MetaPathFinder):
    """Finds one module as the other finders do, and has an action called when it has been executed."""

    def __init__(self, name: str, action: Callable[[], object]) -> None:
        self.name, self.action = name, action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)  # a failed import is not watched any more: whoever tries again starts anew
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, self.action)
        return spec


class _Then(importlib.abc.Loader):
    """Loads as another loader does, and does something afterwards."""

    def __init__(self, loader: importlib.abc.Loader, action: Callable[[], object]) -> None:
        self.loader, self.action = loader, action

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:  # what asks the module for its source must meet its own loader
            spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.action()
