"""The tool that runs the notebooks again and again, on notebooks of one cell."""

import os

import nbformat
import psutil
import pytest
import stress
from nbformat import v4


@pytest.fixture
def notebook(tmp_path):
    def write(name, source):
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source)]), path)
        return str(path)

    return write


def stressed(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["stress.py", *arguments])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    failures = stress.main()
    return failures, *capsys.readouterr()


def test_a_good_run_is_counted_with_its_times(notebook, monkeypatch, capsys):
    path = notebook("good", "import os; assert os.environ['COURSEKIT_STRICT'] == 'claims'")
    failures, table, _ = stressed(monkeypatch, capsys, "--rounds", "2", "--load", "1", path)
    assert failures == 0
    assert not [each for each in psutil.Process().children() if "ipykernel_launcher" in each.cmdline()]
    assert "| good.ipynb | 2 | 0 | " in table
    assert "cores: 1." in table


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("assert False", "AssertionError"),
        ("import sys; print('beware', file=sys.stderr)", "beware"),
    ],
)
def test_errors_and_warnings_are_failures_and_are_shown(notebook, monkeypatch, capsys, source, says):
    paths = notebook("good", "1"), notebook("bad", source)
    failures, table, shown = stressed(monkeypatch, capsys, "--rounds", "1", "--load", "0", *paths)
    assert failures == 1
    assert "| bad.ipynb | 1 | 1 | " in table
    assert "| good.ipynb | 1 | 0 | " in table
    assert says in shown


def test_the_others_compete_inside_the_block_only():
    before = set(psutil.Process().children())
    with stress.competing(2):
        others = set(psutil.Process().children()) - before
        assert len(others) == 2
    assert not any(other.is_running() for other in others)
