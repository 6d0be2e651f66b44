"""Runtimes: each is found or asked for in one line, and answers as the network itself does."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from coursekit import data, deployment, models, onnx_models
from coursekit.deployment import programs, runtimes, surveying

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network():
    return models.mlp((64, 16, 10))


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("deployment") / "model.onnx"
    onnx_models.export(network, path, torch.zeros(2, 64))
    return path


@pytest.fixture(scope="module")
def x():
    return data.digits().test.x[:40]


@pytest.fixture(scope="module")
def labels(network, x):
    with torch.no_grad():
        return network(torch.from_numpy(x.copy())).argmax(1).numpy()


def found():
    """Return what is here; a runtime that is not is asked for elsewhere, and is no reason to skip."""
    names = []
    for name in deployment.RUNTIMES:
        with contextlib.suppress(ImportError):
            names.append(deployment.find(name).name)
    return names


FOUND = found()


@pytest.mark.parametrize("name", FOUND)
def test_a_runtime_answers_as_the_network_does(name, network, file, x, labels, tmp_path):
    runtime = deployment.find(name)
    if runtime.suffix != ".onnx":
        file = deployment.convert(network, tmp_path, runtime, x)["FP32"]
    with runtime.open(file, x) as program:
        assert program.labels.tolist() == labels.tolist()
        assert program.start_seconds > program.seconds(10) > 0
    assert program._process.poll() is not None


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ONNX Runtime", "pip install"),
        ("OpenVINO", "pip install --no-deps openvino"),
        ("ExecuTorch", "pip install --no-deps executorch"),
        ("LiteRT", "pip install litert-torch"),
        ("Node", "https://nodejs.org"),
        ("C", "apt install gcc"),
        ("TensorRT", "pip install onnxruntime-gpu"),
    ],
)
def test_what_is_absent_says_in_one_line_how_to_get_it(name, remedy, monkeypatch):
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda package: None)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(ImportError, match=remedy) as error:
        deployment.find(name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_a_wheel_without_its_library_is_said(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: "/usr/bin/cc")
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ImportError, match="library"):
        deployment.find("C")


def test_packages_of_npm_are_found_here_above_and_at_home(tmp_path, monkeypatch):
    below, home = tmp_path / "a" / "b", tmp_path / "home"
    for folder in (below, home):
        folder.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.setenv("COURSEKIT_HOME", str(home))
    with pytest.raises(ImportError, match="npm install --ignore-scripts some-thing@") as error:
        deployment.node_package("some-thing")
    assert "\n" not in str(error.value)
    for place in (home, tmp_path, below):  # each is nearer than the one before
        package = place / "node_modules" / "some-thing"
        package.mkdir(parents=True)
        (package / "package.json").write_text("{}")
        assert deployment.node_package("some-thing") == package


def test_a_file_of_another_kind_and_pictures_of_another_shape_are_refused(file, x, tmp_path):
    runtime = deployment.find("ONNX Runtime")
    other = tmp_path / "model.tflite"
    other.write_bytes(b"x")
    for path, pictures, kind, said in (
        (tmp_path / "none.onnx", x, FileNotFoundError, "no file"),
        (other, x, ValueError, "must end in .onnx"),
        (file, x[:, :10], ValueError, r"\[n, 64\]"),
        (file, x[:0], ValueError, "empty"),
        (3, x, TypeError, "path"),
    ):
        with pytest.raises(kind, match=said):
            runtime.open(path, pictures)


def test_a_program_that_fails_says_why_and_leaves_nothing(tmp_path, x):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no network")
    with pytest.raises(RuntimeError, match="gave no answer") as error:
        deployment.find("ONNX Runtime").open(damaged, x)
    assert "\n" not in str(error.value)


def test_a_program_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(programs, "SECONDS", 0.3)
    with pytest.raises(RuntimeError, match="no answer"):
        deployment.Program([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(RuntimeError, match="does not start"):
        deployment.Program(["no-such-program"])


def test_a_program_that_answers_in_words_is_named():
    code = "print('0 words', flush=True); print('zero one', flush=True); import time; time.sleep(60)"
    with pytest.raises(RuntimeError, match="answered 'zero' in place of a number"):
        deployment.Program([sys.executable, "-c", code])


# What stands for onnxruntime-node: its networks see the digit that stands first in a picture.
NODE_PACKAGE = """
class Tensor { constructor(type, data) { this.data = data; } }
const run = async ({ x }) => ({ y: { data: Array.from({ length: 10 }, (_, n) => +(n === x.data[0])) } });
const create = async () => ({ inputNames: ["x"], outputNames: ["y"], run });
module.exports = { Tensor, InferenceSession: { create } };
"""


@pytest.mark.parametrize("node", [*filter(None, [shutil.which("node")])])
@pytest.mark.parametrize("forced", ["0", "1"])
def test_the_program_for_node_answers_in_plain_numbers_in_a_notebook_too(node, forced, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", forced)  # as Jupyter's kernels do: then Node colours numbers
    package = tmp_path / "onnxruntime-node"
    package.mkdir()
    (package / "package.json").write_text('{"version": "0.1", "main": "index.js"}')
    (package / "index.js").write_text(NODE_PACKAGE)
    pictures = np.zeros((3, 64), np.float32)
    pictures[:, 0] = digits = [7, 0, 4]
    pictures.tofile(tmp_path / "x.f32")
    command = [node, str(runtimes.HERE / "answering.cjs"), str(package), "a.onnx", str(tmp_path / "x.f32")]
    with deployment.Program(command) as program:
        assert program.version == "onnxruntime-node 0.1"
        assert program.labels.tolist() == digits
        assert 0 < program.seconds(10) < program.start_seconds


def test_the_program_in_c_is_short_and_needs_no_header():
    lines = deployment.c_source().splitlines()
    assert len(lines) <= 60
    assert not [line for line in lines if line.startswith("#include") and "onnx" in line]


@pytest.mark.parametrize("compiler", [*filter(None, [shutil.which("cc")])])
def test_the_program_in_c_has_no_warning(compiler, tmp_path):
    command = [compiler, "-std=gnu11", "-Wall", "-Wextra", "-Wno-pedantic", "-c", "-o", str(tmp_path / "d.o")]
    done = subprocess.run(
        [*command, str(runtimes.HERE / "digits.c")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_make_installs_the_version_that_the_advice_names():
    wanted = re.search(r"^NPM = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()
    assert {f"npm install --ignore-scripts {each}" for each in wanted} == {
        runtimes.NPM.format(name=name) for name in (runtimes.NODE, runtimes.WEB)
    }
    site = (ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8")
    assert wanted[0] in site


# Surveys


def test_a_survey_has_a_row_for_each_file(file, x, labels, monkeypatch):
    monkeypatch.setattr(surveying, "ROUNDS", 3)
    wrong = labels.copy()
    wrong[0] = (wrong[0] + 1) % 10
    found = deployment.survey({"ONNX Runtime": {"FP32": file, "again": file}}, x, wrong)
    assert [(row.numbers, row.same, row.asked) for row in found.rows] == [("FP32", 39, 40), ("again", 39, 40)]
    row = found.row("ONNX Runtime", "again")
    assert row.file_bytes == file.stat().st_size
    assert row.low <= row.latency <= row.high < row.start
    assert found.row("C") is None
    assert "39 of 40" in str(found)


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        ({}, TypeError, "files must map"),
        ({"C": {}}, TypeError, "must map numbers"),
        ({"Fortran": {"FP32": "a.onnx"}}, ValueError, "name must be one of"),
        (["C"], TypeError, "files must map"),
    ],
)
def test_a_survey_refuses_what_is_no_mapping_of_files(files, kind, said, x, labels):
    with pytest.raises(kind, match=said):
        deployment.survey(files, x, labels)


def test_a_program_takes_a_number_of_calls_while_it_is_open(file, x):
    program = deployment.find("ONNX Runtime").open(file, x)
    for calls, kind in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("x", TypeError)):
        with pytest.raises(kind, match="calls"):
            program.seconds(calls)
    assert program.seconds(2) > 0
    program.close()
    with pytest.raises(RuntimeError, match="was closed"):
        program.seconds(2)


def test_a_survey_wants_labels_that_are_numbers(file, x, labels):
    with pytest.raises(ValueError, match="expected must be finite"):
        deployment.survey({"ONNX Runtime": {"FP32": file}}, x, [np.nan, *labels[1:]])


def test_a_survey_wants_a_label_for_each_picture(file, x, labels):
    with pytest.raises(ValueError, match="40 labels"):
        deployment.survey({"ONNX Runtime": {"FP32": file}}, x, labels[:5])


def test_only_formats_of_their_own_are_converted(network, x, tmp_path):
    with pytest.raises(ValueError, match="reads the .onnx file"):
        deployment.convert(network, tmp_path, deployment.find("ONNX Runtime"), x)


# What is recorded


def test_what_was_recorded_agrees_with_the_network():
    found = deployment.recorded()
    assert found.machine
    assert {row.runtime for row in found.rows} >= {
        "ONNX Runtime",
        "OpenVINO",
        "ExecuTorch",
        "Node",
        "C",
        "Browser",
    }
    for row in found.rows:
        assert row.asked == 360
        assert row.same >= (360 if row.numbers == "FP32" else 0.99 * 360)
        assert row.low <= row.latency <= row.high
    assert json.loads(found.json()) == {
        "machine": found.machine,
        "day": found.day,
        "rows": [vars(row) for row in found.rows],
    }
    assert found.machine in str(found)


def test_no_request_of_the_recorded_cluster_was_lost():
    found = deployment.recorded_cluster()
    for row in (*found.rows, found.killed):
        assert (row.right, row.requests) == (500, 500)
    assert found.killed.again > 0
    assert found.machine in str(found)


@pytest.mark.parametrize("text", ["", "[]", '{"machine": 1}'])
def test_a_damaged_record_is_named(text, tmp_path, monkeypatch):
    for name, module, read in (
        ("recorded-runtimes.json", surveying, deployment.recorded),
        ("recorded-cluster.json", None, deployment.recorded_cluster),
    ):
        place = tmp_path / name
        place.write_text(text)
        target = sys.modules[read.__module__]
        monkeypatch.setattr(target, "RECORDED", str(place))
        with pytest.raises(ValueError, match="damaged"):
            read()
        del module


def test_rows_refuse_what_cannot_be():
    good = vars(deployment.recorded().rows[0])
    for change in ({"same": 361}, {"start": 0}, {"asked": 0}, {"runtime": ""}, {"latency": np.nan}):
        with pytest.raises((TypeError, ValueError)):
            deployment.RuntimeRow(**{**good, **change})
