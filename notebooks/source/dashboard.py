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
# # Dashboard
#
# Eight notebooks, a dozen techniques, and a different network in every other example. Which technique should you take?
# Here they meet: one network, seven variants of it, one machine, one sitting. After this notebook you can
#
# - compare variants so that the comparison means something,
# - find the ones worth choosing from, and the one that fits a budget,
# - put techniques in an order in which they help each other,
# - say for each technique what it is for, and show the evidence.
#
# Time: about 40 minutes with the exercises, 10 minutes as a demonstration. It needs none of the other notebooks: what
# is missing is built on the spot. It does not cover machines other than the one it runs on, nor new techniques.
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

from itertools import permutations

import torch

from coursekit import accuracy, claims, data, exercises, plots, scoreboard, timing, variants, widgets

runtime.start()

# %% [markdown]
# ## 1. Which variants are there?
#
# The lecture ends with a table of variants. Here are its sizes and times as a picture. (Its pruned network is exactly as large
# and as fast as its baseline: zeros take room, too.)

# %%
in_the_lecture = {
    "baseline and pruned": (600, 5.0),
    "int8-dynamic": (200, 4.0),
    "onnx-fp32": (550, 3.0),
    "onnx-int8": (180, 2.5),
    "distilled": (90, 2.0),
}
picture, ax = plots.style.axes(height=2.8, alt="The lecture's variants as dots, time against size.")
with plots.style.look():
    for name, point in in_the_lecture.items():
        ax.plot(*point, "o", color=plots.style.GREY, markersize=9)
        ax.annotate(name, point, (0, 9), textcoords="offset points", ha="center")
    ax.set(xlim=(0, 700), ylim=(0, 6.5))
    plots.comparison.describe(ax, "size (kB)", "time (ms)", "What the lecture calls representative")
picture

# %% [markdown]
# "Representative, not measured", says the caption. So is it true of your machine? Everything here starts from one network, the
# 64-128-10 of notebook 05, which reads digits. Six others are made from it:

# %%
for variant in variants.VARIANTS:
    print(f"{variant.name:13} {variant.made}")

# %% [markdown]
# To compare them you need the networks themselves, not only figures that somebody wrote down. The next cell loads the
# ones that were built here before, and builds what is missing. Then it says how many bytes you would have to ship. (The
# files lie beside the scoreboard, in your results folder.)

# %% tags=["nbval-ignore-output"]
networks = variants.build()
print(networks)

# %% [markdown]
# Sizes are facts: nothing about them is noisy. Draw them.

# %% tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(height=3.0, alt="The size of the seven files as bars, in kilobytes.")
sizes = {name: network.size_bytes / 1000 for name, network in networks.items()}
plots.comparison.bars(
    ax,
    list(sizes),
    list(sizes.values()),
    unit="size of the file (kB)",
    title="How large is each file?",
)
picture

# %% [markdown]
# Exporting to ONNX changes the box, not the numbers in it. What makes a file smaller is fewer numbers (pruned, distilled), or shorter numbers (INT8), or both (stacked). The lecture promises a factor
# of three to four for INT8:

# %% tags=["nbval-ignore-output"]
claims.show("dashboard-quantized-size", measured=sizes["onnx-fp32"] / sizes["onnx-int8"])

# %% [markdown]
# And the stack of everything? The lecture's example shrinks 7 times:

# %% tags=["nbval-ignore-output"]
claims.show("dashboard-stack-size", measured=sizes["baseline"] / sizes["stacked"])

# %% [markdown]
# ## 2. What does each one cost in time and accuracy?
#
# Times are not facts of that kind. Measure the same network twice and you get two numbers. So a fair comparison
# measures all candidates **in one sitting**: on one machine, on one thread, in turns, in a shuffled order, so that a
# busy moment hits all alike. The tool is `timing.compare`, as in notebook 05. Here it compares the baseline with itself:

# %% tags=["nbval-ignore-output"]
x, y = data.digits().test.tensors("cpu")
with torch.inference_mode():
    twice = {name: networks["baseline"].call(x[:1]) for name in ("baseline", "the baseline again")}
    itself = timing.compare(twice, max_time=0.4, threads=1)
itself

# %% [markdown]
# The verdict should be "same". (If the machine was busy, it says what it could not see.) Now all seven: the clock runs on one picture per call. The answers to the 360 test pictures
# are counted, and each network's are set beside the baseline's, picture by picture (McNemar's test). Before you look: how many
# times as fast is the stack?

# %%
exercises.predict("dashboard-stack-speed", ..., unit="×")

# %% tags=["nbval-ignore-output", "answer"]
sitting = variants.measure(networks)
sitting

# %% [markdown]
# Read it from left to right. The quartiles hold the middle half of the times. The speed-up has a 95 % interval. In the last
# column, "same" means that the 360 pictures showed no difference, not that there is none: six tests at 5 % find a
# difference where there is none in at most about one table of four (1 − 0.95⁶ = 0.26, if the tests were independent); this
# exact test, where few answers differ, does so much more rarely. One of the twelve comparisons was planned, the time of the
# stack, and you guessed it. The other eleven come with the table: take them as hints. Everything ran on the CPU, on a GPU
# machine as well: the INT8 of PyTorch knows nothing else.
#
# Now the lecture's sentences. The stack, it says, is 11 times faster:

# %% tags=["nbval-ignore-output", "answer"]
claims.show("dashboard-stack-speed", measured=sitting["stacked"].ratio)

# %% [markdown]
# Quantization costs about 0 % accuracy. (360 pictures are few: an interval that is wider than a point decides nothing, and
# then the card says so.)

# %% tags=["nbval-ignore-output"]
claims.show("dashboard-quantized-accuracy", measured=sitting["int8-dynamic"].paired)

# %% [markdown]
# Distillation gives the best latency. So the student's time, divided by the fastest variant's, should be 1:

# %% tags=["nbval-ignore-output"]
fastest = min(row.latency for row in sitting)
claims.show("dashboard-distilled-latency", measured=sitting["distilled"].latency / fastest)

# %% [markdown]
# And why did the stack gain what it gained, and not more? Look at the pruned network. It has half of the neurons:

# %% tags=["nbval-ignore-output"]
claims.show("dashboard-pruned-latency", measured=sitting["pruned"].ratio)

# %% [markdown]
# Where half of the multiplications take next to no time, the time goes elsewhere: into Python, and into PyTorch's
# way to the product. That is what ONNX Runtime saves. On a network ten thousand times larger the products are nearly
# everything, and then the other techniques count. So this table tells you about *this* network. The way to make it is what
# you take with you.
#
# What did the notebooks record on the way? Their entries come from other days and partly from other networks, so they stand
# here beside the new ones, and nobody ranks them:


# %% tags=["nbval-ignore-output"]
board = scoreboard.table().here
recorded = [v for v in variants.VARIANTS if v.recorded in board]
for variant in recorded:
    entry, row = board[variant.recorded], sitting[variant.name]
    print(
        f"{variant.recorded:18} notebook {entry.notebook}: {entry.size_bytes:8,} bytes {entry.latency * 1e6:7.1f} µs"
    )
    print(f"{variant.name:18} this sitting: {row.size_bytes:6,} bytes {row.latency * 1e6:7.1f} µs")
if not recorded:
    print(
        "Notebooks 05 to 08 have recorded nothing on this machine yet. That is fine: all seven are in the table."
    )

# %% [markdown]
# ## 3. Which one fits?
#
# Seven variants, but some are pointless: if another one answers well enough and is smaller *and* faster, why take this one? A variant **beats**
# another if it is nowhere worse and somewhere better. What nobody beats forms the **Pareto front**. Of several on it none is the best:
# smaller has its price in time, faster its price in bytes. Accuracy is the condition: only what is accurate enough takes part.
#
# **Exercise 1.** Write it down. `points` maps names to pairs (size, time), smaller is better in both. Return the names that no
# other beats.


# %% tags=["exercise"]
def pareto_front(points):
    # solution
    def beats(a, b):
        return a[0] <= b[0] and a[1] <= b[1] and a != b

    return [name for name, mine in points.items() if not any(beats(p, mine) for p in points.values())]
    # end solution


exercises.check("dashboard-front", pareto_front)

# %% [markdown]
# And these are the unbeaten ones here in size and time, by coursekit's own function. It asks for no accuracy yet: the panel
# below does.

# %% tags=["nbval-ignore-output", "answer"]
for name in variants.front(sitting):
    print(f"{name:13} {sitting[name].size_bytes:7,} bytes {sitting[name].latency * 1e6:6.1f} µs")

# %% [markdown]
# A place to run has a **budget**. The lecture names four:

# %%
for budget in variants.BUDGETS.values():
    print(budget)

# %% [markdown]
# Click on them first. On a network as small as ours their megabytes and milliseconds decide nothing, and the panel says so.
# One line does: a browser has no Python, so only ONNX files fit. Then go back to your own budget and slide. Its ranges are
# those of these seven files, so there you have to choose. Blue dots fit with their whole interval, orange diamonds may fit, grey
# crosses do not. Raise the share of right answers and see the front lose its smallest member.

# %% tags=["nbval-ignore-output", "answer"]
widgets.pareto(sitting)

# %% [markdown]
# What the budgets leave out: the file is not all you ship. PyTorch and ONNX Runtime weigh more than a thousand times as much as
# these files (notebook 06 puts them on the scales). For a small network the runtime is the size that counts. For a language model it vanishes.
#
# ## 4. Does the order of the steps matter?
#
# The stack was made in this order: distil, prune, quantize. Why not another one? Each step does what it can with what it
# gets:
#
# - **distil** trains a new, smaller FP32 network on the answers of what it gets,
# - **prune** removes the weaker half of the hidden neurons and trains on. If it gets integers, it cannot train on: it prunes
#   them as they are,
# - **quantize** gives what it gets INT8 weights.
#
# **Exercise 2.** Think before you measure. There are six orders of the three steps. Which of them ship INT8 weights in the
# end? Give them as a list of orders.

# %%
for order in permutations(["distil", "prune", "quantize"]):
    print(" → ".join(order))

# %% tags=["exercise"]
# solution: int8_orders = [["distil", "prune", "quantize"], ...]
int8_orders = [
    ["distil", "prune", "quantize"],
    ["distil", "quantize", "prune"],
    ["prune", "distil", "quantize"],
]
# end solution
exercises.check("dashboard-orders", int8_orders)

# %% [markdown]
# Now measure: every order of every choice of steps, sixteen in all, each on the same ten networks to start from. Every
# size is a file's, every accuracy is that of ten networks on the test pictures. Here are the start and two orders of the same
# two steps. (The results are kept, so the next time this cell takes no time.)

# %% tags=["nbval-ignore-output"]
orders = variants.pipelines()
for steps in ([], ["prune", "quantize"], ["quantize", "prune"]):
    print(orders[steps])

# %% [markdown]
# The same size, but not the same accuracy. Now see all sixteen. Choose a first, a second and a third step: their order turns
# blue, the other orders of the same steps turn orange. The button measures all of it again, with ten other seeds.


# %% tags=["nbval-ignore-output", "answer"]
def measure_others(progress):
    return variants.pipelines(progress, seeds=range(100, 110), again=True)


widgets.pipeline(orders, measure=measure_others)

# %% [markdown]
# Two things went wrong in the bad orders. First, a student starts anew. It gets its teacher's answers, not its teacher's size:

# %% tags=["nbval-ignore-output"]
students = [["distil"], ["prune", "distil"], ["quantize", "distil"], ["prune", "quantize", "distil"]]
claims.show("dashboard-student-anew", measured=len({orders[steps].size_bytes for steps in students}) == 1)

# %% [markdown]
# So whatever you did to the teacher's format before is thrown away. Second, integers cannot be trained on. What pruning breaks,
# training heals, if there is any:

# %% tags=["nbval-ignore-output"]
healed, broken = orders[["distil", "prune", "quantize"]], orders[["distil", "quantize", "prune"]]
claims.show("dashboard-integers-untrained", measured=100 * (healed.mean - broken.mean))

# %% [markdown]
# Both files have the same size. Hence the order: first what chooses the design (distil), then what removes parts of it and
# trains (prune), last what freezes the numbers (quantize). Everything that trains comes before everything that rounds.
#
# And does the good order cost accuracy? In your table above, one network's stack stood beside one baseline, and six tests were
# made at once. Here are ten networks, each beside its own stack of three steps:

# %% tags=["nbval-ignore-output"]
lost = 100 * (orders[[]].accuracies - healed.accuracies)
print("points lost, seed by seed:", *(f"{points:.1f}" for points in lost))
claims.show("dashboard-stack-accuracy", measured=accuracy.paired(orders[[]].accuracies, healed.accuracies))

# %% [markdown]
# So the stack has its price. The student has few neurons to spare, and pruning takes half of them away. What part of the loss
# comes back if you leave that step out? Again the ten networks answer in pairs:

# %% tags=["nbval-ignore-output"]
two_steps = orders[["distil", "quantize"]]
gained = 100 * (two_steps.mean - healed.mean)
print(two_steps, healed, f"in the mean {gained:.1f} of {lost.mean():.1f} points come back", sep="\n")
claims.show("dashboard-two-steps", measured=accuracy.paired(two_steps.accuracies, healed.accuracies))

# %% [markdown]
# Better answers, a larger file. Neither is wrong: it depends on your budget. (And what is `prune → distil → quantize`? In the panel
# it weighs as much as these two steps. What was pruned was only the teacher.)
#
# ## 5. Which technique when?
#
# The rules of thumb of the course, each with the evidence of your sitting. The factors are against the baseline.

# %% tags=["nbval-ignore-output", "answer"]
variants.decisions(sitting)

# %% [markdown]
# How to use the table: measure what hurts (notebook 03), set a budget, start at the top, and stop as soon as the budget is
# met. The cheap steps come first. Where many users ask at once, batch before anything else (notebook 04). And where layers are
# wide, INT8 may save time, too: notebook 05 finds the width from which on it does, if it does on your machine.
#
# ## 6. What did the course claim, and what held here?
#
# Every claim that you have checked on this machine, in all notebooks, with its verdict. *Arithmetic* and *statistical* ones
# hold everywhere, or they would be mistakes. *Hardware* ones may fail here and hold elsewhere, and each failure is a finding: it tells
# you how your machine differs from the one behind the slides. What is *not decided here* needs more pictures, more seeds or a
# calmer machine.

# %% tags=["nbval-ignore-output", "answer"]
claims.report().measured

# %% [markdown]
# And your guesses, from all notebooks, beside what was measured. Left of the line they were too low, right of it too high.

# %% tags=["nbval-ignore-output"]
plots.guesses.picture(exercises.guesses())

# %% [markdown]
# The scoreboard, with everything that was ever recorded. If you carry your results folder to another machine, that one gets a
# table of its own: a ranking across machines would compare the machines.

# %% tags=["nbval-ignore-output", "answer"]
scoreboard.table()

# %% [markdown]
# And your exercises, in all notebooks. `exercises.report("your name")` writes all of this into one file to read, print and
# hand in; `exercises.resume(file)` takes it up on another machine.

# %% tags=["nbval-ignore-output"]
exercises.progress()

# %% [markdown]
# ## 7. What comes next in the wild?
#
# The names that you will meet, each with the idea that you now know. None of them runs in this notebook: they want larger
# models or other hardware. The lettered notebooks build the ideas of most of them, at a small size.
#
# - **GGUF** is a file format: quantized weights in groups with their scales, plus everything needed to run the model, laid out so that
#   a program can map it into memory (notebooks 02 and C).
# - **GPTQ** is an algorithm for 4 bits and fewer: it rounds the weights one after another, and corrects those that are left for the
#   error made so far, on sample data (notebook B).
# - **AWQ** is another one: it finds the channels that large activations pass through, and scales them so that rounding hurts
#   them least (notebook B).
# - **llama.cpp** runs GGUF files in C++, on a CPU or a GPU, without Python (notebook C).
# - **Ollama** is a friendly shell around such an engine: it fetches models and serves them on your own machine.
# - **vLLM** serves a language model to many users: it batches requests as they come (notebook 04) and keeps the KV cache
#   in pages (notebook D).
# - **SGLang** does so, too; it is where sharing the cache of common beginnings, such as a system prompt, was made the main
#   idea (vLLM has it now as well; notebook D).
# - **Unsloth** is for fine-tuning: GPU kernels for training small additions (LoRA) to a quantized model (notebook E).
# - **TensorRT** compiles a network for one kind of NVIDIA GPU: it fuses operators (notebook 06) and picks the formats. Its plan
#   usually runs on that kind only.
# - **ExecuTorch** is PyTorch's own way to phones and microcontrollers: export, quantize, a small runtime without Python (notebook F).
#
# Ask the same questions of all of them: how many bytes, how many seconds, how many right answers, measured where?
#
# ## What you should remember
#
# 1. Compare in one sitting, on one machine, in turns, with intervals. Anything else compares days and machines.
# 2. Nearly always there is no best variant, only a front, and a budget that picks from it.
# 3. Everything that trains comes before everything that rounds: distil, prune, quantize.
# 4. A small network spends its time around the products. There, the runtime decides, not the number of weights.
# 5. Stop when the budget is met.
#
# ## Where to go next
#
# Put your own network in the place of the baseline, and a budget of your own in the place of the presets. The lettered
# notebooks go on with language models, [from notebook A on](beyond/A-a-small-language-model.ipynb), and [notebook
# F](beyond/F-run-anywhere.ipynb) takes the ONNX files of the course to other places. If a notebook of the course is still
# missing in the report above, [start with the first](01-floating-point-basics.ipynb).
