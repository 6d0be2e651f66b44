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
# # F · Run anywhere
#
# "Train in PyTorch, run anywhere", says the lecture. Here is a network of 39 kB, and here are the places: a Python
# without PyTorch, a phone's runtime, a web page, JavaScript on a server, sixty lines of C, many processes, many machines.
# After this notebook you can
#
# - find out which runtimes a machine has, and compare them by size, start and time per answer,
# - prove that a file answers the same everywhere, and say what it means if one label differs,
# - make a web page that recognises digits in the reader's browser, and find out why one disagrees with Python,
# - serve a network with several replicas, choose the batch, and lose no request when a replica dies.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs the ONNX files of notebook 06 and the
# batches of notebook 04. It does not cover how to build an app for a phone, nor how to rent machines.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # For the web page, in a cell of its own above: !npm install --ignore-scripts onnxruntime-web@1.30.0
    # %pip install -q "onnx<1.23" onnxruntime onnxscript uvicorn "{{install}}"
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import numpy as np
import torch

from coursekit import claims, data, deployment, exercises, memory, models, onnx_models, plots
from coursekit import timing, widgets
from coursekit.course.nbF.browser_cases import OFFERS, colleagues_page

runtime.start()

# %% [markdown]
# ## 1. Who can answer for a network?
#
# Train the digits network of notebook 06 and write it three times: in FP32, and in INT8 with scales that are found on the
# way (dynamic) or beforehand (static). A picture is 64 numbers from 0 to 1, one for each square of 8 × 8:

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)
files = memory.Scratch()
digits = data.digits()
network, told = models.mlp((64, 128, 10)), runtime.progress("a training and three files", 2)
models.fit(network, *digits.train.tensors("cpu"))
three = {name: files.path / f"{name}.onnx" for name in ("FP32", "INT8 dynamic", "INT8 static")}
onnx_models.export(network, three["FP32"], torch.zeros(2, 64))
told()
onnx_models.quantize_dynamic(three["FP32"], three["INT8 dynamic"])
onnx_models.quantize_static(three["FP32"], three["INT8 static"], [digits.train.x])
told()
sizes = {name: onnx_models.true_size(path) for name, path in three.items()}
print(", ".join(f"{name} {size:,} bytes" for name, size in sizes.items()))
with torch.inference_mode():
    expected = network(digits.test.tensors("cpu")[0]).argmax(1).numpy()

# %%
claims.show("F-int8-smaller", measured=sizes["FP32"] / sizes["INT8 dynamic"])

# %% [markdown]
# Three files. Who reads them? ONNX Runtime reads them from Python, from JavaScript in Node and from C. OpenVINO, Intel's
# runtime, reads the same files. ExecuTorch (PyTorch's runtime for phones) and LiteRT (which was TensorFlow Lite) have
# formats of their own, and TensorRT needs an NVIDIA GPU. What does your machine have?

# %% tags=["nbval-ignore-output"]
here, absent = {}, {}
for name in deployment.RUNTIMES:
    try:
        here[name] = deployment.find(name)
        print(here[name])
    except ImportError as missing:
        absent[name] = str(missing)
for line in absent.values():
    print(line)

# %% [markdown]
# The notebook goes on with those that are here; none of the others is needed. Now ask them all the same: the 360 test
# pictures, one by one. Each runtime runs in a process of its own, on one thread. Before you look: how many times as fast
# is INT8 for one picture?

# %%
exercises.predict("F-int8-faster", ..., unit="× as fast")

# %% tags=["nbval-ignore-output", "answer"]
CONVERT = False  # True: ExecuTorch and LiteRT too, where they are here; writing their files takes a minute
given = {name: three for name in here if here[name].suffix == ".onnx"}
for name in set(here) - set(given) if CONVERT else ():
    given[name] = deployment.convert(network, files.path, here[name], digits.train.x)
told = runtime.progress("every runtime, in a process of its own", 1)
survey = deployment.survey(given, digits.test.x, expected)
told()
survey

# %% tags=["nbval-ignore-output", "answer"]
same = {True: [], False: []}
for row in survey.rows:
    same[row.numbers == "FP32"].append(100 * row.same / row.asked)
claims.table(
    claims.show("F-anywhere", measured=min(same[True])),
    claims.show("F-int8-labels", measured=min(same[False])),
    title="Labels in FP32 and in INT8",
)

# %% [markdown]
# Processes of their own are fair to all, but a ratio is measured best side by side in one process, as in notebook 06:


# %% tags=["nbval-ignore-output", "answer"]
runners = {name: onnx_models.load(path, device="cpu") for name, path in three.items()}


def asking(name):
    """Return a function that asks a file once, as an app would: without any of our checks."""
    runner, one = runners[name], digits.test.x[:1]
    return lambda: runner.session.run(None, {runner.inputs[0][0]: one})


picture = digits.test.tensors("cpu")[0][:1]
with torch.inference_mode():
    ways = {
        "FP32": asking("FP32"),
        "INT8 dynamic": asking("INT8 dynamic"),
        "INT8 static": asking("INT8 static"),
    }
    ways["PyTorch"] = lambda: network(picture)
    side_by_side = timing.compare(ways, threads=1, max_time=0.6)
side_by_side

# %% tags=["nbval-ignore-output", "answer"]
with torch.inference_mode():
    against = timing.compare(
        {"PyTorch": ways["PyTorch"], "ONNX Runtime": ways["FP32"]}, threads=1, max_time=0.4
    )
claims.table(
    claims.show("F-int8-faster", measured=side_by_side.ratio("INT8 dynamic")),
    claims.show("F-ort-faster", measured=against.ratio("ONNX Runtime")),
    claims.show("F-tensorrt", measured=None),
    title="Faster?",
)

# %% [markdown]
# A small network is no scale model of a large one. Its product takes about a microsecond, and everything else is the way
# there and back. The same library with the same file answers sooner from C than from Python: the way is shorter.
#
# And the labels? In FP32 none may differ. In INT8 a few can, and it need not be the same ones with every runtime: each decides
# for itself where it rounds. If some do here, how far were the two best digits of those pictures apart in FP32?

# %% tags=["nbval-ignore-output"]
logits = runners["FP32"](digits.test.x)
best = np.sort(logits, 1)
apart = best[:, -1] - best[:, -2]
print(f"between the two best logits of a picture: {np.median(apart):.2f} in the middle")
for name in ("INT8 dynamic", "INT8 static"):
    labels = [int(runners[name].labels(one)[0]) for one in digits.test.x[:, None]]  # one by one, as above
    for picture in np.flatnonzero(labels != logits.argmax(1)):
        print(f"{name}: picture {picture} gets another label; its two best were {apart[picture]:.3g} apart")

# %% [markdown]
# ## 2. What does a runtime cost?
#
# What is not on your machine was measured elsewhere, and is stored with the course. These numbers are **recorded**, on the
# machine that is named below them:

# %% tags=["answer"]
recorded = deployment.recorded()
recorded

# %% jupyter={"source_hidden": true}
shown = [row for row in recorded.rows if row.numbers == "FP32"]
picture, ax = plots.style.axes(alt="For each runtime its size, and the time to its first answer.")
ax.set(xscale="log", yscale="log", xlim=(8, 5000), ylim=(20, 20_000))
ax.set_xticks([10, 30, 100, 300, 1000], [10, 30, 100, 300, "1,000"])
ax.minorticks_off()
heights = 10 ** plots.comparison.spread([np.log10(1e3 * row.start) for row in shown], 0.2)
for row, height in zip(shown, heights, strict=True):
    size, start = row.program_bytes / 1e6, 1e3 * row.start
    ax.plot([size, 1.35 * size], [start, height], color=plots.style.GREY, linewidth=1)
    ax.plot(size, start, "o", color=plots.style.BLUE, markersize=8)
    ax.text(1.4 * size, height, f"{row.runtime}, {1e6 * row.latency:.0f} µs", va="center")
soonest = min(shown, key=lambda row: row.start).runtime
title = f"Recorded: the first answer comes soonest with {soonest}"
plots.comparison.describe(ax, "runtime (MB)", "first answer after (ms)", title)
picture

# %% [markdown]
# | | takes | loses where |
# |---|---|---|
# | ONNX Runtime in Python | a wheel, no PyTorch | Python itself has to be there and to start |
# | ONNX Runtime in C | one library, 60 lines | you free the memory yourself, and build for each system |
# | Node | JavaScript that is there anyway | a promise for every answer costs more than the network |
# | browser | nothing to install at all | the first visit loads megabytes; one thread without special headers |
# | OpenVINO | the same file | at small networks, where its request is a long way; at home on Intel's processors |
# | ExecuTorch | a `.pte` of the exported network | in Python it brings PyTorch along: it is made for phones, in C++ |
# | LiteRT | a `.tflite` | converting needs an environment of gigabytes |
# | TensorRT | an NVIDIA GPU | one file per GPU and shape, minutes to build it, no gain at small batches |
#
# The last column is not measured here, except where the table or the picture shows it. Which of them is right is decided
# by what you may spend.
#
# **Exercise 1.** `offers` is a list of (name, bytes, seconds to the first answer, seconds per answer). Return the name of the
# fastest per answer that takes at most `most_bytes` and `most_start` seconds to start, or None if none does. The offers below
# are rounded, and not those of the table above:

# %%
for name, size, start, latency in OFFERS:
    print(f"{name:26} {size / 1e6:5.0f} MB {1e3 * start:5.0f} ms {1e6 * latency:4.0f} µs")


# %% tags=["exercise"]
def choose(offers, most_bytes, most_start):
    # solution
    allowed = [offer for offer in offers if offer[1] <= most_bytes and offer[2] <= most_start]
    return min(allowed, key=lambda offer: offer[3])[0] if allowed else None
    # end solution


exercises.check("F-choose", choose)

# %% [markdown]
# ## 3. How does it get into a browser?
#
# A browser runs WebAssembly: code for a processor that is only imagined, translated on the spot. ONNX Runtime is built for it
# as well. So a page can carry the runtime and the network, and what you draw never leaves your machine. It has a price,
# which stands in the table above:

# %%
claims.show("F-browser", measured=recorded.row("Browser").program_bytes / 1e6)

# %% [markdown]
# The network is the easy part: it is the same file. What goes wrong is what is done **before** it. In a page, a drawing is a
# `canvas`, and JavaScript gets it as one long row of whole numbers from 0 to 255: red, green, blue, opacity of the first
# pixel, then of the one to its right, and so on, row by row. The pictures of the data set were made from drawings of
# 32 × 32 points by counting the dark ones in squares of 4 × 4, and were divided by 16 before training.
#
# **Exercise 2.** Do in Python what the page has to do. `data` is that long row for a square drawing of `side` × `side` pixels,
# white on black. Return the 64 numbers that the network was trained on: for each of 8 × 8 squares, the share of its
# pixels that are brighter than 127.


# %% tags=["exercise"]
def to_network(data, side):
    # solution
    red = np.array(data).reshape(side, side, 4)[:, :, 0]
    ink = (red > 127).reshape(8, side // 8, 8, side // 8)
    return ink.mean((1, 3)).ravel()
    # end solution


exercises.check("F-pixels", to_network)

# %% [markdown]
# The page of this course also cuts the drawing out, so that it may stand anywhere. `deployment.shrink` does the same in
# Python, number for number; a test compares the two.
#
# Here is the page. It needs npm's `onnxruntime-web` in a folder `node_modules` beside the notebook; if you have not got it,
# the next line says how to get it. The course's site carries the same page.

# %% tags=["nbval-ignore-output"]
try:
    page = deployment.page(
        "digits-page", {"FP32": three["FP32"], "INT8": three["INT8 dynamic"]}, digits.test.x
    )
except ImportError as missing:
    page = None
    print(missing)
page

# %% [markdown]
# In the page, draw a digit, and look at what the network gets. Then let it compare all 360 labels with Python's. The folder
# `digits-page` is whole: put it on any web server. Opened as a file it stays still, because browsers load WebAssembly
# from servers only; it then says what to type.
#
# The same three files in Python, to draw on without a page. The panel starts with a test picture on which they disagree,
# if there is one:

# %% tags=["nbval-ignore-output"]
widgets.draw_a_digit(runners, digits)

# %% [markdown]
# **Find the fault.** A colleague has written a page with the same file, and it is wrong more often than right. You have
# what it hands to the network for the test pictures:

# %% tags=["nbval-ignore-output"]
seen = colleagues_page(digits.test.x)
for name, x in {"Python's pictures": digits.test.x, "the page's": seen}.items():
    right = (runners["FP32"].labels(x) == digits.test.y).mean()
    print(f"{name:18} largest number {x.max():4.1f}, right {100 * right:.0f} %")

# %% jupyter={"source_hidden": true}
picture = plots.style.figure(
    5, 2.6, alt="A test picture as Python has it, and as the colleague's page hands it over."
)
for ax, (name, x) in zip(
    picture.subplots(1, 2), {"Python": digits.test.x, "the page": seen}.items(), strict=True
):
    ax.imshow(x[4].reshape(8, 8), cmap="gray_r")
    ax.set(title=name, xticks=[], yticks=[])
picture

# %% [markdown]
# **Exercise 3.** Return the pictures that the page should have handed over, [n, 64], from those that it did.


# %% tags=["exercise"]
def repaired(seen):
    # solution
    return (seen.reshape(-1, 8, 8).transpose(0, 2, 1) / 16).reshape(-1, 64)
    # end solution


exercises.check("F-disagree", repaired)

# %% [markdown]
# ## 4. What is the least that it takes?
#
# Python is not needed either. ONNX Runtime is one library in C, and its wheel holds it. All its functions stand in a table,
# so that a program can find them without a header. This is the whole program; it opens a file, answers pictures, and
# takes the time:

# %% slideshow={"slide_type": "skip"}
print(deployment.c_source())

# %% tags=["nbval-ignore-output"]
start = {name: survey.row(name).start if survey.row(name) else None for name in ("ONNX Runtime", "C")}
claims.show("F-start", measured=start["ONNX Runtime"] / start["C"] if start["C"] else None)

# %% [markdown]
# ## 5. What if there are more requests than one process can answer?
#
# Then several processes answer: **replicas** of the same network. They share a queue, and each takes a batch from it, as in
# notebook 04. The digits network is too fast for a process to be worth it, so take one with 4.3 million weights, and
# let 500 requests come at once:

# %% tags=["nbval-ignore-output"]
wide, told = models.mlp((64, 2048, 2048, 10)), runtime.progress("training and export", 2)
models.fit(wide, *digits.train.tensors("cpu"), epochs=1)
told()
wide_file = files.path / "wide.onnx"
onnx_models.export(wide, wide_file, torch.zeros(2, 64))
told()
asked = np.resize(digits.test.x, (500, 64))  # the test pictures, and some of them again
alone = onnx_models.load(wide_file, device="cpu").labels(asked)

# %% [markdown]
# How many times as many answers per second do two replicas give, if a batch may hold 32 requests instead of one?

# %%
exercises.predict("F-batching", ..., unit="×")

# %% tags=["nbval-ignore-output", "answer"]
rates = {}
for count in (1, 2):
    for most in (1, 8, 32):
        with deployment.Replicas(wide_file, count, max_batch=most) as replicas:
            loads = [replicas.serve(asked) for _ in range(3)]
        assert all((load.labels == alone).all() for load in loads)
        rates[count, most] = [load.throughput for load in loads]
        print(f"{replicas}: {np.median(rates[count, most]):,.0f} answers per second", flush=True)

# %% tags=["nbval-ignore-output", "answer"]
middle = {which: float(np.median(rate)) for which, rate in rates.items()}
claims.table(
    claims.show("F-batching", measured=middle[2, 32] / middle[2, 1]),
    claims.show("F-replicas", measured=middle[2, 1] / middle[1, 1]),
    title="Batches and replicas",
)

# %% [markdown]
# A batch of n takes a + b·n seconds: a is paid once, b for each. So a replica answers n / (a + b·n) requests per second, and
# never more than 1 / b.
#
# **Exercise 4.** Requests come at `rate` per second. What is the smallest batch with which `replicas` replicas keep up? Return
# None if no batch is large enough.


# %% tags=["exercise"]
def smallest_batch(a, b, rate, replicas):
    # solution
    if replicas / b <= rate:
        return None
    n = 1
    while replicas * n / (a + b * n) < rate:
        n += 1
    return n
    # end solution


exercises.check("F-batch", smallest_batch)

# %% [markdown]
# Drag **a_ms**, what a batch costs, and **b_ms**, what each request in it costs. Which of the two can a larger batch pay for?


# %%
def per_second(ax, a_ms=10, b_ms=1.0, replicas=2):
    n = np.arange(1, 65)
    ax.plot(n, 1e3 * replicas * n / (a_ms + b_ms * n), color=plots.style.BLUE)
    ax.axhline(1e3 * replicas / b_ms, color=plots.style.INK, linestyle=":")
    ax.text(1, 1e3 * replicas / b_ms, "replicas / b", va="bottom")
    ax.set(xlabel="requests in a batch", ylabel="answers per second", ylim=(0, 1.15e3 * replicas / b_ms))


widgets.explore(per_second, a_ms=(1, 20), b_ms=(0.2, 3.0, 0.2), replicas=(1, 8))

# %% [markdown]
# The line climbs towards replicas / b, the sooner the smaller a is. More replicas lift all of it, as long as each has a core
# of its own: the formula does not know how many there are.
#
# Now pull the plug. Two replicas, 500 requests, and after a hundred answers one of the two processes is killed, without
# a warning. Which requests are lost?

# %% tags=["nbval-ignore-output"]
with deployment.Replicas(wide_file, 2, max_batch=8) as replicas:
    before = replicas.pids
    load = replicas.serve(asked, kill_after=100)
    print(load)
    print(f"processes {before} before, {replicas.pids} after")
claims.show("F-killed", measured=int((load.labels == alone).sum()))

# %% [markdown]
# The batch that the dead process had in hand went back to the front of the queue, and a new process took its place. Whoever
# hands requests out has to keep them until their answers are there.
#
# **Many machines.** Once there are more machines than one, somebody has to start replicas on all of them, to notice that one
# is gone, and to bring each request to one that has time. Ray Serve does that. This is all that it has to be told:

# %%
print(deployment.app_source())

# %% [markdown]
# `@serve.deployment` makes replicas of the class, `@serve.batch` collects single requests. On one machine and on a hundred
# the class is the same. What differs are lines around it:
#
# | | on this machine | on a cluster |
# |---|---|---|
# | join | `ray.init(num_cpus=2)` | `ray.init(address="auto")`, after `ray start --address=…` on every machine |
# | copies | `Digits.options(num_replicas=2)` | `Digits.options(num_replicas="auto")`: more of them when more is asked |
# | the file | a path | a place that all machines can read |
# | way in | `handle.remote(picture)` | `serve.start(proxy_location="EveryNode")`: HTTP on every machine |
#
# With `LIVE = True` the next cell starts it here, where Ray is installed: in a process of its own, with all files in a
# folder that goes, for this machine only. That takes a minute. Otherwise you see what was recorded:

# %% tags=["nbval-ignore-output"]
LIVE = False
served = deployment.recorded_cluster()
if LIVE:
    try:
        served = deployment.cluster(wide_file, asked)
    except ImportError as missing:
        print(missing)
served

# %% tags=["nbval-ignore-output"]
largest = max(served.rows, key=lambda row: row.throughput)
print(f"Ray's best: {1e3 / largest.throughput:.2f} ms per request ({largest.replicas} replicas)")
print(f"pipes, the best above: {1e3 / max(middle.values()):.2f} ms per request")

# %% [markdown]
# The network and the pictures are of the same kind as in the cells above. With Ray most of the time is the way from the
# caller to a replica, so that neither batches nor replicas gain much on one machine: it is worth it where one machine is
# not enough, not before. And look at the last row: one replica hangs for a moment and is killed. Ray notices that and
# starts another, but the requests that the dead one had in hand come back as **errors**. The caller sends them again,
# in this measurement as often as the last column says. All answers are right because it does.
#
# **Your turn.** Take an ONNX file of your own, from 64 numbers to 10, such as one that you exported in notebook 06, and see
# whether it says the same everywhere:

# %% tags=["nbval-ignore-output"]
yours = three["FP32"]  # the path of your file
labels = onnx_models.load(yours, device="cpu").labels(digits.test.x)
found = deployment.survey({name: {"yours": yours} for name in given}, digits.test.x, labels)
print(found)
if page is not None:
    page = deployment.page("digits-page", {"yours": yours}, digits.test.x)
page

# %% [markdown]
# ## Quiz

# %%
exercises.quiz("F")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("F"))

# %% tags=["nbval-ignore-output"]
exercises.progress("F")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. One file runs in Python, C, Node and a browser. Prove it: all labels, on every place, before anybody relies on it.
# 2. On a small network the way to the runtime is everything. INT8 makes the file smaller, not the answer faster.
# 3. If a page disagrees with Python, look at the numbers that go in: range, order, places.
# 4. Choose by what counts: megabytes for a page, the start for a function in the cloud, the time per answer for a server.
# 5. Batches share what is paid once. Replicas share what each request costs. Whoever hands out a request keeps it until it
#    is answered.
#
# ## Where to go next
#
# [Notebook 06](../06-onnx-export-and-quantization.ipynb) has the files, [notebook 04](../04-batching-benchmark.ipynb) the
# batches, and [notebook C](C-gguf-and-llama-cpp.ipynb) takes a language model out of Python.
