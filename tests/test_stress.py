"""The tool that runs the notebooks again and again, on notebooks of one cell."""

import textwrap

import nbformat
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
    failures = stress.main()
    return failures, *capsys.readouterr()


def test_good_runs_are_counted(notebook, monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_PRESENT", "1")
    path = notebook("good", "import os; assert os.environ['COURSEKIT_STRICT'] == 'claims'")
    mine = notebook("mine", "import os; assert 'COURSEKIT_PRESENT' not in os.environ")
    failures, table, _ = stressed(monkeypatch, capsys, "--rounds", "2", "--at-once", "2", path, mine)
    assert failures == 0
    assert "| good.ipynb | 2 | 0 | " in table
    assert "| mine.ipynb | 2 | 0 | " in table


def test_a_run_leaves_no_kernel(notebook, monkeypatch, capsys, tmp_path):
    source = """
    import os, pathlib, psutil
    with pathlib.Path({!r}).open("a+") as file:
        file.seek(0)
        assert not [pid for pid in map(int, file) if psutil.pid_exists(pid)]
        print(os.getpid(), file=file)
    """
    pids = tmp_path / "pids"
    path = notebook("one", textwrap.dedent(source).format(str(pids)))
    assert stressed(monkeypatch, capsys, "--rounds", "3", "--at-once", "1", path)[0] == 0
    assert len(set(pids.read_text().split())) == 3


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
    failures, table, shown = stressed(monkeypatch, capsys, "--rounds", "1", "--at-once", "1", *paths)
    assert failures == 1
    assert "| bad.ipynb | 1 | 1 | " in table
    assert "| good.ipynb | 1 | 0 | " in table
    assert says in shown


def test_two_run_at_once(notebook, monkeypatch, capsys, tmp_path):
    wait = "import pathlib, time\n{}.touch()\nwhile not {}.exists():\n    time.sleep(0.01)"
    here, there = (f"pathlib.Path({str(tmp_path / name)!r})" for name in "ab")
    paths = notebook("a", wait.format(here, there)), notebook("b", wait.format(there, here))
    assert stressed(monkeypatch, capsys, "--rounds", "1", "--at-once", "2", *paths)[0] == 0
