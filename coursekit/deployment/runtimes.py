"""The runtimes that can answer for a network: what is here, and how to get what is not."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from coursekit._core import arguments, display, scratch
from coursekit.deployment import answering
from coursekit.deployment.programs import Program

__all__ = ["FEATURES", "FILES", "HERE", "RUNTIMES", "WEB", "Runtime", "c_source", "find", "node_package"]

HERE = Path(__file__).parent
FEATURES = 64  # numbers in a picture
NODE, WEB = "onnxruntime-node", "onnxruntime-web"
NPM = "npm install --ignore-scripts {name}@1.30.0"
COMPILE = ("-std=gnu11", "-O2", "-w")
# What Python imports, and what pip installs for it.
PACKAGES = MappingProxyType(
    {
        "ONNX Runtime": ("onnxruntime", 'pip install "coursekit[notebooks]"'),
        "OpenVINO": ("openvino", "pip install --no-deps openvino==2026.4.0"),
        "ExecuTorch": (
            "executorch",
            "pip install --no-deps executorch==1.5.1 torchao tabulate ruamel.yaml flatbuffers py-cpuinfo",
        ),
        "LiteRT": ("ai_edge_litert", "pip install litert-torch (2 GB: an environment of its own is best)"),
    }
)
NEEDS = {"ExecuTorch": ("torch",)}  # what its package for Python loads beside itself
RUNTIMES = (*PACKAGES, "Node", "C", "TensorRT")
FILES: Mapping[str, str] = MappingProxyType({"ExecuTorch": ".pte", "LiteRT": ".tflite"})


@dataclass(frozen=True)
class Runtime(display.Text):
    """What can answer for a network here, as ``find`` returns it.

    Parameters
    ----------
    name : str
        One of ``RUNTIMES``.
    command : tuple of str
        What is started; a model's and the pictures' file follow.
    program_bytes : int
        What has to be there beside the model: the runtime itself, without Python or Node.

    Raises
    ------
    TypeError, ValueError
        Unless they are such values.
    """

    name: str
    command: tuple[str, ...]
    program_bytes: int

    def __post_init__(self) -> None:
        arguments.choice("name", self.name, RUNTIMES)
        arguments.labels("command", self.command)
        arguments.integer("program_bytes", self.program_bytes, 1)

    @property
    def suffix(self) -> str:
        """How the files end that it reads."""
        return FILES.get(self.name, ".onnx")

    def open(self, path: str | Path, x: Any) -> Program:
        """Start a program that answers with this runtime; close it, or use it in a ``with`` block.

        Parameters
        ----------
        path : path
            A file that ends in ``suffix``.
        x : array_like
            Pictures, float32 [n, 64].

        Returns
        -------
        Program
            Which has answered all of them, one by one.

        Raises
        ------
        FileNotFoundError, TypeError, ValueError
            For a file that is not there or of another kind, or pictures of another shape.
        RuntimeError
            With the program's own words, if it fails.
        """
        file = arguments.path("path", path)
        if not file.is_file():
            raise FileNotFoundError(f"path names no file: {file}")
        if file.suffix != self.suffix:
            raise ValueError(f"path must end in {self.suffix} for {self.name}; got {file.name}")
        pictures = arguments.array("x", x, np.float32, 2)
        if not len(pictures) or pictures.shape[1] != FEATURES:
            raise ValueError(f"x must have shape [n, {FEATURES}]; got {pictures.shape}")
        folder = scratch.Scratch()
        try:
            np.ascontiguousarray(pictures).tofile(folder.path / "x.f32")
            return Program([*self.command, str(file.absolute()), str(folder.path / "x.f32")])
        finally:
            folder.remove()

    def __str__(self) -> str:
        return f"{self.name}: {display.size(self.program_bytes)}"


def find(name: str) -> Runtime:
    """Find a runtime on this machine.

    Parameters
    ----------
    name : str
        One of ``RUNTIMES``.

    Returns
    -------
    Runtime
        Ready to open files.

    Raises
    ------
    ImportError
        If it is not here, with the line that gets it.
    """
    name = arguments.choice("name", name, RUNTIMES)
    others: dict[str, Callable[[], Runtime]] = {"Node": _node, "C": _c, "TensorRT": _tensorrt}
    return others[name]() if name in others else _python(name)


def c_source() -> str:
    """Return the program in C that answers pictures with ONNX Runtime's library.

    Returns
    -------
    str
        C.
    """
    return (HERE / "digits.c").read_text(encoding="utf-8")


def node_package(name: str) -> Path:
    """Find a package of npm: in a ``node_modules`` of this folder, one above it, or COURSEKIT_HOME.

    Parameters
    ----------
    name : str
        Such as onnxruntime-web.

    Returns
    -------
    Path
        Its folder.

    Raises
    ------
    ImportError
        If it is in none of them, with the line that gets it.
    """
    name, home = arguments.text("name", name), os.environ.get("COURSEKIT_HOME")
    places = [Path.cwd(), *Path.cwd().parents, *([Path(home).expanduser()] if home else [])]
    for place in places:
        found = place / "node_modules" / name
        if (found / "package.json").is_file():
            return found
    raise ImportError(f"{name} is not here. To get it: {NPM.format(name=name)}")


def _python(name: str, spoken: str = "") -> Runtime:
    package, remedy = PACKAGES[spoken or name]
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ImportError(f"{name} is not installed. To get it: {remedy}")
    needed = [spec, *filter(None, map(importlib.util.find_spec, NEEDS.get(name, ())))]
    folders = [Path(place) for each in needed for place in each.submodule_search_locations or []]
    command = (sys.executable, "-I", "-W", "ignore", answering.__file__, json.dumps(sys.path), name)
    return Runtime(name, command, sum(map(_size, folders)))


def _tensorrt() -> Runtime:
    provider = "TensorrtExecutionProvider"
    if importlib.util.find_spec("onnxruntime") is not None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        if provider in onnxruntime.get_available_providers():
            return _python("TensorRT", "ONNX Runtime")
    raise ImportError(
        "TensorRT needs an NVIDIA GPU and an ONNX Runtime built for it. "
        "There: pip install onnxruntime-gpu tensorrt, in the place of onnxruntime"
    )


def _node() -> Runtime:
    program = shutil.which("node")
    if program is None:
        raise ImportError("Node is not installed. To get it: https://nodejs.org")
    package = node_package(NODE)
    parts = [*package.glob(f"bin/napi-v*/{_platform()}/{_machine()}"), package / "dist"]
    size = sum(map(_size, parts))
    if not size:
        raise ImportError(f"{NODE} has nothing for {sys.platform} on this processor")
    return Runtime("Node", (program, str(HERE / "answering.cjs"), str(package)), size)


def _c() -> Runtime:
    compiler, library = shutil.which("cc"), _library()
    if compiler is None or library is None:
        wanted = ("a compiler named cc", "apt install gcc, or xcode-select --install")
        if compiler is not None:
            wanted = ("the library in ONNX Runtime's wheel", "pip install onnxruntime")
        raise ImportError("C needs {}. To get it: {}".format(*wanted))
    program = _compiled(compiler)
    return Runtime("C", (str(program), str(library)), program.stat().st_size + library.stat().st_size)


def _library() -> Path | None:
    """Return ONNX Runtime's own library in its wheel, if it is one that can be opened by its name."""
    spec = importlib.util.find_spec("onnxruntime")
    places = (spec.submodule_search_locations or []) if spec else []
    found = [file for place in places for file in sorted(Path(place, "capi").glob("libonnxruntime.*"))]
    return next((file for file in found if ".so" in file.name or file.suffix == ".dylib"), None)


_kept: list[scratch.Scratch] = []  # the folder of the compiled program, which goes with this process


def _compiled(compiler: str) -> Path:
    if not _kept or not (_kept[0].path / "digits").is_file():
        folder = scratch.Scratch()
        command = [compiler, *COMPILE, str(HERE / "digits.c"), "-o", str(folder.path / "digits"), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            said = " ".join(done.stderr.split())[-200:]
            raise ImportError(f"C: the compiler refuses digits.c ({said}). To try another: set PATH")
        _kept[:] = [folder]
    return _kept[0].path / "digits"


def _size(folder: Path) -> int:
    files = (file for file in folder.rglob("*") if "__pycache__" not in file.parts)
    return sum(file.stat().st_size for file in files if file.is_file())


def _platform() -> str:
    return "linux" if sys.platform.startswith("linux") else sys.platform


def _machine() -> str:
    return "arm64" if any(arm in sysconfig.get_platform() for arm in ("arm64", "aarch64")) else "x64"
