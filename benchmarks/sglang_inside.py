"""Runs inside an environment that has SGLang and nothing of the course: asks it for a text on the CPU.

``python sglang_inside.py model result.json``. The result holds what it said instead, or None.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

ASKED = {"temperature": 0, "max_new_tokens": 8, "ignore_eos": True}


def main(model: str, result: str) -> None:
    """Ask, and write what came of it."""
    said = None
    try:
        sglang: Any = importlib.import_module("sglang")
        engine = sglang.Engine(
            model_path=model,
            device="cpu",
            attention_backend="torch_native",
            dtype="float32",
            skip_tokenizer_init=True,
            disable_overlap_schedule=True,
            max_total_tokens=16384,
            log_level="error",
        )
        engine.generate(input_ids=[[1, 2, 3, 4]], sampling_params=ASKED)
        engine.shutdown()
    except Exception as error:
        said = words(error)
    Path(result).write_text(json.dumps({"said": said}), encoding="utf-8")


def words(error: Exception) -> str:
    """Return an error in one line: how it begins, and the first error that it quotes."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    quoted = next((line for line in lines[1:] if "Error: " in line), "")
    return " … ".join(filter(None, [f"{type(error).__name__}: {(lines or [''])[0]}", quoted]))


if __name__ == "__main__":
    main(*sys.argv[1:])
