import itertools
import json
import os
import random
import re
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from coursekit import accuracy, runtime, scoreboard, timing

GOOD = {"size_bytes": 70_200, "latency": 23e-6, "accuracy": 0.964, "notebook": "05"}
OTHER = replace(runtime.describe(), cpu="Another CPU", cores=64)
WORKERS, RECORDS, KILLS = 8, 200, 12
WORKER = """
import os, sys
from coursekit import scoreboard
worker, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(first, last):
    scoreboard.record(f"w{worker}-{number}", size_bytes=number + 1, latency=1e-6, accuracy=0.5, notebook=1)
    os.write(1, f"{number}\\n".encode())
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    monkeypatch.setenv("COURSEKIT_DEVICE", "cpu")
    monkeypatch.setattr(scoreboard, "_NOW", scoreboard._Now())
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch):
    """Return a function that records on a machine that is not this one."""

    def record(variant, machine=OTHER, **changes):
        with monkeypatch.context() as patch:
            patch.setattr(runtime, "describe", lambda: machine)
            return scoreboard.record(variant, **{**GOOD, **changes})

    return record


def variants(board):
    return [[entry.variant for entry in group.entries] for group in board.groups]


def test_a_record_carries_machine_versions_device_and_time():
    entry = scoreboard.record("fp32", **GOOD)
    machine = runtime.describe()
    assert (entry.machine, entry.fingerprint) == (machine.label, machine.fingerprint)
    assert entry.versions == dict(machine.versions)
    assert "torch" in entry.versions
    assert entry.device == "cpu"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry.time)
    assert scoreboard.table().here == {"fp32": entry}


def test_a_measurement_and_an_accuracy_bring_their_intervals():
    samples = np.array([1.0, 2.0, 3.0, 4.0, 9.0]) * 1e-3
    answers = accuracy.of([1] * 90 + [0] * 10, [1] * 100)
    entry = scoreboard.record(
        "fp32", **{**GOOD, "latency": FakeMeasurement(samples, 3e-3), "accuracy": answers}
    )
    assert (entry.latency_low, entry.latency, entry.latency_high) == (2e-3, 3e-3, 4e-3)
    assert (entry.accuracy_low, entry.accuracy, entry.accuracy_high) == (answers.low, 0.9, answers.high)
    assert "3.00 ms [2.00 ms, 4.00 ms]" in str(scoreboard.table())
    assert "90.0 % [82.6 %, 94.5 %]" in scoreboard.table()._repr_html_()


@dataclass
class FakeMeasurement:
    samples: np.ndarray
    median: float
    device: str | None = "cpu"


def test_the_newest_record_of_a_variant_replaces_the_older_one_and_the_file_keeps_both(home):
    for size in (100, 300, 200):
        scoreboard.record("fp32", **{**GOOD, "size_bytes": size})
    assert [entry.size_bytes for entry in scoreboard.table().groups[0].entries] == [200]
    lines = (home / "scoreboard.jsonl").read_text().splitlines()
    assert [json.loads(line)["size_bytes"] for line in lines] == [100, 300, 200]


def test_devices_are_kept_apart():
    for device in ("cpu", torch.device("cuda", 0)):
        scoreboard.record("fp32", **GOOD, device=device)
    assert [entry.device for entry in scoreboard.table().groups[0].entries] == ["cpu", "cuda"]


def test_sittings_are_never_ranked_together_and_the_newest_comes_first():
    """A slow sitting, then a quick one of another notebook: the first one's baseline stays with it."""
    for notebook, factor in ((5, 10.0), (7, 1.0)):
        for variant, latency in (("fp32", 2e-3), ("small", 1e-3)):
            scoreboard.record(variant, **{**GOOD, "latency": factor * latency, "notebook": notebook})
    board = scoreboard.table()
    assert variants(board) == [["small", "fp32"], ["small", "fp32"]]
    assert [{entry.notebook for entry in group.entries} for group in board.groups] == [{"07"}, {"05"}]
    assert [group.title[:11] for group in board.groups] == ["notebook 07", "notebook 05"]
    assert str(board).count("two sittings") == board._repr_html_().count("two sittings") == 1
    assert board.here["fp32"].notebook == "07"


def test_a_variant_that_comes_again_begins_a_new_sitting():
    """Run all cells but the last once more: the variant that was not measured again stays behind."""
    for variant in ("fp32", "int8", "pruned", "fp32", "int8"):
        scoreboard.record(variant, **GOOD)
    assert [set(names) for names in variants(scoreboard.table())] == [{"fp32", "int8"}, {"pruned"}]


def test_another_kernel_is_another_sitting(monkeypatch):
    scoreboard.record("fp32", **GOOD)
    monkeypatch.setattr(scoreboard, "_NOW", scoreboard._Now())
    scoreboard.record("int8", **GOOD)
    assert variants(scoreboard.table()) == [["int8"], ["fp32"]]


def test_records_of_an_older_version_are_grouped_by_notebook_and_day(home):
    for variant in ("fp32", "int8", "pruned"):
        scoreboard.record(variant, **GOOD)
    path = home / "scoreboard.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, day in zip(lines, ("01", "01", "02"), strict=True):
        del line["sitting"]
        line["time"] = f"2026-11-{day}T12:00:00+00:00"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [set(names) for names in variants(scoreboard.table())] == [{"pruned"}, {"fp32", "int8"}]


@pytest.mark.parametrize(
    ("latency", "expected"),
    [
        (FakeMeasurement(np.ones(3), 1.0, "cpu"), "cpu"),
        (FakeMeasurement(np.ones(3), 1.0, "cuda:1"), "cuda"),
        (1.0, "cuda"),
        (np.float64(1.0), "cuda"),  # says that it is on the CPU itself
        (torch.tensor(1.0), "cuda"),
    ],
)
def test_by_default_a_record_stands_where_its_measurement_ran(monkeypatch, latency, expected):
    monkeypatch.delenv("COURSEKIT_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert scoreboard.record("fp32", **{**GOOD, "latency": latency}).device == expected
    assert scoreboard.record("fp32", **{**GOOD, "latency": latency}, device="cpu").device == "cpu"


def test_a_real_measurement_on_the_cpu_is_recorded_there(monkeypatch):
    monkeypatch.delenv("COURSEKIT_DEVICE")
    measured = timing.measure(int, min_time=1e-3, device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert scoreboard.record("fp32", **{**GOOD, "latency": measured}).device == "cpu"


@pytest.mark.parametrize("seed", range(5))
def test_machines_are_never_ranked_together_and_each_is_ranked_by_latency(elsewhere, seed):
    rng = random.Random(seed)
    third = replace(OTHER, cpu="A third CPU")
    for number in range(30):
        latency = rng.choice([1e-6, 1e-3, 1.0]) * rng.uniform(1, 9)
        machine = rng.choice([runtime.describe(), OTHER, third])
        elsewhere(f"variant {rng.randrange(6)}", machine, latency=latency, size_bytes=number + 1)
    board = scoreboard.table()
    places = [group.fingerprint for group in board.groups]
    assert places[0] == runtime.describe().fingerprint
    assert [place for place, _ in itertools.groupby(places)] == list(dict.fromkeys(places))
    assert len(set(places)) == 3
    assert all(group.here is (group.fingerprint == places[0]) for group in board.groups)
    for group in board.groups:
        assert {entry.fingerprint for entry in group.entries} == {group.fingerprint}
        assert [e.latency for e in group.entries] == sorted(e.latency for e in group.entries)
    assert str(board).count("variant  ") == board._repr_html_().count("<table>") == len(places)


def test_this_machine_comes_first_and_says_so(elsewhere):
    scoreboard.record("mine", **GOOD)
    elsewhere("theirs", latency=1e-9)
    board = scoreboard.table()
    assert variants(board) == [["mine"], ["theirs"]]
    assert f"this machine: {runtime.describe().label}" in str(board).splitlines()[0]
    assert f"another machine: {OTHER.label}" in str(board)
    assert list(board.here) == ["mine"]


def test_an_empty_board_says_how_to_fill_it():
    board = scoreboard.table()
    assert board.groups == ()
    assert board.here == {}
    for text in (str(board), repr(board), board._repr_html_()):
        assert "scoreboard.record" in text
        assert "notebook 05" in text


def test_clear_keeps_a_backup_and_says_where():
    assert str(scoreboard.clear()) == "The scoreboard was empty already."
    scoreboard.record("fp32", **GOOD)
    cleared = scoreboard.clear()
    assert cleared.records == 1
    assert str(cleared.backup) in repr(cleared)
    assert json.loads(cleared.backup.read_text())["variant"] == "fp32"
    assert scoreboard.table().groups == ()


def test_names_are_escaped_and_results_have_no_dataclass_repr():
    entry = scoreboard.record("<b>&", **GOOD)
    assert "&lt;b&gt;&amp;" in scoreboard.table()._repr_html_()
    assert repr(entry) == "<b>& (cpu): 70.2 kB, 23.0 µs, 96.4 %; recorded from notebook 05"
    assert "Scoreboard(" not in repr(scoreboard.table())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (5, "05"),
        (np.int8(5), "05"),
        ("5", "05"),
        ("05", "05"),
        ("05-pytorch-dynamic-quantization", "05"),
        ("dashboard", "dashboard"),
        ("A", "A"),
        ("my-topic", "my-topic"),
        (" five ", "five"),
        ("100-things", "100-things"),
        ("\N{SUPERSCRIPT TWO}", "\N{SUPERSCRIPT TWO}"),  # a digit to Python, but not a number
    ],
)
def test_notebooks_are_named_by_their_number_or_their_name(given, kept):
    assert scoreboard.record("fp32", **{**GOOD, "notebook": given}).notebook == kept


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"variant": 3}, TypeError, "variant"),
        ({"variant": " "}, ValueError, "variant"),
        ({"variant": "two\nlines"}, ValueError, "variant"),
        ({"variant": "x" * 61}, ValueError, "1 to 60 characters"),
        ({"size_bytes": 0}, ValueError, "size_bytes must be from 1 to"),
        ({"size_bytes": 1.5}, TypeError, "size_bytes must be a whole number"),
        ({"size_bytes": True}, TypeError, "size_bytes"),
        ({"latency": 0}, ValueError, "latency must be more than 0"),
        ({"latency": -1e-3}, ValueError, "latency must be more than 0"),
        ({"latency": float("nan")}, ValueError, "latency must be finite"),
        ({"latency": "fast"}, TypeError, "latency must be a number"),
        ({"latency": FakeMeasurement(np.array([]), 1.0)}, ValueError, "latency.samples is empty"),
        ({"accuracy": 96.4}, ValueError, "from 0 to 1"),
        ({"accuracy": None}, TypeError, "accuracy"),
        ({"accuracy": accuracy.Accuracy(9, 10, 0.9, 0.95, 0.5)}, ValueError, "low <= high"),
        ({"notebook": 0}, ValueError, "notebook"),
        ({"notebook": "00"}, ValueError, "notebook must be from 1 to 99; got 0"),
        ({"notebook": " "}, ValueError, "notebook must be one line"),
        ({"notebook": "two\nlines"}, ValueError, "notebook must be one line"),
        ({"notebook": 5.5}, TypeError, "notebook must be a whole number"),
        ({"size_bytes": 10**400}, ValueError, "size_bytes is too large"),
        ({"size_bytes": 2**63}, ValueError, "size_bytes must be from 1 to"),
        ({"latency": 10**400}, ValueError, "latency is too large for a float"),
        ({"accuracy": 10**400}, ValueError, "accuracy (a fraction) is too large for a float"),
        (
            {"latency": FakeMeasurement(np.array([-1.0, 1.0]), 1.0)},
            ValueError,
            "latency.samples must be more",
        ),
        ({"notebook": None}, TypeError, "notebook"),
        ({"device": "tpu"}, ValueError, "cpu, cuda"),
        (
            {"latency": FakeMeasurement(np.ones(3), 1.0, None)},
            ValueError,
            "device must be 'cpu' or 'cuda' here",
        ),
    ],
)
def test_bad_input_is_refused_by_name_and_nothing_is_written(home, change, error, says):
    with pytest.raises(error, match=re.escape(says)):
        scoreboard.record(**{"variant": "fp32", **GOOD, **change})
    assert not (home / "scoreboard.jsonl").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"latency": "fast"},
        {"latency": -1},
        {"accuracy": 2},
        {"size_bytes": None},
        {"device": 3},
        {"versions": 7},
        {"size_bytes": 10**400},
        {"latency": 10**400},
        {"accuracy_high": 10**400},
        {"size_bytes": 10**4000},
        {"seen": 10**400},
    ],
)
def test_a_line_of_the_wrong_types_is_moved_aside(home, change):
    scoreboard.record("fp32", **GOOD)
    file = home / "scoreboard.jsonl"
    good = file.read_text()
    file.write_text(good + json.dumps({**json.loads(good), **change}) + "\n")
    with pytest.warns(UserWarning, match="1 of its 2 lines"):
        assert variants(scoreboard.table()) == [["fp32"]]
    assert file.read_text() == good


def test_fields_of_a_newer_version_are_not_damage(home):
    scoreboard.record("fp32", **GOOD)
    file = home / "scoreboard.jsonl"
    file.write_text(json.dumps({**json.loads(file.read_text()), "energy": 3}) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert variants(scoreboard.table()) == [["fp32"]]
        scoreboard.record("int8", **GOOD)
    assert '"energy": 3' in file.read_text()


class Worker:
    """A process that records; its output file is the list of what was acknowledged."""

    def __init__(self, number, folder):
        self.number, self.folder, self.lives = number, folder, 0
        self.start()

    def start(self):
        first = len(self.acknowledged())
        self.lives += 1
        with (self.folder / f"{self.number}-{self.lives}.txt").open("wb") as output:
            command = [sys.executable, "-c", WORKER, str(self.number), str(first), str(RECORDS)]
            self.process = subprocess.Popen(command, stdout=output)

    def acknowledged(self):
        files = sorted(self.folder.glob(f"{self.number}-*.txt"), key=lambda path: len(path.name))
        lines = [line for path in files for line in path.read_text().splitlines(keepends=True)]
        return [line for line in lines if line.endswith("\n")]

    def kill(self):
        self.process.kill()
        self.process.wait()


def test_eight_processes_with_random_kills_lose_no_acknowledged_record(home, tmp_path_factory):
    """Start 8 processes with 200 records each, kill one at random 12 times, start another in its place."""
    rng = random.Random(20)
    folder = tmp_path_factory.mktemp("acknowledged")
    workers = [Worker(number, folder) for number in range(WORKERS)]
    for kill in range(KILLS):
        # Waiting for records, not for seconds: the kills fall into the writing on fast and slow machines.
        wanted = (kill + 1) * WORKERS * RECORDS // (KILLS + 4)
        while sum(len(worker.acknowledged()) for worker in workers) < wanted:
            assert any(worker.process.poll() is None for worker in workers)
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.01))
        victim = rng.choice([worker for worker in workers if worker.process.poll() is None] or workers)
        victim.kill()
        victim.start()
    assert [worker.process.wait() for worker in workers] == [0] * WORKERS

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a damaged file would warn
        board = scoreboard.table()
    recorded = [json.loads(line) for line in (home / "scoreboard.jsonl").read_text().splitlines()]
    names = [record["variant"] for record in recorded]
    expected = [f"w{worker}-{number}" for worker in range(WORKERS) for number in range(RECORDS)]
    assert sorted(set(names)) == sorted(expected)
    assert len(names) - len(expected) <= KILLS  # written but killed before it said so, hence written again
    assert set(board.here) == set(expected)
    assert os.listdir(home).count("scoreboard.jsonl") == 1
