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
# # E · Fine-tuning with LoRA and QLoRA
#
# A language model is trained once, on much text, by somebody with many machines. You want it to do one thing of yours
# well, and you have one. Here you adapt a model that was trained on docstrings to Python code, with all of its weights
# and with adapters, the smallest of which has less than one number for every hundred of them, and count what each way
# takes, gains and forgets. After this notebook you can
#
# - say which bytes training needs beside the weights, and count them,
# - write a low-rank adapter, merge it, and export the result to GGUF,
# - compare ways of fine-tuning fairly: each at a learning rate of its own, chosen on other text,
# - train beside frozen 4-bit weights,
# - trade bytes for seconds: recompute instead of keep, and never hold all logits,
# - teach a small model by a large one at three levels, and say which of them helped.
#
# Time: about 75 minutes with the exercises, 20 minutes as a demonstration. It needs the loss of notebook A and NF4 of
# notebook B. It does not cover how training data is chosen, nor learning from people's preferences.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q safetensors tokenizers "{{install}}"
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import copy
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from coursekit import accuracy, claims, exercises, finetuning, language, memory, plots, quantization
from coursekit import timing, widgets

runtime.start()

# %% [markdown]
# ## 1. What does training keep?
#
# The small model has read docstrings. How well does it guess source code? Four texts: code to **learn** from, the end of
# that text to **choose** by, code of other modules to **judge** by, and docstrings, to see what is forgotten. What a
# choice was made on must not judge it.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)  # the matrices are too small to share
device = runtime.device()
small = language.small()
small.model.to(device)
code = small.tokenizer.tensor(language.text("adaptation"))[0].to(device)
learn, rest = code[: int(0.85 * len(code))], code[int(0.85 * len(code)) :]
choose = language.windows(rest, 128, 16).to(device)
texts = {"code": language.text("code"), "docstrings": language.text("evaluation")}
judge, old = (
    language.windows(small.tokenizer.encode(text[:20_000]), 256, 24).to(device) for text in texts.values()
)
judges = runtime.track([("code", judge), ("docstrings", old)], "what it knows before")
before = {name: language.losses(small.model, data) for name, data in judges}
print(f"{len(learn):,} tokens to learn from", *(f"{name}: {loss}" for name, loss in before.items()), sep="\n")

# %% [markdown]
# For each weight that learns, a backward pass makes a gradient, and Adam keeps two numbers more: a running mean of the
# gradient and of its square. A weight that is **frozen** has none of these.
#
# **Exercise 1.** All numbers take 4 bytes. How many bytes do weights, gradients and Adam take together, if `learned`
# weights learn and `frozen` ones do not?


# %% tags=["exercise"]
def training_bytes(learned, frozen):
    # solution
    return 4 * (learned + frozen) + 12 * learned
    # end solution


exercises.check("E-adam", training_bytes)

# %% [markdown]
# **LoRA** (low-rank adaptation) freezes every matrix W [out, in] and puts two thin ones beside it: A [r, in] and
# B [out, r]. The layer then computes
#
# W x + s · B (A x)
#
# with a fixed number s. The **rank** r is small, so A first squeezes x into r numbers. A begins with random numbers, B
# with zeros, so that at the start nothing changes.
#
# **Exercise 2.** Write the forward pass. Here `x` is a batch [n, in], one input in each row, so W x becomes `x @ W.T`.


# %% tags=["exercise"]
def adapted(x, W, A, B, s):
    # solution
    return x @ W.T + s * (x @ A.T) @ B.T
    # end solution


exercises.check("E-forward", adapted)

# %% [markdown]
# **Exercise 3.** How many numbers learn, if layers of these `shapes`, a list of (out, in), get adapters of rank `r`?


# %% tags=["exercise"]
def adapter_parameters(shapes, r):
    # solution
    return sum(r * (out + inputs) for out, inputs in shapes)
    # end solution


exercises.check("E-parameters", adapter_parameters)

# %% [markdown]
# The whole adapter is a class of a few lines. It holds the old layer, and learns beside it:


# %%
class Adapter(torch.nn.Module):
    def __init__(self, layer, rank, seed=0):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        draw = torch.Generator().manual_seed(seed)
        start = torch.randn(rank, layer.in_features, generator=draw) / math.sqrt(layer.in_features)
        self.A = torch.nn.Parameter(start.to(layer.weight.device))
        self.B = torch.nn.Parameter(torch.zeros(layer.out_features, rank, device=layer.weight.device))

    def forward(self, x):
        return self.layer(x) + x @ self.A.T @ self.B.T


# %% [markdown]
# And every matrix of every layer gets one:


# %%
def with_adapters(model, rank):
    changed = copy.deepcopy(model).requires_grad_(False)
    for block in changed.blocks:
        for part in (block.self_attn, block.mlp):
            for name, layer in list(part.named_children()):
                setattr(part, name, Adapter(layer, rank))
    return changed


# %% [markdown]
# One step of training with all weights, one with adapters of rank 1. Then look which tensors are there:


# %% tags=["nbval-ignore-output"]
def one_step(model):
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-3)
    logits = model(choose[:4, :-1])
    F.cross_entropy(logits.flatten(0, 1), choose[:4, 1:].flatten()).backward()
    optimizer.step()
    return finetuning.training_bytes(model, optimizer)


everything, rank_1 = one_step(copy.deepcopy(small.model)), one_step(with_adapters(small.model, 1))
print("full:  ", everything)
print("rank 1:", rank_1)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(height=2.4, alt="The bytes of weights, gradients and optimizer, as bars.")
parts = ("weights", "gradients", "optimizer")
for row, spent in enumerate((rank_1, everything)):
    left = 0.0
    for part, colour in zip(parts, plots.style.SERIES, strict=False):
        size = getattr(spent, part) / 1e6
        ax.barh(row, size, left=left, height=0.6, color=colour, edgecolor="white")
        label, ink = part * (size > 2), plots.style.ink_on(colour)
        ax.text(left + size / 2, row, label, ha="center", va="center", color=ink)
        left += size
    ax.text(left, row, f"  {left:.3g} MB", va="center")
ax.set(yticks=[0, 1], yticklabels=["rank 1", "full"], xlim=(0, 1.2 * left))
plots.comparison.describe(ax, "MB", "", "Bytes of training, activations left out")
picture

# %%
llama = memory.MODELS["LLaMA-7B"].parameters / memory.lora_parameters("LLaMA-7B", rank=16)
claims.table(
    claims.show("E-bytes", measured=rank_1.learning),
    claims.show("E-hundred", measured=llama),
    title="What learns",
)

# %% [markdown]
# With all weights, learning takes three times the weights' own bytes. With adapters that nearly disappears, and the
# weights remain.
#
# ## 2. Which learning rate, and which rank?
#
# The package's `with_lora` is the class above, and `fine_tune` trains what is not frozen. Twenty-four steps of four windows.
# Does one learning rate suit both? Three powers of ten for each; those of rank 4 are ten times as high. The loss on the
# windows to choose by decides:


# %% tags=["nbval-ignore-output"]
STEPS = 24
runs, models = {}, {}


def adapt(name, start, rank, lr):
    """Train a copy of a model and keep it; rank 0 trains all weights."""
    model = finetuning.with_lora(start, rank, seed=0) if rank else copy.deepcopy(start)
    recipe = language.Recipe(STEPS, batch_size=4, length=128, lr=lr, warm_up=0.1, cool_down=0.5, seed=0)
    looks, after = range(0, STEPS + 1, STEPS // 3), runtime.progress(name, STEPS)
    runs[name] = finetuning.fine_tune(model, learn, recipe, look=choose, at=looks, after=after)
    models[name] = model
    return runs[name].seen[-1]


full = {lr: adapt(f"full, {lr:g}", small.model, 0, lr) for lr in (1e-4, 1e-3, 1e-2)}

# %% tags=["nbval-ignore-output"]
thin = {lr: adapt(f"rank 4, {lr:g}", small.model, 4, lr) for lr in (1e-3, 1e-2, 1e-1)}
full_rate, thin_rate = min(full, key=full.get), min(thin, key=thin.get)
for name, run in runs.items():
    print(f"{name:14} loss {run.seen[-1]:.3f}")
claims.show("E-rate", measured=thin_rate / full_rate)

# %% [markdown]
# Whoever compares both at the same rate compares one of them at a bad one. From here on each has the rate that was best for
# it, to a power of ten, on these windows; where two rates come close, other windows may choose the other, and all that
# follows may turn. Ranks 1 and 16 have that of rank 4. Guess: what share of the gain of full fine-tuning does rank 4
# reach, on code that nobody has trained on or chosen by?

# %%
exercises.predict("E-share", ..., unit="% of the gain")

# %% tags=["nbval-ignore-output", "answer"]
for rank in (1, 16):
    adapt(f"rank {rank}", small.model, rank, thin_rate)

# %% tags=["nbval-ignore-output", "answer"]
for name, chosen in (("rank 4", f"rank 4, {thin_rate:g}"), ("full", f"full, {full_rate:g}")):
    runs[name], models[name] = runs[chosen], models[chosen]
on_code, on_old = {}, {}


def judged(name):
    """Return what a run has gained on code and forgotten of docstrings, paired by window."""
    on_code[name], on_old[name] = (language.losses(models[name], data).per_window for data in (judge, old))
    gained = accuracy.paired(before["code"].per_window, on_code[name])
    return gained, accuracy.paired(on_old[name], before["docstrings"].per_window)


found = {name: judged(name) for name in runtime.track(("rank 1", "rank 4", "rank 16", "full"), "four models")}
table = finetuning.RankTable([finetuning.rank_row(name, runs[name], *each) for name, each in found.items()])
table

# %% tags=["nbval-ignore-output", "answer"]
claims.table(
    claims.show("E-share", measured=100 * found["rank 4"][0].mean / found["full"][0].mean),
    claims.show("E-full", measured=accuracy.paired(on_code["rank 4"], on_code["full"])),
    claims.show("E-more-rank", measured=accuracy.paired(on_code["rank 1"], on_code["rank 16"])),
    title="The loss on code, paired by window",
)

# %% [markdown]
# The panel has the losses on the windows to choose by, step by step, and the bytes that learning took. Choose **rank 1**,
# then **full**, and drag the steps back:

# %% tags=["nbval-ignore-output", "answer"]
widgets.ranks(table)

# %% [markdown]
# ## 3. What is forgotten?
#
# Look at the last column of the table: after the runs that gained most, the docstrings, which the model knew well, have become
# harder.
# "LoRA forgets less" is often said. It also learned less here. So train all weights once more, at three tenths of their
# rate, and look at what each run has gained and lost:

# %% tags=["nbval-ignore-output"]
adapt("full, gently", small.model, 0, 0.3 * full_rate)
found["full, gently"] = judged("full, gently")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, ax = plots.style.axes(alt="Loss gained on code against loss added on docstrings, with intervals.")
blue, red, green, yellow = (getattr(plots.style, name) for name in ("BLUE", "VERMILLION", "GREEN", "ORANGE"))
looks = zip("os^DvP", (blue, red, green, yellow, blue, red), strict=True)  # as in the panel
for (name, (gained, forgot)), (marker, colour) in zip(found.items(), looks, strict=False):
    ax.plot([gained.low, gained.high], [forgot.mean] * 2, color=plots.style.GREY, linewidth=1)
    ax.plot([gained.mean] * 2, [forgot.low, forgot.high], color=plots.style.GREY, linewidth=1)
    ax.plot(gained.mean, forgot.mean, marker, color=colour, markersize=9, zorder=4)
    label = ax.annotate(name, (gained.mean, forgot.mean), xytext=(7, 7), textcoords="offset points", zorder=5)
    label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1})
ax.axhline(0, color=plots.style.INK, linewidth=1)
ax.margins(0.1)
title = f"Gained and forgotten after {STEPS} steps"
plots.comparison.describe(ax, "gained on code (nats)", "forgotten of docstrings (nats)", title)
picture

# %% tags=["nbval-ignore-output"]
gentle = "full, gently"
claims.table(
    claims.show("E-forgets", measured=accuracy.paired(on_old["full"], on_old["rank 4"])),
    claims.show("E-gentle", measured=accuracy.paired(on_old["rank 4"], on_old[gentle])),
    claims.show("E-gently-learned", measured=accuracy.paired(on_code["rank 4"], on_code[gentle])),
    title="Forgotten docstrings and learned code, paired by window",
)

# %% [markdown]
# At their best rates, rank 4 forgets less than full fine-tuning. But full fine-tuning at a lower rate forgets still less, and
# has learned about as much as rank 4. What is forgotten depends on how far the weights are moved, and the learning rate is
# the first thing that moves them. Rank 16, at this rate, forgets about as much as full fine-tuning, with some seeds more. So
# LoRA is no protection from forgetting. What it saves is bytes.
#
# ## 4. What if the frozen weights have four bits?
#
# Frozen weights need no small steps, so they may be coarse. **QLoRA** stores them in NF4 (notebook B), and learns beside
# them. In every forward pass a layer's weights are unpacked, and unpacked again on the way back.

# %% tags=["nbval-ignore-output"]
coarse = finetuning.in_nf4(small.model)
adapt("QLoRA", coarse, 4, thin_rate)
found["QLoRA"] = judged("QLoRA")
layer = small.model.layers[0].mlp.up_proj.weight
unpacked = coarse.layers[0].mlp.up_proj.weight
assert torch.equal(unpacked.cpu(), quantization.nf4(layer.detach().cpu()).dequantized())
for name in ("rank 4", "QLoRA"):
    weights = runs[name].bytes.weights / 1e6
    print(
        f"{name:6} weights {weights:.2f} MB, loss on code {on_code[name].mean():.3f}, gained {found[name][0]}"
    )
claims.show("E-qlora", measured=accuracy.paired(on_code["QLoRA"], on_code["rank 4"]))

# %% [markdown]
# The embedding stays in float and is a large part of this small model, and a small one of a large model. "It allows you to
# fine-tune LLaMA-7B on a free Google Colab GPU": that is one of 16 GB. A sequence of 512 tokens, all parts counted as in
# notebook 02, where training in full is with Adam in mixed precision:

# %%
needs = {
    "full, 16 bits": memory.need("LLaMA-7B", bits=16, context=512, mode="full"),
    "LoRA, 16 bits": memory.need("LLaMA-7B", bits=16, context=512, mode="lora"),
    "QLoRA, 4 bits": memory.need("LLaMA-7B", bits=4, context=512, mode="lora"),
}
for name, need in needs.items():
    print(f"{name}: {memory.fits(need, 'T4')}")
claims.table(
    claims.show("E-too-large", measured=needs["full, 16 bits"].total / 1e9),
    claims.show("E-colab", measured=needs["QLoRA, 4 bits"].total / 1e9),
    title="LLaMA-7B on a GPU of 16 GB",
)

# %% [markdown]
# Set **weight bits** to 4, then drag **context** to the right. What grows?

# %% tags=["nbval-ignore-output"]
widgets.will_it_fit("LLaMA-7B", bits=16, context=512, mode="lora")

# %% [markdown]
# What fits is a short text at a time. With four times the tokens the activations alone take four times as much: section 6.
#
# ## 5. How does an adapter leave the laboratory?
#
# Either as a file of its own beside a model that everybody has: 32,768 numbers for rank 4 here, and for LLaMA-7B at rank 16
# 40 million, or 80 MB in 16 bits beside 13.5 GB. Then one server can hold a hundred of them. Or merged, so that no
# program need know of it.
#
# **Exercise 4.** Return one matrix that does what the layer and its adapter did together.


# %% tags=["exercise"]
def merge(W, A, B, s):
    # solution
    return W + s * (B @ A)
    # end solution


exercises.check("E-merge", merge)

# %% [markdown]
# Merge rank 4, and write it as GGUF (notebook C): in F16, and in 8 bits. Then read the files back.

# %% tags=["nbval-ignore-output"]
plain = finetuning.merged(models["rank 4"])
with torch.no_grad():
    logits, merged_logits = (model(judge[:4, :-1]) for model in (models["rank 4"], plain))
adapted_model = language.LanguageModel("small, for code", plain.cpu(), small.tokenizer)
with TemporaryDirectory() as folder:
    begin = time.perf_counter()
    paths = {
        kind: language.to_gguf(adapted_model, Path(folder, f"{kind}.gguf"), kind) for kind in ("F16", "Q8_0")
    }
    seconds = time.perf_counter() - begin
    for kind, path in paths.items():
        back = language.losses(language.from_gguf(path).model, judge.cpu())
        added = accuracy.paired(back.per_window, on_code["rank 4"])
        print(f"{kind:5} {path.stat().st_size / 1e6:.2f} MB, loss added {added}")

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("E-merged", measured=(merged_logits - logits).abs().max() / logits.abs().max()),
    claims.show("E-export", measured=seconds),
    title="Merged and exported",
)

# %% [markdown]
# Any program that reads GGUF runs it now: `language.llama_cpp()` finds llama.cpp if you have it. After QLoRA, merge into the
# unpacked weights, as `merged` does: rounding the sum to four bits again rounds a part of the adapter away with it.
#
# ## 6. Bytes or seconds?
#
# Section 1 left something out. For the backward pass every layer keeps what it was given, the **activations**, and they
# grow with the text. Unsloth's ideas are two, beside faster kernels. First: **recompute** instead of keep. Only what comes
# into a block is kept, and on the way back the block is computed once more:


# %%
def hidden(model, tokens, keep):
    x = model.embed_tokens(tokens)
    turns = language.transformer.rotations(model.config, 0, tokens.shape[1], x.device, x.dtype)
    for block in model.layers:
        x = block(x, turns) if keep else checkpoint(block, x, turns, use_reentrant=False)
    return model.norm(x)


# %% [markdown]
# Second: **never hold all logits**. A model with 128,000 tokens in its vocabulary has 128,000 logits for each token of a
# text, and the loss needs them for one token at a time. Take a chunk of tokens, add up their loss, forget their logits;
# on the way back, compute them again:


# %%
def chunked_loss(said, head, targets, chunk=256):
    def summed(rows, right):
        return F.cross_entropy(rows @ head.T, right, reduction="sum")

    rows, right = said.flatten(0, 1), targets.flatten()
    parts = zip(rows.split(chunk), right.split(chunk), strict=True)
    return sum(checkpoint(summed, *part, use_reentrant=False) for part in parts) / len(right)


def whole_loss(said, head, targets):
    return F.cross_entropy((said @ head.T).flatten(0, 1), targets.flatten())


# %% [markdown]
# How many percent fewer bytes are kept for the backward pass, with both? Four windows of 256 tokens, full fine-tuning.

# %%
exercises.predict("E-kept", ..., unit="% fewer bytes")

# %% tags=["nbval-ignore-output", "answer"]
batch, learner = judge[:4], copy.deepcopy(small.model)
ways = {"neither": (True, whole_loss), "recomputed": (False, whole_loss)}
ways |= {"chunked": (True, chunked_loss), "both": (False, chunked_loss)}


def forward(keep, loss):
    return loss(hidden(learner, batch[:, :-1], keep), learner.head, batch[:, 1:])


kept, gradients = {}, {}
for name, way in ways.items():
    kept[name] = memory.saved_bytes(lambda way=way: forward(*way), learner)
    learner.zero_grad()
    forward(*way).backward()
    gradients[name] = torch.cat([weight.grad.flatten() for weight in learner.parameters()])

# %% tags=["nbval-ignore-output", "answer"]
steps = {name: lambda way=way: forward(*way).backward() for name, way in ways.items()}
tell = runtime.progress("forward and backward, in turn", 10)
speed = timing.compare(steps, max_time=3, threads=1, after=tell)
for name in ways:
    print(
        f"{name:10} keeps {kept[name] / 1e6:5.1f} MB, {1e3 * speed.measurements[name].median:4.0f} ms", end=""
    )
    print(f", speed {speed.ratio(name)}")

# %% tags=["nbval-ignore-output", "answer"]
apart = (gradients["both"] - gradients["neither"]).abs().max() / gradients["neither"].abs().max()
claims.table(
    claims.show("E-same-gradients", measured=apart),
    claims.show("E-kept", measured=100 * (1 - kept["both"] / kept["neither"])),
    claims.show("E-speed", measured=speed.ratio("both")),
    title="Recomputed and chunked, against neither",
)

# %% [markdown]
# The same gradients, a fraction of the bytes, and more seconds: a block is computed twice. Unsloth's speed is not in these
# ideas but in its kernels, and in larger batches that now fit. On a small vocabulary the chunks save little; count what they
# would for yours: tokens × vocabulary × 4 bytes.
#
# ## 7. What can a small student learn from a large teacher?
#
# The lecture's third way to a smaller model: **distil** it, at one of three levels. The student has one layer of half the
# width, a fifth of the weights. Beside the text it matches the teacher's **shares** for the next token, the teacher's
# **hidden states**, through a projection that is thrown away afterwards, or **where the teacher looks**:


# %%
def shares_gap(student_logits, teacher_logits, T=2.0):
    soft, right = ((logits / T).log_softmax(-1) for logits in (student_logits, teacher_logits))
    return T**2 * F.kl_div(soft, right, log_target=True, reduction="none").sum(-1).mean()


def hidden_gap(student, teacher, projection):
    return (projection(student) - teacher).square().mean() / teacher.square().mean()


def looks_gap(student, teacher):  # logarithms of shares [batch, heads, n, n]; eight heads for four
    teacher = teacher.exp().unflatten(1, (student.shape[1], -1)).mean(2)
    return (torch.xlogy(teacher, teacher) - teacher * student).sum(-1).mean()


# %% tags=["nbval-ignore-output"]
student = language.Transformer(finetuning.STUDENT).to(device)
projection = torch.nn.Linear(128, 256, bias=False, device=device)
with torch.no_grad():
    said, looks = finetuning.attention_maps(student, old[:2, :-1])
    shown, teacher_looks = finetuning.attention_maps(small.model, old[:2, :-1])
    shares = shares_gap(said @ student.head.T, shown @ small.model.head.T)
print(f"{sum(w.numel() for w in student.parameters()):,} of {small.parameters:,} parameters; untrained:")
print(f"shares {shares:.3f}, hidden states {hidden_gap(said, shown, projection):.3f}", end=", ")
print(f"looks {looks_gap(looks, teacher_looks):.3f} apart")

# %% [markdown]
# A student that says anything useful takes minutes. So these are **recorded**: `python -m benchmarks students` trained five
# of each, and five as long without a teacher, on the text that notebook B calibrates with. Each level's weight in the loss
# was chosen on other windows, with another seed:

# %%
recorded = finetuning.recorded_students()
recorded or "Nothing was recorded yet: python -m benchmarks students"

# %%
gain = {level: None if recorded is None else recorded.gain(level) for level in finetuning.LEVELS[1:]}
claims.table(
    claims.show("E-shares", measured=gain["logits"]),
    claims.show("E-hidden", measured=gain["hidden"]),
    claims.show("E-looks", measured=gain["attention"]),
    title="Students with a teacher, against students alone (recorded)",
)

# %% [markdown]
# Read the columns of both lengths: the levels change places. After 100 steps hidden states, at this weight, are a burden.
# After 300 steps the text has been read several times: it has less and less to say, and the shares and hidden states of a
# teacher who has read more add to it. Where the teacher looks helped a little at first, and later not
# that five students could show. "Which level is the best?" has no answer without a length. And equal steps are not equal
# seconds, for a step with a teacher also runs the teacher.
#
# **Your turn.** Put a text of your own in place of the dots, 5,000 words or more: what does rank 4 gain on its end, and
# what does it forget?

# %% tags=["nbval-ignore-output"]
path = ...
if path is ...:
    print("No text of your own yet.")
else:
    mine = small.tokenizer.tensor(Path(path).read_text(encoding="utf-8"))[0].to(device)
    cut = int(0.8 * len(mine))
    ending, yours = language.windows(mine[cut:], 128).to(device), finetuning.with_lora(small.model, 4)
    recipe = language.Recipe(STEPS, batch_size=4, length=128, lr=thin_rate, warm_up=0.1, cool_down=0.5)
    finetuning.fine_tune(yours, mine[:cut], recipe)
    for name, windows in (("your text", ending), ("docstrings", old)):
        was, now = (language.losses(model, windows) for model in (small.model, yours))
        print(f"{name}, before minus after: {accuracy.paired(was.per_window, now.per_window)}")

# %% [markdown]
# ## Quiz

# %%
exercises.quiz("E")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("E"))

# %% tags=["nbval-ignore-output"]
exercises.progress("E")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. What learns costs three more numbers each: a gradient and two of Adam's. What is frozen costs itself alone.
# 2. LoRA learns in few numbers and wants a higher rate. Compare each way at its own, chosen on other text.
# 3. Learning and forgetting go together, and the learning rate sets both. Name both when you praise a method.
# 4. Frozen weights may have four bits: that is what makes seven billion fit into 16 GB.
# 5. Recomputing trades seconds for bytes and changes no gradient.
#
# ## Where to go next
#
# [Notebook C](C-gguf-and-llama-cpp.ipynb) runs the exported file with llama.cpp, and [notebook
# 08](../08-distillation-basics.ipynb) has the distillation of section 7 with many more students.
