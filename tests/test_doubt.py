"""The tool that changes a notebook as a sceptic would and judges what it says then, on small masters."""

import inspect
import textwrap

import doubt
import nbformat
import numpy as np
import pytest
import torch
from build_notebooks import Course
from sceptic import changes, inside, judging, running

from coursekit import data, distillation, models, pruning
from coursekit.claims import rules

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 20 A toy
#
# Time: about 5 minutes.

# %%
import torch
from torch import nn

from coursekit import claims, data, exercises, models, plots, runtime

runtime.start()

# %%
"""


@pytest.fixture
def master(tmp_path):
    def write(*cells):
        (tmp_path / "source").mkdir(exist_ok=True)
        path = tmp_path / "source" / "20-toy.py"
        path.write_text(HEADER + "\n\n# %%\n".join(textwrap.dedent(cell).strip() for cell in cells) + "\n")
        return path

    return write


def change(name):
    return next(each for each in changes.CHANGES if each.name == name)


def doubted(path, *names):
    return [running.run(path, change(name)) for name in names]


def test_a_notebook_that_follows_its_data_is_not_contradicted(master, capsys):
    path = master(
        """
        network = models.mlp((64, 128, 10))
        print(sum(p.numel() for p in network.parameters()), "parameters of a network")
        """,
        """
        picture, ax = plots.style.axes(alt="A line.")
        ax.set_title("accuracy against bits")
        picture
        """,
        'claims.table(claims.show("02-mlp", measured=9610 + 0 * len(network)), title="Cards quote")',
    )
    assert doubt.main(["--folder", str(path.parent.parent), "--changes", "12 hidden neurons"]) == 0
    assert "0 contradictions." in capsys.readouterr().out


def test_what_a_changed_run_denies_is_found_with_its_cell(master, capsys):
    path = master(
        "digits = data.digits()\nnetwork = models.mlp((64, 128, 10))",
        "[n for n in digits.train.y if n > 1][0]",
        'print("typed", 64 * 128 + 128 * 10, "counted", network[0].weight.numel() + len(digits.test))',
        "print(4096 * 11008)",
        'claims.show("05-error-bound", measured=0.7)',
        'exercises.check("01-first-missing", 5)',
        'ax = plots.style.axes(alt="A line.")[1]\nax.set_title("Flat, then a cliff")',
    )
    names = ["two classes", "12 hidden neurons"]
    assert doubt.main(["--folder", str(path.parent.parent), "--changes", *names]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("20-toy")]
    start, always = "20-toy, two classes,", "20-toy, every change,"
    assert [line for line in lines if line.startswith("20-toy, read")] == [
        "20-toy, read, cell 7: title asserts: Flat, then a cliff"
    ]
    assert [line for line in lines if line.startswith(always)] == [
        f"{always} cell 3: number stays: 9472 in: typed # counted #"
    ]
    assert any(line.startswith(f"{start} cell 2: error: IndexError") for line in lines)
    assert any(line.startswith(f"{start} its claims: claim: 05-error-bound") for line in lines)
    assert any(line.startswith(f"{start} cell 6: right answer refused") for line in lines)
    assert len(lines) == 2 + 2 * 3 - 1  # with 12 neurons the network errs no more than it did


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("12 hidden neurons", "models.mlp((64, 128, 10))", "models.mlp((64, 12, 10))"),
        (
            "512 hidden neurons",
            "nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)",
            "nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10)",
        ),
        ("one more layer", "models.fit_many((64, 128, 10), x)", "models.fit_many((64, 128, 96, 10), x)"),
        ("one more layer", "models.mlp((64, 256, 10))", "inside.deeper(256)"),
        ("one more layer", "a, b, c = (64, 128, 10)", "a, b, c = (64, 128, 10)"),
        ("one more layer", "sizes = (64, 128, 10)", "sizes = (64, 128, 96, 10)"),
        ("other seeds", "seeds, n = range(20), 3", "seeds, n = range(500, 520), 3"),
        ("other seeds", "arrivals(rate, seed=4)", "arrivals(rate, seed=504)"),
        ("twice the epochs", "fit(model, x, y, epochs=30)", "fit(model, x, y, epochs=60)"),
        ("two threads", "torch.set_num_threads(1)", "torch.set_num_threads(2)"),
        ("another text", 'language.text("evaluation")[:9]', 'language.text("code")[:9]'),
        ("another text", 'windows(model, n, text="evaluation")', 'windows(model, n, text="code")'),
        ("other seeds", "language.with_outliers(ours)", "language.with_outliers(ours, seed=500)"),
        ("other windows", "encode(language.text(text)), n", "encode(language.text(text)[14_000:]), n"),
        (
            "other windows",
            "text[:12_000], range(0, 4200, 350)",
            "text[40_000:52_000], range(9000, 13200, 350)",
        ),
    ],
)
def test_a_change_edits_what_a_reader_would_edit(name, before, after):
    assert change(name).edit(before) == after


@pytest.fixture
def untouched(monkeypatch):
    """Put back what a change replaces in this process."""
    for module, names in ((data, data.__all__), (models, models.__all__), (pruning, pruning.__all__)):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(data, "SPLIT_SEED", data.SPLIT_SEED)
    for name in distillation.__all__:
        monkeypatch.setattr(distillation, name, getattr(distillation, name))


@pytest.mark.usefixtures("untouched")
def test_shuffled_labels_keep_their_counts_and_lose_their_pictures():
    before = data.digits()
    inside.shuffled_labels()
    after = data.digits()
    assert np.array_equal(before.test.x, after.test.x)
    assert np.array_equal(np.sort(before.test.y), np.sort(after.test.y))
    assert np.mean(before.test.y == after.test.y) < 0.2
    assert data.messages(50).texts  # shuffled, too, and still messages


@pytest.mark.usefixtures("untouched")
def test_two_classes_leave_two_labels():
    inside.two_classes()
    assert set(data.digits().train.y.tolist()) == {0, 1}


@pytest.mark.usefixtures("untouched")
def test_another_split_has_other_test_pictures():
    before = data.digits().test.x
    inside.another_split()
    assert not np.array_equal(before, data.digits().test.x)


@pytest.mark.usefixtures("untouched")
def test_other_seeds_and_more_epochs_reach_what_the_cells_call():
    train = data.digits().train
    plain = models.mlp((64, 8, 10))
    short = len(models.fit(plain, train.x, train.y, epochs=1).losses)
    inside.other_seeds()
    inside.twice_the_epochs()
    other = models.mlp((64, 8, 10))
    assert not torch.equal(plain[0].weight, other[0].weight)
    default = inspect.signature(models.fit).parameters["epochs"].default
    assert len(models.fit(other, train.x, train.y).losses) == 2 * default * short
    assert len(models.fit(other, train.x, train.y, epochs=1).losses) == short


def test_titles_that_state_a_finding_are_found_and_neutral_ones_are_not():
    source = """
    ax.set_title("Flat, then a cliff")
    ax.set_title(f"{n} stay the same")
    plots.lines(ax, title="accuracy against bits per weight")
    plots.lines(ax, title="No difference at all")
    plots.lines(ax, title="How large is each file?")
    """
    assert judging.assertions(textwrap.dedent(source)) == ["Flat, then a cliff", "No difference at all"]


def test_no_master_has_a_title_that_states_a_finding():
    found = [str(each) for master in Course().masters().values() for each in judging.literal_titles(master)]
    assert found == []


def test_each_condition_that_a_claim_may_name_is_broken_by_a_change():
    broken = {name for change in changes.CHANGES for name in change.breaks}
    assert broken == set(rules.CONDITIONS)
    named = {change.name for change in changes.CHANGES if "split" in change.breaks}
    assert named == {"another split"}
    (everything,) = changes.SHORT
    assert everything.breaks == {name for name in rules.CONDITIONS if name != "classes"}


def test_a_solution_that_counts_as_not_tried_is_found(master):
    (run,) = doubted(master('exercises.check("01-first-missing", ...)'), "as it stands")
    assert [finding.kind for finding in judging.judge(run)] == ["right answer refused"]


def test_a_cell_without_an_end_is_a_finding_and_not_the_end(master, monkeypatch):
    monkeypatch.setattr(running, "CELL_TIMEOUT", 15)  # its set-up cell needs some
    path = master("import time\ntime.sleep(600)", 'claims.show("05-error-bound", measured=0.7)')
    (run,) = doubted(path, "as it stands")
    found = {(finding.cell, finding.kind) for finding in judging.judge(run)}
    assert found == {(1, "error"), (-1, "claim")}
    assert run.seconds < 300


def printed(*lines):
    output = nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines))
    return nbformat.v4.new_code_cell("print()", outputs=[output])


@pytest.mark.parametrize(
    ("notebook", "stays"),
    [
        ("05-pytorch-dynamic-quantization", ["parameters 9,472", "rows 4,000"]),
        ("07-pruning-basics", ["rows 4,000"]),
    ],
)
def test_a_year_is_no_size_and_some_networks_are_a_cells_own(notebook, stays):
    cells = (printed(), printed("parameters 9,472", "rows 4,000", "made 2026-11-30"))
    runs = [
        running.Run(notebook, change(f"{width} hidden neurons"), cells, frozenset({1}), {}, 0.0)
        for width in (12, 32)
    ]
    found = [finding.text for finding in judging.typed_numbers(runs)]
    assert found == [f"{line.split()[1]} in: {line.split()[0]} #" for line in reversed(stays)]
