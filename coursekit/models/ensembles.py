"""Many networks of one shape at once: started, trained and asked in the same matrix products."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coursekit._core import arguments, arrays
from coursekit.models.inputs import as_device, as_features, pair
from coursekit.models.networks import USUAL, linears, mlp
from coursekit.models.training import Schedule, batch_orders, training

__all__ = [
    "After",
    "Ensemble",
    "Loss",
    "SeenAs",
    "as_ensemble",
    "as_examples",
    "as_masks",
    "fit_many",
    "layer_outputs",
    "picker",
    "start_many",
    "train_many",
    "tune_many",
]

# From the outputs of every layer and the examples' numbers to the sum of all networks' mean losses.
Loss = Callable[[list[Tensor], Tensor], Tensor]
# Told after every epoch: its number, from 1 on, and the networks.
After = Callable[[int, "Ensemble"], object]
# From the number of a layer, 0 first, and its weights to those that the networks compute with.
SeenAs = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True, repr=False)
class Ensemble:
    """Networks of one shape, trained with different seeds.

    Parameters
    ----------
    weights : tuple of Tensor
        Those of every layer, [seeds, out, in].
    biases : tuple of Tensor
        Those of every layer, [seeds, out].
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.weights[0])

    def __repr__(self) -> str:
        return f"{len(self)} networks {'-'.join(map(str, self.widths))}"

    @property
    def widths(self) -> tuple[int, ...]:
        """The sizes of the layers, input first."""
        return (self.weights[0].shape[2], *(weight.shape[1] for weight in self.weights))

    def logits(self, x: Any) -> Tensor:
        """Return the logits of every network for the same examples.

        Parameters
        ----------
        x : array_like
            [n, features].

        Returns
        -------
        Tensor
            [seeds, n, classes].

        Raises
        ------
        TypeError, ValueError
            For another width.
        """
        features = as_features(x, self.widths[0], self.weights[0].device)
        with torch.no_grad():
            return layer_outputs(self.weights, self.biases, features.expand(len(self), *features.shape))[-1]

    def accuracy(self, x: Any, y: Any) -> NDArray[np.float64]:
        """Return every network's share of right answers.

        Parameters
        ----------
        x, y : array_like
            Examples [n, features] and their class numbers [n].

        Returns
        -------
        ndarray
            Fractions [seeds].

        Raises
        ------
        TypeError, ValueError
            For what does not fit.
        """
        features, labels = pair(as_features(x, self.widths[0], self.weights[0].device), y, self.widths[-1])
        return (self.logits(features).argmax(-1) == labels).double().mean(-1).cpu().numpy()

    def model(self, index: int) -> nn.Sequential:
        """Return one of the networks as an ordinary model.

        Parameters
        ----------
        index : int
            Its number, from 0 on.

        Returns
        -------
        nn.Sequential
            A copy, in eval mode.

        Raises
        ------
        TypeError, ValueError
            For a number that is not there.
        """
        index = arguments.integer("index", index, 0, len(self) - 1)
        model = mlp(self.widths).to(self.weights[0].device)
        with torch.no_grad():
            for layer, weight, bias in zip(linears(model), self.weights, self.biases, strict=True):
                layer.weight.copy_(weight[index])
                layer.bias.copy_(bias[index])
        return model.eval()

    def replace(self, weights: Sequence[Tensor]) -> "Ensemble":
        """Return the same networks with other weights (rounded, pruned …), biases kept.

        Parameters
        ----------
        weights : sequence of Tensor
            One per layer, [seeds, out, in].

        Returns
        -------
        Ensemble
            New networks.
        """
        return Ensemble(tuple(weights), self.biases)

    def first(self, count: int) -> "Ensemble":
        """Return the first networks, as views into the same memory.

        Parameters
        ----------
        count : int
            How many, at least 1 and at most all.

        Returns
        -------
        Ensemble
            Some of these networks.

        Raises
        ------
        TypeError, ValueError
            For another number.
        """
        part = slice(arguments.integer("count", count, 1, len(self)))
        return Ensemble(
            tuple(weight[part] for weight in self.weights), tuple(bias[part] for bias in self.biases)
        )

    def copy(self) -> "Ensemble":
        """Return the same networks in memory of their own, such as those that a training still changes.

        Returns
        -------
        Ensemble
            New networks.
        """
        weights, biases = ([part.clone() for part in parts] for parts in (self.weights, self.biases))
        return Ensemble(tuple(weights), tuple(biases))


def fit_many(
    widths: Sequence[int],
    x: Any,
    y: Any,
    *,
    seeds: Sequence[int],
    epochs: int = USUAL.epochs,
    lr: float = USUAL.lr,
    batch_size: int = USUAL.batch_size,
    schedule: Schedule | None = None,
    after: After | None = None,
) -> Ensemble:
    """Train one network per seed, all in the same matrix products.

    Parameters
    ----------
    widths : sequence of int
        The sizes of the layers, input first.
    x : array_like
        Examples [n, features].
    y : array_like
        Class numbers [n].
    seeds : sequence of int
        Network i starts from ``mlp(widths, seeds[i])`` and sees the batches of ``fit(seed=seeds[i])``.
    epochs, lr, batch_size : int, float, int
        As in ``Schedule``.
    schedule : Schedule, optional
        The same three in one object; its seed does not count here.
    after : callable, optional
        As in ``train_many``: whatever ``after`` raises goes through.

    Returns
    -------
    Ensemble
        The networks that ``fit`` would give, up to float rounding: Adam treats every number alone.

    Raises
    ------
    TypeError, ValueError
        As ``fit``.
    """
    start = start_many(widths, seeds, as_device("x", x.device) if isinstance(x, Tensor) else None)
    plan = Schedule(epochs, lr, batch_size).or_else(schedule, USUAL)
    return tune_many(start, x, y, seeds=seeds, schedule=plan, after=after)


def tune_many(
    start: Ensemble,
    x: Any,
    y: Any,
    *,
    seeds: Sequence[int],
    epochs: int = USUAL.epochs,
    lr: float = USUAL.lr,
    batch_size: int = USUAL.batch_size,
    masks: Sequence[Any] | None = None,
    schedule: Schedule | None = None,
    after: After | None = None,
    seen_as: SeenAs | None = None,
) -> Ensemble:
    """Train the networks of ``start`` on with cross-entropy, as ``train_many`` does, and return new ones.

    Parameters
    ----------
    start : Ensemble
        Stays as it is.
    x, y : array_like
        Examples [n, features] and their class numbers [n].
    seeds, epochs, lr, batch_size, masks, schedule, after, seen_as
        As in ``train_many``: whatever ``after`` raises goes through.

    Returns
    -------
    Ensemble
        The trained networks.

    Raises
    ------
    TypeError, ValueError
        As ``fit``, and for one class only, which leaves nothing to learn.
    """
    networks = as_ensemble("start", start)
    place = networks.weights[0].device
    features, labels = pair(as_features(x, networks.widths[0], place), y, networks.widths[-1])
    if networks.widths[-1] == 1:
        raise ValueError("widths must end in at least 2 classes; one logit teaches cross-entropy nothing")

    def cross_entropy(outputs: list[Tensor], rows: Tensor) -> Tensor:
        # Classes in the middle: over a short last axis PyTorch's softmax takes four times as long.
        logits = outputs[-1].transpose(1, 2)
        return functional.cross_entropy(logits, labels[rows], reduction="sum") / rows.shape[1]

    plan = Schedule(epochs, lr, batch_size).or_else(schedule, USUAL)
    told: dict[str, Any] = {"schedule": plan, "after": after, "seen_as": seen_as}
    return train_many(networks, features, cross_entropy, seeds=seeds, masks=masks, **told)


def start_many(widths: Sequence[int], seeds: Sequence[int], device: Any = None) -> Ensemble:
    """Return untrained networks, ``mlp(widths, seed)`` for every seed.

    Parameters
    ----------
    widths, seeds : sequence of int
        The sizes of the layers; one seed per network.
    device : optional
        Where they shall lie; the CPU.

    Returns
    -------
    Ensemble
        One network per seed.

    Raises
    ------
    TypeError, ValueError
        If there are no seeds, widths that ``mlp`` refuses, or a device that is not here.
    """
    place = as_device("device", device)
    networks = [linears(mlp(widths, seed)) for seed in arguments.integers("seeds", seeds, 0)]
    layers = list(zip(*networks, strict=True))
    weights, biases = (
        tuple(torch.stack([getattr(layer, name).detach() for layer in row]).to(place) for row in layers)
        for name in ("weight", "bias")
    )
    return Ensemble(weights, biases)


@training()
def train_many(
    start: Ensemble,
    x: Any,
    loss: Loss,
    *,
    seeds: Sequence[int],
    epochs: int = USUAL.epochs,
    lr: float = USUAL.lr,
    batch_size: int = USUAL.batch_size,
    masks: Sequence[Any] | None = None,
    extra: Sequence[Tensor] = (),
    schedule: Schedule | None = None,
    after: After | None = None,
    seen_as: SeenAs | None = None,
) -> Ensemble:
    """Train the networks of ``start`` on with Adam and a loss of your own, and return them as new ones.

    Parameters
    ----------
    start : Ensemble
        Stays as it is.
    x : array_like
        Examples [n, features], or [networks, n, features] where each network has its own.
    loss : callable
        ``loss(outputs, rows)``: outputs holds the batch after every layer, hidden ones after their ReLU,
        [networks, batch, width]; rows are the numbers of its examples, [networks, batch]. It returns the
        **sum** over networks of each one's mean, so that each gets the gradient it would get alone. Whatever
        ``loss`` raises goes through.
    seeds : sequence of int
        One per network, for the order of its batches.
    epochs, lr, batch_size : int, float, int
        As in ``Schedule``.
    masks : sequence, optional
        One per layer, [networks, out, in], False (or 0) where a weight is held at 0.
    extra : sequence of Tensor
        What is trained in place along with the networks.
    schedule : Schedule, optional
        Epochs, lr and batch_size in one object; its seed does not count here.
    after : callable, optional
        ``after(epoch, networks)`` is called after every epoch, 1 first, with the networks as they are then.
        They are those that a training of so many epochs gives, so one long training stands for all shorter
        ones. They change with the next epoch: ``networks.copy()`` keeps them. Whatever ``after`` raises goes
        through.
    seen_as : callable, optional
        ``seen_as(layer, weight)`` returns what the layer computes with at this step, in the shape of its
        weights [networks, out, in]: fake quantization, say. What is trained, and returned, stays the weight
        itself; its gradient comes through ``seen_as``, and whatever ``seen_as`` raises goes through.

    Returns
    -------
    Ensemble
        The trained networks.

    Raises
    ------
    TypeError, ValueError
        For what does not fit, and for a training that diverges.
    """
    plan = Schedule(epochs, lr, batch_size).or_else(schedule, USUAL)
    drawn = arguments.integers("seeds", seeds, 0)
    if len(drawn) != len(as_ensemble("start", start)):
        raise ValueError(f"seeds must hold one seed per network, {len(start)}; got {len(drawn)}")
    examples, held = as_examples(x, start), as_masks("masks", masks, start.weights)
    arguments.function("loss", loss, "with the outputs and the examples' numbers")
    tell, seen = _told(after), _seen_as(seen_as)
    weights, biases = (
        [part.clone().requires_grad_() for part in parts] for parts in (start.weights, start.biases)
    )
    learned = arguments.instances("extra", extra, Tensor, empty=True)
    optimizer = torch.optim.Adam([*weights, *biases, *learned], lr=plan.lr, fused=True)
    _hold(weights, held)
    made = Ensemble(tuple(w.detach() for w in weights), tuple(b.detach() for b in biases))
    pick = picker(examples)
    for epoch, order in enumerate(_orders(examples.shape[1], plan.epochs, drawn), 1):
        for rows in order.to(examples.device).split(plan.batch_size, dim=1):
            optimizer.zero_grad()
            loss(layer_outputs(seen(weights), biases, pick(rows)), rows).backward()
            optimizer.step()
            _hold(weights, held)
        _check_finite([*weights, *biases], plan.lr)
        tell(epoch, made)
    return made


def picker(examples: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that picks rows of every network's examples, several times as fast as two indices.

    Parameters
    ----------
    examples : Tensor
        [networks, n, …], where all networks may share their memory.

    Returns
    -------
    callable
        From the numbers of examples, [networks, batch], to the examples, [networks, batch, …].
    """
    count, shape = examples.shape[1], examples.shape[2:]
    shared = examples.stride(0) == 0
    flat = examples[0] if shared else examples.flatten(0, 1)
    first = torch.arange(len(examples), device=examples.device).unsqueeze(1) * (0 if shared else count)
    return lambda rows: flat.index_select(0, (first + rows).flatten()).view(*rows.shape, *shape)


def layer_outputs(weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """Run examples through all networks.

    Parameters
    ----------
    weights, biases : sequence of Tensor
        Those of every layer, [networks, out, in] and [networks, out].
    x : Tensor
        [networks, n, features].

    Returns
    -------
    list of Tensor
        The batch after every layer (and its ReLU), [networks, n, out].
    """
    outputs = []
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
        x = torch.relu(x) if layer < len(weights) else x
        outputs.append(x)
    return outputs


def as_ensemble(name: str, networks: Any) -> Ensemble:
    """Return ``networks`` if they are an Ensemble.

    Parameters
    ----------
    name : str
        The argument's name in the caller's signature.
    networks : object
        What the caller handed in.

    Returns
    -------
    Ensemble
        The networks.

    Raises
    ------
    TypeError
        If they are something else.
    """
    if not isinstance(networks, Ensemble):
        raise TypeError(f"{name} must be a models.Ensemble; got {type(networks).__name__}")
    return networks


def as_examples(x: Any, networks: Ensemble) -> Tensor:
    """Return the examples as [networks, n, features], without copying those that all share.

    Parameters
    ----------
    x, networks : array_like, Ensemble
        The examples, [n, features] or [networks, n, features], and the networks that see them.

    Returns
    -------
    Tensor
        [networks, n, features].

    Raises
    ------
    TypeError, ValueError
        Unless they are finite numbers in one of the two shapes.
    """
    device = networks.weights[0].device
    if getattr(x, "ndim", 2) == 3:
        own = torch.as_tensor(arguments.array("x", x, ndim=3), device=device)
        if (own.shape[0], own.shape[2]) != (len(networks), networks.widths[0]):
            raise ValueError(
                f"x must be [{len(networks)}, n, {networks.widths[0]}] or [n, {networks.widths[0]}]; "
                f"got {tuple(own.shape)}"
            )
        return own
    shared = as_features(x, networks.widths[0], device)
    return shared.expand(len(networks), *shared.shape)


def as_masks(name: str, masks: Any, weights: Sequence[Tensor]) -> list[Tensor]:
    """Return masks as bool tensors, one beside each weight, or none where ``masks`` is None.

    Parameters
    ----------
    name : str
        The argument that they came as.
    masks : sequence, optional
        Bools, or numbers that are all 0 or 1, each in the shape of its weight.
    weights : sequence of Tensor
        What they hold.

    Returns
    -------
    list of Tensor
        Bools, on the weights' devices.

    Raises
    ------
    TypeError, ValueError
        For other numbers, shapes, or another number of masks.
    """
    if masks is None:
        return []
    if isinstance(masks, str) or not isinstance(masks, Iterable) or arrays.special(masks) is not None:
        raise TypeError(f"{name} must be a list of masks, one per layer; got {type(masks).__name__}")
    try:
        given = list(masks)
    except (TypeError, RuntimeError):  # an array without an axis
        raise TypeError(f"{name} must be a list of masks; got {arguments.shown(masks)}") from None
    if len(given) != len(weights):
        raise ValueError(f"{name} must hold {len(weights)} masks, one per layer; got {len(given)}")
    return [
        _mask(f"{name}[{number}]", mask, weight)
        for number, (mask, weight) in enumerate(zip(given, weights, strict=True))
    ]


def _mask(name: str, value: Any, weight: Tensor) -> Tensor:
    try:
        mask = torch.as_tensor(arguments.dense(name, value), device=weight.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be an array of True and False; got {type(value).__name__}") from None
    if mask.shape != weight.shape:
        raise ValueError(f"{name} must have the shape {tuple(weight.shape)}; got {tuple(mask.shape)}")
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(f"{name} must hold True and False, or 1 and 0; got other numbers")
    return mask.to(torch.bool)


def _orders(count: int, epochs: int, seeds: Sequence[int]) -> Iterator[Tensor]:
    """Yield every epoch's order of the examples for each seed, [seeds, count]; equal seeds share theirs."""
    each = list(dict.fromkeys(seeds))
    places = torch.tensor([each.index(seed) for seed in seeds])
    for orders in zip(*(batch_orders(count, epochs, seed) for seed in each), strict=True):
        yield torch.stack(orders)[places]


def _told(after: After | None) -> After:
    if after is None:
        return lambda epoch, networks: None
    arguments.function("after", after, "with the epoch's number and the networks")
    return after


def _seen_as(change: SeenAs | None) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    """Return what makes of all layers' weights those that the networks compute with."""
    if change is None:
        return lambda weights: weights
    arguments.function("seen_as", change, "with the layer's number and its weights")

    def seen(weights: Sequence[Tensor]) -> list[Tensor]:
        made = [change(layer, weight) for layer, weight in enumerate(weights)]
        for shown, weight in zip(made, weights, strict=True):
            if not isinstance(shown, Tensor) or shown.shape != weight.shape:
                raise ValueError(
                    f"seen_as must return a tensor of shape {tuple(weight.shape)}; "
                    f"got {arguments.shown(shown)}"
                )
        return made

    return seen


def _hold(weights: Sequence[Tensor], masks: Sequence[Tensor]) -> None:
    """Set the weights that the masks leave out to 0."""
    with torch.no_grad():
        for weight, mask in zip(weights, masks, strict=bool(masks)):
            weight.mul_(mask)


def _check_finite(parts: Sequence[Tensor], lr: float) -> None:
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        raise ValueError(f"lr, {lr:g}, or the numbers in x are too large: the training diverged")
