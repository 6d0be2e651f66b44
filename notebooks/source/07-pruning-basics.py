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
# - compute from how many zeros on a sparse format saves bytes, and measure from where on it saves time,
# - remove whole neurons so that the network is really smaller and still gives the same answers,
# - tell an effect of pruning from luck, with 20 seeds and paired intervals.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q "{{install}}"
    pass

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
from coursekit import pruning, runtime, scoreboard, timing, widgets

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
# is black:

# %% tags=["nbval-ignore-output"]
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

# %%
digits = data.digits()
x_train, y_train = digits.train.tensors("cpu")
x_validation, y_validation = digits.validation.tensors("cpu")
seeds, epochs, training = range(20), 20, {"batch_size": 128, "lr": 5e-3}

torch.set_num_threads(1)  # so small that sharing the work would cost more than it brings
ensemble = models.fit_many((64, 128, 10), x_train, y_train, seeds=seeds, epochs=epochs, **training)
dense = ensemble.accuracy(x_validation, y_validation)  # [seeds]
model = ensemble.model(0)
print(ensemble)

# %% tags=["nbval-ignore-output"]
low, mean, high = 100 * dense.min(), 100 * dense.mean(), 100 * dense.max()
print(f"right answers: {mean:.1f} % in the mean, from {low:.1f} to {high:.1f} %")

# %% [markdown]
# **Global** pruning ranks the weights of all layers together. By hand it is the code from above, on the joined weights:


# %%
def global_masks(weights, sparsity):
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[magnitudes.argsort(stable=True)[: round(sparsity * len(keep))]] = False
    parts = keep.split([weight.numel() for weight in weights])
    return [part.reshape(weight.shape) for part, weight in zip(parts, weights, strict=True)]


masks = global_masks([model[0].weight, model[2].weight], 0.5)
from_library = pruning.masks(model, 0.5)
print("coursekit gives the same masks:", all(map(torch.equal, masks, from_library)))

# %% [markdown]
# Here are all weights of the first network, and in black those that go at 50 %. Half of the weights, but how much of the
# tower do they carry?

# %% tags=["nbval-ignore-output"]
weights = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()]).detach()
stays = torch.cat([mask.flatten() for mask in masks])
picture, ax = plots.style.axes(
    height=2.8, alt="A histogram of all weights: a hill around zero, its middle half black."
)
plots.pruning.histogram(ax, weights, stays, title="Half of the weights lie in this narrow band")
light = weights[~stays].square().sum() / weights.square().sum()
print(f"all weights squared and added up: {100 * light:.1f} % of the sum is from the black half")
picture

# %% [markdown]
# So the half that goes is the light half. Where does it end? Your guess: at which sparsity has the mean of the 20
# networks lost more than 10 points?

# %%
exercises.predict("07-cliff", ..., unit="% of the weights")

# %% tags=["nbval-ignore-output"]
sparsities = [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99]
cliff = np.array(
    [pruning.prune_many(ensemble, sparsity).accuracy(x_validation, y_validation) for sparsity in sparsities]
)  # [sparsities, seeds]
picture, ax = plots.style.axes(
    alt="Accuracy against sparsity with a band over the seeds: level for long, then a cliff."
)
plots.pruning.accuracy(ax, sparsities, cliff)
picture

# %% tags=["nbval-ignore-output"]
lost = dict(zip(sparsities, 100 * (dense - cliff).mean(axis=1), strict=True))
print("pruned  points lost, mean of 20 seeds")
for sparsity, points in lost.items():
    print(f"{100 * sparsity:4.0f} % {points:11.1f}")
claims.show("07-forty", measured=lost[0.4])

# %% tags=["nbval-ignore-output"]
claims.show("07-sixty", measured=lost[0.6])

# %% tags=["nbval-ignore-output"]
claims.show("07-ninety", measured=lost[0.9])

# %% tags=["nbval-ignore-output"]
claims.show("07-cliff", measured=next(100 * sparsity for sparsity in sparsities if lost[sparsity] > 10))

# %% [markdown]
# Where the cliff stands depends on the network: one with more neurons than its task needs stands it longer. And the
# band widens on the way down. At 80 % one seed may have lost a little where another has lost a lot.
#
# **Which layer can spare them?** Prune one layer and leave the other alone. Such a **sensitivity scan** is cheap and often
# the first thing to do:

# %% tags=["nbval-ignore-output"]
scan = {
    name: np.array(
        [
            pruning.prune_many(ensemble, sparsity, layers=[number]).accuracy(x_validation, y_validation)
            for sparsity in sparsities
        ]
    )
    for number, name in enumerate(("the hidden layer", "the output layer"))
}
picture, ax = plots.style.axes(alt="Accuracy against sparsity, a line for each layer that is pruned alone.")
plots.pruning.sensitivity(ax, sparsities, scan)
picture

# %% [markdown]
# To compare two lists of 20 accuracies, compare seed by seed. The mean of the differences gets an interval of its own,
# usually narrower than those of the two means: what makes a seed good or bad for both cancels.


# %%
def paired(a, b):
    """Return the mean of a - b over 20 seeds with its 95 % interval (Student's t, 19 degrees of freedom)."""
    difference = np.asarray(a) - np.asarray(b)
    mean, half = difference.mean(), 2.093 * difference.std(ddof=1) / len(difference) ** 0.5
    return accuracy.Difference(mean, mean - half, mean + half)


def in_points(gap):
    """Return a difference as text, in points, and whether its interval holds 0."""
    value, low, high = (f"{round(100 * part, 2) + 0.0:+.2f}" for part in (gap.value, gap.low, gap.high))
    decision = "holds 0" if gap.low <= 0 <= gap.high else "does not hold 0"
    return f"{value} points ({low} to {high}: {decision})"


# %% tags=["nbval-ignore-output"]
at_80 = sparsities.index(0.8)
claims.show("07-sensitive", measured=paired(*(rows[at_80] for rows in scan.values())))

# %% [markdown]
# Now drag. The black cells are what goes of the first layer. Then switch to whole neurons: rows instead of cells.

# %%
widgets.pruning(ensemble, x_validation, y_validation)

# %% [markdown]
# ## 3. What brings the accuracy back?
#
# The weights that stayed were trained together with those that are gone. Give them a chance to adapt: train on. The
# gradient would fill the holes again, so the mask is applied after every step.


# %%
def train_on(model, masks, epochs):
    tuned = pruning.apply(model, masks)  # a copy with the holes
    weights = [tuned[0].weight, tuned[2].weight]
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
masks = global_masks([model[0].weight, model[2].weight], 0.9)
for name, network in {
    "pruned": pruning.apply(model, masks),
    "trained on": train_on(model, masks, 10),
}.items():
    found = accuracy.of(models.predict(network, x_validation), y_validation)
    print(f"{name:10}  sparsity {pruning.sparsity(network):.3f}, accuracy {found}")

# %% [markdown]
# That is **one-shot** pruning: cut once, train on. **Iterative** pruning cuts in steps and trains after each. To be
# fair, both get 20 epochs. `finetune_many` does the loop above for all 20 seeds. The iterative way takes 60 % of the
# way, then 90 %, then all of it, and keeps most of its epochs for the last step:


# %%
def tune(networks, masks, epochs):
    return pruning.finetune_many(networks, masks, x_train, y_train, seeds=seeds, epochs=epochs, **training)


def one_shot(sparsity):
    return tune(ensemble, pruning.masks_many(ensemble, sparsity), 20)


def iterative(sparsity, steps=((0.6, 3), (0.9, 3), (1.0, 14))):
    networks = ensemble
    for part, epochs in steps:
        networks = tune(networks, pruning.masks_many(networks, part * sparsity), epochs)
    return networks


# %% tags=["nbval-ignore-output"]
tuned, shares = {}, {}
print("mean accuracy in %  no training  one-shot  iterative")
for sparsity in (0.9, 0.95):
    tuned[sparsity] = one_shot(sparsity)
    shares[sparsity] = [
        cliff[sparsities.index(sparsity)],
        tuned[sparsity].accuracy(x_validation, y_validation),
        iterative(sparsity).accuracy(x_validation, y_validation),
    ]
    print(
        f"{100 * sparsity:.0f} % pruned       ",
        *(f"{100 * share.mean():10.1f}" for share in shares[sparsity]),
    )
print(f"dense               {100 * dense.mean():10.1f}")

# %% [markdown]
# Training on works. How much of the loss at 90 % does it win back, in points?

# %% tags=["nbval-ignore-output"]
untouched, tuned_once, tuned_in_steps = shares[0.9]
print(f"still missing to dense: {in_points(paired(dense, tuned_once))}")
claims.show("07-fine-tune", measured=paired(tuned_once, untouched))

# %% [markdown]
# And is cutting in steps better than cutting once? With the same number of epochs, in points of accuracy:

# %% tags=["nbval-ignore-output"]
claims.show("07-iterative", measured=paired(shares[0.95][2], shares[0.95][1]))

# %% tags=["nbval-ignore-output"]
claims.show("07-iterative-at-90", measured=paired(tuned_in_steps, tuned_once))

# %% [markdown]
# So steps pay off near the edge, where hardly anything is left, and make little difference before it. They are no
# guarantee either: the plan of the steps is one more thing to choose. Try `steps=((0.33, 7), (0.67, 7), (1.0, 6))`. The
# usual plan takes 20 % of what is left in each round: after ten rounds 0.8 to the power 10 is left, about 11 %, and each
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
start = models.start_many((64, 128, 10), seeds)
new_start = models.start_many((64, 128, 10), [1000 + seed for seed in seeds])
masks, rng = pruning.masks_many(ensemble, 0.9), torch.Generator().manual_seed(0)
runs = {
    "ticket": (start, masks),
    "new start": (new_start, masks),
    "random mask": (start, [shuffled(mask, rng) for mask in masks]),
}
tickets = {
    name: tune(networks, held, epochs).accuracy(x_validation, y_validation)
    for name, (networks, held) in runs.items()
}

# %% tags=["nbval-ignore-output"]
gaps = {name: paired(share, dense) for name, share in {**tickets, "not rewound": tuned_once}.items()}
rows = 100 * np.array([(gap.value, gap.low, gap.high) for gap in gaps.values()]).T
picture, ax = plots.style.axes(
    height=2.4, alt="Four ways to a sparse network, each with its distance from dense."
)
plots.comparison.dots_with_interval(
    ax,
    list(gaps),
    *rows,
    unit="points against the dense network (0: as good)",
    title="A good mask is worth more than good starting values",
    reference=0,
)
picture

# %% tags=["nbval-ignore-output"]
claims.show("07-lottery", measured=gaps["ticket"])

# %% tags=["nbval-ignore-output"]
claims.show("07-structure", measured=paired(tickets["ticket"], tickets["random mask"]))

# %% tags=["nbval-ignore-output"]
always_white = x_train.std(dim=0) == 0
for name in ("ticket", "random mask"):
    kept = runs[name][1][0][:, :, always_white].float().mean()
    print(f"{name}: {100 * kept:.0f} % of the weights at always-white pixels stay")
print("same mask, old minus new start:", in_points(paired(tickets["ticket"], tickets["new start"])))
print("rewound minus trained on:      ", in_points(paired(tickets["ticket"], tuned_once)))

# %% [markdown]
# Which weights stay matters most. The last two lines say what the rest is worth: if an interval holds 0, no difference
# was shown; if the last one lies below 0, rewinding was the worse way to use the 20 epochs that both got. The ticket is
# a discovery about training, not a recipe to save anything: you have to train the dense network first.
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
parts = [(pruned[0], "weight"), (pruned[2], "weight")]
prune.global_unstructured(parts, pruning_method=prune.L1Unstructured, amount=0.9)
files["masks attached"] = file_of(pruned)
for layer, name in parts:
    prune.remove(layer, name)
files["90 % zeros"] = file_of(pruned)
for name, file in files.items():
    print(f"{name:14} {len(file):7,} bytes, after gzip {len(gzip.compress(file)):7,}")

# %%
claims.show("07-same-file", measured=round(len(files["90 % zeros"]) / len(files["dense"]), 2))

# %% tags=["nbval-ignore-output"]
zipped = {name: len(gzip.compress(file)) for name, file in files.items()}
claims.show("07-gzip", measured=zipped["dense"] / zipped["90 % zeros"])

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

# %% tags=["nbval-ignore-output"]
W = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
x = torch.rand(1024, 64)  # 64 pictures, a column each
zeros = W * pruning.masks(W, 0.9)[0]
with_zeros = timing.compare(
    {"dense": lambda: W @ x, "90 % zeros": lambda: zeros @ x}, max_time=0.6, threads=1
)
with_zeros

# %% [markdown]
# (An interval has to lie beyond 1 % to count as a difference.)

# %% tags=["nbval-ignore-output"]
claims.show("07-zeros-speed", measured=with_zeros.verdict("90 % zeros"))

# %% [markdown]
# ## 5. When does a sparse product pay off?
#
# A program that knows CSR skips the zeros. But it fetches an index for every number, jumps around in `x`, and cannot use
# the processor's widest instructions as well as the dense product does. So it needs many zeros to win. How many? Your
# guess, for 1,024 × 1,024 weights and 64 pictures:

# %%
exercises.predict("07-csr-pays", ..., unit="% zeros")

# %% tags=["nbval-ignore-output"]
levels, ratios = [0.5, 0.7, 0.8, 0.9, 0.95], []
for level in levels:
    csr = pruning.to_csr(W * pruning.masks(W, level)[0])
    runs = {"dense": lambda: W @ x, "CSR": lambda csr=csr: csr @ x}
    ratios.append(timing.compare(runs, max_time=0.3, threads=1).ratio("CSR"))
picture, ax = plots.style.axes(
    alt="The speed-up of the CSR product against its share of zeros, and the line at 1×."
)
plots.pruning.break_even(ax, levels, ratios)
picture

# %% tags=["nbval-ignore-output"]
wins = [ratio.low > 1 for ratio in ratios]
pays = [level for place, level in enumerate(levels) if all(wins[place:])]  # from here on, always
claims.show("07-csr-pays", measured=100 * min(pays, default=np.inf))

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
tuned_share = tune(ensemble, masks, 5).accuracy(x_validation, y_validation)
print("2:4 minus dense:                ", in_points(paired(two_four_share, dense)))
print("2:4 minus dense, after 5 epochs:", in_points(paired(tuned_share, dense)))
claims.show("07-two-four-cost", measured=paired(cliff[sparsities.index(0.5)], two_four_share))

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
# layer's. This is **structured** pruning. PyTorch's `ln_structured` takes the rows with the smallest L2 norm:

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
    small = models.mlp((64, int(keep.sum()), 10))
    small[0].weight.data, small[0].bias.data = model[0].weight[keep], model[0].bias[keep]
    small[2].weight.data, small[2].bias.data = model[2].weight[:, keep], model[2].bias
    return small


# %% tags=["nbval-ignore-output"]
without_dead = dropped(zeroed, ~dead)
with torch.inference_mode():
    expected, found = zeroed(x_validation), without_dead(x_validation)
    outputs = torch.relu(zeroed[0](x_validation))[:, dead]
print(f"largest change of a logit: {(found - expected).abs().max():.4f}")
print(f"outputs of the dead neurons for three pictures:\n{outputs[:3, :6].numpy().round(3)}")
claims.show("07-drop-rows", measured=(found - expected).abs().max())

# %% [markdown]
# The trap: a neuron without weights still has its **bias**. It outputs relu(bias), the same for every picture. A
# constant needs no neuron. Multiply it by the weights that listened to it, and add the result to the next layer's bias:
#
# $$b_2' = b_2 + W_2[:, \text{dead}] \cdot \mathrm{relu}(b_1[\text{dead}])$$
#
# **Exercise 3.** Fold the bias. `keep` says for each hidden neuron whether it stays; those that do not have a row of
# zeros in `w1`. Return the four smaller arrays. The outputs must not change.


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
claims.show("07-folded", measured=difference)

# %% [markdown]
# Rows are coarser than single weights: with a weak neuron its few strong weights go, too. What does that cost, if you prune
# the same share of the hidden layer both ways, without training on? (The panel's line for weights prunes both layers, so at
# high shares it falls below the one for neurons; here only the hidden layer is pruned.)

# %% tags=["nbval-ignore-output"]
coarser = {}
for share in (0.3, 0.5):
    by_weight = pruning.prune_many(ensemble, share, layers=[0]).accuracy(x_validation, y_validation)
    by_neuron = pruning.structured_many(ensemble, share).accuracy(x_validation, y_validation)
    coarser[share] = paired(by_weight, by_neuron)
    print(f"{100 * share:.0f} % of the hidden layer: weights minus neurons {in_points(coarser[share])}")
claims.show("07-structured-cost", measured=coarser[0.5])

# %% [markdown]
# In return it is faster without any special program. Remove half of the hidden neurons of a wide network, not trained,
# because the time does not depend on what the weights are. Your guess, with 64 pictures at a time:

# %%
exercises.predict("07-structured-speed", ..., unit="× as fast")

# %% tags=["nbval-ignore-output"]
wide = models.mlp((1024, 2048, 2048, 10))
half = pruning.shrink(pruning.structured(wide, 0.5))
n_wide, n_half = (sum(parameter.numel() for parameter in network.parameters()) for network in (wide, half))
print(f"parameters {n_wide:,} and {n_half:,}, file {len(file_of(wide)):,} and {len(file_of(half)):,} bytes")
pictures = torch.rand(64, 1024)
with torch.inference_mode():
    changed = (half(pictures) - pruning.structured(wide, 0.5)(pictures)).abs().max()
    runs = {"wide": lambda: wide(pictures), "half": lambda: half(pictures)}
    speed = timing.compare(runs, max_time=0.8, threads=1, device="cpu")
print(f"largest change of an output: {changed:.1e}")
speed

# %% tags=["nbval-ignore-output"]
claims.show("07-structured-speed", measured=speed.ratio("half"))

# %%
claims.show("07-quarter-of-a-matrix", measured=n_wide / n_half)

# %% [markdown]
# Without half of the neurons, more than half of the weights are gone: the matrix between two hidden layers loses rows *and*
# columns, so a quarter of it is left. Does the speed follow the parameters? Divide the one ratio by the other:

# %% tags=["nbval-ignore-output"]
ratio, fewer = speed.ratio("half"), n_wide / n_half
claims.show("07-linear", measured=timing.Ratio(ratio.value / fewer, ratio.low / fewer, ratio.high / fewer))

# %% [markdown]
# **Exercise 4.** Make the digits network small: at most 25 % of the parameters of `model` (it has 9,610, biases
# included), at least 95 % right answers on validation. Zeros count as parameters, so they have to be removed. Count first:
# how many parameters does a hidden neuron bring along?

# %% tags=["exercise"]
# solution: small = ...
n_keep = (9610 // 4 - 10) // (64 + 1 + 10)  # 64 weights in, a bias, 10 weights out; 10 biases stay
small = pruning.shrink(pruning.structured(model, 1 - n_keep / 128))
models.fit(small, x_train, y_train, epochs=20, **training)
# end solution
exercises.check("07-quarter", small)

# %% [markdown]
# One more control, and it is often left out: is it the pruning that makes a small network good, or could you have trained
# a small one in the first place? Here are 20 networks 64-128-10, trained for 20 epochs, cut to 32 hidden neurons and
# trained on for 10. Against them stand 20 networks 64-32-10, trained from scratch for 30. (Zero rows with a bias stand in
# for the shrunk networks: the outputs are the same.)

# %% tags=["nbval-ignore-output"]
cut = pruning.structured_many(ensemble, 0.75)
masks = [weight != 0 for weight in cut.weights]
inherited = tune(cut, masks, 10).accuracy(x_validation, y_validation)
scratch = models.fit_many((64, 32, 10), x_train, y_train, seeds=seeds, epochs=30, **training)
scratch = scratch.accuracy(x_validation, y_validation)
print(f"inherited {100 * inherited.mean():.1f} %, from scratch {100 * scratch.mean():.1f} %")
claims.show("07-from-scratch", measured=paired(inherited, scratch))

# %% tags=["nbval-ignore-output"]
claims.show("07-structured-after", measured=paired(dense, inherited))

# %% [markdown]
# On this task pruning finds no small network that training could not find as well. What it offers is a way down from a
# network that you already have, and that was dear to train.
#
# Only now the test pictures, for the scoreboard: the first network, once with 90 % zeros and trained on, once with half
# of its hidden neurons removed and trained on.

# %% tags=["nbval-ignore-output"]
structured = pruning.shrink(pruning.structured(model, 0.5))
models.fit(structured, x_train, y_train, epochs=10, **training)
variants = {"pruned-unstructured": tuned[0.9].model(0), "pruned-structured": structured}
x_test, y_test = digits.test.tensors("cpu")
before = models.predict(model, x_test)
for name, network in variants.items():
    gap = accuracy.difference(models.predict(network, x_test), before, y_test)
    print(f"{name:19} minus dense: {in_points(gap)}")

# %% tags=["nbval-ignore-output"]
networks = {"dense": model, **variants}
with torch.inference_mode():
    runs = {name: lambda network=network: network(x_test[:1]) for name, network in networks.items()}
    latency = timing.compare(runs, baseline="dense", max_time=0.6, threads=1, device="cpu")
for name, network in variants.items():
    size, took = len(file_of(network)), latency.measurements[name]
    share = accuracy.of(models.predict(network, x_test), y_test)
    scoreboard.record(name, size_bytes=size, latency=took, accuracy=share, notebook="07", device="cpu")
latency

# %% tags=["nbval-ignore-output"]
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
# ## What you should remember
#
# 1. Rank by magnitude and count: a mask says what stays, and a threshold can miss the number you asked for.
# 2. Accuracy stays level, then falls off a cliff. Training on with the mask held moves the cliff.
# 3. A zero costs as many bytes and as much time as any other number, until a format or a kernel knows about it.
# 4. To be smaller and faster everywhere, remove whole neurons, and fold relu(bias) of the dead ones into the next bias.
# 5. Ask for the control: the same size trained from scratch, the same mask at random places, 20 seeds and not one.
#
# ## Where to go next
#
# Notebook 08 trains a small network with the answers of a large one, and stacks it with pruning and quantization. The
# dashboard sets all variants side by side.
