import _thread
import ast
import asyncio
import ctypes
import itertools
import math
import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client import KernelManager
from scipy import optimize, stats

from coursekit import batching, roofline, runtime
from coursekit.batching import Curve, Hockney, Served, micro_batcher, sweeps

MASTER = Path(__file__).parents[1] / "notebooks" / "source" / "04-batching-benchmark.py"
SIZES = (1, 2, 4, 8, 16)
TIMES = np.array([10.0, 12.0, 16.0, 24.0, 60.0]) * 1e-3


def curve(batches=SIZES, median=TIMES, low=0.95, high=1.2, **names):
    return Curve(batches, median, np.multiply(low, median), np.multiply(high, median), **names)


# Curves


def test_a_curve_knows_time_per_example_and_throughput():
    made = curve()
    assert made.per_example * made.batches == pytest.approx(TIMES)
    assert made.throughput == pytest.approx([100, 1 / 6e-3, 250, 1 / 3e-3, 16 / 60e-3])
    assert made.at(4) == pytest.approx((16e-3, 0.95 * 16e-3, 1.2 * 16e-3))


@given(st.floats(1, 16))
def test_between_measured_batches_time_runs_straight(batch):
    left = max(i for i in range(len(SIZES) - 1) if SIZES[i] <= batch)
    weight = (batch - SIZES[left]) / (SIZES[left + 1] - SIZES[left])
    straight = (1 - weight) * TIMES[left] + weight * TIMES[left + 1]
    assert curve().seconds(batch) == pytest.approx(straight)


def test_seconds_takes_numbers_lists_and_tensors():
    assert isinstance(curve().seconds(3), float)
    assert curve().seconds([1, 3]).tolist() == pytest.approx([10e-3, 14e-3])
    assert curve().seconds(torch.tensor([2.0])).tolist() == pytest.approx([12e-3])


@pytest.mark.parametrize(("budget", "best"), [(1, 8), (24e-3, 8), (23e-3, 4), (10e-3, 1), (9.9e-3, None)])
def test_the_best_batch_is_the_one_with_the_highest_throughput_that_fits(budget, best):
    assert curve().best_batch(budget) == best


def test_judged_by_the_upper_quartile_three_calls_of_four_have_to_fit():
    assert curve().best_batch(25e-3, "median") == 8
    assert curve().best_batch(25e-3, "upper quartile") == 4
    assert curve().best_batch(1.2 * 24e-3 + 1e-9, "upper quartile") == 8


@given(
    st.lists(st.floats(0.1, 10), min_size=5, max_size=5),
    st.floats(0, 20),
    st.sampled_from(batching.JUDGES),
)
def test_no_fitting_batch_beats_the_best(median, budget, judge):
    made = curve(median=np.array(median))
    taken = dict(zip(SIZES, made.median if judge == "median" else made.high, strict=True))
    rates = dict(zip(SIZES, made.throughput, strict=True))
    best = made.best_batch(budget, judge)
    fitting = [size for size in SIZES if taken[size] <= budget]
    assert (best is None) == (not fitting)
    assert best is None or (best in fitting and rates[best] == max(rates[size] for size in fitting))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: curve(batches=(2, 1, 4, 8, 16)), ValueError, "batches must ascend"),
        (lambda: curve(batches=()), ValueError, "batches must ascend"),
        (lambda: curve(batches=(1, 2, 4, 8, 16.5)), TypeError, "batches must be a whole number"),
        (lambda: curve(batches=(1, 2)), ValueError, "median must hold 2 numbers"),
        (lambda: curve(median=-TIMES), ValueError, "above 0 seconds"),
        (lambda: curve(median=TIMES * np.nan), ValueError, "finite"),
        (lambda: curve(low=1.1), ValueError, "low <= median <= high"),
        (lambda: curve(high=0.9), ValueError, "low <= median <= high"),
        (lambda: curve().seconds(17), ValueError, "from 1 to 16, as measured; got 17"),
        (lambda: curve().seconds(0.5), ValueError, "from 1 to 16"),
        (lambda: curve().at(3), ValueError, "batch must be one of 1, 2, 4, 8, 16; got 3"),
        (lambda: curve().best_batch(-1), ValueError, "budget must be at least 0"),
        (lambda: curve().best_batch("5"), TypeError, "budget must be a number"),
        (lambda: curve().best_batch(1, "mean"), ValueError, "judge must be one of median, upper quartile"),
    ],
)
def test_bad_curves_and_questions_are_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_a_curve_prints_as_a_table():
    made = curve(name="a <network>", machine="a machine")
    assert str(made).splitlines()[2].split() == ["1", "10.0", "ms", "2.50", "ms", "10.0", "ms", "100", "/s"]
    assert repr(made) == str(made)
    assert "a &lt;network&gt;, a machine" in made._repr_html_()


# Measuring


@pytest.fixture
def measured(monkeypatch):
    """Replace the clock: five samples around 1 ms per example; note what was asked for."""
    asked = []

    def measure(fn, **options):
        asked.append((fn(), options))
        return SimpleNamespace(samples=asked[-1][0] * 1e-3 * np.array([0.8, 0.9, 1.0, 1.2, 1.4]))

    monkeypatch.setattr(sweeps.timing, "measure", measure)
    return asked


def test_a_sweep_times_the_function_on_slices_and_keeps_the_quartiles(measured):
    made = batching.sweep(len, list(range(8)), [1, 4, 8], threads=1, min_time=0.3, device="cpu", name="x")
    assert [count for count, _ in measured] == [1, 4, 8]
    assert made.median == pytest.approx([1e-3, 4e-3, 8e-3])
    assert (made.low / made.median, made.high / made.median) == (
        pytest.approx([0.9] * 3),
        pytest.approx([1.2] * 3),
    )
    assert all(options == {"min_time": 0.3, "threads": 1, "device": "cpu"} for _, options in measured)
    assert made.name == "x"
    assert made.machine == f"{runtime.describe().cpu}, 1 thread"


def test_a_sweep_goes_to_4096_on_the_cpu_and_to_65536_on_a_gpu(measured, monkeypatch):
    assert batching.sweep(len, torch.zeros(4096, 1), device="cpu").batches == tuple(2**k for k in range(13))
    monkeypatch.setattr(runtime, "device", lambda choice=None: SimpleNamespace(type="cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a made-up GPU")
    made = batching.sweep(len, torch.zeros(65_536, 1), device=torch.device("cuda", 0))
    assert (made.batches[-1], made.machine) == (65_536, "a made-up GPU")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((None, [1]), {}, TypeError, "fn must be callable"),
        ((len, [1, 2]), {"batches": [4]}, ValueError, "examples must hold at least 4"),
        ((len, [1, 2]), {"batches": [2, 1]}, ValueError, "batches must ascend"),
        ((len, [1, 2]), {"batches": [0]}, ValueError, "batches must be at least 1"),
        ((len, [1, 2]), {"batches": [1], "device": "tpu"}, ValueError, "device must be one of"),
        ((len, [1, 2]), {"batches": [1], "min_time": 0}, ValueError, "min_time"),
        ((len, [1, 2]), {"batches": [1], "threads": 0}, ValueError, "threads"),
    ],
)
def test_bad_sweeps_are_refused(arguments, options, error, says):
    with pytest.raises(error, match=says):
        batching.sweep(*arguments, **options)


def test_a_served_sweep_sends_full_batches_and_times_from_end_to_end(monkeypatch):
    seen = []

    def serve(examples, arrivals, answer, *, max_batch, max_wait):
        seen.append((max_batch, len(examples), set(arrivals), max_wait, torch.get_num_threads()))
        # after a slow first batch
        ends = 7.0 + 1e-3 * max_batch * np.arange(1, len(examples) // max_batch + 1)
        batches = np.full(len(ends), max_batch)
        return Served("real", np.zeros(len(examples)), np.repeat(ends, max_batch), batches), examples

    monkeypatch.setattr(sweeps, "serve", serve)
    made = batching.sweep_served(doubled, [1, 2, 3], [1, 3], min_time=0.05, name="x")
    assert made.median == pytest.approx([1e-3, 3e-3])
    assert (made.name, made.machine) == ("x", f"{runtime.describe().cpu}, 1 thread")
    assert {(size, tuple(when), wait, threads) for size, _, when, wait, threads in seen} == {
        (1, (0.0,), 0, 1),
        (3, (0.0,), 0, 1),
    }
    for size in (1, 3):
        counts = [count for batch, count, *_ in seen if batch == size]
        assert all(count % size == 0 for count in counts)
        kept = [count - size for count in counts]  # a millisecond each, without the first batches
        assert sum(kept) * 1e-3 >= 0.05
    turns = [batch for batch, *_ in seen[1:]]
    assert turns[:4] == [1, 3, 1, 3]
    with pytest.raises(ValueError, match="examples must hold at least 4"):
        batching.sweep_served(doubled, [1, 2, 3], [4])


def test_a_served_sweep_really_serves():
    made = batching.sweep_served(doubled, list(range(8)), [1, 8], min_time=0.01)
    assert made.batches == (1, 8)
    assert (made.low > 0).all()
    assert torch.get_num_threads() > 0


def test_a_real_sweep_times_a_real_network():
    made = batching.sweep(torch.nn.Linear(8, 4), torch.zeros(64, 8), [1, 64], min_time=0.01, threads=1)
    assert (made.low > 0).all()
    assert made.seconds(64) < 64  # seconds, not microseconds


# Hockney's line

lines = st.tuples(st.floats(1e-6, 1e-2), st.floats(1e-7, 1e-3))
some_batches = st.lists(st.integers(1, 5000), min_size=2, max_size=15, unique=True)


@given(lines, some_batches)
def test_points_on_a_line_give_the_line_back(line, batches):
    a, b = line
    seconds = a + b * np.array(batches)
    found = batching.fit(batches, seconds)
    assert found.seconds(batches) == pytest.approx(seconds, rel=1e-6)
    span = max(batches) / min(batches) - 1
    if span > 0.5 and 0.01 < a / (b * min(batches)) < 100:
        assert (found.a, found.b) == pytest.approx((a, b), rel=1e-4)


@settings(max_examples=60)
@given(lines, some_batches, st.integers(0, 10**6))
def test_the_fit_is_scipys_non_negative_least_squares_of_relative_errors(line, batches, seed):
    a, b = line
    batches = np.array(batches)
    seconds = (a + b * batches) * np.random.default_rng(seed).uniform(0.3, 2.0, len(batches))
    found = batching.fit(batches, seconds)
    columns = np.column_stack([1 / seconds, batches / seconds])
    _, norm = optimize.nnls(columns, np.ones(len(batches)))
    mine = np.linalg.norm(columns @ [found.a, found.b] - 1)
    assert found.a >= 0
    assert found.b >= 0
    assert mine == pytest.approx(norm, rel=1e-6, abs=1e-9)


def test_the_fit_is_scipys_curve_fit_with_errors_that_grow_with_the_time():
    batches = np.array([2**k for k in range(13)])
    seconds = (40e-6 + 9e-6 * batches) * np.random.default_rng(0).normal(1, 0.05, 13)
    (a, b), _ = optimize.curve_fit(
        lambda x, a, b: a + b * x, batches, seconds, p0=(1e-5, 1e-5), sigma=seconds
    )
    found = batching.fit(batches, seconds)
    assert (found.a, found.b) == pytest.approx((a, b), rel=1e-4)


def test_overhead_and_cost_are_never_negative():
    assert batching.fit([1, 10], [1.0, 20.0]).a == 0
    assert batching.fit([1, 10], [20.0, 1.0]).b == 0
    assert batching.fit([1, 10], [20.0, 1.0]).half_batch == math.inf


def test_half_of_the_highest_throughput_is_reached_at_the_half_performance_batch():
    line = Hockney(40e-6, 8e-6)
    assert line.half_batch == pytest.approx(5)
    assert line.half_batch / line.seconds(line.half_batch) == pytest.approx(line.most / 2)
    assert str(line) == repr(line) == "a = 40.0 µs, b = 8.00 µs, a/b = 5.00"


def test_residuals_say_by_which_part_of_the_time_the_line_misses():
    line = Hockney(1.0, 1.0)
    assert line.residuals([1, 3], [4.0, 2.0]).tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("batches", "seconds", "error", "says"),
    [
        ([1], [1.0], ValueError, "at least two different ones"),
        ([4, 4], [1.0, 2.0], ValueError, "at least two different ones"),
        ([1, 2], [1.0], ValueError, "batches must hold 1 numbers"),
        ([1, 2], [1.0, 0.0], ValueError, "seconds must be above 0"),
        ([0, 2], [1.0, 1.0], ValueError, "batches must be at least 1"),
        ([1, 2], [1.0, np.inf], ValueError, "seconds must be finite"),
        ([1, 2], "ab", TypeError, "seconds must be an array of numbers"),
        ([], [], ValueError, "seconds is empty"),
    ],
)
def test_bad_fits_are_refused(batches, seconds, error, says):
    with pytest.raises(error, match=says):
        batching.fit(batches, seconds)


# The rule and its simulation

counts = st.integers(0, 50)
ages = st.floats(0, 1)


@given(counts, ages, st.integers(1, 40), ages)
def test_the_rule_takes_full_or_overdue_batches_and_nothing_else(waiting, age, max_batch, max_wait):
    taken = batching.flush(waiting, age, max_batch, max_wait)
    assert 0 <= taken <= min(waiting, max_batch)
    if waiting >= max_batch:
        assert taken == max_batch
    elif waiting and age >= max_wait:
        assert taken == waiting
    else:
        assert taken == 0


def tick_by_tick(arrivals, seconds, max_batch, max_wait):
    """Simulate in whole ticks: at each, let requests in and ask the rule whenever the server is free."""
    queue, finished, batches, free = [], {}, [], 0
    for now in range(10_000):
        queue += [i for i, arrival in enumerate(arrivals) if arrival == now]
        if now >= free:
            taken = batching.flush(len(queue), now - arrivals[queue[0]] if queue else 0, max_batch, max_wait)
            if taken:
                free = now + seconds(taken)
                batches.append(taken)
                finished.update(dict.fromkeys(queue[:taken], free))
                queue = queue[taken:]
        if len(finished) == len(arrivals):
            return [finished[i] - arrivals[i] for i in range(len(arrivals))], batches
    raise AssertionError("not done")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=25).map(sorted),
    st.integers(1, 6),
    st.integers(0, 3),
    st.integers(1, 6),
    st.integers(0, 12),
)
def test_the_simulation_is_what_a_clock_would_see(arrivals, a, b, max_batch, max_wait):
    def seconds(batch):
        return a + b * batch

    served = batching.simulate(arrivals, seconds, max_batch=max_batch, max_wait=max_wait)
    latencies, batches = tick_by_tick(arrivals, seconds, max_batch, max_wait)
    assert served.latencies.tolist() == latencies
    assert served.batches.tolist() == batches


@given(st.lists(st.floats(0, 2), min_size=1, max_size=40), st.floats(0.1, 2))
def test_one_by_one_is_lindleys_recursion(gaps, service):
    arrivals = np.cumsum(gaps)
    served = batching.simulate(arrivals, lambda batch: service, max_batch=1, max_wait=0)
    waits = [0.0]
    for gap in np.diff(arrivals):
        waits.append(max(0.0, waits[-1] + service - gap))
    assert served.latencies == pytest.approx(np.array(waits) + service, abs=1e-9)


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_one_by_one_waits_as_queueing_theory_says(load):
    arrivals = batching.arrivals(load, 200_000, seed=1)
    served = batching.simulate(arrivals, lambda batch: 1.0, max_batch=1, max_wait=0)
    expected = load / (2 * (1 - load))  # Pollaczek and Khinchine, M/D/1
    assert served.latencies.mean() - 1 == pytest.approx(expected, rel=0.04)


def test_the_server_answers_its_warm_up_before_the_first_request_and_does_not_count_it():
    seen = []
    served, answers = batching.serve(
        [1, 2, 3],
        [0.0, 0.0, 0.0],
        lambda batch: seen.append(batch) or batch,
        max_batch=3,
        max_wait=0,
        warm_up=2,
    )
    assert seen[0] == [1, 2]
    assert answers == [1, 2, 3]
    assert served.batches.sum() == 3
    assert sorted(sum(seen[1:], [])) == [1, 2, 3]
    with pytest.raises(ValueError, match="warm_up"):
        batching.serve([1], [0.0], doubled, max_batch=1, max_wait=0, warm_up=-1)


def test_a_curve_serves_as_a_function_of_the_batch():
    arrivals = batching.arrivals(300, 500)
    options = {"max_batch": 16, "max_wait": 5e-3}
    by_curve = batching.simulate(arrivals, curve(), **options)
    by_function = batching.simulate(arrivals, curve().seconds, **options)
    assert np.array_equal(by_curve.latencies, by_function.latencies)


def test_capacity_is_the_best_rate_of_any_batch_up_to_the_largest():
    assert batching.capacity(curve(), 1) == pytest.approx(100)
    assert batching.capacity(curve(), 16) == pytest.approx(1 / 3e-3)
    assert batching.capacity(lambda batch: 0.5, 7) == 14


@pytest.mark.parametrize("rate", [0.5, 80.0])
def test_arrivals_are_a_poisson_process(rate):
    when = batching.arrivals(rate, 20_000, seed=5)
    assert when[0] == 0
    assert stats.kstest(np.diff(when), stats.expon(scale=1 / rate).cdf).pvalue > 0.001
    assert np.array_equal(when * rate, batching.arrivals(1.0, 20_000, seed=5)) or np.allclose(
        when * rate, batching.arrivals(1.0, 20_000, seed=5)
    )


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: batching.arrivals(0, 5), ValueError, "rate must be more than 0"),
        (lambda: batching.arrivals(5, 0), ValueError, "count must be at least 1"),
        (lambda: batching.arrivals(math.inf, 5), ValueError, "rate must be finite"),
        (
            lambda: batching.simulate([1, 0], curve(), max_batch=1, max_wait=0),
            ValueError,
            "arrivals must be in ascending order",
        ),
        (lambda: batching.simulate([], curve(), max_batch=1, max_wait=0), ValueError, "arrivals is empty"),
        (
            lambda: batching.simulate([0], curve(), max_batch=17, max_wait=0),
            ValueError,
            "from 1 to 16, as measured",
        ),
        (lambda: batching.simulate([0], curve(), max_batch=0, max_wait=0), ValueError, "max_batch"),
        (lambda: batching.simulate([0], curve(), max_batch=1, max_wait=-1), ValueError, "max_wait"),
        (lambda: batching.simulate([0], 0.5, max_batch=1, max_wait=0), TypeError, "seconds must be a Curve"),
        (
            lambda: batching.simulate([0], lambda b: math.nan, max_batch=1, max_wait=0),
            ValueError,
            r"seconds\(1\) must be finite",
        ),
        (
            lambda: batching.simulate([0, 0], lambda b: 2 - b, max_batch=2, max_wait=0),
            ValueError,
            r"seconds\(2\) must be more than 0 seconds; got 0",
        ),
        (
            lambda: batching.simulate([0], lambda b: -1e-3, max_batch=1, max_wait=0),
            ValueError,
            r"seconds\(1\) must be more than 0 seconds; got -0.001",
        ),
        (lambda: batching.capacity(lambda b: 0, 4), ValueError, r"seconds\(1\) must be more than 0 seconds"),
        (lambda: batching.capacity(curve(), 17), ValueError, "from 1 to 16"),
    ],
)
def test_bad_simulations_are_refused(make, error, says):
    with pytest.raises(error, match=says):
        make()


# What was served


def served_of(arrivals, latencies, batches=None):
    batches = np.array([1] * len(arrivals) if batches is None else batches)
    return Served("x", np.array(arrivals, float), np.array(latencies, float), batches)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=20))
def test_in_flight_counts_who_has_come_and_not_gone(pairs):
    arrivals, latencies = zip(*sorted(pairs), strict=True)
    served = served_of(arrivals, latencies)
    # Whoever comes in the moment another goes is counted with it, so look at the moment itself.
    most = max(
        sum(a <= now <= a + latency for a, latency in zip(arrivals, latencies, strict=True))
        for now in range(61)
    )
    assert served.most_in_flight == most
    assert served.in_flight[1][-1] == 0


def test_quantiles_throughput_and_mean_batch():
    served = served_of(range(100), np.arange(100) / 10, [10] * 10)
    assert served.p50 == pytest.approx(np.median(served.latencies))
    assert served.p99 == pytest.approx(np.percentile(served.latencies, 99))
    assert served.throughput == pytest.approx(100 / (99 + 9.9))
    assert served.mean_batch == 10
    table = batching.side_by_side({"one": served, "two": served}).splitlines()
    assert [line.split()[0] for line in table[2:]] == ["one", "two"]
    assert repr(served) == str(served)
    assert "100 requests" in served._repr_html_()


def test_requests_and_batches_must_add_up():
    with pytest.raises(ValueError, match="every request needs"):
        served_of([0, 1], [1, 1], [3])
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        served_of([0], [1]).quantile(2)


# The real micro-batcher


def doubled(examples):
    return [2 * example for example in examples]


def running():
    """Return the threads that would keep Python alive; ours and asyncio's workers are of that kind."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


@pytest.fixture(autouse=True)
def _nothing_left_running():
    before = running()
    yield
    assert running() <= before


def test_every_request_gets_its_own_answer():
    examples = list(range(300))
    served, answers = batching.serve(
        examples, np.linspace(0, 0.1, 300), doubled, max_batch=16, max_wait=0.002
    )
    assert answers == doubled(examples)
    assert served.batches.sum() == 300
    assert served.batches.max() <= 16
    assert (served.latencies > 0).all()


def test_requests_that_arrive_together_leave_together_and_do_not_wait():
    batches = []

    def noted(examples):
        batches.append(list(examples))
        return examples

    # With a wait of ten minutes the test would time out if a full batch did not leave at once.
    served, _ = batching.serve(list(range(512)), np.zeros(512), noted, max_batch=256, max_wait=600)
    assert batches == [list(range(256)), list(range(256, 512))]
    assert served.most_in_flight >= 256


def openmp_threads():
    """Return what torch's kernels would use in this thread; asking torch itself would set it."""
    return ctypes.CDLL(None).omp_get_max_threads()


@pytest.mark.parametrize("threads", [1, 2])
def test_answers_are_computed_in_one_thread_with_the_callers_threads_of_torch(threads):
    if os.name != "posix" or not hasattr(ctypes.CDLL(None), "omp_get_max_threads"):
        pytest.skip("torch's OpenMP cannot be asked here")
    seen = set()

    def answer(examples):
        seen.add((threading.get_ident(), openmp_threads()))
        return examples

    before = torch.get_num_threads()
    with runtime.threads(threads):
        batching.serve(list(range(40)), np.linspace(0, 0.02, 40), answer, max_batch=4, max_wait=0)
    assert len(seen) == 1
    assert {count for _, count in seen} == {threads}
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert torch.get_num_threads() == before


def test_an_overdue_batch_leaves_although_it_is_not_full():
    _, answers = batching.serve([1, 2, 3], [0, 0, 0], doubled, max_batch=64, max_wait=0.01)
    assert answers == [2, 4, 6]


def test_while_a_batch_is_answered_others_may_queue():
    def slow(examples):
        time.sleep(0.05)
        return examples

    arrivals = [0, *np.linspace(0.005, 0.01, 40)]
    served, _ = batching.serve(list(range(41)), arrivals, slow, max_batch=64, max_wait=0)
    assert served.batches.tolist()[0] < 41
    assert served.batches.max() > 1


class Broken(Exception):
    pass


def failing(examples):
    raise Broken("no answer")


async def gives_up(requests, answer, max_batch, max_wait):
    return


async def fails(requests, answer, max_batch, max_wait):
    raise Broken("no worker")


async def without_a_net(requests, answer, max_batch, max_wait):
    """Work as the notebook's version does: whatever the answer raises ends the worker."""
    while True:
        await requests.arrival(None if not len(requests) else 0.001)
        batch = requests.take(len(requests))
        await asyncio.to_thread(answer, [request.example for request in batch])


@pytest.mark.parametrize(
    ("answer", "options", "error", "says"),
    [
        (failing, {}, Broken, "no answer"),
        (lambda examples: [], {}, ValueError, "answer must return one answer per example; got 0 for"),
        (lambda examples: None, {}, TypeError, "answer must return one answer per example; got None"),
        (doubled, {"worker": gives_up}, RuntimeError, "the worker ended"),
        (doubled, {"worker": fails}, Broken, "no worker"),
        (failing, {"worker": without_a_net}, Broken, "no answer"),
    ],
)
def test_what_goes_wrong_in_the_thread_is_raised_here(answer, options, error, says):
    with pytest.raises(error, match=says):
        batching.serve([1, 2, 3], [0, 0, 0.01], answer, max_batch=2, max_wait=0.001, **options)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"arrivals": [0]}, ValueError, "arrivals must hold 2 times"),
        ({"arrivals": [1, 0]}, ValueError, "ascending"),
        ({"answer": 5}, TypeError, "answer must be callable"),
        ({"max_batch": 0}, ValueError, "max_batch"),
        ({"max_wait": math.nan}, ValueError, "max_wait"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(change, error, says):
    options = {"examples": [1, 2], "arrivals": [0, 0], "answer": doubled, "max_batch": 2, "max_wait": 0}
    with pytest.raises(error, match=says):
        batching.serve(**{**options, **change})


def test_it_works_where_an_event_loop_already_runs():
    async def cell():
        return batching.serve([1, 2], [0, 0], doubled, max_batch=2, max_wait=0)[1]

    assert asyncio.run(cell()) == [2, 4]


def test_an_interrupt_is_noticed_at_once(monkeypatch):
    """Nothing happens for a minute, so only looking again and again ends the waiting before it is over."""
    waits = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            if threading.current_thread() is threading.main_thread():
                waits.append(timeout)
            if len(waits) == 3:
                _thread.interrupt_main()
            return super().wait(timeout)

    monkeypatch.setattr(micro_batcher, "threading", SimpleNamespace(Event=Event, Thread=threading.Thread))
    before, start = running(), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        batching.serve([1], [0.0], doubled, max_batch=2, max_wait=60.0)
    assert time.monotonic() - start < 10
    assert running() <= before
    # A person feels a tenth of a second; a wait without an end would not see the interrupt at all.
    assert all(timeout is not None and timeout <= 0.1 for timeout in waits[:3])


def test_an_interrupt_ends_everything():
    started, calls = threading.Event(), []

    def answer(examples):
        calls.append(len(examples))
        started.set()
        time.sleep(0.02)
        return examples

    def interrupt():
        started.wait()
        _thread.interrupt_main()

    before = running()
    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        batching.serve(list(range(10_000)), np.zeros(10_000), answer, max_batch=1, max_wait=0)
    helper.join()
    assert running() <= before
    answered = len(calls)
    time.sleep(0.1)
    assert len(calls) == answered < 10_000


# What the notebook writes out itself


def defined_in_the_notebook(*names, **given):
    """Return the master's own functions, run with nothing but what their cells import."""
    tree = ast.parse("\n".join(line for line in MASTER.read_text("utf-8").splitlines() if "%pip" not in line))
    wanted = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(wanted) == len(names)
    space = {"np": np, "math": math, "bisect": __import__("bisect"), "asyncio": asyncio, **given}
    exec(compile(ast.Module(wanted, []), str(MASTER), "exec"), space)
    return [space[name] for name in names]


def test_the_notebooks_simulation_is_ours():
    (simulate,) = defined_in_the_notebook("simulate")
    arrivals = batching.arrivals(2000, 700, seed=3)
    for max_batch, max_wait in ((1, 0.0), (3, 1e-3), (16, 0.02)):
        options = {"max_batch": max_batch, "max_wait": max_wait}
        ours = batching.simulate(arrivals, curve(), **options).latencies
        assert np.array_equal(simulate(arrivals, curve().seconds, **options), ours)


def test_the_notebooks_rule_intensity_and_fit_are_ours():
    flush, intensity, fit = defined_in_the_notebook("flush", "intensity", "fit")
    for waiting in range(12):
        for age in (0.0, 0.01, 0.02):
            assert flush(waiting, age, 8, 0.01) == batching.flush(waiting, age, 8, 0.01)
    for batch in (1, 7, 300):
        assert intensity(64, 32, batch) == roofline.linear(64, 32, batch).intensity
        assert intensity(64, 32, batch, 2) == roofline.linear(64, 32, batch, "fp16").intensity
    a, b = fit(np.array(SIZES), TIMES)
    sizes = np.column_stack([np.ones(len(SIZES)), SIZES])
    assert (a, b) == pytest.approx(tuple(np.linalg.lstsq(sizes, TIMES)[0]))


def test_the_notebooks_worker_answers_as_ours_does():
    (work,) = defined_in_the_notebook("work", batching=batching)
    examples = list(range(300))
    served, answers = batching.serve(
        examples, np.linspace(0, 0.05, 300), doubled, max_batch=32, max_wait=0.002, worker=work
    )
    assert answers == doubled(examples)
    assert served.batches.max() <= 32


def test_interrupting_the_kernel_in_the_middle_leaves_nothing_running(kernel):
    said = run(kernel, "import threading, time, numpy as np\nfrom coursekit import batching\n")
    serving = """
def answer(examples):
    time.sleep(0.05)
    print("answering", flush=True)
    return examples
batching.serve(list(range(1000)), np.zeros(1000), answer, max_batch=1, max_wait=0)
"""
    said = run(kernel, serving, until="answering", then=kernel[0].interrupt_kernel)
    assert "KeyboardInterrupt" in said
    # The kernel's own threads are daemons; ours are not.
    said = run(kernel, "time.sleep(0.2); print([t.name for t in threading.enumerate() if not t.daemon])")
    assert "MainThread" in said
    assert "micro-batcher" not in said
    assert "asyncio" not in said
    assert "answering" not in said


@pytest.fixture
def kernel():
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel, code, until=None, then=None):
    """Run code in the kernel and return everything it says; call ``then`` once it has said ``until``."""
    said = []

    def hear(message):
        content = message["content"]
        said.append(content.get("text") or "".join(content.get("traceback", [])))
        if until and until in said[-1] and not waited.is_set():
            waited.set()
            then()

    waited = threading.Event()
    kernel[1].execute_interactive(code, output_hook=hear, timeout=60)
    return "".join(said)


# What is not a number, a list or a function is refused where it comes in


@pytest.mark.parametrize("odd", [math.nan, None, "3", True, 10**400, np.ma.masked, 1j, [1]])
@pytest.mark.parametrize("name", ["waiting", "oldest_age", "max_batch", "max_wait"])
def test_the_flush_rule_takes_numbers_only(name, odd):
    right = {"waiting": 3, "oldest_age": 0.1, "max_batch": 4, "max_wait": 0.2}
    with pytest.raises((TypeError, ValueError), match=f"^{name} "):
        batching.flush(**{**right, name: odd})


@pytest.mark.parametrize("kind", [int, np.int8, np.int32, np.uint64, np.array, torch.tensor])
def test_the_flush_rule_gives_pythons_numbers_for_all_of_them(kind):
    taken = batching.flush(kind(3), 0.3, kind(2), 0.2)
    assert (taken, type(taken)) == (2, int)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Hockney(math.nan, 1), "^a must be finite"),
        (lambda: Hockney(1, math.inf), "^b must be finite"),
        (lambda: Hockney(-1, 1), "^a must be at least 0; got -1"),
        (lambda: Hockney(1, "2"), "^b must be a number; got '2'"),
        (lambda: Hockney(1, 10**400), "^b is too large for a float"),
        (lambda: Hockney(1, 2).seconds([1, math.nan]), "^batch must be finite"),
        (lambda: batching.arrivals(5, 5, seed="x"), "^seed must be a whole number"),
        (lambda: batching.arrivals(5, 2**63), "^count must be at most"),
        (lambda: batching.arrivals(5, 5, seed=-1), "^seed must be at least 0"),
        (lambda: batching.side_by_side(None), "^served must map names to Served; got None"),
        (lambda: batching.side_by_side({"a": 3}), r"^served\['a'\] must be a Served; got 3"),
        (lambda: batching.serve(None, [0], doubled, max_batch=1, max_wait=0), "^examples must be a list"),
        (lambda: batching.serve({1}, [0], doubled, max_batch=1, max_wait=0), "^examples must be a list"),
        (lambda: batching.serve({1: 1}, [0], doubled, max_batch=1, max_wait=0), "^examples must be a list"),
        (
            lambda: batching.serve([1], [0], doubled, max_batch=1, max_wait=0, worker=3),
            "^worker must be callable",
        ),
        (lambda: batching.sweep(len, torch.tensor(3), [1], device="cpu"), "^examples must be a list"),
        (lambda: batching.sweep(len, [1], 3, device="cpu"), "^batches must be a list of numbers"),
        (lambda: batching.sweep(len, [1], [1], min_time="1", device="cpu"), "^min_time must be a number"),
        (lambda: batching.sweep_served(doubled, [1], [1], min_time=math.nan), "^min_time must be finite"),
        (lambda: batching.sweep_served(doubled, [1], [1], threads=0), "^threads must be at least 1"),
        (lambda: batching.capacity(curve(), 17), "^max_batch asks for batches from 1 to 17"),
        (lambda: curve(name=3), "^name must be text"),
        (lambda: Served("x", [0.0], [math.nan], [1]), "^latencies must be finite"),
        (
            lambda: batching.fit(np.ma.array([1, 2, 3], mask=[0, 1, 0]), [1.0, 2, 3]),
            "^batches must be a plain array",
        ),
    ],
)
def test_each_refusal_is_one_line_that_names_the_argument(make, says):
    with pytest.raises((TypeError, ValueError), match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_both_sweeps_say_when_a_batch_is_done():
    told = []
    batching.sweep(lambda x: x, list(range(8)), (1, 2, 8), min_time=1e-4, after=lambda: told.append("direct"))
    batching.sweep_served(doubled, list(range(8)), (1, 4), min_time=1e-4, after=lambda: told.append("served"))
    assert told == ["direct"] * 3 + ["served"] * 2


def test_a_noisy_batch_is_doubted_with_a_remedy_and_never_the_best():
    """The median is 1.28 ms and the middle half spans 9.28 ms: what one sweep on a busy machine brought."""
    median, low, high = np.array([1e-3, 1.28e-3]), np.array([0.95e-3, 1.2e-3]), np.array([1.1e-3, 10.48e-3])
    made = Curve((1, 64), median, low, high)
    assert made.doubtful == (64,)
    (doubt,) = made.doubts
    assert doubt.startswith("batch 64 is too noisy to trust: the middle half of the samples spans 9.28 ms")
    assert "measure again" in doubt
    assert f"warning: {doubt}" in str(made)
    assert "too noisy to trust" in made._repr_html_()
    assert made.best_batch(1.0) == 1
    assert Curve((1, 64), median, low, 1.1 * median).doubts == ()


@pytest.mark.parametrize("served", [False, True])
def test_a_disturbed_sweep_doubts_itself(served):
    """Every third call is held up, as if a neighbour took the core."""
    calls = itertools.count()

    def answer(examples):
        time.sleep(0.02 if next(calls) % 3 == 0 else 0.001)
        return examples

    measure = batching.sweep_served if served else batching.sweep
    made = measure(answer, list(range(8)), (2, 8), min_time=0.2)
    assert made.doubtful
    assert all("too noisy to trust" in doubt for doubt in made.doubts)
