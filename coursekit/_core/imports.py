"""Imports that an interrupt does not tear in half: what is compiled enters a process only once."""

import importlib
import signal
import threading
from types import ModuleType


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
