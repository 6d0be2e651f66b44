"""Where am I: device, threads, seeds, host (Colab, Binder, local), machine, presenter mode."""

import functools
import hashlib
import html
import importlib.metadata
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from coursekit._core import arguments, display, folders, imports
from coursekit._core.imports_bar import loading
from coursekit._core.progress import progress, track

__all__ = [
    "DEVICES",
    "THEMES",
    "Machine",
    "Session",
    "count_of_threads",
    "describe",
    "device",
    "guess_first",
    "home",
    "host",
    "kind_of",
    "loading",
    "presenting",
    "progress",
    "set_seed",
    "start",
    "theme",
    "threads",
    "track",
]

if TYPE_CHECKING:
    import torch

THEMES = ("light", "dark")
DEVICES = ("auto", "cpu", "cuda")
KEPT_IN_A_TAB = Path("/drive")  # of a browser's tab only these files outlive it (JupyterLite)
MOST_THREADS = 4096  # torch starts them at once
PACKAGES = ("torch", "numpy", "onnxruntime", "ipywidgets", "coursekit")
# The flags that decide how fast small numbers run, as Linux (x86, Arm) and macOS spell them.
FLAGS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AMX": ("amx_int8",),
    "NEON dot product": ("asimddp", "feat_dotprod"),
    "I8MM": ("i8mm", "feat_i8mm"),
}


@dataclass(frozen=True)
class Machine:
    """The machine we run on, as far as it decides what a notebook measures. ``memory`` is in bytes."""

    cpu: str
    cores: int
    memory: int
    flags: tuple[str, ...]
    gpu: str | None
    system: str
    python: str
    versions: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """A short name to write beside a measurement."""
        return ", ".join(filter(None, (self.cpu, f"{self.cores} cores", self.gpu)))

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that differ between machines whose timings must not be ranked together."""
        return hashlib.sha256(self.label.encode()).hexdigest()[:8]

    @property
    def int8(self) -> str:
        """What the CPU's flags mean for INT8, in one sentence."""
        if {"VNNI", "AMX", "NEON dot product", "I8MM"} & set(self.flags):
            names = " and ".join(f for f in self.flags if f not in ("AVX2", "AVX-512"))
            return f"{names}: INT8 products are added up in hardware, so large INT8 layers can beat FP32"
        if self.flags:
            return "no INT8 dot product: INT8 takes several instructions, so it saves memory more than time"
        return "flags unknown: measure before you expect INT8 to be faster"

    def rows(self) -> list[tuple[str, str]]:
        """Return the facts as (name, value) pairs, for people.

        Returns
        -------
        list of tuple of 2 str
            Pairs, from the top.
        """
        return [
            ("CPU", self.cpu),
            ("cores", str(self.cores)),
            ("memory", display.size(self.memory)),
            ("CPU flags", ", ".join(self.flags) or "unknown"),
            ("INT8 on this CPU", self.int8),
            ("GPU", self.gpu or "none"),
            ("system", f"{self.system}, Python {self.python}"),
            ("versions", ", ".join(f"{name} {version}" for name, version in self.versions)),
        ]

    def __str__(self) -> str:
        return display.facts_text(self.rows())

    def _repr_html_(self) -> str:
        return display.table_html(("this machine", ""), self.rows())


@dataclass(frozen=True, repr=False)
class Session(display.Shown):
    """What ``start`` set up, for the reader to see."""

    device: str
    seed: int
    host: str
    presenting: bool
    machine: str
    guess_first: bool = False
    theme: str = "light"

    def __str__(self) -> str:
        mode = ", presenting" * self.presenting + ", guesses first" * self.guess_first
        mode += ", dark pictures" * (self.theme == "dark")
        return f"Running on {self.device.upper()} ({self.machine}; {self.host}{mode}), seed {self.seed}."

    def _repr_html_(self) -> str:
        """Return the text and, for light pictures, what lets this notebook's follow a dark page."""
        follow = display.FOLLOW if self.theme == "light" else ""
        return f'{follow}<span class="{display.SESSION}">{html.escape(str(self))}</span>'


def start(
    present: bool | None = None,
    seed: int = 0,
    *,
    guess_first: bool | None = None,
    theme: str | None = None,
) -> Session:
    """Set the seeds, choose the device, the size of type and the pictures' ground; return what was set.

    Parameters
    ----------
    present : bool, optional
        Whether type is enlarged; None leaves it as it is.
    seed : int, optional
        From 0 on.
    guess_first : bool, optional
        Whether the notebook stops at every prediction until a guess is typed, as for a class; None leaves it
        as it is.
    theme : str, optional
        "light" or "dark" pictures; None leaves it as it is. In JupyterLab and VS Code light ones follow a
        dark page by themselves; "dark" is for everything else, such as Colab or a projector.

    Returns
    -------
    Session
        What was set.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not a bool and such a seed.
    RuntimeError
        If COURSEKIT_DEVICE asks for a device that is not there.
    """
    large = None if present is None else arguments.flag("present", present)
    first = None if guess_first is None else arguments.flag("guess_first", guess_first)
    number = arguments.integer("seed", seed, 0, arguments.LARGEST_SEED)
    if large is not None:
        os.environ["COURSEKIT_PRESENT"] = str(int(large))
    if first is not None:
        os.environ["COURSEKIT_GUESS_FIRST"] = str(int(first))
    if theme is not None:
        os.environ["COURSEKIT_THEME"] = arguments.choice("theme", theme, THEMES)
    chosen, ground = _device_to_be(), _ground()
    set_seed(number)
    guessing = _is_on("COURSEKIT_GUESS_FIRST")
    return Session(chosen, number, host(), presenting(), describe().label, guessing, ground)


def set_seed(seed: int = 0) -> None:
    """Seed Python, numpy's legacy generator and torch (every device).

    Where torch is not imported yet, it is seeded when it is.

    Parameters
    ----------
    seed : int, optional
        From 0 on.

    Raises
    ------
    TypeError, ValueError
        For another seed.
    """
    number = arguments.integer("seed", seed, 0, arguments.LARGEST_SEED)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - libraries still draw from it
    imports.after("torch", lambda: sys.modules["torch"].manual_seed(number))


def device(choice: str | None = None) -> "torch.device":
    """Return the torch device to work on.

    Parameters
    ----------
    choice : str, optional
        "cpu", "cuda" or "auto"; by default COURSEKIT_DEVICE, else CUDA when present.

    Returns
    -------
    device
        The device.

    Raises
    ------
    ValueError
        For an unknown name.
    RuntimeError
        For "cuda" without a CUDA device.
    """
    torch = imports.whole("torch")

    name = "device" if choice is not None else "COURSEKIT_DEVICE"
    asked = (os.environ.get("COURSEKIT_DEVICE") or "auto") if choice is None else kind_of(choice)
    wanted = arguments.choice(name, asked, DEVICES)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            f"{name} asks for 'cuda', but torch {torch.__version__} sees no CUDA device here. "
            "Use 'cpu' or 'auto'; in Colab choose Runtime > Change runtime type > GPU; "
            "elsewhere check `nvidia-smi` and that torch is a CUDA build."
        )
    has_cuda = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if has_cuda else "cpu")


def _device_to_be() -> str:
    """Return the device's name; without a GPU in sight torch, which may not be needed, stays unimported."""
    asked = os.environ.get("COURSEKIT_DEVICE") or "auto"
    unseen = "torch" not in sys.modules and not _gpu_in_sight()
    return "cpu" if asked == "cpu" or (asked == "auto" and unseen) else str(device())


def _gpu_in_sight() -> bool:
    """Tell whether torch might see a CUDA device: NVIDIA's driver answers, or AMD's is loaded."""
    return describe().gpu is not None or Path("/dev/kfd").exists()


@contextmanager
def threads(count: int) -> Iterator[int]:
    """Set torch's number of threads inside the block; restore it afterwards, also on an error.

    Parameters
    ----------
    count : int
        How many.

    Yields
    ------
    int
        The number that was set.

    Raises
    ------
    TypeError, ValueError
        As for ``count_of_threads``.
    """
    import torch

    before, wanted = torch.get_num_threads(), count_of_threads(count, "count")
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)


def kind_of(device: Any) -> Any:
    """Return "cuda" for a torch device such as ``cuda:1`` or its name; anything else as it is.

    Parameters
    ----------
    device : object
        A torch device such as ``cuda:1``, its name, or anything else.

    Returns
    -------
    object
        "cpu" or "cuda", or ``device``.
    """
    if type(device).__module__ == "torch" and type(device).__name__ == "device":
        return device.type
    named = re.fullmatch(r"(cpu|cuda):\d+", device) if isinstance(device, str) else None
    return named[1] if named else device


def count_of_threads(threads: Any, name: str = "threads") -> int:
    """Return ``threads`` as an int that torch can start.

    Parameters
    ----------
    threads, name : object, str
        The number, and what an error calls it.

    Returns
    -------
    int
        ``threads``.

    Raises
    ------
    TypeError, ValueError
        Unless it is a whole number from 1 to MOST_THREADS.
    """
    return arguments.size(arguments.label("name", name), threads, most=MOST_THREADS)


def host() -> str:
    """Return "Colab", "Binder", "browser" (Python in a tab, as in JupyterLite) or "local".

    Returns
    -------
    str
        One of the four.
    """
    if sys.platform == "emscripten":
        return "browser"
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        return "Colab"
    return "Binder" if "BINDER_SERVICE_HOST" in os.environ or "BINDER_REPO_URL" in os.environ else "local"


def presenting() -> bool:
    """Tell whether presenter mode is on (COURSEKIT_PRESENT=1 or ``start(present=True)``).

    Returns
    -------
    bool
        True or False.
    """
    return _is_on("COURSEKIT_PRESENT")


def guess_first() -> bool:
    """Tell whether a guess comes before its measurement (COURSEKIT_GUESS_FIRST=1 or ``start``).

    Returns
    -------
    bool
        True or False.
    """
    return _is_on("COURSEKIT_GUESS_FIRST")


def theme() -> str:
    """Return what pictures are drawn for: COURSEKIT_THEME, or what ``start(theme=…)`` set.

    Returns
    -------
    str
        "light" or "dark"; "light" where nothing is set.

    Raises
    ------
    ValueError
        For another COURSEKIT_THEME.
    """
    return _ground()


def _ground() -> str:
    return arguments.choice("COURSEKIT_THEME", os.environ.get("COURSEKIT_THEME") or "light", THEMES)


def home() -> Path:
    """Return the folder for results: COURSEKIT_HOME or a per-user data folder, made when missing.

    Where the per-user folder cannot be written, a temporary one is used, with a warning the first time.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OSError
        If COURSEKIT_HOME itself cannot be written.
    """
    chosen = os.environ.get("COURSEKIT_HOME")
    if chosen:
        return folders.made(arguments.path("COURSEKIT_HOME", chosen))
    try:
        return folders.made(_data_folder())
    except OSError as error:
        user = _user().replace(os.sep, "-")
        fallback = folders.private(Path(tempfile.gettempdir()), f"coursekit-{user}")
        _warn_once(
            f"{error}; results go to {fallback} and may vanish. Set COURSEKIT_HOME to a folder of yours."
        )
        return folders.made(fallback)


def _data_folder() -> Path:
    if sys.platform == "emscripten" and KEPT_IN_A_TAB.is_dir():
        return KEPT_IN_A_TAB / "coursekit"
    return platformdirs.user_data_path("coursekit", appauthor=False)


def _user() -> str:
    """Return the name of the process's owner, whatever the environment says."""
    try:
        import psutil
    except ModuleNotFoundError:  # a browser's tab has one user
        return "user"
    return psutil.Process().username()


@functools.cache
def describe() -> Machine:
    """Return this machine: CPU, cores and memory we may use, flags that matter for INT8, GPU, versions.

    Returns
    -------
    Machine
        The machine.
    """
    return Machine(
        cpu=_cpu_name(),
        cores=_cores(),
        memory=_memory(),
        flags=_flags(),
        gpu=_gpu_name(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions=tuple((name, version) for name in PACKAGES if (version := _version(name))),
    )


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


@functools.cache
def _warn_once(text: str) -> None:
    """Warn, but not in every cell: a warning repeated is a wall that nobody reads."""
    warnings.warn(text, stacklevel=3)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _ask(*command: str) -> str:
    """Return what a command prints, or an empty string where it is missing or fails."""
    if not shutil.which(command[0]):
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu_name() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in _read("/proc/cpuinfo").splitlines()
        if line.startswith("model name")
    ]
    return (
        names
        or [_ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()]
    )[0]


def _flags() -> tuple[str, ...]:
    # /proc/cpuinfo says "flags" on x86 and "Features" on Arm; macOS answers sysctl.
    lines = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith(("flags", "Features"))]
    words = set((lines[0] if lines else _sysctl_flags()).lower().split())
    return tuple(name for name, spellings in FLAGS.items() if words & set(spellings))


def _sysctl_flags() -> str:
    arm = [
        line.split(".")[-1].split(":")[0]
        for line in _ask("sysctl", "hw.optional.arm").splitlines()
        if line.endswith(": 1")
    ]
    return " ".join([*arm, _ask("sysctl", "-n", "machdep.cpu.leaf7_features")])


def _cores() -> int:
    """Return the cores this process may use: affinity and the container's quota count, not the chip."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        allowed = min(allowed, max(1, round(int(quota[0]) / int(quota[1]))))
    return allowed


def _memory() -> int:
    """Return the bytes of memory this process may use: the machine's or the container's."""
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    total = _all_memory()
    return min(total, int(limit)) if limit.isdigit() else total


def _all_memory() -> int:
    try:
        import psutil
    except ModuleNotFoundError:  # in a browser's tab: WebAssembly's addresses end at 4 GiB
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return pages * size if pages > 0 else 2**32
    return psutil.virtual_memory().total


def _gpu_name() -> str | None:
    return _ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").partition("\n")[0] or None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
