"""Results that outlive the kernel: one row per variant, labelled with the machine that measured it."""

import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coursekit import runtime
from coursekit._core import arguments, display, log

__all__ = ["HEADERS", "Cleared", "Entry", "Group", "Scoreboard", "clear", "grouped", "record", "table"]

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
    sitting : str
        What was measured together carries the same name; "" in files of older versions.
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
    sitting: str = ""

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
    """What one machine measured in one sitting, fastest first."""

    machine: str
    fingerprint: str
    here: bool
    entries: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Which notebook measured it and when, and on which machine."""
        newest = max(self.entries, key=lambda entry: entry.time)
        when = newest.time[:16].replace("T", " ")
        where = "this machine" if self.here else "another machine"
        return f"notebook {newest.notebook}, {when} UTC; {where}: {self.machine}"

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table's rows, one per variant."""
        return [entry.row() for entry in self.entries]


@dataclass(frozen=True, repr=False)
class Scoreboard(display.Shown):
    """The newest results of every notebook, by machine and sitting: this machine and the newest first.

    Sittings are never ranked together: between two of them the machine has changed its clock, its load and
    its heat, and often the network is another one as well.
    """

    groups: tuple[Group, ...]

    @property
    def here(self) -> dict[str, Entry]:
        """The newest entry of every variant on this machine, by the variant's name."""
        entries = [entry for group in reversed(self.groups) if group.here for entry in group.entries]
        return {entry.variant: entry for entry in sorted(entries, key=lambda entry: entry.time)}

    def __str__(self) -> str:
        if not self.groups:
            return _EMPTY
        tables = [f"{g.title}\n{display.table_text(HEADERS, g.rows, left=LEFT)}" for g in self.groups]
        return "\n\n".join([*tables, *self._note])

    def _repr_html_(self) -> str:
        if not self.groups:
            return display.card_html("Scoreboard", [_EMPTY], "quiet")
        tables = [display.table_html(HEADERS, g.rows, g.title, left=LEFT) for g in self.groups]
        return "".join([*tables, *(f"<div>{note}</div>" for note in self._note)])

    @property
    def _note(self) -> list[str]:
        return [NOT_RANKED] if len(self.groups) > 1 else []


NOT_RANKED = "Fastest first inside each table only: times of two sittings cannot be compared."
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

    In the table a newer result of the same variant, notebook, machine and device takes the older one's place;
    the file keeps both. What one kernel records for one notebook is one sitting, until a variant comes again.

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
    title, place, book = _name(variant), _device(device, latency), _notebook(notebook)
    entry = Entry(
        title,
        _size(size_bytes),
        *_latency(latency),
        *_accuracy(accuracy),
        notebook=book,
        device=place,
        machine=machine.label,
        fingerprint=machine.fingerprint,
        versions=dict(machine.versions),
        time=log.now(),
        sitting=_NOW.sitting(title, place, book),
    )
    LOG.append(asdict(entry))
    return entry


def table() -> Scoreboard:
    """Return the newest results of every notebook, grouped by sitting, fastest first within each sitting.

    Returns
    -------
    Scoreboard
        This machine first, and of each machine the newest sitting.

    Raises
    ------
    OSError
        If the file is there and cannot be read. A full disk or a read-only folder does not prevent reading.
    """
    return grouped(LOG.entries(), runtime.describe().fingerprint)


def grouped(entries: Iterable[Entry], here: str) -> Scoreboard:
    """Return the newest of ``entries``, grouped as ``table`` groups them.

    Parameters
    ----------
    entries : iterable of Entry
        What was recorded, oldest first.
    here : str
        The fingerprint of the machine that comes first.

    Returns
    -------
    Scoreboard
        The groups.
    """
    newest: dict[tuple[str, str, str, str], Entry] = {}
    for entry in arguments.instances("entries", entries, Entry, empty=True):
        place = (entry.fingerprint, entry.notebook, entry.device, entry.variant)
        newest.pop(place, None)
        newest[place] = entry
    arguments.label("here", here)
    sittings: dict[tuple[str, str], list[Entry]] = {}
    for entry in reversed(newest.values()):
        sittings.setdefault((entry.fingerprint, _sitting(entry)), []).append(entry)
    prints = list(dict.fromkeys(fingerprint for fingerprint, _ in sittings))
    ordered = sorted(sittings, key=lambda key: (key[0] != here, prints.index(key[0])))
    return Scoreboard(tuple(_group(sittings[key][::-1], here) for key in ordered))


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


def _group(entries: Iterable[Entry], here: str) -> Group:
    ranked = sorted(entries, key=lambda entry: entry.latency)
    first = ranked[0]
    return Group(first.machine, first.fingerprint, first.fingerprint == here, tuple(ranked))


def _sitting(entry: Entry) -> str:
    """Return what an entry was measured together with; older versions kept no more than notebook and day."""
    return entry.sitting or f"{entry.notebook} {entry.time[:10]}"


@dataclass
class _Now:
    """The sitting of this process: it ends when a variant comes again, or for another notebook."""

    name: str = ""
    notebook: str = ""
    recorded: set[tuple[str, str]] = field(default_factory=set)

    def sitting(self, variant: str, device: str, notebook: str) -> str:
        """Return the name of the sitting that this result belongs to."""
        if not self.name or notebook != self.notebook or (variant, device) in self.recorded:
            self.name, self.notebook, self.recorded = secrets.token_hex(4), notebook, set()
        self.recorded.add((variant, device))
        return self.name


_NOW = _Now()


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
        sitting=str(fields.get("sitting", "")),
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
