"""llama.cpp beside the notebook: how it is found, asked, timed and survived, with a stand-in that needs none.

What the real one computes is tested in ``places/test_language.py``.
"""

import importlib
import os
import shutil
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from coursekit import language
from coursekit.language import engine_worker, engines, finding, gguf

# llama.cpp's functions in Python: the logits of a token are largest for the next number. Some tokens do harm.
STAND_IN = """
import ctypes, os, time
TOKENS = 8
class Options(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in (
        "n_gpu_layers", "n_ctx", "n_batch", "n_threads", "n_threads_batch", "type_k", "type_v", "flash_attn")]
class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
                ("logits", ctypes.POINTER(ctypes.c_int8))]
kept, state = [], {}
def llama_backend_init(): print("loud on standard output")
def llama_model_default_params(): return Options()
def llama_context_default_params(): return Options()
def llama_model_load_from_file(path, options):
    with open(path, "rb") as file:
        file.seek(24)
        return 0 if b"refuse" in file.read(60) else 7
def llama_model_get_vocab(model): return 8
def llama_vocab_n_tokens(vocabulary): return TOKENS
def llama_init_from_model(model, options):
    assert options.flash_attn == 0
    return 100 + options.type_k
def llama_batch_init(tokens, embd, sequences):
    seq = [ctypes.c_int32() for _ in range(tokens)]
    rows = (ctypes.POINTER(ctypes.c_int32) * tokens)(*map(ctypes.pointer, seq))
    made = [(kind * tokens)() for kind in (ctypes.c_int32, ctypes.c_int32, ctypes.c_int32, ctypes.c_int8)]
    kept.extend([seq, rows, made])
    parts = [ctypes.cast(part, ctypes.POINTER(part._type_)) for part in made]
    return Batch(0, *parts[:3], ctypes.cast(rows, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), parts[3])
def llama_batch_free(batch): pass
def llama_free(context): state["freed"] = True
def llama_free_model(model): pass
def llama_kv_cache_clear(context): state["length"] = 0
def llama_decode(context, batch):
    tokens = [batch.token[n] for n in range(batch.n_tokens)]
    assert [batch.pos[n] for n in range(batch.n_tokens)] == list(
        range(state["length"], state["length"] + len(tokens)))
    state["length"] += len(tokens)
    if tokens[-1] == 5: os._exit(3)
    if tokens[-1] == 6: time.sleep(30)
    if tokens[-1] == 7: return 1
    rows = [n for n in range(len(tokens)) if batch.logits[n]]
    found = (ctypes.c_float * (TOKENS * len(rows)))()
    for place, n in enumerate(rows):
        found[TOKENS * place + (tokens[n] + 1) % 5] = 1 + context % 100
    state["found"] = found
    return 0
def llama_get_logits_ith(context, place): return ctypes.cast(state["found"], ctypes.POINTER(ctypes.c_float))
def llama_tokenize(model, raw, length, room, most, special, parse):
    assert model == 7
    for n in range(length): room[n] = raw[n] % TOKENS
    return length
"""
# What is called otherwise in llama-cpp-python, which also rounds in the library.
UPSTREAM = {
    '"flash_attn")': '"flash_attn_type", "no_perf")',
    "options.flash_attn == 0": "options.flash_attn_type == 0 and options.no_perf",
    "def llama_kv_cache_clear(context):": "def llama_get_memory(context): return 55\n"
    "def llama_memory_clear(memory, data):\n    assert memory == 55\n   ",
    "def llama_free_model": "def llama_model_free",
    "assert model == 7": "assert model == 8",
}
ROUNDING = """
LLAMA_FTYPE_MOSTLY_Q4_K_M = 15
class Rounding(ctypes.Structure):
    _fields_ = [("ftype", ctypes.c_int), ("nthread", ctypes.c_int)]
def llama_model_quantize_default_params(): return Rounding()
def llama_model_quantize(source, target, options):
    import shutil
    assert (options._obj.ftype, options._obj.nthread) == (15, 1)
    shutil.copy(os.fsdecode(source), os.fsdecode(target))
    return 0
"""
# A library with its header, as Homebrew leaves them; the compiler says where the fields of its structs are.
HEADER = """
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define API __attribute__((visibility("default")))
struct llama_model; struct llama_vocab; struct llama_context;
typedef int32_t llama_token; typedef int32_t llama_pos; typedef int32_t llama_seq_id;
typedef struct llama_memory_i * llama_memory_t;
typedef bool (*ggml_abort_callback)(void * data);
enum ggml_type { GGML_TYPE_F32 = 0, GGML_TYPE_F16 = 1 };
enum llama_ftype { LLAMA_FTYPE_ALL_F32 = 0, LLAMA_FTYPE_MOSTLY_Q4_K_M = 15 };
struct llama_model_params {
    const char * devices;  // a list; of names
    bool check;
    const struct llama_vocab * const_words;
    int32_t n_gpu_layers;
};
struct llama_context_params {
    bool swa;  /* bool not_here;
    still not */
    uint32_t n_ctx;
    uint32_t n_batch;
    size_t   room;
    int32_t  n_threads;
    int32_t  n_threads_batch;
    enum ggml_type type_k;
    enum ggml_type type_v;
    ggml_abort_callback abort_callback;
    int flash_attn_type;
    bool no_perf;
};
typedef struct llama_model_quantize_params {
    int32_t nthread; bool pure; enum llama_ftype ftype;
} llama_model_quantize_params;
typedef struct llama_batch {
    int32_t n_tokens;
    llama_token  *  token;
    float        *  embd;
    llama_pos    *  pos;
    int32_t      *  n_seq_id;
    llama_seq_id ** seq_id;
    int8_t       *  logits;
} llama_batch;
API void llama_backend_init(void);
API struct llama_model_params llama_model_default_params(void);
API struct llama_context_params llama_context_default_params(void);
API llama_model_quantize_params llama_model_quantize_default_params(void);
API struct llama_model * llama_model_load_from_file(const char * path, struct llama_model_params params);
API struct llama_context * llama_init_from_model(struct llama_model * model,
                                                 struct llama_context_params params);
API const struct llama_vocab * llama_model_get_vocab(const struct llama_model * model);
API int32_t llama_vocab_n_tokens(const struct llama_vocab * vocab);
API llama_memory_t llama_get_memory(const struct llama_context * context);
API void llama_memory_clear(llama_memory_t memory, bool data);
API llama_batch llama_batch_init(int32_t tokens, int32_t embd, int32_t sequences);
API void llama_batch_free(llama_batch batch);
API int32_t llama_decode(struct llama_context * context, llama_batch batch);
API float * llama_get_logits_ith(struct llama_context * context, int32_t place);
API void llama_free(struct llama_context * context);
API void llama_model_free(struct llama_model * model);
API int32_t llama_tokenize(const struct llama_vocab * vocab, const char * text, int32_t length,
                           llama_token * room, int32_t most, bool special, bool parse);
API uint32_t llama_model_quantize(const char * from, const char * to,
                                  const llama_model_quantize_params * params);
"""
SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include "llama.h"
struct llama_model { int layers; };
struct llama_context { struct llama_context_params params; int length; float logits[64 * 8]; };
void llama_backend_init(void) { puts("loud on standard output"); }
struct llama_model_params llama_model_default_params(void) {
    struct llama_model_params made = {0}; made.n_gpu_layers = 99; return made; }
struct llama_context_params llama_context_default_params(void) {
    struct llama_context_params made = {0};
    made.room = 7; made.type_v = 1; made.flash_attn_type = -1; return made; }
llama_model_quantize_params llama_model_quantize_default_params(void) {
    llama_model_quantize_params made = {8, true, 0}; return made; }
struct llama_model * llama_model_load_from_file(const char * path, struct llama_model_params params) {
    return params.n_gpu_layers || params.check ? NULL : calloc(1, sizeof(struct llama_model)); }
struct llama_context * llama_init_from_model(struct llama_model * model,
                                             struct llama_context_params params) {
    struct llama_context * made = calloc(1, sizeof(struct llama_context));
    made->params = params;
    return params.swa || params.room != 7 || params.n_ctx != 32 || params.n_batch != 32
        || params.n_threads != 2 || params.n_threads_batch != 2 || params.type_v != 1
        || params.abort_callback || params.flash_attn_type || !params.no_perf
        ? NULL : made; }
const struct llama_vocab * llama_model_get_vocab(const struct llama_model * model) { return (void *) model; }
int32_t llama_vocab_n_tokens(const struct llama_vocab * vocab) { return 8; }
llama_memory_t llama_get_memory(const struct llama_context * context) { return (void *) context; }
void llama_memory_clear(llama_memory_t memory, bool data) { ((struct llama_context *) memory)->length = 0; }
llama_batch llama_batch_init(int32_t tokens, int32_t embd, int32_t sequences) {
    llama_batch made = {0};
    made.token = calloc(tokens, 4); made.pos = calloc(tokens, 4); made.n_seq_id = calloc(tokens, 4);
    made.logits = calloc(tokens, 1); made.seq_id = calloc(tokens, sizeof(void *));
    for (int n = 0; n < tokens; n++) made.seq_id[n] = calloc(1, 4);
    return made; }
void llama_batch_free(llama_batch batch) {}
int32_t llama_decode(struct llama_context * context, llama_batch batch) {
    int row = 0;
    for (int n = 0; n < batch.n_tokens; n++) {
        if (batch.pos[n] != context->length++ || batch.n_seq_id[n] != 1 || batch.seq_id[n][0]) return 1;
        if (!batch.logits[n]) continue;
        for (int k = 0; k < 8; k++) context->logits[8 * row + k] = 0;
        context->logits[8 * row++ + (batch.token[n] + 1) % 5] = 1 + context->params.type_k; }
    return 0; }
float * llama_get_logits_ith(struct llama_context * context, int32_t place) { return context->logits; }
void llama_free(struct llama_context * context) { free(context); }
void llama_model_free(struct llama_model * model) { free(model); }
int32_t llama_tokenize(const struct llama_vocab * vocab, const char * text, int32_t length,
                       llama_token * room, int32_t most, bool special, bool parse) {
    for (int n = 0; n < length; n++) room[n] = (unsigned char) text[n] % 8;
    return length; }
uint32_t llama_model_quantize(const char * from, const char * to,
                              const llama_model_quantize_params * params) {
    char command[2000];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    return params->nthread != 1 || params->ftype != LLAMA_FTYPE_MOSTLY_Q4_K_M || !params->pure
        || system(command); }
"""
PROGRAM = """#!/bin/sh
case "$3" in Q2_K) echo "no such thing" >&2; exit 1;; Q3_K_S) sleep 30;; Q3_K_L) exit 0;; esac
cp "$1" "$2"
"""
COMPILERS = [found for found in [shutil.which("cc")] if found and sys.platform == "linux"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a package that looks like one that carries llama.cpp."""
    folder = tmp_path_factory.mktemp("engine")
    package = folder / "ik_llama_cpp"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "_ctypes_api.py").write_text(textwrap.dedent(STAND_IN))
    program = package / "bin" / "llama-quantize"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    gguf.write(folder / "model.gguf", {"llama.context_length": 32}, {"w": (torch.ones(4, 32).numpy(), "F32")})
    gguf.write(folder / "bad.gguf", {"refuse": 1}, {"w": (torch.ones(4, 32).numpy(), "F32")})
    sys.path.insert(0, str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] in engines.PACKAGES]:
        del sys.modules[name]  # a real one that is installed, too
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def upstream(folder):
    """Return an engine of the other package, with its names."""
    text = STAND_IN
    for ours, theirs in UPSTREAM.items():
        assert ours in text
        text = text.replace(ours, theirs)
    (folder / "llama_cpp").mkdir()
    (folder / "llama_cpp" / "__init__.py").touch()
    (folder / "llama_cpp" / "llama_cpp.py").write_text(text + ROUNDING)
    found = language.Engine("llama_cpp")
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine(folder):
    found = language.Engine("ik_llama_cpp")
    yield found
    found.close()


@pytest.fixture(scope="module")
def model(engine, folder):
    return engine.open(folder / "model.gguf")


def test_where_there_is_none_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(engines, "ORDER", ("no_such_package",))
    with pytest.raises(
        ImportError, match=r"^llama\.cpp is not installed\. To get it: pip install "
    ) as caught:
        language.llama_cpp()
    assert "\n" not in str(caught.value)


def test_one_that_does_not_start_is_told_and_passed_over(monkeypatch, folder):
    (folder / "broken_llama").mkdir()
    (folder / "broken_llama" / "__init__.py").write_text("raise OSError('libllama.so: not for this machine')")
    monkeypatch.setattr(engines, "ORDER", ("broken_llama",))
    monkeypatch.setitem(engines.PACKAGES, "broken_llama", "broken-llama")
    monkeypatch.setitem(finding.MODULES, "broken_llama", "broken_llama")
    with pytest.raises(ImportError, match=r"broken-llama is installed, but .*not for this.*To get it: pip"):
        language.llama_cpp()
    monkeypatch.setattr(engines, "ORDER", ("broken_llama", "ik_llama_cpp"))
    found = language.llama_cpp()
    assert found.package == "ik_llama_cpp"
    assert str(found).startswith("llama.cpp of ik-llama-cpp-python ")
    found.close()


def test_logits_come_row_by_row_and_texts_are_greedy(model):
    tokens = torch.tensor([[0, 1, 2], [4, 3, 1]])
    logits = model(tokens)
    assert logits.shape == (2, 3, 8)
    assert logits.dtype == torch.float32
    assert torch.equal(logits.argmax(-1), (tokens + 1) % 5)
    assert float(logits.max()) == 2.0, "its keys are in F16, ggml's number 1"
    assert model.generate([0, 1], 6) == [2, 3, 4, 0, 1, 2]
    assert model.generate([0, 1], 6, stop=4) == [2, 3, 4]
    assert model.generate([0], 0) == []
    assert model.encode("é") == [0xC3 % 8, 0xA9 % 8]


def test_keys_may_be_in_f32(engine, folder):
    assert float(engine.open(folder / "model.gguf", keys="F32")(torch.tensor([[0]])).max()) == 1.0
    with pytest.raises(ValueError, match="keys must be one of F32, F16; got 'Q8_0'"):
        engine.open(folder / "model.gguf", keys="Q8_0")


def test_a_file_that_it_refuses_is_an_error_of_ours(engine, folder):
    with pytest.raises(ValueError, match=r"llama\.cpp does not take the file"):
        engine.open(folder / "bad.gguf")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        engine.open(folder / "none.gguf")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.zeros(1, 33, dtype=torch.int64), "tokens must be 1 to 32, new ones included; got 33 and 0"),
        (torch.tensor([[9]]), "tokens must be below 8; got 9"),
        (torch.tensor([1, 2]), r"tokens must be an int64 tensor \[batch, n\]"),
        (torch.tensor([[7]]), "could not compute this"),
    ],
)
def test_what_it_cannot_read_is_refused(model, tokens, message):
    with pytest.raises(ValueError, match=message):
        model(tokens)


def test_a_crash_is_told_and_survived(model):
    with pytest.raises(RuntimeError, match="ik-llama-cpp-python's process ended with status 3"):
        model(torch.tensor([[5]]))
    assert model.generate([1], 2) == [2, 3]


def test_what_takes_too_long_is_ended(folder):
    engine = language.Engine("ik_llama_cpp", seconds=1)
    model = engine.open(folder / "model.gguf")
    begin = time.perf_counter()
    with pytest.raises(RuntimeError, match="process took more than 1 s"):
        model(torch.tensor([[6]]))
    assert time.perf_counter() - begin < 10
    assert model.generate([1], 2) == [2, 3]
    with pytest.raises(RuntimeError, match="llama-quantize took more than 1 s"):
        engine.quantize(folder / "model.gguf", folder / "late.gguf", "Q3_K_S")
    assert not (folder / "late.gguf").exists()
    engine.close()


def test_memory_is_given_back_and_taken_again(model):
    model.close()
    assert model.generate([1], 2) == [2, 3]


def test_rounding_writes_a_whole_file_or_none(engine, folder):
    made = engine.quantize(folder / "model.gguf", folder / "made.gguf", "Q4_K_M")
    assert made.read_bytes() == (folder / "model.gguf").read_bytes()
    with pytest.raises(RuntimeError, match="llama-quantize refused model.gguf: no such thing"):
        engine.quantize(folder / "model.gguf", folder / "made.gguf", "Q2_K")
    with pytest.raises(RuntimeError, match="wrote no whole file in Q3_K_L"):
        engine.quantize(folder / "model.gguf", folder / "made.gguf", "Q3_K_L")
    assert made.read_bytes() == (folder / "model.gguf").read_bytes()
    with pytest.raises(ValueError, match="kind must be one of F16, Q8_0"):
        engine.quantize(folder / "model.gguf", folder / "made.gguf", "Q9")
    with pytest.raises(ValueError, match="target must be a new file or a regular one"):
        engine.quantize(folder / "model.gguf", folder, "Q8_0")


def test_the_other_package_with_its_names_does_the_same(upstream, folder):
    model = upstream.open(folder / "model.gguf")
    assert model.generate([0, 1], 3) == [2, 3, 4]
    assert model.encode("a") == [ord("a") % 8]
    model.close()
    made = upstream.quantize(folder / "model.gguf", folder / "upstream.gguf", "Q4_K_M")
    assert made.read_bytes() == (folder / "model.gguf").read_bytes()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder of a stand-in that is a library, with its header and a program."""
    root = tmp_path_factory.mktemp("built") / "llama.cpp"
    for name in ("bin", "include", "lib"):
        (root / name).mkdir(parents=True)
    (root / "include" / "llama.h").write_text(HEADER)
    (root / "bin" / "llama-cli").write_text("#!/bin/sh\n")
    (root / "bin" / "llama-cli").chmod(0o755)
    source, library = root / "llama.c", root / "lib" / "libllama.so"
    source.write_text(SOURCE)
    options = ["-std=gnu11", "-shared", "-fPIC", "-I", str(root / "include"), "-o", str(library)]
    subprocess.run([shutil.which("cc"), *options, str(source)], check=True)
    return root


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_library_beside_a_program_on_the_path_does_the_same(compiler, built, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(built / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(engines, "ORDER", ("installed",))
    found = language.llama_cpp()
    assert str(found) == f"llama.cpp in {built}"
    for keys, most in (("F16", 2.0), ("F32", 1.0)):
        model = found.open(folder / "model.gguf", threads=2, keys=keys)
        assert float(model(torch.tensor([[0, 1, 2], [4, 3, 1]])).max()) == most
    assert model.generate([0, 1], 6, stop=4) == [2, 3, 4]
    assert model.encode("é") == [0xC3 % 8, 0xA9 % 8]
    model.close()
    made = found.quantize(folder / "model.gguf", folder / "installed.gguf", "Q4_K_M")
    assert made.read_bytes() == (folder / "model.gguf").read_bytes()
    with pytest.raises(ValueError, match="has none of LLAMA_FTYPE_MOSTLY_Q2_K"):
        found.quantize(folder / "model.gguf", folder / "installed.gguf", "Q2_K")
    found.close()


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are made otherwise")
@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "llama-server gives no logits, and there is no libllama with its llama.h in "),
        (HEADER.replace("llama_memory_clear", "llama_kv_clear"), "its header has no llama_memory_clear"),
        (HEADER.replace("struct llama_batch {", "struct batch {"), "its header has no struct llama_batch"),
        (HEADER.replace("size_t   room", "char room[8]"), r"a field of another form: char room\[8\]"),
        (HEADER.replace("size_t   room", "struct pair room"), "a field of another type: struct pair room"),
    ],
)
def test_a_program_alone_and_a_header_of_another_form_are_told(header, message, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "llama-server").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "llama-server").chmod(0o755)
    if header:
        (tmp_path / "include").mkdir()
        (tmp_path / "include" / "llama.h").write_text(header)
        (tmp_path / "lib64").mkdir()
        (tmp_path / "lib64" / "libllama.so").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(engines, "ORDER", ("installed",))
    said = rf"^llama\.cpp is installed, but .*{message}.*To get it: pip"
    with pytest.raises(ImportError, match=said) as caught:
        language.llama_cpp()
    assert "\n" not in str(caught.value)


def test_the_worker_loads_nothing_of_the_course():
    with open(engine_worker.__file__, encoding="utf-8") as file:
        assert "import coursekit" not in file.read().replace("from coursekit", "import coursekit")
