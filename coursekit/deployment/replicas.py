"""Several processes that answer for the same network: one queue, batches, and what happens if one dies."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import onnx_models
from coursekit._core import arguments, display
from coursekit.deployment import answering_batches
from coursekit.deployment.programs import QUIET
from coursekit.deployment.runtimes import FEATURES

__all__ = ["Load", "Replicas"]

MOST_REPLICAS, MOST_BATCH = 16, 1024
MOST_DEATHS = 3  # of one replica during one load: then it is not chance
LABEL, NUMBER = 8, 4  # bytes of an int64 and of a float32


@dataclass(frozen=True, repr=False)
class Load(display.Text):
    """What came of requests that all came at once.

    Parameters
    ----------
    labels : ndarray
        The answers, int64 [n].
    seconds : float
        From the first request to the last answer.
    by_replica : tuple of int
        How many requests each replica answered.
    again : int
        How many requests were handed out a second time, because their replica had died.
    """

    labels: NDArray[np.int64]
    seconds: float
    by_replica: tuple[int, ...]
    again: int

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return len(self.labels) / self.seconds

    def __str__(self) -> str:
        shares = " + ".join(map(str, self.by_replica))
        text = f"{len(self.labels)} answers ({shares}) in {display.seconds(self.seconds)}"
        return f"{text}: {self.throughput:,.0f} per second" + f", {self.again} asked again" * bool(self.again)


class Replicas(display.Text):
    """Processes that answer single requests in batches, for the same network; close them, or use a block.

    Parameters
    ----------
    path : path
        An ONNX file from pictures [n, 64] to logits.
    count : int, optional
        How many processes, each with one thread.
    max_batch : int, optional
        The most requests that a replica takes at once.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        For other numbers, or a file that is no such network.
    """

    def __init__(self, path: str | Path, count: int = 2, *, max_batch: int = 8) -> None:
        self.count = arguments.size("count", count, most=MOST_REPLICAS)
        self.max_batch = arguments.size("max_batch", max_batch, most=MOST_BATCH)
        runner = onnx_models.load(path, device="cpu")
        if [(kind, ndim) for _, kind, ndim in runner.inputs] != [("float32", 2)]:
            raise ValueError(f"path must be a network of float32 [n, {FEATURES}]; got {runner.path.name}")
        self._file = runner.path.absolute()
        self._processes = [self._started() for _ in range(self.count)]
        self._close = weakref.finalize(self, _end, self._processes)
        self.serve(np.zeros((self.count * self.max_batch, FEATURES), np.float32))  # all of them are awake

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of the processes now."""
        return tuple(process.pid for process in self._processes)

    def serve(self, x: Any, *, kill_after: int | None = None) -> Load:
        """Answer requests that come all at once.

        Parameters
        ----------
        x : array_like
            One picture per request, float32 [n, 64].
        kill_after : int, optional
            After so many answers the replica that takes the next batch is killed, as by a power cut.

        Returns
        -------
        Load
            A label for each request.

        Raises
        ------
        TypeError, ValueError
            For pictures of another shape.
        RuntimeError
            If the replicas were closed, or one of them dies again and again.
        """
        pictures = np.ascontiguousarray(arguments.array("x", x, np.float32, 2))
        if not len(pictures) or pictures.shape[1] != FEATURES:
            raise ValueError(f"x must have shape [n, {FEATURES}]; got {pictures.shape}")
        if kill_after is not None:
            kill_after = arguments.integer("kill_after", kill_after, 0, len(pictures) - 1)
        if not self._close.alive:
            raise RuntimeError("these replicas were closed; make new ones")
        work = _Work(pictures, self.max_batch, kill_after)
        threads = [
            threading.Thread(target=self._work, args=(n, work), daemon=True) for n in range(self.count)
        ]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if work.error is not None:
            raise work.error
        shares = tuple(work.answered[n] for n in range(self.count))
        return Load(work.labels, time.perf_counter() - start, shares, work.again)

    def close(self) -> None:
        """End the processes; doing so twice does no harm."""
        self._close()

    def __enter__(self) -> "Replicas":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __str__(self) -> str:
        many = "s" * (self.count > 1)
        return f"{self.count} replica{many} of {self._file.name}, batches of up to {self.max_batch}"

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-W", "ignore", answering_batches.__file__]
        return subprocess.Popen(
            [*command, json.dumps(sys.path), str(self._file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **QUIET},
        )

    def _work(self, number: int, work: "_Work") -> None:
        """Hand out batches until none is left; if a replica dies, its batch goes back and another starts."""
        deaths = 0
        while batch := work.take():
            if work.kills():
                self._processes[number].kill()
            try:
                work.keep(number, batch, _asked(self._processes[number], work.pictures[batch]))
            except OSError:
                work.give_back(batch)
                _end([self._processes[number]])
                deaths += 1
                if deaths > MOST_DEATHS:
                    work.fail(RuntimeError(f"a replica of {self._file.name} died {deaths} times"))
                    return
                self._processes[number] = self._started()


class _Work:
    """The requests of one load, shared by the threads that hand them out."""

    def __init__(self, pictures: NDArray[Any], most: int, kill_after: int | None) -> None:
        self.pictures, self.most = pictures, most
        self.waiting = deque(range(len(pictures)))
        self.labels = np.full(len(pictures), -1)
        self.answered: Counter[int] = Counter()
        self.again = 0
        self.error: Exception | None = None
        self._kill_after = kill_after
        self._changed = threading.Condition()
        self._open = len(pictures)

    def take(self) -> list[int]:
        """Return the next batch, an empty one when all is answered; who finds none waits for the others."""
        with self._changed:
            while not self.waiting and self._open and self.error is None:
                self._changed.wait()
            most = self.most if self.error is None else 0
            return [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]

    def kills(self) -> bool:
        """Tell one replica, once, that it is the one to die."""
        with self._changed:
            due = self._kill_after is not None and self.answered.total() >= self._kill_after
            if due:
                self._kill_after = None
            return due

    def keep(self, number: int, batch: list[int], labels: NDArray[Any]) -> None:
        """Take a batch's labels."""
        with self._changed:
            self.labels[batch] = labels
            self.answered[number] += len(batch)
            self._open -= len(batch)
            self._changed.notify_all()

    def give_back(self, batch: list[int]) -> None:
        """Put a batch back to the front."""
        with self._changed:
            self.waiting.extendleft(reversed(batch))
            self.again += len(batch)
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """End the work: nobody can do it."""
        with self._changed:
            self.error = error
            self._changed.notify_all()


def _asked(process: subprocess.Popen[bytes], x: NDArray[Any]) -> NDArray[Any]:
    assert process.stdin is not None  # pipes, as asked for
    assert process.stdout is not None
    process.stdin.write(len(x).to_bytes(NUMBER, "little") + x.tobytes())
    process.stdin.flush()
    found = process.stdout.read(LABEL * len(x))
    if len(found) < LABEL * len(x):
        raise OSError("the replica died")
    return np.frombuffer(found, np.int64)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _closed(stream)


def _closed(stream: Any) -> None:
    with contextlib.suppress(OSError):  # what was still to be written finds nobody
        stream.close()
