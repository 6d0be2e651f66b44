"""Requests that an engine is asked, and what came of them: when each began to answer and when it was done."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display, statistics
from coursekit.language.loading import LanguageModel

__all__ = ["Gain", "Request", "Run", "Step", "gain", "requests", "side_by_side"]

SPREAD = 0.7  # standard deviation of a length's logarithm: the longest of 100 is 5 times the middle one
MOST_REQUESTS = 100_000
_HEADERS = ("", "tokens/s", "first token p50", "p99", "per token p50", "p99")


@dataclass(frozen=True)
class Request:
    """A prompt, how many tokens to add, and when it comes.

    Parameters
    ----------
    prompt : tuple of int
        One token at least.
    new : int
        Tokens to add, one at least.
    arrival : float, optional
        Seconds from the beginning.

    Raises
    ------
    TypeError, ValueError
        Unless they are such numbers.
    """

    prompt: tuple[int, ...]
    new: int
    arrival: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", arguments.integers("prompt", self.prompt, 0))
        object.__setattr__(self, "new", arguments.size("new", self.new))
        object.__setattr__(self, "arrival", arguments.real("arrival", self.arrival, 0))

    @property
    def length(self) -> int:
        """Tokens in the cache when it is done: the last new one is never read."""
        return len(self.prompt) + self.new - 1


def requests(
    language: LanguageModel,
    text: str,
    count: int,
    *,
    prompt: float = 60,
    new: float = 40,
    rate: float | None = None,
    shared: int = 0,
    seed: int = 0,
) -> list[Request]:
    """Return requests whose prompts are pieces of a text; many are short, a few long, as users' are.

    Parameters
    ----------
    language : LanguageModel
        Whose tokens they are made of.
    text : str
        Long enough for the longest prompt.
    count : int
        How many.
    prompt, new : float, optional
        The mean lengths of prompts and answers, in tokens.
    rate : float, optional
        How many come per second, independently of each other; by default all at once.
    shared : int, optional
        So many tokens, the text's first, begin every prompt in addition: a system prompt.
    seed : int, optional
        The same seed, the same requests.

    Returns
    -------
    list of Request
        By arrival. None is longer than the model reads.

    Raises
    ------
    TypeError, ValueError
        For numbers out of range, or a text that is too short.
    """
    model = arguments.instance("language", language, LanguageModel)
    count = arguments.integer("count", count, 1, MOST_REQUESTS)
    shared = arguments.integer("shared", shared, 0, model.model.config.context // 2)
    row = model.tokenizer.encode(text)
    most = (model.model.config.context - shared) // 2
    if len(row) < shared + most:
        raise ValueError(f"text must have at least {shared + most} tokens; got {len(row)}")
    draw = np.random.default_rng(arguments.integer("seed", seed, 0))
    lengths = [_lengths(name, mean, count, most, draw) for name, mean in (("prompt", prompt), ("new", new))]
    begins = draw.integers(0, len(row) - most + 1, count)
    arrivals = np.zeros(count)
    if rate is not None:
        pause = 1 / arguments.positive("rate", rate, "per second")
        arrivals[1:] = draw.exponential(pause, count - 1).cumsum()
    return [
        Request((*row[:shared], *row[begin : begin + length]), int(more), float(arrival))
        for begin, length, more, arrival in zip(begins, *lengths, arrivals, strict=True)
    ]


@dataclass(frozen=True)
class Step:
    """One pass of the model: requests in it, tokens read, tokens already in their caches, and seconds."""

    requests: int
    tokens: int
    context: int
    seconds: float


@dataclass(frozen=True, repr=False, eq=False)
class Run(display.Tabled):
    """What an engine did with requests.

    Parameters
    ----------
    name : str
        What tables call it.
    arrivals, first, finished : ndarray
        Seconds from the beginning, [requests]: when each came, had its first token and had all.
    texts : list of list of int
        The new tokens; a simulation has zeros in their places.
    steps : list of Step
        All passes, in order.
    preempted : int
        How often a request had to give its blocks back; its text was read again later.
    """

    name: str
    arrivals: NDArray[np.float64]
    first: NDArray[np.float64]
    finished: NDArray[np.float64]
    texts: list[list[int]]
    steps: list[Step]
    preempted: int

    @property
    def computed(self) -> int:
        """Tokens that went through the model: fewer where beginnings were shared, more after preemption."""
        return sum(step.tokens for step in self.steps)

    @property
    def seconds(self) -> float:
        """From the first arrival to the last token."""
        return float(self.finished.max() - self.arrivals.min())

    @property
    def throughput(self) -> float:
        """New tokens per second."""
        return sum(map(len, self.texts)) / self.seconds

    @property
    def busy(self) -> float:
        """How many requests a pass held on average, over all passes."""
        return float(np.mean([step.requests for step in self.steps]))

    @property
    def to_first(self) -> NDArray[np.float64]:
        """Seconds from arrival to the first token, [requests]."""
        return self.first - self.arrivals

    @property
    def per_token(self) -> NDArray[np.float64]:
        """Seconds for each token after the first, of every request that has more than one."""
        more = np.array([len(text) - 1 for text in self.texts])
        return (self.finished - self.first)[more > 0] / more[more > 0]

    def _row(self) -> tuple[str, ...]:
        ends = [_quantile(part, q) for part in (self.to_first, self.per_token) for q in (0.5, 0.99)]
        return self.name, display.significant(self.throughput), *ends

    def _table(self) -> display.Table:
        return display.Table(_HEADERS, [self._row()], caption=f"{len(self.texts)} requests")


def side_by_side(runs: Mapping[str, Run]) -> str:
    """Return a plain-text table with one row per run, by name.

    Parameters
    ----------
    runs : mapping of str to Run
        The runs by name.

    Returns
    -------
    str
        The table.

    Raises
    ------
    TypeError
        Unless names are mapped to Runs.
    """
    found = arguments.by_name("runs", runs, Run)
    return display.table_text(_HEADERS, [(name, *run._row()[1:]) for name, run in found.items()])


@dataclass(frozen=True, repr=False)
class Gain(display.Text):
    """How many times as much one has as the other: the geometric mean over pairs, and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = map(display.significant, (self.value, self.low, self.high))
        return f"{value}× [{low} to {high}]"


def gain(one: Sequence[float], other: Sequence[float]) -> Gain:
    """Return how many times as much the first has, pair by pair, such as tokens per second at several seeds.

    Parameters
    ----------
    one, other : sequence of float
        Numbers above 0, two pairs at least.

    Returns
    -------
    Gain
        From Student's interval for the mean of the logarithms.

    Raises
    ------
    TypeError, ValueError
        For fewer than two pairs, unequal lengths, or numbers that are not above 0.
    """
    logs: list[list[float]] = []
    for name, values in (("one", one), ("other", other)):
        numbers = arguments.reals(name, values)
        logs.append([math.log(arguments.positive(f"an entry of {name}", each)) for each in numbers])
    if len(logs[0]) != len(logs[1]) or len(logs[0]) < 2:
        counts = f"{len(logs[0])} and {len(logs[1])}"
        raise ValueError(f"one and other must be equally long, at least 2; got {counts}")
    found = statistics.paired(logs[0], logs[1])
    return Gain(*map(math.exp, (found.mean, found.low, found.high)))


def _quantile(seconds: NDArray[np.float64], share: float) -> str:
    """Return a quantile of times as text; a dash where there is no time."""
    return display.seconds(float(np.quantile(seconds, share))) if len(seconds) else "–"


def _lengths(name: str, mean: float, count: int, most: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Draw log-normal lengths with a mean, from 1 to ``most``."""
    middle = math.log(arguments.real(name, mean, 1, most)) - SPREAD**2 / 2
    return np.exp(draw.normal(middle, SPREAD, count)).round().clip(1, most).astype(np.int64)
