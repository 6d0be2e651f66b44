"""The web server beside a notebook: this machine only, and nothing left when its block ends."""

import asyncio
import contextlib
import gc
import ipaddress
import socket
import threading
import time

import fastapi
import httpx
import psutil
import pytest
from fastapi import FastAPI, HTTPException
from ports import listening

from coursekit import serving


def an_app():
    app = FastAPI()
    app.state.release = threading.Event()

    @app.get("/double")
    def double(number: int):
        return {"double": 2 * number}

    @app.get("/broken")
    def broken():
        raise KeyError("no model")

    @app.get("/refused")
    def refused():
        raise HTTPException(403, "not for you")

    @app.get("/stuck")
    def stuck():
        app.state.release.wait(30)

    return app


def is_open(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def own_addresses():
    """Return this machine's addresses, and loopback addresses other than the server's."""
    found = [one.address.split("%")[0] for card in psutil.net_if_addrs().values() for one in card]
    numbers = []
    for text in found:
        with contextlib.suppress(ValueError):  # hardware addresses
            numbers.append(str(ipaddress.ip_address(text)))
    return sorted({*numbers, "127.0.0.2", "::1"} - {serving.HOST})


@pytest.fixture(autouse=True)
def nothing_left():
    """Whatever a test does: afterwards there is no port and no thread more than before."""
    ports, threads = listening(), set(threading.enumerate())
    yield
    assert listening() == ports
    extra = [t for t in threading.enumerate() if t not in threads and t.name == "coursekit-server"]
    assert extra == []


def test_the_application_answers():
    with serving.serve(an_app()) as server, server.client() as client:
        assert client.get("/double", params={"number": 21}).json() == {"double": 42}
        assert client.get("/nowhere").status_code == 404


def test_any_asgi_application_will_do():
    async def plain(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})

    with serving.serve(plain) as server, server.client() as client:
        assert client.get("/").text == "hello"


def test_it_listens_on_the_loopback_address_and_nowhere_else():
    before = listening()
    with serving.serve(an_app()) as server:
        assert listening() - before == {("127.0.0.1", server.port)}
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert is_open("127.0.0.1", server.port)


@pytest.mark.parametrize("address", own_addresses())
def test_no_other_address_of_this_machine_answers(address):
    with serving.serve(an_app()) as server:
        assert not is_open(address, server.port)


def test_servers_side_by_side_have_ports_of_their_own():
    with serving.serve(an_app()) as one, serving.serve(an_app()) as other:
        assert one.port != other.port
        assert is_open(serving.HOST, one.port)
        assert is_open(serving.HOST, other.port)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_the_port_is_closed_however_the_block_ends(error):
    ports = []

    def fail_inside():
        with serving.serve(an_app()) as server:
            ports.append(server.port)
            assert is_open(serving.HOST, server.port)
            raise error

    with pytest.raises(error):
        fail_inside()
    assert not is_open(serving.HOST, ports[0])


def test_an_interrupt_while_the_application_starts_closes_the_port(monkeypatch):
    taken = []

    def interrupted(self):
        taken.append(self.port)
        raise KeyboardInterrupt

    monkeypatch.setattr(serving.Server, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), serving.serve(an_app()):
        pass
    assert not is_open(serving.HOST, taken[0])


def test_a_server_that_was_started_by_hand_and_forgotten_is_stopped_at_exit(monkeypatch):
    registered = []
    monkeypatch.setattr(serving.atexit, "register", registered.append)
    monkeypatch.setattr(serving.atexit, "unregister", registered.remove)
    server = serving.Server(an_app())
    server.start()
    assert is_open(serving.HOST, server.port)
    (at_exit,) = [each for each in registered if each == server.stop]  # libraries register theirs
    at_exit()
    assert not is_open(serving.HOST, server.port)
    assert server.stop not in registered


def test_a_block_that_is_dropped_half_way_stops_its_server():
    manager = serving.serve(an_app())
    port = manager.__enter__().port
    assert is_open(serving.HOST, port)
    del manager
    gc.collect()
    assert not is_open(serving.HOST, port)


def test_stopping_twice_does_no_harm():
    server = serving.Server(an_app())
    server.start()
    server.stop()
    server.stop()
    assert not is_open(serving.HOST, server.port)


def test_a_request_that_never_ends_does_not_keep_the_port_open(monkeypatch):
    monkeypatch.setattr(serving, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(serving, "STOP_SECONDS", 0.5)
    app = an_app()
    with serving.serve(app) as server, server.client() as client:
        waiting = threading.Thread(target=lambda: _swallow(client, "/stuck"), daemon=True)
        waiting.start()
        while not any(t.name.startswith("AnyIO") for t in threading.enumerate()):
            time.sleep(0.01)
    assert not is_open(serving.HOST, server.port)
    app.state.release.set()
    waiting.join(10)
    server._thread.join(10)


def test_an_application_that_blocks_the_loop_does_not_keep_the_port_open(monkeypatch):
    monkeypatch.setattr(serving, "STOP_SECONDS", 0.3)
    entered, release = threading.Event(), threading.Event()

    async def blocking(scope, receive, send):
        if scope["type"] == "http":
            entered.set()
            release.wait(30)

    with serving.serve(blocking) as server:
        caller = threading.Thread(target=lambda: _swallow_get(server.url), daemon=True)
        caller.start()
        assert entered.wait(30)
    assert not is_open(serving.HOST, server.port)
    release.set()
    server._thread.join(10)
    caller.join(10)


def _swallow(client, path):
    with contextlib.suppress(httpx.HTTPError, RuntimeError):
        client.get(path)


def _swallow_get(url):
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, trust_env=False, timeout=30)


def test_what_a_handler_raises_is_raised_at_the_end_of_the_block():
    answers = []

    def ask():
        with serving.serve(an_app()) as server, server.client() as client:
            for _ in range(5):
                answers.append(client.get("/broken").status_code)
                answers.append(client.get("/double", params={"number": 1}).json())

    with pytest.raises(KeyError, match="no model"):
        ask()
    assert answers == [500, {"double": 2}] * 5


def test_an_error_in_the_block_says_what_happened_on_the_server():
    with (
        pytest.raises(httpx.HTTPStatusError) as error,
        serving.serve(an_app()) as server,
        server.client() as client,
    ):
        client.get("/broken").raise_for_status()
    assert error.value.__notes__ == ["On the server: KeyError: 'no model'"]


def test_an_answer_that_says_no_is_not_a_failure():
    with serving.serve(an_app()) as server, server.client() as client:
        assert client.get("/refused").json() == {"detail": "not for you"}
    assert server.failures == []


def test_an_application_that_does_not_start_says_why():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise FileNotFoundError("model.pkl")
        yield

    with pytest.raises(FileNotFoundError, match="model.pkl"), serving.serve(FastAPI(lifespan=lifespan)):
        pytest.fail("the block must not run")


def test_an_application_without_a_start_of_its_own_is_fine():
    async def plain(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    with serving.serve(plain) as server, server.client() as client:
        assert client.get("/").text == "hello"


def test_a_plain_application_that_fails_answers_500_and_says_why():
    async def plain(scope, receive, send):
        raise KeyError(scope["type"])

    codes = []

    def ask():
        with serving.serve(plain) as server, server.client() as client:
            codes.append(client.get("/").status_code)

    with pytest.raises(KeyError, match="http"):
        ask()
    assert codes == [500]


def test_what_fails_at_the_end_is_raised_too():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        raise OSError("cannot save")

    with pytest.raises(OSError, match="cannot save"), serving.serve(FastAPI(lifespan=lifespan)):
        pass


def test_an_application_that_starts_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(serving, "START_SECONDS", 0.2)
    monkeypatch.setattr(serving, "STOP_SECONDS", 0.2)
    release = threading.Event()

    @contextlib.asynccontextmanager
    async def lifespan(app):
        release.wait(30)
        yield

    with pytest.raises(TimeoutError, match="did not start"), serving.serve(FastAPI(lifespan=lifespan)):
        pytest.fail("the block must not run")
    release.set()
    for thread in [t for t in threading.enumerate() if t.name == "coursekit-server"]:
        thread.join(10)


def test_what_the_application_keeps_is_there_for_every_request_and_closed_at_the_end():
    order = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        app.state.model = 7
        order.append("open")
        yield
        order.append("closed")

    app = FastAPI(lifespan=lifespan)

    @app.get("/model")
    def model(request: fastapi.Request):
        return request.app.state.model

    with serving.serve(app) as server, server.client() as client:
        assert [client.get("/model").json() for _ in range(3)] == [7, 7, 7]
        assert order == ["open"]
    assert order == ["open", "closed"]


def test_nothing_is_written_below_the_cell(capfd):
    with (
        contextlib.suppress(KeyError),
        serving.serve(an_app()) as server,
        server.client() as client,
    ):
        client.get("/double", params={"number": 1})
        client.get("/broken")
        client.get("/nowhere")
    assert capfd.readouterr() == ("", "")


def test_no_proxy_stands_between(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://192.0.2.1:9")
    with serving.serve(an_app()) as server, server.client(timeout=20) as client:
        assert client.get("/double", params={"number": 4}).json() == {"double": 8}


def test_small_answers_are_sent_at_once():
    # Otherwise each waits 40 ms for a receipt: asyncio switches that off only where it sees a TCP socket.
    with serving.serve(an_app()) as server:
        assert server._socket.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("app", [None, "app", 3])
def test_what_is_not_an_application_is_refused(app):
    with pytest.raises(TypeError, match="app must be an ASGI application"), serving.serve(app):
        pytest.fail("the block must not run")


# Whom it answers, and how much it takes


def answer_to(server, *lines, body=b""):
    """Send a request as it stands over a socket of its own; return the status and the body of the answer."""
    with socket.create_connection((serving.HOST, server.port), 30) as line:
        line.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), text.decode()


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
def test_requests_that_name_this_server_are_answered(host):
    with serving.serve(an_app()) as server:
        status, text = answer_to(
            server, "GET /double?number=2 HTTP/1.1", "Host: " + host.format(port=server.port)
        )
    assert status == 200
    assert '{"double":4}' in text


@pytest.mark.parametrize(
    "hosts",
    [
        ["attacker.example:{port}"],
        ["attacker.example"],
        ["127.0.0.1"],
        ["127.0.0.1:1"],
        ["localhost"],
        ["127.0.0.1:{port}.attacker.example"],
        ["127.0.0.1:{port}@attacker.example"],
        ["localhost.attacker.example:{port}"],
        ["127.0.0.2:{port}"],
        ["0.0.0.0:{port}"],
        ["[::1]:{port}"],
        [""],
        [],
        ["127.0.0.1:{port}", "attacker.example:{port}"],
        ["attacker.example:{port}", "127.0.0.1:{port}"],
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_requests_that_name_another_server_never_reach_the_application(hosts, version):
    reached = []

    async def app(scope, receive, send):
        reached.append(scope["type"])

    with serving.serve(app) as server:
        named = [f"Host: {host.format(port=server.port)}" for host in hosts]
        extra = f"X-Forwarded-Host: 127.0.0.1:{server.port}"
        status, _ = answer_to(server, f"GET / HTTP/{version}", *named, extra)
    assert status == 400
    assert "http" not in reached


def an_echo():
    app = FastAPI()

    @app.post("/length")
    async def length(request: fastapi.Request):
        return {"length": len(await request.body())}

    @app.post("/stream")
    async def stream(request: fastapi.Request):
        return {"length": sum([len(piece) async for piece in request.stream()])}

    @app.post("/early")
    async def early():
        return {"length": -1}

    return app


def pieces(size):
    for start in range(0, size, 65536):
        yield b"x" * min(65536, size - start)


@pytest.mark.parametrize("path", ["/length", "/stream"])
@pytest.mark.parametrize("known", [True, False], ids=["announced", "in pieces"])
def test_a_body_up_to_the_limit_is_taken_and_a_larger_one_is_not(path, known):
    with serving.serve(an_echo(), max_body=200_000) as server, server.client() as client:
        for size, expected in [(0, 200), (199_999, 200), (200_000, 200), (200_001, 413), (900_000, 413)]:
            content = b"x" * size if known else pieces(size)
            answer = client.post(path, content=content)
            assert answer.status_code == expected
            if expected == 200:
                assert answer.json() == {"length": size}
            else:
                assert answer.text == "a request may bring at most 200,000 bytes\n"
        assert client.post(path, content=b"after all that").json() == {"length": 14}
        assert server.failures == []


def test_an_announced_body_is_refused_before_it_comes():
    with serving.serve(an_echo()) as server:
        host = f"Host: 127.0.0.1:{server.port}"
        status, _ = answer_to(
            server, "POST /length HTTP/1.1", host, f"Content-Length: {serving.MAX_BODY + 1}"
        )
    assert status == 413


def test_a_handler_that_does_not_read_answers_whatever_comes():
    with serving.serve(an_echo(), max_body=1000) as server, server.client() as client:
        assert client.post("/early", content=pieces(100_000)).json() == {"length": -1}


@pytest.mark.parametrize("known", [True, False], ids=["announced", "in pieces"])
def test_a_huge_body_does_not_fill_the_memory(known):
    size, process = 100_000_000, psutil.Process()
    with serving.serve(an_echo()) as server, server.client() as client:
        client.post("/length", content=b"x" * 1000)
        before, most = process.memory_info().rss, [0]

        def watched():
            for piece in pieces(size):
                most[0] = max(most[0], process.memory_info().rss - before)
                yield piece

        headers = {"Content-Length": str(size)} if known else {}
        assert client.post("/length", content=watched(), headers=headers).status_code == 413
    assert most[0] < 4 * serving.MAX_BODY


@pytest.mark.parametrize("limit", [0, -1, "much", None, True, 1.5])
def test_a_limit_that_is_not_one_is_refused(limit):
    with (
        pytest.raises((TypeError, ValueError), match="max_body must be"),
        serving.serve(an_app(), max_body=limit),
    ):
        pass


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), None, "soon"])
def test_a_timeout_that_is_not_one_is_refused(timeout):
    with serving.serve(an_app()) as server, pytest.raises((TypeError, ValueError), match="timeout must be"):
        server.client(timeout)
