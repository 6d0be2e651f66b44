"""Imports that an interrupt does not tear in half: what is compiled enters a process only once."""

import importlib
import signal
import sys
import threading
from types import ModuleType

__all__ = ["need", "whole"]


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
