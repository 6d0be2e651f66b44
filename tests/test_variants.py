import functools
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coursekit import data, dynamic, models, runtime, scoreboard, timing, variants
from coursekit.variants import files, shrinking
from coursekit.variants.orders import LOG, ORDERS

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


@pytest.mark.parametrize("fails", ["write_bytes", "replace"])
def test_a_network_that_cannot_be_kept_leaves_nothing_behind(home, monkeypatch, fails):
    def full(*_):
        raise OSError(28, "No space left on device")

    (variants.folder() / "pruned.pt").write_bytes(b"old")
    monkeypatch.setattr(*((Path, fails) if fails == "write_bytes" else (os, fails)), full)
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
    with pytest.raises(ValueError, match="seeds is empty"):
        variants.pipeline([], seeds=[])


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
