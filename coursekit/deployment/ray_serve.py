"""The same network behind Ray Serve: in a process and a folder of its own, asked, and ended for certain."""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coursekit import onnx_models
from coursekit._core import arguments, display, recordings
from coursekit.deployment.runtimes import FEATURES, HERE

__all__ = ["APP", "RECORDED", "ClusterRow", "ClusterRun", "app_source", "cluster", "recorded_cluster"]

RECORDED = "recorded-cluster.json"
APP = HERE / "cluster_app.txt"  # a module only where Ray is: no other Python may import it
ADVICE = 'pip install "ray[serve]==2.60.0"'
TRIED = ((1, 1), (2, 1), (1, 8), (2, 8))
SECONDS = 400.0
LAST_WORDS = 300
# No token in the home, no report, and a name by which every process that belongs to it is found at the end.
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "ORT_DISABLE_TELEMETRY": "1"}
MARK = "COURSEKIT_CLUSTER"


@dataclass(frozen=True)
class ClusterRow:
    """So many requests at once, to so many replicas.

    Parameters
    ----------
    replicas, batch : int
        How many there were, and how many requests one takes at most.
    requests, right : int
        How many were sent, and how many were answered as the network alone answers them.
    seconds : float
        From the first request to the last answer.
    again : int, optional
        How many were sent again, because their replica had been killed.

    Raises
    ------
    TypeError, ValueError
        Unless they are such values.
    """

    replicas: int
    batch: int
    requests: int
    right: int
    seconds: float
    again: int = 0

    def __post_init__(self) -> None:
        for name in ("replicas", "batch", "requests"):
            arguments.size(name, getattr(self, name))
        arguments.integer("right", self.right, 0, self.requests)
        arguments.positive("seconds", self.seconds, "seconds")
        arguments.integer("again", self.again, 0)

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, repr=False)
class ClusterRun(display.Tabled):
    """What Ray Serve did on one machine.

    Parameters
    ----------
    version : str
        Ray's.
    start : float
        Seconds until the first replica could be asked.
    rows : tuple of ClusterRow
        One for each number of replicas and batch.
    killed : ClusterRow
        The last of them again, with a replica that hangs for a moment under load and is killed.
    machine, day : str, optional
        Where and when, if it was not a moment ago.
    """

    version: str
    start: float
    rows: tuple[ClusterRow, ...]
    killed: ClusterRow
    machine: str = ""
    day: str = ""

    def __post_init__(self) -> None:
        arguments.text("version", self.version)
        arguments.positive("start", self.start, "seconds")
        arguments.instances("rows", self.rows, ClusterRow)
        arguments.instance("killed", self.killed, ClusterRow)

    def json(self) -> str:
        """Return the file that ``recorded_cluster`` reads.

        Returns
        -------
        str
            The file's text.
        """
        found = {**vars(self), "rows": [vars(row) for row in self.rows], "killed": vars(self.killed)}
        return json.dumps(found, indent=1) + "\n"

    def _table(self) -> display.Table:
        headers = (self.version, "batches of up to", "answers per second", "right answers", "asked again")
        rows = [(_counted(row.replicas), row) for row in self.rows]
        rows.append((f"{_counted(self.killed.replicas)}, one killed", self.killed))
        cells = [
            (name, str(row.batch), f"{row.throughput:.0f}", f"{row.right} of {row.requests}", str(row.again))
            for name, row in rows
        ]
        notes = [f"Ready after {display.seconds(self.start, 2)}."]
        notes += [f"Recorded on {self.machine}, {self.day}."] if self.machine else []
        return display.Table(headers, cells, notes=notes)


def cluster(path: str | Path, x: Any, tried: Sequence[tuple[int, int]] = TRIED) -> ClusterRun:
    """Serve a network with Ray Serve on this machine, measure, kill a replica under load, and end all of it.

    Parameters
    ----------
    path : path
        An ONNX file from pictures [n, 64] to logits.
    x : array_like
        One picture per request, float32 [n, 64]; all are sent at once.
    tried : sequence of tuple of 2 int, optional
        Numbers of replicas, each with the most requests that one takes at a time.

    Returns
    -------
    ClusterRun
        What came of it.

    Raises
    ------
    ImportError
        If Ray Serve is not here, with the line that gets it.
    TypeError, ValueError, FileNotFoundError
        For a file that is no such network, or other numbers.
    RuntimeError
        With Ray's own words, if it fails.
    """
    if not isinstance(tried, tuple | list):
        raise TypeError(f"tried must be a list of pairs; got {arguments.shown(tried)}")
    pairs = [_pair(each) for each in tried]
    runner = onnx_models.load(path, device="cpu")
    pictures = arguments.array("x", x, np.float32, 2)
    if not len(pictures) or pictures.shape[1] != FEATURES or not pairs:
        raise ValueError(f"x must have shape [n, {FEATURES}], and tried a pair; got {pictures.shape}")
    expected = runner.labels(pictures)
    if importlib.util.find_spec("ray") is None:
        raise ImportError(f"Ray is not installed. To get it: {ADVICE}")
    # Not a longer name: what Ray calls its sockets has to fit into 107 characters.
    with tempfile.TemporaryDirectory(prefix="ck-", ignore_cleanup_errors=True) as folder:
        np.save(Path(folder, "x.npy"), pictures)
        shutil.copyfile(APP, Path(folder, "cluster_app.py"))
        try:
            told = _driven(folder, [str(runner.path.absolute()), f"{folder}/x.npy", json.dumps(pairs)])
        finally:
            _end_all(folder)
    killed = {**told["rows"][-1], **told["killed"]}
    rows = tuple(_row(row, expected) for row in told["rows"])
    return ClusterRun(told["version"], told["rows"][0]["start"], rows, _row(killed, expected))


def app_source() -> str:
    """Return the program that Ray Serve runs in each replica.

    Returns
    -------
    str
        Python.
    """
    return APP.read_text(encoding="utf-8")


def recorded_cluster() -> ClusterRun:
    """Return what Ray Serve did when it was measured for the course.

    Returns
    -------
    ClusterRun
        With the machine's name.

    Raises
    ------
    ValueError
        Names the file and what is wrong with it.
    """
    return recordings.read(Path(__file__).with_name(RECORDED), _cluster)


def _cluster(found: dict[str, Any]) -> ClusterRun:
    rows = tuple(ClusterRow(**row) for row in found["rows"])
    return ClusterRun(**{**found, "rows": rows, "killed": ClusterRow(**found["killed"])})


def _row(told: Mapping[str, Any], expected: Any) -> ClusterRow:
    right = int((np.array(told["labels"]) == expected).sum())
    numbers = told["replicas"], told["batch"], len(expected), right
    return ClusterRow(*numbers, told["seconds"], told.get("again", 0))


def _driven(folder: str, given: list[str]) -> dict[str, Any]:
    paths = json.dumps(sys.path)
    command = [sys.executable, "-I", "-W", "ignore", str(HERE / "cluster_driver.py"), paths, folder, *given]
    # Its workers look for what they import here, not in the options of this process.
    found = os.pathsep.join([folder, *sys.path])
    own = {MARK: folder, "HOME": folder, "RAY_TMPDIR": folder, "TMPDIR": folder, "PYTHONPATH": found}
    said, words = Path(folder, "said"), Path(folder, "words")
    # Files, not pipes: a process that outlives its parent holds a pipe open, and whoever reads it waits.
    with said.open("wb") as out, words.open("wb") as err:
        environment = {**os.environ, **QUIET, **own}
        running = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment)
        try:
            code = running.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"Ray Serve did not end within {SECONDS:.0f} s") from None
        finally:
            running.kill()
            running.wait()
    if code:
        lines = [line.strip() for line in words.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(f"Ray Serve failed: {(lines or ['no word'])[-1][:LAST_WORDS]}")
    return json.loads(said.read_text(encoding="utf-8").splitlines()[-1])


def _end_all(folder: str) -> None:
    """Kill every process that belongs to the folder, wherever in the tree of processes it stands."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == folder:
                process.kill()
                process.wait(5)


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"tried must hold pairs of replicas and batch; got {arguments.shown(value)}")
    return arguments.size("replicas", value[0], most=64), arguments.size("batch", value[1])


def _counted(replicas: int) -> str:
    return f"{replicas} replica{'s' * (replicas > 1)}"
