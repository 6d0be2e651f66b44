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
# # 08 Distillation basics
#
# A large network, the teacher, trains a small one, the student. The student does not only hear "this is a 7". It
# hears how sure the teacher is, and what else it could have been. That sounds as if it must help. Does it? You
# will train hundreds of students to find out. After this notebook you can
#
# - soften a teacher's answer with a temperature, and write the loss of distillation from scratch,
# - tell when a teacher helps, when it does nothing, and when it harms, with an interval for each,
# - run the controls that separate the teacher from luck,
# - let a student imitate hidden layers of another width,
# - stack distillation, pruning, quantization and ONNX on one network, and measure every step.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs an idea of how a network is
# trained; its last section stacks what [notebook 05](05-pytorch-dynamic-quantization.ipynb),
# [06](06-onnx-export-and-quantization.ipynb) and [07](07-pruning-basics.ipynb) do. It does not cover the distillation
# of language models.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q "{{install}}" "onnx<1.23" onnxruntime onnxscript
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

from itertools import product

import numpy as np
import torch
from torch.nn import functional

from coursekit import accuracy, claims, data, distillation, dynamic, exercises, memory, models
from coursekit import onnx_models, plots, pruning, quantization, scoreboard, timing, widgets

runtime.start()

# %% [markdown]
# ## 1. What does a teacher say that a label does not?
#
# The teacher has 256 hidden neurons and learns from all 1,150 training pictures.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)  # the products are small: sharing them costs more than it brings
digits = data.digits()
x, y = digits.train.tensors("cpu")
x_validation, y_validation = digits.validation.tensors("cpu")
x_test, y_test = digits.test.tensors("cpu")

teacher = models.mlp((64, 256, 10))
models.fit(teacher, x, y)
with torch.no_grad():
    teacher_logits = teacher(x)  # [1150, 10]
    test_logits = teacher(x_test)  # [360, 10]
print(f"the teacher on the test pictures: {accuracy.of(test_logits.argmax(1), y_test)}")

# %% [markdown]
# A label is hard: all of it on one digit. The teacher answers with ten numbers, the **logits**, and softmax turns
# them into shares that add up to 1: a **soft label**. Here are the three test pictures about which it hesitates most:

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
answers = torch.softmax(test_logits, dim=1)
n_classes = answers.shape[1]
hesitant = answers.max(dim=1).values.argsort()[:3]
picture, axes = plots.style.axes(
    2, 3, height=3.2, height_ratios=(2, 1), alt="Three pictures, and under each the teacher's answer."
)
for column, number in enumerate(hesitant.tolist()):
    axes[0, column].imshow(digits.test.images[number], cmap="gray_r")
    axes[0, column].set_axis_off()
    axes[0, column].set_title(f"label {y_test[number]}", fontweight="normal")
    axes[1, column].bar(range(n_classes), 100 * answers[number], color=plots.style.BLUE)
    axes[1, column].set(ylim=(0, 100), xticks=range(n_classes))
axes[1, 0].set_ylabel("share (%)")
picture

# %% [markdown]
# Such an answer says more than a label: it says which other digits this picture resembles. The lecture's example is a
# teacher that gives 87 % to the 7, 9 % to the 1 and 3 % to the 9. But how sure is your teacher, usually? Guess the share
# that it gives to its first choice, in the median over the test pictures:

# %%
exercises.predict("08-sure", ..., unit="%")

# %% tags=["nbval-ignore-output", "answer"]
claims.show("08-sure", measured=100 * answers.max(dim=1).values.median())

# %% [markdown]
# For most pictures the soft label is as hard as the label. What the teacher knows about other digits hides in tiny
# shares such as 0.01 %. The **temperature** T brings it out: divide all logits by T before the softmax. Here is a
# teacher's answer to a 7, by hand:


# %%
def soften(logits, temperature):
    weights = np.exp((logits - logits.max()) / temperature)  # taking off the largest changes no share
    return weights / weights.sum()


seven = np.array([-6, 11, -6, -6, -6, -6, -6, 20, -6, 6.5])  # logits of the digits 0 to 9
print("share of    7       1       9")
for temperature in (1, 2, 4, 8, 16):
    shares = 100 * soften(seven, temperature)[[7, 1, 9]]
    print(f"T = {temperature:<4}", *(f"{share:6.2f}%" for share in shares))

# %% [markdown]
# At T = 1 nobody would notice the 1. At T = 4 the same ten logits give the lecture's answer, and at T = 16 the first
# choice begins to drown. The order of the digits never changes.

# %%
shares = 100 * soften(seven, 4)[[7, 1, 9]]
claims.show("08-digit-seven", measured=shares.round().astype(int).tolist() == [87, 9, 3])

# %% [markdown]
# **Exercise 1.** Which temperature makes the second choice visible? Return the T at which the second largest share
# reaches `share` (between 0.02 and 0.09). You may search: the second share grows with T until it gets there.


# %% tags=["exercise"]
def temperature_for(logits, share):
    # solution
    temperature = 0.1
    while np.sort(soften(logits, temperature))[-2] < share:
        temperature += 0.01
    return temperature
    # end solution


exercises.check("08-temperature", temperature_for)

# %% [markdown]
# Drag the temperature for any test picture. The order of the digits stays; what changes is how much of it you see.
# The line above the bars gives the **entropy** of the answer: 0 bits if one digit has all of it, log₂ 10 = 3.32 bits if
# all ten have the same.

# %% tags=["nbval-ignore-output"]
widgets.temperature(test_logits, digits.test.images, digits.test.y)

# %% [markdown]
# And all test pictures at once: the mean of the softened answers to each digit. Which digits does this teacher take for
# relatives?

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    height=3.8, alt="A map: the mean softened answer to the pictures of each digit."
)
relatives = distillation.mean_answers(test_logits, y_test, temperature=4)
plots.distillation.mean_answers(ax, relatives, classes=[str(digit) for digit in range(n_classes)])
picture

# %% [markdown]
# ## 2. What does the student minimise?
#
# The student hears two voices. The label's voice is the usual cross-entropy. The teacher's voice is the
# **Kullback-Leibler divergence**: how far the student's softened answer is from the teacher's softened answer. It is
# 0 where they agree. One number, alpha, weighs the two:
#
# $$L = \alpha \, T^2 \, \mathrm{KL}(\text{teacher at } T \,\|\, \text{student at } T) + (1 - \alpha) \,
# \text{cross-entropy(student, label)}$$
#
# Where does the T² come from? Look at what training sees, the gradient. Measure its length for the soft part
# alone, without any factor, at several temperatures:


# %%
def gradient_length(student_logits, temperature):
    student = student_logits.clone().requires_grad_()
    log_student = torch.log_softmax(student / temperature, dim=1)
    soft_teacher = torch.softmax(teacher_logits / temperature, dim=1)
    divergence = functional.kl_div(log_student, soft_teacher, reduction="sum")
    (gradient,) = torch.autograd.grad(divergence, student)
    return gradient.norm(dim=1).mean().item()  # per picture


# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    newborn = models.mlp((64, 16, 10))(x)  # a student that has not learned anything yet
gradient_lengths = {
    temperature: gradient_length(newborn, temperature) for temperature in (1, 2, 4, 8, 16, 32)
}
print("   T   gradient   times T²")
for temperature, length in gradient_lengths.items():
    print(f"{temperature:4}   {length:8.4f}   {length * temperature**2:8.2f}")

# %% [markdown]
# From T = 4 on, twice the temperature leaves about a quarter of the gradient. One factor 1/T comes from dividing the
# logits. The other comes from the softened shares, which move closer together. So without T² a higher temperature
# would also turn the teacher's volume down, and alpha would mean something else at every T.

# %% tags=["nbval-ignore-output"]
claims.show("08-t-squared", measured=gradient_lengths[16] / gradient_lengths[32])

# %% [markdown]
# The factor is a rule for high temperatures: at T = 1 the column on the right is less than half of what it is at T = 4.
#
# **Exercise 2.** Write the loss. All logits are [n, 10] tensors, `labels` [n]. Take the mean over the pictures in both
# parts, and return a tensor, because the student will learn from its gradient. (`functional.kl_div` wants the
# *logarithm* of the student's shares, and `reduction="batchmean"` is the mean over pictures.)


# %% tags=["exercise"]
def distillation_loss(student_logits, teacher_logits, labels, temperature, alpha):
    # solution
    log_student = torch.log_softmax(student_logits / temperature, dim=1)
    soft_teacher = torch.softmax(teacher_logits / temperature, dim=1)
    soft = functional.kl_div(log_student, soft_teacher, reduction="batchmean")
    hard = functional.cross_entropy(student_logits, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard
    # end solution


exercises.check("08-loss", distillation_loss)

# %% [markdown]
# From here on, `distillation.loss` does the same. Read other people's code with care: the lecture prints two
# versions of the loss, and in one of them alpha weighs the *labels*. With T = 4, alpha = 0.3 there is alpha = 0.7 here:


# %%
def printed_loss(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.3):
    hard = functional.cross_entropy(student_logits, labels)
    log_student = functional.log_softmax(student_logits / temperature, dim=1)
    soft_teacher = functional.softmax(teacher_logits / temperature, dim=1)
    soft = functional.kl_div(log_student, soft_teacher, reduction="batchmean")
    return alpha * hard + (1 - alpha) * temperature**2 * soft


example = torch.tensor([[2.0, -1.0, 0.5]]), torch.tensor([[3.0, 1.0, -2.0]]), torch.tensor([0])
ours = {alpha: distillation.loss(*example, temperature=4.0, alpha=alpha).item() for alpha in (0.3, 0.7)}
print(f"as printed, with alpha = 0.3: {printed_loss(*example):.4f}")
print(*(f"ours, with alpha = {alpha}: {value:.4f}" for alpha, value in ours.items()), sep="\n")
claims.show("08-alpha", measured=abs(printed_loss(*example).item() - ours[0.7]) < 1e-6)

# %% [markdown]
# ## 3. Does it help?
#
# Now the experiment. Students have 16 hidden neurons and learn from 200 labelled pictures. Each has a twin that starts from
# the same weights and sees the same pictures, but also hears a teacher. One pair proves nothing, so train 20 pairs, each
# with its own 200 pictures and its own teacher, and look at the 20 differences.
#
# Say beforehand what you will compare. Planned here: T = 2, alpha = 0.5, 100 epochs, four cases, the 20 differences in the
# test. All else in this notebook, some fifteen comparisons and a map, came after. What is said about patience, softness and
# the order of the steps was repeated with other seeds before it was written down: of twenty 95 % intervals around nothing,
# one in the mean leaves out 0.
#
# First case, **clean**: the 20 teachers learn from the same 200 pictures as their students. How many points do they add?

# %%
exercises.predict("08-clean", ..., unit="points")

# %% tags=["nbval-ignore-output", "answer"]
seeds, student_widths, teacher_widths = range(20), (64, 16, 10), (64, 256, 10)
rows = np.stack([np.random.default_rng(seed).permutation(len(x))[:200] for seed in seeds])
own_x, own_y = x[rows], y[rows]  # [20, 200, 64] and [20, 200]

progress = runtime.progress("20 teachers", 60)
teachers = distillation.distil_many(
    teacher_widths, own_x, own_y, None, alpha=0, seeds=seeds, epochs=60, after=progress
)
every_picture = teachers.logits(x)  # [20, 1150, 10]
taught = every_picture[np.arange(20)[:, None], rows]  # [20, 200, 10]: each teacher on its own 200

# %% [markdown]
# All students of an experiment train in the same matrix products, whatever their temperature and alpha; alpha = 0 is a student
# with labels alone. One long training gives all shorter ones on the way, so note the right answers after several lengths:


# %%
def explore(taught, settings, count, lengths, judges):
    """Train `count` students for every (T, alpha); return their right answers in %.

    The result is [lengths, settings, count].
    """
    pairs = np.arange(len(settings) * count) % count  # whose pictures, teacher and start
    temperature, alpha = np.repeat(settings, count, axis=0).T
    right, progress = [], runtime.progress(f"{len(pairs)} students", max(lengths))

    def after(epoch, networks):
        progress()
        if epoch in lengths:
            right.append(100 * networks.accuracy(*judges).reshape(len(settings), count))

    mixed = {"temperature": temperature, "alpha": alpha, "seeds": [seeds[n] for n in pairs]}
    options = {**mixed, "epochs": max(lengths), "after": after}
    distillation.distil_many(student_widths, own_x[pairs], own_y[pairs], taught[pairs], **options)
    return np.array(right)


# %% tags=["nbval-ignore-output", "answer"]
test, lengths, clean_temperatures = (x_test, y_test), (30, 100, 300), (1, 2, 4)
settings = [(1, 0), *((temperature, 0.5) for temperature in clean_temperatures)]  # first: labels alone
clean_right = explore(taught, settings, 20, lengths, test)  # [3 lengths, 4 settings, 20 pairs]
alone, clean = clean_right[1, 0], clean_right[1, 2]  # as planned: 100 epochs, T = 2
print(f"100 epochs: labels alone {alone.mean():.2f} %, with a teacher at T = 2 {clean.mean():.2f} %")
print(f"the teachers themselves {100 * teachers.accuracy(*test).mean():.2f} %")

# %% [markdown]
# Is the difference real? The mean of 20 differences is uncertain by about their spread divided by √20. Student's t
# distribution says how many of these standard errors a 95 % interval needs: 2.093 for 20 values.


# %%
def difference(a, b):
    """Return the mean of a - b with the ends of its interval, for 20 pairs given in %."""
    gaps = np.subtract(a, b) / 100
    half = 2.093 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    return accuracy.Difference(gaps.mean(), gaps.mean() - half, gaps.mean() + half)


def points(gap):
    """Return a difference and its interval as text."""
    return f"{100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"


def if_it_shows(measured):
    """Return what was measured, or None where the teacher knows too little or the students know all."""
    knows = (test_logits.argmax(1) == y_test).float().mean() > 0.9
    return measured if knows and alone.mean() < 97 else None


# %% tags=["nbval-ignore-output", "answer"]
gaps = clean - alone
print(f"with a teacher: {np.sum(gaps > 0)} wins, {np.sum(gaps < 0)} losses, {np.sum(gaps == 0)} ties")
claims.show("08-clean", measured=if_it_shows(difference(clean, alone)))

# %% [markdown]
# That is a negative result, and as planned it is a firm one: at T = 2 and after 100 epochs the interval is narrow and leaves
# no room for a gain worth having. Keep the condition in mind. Section 4 looks at the other temperatures and lengths.
#
# So when could a teacher help at once? When it knows something that the student's labels do not say. Three such cases:
#
# - **informed**: the teacher of section 1 learned from all 1,150 labels; the students still have 200;
# - **noisy**: the students have 1,150 cheap labels, 40 % of them wrong; the teacher of section 1 learned from the right ones;
# - **pool**: the teachers know the same 200 labels, but the students also see the other 950 pictures, without labels, and
#   learn only what their teacher says about them.
#
# All train for about 400 steps, at T = 2.


# %%
def students(pictures, labels, taught=None, *, alpha=0.5, first_seed=0, **options):
    """Train 20 students, with a teacher or without, and return their right answers in the test, in %."""
    trained = distillation.distil_many(
        student_widths,
        pictures,
        labels,
        taught,
        temperature=2,
        alpha=0 if taught is None else alpha,
        seeds=[first_seed + seed for seed in seeds],
        **options,
    )
    return 100 * trained.accuracy(*test)


# %% tags=["nbval-ignore-output", "answer"]
cheap = np.stack([distillation.noisy_labels(y, 0.4, seed) for seed in seeds])  # [20, 1150]
progress = runtime.progress("80 students", 100 + 3 * 22)
twins = {
    "clean": (clean, alone),
    "informed": (students(own_x, own_y, teacher_logits[rows], after=progress), alone),
    "noisy": (
        students(x, cheap, teacher_logits, epochs=22, after=progress),
        students(x, cheap, epochs=22, after=progress),
    ),
    "pool": (students(x, None, every_picture, alpha=1, epochs=22, after=progress), alone),
}

# %% tags=["nbval-ignore-output", "answer"]
gained = {name: difference(*pair) for name, pair in twins.items()}
picture, ax = plots.style.axes(
    height=3.6, alt="The points gained by a teacher in four cases, with intervals."
)
shares = {name: (with_it - without) / 100 for name, (with_it, without) in twins.items()}
plots.distillation.paired_differences(ax, shares)
picture

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("08-informed", measured=if_it_shows(gained["informed"])),
    claims.show("08-noisy", measured=if_it_shows(gained["noisy"])),
    claims.show("08-pool", measured=if_it_shows(gained["pool"])),
    title="Teachers and other knowledge",
)

# %% [markdown]
# The pool is the surprising one, because no label was added. Its teachers are wider and a little better than the students,
# and on the pool a student gets to see what its teacher would do. But the gain is small. Ask the interval whether it is
# there at all.
#
# **Controls.** Two doubts remain. First, could the luck of the start make such differences? Twins share their start
# for that reason. Here are 20 pairs without any teacher that differ only in the start and in the order of the batches:

# %% tags=["nbval-ignore-output"]
luck = students(own_x, own_y, first_seed=100) - alone
print(f"one pair: anything from {luck.min():+.1f} to {luck.max():+.1f} points")
print(f"20 pairs: {points(difference(luck, np.zeros(20)))}")

# %% [markdown]
# Look at the first line before you believe an experiment with one student of each kind.
#
# Second, does it take a teacher, or would any soft target do? **Label smoothing** takes a share from the label and
# spreads it evenly over all ten digits: soft targets that know nothing about the picture.
#
# **Exercise 3.** Run the control. Return the smoothed labels [n, 10]: each label keeps `1 - share`, and all ten
# digits, the label's own included, get equal parts of `share`.


# %% tags=["exercise"]
def smoothed(labels, share):
    # solution
    return (1 - share) * np.eye(10)[labels] + share / 10
    # end solution


exercises.check("08-control", smoothed)

# %% [markdown]
# `distillation.label_smoothing` does the same and returns logits, so that smoothed labels can stand in for a teacher (at T = 1
# and alpha = 1). A tenth of each label is spread. How much of the informed teacher's gain is left once you take off what
# smoothing gives for free? And is softness alone good for anything? Look at three lengths of training:

# %% tags=["nbval-ignore-output"]
smooth = distillation.label_smoothing(own_y.flatten(), 0.1).view(*own_y.shape, -1)
smoothing = explore(smooth, [(1, 1)], 20, lengths, test)[:, 0]  # [3 lengths, 20]
softness = [difference(soft, right) for soft, right in zip(smoothing, clean_right[:, 0], strict=True)]
print("smoothed labels minus labels alone:")
for length, gap in zip(lengths, softness, strict=True):
    print(f"{length:4} epochs {points(gap)}")
turned = difference(smoothing[2] - clean_right[2, 0], smoothing[0] - clean_right[0, 0])
claims.table(
    claims.show("08-smoothing", measured=if_it_shows(difference(twins["informed"][0], smoothing[1]))),
    claims.show("08-softness", measured=if_it_shows(turned)),
    title="Smoothed labels",
)

# %% [markdown]
# Here softness alone helps for a while and harms in the end. Whoever tries a single length can come home with either story.
#
# ## 4. How long, how soft, how much?
#
# Take the informed teacher, which helped. Would you have found that? A student that has to match ten numbers learns
# more slowly than one that only has to get the largest right. Stop early, as one does to save time, with a learning
# rate that is cautious as well, and the picture turns round:

# %% tags=["nbval-ignore-output"]
hasty = {"epochs": 30, "lr": 3e-3}
short_alone = students(own_x, own_y, **hasty)
short = students(own_x, own_y, teacher_logits[rows], **hasty)
print(f"labels alone {short_alone.mean():.1f} %, with the informed teacher {short.mean():.1f} %")
claims.show("08-short", measured=if_it_shows(difference(short, short_alone)))

# %% [markdown]
# So "distillation does not work" may mean "the student was not patient". Apply that to the headline of section 3, the clean
# case. Its students have trained on to 300 epochs, at three temperatures. What does the teacher add that knows no more than
# its student?

# %% tags=["nbval-ignore-output", "answer"]
gain = (clean_right[:, 1:] - clean_right[:, :1])[:, :, None]  # [lengths, temperatures, one alpha, pairs]
patient = distillation.GainGrid(lengths, clean_temperatures, (0.5,), gain)
picture, ax = plots.style.axes(alt="Points gained in the clean case against epochs, a line per temperature.")
plots.distillation.patience(ax, patient, 0.5)
picture

# %% tags=["nbval-ignore-output", "answer"]
for length, right in zip(lengths, clean_right.mean(axis=2), strict=True):
    values = "  ".join(
        f"T = {t}: {value:.2f} %" for t, value in zip(clean_temperatures, right[1:], strict=True)
    )
    print(f"{length:4} epochs   labels alone: {right[0]:.2f} %   {values}")
at_end = {t: difference(clean_right[2, n], clean_right[2, 0]) for n, t in enumerate(clean_temperatures, 1)}
claims.table(
    claims.show("08-clean-patient", measured=if_it_shows(at_end[4])),
    claims.show("08-clean-one", measured=if_it_shows(at_end[1])),
    title="The clean case after 300 epochs",
)

# %% [markdown]
# The same teachers, the same labels: harm after 30 epochs, nothing after 100, a little after 300, and at T = 1 nothing at any
# length. The labels-alone twins did not get worse on the way. So the answer to "does it help?" needs its conditions. The gain
# is small, no larger than the teachers' own lead in section 3, and it hangs on the data: with other draws of the three parts
# it was smaller, and sometimes the interval held 0.
#
# Now the informed teacher, which knew more. Try all combinations of four temperatures and three weights, with five seeds
# each. These are choices, so they are judged on validation.

# %% tags=["nbval-ignore-output"]
epochs, temperatures, alphas = (20, 40, 100), (1, 2, 4, 16), (0.25, 0.5, 1.0)
settings = [(1, 0), *product(temperatures, alphas)]
right = explore(teacher_logits[rows], settings, 5, epochs, (x_validation, y_validation))
gain = (right[:, 1:] - right[:, :1]).reshape(len(epochs), len(temperatures), len(alphas), 5)
grid = distillation.GainGrid(epochs, temperatures, alphas, gain)
widgets.patience(grid)

# %% [markdown]
# Drag the epochs down to 20. The lower right corner, where the student listens to a very soft teacher and to nobody
# else, loses most. Drag them up again: after 100 epochs the same corner gains as much as any. The top row, T = 1, moves
# least: a hard answer is learned nearly as fast as a label, and says little more. So the length of training and the
# temperature work together: the softer the teacher, the more patience it needs. How many points does each row move?

# %% tags=["nbval-ignore-output"]
moved = {
    t: after - before for t, after, before in zip(temperatures, grid.means(100), grid.means(20), strict=True)
}
print("points from 20 to 100 epochs, mean of the three alphas")
for temperature, row in moved.items():
    print(f"T = {temperature:<4} {row.mean():+.1f}")
claims.table(
    claims.show("08-interaction", measured=if_it_shows(moved[16].mean() - moved[1].mean())),
    claims.show("08-typical", measured=if_it_shows(grid.means(100)[2:].min())),  # T = 4 and 16
    title="Temperature and patience",
)

# %% [markdown]
# ## 5. Can the student look inside the teacher?
#
# Soft labels are the teacher's last word. Its hidden layer says more: 256 numbers for every picture. But the student's
# hidden layer has 16, and you cannot subtract 16 numbers from 256. The way out is a **projection** that learns along
# with the student: a matrix [256, 16] that turns the student's 16 numbers into 256 to compare. Here it is, with the
# loss of both parts:

# %%
with torch.no_grad():
    teacher_hidden = torch.relu(teacher[0](x))  # [1150, 256], the teacher's hidden layer
sizes = 20, teacher_hidden.shape[1], student_widths[1]  # a projection for each student
projection = torch.randn(sizes, generator=torch.Generator().manual_seed(0)) / 16
projection.requires_grad_()
networks = torch.arange(20)[:, None]


def match_inside(outputs, batch):
    hidden, logits = outputs  # [20, batch, 16] and [20, batch, 10]
    labels = own_y[networks, batch]  # [20, batch]; cross_entropy wants the classes in the middle
    cross_entropy = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="sum") / batch.shape[1]
    wanted = teacher_hidden[torch.as_tensor(rows)[networks, batch]]
    gap = hidden @ projection.transpose(1, 2) - wanted
    return cross_entropy + 3 * gap.square().mean((1, 2)).sum()


# %% [markdown]
# `models.train_many` trains any loss on all 20 students at once. `extra` is what learns along and is thrown away.

# %% tags=["nbval-ignore-output"]
matched = models.train_many(
    models.start_many(student_widths, seeds),
    own_x,
    match_inside,
    seeds=seeds,
    epochs=100,
    lr=1e-2,
    extra=[projection],
    after=runtime.progress("20 students and projections", 100),
)
matched_right = 100 * matched.accuracy(*test)
print(f"soft labels minus hidden layer: {points(difference(twins['informed'][0], matched_right))}")
claims.show("08-hidden", measured=if_it_shows(difference(matched_right, alone)))

# %% [markdown]
# The hidden layer helps, but the soft labels of the same teacher (first line) do at least as well here, and they need no
# projection. And what do you ship?

# %%
shipped, plain = (
    sum(parameter.numel() for parameter in network.parameters())
    for network in (matched.model(0), models.mlp(student_widths))
)
print(f"student {shipped:,} parameters, projection {projection[0].numel():,}, thrown away")
claims.show("08-projection", measured=shipped == plain)

# %% [markdown]
# ## 6. What do you ship?
#
# Now with all 1,150 labels, as you would for a product. 20 students with labels alone, 20 with the teacher as well;
# the best of each kind on validation is the one to ship.


# %% tags=["nbval-ignore-output"]
def best_of(networks):
    """Return the network with the most right answers on validation."""
    return networks.model(int(networks.accuracy(x_validation, y_validation).argmax()))


progress = runtime.progress("Twice 20 students", 2 * 40)
full = {"seeds": seeds, "epochs": 40, "after": progress}
with_labels = distillation.distil_many(student_widths, x, y, None, alpha=0, **full)
with_teacher = distillation.distil_many(
    student_widths, x, y, teacher_logits, temperature=4, alpha=0.5, **full
)
right_alone, right_taught = (100 * networks.accuracy(*test) for networks in (with_labels, with_teacher))

# %% tags=["nbval-ignore-output"]
ships = {
    "teacher": teacher,
    "student-hard": best_of(with_labels),
    "student-distilled": best_of(with_teacher),
}
test_answers = {name: models.predict(model, x_test) for name, model in ships.items()}
right = {name: accuracy.of(found, y_test) for name, found in test_answers.items()}
for name, share in right.items():
    print(f"{name:18} {share}")

# %% [markdown]
# The teacher and its students learned from the same 1,150 labels. That is the clean case again, so do not expect the
# teacher to add much after 40 epochs. What do the 20 pairs say? And what do you lose against the teacher? The lecture's table
# has 0.97 for the baseline and 0.95 for the student.

# %% tags=["nbval-ignore-output"]
lost = 100 * right["teacher"].value - right_taught
claims.table(
    claims.show("08-all-labels", measured=if_it_shows(difference(right_taught, right_alone))),
    claims.show("08-cost", measured=if_it_shows(lost.mean())),
    title="With all labels",
)

# %% [markdown]
# Now size and speed. The lecture's table gives the distilled student 2 ms where the baseline takes 5. Your guess: how many
# times as fast is the student, one picture at a time?

# %%
exercises.predict("08-latency", ..., unit="× as fast")

# %% tags=["nbval-ignore-output", "answer"]
one_picture, all_pictures = x_test[:1], x_test
with torch.inference_mode():
    one = timing.compare(
        {name: lambda model=model: model(one_picture) for name, model in ships.items()},
        threads=1,
        max_time=0.6,
    )
    many = timing.compare(
        {name: lambda model=model: model(all_pictures) for name, model in ships.items()},
        threads=1,
        max_time=0.4,
    )
one

# %% tags=["nbval-ignore-output", "answer"]
claims.show("08-latency", measured=one.ratio("student-distilled"))

# %% tags=["nbval-ignore-output"]
print(f"with 360 pictures at once the student is {many.ratio('student-distilled')} as fast")
print("variant            parameters      file")
sizes = {name: dynamic.state_dict_size(model) for name, model in ships.items()}
for name, model in ships.items():
    print(f"{name:18} {sum(p.numel() for p in model.parameters()):10,} {sizes[name]:9,} bytes")
    scoreboard.record(
        name,
        size_bytes=sizes[name],
        latency=one.measurements[name],
        accuracy=right[name],
        notebook="08",
        device="cpu",
    )

# %% [markdown]
# So many times fewer parameters, and not so many times less time: for one picture, calling two layers costs more than the
# products in them. With many pictures at once the products count. (Do not divide the medians in the table: the speed-up is
# taken round by round, and where the IQR is wide the two may differ.)
#
# **The famous example.** The lecture's numbers for BERT and its student DistilBERT do not fit together. Recompute them
# from the number of parameters: 110 million and 66 million.

# %%
bert, distilbert = 110e6, 66e6
print(f"BERT-base    FP32 {4 * bert / 1e6:.0f} MB")
print(f"DistilBERT   FP32 {4 * distilbert / 1e6:.0f} MB, INT8 {distilbert / 1e6:.0f} MB")
print(f"             {100 * (1 - distilbert / bert):.0f} % smaller by distillation alone")
claims.table(
    claims.show("08-distilbert", measured=4 * distilbert),
    claims.show("08-seven-times", measured=4 * bert / (4 * distilbert)),
    claims.show("08-distilbert-int8", measured=4 * bert / distilbert),
    title="DistilBERT",
)

# %% [markdown]
# The paper on DistilBERT (Sanh and others, 2019) reports 60 % more speed, that is 1.6 times as fast, and 97 % of BERT's
# score.
#
# **Exercise 4.** Ship a student with at most a **twentieth** of the teacher's parameters, within one point of the teacher on
# validation. How many hidden neurons fit? Keep the best of several seeds. (The best of many on 287 pictures was partly
# lucky, so expect the test, in the cell after, to be less kind.)

# %% tags=["exercise", "nbval-ignore-output"]
# solution: small_student = ...
told, how = runtime.progress("20 students", 60), {"temperature": 4, "alpha": 0.5, "epochs": 60}
small = distillation.distil_many((64, 12, 10), x, y, teacher_logits, seeds=range(20), after=told, **how)
small_student = best_of(small)
# end solution
exercises.check("08-student", (small_student, teacher))

# %% tags=["nbval-ignore-output"]
if small_student is ...:
    print("Solve exercise 4, and this cell tests your student.")
else:
    small_answers = models.predict(small_student, x_test)
    print(f"your student in the test: {accuracy.of(small_answers, y_test)}")
    print(f"minus the teacher: {accuracy.difference(small_answers, test_answers['teacher'], y_test)}")

# %% [markdown]
# ## 7. Do the savings add up?
#
# All techniques of the course, one after the other, on one network: distil the teacher into a student with 128 hidden
# neurons, prune half of these for real and train on with the teacher, quantize to INT8, and ship as an ONNX file. How
# many times smaller than the teacher is the last file?

# %%
exercises.predict("08-stack", ..., unit="×")

# %% tags=["nbval-ignore-output", "answer"]
student, told = models.mlp((64, 128, 10)), runtime.progress("Distil, prune, export", 3)
distillation.distil(student, teacher_logits, x, y, temperature=4, alpha=0.5, epochs=20)
told()
pruned = pruning.shrink(student, pruning.neuron_masks(student, 0.5))
distillation.distil(pruned, teacher_logits, x, y, temperature=4, alpha=0.5, epochs=10, lr=3e-3)
told()

files = memory.Scratch()  # a temporary folder that goes when this notebook's kernel goes
exported = onnx_models.export(pruned, files.path / "pruned.onnx", x_test[:2])
stacked = onnx_models.quantize_dynamic(exported.path, files.path / "stacked.onnx")
told()
runner = onnx_models.load(stacked.path, device="cpu")
steps = {"teacher": teacher, "distil": student, "prune": pruned, "quantize": dynamic.quantize_dynamic(pruned)}
step_sizes = {name: dynamic.state_dict_size(model) for name, model in steps.items()}
step_sizes["ONNX"] = stacked.size_bytes

# %% tags=["nbval-ignore-output", "answer"]
given = {runner.inputs[0][0]: one_picture.numpy()}
calls = {name: lambda model=model: model(one_picture) for name, model in steps.items()}
calls["ONNX"] = lambda: runner.session.run(None, given)  # as an app would: without our checks
with torch.inference_mode():
    latency = timing.compare(calls, baseline="teacher", threads=1, max_time=0.8)
latency

# %% [markdown]
# Beside the time goes what was paid for it: bytes, and right answers. The last column asks McNemar's test whether the step
# and the teacher differ.

# %% tags=["nbval-ignore-output", "answer"]
step_answers = {name: models.predict(model, x_test) for name, model in steps.items()}
step_answers["ONNX"] = onnx_models.predict(runner, x_test.numpy())
step_right = {name: accuracy.of(found, y_test) for name, found in step_answers.items()}
print("step              file   right answers              against the teacher")
for name, share in step_right.items():
    interval = f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"
    pairs = accuracy.mcnemar(step_answers[name], step_answers["teacher"], y_test)
    verdict = "no difference shown" if pairs.verdict == "same" else pairs.verdict
    verdict = "" if name == "teacher" else f"{verdict} (p = {pairs.p_value:.2g})"
    print(f"{name:10} {step_sizes[name]:7,} bytes   {interval:24}   {verdict}")

# %% tags=["nbval-ignore-output", "answer"]
claims.table(
    claims.show("08-stack", measured=step_sizes["teacher"] / step_sizes["ONNX"]),
    claims.show("08-stack-speed", measured=latency.ratio("ONNX")),
    title="The whole stack",
)

# %% tags=["nbval-ignore-output", "answer"]
scoreboard.record(
    "stacked",
    size_bytes=stacked.size_bytes,
    latency=latency.measurements["ONNX"],
    accuracy=step_right["ONNX"],
    notebook="08",
    device="cpu",
)
scoreboard.table()

# %% [markdown]
# Go through both tables step by step. Each one saves bytes. Where the last column says "no difference shown", 360 pictures
# cannot prove a loss, and cannot rule one out. Time is another matter: PyTorch's INT8 layer may well be slower than what it replaces, as in notebook
# 05, while ONNX Runtime has less to do around the products.
#
# **Does the order matter?** The lecture warns of a double penalty if you quantize first and prune afterwards. Try it on
# the 20 distilled students: prune half of the weights and round the others, in both orders. A third order trains on
# after pruning, for which it is too late once the weights are integers.


# %%
def prune(networks, bits):
    return pruning.prune_many(networks, 0.5)


def train_on(networks, bits):
    masks = [weight != 0 for weight in networks.weights]
    return pruning.finetune_many(networks, masks, x, y, seeds=seeds, epochs=10)


def quantize(networks, bits):
    def rounded(weight):
        return torch.from_numpy(quantization.quantize(weight, bits, axis=0).dequantize())

    return networks.replace([torch.stack([rounded(w) for w in weight]) for weight in networks.weights])


# %% tags=["nbval-ignore-output"]
orders = {
    "quantize, prune": (quantize, prune),
    "prune, quantize": (prune, quantize),
    "prune, train on, quantize": (prune, train_on, quantize),
}
ended = {}  # right answers in %, [20 seeds]
for name, bits in product(orders, (8, 3)):
    current = with_teacher
    for step in orders[name]:
        current = step(current, bits)
    ended[name, bits] = 100 * current.accuracy(*test)

# %% tags=["nbval-ignore-output"]
print(f"untouched, FP32            {right_taught.mean():.1f} %\n{'':28}8 bits   3 bits")
for name in orders:
    print(f"{name:26}", *(f"{ended[name, bits].mean():6.1f} %" for bits in (8, 3)))

# %% [markdown]
# Look for the cause. Each row of weights has a step of its own. Take the weights that were rounded to plus or minus one
# step: in how many rows does pruning then take all of them, in how many none?


# %%
def lost_ones(rounded):
    """Return for each row of all networks which share of its weights at plus or minus one step gets pruned."""
    shares = []
    for weight, left in zip(rounded.weights, prune(rounded, 3).weights, strict=True):
        step = weight.abs().amax(-1, keepdim=True) / 3  # seven levels: the largest weight is three steps
        ones = (weight / step).round().abs() == 1
        shares.append(((left == 0) & ones).sum(-1) / ones.sum(-1))
    return torch.cat([share.flatten() for share in shares])


# %% tags=["nbval-ignore-output"]
share = lost_ones(quantize(with_teacher, 3))
some = ((share > 0) & (share < 1)).sum()
print(f"rows that lose all of them: {(share == 1).sum()}, none: {(share == 0).sum()}, some: {some}")

# %% tags=["nbval-ignore-output"]
int8 = difference(ended["prune, quantize", 8], ended["quantize, prune", 8])
few_bits = difference(ended["prune, quantize", 3], ended["quantize, prune", 3])
trained_on = difference(ended["prune, train on, quantize", 8], ended["prune, quantize", 8])
claims.table(
    claims.show("08-order-int8", measured=if_it_shows(int8)),
    claims.show("08-order-few-bits", measured=if_it_shows(few_bits)),
    claims.show("08-train-on", measured=if_it_shows(trained_on)),
    title="The order of the steps",
)

# %% [markdown]
# Pruning takes the smallest weights and leaves the largest, which set the scale. At 8 bits, rounding hardly changes which
# weights are the smallest, so the two steps barely notice each other. At 3 bits only seven levels are left. Most weights
# are rounded to one of three of them, and pruning takes a row's small weights all together or not at all (it takes some of
# them only in the row in which the ranking ends, at most one in a network): the rows with the finest steps pay for all
# others. And at any number of bits, leave room for training *after* the step that does the damage. The dashboard measures
# every order of distil, prune and quantize.
#
# ## Quiz

# %%
exercises.quiz("08")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %% tags=["nbval-ignore-output"]
plots.guesses.picture(exercises.guesses("08"))

# %% tags=["nbval-ignore-output"]
exercises.progress("08")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. A soft label is the teacher's whole answer; the temperature makes its small shares visible without changing their order.
# 2. The loss weighs two voices with alpha, and T² keeps the teacher's volume about the same at all high temperatures.
# 3. A teacher helps most where it knows what the labels do not say: more pictures, better labels. With the same clean labels
#    it added nothing at T = 2 after 100 epochs, a little at T = 4 after 300, and never more than its own lead.
# 4. The softer the teacher, the more patience it needs. Compare twins over many seeds, and run a control without a teacher.
# 5. Distil, prune, quantize and export add up. Prune before you round, train on after pruning, and measure every step.
#
# ## Where to go next
#
# The dashboard puts all variants of the course side by side, and shows which of them fit a phone, a browser or a
# budget of your own.
