"""Get ONNX's packages, and keep their chatter away: a notebook's stderr stays empty."""

import contextlib
import io
import logging
import os
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
    """
    handlers, level = list(logging.root.handlers), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        sink = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        logging.root.handlers[:] = handlers
