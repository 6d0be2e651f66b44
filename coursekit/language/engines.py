"""llama.cpp, found on this machine and run beside the notebook: in a process of its own, and within a time.

Source: ggml-org/llama.cpp, include/llama.h.
"""

import contextlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from coursekit._core import arguments, display, files
from coursekit.language import engine_worker, finding
from coursekit.language.finding import FORK, INSTALLED, ORDER, PACKAGES
from coursekit.language.gguf.reading import GGUFFile
from coursekit.language.tokens import numbers_of

__all__ = ["KINDS", "Engine", "EngineModel", "llama_cpp"]

ADVICE = (
    "To get it: pip install --no-deps ik-llama-cpp-python==0.1.5 (Linux, Python up to 3.13) "
    "or llama-cpp-py-sync==0.11739 (Windows, macOS, Linux with glibc 2.38)"
)
PROGRAM = "llama-quantize"
KINDS = (
    *("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0"),
    *("Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"),
)
SECONDS = 60.0
MOST_CONTEXT = 2048
LAST_SECONDS, LAST_WORDS = 2.0, 300  # characters of what llama.cpp said that a message repeats


def llama_cpp(seconds: float = SECONDS) -> "Engine":
    """Find llama.cpp on this machine: in one of three packages, or as a library beside a program on the path.

    The packages are ``llama-cpp-python``, ``llama-cpp-py-sync`` and ``ik-llama-cpp-python``. Homebrew, conda
    and ``cmake --install`` put a library and its header beside the programs; a program alone gives no logits.

    Parameters
    ----------
    seconds : float, optional
        The most that one call may take; then its process is ended.

    Returns
    -------
    Engine
        Running.

    Raises
    ------
    ImportError
        If there is none that runs, with the line that installs one.
    """
    seconds, failed = arguments.positive("seconds", seconds, "seconds"), []
    for package in ORDER:
        if finding.place(package) is None:
            continue
        try:
            return Engine(package, seconds)
        except RuntimeError as error:
            failed.append(f"{PACKAGES.get(package, 'llama.cpp')} is installed, but {error}")
    raise ImportError(f"{'; '.join(failed) or 'llama.cpp is not installed'}. {ADVICE}")


class Engine(display.Text):
    """llama.cpp in a process of its own, as :func:`llama_cpp` finds it.

    If a file or a call brings that process down, an error says so and the next call starts another.

    Parameters
    ----------
    package : {"llama_cpp", "llama_cpp_py_sync", "ik_llama_cpp", "installed"}
        The package that carries it, or where its programs are on the path.
    seconds : float, optional
        The most that one call may take.

    Raises
    ------
    RuntimeError
        If it does not start.
    """

    def __init__(self, package: str, seconds: float = SECONDS) -> None:
        self.package = arguments.choice("package", package, ORDER)
        self.seconds = arguments.positive("seconds", seconds, "seconds")
        self.name = PACKAGES.get(self.package, "llama.cpp")
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] | None = None
        self._end: Any = None
        self.ask({"do": "hello"})

    @property
    def version(self) -> str:
        """Of the package; a library alone does not say it."""
        try:
            return importlib.metadata.version(self.name)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    def __str__(self) -> str:
        if self.package == INSTALLED:
            return f"llama.cpp in {finding.place(INSTALLED)}"
        return f"llama.cpp of {self.name} {self.version}"

    def open(
        self, path: str | Path, threads: int = 1, context: int | None = None, keys: str = "F16"
    ) -> "EngineModel":
        """Load a GGUF file.

        Parameters
        ----------
        path : path
            The file.
        threads : int, optional
            To compute with.
        context : int, optional
            Tokens that it reads at most; by default what the file says, up to 2,048.
        keys : {"F16", "F32"}, optional
            What its cache stores keys in; values are always FP16.

        Returns
        -------
        EngineModel
            Tokens to logits, as any other model here.

        Raises
        ------
        FileNotFoundError, ValueError
            If it is no GGUF file that llama.cpp takes.
        RuntimeError
            If llama.cpp crashes on it, or takes too long.
        """
        return EngineModel(self, path, threads, context, keys)

    def quantize(self, source: str | Path, target: str | Path, kind: str) -> Path:
        """Round a file's matrices with llama.cpp's own program.

        Parameters
        ----------
        source : path
            A GGUF file in F32 or F16.
        target : path
            A new file, or a regular one that is replaced.
        kind : str
            One of ``KINDS``, such as Q4_K_M.

        Returns
        -------
        Path
            The new file.

        Raises
        ------
        FileNotFoundError, ValueError
            If ``source`` is no GGUF file, or ``target`` is no place for one.
        RuntimeError
            If llama.cpp refuses, or takes too long.
        """
        kind, source = arguments.choice("kind", kind, KINDS), GGUFFile(source).path.absolute()
        target = arguments.target("target", target).absolute()
        with files.replacing(target) as part:
            self._round(source, part, kind)
            if not part.is_file() or GGUFFile(part).formats.keys() != GGUFFile(source).formats.keys():
                raise RuntimeError(f"{self} wrote no whole file in {kind}")
            arguments.target("target", target)
        return target

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Send one request to the process, which is started if none runs.

        Parameters
        ----------
        request : dict
            As ``engine_worker`` understands it.

        Returns
        -------
        tuple of dict and bytes
            What it said, and the bytes that followed.

        Raises
        ------
        ValueError
            With llama.cpp's reason, if it refuses.
        RuntimeError
            If the process ends, or takes too long.
        """
        process, late = self._started(), threading.Event()
        timer = threading.Timer(self.seconds, _stop, (process, late))
        timer.daemon = True
        timer.start()
        try:
            said, raw = _exchange(process, request)
        except (OSError, ValueError):
            raise RuntimeError(self._obituary(process, late.is_set())) from None
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
        if "error" in said:
            raise ValueError(f"{said['error']}{self._last_words()}")
        return said, raw

    def close(self) -> None:
        """End the process; another call starts a new one."""
        if self._end is not None:
            self._end()
        self._process = self._words = self._end = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            try:
                told = [json.dumps(finding.binding(self.package)), json.dumps(sys.path)]
            except (OSError, ValueError) as error:
                raise RuntimeError(str(error)) from None
            self._words = tempfile.TemporaryFile()  # noqa: SIM115 (closed by _end)
            self._process = subprocess.Popen(
                [sys.executable, "-I", engine_worker.__file__, *told],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
            )
            self._end = weakref.finalize(self, _end, self._process, self._words)
        return self._process

    def _obituary(self, process: subprocess.Popen[bytes], late: bool) -> str:
        """Say how the process ended; one that closed its output is given the time to end by itself."""
        if not late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LAST_SECONDS)
        process.kill()
        code = process.wait()
        how = f"took more than {self.seconds:g} s" if late else f"ended with status {code}"
        words = self._last_words()
        self.close()
        return f"{self.name}'s process {how}{words}"

    def _last_words(self) -> str:
        """Return the last line that llama.cpp wrote, if any, and forget all of them."""
        if self._words is None:
            return ""
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").split("\n")
        self._words.truncate(0)
        said = [" ".join(line.split()) for line in lines if line.strip(" .")]
        return f": {said[-1][:LAST_WORDS]}" if said else ""

    def _round(self, source: Path, part: Path, kind: str) -> None:
        program = self._program()
        if program is None:
            self.ask({"do": "round", "source": str(source), "target": str(part), "kind": kind})
            return
        try:
            done = subprocess.run(
                [program, source, part, kind, "1"], capture_output=True, timeout=self.seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{PROGRAM} took more than {self.seconds:g} s") from None
        if done.returncode:
            words = " ".join(done.stderr.decode("utf-8", "replace").split())
            raise RuntimeError(f"{PROGRAM} refused {source.name}: {words[-LAST_WORDS:]}")

    def _program(self) -> str | None:
        """Return the program that rounds, where the library has no function for it."""
        folder = finding.place(self.package)
        if self.package != FORK or folder is None:
            return None
        own = (str(path) for path in (folder / "bin").glob(f"{PROGRAM}*"))
        return next(own, None) or shutil.which(PROGRAM)


class EngineModel(nn.Module):
    """A GGUF file that llama.cpp has loaded: tokens in, logits out, as any model of the course.

    Parameters
    ----------
    engine : Engine
        That runs it.
    path : path
        The file.
    threads : int
        To compute with.
    context : int, optional
        Tokens that it reads at most; by default what the file says, up to 2,048.
    keys : {"F16", "F32"}, optional
        What its cache stores keys in; values are always FP16.

    Attributes
    ----------
    path : Path
        The file.
    """

    def __init__(
        self,
        engine: Engine,
        path: str | Path,
        threads: int = 1,
        context: int | None = None,
        keys: str = "F16",
    ) -> None:
        super().__init__()
        self.engine = arguments.instance("engine", engine, Engine)
        file = GGUFFile(path)
        self.path = file.path.absolute()
        threads, said = arguments.size("threads", threads), file.metadata.get("llama.context_length")
        most = min(said, MOST_CONTEXT) if type(said) is int and said > 0 else MOST_CONTEXT
        self.context = most if context is None else arguments.size("context", context)
        keys, about = arguments.choice("keys", keys, engine_worker.KEYS), self.path.stat()
        self._key = [str(self.path), threads, self.context, keys, about.st_mtime_ns, about.st_size]
        self.config = SimpleNamespace(vocab_size=self._ask(do="open")["vocabulary"], context=self.context)

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each one.

        Parameters
        ----------
        tokens : Tensor
            int64 [batch, n], row by row a text of its own.

        Returns
        -------
        Tensor
            float32 [batch, n, vocab_size].

        Raises
        ------
        ValueError
            For other tensors, too many tokens, or numbers that are not in the vocabulary.
        RuntimeError
            If llama.cpp crashes or takes too long.
        """
        if not isinstance(tokens, Tensor) or tokens.dim() != 2 or not tokens.numel():
            raise ValueError(f"tokens must be an int64 tensor [batch, n]; got {arguments.shown(tokens)}")
        rows = [self._checked(row, 0) for row in tokens]
        _, raw = self.engine.ask({"do": "logits", "model": self._key, "rows": rows})
        found = torch.from_numpy(np.frombuffer(raw, np.float32).copy())
        return found.view(*tokens.shape, self.config.vocab_size)

    def generate(self, tokens: Iterable[int] | Tensor, new: int, *, stop: int | None = None) -> list[int]:
        """Return the greedy continuation, computed with a cache.

        Parameters
        ----------
        tokens : iterable of int or Tensor
            The prompt, at least one token.
        new : int
            How many to add at most.
        stop : int, optional
            The token after which to stop.

        Returns
        -------
        list of int
            The new tokens only.

        Raises
        ------
        ValueError
            For an empty prompt, or more tokens than it reads.
        RuntimeError
            If llama.cpp crashes or takes too long.
        """
        new = arguments.integer("new", new, 0)
        prompt = self._checked(tokens, new)
        stop = None if stop is None else arguments.integer("stop", stop, 0)
        return list(self._ask(do="write", tokens=prompt, new=new, stop=stop)["tokens"])

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens, as llama.cpp cuts it by what the file says.

        Parameters
        ----------
        text : str
            Any text.

        Returns
        -------
        list of int
            Their numbers.
        """
        return list(self._ask(do="cut", text=arguments.label("text", text))["tokens"])

    def close(self) -> None:
        """Free its memory; another call loads it again."""
        self._ask(do="close")

    def _ask(self, **request: Any) -> dict[str, Any]:
        return self.engine.ask({"model": self._key, **request})[0]

    def _checked(self, tokens: Iterable[int] | Tensor, new: int) -> list[int]:
        row = numbers_of(tokens)
        if not 1 <= len(row) + new <= self.context or not row:
            raise ValueError(
                f"tokens must be 1 to {self.context}, new ones included; got {len(row)} and {new}"
            )
        if max(row) >= self.config.vocab_size:
            raise ValueError(f"tokens must be below {self.config.vocab_size}; got {max(row)}")
        return row


def _exchange(process: subprocess.Popen[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    assert process.stdin is not None  # pipes, as asked for
    assert process.stdout is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    said = json.loads(process.stdout.readline())
    raw = process.stdout.read(said["bytes"])
    if len(raw) < said["bytes"]:
        raise ValueError("cut off")
    return said, raw


def _stop(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _end(process: subprocess.Popen[bytes], words: IO[bytes]) -> None:
    """End a process and close what belongs to it."""
    process.kill()
    process.wait()
    for stream in _streams(process, words):
        stream.close()


def _streams(process: subprocess.Popen[bytes], words: IO[bytes]) -> Iterator[IO[bytes]]:
    yield words
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            yield stream
