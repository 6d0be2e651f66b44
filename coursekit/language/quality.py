"""How good is a language model, how far is a changed one from its original: per window, with intervals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit._core import arguments, display, statistics
from coursekit.language.loading import LanguageModel
from coursekit.language.tokens import numbers_of
from coursekit.language.transformer import Transformer

__all__ = ["Distance", "Loss", "Reference", "bits_per_character", "losses", "perplexity", "windows"]

MOST_LOGITS = 2**24  # at once: 64 MB
LARGEST_LOSS = 700.0  # whose perplexity is still a double


def windows(
    tokens: Iterable[int] | Tensor, length: int = 256, count: int | None = None, *, begin: int | None = None
) -> Tensor:
    """Cut a text into windows that do not overlap, each with one token more than is predicted.

    Parameters
    ----------
    tokens : iterable of int or Tensor
        [n].
    length : int, optional
        Tokens to predict per window.
    count : int, optional
        How many, from the beginning; by default all that fit.
    begin : int, optional
        The token that every window begins with, for a model that expects one: ``tokenizer.begin``.

    Returns
    -------
    Tensor
        int64 [count, length + 1]; without ``begin`` a window begins with the token that ended the one before.

    Raises
    ------
    ValueError
        If the text is too short for so many.
    """
    row = torch.tensor(numbers_of(tokens), dtype=torch.int64)
    length = arguments.size("length", length)
    most = (len(row) - (begin is None)) // length
    count = most if count is None else arguments.size("count", count)
    if not 1 <= count <= most:
        raise ValueError(f"{len(row):,} tokens make {max(most, 0)} windows of {length}; got count={count}")
    if begin is not None:
        first = torch.tensor([arguments.integer("begin", begin, 0)])
        return torch.stack([torch.cat((first, row[n * length : (n + 1) * length])) for n in range(count)])
    return torch.stack([row[n * length : (n + 1) * length + 1] for n in range(count)])


@dataclass(frozen=True, repr=False)
class Loss(display.Text):
    """The loss of every window in nats per token, and their mean with its interval."""

    per_window: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Nats per token."""
        return float(self.per_window.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, for the mean over windows of such text."""
        return _mean(self.per_window)[1:]

    @property
    def perplexity(self) -> float:
        """From as many tokens, equally likely, it seems to choose."""
        return math.exp(self.mean)

    def __str__(self) -> str:
        low, high = (math.exp(end) for end in self.interval)
        return (
            f"loss {self.mean:.3f} nats per token, perplexity {display.significant(self.perplexity)} "
            f"[{display.significant(low)} to {display.significant(high)}], {len(self.per_window)} windows"
        )


def perplexity(loss: float) -> float:
    """Return e to the power of a loss in nats per token.

    Parameters
    ----------
    loss : float
        The mean of -log(share of the right token).

    Returns
    -------
    float
        From 1 on.

    Raises
    ------
    TypeError, ValueError
        For what is not a number from 0 to 700.
    """
    return math.exp(arguments.real("loss", loss, 0, LARGEST_LOSS))


def bits_per_character(loss: float, tokens: int, characters: int) -> float:
    """Return what models with different tokenizers are compared in.

    Parameters
    ----------
    loss : float
        In nats per token.
    tokens, characters : int
        That the same text has.

    Returns
    -------
    float
        loss * tokens / (characters * ln 2).
    """
    loss = arguments.real("loss", loss, 0)
    return loss * arguments.size("tokens", tokens) / arguments.size("characters", characters) / math.log(2)


@torch.no_grad()
def losses(model: nn.Module, data: Tensor) -> Loss:
    """Return the model's loss on every window.

    Parameters
    ----------
    model : Module
        Tokens [batch, n] to logits [batch, n, vocab_size].
    data : Tensor
        int64 [count, length + 1] of :func:`windows`.

    Returns
    -------
    Loss
        One number per window.

    Raises
    ------
    ValueError
        If the model says NaN or infinity somewhere.
    """
    arguments.module("model", model)
    found = [_nats(_answer(model, part), part[:, 1:]) for part in _parts(data, _vocabulary(model))]
    return Loss(_finite(torch.cat(found)))


def _answer(model: nn.Module, part: Tensor) -> Tensor:
    """Return the model's logits; a model of another kind fails inside torch, whose words name no argument."""
    try:
        return model(part[:, :-1])
    except RuntimeError as error:
        if getattr(model, "config", None) is not None:  # a language model: its own error says more
            raise
        raise TypeError(
            f"model must take tokens, int64 [batch, n]; {type(model).__name__}: {error}"
        ) from error


@dataclass(frozen=True, repr=False)
class Distance(display.Text):
    """How far a changed model is from its original, window by window.

    Parameters
    ----------
    name : str
        Of the changed model.
    kl : ndarray
        [windows]: mean Kullback-Leibler divergence of the changed shares from the original's, in nats.
    same : ndarray
        [windows]: the fraction of tokens at which both put the same token first.
    loss_added : ndarray
        [windows]: loss of the changed model minus that of the original, nats per token.
    loss : ndarray
        [windows]: loss of the changed model.
    """

    name: str
    kl: NDArray[np.float64]
    same: NDArray[np.float64]
    loss_added: NDArray[np.float64]
    loss: NDArray[np.float64]

    @property
    def mean_kl(self) -> tuple[float, float, float]:
        """Mean and the ends of its 95 % interval."""
        return _mean(self.kl)

    @property
    def mean_same(self) -> tuple[float, float, float]:
        """Mean and the ends of its 95 % interval."""
        return _mean(self.same)

    @property
    def mean_loss_added(self) -> tuple[float, float, float]:
        """Mean and the ends of its 95 % interval."""
        return _mean(self.loss_added)

    @property
    def perplexity(self) -> float:
        """Of the changed model."""
        return math.exp(min(float(self.loss.mean()), LARGEST_LOSS))

    def less_kl_than(self, other: "Distance") -> statistics.PairedDifference:
        """Return the other's divergence minus this one's, paired by window: above 0, this one is nearer.

        Parameters
        ----------
        other : Distance
            On the same windows.

        Returns
        -------
        PairedDifference
            Mean, interval and verdict.
        """
        return statistics.paired(other.kl, self.kl)

    def less_loss_than(self, other: "Distance") -> statistics.PairedDifference:
        """Return the other's loss minus this one's, paired by window: above 0, this one guesses better.

        Parameters
        ----------
        other : Distance
            On the same windows.

        Returns
        -------
        PairedDifference
            Mean, interval and verdict.
        """
        return statistics.paired(other.loss, self.loss)

    def __str__(self) -> str:
        kl, low, high = (display.significant(value) for value in self.mean_kl)
        return (
            f"{self.name}: KL {kl} [{low} to {high}], "
            f"same first choice {100 * self.mean_same[0]:.1f} %, loss added {self.mean_loss_added[0]:+.4f}"
        )


class Reference:
    """An original, run once over the windows; changed copies are compared with it.

    It keeps what the last layer says about each token, not the logits, which take 100 times the memory.

    Parameters
    ----------
    language : LanguageModel or Transformer
        The original. It must not be changed afterwards.
    data : Tensor
        int64 [count, length + 1] of :func:`windows`.

    Attributes
    ----------
    loss : Loss
        Of the original.
    """

    @torch.no_grad()
    def __init__(self, language: LanguageModel | Transformer, data: Tensor) -> None:
        model = language.model if isinstance(language, LanguageModel) else language
        self.model, self.data = arguments.instance("language", model, Transformer), data
        self._parts = list(_parts(data, model.config.vocab_size))
        self._hidden = [model.hidden(part[:, :-1]) for part in self._parts]
        self._head = model.head.detach()
        nats = [
            _nats(F.linear(said, self._head), part[:, 1:])
            for said, part in zip(self._hidden, self._parts, strict=True)
        ]
        self.loss = Loss(_finite(torch.cat(nats)))

    @torch.no_grad()
    def distance(self, changed: nn.Module, name: str = "changed") -> Distance:
        """Compare a changed model with the original.

        Parameters
        ----------
        changed : Module
            Tokens to logits, over the same vocabulary.
        name : str, optional
            What tables call it.

        Returns
        -------
        Distance
            Paired by window.

        Raises
        ------
        ValueError
            If it has another vocabulary, or says NaN or infinity somewhere.
        """
        arguments.module("changed", changed)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for part, said in zip(self._parts, self._hidden, strict=True):
            original, new = F.linear(said, self._head), changed(part[:, :-1])
            if new.shape != original.shape:
                raise ValueError(f"changed must return logits {list(original.shape)}; got {list(new.shape)}")
            before, after = original.log_softmax(-1), new.log_softmax(-1)
            apart = F.kl_div(after, before, reduction="none", log_target=True).sum(-1)
            agree = original.argmax(-1) == new.argmax(-1)
            found.append((apart.double().mean(-1), agree.double().mean(-1), _nats(new, part[:, 1:])))
        kl, same, loss = (_finite(torch.cat(rows)) for rows in zip(*found, strict=True))
        return Distance(name, kl, same, loss - self.loss.per_window, loss)


def _parts(data: Tensor, vocabulary: int) -> Iterable[Tensor]:
    if (
        not isinstance(data, Tensor)
        or data.dtype != torch.int64
        or data.dim() != 2
        or not len(data)
        or data.shape[1] < 2
    ):
        raise ValueError("data must be int64 [count, length + 1], as language.windows makes it")
    return data.split(max(1, MOST_LOGITS // (vocabulary * (data.shape[1] - 1))))


def _vocabulary(model: nn.Module) -> int:
    config = getattr(model, "config", None)
    return int(getattr(config, "vocab_size", 1024))


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of each row of targets [batch, n]."""
    if not isinstance(logits, Tensor) or logits.shape[:-1] != targets.shape or not logits.is_floating_point():
        raise TypeError(f"model must return logits [batch, n, vocab_size]; got {arguments.shown(logits)}")
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").double().mean(-1)


def _finite(values: Tensor) -> NDArray[np.float64]:
    if not bool(values.isfinite().all()):
        raise ValueError("the model's logits hold NaN or infinity: its weights are damaged")
    return values.cpu().numpy().astype(np.float64)


def _mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    if len(values) < 2:
        return float(values.mean()), math.nan, math.nan
    found = statistics.paired(values, np.zeros_like(values))
    return found.mean, found.low, found.high
