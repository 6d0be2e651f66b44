"""Small networks: build, fit, predict, and train many seeds at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coursekit._core import arguments
from coursekit.models.training import training

__all__ = [
    "DIGITS_WIDTHS",
    "Ensemble",
    "History",
    "Loss",
    "as_examples",
    "as_features",
    "as_labels",
    "batch_orders",
    "fit",
    "fit_many",
    "layer_outputs",
    "mlp",
    "predict",
    "start_many",
    "train_many",
    "tune_many",
]

DIGITS_WIDTHS = (64, 128, 10)
# From the outputs of every layer and the examples' numbers to the sum of all networks' mean losses.
Loss = Callable[[list[Tensor], Tensor], Tensor]


@dataclass(frozen=True, repr=False)
class History:
    """The mean training loss of every epoch."""

    losses: tuple[float, ...]

    def __repr__(self) -> str:
        return f"{len(self.losses)} epochs, loss from {self.losses[0]:.3f} to {self.losses[-1]:.3f}"


@dataclass(frozen=True, repr=False)
class Ensemble:
    """Networks of one shape, trained with different seeds: ``weights[layer]`` is [seeds, out, in]."""

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
        """Return the logits [seeds, n, classes] of every network for the same ``x`` [n, features]."""
        features = as_features(x, self.widths[0], self.weights[0].device)
        with torch.no_grad():
            return layer_outputs(self.weights, self.biases, features.expand(len(self), *features.shape))[-1]

    def accuracy(self, x: Any, y: Any) -> NDArray[np.float64]:
        """Return every network's share of right answers, [seeds]; x is [n, features], y class numbers [n]."""
        features, labels = _pair(x, y, self.widths[0], self.widths[-1], self.weights[0].device)
        return (self.logits(features).argmax(-1) == labels).double().mean(-1).cpu().numpy()

    def model(self, index: int) -> nn.Sequential:
        """Return network ``index`` as an ordinary model."""
        index = arguments.integer("index", index, 0, len(self) - 1)
        model = mlp(self.widths).to(self.weights[0].device)
        with torch.no_grad():
            for layer, weight, bias in zip(_linears(model), self.weights, self.biases, strict=True):
                layer.weight.copy_(weight[index])
                layer.bias.copy_(bias[index])
        return model.eval()

    def replace(self, weights: Sequence[Tensor]) -> "Ensemble":
        """Return the same networks with other weights (rounded, pruned …), biases kept."""
        return Ensemble(tuple(weights), self.biases)


def mlp(widths: Sequence[int] = DIGITS_WIDTHS, seed: int = 0) -> nn.Sequential:
    """Return an untrained Linear-ReLU-…-Linear network; ``seed`` fixes its weights and disturbs no other."""
    sizes = [arguments.integer("widths", width, 1) for width in widths]
    if len(sizes) < 2:
        raise ValueError(f"widths must name at least an input and an output size; got {tuple(sizes)}")
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed every GPU as well.
        torch.default_generator.manual_seed(arguments.integer("seed", seed, 0))
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        layers = [part for inputs, outputs in pairs for part in (nn.Linear(inputs, outputs), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


@training()
def fit(
    model: nn.Sequential,
    x: Any,
    y: Any,
    *,
    epochs: int = 30,
    lr: float = 3e-3,
    batch_size: int = 64,
    seed: int = 0,
) -> History:
    """Train ``model`` in place with Adam and cross-entropy; x is [n, features], y holds class numbers [n]."""
    linears = _linears(model)
    device = linears[0].weight.device
    features, labels = _pair(x, y, linears[0].in_features, linears[-1].out_features, device)
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.real("lr", lr, 0))
    losses = []
    model.train()
    for order in batch_orders(len(features), epochs, seed):
        total = 0.0
        for batch in order.to(device).split(arguments.integer("batch_size", batch_size, 1)):
            loss = functional.cross_entropy(model(features[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(features))
    model.eval()
    return History(tuple(losses))


def fit_many(
    widths: Sequence[int],
    x: Any,
    y: Any,
    *,
    seeds: Sequence[int],
    epochs: int = 30,
    lr: float = 3e-3,
    batch_size: int = 64,
) -> Ensemble:
    """Train one network per seed, all in the same matrix products, and return them.

    Network i starts from ``mlp(widths, seeds[i])`` and sees the batches of ``fit(seed=seeds[i])``: it is the
    network that ``fit`` would give, up to float rounding; Adam treats every number alone.
    """
    start = start_many(widths, seeds, x.device if isinstance(x, Tensor) else None)
    return tune_many(start, x, y, seeds=seeds, epochs=epochs, lr=lr, batch_size=batch_size)


def tune_many(
    start: Ensemble,
    x: Any,
    y: Any,
    *,
    seeds: Sequence[int],
    epochs: int = 30,
    lr: float = 3e-3,
    batch_size: int = 64,
    masks: Sequence[Tensor] | None = None,
) -> Ensemble:
    """Train the networks of ``start`` on with cross-entropy, as ``train_many`` does, and return new ones."""
    features, labels = _pair(x, y, start.widths[0], start.widths[-1], start.weights[0].device)

    def cross_entropy(outputs: list[Tensor], rows: Tensor) -> Tensor:
        logits = outputs[-1].flatten(0, 1)
        return functional.cross_entropy(logits, labels[rows].flatten(), reduction="sum") / rows.shape[1]

    return train_many(
        start, features, cross_entropy, seeds=seeds, epochs=epochs, lr=lr, batch_size=batch_size, masks=masks
    )


def start_many(widths: Sequence[int], seeds: Sequence[int], device: Any = None) -> Ensemble:
    """Return untrained networks, ``mlp(widths, seed)`` for every seed."""
    networks = [_linears(mlp(widths, seed)) for seed in seeds]
    if not networks:
        raise ValueError("seeds is empty: at least one seed is needed")
    layers = list(zip(*networks, strict=True))
    weights, biases = (
        tuple(torch.stack([getattr(layer, name).detach() for layer in row]).to(device) for row in layers)
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
    epochs: int = 30,
    lr: float = 3e-3,
    batch_size: int = 64,
    masks: Sequence[Tensor] | None = None,
    extra: Sequence[Tensor] = (),
) -> Ensemble:
    """Train the networks of ``start`` on with Adam and a loss of your own, and return them as new ones.

    x: [n, features], or [networks, n, features] where each has its own examples. loss(outputs, rows): outputs
    holds the batch after every layer, hidden ones after their ReLU, [networks, batch, width]; rows are the
    numbers of its examples, [networks, batch]. It returns the **sum** over networks of each one's mean, so
    that each gets the gradient it would get alone. seeds: one per network, for the order of its batches.
    masks: one per layer, [networks, out, in], False where a weight is held at 0. extra: tensors that are
    trained in place along with the networks.
    """
    if len(seeds) != len(start):
        raise ValueError(f"seeds must hold one seed per network, {len(start)}; got {len(seeds)}")
    examples = as_examples(x, start)
    weights, biases = (
        [part.clone().requires_grad_() for part in parts] for parts in (start.weights, start.biases)
    )
    optimizer = torch.optim.Adam([*weights, *biases, *extra], lr=arguments.real("lr", lr, 0))
    _hold(weights, masks)
    networks = torch.arange(len(start), device=examples.device).unsqueeze(1)
    for orders in zip(*(batch_orders(examples.shape[1], epochs, seed) for seed in seeds), strict=True):
        order = torch.stack(orders).to(examples.device)
        for rows in order.split(arguments.integer("batch_size", batch_size, 1), dim=1):
            optimizer.zero_grad()
            loss(layer_outputs(weights, biases, examples[networks, rows]), rows).backward()
            optimizer.step()
            _hold(weights, masks)
    return Ensemble(tuple(w.detach() for w in weights), tuple(b.detach() for b in biases))


def predict(model: nn.Module, x: Any) -> NDArray[np.int64]:
    """Return the class numbers [n] that ``model``, in eval mode meanwhile, gives for ``x`` [n, features]."""
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    features = torch.as_tensor(arguments.array("x", x, ndim=2), device=device)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            return model(features).argmax(-1).cpu().numpy()
    finally:
        for module in training:
            module.training = True


def layer_outputs(weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """Run [networks, n, features] through all networks; return the batch after every layer (and its ReLU)."""
    outputs = []
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
        x = torch.relu(x) if layer < len(weights) else x
        outputs.append(x)
    return outputs


def _hold(weights: Sequence[Tensor], masks: Sequence[Tensor] | None) -> None:
    """Set the weights that the masks leave out to 0."""
    with torch.no_grad():
        for weight, mask in zip(weights, masks or (), strict=masks is not None):
            weight.mul_(mask)


def as_examples(x: Any, networks: Ensemble) -> Tensor:
    """Return the examples as [networks, n, features], without copying those that all share."""
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


def batch_orders(count: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yield a fresh random order of ``count`` examples for every epoch."""
    generator = torch.Generator().manual_seed(arguments.integer("seed", seed, 0))
    for _ in range(arguments.integer("epochs", epochs, 1)):
        yield torch.randperm(count, generator=generator)


def _linears(model: nn.Module) -> list[nn.Linear]:
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"model must contain at least one nn.Linear; got {type(model).__name__}")
    return found


def _pair(x: Any, y: Any, features: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    inputs, labels = as_features(x, features, device), as_labels(y, classes, device)
    if len(inputs) != len(labels):
        raise ValueError(f"x and y must have equally many rows; got {len(inputs)} and {len(labels)}")
    return inputs, labels


def as_features(x: Any, width: int, device: torch.device) -> Tensor:
    """Return ``x`` as float32 [n, width] on ``device``; ValueError for another width."""
    values = arguments.array("x", x, ndim=2)
    if values.shape[1] != width:
        raise ValueError(f"x must have {width} features per row; got shape {values.shape}")
    return torch.as_tensor(values, device=device)


def as_labels(y: Any, classes: int, device: torch.device) -> Tensor:
    """Return ``y`` as class numbers [n] on ``device``; ValueError for what is not one of ``classes``."""
    values = arguments.array("y", y, dtype=np.float64, ndim=1)
    if (values != np.round(values)).any() or values.min() < 0 or values.max() >= classes:
        raise ValueError(
            f"y must hold class numbers from 0 to {classes - 1}; got {values.min():g} to {values.max():g}"
        )
    return torch.as_tensor(values.astype(np.int64), device=device)
