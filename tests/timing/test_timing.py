import contextlib
import gc
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import binom

from coursekit import runtime, timing
from coursekit.timing import measuring, robust, stopwatch

COMPARISONS = 100


class Machine:
    """A computer in simulated time, where a call takes its cost times what ``noise`` draws."""

    def __init__(self, seed=0, noise="none"):
        self.rng = np.random.default_rng(seed)
        self.time, self.calls, self.level = 0.0, 0, 0.0
        self.noise = getattr(self, noise)

    def now(self):
        return self.time

    def function(self, cost):
        def run():
            self.calls += 1
            self.time += cost * self.noise(cost)

        return run

    def none(self, cost):
        return 1.0

    def jitter(self, cost):
        return 1 + 0.05 * self.rng.standard_normal()

    def drift(self, cost):
        return 1 + 2 * self.time + 0.02 * self.rng.standard_normal()

    def correlated(self, cost):
        self.level = 0.98 * self.level + 0.03 * self.rng.standard_normal()
        return np.exp(self.level)

    def frequency(self, cost):
        if self.rng.random() < 0.03:
            self.level = self.rng.choice([0.0, 0.1, 0.25, 0.5])
        return 1 + self.level + 0.01 * self.rng.standard_normal()

    def bursts(self, cost):
        if self.rng.random() < (0.1 if self.level else 0.04):
            self.level = 0.8 - self.level
        return 1 + self.level + 0.02 * abs(self.rng.standard_normal())

    def interrupted(self, cost):
        waits = self.rng.exponential(3e-3) if self.rng.random() < 0.4 else 0.0
        return 1 + waits / cost + 0.01 * abs(self.rng.standard_normal())

    def rhythm(self, cost):
        return 1 + (self.calls % 3 == 0) + 0.01 * self.rng.standard_normal()


NOISES = ("jitter", "drift", "correlated", "frequency", "bursts", "interrupted", "rhythm")


@pytest.fixture
def machine(monkeypatch):
    def make(seed=0, noise="none"):
        made = Machine(seed, noise)
        monkeypatch.setattr(stopwatch, "now", made.now)
        return made

    return make


def verdicts(machine, noise, factor):
    """Return what ``compare`` calls a candidate at ``factor`` times the baseline's cost, many times over."""
    found = []
    for seed in range(COMPARISONS):
        simulated = machine(seed, noise)
        candidates = {"a": simulated.function(1e-3), "b": simulated.function(1e-3 * factor)}
        found.append(timing.compare(candidates, max_time=0.3).verdict("b"))
    return found


@pytest.mark.parametrize("noise", NOISES)
def test_equal_candidates_are_called_the_same(machine, noise):
    found = verdicts(machine, noise, 1.0)
    assert found.count("same") >= 0.95 * COMPARISONS


@pytest.mark.parametrize("noise", NOISES)
def test_ten_percent_slower_is_found(machine, noise):
    found = verdicts(machine, noise, 1.1)
    assert found.count("slower") >= 0.95 * COMPARISONS


def test_few_rounds_do_not_raise_false_alarms(machine):
    wrong = 0
    for seed in range(COMPARISONS):
        simulated = machine(seed, "interrupted")
        f = simulated.function(1e-3)
        comparison = timing.compare({"a": f, "b": f}, max_time=0.02)
        wrong += comparison.verdict("b") != "same"
    assert comparison.rounds < 12
    assert wrong <= 0.05 * COMPARISONS


def test_the_interval_holds_the_true_ratio(machine):
    held = 0
    for seed in range(COMPARISONS):
        simulated = machine(seed, "jitter")
        candidates = {"a": simulated.function(1e-3), "b": simulated.function(0.8e-3)}
        ratio = timing.compare(candidates, max_time=0.2).ratio("b")
        held += ratio.low <= 1.25 <= ratio.high
        assert ratio.low <= ratio.value <= ratio.high
    assert held >= 0.93 * COMPARISONS


def test_a_difference_too_small_to_matter_is_the_same_however_sure(machine):
    simulated = machine()
    costs = {"a": 1e-3, "half a percent": 1.005e-3, "two percent": 1.02e-3, "quick": 0.9e-3}
    comparison = timing.compare({name: simulated.function(cost) for name, cost in costs.items()})
    assert [comparison.verdict(name) for name in costs] == ["same", "same", "slower", "faster"]
    assert comparison.ratio("quick").value == pytest.approx(1 / 0.9)
    assert comparison.ratio("a").value == comparison.ratio("a").low == comparison.ratio("a").high == 1


@pytest.mark.parametrize("noise", NOISES)
def test_a_clear_difference_ends_the_comparison_early(machine, noise, monkeypatch):
    def asked():
        simulated = machine(3, noise)
        candidates = {"a": simulated.function(1e-3), "b": simulated.function(2e-3)}
        return timing.compare(candidates, max_time=4.0), simulated.time

    early, seconds = asked()
    monkeypatch.setattr(measuring, "FIRST_LOOK_ROUNDS", measuring.MAX_ROUNDS)
    late, all_of_it = asked()
    assert early.verdict("b") == late.verdict("b") == "slower"
    assert measuring.FIRST_LOOK_SECONDS < seconds < all_of_it / 2
    assert 3.5 < all_of_it <= 4.0


def test_a_narrow_interval_ends_the_comparison_and_a_wide_one_does_not(machine):
    for noise, cost, early in (("none", 1e-3, True), ("jitter", 2e-2, False)):
        simulated = machine(0, noise)
        f = simulated.function(cost)
        comparison = timing.compare({"a": f, "b": f}, max_time=2.0)
        assert (simulated.time < 1.0) == early
        assert comparison.verdict("b") == "same"


def test_a_difference_that_may_be_chance_does_not_end_the_comparison():
    rng = np.random.default_rng(0)
    ended = {effect: 0 for effect in (0.0, 0.05)}
    for effect in ended:
        for _ in range(300):
            times = np.exp(0.1 * rng.standard_normal((40, 2)))
            ended[effect] += measuring._decided(times[:, 0], times[:, 1] * (1 + effect))
    assert ended[0.0] <= 1  # of 300, where a 95 % interval alone would end a dozen
    assert ended[0.05] < 60


def test_few_values_have_no_certain_interval():
    assert robust.certain_interval(np.zeros(10)) == (-np.inf, np.inf)
    low, high = robust.certain_interval(np.arange(11.0))
    assert (low, high) == (0.0, 10.0)
    assert 2 * binom.cdf(0, 11, 0.5) <= 0.001 < 2 * binom.cdf(0, 10, 0.5)


@pytest.mark.parametrize("costs", [(2e-6, 2e-6), (1e-4, 0.03), (1e-2, 1.1e-2), (1e-3, 1e-3, 1e-3, 2e-3)])
def test_compare_keeps_to_its_time(machine, costs):
    simulated = machine(0, "jitter")
    candidates = {f"candidate {i}": simulated.function(cost) for i, cost in enumerate(costs)}
    comparison = timing.compare(candidates, max_time=0.4)
    assert simulated.time <= 0.4
    assert comparison.rounds >= timing.MIN_ROUNDS
    assert len(comparison.measurements) == len(costs)
    for cost, measured in zip(costs, comparison.measurements.values(), strict=True):
        assert measured.median == pytest.approx(cost, rel=0.05)


@pytest.mark.parametrize("costs", [(1e-4, 1e-4), (1e-4, 5e-4), (0.5, 1e-4)])
def test_compare_tells_ten_times_how_far_it_is(machine, costs):
    simulated, told = machine(0, "jitter"), []
    a, b = map(simulated.function, costs)
    timing.compare({"a": a, "b": b}, max_time=0.4, after=lambda: told.append(simulated.time))
    assert len(told) == 10
    assert told[0] < max(0.12, 0.5 * simulated.time)  # not all at the end
    assert told == sorted(told)


def test_what_is_told_must_be_callable():
    with pytest.raises(TypeError, match="after must be callable without arguments; got 10"):
        timing.compare({"a": int, "b": int}, after=10)


def test_slow_candidates_get_the_least_number_of_rounds(machine):
    simulated = machine()
    comparison = timing.compare(
        {"slow": simulated.function(1.0), "quick": simulated.function(1e-4)}, max_time=0.5
    )
    assert comparison.rounds == timing.MIN_ROUNDS
    assert comparison.measurements["slow"].calls == timing.MIN_ROUNDS
    assert comparison.ratio("quick").value == pytest.approx(1e4)
    # A quick candidate beside a slow one is sampled for longer, so that both meet the same interruptions.
    per_round = comparison.measurements["quick"].calls / comparison.rounds
    assert per_round * 1e-4 == pytest.approx(measuring.LONG_SAMPLE_SECONDS, rel=0.05)
    assert simulated.time < 9


def test_a_sample_ends_soon_where_calls_suddenly_take_a_thousand_times_as_long(machine):
    simulated = machine()
    slow = simulated.function(2e-2)
    quick = simulated.function(1e-5)

    def run():
        (slow if simulated.time > 0.1 else quick)()

    timing.compare({"a": run, "b": run}, max_time=0.2)
    assert simulated.time < 0.4


def test_a_slow_first_call_is_not_counted(machine):
    simulated = machine()
    costs = iter([0.5])

    def run():
        simulated.time += next(costs, 1e-4)

    measured = timing.measure(run, min_time=0.05)
    assert measured.samples == pytest.approx(np.full(len(measured.samples), 1e-4))


@pytest.mark.parametrize("cost", [1e-6, 1e-4, 2e-4, 5e-3])
def test_measure_takes_long_samples_for_long_enough(machine, cost):
    simulated = machine()
    measured = timing.measure(simulated.function(cost), min_time=0.1)
    assert measured.median == pytest.approx(cost)
    assert measured.calls * cost >= 0.09 - len(measured.samples) * cost
    assert measured.calls * cost / len(measured.samples) >= 0.6 * stopwatch.SAMPLE_SECONDS
    assert 0.1 <= simulated.time < 0.2
    assert measured.machine == runtime.describe()


def test_measure_takes_a_few_samples_of_the_slowest_function(machine):
    simulated = machine()
    measured = timing.measure(simulated.function(10.0))
    assert measured.calls == len(measured.samples) == timing.MIN_ROUNDS
    assert simulated.calls == timing.MIN_ROUNDS + 2  # two to warm up: the first may load or compile


def test_a_coarse_clock_gets_longer_samples(machine, monkeypatch):
    simulated = machine()
    coarse = type("Info", (), {"resolution": 1e-5})
    monkeypatch.setattr(stopwatch.time, "get_clock_info", lambda name: coarse)
    monkeypatch.setattr(stopwatch, "now", lambda: simulated.time // 1e-5 * 1e-5)
    measured = timing.measure(simulated.function(3e-6), min_time=0.1)
    assert measured.median == pytest.approx(3e-6, rel=0.01)


def test_measure_says_what_there_is_to_doubt(machine):
    quiet = timing.measure(machine().function(1e-3))
    assert quiet.warnings == ()
    noisy = timing.measure(machine(0, "rhythm").function(1e-3))
    assert noisy.iqr > timing.TOO_NOISY * noisy.median
    assert "too noisy to trust" in noisy.warnings[0]
    assert "warning: too noisy to trust" in str(noisy)
    drifting = timing.measure(machine(0, "drift").function(1e-3))
    assert any("changed its speed: +" in warning for warning in drifting.warnings)


def test_compare_says_when_same_means_not_resolved(machine):
    simulated = machine(2, "interrupted")
    f = simulated.function(1e-3)
    comparison = timing.compare({"a": f, "b": f}, max_time=0.03)
    assert comparison.verdict("b") == "same"
    assert comparison.warnings == ("b: too noisy to see a difference of 10%; give it more time",)
    assert str(comparison).endswith("warning: " + comparison.warnings[0])


def test_rounds_are_shuffled_and_hold_every_candidate_once(machine):
    simulated = machine()
    seen = []

    def candidate(name):
        def run():
            seen.append(name)
            simulated.time += 1e-3

        return run

    comparison = timing.compare({name: candidate(name) for name in "abc"}, max_time=0.5)
    rounds = np.array(seen[-3 * comparison.rounds :]).reshape(-1, 3)
    assert all(set(names) == set("abc") for names in rounds)
    assert len({tuple(names) for names in rounds}) == 6
    again = [next_order.tolist() for next_order, _ in zip(robust.orders(3), range(8), strict=False)]
    assert [["abc"[i] for i in order] for order in again] == rounds[:8].tolist()


@pytest.mark.parametrize("candidates", [2, 3, 5])
def test_orders_give_every_candidate_every_place_fairly(candidates):
    orders = [order for order, _ in zip(robust.orders(candidates), range(400), strict=False)]
    for start in range(0, 400, 4):
        places = np.argsort(orders[start : start + 4], axis=1)
        assert (places.sum(axis=0) == 2 * (candidates - 1)).all()


def test_global_random_numbers_stay_as_they_are(machine):
    f = machine().function(1e-3)
    runtime.set_seed(5)
    expected = random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002
    runtime.set_seed(5)
    timing.compare({"a": f, "b": f}, max_time=0.1)
    assert (random.random(), np.random.random(), float(torch.rand(()))) == expected  # noqa: NPY002


@pytest.mark.parametrize("n", [6, 7, 8, 9, 20, 51, 400, 2000])
def test_median_interval_is_never_narrower_than_the_sign_tests(n):
    values = np.random.default_rng(n).standard_normal(n)
    low, high = robust.median_interval(values)
    cut = max(int(binom.ppf(0.025, n, 0.5)), 1)  # order statistics cut..n+1-cut, counted from 1
    ordered = np.sort(values)
    assert low <= ordered[cut - 1]
    assert high >= ordered[n - cut]
    assert ordered[0] <= low <= np.median(values) <= high <= ordered[-1]


def test_median_interval_grows_where_neighbours_resemble_each_other():
    rng = np.random.default_rng(3)
    alone = rng.standard_normal(600)
    runs = np.repeat(rng.standard_normal(60), 10)
    narrow, wide = (np.diff(robust.median_interval(values))[0] for values in (alone, runs))
    assert wide > 1.5 * narrow


def test_heats_take_the_quickest_only_on_a_disturbed_machine():
    a, b = np.full(80, 1.0), np.full(80, 2.0)
    assert robust.log_ratios(b, a) == pytest.approx(np.full(80, np.log(2)))
    disturbed = a.copy()
    disturbed[::2] = 9.0  # half of the samples: a median of the rounds could not tell
    assert robust.log_ratios(b, disturbed) == pytest.approx(np.full(10, np.log(2)))


def failing(after):
    calls = []

    def run():
        calls.append(None)
        if len(calls) > after:
            raise ZeroDivisionError("on purpose")
        torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)

    return run


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_threads_and_garbage_collection_come_back_even_after_an_error(after, threads):
    before = torch.get_num_threads()
    for call in (
        lambda: timing.measure(failing(after), threads=threads),
        lambda: timing.compare({"a": failing(after), "b": failing(after)}, threads=threads),
    ):
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            call()
        assert torch.get_num_threads() == before
        assert gc.isenabled()


def test_every_candidate_starts_with_the_threads_that_were_asked_for(machine):
    simulated = machine()
    seen = []

    def meddle():
        simulated.time += 1e-3
        seen.append((torch.get_num_threads(), gc.isenabled()))
        torch.set_num_threads(3)

    before = torch.get_num_threads()
    timing.compare({"a": meddle, "b": meddle}, threads=2, max_time=0.05)
    warm_up = 8
    assert set(seen[warm_up:]) == {(2, False)}
    assert torch.get_num_threads() == before


def test_garbage_collection_stays_off_where_it_was_off(machine):
    gc.disable()
    try:
        timing.measure(machine().function(1e-3))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_torch_is_not_loaded_for_functions_that_do_without():
    code = "import sys; from coursekit import timing; timing.measure(int); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Gpu:
    """A GPU beside the simulated machine: calls queue up, waiting for it costs the CPU 20 microseconds."""

    def __init__(self, machine):
        self.machine, self.free, self.waits = machine, 0.0, 0

    def function(self, cost):
        def launch():
            self.machine.time += 1e-6
            self.free = max(self.free, self.machine.time) + cost

        return launch

    def synchronize(self, device=None):
        self.waits += 1
        self.machine.time = max(self.machine.time, self.free) + 2e-5

    def event(self, enable_timing):
        assert enable_timing
        return Event(self)


class Event:
    def __init__(self, gpu):
        self.gpu = gpu

    def record(self):
        self.at = max(self.gpu.free, self.gpu.machine.time)

    def elapsed_time(self, end):
        return 1e3 * (end.at - self.at)


@pytest.fixture
def gpu(machine, monkeypatch):
    made = Gpu(machine())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", made.synchronize)
    monkeypatch.setattr(torch.cuda, "Event", made.event)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    return made


@pytest.mark.parametrize("device", ["cuda", torch.device("cuda"), "cuda:0"])
def test_on_cuda_the_gpus_clock_is_read(gpu, device):
    measured = timing.measure(gpu.function(5e-5), device=device)
    assert measured.median == pytest.approx(5e-5, rel=0.01)
    assert gpu.waits >= 2 * len(measured.samples)
    assert measured.calls / len(measured.samples) * 5e-5 >= stopwatch.GPU_SAMPLE_SECONDS / 2


def test_without_a_device_the_gpu_is_waited_for_if_it_is_in_use(gpu, monkeypatch):
    assert timing.measure(gpu.function(5e-5)).median == pytest.approx(5e-5, rel=0.02)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert timing.measure(gpu.function(5e-5)).median == pytest.approx(1e-6, rel=0.02)
    assert timing.measure(gpu.function(5e-5), device="cpu").median == pytest.approx(1e-6, rel=0.02)


def first_user(gpu, monkeypatch, cost):
    """Return a function whose first call is the first in this process to use the GPU."""
    launch, used = gpu.function(cost), []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: bool(used))

    def run():
        used.append(None)
        launch()

    return run


def test_the_gpu_is_waited_for_if_the_first_call_begins_to_use_it(gpu, monkeypatch):
    measured = timing.measure(first_user(gpu, monkeypatch, 5e-5))
    assert measured.median == pytest.approx(5e-5, rel=0.02)
    assert measured.calls / len(measured.samples) * 5e-5 >= stopwatch.GPU_SAMPLE_SECONDS / 2


@pytest.mark.parametrize("order", [("cpu", "gpu"), ("gpu", "cpu")])
def test_candidates_are_compared_alike_if_one_of_them_begins_to_use_the_gpu(gpu, monkeypatch, order):
    made = {"cpu": gpu.machine.function(1e-4), "gpu": first_user(gpu, monkeypatch, 5e-5)}
    comparison = timing.compare({name: made[name] for name in order}, "cpu")
    for name, cost in (("cpu", 1e-4), ("gpu", 5e-5)):
        measured = comparison.measurements[name]
        assert measured.median == pytest.approx(cost, rel=0.02)
        assert measured.calls / comparison.rounds * cost >= stopwatch.GPU_SAMPLE_SECONDS / 2


def test_a_measurement_says_where_it_ran_if_that_is_known(gpu, monkeypatch):
    f = gpu.function(5e-5)
    assert timing.measure(f, device="cuda").device == "cuda"
    assert timing.measure(f, device="cuda:1").device == "cuda:1"
    assert timing.measure(f, device="cpu").device == "cpu"
    assert timing.measure(f).device is None  # the process uses a GPU, but does f?
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert timing.measure(f).device == "cpu"
    measured = timing.compare({"a": f, "b": f}, device="cuda").measurements
    assert [each.device for each in measured.values()] == ["cuda", "cuda"]


def test_compare_on_cuda(gpu):
    comparison = timing.compare({"a": gpu.function(5e-5), "b": gpu.function(1e-4)}, device="cuda")
    assert comparison.ratio("b").value == pytest.approx(0.5, rel=0.02)
    assert comparison.verdict("b") == "slower"


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="no CUDA device"):
        timing.measure(int, device="cuda")


def nothing():
    pass


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: timing.measure(3), TypeError, "fn must be callable"),
        (lambda: timing.measure(nothing, min_time=0), ValueError, "min_time must be more than 0"),
        (lambda: timing.measure(nothing, min_time=-1), ValueError, "min_time"),
        (lambda: timing.measure(nothing, min_time=float("nan")), ValueError, "min_time"),
        (lambda: timing.measure(nothing, min_time="long"), TypeError, "min_time"),
        (lambda: timing.measure(nothing, threads=0), ValueError, "threads"),
        (lambda: timing.measure(nothing, threads=1.5), TypeError, "threads"),
        (lambda: timing.measure(nothing, device="tpu"), ValueError, "device.*tpu"),
        (lambda: timing.compare({}), ValueError, "functions must hold at least two candidates; got 0"),
        (lambda: timing.compare({"a": nothing}), ValueError, "at least two"),
        (lambda: timing.compare([nothing, nothing]), TypeError, "functions must map names"),
        (lambda: timing.compare({"a": nothing, 2: nothing}), TypeError, "names; got 2"),
        (lambda: timing.compare({"a": nothing, "b": 3}), TypeError, "'b'.*callable"),
        (lambda: timing.compare({"a": nothing, "b": nothing}, "c"), ValueError, "baseline.*a, b.*'c'"),
        (lambda: timing.compare({"a": nothing, "b": nothing}, max_time=0), ValueError, "max_time"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_unknown_names_are_refused(machine):
    f = machine().function(1e-3)
    comparison = timing.compare({"a": f, "b": f}, max_time=0.05)
    for ask in (comparison.ratio, comparison.verdict):
        with pytest.raises(ValueError, match="name must be one of a, b; got 'c'"):
            ask("c")


def test_results_read_well(machine):
    simulated = machine()
    candidates = {"fp32": simulated.function(2e-3), "<int8>": simulated.function(1e-3)}
    measured = timing.measure(candidates["fp32"], name="fp32", min_time=0.1)
    assert str(measured) == "fp32: 2.00 ms per call (IQR 0 ns, 50 samples, 50 calls)"
    assert repr(measured) == str(measured)
    comparison = timing.compare(candidates)
    assert str(comparison.ratio("<int8>")) == "2.00× (95 % interval 2.00 to 2.00)"
    lines = str(comparison).splitlines()
    assert lines[0].split() == ["median", "IQR", "speed-up", "95", "%", "interval", "verdict"]
    assert lines[-1].split() == ["<int8>", "1.00", "ms", "0", "ns", "2.00×", "2.00", "to", "2.00", "faster"]
    shown = comparison._repr_html_()
    assert shown.count("<th ") == 6
    assert "&lt;int8&gt;" in shown
    assert "<int8>" not in shown


@pytest.mark.parametrize("seconds", [1e308, 1e7])
def test_a_time_that_no_clock_counts_is_refused(seconds):
    with pytest.raises(ValueError, match=r"^min_time must be at most 1,000,000 seconds; got 1e\+"):
        timing.measure(len, min_time=seconds)
    with pytest.raises(ValueError, match=r"^max_time must be at most 1,000,000 seconds; got 1e\+"):
        timing.compare({"a": len, "b": len}, max_time=seconds)
