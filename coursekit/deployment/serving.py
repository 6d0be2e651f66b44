"""A real web server beside the notebook: reachable from this machine only, and gone when its block ends."""

import atexit
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from coursekit._core import arguments, imports

if TYPE_CHECKING:
    import httpx

__all__ = ["HOST", "MAX_BODY", "Server", "serve"]

HOST = "127.0.0.1"  # the loopback address: no other machine can reach it
MAX_BODY = 10_000_000  # bytes of one request; more is answered 413, and thrown away as it comes
START_SECONDS = 60.0
LOOK_SECONDS = 0.005
# Requests that are still running when the block ends get this long; then the server goes without them.
GRACE_SECONDS = 2
STOP_SECONDS = 10.0


class Server:
    """A running application, as ``serve`` starts it.

    It answers only requests that name it as this machine does: a web page elsewhere, whose name its owner
    points to 127.0.0.1 (DNS rebinding), is refused. It never holds more of a request than ``max_body``.

    Parameters
    ----------
    app : callable
        An ASGI application.
    max_body : int, optional
        The most bytes of a request.

    Attributes
    ----------
    url : str
        The address.
    port : int
        Its port.
    failures : list of Exception
        What the application's handlers raised.
    """

    def __init__(self, app: Callable[..., Any], max_body: int = MAX_BODY) -> None:
        uvicorn = imports.need("uvicorn")
        self.max_body = max_body
        self.failures: list[Exception] = []
        self._refusals: list[Exception] = []
        self._app = app
        # asyncio sends small packets at once only where the protocol is said to be TCP; otherwise each answer
        # waits 40 ms for the receipt of the one before it.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        # One loop and one parser everywhere, whatever else is installed, and no log: what goes wrong is kept
        # in ``failures``.
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._watched,
                loop="asyncio",
                http="h11",
                ws="none",
                interface="asgi3",
                log_config=None,
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        # A daemon, so that a process that ends does not wait for it.
        self._thread = threading.Thread(target=self._run, name="coursekit-server", daemon=True)

    @property
    def url(self) -> str:
        """The address, such as http://127.0.0.1:54321."""
        return f"http://{HOST}:{self.port}"

    def client(self, timeout: float = 60.0) -> "httpx.Client":
        """Return a client for this server that takes no detour through a proxy; close it.

        Parameters
        ----------
        timeout : float
            Seconds that it waits for an answer.

        Returns
        -------
        httpx.Client
            Its ``base_url`` is this server's.

        Raises
        ------
        TypeError, ValueError
            If the timeout is not a number above 0.
        """
        seconds = arguments.positive("timeout", timeout, "seconds")
        client: type[httpx.Client] = imports.need("httpx").Client
        return client(base_url=self.url, timeout=seconds, trust_env=False)

    def start(self) -> None:
        """Run the server in a thread and return once it answers.

        Raises
        ------
        Exception
            What the application raised at its start; a RuntimeError if it just ended.
        TimeoutError
            If it takes too long.
        """
        atexit.register(self.stop)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._uvicorn.started:
            if not self._thread.is_alive():
                raise self._refusals[0] if self._refusals else RuntimeError("the application did not start")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the application did not start within {START_SECONDS:.0f} seconds")
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Close the port and end the thread; doing so twice does no harm."""
        atexit.unregister(self.stop)
        self._uvicorn.should_exit = True
        try:
            if self._thread.ident is not None:
                self._thread.join(STOP_SECONDS)
        finally:
            # Closed already, unless a handler keeps the server's loop from ever looking up.
            self._socket.close()

    def _run(self) -> None:
        try:
            self._uvicorn.run(sockets=[self._socket])
        except SystemExit:  # uvicorn's way to say that the application did not start
            pass
        except Exception as error:
            # After ``stop`` has given up on a loop that is blocked, that loop finds its socket closed.
            if not self._uvicorn.should_exit:
                self._refusals.append(error)

    async def _watched(self, scope: Any, receive: Any, send: Any) -> None:
        body = _Body(receive, send, self.max_body)
        try:
            if scope["type"] != "http":
                await self._app(scope, receive, send)
            elif not self._meant(scope):
                await _refuse(send, 400, f"the Host header must name {HOST}:{self.port} or localhost")
            elif body.announced(scope) > self.max_body:
                await body.refuse()
            else:
                await self._app(scope, body.receive, body.send)
        except Exception as error:
            if body.refused:  # what a handler makes of half a request is not its fault
                return
            if scope["type"] != "lifespan":
                # Not raised again: uvicorn answers 500 if nothing was sent, and keeps the line for the next
                # request. ``serve`` raises it at the end of its block.
                self.failures.append(error)
                return
            # In this way an application may say that it has nothing to do at its start: not a failure.
            (self.failures if self._uvicorn.started else self._refusals).append(error)
            raise

    def _meant(self, scope: Any) -> bool:
        """Tell whether a request names this server, and not another one whose name was pointed to it."""
        named = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        return named in ([f"{HOST}:{self.port}"], [f"localhost:{self.port}"])

    def __repr__(self) -> str:
        return "a server on this machine only"


class _Body:
    """Hands a request's body on to the application, up to ``limit`` bytes; then the answer is 413."""

    def __init__(self, receive: Any, send: Any, limit: int) -> None:
        self._receive, self._send, self.limit = receive, send, limit
        self.received, self.answering, self.refused = 0, False, False

    @staticmethod
    def announced(scope: Any) -> int:
        """Return how many bytes the request says that it brings; 0 where it does not say."""
        return sum(int(value) for name, value in scope["headers"] if name == b"content-length")

    async def refuse(self) -> None:
        """Answer in place of the application; the rest of the body is read by the server and dropped."""
        self.refused = True
        await _refuse(self._send, 413, f"a request may bring at most {self.limit:,} bytes")

    async def receive(self) -> Any:
        """Return the next piece; beyond the limit say that the client has gone."""
        message = {"type": "http.disconnect"} if self.refused else await self._receive()
        self.received += len(message.get("body", b""))
        if self.received <= self.limit:
            return message
        if not self.refused and not self.answering:
            await self.refuse()
        self.refused = True
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Send what the application answers, unless it was answered already."""
        self.answering = True
        if not self.refused:
            await self._send(message)


async def _refuse(send: Any, status: int, why: str) -> None:
    head = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})


@contextmanager
def serve(app: Callable[..., Any], *, max_body: int = MAX_BODY) -> Iterator[Server]:
    """Run an application on 127.0.0.1 and a free port during the block.

    The port is closed when the block ends, also by an error or an interrupt. An exception that a handler did
    not catch is raised at the end of the block; if the block raises one itself, it is noted there.

    Parameters
    ----------
    app : callable
        An ASGI application, such as FastAPI's.
    max_body : int
        How many bytes one request may bring; more is answered 413.

    Yields
    ------
    Server
        Running, with its address.

    Raises
    ------
    TypeError, ValueError
        If app cannot be called or max_body is not a whole number above 0.
    TimeoutError
        If the application takes too long to start.
    Exception
        Whatever the application raises at its start or in its handlers.
    """
    if not callable(app):
        raise TypeError(f"app must be an ASGI application; got {arguments.shown(app)}")
    most = arguments.integer("max_body", max_body, 1)
    server = Server(app, most)
    try:
        server.start()
        yield server
    except Exception as error:
        server.stop()  # a handler that has answered may be about to fail
        for failure in server.failures:
            if failure is not error:
                error.add_note(f"On the server: {type(failure).__name__}: {failure}")
        raise
    finally:
        server.stop()
    if server.failures:
        raise server.failures[0]
