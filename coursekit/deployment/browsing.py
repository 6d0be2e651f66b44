"""A folder with a web page that runs a network in the reader's browser, and needs nothing from elsewhere."""

import html
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit import onnx_models
from coursekit._core import arguments, display
from coursekit.deployment.runtimes import FEATURES, HERE, WEB, node_package
from coursekit.deployment.serving import Server

__all__ = ["Page", "page", "shrink"]

OURS = {"page.html": "index.html", "page.js": "page.js"}
THEIRS = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
# Said for certain: a browser compiles no script and no WebAssembly of another type.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
}
SIDE, FINE, INK = 8, 32, 127
MOST_MODELS = 4
FRAME = 'width="100%" height="600" style="border:1px solid #888" title="A network in your browser"'


@dataclass(frozen=True, repr=False)
class Page(display.Shown):
    """A folder that a browser can open, as ``page`` writes it.

    Parameters
    ----------
    folder : Path
        Put it on any web server: it is whole.
    models : tuple of str
        The names of the networks in it.
    """

    folder: Path
    models: tuple[str, ...]
    _server: list[Server] = field(default_factory=list, compare=False)

    @property
    def size_bytes(self) -> int:
        """What a browser loads, before a server compresses it."""
        return sum(file.stat().st_size for file in self.folder.iterdir())

    @property
    def url(self) -> str:
        """The address on this machine; nobody else can open it. The server runs until ``close``."""
        if not self._server:
            self._server.append(Server(self._answer))
            self._server[0].start()
        return self._server[0].url

    def close(self) -> None:
        """End the server; the folder stays. Doing so twice does no harm."""
        while self._server:
            self._server.pop().stop()

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{', '.join(self.models)} in {display.size(self.size_bytes)}: {self.folder}"

    def _repr_html_(self) -> str:
        if "google.colab" in sys.modules:  # the browser is elsewhere, and Colab leads it to this machine
            from google.colab import output

            output.serve_kernel_port_as_iframe(int(self.url.rpartition(":")[2]), height="600")
            return f"<div>{html.escape(str(self))}</div>"
        link = f'<a href="{self.url}/" target="_blank">{self.url}</a>'
        advice = "If the frame stays empty, your browser is not on this machine: download the folder."
        frame = f'<iframe src="{self.url}/" {FRAME}></iframe>'
        return f"{frame}<div>{html.escape(str(self))}</div><div>{advice} {link}</div>"

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the files of the folder, by their names only."""
        if scope["type"] != "http":
            return
        name = scope["path"].removeprefix("/") or "index.html"
        files = {file.name: file for file in self.folder.iterdir() if file.is_file()}
        found = files.get(name) if scope["method"] in ("GET", "HEAD") else None
        body = found.read_bytes() if found else b"not here\n"
        kind = TYPES.get(found.suffix, "application/octet-stream") if found else "text/plain"
        head = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        head.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def page(folder: str | Path, models: Mapping[str, str | Path], pictures: Any = None) -> Page:
    """Write a web page that runs networks where it is opened: all that it needs lies in its folder.

    ONNX Runtime for browsers comes from npm's onnxruntime-web, wherever ``node_package`` finds it.

    Parameters
    ----------
    folder : path
        A new or an empty one, or one that this function wrote before.
    models : mapping of str to path
        ONNX files from pictures [n, 64] to logits [n, 10], by the names that the page shows; up to four.
    pictures : array_like, optional
        Pictures, float32 [n, 64], on which the page can compare its labels with Python's.

    Returns
    -------
    Page
        Show it in a notebook, open its ``url``, or put its folder on a server.

    Raises
    ------
    ImportError
        If onnxruntime-web is not here, with the line that gets it.
    TypeError, ValueError, FileNotFoundError
        For files that are no such networks, or a folder that holds something else.
    """
    runners = _runners(models)
    check = None if pictures is None else _check(runners, pictures)
    dist = node_package(WEB) / "dist"
    place = _emptied(arguments.path("folder", folder).absolute())
    for name in THEIRS:
        shutil.copyfile(dist / name, place / name)
    for name, target in OURS.items():
        shutil.copyfile(HERE / name, place / target)
    files = {}
    for number, (name, runner) in enumerate(runners.items()):
        files[name] = f"model-{number}.onnx"
        shutil.copyfile(runner.path, place / files[name])
    text = json.dumps({"files": files, "check": check})
    (place / "page.json").write_text(text + "\n", encoding="utf-8")
    return Page(place, tuple(runners))


def shrink(pixels: Any) -> NDArray[np.float32]:
    """Return a drawing as the network gets it: what the page does with its canvas, number for number.

    The drawing is cut out and looked at in 32 × 32 points; those with ink are counted in squares of 4 × 4.

    Parameters
    ----------
    pixels : array_like
        Brightness from 0 to 255, [height, width]; more than 127 is ink.

    Returns
    -------
    ndarray
        float32 [64], from 0 to 1; zeros where there is no ink.

    Raises
    ------
    TypeError, ValueError
        For what is no picture.
    """
    ink = arguments.array("pixels", pixels, np.float32, 2) > INK
    if not ink.any():
        return np.zeros(SIDE * SIDE, np.float32)
    spans = [np.flatnonzero(ink.any(axis)) for axis in (1, 0)]
    side = max(int(span[-1] - span[0]) for span in spans) + 1
    steps = (2 * np.arange(FINE) + 1) * side
    rows, columns = ((FINE * (int(s[0]) + int(s[-1]) + 1 - side) + steps) // (2 * FINE) for s in spans)
    inside = ((rows >= 0) & (rows < ink.shape[0]))[:, None] & ((columns >= 0) & (columns < ink.shape[1]))
    found = inside & ink[np.ix_(rows.clip(0, ink.shape[0] - 1), columns.clip(0, ink.shape[1] - 1))]
    step = FINE // SIDE
    return (found.reshape(SIDE, step, SIDE, step).sum((1, 3)) / step**2).astype(np.float32).ravel()


def _runners(models: Any) -> dict[str, onnx_models.Runner]:
    if not isinstance(models, Mapping) or not 1 <= len(models) <= MOST_MODELS:
        raise TypeError(f"models must map 1 to {MOST_MODELS} names to files; got {arguments.shown(models)}")
    found = {arguments.text("a name", name, 20): _runner(path) for name, path in models.items()}
    blank = np.zeros((2, FEATURES), np.float32)
    for name, runner in found.items():
        wanted = [(runner.inputs[0][1:]), len(runner.inputs)] == [("float32", 2), 1]
        if not wanted or runner.shapes[0][1] not in (FEATURES, None) or runner(blank).shape != (2, 10):
            raise ValueError(f"models[{name!r}] must take float32 [n, {FEATURES}] and give logits [n, 10]")
    return found


def _runner(path: Any) -> onnx_models.Runner:
    return onnx_models.load(path, device="cpu")


def _check(runners: Mapping[str, onnx_models.Runner], pictures: Any) -> dict[str, Any]:
    x = arguments.array("pictures", pictures, np.float32, 2)
    if not len(x) or x.shape[1] != FEATURES:
        raise ValueError(f"pictures must have shape [n, {FEATURES}]; got {x.shape}")
    labels = {name: runner.labels(x).tolist() for name, runner in runners.items()}
    return {"pictures": x.tolist(), "labels": labels}


def _emptied(folder: Path) -> Path:
    """Make the folder, and remove what this function left there before; refuse anything else in it."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder must be a folder; got {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    ours = {*OURS.values(), *THEIRS, "page.json", *(f"model-{n}.onnx" for n in range(MOST_MODELS))}
    foreign = sorted(file.name for file in folder.iterdir() if file.name not in ours)
    if foreign:
        raise ValueError(f"folder must be new or empty; {folder} holds {foreign[0]}")
    for file in folder.iterdir():
        file.unlink()
    return folder
