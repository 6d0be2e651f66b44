"""The tool that calls everything with odd values: it sees what it looks for; short runs find nothing."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tool's guards are Linux's")


@pytest.fixture
def tool(monkeypatch):
    import odd_calls

    for name in ("COURSEKIT_HOME", "COURSEKIT_DEVICE", "COURSEKIT_PRESENT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    return odd_calls


def judged(tool, function, count=400):
    """Return the kinds of findings in a function of our own, which takes a ``value`` or a ``count``."""
    target = next(tool.targets_of("here", {"f": function}))
    with tool.guarded():
        caller = tool.Caller(0)
        for _ in range(count):
            caller.once(target)
    return {kind for _, _, kind in caller.tally.findings}


def test_a_few_hundred_calls_find_nothing(tool, monkeypatch):
    monkeypatch.setattr(tool, "SECONDS", 1.0)
    tally = tool.call_many(tool.rooms(), 500, seed=1)
    assert str(tally).splitlines()[:-1] == []
    assert sum(tally.outcomes.values()) > 350


def test_it_calls_every_public_function_but_those_that_it_names(tool):
    import inspect

    import coursekit

    assert {*tool.rooms(), "plots", "widgets"} == set(coursekit.__all__)
    reached = {target.name for target in tool.targets(tool.rooms())}
    for room in tool.rooms():
        module = getattr(coursekit, room)
        functions = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
        missed = {f"{room}.{name}" for name in functions} - reached - tool.LEFT_OUT
        assert missed == set()


def test_it_knows_values_that_are_right_for_most_functions(tool):
    with tool.guarded():
        caller = tool.Caller(0)
        lacking = {target.name for target in tool.targets(tool.rooms()) if caller.right(target) is None}
    assert len(lacking) <= 25, lacking


def bounded(value: float) -> float:
    """Return a number that may be infinity."""
    if isinstance(value, float) and value == float("inf"):
        return 1.0
    raise TypeError("value must be infinity")


def test_infinity_is_right_where_the_docstring_says_so(tool):
    assert judged(tool, bounded) == set()


def test_the_same_seed_makes_the_same_calls(tool):
    first, second = (tool.call_many(["floats"], 200, seed=7).outcomes for _ in range(2))
    assert first == second


def careless(value: float) -> float:
    return value


def foreign(value: float) -> float:
    return np.linalg.inv(value)


def leaking(value: float) -> float:
    return value.nothing


def rambling(value: float) -> float:
    raise ValueError("value is wrong:\nvery wrong")


def nameless(value: float) -> float:
    raise ValueError("something is wrong")


def as_yes_or_no(symmetric: bool = True) -> int:
    return 1 if symmetric else 0


def narrow(count: int) -> int:
    return count + 2**31 - 2


def never(value: float) -> float:
    """Fail as it says.

    Raises
    ------
    KeyError
        Always.
    """
    raise KeyError("value")


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (careless, {"takes what is not a number as <class 'float'>", "takes None"}),
        (foreign, {"RuntimeError", "a message that names no argument"}),
        (leaking, {"AttributeError"}),
        (rambling, {"a message of more than one line"}),
        (nameless, {"a message that names no argument"}),
        (as_yes_or_no, {"takes what is not a flag as yes or no", "takes None"}),
        (narrow, {"refuses np.int32", "another result for np.int64"}),
    ],
)
def test_it_sees_what_it_looks_for(tool, function, kinds):
    assert kinds <= judged(tool, function)


def test_exceptions_that_the_docstring_names_are_not_findings(tool):
    assert judged(tool, never) == set()


def test_calls_that_are_too_much_are_stopped_and_counted(tool, monkeypatch):
    monkeypatch.setattr(tool, "SECONDS", 0.05)

    def endless():
        while True:
            pass

    assert tool_run(tool, endless) == ("out of time", None)
    assert tool_run(tool, lambda: bytearray(4 * tool.MEMORY)) == ("out of memory", None)


def tool_run(tool, function):
    with tool.guarded():
        return tool.run(function, {})


def test_it_leaves_the_folder_and_the_limits_as_they_were(tool):
    import resource

    before = Path.cwd(), resource.getrlimit(resource.RLIMIT_AS)
    tool.call_many(["floats"], 5, seed=0)
    assert (Path.cwd(), resource.getrlimit(resource.RLIMIT_AS)) == before
