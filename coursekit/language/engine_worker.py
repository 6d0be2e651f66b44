"""The process in which llama.cpp runs: what crashes it, a damaged file for one, cannot take a notebook along.

Started as a script by ``coursekit.language.engines``, it loads nothing of coursekit. Each line on its
standard input is a request in JSON; the answer is a line in JSON and as many bytes as that line says.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any, BinaryIO

__all__ = ["Library", "Loaded", "answer", "bound", "main"]

KEYS = {"F32": 0, "F16": 1}  # ggml's numbers
TYPES = {
    "bool": ctypes.c_bool,
    "float": ctypes.c_float,
    "size_t": ctypes.c_size_t,
    "int8_t": ctypes.c_int8,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "text": ctypes.c_char_p,
    "void*": ctypes.c_void_p,
}
# What functions return and take, where only a library's header says what its structs hold.
SIGNATURES = {
    "ggml_backend_load_all": ("",),
    "llama_backend_init": ("",),
    "llama_model_default_params": ("llama_model_params",),
    "llama_context_default_params": ("llama_context_params",),
    "llama_model_quantize_default_params": ("llama_model_quantize_params",),
    "llama_model_load_from_file": ("void*", "text", "llama_model_params"),
    "llama_model_get_vocab": ("void*", "void*"),
    "llama_vocab_n_tokens": ("int32_t", "void*"),
    "llama_init_from_model": ("void*", "void*", "llama_context_params"),
    "llama_get_memory": ("void*", "void*"),
    "llama_memory_clear": ("", "void*", "bool"),
    "llama_batch_init": ("llama_batch", "int32_t", "int32_t", "int32_t"),
    "llama_batch_free": ("", "llama_batch"),
    "llama_decode": ("int32_t", "void*", "llama_batch"),
    "llama_get_logits_ith": ("float*", "void*", "int32_t"),
    "llama_free": ("", "void*"),
    "llama_model_free": ("", "void*"),
    "llama_tokenize": ("int32_t", "void*", "text", "int32_t", "int32_t*", "int32_t", "bool", "bool"),
    "llama_model_quantize": ("uint32_t", "text", "text", "llama_model_quantize_params*"),
}


def bound(path: str, structs: dict[str, list[tuple[str, str]]], kinds: dict[str, int]) -> SimpleNamespace:
    """Return a library's functions, as the packages with declarations in Python have them.

    Parameters
    ----------
    path : str
        The library.
    structs, kinds : dict
        As ``llama_h.declared`` returns them.

    Returns
    -------
    SimpleNamespace
        Those of ``SIGNATURES`` that it has, and the numbers of kinds of files.
    """

    def named(name: str) -> Any:
        base = name if name in types else name.rstrip("*")
        found = types[base]
        for _ in name[len(base) :]:
            found = ctypes.POINTER(found)
        return found

    types: dict[str, Any] = {"": None, **TYPES}
    for struct, fields in structs.items():
        body = {"_fields_": [(field, named(kind)) for field, kind in fields]}
        types[struct] = type(struct, (ctypes.Structure,), body)
    library, api = ctypes.CDLL(path), SimpleNamespace(__name__=path)
    for name, (result, *takes) in SIGNATURES.items():
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype, function.argtypes = named(result), [named(each) for each in takes]
            setattr(api, name, function)
    for name, number in kinds.items():
        setattr(api, f"LLAMA_FTYPE_MOSTLY_{name}", number)
    return api


class Library:
    """Functions of llama.cpp by what they do: their names changed over the years.

    Parameters
    ----------
    source : str or dict
        A module that declares them in Python, or what ``bound`` takes.
    """

    def __init__(self, source: str | dict[str, Any]) -> None:
        self.api: Any = importlib.import_module(source) if isinstance(source, str) else bound(**source)
        if hasattr(self.api, "ggml_backend_load_all"):  # builds whose parts are files of their own
            self.api.ggml_backend_load_all()
        self.api.llama_backend_init()

    def find(self, *names: str) -> Any:
        """Return the first of these functions that there is."""
        for name in names:
            if hasattr(self.api, name):
                return getattr(self.api, name)
        raise AttributeError(f"this llama.cpp has none of {', '.join(names)}")

    def load(self, path: str) -> Any:
        """Return a model of a file."""
        options = self.api.llama_model_default_params()
        options.n_gpu_layers = 0
        load = self.find("llama_model_load_from_file", "llama_load_model_from_file")
        model = load(os.fsencode(path), options)
        if not model:
            raise ValueError("llama.cpp does not take the file")
        return model

    def start(self, model: Any, context: int, threads: int, keys: str) -> Any:
        """Return a context: the memory that a model computes in."""
        options = self.api.llama_context_default_params()
        options.n_ctx = options.n_batch = context
        options.n_threads = options.n_threads_batch = threads
        options.type_k = KEYS[keys]
        for name, value in (("flash_attn", False), ("flash_attn_type", 0), ("no_perf", True)):
            if hasattr(options, name):
                setattr(options, name, value)
        started = self.find("llama_init_from_model", "llama_new_context_with_model")(model, options)
        if not started:
            raise ValueError("llama.cpp has no memory for this context")
        return started

    def forget(self, context: Any) -> None:
        """Empty the cache of keys and values."""
        if hasattr(self.api, "llama_memory_clear"):
            self.api.llama_memory_clear(self.api.llama_get_memory(context), True)
        else:
            self.find("llama_kv_self_clear", "llama_kv_cache_clear")(context)

    def round(self, source: str, target: str, kind: str) -> None:
        """Write a file again with its matrices rounded."""
        options = self.api.llama_model_quantize_default_params()
        options.ftype = self.find(f"LLAMA_FTYPE_MOSTLY_{kind}")
        options.nthread = 1
        if self.api.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(options)):
            raise ValueError(f"llama.cpp could not round it to {kind}")


class Loaded:
    """A model in memory, with the one sequence that it reads.

    Parameters
    ----------
    library : Library
        That runs it.
    path : str
        The file.
    threads : int
        To compute with.
    context : int
        Tokens that it reads at most.
    keys : str
        The format of keys in the cache, one of ``KEYS``. Values stay in FP16.
    """

    def __init__(self, library: Library, path: str, threads: int, context: int, keys: str) -> None:
        self.engine = library
        self.model = library.load(path)
        get = library.find("llama_model_get_vocab")
        self.vocabulary = get(self.model)
        self.tokens = int(library.find("llama_vocab_n_tokens", "llama_n_vocab")(self.vocabulary))
        self.context = library.start(self.model, context, threads, keys)
        self.batch = library.api.llama_batch_init(context, 0, 1)

    def read(self, tokens: list[int], begin: int, every: bool) -> Any:
        """Let the model read tokens at the positions from ``begin`` on; return a pointer to the logits."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place] = token, begin + place
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = 0
            batch.logits[place] = every or place == len(tokens) - 1
        if self.engine.api.llama_decode(self.context, batch):
            raise ValueError("llama.cpp could not compute this")
        return self.engine.api.llama_get_logits_ith(self.context, 0 if every else len(tokens) - 1)

    def free(self) -> None:
        """Give its memory back."""
        self.engine.api.llama_batch_free(self.batch)
        self.engine.api.llama_free(self.context)
        self.engine.find("llama_model_free", "llama_free_model")(self.model)

    def logits(self, rows: list[list[int]]) -> bytes:
        """Return float32 [rows, tokens, vocabulary], row by row."""
        found = []
        for row in rows:
            self.engine.forget(self.context)
            pointer = self.read(row, 0, True)
            found.append(ctypes.string_at(pointer, 4 * len(row) * self.tokens))
        return b"".join(found)

    def write(self, prompt: list[int], new: int, stop: int | None) -> list[int]:
        """Return the greedy continuation."""
        import numpy as np

        self.engine.forget(self.context)
        unread, written, place = prompt, list[int](), 0
        while len(written) < new:
            pointer = self.read(unread, place, False)
            place += len(unread)
            written.append(int(np.ctypeslib.as_array(pointer, (self.tokens,)).argmax()))
            unread = written[-1:]
            if written[-1] == stop:
                break
        return written

    def cut(self, text: str) -> list[int]:
        """Return a text's tokens."""
        raw = text.encode("utf-8")
        room = (ctypes.c_int32 * (len(raw) + 1))()
        takes_model = "ik_llama_cpp" in self.engine.api.__name__
        of = self.model if takes_model else self.vocabulary
        count = self.engine.api.llama_tokenize(of, raw, len(raw), room, len(room), False, False)
        return list(room[:count])


def answer(
    library: Library, models: dict[tuple[Any, ...], Loaded], asked: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    """Do what one request asks for.

    Parameters
    ----------
    library : Library
        Llama.cpp.
    models : dict
        Those loaded so far; a file that changed is loaded again.
    asked : dict
        The request.

    Returns
    -------
    tuple of dict and bytes
        The line of the answer, and what follows it.
    """
    if asked["do"] == "hello":
        return {}, b""
    if asked["do"] == "round":
        library.round(asked["source"], asked["target"], asked["kind"])
        return {}, b""
    key = tuple(asked["model"])
    if asked["do"] == "close":
        if key in models:
            models.pop(key).free()
        return {}, b""
    if key not in models:
        models[key] = Loaded(library, *key[:4])
    model = models[key]
    if asked["do"] == "logits":
        return {}, model.logits(asked["rows"])
    if asked["do"] == "write":
        return {"tokens": model.write(asked["tokens"], asked["new"], asked["stop"])}, b""
    if asked["do"] == "cut":
        return {"tokens": model.cut(asked["text"])}, b""
    return {"vocabulary": model.tokens}, b""


def main(source: str | dict[str, Any], path: list[str]) -> None:
    """Answer requests until the other end is closed.

    Parameters
    ----------
    source : str or dict
        As ``Library`` takes it.
    path : list of str
        Where Python looks for packages.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # stops the notebook's cell, which then ends this process
    sys.path[:] = path
    out: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # llama.cpp writes what it likes to standard output
    library = Library(source)
    models: dict[tuple[Any, ...], Loaded] = {}
    for line in sys.stdin.buffer:
        try:
            said, raw = answer(library, models, json.loads(line))
        except (ValueError, AttributeError, OSError) as error:
            said, raw = {"error": str(error)}, b""
        out.write(json.dumps({**said, "bytes": len(raw)}).encode() + b"\n" + raw)
        out.flush()


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
