"""The page of notebook F for the course site: a network that runs in the reader's browser."""

import contextlib
import tempfile
from pathlib import Path

import generated
import torch

from coursekit import data, deployment, models, onnx_models

__all__ = ["FOLDER", "LINK", "available", "write"]

FOLDER = "digits-page"
LINK = (
    "<p>Notebook F makes a page that recognises digits in your browser. "
    f'<a href="{FOLDER}/index.html">Here it is</a>: the network and its runtime are loaded once, '
    "and what you draw stays with you.</p>"
)
BUILD = generated.ROOT / "build"  # where npm's packages lie, if anywhere


def available() -> bool:
    """Tell whether onnxruntime-web is here."""
    with _there():
        try:
            deployment.node_package("onnxruntime-web")
        except ImportError:
            return False
    return True


def write(folder: Path) -> None:
    """Train the network, and write the page with all that it needs into ``folder``."""
    torch.manual_seed(0)
    digits, network = data.digits(), models.mlp((64, 128, 10))
    models.fit(network, *digits.train.tensors("cpu"))
    with tempfile.TemporaryDirectory() as scratch, _there():
        whole, rounded = Path(scratch, "fp32.onnx"), Path(scratch, "int8.onnx")
        onnx_models.export(network, whole, torch.zeros(2, 64))
        onnx_models.quantize_dynamic(whole, rounded)
        deployment.page(folder, {"FP32": whole, "INT8": rounded}, digits.test.x)


def _there() -> contextlib.AbstractContextManager[None]:
    return contextlib.chdir(BUILD if BUILD.is_dir() else Path.cwd())
