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
# # 07 Pruning basics
#
# Quantization writes every weight with fewer bits. Pruning throws weights away. How many can go before the network
# notices? And when they are gone, is anything smaller or faster? After this notebook you can
#
# - prune a network by hand, and say exactly how many weights went,
# - find the cliff behind which the accuracy falls, and move it by training on,
# - say when cutting in steps pays, and when it costs,
# - compute from how many zeros on a sparse format saves bytes, and measure from where on it saves time,
# - remove whole neurons so that the network is really smaller and still gives the same answers,
# - tell an effect of pruning from luck, with 20 seeds and paired intervals.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs measuring from [notebook
# 03](03-profiling-basics.ipynb), and an idea of how a network is trained. It does not cover convolutions, attention
# heads or language models.
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

import copy
import gzip
import io
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from coursekit import accuracy, claims, data, exercises, models, plots
from coursekit import pruning, scoreboard, timing, widgets

runtime.start()

# %% [markdown]
# ## 1. Which weights can go?
#
# Think of Jenga: you look for the blocks that carry nothing and pull those out first. The simplest guess at what carries
# nothing is the **magnitude**: a weight near zero adds little to any sum. Set the smaller half of these six to zero:

# %%
blocks = np.array([0.8, 0.001, -0.7, 0.002, 0.9, -0.003])
smallest = np.argsort(np.abs(blocks))[:3]
blocks[smallest] = 0
print(blocks)
claims.show("07-jenga", measured=blocks.tolist() == [0.8, 0, -0.7, 0, 0.9, 0])

# %% [markdown]
# The same with a matrix, at 50 %. A **mask** remembers what stays: True for a weight that stays, False for one that goes.
# Half of nine is 4.5, and Python rounds a tie to the even number.

# %%
W = np.array([[0.5, -0.1, 0.8], [0.02, -0.9, 0.03], [-0.7, 0.04, 0.6]])
n_prune = round(0.5 * W.size)
order = np.argsort(np.abs(W), axis=None)  # positions in the flattened matrix, smallest magnitude first
mask = np.ones(W.size, dtype=bool)
mask[order[:n_prune]] = False
mask = mask.reshape(W.shape)
print(np.where(mask, W, 0))
claims.show("07-three-by-three", measured=100 * (~mask).mean())

# %% [markdown]
# The share of zeros is the **sparsity**. Here it is 4 of 9. In the picture bright cells are large weights, and what went
# is black (in a notebook with a dark page, white):

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, axes = plots.style.axes(
    1, 2, height=2.6, alt="The 3 × 3 matrix before and after: four of nine cells black."
)
plots.pruning.matrix(axes[0], W, np.ones_like(mask), title="before")
plots.pruning.matrix(axes[1], W, mask, title="after")
picture

# %% [markdown]
# PyTorch has this built in. Look at what it leaves in the layer:

# %%
layer = nn.Linear(3, 3)
layer.weight.data = torch.tensor(W, dtype=torch.float32)
prune.l1_unstructured(layer, "weight", amount=0.5)
print("the same weights stay:", np.array_equal(layer.weight_mask.numpy() == 1, mask))
print("the layer holds:", ", ".join(layer.state_dict()))
prune.remove(layer, "weight")
print("after prune.remove:", ", ".join(layer.state_dict()))

# %% [markdown]
# While you experiment, PyTorch keeps the old weights and the mask side by side. `prune.remove` multiplies them and
# throws the mask away. It removes the bookkeeping, not the zeros.
#
# Many programs find the weights that go by a **threshold**: take a percentile of the magnitudes and drop what lies below.
# Count what that does to a matrix in which some magnitudes are equal:

# %%
tied = np.array(
    [[0.5, -0.1, 0.8, -0.3], [0.02, -0.9, 0.03, 0.01], [-0.7, 0.04, 0.6, -0.5], [0.01, 0.02, -0.01, 0.03]]
)
below = {}
for sparsity in (0.125, 0.25, 0.5):
    threshold = np.percentile(np.abs(tied), 100 * sparsity)
    below[sparsity] = int((np.abs(tied) < threshold).sum())
    print(f"asked for {sparsity * tied.size:.0f} of 16; below the threshold lie {below[sparsity]}")
claims.show("07-percentile", measured=below[0.25])

# %% [markdown]
# Weights that equal the threshold all go or all stay. Ranking has no such trouble: it takes the first so many.
#
# **Exercise 1.** Prune by hand: return a copy of `weights` (any shape) in which exactly `round(sparsity * weights.size)`
# numbers are zero, those with the smallest magnitudes. Where magnitudes tie, any of them may go. No number in the matrix
# is zero beforehand.


# %% tags=["exercise"]
def magnitude_prune(weights, sparsity):
    # solution
    pruned = weights.copy()
    order = np.argsort(np.abs(weights), axis=None)
    pruned.flat[order[: round(sparsity * weights.size)]] = 0
    return pruned
    # end solution


exercises.check("07-prune", magnitude_prune)

# %% [markdown]
# ## 2. How many can go?
#
# Nine weights are a toy. Take the digits network 64-128-10 of notebook 05, and take 20 of them, trained from 20 seeds: one
# network is one throw of the dice. All choices are made on the 287 validation pictures.
#
# A word on counting first. Below stand some thirty comparisons, most with an interval. Of those that you read because they
# stand out, some stand out by luck: of twenty 95 % intervals around nothing, one in the mean leaves out 0. Five were planned
# before anything was trained: what pruning costs at 40, 60 and 90 %, what training on wins back, and pruned against trained
# from scratch. All others came up on the way; what is said about widths and steps was repeated with other seeds before it
# was written down.

# %% tags=["nbval-ignore-output"]
digits = data.digits()
x_train, y_train = digits.train.tensors("cpu")
x_validation, y_validation = digits.validation.tensors("cpu")
seeds, epochs, training = range(20), 20, {"batch_size": 128, "lr": 5e-3}

torch.set_num_threads(1)  # so small that sharing the work would cost more than it brings
widths, progress = (64, 128, 10), runtime.progress("Training 20 networks", epochs)
ensemble = models.fit_many(widths, x_train, y_train, seeds=seeds, epochs=epochs, after=progress, **training)
dense = ensemble.accuracy(x_validation, y_validation)  # [seeds]
model = ensemble.model(0)
low, mean, high = 100 * dense.min(), 100 * dense.mean(), 100 * dense.max()
print(f"{ensemble}: {mean:.1f} % right in the mean, from {low:.1f} to {high:.1f} %")

# %% [markdown]
# **Global** pruning ranks the weights of all layers together. By hand it is the code from above, on the joined weights:


# %%
def global_masks(weights, sparsity):
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[magnitudes.argsort(stable=True)[: round(sparsity * len(keep))]] = False
    parts = keep.split([weight.numel() for weight in weights])
    return [part.reshape(weight.shape) for part, weight in zip(parts, weights, strict=True)]


def matrices(model):
    return [layer.weight for layer in model if isinstance(layer, nn.Linear)]


masks = global_masks(matrices(model), 0.5)
from_library = pruning.masks(model, 0.5)
print("coursekit gives the same masks:", all(map(torch.equal, masks, from_library)))

# %% [markdown]
# Here are all weights of the first network, and in black those that go at 50 %. Half of the weights, but how much of the
# tower do they carry?

# %% tags=["nbval-ignore-output"]
weights = torch.cat([weight.flatten() for weight in matrices(model)]).detach()
stays = torch.cat([mask.flatten() for mask in masks])
picture, ax = plots.style.axes(
    height=2.8, alt="A histogram of all weights: a hill around zero, its middle half black."
)
plots.pruning.histogram(ax, weights, stays)
light = weights[~stays].square().sum() / weights.square().sum()
print(f"all weights squared and added up: {100 * light:.1f} % of the sum is from the black half")
picture

# %% [markdown]
# So the half that goes is the light half. Where does it end? Your guess: at which sparsity has the mean of the 20
# networks lost more than 10 points?

# %%
exercises.predict("07-cliff", ..., unit="% of the weights")

# %% tags=["nbval-ignore-output", "answer"]
sparsities = [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99]
cliff = np.array(
    [pruning.prune_many(ensemble, sparsity).accuracy(x_validation, y_validation) for sparsity in sparsities]
)  # [sparsities, seeds]
picture, ax = plots.style.axes(
    alt="Accuracy against sparsity with a band over the seeds: level for long, then a cliff."
)
plots.pruning.accuracy(ax, sparsities, cliff)
picture


# %% tags=["nbval-ignore-output", "answer"]
def if_learned(measured):
    """Return what was measured, or None where the networks know too little to lose something."""
    return measured if dense.mean() > 0.9 else None


lost = dict(zip(sparsities, 100 * (dense - cliff).mean(axis=1), strict=True))
print("pruned  points lost, mean of 20 seeds")
for sparsity, points in lost.items():
    print(f"{100 * sparsity:4.0f} % {points:11.1f}")

# %% tags=["nbval-ignore-output", "answer"]
fell = pruning.cliff(sparsities, cliff, 0.1)  # None where no such fall was found
claims.table(
    claims.show("07-forty", measured=if_learned(lost[0.4])),
    claims.show("07-sixty", measured=if_learned(lost[0.6])),
    claims.show("07-ninety", measured=if_learned(lost[0.9])),
    claims.show("07-cliff", measured=None if fell is None else if_learned(100 * fell)),
    title="Cut and left alone",
)

# %% [markdown]
# The band widens on the way down: at 80 % one seed may have lost a little where another has lost a lot.
#
# **Which layer can spare them?** Prune one layer and leave the other alone. Such a **sensitivity scan** is cheap and often
# the first thing to do:


# %% tags=["nbval-ignore-output", "answer"]
def pruned_alone(layer):
    accuracies = [pruning.prune_many(ensemble, sparsity, layers=[layer]) for sparsity in sparsities]
    return np.array([networks.accuracy(x_validation, y_validation) for networks in accuracies])


names = [f"hidden layer {number}" for number in range(1, len(widths) - 1)] + ["the output layer"]
scan = {name: pruned_alone(layer) for layer, name in enumerate(names)}
picture, ax = plots.style.axes(alt="Accuracy against sparsity, a line for each layer that is pruned alone.")
plots.pruning.sensitivity(ax, sparsities, scan)
picture

# %% [markdown]
# To compare two lists of 20 accuracies, compare seed by seed. The mean of the differences gets an interval of its own,
# usually narrower than those of the two means: what makes a seed good or bad for both cancels.


# %% tags=["nbval-ignore-output"]
at_80 = sparsities.index(0.8)
difference = scan[names[0]][at_80] - scan[names[-1]][at_80]  # [20 seeds]
half = 2.093 * difference.std(ddof=1) / len(difference) ** 0.5  # Student's t, 19 degrees of freedom
gap = accuracy.paired(scan[names[0]][at_80], scan[names[-1]][at_80])
print(f"by hand {100 * difference.mean():.2f} ± {100 * half:.2f} points, by coursekit {gap}")


def in_points(gap):
    """Return a difference as text, in points, and whether its interval holds 0."""
    middle = gap.mean if hasattr(gap, "mean") else gap.value
    value, low, high = (f"{round(100 * part, 2) + 0.0:+.2f}" for part in (middle, gap.low, gap.high))
    decision = "holds 0" if gap.low <= 0 <= gap.high else "does not hold 0"
    return f"{value} points ({low} to {high}: {decision})"


claims.show("07-sensitive", measured=if_learned(gap))

# %% [markdown]
# Now drag. The black cells are what goes of the first layer. Then switch to whole neurons: rows instead of cells.

# %% tags=["answer"]
widgets.pruning(ensemble, x_validation, y_validation)

# %% [markdown]
# ## 3. What brings the accuracy back?
#
# The weights that stayed were trained together with those that are gone. Give them a chance to adapt: train on, which
# is called **fine-tuning**. The gradient would fill the holes again, so the mask is applied after every step.


# %%
def train_on(model, masks, epochs):
    tuned = pruning.apply(model, masks)  # a copy with the holes
    weights = matrices(tuned)
    optimizer = torch.optim.Adam(tuned.parameters(), lr=training["lr"])
    for _ in range(epochs):
        for rows in torch.randperm(len(x_train)).split(training["batch_size"]):
            loss = functional.cross_entropy(tuned(x_train[rows]), y_train[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for weight, mask in zip(weights, masks, strict=True):
                weight.data *= mask  # what is gone stays gone
    return tuned


# %% tags=["nbval-ignore-output"]
masks = global_masks(matrices(model), 0.9)
for name, network in {
    "pruned": pruning.apply(model, masks),
    "trained on": train_on(model, masks, 10),
}.items():
    found = accuracy.of(models.predict(network, x_validation), y_validation)
    print(f"{name:10}  sparsity {pruning.sparsity(network):.3f}, accuracy {found}")

# %% [markdown]
# `finetune_many` does the same for all 20 seeds, and tells after every epoch what the networks are like. How many of the
# points lost at 90 % do 20 epochs win back?


# %%
def train_all_on(networks, masks, epochs, after=None):
    options = {"seeds": seeds[: len(networks)], "epochs": epochs, "after": after, **training}
    return pruning.finetune_many(networks, masks, x_train, y_train, **options)


# %% tags=["nbval-ignore-output"]
masks, progress = pruning.masks_many(ensemble, 0.9), runtime.progress("Training on", 20)
tuned = train_all_on(ensemble, masks, 20, progress)
tuned_once = tuned.accuracy(x_validation, y_validation)
untouched = cliff[sparsities.index(0.9)]
for name, share in {"dense": dense, "90 % zeros": untouched, "trained on": tuned_once}.items():
    print(f"{name:11} {100 * share.mean():5.1f} %")
print(f"still missing to dense: {in_points(accuracy.paired(dense, tuned_once))}")
claims.show("07-fine-tune", measured=if_learned(accuracy.paired(tuned_once, untouched)))

# %% [markdown]
# **Does a wider network stand more?** One often reads that a network larger than its task needs can spare more. Try three
# widths, five seeds each: only cut, and trained on for ten epochs.


# %%
levels, few, hidden_widths = [0, 0.8, 0.9, 0.95], range(5), (32, 128, 256)


def cut_and_tuned(hidden, progress):
    """Return the accuracies of networks of one width, [levels, seeds]: only cut, and trained on."""
    given = {"x": x_train, "y": y_train, "seeds": few, **training}
    full = models.fit_many((64, hidden, 10), epochs=20, after=progress, **given)
    only_cut, trained = [full], [full]
    for level in levels[1:]:
        masks = pruning.masks_many(full, level)
        only_cut.append(pruning.prune_many(full, level))
        trained.append(pruning.finetune_many(full, masks, epochs=10, after=progress, **given))
    return [
        np.array([each.accuracy(x_validation, y_validation) for each in networks])
        for networks in (only_cut, trained)
    ]


# %% tags=["nbval-ignore-output", "answer"]
progress = runtime.progress("Three widths", len(hidden_widths) * (20 + 10 * (len(levels) - 1)))
by_width = {f"{hidden} neurons": cut_and_tuned(hidden, progress) for hidden in hidden_widths}
picture, axes = plots.style.axes(
    1, 2, height=3.4, alt="Accuracy against sparsity for three widths: only cut, and trained on."
)
for number, title in enumerate(("only cut", "cut, then 10 epochs")):
    lines = {name: found[number] for name, found in by_width.items()}
    plots.pruning.accuracy(axes[number], levels, lines, title=title)
    axes[number].set(xlim=(77, 97), ylim=(0, 102))
picture

# %% tags=["nbval-ignore-output", "answer"]
narrow, wide = by_width[f"{hidden_widths[0]} neurons"], by_width[f"{hidden_widths[-1]} neurons"]
at_90 = levels.index(0.9)
lost_by = [[part[0] - part[at_90] for part in found] for found in (narrow, wide)]  # only cut, trained on
print("points lost at 90 %   only cut   trained on")
for name, parts in zip((min(hidden_widths), max(hidden_widths)), lost_by, strict=True):
    print(f"{name:4} neurons {100 * parts[0].mean():17.1f} {100 * parts[1].mean():12.1f}")
claims.show("07-wider", measured=if_learned(accuracy.paired(lost_by[0][1], lost_by[1][1])))

# %% [markdown]
# Read the left picture first. (Dashed, in both: the narrowest before the cut.) Cut and left alone, at 80 % the widest has
# lost less than the narrowest. But at 90 % every width has collapsed: having neurons to spare does not help a network whose
# sums have just lost their parts. There the spare neurons count only in the right picture. So whether "larger networks
# stand more pruning" is true depends on how much is cut, and on what comes after the cut.
#
# **Once, or in steps?** What you did above is **one-shot** pruning: cut once, train on. **Iterative** pruning cuts in steps
# and trains after each. Compare plans that all end at 95 % and all take 20 epochs. Each step is a part of the way and the
# epochs that follow it. From here on, ten of the 20 seeds are enough: the effects are large.

# %%
ten = ensemble.first(10)
plans = {
    "one cut": ((1.0, 20),),
    "60, 90, 100 % of the way": ((0.6, 3), (0.9, 3), (1.0, 14)),
    "33, 67, 100 % of the way": ((0.33, 7), (0.67, 7), (1.0, 6)),
}


def follow(networks, steps, sparsity, progress):
    """Return the accuracies after every epoch of the last step, [epochs, seeds]."""
    found = []

    def after(epoch, networks):
        progress()
        if part == 1:
            found.append(networks.accuracy(x_validation, y_validation))

    for part, epochs in steps:
        networks = train_all_on(networks, pruning.masks_many(networks, part * sparsity), epochs, after)
    return np.array(found)


# %% tags=["nbval-ignore-output"]
progress = runtime.progress("Three plans", 20 * len(plans))
curves = {name: follow(ten, steps, 0.95, progress) for name, steps in plans.items()}
picture, ax = plots.style.axes(alt="Accuracy against the epochs after the last cut, a line for each plan.")
plots.pruning.after_the_cut(ax, curves)
picture

# %% tags=["nbval-ignore-output"]
once, small_steps, large_steps = curves.values()
progress = runtime.progress("One plan at 90 %, 20 seeds", 20)
at_90 = follow(ensemble, plans["60, 90, 100 % of the way"], 0.9, progress)[-1]
claims.table(
    claims.show("07-iterative", measured=if_learned(accuracy.paired(small_steps[-1], once[-1]))),
    claims.show("07-other-plan", measured=if_learned(accuracy.paired(large_steps[-1], once[-1]))),
    claims.show("07-last-cut", measured=if_learned(accuracy.paired(small_steps[5], once[5]))),
    claims.show("07-iterative-at-90", measured=if_learned(accuracy.paired(at_90, tuned_once))),
    title="Steps against one cut",
)

# %% [markdown]
# "Steps are better" is true of one of these plans and false of the other. Two things decide. **How long one trains after
# the last cut:** every line rises, and a plan that stops after six epochs has no time left. **How much the last cut takes
# of what was left:** 95 % at once takes 19 weights of 20, the plan with 33, 67 and 100 % takes 86 % of what its second step
# left, the plan with 60, 90 and 100 % only 66 %. After equally many epochs the small last cut is far ahead. At 90 % there is
# enough left in any case, and the plans end together. Change `plans` and look. And change the network: with 12 or
# 32 hidden neurons the same careful plan showed no gain.
#
# The usual plan takes 20 % of what is left in each round: after ten rounds 0.8 to the power 10 is left, about 11 %, and each
# round has to be trained.
#
# **The lottery ticket.** Frankle and Carbin (2019) asked: was it the training that found good weights, or did the
# network contain a good small network from the start? The experiment is a **rewind**. Train, prune, then put the weights
# that stayed back to their values *before* training, and train this sparse network alone. Two controls show what the
# ticket owes to its parts: the same mask with new starting values, and the same starting values with a random mask.


# %%
def shuffled(mask, rng):
    """Return masks with the same number of weights for each network, at random places."""
    flat = mask.flatten(1)
    return flat.gather(1, torch.rand(flat.shape, generator=rng).argsort(dim=1)).reshape(mask.shape)


# %% tags=["nbval-ignore-output"]
start = models.start_many(widths, seeds[:10])
new_start = models.start_many(widths, [1000 + seed for seed in seeds[:10]])
masks, rng = pruning.masks_many(ten, 0.9), torch.Generator().manual_seed(0)
runs = {
    "ticket": (start, masks),
    "new start": (new_start, masks),
    "random mask": (start, [shuffled(mask, rng) for mask in masks]),
}
progress = runtime.progress("Tickets and controls", 20 * len(runs))
tickets = {
    name: train_all_on(networks, held, 20, progress).accuracy(x_validation, y_validation)
    for name, (networks, held) in runs.items()
}

# %% tags=["nbval-ignore-output"]
shares = {**tickets, "not rewound": tuned_once[:10]}
gaps = {name: accuracy.paired(share, dense[:10]) for name, share in shares.items()}
rows = 100 * np.array([(gap.mean, gap.low, gap.high) for gap in gaps.values()]).T
picture, ax = plots.style.axes(
    height=2.4, alt="Four ways to a sparse network, each with its distance from dense."
)
plots.comparison.dots_with_interval(
    ax,
    list(gaps),
    *rows,
    unit="points against the dense network (0: as good)",
    title="Networks with 90 % zeros, mean of 10 seeds",
    reference=0,
)
picture

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("07-lottery", measured=if_learned(gaps["ticket"])),
    claims.show(
        "07-structure", measured=if_learned(accuracy.paired(tickets["ticket"], tickets["random mask"]))
    ),
    title="The lottery ticket",
)

# %% [markdown]
# What does the mask know? Lay the weights of the hidden layer over the pixels that they listen to:

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
kept = {name: runs[name][1][0] for name in ("ticket", "random mask")}  # [seeds, neurons, pixels] each
picture, axes = plots.style.axes(
    1, 3, height=2.9, alt="The mean picture, and the weights kept at each pixel by two masks."
)
axes[0].imshow(x_train.mean(dim=0).reshape(8, 8), cmap="gray_r")
axes[0].set_axis_off()
axes[0].set_title("mean picture")
most = max(float(held.float().mean((0, 1)).max()) for held in kept.values())
for ax, (name, held) in zip(axes[1:], kept.items(), strict=True):
    plots.pruning.kept_per_input(ax, held, (8, 8), most=most, title=name)
picture

# %% tags=["nbval-ignore-output"]
pixels = {"always white": x_train.std(dim=0) == 0, "the eight darkest": x_train.mean(dim=0).argsort()[-8:]}
print("weights that stay     ", *(f"{name:>18}" for name in pixels))
for name, held in kept.items():
    shares = [100 * held[:, :, chosen].float().mean() for chosen in pixels.values()]
    print(f"{name:22}", *(f"{share:16.0f} %" for share in shares))
print("same mask, old minus new start:", in_points(accuracy.paired(tickets["ticket"], tickets["new start"])))
print("rewound minus trained on:      ", in_points(accuracy.paired(tickets["ticket"], tuned_once[:10])))

# %% [markdown]
# The ticket drops pixels that are always white, and more than its share of the darkest, which nearly every digit has: neither
# tells one digit from another. Other seeds give the same map. The last two lines say what else the ticket is worth: if an
# interval holds 0, no difference was shown; if the last one lies below 0, rewinding was the worse way to use the 20 epochs
# that both got. The ticket is a discovery about training, not a recipe to save anything: you have to train the dense network
# first.
#
# ## 4. What do the zeros save?
#
# You have networks of which nine weights in ten are zero. First the file. It is written three times: dense, pruned with
# PyTorch's masks still attached, and pruned for good.


# %% tags=["nbval-ignore-output"]
def file_of(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getvalue()


files, pruned = {"dense": file_of(model)}, copy.deepcopy(model)
parts = [(layer, "weight") for layer in pruned if isinstance(layer, nn.Linear)]
prune.global_unstructured(parts, pruning_method=prune.L1Unstructured, amount=0.9)
files["masks attached"] = file_of(pruned)
for layer, name in parts:
    prune.remove(layer, name)
files["90 % zeros"] = file_of(pruned)
for name, file in files.items():
    print(f"{name:14} {len(file):7,} bytes, after gzip {len(gzip.compress(file)):7,}")

# %% tags=["nbval-ignore-output"]
zipped = {name: len(gzip.compress(file)) for name, file in files.items()}
claims.table(
    claims.show("07-same-file", measured=len(files["90 % zeros"]) / len(files["dense"])),
    claims.show("07-gzip", measured=zipped["dense"] / zipped["90 % zeros"]),
    title="Files",
)

# %% [markdown]
# A zero takes four bytes like any other number. gzip finds the runs of zeros, but in memory the network is as large as
# ever. To save bytes there, store only what is not zero. The standard format is **CSR**, compressed sparse rows: the
# values, the column of each, and for each row where it starts. Here is the 3 × 3 matrix:

# %%
sparse = np.where(mask, W, 0)
rows, columns = np.nonzero(sparse)
values = sparse[rows, columns]
starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(sparse)))])
print(f"values  {values}\ncolumns {columns}\nstarts  {starts}")
n_bytes = 4 * len(values) + 4 * len(columns) + 4 * len(starts)  # FP32 and 32-bit integers
print(f"CSR {n_bytes} bytes, dense {4 * sparse.size} bytes")

# %% [markdown]
# With 44 % zeros CSR takes *more* room: every value brings its column along. Multiplying means walking through the rows:


# %%
def csr_times(values, columns, starts, x):
    y = np.zeros(len(starts) - 1)
    for row in range(len(y)):
        for k in range(starts[row], starts[row + 1]):
            y[row] += values[k] * x[columns[k]]
    return y


x = np.array([1.0, 2.0, 3.0])
print("CSR  ", csr_times(values, columns, starts, x))
print("dense", sparse @ x)
print("bytes by coursekit:", pruning.csr_bytes(torch.tensor(sparse, dtype=torch.float32)))

# %% [markdown]
# Drag the share of zeros, and change what a number and what an index takes. A **bitmask** is the simplest other way: one
# bit for every place says whether a number stands there.

# %%
widgets.sparse_bytes()

# %% [markdown]
# The smaller the numbers, the more the indices weigh: pruning and quantization do not simply multiply.
#
# **Exercise 2.** Compute the break-even. A matrix of `rows` × `columns` numbers takes `number_bytes` each; CSR takes
# `index_bytes` for each column index and each of the `rows + 1` starts. Return the **density** (share of numbers that
# are *not* zero) at which CSR takes exactly as many bytes as dense.


# %% tags=["exercise"]
def break_even_density(rows, columns, number_bytes, index_bytes):
    # solution
    dense_bytes = rows * columns * number_bytes
    stored = (dense_bytes - (rows + 1) * index_bytes) / (number_bytes + index_bytes)
    return stored / (rows * columns)
    # end solution


exercises.check("07-break-even", break_even_density)

# %% [markdown]
# Now the time. An ordinary matrix product, once with a dense matrix and once with one that holds 90 % zeros. Your guess
# for the zeros:

# %%
exercises.predict("07-zeros-speed", ..., choices=["faster", "same", "slower"])

# %% tags=["nbval-ignore-output", "answer"]
W = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
x = torch.rand(1024, 64)  # 64 pictures, a column each
zeros = W * pruning.masks(W, 0.9)[0]
with_zeros = timing.compare(
    {"dense": lambda: W @ x, "90 % zeros": lambda: zeros @ x}, max_time=0.6, threads=1
)
with_zeros

# %% [markdown]
# ("The same" asks for the whole interval: within 5 % either way.)

# %% tags=["nbval-ignore-output", "answer"]
claims.show("07-zeros-speed", measured=with_zeros.ratio("90 % zeros"))

# %% [markdown]
# ## 5. When does a sparse product pay off?
#
# A program that knows CSR skips the zeros. But it fetches an index for every number, jumps around in `x`, and cannot use
# the processor's widest instructions as well as the dense product does. So it needs many zeros to win. How many? Your
# guess, for 1,024 × 1,024 weights and 64 pictures:

# %%
exercises.predict("07-csr-pays", ..., unit="% zeros")

# %% tags=["nbval-ignore-output", "answer"]
zero_shares, ratios = [0.5, 0.7, 0.8, 0.9, 0.95], []
progress = runtime.progress("Timing products", len(zero_shares))
for level in zero_shares:
    progress()
    csr = pruning.to_csr(W * pruning.masks(W, level)[0])
    runs = {"dense": lambda: W @ x, "CSR": lambda csr=csr: csr @ x}
    ratios.append(timing.compare(runs, max_time=0.3, threads=1).ratio("CSR"))
picture, ax = plots.style.axes(
    alt="The speed-up of the CSR product against its share of zeros, and the line at 1×."
)
plots.pruning.break_even(ax, zero_shares, ratios)
picture

# %% tags=["nbval-ignore-output", "answer"]
wins = [ratio.low > 1 for ratio in ratios]
pays = [level for place, level in enumerate(zero_shares) if all(wins[place:])]  # from here on, always
claims.show("07-csr-pays", measured=100 * min(pays) if pays else None)

# %% [markdown]
# Compare with the bytes: with 32-bit indices CSR is smaller from about 50 % zeros on. Being smaller and being faster are
# two different questions. And next to section 2: at the sparsity where the product starts to win, how much accuracy was
# left without training on?
#
# **2:4 sparsity.** Zeros that may stand anywhere are hard to skip. NVIDIA's GPUs since Ampere know one pattern: of every
# four neighbours in a row, two are zero. Two values and two 2-bit positions are kept, so four FP16 weights take
# 2 · 16 + 2 · 2 = 36 bits instead of 64.


# %%
def two_four(weight):
    groups = weight.reshape(-1, 4)
    smaller = groups.abs().argsort(dim=1, stable=True)[:, :2]
    return torch.ones_like(groups, dtype=torch.bool).scatter_(1, smaller, False).reshape(weight.shape)


row = torch.tensor([[0.5, -0.1, 0.8, -0.3, 0.02, -0.9, 0.03, 0.01]])
print(torch.where(two_four(row), row, 0))
print("coursekit gives the same mask:", torch.equal(two_four(row), pruning.two_four(row)))

# %% [markdown]
# The mask runs on any machine, and so does the question what it costs. Compare it with the 50 % that global pruning
# would choose freely, then train the 2:4 networks on for 5 epochs:

# %% tags=["nbval-ignore-output"]
masks = [two_four(weight) for weight in ensemble.weights]
patterned = ensemble.replace([w * mask for w, mask in zip(ensemble.weights, masks, strict=True)])
two_four_share = patterned.accuracy(x_validation, y_validation)
tuned_share = train_all_on(ensemble, masks, 5).accuracy(x_validation, y_validation)
print("2:4 minus dense:                ", in_points(accuracy.paired(two_four_share, dense)))
print("2:4 minus dense, after 5 epochs:", in_points(accuracy.paired(tuned_share, dense)))
cost = accuracy.paired(cliff[sparsities.index(0.5)], two_four_share)
claims.show("07-two-four-cost", measured=if_learned(cost))

# %% [markdown]
# And the speed? Only a GPU that knows the pattern can show it. Where there is none, the next cell says so.


# %%
def compare_two_four(size, device):
    """Time a dense FP16 product against the same with 2:4 weights; None where this GPU does not know them."""
    weight = torch.randn(size, size, dtype=torch.float16, device=device)
    x = torch.randn(size, size, dtype=torch.float16, device=device)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*SparseSemiStructuredTensor is in prototype stage")
            sparse = torch.sparse.to_sparse_semi_structured(weight * pruning.two_four(weight))
            functional.linear(x, sparse)
    except (RuntimeError, NotImplementedError):
        return None
    runs = {"dense": lambda: functional.linear(x, weight), "2:4": lambda: functional.linear(x, sparse)}
    with torch.inference_mode():
        return timing.compare(runs, baseline="dense", device=device)


# %% tags=["nbval-ignore-output"]
device = runtime.device()
on_gpu = compare_two_four(4096, device) if device.type == "cuda" else None
if on_gpu is None:
    print("No GPU with 2:4 support here: its speed was not measured, so no figures.")
else:
    print(on_gpu)
    print(claims.show("07-two-four-speed", measured=on_gpu.ratio("2:4")))

# %% [markdown]
# ## 6. How does the network get smaller for real?
#
# Remove what has a place of its own: whole neurons. A neuron is a row of its layer's weights, and a column of the next
# layer's. This is **structured pruning**. PyTorch's `ln_structured` takes the rows with the smallest L2 norm:

# %%
zeroed = copy.deepcopy(model)
prune.ln_structured(zeroed[0], "weight", amount=0.3, n=2, dim=0)
prune.remove(zeroed[0], "weight")
dead = (zeroed[0].weight == 0).all(dim=1)
print(f"{dead.sum()} of {len(dead)} rows are zero; the matrix is still {tuple(zeroed[0].weight.shape)}")

# %% [markdown]
# Still a dense matrix. So drop the dead rows, and the columns of the next layer that listened to them. A zero row
# contributes nothing. Or does it?


# %%
def dropped(model, keep):
    """Return a smaller copy: the kept rows of the hidden layer, the kept columns of the next."""
    small = copy.deepcopy(model)
    small[0].weight.data, small[0].bias.data = model[0].weight[keep], model[0].bias[keep]
    small[2].weight.data = model[2].weight[:, keep]
    return small


# %% tags=["nbval-ignore-output"]
without_dead = dropped(zeroed, ~dead)
with torch.inference_mode():
    expected, found = zeroed(x_validation), without_dead(x_validation)
    outputs = torch.relu(zeroed[0](x_validation))[:, dead]
print(f"largest change of a logit: {(found - expected).abs().max():.4f}")
print(f"outputs of the dead neurons for three pictures:\n{outputs[:3, :6].numpy().round(3)}")
dropped_changes = float((found - expected).abs().max()) if outputs.any() else None

# %% [markdown]
# The trap: a neuron without weights still has its **bias**. It outputs relu(bias), the same for every picture. A
# constant needs no neuron. Multiply it by the weights that listened to it, and add the result to the next layer's bias:
#
# $$b_2' = b_2 + W_2[:, \text{dead}] \cdot \mathrm{relu}(b_1[\text{dead}])$$
#
# **Exercise 3.** Fold the bias. `keep` says for each hidden neuron whether it stays. A neuron that goes has a row of zeros
# in `w1`. Return `w1`, `b1`, `w2` and `b2` of the smaller network, in this order. The outputs must not change.


# %% tags=["exercise"]
def remove_neurons(w1, b1, w2, b2, keep):
    # solution
    constant = np.maximum(b1[~keep], 0)
    return w1[keep], b1[keep], w2[:, keep], b2 + w2[:, ~keep] @ constant
    # end solution


exercises.check("07-fold", remove_neurons)

# %% [markdown]
# `pruning.shrink` does the same for a network of any depth. Same answers, fewer parameters:

# %% tags=["nbval-ignore-output"]
shrunk = pruning.shrink(zeroed)
with torch.inference_mode():
    difference = (shrunk(x_validation) - expected).abs().max() / expected.abs().max()
for name, network in {"zeroed": zeroed, "shrunk": shrunk}.items():
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{name}: {count:,} parameters, file {len(file_of(network)):,} bytes")
claims.table(
    claims.show("07-drop-rows", measured=dropped_changes),
    claims.show("07-folded", measured=float(difference)),
    title="Without the dead neurons",
)

# %% [markdown]
# Rows are coarser than single weights: with a weak neuron its few strong weights go, too. What does that cost, if you prune
# the same share of the hidden layer both ways, without training on? (The panel's line for weights prunes both layers, so at
# high shares it falls below the one for neurons; here only the hidden layer is pruned.)

# %% tags=["nbval-ignore-output"]
coarser = {}
for share in (0.3, 0.5):
    by_weight = pruning.prune_many(ensemble, share, layers=[0]).accuracy(x_validation, y_validation)
    by_neuron = pruning.structured_many(ensemble, share).accuracy(x_validation, y_validation)
    coarser[share] = accuracy.paired(by_weight, by_neuron)
    print(f"{100 * share:.0f} % of the hidden layer: weights minus neurons {in_points(coarser[share])}")
claims.show("07-structured-cost", measured=if_learned(coarser[0.5]))

# %% [markdown]
# In return it is faster without any special program. Remove half of the hidden neurons of a wide network, not trained,
# because the time does not depend on what the weights are. Your guess, with 64 pictures at a time:

# %%
exercises.predict("07-structured-speed", ..., unit="× as fast")

# %% tags=["nbval-ignore-output", "answer"]
wide = models.mlp((1024, 2048, 2048, 10))
half = pruning.shrink(pruning.structured(wide, 0.5))
n_wide, n_half = (sum(parameter.numel() for parameter in network.parameters()) for network in (wide, half))
print(f"parameters {n_wide:,} and {n_half:,}, file {len(file_of(wide)):,} and {len(file_of(half)):,} bytes")
pictures = torch.rand(64, 1024)
with torch.inference_mode():
    changed = (half(pictures) - pruning.structured(wide, 0.5)(pictures)).abs().max()
    both = {"wide": lambda: wide(pictures), "half": lambda: half(pictures)}
    speed = timing.compare(both, max_time=0.8, threads=1, device="cpu")
print(f"largest change of an output: {changed:.1e}")
speed

# %% [markdown]
# Without half of the neurons, more than half of the weights are gone: the matrix between two hidden layers loses rows *and*
# columns, so a quarter of it is left. Does the speed follow the parameters? Divide the one ratio by the other:

# %% tags=["nbval-ignore-output", "answer"]
ratio, fewer = speed.ratio("half"), n_wide / n_half
followed = timing.Ratio(ratio.value / fewer, ratio.low / fewer, ratio.high / fewer)
claims.table(
    claims.show("07-structured-speed", measured=ratio),
    claims.show("07-quarter-of-a-matrix", measured=fewer),
    claims.show("07-linear", measured=followed),
    title="A wide network and its smaller copy",
)

# %% [markdown]
# **Exercise 4.** Make the digits network small: at most 25 % of the 9,610 parameters that 64-128-10 has, biases included, and
# at least 95 % right answers on validation. Zeros count as parameters, so they have to be removed. Count first: how many
# parameters does a hidden neuron bring along?

# %% tags=["exercise"]
# solution: small = ...
share, small = 0.0, copy.deepcopy(model)
while sum(parameter.numel() for parameter in small.parameters()) > 9610 // 4:
    share += 0.01  # for 64-128-10: 31 neurons stay, each with 64 weights in, a bias and 10 weights out
    small = pruning.shrink(pruning.structured(model, share))
models.fit(small, x_train, y_train, epochs=20, **training)
# end solution
exercises.check("07-quarter", small)

# %% [markdown]
# One more control, and it is often left out: is it the pruning that makes a small network good, or could you have trained
# a small one in the first place? Here are 20 networks 64-128-10, trained for 20 epochs, cut to 32 hidden neurons and
# trained on for 10. Against them stand 20 networks 64-32-10, trained from scratch for 30. (Zero rows with a bias stand in
# for the shrunk networks: the outputs are the same.)

# %% tags=["nbval-ignore-output"]
cut, progress = pruning.structured_many(ensemble, 0.75), runtime.progress("Cut and from scratch", 10 + 30)
masks = [weight != 0 for weight in cut.weights]
inherited = train_all_on(cut, masks, 10, progress).accuracy(x_validation, y_validation)
left = [int(mask[0].any(dim=1).sum()) for mask in masks[:-1]]  # hidden neurons
options = {"seeds": seeds, "epochs": 30, "after": progress, **training}
scratch = models.fit_many((64, *left, 10), x_train, y_train, **options)
scratch = scratch.accuracy(x_validation, y_validation)
print(f"inherited {100 * inherited.mean():.1f} %, from scratch {100 * scratch.mean():.1f} %")
claims.table(
    claims.show("07-from-scratch", measured=if_learned(accuracy.paired(inherited, scratch))),
    claims.show("07-structured-after", measured=if_learned(accuracy.paired(dense, inherited))),
    title="A small network",
)

# %% [markdown]
# On this task pruning finds no small network that training could not find as well. What it offers is a way down from a
# network that you already have, and that was dear to train.
#
# Only now the test pictures, for the scoreboard: the first network, once with 90 % zeros and trained on, once with half
# of its hidden neurons removed and trained on.

# %% tags=["nbval-ignore-output"]
structured = pruning.shrink(pruning.structured(model, 0.5))
models.fit(structured, x_train, y_train, epochs=10, **training)
variants = {"pruned-unstructured": tuned.model(0), "pruned-structured": structured}
x_test, y_test = digits.test.tensors("cpu")
before = models.predict(model, x_test)
for name, network in variants.items():
    gap = accuracy.difference(models.predict(network, x_test), before, y_test)
    print(f"{name:19} minus dense: {in_points(gap)}")

# %% tags=["nbval-ignore-output", "answer"]
networks = {"dense": model, **variants}
with torch.inference_mode():
    runs = {name: lambda network=network: network(x_test[:1]) for name, network in networks.items()}
    latency = timing.compare(runs, baseline="dense", max_time=0.6, threads=1, device="cpu")
for name, network in variants.items():
    size, took = len(file_of(network)), latency.measurements[name]
    share = accuracy.of(models.predict(network, x_test), y_test)
    scoreboard.record(name, size_bytes=size, latency=took, accuracy=share, notebook="07", device="cpu")
latency

# %% tags=["nbval-ignore-output", "answer"]
scoreboard.table()

# %% [markdown]
# The differences are to the dense network, on 360 test pictures: where the interval holds 0, no difference was shown. And
# look at the times: in so small a network most of a call is not spent multiplying, so do not expect half of the neurons to
# take half of the time.
#
# ## Quiz

# %%
exercises.quiz("07")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %% tags=["nbval-ignore-output"]
plots.guesses.picture(exercises.guesses("07"))

# %% tags=["nbval-ignore-output"]
exercises.progress("07")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. Rank by magnitude and count: a mask says what stays, and a threshold can miss the number you asked for.
# 2. Accuracy stays level, then falls off a cliff. Training on with the mask held moves it, and at 90 % spare neurons count
#    only then. In steps or at once: what counts is the size of the last cut and the training after it.
# 3. A zero costs as many bytes and as much time as any other number, until a format or a kernel knows about it.
# 4. To be smaller and faster everywhere, remove whole neurons, and fold relu(bias) of the dead ones into the next bias.
# 5. Ask for the control: the same size trained from scratch, the same mask at random places, 20 seeds and not one.
#
# ## Where to go next
#
# Notebook 08 trains a small network with the answers of a large one, and stacks it with pruning and quantization. The
# dashboard sets all variants side by side.
