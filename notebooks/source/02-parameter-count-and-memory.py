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
# # 02 Parameter count and memory
#
# A model is a bag of numbers. Count them, multiply by the bytes of each, and you know its size before you download
# it. That is half of the story: the other half is what else has to fit beside it. After this notebook you can
#
# - count the parameters of a network by hand,
# - predict a model's size on disk and in memory, and say where the prediction is off,
# - name what training and long conversations need beside the weights, and compute it,
# - decide whether a model fits into a given device,
# - find the copies that a program makes in secret, and get rid of them.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs bits and formats, as in [notebook
# 01](01-floating-point-basics.ipynb). It does not cover how to make a model smaller (notebooks 05 to 08 do), nor how
# to split one over several machines.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q "{{install}}"
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import dataclasses
import math
import zipfile

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from coursekit import claims, exercises, memory, plots, widgets

runtime.start()

# %% [markdown]
# ## 1. How many numbers is a model?
#
# The small network of this course reads the 64 pixels of a digit, has 128 neurons in the middle, and answers with
# 10 numbers. Guess before you count: how many parameters is that?

# %%
exercises.predict("02-mlp", ..., unit="parameters")  # put your guess in place of the dots

# %% [markdown]
# A neuron has one weight for each input and one bias. So a layer has inputs × outputs weights and outputs biases.

# %% tags=["answer"]
pixels, neurons, classes = (64, 128, 10)
by_hand = (pixels * neurons + neurons) + (neurons * classes + classes)

mlp = nn.Sequential(nn.Linear(pixels, neurons), nn.ReLU(), nn.Linear(neurons, classes))
by_torch = sum(parameter.numel() for parameter in mlp.parameters())
print("by hand", by_hand, "  by torch", by_torch)
claims.show("02-mlp", measured=by_torch)

# %% tags=["answer"]
memory.by_layer(mlp)

# %% [markdown]
# The same sum works for a model that this machine could not hold. On torch's `meta` device a tensor has a shape
# but no numbers, so you can build LLaMA-7B and count it. It has 32 layers of the same kind; add them up by name. In
# each, attention has four matrices (`q`, `k`, `v`, `out`), and the other half has three wide ones (`gate`, `up`,
# `down`). Before the first layer and after the last, there is a row for each word of the vocabulary.

# %% tags=["nbval-ignore-output"]
told = runtime.progress("the shapes of LLaMA-7B", 1)
with torch.device("meta"):
    llama = memory.build("LLaMA-7B")
told()

# %%
parts = {}
for layer in memory.by_layer(llama).rows:
    name = layer.name.split(".")[-1]
    parts[name] = parts.get(name, 0) + layer.parameters / 1e9
print(f"{sum(parts.values()):.4f} billion parameters")

# %% jupyter={"source_hidden": true}
shown = {name: parts[name] for name in ("embedding", "q", "k", "v", "out", "gate", "up", "down", "head")}
wide = ["gate", "up", "down"]
share = sum(shown[name] for name in wide) / sum(shown.values())
picture, ax = plots.style.axes(height=3.4, alt="LLaMA-7B's parameters by kind of layer, one bar for each.")
plots.comparison.bars(
    ax,
    list(shown),
    list(shown.values()),
    unit="parameters (billions)",
    title=f"{100 * share:.0f} % of LLaMA-7B's parameters are gate, up and down",
    highlight=wide,
)
picture

# %%
claims.show("02-7b", measured=sum(parts.values()))

# %% [markdown]
# **Exercise 1.** Count two more by hand, as whole numbers.
#
# - `nn.Conv2d(16, 32, kernel_size=3)` on pictures of 28 × 28: each of the 32 output channels looks at a window of
#   3 × 3 pixels in all 16 input channels, and has a bias.
# - Attention of width 768 with 12 heads: four linear layers from 768 to 768, with biases.

# %% tags=["exercise"]
convolution = ...
attention = ...
# solution
convolution = 32 * (16 * 3 * 3) + 32  # the picture's size is no part of it
attention = 4 * (768 * 768 + 768)  # the heads divide the 768 between them
# end solution
exercises.check("02-count", (convolution, attention))

# %% [markdown]
# ## 2. What does it weigh?
#
# Bytes = parameters × bits / 8. Here is a network with 17 million parameters in four formats. Before you believe the
# product, look at three things: the bytes of the tensors, the file on disk, and how much the process grows. (Everything
# in this notebook lies in the CPU's memory. On a GPU, the same tensors take the same bytes.)

# %%
model = nn.Sequential(nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10))
count = sum(parameter.numel() for parameter in model.parameters())
bits = {"FP32": 32, "FP16": 16, "BF16": 16, "INT8": 8}
predicted = {name: count * width // 8 for name, width in bits.items()}
print(f"{count:,} parameters")
for name, nbytes in predicted.items():
    print(f"{name}: {nbytes:,} bytes = {nbytes / 1e6:.1f} MB")


# %%
def convert(tensor, name):
    if name == "INT8":
        return torch.round(tensor / (tensor.abs().max() / 127)).to(torch.int8)
    dtypes = {"FP32": torch.float32, "FP16": torch.float16, "BF16": torch.bfloat16}
    return tensor.to(dtypes[name], copy=True)


copies, grown = {}, {}
for name in bits:
    with memory.peak("process") as process:
        copies[name] = {key: convert(tensor, name) for key, tensor in model.state_dict().items()}
    grown[name] = process.kept
differences = [memory.tensor_bytes(copies[name]) - predicted[name] for name in bits]

# %%
claims.show("02-bytes", measured=max(map(abs, differences)))

# %% [markdown]
# In memory the product is exact. On disk?

# %%
folder = memory.Scratch()  # a temporary folder that goes when this notebook's kernel goes
on_disk = {}
for name, tensors in copies.items():
    torch.save(tensors, folder.path / f"{name}.pt")
    on_disk[name] = (folder.path / f"{name}.pt").stat().st_size

# %% tags=["nbval-ignore-output"]
excess = [100 * (on_disk[name] / predicted[name] - 1) for name in bits]
for name in bits:
    print(f"{name}: {on_disk[name] - predicted[name]:6,} bytes more on disk,", end=" ")
    print(f"process grew by {grown[name] / 1e6:5.1f} MB")
claims.table(
    claims.show("02-file", measured=max(excess)),
    claims.show("02-process", measured=grown["FP32"] / predicted["FP32"]),
    title="Parameters times bytes",
)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    height=3.0, alt="Predicted size as bars, with marks for file and process, in four formats."
)
plots.memory.weighed(
    ax,
    list(bits),
    list(predicted.values()),
    {"file": list(on_disk.values()), "process": list(grown.values())},
)
picture

# %% [markdown]
# The file holds a little more than numbers. A `.pt` file is a zip archive: look inside the small network's, where
# the rest is easier to see. The process is a rougher gauge than the file. It gets whole pages from the system, loads
# code on first use, and keeps some of what was freed in case it is needed again.

# %% tags=["nbval-ignore-output"]
torch.save(mlp.state_dict(), folder.path / "small.pt")
for entry in zipfile.ZipFile(folder.path / "small.pt").infolist():
    print(f"{entry.file_size:7,} bytes  {entry.filename}")
size = (folder.path / "small.pt").stat().st_size
print(f"{size:7,} bytes in all, {4 * by_torch:,} of them numbers")

# %%
model = copies = None  # 200 MB that nothing below needs

# %% [markdown]
# Now the units, once and for all. One **GB** is $10^9$ bytes, one **GiB** is $2^{30}$ bytes, 7 % more. Disks, files and
# model cards count in GB. Memory chips come in powers of two, so a card sold as 80 GB holds 80 GiB, which are 85.9 GB.
# In this course 1 GB is always $10^9$ bytes, and a card sold as 80 GB counts as 80 GB. What it holds beyond that is
# left to the system, the driver and gaps between blocks.

# %%
seventy_billion = memory.weight_bytes(70 * 10**9, "FP32")
print(f"{seventy_billion / 1e9:.1f} GB = {seventy_billion / 2**30:.1f} GiB")
claims.show("02-gib", measured=seventy_billion / 1e9)

# %% [markdown]
# With that, a price list. The names of models round, so the list does, too.

# %%
named = {"100M": 0.1, "BERT-base": 0.11, "LLaMA-7B": 7, "LLaMA-13B": 13, "LLaMA-70B": 70, "GPT-3": 175}
formats = ("FP32", "FP16", "INT8", "INT4")
prices = {
    name: [memory.weight_bytes(round(billions * 1e9), format) / 1e9 for format in formats]
    for name, billions in named.items()
}
print("GB        ", *(f"{format:>7}" for format in formats))
for name, row in prices.items():
    print(f"{name:10}", *(f"{price:7.4g}" for price in row))

# %%
bert, gpt3 = memory.MODELS["BERT-base"], memory.MODELS["GPT-3 175B"]
claims.table(
    claims.show("02-100m", measured=np.allclose(prices["100M"], [0.4, 0.2, 0.1, 0.05])),
    claims.show("02-bert", measured=memory.weight_bytes(bert.parameters, "FP32")),
    claims.show("02-gpt4", measured=gpt3.layers * 12 * gpt3.hidden**2 / 1e9),
    title="The price list",
)

# %% [markdown]
# The last column is too good to be true. Integers need a scale, and at 4 bits one scale for a whole matrix is too
# coarse (notebook 05 measures it). So small groups of weights, 128 for example, share a scale of 16 bits. How many
# GB of scales come with 70 billion weights?

# %%
exercises.predict("02-scales", ..., unit="GB")

# %% tags=["answer"]
groups = 70e9 / 128
scales = groups * 16 / 8
print(f"{(35e9 + scales) / 70e9 * 8:.3f} bits per weight")
claims.table(
    claims.show("02-scales", measured=scales),
    claims.show("02-13b-int4", measured=memory.weight_bytes(13 * 10**9, "INT4", group=128)),
    title="With scales",
)

# %% [markdown]
# ## 3. What does training add?
#
# Using a model takes its weights. Training it takes a gradient for every weight, and Adam keeps two running means
# for each, of the gradient and of its square. Weigh them on a small decoder with the parts of LLaMA: it reads a text as
# **tokens**, words or pieces of words by number, and guesses the next one. One step of training, then count the bytes.

# %%
small = memory.SMALL
decoder = memory.build(small)
optimizer = torch.optim.Adam(decoder.parameters())


def loss(batch):
    ids = torch.randint(small.vocab, (batch, 65))  # sequences of random tokens
    inputs, next_ones = ids[:, :-1].clone(), ids[:, 1:].clone()  # [batch, 64]: each token predicts the next
    logits, _ = decoder(inputs)  # [batch, 64, vocab]
    return functional.cross_entropy(logits.flatten(0, 1), next_ones.flatten())


loss(2).backward()
optimizer.step()
print(f"{small.parameters:,} parameters in {small.layers} layers of width {small.hidden}")

# %%
held = {
    "weights": memory.tensor_bytes(decoder),
    "gradients": memory.tensor_bytes([parameter.grad for parameter in decoder.parameters()]),
    "Adam's means": memory.tensor_bytes(optimizer.state),
}
for name, nbytes in held.items():
    print(f"{name:13} {nbytes:10,} bytes = {nbytes / small.parameters:5.2f} per parameter")
print(f"{'together':13} {sum(held.values()) / small.parameters:24.2f} per parameter")

# %% [markdown]
# In FP32 that is 4 + 4 + 8 = 16 bytes. Large models train in **mixed precision**: weights and gradients in 16 bits, and
# for the optimizer a master copy of the weights in 32 bits beside the two means. That is 2 + 2 + 4 + 4 + 4, which is
# 16 again: the gain is speed, not memory, as far as these parts go. A model of 7 billion parameters:

# %%
per_parameter = {"weights": 2, "gradients": 2, "master copy": 4, "mean": 4, "mean of squares": 4}
print(f"{sum(per_parameter.values())} bytes per parameter: {7e9 * sum(per_parameter.values()) / 1e9:.0f} GB")

# %% [markdown]
# And that is before the first picture or word goes in. The backward pass needs the **activations**: what every layer
# saw on the way forward. They do not depend on the optimizer but on how much you feed at once. torch tells what it
# keeps. Compare with the sum over the layers: per token, the inputs and outputs of the norms, the queries, keys and
# values, the wide middle of the second half, and a probability for every word of the vocabulary. In FP32:

# %%
batches = [1, 2, 4, 8, 16, 32]
saved = [memory.saved_bytes(lambda batch=batch: loss(batch), decoder) for batch in batches]
formula = [memory.activations(small, tokens=64 * batch, bits=32) for batch in batches]
for batch, measured, expected in zip(batches, saved, formula, strict=True):
    print(f"batch {batch:2}: {measured:11,} bytes kept, {measured - expected} more than the formula says")

# %% jupyter={"source_hidden": true}
picture, ax = plots.style.axes(
    height=3.4, alt="Bytes kept for the backward pass against the batch, and what the formula says."
)
plots.memory.on_formula(
    ax,
    batches,
    formula,
    saved,
    x_label="batch (sequences of 64 tokens)",
)
ax.axhline(sum(held.values()), color=plots.style.GREY, linestyle="--")
ax.text(32, 1.1 * sum(held.values()), "weights, gradients, Adam", ha="right", color=plots.style.GREY)
picture

# %% [markdown]
# (The four bytes belong to the loss itself.) The dashed line does not move with the batch. So for each model there is
# a batch from which on activations are the larger part. The formulas scale up: this is LLaMA-7B, trained on one
# sequence of 2,048 tokens at a time. Its 6.74 billion parameters take 108 GB, and the activations come on top.

# %%
memory.need("LLaMA-7B", bits=16, context=2048, batch=1, mode="full")

# %% [markdown]
# **LoRA** avoids most of it. The weights stay as they are, even at 4 bits, and only small matrices beside them are
# trained. They pay the 16 bytes. The activations remain: the gradient has to find its way through all layers.

# %%
lora = memory.need("LLaMA-7B", bits=4, context=512, mode="lora")
print(lora)
claims.show("02-colab", measured=memory.fits(lora, "T4"))

# %% [markdown]
# ## 4. What does a conversation add?
#
# A language model writes one token at a time, and each new token looks back at all tokens before it. What it looks at
# are two vectors per token and layer, a *key* and a *value*. Computing them again for every new token would be a waste,
# so they are kept: the **KV cache**. Let the small decoder write and weigh its cache.

# %%
lengths, cached = [], []
with torch.no_grad():
    logits, caches = decoder(torch.randint(small.vocab, (2, 5)))  # two sequences of five tokens
    for _ in range(40):
        token = logits[:, -1:].argmax(-1)  # [2, 1]: the most likely next token of each
        logits, caches = decoder(token, caches)
        lengths.append(caches[0][0].shape[2])
        cached.append(memory.tensor_bytes(caches))
print(f"{len(caches)} layers, each keeps keys and values of shape {list(caches[0][0].shape)}")
print(f"{cached[0]:,} bytes at {lengths[0]} tokens, {cached[-1]:,} at {lengths[-1]}")

# %% [markdown]
# The shape says it all: [batch, heads, tokens, numbers per head], once for keys and once for values, in every layer.
# The decoder has 8 heads that ask, but only 2 that are asked: four heads share one set of keys and values (*grouped-query
# attention*). LLaMA-70B does the same, 64 to 8. The cache holds the 2, not the 8. Build the same decoder with more and
# with fewer of them, and weigh one token of each cache:

# %%
kept = {}
for kv_heads in (small.heads, small.kv_heads, 1):
    other = memory.build(dataclasses.replace(small, kv_heads=kv_heads))
    with torch.no_grad():
        kept[kv_heads] = memory.tensor_bytes(other(torch.zeros(1, 1, dtype=torch.long))[1])

# %% jupyter={"source_hidden": true}
picture, ax = plots.style.axes(
    height=4.4, alt="Which heads share keys and values, and what a token keeps, in rows."
)
plots.memory.shared_heads(ax, small.heads, kept)
picture

# %% [markdown]
# **Exercise 2.** Write the formula. `bits` is the width of one number.


# %% tags=["exercise"]
def kv_cache(layers, kv_heads, head_dim, context, batch, bits):
    """Return the bytes of the KV cache."""
    # solution
    numbers = 2 * layers * kv_heads * head_dim * context * batch  # keys and values
    return numbers * bits / 8
    # end solution


exercises.check("02-kv-cache", kv_cache)

# %% [markdown]
# Does it agree with the cache that was measured? And what does it say of a large model, whose cache holds numbers of
# 16 bits, here and in the next question?

# %% tags=["answer"]
expected = [memory.kv_cache(small, context=tokens, batch=2, bits=32) for tokens in lengths]
print("formula = bytes of the real cache, at every length:", expected == cached)
print(f"LLaMA-7B, one token: {memory.kv_cache('LLaMA-7B', context=1):,} bytes")
print(f"LLaMA-7B, 2,048 tokens: {memory.kv_cache('LLaMA-7B', context=2048) / 1e9:.2f} GB")

# %%
exercises.predict(
    "02-13b-cache", ..., unit="tokens"
)  # how many tokens of a 13B model's cache fit into 15.5 GB?

# %% tags=["answer"]
thirteen = memory.MODELS["LLaMA-13B"]
reserved, used = (memory.kv_cache("LLaMA-7B", context=tokens) for tokens in (2048, 10))
print(f"{thirteen.layers} layers, {thirteen.kv_heads} heads of {thirteen.head_dim}")
print(f"LLaMA-7B, 2,048 tokens reserved: {reserved / 1e9:.2f} GB, 10 used: {used / 1e9:.3f} GB")
claims.table(
    claims.show("02-13b-cache", measured=15.5e9 // memory.kv_cache(thirteen, context=1)),
    claims.show("02-reserved", measured=100 * (1 - used / reserved)),
    title="The cache",
)

# %% [markdown]
# Now turn the question round: how long can a conversation get on a given device? Drag the batch up and watch the cache
# overtake the weights. Then halve the bits, once of the weights and once of the cache. Which helps more, and when?
# (The formula does not ask whether the model was trained for so long a context.)

# %%
widgets.context_growth()

# %% [markdown]
# ## 5. Will it fit?
#
# Everything together: weights at some width with their scales, the KV cache at another, activations (when nothing is
# trained: one layer's at a time, and of at most 512 tokens, because servers read a long prompt in pieces), and for
# training gradients and optimizer. It fits if the sum is not larger than the
# device's memory.

# %%
need = memory.need("LLaMA-7B", bits=8, kv_bits=16, context=2048, batch=1)
print(need)
for device in memory.DEVICES.values():
    print(memory.fits(need, device))

# %%
claims.show("02-macbook", measured=memory.fits(need, "laptop"))

# %% tags=["nbval-ignore-output"]
print(memory.fits(need, memory.this_machine()))

# %% [markdown]
# A Raspberry Pi with 40 MB to spare fits on paper only. What the sum leaves out: the framework itself (a few hundred MB
# for torch, as notebook 06 measures), memory lost between blocks, and on a phone or a laptop all that runs beside your
# model. `memory.Device("my laptop", 10 * 10**9)` is a device of your own.
#
# Now drag. Blue grows with the model, orange with what you feed it. Find out:
#
# - Which devices can *train* LLaMA-7B in full, with a context of 2,048? And with LoRA?
# - LLaMA-70B at 4 bits is about 36 GB with its scales. How many users can share one H100 at 8,192 tokens each?
# - LLaMA-13B at 4 bits, 8,192 tokens each: at which batch does the cache weigh four times as much as the weights?

# %%
widgets.will_it_fit("LLaMA-7B", bits=8, context=8192)

# %% [markdown]
# The lecture's statements. Each is the function above with other numbers.

# %%
four_bits = memory.fits(memory.need("LLaMA-7B", bits=4, context=2048), memory.Device("4 GB free", 4 * 10**9))
seven, seventy = (memory.fits(memory.need(name, bits=32), "A100") for name in ("LLaMA-7B", "LLaMA-70B"))
fewer = [memory.fits(memory.need("LLaMA-70B", bits=width), "A100") for width in (4, 8)]
first_token = memory.need("LLaMA-70B", bits=32, context=1)
print(four_bits, *fewer, first_token, sep="\n")
claims.table(
    claims.show("02-4gb", measured=four_bits),
    claims.show("02-7b-a100", measured=100 * seven.share),
    claims.show("02-70b-a100", measured=all(fit.verdict == "fits" for fit in fewer)),
    claims.show("02-70b-gpus", measured=math.ceil(seventy.share)),
    claims.show("02-gpt3", measured=math.ceil(memory.weight_bytes(gpt3.parameters, "FP32") / 16e9)),
    claims.show("02-70b-token", measured=first_token.total),
    title="Models and devices",
)

# %% [markdown]
# **Exercise 3.** LLaMA-13B has 13 billion parameters, 40 layers and 40 heads of 128 numbers. You want its weights at 4
# bits, a cache at 16 bits, and a context of 8,192 tokens. How many GB does it need, and which is the smallest device
# of the list above that has them? Compute it; the panel is for checking.

# %% tags=["exercise"]
gigabytes = ...
device = ...
# solution
weights = 13e9 * 4 / 8 * (1 + 16 / (4 * 128))  # with a 16-bit scale for each 128
gigabytes = (weights + kv_cache(40, 40, 128, context=8192, batch=1, bits=16)) / 1e9
device = "laptop"  # 16 GB; a T4 has as much
# end solution
exercises.check("02-smallest-device", (gigabytes, device))

# %% [markdown]
# ## 6. Who copies in secret?
#
# Models are not the only large things. Here is a table of measurements: 32 columns of decimal numbers and one of whole
# numbers. The lecture's program reads it, takes the numbers out and scales them. Three lines, and each may copy.

# %%
rng = np.random.default_rng(0)
block = pd.DataFrame(rng.normal(20, 5, (1000, 32)).round(3)).add_prefix("sensor")
block["count"] = rng.integers(0, 500, 1000)
path = folder.path / "table.csv"
names, rows = block.to_csv(index=False, lineterminator="\n").split("\n", 1)
path.write_text(names + "\n" + 40 * rows)  # 40,000 rows

pd.read_csv(path, nrows=3).iloc[:, [0, 1, 2, -1]]

# %%
exercises.predict("02-csv", ..., unit="× the table")  # the worst moment of the program below, your guess

# %% [markdown]
# `memory.peak` asks Python's `tracemalloc`, which numpy and pandas report to, and gives two numbers for a block: what
# it holds at the end, and how much it held at its worst moment.

# %%
with memory.peak() as read:
    table = pd.read_csv(path)
with memory.peak() as take_out:
    X = table.values
with memory.peak() as scale:
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)

steps = {"read_csv": read, ".values": take_out, "scale": scale}
kept = np.array([step.kept for step in steps.values()])
held = kept.cumsum()  # bytes held after each step
worst = held - kept + [step.peak for step in steps.values()]
table_bytes = int(table.memory_usage().sum())

# %% jupyter={"source_hidden": true} tags=["answer"]
picture, ax = plots.style.axes(
    height=2.8,
    alt="Memory held after each step of the program as bars, with a mark for the worst moment of each.",
)
plots.memory.steps(ax, list(steps), held, worst)
picture

# %% tags=["answer"]
for name, after, most in zip(steps, held, worst, strict=True):
    print(f"{name:9} {after / table_bytes:.1f} tables held, {most / table_bytes:.1f} at the worst moment")
claims.show("02-csv", measured=max(worst) / table_bytes)

# %% [markdown]
# Line by line:
#
# - `read_csv` reads in pieces and joins them at the end. For a moment there are both, the pieces and the whole.
# - `.values` makes one array of one type. The table keeps whole numbers and decimals apart, so it has to copy.
# - `X - mean` is a new array, and `X.std` needs a temporary one of the same size for the squares.
#
# pandas reads every decimal number as `float64`, 8 bytes. Three decimals of a sensor do not need 16 digits. Say so
# when you read:

# %%
small_table = pd.read_csv(path, dtype="float32")
claims.show("02-dtype", measured=int(small_table.memory_usage().sum()) / table_bytes)

# %% [markdown]
# What the next line does now depends on how pandas keeps the table. If all columns have one type and lie in one block,
# `.values` can hand out that block, and no copy is made. Whether it does on your machine, only measuring tells:

# %% tags=["nbval-ignore-output"]
with memory.peak() as again:
    X = small_table.values
print(f"`.values` copied {100 * again.kept / small_table.memory_usage().sum():.0f} % of the table")
print("the array and the table share memory:", np.shares_memory(X, small_table["sensor0"].values))

# %% [markdown]
# **Exercise 4.** Here is the program as a function. Write `load` so that it returns the same numbers (`float32` is
# fine) and its peak is **a third** or less. The type alone does not get you there; the rest is in the copies.


# %%
def given(path):
    table = pd.read_csv(path)
    X = table.values
    return (X - X.mean(axis=0)) / X.std(axis=0)


# %% tags=["exercise"]
def load(path):
    # solution
    X = pd.read_csv(path, dtype="float32").to_numpy(copy=True)  # the table is gone after this line
    X -= X.mean(axis=0)  # in place: no new array
    X /= X.std(axis=0)
    return X
    # end solution


exercises.check("02-loader", load)

# %% [markdown]
# The cheapest copy is the one that nobody makes. **Memory mapping** tells the system: this file *is* my array. Nothing is
# read until you touch it, and then only the pages that you touch and a few beside them. It is what the GGUF files of
# llama.cpp are made for.
# `tracemalloc` cannot see torch, so look at the process. First load the FP32 file of section 2 as usual, then mapped:

# %% tags=["nbval-ignore-output"]
file = folder.path / "FP32.pt"
with memory.peak("process") as usual:
    loaded = torch.load(file)
del loaded
with memory.peak("process") as opened:
    mapped = torch.load(file, mmap=True)
with memory.peak("process") as touched:
    first_rows = mapped["0.weight"][:400].sum()  # about a tenth of it
for name, gauge in {"loaded": usual, "mapped": opened, "a tenth touched": touched}.items():
    print(f"{name:16} +{gauge.kept / 1e6:5.1f} MB")

# %% tags=["nbval-ignore-output"]
claims.show("02-mmap", measured=100 * max(0, opened.kept) / on_disk["FP32"])

# %% [markdown]
# Opening costs next to nothing, and the memory comes with the reading. Mapped pages can also be dropped and read again
# when memory is short, and several processes share them. The price is paid at the first touch, by whoever touches.

# %% [markdown]
# Nothing here was compared to choose the better of two. Eight predictions were set beside what was weighed (tensors,
# files, the process, training, activations, the cache, the program's copies, the mapped file), all planned before.
#
# ## Quiz

# %%
exercises.quiz("02")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("02"))

# %% tags=["nbval-ignore-output"]
exercises.progress("02")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. Bytes = parameters × bits / 8, and scales where there are some. For tensors in memory it is exact. A file adds some
#    hundred bytes per tensor, which only a tiny model notices.
# 2. Training with Adam takes 16 bytes per parameter, plus activations that grow with the batch.
# 3. A conversation takes 2 · layers · KV heads · head size numbers per token: the cache can outgrow the weights.
# 4. Weights are paid once, the cache for every user. Ask for both before you say that it fits.
# 5. One harmless line can copy a whole table. Measure the peak, choose the type, work in place, or map the file.
#
# ## Where to go next
#
# Notebook 03 asks where the time goes, with the same habit: guess, measure, compare. Notebook 05 makes the INT8 weights
# of this notebook work, and measures what the rounding costs.
