"""The networks behind the dashboard's rows: made, kept in the results folder, and loaded again."""

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit import dynamic, models, onnx_models, runtime
from coursekit._core import display, files, folders
from coursekit.models import labels
from coursekit.models.inputs import as_inputs
from coursekit.variants import shrinking
from coursekit.variants.examples import Examples
from coursekit.variants.rows import BASELINE, Variant

__all__ = ["Loader", "Network", "folder", "load", "make"]

SEED = 0
RECIPE = 1  # one more whenever a recipe changes, so that kept networks are made again
EXAMPLES = 2  # an export needs a batch


@dataclass(frozen=True, repr=False)
class Network(display.Shown):
    """One variant, ready to run.

    Parameters
    ----------
    variant : Variant
        What it is.
    size_bytes : int
        What has to be shipped.
    runner : nn.Module or onnx_models.Runner
        What answers.
    examples : Examples, optional
        The reader's own data, on which it is judged; None: the digits.
    """

    variant: Variant
    size_bytes: int
    runner: Any
    examples: Examples | None = None

    @property
    def name(self) -> str:
        """The row's name."""
        return self.variant.name

    def call(self, x: Tensor) -> Callable[[], Any]:
        """Return a function that runs the network as an app would, and does nothing else.

        Parameters
        ----------
        x : Tensor
            The examples, [n, …]; the reader's own are handed on in the type that this network takes.

        Returns
        -------
        callable
            The function, without arguments.
        """
        if isinstance(self.runner, nn.Module):
            given = x if self.examples is None else as_inputs(self.runner, x)
            return lambda: self.runner(given)
        session, (name, kind, _) = self.runner.session, self.runner.inputs[0]
        feed = {name: np.ascontiguousarray(x.numpy(), kind)}
        return lambda: session.run(None, feed)

    def predict(self, x: Tensor) -> NDArray[np.int64]:
        """Return the classes [n] that the network gives to ``x`` [n, …].

        Parameters
        ----------
        x : Tensor
            The examples, [n, …].

        Returns
        -------
        ndarray of int64
            Class numbers, [n].
        """
        if self.examples is not None:
            answers = self.call(x)()
            given = torch.from_numpy(answers[0]) if isinstance(answers, list) else answers
            return labels.from_outputs(given, len(x), labels.LOGITS)  # logits_of has seen to it
        if isinstance(self.runner, nn.Module):
            with torch.inference_mode():
                return self.runner(x).argmax(-1).numpy()
        return onnx_models.predict(self.runner, x.numpy())

    def __str__(self) -> str:
        return f"{self.name}: {self.variant.made}, {self.size_bytes:,} bytes"


def folder() -> Path:
    """Return where the networks are kept: a folder beside the scoreboard, made when missing.

    It is this user's alone; where somebody else has taken its name, it has another one.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    return folders.private(runtime.home(), f"variants-{RECIPE}")


def load(variant: Variant) -> Network | None:
    """Return the kept network of a variant, or None if there is none that can be read.

    Parameters
    ----------
    variant : Variant
        The variant.

    Returns
    -------
    Network or None
        The network; None if its file is missing or damaged.
    """
    kind, source = _LOADERS[variant.name]
    try:
        return kind(variant, folder() / source)
    except _UNREADABLE:
        return None


def make(variant: Variant) -> Network:
    """Build a variant from what the others left in the folder, keep it, and return it.

    Parameters
    ----------
    variant : Variant
        The variant.

    Returns
    -------
    Network
        The network.

    Raises
    ------
    RuntimeError
        If its file cannot be read back.
    """
    _MAKERS[variant.name]()
    network = load(variant)
    if network is None:
        raise RuntimeError(f"{variant.name} was built, but its file in {folder()} cannot be read back")
    return network


def _baseline() -> None:
    _keep("baseline.pt", shrinking.baseline([SEED]).networks.model(0))


def _pruned() -> None:
    _keep("pruned.pt", shrinking.prune(_stage("baseline.pt")).networks.model(0))


def _distilled() -> None:
    _keep("distilled.pt", shrinking.distil(_stage("baseline.pt")).networks.model(0))


def _onnx_fp32() -> None:
    _export("baseline.pt", "baseline.onnx")


def _onnx_int8() -> None:
    _quantize("baseline.onnx", "baseline-int8.onnx")


def _stacked() -> None:
    _keep("stacked.pt", shrinking.prune(_stage("distilled.pt")).networks.model(0))
    _export("stacked.pt", "stacked-fp32.onnx")
    _quantize("stacked-fp32.onnx", "stacked.onnx")


def _stage(file: str) -> shrinking.Stage:
    model = _read(folder() / file)
    return shrinking.Stage(shrinking.stacked([model]), (SEED,))


def _export(source: str, target: str) -> None:
    example = torch.zeros(EXAMPLES, shrinking.WIDTHS[0])
    kept = folder()
    onnx_models.export(_read(kept / source), kept / target, example)
    (kept / target).chmod(files.OWNER_ONLY)


def _quantize(source: str, target: str) -> None:
    kept = folder()
    onnx_models.quantize_dynamic(kept / source, kept / target)
    (kept / target).chmod(files.OWNER_ONLY)


def _keep(file: str, model: nn.Module) -> None:
    """Write the weights in one step: whoever reads meanwhile finds the old file or the new one."""
    buffer = io.BytesIO()  # a file's name would get into the file, and make it larger
    torch.save(model.state_dict(), buffer)
    files.replace(folder() / file, buffer.getvalue())


def _read(path: Path) -> nn.Sequential:
    """Return the network whose weights are in the file."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    matrices = [tensor for name, tensor in state.items() if name.endswith("weight")]
    widths = [*(matrix.shape[1] for matrix in matrices), 10]
    model = models.mlp(widths)
    model.load_state_dict(state)
    if widths[0] != 64 or not all(tensor.isfinite().all() for tensor in state.values()):
        raise ValueError(f"{path.name} holds no network for digits")
    return model


def _torch_network(variant: Variant, path: Path) -> Network:
    model = _read(path)
    return Network(variant, dynamic.state_dict_size(model), model)


def _int8_network(variant: Variant, path: Path) -> Network:
    model = dynamic.quantize_dynamic(_read(path))
    return Network(variant, dynamic.state_dict_size(model), model)


def _onnx_network(variant: Variant, path: Path) -> Network:
    return Network(variant, onnx_models.true_size(path), onnx_models.load(path, threads=1, device="cpu"))


# What torch.load and _read raise for files that were cut, changed, or hold something else.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    AttributeError,
    AssertionError,
    EOFError,
    pickle.UnpicklingError,
    struct.error,
)
Loader = Callable[[Variant, Path], Network]
_LOADERS: Mapping[str, tuple[Loader, str]] = MappingProxyType(
    {
        BASELINE: (_torch_network, "baseline.pt"),
        "int8-dynamic": (_int8_network, "baseline.pt"),
        "onnx-fp32": (_onnx_network, "baseline.onnx"),
        "onnx-int8": (_onnx_network, "baseline-int8.onnx"),
        "pruned": (_torch_network, "pruned.pt"),
        "distilled": (_torch_network, "distilled.pt"),
        "stacked": (_onnx_network, "stacked.onnx"),
    }
)
_MAKERS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        BASELINE: _baseline,
        "int8-dynamic": lambda: None,  # made from the baseline whenever it is loaded
        "onnx-fp32": _onnx_fp32,
        "onnx-int8": _onnx_int8,
        "pruned": _pruned,
        "distilled": _distilled,
        "stacked": _stacked,
    }
)
