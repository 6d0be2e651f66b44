"""The course's small networks: build, fit, predict, and train many seeds at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coursekit import _arguments, runtime

DIGITS_WIDTHS = (64, 128, 10)
# The products are so small that sharing them between threads costs more than it brings, on a busy machine
# forty times more. As a decorator it restores the reader's number of threads after each training.
one_thread = runtime.threads(1)


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
        features = _features(x, self.widths[0], self.weights[0].device)
        with torch.no_grad():
            return _forward(self.weights, self.biases, features.expand(len(self), *features.shape))

    def accuracy(self, x: Any, y: Any) -> NDArray[np.float64]:
        """Return every network's share of right answers, [seeds]."""
        labels = _labels(y, self.widths[-1], self.weights[0].device)
        return (self.logits(x).argmax(-1) == labels).double().mean(-1).cpu().numpy()

    def model(self, index: int) -> nn.Sequential:
        """Return network ``index`` as an ordinary model."""
        index = _arguments.integer("index", index, 0, len(self) - 1)
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
    sizes = [_arguments.integer("widths", width, 1) for width in widths]
    if len(sizes) < 2:
        raise ValueError(f"widths must name at least an input and an output size; got {tuple(sizes)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_arguments.integer("seed", seed, 0))
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        layers = [part for inputs, outputs in pairs for part in (nn.Linear(inputs, outputs), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


@one_thread
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
    optimizer = torch.optim.Adam(model.parameters(), lr=_arguments.real("lr", lr, 0))
    losses = []
    model.train()
    for order in _orders(len(features), epochs, seed):
        total = 0.0
        for batch in order.to(device).split(_arguments.integer("batch_size", batch_size, 1)):
            loss = functional.cross_entropy(model(features[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(features))
    model.eval()
    return History(tuple(losses))


@one_thread
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
    device = x.device if isinstance(x, Tensor) else torch.device("cpu")
    networks = [_linears(mlp(widths, seed)) for seed in seeds]
    if not networks:
        raise ValueError("seeds is empty: at least one seed is needed")
    features, labels = _pair(x, y, networks[0][0].in_features, networks[0][-1].out_features, device)
    layers = list(zip(*networks, strict=True))
    weights = [_stack([layer.weight for layer in row], device) for row in layers]
    biases = [_stack([layer.bias for layer in row], device) for row in layers]
    optimizer = torch.optim.Adam([*weights, *biases], lr=_arguments.real("lr", lr, 0))
    for orders in zip(*(_orders(len(features), epochs, seed) for seed in seeds), strict=True):
        for batch in (
            torch.stack(orders).to(device).split(_arguments.integer("batch_size", batch_size, 1), dim=1)
        ):
            logits = _forward(weights, biases, features[batch])
            # The mean over a batch, summed over seeds: each network gets the gradient it would get alone.
            loss = functional.cross_entropy(logits.flatten(0, 1), labels[batch].flatten(), reduction="sum")
            optimizer.zero_grad()
            (loss / batch.shape[1]).backward()
            optimizer.step()
    return Ensemble(tuple(w.detach() for w in weights), tuple(b.detach() for b in biases))


def predict(model: nn.Module, x: Any) -> NDArray[np.int64]:
    """Return the class numbers [n] that ``model`` gives for ``x`` [n, features]."""
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    features = torch.as_tensor(_arguments.array("x", x, ndim=2), device=device)
    with torch.no_grad():
        return model(features).argmax(-1).cpu().numpy()


def _forward(weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor) -> Tensor:
    """Run [seeds, n, features] through every network at once: one batched product per layer."""
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias.unsqueeze(1), torch.relu(x) if layer else x, weight.transpose(1, 2))
    return x


def _orders(count: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yield a fresh random order of ``count`` examples for every epoch."""
    generator = torch.Generator().manual_seed(_arguments.integer("seed", seed, 0))
    for _ in range(_arguments.integer("epochs", epochs, 1)):
        yield torch.randperm(count, generator=generator)


def _stack(parameters: Sequence[Tensor], device: torch.device) -> Tensor:
    return torch.stack([p.detach() for p in parameters]).to(device).requires_grad_()


def _linears(model: nn.Module) -> list[nn.Linear]:
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"model must contain at least one nn.Linear; got {type(model).__name__}")
    return found


def _pair(x: Any, y: Any, features: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    inputs, labels = _features(x, features, device), _labels(y, classes, device)
    if len(inputs) != len(labels):
        raise ValueError(f"x and y must have equally many rows; got {len(inputs)} and {len(labels)}")
    return inputs, labels


def _features(x: Any, width: int, device: torch.device) -> Tensor:
    values = _arguments.array("x", x, ndim=2)
    if values.shape[1] != width:
        raise ValueError(f"x must have {width} features per row; got shape {values.shape}")
    return torch.as_tensor(values, device=device)


def _labels(y: Any, classes: int, device: torch.device) -> Tensor:
    values = _arguments.array("y", y, dtype=np.float64, ndim=1)
    if (values != np.round(values)).any() or values.min() < 0 or values.max() >= classes:
        raise ValueError(
            f"y must hold class numbers from 0 to {classes - 1}; got {values.min():g} to {values.max():g}"
        )
    return torch.as_tensor(values.astype(np.int64), device=device)
