"""A class on the hub of `make hub`: each runs notebook 01 at once, hands in, and sees only their own.

COURSEKIT_STUDENTS=20 makes it a class.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, suppress

import httpx
import nbformat
import psutil
import pytest
from environments import ROOT

pytest.importorskip("jupyterhub", reason="needs JupyterHub (make hub)")
pytest.importorskip("jupyterhub_idle_culler", reason="needs JupyterHub's idle culler (make hub)")
from tornado.httpclient import HTTPRequest  # noqa: E402
from tornado.websocket import websocket_connect  # noqa: E402

PATH = f"{ROOT}/build/proxy/node_modules/.bin{os.pathsep}{os.environ['PATH']}"
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not shutil.which("configurable-http-proxy", path=PATH), reason="needs JupyterHub's proxy (make hub)"
    ),
]
STUDENTS = [f"student{number}" for number in range(1, int(os.environ.get("COURSEKIT_STUDENTS", "3")) + 1)]
NOTEBOOK = "01-floating-point-basics.ipynb"
PASSWORD = secrets.token_urlsafe(8)
START_SECONDS, CELL_SECONDS = 300, 300
MEMORY = 2**30
TOO_MUCH = f"""
import numpy
try:
    numpy.ones({2 * MEMORY} // 8)
except MemoryError:
    print("refused")
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Yield the address, the state folder and the process of a hub, and see that nothing runs on after it."""
    state = tmp_path_factory.mktemp("hub") / "state"
    port = free_ports()
    settings = {
        "HUB_PORT": str(port),
        "HUB_STATE": str(state),
        "HUB_PASSWORD": PASSWORD,
        "HUB_TEACHER": "teacher",
        "HUB_MEMORY": "1G",
        "HUB_AT_ONCE": str(len(STUDENTS) // 2 + 1),
        "PATH": PATH,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "jupyterhub", "--config", ROOT / "deploy" / "jupyterhub_config.py"]
    messages = state.parent / "messages"
    with open(messages, "wb") as log:
        run = subprocess.Popen(
            command, env={**os.environ, **settings}, cwd=state.parent, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not up(address):
            assert run.poll() is None, messages.read_text()[-3000:]
            assert time.monotonic() < deadline, messages.read_text()[-3000:]
            time.sleep(0.3)
        yield address, state, psutil.Process(run.pid)
    finally:
        family = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
        run.send_signal(signal.SIGTERM)
        run.wait(60)
        _, left = psutil.wait_procs(family, timeout=20)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    assert not left
    assert "deprecated in JupyterHub" not in messages.read_text()
    assert [path.name for path in state.parent.iterdir() if path.name not in ("state", "messages")] == []


def free_ports():
    """Return the first of three ports in a row that nothing listens on."""
    for first in range(18200, 19000, 3):
        with ExitStack() as held, suppress(OSError):
            for port in range(first, first + 3):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no three free ports")


def up(address):
    with suppress(httpx.HTTPError):
        return httpx.get(f"{address}/hub/api/").status_code == 200
    return False


class Student:
    """A browser: it signs in at the form, presses the button, opens the notebook and runs all of it."""

    def __init__(self, address, name):
        self.name, self.address = name, address
        self.web = httpx.AsyncClient(base_url=address, follow_redirects=True, timeout=120)
        self.mine = f"/user/{name}/api"

    async def sign_in(self):
        await self.web.get("/hub/login")
        form = {"username": self.name, "password": PASSWORD, "_xsrf": self.web.cookies["_xsrf"]}
        reply = await self.web.post("/hub/login", data=form, follow_redirects=False)
        assert reply.status_code == 302, reply.text[-500:]
        await self.web.get("/hub/home")
        key = {"X-XSRFToken": next(each.value for each in self.web.cookies.jar if each.name == "_xsrf")}
        made = await self.web.post(f"/hub/api/users/{self.name}/tokens", headers=key, json={})
        assert made.status_code == 201, made.text
        self.head = {"Authorization": f"token {made.json()['token']}"}

    async def start(self):
        """Press the button until the hub lets in."""
        self.refused = 0
        while (reply := await self.call("POST", f"/hub/api/users/{self.name}/server")).status_code == 429:
            self.refused += 1
            await asyncio.sleep(2)
        assert reply.status_code in (201, 202), reply.text
        for _ in range(START_SECONDS):
            user = (await self.call("GET", f"/hub/api/users/{self.name}")).json()
            if user["servers"].get("", {}).get("ready"):
                return
            assert user["pending"], f"{self.name}'s server did not start"
            await asyncio.sleep(1)
        raise AssertionError(f"{self.name}'s server did not start")

    async def call(self, method, path, **options):
        # A program with a token, not a browser with cookies: what a page elsewhere could not send.
        async with httpx.AsyncClient(base_url=self.address, headers=self.head, timeout=120) as web:
            return await web.request(method, path, **options)

    async def open_kernel(self):
        made = await self.call("POST", f"{self.mine}/sessions", json=session(NOTEBOOK))
        assert made.status_code == 201, made.text
        self.session, kernel = made.json()["id"], made.json()["kernel"]["id"]
        address = f"{self.address.replace('http', 'ws', 1)}{self.mine}/kernels/{kernel}/channels"
        self.socket = await websocket_connect(HTTPRequest(address, headers=self.head), ping_interval=30)

    async def run(self, code):
        """Return what a cell printed and showed; an exception in it is ours."""
        me, shown = uuid.uuid4().hex, []
        head = {"msg_id": me, "msg_type": "execute_request", "version": "5.3", "username": "", "session": me}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        await self.socket.write_message(
            json.dumps(
                {
                    "header": head,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                    "buffers": [],
                }
            )
        )
        while True:
            text = await asyncio.wait_for(self.socket.read_message(), CELL_SECONDS)
            assert text is not None, "the kernel's socket closed"
            message = json.loads(text) if isinstance(text, str) else {"parent_header": {}}
            if message["parent_header"].get("msg_id") != me:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            assert kind != "error", f"{self.name}: {code}\n{content}"
            shown.append(content.get("text") or content.get("data", {}).get("text/plain", ""))
            if kind == "status" and content["execution_state"] == "idle":
                return "".join(shown)

    async def work(self):
        await self.sign_in()
        await self.start()
        await self.open_kernel()
        page = await self.call("GET", f"/user/{self.name}/lab/tree/{NOTEBOOK}")
        assert (page.status_code, "jupyter-config-data" in page.text) == (200, True)
        got = await self.call("GET", f"{self.mine}/contents/{NOTEBOOK}")
        cells = nbformat.from_dict(got.json()["content"])["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                await self.run(cell["source"])
        await self.run(f"from coursekit import exercises\nexercises.report({self.name!r})")
        self.memory = int(await self.run("import psutil; print(psutil.Process().memory_info().rss)"))
        await self.run(f"open('mine-{self.name}.txt', 'w').write('my own')")
        return self

    async def leave(self):
        self.socket.close()
        await self.call("DELETE", f"{self.mine}/sessions/{self.session}")
        await self.call("DELETE", f"/hub/api/users/{self.name}/server")
        await self.web.aclose()


def session(path):
    return {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}


async def listed(student):
    content = (await student.call("GET", f"{student.mine}/contents/")).json()["content"]
    return {each["name"] for each in content}


async def at_work(address, hub):
    students = [Student(address, name) for name in STUDENTS]
    began = time.monotonic()
    await asyncio.gather(*(student.work() for student in students))
    print(f"{len(students)} students ran {NOTEBOOK} in {time.monotonic() - began:.0f} s;")
    print(f"  kernels' memory at most {max(each.memory for each in students) / 2**20:.0f} MiB;")
    own = sum(process.memory_full_info().uss for process in [hub, *hub.children(recursive=True)])
    print(f"  all processes' own memory together {own / 2**20:.0f} MiB;")
    print(f"  told to try again {sum(each.refused for each in students)} times")
    return students


async def a_class(address, hub):
    students = await at_work(address, hub)
    first, *others = students
    for student in students:
        names = await listed(student)
        assert f"mine-{student.name}.txt" in names
        assert {name for name in names if name.startswith("mine-")} == {f"mine-{student.name}.txt"}
        assert not {"solutions", "source"} & names
    for other in others:
        theirs = f"{first.mine}/contents/mine-{first.name}.txt"
        assert (await other.call("GET", theirs)).status_code == 403
        assert (await other.call("POST", f"{first.mine}/kernels", json={})).status_code == 403
    assert "refused" in await first.run(TOO_MUCH)
    assert [await student.run("print(6 * 7)") for student in students] == ["42\n"] * len(students)
    await asyncio.gather(*(student.leave() for student in students))
    return students


def test_nobody_signs_in_with_a_password_that_is_not_theirs(hub):
    address = hub[0]

    def signed_in(name, password):
        with httpx.Client(base_url=address) as web:
            web.get("/hub/login", follow_redirects=True)
            form = {"username": name, "password": password, "_xsrf": web.cookies["_xsrf"]}
            return web.post("/hub/login", data=form).status_code == 302

    assert signed_in("anybody", PASSWORD)
    assert not signed_in("anybody", "another password")
    assert not signed_in("teacher", PASSWORD)
    messages = (hub[1].parent / "messages").read_text()
    assert signed_in("teacher", messages.partition("The password of HUB_TEACHER: ")[2].split()[0])


def test_a_class_works_at_once_hands_in_and_sees_its_own_files_only(hub):
    address, state, process = hub
    asyncio.run(a_class(address, process))
    reports = {path.parent.name: path for path in (state / "reports").rglob("report-*.html")}
    assert [*sorted(reports)] == sorted(STUDENTS)
    assert all((path.parent.stat().st_mode & 0o777) == 0o700 for path in reports.values())
    assert all(f"Report of {name}" in path.read_text() for name, path in reports.items())
    assert (state / "reports").stat().st_mode & 0o7777 == 0o1733
