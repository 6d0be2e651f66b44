"""A process of its own that runs a model: what it takes to answer once, with PyTorch and without."""

import json
import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coursekit._core import arguments, display
from coursekit.onnx_models.exporting import evaluating, fitting
from coursekit.onnx_models.files import checked_path, read, real_inputs, shortened
from coursekit.onnx_models.outcomes import reason
from coursekit.onnx_models.packages import need, quiet
from coursekit.onnx_models.running import feeds, input_of

__all__ = ["WITHOUT_TORCH", "Alone", "run_with_torch", "run_without_torch"]

if TYPE_CHECKING:
    from torch import nn

TIMEOUT, LONGEST = 120.0, 1e6  # seconds
MOST_OF_A_MESSAGE = 300  # characters

# What both children do around the part that differs. The peak of memory is the kernel's own count for this
# process: getrusage would count the parent's, too, because a child starts as its copy.
FRAME = """
import sys
from time import perf_counter as clock

def peak():
    if sys.platform == "linux":
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    if sys.platform == "win32":
        import psutil
        return psutil.Process().memory_info().peak_wset
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

path, folder, bare = sys.argv[1], sys.argv[2], peak()
marks = [clock()]
{imports}
marks.append(clock())
{load}
marks.append(clock())
with np.load(folder + "/in.npz") as file:
    given = [file[name] for name in file.files]
started = clock()
{run}
marks.append(marks[-1] + clock() - started)
most = peak()
np.savez(folder + "/out.npz", *outputs)
{check}
import json
parts = [later - earlier for earlier, later in zip(marks, marks[1:])]
print(json.dumps({{"parts": parts, "memory": most, "bare": bare, "version": version}}))
"""
# None in sys.modules makes every "import torch" fail, whoever tries.
WITHOUT_TORCH = FRAME.format(
    imports='sys.modules["torch"] = None\nimport numpy as np\nimport onnxruntime',
    load="""
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 4
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
""",
    run="outputs = session.run(None, dict(zip([each.name for each in session.get_inputs()], given)))",
    check="""
try:
    import torch
except ImportError:
    pass
else:
    raise SystemExit("torch could be imported after all")
there = [name for name, module in sys.modules.items() if name.split(".")[0] == "torch" and module]
if there:
    raise SystemExit("parts of torch were loaded: " + ", ".join(there))
version = "onnxruntime " + onnxruntime.__version__
""",
)
PICKLED = "model = torch.load(path, map_location='cpu', weights_only=False)"
TRACED = "model = torch.jit.load(path, map_location='cpu')"
WITH_TORCH = FRAME.format(
    imports="import numpy as np\nimport torch\ntorch.set_num_threads(1)",
    load="""
def tensors(outputs):
    outputs = tuple(outputs.values()) if isinstance(outputs, dict) else outputs
    several = isinstance(outputs, (tuple, list))
    return [each for part in outputs for each in tensors(part)] if several else [outputs]

{how}
model.eval()
""",
    run="""
with torch.inference_mode():
    outputs = model(*map(torch.from_numpy, given))
    outputs = [each.numpy() for each in tensors(outputs)]
""",
    check='version = "torch " + torch.__version__',
)
OWN = ("torch.", "coursekit.")  # packages whose classes every fresh process finds


@dataclass(frozen=True, repr=False)
class Alone(display.Tabled):
    """One answer by a fresh process: its outputs, the seconds of three steps, its peak of memory in bytes.

    ``bare_bytes`` is the peak of the same Python before it imported anything; ``runtime`` names what ran.
    """

    outputs: tuple[NDArray[Any], ...]
    import_seconds: float
    load_seconds: float
    run_seconds: float
    memory_bytes: int
    bare_bytes: int
    runtime: str

    @property
    def seconds(self) -> float:
        """The seconds from the first import to the first answer."""
        return self.import_seconds + self.load_seconds + self.run_seconds

    def _table(self) -> display.Table:
        memory = (
            f"{display.size(self.memory_bytes)} at most, {display.size(self.bare_bytes)} before any import"
        )
        facts = [
            ("runs on", self.runtime),
            ("import", display.seconds(self.import_seconds)),
            ("load", display.seconds(self.load_seconds)),
            ("first answer", display.seconds(self.run_seconds)),
            ("in all", display.seconds(self.seconds)),
            ("memory", memory),
        ]
        return display.Table(("a process of its own", ""), facts, left=2, facts=True)


def run_without_torch(path: Any, x: Any, *, timeout: float = TIMEOUT) -> Alone:
    """Run an ONNX file once in a fresh Python where torch cannot be imported, and tell what that took.

    One thread, on the CPU.

    Parameters
    ----------
    path : object
        The file.
    x : object
        An array, or a tuple or dict of arrays for several inputs.
    timeout : float, optional
        Seconds after which it is given up.

    Returns
    -------
    Alone
        The outputs, and what they took.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As for ``load``, for the file and its input.
    RuntimeError
        With the child's own words where it fails.
    TimeoutError
        After ``timeout`` seconds.
    """
    need("onnxruntime")
    inputs = [input_of(info) for info in real_inputs(read(path))]
    given = feeds(inputs, x, "x")
    with tempfile.TemporaryDirectory(prefix="coursekit-") as folder:
        arrays = [given[name] for name, _, _ in inputs]
        return _answer(WITHOUT_TORCH, checked_path("path", path), Path(folder), arrays, timeout)


def run_with_torch(model: "nn.Module", x: Any, *, timeout: float = TIMEOUT) -> Alone:
    """Run a PyTorch model once in a fresh Python, from a file that holds all of it: what ONNX compares with.

    In eval mode, in one thread, on the CPU.

    Parameters
    ----------
    model : torch.nn.Module
        A model of PyTorch's or coursekit's own classes is pickled. Other classes, as one that a notebook
        defines, are not there in a fresh Python: such a model is traced with ``x``, and the file holds what
        it did.
    x : array_like or tuple of array_like
        One or several inputs, in the types that ``export`` gives its example.
    timeout : float
        Seconds after which to give up.

    Returns
    -------
    Alone
        The outputs, and what it took.

    Raises
    ------
    TypeError
        Unless ``model`` is a module.
    ValueError
        Where it can neither be pickled nor traced, or its parameters are of a type that ``export`` refuses.
    RuntimeError, TimeoutError
        As ``run_without_torch``.

    """
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be an nn.Module; got {type(model).__name__}")
    values = x if isinstance(x, tuple) else (x,)
    arrays = [fitting("x", value, model) for value in values]
    with tempfile.TemporaryDirectory(prefix="coursekit-") as folder:
        path = Path(folder) / "model.pt"
        foreign = [type(each).__name__ for each in model.modules() if not _everywhere(type(each))]
        if foreign:
            _trace(model, arrays, path, foreign[0])
        else:
            _pickle(model, path)
        code = WITH_TORCH.replace("{how}", TRACED if foreign else PICKLED)
        return _answer(code, path, Path(folder), arrays, timeout)


def _everywhere(kind: type) -> bool:
    """Whether a fresh process finds the class: not one made up on the way, as parametrizations do."""
    found = getattr(sys.modules.get(kind.__module__), kind.__qualname__, None)
    return kind.__module__.startswith(OWN) and found is kind


def _pickle(model: "nn.Module", path: Path) -> None:
    import torch

    try:
        torch.save(model, path)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(
            shortened(f"{type(model).__name__} cannot be saved as a whole: {reason(error)}")
        ) from error


def _trace(model: "nn.Module", arrays: list[NDArray[Any]], path: Path, kind: str) -> None:
    """Save what the model does to these inputs: its class is not there in a fresh process."""
    import torch

    place = next((each.device for each in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    inputs = tuple(torch.from_numpy(array).to(place) for array in arrays)
    try:
        with evaluating(model), quiet():
            traced = torch.jit.trace(model, inputs, check_trace=False, strict=False)
            torch.jit.save(traced, str(path))
    except Exception as error:
        raise ValueError(
            shortened(
                f"a fresh process does not know the class {kind}, and its model cannot be traced "
                f"({reason(error)}); define forward with tensors only, in and out"
            )
        ) from error


def _answer(code: str, path: Path, folder: Path, arrays: list[NDArray[Any]], timeout: float) -> Alone:
    np.savez(folder / "in.npz", *arrays)
    told = _child(code, path, folder, _limit(timeout))
    with np.load(folder / "out.npz", allow_pickle=False) as file:
        outputs = tuple(file[name] for name in file.files)
    imported, loaded, ran = told["parts"]
    return Alone(outputs, imported, loaded, ran, told["memory"], told["bare"], told["version"])


def _limit(timeout: Any) -> float:
    return arguments.real("timeout", arguments.positive("timeout", timeout, "seconds"), high=LONGEST)


def _child(code: str, path: Path, folder: Path, timeout: float) -> dict[str, Any]:
    """Run ``code`` in a fresh Python and return what it tells."""
    # -P: a file named numpy.py in the reader's folder must not be taken for the library
    command = [sys.executable, "-P", "-W", "ignore", "-c", code, str(path.resolve()), str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"the process that runs {path.name} gave no answer within the timeout of {timeout:g} s"
        ) from None
    if done.returncode:
        why = _said(done.stderr) or f"it ended with code {done.returncode}"
        raise RuntimeError(f"the process that runs {path.name} failed: {why}")
    return json.loads(done.stdout.splitlines()[-1])


def _said(stderr: str) -> str:
    """Return the message of the last exception without its traceback, on one line."""
    lines = stderr.rpartition("Traceback (most recent call last):")[2].splitlines()
    start = next((number for number, line in enumerate(lines) if line and not line.startswith(" ")), 0)
    return " ".join(" ".join(lines[start:]).split())[:MOST_OF_A_MESSAGE]
