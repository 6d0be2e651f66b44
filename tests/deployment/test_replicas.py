"""Replicas: every request gets the network's own answer, whoever dies; and Ray Serve, where it is."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from coursekit import data, deployment, models, onnx_models
from coursekit.deployment import answering_batches, ray_serve


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("replicas") / "model.onnx"
    onnx_models.export(models.mlp((64, 16, 10)), path, torch.zeros(2, 64))
    return path


@pytest.fixture(scope="module")
def x():
    return data.digits().test.x[:200]


@pytest.fixture(scope="module")
def labels(file, x):
    return onnx_models.load(file, device="cpu").labels(x).tolist()


def running(pids):
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


@pytest.mark.parametrize(("count", "batch"), [(1, 1), (2, 8), (3, 500)])
def test_every_request_gets_its_own_answer(count, batch, file, x, labels):
    with deployment.Replicas(file, count, max_batch=batch) as some:
        pids = some.pids
        load = some.serve(x)
        assert load.labels.tolist() == labels
        assert sum(load.by_replica) == len(x)
        assert load.again == 0
        assert load.throughput == pytest.approx(len(x) / load.seconds)
        assert some.pids == pids
        assert len(running(pids)) == count
    assert not running(pids)


def test_a_replica_that_dies_loses_no_request(file, x, labels):
    with deployment.Replicas(file, 2, max_batch=4) as some:
        before = some.pids
        load = some.serve(x, kill_after=40)
        assert load.labels.tolist() == labels
        assert load.again == 4  # the batch that it had in hand
        assert "asked again" in str(load)
        assert len({*before, *some.pids}) == 3  # one of the two is a new one
        assert some.serve(x).again == 0  # the new one works
    assert not running([*before, *some.pids])


def test_the_only_replica_may_die_too(file, x, labels):
    with deployment.Replicas(file, 1, max_batch=10) as some:
        assert some.serve(x, kill_after=0).labels.tolist() == labels


def test_what_cannot_start_is_an_error_and_no_endless_loop(file, x, tmp_path, monkeypatch):
    with deployment.Replicas(file, 2) as some:
        script = tmp_path / "dies.py"
        script.write_text("raise SystemExit(1)")
        monkeypatch.setattr(answering_batches, "__file__", str(script))
        for process in some._processes:
            process.kill()
        with pytest.raises(RuntimeError, match="died 4 times"):
            some.serve(x)
    with pytest.raises(RuntimeError, match="closed"):
        some.serve(x)


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process as POSIX does")
def test_replicas_go_with_the_process_that_made_them(file):
    code = (
        "import os, sys\nfrom coursekit import deployment\n"
        "some = deployment.Replicas(sys.argv[1], 2)\nprint(*some.pids, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    psutil.wait_procs([psutil.Process(pid) for pid in running(pids)], timeout=20)
    assert not running(pids)


def test_other_networks_numbers_and_pictures_are_refused(file, x, tmp_path):
    with pytest.raises(FileNotFoundError):
        deployment.Replicas(tmp_path / "none.onnx")
    for options in ({"count": 0}, {"count": 2.5}, {"max_batch": 0}):
        with pytest.raises((TypeError, ValueError), match=next(iter(options))):
            deployment.Replicas(file, **options)
    with deployment.Replicas(file, 1) as some:
        with pytest.raises(ValueError, match=r"\[n, 64\]"):
            some.serve(x[:, :5])
        with pytest.raises(ValueError, match="kill_after"):
            some.serve(x, kill_after=-1)


# Ray Serve


def test_without_ray_one_line_says_how_to_get_it(file, x, monkeypatch):
    monkeypatch.setattr(ray_serve.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match='pip install "ray') as error:
        deployment.cluster(file, x)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tried", [[(1,)], [3], 3, "12"])
def test_a_cluster_takes_pairs(tried, file, x):
    with pytest.raises(TypeError, match="tried must"):
        deployment.cluster(file, x, tried)


def test_what_ray_runs_is_python_and_is_shown_whole():
    compile(deployment.app_source(), "cluster_app.py", "exec")
    assert "@serve.batch" in deployment.app_source()


@pytest.mark.skipif(sys.platform == "win32", reason="a script of POSIX")
def test_all_that_a_cluster_started_ends_with_it(file, x, monkeypatch, tmp_path):
    """A driver that fails, and leaves a process that has gone its own way."""
    driver = tmp_path / "cluster_driver.py"
    driver.write_text(
        "import subprocess, sys, os\n"
        "code = 'import time; time.sleep(300)'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{child.pid}} {{os.environ[\"HOME\"]}}')\n"
        "raise ValueError('no cluster today')\n"
    )
    monkeypatch.setattr(ray_serve, "HERE", tmp_path)
    monkeypatch.setattr(ray_serve.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(RuntimeError, match="no cluster today"):
        deployment.cluster(file, x, [(1, 1)])
    pid, home = (tmp_path / "pid").read_text().split()
    assert not running([int(pid)])
    assert home != os.environ.get("HOME")
    assert not Path(home).exists()
