import copy
import functools
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from coursekit import data, dynamic, models, runtime, scoreboard, timing, variants
from coursekit.variants import files, shrinking
from coursekit.variants import own as own_room
from coursekit.variants.examples import as_examples
from coursekit.variants.orders import LOG, ORDERS
from coursekit.variants.own import _Recipe
from coursekit.widgets.pareto import pareto

NAMES = tuple(variant.name for variant in variants.VARIANTS)
VARIANT = dict(zip(NAMES, variants.VARIANTS, strict=True))
TEST = data.digits().test


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Build and measure everything once; return the folder with the results, the networks and the table."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_HOME", str(folder))
        done = []
        networks = variants.build(done.append)
        return folder, networks, variants.measure(networks, seconds=0.2), done


@pytest.fixture
def again(finished, home):
    """Give the test a results folder of its own in which everything is there."""
    shutil.copytree(finished[0], home, dirs_exist_ok=True)
    return home


def built():
    return variants.build(lambda fraction: None).built


# Building


def test_everything_is_built_from_nothing_and_progress_is_reported(finished):
    _, networks, _, done = finished
    assert networks.built == tuple(networks) == NAMES
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert len(done) == len(NAMES) + 1


def test_what_is_there_is_not_built_again(again):
    assert built() == ()


def test_the_size_is_what_a_file_on_the_disk_weighs(finished):
    folder, networks, *_ = finished
    kept = folder / variants.folder().name
    sizes = {path.name: path.stat().st_size for path in kept.iterdir()}
    assert networks["baseline"].size_bytes == sizes["baseline.pt"]
    assert networks["pruned"].size_bytes == sizes["pruned.pt"]
    assert networks["onnx-int8"].size_bytes == sizes["baseline-int8.onnx"]
    assert networks["stacked"].size_bytes == sizes["stacked.onnx"]
    assert networks["int8-dynamic"].size_bytes == dynamic.state_dict_size(networks["int8-dynamic"].runner)


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_the_networks_are_their_owners_only(finished):
    kept = finished[0] / variants.folder().name
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}


def test_the_variants_are_what_they_say(finished):
    networks = finished[1]
    shapes = {
        name: [tuple(p.shape) for p in networks[name].runner.parameters()] for name in ("baseline", "pruned")
    }
    assert shapes["baseline"] == [(128, 64), (128,), (10, 128), (10,)]
    assert shapes["pruned"] == [(64, 64), (64,), (10, 64), (10,)]
    x = torch.from_numpy(TEST.x)
    assert np.array_equal(networks["onnx-fp32"].predict(x), networks["baseline"].predict(x))
    assert networks["stacked"].size_bytes < min(
        n.size_bytes for name, n in networks.items() if name != "stacked"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_timed_call_gives_the_answers_that_are_counted(finished, name):
    x = torch.from_numpy(TEST.x[:50])
    answered = finished[1][name].call(x)()
    logits = answered[0] if isinstance(answered, list) else answered.detach().numpy()
    assert np.array_equal(logits.argmax(-1), finished[1][name].predict(x))


def test_a_row_that_the_board_lacks_is_built_and_only_that(again):
    lines = (again / "scoreboard.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["variant"] != "dashboard-pruned"]
    (again / "scoreboard.jsonl").write_text("\n".join(kept) + "\n")
    assert built() == ("pruned",)


@pytest.mark.parametrize(
    ("file", "name"),
    [("pruned.pt", "pruned"), ("stacked.onnx", "stacked"), ("baseline-int8.onnx", "onnx-int8")],
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage", "foreign"])
def test_a_network_that_cannot_be_read_is_built_again(again, file, name, damage):
    path = variants.folder() / file
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"\x80\x02garbage" * 100)
    elif damage == "foreign" and file.endswith(".pt"):
        torch.save(models.mlp((3, 2)).state_dict(), path)
    assert built() == (name,)
    assert path.stat().st_size > 1000
    assert built() == ()


def state_with(value):
    return {**models.mlp().state_dict(), "0.weight": value}


@pytest.mark.parametrize(
    "contents",
    [
        [1, 2],
        torch.zeros(3),
        None,
        {0: torch.zeros(2, 2)},
        state_with(torch.zeros(64)),
        state_with(torch.tensor(1.0)),
        state_with("a weight"),
        state_with(torch.zeros(128, 0)),
    ],
    ids=["list", "tensor", "none", "numbered", "one axis", "no axis", "text", "no inputs"],
)
def test_a_file_with_other_contents_is_built_again(again, contents):
    torch.save(contents, variants.folder() / "pruned.pt")
    assert built() == ("pruned",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    legacy=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=10),
)
def test_no_change_to_a_file_gets_out_as_an_error(home, legacy, changes):
    buffer = io.BytesIO()
    torch.save(models.mlp((64, 2, 10)).state_dict(), buffer, _use_new_zipfile_serialization=not legacy)
    content = bytearray(buffer.getvalue())
    for place, byte in changes:
        content[place % len(content)] = byte
    (variants.folder() / "pruned.pt").write_bytes(content)
    network = files.load(VARIANT["pruned"])
    assert network is None or network.predict(torch.from_numpy(TEST.x[:3])).shape == (3,)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_network_that_cannot_be_kept_leaves_nothing_behind(home, monkeypatch, fails):
    def full(*_):
        raise OSError(28, "No space left on device")

    (variants.folder() / "pruned.pt").write_bytes(b"old")
    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="No space left"):
        files._keep("pruned.pt", models.mlp())
    assert [path.name for path in variants.folder().iterdir()] == ["pruned.pt"]
    assert (variants.folder() / "pruned.pt").read_bytes() == b"old"


def test_a_network_of_nan_is_built_again(again):
    model = models.mlp()
    model[0].weight.data[0, 0] = np.nan
    torch.save(model.state_dict(), variants.folder() / "pruned.pt")
    assert built() == ("pruned",)


def test_without_the_baseline_everything_is_built_anew(again):
    (variants.folder() / "baseline.pt").unlink()
    assert built() == NAMES


def test_records_of_another_machine_count_for_nothing_and_stay_apart(again, monkeypatch):
    elsewhere = replace(runtime.describe(), cpu="another CPU")
    monkeypatch.setattr(runtime, "describe", lambda: elsewhere)
    networks = variants.build(lambda fraction: None)
    assert networks.built == NAMES
    variants.measure(networks, seconds=0.05)
    groups = scoreboard.table().groups
    assert [group.here for group in groups] == [True, False]
    assert {len(group.entries) for group in groups} == {len(NAMES)}


def test_notebooks_records_are_not_replaced(again):
    scoreboard.record("fp32", size_bytes=1, latency=1.0, accuracy=0.5, notebook="05", device="cpu")
    variants.measure(variants.build(lambda fraction: None), seconds=0.05)
    here = scoreboard.table().here
    assert here["fp32"].size_bytes == 1
    assert here["dashboard-baseline"].notebook == "dashboard"
    assert len(here) == len(NAMES) + 1


def test_a_scoreboard_of_garbage_is_kept_aside_and_said(again):
    path = again / "scoreboard.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    garbage = b"\xff\xfe not a record\n" + b"".join(lines[1:])
    path.write_bytes(garbage)
    with pytest.warns(UserWarning, match=r"scoreboard.jsonl was damaged: 1 of its 7 lines"):
        networks = variants.build(lambda fraction: None)
    assert networks.built  # the row whose line is gone
    (aside,) = again.glob("scoreboard.damaged-*")
    assert aside.read_bytes() == garbage
    assert len(scoreboard.table().here) == len(NAMES) - 1


def test_in_a_terminal_the_bar_is_silent(again, capfd):
    assert variants.build().built == ()
    assert capfd.readouterr() == ("", "")


def test_networks_print_as_text_and_unknown_names_are_refused(finished):
    networks = finished[1]
    assert repr(networks) == str(networks)
    assert len(str(networks).splitlines()) == len(NAMES)
    with pytest.raises(ValueError, match="name must be one of"):
        networks["int4"]


# Measuring


def test_one_sitting_holds_every_variant_with_its_intervals(finished):
    table = finished[2]
    assert table.names == NAMES
    for row in table:
        assert row.latency_low <= row.latency <= row.latency_high
        assert row.accuracy.total == len(TEST)
        answers = finished[1][row.name].predict(torch.from_numpy(TEST.x))
        assert row.accuracy.correct == (answers == TEST.y).sum()
    assert (table["baseline"].ratio.low, table["baseline"].ratio.high) == (1.0, 1.0)
    assert table["baseline"].paired.verdict == "same"


def test_the_sitting_stands_on_the_scoreboard(finished, again):
    here = scoreboard.table().here
    for row in finished[2]:
        entry = here[f"dashboard-{row.name}"]
        assert (entry.size_bytes, entry.latency, entry.accuracy) == (
            row.size_bytes,
            row.latency,
            row.accuracy.value,
        )
        assert (entry.notebook, entry.device) == ("dashboard", "cpu")


def test_doubts_about_the_times_stand_below_the_table(finished, monkeypatch):
    compare = timing.compare

    def noisy(*arguments, **options):
        timed = compare(*arguments, **options)
        warnings = {"pruned": ("too noisy to trust: it spans 40 %",)}  # and no other, however busy we are
        measured = {
            name: replace(each, warnings=warnings.get(name, ())) for name, each in timed.measurements.items()
        }
        return replace(timed, measurements=measured)

    monkeypatch.setattr(timing, "compare", noisy)
    table = variants.measure(finished[1], seconds=0.05)
    assert "too noisy to trust: pruned" in table.notes
    assert "too noisy to trust: pruned" in str(table)
    assert "too noisy to trust: pruned" in table._repr_html_()


@pytest.mark.parametrize("networks", [None, {}, {"baseline": torch.nn.ReLU()}])
def test_only_built_networks_are_measured(networks):
    with pytest.raises((TypeError, ValueError), match="networks must"):
        variants.measure(networks)
    assert scoreboard.table().groups == ()


def test_a_baseline_is_needed(finished):
    with pytest.raises(ValueError, match="baseline"):
        variants.measure({"pruned": finished[1]["pruned"]})


def test_decisions_show_this_sittings_evidence(finished):
    table = finished[2]
    rows = variants.decisions(table).rows
    assert len(rows) == len(NAMES) - 1
    smaller = table["baseline"].size_bytes / table["stacked"].size_bytes
    assert float(rows[-1][3].removeprefix("÷ ")) == pytest.approx(smaller, rel=0.05)
    for row, name in zip(rows, NAMES[1:], strict=True):
        assert (row[5] == "no difference shown") == (table[name].paired.verdict == "same")
        assert (row[4] == "same speed") == (table[name].speed == "same")
    assert len(str(variants.decisions(table)).splitlines()) == 3 + len(rows)


# Pipelines


@functools.cache
def some(seeds=(0, 1)):
    return {steps: variants.pipeline(steps, seeds=seeds) for steps in ORDERS if len(steps) < 2}


def test_pipelines_of_one_step_are_the_steps(finished):
    networks, found = finished[1], some()
    assert found["prune",].size_bytes == networks["pruned"].size_bytes
    assert found["distil",].size_bytes == networks["distilled"].size_bytes
    assert found["quantize",].size_bytes == networks["int8-dynamic"].size_bytes
    # Seed 0 of the pipelines is the network of the table.
    for steps, name in ((("prune",), "pruned"), (("distil",), "distilled"), ((), "baseline")):
        assert found[steps].accuracies[0] == finished[2][name].accuracy.value


def test_a_student_knows_nothing_of_its_teachers_size():
    for steps in (("quantize", "distil"), ("prune", "distil")):
        assert variants.pipeline(steps, seeds=[0]).size_bytes == some()["distil",].size_bytes


def test_integers_are_pruned_without_training(monkeypatch):
    stage = shrinking.quantize(shrinking.baseline([3]))
    monkeypatch.setattr(shrinking.pruning, "finetune_many", None)
    pruned = shrinking.prune(stage)
    assert pruned.quantized
    kept = pruned.networks.weights[0][0]
    scale = stage.networks.weights[0].abs().max() / 127.5
    steps = kept / scale
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    rows = {tuple(row) for row in steps.round().int().tolist()}
    integers, _ = dynamic.quantize_weight(stage.networks.weights[0][0])
    assert rows <= {tuple(row) for row in integers.int().tolist()}


def test_all_orders_are_kept_and_read_back(monkeypatch):
    monkeypatch.setattr(shrinking, "EPOCHS", 1)
    monkeypatch.setattr(shrinking, "MORE_EPOCHS", 1)
    done = []
    first = variants.pipelines(done.append, seeds=(0, 1))
    assert len(first) == 16
    assert done[-1] == 1.0
    assert done == sorted(done)
    monkeypatch.setattr(shrinking, "baseline", None)
    second = variants.pipelines(seeds=(0, 1))
    assert str(second) == str(first)
    for order in ORDERS:
        assert np.array_equal(first[order].accuracies, second[order].accuracies)
    with pytest.raises(TypeError, match="NoneType"):
        variants.pipelines(seeds=(0, 2))
    with pytest.raises(TypeError, match="NoneType"):
        variants.pipelines(seeds=(0, 1), again=True)


def test_orders_measured_together_are_those_measured_alone(monkeypatch):
    monkeypatch.setattr(shrinking, "EPOCHS", 2)
    monkeypatch.setattr(shrinking, "MORE_EPOCHS", 2)
    together = variants.pipelines(seeds=(5,))
    for order in (("distil", "prune"), ("quantize", "distil", "prune"), ("prune", "quantize")):
        alone = variants.pipeline(order, seeds=(5,))
        assert alone.size_bytes == together[order].size_bytes
        assert np.array_equal(alone.accuracies, together[order].accuracies)


def test_kept_pipelines_that_are_damaged_are_set_aside(home):
    LOG.path.write_text('{"recipe": 1, "seeds": [0], "results": [{"steps": ["melt"]}]}\n')
    with pytest.warns(UserWarning, match="pipelines.jsonl was damaged"):
        assert LOG.read() == []
    assert list(home.glob("pipelines.damaged-*"))


@pytest.mark.parametrize(
    ("steps", "error"),
    [(["melt"], ValueError), (["prune", "prune"], ValueError), ("prune", TypeError), ([1], TypeError)],
)
def test_impossible_steps_are_refused(steps, error):
    with pytest.raises(error, match="step"):
        variants.pipeline(steps)


def test_no_seeds_are_refused():
    with pytest.raises(ValueError, match="seeds must hold at least one number"):
        variants.pipeline([], seeds=[])


# A network of the reader's


class Reader(nn.Module):
    """Two layers of attention over token ids."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.tokens, self.layers, self.out = (
            nn.Embedding(20, 8),
            nn.TransformerEncoder(layer, 2),
            nn.Linear(8, 3),
        )

    def forward(self, x):
        return self.out(self.layers(self.tokens(x)).mean(1))


PLAN = models.Schedule(epochs=3, lr=1e-2)
Y = torch.arange(150) % 3
RANDOM = torch.Generator().manual_seed(0)
ROWS = torch.randn(150, 5, generator=RANDOM) + Y[:, None]
PICTURES = torch.randn(150, 1, 6, 6, generator=RANDOM) + Y.view(-1, 1, 1, 1)
TOKENS = Y[:, None] * 6 + torch.randint(0, 6, (150, 5), generator=RANDOM)


def split(x, y=Y):
    return x[:100], y[:100], x[100:], y[100:]


def conv():
    parts = (
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    return nn.Sequential(*parts)


def own(kind):
    """Return a trained network of the reader's, its data, a student, and what must be left out."""
    torch.manual_seed(0)
    if kind == "rows":
        return None, split(ROWS), None, set()
    if kind == "tokens":
        student = nn.Sequential(nn.EmbeddingBag(20, 4), nn.Linear(4, 3))
        model, x, missing = Reader(), TOKENS, {"pruned", "stacked"}
    else:
        student = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.ReLU(), nn.Linear(4, 3))
        model, x, missing = conv(), PICTURES, {"pruned"}
    models.fit(model, x[:100], Y[:100], schedule=PLAN)
    return model, split(x), student, missing


@pytest.fixture(scope="module", params=["rows", "pictures", "tokens"])
def mine(request, tmp_path_factory):
    """Build and measure a network of the reader's."""
    model, data, student, missing = own(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_HOME", str(tmp_path_factory.mktemp("mine")))
        done = []
        before = None if model is None else copy.deepcopy(model.state_dict())
        networks = variants.build(done.append, model=model, data=data, student=student, schedule=PLAN)
        table = variants.measure(networks, seconds=0.05)
        board = scoreboard.table().here
        kept = list(runtime.home().iterdir())
    if before is not None:
        assert all(map(torch.equal, before.values(), model.state_dict().values()))
    assert done == sorted(done)
    assert done[-1] == 1.0
    return networks, table, missing, data, board, kept


def test_the_dashboard_runs_on_a_network_and_data_of_ones_own(mine):
    networks, table, missing, (_, _, x, y), *_ = mine
    made = [name for name in NAMES if name not in networks.left_out]
    assert list(networks) == list(table.names) == list(networks.built) == made
    # Whether PyTorch quantizes attention and its exporter knows it, is up to PyTorch.
    assert missing <= set(networks.left_out) <= missing | {"int8-dynamic", "onnx-fp32", "onnx-int8"}
    for row in table:
        runner = networks[row.name].runner
        if isinstance(runner, nn.Module):
            with torch.no_grad():
                answers = runner(x).argmax(1)
            assert row.size_bytes == dynamic.state_dict_size(runner)
        else:
            answers = torch.from_numpy(runner(x.numpy())).argmax(1)
        assert (row.accuracy.correct, row.accuracy.total) == (int((answers == y).sum()), 50)
    assert table["baseline"].accuracy.value > 0.5


def test_what_a_step_cannot_do_is_said_in_one_sentence(mine):
    networks, table, missing, *_ = mine
    for name in missing:
        assert "\n" not in networks.left_out[name]
        assert f"{name} left out: {networks.left_out[name]}" in table.notes
        assert f"{name} left out: " in str(networks)
        assert "left out" in table._repr_html_()


def test_own_networks_mix_neither_with_the_courses_nor_with_each_other(mine):
    networks, table, _, _, board, kept = mine
    assert {path.name for path in kept} == {"scoreboard.jsonl", "scoreboard.lock"}
    names = [network.variant.board for network in networks.values()]
    assert sorted(board) == sorted(names)
    assert not any(name.startswith("dashboard-") for name in names)
    (owner,) = {name.partition("-")[2].partition("-")[0] for name in names}
    assert len(owner) == 8
    assert not scoreboard.table().groups  # this test's own results folder is another one
    with pytest.raises(ValueError, match="networks must be judged on the same data"):
        variants.measure(
            {"baseline": networks["baseline"], "pruned": replace(networks["baseline"], examples=None)}
        )


def test_model_data_student_and_schedule_all_tell_networks_apart():
    def print_of(model=None, data=None, student=None, plan=PLAN):
        examples = variants.Examples(*(split(ROWS) if data is None else data))
        whole = model or nn.Sequential(nn.Flatten(), models.mlp((5, 4, 3)))
        return _Recipe(whole, examples, student, plan).fingerprint()

    other = ROWS.clone()
    other[120, 2] += 1e-6
    wider, dropped = (nn.Sequential(nn.Flatten(), part, models.mlp((5, 4, 3), seed)) for part, seed in LIKE)
    found = {
        print_of(),
        print_of(model=wider),
        print_of(model=dropped),
        print_of(data=split(other)),
        print_of(data=split(ROWS, (Y + 1) % 3)),
        print_of(student=models.mlp((5, 2, 3))),
        print_of(student=models.mlp((5, 2, 3), 1)),
        print_of(plan=replace(PLAN, epochs=4)),
    }
    assert len(found) == 8
    assert print_of() == print_of()


LIKE = ((nn.Identity(), 1), (nn.Dropout(0.1), 0))


def test_the_panel_and_the_rules_take_such_a_sitting(mine):
    table = mine[1]
    limits = variants.Budget("my robot", 1e5, 1.0, 0.3)
    panel = pareto(table, limits)
    shown = panel.values
    assert shown["limits"] == limits
    assert shown["verdicts"] == {row.name: limits.verdict(row) for row in table}
    assert "one example" in panel.view.alt
    assert pareto(table).values["front"] == variants.front(table)
    rules = variants.decisions(table)
    assert len(rules.rows) == len(table) - 1
    assert table.about in rules.title
    assert "9,610" not in str(rules)
    assert "one example per call" in str(table)


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ({}, True),
        ({"size_bytes": 10}, False),
        ({"seconds": 1e-9}, False),
        ({"accuracy": 1.0}, False),
        ({"portable": True}, False),
        ({"portable": np.bool_(True)}, False),
        ({"size_bytes": 10**9, "seconds": 10, "accuracy": 0.0}, True),
    ],
)
def test_a_budget_of_ones_own_judges_as_it_says(finished, limits, fits):
    row = finished[2]["baseline"]
    assert (variants.Budget("mine", **limits).verdict(row) == "fits") == fits


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "name must be one line of text"),
        ({"size_bytes": 0}, "size_bytes must be more than 0"),
        ({"seconds": -1}, "seconds must be more than 0"),
        ({"accuracy": 93}, "accuracy .* must be from 0 to 1; got 93"),
        ({"portable": "no"}, "portable must be True or False; got 'no'"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(change, says):
    with pytest.raises((TypeError, ValueError), match=says):
        variants.Budget(**({"name": "mine"} | change))


SOME = split(ROWS)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"data": 3}, r"data must be \(x_train, y_train, x_test, y_test\), or have .train.*got int"),
        ({"data": SOME[:3]}, "data must be .*got 3 parts"),
        ({"data": {"x_train": ROWS}}, "missing: y_train, x_test, y_test"),
        ({"data": (*SOME[:3], SOME[3][:9])}, "x_test and y_test must be equally long; got 50 and 9"),
        ({"data": (SOME[0], SOME[1], TOKENS[100:], SOME[3])}, "one shape and type; got float32 .* int64"),
        ({"data": (SOME[0], -SOME[1], *SOME[2:])}, "y_train must hold class numbers from 0 on; got -2"),
        ({"data": (SOME[0], ["a"] * 100, *SOME[2:])}, "y_train must be an array of numbers"),
        ({"data": split(PICTURES)}, r"model is needed for examples of shape \(1, 6, 6\)"),
        ({"model": "mlp"}, "model must be an nn.Module; got str"),
        ({"model": nn.Linear}, "model must be an nn.Module; got the class Linear"),
        ({"model": models.mlp((5, 3))}, "x must have 5 features per row"),  # of the digits
        ({"model": models.mlp((5, 2)), "data": SOME}, "a logit for each of the 3 classes; got 2"),
        ({"model": nn.Sequential(nn.Linear(5, 3), nn.Softmax(1)), "data": SOME}, "it ends in Softmax"),
        ({"model": models.mlp((5, 3)), "data": SOME, "student": 3}, "student must be an nn.Module; got int"),
        ({"data": SOME, "schedule": 3}, "schedule must be a models.Schedule; got int"),
        ({"student": models.mlp()}, "student and schedule belong to a model or data of your own"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_built(how, says, monkeypatch):
    monkeypatch.setattr(models, "fit", None)
    with pytest.raises((TypeError, ValueError), match=says) as error:
        variants.build(lambda fraction: None, **how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "form",
    [
        tuple,
        lambda parts: dict(zip(("x_train", "y_train", "x_test", "y_test"), parts, strict=True)),
        lambda parts: SimpleNamespace(
            train=SimpleNamespace(x=parts[0], y=parts[1]), test=SimpleNamespace(x=parts[2], y=parts[3])
        ),
        lambda parts: variants.Examples(*parts),
        lambda parts: [part.tolist() for part in parts],
        lambda parts: [part.numpy().astype(float) for part in parts],
    ],
)
def test_data_come_in_any_form(form):
    given = as_examples(form(SOME))
    assert np.allclose(given.x_train, SOME[0])
    assert np.array_equal(given.y_test, SOME[3])
    assert (given.classes, given.shape, given.x_train.dtype) == (3, (5,), np.float32)
    assert as_examples(form(split(TOKENS))).shape == (5,)


def test_the_digits_serve_a_model_without_data():
    model = nn.Sequential(nn.Linear(64, 10))
    given = as_examples(data.digits())
    networks = variants.build(lambda fraction: None, model=model, schedule=models.Schedule(epochs=1))
    assert networks["baseline"].examples.digest() == given.digest()
    assert set(networks.left_out) == {"distilled", "stacked"}
    assert variants.measure(networks, seconds=0.02)["baseline"].accuracy.total == len(TEST)


def quietly(**how):
    return variants.build(lambda fraction: None, **{"schedule": PLAN} | how)


ONE_LOGIT = (Y > 0).long()


@pytest.mark.parametrize(
    ("widths", "labels", "student", "says"),
    [
        ((5, 4, 3), Y, nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)), "logits"),
        ((5, 4, 2), ONE_LOGIT, nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), "student's 3 cl"),
        ((5, 4, 1), ONE_LOGIT, None, "logits of at least 2 classes; got 1"),
    ],
)
def test_nothing_is_stacked_on_a_student_that_learned_nothing(widths, labels, student, says):
    model = models.mlp(widths)
    models.fit(model, ROWS[:100], labels[:100], schedule=PLAN)
    networks = quietly(model=model, data=split(ROWS, labels), student=student)
    assert set(networks.left_out) == {"distilled", "stacked"}
    assert says in networks.left_out["distilled"]
    assert networks.left_out["stacked"] == "it starts from the distilled one, which was left out"


def test_nothing_is_stacked_on_a_student_that_gives_no_scores(monkeypatch):
    def spoil(student, *_, **__):
        with torch.no_grad():
            student[-1].bias.fill_(torch.nan)

    monkeypatch.setattr(own_room.distillation, "distil", spoil)
    networks = quietly(data=SOME)
    assert "NaN" in networks.left_out["distilled"]
    assert networks.left_out["stacked"] == "it starts from the distilled one, which was left out"


LEVELS = (ROWS * 20).round().clamp(-100, 100)
PIXELS = (PICTURES * 30 + 100).clamp(0, 255).to(torch.uint8)


def test_whole_numbers_are_what_each_network_takes_them_for():
    model = conv()
    models.fit(model, PIXELS[:100], Y[:100], schedule=PLAN)
    student = nn.Sequential(nn.Flatten(), nn.EmbeddingBag(256, 4), nn.Linear(4, 3))
    networks = quietly(model=model, data=split(PIXELS), student=student)
    assert set(networks.left_out) <= {"pruned", "stacked", "onnx-int8"}
    table = variants.measure(networks, seconds=0.02)
    for name, taken in (("baseline", PIXELS.float()), ("distilled", PIXELS.long())):
        with torch.no_grad():
            answers = networks[name].runner(taken[100:]).argmax(1)
        assert table[name].accuracy.correct == int((answers == Y[100:]).sum())
    assert networks["onnx-fp32"].runner.inputs[0][1] == "float32"


@pytest.mark.parametrize("kind", [np.int64, np.int16])
def test_rows_of_whole_numbers_need_no_model(kind):
    networks = quietly(data=split(LEVELS.numpy().astype(kind)))
    assert not networks.left_out
    assert variants.measure(networks, seconds=0.02)["baseline"].accuracy.total == 50


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("x", [ROWS, LEVELS.long()], ids=["floats", "whole numbers"])
def test_a_network_of_other_floats_is_given_such(dtype, x):
    model = models.mlp((5, 8, 3))
    models.fit(model, ROWS[:100], Y[:100], schedule=PLAN)
    networks = quietly(model=model.to(dtype), data=split(x))
    assert {"baseline", "distilled", "stacked"} <= set(networks)
    assert networks["baseline"].runner[0].weight.dtype == dtype
    table = variants.measure(networks, seconds=0.02)
    with torch.no_grad():
        answers = model(x[100:].to(dtype)).argmax(1)
    assert table["baseline"].accuracy.correct == int((answers == Y[100:]).sum())


def test_a_full_disk_is_not_a_reason_to_leave_a_row_out(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own_room.onnx_models, "export", full)
    with pytest.raises(OSError, match="No space left"):
        variants.build(lambda fraction: None, data=SOME, schedule=PLAN)


# The bar


def test_in_a_notebook_the_bar_grows_in_place_and_leaves_a_sentence():
    code = """
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(); shell.kernel = object()
shell.display_pub = CapturingDisplayPublisher(shell=shell)
from coursekit._core.progress import Bar
bar = Bar("a < b"); bar(0.25); bar(2.0); bar.end("done <b>")
for output in shell.display_pub.outputs:
    print(output.get("update", False), output["data"]["text/plain"], "|", output["data"]["text/html"])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert [line.split(" | ")[0] for line in lines] == [
        "False a < b: 25 %",
        "True a < b: 100 %",
        "True done <b>",
    ]
    assert 'value="25"' in lines[0]
    assert "a &lt; b" in lines[0]
    assert "done &lt;b&gt;" in lines[2]
    assert "progress" not in lines[2]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "odd", [None, "3", b"3", np.nan, 0, -1, True, np.ones((2, 3)), np.ma.masked, torch.eye(2).to_sparse()]
)
def test_a_budgets_limits_are_single_numbers_above_0(odd):
    for name in ("size_bytes", "seconds"):
        with pytest.raises((TypeError, ValueError), match=rf"^{name} must be") as refused:
            variants.Budget("a drawer", **{name: odd})
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("form", [np.int32, np.uint8, np.array, torch.tensor])
def test_a_budget_keeps_pythons_numbers_and_says_the_same_whatever_their_form(form):
    made = variants.Budget("a drawer", size_bytes=form(100), seconds=form(1))
    assert made == variants.Budget("a drawer", size_bytes=100, seconds=1)
    assert type(made.size_bytes) is type(made.seconds) is float
    assert variants.Budget("no end", size_bytes=np.float32(np.inf)).size_bytes == np.inf


@pytest.mark.parametrize("odd", [None, 3, np.ones(2), torch.ones(2, 2), b"a"])
def test_a_sitting_and_a_budget_are_named_by_text(odd):
    row = kept_row()
    for name in ("machine", "about", "unit"):
        with pytest.raises(TypeError, match=rf"^{name} must be text; got"):
            variants.Sitting(**{"rows": (row,), "machine": "here", name: odd})
    with pytest.raises(TypeError, match=r"notes must be"):
        variants.Sitting((row,), "here", notes=odd if odd is not None else 3)
    with pytest.raises(TypeError, match=r"^name must be text; got"):
        variants.Budget(odd)


@pytest.mark.parametrize("odd", [None, 3, [], [3], torch.tensor(3), np.zeros((0, 3)), "rows"])
def test_a_sitting_holds_rows(odd):
    with pytest.raises((TypeError, ValueError), match=r"\brows must\b") as refused:
        variants.Sitting(odd, "here")
    assert "\n" not in str(refused.value)


def kept_row():
    right = np.array([1, 1, 0, 1])
    from coursekit import accuracy

    of, paired = accuracy.of(right, right), accuracy.mcnemar(right, right, right)
    one = timing.Ratio(1.0, 1.0, 1.0)
    return variants.Row("baseline", 1000, 1e-5, 9e-6, 1.1e-5, one, "same", of, paired, False)


def test_costs_are_two_lists_of_equally_many_numbers():
    assert variants.dominates(np.array([1, 2]), torch.tensor([1.0, 3.0]))
    assert not variants.dominates([1, 2], [1, 2])
    for a, b in (([1], [1, 2]), ([1, 2], [1])):
        with pytest.raises(ValueError, match="a and b must be equally long; got"):
            variants.dominates(a, b)
    for odd in (None, 3, "12", [None], [np.nan], {1: 2}, torch.tensor(3)):
        with pytest.raises((TypeError, ValueError), match=r"\ba must\b"):
            variants.dominates(odd, [1, 2])
        with pytest.raises((TypeError, ValueError), match=r"\bb must\b"):
            variants.dominates([1, 2], odd)


def test_the_front_of_no_rows_still_looks_at_the_accuracy():
    for odd in (b"3", None, "x", 2, np.nan):
        with pytest.raises((TypeError, ValueError), match=r"^accuracy must be"):
            variants.front([], odd)
    for odd in (np.array(3), torch.tensor(3), [np.nan], 3):
        with pytest.raises((TypeError, ValueError), match=r"\brows must be\b"):
            variants.front(odd)
    assert variants.front([], 0.5) == ()


@pytest.mark.parametrize("odd", [None, 3, "one\ntwo " * 200, torch.eye(2).to_sparse(), np.array(3), [None]])
def test_steps_are_a_list_of_steps(odd):
    with pytest.raises((TypeError, ValueError), match=r"\bsteps must be\b") as refused:
        variants.pipeline(odd)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("odd", [0, 3, "text", [None], np.ones(2), torch.ones(2, 2)])
def test_progress_is_something_to_call_and_again_a_bool(odd):
    for call in (lambda: variants.pipelines(odd), lambda: variants.build(odd)):
        with pytest.raises(TypeError, match=r"^progress must be callable"):
            call()
    with pytest.raises(TypeError, match=r"^again must be True or False"):
        variants.pipelines(again=odd)


def test_a_model_that_does_not_take_the_data_is_told_so():
    with pytest.raises(ValueError, match=r"^model and data must fit together: x must have 2 features"):
        variants.build(model=nn.Linear(2, 2))
