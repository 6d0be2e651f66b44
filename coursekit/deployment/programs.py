"""A program of its own that answers pictures: started, asked, timed, and ended for certain."""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments

__all__ = ["QUIET", "Program"]

SECONDS = 120.0  # the most that a program may take for one answer
LAST_WORDS = 300  # characters of what it said that a message repeats
# Nobody is told that these programs run, and none of them takes more than one thread.
QUIET = {"ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Program:
    """A running program that has answered all pictures, as ``Runtime.open`` starts it.

    Parameters
    ----------
    command : sequence of str
        What is started.
    environment : mapping of str to str, optional
        Variables that it gets beside this process' own.

    Raises
    ------
    RuntimeError
        With its own last words, if it does not start, or ends before it has answered.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by _end)
        start = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                env={**os.environ, **QUIET, **(environment or {})},
                text=True,
            )
        except OSError as error:
            self._words.close()
            raise RuntimeError(f"{command[0]} does not start: {error.strerror}") from None
        self._close = weakref.finalize(self, _end, self._process, self._words)
        _, _, version = self._line().partition(" ")
        self._start_seconds = time.perf_counter() - start
        self._version = version
        self._labels = np.array([int(self._number(word)) for word in self._line().split()])

    @property
    def version(self) -> str:
        """Who answers."""
        return self._version

    @property
    def start_seconds(self) -> float:
        """From the start of the program to its first answer."""
        return self._start_seconds

    @property
    def labels(self) -> NDArray[Any]:
        """Its answers to all pictures, int64 [n]."""
        return self._labels

    def seconds(self, calls: int) -> float:
        """Return what one answer takes, as the mean of so many calls in a row.

        Parameters
        ----------
        calls : int
            How many.

        Returns
        -------
        float
            Seconds.

        Raises
        ------
        TypeError, ValueError
            For what is no number of calls.
        RuntimeError
            If it was closed, or fails.
        """
        calls = arguments.size("calls", calls)
        if not self._close.alive:
            raise RuntimeError("this program was closed; open it again")
        assert self._process.stdin is not None  # a pipe, as asked for
        try:
            self._process.stdin.write(f"{calls}\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failed() from None
        return self._number(self._line())

    def close(self) -> None:
        """End the program; doing so twice does no harm."""
        self._close()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{self.version}, first answer after {self.start_seconds:.2g} s"

    def _line(self) -> str:
        assert self._process.stdout is not None
        timer = threading.Timer(SECONDS, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line.strip():
            raise self._failed()
        return line.strip()

    def _number(self, word: str) -> float:
        try:
            return float(word)
        except ValueError:
            self.close()
            raise RuntimeError(f"the program answered {word[:LAST_WORDS]!r} in place of a number") from None

    def _failed(self) -> RuntimeError:
        self._process.kill()
        code = self._process.wait()
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").splitlines()
        said = next((line.strip() for line in reversed(lines) if line.strip()), f"it ended with code {code}")
        self.close()
        return RuntimeError(f"the program gave no answer: {said[:LAST_WORDS]}")


def _end(process: subprocess.Popen[str], words: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, words):
        if stream is not None:
            _closed(stream)


def _closed(stream: Any) -> None:
    with contextlib.suppress(OSError):  # what was still to be written finds nobody
        stream.close()
