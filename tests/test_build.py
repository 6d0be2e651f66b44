import json
import os
import re
import subprocess
import sys

import build_notebooks
import generated
import nbformat
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from coursekit.new import building, execution, health, masters
from coursekit.new.masters import BuildError


@pytest.fixture
def course(tmp_path):
    return toy.with_address(toy.course(tmp_path), "ada/engine")


@pytest.fixture
def runs(monkeypatch):
    """Replace the kernel by one that runs at once and prints the number of the run; return the runs."""
    done = []

    def execute(notebook, name, folder, *, strict):
        done.append((name, folder, strict))
        for cell in build_notebooks.code_cells(notebook):
            cell.execution_count = 1
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"run {len(done)}\n")]

    monkeypatch.setattr(building, "execute", execute)
    return done


def read(course, solutions=False):
    return nbformat.read(course.paths(toy.NAME)[solutions], as_version=4)


def edit(course, old, new):
    path = course.masters()[toy.NAME]
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def sources(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


def files(course):
    return {path: path.read_bytes() for path in course.notebooks.rglob("*") if path.is_file()}


# From master to copies


def test_a_solution_becomes_one_line_at_its_own_indentation(course):
    student, solution = course.expected(toy.NAME)
    assert student.cells[3].source == "def double(x):\n    ...\n\n\nanswer = None\n..."
    assert (
        solution.cells[3].source == "def double(x):\n    return 2 * x\n\n\nanswer = None\nanswer = double(21)"
    )


def test_a_marker_may_say_what_the_student_finds_instead():
    text = "if x:\n    # solution: answer = ...\n    answer = 42\n    # end solution\nprint(answer)"
    assert masters.reveal(text, solved=False) == "if x:\n    answer = ...\nprint(answer)"
    assert masters.reveal(text, solved=True) == "if x:\n    answer = 42\nprint(answer)"


@given(st.lists(st.tuples(st.sampled_from(["", "    "]), st.booleans()), max_size=6))
def test_copies_differ_only_inside_the_markers(blocks):
    lines, solved, unsolved = [], [], []
    for number, (indent, is_solution) in enumerate(blocks):
        code = [f"{indent}x = {number}", f"{indent}y = {number}"]
        lines += [f"{indent}# solution", *code, f"{indent}# end solution"] if is_solution else code
        solved += code
        unsolved += [f"{indent}..."] if is_solution else code
    text = "\n".join(lines)
    assert masters.reveal(text, solved=True) == "\n".join(solved)
    assert masters.reveal(text, solved=False) == "\n".join(unsolved)


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ('# %% tags=["exercise"]\n# solution\nx = 1\n', 2, "without '# end solution'"),
        ('# %% tags=["exercise"]\nx = 1\n# end solution\n', 3, "without '# solution' before"),
        ('# %% tags=["exercise"]\n# solution\n# solution\n# end solution\n', 3, "starts in line 2"),
        ("# %%\n# solution\nx = 1\n# end solution\n", 2, "outside an exercise cell"),
        ("# solution\nx = 1\n# end solution\n", 1, "outside an exercise cell"),
        ('# %% tags=["exercise"]\n# solution\n\n# %%\n# end solution\n', 2, "without '# end solution'"),
        ('# %%\n\n# %% tags=["exercise"]\nx = 1\n', 3, "exercise cell without '# solution'"),
    ],
)
def test_a_marker_in_the_wrong_place_is_named_with_file_and_line(body, line, words):
    with pytest.raises(BuildError, match="01-bad.py") as error:
        masters.check_markers(body, "01-bad.py")
    assert f"01-bad.py:{line}: " in str(error.value)
    assert words in str(error.value)


def test_a_paragraph_that_reads_solution_is_not_a_marker():
    masters.check_markers("# %% [markdown]\n# solution\n# # solution\n", "01-good.py")
    assert masters.reveal("x = 1  # solution", solved=False) == "x = 1  # solution"


def test_the_stray_pass_goes_and_the_magic_stays(course):
    setup = course.expected(toy.NAME)[0].cells[1].source
    assert (
        '    %pip install -q "onnx<1.23" "coursekit @ git+https://github.com/ada/engine@v0.2.0"\n\nimport os'
        in setup
    )
    assert "pass" not in setup
    ordinary = nbformat.v4.new_code_cell("if x:\n    pass\nfor y in z:\n    # why\n    pass")
    masters._tidy(ordinary, "here")
    assert ordinary.source.count("pass") == 2


def test_generated_text_names_the_repository_once_and_everywhere(course):
    student, solution = course.expected(toy.NAME)
    for notebook, path in (
        (student, "notebooks/01-toy.ipynb"),
        (solution, "notebooks/solutions/01-toy.ipynb"),
    ):
        title = notebook.cells[0].source
        assert f"(https://colab.research.google.com/github/ada/engine/blob/v0.2.0/{path})" in title
        assert f"(https://mybinder.org/v2/gh/ada/engine/v0.2.0?urlpath=lab/tree/{path})" in title
        assert f"(https://github.com/ada/engine/blob/v0.2.0/{path})" in title
        assert "{{" not in sources(notebook)
    assert "(solutions/01-toy.ipynb)" in student.cells[0].source
    assert "(../01-toy.ipynb)" in solution.cells[0].source


def test_links_in_the_solutions_lead_where_the_student_copy_leads(course):
    student, solution = (notebook.cells[0].source for notebook in course.expected(toy.NAME))
    assert all(
        f"({target})" in student
        for target in ("02-other.ipynb", "../docs/guide.md", "solutions/02-other.ipynb")
    )
    assert "[the other](02-other.ipynb)" in solution
    assert "[the guide](../../docs/guide.md)" in solution
    assert "[the answers](02-other.ipynb)" in solution


def test_every_cell_has_a_slide_type_and_explicit_ones_stay(course):
    student, _ = course.expected(toy.NAME)
    assert [cell.metadata.slideshow.slide_type for cell in student.cells] == [
        "slide",
        "-",
        "slide",
        "-",
        "subslide",
    ]
    assert masters.slide_type(nbformat.v4.new_markdown_cell("Just text.")) == "fragment"
    assert masters.slide_type(nbformat.v4.new_markdown_cell("### Deeper")) == "fragment"


def test_tags_stay_and_unknown_metadata_is_refused(course):
    assert course.expected(toy.NAME)[0].cells[4].metadata.tags == ["shown"]
    edit(course, 'tags=["shown"]', "collapsed=true")
    with pytest.raises(BuildError, match=r"01-toy\.py, cell 4: unknown metadata collapsed"):
        course.expected(toy.NAME)


def test_a_cell_can_be_folded_and_no_more(course):
    edit(course, 'tags=["shown"]', 'jupyter={"source_hidden": true}')
    assert course.expected(toy.NAME)[0].cells[4].metadata.jupyter == {"source_hidden": True}
    edit(course, '{"source_hidden": true}', '{"outputs_hidden": true}')
    with pytest.raises(BuildError, match=r"01-toy\.py, cell 4: unknown metadata jupyter"):
        course.expected(toy.NAME)


def test_ids_are_unique_valid_and_survive_an_insertion(course):
    before = [cell.id for cell in course.expected(toy.NAME)[0].cells]
    assert before == [cell.id for cell in course.expected(toy.NAME)[1].cells]
    edit(
        course,
        "# %% [markdown]\n# ## 1. Double it",
        "# %%\nx = 1\n\n# %%\nx = 1\n\n# %% [markdown]\n# ## 1. Double it",
    )
    after = course.expected(toy.NAME)[0]
    ids = [cell.id for cell in after.cells]
    nbformat.validate(after)
    assert len(set(ids)) == len(ids) == len(before) + 2
    assert [i for i in ids if i in before] == before


def test_the_header_of_jupytext_and_the_kernel_leave_no_trace(course):
    header = (
        "# ---\n# jupyter:\n#   kernelspec:\n#     name: conda-env-mine\n#     display_name: Mine\n# ---\n\n"
    )
    edit(course, "# %% [markdown]\n# # 01 Toy", header + "# %% [markdown]\n# # 01 Toy")
    student, _ = course.expected(toy.NAME)
    assert student.metadata == {"kernelspec": masters.KERNELSPEC, "language_info": masters.LANGUAGE}
    assert student.cells[0].source.startswith("# 01 Toy")


def test_masters_survive_ruff():
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "notebooks/source/01-toy.py", "-"]
    text = toy.MASTER + "\n# %%\nimport numpy as np\n\ndouble(np.pi)\n"
    result = subprocess.run(command, input=text, capture_output=True, text=True, cwd=toy.ROOT, check=False)
    assert result.returncode == 0, result.stdout


# What is run, and when


def test_only_what_changed_is_built_and_only_changed_code_runs(course, runs):
    assert len(build_notebooks.build(course, toy.NAME)) == 2
    assert runs == [
        (toy.NAME, course.notebooks, "claims"),
        (f"solutions/{toy.NAME}", course.notebooks / "solutions", "1"),
    ]
    before = files(course)
    assert build_notebooks.build(course, toy.NAME) == []
    assert files(course) == before

    edit(course, "# ## 1. Double it", "# ## 1. Twice as much")
    assert len(build_notebooks.build(course, toy.NAME)) == 2
    assert len(runs) == 2
    assert [read(course, solved).cells[4].outputs[0].text for solved in (False, True)] == [
        "run 1\n",
        "run 2\n",
    ]
    assert "Twice" in sources(read(course))

    edit(course, "    return 2 * x", "    return x + x")
    assert build_notebooks.build(course, toy.NAME) == ["notebooks/solutions/01-toy.ipynb executed"]
    assert "x + x" in sources(read(course, solutions=True))

    edit(course, "seen on", "now seen on")
    build_notebooks.build(course, toy.NAME)
    assert [len(runs), read(course).cells[4].outputs[0].text] == [5, "run 4\n"]


def test_an_answer_is_stored_in_the_solutions_and_not_in_the_students_copy(course, runs):
    edit(course, 'tags=["shown"]', 'tags=["answer"]')
    build_notebooks.build(course, toy.NAME)
    student, solved = (read(course, solutions) for solutions in (False, True))
    assert student.cells[4].outputs == []
    assert student.cells[4].execution_count == 1
    assert student.cells[3].outputs
    assert solved.cells[4].outputs
    assert build_notebooks.check(course, [toy.NAME]) == []
    assert build_notebooks.build(course, toy.NAME) == []


def test_a_tag_taken_away_runs_the_students_copy_again_and_one_that_comes_does_not(course, runs):
    build_notebooks.build(course, toy.NAME)
    edit(course, 'tags=["shown"]', 'tags=["answer"]')
    same = ["notebooks/01-toy.ipynb written, its code is the same"]
    same.append("notebooks/solutions/01-toy.ipynb written, its code is the same")
    assert build_notebooks.build(course, toy.NAME) == same
    assert read(course).cells[4].outputs == []
    edit(course, 'tags=["answer"]', 'tags=["shown"]')
    assert build_notebooks.build(course, toy.NAME) == ["notebooks/01-toy.ipynb executed", same[1]]
    assert read(course).cells[4].outputs


def test_an_answer_that_was_stored_by_hand_is_found_and_taken_out_again(course, runs):
    edit(course, 'tags=["shown"]', 'tags=["answer"]')
    build_notebooks.build(course, toy.NAME)
    leaking = read(course)
    leaking.cells[4].outputs = read(course, solutions=True).cells[4].outputs
    course.paths(toy.NAME)[0].write_text(nbformat.writes(leaking), encoding="utf-8")
    assert build_notebooks.check(course, [toy.NAME]) == [
        "notebooks/01-toy.ipynb: cell 4: stores an output although it is tagged 'answer'"
    ]
    assert len(build_notebooks.build(course, toy.NAME)) == 1
    assert build_notebooks.check(course, [toy.NAME]) == []
    assert len(runs) == 2


def test_all_runs_what_is_up_to_date(course, runs):
    assert build_notebooks.main([], course) == 0
    assert build_notebooks.main(["--all"], course) == 0
    assert len(runs) == 4


@pytest.mark.parametrize("damage", ["error", "stderr", "unrun", "state", "text"])
def test_a_damaged_notebook_runs_again(course, runs, damage):
    build_notebooks.build(course, toy.NAME)
    path = course.paths(toy.NAME)[0]
    if damage == "text":
        path.write_text("{", encoding="utf-8")
    else:
        path.write_text(nbformat.writes(damaged(read(course), damage)), encoding="utf-8")
    assert build_notebooks.build(course, toy.NAME) == ["notebooks/01-toy.ipynb executed"]
    assert build_notebooks.check(course, [toy.NAME]) == []


def damaged(notebook, damage):
    cell = notebook.cells[4]
    if damage == "error":
        cell.outputs = [
            nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["Traceback: no"])
        ]
    elif damage == "stderr":
        cell.outputs = [nbformat.v4.new_output("stream", name="stderr", text="a warning")]
    elif damage == "unrun":
        cell.outputs, cell.execution_count = [], None
    elif damage == "state":
        notebook.metadata.widgets = {health.WIDGET_STATE: {"state": {}}}
    elif damage == "path":
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="saved in /home/ada/model.pt")]
    elif damage == "slide":
        cell.metadata.slideshow.slide_type = "skip"
    elif damage == "source":
        cell.source += "  "
    elif damage == "kernel":
        notebook.metadata.kernelspec.name = "mine"
    elif damage == "size":
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="x" * 600_001)]
    elif damage == "cell":
        del notebook.cells[-1]
    return notebook


def test_a_failed_run_leaves_both_copies_as_they_were(course, runs, monkeypatch):
    build_notebooks.build(course, toy.NAME)
    before = files(course)
    edit(course, "seen on", "not seen on")

    def execute(*args, **kwargs):
        raise BuildError("01-toy: no")

    monkeypatch.setattr(building, "execute", execute)
    assert build_notebooks.main([], course) == 1
    after = files(course)
    source = course.masters()[toy.NAME]
    assert {p: b for p, b in after.items() if p != source} == {p: b for p, b in before.items() if p != source}


def test_one_bad_master_does_not_keep_the_others_from_being_built(course, runs, capsys):
    toy.course(course.root, "# %%\n# solution\n", "00-bad")
    toy.with_address(course, "ada/engine")
    assert build_notebooks.main([], course) == 1
    assert "00-bad.py:2" in capsys.readouterr().err
    assert [name for name, *_ in runs] == [toy.NAME, f"solutions/{toy.NAME}"]


def test_names_select_and_unknown_ones_are_refused(course, runs, capsys):
    toy.course(course.root, toy.MASTER, "dashboard")
    toy.course(course.root, toy.MASTER, "02-other")
    assert course.select([]) == ["01-toy", "02-other", "dashboard"]
    assert course.select(["notebooks/02-other.ipynb", "01"]) == ["01-toy", "02-other"]
    assert course.select(["dashboard.py"]) == ["dashboard"]
    assert build_notebooks.main(["07"], course) == 1
    assert "no master for '07'; there are: 01-toy, 02-other, dashboard" in capsys.readouterr().err


LETTER = "A-letter"


@pytest.fixture
def lettered(course):
    """Make a course that has a lettered notebook, too, and a README with both tables."""
    toy.course(course.root, toy.MASTER, "dashboard")
    toy.course(course.root, toy.MASTER.replace("# 01 Toy", "# A · Toy"), LETTER, "beyond")
    text = "<!-- notebooks -->\n<!-- /notebooks -->\n<!-- beyond -->\n<!-- /beyond -->\n"
    (course.root / "README.md").write_text(text, encoding="utf-8")
    return toy.with_address(course, "ada/engine")


def test_lettered_notebooks_come_last_and_lie_in_a_folder_of_their_own(lettered, runs):
    assert lettered.select([]) == [toy.NAME, "dashboard", LETTER]
    assert lettered.select(["A"]) == lettered.select([f"notebooks/beyond/{LETTER}.ipynb"]) == [LETTER]
    assert build_notebooks.build(lettered, LETTER) == [
        f"notebooks/beyond/{LETTER}.ipynb executed",
        f"notebooks/beyond/solutions/{LETTER}.ipynb executed",
    ]
    assert [folder for _, folder, _ in runs] == [path.parent for path in lettered.paths(LETTER)]
    assert lettered.students()[-1] == lettered.paths(LETTER)[0]


def test_what_is_stale_or_lost_among_the_lettered_is_found(lettered, runs):
    (lettered.notebooks / "beyond" / "B-lost.ipynb").write_text("{}", encoding="utf-8")
    found = build_notebooks.check(lettered, [LETTER])
    assert f"notebooks/beyond/{LETTER}.ipynb: is missing or cannot be read" in found
    assert "notebooks/beyond/B-lost.ipynb: has no master; delete it" in found


def test_badges_and_links_of_a_lettered_notebook_lead_into_its_folder(lettered):
    student, solution = (notebook.cells[0].source for notebook in lettered.expected(LETTER))
    file, solved = (f"notebooks/beyond/{place}{LETTER}.ipynb" for place in ("", "solutions/"))
    for text, here, there in ((student, file, solved), (solution, solved, file)):
        assert f"/lab/tree/{here})" in text.replace("urlpath=", "urlpath=/")
        assert re.findall(r"blob/v0\.2\.0/([^)]+)", text) == [here, there, here]
    assert f"[Solutions](solutions/{LETTER}.ipynb)" in student
    assert f"[The exercises](../{LETTER}.ipynb)" in solution
    assert "(../../docs/guide.md)" in solution


def test_lettered_notebooks_have_a_table_of_their_own(lettered, runs):
    assert build_notebooks.main([], lettered) == 0
    first, second = (lettered.root / "README.md").read_text(encoding="utf-8").split("<!-- beyond -->")
    assert f"| A | [Toy](notebooks/beyond/{LETTER}.ipynb) | 5 |" in second
    assert "| 01 | [Toy](notebooks/01-toy.ipynb) | 5 |" in first
    assert LETTER not in first
    assert "01-toy" not in second
    assert build_notebooks.check(lettered, []) == []


@pytest.mark.parametrize(
    ("name", "number"), [("01-toy", "01"), ("A-toy", "A"), ("dashboard", ""), ("AB-toy", ""), ("a-toy", "")]
)
def test_a_notebook_is_known_by_its_number_or_letter(name, number):
    assert masters.number(name) == number


@pytest.mark.parametrize("title", ["01 A toy", "A · A toy", "A toy"])
def test_a_title_is_told_without_its_number_or_letter(title):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {title}")])
    assert masters.summary(notebook) == ("A toy", "")


def test_writing_is_all_or_nothing(course, monkeypatch):
    path = course.notebooks / "text"
    build_notebooks.replace_text(path, "old")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        build_notebooks.replace_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(course.notebooks.glob("*.part")) == []


def test_the_kernels_environment_holds_none_of_the_authors_settings(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PRESENT", "1")
    monkeypatch.setenv("COURSEKIT_DEVICE", "cuda")
    monkeypatch.setenv("ELSEWHERE", "kept")
    mine = {
        k: v
        for k, v in execution.environment("there", COURSEKIT_STRICT="1").items()
        if k.startswith(("COURSEKIT", "ELSE"))
    }
    assert mine == {
        "COURSEKIT_DEVICE": "cpu",
        "COURSEKIT_HOME": "there",
        "COURSEKIT_STRICT": "1",
        "ELSEWHERE": "kept",
    }


def test_random_widget_ids_do_not_reach_the_file():
    view = {"version_major": 2, "version_minor": 0, "model_id": os.urandom(16).hex()}
    output = nbformat.v4.new_output("display_data", {health.WIDGET_VIEW: view, "text/plain": "a panel"})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("panel", id="abcd", outputs=[output])]
    )
    execution._fix_model_ids(notebook)
    assert notebook.cells[0].outputs[0].data[health.WIDGET_VIEW]["model_id"] == "abcd-0"


# --check


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("error", "cell 4: error output ValueError: no"),
        ("stderr", "cell 4: text on stderr: a warning"),
        ("unrun", "cell 4: was not executed"),
        ("state", "stored widget state"),
        ("path", "cell 4: shows a path of one machine: /home/ada"),
        ("slide", "cell 4: metadata differs"),
        ("source", "cell 4: source differs"),
        ("kernel", "notebook metadata differs"),
        ("size", " kB, more than 600"),
        ("cell", "4 cells, the master has 5"),
    ],
)
def test_check_finds_what_is_wrong_says_how_to_mend_it_and_changes_nothing(
    course, runs, capsys, damage, words
):
    build_notebooks.build(course, toy.NAME)
    path = course.paths(toy.NAME)[0]
    path.write_text(nbformat.writes(damaged(read(course), damage)), encoding="utf-8")
    before = files(course)
    assert build_notebooks.main(["--check"], course) == 1
    out = capsys.readouterr().out
    assert words in out
    assert out.startswith("notebooks/01-toy.ipynb: ")
    assert "make notebooks" in out
    assert files(course) == before
    assert len(runs) == 2


def test_check_passes_what_was_just_built(course, runs, capsys):
    build_notebooks.build(course, toy.NAME)
    assert build_notebooks.main(["--check"], course) == 0
    assert capsys.readouterr().out == "1 notebook is what its master says\n"


def test_check_finds_missing_orphaned_and_empty_files(course, runs):
    build_notebooks.build(course, toy.NAME)
    student, solution = course.paths(toy.NAME)
    (course.notebooks / "09-lost.ipynb").write_text("{}", encoding="utf-8")
    empty = read(course, solutions=True)
    empty.cells[1].execution_count = None
    solution.write_text(nbformat.writes(empty), encoding="utf-8")
    student.unlink()
    assert build_notebooks.check(course, [toy.NAME]) == [
        "notebooks/01-toy.ipynb: is missing or cannot be read",
        "notebooks/solutions/01-toy.ipynb: cell 1: was not executed: its outputs are missing",
        "notebooks/09-lost.ipynb: has no master; delete it",
    ]


def test_a_changed_address_makes_every_copy_stale(course, runs):
    build_notebooks.build(course, toy.NAME)
    toy.with_address(course, "grace/compiler")
    assert len(build_notebooks.check(course, [toy.NAME])) == 2


def test_check_starts_no_kernel_and_loads_neither_torch_nor_matplotlib():
    heavy = ["torch", "matplotlib", "nbclient", "coursekit.runtime"]
    code = "import sys, build_notebooks as b; b.main(['--check']); "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(toy.ROOT / "tools")}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert result.stdout.strip().endswith("[]")


def test_built_files_are_plain_json_with_one_newline_at_the_end(course, runs):
    build_notebooks.build(course, toy.NAME)
    for path in course.paths(toy.NAME):
        text = path.read_text(encoding="utf-8")
        assert json.loads(text)["nbformat"] == 4
        assert text.endswith("}\n")
        assert not text.endswith("\n\n")


@pytest.mark.parametrize("text", ["/home/ada/x", "in C:\\Users\\ada", "File /tmp/x.py", "'/root/a'"])
def test_paths_of_a_machine_are_seen(text):
    assert health.MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["https://github.com/home/x", "x/home/y", "1 / 2", "a/b", "and/or", "</div>", "/ 8"]
)
def test_what_only_looks_like_a_path_is_let_through(text):
    assert not health.MACHINE_PATH.search(text)


def test_repository_addresses_come_from_one_setting(course):
    assert generated.repository(course.root).slug == "ada/engine"


def test_the_readmes_table_follows_the_masters(course, runs, capsys):
    readme = course.root / "README.md"
    readme.write_text("Top\n<!-- notebooks -->\n<!-- /notebooks -->\nEnd\n", encoding="utf-8")
    build_notebooks.build(course, toy.NAME)
    assert build_notebooks.check(course, []) == [
        "README.md: its tables of notebooks are not what the masters say"
    ]
    assert build_notebooks.main([], course) == 0
    assert "README.md written" in capsys.readouterr().out
    assert "[Toy](notebooks/01-toy.ipynb) | 5 |" in readme.read_text(encoding="utf-8")
    assert build_notebooks.check(course, [toy.NAME]) == []
