"""A real web server beside the notebook: reachable from this machine only, and gone when its block ends."""

import atexit
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

__all__ = ["HOST", "Server", "serve"]

if TYPE_CHECKING:
    import httpx

HOST = "127.0.0.1"  # the loopback address: no other machine can reach it
START_SECONDS = 60.0
LOOK_SECONDS = 0.005
# Requests that are still running when the block ends get this long; then the server goes without them.
GRACE_SECONDS = 2
STOP_SECONDS = 10.0


class Server:
    """A running application: its address is ``url``; ``failures`` holds what its handlers raised."""

    def __init__(self, app: Callable[..., Any]) -> None:
        import uvicorn

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
        """Return an ``httpx.Client`` for this server that takes no detour through a proxy; close it."""
        import httpx

        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def start(self) -> None:
        """Run the server in a thread and return once it answers.

        Errors: what the application raised at its start; TimeoutError if it takes too long.
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
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "lifespan":
                # Not raised again: uvicorn answers 500 if nothing was sent, and keeps the line for the next
                # request. ``serve`` raises it at the end of its block.
                self.failures.append(error)
                return
            # An application may say in this way that it has nothing to do at its start: that is no failure.
            (self.failures if self._uvicorn.started else self._refusals).append(error)
            raise

    def __repr__(self) -> str:
        return "a server on this machine only"


@contextmanager
def serve(app: Callable[..., Any]) -> Iterator[Server]:
    """Run the ASGI application ``app`` (FastAPI's, say) on 127.0.0.1 and a free port during the block.

    The port is closed when the block ends, also by an error or an interrupt. An exception that a handler did
    not catch is raised at the end of the block; if the block raises one itself, it is noted there.
    Errors: TypeError if app cannot be called, and whatever it raises at its start.
    """
    if not callable(app):
        raise TypeError(f"app must be an ASGI application; got {app!r} ({type(app).__name__})")
    server = Server(app)
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
