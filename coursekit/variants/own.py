"""The dashboard for a network of the reader's: the same seven rows, as far as its architecture allows."""

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit import distillation, dynamic, models, onnx_models, pruning
from coursekit._core.scratch import Scratch
from coursekit.models.inputs import as_inputs, as_module, run
from coursekit.models.networks import logits_of
from coursekit.pruning.neurons import as_chain, linears
from coursekit.variants.examples import Examples
from coursekit.variants.files import Network
from coursekit.variants.rows import BASELINE, VARIANTS, Variant
from coursekit.variants.shrinking import ALPHA, MORE_EPOCHS, SHARE, TEMPERATURE
from coursekit.variants.shrinking import EPOCHS as USUAL_EPOCHS

__all__ = ["Own", "build"]

HIDDEN = 128  # neurons of the network that is made where the reader brings only data
SMALLER = 4  # a student's hidden layers are so many times narrower
EXAMPLES = 2  # an export needs a batch
CALMER = 3  # after pruning, steps are so many times smaller
USUAL = models.Schedule(epochs=USUAL_EPOCHS)
MADE = {
    BASELINE: "the network as it was handed in",
    "int8-dynamic": "the baseline, quantized by PyTorch's one line",
    "onnx-fp32": "the baseline, exported to ONNX",
    "onnx-int8": "that file, quantized by ONNX Runtime",
    "pruned": "the baseline without half of its hidden neurons, trained on",
    "distilled": "a student, taught by the baseline",
    "stacked": "distilled, pruned, quantized, exported to ONNX",
}
MADE_HERE = f"a network with {HIDDEN} hidden neurons, trained here"
NO_STUDENT = "this network has no smaller version of its own kind: hand in an untrained one as student="


@dataclass(frozen=True, repr=False, eq=False)
class Own:
    """What could be built of a network: the ``networks``, and why others were ``left_out``, by name."""

    networks: Mapping[str, Network]
    left_out: Mapping[str, str]
    about: str
    folder: Scratch


def build(
    model: nn.Module | None,
    examples: Examples,
    student: nn.Module | None,
    schedule: models.Schedule | None,
    report: Callable[[float], object],
) -> Own:
    """Make every variant of ``model`` that its architecture allows.

    Parameters
    ----------
    model : nn.Module, optional
        A trained network that returns logits; it is copied. None: one hidden layer, trained here.
    examples : Examples
        What to train and to test on.
    student : nn.Module, optional
        An untrained network for distillation; it is copied. None: a narrower one, where ``model`` is a chain
        of nn.Linear.
    schedule : models.Schedule, optional
        For training from scratch; a third of its epochs follow after pruning.
    report : callable
        Called with the part done.

    Returns
    -------
    Own
        The networks, and what was left out.

    Raises
    ------
    TypeError, ValueError
        If the network cannot take the examples, or returns no logits for their classes.
    """
    plan = USUAL.or_else(schedule, USUAL)
    whole = _baseline(model, examples, plan)
    recipe = _Recipe(whole, examples, _student(student, whole), plan)
    owner = f"own-{recipe.fingerprint()}"
    made: dict[str, Network] = {}
    left_out: dict[str, str] = {}
    for done, variant in enumerate(VARIANTS):
        report(done / len(VARIANTS))
        how = MADE[variant.name] if model is not None or variant.name != BASELINE else MADE_HERE
        mine = replace(variant, made=how, owner=owner)
        try:
            made[variant.name] = recipe.network(mine)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # whatever a step cannot do must not lose the other rows
            if variant.name == BASELINE:
                raise
            left_out[variant.name] = _sentence(error)
    report(1.0)
    count = sum(parameter.numel() for parameter in whole.parameters())
    return Own(made, left_out, f"{type(whole).__name__} of {count:,} parameters", recipe.folder)


class _Recipe:
    """The steps; each makes its network from what the ones before it left here."""

    def __init__(
        self, whole: nn.Module, examples: Examples, student: nn.Module | None, plan: models.Schedule
    ) -> None:
        self.whole, self.examples, self.student, self.plan = whole, examples, student, plan
        self.folder = Scratch()
        self.x, self.y = examples.train()
        self.made: dict[str, Network] = {}

    def network(self, variant: Variant) -> Network:
        """Make one variant and see that it runs."""
        steps: Mapping[str, Callable[[], tuple[int, Any]]] = {
            BASELINE: lambda: _shipped(self.whole),
            "int8-dynamic": lambda: _shipped(dynamic.quantize_dynamic(self.whole)),
            "onnx-fp32": lambda: self._exported(self.whole, "baseline"),
            "onnx-int8": lambda: self._quantized("baseline"),
            "pruned": lambda: _shipped(self._pruned(self.whole)),
            "distilled": lambda: _shipped(self._distilled()),
            "stacked": self._stacked,
        }
        made = Network(variant, *steps[variant.name](), self.examples)
        made.predict(self.examples.test()[0][:EXAMPLES])
        self.made[variant.name] = made
        return made

    def fingerprint(self) -> str:
        """Return what tells this network, these data and this training from others."""
        digest = hashlib.sha256(self.examples.digest())
        digest.update(repr(self.plan).encode())
        for network in filter(None, (self.whole, self.student)):
            digest.update(repr(network).encode())
            for name, part in _numbers(network):
                numbers = part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
                digest.update(name.encode() + numbers.tobytes())
        return digest.hexdigest()[:8]

    def _pruned(self, model: nn.Module) -> nn.Module:
        chain = as_chain(model)
        smaller = pruning.shrink(chain, pruning.neuron_masks(chain, SHARE))
        more = max(1, self.plan.epochs * MORE_EPOCHS // USUAL.epochs)
        models.fit(
            smaller, self.x, self.y, schedule=replace(self.plan, epochs=more, lr=self.plan.lr / CALMER)
        )
        return smaller

    def _distilled(self) -> nn.Module:
        if self.student is None:
            raise ValueError(NO_STUDENT)
        taught, inputs = copy.deepcopy(self.student), logits_of(self.whole, self.x)[0]
        with torch.no_grad():
            answers = run(self.whole, inputs)
        distillation.distil(
            taught, answers, self.x, self.y, temperature=TEMPERATURE, alpha=ALPHA, schedule=self.plan
        )
        return taught

    def _stacked(self) -> tuple[int, Any]:
        if "distilled" not in self.made:
            raise ValueError("it starts from the distilled one, which was left out")
        self._exported(self._pruned(self.made["distilled"].runner), "stacked")
        return self._quantized("stacked")

    def _exported(self, model: nn.Module, name: str) -> tuple[int, Any]:
        path = self.folder.path / f"{name}.onnx"
        onnx_models.export(model, path, as_inputs(model, self.examples.test()[0][:EXAMPLES]))
        return _file(path)

    def _quantized(self, name: str) -> tuple[int, Any]:
        source, target = (self.folder.path / f"{name}{kind}.onnx" for kind in ("", "-int8"))
        if not source.exists():
            raise ValueError("it is made from the ONNX file, which was left out")
        onnx_models.quantize_dynamic(source, target)
        return _file(target)


def _baseline(model: nn.Module | None, examples: Examples, plan: models.Schedule) -> nn.Module:
    """Return the network that everything is made from, on the CPU, after a look at what it answers."""
    if model is None:
        if len(examples.shape) != 1:
            raise ValueError(
                f"model is needed for examples of shape {examples.shape}; without one, data must be rows"
            )
        made = models.mlp((*examples.shape, HIDDEN, examples.classes))
        models.fit(made, *examples.train(), schedule=plan)
        return made
    whole = copy.deepcopy(as_module("model", model)).cpu().eval()
    try:
        _, classes = logits_of(whole, examples.x_test)
    except (TypeError, ValueError) as error:
        raise type(error)(f"model and data must fit together: {error}") from error
    if examples.classes > max(classes, 2):
        raise ValueError(f"model must have a logit for each of the {examples.classes} classes; got {classes}")
    models.predict(whole, examples.x_test)
    return whole


def _student(student: nn.Module | None, whole: nn.Module) -> nn.Module | None:
    if student is not None:
        return copy.deepcopy(as_module("student", student)).cpu()
    try:
        chain = linears(whole)
    except (TypeError, ValueError):
        return None
    if len(chain) < 2:
        return None
    hidden = [max(1, layer.out_features // SMALLER) for layer in chain[:-1]]
    widths = (chain[0].in_features, *hidden, chain[-1].out_features)
    return nn.Sequential(nn.Flatten(), *models.mlp(widths))


def _shipped(model: nn.Module) -> tuple[int, Any]:
    return dynamic.state_dict_size(model), model.eval()


def _file(path: Path) -> tuple[int, Any]:
    return onnx_models.true_size(path), onnx_models.load(path, threads=1, device="cpu")


def _numbers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


def _sentence(error: Exception) -> str:
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    ours = isinstance(error, TypeError | ValueError)
    return said if ours else f"this step cannot take such a network ({type(error).__name__}: {said})"
