import array
import copy
import math
import tracemalloc
import warnings
import weakref
from collections import Counter, deque
from collections.abc import Iterator

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from coursekit import dynamic, memory, pruning, runtime
from coursekit.memory import DEVICES, MODELS, Device, Model
from coursekit.models import mlp, start_many

few = settings(max_examples=25, deadline=None)
sizes = st.integers(1, 40)
TORCH = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small are slower on two."""
    with runtime.threads(1):
        yield


def numel(module):
    return sum(math.prod(p.shape) for p in module.parameters())


def tiny(gated=True, **changes):
    sizes = {
        "layers": 2,
        "hidden": 48,
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 16,
        "vocab": 60,
        "mlp": 80,
        "gated": gated,
    }
    return Model("tiny", 1, **{**sizes, **changes})


@st.composite
def models(draw):
    kv_heads, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return tiny(
        draw(st.booleans()),
        layers=draw(st.integers(1, 3)),
        hidden=8 * draw(st.integers(1, 6)),
        heads=kv_heads * groups,
        kv_heads=kv_heads,
        head_dim=8 * draw(st.integers(1, 3)),
        vocab=draw(st.integers(2, 70)),
        mlp=draw(st.integers(1, 90)),
    )


# Counting by hand


@few
@given(sizes, sizes, st.booleans())
def test_linear_and_norm_are_counted_as_torch_counts_them(inputs, outputs, bias):
    assert memory.linear(inputs, outputs, bias=bias) == numel(nn.Linear(inputs, outputs, bias=bias))
    assert memory.layer_norm(inputs, bias=bias) == numel(nn.LayerNorm(inputs, bias=bias))
    assert memory.embedding(inputs, outputs) == numel(nn.Embedding(inputs, outputs))


@few
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_convolutions_are_counted_as_torch_counts_them(groups, inputs, outputs, kernel, bias):
    ends = inputs * groups, outputs * groups
    counted = memory.conv2d(*ends, kernel, bias=bias, groups=groups)
    assert counted == numel(nn.Conv2d(*ends, kernel, bias=bias, groups=groups))


@few
@given(st.integers(1, 6), st.integers(1, 12), st.booleans())
def test_attention_is_counted_as_torch_counts_it(heads, size, bias):
    counted = memory.attention(heads * size, heads, bias=bias)
    assert counted == numel(nn.MultiheadAttention(heads * size, heads, bias=bias))


@few
@given(models())
def test_attention_with_shared_heads_is_counted_as_a_layer_has_it(model):
    layer = memory.build(model).layers[0]
    counted = memory.attention(
        model.hidden, model.heads, kv_heads=model.kv_heads, head_dim=model.head_dim, bias=False
    )
    assert counted == sum(map(numel, (layer.q, layer.k, layer.v, layer.out)))


def test_the_lectures_network_has_9610():
    assert memory.linear(64, 128) + memory.linear(128, 10) == 8_320 + 1_290 == 9_610


def gpt(layers, hidden, vocab, positions):
    """GPT-2's layout: biases everywhere, learned positions, the embedding used again at the end."""
    norm = 2 * hidden
    matrices = hidden * 3 * hidden + 3 * hidden + hidden * hidden + hidden
    block = 2 * norm + matrices + hidden * 4 * hidden + 4 * hidden + 4 * hidden * hidden + hidden
    return vocab * hidden + positions * hidden + layers * block + norm


def bert(layers, hidden, vocab):
    """BERT's layout: as GPT's block, with 512 positions, 2 sentence types, a norm above and a pooler."""
    below = (vocab + 512 + 2) * hidden + 2 * hidden
    block = 4 * hidden + 12 * hidden * hidden + 9 * hidden
    return below + layers * block + hidden * hidden + hidden


COUNTED = {
    "BERT-base": bert(12, 768, 30_522),
    "GPT-2 1.5B": gpt(48, 1600, 50_257, 1024),
    "GPT-3 175B": gpt(96, 12_288, 50_257, 2048),
}
LLAMAS = ["Llama 3.2 1B", "LLaMA-7B", "LLaMA-13B", "LLaMA-70B"]


@pytest.mark.parametrize("name", MODELS)
def test_presets_have_the_parameters_that_their_sizes_make(name):
    model = MODELS[name]
    if name in COUNTED:
        assert model.parameters == COUNTED[name]
        return
    with torch.device("meta"):
        built = memory.build(name, tied=name == "Llama 3.2 1B")
    assert model.parameters == numel(built) == memory.by_layer(built).parameters


def test_the_small_decoder_is_counted_too():
    assert memory.SMALL.parameters == numel(memory.build(memory.SMALL))


def test_every_preset_is_tested_and_sorted_by_size():
    assert set(COUNTED) | set(LLAMAS) == set(MODELS)
    counts = [model.parameters for model in MODELS.values()]
    assert counts == sorted(counts)
    memories = [device.memory for device in DEVICES.values()]
    assert memories == sorted(memories)
    assert [device.memory for device in DEVICES.values()] == [
        gigabytes * 10**9 for gigabytes in (8, 8, 16, 16, 24, 80, 80, 141)
    ]


@pytest.mark.parametrize("name", LLAMAS[1:])
def test_a_made_up_model_of_the_same_size_is_shaped_much_alike(name):
    real, made = MODELS[name], Model.like_llama(MODELS[name].parameters)
    assert made.layers == pytest.approx(real.layers, rel=0.15)
    assert made.hidden == pytest.approx(real.hidden, rel=0.15)


@few
@given(st.floats(1e8, 1e12))
def test_a_made_up_model_holds_what_its_size_says(parameters):
    made = Model.like_llama(parameters)
    block = memory.attention(made.hidden, made.heads, bias=False) + 3 * made.hidden * made.mlp
    assert made.parameters == round(parameters)
    # whole layers only, so a model of few layers is off by a good part
    assert made.layers * block == pytest.approx(parameters, rel=4 / made.layers)


# Weights


@pytest.mark.parametrize("format", TORCH)
@few
@given(st.integers(0, 3000))
def test_predicted_weight_bytes_are_the_tensors_bytes(format, count):
    tensor = torch.zeros(count).to(TORCH[format])
    assert (
        memory.weight_bytes(count, format) == memory.tensor_bytes(tensor) == tensor.numel() * tensor.itemsize
    )


MODULES = {
    "mlp": lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)),
    "large": lambda: nn.Linear(1000, 500),
    "convolutions": lambda: nn.Sequential(nn.Conv2d(3, 16, 5), nn.Conv2d(16, 32, 3, groups=4, bias=False)),
    "recurrent": lambda: nn.LSTM(20, 30, num_layers=2),
    "attention": lambda: nn.MultiheadAttention(32, 4),
    "encoder": lambda: nn.TransformerEncoderLayer(32, 4, 64),
    "embedding": lambda: nn.Embedding(100, 7),
    "decoder": lambda: memory.build(tiny()),
    "tied decoder": lambda: memory.build(tiny(), tied=True),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("format", ["fp64", "fp32", "fp16", "bf16"])
def test_predicted_weight_bytes_are_a_models_bytes_and_nearly_its_file(tmp_path, name, format):
    model = MODULES[name]().to(TORCH[format])
    predicted = memory.weight_bytes(numel(model), format)
    assert predicted == memory.tensor_bytes(model) == memory.tensor_bytes(model.state_dict())
    torch.save(model.state_dict(), tmp_path / "model.pt")
    # torch.save writes a header for every tensor, some 300 bytes: that is the 5 kB
    headers = max(5_000, 400 * len(model.state_dict()))
    assert 0 <= (tmp_path / "model.pt").stat().st_size - predicted <= headers + 0.01 * predicted


@pytest.mark.parametrize("widths", [(64, 128, 10), (256, 512, 512, 10), (2000, 1000, 10)])
@pytest.mark.parametrize("format", ["fp32", "fp16", "bf16", "int8"])
def test_a_file_is_within_5_kb_and_1_percent_of_the_prediction(tmp_path, widths, format):
    pairs = zip(widths, widths[1:], strict=False)
    model = nn.Sequential(*(nn.Linear(inputs, outputs) for inputs, outputs in pairs))
    stored = {key: tensor.to(TORCH[format]) for key, tensor in model.state_dict().items()}
    torch.save(stored, tmp_path / "model.pt")
    predicted = memory.weight_bytes(numel(model), format)
    assert predicted == memory.tensor_bytes(stored)
    assert abs((tmp_path / "model.pt").stat().st_size - predicted) <= 5_000 + 0.01 * predicted


@given(st.integers(1, 10**6), st.integers(1, 512))
def test_groups_add_a_scale_of_two_bytes_each(count, group):
    packed = np.packbits(np.zeros(4 * count, np.uint8)).nbytes
    scales = np.zeros(math.ceil(count / group), np.float16).nbytes
    assert memory.weight_bytes(count, "int4", group=group) == packed + scales
    assert memory.weight_bytes(count, "INT4", group=group) == packed + scales


def test_the_price_list_of_the_lecture():
    gb = 1e9
    for billions, prices in {1.5: (6, 3, 1.5, 0.75), 7: (28, 14, 7, 3.5), 70: (280, 140, 70, 35)}.items():
        formats = ("FP32", "FP16", "INT8", "INT4")
        assert [memory.weight_bytes(int(billions * gb), f) / gb for f in formats] == list(prices)


# Tensors


def test_layers_list_shapes_and_bytes():
    table = memory.by_layer(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10).half()))
    assert [(r.name, r.kind, r.parameters, r.nbytes) for r in table.rows] == [
        ("0", "Linear", 8_320, 33_280),
        ("2", "Linear", 1_290, 2_580),
    ]
    assert table.rows[0].shapes == ((128, 64), (128,))
    assert (table.parameters, table.nbytes) == (9_610, 35_860)
    assert "128×64 + 128" in str(table)
    assert str(table).splitlines()[-1].split() == ["all", "9,610", "35.9", "kB"]
    assert repr(table) == str(table)
    assert "<table>" in table._repr_html_()


def test_shared_parameters_count_once_and_a_model_may_be_a_single_layer():
    tied = memory.build(tiny(), tied=True)
    assert memory.by_layer(tied).parameters == numel(tied) == numel(memory.build(tiny())) - 60 * 48
    assert memory.by_layer(nn.Linear(3, 4)).rows[0].name == "(the model)"


def test_a_storage_counts_once_however_it_is_looked_at():
    whole = torch.zeros(1000)
    assert memory.tensor_bytes(whole, whole[:10], {"again": [whole.view(10, 100)]}) == 4000
    array = np.zeros(1000)
    assert memory.tensor_bytes([array, array[::2], array.reshape(10, 100).T]) == 8000
    assert memory.tensor_bytes({"step": 3, "name": "x", "none": None}) == 0
    assert memory.tensor_bytes(nn.BatchNorm1d(10)) == 4 * 40 + 8  # buffers too, and the count of batches
    with torch.device("meta"):
        assert memory.tensor_bytes(torch.zeros(10), torch.zeros(10)) == 80


def test_arrays_that_look_at_something_else_are_counted():
    assert memory.tensor_bytes(np.frombuffer(bytearray(16))) == 16
    assert memory.tensor_bytes(np.frombuffer(bytearray(16))[:1]) == 16
    whole = torch.ones(1000)
    assert memory.tensor_bytes(whole.numpy()) == 4000
    assert memory.tensor_bytes([whole.numpy()[:3], whole, whole[5:].numpy().reshape(5, -1)]) == 4000


def test_a_storage_without_numbers_counts_once_however_it_is_looked_at():
    weight = torch.empty(30, 20, device="meta")
    assert memory.tensor_bytes(weight, weight.t(), weight[3:], {"again": weight.view(-1)}) == 2400
    assert memory.tensor_bytes(weight, torch.empty(30, 20, device="meta")) == 4800


@few
@given(st.lists(st.integers(1, 50), min_size=2, max_size=5), st.integers(1, 40))
def test_without_numbers_as_many_bytes_are_saved_as_with_them(widths, batch):
    saved = []
    for device in ("cpu", "meta"):
        pairs = list(zip(widths, widths[1:], strict=False))
        parts = [part for i, o in pairs for part in (nn.Linear(i, o, device=device), nn.ReLU())]
        model, x = nn.Sequential(*parts), torch.ones(batch, widths[0], device=device)
        saved.append(
            [memory.saved_bytes(lambda model=model, x=x: model(x), *apart) for apart in ((), (model,))]
        )
    assert saved[0] == saved[1]


@pytest.mark.parametrize("holder", [None, 5, "text", object(), b"x", torch.float32, nn.Linear, len])
def test_what_holds_no_tensors_is_refused(holder):
    with pytest.raises(TypeError, match="holders must be tensors"):
        memory.tensor_bytes(holder)


# Training


def test_gradients_and_adam_take_what_the_formula_says():
    model = memory.build(tiny())
    optimizer = torch.optim.Adam(model.parameters())
    logits, _ = model(torch.zeros(1, 5, dtype=torch.long))
    logits.sum().backward()
    optimizer.step()
    count, tensors = numel(model), len(list(model.parameters()))
    assert memory.tensor_bytes([p.grad for p in model.parameters()]) == 4 * count
    assert memory.tensor_bytes(optimizer.state) == 8 * count + 4 * tensors  # and a step counter each
    need = memory.need(Model(**{**vars(tiny()), "parameters": count}), 32, mode="full")
    assert (need.weights, need.gradients, need.optimizer) == (4 * count, 4 * count, 8 * count)


def test_mixed_precision_takes_16_bytes_per_parameter():
    half = memory.build(tiny()).bfloat16()
    logits, _ = half(torch.zeros(1, 5, dtype=torch.long))
    logits.sum().backward()
    master = [p.detach().float().requires_grad_() for p in half.parameters()]
    for copied, p in zip(master, half.parameters(), strict=True):
        copied.grad = p.grad.float()
    optimizer = torch.optim.Adam(master)
    optimizer.step()
    for copied in master:
        copied.grad = None
    held = memory.tensor_bytes(half, [p.grad for p in half.parameters()], master, optimizer.state)
    assert held == 16 * numel(half) + 4 * len(master)
    need = memory.need("LLaMA-7B", mode="full")
    assert need.weights + need.gradients + need.optimizer == 16 * need.model.parameters


def test_seven_billion_parameters_need_112_gb_to_train():
    need = memory.need(Model.like_llama(7e9), mode="full")
    assert need.total - need.activations == 112 * 10**9


@few
@given(st.lists(st.integers(1, 50), min_size=2, max_size=5), st.integers(1, 40))
def test_mlp_activations_are_what_torch_saves(widths, batch):
    pairs = list(zip(widths, widths[1:], strict=False))
    parts = [part for i, o in pairs for part in (nn.Linear(i, o), nn.ReLU())][:-1]
    model = nn.Sequential(*parts)
    x = torch.randn(batch, widths[0])
    assert memory.saved_bytes(lambda: model(x), model) == memory.mlp_activations(widths, batch)


@few
@given(models(), st.integers(1, 3), st.integers(1, 20))
def test_layer_activations_are_what_torch_saves(model, batch, tokens):
    layer = memory.build(model).layers[0]
    x = torch.randn(batch, tokens, model.hidden, requires_grad=True)
    saved = memory.saved_bytes(lambda: layer(x), layer)
    assert saved == memory.layer_activations(model, batch * tokens, bits=32)


@few
@given(models(), st.integers(1, 3), st.integers(1, 20))
def test_a_decoders_activations_are_what_torch_saves(model, batch, tokens):
    decoder = memory.build(model)
    ids, labels = torch.randint(model.vocab, (2, batch, tokens))

    def loss():
        return functional.cross_entropy(decoder(ids.clone())[0].flatten(0, 1), labels.flatten().clone())

    saved = memory.saved_bytes(loss, decoder)
    assert saved == memory.activations(model, batch * tokens, bits=32) + 4  # and the sum of the weights


def test_sixteen_bits_halve_all_but_the_statistics():
    model = tiny()
    statistics = 10 * 4 * (4 + model.heads)
    wide, half = (memory.layer_activations(model, 10, bits=bits) for bits in (32, 16))
    assert half - statistics == (wide - statistics) / 2


def test_activations_come_close_to_the_published_formula():
    # Korthikanti et al. 2022: 34 bytes per hidden number without attention's scores; 2 of them are dropout
    model = MODELS["GPT-3 175B"]
    assert memory.layer_activations(model, 1) == pytest.approx(32 * model.hidden, rel=0.01)


class Alive(TorchDispatchMode):
    """Follow the bytes of all storages that a result still refers to."""

    def __init__(self):
        super().__init__()
        self.now = self.highest = 0
        self.holders = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return result

    def add(self, tensor):
        storage = tensor.untyped_storage()
        key, nbytes = storage._cdata, storage.nbytes()
        self.now += 0 if self.holders[key] else nbytes
        self.holders[key] += 1
        self.highest = max(self.highest, self.now)
        weakref.finalize(tensor, self.drop, key, nbytes)

    def drop(self, key, nbytes):
        self.holders[key] -= 1
        self.now -= 0 if self.holders[key] else nbytes


@pytest.mark.parametrize("gated", [True, False])
def test_working_values_are_what_is_alive_at_the_widest_place(gated):
    model = tiny(gated, layers=3, hidden=64, heads=4, kv_heads=4, head_dim=16, mlp=256, vocab=2)
    decoder, ids = memory.build(model), torch.zeros(2, 50, dtype=torch.long)
    decoder(ids)
    with torch.no_grad(), Alive() as alive:
        _, caches = decoder(ids)
    cached = memory.tensor_bytes(caches)
    predicted = memory.working_bytes(model, 50, 2, bits=32)
    assert cached > 0
    assert 0.75 * predicted <= alive.highest - cached <= 1.25 * predicted


def test_working_values_stop_growing_with_the_chunk():
    grown = [memory.working_bytes("LLaMA-7B", context) for context in (1, 256, 512, 4096)]
    assert grown[0] < grown[1] < grown[2] == grown[3]
    assert memory.working_bytes("LLaMA-7B", 1, 1024) > grown[3]


# The KV cache


@few
@given(models(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
def test_the_kv_formula_is_the_bytes_of_a_real_cache(model, batch, prompt, new):
    decoder = memory.build(model)
    ids = torch.randint(model.vocab, (batch, prompt + new))
    with torch.no_grad():
        _, caches = decoder(ids[:, :prompt])
        for place in range(prompt, prompt + new):
            logits, caches = decoder(ids[:, place : place + 1], caches)
        expected, _ = decoder(ids)
    assert memory.kv_cache(model, prompt + new, batch, bits=32) == memory.tensor_bytes(caches)
    torch.testing.assert_close(logits[:, 0], expected[:, -1], rtol=1e-4, atol=1e-5)


def test_the_kv_formula_holds_in_half_precision_too():
    with torch.no_grad():
        _, caches = memory.build(tiny()).bfloat16()(torch.zeros(3, 7, dtype=torch.long))
    assert memory.kv_cache(tiny(), 7, 3) == memory.tensor_bytes(caches)


def test_the_kv_formula_is_the_bytes_of_a_cache_written_down_anew():
    layers, batch, kv_heads, context, head_dim = 5, 2, 3, 11, 8
    keys = np.zeros((layers, batch, kv_heads, context, head_dim), np.float16)
    values = np.zeros_like(keys)
    model = tiny(layers=layers, heads=6, kv_heads=kv_heads, head_dim=head_dim)
    assert memory.kv_cache(model, context, batch) == keys.nbytes + values.nbytes


def test_llamas_cache_takes_half_a_megabyte_per_token_and_a_gigabyte_per_2048():
    assert memory.kv_cache("LLaMA-7B", 1) == 524_288
    assert memory.kv_cache("LLaMA-7B", 2048) == 2**30
    assert memory.kv_cache("LLaMA-70B", 1) == 327_680  # eight heads instead of sixty-four
    assert memory.kv_cache("BERT-base", 512) == 0


def test_a_coarser_cache_needs_scales():
    at_16 = memory.kv_cache("LLaMA-7B", 1000)
    assert memory.kv_cache("LLaMA-7B", 1000, bits=4) == at_16 / 4 * (1 + 16 / (4 * 128))
    assert memory.kv_cache("LLaMA-7B", 1000, bits=8) == at_16 / 2 * (1 + 16 / (8 * 128))


# LoRA


class Adapted(nn.Module):
    def __init__(self, linear, rank):
        super().__init__()
        self.down = nn.Linear(linear.in_features, rank, bias=False)
        self.up = nn.Linear(rank, linear.out_features, bias=False)


@few
@given(models(), st.integers(1, 4))
def test_adapters_have_the_parameters_that_the_formula_says(model, rank):
    linears = [m for m in memory.build(model).layers.modules() if isinstance(m, nn.Linear)]
    adapters = nn.ModuleList(Adapted(linear, rank) for linear in linears)
    assert memory.lora_parameters(model, rank) == numel(adapters)


def test_lora_of_rank_16_on_llama_trains_40_million():
    assert memory.lora_parameters("LLaMA-7B") == 39_976_960  # what the peft library prints for this setting


def test_lora_trains_the_adapters_and_keeps_the_weights_coarse():
    need, plain = memory.need("LLaMA-7B", 4, mode="lora"), memory.need("LLaMA-7B", 4)
    learned = memory.lora_parameters("LLaMA-7B")
    assert need.weights - plain.weights + need.gradients + need.optimizer == 16 * learned
    assert need.activations == memory.activations("LLaMA-7B", 2048)
    assert need.kv_cache == 0


# The whole need

bits = st.sampled_from(memory.WIDTHS)
settings_of_a_need = st.tuples(
    st.sampled_from(sorted(MODELS)), bits, bits, st.integers(1, 10**6), st.integers(1, 512)
)


@given(settings_of_a_need)
def test_a_need_is_the_sum_of_its_parts(setting):
    name, bits, kv_bits, context, batch = setting
    need = memory.need(*setting)
    per_group = 16 / 128 if bits < 16 else 0
    assert need.weights == pytest.approx(MODELS[name].parameters * (bits + per_group) / 8, rel=1e-6)
    assert need.kv_cache == memory.kv_cache(name, context, batch, bits=kv_bits)
    assert need.total == need.weights + need.kv_cache + need.activations
    assert need.total == sum(nbytes for _, nbytes in need.parts)
    assert need.gradients == need.optimizer == 0


@given(settings_of_a_need)
def test_more_of_anything_never_needs_less(setting):
    name, bits, kv_bits, context, batch = setting
    here = memory.need(*setting).total
    assert memory.need(name, bits, kv_bits, context + 1, batch).total >= here
    assert memory.need(name, bits, kv_bits, context, batch + 1).total > here
    assert memory.need(name, 32, kv_bits, context, batch).total >= here
    assert memory.need(name, mode="full", context=context, batch=batch).total > here or bits == 32


@given(settings_of_a_need, st.sampled_from(sorted(DEVICES)))
def test_a_fit_agrees_with_its_numbers(setting, name):
    fit = memory.fits(memory.need(*setting), name)
    assert fit.room == DEVICES[name].memory - fit.need.total
    assert (fit.verdict == "fits") == (fit.need.total <= DEVICES[name].memory) == (fit.share <= 1)
    assert ("left" in str(fit)) == str(fit).startswith("✓") == (fit.verdict == "fits")


def test_a_need_that_fills_a_device_exactly_fits():
    need = memory.need("LLaMA-7B")
    assert memory.fits(need, Device("just enough", need.total)).verdict == "fits"
    assert memory.fits(need, Device("a byte short", need.total - 1)).verdict == "does not fit"


@few
@given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(DEVICES)), bits, bits, st.integers(1, 64))
def test_the_longest_context_fits_and_one_more_does_not(name, device, bits, kv_bits, batch):
    found = memory.longest_context(name, device, bits=bits, kv_bits=kv_bits, batch=batch)
    if found:
        assert memory.fits(memory.need(name, bits, kv_bits, found, batch), device).verdict == "fits"
    if found < memory.MOST_CONTEXT:
        beyond = memory.need(name, bits, kv_bits, found + 1, batch)
        assert memory.fits(beyond, device).verdict == "does not fit"


def test_where_nothing_grows_the_context_has_no_end():
    assert memory.longest_context("BERT-base", "laptop") == memory.MOST_CONTEXT


def test_needs_and_fits_print_themselves():
    need = memory.need("LLaMA-7B", 4, 8, 4096, 2)
    text = str(need)
    assert text.splitlines()[0] == ("LLaMA-7B at 4 bits, inference, KV cache at 8 bits, 2 × 4,096 tokens")
    assert "weights      3.47 GB" in text
    assert "gradients" not in text
    assert repr(need) == text
    assert "<table>" in need._repr_html_()
    assert str(memory.fits(need, "laptop")).startswith("✓ laptop (16 GB): fits, needs 5.")
    assert "KV cache" not in str(memory.need("BERT-base"))
    assert "gradients    13.5 GB" in str(memory.need("LLaMA-7B", mode="full"))


def test_this_machine_is_a_device():
    here = memory.this_machine()
    assert here.name == "this machine"
    assert here.memory > 10**8
    assert memory.fits(memory.need("BERT-base"), here).device == here


# Peaks


def test_python_peaks_are_exact():
    with memory.peak() as found:
        kept = np.ones(1_000_000)
        copied = kept + 1
        del copied
    assert found.peak == pytest.approx(16_000_000, abs=20_000)
    assert found.kept == pytest.approx(8_000_000, abs=20_000)
    assert kept.size
    assert not tracemalloc.is_tracing()


def test_what_was_there_before_does_not_count():
    tracemalloc.start()
    there = np.ones(1_000_000)
    with memory.peak() as found:
        del there
    assert tracemalloc.is_tracing()
    tracemalloc.stop()
    assert found.peak < 20_000
    assert found.kept == pytest.approx(-8_000_000, abs=20_000)
    assert "kept −8.00 MB" in str(found)


@pytest.mark.parametrize(("before", "inside", "after"), [(3, 1, 1), (1, 3, 1), (1, 1, 3)])
def test_blocks_may_be_nested(before, inside, after):
    mega = 1_000_000
    with memory.peak() as outer:
        bytearray(before * mega)
        with memory.peak() as inner:
            bytearray(inside * mega)
        bytearray(after * mega)
    assert outer.peak == pytest.approx(3 * mega, abs=20_000)
    assert inner.peak == pytest.approx(inside * mega, abs=20_000)


def test_python_sees_numpy_and_not_torch_and_the_process_sees_both():
    mega = 10**6
    with memory.peak() as python:
        tensor = torch.ones(25 * mega)
    assert python.peak < mega
    with memory.peak("process") as process:
        again = tensor + 1
    assert process.kept == pytest.approx(100 * mega, rel=0.2)
    assert process.peak >= process.kept
    assert again.numel() == tensor.numel()
    assert "not torch's" in str(python)
    assert repr(process) == str(process)


@pytest.mark.parametrize("gauge", ["python", "process"])
def test_an_error_in_the_block_is_passed_on_and_the_gauge_is_read(gauge):
    found = []

    def fail():
        with memory.peak(gauge) as peak:
            found.append(peak)
            kept = np.ones(10**7)
            kept[10**8] = 1

    with pytest.raises(IndexError):
        fail()
    assert found[0].peak > 7 * 10**7
    assert not tracemalloc.is_tracing()


# Bad input


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: memory.linear(0, 5), ValueError, "inputs must be from 1"),
        (lambda: memory.linear(2.5, 5), TypeError, "inputs must be a whole number"),
        (lambda: memory.linear(5, True), TypeError, "outputs"),
        (lambda: memory.conv2d(3, 16, 3, groups=2), ValueError, "groups must divide inputs = 3"),
        (lambda: memory.conv2d(4, 6, 3, groups=4), ValueError, "groups must divide outputs = 6"),
        (lambda: memory.attention(10, 3), ValueError, "heads must divide hidden = 10"),
        (lambda: memory.attention(12, 3, kv_heads=2), ValueError, "kv_heads must divide heads = 3"),
        (lambda: memory.weight_bytes(-1), ValueError, "parameters must be from 0"),
        (lambda: memory.weight_bytes(5, "fp33"), ValueError, "format must be one of fp64|format must be one"),
        (lambda: memory.weight_bytes(5, "tf32"), ValueError, "stored as fp32"),
        (lambda: memory.weight_bytes(5, "int4", group=0), ValueError, "group must be from 1"),
        (lambda: memory.kv_cache("LLaMA-8B", 5), ValueError, "model must be one of BERT-base"),
        (lambda: memory.kv_cache("LLaMA-7B", 0), ValueError, "context"),
        (lambda: memory.kv_cache("LLaMA-7B", 5, bits=5), ValueError, "bits must be one of 32, 16, 8, 4"),
        (lambda: memory.mlp_activations([5], 3), ValueError, "input and an output size"),
        (lambda: memory.layer_activations("LLaMA-7B", 0), ValueError, "tokens"),
        (lambda: memory.lora_parameters("LLaMA-7B", 0), ValueError, "rank"),
        (lambda: memory.need("LLaMA-7B", 8, mode="full"), ValueError, "32 or 16 for full training"),
        (lambda: memory.need("LLaMA-7B", 16, 7), ValueError, "bits must be one of"),
        (lambda: memory.need("LLaMA-7B", mode="train"), ValueError, "mode must be one of inference"),
        (lambda: memory.need("LLaMA-7B", batch=0), ValueError, "batch"),
        (lambda: memory.need(7e9), TypeError, "model must be one of"),
        (lambda: memory.fits(5, "laptop"), TypeError, "need must be a Need"),
        (lambda: memory.fits(memory.need("LLaMA-7B"), "fridge"), ValueError, "device must be one of"),
        (lambda: memory.by_layer([1, 2]), TypeError, "model must be an nn.Module"),
        (lambda: memory.peak("gpu").__enter__(), ValueError, "gauge must be one of python, process"),
        (lambda: Device("none", 0), ValueError, "memory must be at least 1"),
        (lambda: tiny(kv_heads=3), ValueError, "kv_heads must divide the 4 heads"),
        (lambda: tiny(layers=0), ValueError, "layers"),
        (lambda: Model.like_llama(math.nan), ValueError, "parameters must be finite"),
        (lambda: Model.like_llama(10), ValueError, "parameters must be from 1000000"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        MODELS["mine"] = tiny()
    with pytest.raises(TypeError):
        DEVICES["mine"] = Device("mine", 1)
    assert copy.copy(MODELS["LLaMA-7B"]) == MODELS["LLaMA-7B"]


# Forms of tensors and of models: counted by hand from shapes and types


def quantized(model, kinds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, kinds, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # indices int64 in two rows, then values; a clone holds no more of them than it needs
        (lambda: torch.eye(100).to_sparse(), 2 * 100 * 8 + 100 * 4),
        (lambda: torch.eye(100).half().to_sparse_csr().clone(), 101 * 8 + 100 * 8 + 100 * 2),
        (lambda: torch.eye(100).to_sparse_csc().clone(), 101 * 8 + 100 * 8 + 100 * 4),
        (lambda: torch.eye(100).to_sparse_bsr((10, 10)).clone(), 11 * 8 + 10 * 8 + 10 * 100 * 4),
        (lambda: torch.eye(100).to_sparse_bsc((10, 10)).clone(), 11 * 8 + 10 * 8 + 10 * 100 * 4),
        (lambda: pruning.to_csr(torch.eye(100)), 1204),
        (lambda: nn.Parameter(torch.eye(100).to_sparse_csr().clone()), 101 * 8 + 100 * 8 + 100 * 4),
        # sizes, strides and offsets of the two parts, int64
        (lambda: torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)]), 18 * 4 + 10 * 8),
        (
            lambda: torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(4, 3)], layout=torch.jagged),
            18 * 4 + 3 * 8,
        ),
        (lambda: torch.quantize_per_tensor(torch.randn(7, 5), 0.1, 3, torch.quint8), 35),
        (
            lambda: torch.quantize_per_channel(
                torch.randn(7, 5), torch.rand(7).double() + 1, torch.zeros(7).long(), 0, torch.qint8
            ),
            35 + 7 * 8 + 7 * 8,
        ),
        (lambda: torch.zeros(3, 4, device="meta"), 48),
        (lambda: torch.zeros(1, 4).expand(1000, 4), 16),
        (lambda: torch.zeros(6, 4).to_mkldnn(), 96),
        (lambda: np.ma.masked_array(np.zeros(10), np.zeros(10, bool)), 80 + 10),
        (lambda: quantized(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)), {nn.Linear}), 4896),
        (lambda: dynamic.quantize_dynamic(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 8))), 4896),
        (lambda: quantized(nn.Sequential(nn.LSTM(16, 8)), {nn.LSTM}), 32 * 16 + 32 * 8 + 2 * 32 * 4),
        (lambda: torch.ao.nn.quantized.EmbeddingBag(16, 8), 16 * 8 + 2 * 16 * 4),
        (lambda: dynamic.DynamicLinear(nn.Linear(64, 8)), 64 * 8 + 4 + 8 * 4),
        (lambda: nn.Sequential(nn.BatchNorm1d(6)), 4 * 6 * 4 + 8),
        (lambda: Cached(), 5 * 4 + 7 * 4 + 2 * 3 * 8),
        (lambda: start_many((4, 3), [0, 1]), 2 * 4 * (12 + 3)),
        (lambda: mlp((4, 3)).parameters(), 4 * (12 + 3)),
        (lambda: mlp((4, 3)).state_dict().values(), 4 * (12 + 3)),
        (lambda: {"x": {torch.zeros(3)}, "y": deque([torch.zeros(2)]), "text": "abc"}, 20),
        (lambda: stepped(), 2 * 4 * (12 + 3) + 2 * 4),
        (lambda: stepped().state_dict(), 2 * 4 * (12 + 3) + 2 * 4),
    ],
    ids=range(28),
)
def test_all_bytes_of_every_form_are_found_and_each_once(make, expected):
    made = make()
    if not isinstance(made, Iterator):
        assert memory.tensor_bytes(made, [made], {"again": made}) == expected
    assert memory.tensor_bytes(made) == expected


class Cached(nn.Module):
    """Tensors that are neither parameters nor buffers."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(5))
        self.mask, self.cache = torch.zeros(7), [(torch.zeros(3).double(), torch.zeros(3).double())]
        self.again = self


def stepped():
    model = mlp((4, 3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 4)).sum().backward()
    optimizer.step()
    return optimizer


def test_a_saved_state_dict_holds_the_bytes_that_were_counted():
    for model in (
        nn.Sequential(nn.Linear(300, 200), nn.BatchNorm1d(200)),
        quantized(nn.Sequential(nn.Linear(300, 200)), {nn.Linear}),
        quantized(nn.Sequential(nn.LSTM(100, 80)), {nn.LSTM}),
    ):
        counted = memory.tensor_bytes(model)
        assert counted < dynamic.state_dict_size(model) < counted + 8000


def test_layers_that_were_quantized_have_their_rows():
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Sequential(nn.Linear(32, 8)))
    for small in (dynamic.quantize_dynamic(model), quantized(model, {nn.Linear})):
        rows = memory.by_layer(small).rows
        assert [(row.name, row.kind, row.nbytes) for row in rows] == [
            ("0", "Linear", 64 * 32 + 32 * 4),
            ("2.0", "Linear", 32 * 8 + 8 * 4),
        ]
        assert memory.by_layer(small).parameters == memory.by_layer(model).parameters
        assert memory.by_layer(small).nbytes == memory.tensor_bytes(small)
    (row,) = memory.by_layer(quantized(nn.Sequential(nn.LSTM(16, 8)), {nn.LSTM})).rows
    assert (row.name, row.kind, row.nbytes) == ("0", "LSTM", 32 * 24 + 2 * 32 * 4)
    by_hand = nn.Sequential(dynamic.DynamicLinear(nn.Linear(64, 8)))
    assert memory.by_layer(by_hand).nbytes == memory.tensor_bytes(by_hand)
    assert "8×64 + 1 + 8" in str(memory.by_layer(by_hand))


def test_layers_count_a_weight_once_under_whichever_name_it_is_shared():
    tied = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    tied[1].weight = tied[0].weight
    copied = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    copied[1].weight = nn.Parameter(copied[0].weight.data)  # another object on the same storage
    flat = torch.zeros(20)
    views = nn.ParameterList([nn.Parameter(flat[:8]), nn.Parameter(flat[8:])])
    for model, count in ((tied, 36), (copied, 36), (views, 20)):
        assert memory.by_layer(model).parameters == count
        assert memory.by_layer(model).nbytes == memory.tensor_bytes(model) == 4 * count


def test_what_a_sparse_product_keeps_is_counted_too():
    matrix, x = torch.eye(10).to_sparse_csr(), torch.ones(10, 3, requires_grad=True)
    assert memory.saved_bytes(lambda: matrix @ x, matrix) == 0
    assert memory.saved_bytes(lambda: (matrix @ x).square(), matrix) == 10 * 3 * 4


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: memory.linear(3, 4, bias=5), "bias must be True or False; got 5"),
        (lambda: memory.linear(3, 4, bias=math.nan), "bias must be True or False"),
        (lambda: memory.conv2d(3, 4, 3, bias="False"), "bias must be True or False; got 'False'"),
        (lambda: memory.layer_norm(4, bias=None), "bias must be True or False; got None"),
        (lambda: memory.attention(8, 2, bias=1), "bias must be True or False; got 1"),
        (lambda: memory.attention(0, 2, head_dim=4), "hidden must be from 1"),
        (lambda: memory.need("LLaMA-7B", kv_bits=5), "kv_bits must be one of 32, 16, 8, 4; got 5"),
        (lambda: memory.need("LLaMA-7B", bits=5), "^bits must be one of"),
        (lambda: memory.need("LLaMA-7B", batch=10**400), "^batch "),
        (lambda: memory.need("LLaMA-7B", context=10**400), "^context "),
        (lambda: memory.weight_bytes(10**400), "^parameters "),
        (lambda: memory.mlp_activations([10, 10**400], 1), "widths "),
        (lambda: memory.mlp_activations(None, 1), "widths must be a list"),
        (lambda: memory.activations("LLaMA-7B", -1), "tokens must be from 1"),
        (lambda: memory.need(None), "model"),
        (lambda: memory.fits(None, "A100"), "need must be a Need"),
    ],
)
def test_numbers_and_flags_are_named_as_the_caller_did(call, says):
    with pytest.raises((TypeError, ValueError), match=says) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16, np.array, torch.tensor])
def test_numbers_of_numpy_and_torch_are_numbers(kind):
    number = kind(20_000)
    assert memory.linear(number, number) == 20_000 * 20_000 + 20_000
    assert memory.conv2d(number, number, kind(3)) == 20_000 * (20_000 * 9 + 1)
    assert memory.attention(number, kind(4)) == 4 * (20_000 * 20_000 + 20_000)
    assert memory.embedding(number, number) == 4 * 10**8
    assert memory.weight_bytes(kind(30_001), "int4") == 15_001
    assert memory.need("LLaMA-7B", kind(16), kind(16), number, kind(4)) == memory.need(
        "LLaMA-7B", 16, 16, 20_000, 4
    )
    assert memory.activations("LLaMA-7B", number) == memory.activations("LLaMA-7B", 20_000)
    assert memory.mlp_activations([number, number], kind(300)) == 300 * 20_000 * 4


class Plain:
    """An object of the reader's own."""


@pytest.mark.parametrize(
    "holder",
    [
        pandas.DataFrame({"a": [1.0]}),
        [pandas.Series([1.0])],
        {"x": pandas.Index([1.0])},
        memoryview(b"abcd"),
        [memoryview(b"abcd")],
        array.array("d", [1.0]),
        Plain(),
        [Plain()],
        ({"deep": [Plain()]},),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_has_bytes_that_nobody_counts_is_refused_wherever_it_stands(holder):
    with pytest.raises(TypeError, match="got (DataFrame|Series|Index|memoryview|array|Plain)$"):
        memory.tensor_bytes(holder)


def test_an_array_and_a_tensor_that_looks_at_it_are_one_storage():
    values = np.zeros(4)
    assert memory.tensor_bytes([values, torch.from_numpy(values)]) == values.nbytes
    assert memory.tensor_bytes([torch.ones(3), 5, "text", None, torch.float32, torch.device("cpu")]) == 12
    assert memory.tensor_bytes(iter([torch.ones(3)]), torch.nn.Linear(2, 2).state_dict().values()) == 12 + 24


@pytest.mark.parametrize("odd", [0, 1, None, "False", np.ones(2), torch.tensor([]), nn.Linear, [2, 1]])
def test_only_a_bool_says_whether_the_embedding_is_tied(odd):
    with pytest.raises(TypeError, match=r"^tied must be True or False; got .*$"):
        memory.build("LLaMA-7B", tied=odd)


def test_what_cannot_be_called_keeps_nothing_for_the_backward_pass():
    for odd in (None, 3, "text", torch.ones(2)):
        with pytest.raises(TypeError, match=r"^function must be callable without arguments; got"):
            memory.saved_bytes(odd)

    def failing():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        memory.saved_bytes(failing)


@pytest.mark.parametrize("form", [np.int32, np.uint8, np.array, torch.tensor])
def test_a_model_keeps_pythons_numbers_whatever_their_form(form):
    sizes = {"layers": 2, "hidden": 8, "heads": 2, "kv_heads": 2, "head_dim": 4, "vocab": 10, "mlp": 16}
    made = Model("tiny", 100, **{name: form(size) for name, size in sizes.items()})
    assert repr(made) == repr(Model("tiny", 100, **sizes))
    for odd in ({"gated": 1}, {"generates": [None]}, {"name": b"3"}, {"hidden": 2**63}, {"mlp": np.ones(2)}):
        with pytest.raises((TypeError, ValueError), match=rf"^{next(iter(odd))} must be"):
            Model(**{"name": "tiny", "parameters": 100, **sizes, **odd})
