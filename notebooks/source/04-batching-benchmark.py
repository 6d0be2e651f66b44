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
# # 04 Batching benchmark
#
# The same network, the same inputs, the same answers, and yet several times as many of them per second: all it takes
# is to ask for many at once. After this notebook you can
#
# - read a latency and throughput curve, and describe it by two numbers,
# - choose a batch under a latency budget, and say when memory is the limit,
# - tell from a roofline whether arithmetic or memory holds a layer back,
# - turn requests that arrive one by one into batches, and predict how long they will wait.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs the measuring of [notebook
# 03](03-profiling-basics.ipynb): medians, intervals, and who waits for whom. It does not cover servers that answer
# with language models (notebook D does), nor several machines.
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

import asyncio
import bisect
import copy
import math

import numpy as np
import torch
from torch import nn

from coursekit import batching, claims, exercises, plots, roofline, timing, widgets

runtime.start()

# %% [markdown]
# ## 1. One thousand calls, or one?
#
# A network with 256 inputs, two hidden layers of 512 neurons and 10 outputs has to answer 1,000 inputs. You can hand
# them over one by one, or all in one call. The arithmetic is the same. Is the time?
#
# We use one thread of the processor throughout, unless we say otherwise. Threads that wait for each other would
# blur the picture.

# %%
model = nn.Sequential(
    nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
).eval()
inputs = torch.randn(4096, 256)
thousand = inputs[:1000]


def one_by_one():
    return torch.cat([model(x) for x in thousand.split(1)])


def one_call():
    return model(thousand)


# %% [markdown]
# First make sure that both give the same answers. An output is a sum of 512 products, and a sum in another order may
# end in other digits. So ask how far apart the outputs are, and whether any decision differs.

# %% tags=["nbval-ignore-output"]
with torch.inference_mode():
    singly, together = one_by_one(), one_call()
print(f"decisions that differ: {(singly.argmax(1) != together.argmax(1)).sum()} of {len(thousand)}")
claims.show("04-same-answers", measured=(singly - together).abs().max())

# %%
exercises.predict("04-one-call", ..., unit="× as fast")  # how many times as fast is the one call?

# %% tags=["answer", "nbval-ignore-output"]
with torch.inference_mode():
    thousand_inputs = timing.compare(
        {"one by one": one_by_one, "one call": one_call},
        max_time=0.6,
        threads=1,
        after=runtime.progress("one by one against one call", 10),
    )
thousand_inputs

# %% tags=["answer", "nbval-ignore-output"]
claims.show("04-one-call", measured=thousand_inputs.ratio("one call"))

# %% [markdown]
# Think of a dishwasher. It takes its 90 minutes, its water and its soap for one plate or for thirty. So you fill it
# first. A call, too, has costs that do not depend on how much is in it: Python walks through the layers, PyTorch
# checks shapes and picks a kernel, results get their memory. One call pays that once, 1,000 calls pay it 1,000 times.
# Whether that is all, section 3 measures.
#
# ## 2. How large should a batch be?
#
# Measure it. `batching.sweep` doubles the batch from 1 to 4,096. At each size it takes many samples, and keeps the
# median and the quartiles. Three quantities matter:
#
# - **latency**: how long a call takes,
# - **time per example**: latency divided by the batch,
# - **throughput**: examples per second, the batch divided by latency.

# %%
# the highest throughput of any batch, divided by that of batch 1
exercises.predict("04-more-per-second", ..., unit="times as many")

# %% tags=["answer", "nbval-ignore-output"]
with torch.inference_mode():
    curve = batching.sweep(
        model,
        inputs,
        min_time=0.07,
        threads=1,
        device="cpu",
        name="256-512-512-10",
        after=runtime.progress("13 batches", 13),
    )
curve

# %% [markdown]
# Where there is a GPU, the same network is measured on it as well, up to a batch of 65,536.

# %% tags=["answer", "nbval-ignore-output"]
device = runtime.device()
curves = {"CPU": curve}
if device.type == "cuda":
    on_gpu, many = copy.deepcopy(model).to(device), torch.randn(65_536, 256, device=device)
    with torch.inference_mode():
        curves["GPU"] = batching.sweep(on_gpu, many, device=device, name="256-512-512-10")
    print(curves["GPU"])
    print(batching.fit(curves["GPU"].batches, curves["GPU"].median))
    print(f"30 examples take {curves['GPU'].seconds(30) / curves['GPU'].seconds(1):.2f} times as long as one")
else:
    print("No GPU here, so the CPU's curve stands alone.")

# %% jupyter={"source_hidden": true} tags=["answer", "nbval-ignore-output"]
picture, (left, right) = plots.style.axes(
    1, 2, alt="Left, the time of a call against the batch. Right, the examples per second against the batch."
)
plots.batching.latency(left, curves, title=None)
plots.batching.throughput(right, curves, title=None)
picture

# %% [markdown]
# The band around each line is the middle half of the samples. Read both pictures together. Where the left line is
# flat, doubling the batch costs next to nothing, and the right line doubles. Where the left line climbs as fast as the
# batch, doubling the batch doubles the time, and the right line gains nothing any more.

# %% tags=["answer", "nbval-ignore-output"]
claims.show("04-more-per-second", measured=curve.throughput.max() / curve.throughput[0])

# %% [markdown]
# Now hold two sayings against your curve. The dishwasher takes as long for thirty plates as for one. Does a call? And
# does the time per example fall until memory runs out? Compare the largest batch with the best of all smaller ones:

# %% tags=["nbval-ignore-output"]
print(f"least time per example: batch {curve.batches[np.argmin(curve.per_example)]:,}")
claims.table(
    claims.show("04-dishwasher", measured=curve.seconds(30) / curve.seconds(1)),
    claims.show("04-until-memory", measured=curve.per_example[-1] / curve.per_example[:-1].min()),
    title="Two sayings",
)

# %% [markdown]
# ## 3. Which two numbers describe the curve?
#
# If a call costs $a$ however full it is, and each example adds $b$, then a batch of $B$ takes
#
# $$t(B) = a + b \cdot B.$$
#
# This is Hockney's model, made for vector computers in 1981. Two things follow. Throughput $B / t(B)$ never exceeds
# $1/b$. And half of that is reached at $B = a/b$, the **half-performance batch**: there, as much time goes into
# the overhead as into the examples.
#
# **Exercise 1.** Find $a$ and $b$. Write a function that gets batches and seconds as arrays and returns `a, b` of a
# straight line through them (least squares).


# %% tags=["exercise"]
def fit(batches, seconds):
    # solution
    b, a = np.polyfit(batches, seconds, 1)  # the highest power comes first
    return a, b
    # end solution


exercises.check("04-fit", fit)

# %% [markdown]
# There is a trap in "least squares". The batches run from 1 to 4,096, so the times differ by a factor of hundreds. An
# error of 1 % at the largest batch weighs more than an error of 100 % at the smallest. The cure is to divide every
# error by the time it belongs to, so that *relative* errors count. Compare what both fits say about a call with one
# example:

# %% tags=["answer", "nbval-ignore-output"]
line = batching.fit(curve.batches, curve.median)  # relative errors
yours = fit(curve.batches, curve.median)
print(f"measured at batch 1:  {1e6 * curve.median[0]:8.1f} µs")
if yours is not None:  # it is None until exercise 1 is solved
    print(f"plain least squares:  {1e6 * sum(yours):8.1f} µs")
print(f"relative errors:      {1e6 * line.seconds(1):8.1f} µs")
print(line)

# %% [markdown]
# Does the line deserve your trust? Never look at a fit without its **residuals**, what it leaves unexplained:

# %% jupyter={"source_hidden": true} tags=["answer", "nbval-ignore-output"]
picture, (left, right) = plots.style.axes(
    1,
    2,
    alt="Left, measured times and the line. Right, by how many per cent each time lies above or below it.",
)
plots.batching.latency(left, {"CPU": curve}, line, title="Two numbers, one line")
plots.batching.residuals(right, curve, line)
picture

# %% tags=["answer", "nbval-ignore-output"]
off = 1 - line.residuals(curve.batches, curve.median)  # the line's time over the measured one
claims.show("04-line", measured=max(off.max(), 1 / off.min()))

# %% [markdown]
# Dots in disorder are noise. Dots that form a slope or a step are something that the model does not know. Three
# suspects. Other batches may run other code: batch 1 multiplies a vector, larger ones a matrix, and from some size on the
# library may change its routine once more. Large batches need room: at 4,096 examples one hidden layer holds
# 4,096 · 512 · 4 bytes = 8.4 MB, more than the inner caches of most processors. And on a busy machine long calls are
# interrupted, while short ones slip through between two interruptions.
#
# The line was fitted to batches 1, 2, 4 and so on. Section 1 measured something else. Do $a$ and $b$ predict it?

# %% tags=["answer", "nbval-ignore-output"]
predicted = 1000 * (line.a + line.b) / (line.a + 1000 * line.b)
measured = thousand_inputs.ratio("one call").value
print(f"predicted {predicted:.1f}× as fast, measured {measured:.1f}×")
claims.show("04-line-predicts", measured=max(predicted / measured, measured / predicted))

# %% [markdown]
# One question is left: what *is* $a$? Ask a network of the same depth that has next to nothing to compute, one neuron
# per layer. What its call takes is set-up and nothing else.

# %% tags=["answer", "nbval-ignore-output"]
tiny = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).eval()
with torch.inference_mode():
    setup = timing.measure(lambda: tiny(inputs[:1, :1]), threads=1, name="set-up alone")
print(setup)
claims.show("04-setup-share", measured=100 * setup.median / line.a)

# %% [markdown]
# If the share is small, a call pays for something else that does not depend on the batch. Keep that in mind until
# section 5.
#
# ## 4. Which batch can you afford?
#
# Nobody waits for ever. A service has a **latency budget**, say 5 ms per call. Of all batches that fit into it, take
# the one that answers most examples per second. That need not be the largest one.
#
# **Exercise 2.** Which batch is the best under 5 ms for this (made-up) machine?

# %% tags=["exercise"]
table_batches = np.array([1, 8, 32, 64, 96, 128, 160, 512])
table_ms = np.array([0.9, 1.1, 1.5, 1.9, 2.2, 3.6, 4.8, 9.3])
# solution: best_batch = ...
fits = table_ms <= 5
best_batch = table_batches[fits][np.argmax((table_batches / table_ms)[fits])]
# end solution
exercises.check("04-budget", best_batch)

# %% [markdown]
# Now on your own curve. Slide the budget: the best batch that fits lights up. Then judge by the upper quartile. If the
# *median* just fits, half of the calls are late. If the *upper quartile* fits, at most a quarter is.

# %% tags=["nbval-ignore-output", "answer"]
widgets.slo(curve)

# %% [markdown]
# Memory is a budget, too. Every example brings its own activations, the numbers that flow through the network. The
# weights are there once, however large the batch.
#
# **Exercise 3.** The network 256-512-512-10 in FP32 (4 bytes a number) has 100 MB for weights, biases and a batch.
# Suppose that all of an example's numbers are kept at the same time: its 256 inputs and the outputs of the three
# Linear layers. How many bytes is that per example, and what is the largest batch that fits? (1 MB is $10^6$ bytes.)

# %% tags=["exercise"]
# solution: bytes_per_example, largest_batch = ..., ...
bytes_per_example = 4 * (256 + 512 + 512 + 10)
weights_and_biases = (256 * 512 + 512) + (512 * 512 + 512) + (512 * 10 + 10)
largest_batch = (100_000_000 - 4 * weights_and_biases) // bytes_per_example
# end solution
exercises.check("04-memory", (bytes_per_example, largest_batch))

# %% [markdown]
# So memory ends much later than the gain: look again at the batch from which on your throughput no longer grows. With language
# models it is the other way round. An example keeps a cache of many megabytes, and memory is the first limit.
#
# ## 5. What holds the layer back?
#
# Sharing the overhead is half of the story. The other half is traffic. Remember the kitchen of notebook 03: the chef
# cooks (arithmetic), the waiter brings the ingredients (memory). A Linear layer with $n$ inputs and $m$ outputs
# multiplies and adds $n \cdot m$ times per example, so a batch takes $2 \cdot B \cdot n \cdot m$ operations (FLOP). The
# weights have to be brought once per call. Operations per byte brought are the **arithmetic intensity**:


# %%
def intensity(n, m, batch, bytes_per_number=4):
    flop = 2 * batch * n * m
    moved = bytes_per_number * (n * m + batch * n + batch * m)  # weights, inputs, outputs
    return flop / moved


for batch in (1, 8, 64, 512):
    print(f"batch {batch:3}: {intensity(1024, 1024, batch):6.1f} FLOP per byte")
claims.show("04-intensity", measured=intensity(4096, 4096, 1, bytes_per_number=2))

# %% [markdown]
# With one example, each weight travels from memory to be used for two operations. With 64, it is used for 128. That is
# the other part of $a$: the waiter has to bring all weights once, however many guests there are.
#
# How much can chef and waiter do at most? Measure both: the quickest stream through memory, and the quickest matrix
# product in each precision. This once, all threads may help. (If others keep your machine busy, one thread is quicker
# than several that wait for each other, and is taken instead. Operations on INT8 are counted as FLOP, too.)

# %% tags=["nbval-ignore-output"]
roof = roofline.measure(after=runtime.progress("the roofs", 10))
roof

# %% [markdown]
# Two limits make a **roofline**. At an intensity of $I$, no program does more operations per second than the peak, and
# none more than $I$ times the bandwidth. The two limits meet at the **ridge**, peak divided by bandwidth. Left of it the
# chef waits for the waiter (memory-bound), right of it the waiter for the chef (compute-bound).

# %% tags=["nbval-ignore-output"]
peak, bandwidth = roof.peaks["fp32"], roof.bandwidth
for batch in (1, 8, 64, 512):
    i = intensity(1024, 1024, batch)
    limit = "memory" if i < peak / bandwidth else "arithmetic"
    print(f"batch {batch:3}: at most {min(peak, i * bandwidth) / 1e9:6.1f} GFLOP/s, because of {limit}")

# %% [markdown]
# And where is a real layer? A layer 1024 × 1024 is measured at nine batches and in every precision, in two ways. From
# *memory*: each call takes other weights, hundreds of MB of them in turn, so that no cache still has them. From the
# *cache*: each call takes the same weights. The cache is a faster waiter, so it has a roof of its own (dashed).

# %% tags=["nbval-ignore-output"]
points = roofline.measure_layer(
    1024,
    1024,
    precisions=tuple(roof.peaks),
    threads=roof.threads,
    after=runtime.progress("9 batches in every precision", 10),
)
widgets.roofline_chart(roof, points)

# %% [markdown]
# Move the batch: the point moves to the right, and the roof above it rises as far as the ridge. Change the precision:
# half the bytes per number, twice the intensity, and a higher peak where the processor and its routine have one (in your
# table above it may as well be lower). The orange line is what the layer leaves unused. How much is that left of the
# ridge, where memory sets the limit? The same layer on a single thread stands below for comparison.

# %% tags=["nbval-ignore-output"]
alone = roofline.measure_layer(1024, 1024, (1, 2, 4), sources=("memory",), threads=1)
for threads, measured in (f"{roof.threads} threads", points), ("1 thread", alone):
    for point in measured:
        if point.source == "memory" and point.work.intensity < roof.ridge(point.precision):
            carried = point.rate / point.work.intensity / 1e9  # GB/s
            print(f"{threads}, {point.precision}, batch {point.batch}: {carried:5.1f} GB/s,", end=" ")
            print(f"{100 * point.share(roof):3.0f} % of the roof")
claims.show("04-below-the-roof", measured=100 * max(point.share(roof) for point in points))

# %% [markdown]
# A roof says what no program exceeds, not what one reaches. "Memory-bound" names the *limit*, and these points may stay
# far below it. Compare two things in the list. First, a batch on all threads and on one: where it stays far below the
# roof and carries as many GB/s on one, its routine uses a single thread, and the roof was measured with all of them.
# Second, batch 1 and the larger ones on one thread. One example is a vector, whose routine only streams the weights. From
# two on it is a product of matrices, whose routine is built for the other side of the ridge and may handle the weights
# more than once. Where it carries fewer GB/s, that is why. A better routine would help then, below the same roof.

# %% [markdown]
# **Language models.** The same two divisions say why chat is slow. A model with 7 billion parameters (32 layers, width
# 4096) in FP16 is 14 GB. Writing one token reads all of it, and takes about $24 \cdot 4096^2$ operations per layer. The
# machine is an A100 by its data sheet: 312 TFLOP/s, 2 TB/s. How many times as long as computing does reading take?

# %%
exercises.predict("04-decode-ratio", ..., unit="times as long")

# %% tags=["answer"]
flop_per_token, weight_bytes = 24 * 4096**2 * 32, 7e9 * 2
a100 = roofline.Roof(bandwidth=2e12, peaks={"fp16": 312e12}, machine="A100 (data sheet)")
computing, reading = flop_per_token / a100.peaks["fp16"], weight_bytes / a100.bandwidth
per_byte = flop_per_token / weight_bytes
print(f"computing {1e3 * computing:.3f} ms, reading {1e3 * reading:.0f} ms per token")
claims.table(
    claims.show("04-decode-ratio", measured=reading / computing),
    claims.show("04-decode-flop", measured=flop_per_token / 1e9),
    claims.show("04-decode-intensity", measured=per_byte),
    claims.show("04-decode-share", measured=100 * a100.bound(per_byte, "fp16") / a100.peaks["fp16"]),
    claims.show("04-ridge", measured=a100.ridge("fp16")),
    title="One token of a chat",
)

# %% [markdown]
# So one user's chat leaves the chef idle: memory-bound. Two ways out. Bring fewer bytes, which is why quantization
# can make chat faster. Or let more users share each weight: a batch. Here is the A100's roofline, drawn from its data
# sheet. The open marks are bounds: nothing was measured there.

# %% jupyter={"source_hidden": true} tags=["answer"]
chats = {f"{users} chat{'s' * (users > 1)}": users * per_byte for users in (1, 8, 64, 170)}
picture, ax = plots.style.axes(
    height=3.6,
    alt="The roofline of an A100 by its data sheet, with the bounds for one chat and for several at once.",
)
plots.roofline.limits(ax, a100, chats, "fp16")
picture

# %% tags=["answer"]
four_bits = 7e9 * (4 + 16 / 128) / 8  # bytes, with a 16-bit scale for every 128 weights
claims.table(
    claims.show("04-int4", measured=weight_bytes / four_bits),
    claims.show("04-batch-64", measured=100 * a100.bound(64 * per_byte, "fp16") / a100.peaks["fp16"]),
    claims.show("04-ten-tflop", measured=a100.verdict(10e12 / 5e9, "fp16")),
    title="Two ways out, and a question",
)

# %% [markdown]
# ## 6. What if requests come one by one?
#
# Users do not arrive in batches. So somebody has to collect them: a **micro-batcher**. It lets requests wait, and sends
# them off together as soon as either so many wait that the batch is full (`max_batch`), or the oldest has waited long
# enough (`max_wait`). While a batch is being answered, the next one gathers.
#
# **Exercise 4.** Write that rule. Given how many requests wait and the age of the oldest (seconds), return how many to
# take now; 0 means wait.


# %% tags=["exercise"]
def flush(waiting, oldest_age, max_batch, max_wait):
    # solution
    if waiting >= max_batch or (waiting > 0 and oldest_age >= max_wait):
        return min(waiting, max_batch)
    return 0
    # end solution


exercises.check("04-flush", flush)

# %% [markdown]
# Will it help? Before you build it, simulate it. All that is needed is when requests arrive, and how long a batch
# takes. A **discrete-event simulation** jumps from one departure to the next. A batch starts once the server is free
# *and* the rule says go. It takes whoever is there by then.


# %%
def simulate(arrivals, seconds, max_batch, max_wait):
    """Return each request's latency; arrivals in seconds, ascending; seconds(batch) is measured."""
    finished, free, first = [], -math.inf, 0
    while first < len(arrivals):
        is_last = first + max_batch > len(arrivals)
        full = math.inf if is_last else arrivals[first + max_batch - 1]
        start = max(free, min(arrivals[first] + max_wait, full))
        size = min(max_batch, bisect.bisect_right(arrivals, start) - first)
        free = start + seconds(size)
        finished += [free] * size
        first += size
    return np.array(finished) - arrivals


# %% [markdown]
# Try it where you can follow by hand. Three requests arrive at 0, 1 and 5 seconds, a batch takes 2 seconds, however
# large, and nobody waits longer than 1. The first waits until 1, when the second comes along; both leave at 3. The
# third starts at 6 and leaves at 8.

# %%
arrivals = np.array([0.0, 1.0, 5.0])
latencies = simulate(arrivals, lambda size: 2.0, max_batch=4, max_wait=1.0)
same = batching.simulate(arrivals, lambda size: 2.0, max_batch=4, max_wait=1.0).latencies
print(latencies, "as in coursekit:", np.array_equal(latencies, same))

# %% [markdown]
# Now for real numbers. Queueing a request is work for Python, too. In front of a network that hardly needs longer than
# that, a queue cannot pay off. So take one that is worth the trouble: it reads a text of 100 words (64 numbers each), one
# word after the other, always with the same 512 neurons. A language model writes its answers in the same way, token by
# token. The server gets a list of texts, stacks them, and hands out one answer for each. It lives on the CPU, also where
# there is a GPU.

# %%
reader, verdict = nn.RNN(64, 512, batch_first=True).eval(), nn.Linear(512, 2)
texts = list(torch.randn(500, 100, 64))  # 500 texts, 100 words each


def answer(texts):
    with torch.inference_mode():
        states, _ = reader(torch.stack(texts))  # [batch, words, neurons]
        return list(verdict(states[:, -1]))  # what it thinks after the last word


# %% [markdown]
# How long does a batch take? Ask the whole server, not the network alone: `batching.sweep_served` sends full batches, one
# after the other, through the micro-batcher that you will meet below. So the times include Python's work per request.
# Small batches are measured one by one, because kernels work in groups of rows: is there one that takes longer than the
# next larger?

# %% tags=["nbval-ignore-output"]
served_curve = batching.sweep_served(
    answer, texts, name="reading 100 words", after=runtime.progress("15 batches", 15)
)
served_curve

# %% [markdown]
# Now 500 requests arrive at random (a Poisson process), two and a half times as fast as one by one could answer (but at
# most 3,000 per second, for Python's sake). They are answered twice: one by one, and in batches of up to 64 that wait at
# most 10 ms. Your guess: how many times as long is the p99 one by one as in batches?

# %%
exercises.predict("04-batcher-saves", ..., unit="times as long")

# %% [markdown]
# First on paper. The panel simulates 2,000 requests on the curve above, at first twice as many per second as one by one
# could answer. Dashed is what happens one by one: the queue grows as long as requests keep coming. Raise the rate until
# the batches are overloaded as well. Then drag `max wait` at a low rate, and see what waiting for company costs when
# nobody comes.

# %% tags=["answer", "nbval-ignore-output"]
widgets.dynamic_batching(served_curve)

# %% [markdown]
# A simulation knows only what you told it. So build the real thing. Here is the heart of a micro-batcher in `asyncio`.
# Requests gather in `requests`. While the network computes in a thread, the event loop accepts new ones.


# %%
async def work(requests, answer, max_batch, max_wait):
    while True:
        size = batching.flush(len(requests), requests.age, max_batch, max_wait)
        if size == 0:
            await requests.arrival(max_wait - requests.age if len(requests) else None)
            continue
        batch = requests.take(size)
        answers = await asyncio.to_thread(answer, [request.example for request in batch])
        for request, result in zip(batch, answers, strict=True):
            request.future.set_result(result)


# %% [markdown]
# `batching.serve` sends the 500 requests to it, each at its own time, without waiting for the answers of those before.
# Every request is a task of its own, in an event loop that ends with the last answer. The server warms up before it
# opens, because a thread's first call is slow. Each setting meets the same arrivals, once in the simulation and once for
# real.

# %% tags=["answer", "nbval-ignore-output"]
rate = min(2.5 * batching.capacity(served_curve, 1), 3000)
arrivals = batching.arrivals(rate, count=len(texts), seed=4)
load, served = {}, {}


def both(max_batch):
    """Simulate a setting, run it for real, and return the real answers."""
    options = {"max_batch": max_batch, "max_wait": 0.01}
    load[max_batch] = rate / batching.capacity(served_curve, max_batch)  # 1: as many come as can be answered
    print(f"{rate:,.0f} requests per second, max batch {max_batch}: load {load[max_batch]:.2f}")
    served[f"{max_batch}, simulated"] = batching.simulate(arrivals, served_curve, **options)
    with runtime.threads(1):
        served[f"{max_batch}, real"], answers = batching.serve(
            texts, arrivals, answer, worker=work, warm_up=max_batch, **options
        )
    return answers


answers = both(64)

# %% tags=["answer", "nbval-ignore-output"]
for max_batch in runtime.track((1, 2), "max batch 1 and 2"):
    both(max_batch)
print(batching.side_by_side(served))

# %% [markdown]
# **Load** is the requests that come, divided by those that can be answered. Above 1 the queue grows as long as requests
# keep coming: look at the last column. In batches of up to 64 far fewer are in flight than one by one, because they
# leave sooner. (Where batches of 2 keep up as well, they may leave sooner still: one of 2 is full sooner.) But
# first of all: are the answers right?

# %% tags=["answer", "nbval-ignore-output"]
with runtime.threads(1):
    direct = answer(texts[:250]) + answer(texts[250:])
torch.testing.assert_close(torch.stack(answers), torch.stack(direct), rtol=1e-3, atol=1e-4)
print(f"all {len(answers)} answers are those of two direct calls")

# %% jupyter={"source_hidden": true} tags=["answer", "nbval-ignore-output"]
picture, ax = plots.style.axes(
    alt="The share of requests answered within a time, simulated and real, one by one and in batches."
)
plots.batching.answered(ax, served)
picture

# %% tags=["answer", "nbval-ignore-output"]
longer = served["1, real"].p99 / served["64, real"].p99
claims.show("04-batcher-saves", measured=longer if load[64] < 1 < load[1] else None)

# %% tags=["answer", "nbval-ignore-output"]
simulated, real = served["64, simulated"], served["64, real"]
keeps_up = load[64] < 1
claims.table(
    claims.show("04-simulated-p50", measured=real.p50 / simulated.p50 if keeps_up else None),
    claims.show("04-simulated-p99", measured=real.p99 / simulated.p99 if keeps_up else None),
    title="The micro-batcher",
)

# %% [markdown]
# The simulation's times come from full batches that follow each other without a pause, and already include Python's work
# per request. It knows neither timers that wake a little late, nor the work of taking in new requests while a batch is
# computed, nor what else runs on your machine. Now look at the pairs at a load near 1 or above it. Here or next time they
# may lie far apart, although the same curve stands behind both. How can that be? Let the simulation say what it makes of
# a small error: one by one, at loads from 0.3 to 3, with calls that take 10 % longer than it was told.

# %%
loads = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 2.5, 3.0])


def p50(load, seconds, seed):
    arrivals = batching.arrivals(load, count=500, seed=seed)  # one call takes 1 second, as it was told
    return np.median(simulate(arrivals, lambda size: seconds, max_batch=1, max_wait=0))


errors = np.array([[p50(at, 1.1, seed) / p50(at, 1.0, seed) - 1 for seed in range(10)] for at in loads])

# %% jupyter={"source_hidden": true}
middle, low, high = 100 * np.median(errors, axis=1), 100 * errors.min(axis=1), 100 * errors.max(axis=1)
picture, ax = plots.style.axes(
    height=3.2,
    alt="By how many per cent the simulated median grows with slightly longer calls, against the load.",
)
plots.comparison.lines(
    ax,
    loads,
    {"p50": middle},
    {"p50": (low, high)},
    x_label="load (requests that come / that can be answered)",
    y_label="p50 longer by (%)",
    title=f"10 % longer calls: p50 up to {middle.max():.0f} % longer, at load {loads[middle.argmax()]:g}",
)
picture

# %% [markdown]
# Far below capacity 10 % stay 10 %. Around a load of 1 they become the whole result, and above it they stay enlarged: who
# waits in a growing queue waits for the *difference* between the time that answering takes and the time in which
# requests come. So trust a simulated latency where the server keeps up with room to spare, and near capacity believe
# only the verdict: the queue grows, or it does not.
#
# Most comparisons of this notebook are curves to look at. Six were planned: one call against 1,000, the best batch against
# batch 1, the two sayings, batches against one by one, and real against simulated in batches of up to 64.
#
# ## Quiz

# %%
exercises.quiz("04")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("04"))

# %% tags=["nbval-ignore-output"]
exercises.progress("04")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. A call costs $a + b \cdot B$. Batching shares the overhead $a$; half of the highest throughput comes at $B = a/b$.
# 2. Throughput stops growing and latency does not. Choose the batch by a latency budget, not by throughput alone.
# 3. Intensity below the ridge: memory sets the limit. Above it: arithmetic does. A layer may stay far below either.
# 4. Decoding one token reads every weight for two operations, so a single chat is memory-bound and a batch is cheap.
# 5. A micro-batcher trades a short wait for throughput. Near capacity a small error of a call's time is the whole queue.
#
# ## Where to go next
#
# Notebook 05 makes the bytes fewer: 8-bit weights, in one line and by hand. Notebook 02 tells what a batch of chats
# keeps in memory.
