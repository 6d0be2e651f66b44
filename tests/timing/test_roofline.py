import contextlib
import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from coursekit import language, roofline, runtime
from coursekit.timing import stopwatch
from coursekit.timing.roofline import kernels

A100 = roofline.Roof(bandwidth=2e12, peaks={"fp16": 312e12}, machine="A100")
HERE = roofline.Roof(40e9, {"fp32": 200e9, "int8": 800e9}, cache_bandwidth=100e9)
positive = st.floats(1e-6, 1e6)
sizes = st.integers(1, 40)


# What a layer works


@given(sizes, sizes, sizes)
def test_flop_are_the_multiplications_and_additions_of_the_product(n, m, batch):
    operations = 0
    for _ in range(batch):
        for _ in range(m):
            operations += 2 * n  # n products, each added to a sum
    assert roofline.linear(n, m, batch).flop == operations


@given(sizes, sizes, sizes, st.sampled_from(["fp32", "bf16", "int8"]))
def test_bytes_are_those_of_the_three_tensors(n, m, batch, precision):
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}[precision]
    x, weight = torch.zeros(batch, n, dtype=dtype), torch.zeros(m, n, dtype=dtype)
    out = torch.zeros(batch, m, dtype=torch.int32 if precision == "int8" else dtype)
    moved = sum(tensor.numel() * tensor.element_size() for tensor in (x, weight, out))
    work = roofline.linear(n, m, batch, precision)
    assert work.nbytes == moved
    assert work.intensity == 2 * n * m * batch / moved


@given(sizes, sizes, st.integers(1, 1000))
def test_intensity_grows_with_the_batch_and_never_exceeds_what_weights_cost(n, m, batch):
    small, large = (roofline.linear(n, m, b).intensity for b in (batch, batch + 1))
    assert small < large
    assert large < 2 * (batch + 1) / 4


def test_a_large_matrix_times_a_vector_in_16_bits_does_one_flop_per_byte():
    assert roofline.linear(4096, 4096, 1, "fp16").intensity == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((0, 4, 1), ValueError, "inputs must be at least 1"),
        ((4, 2.5, 1), TypeError, "outputs must be a whole number"),
        ((4, 4, -1), ValueError, "batch"),
        ((4, 4, 1, "fp8"), ValueError, "precision must be one of fp32"),
        ((4, 4, 1, 32), TypeError, "precision"),
    ],
)
def test_bad_layers_are_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        roofline.linear(*arguments)


# Roofs


@given(positive)
def test_the_bound_is_the_lower_of_two_lines(intensity):
    assert HERE.bound(intensity) == min(200e9, intensity * 40e9)
    assert HERE.bound(intensity, "int8", "cache") == min(800e9, intensity * 100e9)


@given(positive)
def test_the_verdict_says_which_line_that_is(intensity):
    is_slope = intensity * 40e9 < 200e9
    assert HERE.verdict(intensity) == ("memory-bound" if is_slope else "compute-bound")


def test_at_the_ridge_both_lines_meet():
    for precision, source in (("fp32", "memory"), ("int8", "memory"), ("fp32", "cache")):
        ridge = HERE.ridge(precision, source)
        assert HERE.bound(ridge, precision, source) == pytest.approx(HERE.peaks[precision])
        assert HERE.verdict(ridge, precision, source) == "compute-bound"
        assert HERE.verdict(0.999 * ridge, precision, source) == "memory-bound"
    assert HERE.ridge() == 5


def test_decoding_on_an_a100_is_memory_bound_by_a_factor_of_170():
    flop, nbytes = 24 * 4096**2 * 32, 14e9
    work = roofline.Work(flop, nbytes)
    assert flop / 1e9 == pytest.approx(12.9, abs=0.05)  # giga, not tera
    assert work.intensity == pytest.approx(0.92, abs=0.005)
    assert A100.verdict(work.intensity, "fp16") == "memory-bound"
    assert flop / 312e12 == pytest.approx(0.041e-3, rel=0.01)
    seconds = flop / A100.bound(work.intensity, "fp16")
    assert seconds == pytest.approx(7e-3)
    assert seconds / (flop / 312e12) == pytest.approx(170, abs=1)
    assert A100.ridge("fp16") == 156


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: roofline.Roof(0, {"fp32": 1}), ValueError, "bandwidth must be more than 0"),
        (lambda: roofline.Roof(math.nan, {"fp32": 1}), ValueError, "bandwidth must be finite"),
        (lambda: roofline.Roof("40", {"fp32": 1}), TypeError, "bandwidth must be a number"),
        (lambda: roofline.Roof(1, {}), ValueError, "peaks must map at least one precision"),
        (lambda: roofline.Roof(1, [("fp32", 1)]), ValueError, "peaks must map"),
        (lambda: roofline.Roof(1, {"fp32": -1}), ValueError, r"peaks\['fp32'\] must be more than 0"),
        (lambda: roofline.Roof(1, {"fp7": 1}), ValueError, "precision must be one of"),
        (lambda: roofline.Roof(1, {"fp32": 1}, cache_bandwidth=0), ValueError, "cache_bandwidth"),
        (lambda: HERE.bound(0), ValueError, "intensity must be more than 0"),
        (lambda: HERE.bound(math.inf), ValueError, "intensity must be finite"),
        (lambda: HERE.bound(1, "bf16"), ValueError, "precision must be one of fp32, int8; got 'bf16'"),
        (lambda: HERE.bound(1, source="disk"), ValueError, "source must be one of memory, cache"),
        (lambda: A100.bound(1, "fp16", "cache"), ValueError, "no cache_bandwidth"),
        (lambda: HERE.verdict(-1), ValueError, "intensity"),
    ],
)
def test_bad_roofs_and_questions_are_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_roofs_work_and_points_print_with_units():
    assert "memory 40.0 GB/s; cache 100 GB/s" in str(HERE)
    assert "200 GFLOP/s" in str(HERE)
    assert repr(HERE) == str(HERE)
    assert "312 TFLOP/s" in A100._repr_html_()
    assert "ridge from cache" not in str(A100)
    work = roofline.Work(12.9e9, 14e9)
    assert str(work) == repr(work) == "12.9 GFLOP, 14.0 GB, 0.921 FLOP/byte"
    point = roofline.Point(8, "fp32", "cache", work, 1e-3)
    assert str(point) == "batch 8, fp32, weights from cache: 12.9 TFLOP/s at 0.921 FLOP/byte"
    assert roofline.rate(999.9e6, "B/s") == "1.00 GB/s"
    assert roofline.rate(0.5, "FLOP/s") == "0.500 FLOP/s"


def test_a_points_share_is_its_rate_over_its_bound():
    point = roofline.Point(8, "fp32", "memory", roofline.Work(4e9, 2e9), seconds=0.1)
    assert point.rate == 4e10
    assert point.share(HERE) == pytest.approx(4e10 / (2 * 40e9))


# How roofs are measured, on a machine of known speed


@pytest.fixture
def small(monkeypatch):
    """Shrink what is allocated; the counting stays the same."""
    monkeypatch.setattr(kernels, "LEAST_STREAM", 3_000_000)
    monkeypatch.setattr(kernels, "PIECE", 100_000)
    monkeypatch.setattr(kernels, "last_cache", lambda device: 500_000)
    monkeypatch.setattr(kernels, "PRODUCT_SIZES", {"cpu": (16, 32, 64), "cuda": (16, 32)})


def timed_as(monkeypatch, seconds):
    """Let every candidate take the time that ``seconds(calls so far)`` says; it is really called twice."""
    calls = []

    def quickest(fn, share, device, threads):
        fn()
        fn()
        calls.append(share)
        return seconds(len(calls))

    monkeypatch.setattr(kernels, "quickest", quickest)
    return calls


def test_streams_count_what_the_program_reads_and_writes(monkeypatch, small):
    timed_as(monkeypatch, lambda call: 1e-3)
    piece = 100_000 * torch.get_num_threads()
    rates = kernels.patterns(kernels.stream("cpu"), "cpu", 1, 0.1)
    assert rates == {
        name: pytest.approx(n * piece / 1e-3) for n, name in enumerate(("read", "copy", "triad"), 1)
    }


def test_streams_come_back_to_a_piece_only_after_the_caches_have_forgotten_it(monkeypatch, small):
    touched = []

    def noting(*tensors):
        touched[-1].extend((tensor.data_ptr(), tensor.numel() * 4) for tensor in tensors)

    monkeypatch.setattr(torch, "sum", noting)
    monkeypatch.setattr(torch.Tensor, "copy_", noting)
    monkeypatch.setattr(torch, "sub", lambda x, y, out: noting(x, y, out))
    monkeypatch.setattr(
        kernels,
        "quickest",
        lambda fn, *rest: (touched.append([]), [fn() for _ in range(99)]) and 1,
    )
    kernels.patterns(kernels.stream("cpu"), "cpu", 1, 0.1)
    assert len(touched) == 3
    for pattern in touched:
        once = list(dict.fromkeys(pattern))
        assert pattern[: 2 * len(once)] == 2 * once
        assert sum(size for _, size in once) >= 0.9 * kernels.stream_bytes("cpu")


def test_cached_reading_counts_its_bytes(monkeypatch, small):
    timed_as(monkeypatch, lambda call: 1e-4)
    assert kernels.cached("cpu", 1, 0.1) == pytest.approx(max(kernels.CACHED_SETS) / 1e-4, rel=1e-3)


def test_a_peak_is_the_best_of_several_sizes(monkeypatch, small):
    times = {1: 2 * 16**3 / 5e9, 2: 2 * 32**3 / 9e9, 3: 2 * 64**3 / 7e9}
    timed_as(monkeypatch, times.get)
    assert kernels.peak("fp32", "cpu", 1, 0.1) == pytest.approx(9e9)


def test_no_larger_product_is_tried_after_a_slow_one(monkeypatch, small):
    calls = timed_as(monkeypatch, lambda call: 1.0)
    kernels.peak("fp32", "cpu", 1, 0.1)
    assert len(calls) == 1


def test_a_roof_is_the_maximum_over_patterns_and_rounds(monkeypatch):
    monkeypatch.setattr(kernels, "available", lambda device: ("fp32", "bf16"))
    calm = itertools.cycle([0.5, 1.0, 0.7])  # how much of the machine is ours, round by round
    shares = []

    def patterns(pieces, device, threads, seconds):
        shares.append(next(calm))
        return {name: shares[-1] * rate for name, rate in {"read": 3e9, "copy": 5e9, "triad": 4e9}.items()}

    peaks = {"fp32": 1e9, "bf16": 2e9}
    monkeypatch.setattr(kernels, "stream", lambda device: ())
    monkeypatch.setattr(kernels, "patterns", patterns)
    monkeypatch.setattr(kernels, "cached", lambda device, threads, s: shares[-1] * 9e9)
    monkeypatch.setattr(kernels, "peak", lambda name, device, threads, s: shares[-1] * peaks[name])
    free = itertools.cycle([1, 2, 1])
    monkeypatch.setattr(kernels, "free_threads", lambda device: next(free))
    told = []
    roof = roofline.measure(after=lambda: told.append(len(shares)))
    assert len(shares) == 3
    assert told == [1, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert roof.threads == 2
    assert roof.patterns == {"read": 3e9, "copy": 5e9, "triad": 4e9}
    assert (roof.bandwidth, roof.cache_bandwidth) == (5e9, 9e9)
    assert dict(roof.peaks) == {"fp32": 1e9, "bf16": 2e9}
    assert list(roofline.measure(["bf16"]).peaks) == ["bf16"]
    with pytest.raises(ValueError, match="precisions must be one of fp32, bf16; got 'int8'"):
        roofline.measure(["int8"])


def test_a_layer_that_is_measured_tells_ten_times_how_far_it_is(monkeypatch, small):
    told = []
    timed_as(monkeypatch, lambda call: told.append("batch") or 1e-3)
    points = roofline.measure_layer(10, 10, (1, 2, 3), after=lambda: told.append("after"))
    assert len(points) == 6
    assert told.count("after") == 10
    assert told.index("after") < len(told) / 2
    with pytest.raises(TypeError, match="after must be callable"):
        roofline.measure_layer(10, 10, (1,), after="x")


@pytest.mark.parametrize("warm", [False, True])
def test_weights_come_from_memory_or_stay_in_the_cache(monkeypatch, small, warm):
    seen = []
    monkeypatch.setattr(kernels, "product", lambda x, weight: seen.append((weight.data_ptr(), len(x))))
    monkeypatch.setattr(kernels, "quickest", lambda fn, *args: [fn() for _ in range(200)] and 1e-3)
    buffer, shape = kernels.weights((100, 80), "cpu"), (100, 80)
    options = {"warm": warm, "threads": 1, "seconds": 0.1}
    times = list(kernels.layer_times(buffer, shape, (1, 7), "fp32", "cpu", **options))
    assert times == [1e-3, 1e-3]
    assert {rows for _, rows in seen} == {1, 7}
    addresses = {address for address, _ in seen}
    size = 100 * 80 * 4
    if warm:
        assert len(addresses) == 1
    else:
        assert (len(addresses) + 1) * size > kernels.stream_bytes("cpu")
        apart = [i for i, (address, _) in enumerate(seen) if address == seen[0][0]]
        assert np.diff(apart).min() == len(addresses)


@pytest.mark.parametrize("precision", kernels.DTYPES)
def test_the_weights_are_sensible_numbers_in_every_precision(small, precision):
    numbers = kernels.weights((8, 8), "cpu").view(getattr(torch, kernels.DTYPES[precision])).double()
    low, high = (60, 63) if precision == "int8" else (0.007, 2)
    assert low <= numbers.min() < numbers.max() <= high
    assert numbers.unique().numel() > 3


def test_there_are_two_layers_or_more_however_large_one_is(small):
    assert kernels.weights((2000, 1000), "cpu").numel() >= 2 * 4 * 2000 * 1000


def test_points_carry_their_batch_precision_source_and_time(monkeypatch, small):
    timed_as(monkeypatch, lambda call: call * 1e-3)
    points = roofline.measure_layer(64, 32, (1, 4), precisions=("fp32", "bf16"))
    assert [(p.precision, p.source, p.batch) for p in points] == [
        (precision, source, batch)
        for precision in ("fp32", "bf16")
        for source in ("memory", "cache")
        for batch in (1, 4)
    ]
    assert [p.seconds for p in points] == pytest.approx([call * 1e-3 for call in range(1, 9)])
    assert points[5].work == roofline.linear(64, 32, 4, "bf16")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"precisions": ("fp64",)}, "precisions must be one of"),
        ({"sources": ("disk",)}, "sources must be one of memory, cache"),
        ({"batches": (0,)}, "batch must be at least 1"),
        ({"min_time": 0}, "min_time must be more than 0"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_bad_points_are_refused(options, says, small):
    with pytest.raises(ValueError, match=says):
        roofline.measure_layer(8, 8, **{"batches": (1,), **options})


def test_quickest_keeps_the_threads_as_they_were():
    before, seen = torch.get_num_threads(), set()
    for threads in (1, before):
        kernels.quickest(lambda: seen.add(torch.get_num_threads()), 0.002, "cpu", threads)
    assert seen == {before, 1}
    assert torch.get_num_threads() == before


def test_a_quick_call_is_one_that_few_are_quicker_than(monkeypatch):
    clock = SimpleNamespace(time=0.0)
    durations = itertools.cycle([1.0] * 10 + [3.0] * 9 + [0.001])  # one of twenty was lucky
    monkeypatch.setattr(stopwatch, "now", lambda: clock.time)
    monkeypatch.setattr(stopwatch, "sample_seconds", lambda watch: 1e-9)

    def call():
        clock.time += next(durations)

    assert kernels.quickest(call, 400.0, "cpu", 1) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("on_four", "on_one", "chosen"),
    [
        ([1.0, 1.0, 1.1], [3.0, 3.0, 3.1], 4),
        ([1.0, 90.0, 90.0], [3.0, 3.0, 3.1], 1),  # mostly they wait for each other
        ([3.0, 3.0, 3.0], [3.0, 3.0, 3.0], 4),
    ],
)
def test_one_thread_is_taken_where_it_is_usually_quicker_than_all(monkeypatch, on_four, on_one, chosen):
    samples = {4: on_four, 1: on_one}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(kernels, "_samples", lambda fn, seconds, device, threads: samples[threads])
    assert kernels.free_threads("cpu") == chosen
    assert kernels.free_threads("cuda") == 1


@pytest.mark.parametrize(("asked", "free", "used"), [(None, 4, 4), (2, 4, 2), (4, 1, 1)])
def test_points_use_no_more_threads_than_the_roof_and_no_more_than_are_free(
    monkeypatch, small, asked, free, used
):
    seen = []
    monkeypatch.setattr(kernels, "free_threads", lambda device: free)
    monkeypatch.setattr(kernels, "quickest", lambda fn, s, device, threads: seen.append(threads) or 1.0)
    roofline.measure_layer(8, 8, (1,), threads=asked)
    assert set(seen) == {used}


def test_the_last_cache_is_read_from_linux_and_assumed_elsewhere(monkeypatch, tmp_path):
    for index, size in enumerate(("32K", "1024K", "77824K")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n", encoding="utf-8")
    monkeypatch.setattr(kernels, "LINUX_CACHES", tmp_path)
    assert kernels.last_cache("cpu") == 77824 * 1024
    assert kernels.stream_bytes("cpu") == 4 * 77824 * 1024
    monkeypatch.setattr(kernels, "LINUX_CACHES", tmp_path / "nowhere")
    assert kernels.last_cache("cpu") == kernels.ASSUMED_CACHE
    for cache, expected in ((1_000_000, kernels.LEAST_STREAM), (10**9, kernels.MOST_STREAM)):
        monkeypatch.setattr(kernels, "last_cache", lambda device, cache=cache: cache)
        assert kernels.stream_bytes("cpu") == expected


def test_apples_sysctl_is_asked_where_there_is_no_linux(monkeypatch):
    answers = {"hw.l3cachesize": "", "hw.perflevel0.l2cachesize": "12582912\n", "hw.l2cachesize": "4194304\n"}
    monkeypatch.setattr(kernels.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(
        kernels.subprocess, "run", lambda command, **options: SimpleNamespace(stdout=answers[command[-1]])
    )
    assert kernels._mac_caches() == [12582912, 4194304]


# What is multiplied


@pytest.mark.parametrize("precision", kernels.available("cpu"))
def test_products_are_products(precision):
    a, b = kernels.matrix(40, 24, precision, "cpu"), kernels.matrix(24, 56, precision, "cpu")
    made = kernels.product(a, b)
    wanted = a.double().numpy() @ b.double().numpy()
    exact = precision == "int8"
    np.testing.assert_allclose(
        made.double().numpy(), wanted, rtol=0 if exact else 0.02, atol=0 if exact else 0.2
    )
    assert made.dtype == (torch.int32 if exact else a.dtype)


def test_a_precision_without_a_kernel_is_left_out(monkeypatch):
    def broken(a, b):
        raise RuntimeError("not implemented for 'Char'")

    monkeypatch.setattr(torch, "_int_mm", broken)
    assert "int8" not in kernels.available("cpu")
    assert "fp32" in kernels.available("cpu")


def test_nothing_random_is_disturbed():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    kernels.matrix(4, 4, "fp32", "cpu")
    kernels.matrix(4, 4, "int8", "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_tf32_is_allowed_only_while_it_is_asked_for():
    before = torch.get_float32_matmul_precision()
    for precision, mode in (("tf32", "high"), ("fp32", "highest")):
        with contextlib.suppress(ZeroDivisionError), kernels.matmul_mode(precision, "cuda"):
            assert torch.get_float32_matmul_precision() == mode
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == before


# A GPU, made of the CPU


@pytest.fixture
def gpu(monkeypatch, small):
    """Let torch's factories take "cuda" for the CPU, and note what was asked of the GPU."""
    asked = []
    for name in ("ones", "randn", "randint"):
        real = getattr(torch, name)

        def fake(*args, real=real, device="cpu", **options):
            asked.append(str(device))
            return real(*args, device="cpu", **options)

        monkeypatch.setattr(torch, name, fake)
    real_generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: real_generator("cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a made-up GPU")
    monkeypatch.setattr(runtime, "device", lambda choice=None: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(stopwatch, "stopwatch", lambda device: stopwatch.Stopwatch())
    monkeypatch.setattr(kernels, "GPU_STREAM", 3_000_000)
    return asked


def test_a_gpu_is_measured_in_all_its_precisions(gpu):
    roof = roofline.measure(device="cuda", max_time=0.02)
    assert tuple(roof.peaks) == ("fp32", "tf32", "fp16", "bf16", "int8")
    assert (roof.machine, roof.threads) == ("a made-up GPU", 1)
    assert set(gpu) == {"cuda"}


def test_a_gpus_small_int8_batches_are_padded_and_counted_as_they_are(gpu, monkeypatch):
    rows = []
    real = kernels.product
    monkeypatch.setattr(kernels, "product", lambda a, b: rows.append(len(a)) or real(a, b))
    points = roofline.measure_layer(
        16, 8, (1, 64), precisions=("int8",), sources=("cache",), device="cuda", min_time=1e-3
    )
    assert {32, 64} == set(rows)
    assert points[0].work == roofline.linear(16, 8, 1, "int8")


def test_a_gpus_cache_is_asked_for_or_assumed(monkeypatch):
    for properties, size in (
        (SimpleNamespace(L2_cache_size=50_000_000), 50_000_000),
        (SimpleNamespace(), None),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index, p=properties: p)
        assert kernels.last_cache("cuda") == (size or kernels.ASSUMED_CACHE)
        assert kernels.stream_bytes("cuda") >= 4 * kernels.last_cache("cuda")


def test_without_a_gpu_asking_for_one_says_what_to_do():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="sees no CUDA device"):
        roofline.measure(device="cuda")


# This machine


def test_this_machine_has_roofs(monkeypatch):
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    roof = roofline.measure(max_time=0.05, device="cpu")
    assert set(roof.patterns) == {"read", "copy", "triad"}
    assert roof.bandwidth == max(roof.patterns.values())
    assert roof.threads in (1, before[0])
    assert roof.machine.endswith(f"{roof.threads} of {before[0]} threads")
    assert all(math.isfinite(peak) and peak > 0 for peak in (*roof.peaks.values(), roof.cache_bandwidth))
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


# One more token of a language model

TINY = language.Config(vocab_size=96, width=32, layers=2, heads=4, kv_heads=2, hidden=48, context=64)
UNTIED = dataclasses.replace(TINY, tied=False, kv_heads=4, head_dim=10)


@pytest.mark.parametrize("config", [TINY, UNTIED])
@pytest.mark.parametrize("context", [1, 2, 17, 64])
def test_the_work_of_a_token_is_what_torch_counts(config, context):
    model, cache = language.Transformer(config), language.KVCache(config)
    tokens = torch.zeros(1, context, dtype=torch.int64)
    with torch.no_grad():
        if context > 1:
            model(tokens[:, 1:], cache)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
            model(tokens[:, :1], cache)
    matrices = [weight for name, weight in model.named_parameters() if weight.dim() == 2]
    if not config.tied:
        matrices.remove(model.embed_tokens.weight)  # looked up, one row of it
    work = roofline.next_token(config, context)
    assert work.flop == counted.get_total_flops()
    kept = config.cache_bytes_per_token * context
    assert work.nbytes == 4 * sum(weight.numel() for weight in matrices) + kept


@given(st.integers(1, 60))
def test_without_a_cache_all_tokens_before_go_through_again(context):
    head = 2 * TINY.width * TINY.vocab_size
    one_by_one = sum(roofline.next_token(TINY, n).flop - head for n in range(1, context + 1)) + head
    whole = roofline.next_token(TINY, context, cache=False)
    assert whole.flop == one_by_one
    assert whole.nbytes == roofline.next_token(TINY, context).nbytes - TINY.cache_bytes_per_token * context


def test_fewer_bits_move_fewer_bytes_for_the_same_arithmetic():
    full, half = (roofline.next_token(TINY, 9, precision) for precision in ("fp32", "bf16"))
    assert (half.flop, 2 * half.nbytes) == (full.flop, full.nbytes)
    with pytest.raises(ValueError, match="context must be"):
        roofline.next_token(TINY, 0)
    with pytest.raises(ValueError, match="precision must be"):
        roofline.next_token(TINY, 1, "fp33")


@pytest.mark.parametrize(
    ("given", "error", "named"),
    [
        ({"config": 5}, TypeError, "config"),
        ({"cache": [2, 1]}, TypeError, "cache"),
        ({"context": 0}, ValueError, "context"),
    ],
)
def test_what_is_no_next_token_is_refused_by_name(given, error, named):
    with pytest.raises(error, match=named):
        roofline.next_token(**{"config": TINY, "context": 4} | given)
