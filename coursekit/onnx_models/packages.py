"""Get ONNX's packages, and keep their chatter away: a notebook's stderr stays empty."""

import contextlib
import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType

from coursekit._core import imports

__all__ = ["need", "quiet"]


def need(name: str) -> ModuleType:
    """Return a module as ``imports.need`` does, with ONNX Runtime's reports switched off.

    Parameters
    ----------
    name : str
        The module's name.

    Returns
    -------
    ModuleType
        The module.

    Raises
    ------
    ImportError
        Where it is missing; names the command to install it.
    """
    # From version 1.29 on, ONNX Runtime reports its use over the network unless this is set before that.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return imports.need(name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence log messages, warnings and progress lines inside the block; errors still come through.

    The exporter and the quantizer say in passing what they skip, and advise steps that we take anyway; the
    root logger, which they may furnish with a handler to stderr, is left as it was.

    Yields
    ------
    None
        It is quiet until the block ends.

    Notes
    -----
    What is silenced belongs to the process. Where blocks of several threads overlap, the first one silences
    and the last one puts back: each for itself would put back the silence of another one, for good.
    """
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()


class _Silence:
    """Holds from the first ``begin`` to the last ``end``, whichever threads they come from."""

    def __init__(self) -> None:
        self._alone, self._inside, self._stack = threading.Lock(), 0, contextlib.ExitStack()

    def begin(self) -> None:
        with self._alone:
            if not self._inside:
                self._stack = _silenced()
            self._inside += 1

    def end(self) -> None:
        with self._alone:
            self._inside -= 1
            if not self._inside:
                self._stack.close()


_SILENCE = _Silence()


def _silenced() -> contextlib.ExitStack:
    """Silence the process until the stack is closed."""
    stack, sink = contextlib.ExitStack(), io.StringIO()
    stack.callback(_put_back, list(logging.root.handlers), logging.root.manager.disable)
    stack.enter_context(warnings.catch_warnings())
    stack.enter_context(contextlib.redirect_stdout(sink))
    stack.enter_context(contextlib.redirect_stderr(sink))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    return stack


def _put_back(handlers: list[logging.Handler], level: int) -> None:
    logging.disable(level)
    logging.root.handlers[:] = handlers
