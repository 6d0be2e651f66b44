import asyncio
import cProfile
import functools
import inspect
import math
import pstats
import threading
import time
import types

import line_profiler
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit import profiles


class Clock:
    """A clock that only moves when it is told to, so that a profile is the same every time."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        self.now += seconds


class Restaurant:
    """A program whose receipt is known: chop is called on two paths, stir calls itself."""

    def __init__(self, clock):
        self.work = clock.work

    def chop(self, seconds):
        self.work(seconds)

    def soup(self):
        self.work(1)
        for _ in range(3):
            self.chop(2)

    def salad(self):
        self.work(0.5)
        self.chop(3)

    def stir(self, times):
        self.work(1)
        if times:
            self.stir(times - 1)

    def dinner(self):
        self.work(0.25)
        self.soup()
        self.salad()
        self.stir(2)
        sorted([1])


@pytest.fixture
def profile():
    clock = Clock()
    recorded = cProfile.Profile(clock)
    kitchen = Restaurant(clock)
    recorded.runcall(kitchen.dinner)
    return recorded


def named(call, name):
    return [found for _, found in call.walk() if found.name.endswith(name)]


# Trees


def test_the_top_of_a_tree_has_the_whole_time(profile):
    tree = profiles.tree(profile, Restaurant.dinner)
    assert (tree.name, tree.calls) == ("Restaurant.dinner", 1)
    assert tree.seconds == pytest.approx(0.25 + 7 + 3.5 + 3)
    assert tree.own == pytest.approx(0.0)  # `work` did it


def test_children_stand_in_order_with_their_times_and_calls(profile):
    tree = profiles.tree(profile, Restaurant.dinner)
    names = [(call.name, call.calls, call.seconds) for call in tree.children]
    assert names[:3] == [
        ("Restaurant.soup", 1, pytest.approx(7)),
        ("Restaurant.salad", 1, pytest.approx(3.5)),
        ("Restaurant.stir", 1, pytest.approx(3)),
    ]


def test_a_function_on_two_paths_is_shared_out_and_adds_up_to_what_pstats_says(profile):
    tree = profiles.tree(profile, Restaurant.dinner, smallest=0)
    soup, salad = (tree.find(f"Restaurant.{name}").find("Restaurant.chop") for name in ("soup", "salad"))
    assert (soup.seconds, soup.calls) == (pytest.approx(6), 3)
    assert (salad.seconds, salad.calls) == (pytest.approx(3), 1)
    stats = pstats.Stats(profile).stats
    cumulative = {name: row[3] for (_, _, name), row in stats.items()}
    for name in ("chop", "soup", "salad"):
        assert sum(c.seconds for c in named(tree, name)) == pytest.approx(cumulative[name])


def test_what_a_function_shares_out_is_split_further_below():
    clock = Clock()

    def deep(seconds):
        clock.work(seconds)

    def middle(seconds):
        deep(seconds)

    def left():
        middle(6)

    def right():
        middle(2)

    def top():
        left()
        right()

    recorded = cProfile.Profile(clock)
    recorded.runcall(top)
    tree = profiles.tree(recorded, top)
    assert [tree.find(name).find("deep").seconds for name in ("left", "right")] == pytest.approx([6, 2])


def test_a_function_that_calls_itself_ends(profile):
    tree = profiles.tree(profile, Restaurant.dinner, smallest=0)
    assert tree.find("Restaurant.stir").seconds == pytest.approx(3)
    assert len(named(tree, "stir")) == 1


def test_every_box_has_room_for_what_stands_below(profile):
    for _, call in profiles.tree(profile, Restaurant.dinner, smallest=0).walk():
        assert sum(child.seconds for child in call.children) <= call.seconds + 1e-9
        assert 0 <= call.own <= call.seconds + 1e-9


def test_small_parts_are_left_out(profile):
    everything = profiles.tree(profile, Restaurant.dinner, smallest=0)
    large = profiles.tree(profile, Restaurant.dinner, smallest=0.3)
    assert [call.name for call in large.children] == ["Restaurant.soup"]
    assert all(call.seconds >= 0.3 * large.seconds for _, call in large.walk())
    assert large.seconds == everything.seconds


def test_pythons_own_functions_have_short_names():
    def sort():
        return sorted(str(i) for i in range(20_000))

    recorded = cProfile.Profile()
    recorded.runcall(sort)
    names = {call.name for _, call in profiles.tree(recorded, sort, smallest=0).walk()}
    assert "builtins.sorted" in names
    assert not any(name.startswith("<built-in") for name in names)
    assert profiles._code_name("<method 'acquire' of '_thread.lock' objects>") == "acquire"


def test_a_profile_sees_its_own_thread_only():
    """Since Python 3.12 cProfile itself sees them all; two that take turns tear its books apart."""
    ready, done = threading.Event(), threading.Event()

    def elsewhere():
        ready.set()
        while not done.is_set():
            time.sleep(0)

    def outer():
        for _ in range(2000):
            inner()

    def inner():
        time.sleep(0)

    other = threading.Thread(target=elsewhere)
    other.start()
    ready.wait()
    try:
        recorded = profiles.Profile()
        recorded.runcall(outer)
    finally:
        done.set()
        other.join()
    tree = profiles.tree(recorded, outer, smallest=0)
    found = {call.name: call.calls for _, call in tree.walk()}
    assert found == {"outer": 1, "inner": 2000, "time.sleep": 2000}


def test_a_tree_shows_itself_as_a_table(profile):
    tree = profiles.tree(profile, Restaurant.dinner)
    lines = str(tree).splitlines()
    assert lines[0].split() == ["function", "calls", "in", "all", "own", "share"]
    assert lines[2].startswith("Restaurant.dinner")
    assert lines[2].endswith("100.0%")
    assert lines[3].startswith("\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}Restaurant.soup")
    assert repr(tree) == str(tree)
    assert tree._repr_html_().count("<tr>") == len(lines) - 1


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"profile": 3}, TypeError, "profile must be a cProfile.Profile; got int"),
        ({"function": len}, ValueError, "function must be one that ran under the profiler; got len"),
        ({"function": Clock.work.__get__(1)}, None, ""),
        ({"smallest": -0.1}, ValueError, "smallest"),
        ({"smallest": "1"}, TypeError, "smallest"),
    ],
)
def test_trees_refuse_bad_input(profile, change, error, says):
    given = {"profile": profile, "function": Restaurant.dinner, **change}
    if error is None:
        assert profiles.tree(**given).name == "Clock.work"
        return
    with pytest.raises(error, match=says):
        profiles.tree(**given)


def test_a_function_that_is_not_in_the_tree_is_named(profile):
    with pytest.raises(ValueError, match=r"name must be one of Restaurant.dinner, .*; got 'pay'"):
        profiles.tree(profile, Restaurant.dinner).find("pay")


# Lines


def loop(count):
    total = 0
    for i in range(count):
        total += i  # the work

    return total


def recorded(rows, unit=1e-6, function=loop):
    code = function.__code__
    timings = {(code.co_filename, code.co_firstlineno, "loop"): rows}
    return types.SimpleNamespace(get_stats=lambda: types.SimpleNamespace(unit=unit, timings=timings))


def test_lines_have_the_runs_and_seconds_of_their_numbers():
    first = loop.__code__.co_firstlineno
    found = profiles.lines(recorded([(first + 1, 1, 2), (first + 2, 6, 10), (first + 3, 5, 28)]), loop)
    assert found.name == "loop"
    assert [line.text for line in found.lines] == [
        "def loop(count):",
        "    total = 0",
        "    for i in range(count):",
        "        total += i  # the work",
        "    return total",
    ]
    assert [line.runs for line in found.lines] == [0, 1, 6, 5, 0]
    assert found.seconds == pytest.approx(40e-6)
    assert found.find("+=").seconds == pytest.approx(28e-6)
    assert found.share("+=") == pytest.approx(0.7)


def test_line_profiler_itself_is_understood():
    profiler = line_profiler.LineProfiler(loop)
    assert profiler.runcall(loop, 50) == sum(range(50))
    found = profiles.lines(profiler, loop)
    assert [line.runs for line in found.lines] == [0, 1, 51, 50, 1]
    assert sum(found.share(line.text) for line in found.lines) == pytest.approx(1)


def test_a_wrapped_function_is_found():
    profiler = line_profiler.LineProfiler()
    wrapped = profiler(loop)
    wrapped(3)
    assert profiles.lines(profiler, wrapped).find("+=").runs == 3


def test_lines_show_themselves_indented():
    first = loop.__code__.co_firstlineno
    text = str(profiles.lines(recorded([(first + 3, 4, 8)]), loop))
    assert 8 * "\N{NO-BREAK SPACE}" + "total += i" in text
    row = next(line for line in text.splitlines() if "+=" in line)
    assert row.split("work")[1].split() == ["4", "2.00", "µs", "8.00", "µs", "100.0%"]


@pytest.mark.parametrize(
    ("profiler", "function", "error", "says"),
    [
        (cProfile.Profile(), loop, TypeError, "profiler must be a line_profiler"),
        (recorded([], function=test_line_profiler_itself_is_understood), loop, ValueError, "got loop"),
        (recorded([(1, 1, 1)]), len, ValueError, "function must be one that ran under the profiler; got len"),
        (recorded([(1, 1, 1)]), 3, ValueError, "function must be one that ran under the profiler; got 3"),
    ],
)
def test_lines_refuse_what_was_not_recorded(profiler, function, error, says):
    with pytest.raises(error, match=says):
        profiles.lines(profiler, function)


def test_a_line_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="part of a line of loop; got 'x = 1'"):
        profiles.lines(recorded([(loop.__code__.co_firstlineno + 1, 1, 1)]), loop).find("x = 1")


# Operators


@pytest.fixture(scope="module")
def watched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINETO_LOG_LEVEL", "99")
        a = torch.ones(8, 8)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            for _ in range(5):
                torch.relu(torch.mm(a, a))
        return profiler


def test_operators_come_with_their_calls_the_most_expensive_first(watched):
    found = profiles.operators(watched, most=100)
    calls = {row.name: row.calls for row in found.rows}
    assert calls["aten::mm"] == calls["aten::relu"] == 5
    times = [row.cpu for row in found.rows]
    assert times == sorted(times, reverse=True)
    assert found.total == pytest.approx(sum(times))
    reference = {event.key: event.self_cpu_time_total / 1e6 for event in watched.key_averages()}
    assert {row.name: row.cpu for row in found.rows} == pytest.approx(reference)


def test_only_so_many_operators_are_kept(watched):
    every = profiles.operators(watched, most=100)
    assert profiles.operators(watched, most=2).rows == every.rows[:2]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_shares_are_of_all_operators_however_many_are_shown(most):
    times = {"addmm": 600, "relu": 300, "copy": 100}
    events = [types.SimpleNamespace(key=k, count=1, self_cpu_time_total=t) for k, t in times.items()]
    found = profiles.operators(types.SimpleNamespace(key_averages=lambda: events), most)
    assert found.total == pytest.approx(1e-3)
    shown = [line.split()[-1] for line in str(found).splitlines()[2:]]
    assert shown == ["60.0%", "30.0%", "10.0%"][:most]


def test_the_gpus_time_has_a_column_only_where_there_is_one(watched):
    assert "GPU" not in str(profiles.operators(watched))
    with_gpu = profiles.Operators((profiles.Operator("aten::mm", 3, 1e-3, 2e-3),), 1e-3)
    assert str(with_gpu).splitlines()[2].split() == ["aten::mm", "3", "1.00", "ms", "100.0%", "2.00", "ms"]


def test_operators_refuse_bad_input(watched):
    with pytest.raises(TypeError, match=r"profiler must be a torch.profiler.profile"):
        profiles.operators(cProfile.Profile())
    with pytest.raises(ValueError, match="most"):
        profiles.operators(watched, most=0)
    with pytest.raises(ValueError, match="must have recorded an operator"):
        profiles.operators(types.SimpleNamespace(key_averages=list))


# Amdahl


@given(st.floats(0.001, 1e6), st.floats(0.001, 1e6), st.floats(0.01, 1e6))
def test_amdahl_agrees_with_a_clock(part, rest, factor):
    before, after = part + rest, part / factor + rest
    assert profiles.amdahl(part / before, factor) == pytest.approx(before / after, rel=1e-6)


@given(st.floats(0, 0.999999), st.floats(1, 1e9))
def test_amdahl_never_reaches_its_limit(share, factor):
    limit = profiles.amdahl(share, math.inf)
    assert 1 - 1e-12 <= profiles.amdahl(share, factor) <= min(limit, factor) * (1 + 1e-9)
    assert limit == pytest.approx(1 / (1 - share))


def test_a_part_that_is_everything_can_vanish():
    assert profiles.amdahl(1, math.inf) == math.inf
    assert profiles.amdahl(1, 8) == 8
    assert profiles.amdahl(0, math.inf) == 1


@pytest.mark.parametrize(
    ("share", "factor", "error", "says"),
    [
        (-0.1, 2, ValueError, "share"),
        (1.1, 2, ValueError, "share"),
        (0.5, 0, ValueError, "factor must be more than 0"),
        (0.5, -1, ValueError, "factor"),
        (0.5, math.nan, ValueError, "factor"),
        (0.5, "2", TypeError, "factor"),
        (True, 2, TypeError, "share"),
    ],
)
def test_amdahl_refuses_bad_input(share, factor, error, says):
    with pytest.raises(error, match=says):
        profiles.amdahl(share, factor)


# Functions that line_profiler counts in its own way


def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


def ping(n):
    return pong(n - 1) if n else 0


def pong(n):
    again = ping(n)
    return again


class Tree:
    def size(self, depth):
        if not depth:
            return 1
        return 2 * self.size(depth - 1)

    def left(self, depth):
        return self.right(depth - 1) if depth else 1

    def right(self, depth):
        return self.left(depth)

    @property
    def height(self):
        total = 3
        return total


def doubled(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 2 * function(*args)

    return wrapper


@doubled
def decorated(n):
    total = n + 1
    return total


@doubled
def decorated_factorial(n):
    return n * decorated_factorial(n - 1) if n else 1


def sort(values):
    values = list(values)
    values.sort()
    return values


def factory():
    def countdown(n):
        return countdown(n - 1) if n else 0

    return countdown


def watching(function, *args):
    profiler = line_profiler.LineProfiler()
    profiler.add_function(function)
    return profiler, profiler.runcall(*args)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (fibonacci, (fibonacci, 4)),
        (ping, (ping, 3)),
        (Tree.size, (Tree().size, 3)),
        (Tree.left, (Tree().left, 3)),
        (inspect.unwrap(decorated_factorial), (decorated_factorial, 3)),
    ],
)
def test_functions_that_call_themselves_are_refused(function, call):
    profiler, _ = watching(function, *call)
    name = function.__name__
    with pytest.raises(
        ValueError, match=rf"function must not call itself; {name} does in line \d+, and"
    ) as caught:
        profiles.lines(profiler, function)
    assert "\n" not in str(caught.value)


def test_a_closure_that_calls_itself_is_refused():
    countdown = factory()
    profiler, _ = watching(countdown, countdown, 3)
    with pytest.raises(ValueError, match="function must not call itself; countdown"):
        profiles.lines(profiler, countdown)


def test_a_function_that_could_call_itself_and_did_not_is_shown():
    profiler, _ = watching(fibonacci, fibonacci, 1)
    assert [line.runs for line in profiles.lines(profiler, fibonacci).lines] == [0, 1, 1, 0]


def test_a_name_that_only_looks_alike_is_not_recursion():
    profiler, _ = watching(sort, sort, [2, 1])
    assert [line.runs for line in profiles.lines(profiler, sort).lines] == [0, 1, 1, 1]


def test_decorated_functions_are_found_by_what_was_recorded():
    profiler, value = watching(inspect.unwrap(decorated), decorated, 3)
    assert value == 8
    inner = profiles.lines(profiler, decorated)
    assert [line.runs for line in inner.lines if line.runs] == [1, 1]
    assert inner.find("total = n + 1").runs == 1
    with pytest.warns(UserWarning, match="__wrapped__"):
        profiler = line_profiler.LineProfiler(decorated)  # line_profiler then watches the wrapper alone
    profiler.runcall(decorated, 3)
    assert profiles.lines(profiler, decorated).find("return 2 * function").runs == 1


def test_partials_properties_and_methods_are_found():
    for function, shown, call in (
        (sort, functools.partial(sort, [1]), (sort, [1])),
        (Tree.height.fget, Tree.height, (lambda: Tree().height,)),
        (Tree.size, Tree().size, (Tree().size, 0)),
    ):
        profiler, _ = watching(function, *call)
        assert profiles.lines(profiler, shown).seconds > 0


def test_threads_generators_and_coroutines_add_up():
    def numbers(n):
        for number in range(n):
            yield 2 * number

    async def answer(n):
        await asyncio.sleep(0)
        return n

    async def several():
        return await asyncio.gather(*(answer(n) for n in range(5)))

    profiler, _ = watching(numbers, lambda: list(numbers(3)))
    assert [line.runs for line in profiles.lines(profiler, numbers).lines] == [0, 4, 3]
    profiler, _ = watching(answer, lambda: asyncio.run(several()))
    assert [line.runs for line in profiles.lines(profiler, answer).lines][-1] == 5

    profiler = line_profiler.LineProfiler()
    watched_sort = profiler(sort)

    def start():
        threads = [threading.Thread(target=watched_sort, args=([1],)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    start()
    assert profiles.lines(profiler, sort).find("values.sort").runs == 4


@pytest.mark.parametrize("form", [np.float64, np.float32, np.array, torch.tensor])
def test_amdahl_answers_with_pythons_number_whatever_form_the_factor_has(form):
    assert type(profiles.amdahl(0.25, form(2.0))) is float
    assert profiles.amdahl(0.25, form(2.0)) == 1 / (0.75 + 0.25 / 2)
    assert profiles.amdahl(0.25, form(math.inf)) == 1 / 0.75
    with pytest.raises(ValueError, match="factor must be"):
        profiles.amdahl(0.25, form(math.nan))
