"""Records that outlive the kernel: JSON lines in the results folder, safe with several kernels at once.

Each change writes the whole new file beside the old one and then swaps the two (``os.replace``), under a
lock. So whoever is killed at any moment leaves the old records or the new ones, never half a line, and
readers need no lock: a full disk, a read-only folder or a hung kernel does not keep anybody from reading.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from coursekit._core import files, plain_json
from coursekit._core.folders import UnwritableFolder

with warnings.catch_warnings():  # where the system has no locks, filelock says so when it is imported
    warnings.simplefilter("ignore", UserWarning)
    import filelock

__all__ = ["Log", "Record", "now"]

Record = dict[str, Any]

TIMEOUT = 20.0  # seconds; a write takes milliseconds, so only a hung process holds the lock for longer
POLL = 0.005  # seconds between two tries for the lock
# Windows lets nobody replace a file that somebody reads. Elsewhere a reader keeps the file that was there.
_READERS_HINDER = os.name == "nt"
# Python in a browser's tab has no locks that end with their process: a file in their place would outlive a
# closed tab and hold every later one up. There is one kernel, and what it writes is swapped in whole.
_LOCKS = filelock.FileLock is not filelock.SoftFileLock
_BOM = b"\xef\xbb\xbf"  # some editors put it in front


def _any_record(record: Mapping[str, Any]) -> object:
    return record


def now() -> str:
    """Return the present UTC time as text, e.g. ``2026-11-20T18:30:05+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class _Line(NamedTuple):
    """One line of the file, the record in it, and what ``check`` made of that."""

    raw: bytes
    record: Record
    checked: Any


@dataclass(frozen=True)
class Log:
    """A file of records, oldest first.

    Attributes
    ----------
    name : str
        The file's name, without its ending.
    folder : callable
        Returns the folder that the file is in, made when missing.
    check : callable
        Takes a record and raises ValueError, TypeError or KeyError if this log cannot hold it. ``entries``
        returns what it returns.
    key : tuple of str
        A new record takes the place of older ones that agree with it in these fields; without a key, all are
        kept.
    """

    name: str
    folder: Callable[[], Path]
    check: Callable[[Mapping[str, Any]], object] = _any_record
    key: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the records are: a file in ``folder()``."""
        return self.folder() / self._file

    def append(self, record: Mapping[str, Any]) -> None:
        """Add ``record``; when this returns, it is on the disk, as far as the disk keeps its word.

        Raises
        ------
        TypeError, ValueError, KeyError
            If the record is not plain JSON, holds a number that no float can, or fails ``check``.
        TimeoutError
            If another process holds the lock.
        OSError
            If the disk is full or the folder cannot be written.
        """
        line = json.dumps(record, allow_nan=False).encode()
        self.check(plain_json.parsed(line))
        with self._locked() as path:
            files.replace(path, self._kept(path, record) + line + b"\n")

    def read(self) -> list[Record]:
        """Return all records, oldest first.

        A damaged file is moved aside with a warning; the records that can be read stay in use.

        Raises
        ------
        OSError
            If the file cannot be read.
        """
        return [line.record for line in self._lines()]

    def entries(self) -> list[Any]:
        """Return what ``check`` made of each record, oldest first; each is checked once. As ``read``."""
        return [line.checked for line in self._lines()]

    def remove(self, unwanted: Callable[[Record], bool]) -> None:
        """Drop the records for which ``unwanted`` is true; nothing is written if there are none.

        Raises
        ------
        OSError
            As ``append``.
        """
        with self._locked() as path:
            lines = self._load(path)
            kept = [line.raw for line in lines if not unwanted(line.record)]
            if len(kept) < len(lines):
                files.replace(path, _joined(kept))

    def merge(self, records: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Take in records from elsewhere, in one step; doing so again changes nothing.

        A record that agrees with one of ours in the log's key takes its place if its ``time`` is later;
        without a key, one that is here already is left out. All stand in the order of ``time`` then.

        Returns
        -------
        tuple of 2 int
            How many are new here, and how many took the place of an older one.

        Raises
        ------
        TypeError, ValueError, KeyError
            As ``append``, before anything is written.
        OSError
            As ``append``.
        """
        coming: list[tuple[Record, bytes]] = [
            (dict(record), json.dumps(record, allow_nan=False).encode()) for record in records
        ]
        for _, line in coming:
            self.check(plain_json.parsed(line))
        with self._locked() as path:
            lines = {self._identity(line.record): (line.record, line.raw) for line in self._load(path)}
            new = renewed = 0
            for record, raw in coming:
                name = self._identity(record)
                if name not in lines:
                    new += 1
                elif _time(record) > _time(lines[name][0]):
                    renewed += 1
                else:
                    continue
                lines[name] = (record, raw)
            if new or renewed:
                ordered = sorted(lines.values(), key=lambda line: _time(line[0]))
                files.replace(path, _joined(raw for _, raw in ordered))
        return new, renewed

    def clear(self) -> tuple[int, Path | None]:
        """Start an empty file; return how many records the old one held and where it is kept, if it was.

        Raises
        ------
        OSError
            As ``append``.
        """
        with self._locked() as path:
            if not path.exists():
                return 0, None
            count = len(self._load(path))
            backup = _free_name(path, "cleared")
            os.replace(path, backup)
            files.sync_folder(path.parent)
            return count, backup

    def _identity(self, record: Mapping[str, Any]) -> str:
        named = {name: record.get(name) for name in self.key} if self.key else record
        return plain_json.canonical(named)

    @property
    def _file(self) -> str:
        return f"{self.name}.jsonl"

    def _lines(self) -> list[_Line]:
        """Return the lines that can be read; where some cannot, take the lock and move the file aside."""
        try:
            path = self.path
        except UnwritableFolder as error:
            path = error.folder / self._file
        if _READERS_HINDER:
            with suppress(OSError), self._locked() as locked:
                return self._load(locked)
        good, total = self._split(files.read(path))
        if len(good) == total:
            return good
        try:
            with self._locked() as path:
                return self._load(path)
        except OSError as error:
            _warn(path, len(good), total, f"It was left as it is, because {error}")
            return good

    def _kept(self, path: Path, record: Mapping[str, Any]) -> bytes:
        """Return the lines that stay when ``record`` comes; without a key these are the file's very bytes."""
        if not self.key:
            data = files.read(path)
            return data if not data or data.endswith(b"\n") else data + b"\n"
        return _joined(
            line.raw
            for line in self._load(path)
            if any(line.record.get(name) != record.get(name) for name in self.key)
        )

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        path = self.path
        if not _LOCKS:
            files.sweep(path)
            yield path
            return
        place = path.with_suffix(".lock")
        files.guard(place)
        lock = filelock.FileLock(place, timeout=TIMEOUT, mode=files.OWNER_ONLY)
        try:
            lock.acquire(poll_interval=POLL)  # the oldest filelock takes it only here
        except filelock.Timeout:
            raise TimeoutError(
                f"another notebook has held {lock.lock_file} for {TIMEOUT:g} s; {path.name} was left alone. "
                "Restart the kernel that hangs, then run this cell again."
            ) from None
        try:
            files.sweep(path)
            yield path
        finally:
            lock.release()

    def _load(self, path: Path) -> list[_Line]:
        """Return the lines that can be read, and move a damaged file aside; the caller holds the lock."""
        data = files.read(path)
        good, total = self._split(data)
        if len(good) < total:
            # The copy is complete on the disk before the file is touched: a kill in between loses nothing.
            aside = _free_name(path, "damaged")
            files.replace(aside, data)
            files.replace(path, _joined(line.raw for line in good))
            _warn(path, len(good), total, f"The damaged file is kept as {aside}")
        return good

    def _split(self, data: bytes) -> tuple[list[_Line], int]:
        """Return the lines that can be read, and how many there are."""
        lines = [line for line in data.removeprefix(_BOM).split(b"\n") if line.strip()]
        return [good for line in lines if (good := self._line(line)) is not None], len(lines)

    def _line(self, raw: bytes) -> _Line | None:
        try:
            record = plain_json.parsed(raw)
            return _Line(raw, record, self.check(record))
        except plain_json.ERRORS:
            return None


def _time(record: Mapping[str, Any]) -> str:
    """Return when a record was made; those of older versions do not say, and count as the oldest."""
    time = record.get("time")
    return time if isinstance(time, str) else ""


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _warn(path: Path, good: int, total: int, outcome: str) -> None:
    warnings.warn(
        f"{path.name} was damaged: {total - good} of its {total} lines could not be read. {outcome}; "
        f"the other {good} records are still in use.",
        stacklevel=6,
    )


def _free_name(path: Path, why: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{path.stem}.{why}-{stamp}{'' if n == 1 else f'-{n}'}{path.suffix}" for n in range(1, 10**6))
    return next(free for name in names if not os.path.lexists(free := path.with_name(name)))
