"""Write a network in the formats of ExecuTorch and LiteRT: in a process of its own, within a minute or so."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit._core import arguments, scratch
from coursekit.deployment.runtimes import FEATURES, FILES, Runtime

__all__ = ["CONVERTED", "convert"]

if TYPE_CHECKING:
    from torch import nn

CONVERTED = {"ExecuTorch": ("FP32", "INT8 static"), "LiteRT": ("FP32", "INT8 dynamic")}
SECONDS = 300.0
LAST_WORDS = 300


def convert(model: "nn.Module", folder: str | Path, runtime: Runtime, pictures: Any) -> dict[str, Path]:
    """Write a network in a runtime's own format, once in FP32 and once in INT8.

    Parameters
    ----------
    model : torch.nn.Module
        From pictures [1, 64] to logits; of PyTorch's or coursekit's own classes.
    folder : path
        Where the files go; it must exist.
    runtime : Runtime
        ExecuTorch or LiteRT, as ``find`` returns them.
    pictures : array_like
        What INT8 is calibrated on, float32 [n, 64].

    Returns
    -------
    dict of str to Path
        The files, by the numbers that they hold.

    Raises
    ------
    TypeError, ValueError
        For a runtime that reads ONNX files, a folder that is not there, or pictures of another shape.
    RuntimeError
        With the converter's own words, if it fails.
    """
    import torch

    arguments.module("model", model)
    arguments.instance("runtime", runtime, Runtime)
    if runtime.name not in FILES:
        raise ValueError(f"runtime must be one of {', '.join(FILES)}; {runtime.name} reads the .onnx file")
    place = arguments.path("folder", folder).absolute()
    if not place.is_dir():
        raise ValueError(f"folder must exist; got {place}")
    x = arguments.array("pictures", pictures, np.float32, 2)
    if not len(x) or x.shape[1] != FEATURES:
        raise ValueError(f"pictures must have shape [n, {FEATURES}]; got {x.shape}")
    made = {numbers: place / f"{_stem(numbers)}{FILES[runtime.name]}" for numbers in CONVERTED[runtime.name]}
    with _removed(scratch.Scratch()) as work:
        torch.save(model, work / "model.pt")
        np.save(work / "pictures.npy", x)
        _run([runtime.name, str(work), *map(str, made.values())])
    return made


def _executorch(model: Any, x: Any, whole: str, rounded: str) -> None:
    """Write a .pte file for XNNPACK's kernels, and one of the calibrated network."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    example = (x[:1],)

    def write(program: Any, path: str) -> None:
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        Path(path).write_bytes(lowered.to_executorch().buffer)

    exported = torch.export.export(model, example)
    write(exported, whole)
    config = xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    prepared = prepare_pt2e(exported.module(), xnnpack_quantizer.XNNPACKQuantizer().set_global(config))
    for picture in x:
        prepared(picture[None])
    write(torch.export.export(convert_pt2e(prepared), example), rounded)


def _litert(model: Any, x: Any, whole: str, rounded: str) -> None:
    """Write a .tflite file, and one with weights in INT8 whose activations are rounded on the way."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    litert_torch.convert(model, (x[:1],)).export(whole)
    rounding = quantizer.Quantizer(whole)
    rounding.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    rounding.quantize().export_model(rounded, overwrite=True)


def _main(name: str, folder: str, whole: str, rounded: str) -> None:
    """Convert the network that lies in a folder."""
    import torch

    model = torch.load(Path(folder, "model.pt"), weights_only=False, map_location="cpu").eval()
    x = torch.from_numpy(np.load(Path(folder, "pictures.npy")))
    ways: dict[str, Callable[[Any, Any, str, str], None]] = {"ExecuTorch": _executorch, "LiteRT": _litert}
    ways[name](model, x, whole, rounded)


class _removed:
    """A scratch folder's path, for a block."""

    def __init__(self, folder: scratch.Scratch) -> None:
        self.folder = folder

    def __enter__(self) -> Path:
        return self.folder.path

    def __exit__(self, *error: object) -> None:
        self.folder.remove()


def _stem(numbers: str) -> str:
    return numbers.lower().replace(" ", "-")


def _run(given: list[str]) -> None:
    code = f"import sys; sys.path[:] = {json.dumps(sys.path)}; "
    code += f"from {__name__} import _main; _main(*sys.argv[1:])"
    command = [sys.executable, "-I", "-W", "ignore", "-c", code, *given]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{given[0]} did not convert the network within {SECONDS:.0f} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(f"{given[0]} does not convert the network: {(lines or ['?'])[-1][:LAST_WORDS]}")
