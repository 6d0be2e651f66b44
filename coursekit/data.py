"""Data that needs no download: scikit-learn's digits, generated messages, a trained model's weights."""

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coursekit import runtime
from coursekit._core import arguments, display, imports, scratch

__all__ = [
    "ARCHIVE_MESSAGES",
    "Archive",
    "Digits",
    "Messages",
    "Split",
    "archive",
    "digits",
    "messages",
    "trained_weights",
]

if TYPE_CHECKING:
    import torch

WEIGHTS = Path(__file__).parent / "language" / "shipped" / "small.safetensors"
DIGITS = "datasets/data/digits.csv.gz"  # in scikit-learn's folder
TEST_PICTURES = 360
VALIDATION_PICTURES = 287
SPLIT_SEED = 11
# An archive repeats so many different messages, each time with another reference number.
ARCHIVE_MESSAGES = 2000
MOST_MESSAGES = 10**8  # in memory
LARGEST_ARCHIVE = 10**12  # bytes on a disk
ROWS_AT_ONCE = 20_000

# Templates for the spam filter: what matters is that the words overlap, as they do in real mail.
SPAM = (
    "Win {thing} now, reply {word} to claim before {day}",
    "Your account is on hold, confirm your {thing} today",
    "Cheap {thing} for you, only until {day}, order {word}",
    "You have been chosen: {thing} is waiting, send {word}",
)
HAM = (
    "Are we still meeting about the {thing} on {day}?",
    "I left the {thing} on your desk, tell {name} please",
    "The lecture on {day} is about {thing}, bring {name}",
    "Can you send me the {thing} before {day}? Thanks, {name}",
)
THINGS = ("loan", "report", "phone", "notes", "ticket", "slides", "prize", "book", "invoice", "holiday")
WORDS = ("YES", "WIN", "GO", "NOW", "STAR")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
NAMES = ("Asha", "Ben", "Chen", "Dina", "Emeka")


@dataclass(frozen=True, repr=False)
class Split:
    """Pictures as rows of ``x`` (float32 [n, 64], 0 to 1) with their digits ``y`` (int64 [n])."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    @property
    def images(self) -> NDArray[np.float32]:
        """The pictures as [n, 8, 8]."""
        return self.x.reshape(-1, 8, 8)

    def tensors(self, device: "torch.device | str | None" = None) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return (x, y) as torch tensors.

        Parameters
        ----------
        device : device or str, optional
            Where they are put; by default ``runtime.device()``.

        Returns
        -------
        tuple of 2 Tensor
            Copies of ``x`` and ``y``.

        Raises
        ------
        ValueError
            For a device that torch does not know.
        """
        import torch

        try:
            place = runtime.device() if device is None else torch.device(device)
        except (RuntimeError, TypeError) as error:
            why = str(error).partition("\n")[0]
            raise ValueError(f"device must be one of torch's; got {arguments.shown(device)}: {why}") from None
        return torch.from_numpy(self.x.copy()).to(place), torch.from_numpy(self.y.copy()).to(place)

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        return f"{len(self)} pictures of 8 x 8"


@dataclass(frozen=True)
class Digits:
    """The 1,797 digits in three parts: fit on ``train``, choose on ``validation``, report on ``test``."""

    train: Split
    validation: Split
    test: Split

    def __repr__(self) -> str:
        sizes = len(self.train), len(self.validation), len(self.test)
        return "digits: train {}, validation {}, test {} pictures".format(*sizes)


@dataclass(frozen=True, repr=False)
class Messages:
    """Short messages and whether each is spam (1) or not (0)."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"{len(self)} messages, {int(self.labels.sum())} of them spam"


class Archive:
    """A folder with ``csv``, a file of ``rows`` messages with the columns text and label; see ``archive``.

    Parameters
    ----------
    size : int
        About how many bytes are written.
    seed : int
        The same seed gives the same file.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._scratch = scratch.Scratch()
        self.folder: Path = self._scratch.path
        self.csv = self.folder / "messages.csv"
        try:
            self.rows = _write_messages(self.csv, size, seed)
        except BaseException:
            self.remove()
            raise
        self.nbytes = self.csv.stat().st_size

    def remove(self) -> None:
        """Remove the folder and everything in it; doing so twice does no harm."""
        self._scratch.remove()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"{self.rows:,} messages, {display.size(self.nbytes)} in a temporary folder"


def digits() -> Digits:
    """Return scikit-learn's digits, always split the same way, each part with every digit in proportion.

    Returns
    -------
    Digits
        The three parts.

    Notes
    -----
    Source: Alpaydin and Kaynak (1998), as shipped with scikit-learn.
    """
    x, y = _load_digits()
    order = _stratified_order(y)
    cuts = (TEST_PICTURES, TEST_PICTURES + VALIDATION_PICTURES)
    test, validation, train = (Split(x[part], y[part]) for part in np.split(order, cuts))
    return Digits(train, validation, test)


def trained_weights(layer: str = "layers.0.mlp.up_proj.weight") -> NDArray[np.float32]:
    """Return a matrix of the small language model that the lettered notebooks use, without torch.

    Parameters
    ----------
    layer : str, optional
        Its name in the model's file.

    Returns
    -------
    float32 array
        The weights, [outputs, inputs].

    Raises
    ------
    TypeError, ValueError
        For a name that the file does not hold.
    """
    raw = WEIGHTS.read_bytes()  # safetensors: the header's length, the header, the numbers
    start = 8 + int.from_bytes(raw[:8], "little")
    parts = json.loads(raw[8:start])
    matrices = {name: part for name, part in parts.items() if len(part.get("shape", ())) == 2}
    if not isinstance(layer, str):
        raise TypeError(f"layer must be text; got {arguments.shown(layer)}")
    if layer not in matrices:
        some = ", ".join(list(matrices)[:2])
        raise ValueError(f"layer must be a matrix of the model ({some}, …); got {arguments.shown(layer)}")
    found = matrices[layer]
    first, end = (start + place for place in found["data_offsets"])
    return np.frombuffer(raw[first:end], "<f2").astype(np.float32).reshape(found["shape"])


def messages(count: int = 1000, seed: int = 0) -> Messages:
    """Return generated messages, about half of them spam.

    Parameters
    ----------
    count : int, optional
        How many.
    seed : int, optional
        The same seed gives the same ones.

    Returns
    -------
    Messages
        The texts and their labels, [count].

    Raises
    ------
    ValueError
        For a count below 1 or beyond ``MOST_MESSAGES``.
    """
    count = arguments.size("count", count, most=MOST_MESSAGES)
    rng = np.random.default_rng(arguments.integer("seed", seed, 0))
    labels = rng.integers(0, 2, count)
    return Messages(tuple(_message(rng, SPAM if spam else HAM) for spam in labels), labels)


def archive(size: int = 50_000_000, seed: int = 0) -> Archive:
    """Write messages to a temporary folder.

    The folder is gone after ``remove()``, at the end of a ``with`` block, with the object, or with the
    process, also when that is killed.

    Parameters
    ----------
    size : int, optional
        About how many bytes, 1000 or more.
    seed : int, optional
        The same seed gives the same file.

    Returns
    -------
    Archive
        The folder, its file and how many messages it holds.

    Raises
    ------
    TypeError
        For a size or seed that is not a whole number.
    ValueError
        For a size or seed out of range.
    OSError
        If the disk is full.
    """
    return Archive(arguments.size("size", size, 1000, LARGEST_ARCHIVE), arguments.integer("seed", seed, 0))


@functools.cache
def _load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the pictures and their digits from scikit-learn's file, if possible without its import time."""
    found = importlib.util.find_spec("sklearn")
    path = Path(found.origin).parent / DIGITS if found is not None and found.origin else None
    if path is not None and path.is_file():
        table = np.loadtxt(path, np.float32, delimiter=",")
        pictures, labels = table[:, :-1], table[:, -1]
    else:
        bunch = imports.whole("sklearn.datasets").load_digits()
        pictures, labels = bunch.data, bunch.target
    return (pictures / 16).astype(np.float32), labels.astype(np.int64)


def _stratified_order(y: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a shuffled order in which every stretch holds the classes in proportion.

    Each picture gets its rank within its own class, as a fraction; sorting by it interleaves the classes.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    position = np.empty(len(y))
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        position[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(position, kind="stable")


def _message(rng: np.random.Generator, templates: tuple[str, ...]) -> str:
    pick = {name: words[rng.integers(len(words))] for name, words in _blanks().items()}
    return templates[rng.integers(len(templates))].format(**pick)


def _blanks() -> dict[str, tuple[str, ...]]:
    return {"thing": THINGS, "word": WORDS, "day": DAYS, "name": NAMES}


def _write_messages(path: Path, size: int, seed: int) -> int:
    """Write rows until there are ``size`` bytes, as nearly as whole rows can; return how many they are."""
    some = messages(ARCHIVE_MESSAGES, seed)
    forms = [f'"{text} Ref %07d",{label}\n' for text, label in zip(some.texts, some.labels, strict=True)]
    rows = round(size / np.mean([len(form % 0) for form in forms]))
    picks = np.random.default_rng(seed).integers(0, len(forms), rows)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("text,label\n")
        for start in range(0, rows, ROWS_AT_ONCE):
            chosen = picks[start : start + ROWS_AT_ONCE].tolist()
            numbers = range(start, start + len(chosen))
            # One long pattern filled in one go: three times as fast as row by row.
            file.write("".join([forms[i] for i in chosen]) % tuple(numbers))
    return rows
