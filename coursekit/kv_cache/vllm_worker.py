"""Runs in a process of its own, with vLLM and nothing of the course: serves loads and says how long it took.

``python vllm_worker.py '{"model": folder, "context": tokens, "runs": 5}'``. Each line on its standard input
is a load in JSON: prompts as lists of tokens, how many tokens to add, whether vLLM may share prefixes.
The answer is a line in JSON; that to an empty load holds the version.
"""

import importlib
import json
import os
import sys
import time
from typing import Any

__all__ = ["main"]


def main(told: str) -> None:
    """Answer loads until the other end is closed.

    Parameters
    ----------
    told : str
        The model's folder, its context and the number of runs, in JSON.
    """
    asked = json.loads(told)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # vLLM writes what it likes to standard output
    vllm: Any = importlib.import_module("vllm")
    if importlib.import_module("vllm.platforms").current_platform.device_type != "cpu":
        raise SystemExit("this vLLM computes on a GPU, of which seconds of the processor say nothing")
    model, caching = None, None
    for line in sys.stdin:
        load, answer = json.loads(line), {"version": vllm.__version__}
        if load:
            if load["caching"] != caching:
                del model
                caching = load["caching"]
                model = _started(vllm, asked, caching)
            answer = _measured(vllm, model, load, asked["runs"])
        print(json.dumps(answer), file=out, flush=True)


def _started(vllm: Any, asked: dict[str, Any], caching: bool) -> Any:
    return vllm.LLM(
        model=asked["model"],
        skip_tokenizer_init=True,
        enable_prefix_caching=caching,
        max_model_len=asked["context"],
        max_num_seqs=32,
        dtype="float32",
        enforce_eager=True,
        seed=0,
    )


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
