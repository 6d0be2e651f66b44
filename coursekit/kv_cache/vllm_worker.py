"""Runs in a process of its own that has vLLM and loads nothing of the course: reads a job, writes seconds.

``python vllm_worker.py job.json result.json``. A job holds the model's folder, how often to measure, and
loads by name: prompts as lists of tokens, how many tokens to add, and whether vLLM may share prefixes.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(job: str, result: str) -> None:
    """Measure all loads of a job.

    Parameters
    ----------
    job, result : str
        The files that are read and written.
    """
    asked = json.loads(Path(job).read_text(encoding="utf-8"))
    vllm: Any = importlib.import_module("vllm")
    if importlib.import_module("vllm.platforms").current_platform.device_type != "cpu":
        raise SystemExit("this vLLM computes on a GPU, of which seconds of the processor say nothing")
    found: dict[str, Any] = {"version": vllm.__version__, "loads": {}}
    for caching in (False, True):
        loads = {name: load for name, load in asked["loads"].items() if load["caching"] == caching}
        if not loads:
            continue
        model = vllm.LLM(
            model=asked["folder"],
            skip_tokenizer_init=True,
            enable_prefix_caching=caching,
            max_model_len=asked["context"],
            max_num_seqs=32,
            dtype="float32",
            enforce_eager=True,
            seed=0,
        )
        for name, load in loads.items():
            found["loads"][name] = _measured(vllm, model, load, asked["runs"])
        del model
    Path(result).write_text(json.dumps(found), encoding="utf-8")


def _measured(vllm: Any, model: Any, load: dict[str, Any], runs: int) -> dict[str, Any]:
    """Return the processor's seconds of some runs, and the texts, which are the same in all of them."""
    options = vllm.SamplingParams(temperature=0, max_tokens=load["new"], ignore_eos=True, detokenize=False)
    prompts = [{"prompt_token_ids": tokens} for tokens in load["prompts"]]
    seconds, texts = [], []
    for _ in range(runs + 1):  # the first run warms up
        if load["caching"]:
            model.reset_prefix_cache()  # or the second run would find all of its own prompts
        begin = time.process_time()
        answers = model.generate(prompts, options, use_tqdm=False)
        seconds.append(time.process_time() - begin)
        texts = [list(answer.outputs[0].token_ids) for answer in answers]
    return {"seconds": seconds[1:], "texts": texts}


if __name__ == "__main__":
    main(*sys.argv[1:])
