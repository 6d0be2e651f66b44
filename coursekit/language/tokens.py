"""Text to tokens and back: byte-level BPE, by the library that Hugging Face's models come with."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coursekit._core import arguments, imports

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer", "numbers_of"]

BLANK = "▁"  # how the tokenizers that come from SentencePiece write a blank
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Tokenizer:
    """Cuts text into tokens; every text can be cut, because single bytes are tokens, too.

    Parameters
    ----------
    inner : tokenizers.Tokenizer
        Of the package ``tokenizers``.
    end : int, optional
        The token that stands between texts.
    """

    def __init__(self, inner: "tokenizers.Tokenizer", end: int | None = None) -> None:
        self._inner = inner
        self.end = end

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
        cls, tokens: Sequence[str], merges: Sequence[str], *, end: int, special: Iterable[int] = ()
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

        Returns
        -------
        Tokenizer
            The tokenizer. Digits stand alone, as in SmolLM's.

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
        inner.pre_tokenizer = cut.Sequence(
            [cut.Digits(individual_digits=True), cut.ByteLevel(add_prefix_space=False)]
        )
        inner.decoder = library.decoders.ByteLevel()
        inner.add_special_tokens([tokens[number] for number in special])
        return cls(inner, end)

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
