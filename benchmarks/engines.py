"""Engines: the small model served by vLLM on this CPU and by the course's own scheduler, one thread each.

Seconds are the processor's. Both serve each load right after each other, so that what else runs slows both.

vLLM (3 GB) and SGLang (10 GB) get environments of their own in the folder for results, once. vLLM needs
PyTorch's CPU build: set PIP_EXTRA_INDEX_URL as the README says where pip does not find it by itself. What was
measured, and what refused, is stored in the package, with the machine's name; notebook D shows it. Expected:
the same texts, vLLM ahead where many requests share a pass, and an SGLang whose kernels want CUDA's driver.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from coursekit import kv_cache, language, runtime
from coursekit.kv_cache import live
from coursekit.kv_cache.recorded import RECORDED, Refusal

SGLANG = "sglang==0.5.23"
SOURCES = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS")  # of packages: uv is told what pip is told
NOT_NEEDED = ("torchvision", "torchaudio", "torchcodec")  # builds that do not fit this torch stop the import
BATCHES = (1, 8, 32)
SHARED, OWN = 384, 8
SGLANG_SECONDS = 900
INSIDE = Path(__file__).with_name("sglang_inside.py")
STORED = Path(kv_cache.__file__).with_name(RECORDED)


def main() -> None:
    """Measure both, ask SGLang, store the result and print it."""
    small = language.small()
    python = environment(live.VLLM, NOT_NEEDED)
    found = live.compared(small, loads(small), python)
    refusal = sglang(small)
    found = dataclasses.replace(found, refused=(refusal,) if refusal else ())
    STORED.write_text(found.json(), encoding="utf-8")
    print(found)


def loads(small: language.LanguageModel) -> dict[str, live.Load]:
    """Return the loads by name: batches of different prompts, then 24 that begin alike, twice."""
    different = live.pieces(small, max(BATCHES))
    found = {f"{batch} at once": live.Load(different[:batch], live.NEW) for batch in BATCHES}
    row = small.tokenizer.encode(language.text())
    alike = [[*row[:SHARED], *piece[:OWN]] for piece in different[:24]]
    return found | {
        "24 that begin alike": live.Load(alike, OWN),
        "24 that begin alike, shared": live.Load(alike, OWN, True),
    }


def sglang(small: language.LanguageModel) -> Refusal | None:
    """Ask SGLang for a text on the CPU; return its refusal, or None if it wrote the text."""
    python = environment(SGLANG)
    with tempfile.TemporaryDirectory() as folder:
        model, result = language.to_folder(small, Path(folder, "model")), Path(folder, "result.json")
        settings = {**os.environ, "HOME": folder, "PYTHONPATH": "", "SGLANG_USE_CPU_ENGINE": "1"}
        run = [str(python), str(INSIDE), str(model), str(result)]
        try:
            done = subprocess.run(run, env=settings, capture_output=True, timeout=SGLANG_SECONDS, check=False)
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            said = [f"no answer within {SGLANG_SECONDS} s"]
        found = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {"said": said[0]}
    if found["said"] is None:
        print("SGLang runs here: write how it is measured")
        return None
    tried = f"pip install {SGLANG}, then Engine(device='cpu', attention_backend='torch_native')"
    return Refusal("SGLang " + SGLANG.rpartition("=")[2], tried, found["said"])


def environment(package: str, without: tuple[str, ...] = ()) -> Path:
    """Return the Python of an environment with a package, made where it is missing or was left half made."""
    place = runtime.home() / "engines" / package.replace("==", "-")
    python, finished = place / "bin" / "python", place / "finished"
    if not finished.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], check=True)
        uv = [str(python), "-m", "uv", "pip"]
        known = {f"UV_{name}": os.environ[f"PIP_{name}"] for name in SOURCES if f"PIP_{name}" in os.environ}
        settings = {**known, **os.environ}
        install = [*uv, "install", "-q", "--python", str(python), "--prerelease", "allow", package]
        subprocess.run(install, env=settings, check=True)
        if without:
            subprocess.run([*uv, "uninstall", "-q", "--python", str(python), *without], check=True)
        finished.touch()
    return python


if __name__ == "__main__":
    main()
