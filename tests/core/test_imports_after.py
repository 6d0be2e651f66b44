"""An action that waits for a module's import."""

import importlib
import sys

import pytest

from coursekit._core import imports


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "late_one.py").write_text("VALUE = 3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield tmp_path / "late_one.py"
    sys.modules.pop("late_one", None)


def test_the_action_waits_for_the_import_and_comes_once(module):
    seen = []
    imports.after("late_one", lambda: seen.append(sys.modules["late_one"].VALUE))
    assert seen == []
    late = importlib.import_module("late_one")
    importlib.reload(late)
    assert seen == [3]
    assert type(late.__loader__).__module__.startswith(("importlib", "_frozen_importlib"))
    assert late.__spec__.loader is late.__loader__


def test_what_is_imported_already_is_acted_on_at_once(module):
    seen = []
    importlib.import_module("late_one")
    imports.after("late_one", lambda: seen.append(1))
    assert seen == [1]


def test_only_the_last_action_counts(module):
    seen = []
    for number in (1, 2, 3):
        imports.after("late_one", lambda number=number: seen.append(number))
    importlib.import_module("late_one")
    assert seen == [3]


def test_a_module_that_fails_or_is_missing_raises_its_own_error(module):
    seen = []
    module.write_text("1 / 0\n", encoding="utf-8")
    imports.after("late_one", lambda: seen.append(1))
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("late_one")
    imports.after("no_such_module_here", lambda: seen.append(2))
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        importlib.import_module("no_such_module_here")
    assert seen == []
