"""Text to tokens and back: byte-level BPE, by the library that Hugging Face's models come with."""

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coursekit._core import arguments, imports

if TYPE_CHECKING:
    import tokenizers

__all__ = ["CUTS", "Merges", "Tokenizer", "numbers_of"]

BLANK = "▁"  # how the tokenizers that come from SentencePiece write a blank
CUTS = {"gpt-2": False, "smollm": True}  # llama.cpp's names of how text is cut first: do digits stand alone?
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


@dataclass(frozen=True)
class Merges:
    """A byte-level BPE tokenizer, taken apart as a GGUF file stores it.

    Parameters
    ----------
    tokens : tuple of str
        By number, in the alphabet that writes every byte as one visible character.
    merges : tuple of str
        Pairs, ``"left right"``, the most frequent first.
    special : frozenset of int
        Tokens that no text is cut into unless it spells them out.
    cut : str
        A key of ``CUTS``.
    """

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    special: frozenset[int]
    cut: str


class Tokenizer:
    """Cuts text into tokens; every text can be cut, because single bytes are tokens, too.

    Parameters
    ----------
    inner : tokenizers.Tokenizer
        Of the package ``tokenizers``.
    end : int, optional
        The token that stands between texts.

    Attributes
    ----------
    begin : int or None
        The token that the model expects before every text, as LLaMA's do; ``encode`` leaves it out.
    """

    def __init__(self, inner: "tokenizers.Tokenizer", end: int | None = None) -> None:
        self._inner = inner
        self.end = end
        self.begin: int | None = next(iter(inner.encode("", add_special_tokens=True).ids), None)

    @classmethod
    def from_file(cls, path: str | Path, end: str | None = None) -> "Tokenizer":
        """Return the tokenizer of a ``tokenizer.json``.

        Parameters
        ----------
        path : path
            The file.
        end : str, optional
            The token that stands between texts.

        Returns
        -------
        Tokenizer
            The tokenizer.

        Raises
        ------
        FileNotFoundError, ValueError
            If it is not there, or no such file.
        ImportError
            If ``tokenizers`` is not installed.
        """
        path = arguments.place("path", path)
        if not path.is_file():
            raise FileNotFoundError(f"no tokenizer at {path}: a folder with a tokenizer.json is needed")
        library: Any = imports.need("tokenizers", "language")
        try:
            inner = library.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exceptions
            raise ValueError(
                f"{path} is no tokenizer.json that tokenizers {library.__version__} reads: {error}"
            ) from error
        inner.no_truncation()  # such a file may say where to cut a text off, or to fill it up
        inner.no_padding()
        return cls(inner, None if end is None else inner.token_to_id(end))

    @classmethod
    def from_merges(
        cls,
        tokens: Sequence[str],
        merges: Sequence[str],
        *,
        end: int,
        special: Iterable[int] = (),
        digits: bool = True,
    ) -> "Tokenizer":
        """Return a byte-level BPE tokenizer from its vocabulary and its merges, as a GGUF file stores them.

        Parameters
        ----------
        tokens : sequence of str
            In the alphabet that writes every byte as one visible character, as GPT-2 introduced it.
        merges : sequence of str
            Pairs, ``"left right"``, the most frequent first.
        end : int
            The token that stands between texts.
        special : iterable of int, optional
            Tokens that no text is cut into unless it spells them out.
        digits : bool, optional
            Whether each digit stands alone, as in SmolLM's tokenizer.

        Returns
        -------
        Tokenizer
            The tokenizer.

        Raises
        ------
        ImportError
            If ``tokenizers`` is not installed.
        """
        library: Any = imports.need("tokenizers", "language")
        pairs = [tuple(merge.split(" ")) for merge in merges]
        vocabulary = {token: number for number, token in enumerate(tokens)}
        inner = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=pairs))
        cut = library.pre_tokenizers
        words = cut.ByteLevel(add_prefix_space=False)
        inner.pre_tokenizer = cut.Sequence([cut.Digits(individual_digits=True), words]) if digits else words
        inner.decoder = library.decoders.ByteLevel()
        inner.add_special_tokens([tokens[number] for number in special])
        return cls(inner, end)

    def taken_apart(self) -> Merges:
        """Return the tokens and merges, as :meth:`from_merges` takes them.

        Returns
        -------
        Merges
            Its parts.

        Raises
        ------
        ValueError
            If it is not byte-level BPE, or cuts text in a way that is not in ``CUTS``.
        """
        said = json.loads(self._inner.to_str())
        cut = _cut_of(said["pre_tokenizer"])
        if said["model"]["type"] != "BPE" or said["normalizer"] is not None or cut is None:
            raise ValueError(f"the tokenizer must be byte-level BPE that cuts as {' or '.join(CUTS)}")
        merges = [each if isinstance(each, str) else " ".join(each) for each in said["model"]["merges"]]
        numbers = range(len(self))
        special = frozenset(each["id"] for each in said["added_tokens"] if each["special"])
        names = tuple(str(self._inner.id_to_token(number)) for number in numbers)
        return Merges(names, tuple(merges), special, cut)

    def __len__(self) -> int:
        """Return how many tokens there are."""
        return self._inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text.

        Parameters
        ----------
        text : str
            Any text, the empty one included.

        Returns
        -------
        list of int
            Their numbers.

        Raises
        ------
        TypeError
            If it is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str; got {arguments.shown(text)}")
        return self._inner.encode(text, add_special_tokens=False).ids

    def tensor(self, text: str) -> Tensor:
        """Return the tokens of a text as int64 [1, n], as the model reads them; see :meth:`encode`."""
        return torch.tensor([self.encode(text)], dtype=torch.int64)

    def decode(self, tokens: Iterable[int] | Tensor) -> str:
        """Return the text of tokens; bytes that form no character become the replacement character.

        Parameters
        ----------
        tokens : iterable of int or Tensor
            [n], or [1, n].

        Returns
        -------
        str
            The text.

        Raises
        ------
        TypeError, ValueError
            For what is not a series of whole numbers, each one of a token.
        """
        return self._inner.decode(numbers_of(tokens, self._last), skip_special_tokens=False)

    def pieces(self, tokens: Iterable[int] | Tensor) -> list[str]:
        """Return each token's text on its own, in the same order; a blank is a blank.

        Parameters
        ----------
        tokens : iterable of int or Tensor
            [n], or [1, n].

        Returns
        -------
        list of str
            One text per token. Part of a character is shown as the replacement character.

        Raises
        ------
        TypeError, ValueError
            As :meth:`decode`.
        """
        return [self._piece(number) for number in numbers_of(tokens, self._last)]

    @functools.cached_property
    def _last(self) -> int:
        """The largest number of a token; some below it may be none's."""
        return max(self._inner.get_vocab().values(), default=-1)

    def _piece(self, number: int) -> str:
        """Return a token's text, also where a decoder drops the blank that a text begins with."""
        text = self._inner.decode([number], skip_special_tokens=False)
        blank = (self._inner.id_to_token(number) or "").startswith(BLANK) and not text.startswith(
            (" ", BLANK)
        )
        return f" {text}" if blank else text

    def save(self, path: str | Path) -> None:
        """Write it as ``tokenizer.json``.

        Parameters
        ----------
        path : path
            The file.
        """
        self._inner.save(str(arguments.path("path", path)))


def _cut_of(said: Any) -> str | None:
    """Return which of ``CUTS`` a pre-tokenizer is, None if it is another."""
    steps = said["pretokenizers"] if said and said["type"] == "Sequence" else [said or {"type": None}]
    *before, last = steps
    if last["type"] != "ByteLevel" or last["add_prefix_space"] or not last.get("use_regex", True):
        return None
    if not before:
        return "gpt-2"
    return "smollm" if before == [{"type": "Digits", "individual_digits": True}] else None


def numbers_of(tokens: Iterable[int] | Tensor, last: int | None = None) -> list[int]:
    """Return tokens as a list of ints.

    Parameters
    ----------
    tokens : iterable of int or Tensor
        [n], or [1, n]; none at all are fine.
    last : int, optional
        The largest number that is allowed.

    Returns
    -------
    list of int
        The same numbers.

    Raises
    ------
    TypeError, ValueError
        For what is not a series of whole numbers from 0 on, up to the last.
    """
    if isinstance(tokens, Tensor):
        if tokens.layout != torch.strided or tokens.is_nested or tokens.dtype not in WHOLE:
            raise TypeError(f"tokens must be whole numbers; got a tensor of {tokens.dtype}, {tokens.layout}")
        tokens = tokens.reshape(-1).tolist()
    if isinstance(tokens, list | tuple | range) and not tokens:
        return []
    return list(arguments.integers("tokens", tokens, 0, last))
