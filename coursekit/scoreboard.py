"""Results that outlive the kernel: one row per variant, labelled with the machine that measured it."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coursekit import runtime
from coursekit._core import arguments, display, log

__all__ = ["HEADERS", "Cleared", "Entry", "Group", "Scoreboard", "clear", "record", "table"]

HEADERS = ("variant", "device", "size", "latency", "accuracy", "notebook")
LEFT = 2  # columns of words, left-aligned
LONGEST_NAME = 60  # characters
LARGEST_SIZE = 2**63 - 1  # bytes: no file can be larger
_QUARTILES = (25, 75)
_NUMBERED = re.compile(r"(\d{1,2})(-.*)?", re.ASCII)  # "5", "05", "05-pytorch-dynamic-quantization"


@dataclass(frozen=True, repr=False)
class Entry(display.Shown):
    """One measured variant, as ``record`` keeps it.

    Attributes
    ----------
    variant, notebook, device, machine, fingerprint, time : str
        What was measured, from which notebook, where and when (UTC).
    size_bytes : int
        In bytes.
    latency, latency_low, latency_high : float
        Seconds per call: the median and its quartiles, which are None where only a number was given.
    accuracy, accuracy_low, accuracy_high : float
        Fractions: the accuracy and its interval, which is None where only a number was given.
    versions : dict
        The packages' versions.
    """

    variant: str
    size_bytes: int
    latency: float
    latency_low: float | None
    latency_high: float | None
    accuracy: float
    accuracy_low: float | None
    accuracy_high: float | None
    notebook: str
    device: str
    machine: str
    fingerprint: str
    versions: dict[str, str]
    time: str

    def row(self) -> tuple[str, ...]:
        """Return what the table shows, in the order of HEADERS.

        Returns
        -------
        tuple of str
            One text per column.
        """
        latency = _spread(self.latency, self.latency_low, self.latency_high, display.seconds)
        accuracy = _spread(self.accuracy, self.accuracy_low, self.accuracy_high, _percent)
        return self.variant, self.device, display.size(self.size_bytes), latency, accuracy, self.notebook

    def __str__(self) -> str:
        variant, device, *numbers, notebook = self.row()
        return f"{variant} ({device}): {', '.join(numbers)}; recorded from notebook {notebook}"


@dataclass(frozen=True, repr=False)
class Group:
    """The variants that one machine measured, fastest first."""

    machine: str
    fingerprint: str
    here: bool
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """The machine's name, saying whether it is this one."""
        return f"this machine: {self.machine}" if self.here else f"another machine: {self.machine}"

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table's rows, one per variant."""
        return [entry.row() for entry in self.entries]


@dataclass(frozen=True, repr=False)
class Scoreboard(display.Shown):
    """The newest result of every variant, by machine, this one first; machines are never ranked together."""

    groups: tuple[Group, ...]

    @property
    def here(self) -> dict[str, Entry]:
        """The newest entry of every variant on this machine, by the variant's name."""
        entries = [entry for group in self.groups if group.here for entry in group.entries]
        return {entry.variant: entry for entry in sorted(entries, key=lambda entry: entry.time)}

    def __str__(self) -> str:
        if not self.groups:
            return _EMPTY
        return "\n\n".join(
            f"{group.title}\n{display.table_text(HEADERS, group.rows, left=LEFT)}" for group in self.groups
        )

    def _repr_html_(self) -> str:
        if not self.groups:
            return display.card_html("Scoreboard", [_EMPTY], "quiet")
        return "".join(
            display.table_html(HEADERS, group.rows, group.title, left=LEFT) for group in self.groups
        )


_EMPTY = (
    "The scoreboard is empty. It fills when a notebook calls scoreboard.record(…): "
    "run notebook 05 from top to bottom, then come back."
)


@dataclass(frozen=True, repr=False)
class Cleared(display.Shown):
    """What ``clear`` did: how many records it took off the board and where they are kept."""

    records: int
    backup: Path | None

    def __str__(self) -> str:
        if self.backup is None:
            return "The scoreboard was empty already."
        return f"The scoreboard is empty. Its records ({self.records}) are kept in {self.backup}."


def record(
    variant: str, *, size_bytes: int, latency: Any, accuracy: Any, notebook: str | int, device: Any = None
) -> Entry:
    """Keep one result and return it as it will stand on the board.

    In the table a newer result of the same variant, machine and device takes the older one's place; the file
    keeps both.

    Parameters
    ----------
    variant : str
        A name of one line, such as "int8-dynamic".
    size_bytes : int
        How large it is on the disk, in bytes.
    latency : float or timing.Measurement
        Seconds per call.
    accuracy : float or accuracy.Accuracy
        A fraction from 0 to 1.
    notebook : int or str
        A number, or the name of any notebook: 5, "05", "dashboard" or "my-topic".
    device : str or torch.device, optional
        "cpu" or "cuda". By default where the Measurement says it ran; for a plain number, what
        ``runtime.device`` chooses.

    Returns
    -------
    Entry
        With this machine, the versions and the time.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, before anything is written.
    TimeoutError
        If another kernel holds the file.
    OSError
        If the disk is full or the results folder cannot be written.
    """
    machine = runtime.describe()
    entry = Entry(
        _name(variant),
        _size(size_bytes),
        *_latency(latency),
        *_accuracy(accuracy),
        notebook=_notebook(notebook),
        device=_device(device, latency),
        machine=machine.label,
        fingerprint=machine.fingerprint,
        versions=dict(machine.versions),
        time=log.now(),
    )
    LOG.append(asdict(entry))
    return entry


def table() -> Scoreboard:
    """Return the newest result of every variant, grouped by machine, fastest first within each machine.

    Returns
    -------
    Scoreboard
        This machine first.

    Raises
    ------
    OSError
        If the file is there and cannot be read. A full disk or a read-only folder does not prevent reading.
    """
    newest: dict[tuple[str, str, str], Entry] = {}
    for entry in LOG.entries():
        place = (entry.fingerprint, entry.device, entry.variant)
        newest.pop(place, None)
        newest[place] = entry
    here = runtime.describe().fingerprint
    prints = dict.fromkeys(entry.fingerprint for entry in reversed(newest.values()))
    ordered = sorted(prints, key=lambda fingerprint: fingerprint != here)
    return Scoreboard(tuple(_group(fingerprint, newest.values(), here) for fingerprint in ordered))


def clear() -> Cleared:
    """Empty the board without asking.

    Returns
    -------
    Cleared
        How many records it held, and the name of the backup file that keeps them.

    Raises
    ------
    OSError
        If the results folder cannot be written.
    """
    return Cleared(*LOG.clear())


def _group(fingerprint: str, entries: Iterable[Entry], here: str) -> Group:
    mine = sorted(
        (entry for entry in entries if entry.fingerprint == fingerprint), key=lambda entry: entry.latency
    )
    return Group(mine[0].machine, fingerprint, fingerprint == here, tuple(mine))


def _entry(fields: Mapping[str, Any]) -> Entry:
    """Return the entry that a line of the file describes; unknown fields of newer versions are ignored.

    Errors: KeyError, TypeError or ValueError if the line does not describe one.
    """
    texts = {name: fields[name] for name in ("notebook", "device", "machine", "fingerprint", "time")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError(f"notebook, device, machine, fingerprint and time must be text; got {texts}")
    return Entry(
        variant=_name(fields["variant"]),
        size_bytes=_size(fields["size_bytes"]),
        latency=arguments.positive("latency", fields["latency"], "seconds"),
        latency_low=_optional(fields, "latency_low"),
        latency_high=_optional(fields, "latency_high"),
        accuracy=arguments.real("accuracy", fields["accuracy"], 0, 1),
        accuracy_low=_optional(fields, "accuracy_low"),
        accuracy_high=_optional(fields, "accuracy_high"),
        versions={str(name): str(version) for name, version in dict(fields["versions"]).items()},
        **texts,
    )


LOG = log.Log("scoreboard", runtime.home, check=_entry)


def _optional(fields: Mapping[str, Any], name: str) -> float | None:
    return None if fields[name] is None else arguments.real(name, fields[name], 0)


def _name(variant: Any) -> str:
    return arguments.text("variant", variant, LONGEST_NAME)


def _size(nbytes: Any) -> int:
    return arguments.integer("size_bytes", nbytes, 1, LARGEST_SIZE)


def _notebook(notebook: Any) -> str:
    if not isinstance(notebook, str):
        return f"{arguments.integer('notebook', notebook, 1, 99):02d}"
    name = arguments.text("notebook", notebook, LONGEST_NAME)
    numbered = _NUMBERED.fullmatch(name)
    return f"{arguments.integer('notebook', int(numbered[1]), 1, 99):02d}" if numbered else name


def _latency(latency: Any) -> tuple[float, float | None, float | None]:
    """Return (median, lower, upper quartile) in seconds; the quartiles are None for a plain number."""
    if not _is_measurement(latency):
        return arguments.positive("latency", latency, "seconds"), None, None
    samples = arguments.array("latency.samples", latency.samples, np.float64)
    if samples.min() <= 0:
        raise ValueError(f"latency.samples must be more than 0 seconds; got {samples.min():g}")
    low, high = np.percentile(samples, _QUARTILES)
    return arguments.positive("latency.median", latency.median, "seconds"), float(low), float(high)


def _is_measurement(latency: Any) -> bool:
    return hasattr(latency, "median") and hasattr(latency, "samples")


def _accuracy(accuracy: Any) -> tuple[float, float | None, float | None]:
    if not hasattr(accuracy, "low") or not hasattr(accuracy, "high"):
        return arguments.real("accuracy (a fraction)", accuracy, 0, 1), None, None
    low, value, high = (
        arguments.real(f"accuracy.{n}", getattr(accuracy, n), 0, 1) for n in ("low", "value", "high")
    )
    if low > high:
        raise ValueError(f"accuracy must have low <= high; got an interval from {low} to {high}")
    return value, low, high


def _device(device: Any, latency: Any) -> str:
    # A number of numpy or torch has a device too, but that is where the number is.
    if device is None and _is_measurement(latency):
        device = latency.device
        if device is None:
            raise ValueError(
                "device must be 'cpu' or 'cuda' here: the process uses a GPU, so the latency cannot tell"
            )
    if device is None:
        # Only "auto" needs torch to find out.
        device = "cpu" if os.environ.get("COURSEKIT_DEVICE") == "cpu" else runtime.device().type
    return arguments.choice("device", runtime.kind_of(device), ("cpu", "cuda"))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _spread(value: float, low: float | None, high: float | None, show: Any) -> str:
    return show(value) if low is None or high is None else f"{show(value)} [{show(low)}, {show(high)}]"
