"""A text, token by token: greedy or drawn, with a cache or without, and with drafts that one look checks."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coursekit._core import arguments, display
from coursekit.language.tokens import numbers_of
from coursekit.language.transformer import KVCache, Transformer

__all__ = [
    "Speculation",
    "Trigrams",
    "accepts",
    "expected_tokens",
    "generate",
    "leftover",
    "shares",
    "speculate",
]

Draft = Callable[[Sequence[int], int], Sequence[int]]


def shares(logits: Tensor, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """Return the shares of the tokens.

    Parameters
    ----------
    logits : Tensor
        float [..., vocab_size].
    temperature : float, optional
        What divides the logits first. At 0, the first of the largest has all.
    top_k : int, optional
        Only so many of the largest keep a share.

    Returns
    -------
    Tensor
        Of the same shape; its last dimension adds up to 1.

    Raises
    ------
    ValueError
        For a negative temperature, a ``top_k`` that is not between 1 and the number of tokens, and logits
        whose largest is not finite; -inf beside it is a token with no share.
    """
    temperature, logits = arguments.real("temperature", temperature, 0), _numbers("logits", logits)
    largest = logits.amax(-1, keepdim=True)
    if not bool(largest.isfinite().all()):
        raise ValueError(
            "logits must have a finite largest number in every row (-inf beside it is allowed); "
            f"got {float(largest[~largest.isfinite()][0])}"
        )
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    if top_k is not None:
        top_k = arguments.integer("top_k", top_k, 1, logits.shape[-1])
        kept = logits.topk(top_k).indices
        logits = torch.full_like(logits, -torch.inf).scatter(-1, kept, logits.gather(-1, kept))
    # Less the largest: no temperature, however low, makes infinities of what counts.
    return ((logits - largest) / temperature).softmax(-1)


@torch.no_grad()
def generate(
    model: Transformer,
    tokens: Iterable[int] | Tensor,
    new: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
    cache: bool = True,
    stop: int | None = None,
) -> list[int]:
    """Return what the model goes on with.

    Parameters
    ----------
    model : Transformer
        The model.
    tokens : iterable of int or Tensor
        The prompt, at least one token.
    new : int
        How many to add at most.
    temperature, top_k : optional
        As in :func:`shares`; 0, the default, is greedy.
    seed : int, optional
        Of the draws: the same seed, the same text.
    cache : bool, optional
        Whether to keep keys and values. Without, the whole text is computed for every token.
    stop : int, optional
        The token after which to stop.

    Returns
    -------
    list of int
        The new tokens only.

    Raises
    ------
    ValueError
        For an empty prompt, or more tokens than the model reads.
    """
    text, stop = _prompt(model, tokens, new), _stop(stop)
    temperature = arguments.real("temperature", temperature, 0)
    if top_k is not None:
        top_k = arguments.integer("top_k", top_k, 1, model.config.vocab_size)
    draw = torch.Generator(device=model.head.device).manual_seed(arguments.integer("seed", seed, 0))
    kept = _cache(model, len(text) + new) if arguments.flag("cache", cache) else None
    begin = len(text)
    for _ in range(new):
        unread = text if kept is None else text[kept.length :]
        logits = model(_row(model, unread), kept)[0, -1]
        text.append(_chosen(logits, temperature, top_k, draw))
        if text[-1] == stop:
            break
    return text[begin:]


@dataclass(frozen=True, repr=False)
class Speculation(display.Text):
    """A text made with drafts, and how many of them came true.

    Parameters
    ----------
    tokens : list of int
        The new tokens, those that greedy decoding gives.
    looks : int
        Calls of the model.
    drafted, accepted : int
        Tokens that the draft proposed, and those of them that the model would have chosen itself.
    """

    tokens: list[int]
    looks: int
    drafted: int
    accepted: int

    @property
    def rate(self) -> float:
        """The fraction of the proposed tokens that was accepted; 0 if none was proposed."""
        return self.accepted / self.drafted if self.drafted else 0.0

    @property
    def tokens_per_look(self) -> float:
        """New tokens per call of the model; 1 without drafts, 0 if it was not called."""
        return len(self.tokens) / self.looks if self.looks else 0.0

    def __str__(self) -> str:
        return (
            f"{len(self.tokens)} tokens in {self.looks} looks ({self.tokens_per_look:.2f} each); "
            f"{self.accepted} of {self.drafted} drafted tokens accepted"
        )


@torch.no_grad()
def speculate(
    model: Transformer,
    tokens: Iterable[int] | Tensor,
    new: int,
    draft: Draft,
    *,
    ahead: int = 4,
    stop: int | None = None,
) -> Speculation:
    """Return the greedy text, found with fewer looks: a cheap draft proposes, one look checks all of it.

    Parameters
    ----------
    model : Transformer
        Whose text it is.
    tokens : iterable of int or Tensor
        The prompt.
    new : int
        How many tokens to add at most.
    draft : callable
        Takes the text so far (list of int) and a count; returns up to so many tokens.
    ahead : int, optional
        How many to propose at once; 0 is greedy decoding.
    stop : int, optional
        The token after which to stop.

    Returns
    -------
    Speculation
        The tokens, and how they were found.

    Raises
    ------
    ValueError
        As for :func:`generate`.

    Notes
    -----
    Source: Leviathan, Kalman and Matias, Fast Inference from Transformers via Speculative Decoding (2023).
    """
    ahead, draft = arguments.integer("ahead", ahead, 0), arguments.function("draft", draft)
    text, stop = _prompt(model, tokens, new), _stop(stop)
    begin, end = len(text), len(text) + new
    kept = _cache(model, end + ahead)
    looks = drafted = accepted = 0
    while len(text) < end:
        proposed = _proposed(draft([*text], min(ahead, end - len(text) - 1)))[:ahead]
        unread = text[kept.length :] + proposed
        chosen = model(_row(model, unread), kept)[0, -len(proposed) - 1 :].argmax(-1).tolist()
        right = next((n for n, token in enumerate(proposed) if token != chosen[n]), len(proposed))
        text += chosen[: right + 1]
        kept.length = len(text) - 1  # what was read of wrong proposals is forgotten
        looks, drafted, accepted = looks + 1, drafted + len(proposed), accepted + right
        if stop in text[-right - 1 :]:
            text = text[: text.index(stop, len(text) - right - 1) + 1]
            break
    return Speculation(text[begin:], looks, drafted, accepted)


class Trigrams:
    """A draft without a network: what most often followed the last two tokens in a text counted before.

    Parameters
    ----------
    tokens : iterable of int or Tensor
        The text.
    """

    def __init__(self, tokens: Iterable[int] | Tensor) -> None:
        row = numbers_of(tokens)
        after: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for first, second, third in zip(row, row[1:], row[2:], strict=False):
            after[first, second][third] += 1
            after[(second,)][third] += 1
        self._next = {before: counts.most_common(1)[0][0] for before, counts in after.items()}

    def __call__(self, text: Sequence[int], count: int) -> list[int]:
        """Return up to ``count`` tokens that may follow ``text``; fewer where it has seen nothing like it.

        Parameters
        ----------
        text : sequence of int
            So far.
        count : int
            The most to propose.

        Returns
        -------
        list of int
            The proposals.
        """
        found = list(text[-2:])
        begin = len(found)
        while len(found) - begin < count:
            token = self._next.get(tuple(found[-2:]), self._next.get(tuple(found[-1:])))
            if token is None:
                break
            found.append(token)
        return found[begin:]


def expected_tokens(rate: float, ahead: int) -> float:
    """Return the mean number of new tokens per look, if each proposal is accepted with the same chance.

    Parameters
    ----------
    rate : float
        The chance that a proposal is right, given that those before it were.
    ahead : int
        Proposals per look.

    Returns
    -------
    float
        (1 - rate^(ahead + 1)) / (1 - rate), which is 1 + rate + rate^2 + … + rate^ahead.
    """
    rate, ahead = arguments.real("rate", rate, 0, 1), arguments.integer("ahead", ahead, 0)
    return sum(rate**power for power in range(ahead + 1))


def accepts(target: Tensor, draft: Tensor, token: int, u: float) -> bool:
    """Return whether a drawn proposal is kept when the text is sampled: with chance min(1, target / draft).

    Parameters
    ----------
    target, draft : Tensor
        The shares [vocab_size] of the model and of the draft that drew ``token``.
    token : int
        The proposal.
    u : float
        A uniform random number from 0 to 1.

    Returns
    -------
    bool
        Whether to keep it. If not, draw from :func:`leftover`: then the text is drawn as the model's own.

    Raises
    ------
    TypeError, ValueError
        For what are not such shares and numbers, and if the draft gives the token no share.
    """
    target, draft = _pair(target, draft)
    token = arguments.integer("token", token, 0, len(draft) - 1)
    if not draft[token] > 0:
        raise ValueError(f"token {token} has no share in draft, which cannot have drawn it")
    return bool(arguments.real("u", u, 0, 1) < float(target[token]) / float(draft[token]))


def leftover(target: Tensor, draft: Tensor) -> Tensor:
    """Return the shares to draw from after a proposal was refused: what the draft gave too little.

    Parameters
    ----------
    target, draft : Tensor
        Shares [vocab_size].

    Returns
    -------
    Tensor
        max(target - draft, 0), divided by its sum; ``target`` where both are equal.

    Raises
    ------
    TypeError, ValueError
        For what are not two series of shares, equally long.
    """
    target, draft = _pair(target, draft)
    missing = (target - draft).clamp(min=0)
    total = missing.sum()
    return missing / total if float(total) > 0 else target


def _prompt(model: Transformer, tokens: Iterable[int] | Tensor, new: int) -> list[int]:
    text = numbers_of(tokens)
    most = arguments.instance("model", model, Transformer).config.context
    if not text:
        raise ValueError("tokens must hold at least one token; got none")
    if len(text) + arguments.integer("new", new, 0) > most:
        raise ValueError(f"tokens and new must be at most {most} together; got {len(text)} and {new}")
    return text


def _stop(stop: int | None) -> int | None:
    return None if stop is None else arguments.integer("stop", stop, 0)


def _proposed(tokens: Any) -> list[int]:
    if not isinstance(tokens, Iterable):
        raise TypeError(f"draft must return a list of tokens; got {arguments.shown(tokens)}")
    return [int(token) for token in tokens]


def _numbers(name: str, value: Tensor) -> Tensor:
    """Return a tensor of real numbers, or refuse what is not one."""
    arguments.dense(name, value)
    plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_nested
    if not plain or not value.is_floating_point() or not value.numel():
        raise TypeError(f"{name} must be a tensor of real numbers; got {arguments.shown(value)}")
    return value


def _pair(target: Tensor, draft: Tensor) -> tuple[Tensor, Tensor]:
    if _numbers("target", target).dim() != 1 or _numbers("draft", draft).shape != target.shape:
        shapes = f"{list(target.shape)} and {list(draft.shape)}"
        raise ValueError(f"target and draft must be shares [vocab_size] of the same tokens; got {shapes}")
    return target, draft


def _cache(model: Transformer, context: int) -> KVCache:
    return KVCache(model.config, context=min(context, model.config.context), like=model.head)


def _row(model: Transformer, tokens: Sequence[int]) -> Tensor:
    return torch.tensor([tokens], dtype=torch.int64, device=model.head.device)


def _chosen(logits: Tensor, temperature: float, top_k: int | None, draw: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial(shares(logits, temperature, top_k), 1, generator=draw))
