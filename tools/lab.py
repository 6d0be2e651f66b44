"""Start JupyterLab on the notebooks: on this machine only, with a token, its address in plain sight."""

import argparse
import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
TOOLS = Path(__file__).resolve().parent
NOTEBOOKS = TOOLS.parent / "notebooks"
# Defaults under the user's own settings: no question about news, no look for updates.
CONFIG = TOOLS / "jupyter"
PORTS_TO_TRY = 50
START_SECONDS = 120.0
STOP_SECONDS = 10.0
TAIL = 2000  # characters of the server's messages that an error repeats


class LabError(RuntimeError):
    """JupyterLab could not be started; the message says why and what to do."""


def free_port(wanted: int) -> int:
    """Return ``wanted``, or the next port above it that nothing listens on.

    Errors: LabError if none of the next 50 is free.
    """
    for port in range(wanted, min(wanted + PORTS_TO_TRY, 65536)):
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            if os.name == "posix":  # there, a port that was left a second ago counts as free with this option
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    limit = "a port is 65535 at most" if wanted > 65535 else f"no free port from {wanted} up"
    raise LabError(f"{limit}; choose another: make lab PORT=9000")


def command(port: int, root: Path = NOTEBOOKS) -> list[str]:
    """Return the command that serves ``root`` on ``port``; the token is not in it, where ps would show it."""
    options = {
        "ServerApp.ip": HOST,
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.root_dir": root,
        "Application.log_level": "WARN",
    }
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = ["--allow-root"] if is_root else []  # containers; only this machine can reach the server
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        *(f"--{key}={value}" for key, value in options.items()),
        *flags,
    ]


def environment(token: str) -> dict[str, str]:
    """Return the server's environment: our token, and kernels from this Python before the user's own."""
    config = os.pathsep.join(filter(None, (str(CONFIG), os.environ.get("JUPYTER_CONFIG_PATH"))))
    mine = {"JUPYTER_TOKEN": token, "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_CONFIG_PATH": config}
    return {**os.environ, **mine}


def has_display(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Tell whether a browser window could open here."""
    return platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def answers(port: int, token: str) -> bool:
    """Tell whether the server on ``port`` is ours and ready."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}/api/status", headers={"Authorization": f"token {token}"}
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as reply:
            return reply.status == 200
    except (OSError, http.client.HTTPException):
        # Nobody listens yet, or not to HTTP: a socket that reaches for a free port may meet itself there.
        return False


def wait(server: subprocess.Popen[bytes], port: int, token: str, messages: Path | None = None) -> None:
    """Return when the server answers; ``messages`` is the file that its stderr goes to, if not the terminal.

    Errors: LabError if it ends first or does not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while not answers(port, token):
        if server.poll() is not None:
            raise LabError(f"JupyterLab ended at once, with status {server.returncode}{_says(messages)}")
        if time.monotonic() > deadline:
            raise LabError(f"JupyterLab did not answer within {START_SECONDS:.0f} s{_says(messages)}")
        time.sleep(0.2)


def _says(messages: Path | None) -> str:
    if messages is None:
        return "; its messages stand above"
    return f":\n{messages.read_text(encoding='utf-8', errors='replace')[-TAIL:]}"


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its kernels: politely first, by force if it does not listen."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    if server.poll() is None:
        server.kill()
        server.wait()


def announce(address: str, browser: bool) -> None:
    """Print the address, and open it where a browser can be seen."""
    print(f"\nJupyterLab runs at\n\n    {address}\n", flush=True)
    opened = browser and webbrowser.open(address)
    print(
        "Your browser opens it." if opened else "Open this address in a browser.",
        "Stop it with Ctrl-C.",
        flush=True,
    )


def serve(port: int, browser: bool) -> None:
    """Run JupyterLab until it ends or a signal asks to end it."""
    token = secrets.token_hex(24)
    port = free_port(port)
    # A session of its own: Ctrl-C must reach us alone, or the server asks whether it is meant.
    server = subprocess.Popen(
        command(port), env=environment(token), stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait(server, port, token)
        announce(f"http://{HOST}:{port}/lab?token={token}", browser)
        server.wait()
    finally:
        stop(server)


def main(arguments: list[str] | None = None) -> int:
    """Start JupyterLab as the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--port", type=int, default=8888, help="where to listen; the next free one if it is taken"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    options = parser.parse_args(arguments)
    for name in ("SIGTERM", "SIGHUP"):  # a closed terminal must not leave a server behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        serve(options.port, browser=has_display() and not options.no_browser)
    except KeyboardInterrupt:
        print("\nJupyterLab has stopped.", flush=True)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
