"""Records that outlive the kernel: JSON lines in the results folder, safe with several kernels at once.

Each change writes the whole new file beside the old one and then swaps the two (``os.replace``), under a
lock. So whoever is killed at any moment leaves the old records or the new ones, never half a line.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

Record = dict[str, Any]

TIMEOUT = 20.0  # seconds; a write takes milliseconds, so only a hung process holds the lock for longer
POLL = 0.005  # seconds between two tries for the lock
_BOM = b"\xef\xbb\xbf"  # some editors put it in front


def _any_record(record: Mapping[str, Any]) -> object:
    return record


def now() -> str:
    """Return the present UTC time as text, e.g. ``2026-11-20T18:30:05+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Log:
    """A file of records, oldest first.

    ``folder`` returns where the file is, made when missing. ``check`` raises ValueError, TypeError or
    KeyError for a record that this log cannot hold. With ``key``, a new record takes the place of older ones
    that agree with it in those fields; without, all are kept.
    """

    name: str
    folder: Callable[[], Path]
    check: Callable[[Mapping[str, Any]], object] = _any_record
    key: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the records are: a file in ``folder()``."""
        return self.folder() / f"{self.name}.jsonl"

    def append(self, record: Mapping[str, Any]) -> None:
        """Add ``record``; when this returns, it is on the disk.

        Errors: ValueError or TypeError if the record is not plain JSON or fails ``check``; TimeoutError if
        another process holds the lock; OSError if the disk is full.
        """
        self.check(record)
        line = json.dumps(record, allow_nan=False).encode()
        with self._locked() as path:
            _write_bytes(path, self._kept(path, record) + line + b"\n")

    def read(self) -> list[Record]:
        """Return all records, oldest first.

        A damaged file is moved aside with a warning; the records that can be read stay in use.
        """
        with self._locked() as path:
            return [record for _, record in self._load(path)]

    def remove(self, unwanted: Callable[[Record], bool]) -> None:
        """Drop the records for which ``unwanted`` is true; nothing is written if there are none."""
        with self._locked() as path:
            lines = self._load(path)
            kept = [raw for raw, record in lines if not unwanted(record)]
            if len(kept) < len(lines):
                _write_bytes(path, _joined(kept))

    def clear(self) -> tuple[int, Path | None]:
        """Start an empty file; return how many records the old one held and where it is kept, if it was."""
        with self._locked() as path:
            if not path.exists():
                return 0, None
            count = len(self._load(path))
            backup = _free_name(path, "cleared")
            os.replace(path, backup)
            _sync_folder(path.parent)
            return count, backup

    def _kept(self, path: Path, record: Mapping[str, Any]) -> bytes:
        """Return the lines that stay when ``record`` comes; without a key these are the file's very bytes."""
        if not self.key:
            data = _data(path)
            return data if not data or data.endswith(b"\n") else data + b"\n"
        pairs = self._load(path)
        return _joined(
            line for line, old in pairs if any(old.get(name) != record.get(name) for name in self.key)
        )

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        path = self.path
        lock = filelock.FileLock(path.with_suffix(".lock"), timeout=TIMEOUT)
        try:
            lock.acquire(poll_interval=POLL)  # the oldest filelock takes it only here
        except filelock.Timeout:
            raise TimeoutError(
                f"another notebook has held {lock.lock_file} for {TIMEOUT:g} s; {path.name} was left alone. "
                "Restart the kernel that hangs, then run this cell again."
            ) from None
        try:
            yield path
        finally:
            lock.release()

    def _load(self, path: Path) -> list[tuple[bytes, Record]]:
        """Return (line, record) pairs; the caller holds the lock."""
        lines = [line for line in _data(path).removeprefix(_BOM).split(b"\n") if line.strip()]
        pairs = [(line, self._parse(line)) for line in lines]
        good = [(line, record) for line, record in pairs if record is not None]
        if len(good) < len(lines):
            self._rescue(path, [line for line, _ in good], len(lines))
        return good

    def _parse(self, line: bytes) -> Record | None:
        try:
            record = json.loads(line.decode("utf-8"), parse_constant=_refuse)
            if not isinstance(record, dict):
                return None
            self.check(record)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return record

    def _rescue(self, path: Path, good: list[bytes], total: int) -> None:
        # The copy is complete on the disk before the file is touched: a kill in between loses nothing.
        aside = _free_name(path, "damaged")
        _write_bytes(aside, _data(path))
        _write_bytes(path, _joined(good))
        warnings.warn(
            f"{path.name} was damaged: {total - len(good)} of its {total} lines could not be read. "
            f"The damaged file is kept as {aside}; the other {len(good)} records are still in use.",
            stacklevel=5,
        )


def _data(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _write_bytes(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step; the caller holds the lock, so one temporary name is enough."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder, and records its names in order anyway
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _free_name(path: Path, why: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{path.stem}.{why}-{stamp}{'' if n == 1 else f'-{n}'}{path.suffix}" for n in range(1, 10**6))
    return next(free for name in names if not (free := path.with_name(name)).exists())
