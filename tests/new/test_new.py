"""A notebook of one's own: laid down whole or not at all, and working at once."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from coursekit import exercises
from coursekit._core import courses
from coursekit.new import __main__ as command
from coursekit.new import building, health, lay_down

ROOT = Path(__file__).resolve().parents[2]
NAME = "20-my-topic"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    added = []
    monkeypatch.setattr(courses, "_added", lambda: added)
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)


@pytest.fixture
def folder(tmp_path):
    """Return an empty folder with a difficult name."""
    made = tmp_path / "my courses, über 量子"
    made.mkdir()
    return made


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def output_of(notebook, call):
    """Return the outputs of the cell that ends in ``call``."""
    return next(
        cell.outputs
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.rstrip().split("\n")[-1].startswith(call)
    )


# What is laid down


def test_it_lays_down_a_master_and_a_folder(folder):
    paths = lay_down(NAME, folder)
    assert everything(folder) == [
        "20-my-topic",
        "20-my-topic/checks.py",
        "20-my-topic/claims.toml",
        "20-my-topic/hints.toml",
        "20-my-topic/quiz.toml",
        "20-my-topic/test_20_my_topic.py",
        "source",
        "source/20-my-topic.py",
    ]
    assert sorted(paths) == sorted(path for path in folder.rglob("*") if path.is_file())
    master = paths[0].read_text(encoding="utf-8")
    assert "# # 20 My topic\n" in master
    assert 'exercises.use("20-my-topic")' in master
    assert not any("@" in path.read_text(encoding="utf-8").replace("@pytest", "") for path in paths)


@pytest.mark.parametrize(("name", "number"), [("Z-x", "Z"), ("nb31-two-words", "31"), ("week2-a", "week2")])
def test_ids_begin_with_what_stands_before_the_dash(folder, name, number):
    lay_down(name, folder)
    course = exercises.use(folder / name)
    assert list(course.notebooks) == [number]
    assert exercises.check(f"{number}-levels", lambda bits: 2**bits).outcome == "right"
    assert len(exercises.quiz(number).questions) == 3


def test_what_is_laid_down_passes_its_own_test(folder):
    lay_down(NAME, folder)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", NAME]
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stdout
    assert "12 passed" in run.stdout


@pytest.mark.parametrize("how", [["check"], ["format", "--check"]])
def test_what_is_laid_down_has_no_lint_in_this_repository(folder, how):
    for path in (path for path in lay_down(NAME, folder) if path.suffix == ".py"):
        inside = Path("my-course") / path.relative_to(folder)
        ruff = [sys.executable, "-m", "ruff", *how, "--no-cache", "--stdin-filename", inside, "-"]
        text = path.read_text(encoding="utf-8")
        done = subprocess.run(ruff, cwd=ROOT, input=text, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stdout


def test_it_builds_and_its_solutions_solve(folder, capsys):
    lay_down(NAME, folder)
    assert command.main(["--build", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["20-my-topic.ipynb executed", "solutions/20-my-topic.ipynb executed"]
    student, solution = (nbformat.read(path, as_version=4) for path in building.Folder(folder).paths(NAME))
    assert list(health.faults(student)) == []
    assert "2**bits\n" not in student.cells[3].source
    assert "return 2**bits" in solution.cells[3].source
    assert "○ not tried yet" in health.output_text(output_of(student, "exercises.check")[0])
    assert "no guess yet" in health.output_text(output_of(student, "exercises.predict")[0])
    assert output_of(student, "claims.show") == []
    assert "✓ holds" in health.output_text(output_of(solution, "claims.show")[0])
    assert "✓ right" in health.output_text(output_of(solution, "exercises.check")[0])
    assert "Pick an answer" in health.output_text(output_of(student, "exercises.quiz")[0])
    assert set(output_of(student, "widgets.explore")[0].data) == {
        health.WIDGET_VIEW,
        "image/png",
        "text/plain",
    }
    assert building.stale(building.Folder(folder), [NAME]) == []
    assert command.main(["--build", str(folder)]) == 0
    assert capsys.readouterr().out == "20-my-topic is up to date\n"


def test_a_solution_that_is_wrong_stops_the_build_and_nothing_is_written(folder, capsys):
    master = lay_down(NAME, folder)[0]
    text = master.read_text(encoding="utf-8")
    master.write_text(text.replace("return 2**bits", "return 2 * bits"), encoding="utf-8")
    assert command.main(["--build", str(folder)]) == 1
    assert "exercise 20-levels: ✗ wrong" in capsys.readouterr().err
    assert not list(folder.rglob("*.ipynb"))


def test_an_edit_of_the_checks_alone_asks_for_a_new_run(folder, capsys):
    lay_down(NAME, folder)
    assert command.main(["--build", str(folder)]) == 0
    assert command.main(["--build", str(folder)]) == 0
    assert "up to date" in capsys.readouterr().out.splitlines()[-1]
    checks = folder / NAME / "checks.py"
    checks.write_text(checks.read_text(encoding="utf-8").replace("2**bits:", "3**bits:"), encoding="utf-8")
    assert command.main(["--build", str(folder)]) == 1
    assert "exercise 20-levels: ✗ wrong" in capsys.readouterr().err


def test_the_tools_build_it_too(folder, capsys, monkeypatch):
    import build_notebooks

    ran = []

    def execute(notebook, name, folder, *, strict):
        ran.append((name, strict))
        for cell in building.code_cells(notebook):
            cell.execution_count = 1

    monkeypatch.setattr(building, "execute", execute)
    lay_down(NAME, folder)
    assert build_notebooks.main(["--folder", str(folder)]) == 0
    assert ran == [(NAME, "claims"), (f"solutions/{NAME}", "1")]
    assert build_notebooks.main(["--check", "--folder", str(folder)]) == 0
    assert "1 notebook is what its master says" in capsys.readouterr().out
    (folder / "source" / f"{NAME}.py").unlink()
    assert build_notebooks.main(["--check", "--folder", str(folder)]) == 1
    assert "has no master; delete it" in capsys.readouterr().out


# What is refused


@pytest.mark.parametrize(
    "name",
    [
        "",
        "20",
        "20-",
        "-x",
        "20_my",
        "20-My",
        "20 x",
        "../20-x",
        "20-x/y",
        "20-ü",
        "20-x.py",
        "20--x",
        "20-x\n",
    ],
)
def test_a_bad_name_is_refused(folder, name, capsys):
    with pytest.raises(ValueError, match="name must be like '20-my-topic'"):
        lay_down(name, folder)
    assert everything(folder) == []
    assert command.main(["--folder", str(folder), "--", name]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", [20, None, b"20-x", Path("20-x")])
def test_a_name_must_be_text(folder, name):
    with pytest.raises(TypeError, match="name must be like"):
        lay_down(name, folder)


@pytest.mark.parametrize("taken", [f"source/{NAME}.py", NAME, f"{NAME}.ipynb", "link"])
def test_what_exists_stays_as_it_is(folder, taken):
    path = folder / (NAME if taken == "link" else taken)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(folder / "nowhere") if taken == "link" else path.write_text("mine", encoding="utf-8")
    before = everything(folder)
    with pytest.raises(FileExistsError, match="exists already; nothing was written"):
        lay_down(NAME, folder)
    assert everything(folder) == before
    assert taken == "link" or path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["05-mine", "nb05-mine", "dashboard-mine", "20-other"])
def test_a_number_that_is_taken_is_refused(folder, name):
    lay_down(NAME, folder)
    before = everything(folder)
    with pytest.raises(ValueError, match="name must begin with a number that is free"):
        lay_down(name, folder)
    assert everything(folder) == before


def test_names_that_differ_only_by_case_are_the_same(folder):
    lay_down("20a-topic", folder)
    with pytest.raises(ValueError, match="'20A' is the notebook 20a-topic"):
        lay_down("20A-other", folder)


def test_printed_commands_can_be_pasted(folder, capsys):
    place = folder / "my course"
    assert command.main([NAME, "--folder", str(place)]) == 0
    printed = capsys.readouterr().out
    build = next(line for line in printed.splitlines() if line.startswith("Build it:"))
    assert shlex.split(build)[-2:] == ["--build", str(place)]
    assert f"'{place}/{NAME}.ipynb'" in printed


@pytest.mark.parametrize("fails", range(6))
def test_a_failure_leaves_nothing_behind(folder, monkeypatch, fails):
    """Fail at the n-th file or move."""
    left = [fails]

    def counted(method):
        def step(self, *args, **options):
            left[0] -= 1
            if left[0] < 0:
                raise OSError("the disk is full")
            return method(self, *args, **options)

        return step

    monkeypatch.setattr(Path, "write_text", counted(Path.write_text))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    with pytest.raises(OSError, match="the disk is full"):
        lay_down(NAME, folder / "new" / "deeper")
    assert everything(folder) == []


def test_a_file_is_not_a_folder(folder):
    (folder / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="folder must be a folder; got the file"):
        lay_down(NAME, folder / "file")


def test_the_command_says_what_it_wants(folder, capsys, monkeypatch):
    for arguments in ([], [NAME, "--build", str(folder)]):
        with pytest.raises(SystemExit) as left:
            command.main(arguments)
        assert left.value.code == 2
        assert "give either a name" in capsys.readouterr().err
    assert command.main(["--build", str(folder)]) == 1
    assert "folder must hold masters in" in capsys.readouterr().err
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.main(["--build", str(folder)]) == 1
    assert 'jupytext, nbclient, nbformat: pip install "coursekit[authoring]"' in capsys.readouterr().err


def test_laying_down_needs_no_package_for_building(folder):
    code = "import sys; from coursekit.new import __main__ as m; m.main(sys.argv[1:]); "
    code += (
        "print([n for n in ('torch', 'jupytext', 'nbformat', 'nbclient', 'ipywidgets') if n in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, NAME], cwd=folder, capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout.splitlines()[-1] == "[]"
    assert (folder / "source" / f"{NAME}.py").exists()


def test_the_extra_asks_for_all_that_building_needs():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["authoring"]
    assert {text.partition(">=")[0] for text in extra} == {*command.NEEDED, "pytest"}
    assert "new/template/*.txt" in project["tool"]["setuptools"]["package-data"]["coursekit"]


def test_the_install_line_names_the_repository_of_the_package():
    text = building.requirement()
    assert text == "coursekit" or text.startswith("coursekit @ git+https://github.com/")
