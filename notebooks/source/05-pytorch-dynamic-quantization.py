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
# # 05 PyTorch dynamic quantization
#
# One line of PyTorch gives a trained network 8-bit weights. Then come the questions. Why is the file not four times
# smaller? Why does the accuracy sometimes go *up*? Why is the "fast" version often slower? After this notebook
# you can
#
# - quantize a network in one line, and write down in integers what that line does,
# - predict the size of the file before you make it,
# - tell a real difference in accuracy or speed from noise,
# - find the layer width from which on INT8 pays off on your machine,
# - choose the number of bits for each layer under a budget.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs scales and zero points from
# [notebook 01](01-floating-point-basics.ipynb) and measuring from [notebook 03](03-profiling-basics.ipynb). It does
# not cover scales of activations that are fixed beforehand (notebook 06 does), nor the methods for language models
# (notebook B does).
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
import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from coursekit import accuracy, claims, data, dynamic, exercises, models, plots
from coursekit import quantization, scoreboard, timing, widgets

runtime.start()

# %% [markdown]
# ## 1. What do we start from?
#
# The task: say which digit a picture of 8 × 8 pixels shows. The data come in three parts. The network learns from
# `train`, every choice is made on `validation`, and `test` is touched only to report.

# %%
digits = data.digits()
picture, axes = plots.style.axes(1, 10, height=1.1, alt="Ten test pictures, each with its digit above.")
for ax, image, digit in zip(axes, digits.test.images, digits.test.y, strict=False):
    ax.imshow(image, cmap="gray_r")
    ax.set_title(str(digit), loc="center")
    ax.set_axis_off()
print(digits)
picture

# %% [markdown]
# The network has 64 inputs, 128 hidden neurons and 10 outputs. Here is the training loop once; later
# `models.fit` does the same for you. The matrices are so small that sharing the work among threads costs more than it
# brings, so this notebook uses one thread.


# %% tags=["nbval-ignore-output"]
def train(model, x, y, epochs=30, batch_size=64):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(batch_size):
            loss = functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
print(f"loss of the last batch: {train(model, *digits.train.tensors('cpu')):.3f}")

# %% [markdown]
# Three numbers describe what you have now: bytes on disk, share of right answers, seconds per answer. The clock runs
# for one picture at a time, as an app on a phone would ask.

# %% tags=["nbval-ignore-output"]
x_test, y_test = digits.test.tensors("cpu")
one_picture = x_test[:1]

fp32_size = dynamic.state_dict_size(model)
fp32_answers = models.predict(model, x_test)
fp32_accuracy = accuracy.of(fp32_answers, y_test)
with torch.inference_mode():
    fp32_latency = timing.measure(lambda: model(one_picture), name="fp32")
print(f"size      {fp32_size:,} bytes\naccuracy  {fp32_accuracy}\nlatency   {fp32_latency}")

# %% [markdown]
# Look at the interval behind the accuracy. It holds the true accuracies that fit these answers, and it is several
# points wide, because 360 pictures are few. A single picture more or less already moves the accuracy by

# %%
claims.show("05-one-picture", measured=100 / len(digits.test))

# %% [markdown]
# ## 2. What does rounding do to the weights?
#
# Notebook 01 quantized an array in three lines: choose the scale by the largest weight, divide and round, multiply
# back. It is notebook 01's shopping bill again. Here are three weights:

# %%
weights = np.array([0.79, -0.42, 0.12], dtype=np.float32)
scale = np.abs(weights).max() / 127
q = np.round(weights / scale).astype(np.int8)
print(f"scale {scale:.5f}, integers {q}, multiplied back {(q * scale).round(3)}")
claims.show("05-three-weights", measured=q.tolist() == [127, -68, 19])

# %% [markdown]
# Now do it to every Linear layer of a copy of the network. How far off can a weight be? Rounding goes to the nearest
# step, so at most half a step: scale / 2. The cell keeps the error of every weight, in units of its layer's scale.


# %% tags=["nbval-ignore-output"]
def linears(model):
    """Return the Linear layers of a model by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}


def round_weights(layer, bits=8):
    """Round the weights of a layer in place; return the integers and their scale."""
    scale = layer.weight.data.abs().max() / (2 ** (bits - 1) - 1)
    q = torch.round(layer.weight.data / scale)
    layer.weight.data = q * scale
    return q, scale


by_hand, errors = copy.deepcopy(model), []
for name, layer in linears(by_hand).items():
    q, scale = round_weights(layer)
    errors.append(((linears(model)[name].weight.data - q * scale).abs() / scale).flatten())
    print(f"{q.numel():5,} weights, scale {scale:.5f}, integers {q.min():.0f} to {q.max():.0f}")
changed = (models.predict(by_hand, x_test) != fp32_answers).sum()
print(f"answers that changed: {changed} of {len(y_test)}")

# %% [markdown]
# Nearly every weight has moved, and yet hardly an answer changes, if any. Why does it work? The usual explanation
# starts with a picture of the weights:

# %% tags=["nbval-ignore-output"]
layers = [layer.weight.detach().flatten() for layer in linears(model).values()]
relative = torch.cat([weights / weights.abs().max() for weights in layers])
picture, ax = plots.style.axes(
    height=2.8, alt="A histogram of all weights, as a share of their layer's largest: a hill around zero."
)
with plots.style.look():
    ax.hist(relative.numpy(), bins=81, range=(-1, 1), color=plots.style.BLUE)
    ax.axvspan(-0.25, 0.25, color=plots.style.PALE, alpha=0.6, zorder=0)
    ax.text(0.27, 0.9, "a quarter of the range", transform=ax.get_xaxis_transform())
    plots.comparison.describe(
        ax, "weight, as a share of the layer's largest", "number of weights", "The weights of all layers"
    )
picture

# %% [markdown]
# The grey band is a quarter of the range. If the weights were spread evenly, it would hold 25 % of them. But do the
# weights in the band have smaller errors than those outside? Divide one mean error by the other (the last row):

# %% tags=["nbval-ignore-output"]
error, crowd = torch.cat(errors), relative.abs() < 0.25
claims.table(
    claims.show("05-error-bound", measured=error.max()),
    claims.show("05-near-zero", measured=100 * crowd.float().mean()),
    claims.show("05-crowd-errors", measured=error[crowd].mean() / error[~crowd].mean()),
    title="Weights and their errors",
)

# %% [markdown]
# The steps are equally far apart everywhere, so the errors are equally large everywhere. What saves the network is
# the sum. A neuron adds up 64 or 128 products, and their errors have mixed signs. How far does the sum of a hidden
# neuron move, and how far would it move if no error cancelled another?

# %% tags=["nbval-ignore-output"]
first = next(iter(linears(model)))  # the name of the first layer
first_layer = linears(model)[first]
error = (linears(by_hand)[first].weight - first_layer.weight).detach()
print(f"a sum moves by          {(x_test @ error.T).abs().mean():.4f} in the mean")
print(f"without any cancelling  {(x_test @ error.abs().T).mean():.4f}")
print(f"size of the sums        {first_layer(x_test).abs().mean():.4f}")

# %% [markdown]
# What is cancelling worth in answers? Keep the size of every error, and give all errors of a neuron the same sign: up in
# one neuron, down in the next. (All of them up would move all neurons alike, and that changes less.)


# %% tags=["nbval-ignore-output"]
def one_sign_per_neuron(error):
    return error.abs() * (1 - 2 * (torch.arange(len(error)) % 2)).unsqueeze(1)


bit_widths = range(8, 4, -1)
changed = {"as they come": [], "one sign per neuron": []}
for bits in bit_widths:
    for name, signs in zip(changed, (lambda error: error, one_sign_per_neuron), strict=True):
        copied = copy.deepcopy(model)
        for layer in linears(copied).values():
            before = layer.weight.data
            round_weights(layer, bits)
            layer.weight.data = before + signs(layer.weight.data - before)
        changed[name].append((models.predict(copied, x_test) != fp32_answers).sum())

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    height=3.2,
    alt="Changed answers against bits: errors with mixed signs, and the same errors with one sign.",
)
ax.invert_xaxis()
ax.set_xticks(bit_widths)
plots.comparison.lines(
    ax,
    bit_widths,
    changed,
    x_label="bits per weight, a scale per layer",
    y_label=f"changed answers of {len(y_test)}",
    title="Errors with mixed signs, and with one sign per neuron",
)
picture

# %% [markdown]
# The errors are equally large on both lines. What differs is only whether they cancel. Compare the lines at 5 bits.
#
# ## 3. What does one line of PyTorch do?
#
# Here is the line. It calls PyTorch's own `quantize_dynamic`, which replaces every `nn.Linear` (recurrent layers,
# too) and leaves all else alone. Section 7 says why we do not call PyTorch directly.

# %% tags=["nbval-ignore-output"]
int8_model = dynamic.quantize_dynamic(model)

# %% [markdown]
# You can use the result like the network before. But open it up first. What does it store?


# %% tags=["nbval-ignore-output"]
def contents(model):
    """Return a line for each tensor that would be written to disk."""
    state = [(name, e if isinstance(e, tuple) else (e,)) for name, e in model.state_dict().items()]
    tensors = [(name, t) for name, entry in state for t in entry if isinstance(t, torch.Tensor)]
    return [f"{name:33} {str(t.dtype):14} {tuple(t.shape)}" for name, t in tensors]


print("FP32", *contents(model), "", sep="\n")
print(f"INT8, made by {int8_model.quantized_by}", *contents(int8_model), sep="\n")

# %% [markdown]
# The weights are 8-bit integers now (`qint8` means integers and their scale in one tensor). The biases are still FP32:
# there are few of them. Where PyTorch's own layers list a `scale` and a `zero_point`, these are empty seats: other
# kinds of quantization store there what they measured beforehand. Now look inside the first layer:


# %% tags=["nbval-ignore-output"]
def stored_weights(layer):
    """Return the integers and the scale of a dynamic layer, PyTorch's or coursekit's."""
    if isinstance(layer, dynamic.DynamicLinear):
        return layer.weight.numpy(), float(layer.scale)
    weight = layer.weight()
    return weight.int_repr().numpy(), weight.q_scale()


int8_layer = int8_model.get_submodule(first)
weight_q, weight_scale = stored_weights(int8_layer)
print(f"{weight_q.dtype} from {weight_q.min()} to {weight_q.max()}, scale {weight_scale:.6f}")
print(f"largest weight / scale = {first_layer.weight.abs().max() / weight_scale:.2f}")

# %% [markdown]
# The largest weight is 127.5 steps, not 127: PyTorch divides by the 255 steps from −128 to 127, the three lines of
# section 2 by the 254 from −127 to 127. So the largest weight lies half a step from its integer, whichever way it is
# rounded, and no other weight lies further off.
#
# So much for the weights. They are quantized once. The **activations**, the numbers that flow in, differ from call
# to call, so their scale is chosen in every call. That is **dynamic quantization**. After a ReLU no activation is
# negative, and a scale that is symmetric around zero would waste half of the integers. So the activations get
# unsigned integers and a **zero point**, the integer that stands for 0:


# %%
def quantize_activations(x, top):
    low, high = min(x.min(), 0), max(x.max(), 0)  # the range has to hold 0
    scale = (high - low) / top
    zero_point = int(np.round(-low / scale))
    x_q = np.clip(np.round(x / scale) + zero_point, 0, top)
    return x_q.astype(np.uint8), scale, zero_point


x_q, scale, zero_point = quantize_activations(np.array([0.5, 1.2, -0.3, 0.8]), top=255)
print(f"integers {x_q}, scale {scale:.6f}, zero point {zero_point}")
claims.show("05-zero-point", measured=zero_point if x_q.tolist() == [136, 255, 0, 187] else np.inf)

# %% [markdown]
# How many integers does the library use? Eight bits would allow 0 to 255. But look at what an older processor does
# with two products, activation times weight, that it adds up in 16 bits:

# %%
for top in (255, 127):
    total = top * 128 + top * 128
    print(f"{top} × 128 + {top} × 128 = {total:,}", "fits" if total <= 32_767 else "is more than 32,767")

# %% [markdown]
# So most of PyTorch's engines leave one bit of the activations unused (`reduce_range` in its source code). Its
# engine for Arm processors uses all eight. Here is a batch with both signs, and the number of steps it gets on your
# machine:

# %% tags=["nbval-ignore-output"]
batch = np.random.default_rng(7).normal(size=(8, first_layer.in_features)).astype(np.float32)
step, _ = dynamic.activation_qparams(torch.from_numpy(batch))
top = round(float(np.ptp(batch)) / step)
print(f"{top} steps on the engine {torch.backends.quantized.engine}")

# %% [markdown]
# Now the whole layer. Five steps: find the range of the batch, get scale and zero point, round to integers, multiply
# and add up **in integers**, and only then go back to real numbers. One output, written as slowly as possible:


# %%
def integer_sum(x_q, zero_point, weight_q):
    total = 0  # the processor keeps it in 32 bits
    for activation, weight in zip(x_q.tolist(), weight_q.tolist(), strict=True):
        total += (activation - zero_point) * weight
    return total


# %% [markdown]
# Do it for all 8 × 128 outputs, and compare with what the library returns for the same batch. The lecture's version of
# the steps stands beside it: it takes max|x| / 127 as the scale of the activations, without a zero point.

# %% tags=["nbval-ignore-output"]
x_q, x_scale, zero_point = quantize_activations(batch, top)
sums = np.array([[integer_sum(x, zero_point, w) for w in weight_q] for x in x_q])
bias = first_layer.bias.detach().numpy()
in_integers = sums * (x_scale * weight_scale) + bias

symmetric = np.abs(batch).max() / 127
as_printed = np.round(batch / symmetric) @ weight_q.T.astype(float) * (symmetric * weight_scale) + bias

library = int8_layer(torch.from_numpy(batch)).numpy()
for name, y in {"with zero point": in_integers, "max|x| / 127": as_printed}.items():
    print(f"{name:16} largest difference from the library {np.abs(y - library).max():.7f}")

# %% tags=["nbval-ignore-output"]
claims.show("05-activation-scale", measured=np.abs(in_integers - library).max())

# %% [markdown]
# **Exercise 1.** Build the layer: one function, all five steps, no Python loop. `quantize_activations` does the first
# three. `x_q` and `weight_q` are 8-bit integers, so give the sum more room before you subtract or multiply.


# %% tags=["exercise"]
def dynamic_linear(x, weight_q, weight_scale, bias, top):
    # solution
    x_q, x_scale, zero_point = quantize_activations(x, top)
    total = (x_q.astype(np.int32) - zero_point) @ weight_q.T.astype(np.int32)
    return total * (x_scale * weight_scale) + bias
    # end solution


exercises.check("05-dynamic-linear", dynamic_linear)

# %% [markdown]
# ## 4. How do you read the result?
#
# Now you know what the line did. Three numbers come out, and each of them is easily misread. Start with the size. A
# byte instead of four: how many times smaller does the file get?

# %%
exercises.predict("05-file-ratio", ..., unit="×")

# %% tags=["nbval-ignore-output", "answer"]
int8_size = dynamic.state_dict_size(int8_model)
n_weights = sum(layer.weight.numel() for layer in linears(model).values())
n_biases = sum(parameter.numel() for parameter in model.parameters()) - n_weights
parts = {"FP32": [4 * n_weights, 4 * n_biases], "INT8": [n_weights, 4 * n_biases]}
print("bytes   weights   biases     rest     file")
for name, size in (("FP32", fp32_size), ("INT8", int8_size)):
    parts[name].append(size - sum(parts[name]))
    print(name, *(f"{number:8,}" for number in (*parts[name], size)))

# %% [markdown]
# The rest is the box: names, types, shapes, scales, and the structure of the zip file that PyTorch writes. A box takes
# room even if there is nothing in it.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, ax = plots.style.axes(height=2.2, alt="FP32 and INT8 files as bars of weights, biases and box.")
colours = {"weights": plots.style.BLUE, "biases": plots.style.INK, "box": plots.style.ORANGE}
left = np.zeros(2)
with plots.style.look():
    for name, kilobytes in zip(colours, np.transpose(list(parts.values())) / 1000, strict=True):
        ax.barh(list(parts), kilobytes, left=left, color=colours[name], label=name)
        left += kilobytes
    ax.invert_yaxis()
    ax.legend(loc="lower right")
    plots.comparison.describe(ax, "size of the file (kB)", "", "Contents of the two files")
picture

# %% tags=["nbval-ignore-output", "answer"]
claims.show("05-file-ratio", measured=fp32_size / int8_size)

# %% [markdown]
# The smaller the network, the more the box weighs. The lecture prints 70.0 and 22.0 "KB". This network is smaller than
# that. Which network would fit those numbers? Try one layer more, and units of 1,024 bytes:

# %% tags=["nbval-ignore-output"]
lectures = models.mlp((64, 128, 64, 10))
fp32_file = dynamic.state_dict_size(lectures) / 1024
int8_file = dynamic.state_dict_size(dynamic.quantize_dynamic(lectures)) / 1024
print(f"64-128-64-10: FP32 {fp32_file:.1f} KiB, INT8 {int8_file:.1f} KiB")
claims.table(
    claims.show("05-weight-bytes", measured=parts["FP32"][0] / parts["INT8"][0]),
    claims.show("05-lectures-file", measured=int8_file),
    title="Bytes",
)

# %% [markdown]
# **Exercise 2.** Predict the INT8 file of a network 64-96-48-10, in bytes, to within 5 %. Do not build that network.
# But you may measure an empty box: quantize a network with three layers and next to no weights.

# %% tags=["exercise"]
# solution: predicted_bytes = ...
n_int8 = 64 * 96 + 96 * 48 + 48 * 10  # one byte each
n_fp32 = 96 + 48 + 10  # the biases, four bytes each
box = dynamic.state_dict_size(dynamic.quantize_dynamic(models.mlp((1, 1, 1, 1))))
predicted_bytes = n_int8 + 4 * n_fp32 + box
# end solution
exercises.check("05-file-size", predicted_bytes)

# %% [markdown]
# **Accuracy.** Rounding throws information away, so the accuracy has to fall. Or does it? In the lecture's table it goes
# *up*, from 0.955 to 0.958. See what your network does on the 360 test pictures:

# %% tags=["nbval-ignore-output"]
int8_answers = models.predict(int8_model, x_test)
int8_accuracy = accuracy.of(int8_answers, y_test)
shares = np.array([(a.value, a.low, a.high) for a in (fp32_accuracy, int8_accuracy)]).T
picture, ax = plots.style.axes(height=1.8, alt="The accuracy of FP32 and of INT8, with their intervals.")
plots.comparison.dots_with_interval(
    ax,
    ["FP32", "INT8"],
    *(100 * shares),
    unit="right answers in the test (%)",
    title=f"Both models on the same {len(y_test)} pictures",
)
picture

# %% [markdown]
# The intervals are wide, but they do not settle it: both models saw the same pictures. The right question is a paired
# one. Look only at pictures that one model gets right and the other wrong. If rounding makes no difference, each such
# picture is a fair coin. **McNemar's test** asks how surprising these coins are:

# %% tags=["nbval-ignore-output"]
print(f"a = INT8, b = FP32: {accuracy.mcnemar(int8_answers, fp32_answers, y_test)}")

# %% [markdown]
# With few coins, or none, the test has nothing to say, and "no difference shown" is not "the same". (Section 6 shows it
# where it has work to do.)
#
# To show that two models are **the same**, turn it round: name a margin beforehand, and see whether the whole interval of
# the difference lies inside. Say, one point:

# %% tags=["nbval-ignore-output"]
print(f"INT8 minus FP32: {accuracy.difference(int8_answers, fp32_answers, y_test)}")

# %% [markdown]
# If the interval goes beyond −0.01 or +0.01, these pictures are too few to say so, even if not a single answer differs.
# And one network is one throw of the dice. So train 20 of them from 20 seeds (`fit_many` does it in one go) and
# quantize each. This is the one comparison of the notebook that was planned, with the same margin:

# %% tags=["nbval-ignore-output"]
seeds = range(20)
ensemble = models.fit_many(
    (64, 128, 10), *digits.train.tensors("cpu"), seeds=seeds, after=runtime.progress("20 trainings", 30)
)

# %% tags=["nbval-ignore-output"]
changed, right = [], {"FP32": [], "INT8": []}  # answers of INT8 that are new, and shares of right answers
for index in range(len(seeds)):
    before = models.predict(ensemble.model(index), x_test)
    after = models.predict(dynamic.quantize_dynamic(ensemble.model(index)), x_test)
    changed.append((before != after).sum())
    right["FP32"].append((before == digits.test.y).mean())
    right["INT8"].append((after == digits.test.y).mean())
gained = accuracy.paired(right["INT8"], right["FP32"])
print(
    f"INT8 has more right answers on {gained.wins} seeds, fewer on {gained.losses}, equally many on {gained.ties}"
)
print(f"INT8 changes no answer at all on {np.sum(np.equal(changed, 0))} of {len(seeds)} seeds")

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("05-more-accurate", measured=gained),
    claims.show("05-changed-answers", measured=np.mean(changed)),
    claims.show("05-accuracy-lost", measured=-100 * gained.mean),
    title="INT8 against FP32, 20 seeds",
)

# %% [markdown]
# So a table with 0.955 and 0.958 reports one lucky picture. Where the first row holds, the honest reading is: the same
# accuracy on these pictures, to within a point.
#
# **Latency.** Integers are simpler than floats, so INT8 should be faster. `timing.compare` runs both models in turns, in
# a shuffled order, so that a busy moment of your machine hits both. The speed-up in its table is taken round by round: on
# a busy machine it need not be the one median divided by the other. Your guess: how many times as fast is INT8?

# %%
exercises.predict("05-tiny-network", ..., unit="× as fast")  # 1 is equally fast, 0.5 takes twice as long

# %% tags=["nbval-ignore-output", "answer"]
with torch.inference_mode():
    latency = timing.compare(
        {"fp32": lambda: model(one_picture), "int8": lambda: int8_model(one_picture)}, baseline="fp32"
    )
latency

# %% tags=["nbval-ignore-output", "answer"]
claims.show("05-tiny-network", measured=latency.ratio("int8"))

# %% [markdown]
# Read the interval, not the number alone. If all of it lies below 1, the integers take longer: finding the range,
# rounding and scaling back cost more than this small product saves. If all of it lies above 1, your processor is an
# exception. If it holds 1, no difference was shown.
#
# The scoreboard keeps the results of both, measured side by side. At the end of the course the dashboard compares all
# variants on it.

# %% tags=["nbval-ignore-output", "answer"]
for variant, timed, size, share in (
    ("fp32", "fp32", fp32_size, fp32_accuracy),
    ("int8-dynamic", "int8", int8_size, int8_accuracy),
):
    took = latency.measurements[timed]
    scoreboard.record(variant, size_bytes=size, latency=took, accuracy=share, notebook="05", device="cpu")
scoreboard.table()

# %% [markdown]
# ## 5. When does INT8 become faster?
#
# The product of a layer of width $n$ needs $n^2$ multiplications for a picture, and $n^2$ weights that have to be
# fetched. That is where 8 bits save. Around it stands what INT8 does in addition: find the range, round, scale back. From
# which width on do the savings win? Your guess for one picture at a time:

# %%
exercises.predict("05-thousand-times", ..., unit="neurons wide")

# %% [markdown]
# What does the additional work depend on? Time single layers, one picture at a time, all in turns. A layer 8 neurons
# wide has next to no product. What it takes is what every call takes.


# %% tags=["nbval-ignore-output", "answer"]
def pair(width, batch):
    layer = nn.Sequential(nn.Linear(width, width)).eval()
    int8_layer, x = dynamic.quantize_dynamic(layer), torch.randn(batch, width)
    return {"fp32": lambda: layer(x), "int8": lambda: int8_layer(x)}


widths = (8, 32, 64, 128, 256, 512)
calls = {(name, width): call for width in widths for name, call in pair(width, 1).items()}
with torch.inference_mode():
    timed = timing.compare({f"{name}, {width}": call for (name, width), call in calls.items()}, max_time=0.9)
seconds = {
    name.upper(): np.array([timed.measurements[f"{name}, {width}"].median for width in widths])
    for name in ("fp32", "int8")
}
more = 1e6 * (seconds["INT8"] - seconds["FP32"])
print("width            ", *(f"{width:6}" for width in widths))
print("INT8 minus FP32  ", *(f"{microseconds:6.1f}" for microseconds in more), "µs per call")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, ax = plots.style.axes(
    alt="The time of a call for FP32 and INT8, a pair of bars per width: what every call takes, and what the width adds."
)
plots.crossover.fixed_and_product(ax, widths, seconds)
picture

# %% [markdown]
# The hatched part is paid in every call, the plain part grows with the width. If INT8's plain part is still thin where
# FP32's is thick, its additional work does not grow with the width: it is a price per call. Compare the narrow layers:

# %% tags=["nbval-ignore-output", "answer"]
claims.show("05-fixed-cost", measured=more[widths.index(64)] / more[0])

# %% [markdown]
# A price per call can be shared. A batch multiplies the product, and a call is still a call. So the balance should tip at
# smaller widths. Measure it: five widths, three batch sizes, each pair in turns.


# %% tags=["nbval-ignore-output", "answer"]
def measure_grid(progress=lambda share: None):
    shapes = [(width, batch) for width in (128, 256, 512, 1024, 2048) for batch in (1, 8, 64)]
    ratios = {}
    for done, shape in enumerate(shapes, 1):
        with torch.inference_mode():
            ratios[shape] = timing.compare(pair(*shape), baseline="fp32", max_time=0.2).ratio("int8")
        progress(done / len(shapes))
    return plots.crossover.CrossoverGrid.of(ratios, runtime.describe().label)


grid = measure_grid(runtime.progress("15 pairs of layers", 15))
grid

# %% [markdown]
# Drag the width and the batch. Where does each line cross 1×, and do the intervals there leave 1× out?

# %% tags=["nbval-ignore-output", "answer"]
widgets.crossover(grid, measure=measure_grid)

# %% [markdown]
# How do the lecture's rules of thumb fare here? Width 2,048 has 4.2 million weights, width 1,024 takes 4.2 MB in FP32:

# %% tags=["nbval-ignore-output", "answer"]
claims.table(
    claims.show("05-large-layer", measured=timing.Ratio(*grid.at(2048, 1))),
    claims.show("05-medium-layer", measured=timing.Ratio(*grid.at(1024, 1))),
    title="Large and medium layers, one picture",
)

# %% [markdown]
# The third rule: the speed comes once the matrices are 1,000 times larger than 64 × 128. Take the first width from
# which on INT8 wins at every measured width. If there is none, nothing is decided:

# %% tags=["nbval-ignore-output", "answer"]
claims.show("05-thousand-times", measured=grid.crossover(1))

# %% [markdown]
# These are statements about hardware, so they may hold on one machine and fail on the next. What decides? Two things:
# whether the weights come from a nearby cache or from far away, where a quarter of the bytes helps, and what the
# processor can do with 8-bit integers.

# %% tags=["nbval-ignore-output"]
print(runtime.describe().int8)

# %% [markdown]
# With **VNNI** (or Arm's dot product) one instruction multiplies pairs of 8-bit numbers and adds four products at a
# time to a sum of 32 bits. **AMX** does so for whole tiles of a matrix. Without any of them a processor takes several instructions: on
# x86 it adds the products in pairs in 16 bits (hence the unused bit of section 3), widens these sums to 32 bits and adds
# again. The advantage over FP32 shrinks.
#
# ## 6. How few bits are enough?
#
# Nothing stops you at 8 bits, except the processor: it has no 5-bit products. But you can round to 5 bits and compute
# with the rounded weights as floats. That is **fake quantization**: it shows the accuracy, not the speed. It also lets you
# choose how many weights share a scale: the whole matrix, one **channel** (a row, the weights of one neuron), or a
# **group** of 16 neighbours in a row. Fewer bits, 20 seeds: at how many bits does a scale per matrix lose more than
# 5 points?

# %%
exercises.predict("05-cliff", ..., unit="bits")

# %%
schemes = ("per tensor", "per channel", "per group")
bit_widths = range(8, 1, -1)


def rounded(weights, bits, scheme):
    """Return every matrix in ``weights`` [seeds, out, in] rounded, as floats."""
    group = math.gcd(16, weights.shape[-1])  # 16 neighbours, or fewer where 16 do not fit
    options = {"per tensor": {}, "per channel": {"axis": 0}, "per group": {"group": group}}[scheme]
    matrices = [quantization.quantize(w, bits, **options).dequantize() for w in weights.numpy()]
    return torch.from_numpy(np.stack(matrices))


x_validation, y_validation = digits.validation.tensors("cpu")
found = {scheme: [] for scheme in schemes}  # accuracy in %, [bits, seeds]
for scheme, rows in found.items():
    for bits in bit_widths:
        network = ensemble.replace([rounded(w, bits, scheme) for w in ensemble.weights])
        rows.append(100 * network.accuracy(x_validation, y_validation))
full = 100 * ensemble.accuracy(x_validation, y_validation).mean()

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, ax = plots.style.axes(
    alt="Accuracy against bits per weight, one line per scheme, with the band of all seeds."
)
plots.quantized.accuracy_by_bits(ax, bit_widths, found, full=full)
picture

# %% tags=["nbval-ignore-output", "answer"]
lost = {}  # points against FP32, in the mean over the seeds
print("points lost", *(f"{scheme:>12}" for scheme in schemes))
for row, bits in enumerate(bit_widths):
    for scheme in schemes:
        lost[scheme, bits] = full - np.mean(found[scheme][row])
    print(f"{bits:4} bits  ", *(f"{round(lost[scheme, bits], 1) + 0.0:12.1f}" for scheme in schemes))

# %% tags=["nbval-ignore-output", "answer"]
cliff = next((bits for bits in bit_widths if lost["per tensor", bits] > 5), None)  # None: no cliff here
claims.show("05-cliff", measured=cliff)

# %% [markdown]
# Between flat and cliff a single network can mislead you. Take 3 bits and a scale per matrix: does McNemar's test see the
# loss? Ask it for each of the 20 networks, and look at the coins of the first one (under each picture its digit, then
# what the other model says):

# %% tags=["nbval-ignore-output", "answer"]
few_bits = 3
few = ensemble.replace([rounded(w, few_bits, "per tensor") for w in ensemble.weights])
answers = {"FP32": ensemble, f"{few_bits} bits": few}
answers = {name: networks.logits(x_validation).argmax(-1).numpy() for name, networks in answers.items()}
tests = [accuracy.mcnemar(a, b, y_validation) for a, b in zip(*answers.values(), strict=True)]
print(f"network 0, a = FP32, b = {few_bits} bits: {tests[0]}")
print(
    f"FP32 is shown to be better on {sum(test.verdict == 'a better' for test in tests)} of {len(tests)} networks"
)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, axes = plots.style.axes(
    2, 9, height=2.6, alt="Pictures that only one of the two models gets right, a row for each model."
)
plots.quantized.disagreements(
    axes, digits.validation.images, {name: rows[0] for name, rows in answers.items()}, y_validation
)
picture

# %% [markdown]
# The table above has the mean over 20 networks: it sees losses that a single network need not show. A p below 0.05
# takes at least six pictures, and six only if all fall on one side: six coins all alike give 2 / 2⁶ = 0.03, five give
# 0.06. With one picture on the other side it takes eight on this one: 7 to 1 gives 0.07, 8 to 1 gives 0.04.
#
# The signal-to-noise ratio tells the same story without any pictures of digits. Here it is for the hidden layer, in dB:
# each bit less costs about 6 dB (more, where few levels are left), and every finer scheme starts higher.

# %% tags=["nbval-ignore-output"]
hidden = ensemble.weights[0]
decibels = {}
print("SQNR in dB ", *(f"{scheme:>12}" for scheme in schemes))
for bits in bit_widths:
    for scheme in schemes:
        decibels[scheme, bits] = quantization.sqnr(hidden, rounded(hidden, bits, scheme))
    print(f"{bits:4} bits  ", *(f"{decibels[scheme, bits]:12.1f}" for scheme in schemes))

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("05-int4", measured=lost["per channel", 4]),
    claims.show("05-per-channel", measured=decibels["per channel", 4] - decibels["per tensor", 4]),
    title="Four bits",
)

# %% [markdown]
# Why do more scales help so much? Look at a matrix with a quiet row and a loud one. One scale for both has to reach 2.0:

# %%
quiet_and_loud = np.array([[0.01, -0.02, 0.015, -0.005], [1.5, -2.0, 0.8, -1.2]], dtype=np.float32)
one_scale = quantization.quantize(quiet_and_loud, 8)
print(f"scale {one_scale.scale:.5f}\n{one_scale.q}")
claims.show("05-one-scale", measured=one_scale.q[0].tolist() == [1, -1, 1, 0])

# %% [markdown]
# The quiet row is left with three values.
#
# **Exercise 3.** Give each row its own scale. Return the integers and the scales, one for each row.


# %% tags=["exercise"]
def quantize_per_channel(weight, bits=8):
    # solution
    scale = np.abs(weight).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.round(weight / scale).astype(np.int8), scale
    # end solution


exercises.check("05-per-channel", quantize_per_channel)

# %% [markdown]
# With two scales the quiet row comes alive:

# %%
two_scales = quantization.quantize(quiet_and_loud, 8, axis=0)
print(f"scales {two_scales.scale.ravel().round(6)}\n{two_scales.q}")
print(f"0.01 / scale = {quiet_and_loud[0, 0] / two_scales.scale[0, 0]:.6f} in float32")
claims.show("05-two-scales", measured=int(two_scales.q[0, 0]))

# %% [markdown]
# Drag the bits down, then let one weight grow into an **outlier**. With one scale for all, every channel that is not
# lost already pays for the outlier. With one per channel, only its own does.

# %%
widgets.channel_heatmap()

# %% [markdown]
# An outlier still ruins its own channel. Groups lock it up in a smaller cell. Here is one row at 4 bits, integers from
# −7 to 7, in groups of four:

# %%
row = np.array([0.1, 0.2, 0.15, 0.12, 2.0, -1.8, 1.5, -2.1], dtype=np.float32)
one_scale, groups = quantization.quantize(row, 4), quantization.quantize(row, 4, group=4)
for name, result in (("one scale", one_scale), ("groups of 4", groups)):
    scales = ", ".join(f"{scale:.4f}" for scale in result.scale.ravel())
    print(f"{name:12} integers {result.q}, scales {scales}")

# %% [markdown]
# Finer is better, then, but every scale takes room. The usual compromise for language models is groups of 128, each with
# a scale of 16 bits: 16 / 128 more bits per weight.

# %%
lowest, highest = groups.levels
claims.table(
    claims.show("05-groups", measured=int(groups.q[0])),
    claims.show("05-levels", measured=highest - lowest + 1),
    claims.show("05-group-cost", measured=16 / 128),
    title="Groups, levels and what scales cost",
)

# %% [markdown]
# **Which layer deserves the bits?** Suppose that all weights together may take 2.45 bits each, in the mean. Try every
# choice of bits for the layers, per channel, and measure on validation:

# %%
layer_weights = [weights[0].numel() for weights in ensemble.weights]
budget = int(2.45 * sum(layer_weights) / 8)
choices = {bits: [rounded(w, bits, "per channel") for w in ensemble.weights] for bits in bit_widths}


def with_bits(bits):
    """Return the networks with so many bits in each layer."""
    return ensemble.replace([choices[width][layer] for layer, width in enumerate(bits)])


measured, points = {}, {}  # accuracy of each choice, and where it stands in the picture
for bits in itertools.product(bit_widths, repeat=len(layer_weights)):
    measured[bits] = with_bits(bits).accuracy(x_validation, y_validation).mean()
    points[bits] = np.dot(bits, layer_weights) / 8, 100 * measured[bits]
print(f"the layers have {layer_weights} weights, the budget is {budget:,} bytes")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    alt="Accuracy against bytes for all choices of bits, and the budget as a line."
)
plots.quantized.bit_budget(ax, points, budget)
picture

# %% [markdown]
# Left of the dashed line is what you can afford. Which layer is a good one to save on? Take 8 bits everywhere, and 2 in
# one layer:

# %% tags=["nbval-ignore-output"]
all_eight = (8,) * len(layer_weights)
for layer, count in enumerate(layer_weights):
    bits = all_eight[:layer] + (2,) + all_eight[layer + 1 :]
    print(f"2 bits in layer {layer + 1}: {6 * count // 8:5,} bytes saved, ", end="")
    print(f"{100 * (measured[all_eight] - measured[bits]):.1f} points lost")

# %% [markdown]
# **Exercise 4.** Write the choice: of all pairs of bits that fit into `budget` bytes, return the one with the highest
# accuracy. `accuracy` maps pairs such as `(4, 8)` to accuracies, and `weights` says how many weights each layer has.


# %% tags=["exercise"]
def choose_bits(accuracy, weights, budget):
    # solution
    def size(pair):
        return (pair[0] * weights[0] + pair[1] * weights[1]) / 8

    fitting = [pair for pair in accuracy if size(pair) <= budget]
    return max(fitting, key=accuracy.get)
    # end solution


exercises.check("05-bits", choose_bits)

# %% [markdown]
# The choice was made on validation. Only now look at the test pictures, in the mean over the 20 seeds:

# %% tags=["nbval-ignore-output"]
chosen = choose_bits(measured, layer_weights, budget)
if chosen is None:
    print("Solve exercise 4, and this cell reports your choice.")
else:
    affordable = [bits for bits in bit_widths if points[(bits,) * len(layer_weights)][0] <= budget]
    equal = (max(affordable),) * len(layer_weights)
    for name, bits in {"equal bits": equal, "your choice": tuple(chosen)}.items():
        share = 100 * with_bits(bits).accuracy(x_test, y_test).mean()
        print(f"{name:12} {bits} bits, {points[bits][0]:,.0f} bytes: {share:.1f} %")

# %% [markdown]
# ## 7. What about the GPU, and how long will this line last?
#
# **The GPU.** PyTorch's dynamic INT8 is a CPU feature. Many GPUs multiply INT8 too, but this line does not reach them. What
# needs no scales and no zero points there is FP16 and, on newer ones (NVIDIA's since Ampere), BF16 and TF32, which keeps
# 32 bits in memory and multiplies with 10 bits of mantissa. You convert the network and are done.


# %%
def allow_tf32(allowed):
    torch.backends.cuda.matmul.fp32_precision = "tf32" if allowed else "ieee"


def in_format(model, x, dtype, tf32=False):
    """Return a function that runs a copy of the model on x in this format."""
    converted, inputs = copy.deepcopy(model).to(x.device, dtype), x.to(dtype)

    def run():
        allow_tf32(tf32)
        return converted(inputs)

    return run


# %% [markdown]
# On a GPU the next cell measures a wide network in all four formats, and counts how many answers of the digits network
# change. Without a GPU it measures nothing, and says so.


# %% tags=["nbval-ignore-output"]
def compare_formats(model, x, **options):
    formats = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    runs = {name: in_format(model, x, dtype) for name, dtype in formats.items()}
    runs["tf32"] = in_format(model, x, torch.float32, tf32=True)
    with torch.inference_mode():
        flips = {name: int((run().argmax(1) != runs["fp32"]().argmax(1)).sum()) for name, run in runs.items()}
        timed = timing.compare(runs, baseline="fp32", **options)
    allow_tf32(False)
    return timed, flips


# %% tags=["nbval-ignore-output"]
device = runtime.device()
if device.type == "cuda":
    wide, pictures = models.mlp((4096, 4096, 10)).to(device), torch.randn(512, 4096, device=device)
    print("INT8 above was measured on the CPU. On the GPU, 512 rows through a network 4096-4096-10:")
    print(compare_formats(wide, pictures, device=device)[0])
    _, flips = compare_formats(model, x_test.to(device), device=device)
    print(f"of {len(x_test)} answers of the digits network, so many differ from FP32:")
    print(", ".join(f"{name} {count}" for name, count in flips.items()))
else:
    print("Running on the CPU: no GPU formats to compare, so no figures here.")
    print("Dynamic INT8, above, was measured on the CPU and would be on any machine.")

# %% [markdown]
# **The line.** PyTorch has marked `torch.ao.quantization` as deprecated: it still works, with warnings, and may be removed
# from a later release. `dynamic.quantize_dynamic` silences exactly those warnings. Where PyTorch's function is gone, it puts
# its own integer layer in place, with the same five steps, and says so. The successor is the separate package `torchao`. It is
# made for compiled models and for GPUs; on a CPU and without compilation it can be slower than FP32, so measure before you
# switch. To run INT8 without PyTorch at all, see notebook 06.
#
# Dynamic quantization is the easiest of three ways. **Static** quantization measures the activations beforehand on sample
# data and saves the work in each call. **Quantization-aware training** lets the network get used to the rounding while it
# learns, and pays off where few bits are left.
#
# How much of all this would stand a second time? One comparison was planned: INT8 against FP32, 20 seeds, one point.
# The others (22 timed pairs, 21 roundings, 49 choices of bits, 21 paired tests) were looked at because they were there,
# and among so many an interval of 95 % misses the truth now and then. Measure again before you build on one of them.
#
# ## Quiz

# %%
exercises.quiz("05")

# %%
exercises.guesses("05")

# %% tags=["nbval-ignore-output"]
exercises.progress("05")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. Dynamic quantization stores weights as INT8 once and chooses the activations' scale and zero point in every call.
# 2. Weights shrink four times. Biases and the box do not, and in a small file they count.
# 3. At 8 bits the errors cancel in the sums. "Same accuracy" takes an interval inside a margin named beforehand.
# 4. INT8 costs a constant more per call and saves on the product: if it pays off, then for wide layers and for batches.
# 5. Below 4 bits it matters how many weights share a scale, and which layer gets the bits.
#
# ## Where to go next
#
# Notebook 06 exports the network to ONNX, quantizes it there, and runs it without PyTorch. Notebook 07 removes weights
# instead of shortening them.
