import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import lab
import psutil
import pytest
from toy import ROOT

LAB = ROOT / "tools" / "lab.py"


@pytest.fixture
def taken():
    """Listen on a port that was free."""
    with socket.create_server((lab.HOST, 0)) as server:
        yield server.getsockname()[1]


def get(url, token=""):
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
        return json.load(reply)


def test_the_server_listens_here_only_opens_nothing_and_shows_the_notebooks():
    command = lab.command(9999)
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.port=9999", "--ServerApp.open_browser=False"} <= set(
        command
    )
    assert f"--ServerApp.root_dir={ROOT / 'notebooks'}" in command


def test_the_token_is_in_the_environment_and_not_in_the_command(monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    env = lab.environment("secret")
    assert env["JUPYTER_TOKEN"] == "secret"
    assert "secret" not in " ".join(lab.command(1))
    assert env["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [str(lab.CONFIG), "mine"]
    assert os.environ.get("JUPYTER_TOKEN") != "secret"


def test_a_taken_port_gives_the_next_one(taken):
    assert lab.free_port(taken) > taken


def test_no_port_at_all_is_an_error_that_names_the_way_out(monkeypatch):
    monkeypatch.setattr(lab, "PORTS_TO_TRY", 0)
    with pytest.raises(lab.LabError, match="make lab PORT="):
        lab.free_port(9000)


def test_a_port_that_cannot_be_is_an_error_that_names_the_largest():
    with pytest.raises(lab.LabError, match="65535 at most.*make lab PORT="):
        lab.free_port(70000)


@pytest.mark.parametrize(
    ("environ", "platform", "shown"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "win32", True),
    ],
)
def test_a_browser_opens_only_where_it_can_be_seen(environ, platform, shown):
    assert lab.has_display(environ, platform) is shown


@pytest.mark.parametrize("shown", [True, False])
def test_the_address_is_printed_either_way(monkeypatch, capsys, shown):
    opened = []
    monkeypatch.setattr(lab.webbrowser, "open", lambda address: opened.append(address) or True)
    lab.announce("http://127.0.0.1:1/lab?token=t", browser=shown)
    assert "    http://127.0.0.1:1/lab?token=t\n" in capsys.readouterr().out
    assert len(opened) == shown


def test_a_server_that_ends_at_once_is_reported():
    server = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    server.wait()
    with pytest.raises(lab.LabError, match="status 3; its messages stand above"):
        lab.wait(server, 1, "token")


def test_what_a_server_said_into_a_file_is_in_the_error(tmp_path):
    path = tmp_path / "messages.txt"
    with path.open("wb") as messages:
        server = subprocess.Popen([sys.executable, "-c", "raise SystemExit('no room')"], stderr=messages)
        server.wait()
    with pytest.raises(lab.LabError, match="status 1:\nno room"):
        lab.wait(server, 1, "token", path)


@pytest.mark.skipif(os.name != "posix", reason="signals as in a POSIX terminal")
def test_a_server_that_ignores_the_polite_signal_is_killed(monkeypatch):
    monkeypatch.setattr(lab, "STOP_SECONDS", 0.2)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
    code += "; time.sleep(60)"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    server.stdout.readline()
    lab.stop(server)
    assert server.poll() == -signal.SIGKILL


@pytest.fixture
def running(tmp_path, taken):
    """Run lab.py as a terminal would, with a taken port and Jupyter's own folders out of the way."""
    env = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env |= {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env |= {f"JUPYTERLAB_{name}_DIR": str(tmp_path / name) for name in ("SETTINGS", "WORKSPACES")}
    command = [sys.executable, str(LAB), "--port", str(taken)]
    options = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path, "start_new_session": True}
    with subprocess.Popen(command, env=env, **options) as run:
        text = until(run, "Ctrl-C")
        family = psutil.Process(run.pid).children(recursive=True)
        yield run, text, family
        for process in [run, *(process for process in family if process.is_running())]:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals as in a POSIX terminal")
def test_lab_starts_answers_and_leaves_nothing_behind(running, tmp_path, taken):
    run, text, family = running
    address = re.search(r"http://127\.0\.0\.1:(\d+)/lab\?token=(\w{20,})", text)
    port, token = int(address[1]), address[2]
    server = f"http://127.0.0.1:{port}"
    assert port > taken
    assert get(f"{server}/api/status", token)["kernels"] == 0
    assert {entry["name"] for entry in get(f"{server}/api/contents", token)["content"]} >= {"source"}
    news = get(f"{server}/lab/api/settings/@jupyterlab/apputils-extension:notification", token)
    assert news["schema"]["properties"]["fetchNews"]["default"] == "false"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{server}/api/contents")

    assert family
    os.killpg(run.pid, signal.SIGINT)
    assert "JupyterLab has stopped." in run.communicate(timeout=30)[0]
    assert run.returncode == 0
    assert not any(process.is_running() for process in family)
    with socket.socket() as probe:
        assert probe.connect_ex((lab.HOST, port)) != 0
    assert not [path for path in (tmp_path / "SETTINGS").rglob("*") if path.is_file()], "the user's settings"


def until(run, word):
    text = ""
    for line in run.stdout:
        text += line
        if word in line:
            break
    return text


def test_a_server_that_does_not_speak_http_is_no_answer():
    with socket.create_server((lab.HOST, 0)) as server:

        def echo():
            other, _ = server.accept()
            with other:
                other.sendall(other.recv(4096))

        thread = threading.Thread(target=echo)
        thread.start()
        assert lab.answers(server.getsockname()[1], "token") is False
        thread.join()
