"""Results that outlive the kernel: one row per variant, labelled with the machine that measured it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coursekit import runtime
from coursekit._core import arguments, display, log

__all__ = ["Cleared", "Entry", "Group", "Scoreboard", "clear", "record", "table"]

HEADERS = ("variant", "device", "size", "latency", "accuracy", "notebook")
LEFT = 2  # columns of words, left-aligned
LONGEST_NAME = 60  # characters
_QUARTILES = (25, 75)


@dataclass(frozen=True, repr=False)
class Entry:
    """One measured variant: bytes, seconds per call, and the accuracy as a fraction.

    The bounds (quartiles of the latency, the accuracy's interval) are None where only a number was given.
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
        """Return what the table shows, in the order of HEADERS."""
        latency = _spread(self.latency, self.latency_low, self.latency_high, display.seconds)
        accuracy = _spread(self.accuracy, self.accuracy_low, self.accuracy_high, _percent)
        return self.variant, self.device, display.size(self.size_bytes), latency, accuracy, self.notebook

    def __str__(self) -> str:
        variant, device, *numbers, notebook = self.row()
        return f"{variant} ({device}): {', '.join(numbers)}; recorded from notebook {notebook}"

    __repr__ = __str__


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
class Scoreboard:
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

    __repr__ = __str__

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
class Cleared:
    """What ``clear`` did: how many records it took off the board and where they are kept."""

    records: int
    backup: Path | None

    def __str__(self) -> str:
        if self.backup is None:
            return "The scoreboard was empty already."
        return f"The scoreboard is empty. Its records ({self.records}) are kept in {self.backup}."

    __repr__ = __str__


def record(
    variant: str, *, size_bytes: int, latency: Any, accuracy: Any, notebook: str | int, device: Any = None
) -> Entry:
    """Keep one result and return it as it will stand on the board.

    ``latency`` is seconds per call or a ``timing.Measurement``, ``accuracy`` a fraction or an
    ``accuracy.Accuracy``, ``device`` "cpu" or "cuda" (default: where the Measurement says it ran,
    for a plain number what ``runtime.device`` chooses). In the table a newer result of the same variant,
    machine and device takes the older one's place; the file keeps both.
    Errors: TypeError or ValueError that names the argument; TimeoutError if another kernel holds the file.
    """
    machine = runtime.describe()
    entry = Entry(
        _name(variant),
        arguments.integer("size_bytes", size_bytes, 1),
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
    """Return the newest result of every variant, grouped by machine, fastest first within each machine."""
    newest: dict[tuple[str, str, str], Entry] = {}
    for entry in map(_entry, LOG.read()):
        place = (entry.fingerprint, entry.device, entry.variant)
        newest.pop(place, None)
        newest[place] = entry
    here = runtime.describe().fingerprint
    prints = dict.fromkeys(entry.fingerprint for entry in reversed(newest.values()))
    ordered = sorted(prints, key=lambda fingerprint: fingerprint != here)
    return Scoreboard(tuple(_group(fingerprint, newest.values(), here) for fingerprint in ordered))


def clear() -> Cleared:
    """Empty the board without asking; the old records stay in a backup file, whose name is in the answer."""
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
        size_bytes=arguments.integer("size_bytes", fields["size_bytes"], 1),
        latency=_seconds("latency", fields["latency"]),
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
    if not isinstance(variant, str):
        raise TypeError(
            f"variant must be a name such as 'int8-dynamic'; got {variant!r} ({type(variant).__name__})"
        )
    if not variant.strip() or not variant.isprintable() or len(variant) > LONGEST_NAME:
        raise ValueError(f"variant must be one line of 1 to {LONGEST_NAME} characters; got {variant!r}")
    return variant.strip()


def _notebook(notebook: Any) -> str:
    if isinstance(notebook, str) and not notebook[:2].isdigit():
        return arguments.choice("notebook (a number such as '05', or 'dashboard')", notebook, ["dashboard"])
    number = int(notebook[:2]) if isinstance(notebook, str) else notebook
    return f"{arguments.integer('notebook', number, 1, 99):02d}"


def _latency(latency: Any) -> tuple[float, float | None, float | None]:
    """Return (median, lower, upper quartile) in seconds; the quartiles are None for a plain number."""
    if not _is_measurement(latency):
        return _seconds("latency", latency), None, None
    low, high = np.percentile(arguments.array("latency.samples", latency.samples, np.float64), _QUARTILES)
    return _seconds("latency.median", latency.median), float(low), float(high)


def _is_measurement(latency: Any) -> bool:
    return hasattr(latency, "median") and hasattr(latency, "samples")


def _seconds(name: str, value: Any) -> float:
    seconds = arguments.real(name, value)
    if seconds <= 0:
        raise ValueError(f"{name} must be more than 0 seconds; got {seconds}")
    return seconds


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
        device = "cpu" if os.environ.get("COURSEKIT_DEVICE") == "cpu" else runtime.device()
    return arguments.choice("device", str(device).split(":")[0], ("cpu", "cuda"))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _spread(value: float, low: float | None, high: float | None, show: Any) -> str:
    return show(value) if low is None or high is None else f"{show(value)} [{show(low)}, {show(high)}]"
