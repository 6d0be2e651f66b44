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
# # 03 Profiling basics
#
# "My code is slow" is like "I spent too much money": true, and no help. What you need is the receipt, item by item.
# After this notebook you can
#
# - time a function so that you would bet on the result,
# - find the function, the line and the operator that the time goes into, and the step that takes the memory,
# - prove that a fix is faster and still gives the same answers,
# - say how much there is to gain before you start,
# - tell whether a computation waits for arithmetic or for memory.
#
# Time: about 75 minutes with the exercises, 20 minutes as a demonstration. It needs no other notebook, only functions
# and arrays. It does not cover profilers of a GPU beyond their first table, nor how to write faster code in another
# language.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q "{{install}}" fastapi httpx line_profiler uvicorn
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import cProfile
import os
import pickle
import pstats
import time
import tracemalloc
from contextlib import asynccontextmanager, contextmanager
from statistics import median

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from coursekit import claims, data, exercises, launches, models, plots, profiles
from coursekit import serving, timing, widgets

runtime.start()

# %% [markdown]
# ## 1. How slow is the spam filter?
#
# The story: a spam filter works, it runs behind a web address, and users complain: in the lecture, each request takes
# seconds. Before you can find out why, you need the patient in front of you. So build all of it, for real.
#
# First an archive of messages, as a CSV file in a temporary folder. It is written here and now, and removed again
# when this notebook's kernel ends.

# %%
archive = data.archive()
archive

# %% [markdown]
# Then the model. **TF-IDF** turns a message into numbers, one per word, and **logistic regression** weighs them. The
# trained model goes into a file beside the archive, as a *pickle*. (Never load a pickle from people you do not trust:
# loading can run any code.)

# %%
first = pd.read_csv(archive.csv, nrows=6000)
pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
pipeline.fit(first.text[:5000], first.label[:5000])
(archive.folder / "model.pkl").write_bytes(pickle.dumps(pipeline))

right = pipeline.score(first.text[5000:], first.label[5000:])
print(f"{len(pipeline[0].vocabulary_):,} different words, {right:.1%} of the next 1,000 messages right")

# %% [markdown]
# Are you pleased with that? Be suspicious first: so good a score says more about the data than about the model. Which
# words are these? What does a rule get right that knows nothing but the first word of a message? And how many of the
# new messages has the model seen before, but for their number?

# %%
vocabulary = pipeline[0].vocabulary_
serial = sum(word.isdigit() for word in vocabulary)
print(f"{serial:,} of the {len(vocabulary):,} words are serial numbers, {len(vocabulary) - serial} are words")

seen, new = first[:5000], first[5000:]
usual = seen.label.groupby(seen.text.str.split().str[0]).mean().round()  # first word -> its usual label
by_rule = (new.text.str.split().str[0].map(usual) == new.label).mean()
print(f"{len(usual)} different first words; they alone get {by_rule:.1%} of the new messages right")

unnumbered = first.text.str.replace(r"\d+", "", regex=True)
print(
    f"{unnumbered[5000:].isin(unnumbered[:5000]).mean():.0%} of the new messages are old ones with a new number"
)

# %% [markdown]
# The messages are made from eight templates, and the first word of each gives the label away. Hardly any new message is
# new. So this score says nothing about spam, and a real filter would have to be tested on mail that it has not seen. For
# a notebook about time that does no harm: the work per message is the same. But make it your first habit. Before you
# believe a score, look at what the data give away.
#
# Now the code that answers a request. It loads the archive, because the answer says how many messages there are, and
# it loads the model, because how else could it predict? Two stopwatches note what each half takes.


# %%
def load():
    messages = len(pd.read_csv(archive.csv))
    model = pickle.loads((archive.folder / "model.pkl").read_bytes())
    return model, messages


def predict(model, text):
    return float(model.predict_proba([text])[0, 1])


def answer_slowly(text):
    start = time.perf_counter()
    model, messages = load()
    loaded = time.perf_counter()
    spam = predict(model, text)
    done = time.perf_counter()
    return {"spam": spam, "messages": messages, "loading": loaded - start, "predicting": done - loaded}


# %% [markdown]
# The web part is **FastAPI**. A function behind a web address is called a *handler*. This one also reports how long
# it worked.


# %%
from fastapi import FastAPI
from pydantic import BaseModel


class Message(BaseModel):
    text: str


def handle(answer, text):
    start = time.perf_counter()
    result = answer(text)
    return {**result, "handler": time.perf_counter() - start}


slow_app = FastAPI()


@slow_app.post("/slow")
def slow(message: Message):
    return handle(answer_slowly, message.text)


# %% [markdown]
# `serving.serve` runs the application on a web server (**uvicorn**), inside this notebook and for this machine only,
# until the `with` block ends. `server.client()` is an `httpx` client, the other end of the line.


# %%
def call(client, path, text):
    """Return the answer, with the seconds that the client waited for it."""
    start = time.perf_counter()
    answer = client.post(path, json={"text": text}).raise_for_status().json()
    return {**answer, "client": time.perf_counter() - start}


text = "Win a phone now, reply YES to claim before Friday"
with serving.serve(slow_app) as server, server.client() as client:
    answer = call(client, "/slow", text)

# %% tags=["nbval-ignore-output"]
print(f"probably spam: {answer['spam']:.1%}; the client waited {1000 * answer['client']:,.0f} ms")
claims.show("03-request", measured=answer["client"])

# %% [markdown]
# Whatever the clock says here, for one short message it is far too much. What would you do? A smaller model, a faster
# machine, a quantized classifier? Write down your guess first: if the handler loaded everything once, at its start, how
# many times as fast would it be?

# %%
exercises.predict("03-load-once", ..., unit="×")

# %% [markdown]
# ## 2. How often do you have to measure?
#
# The stopwatch is the simplest profiler: note the time, do the work, note the time again. Take the prediction alone:

# %% tags=["nbval-ignore-output"]
start = time.perf_counter()
predict(pipeline, text)
print(f"{1000 * (time.perf_counter() - start):.3f} ms")

# %% [markdown]
# Run that cell again, a few times. The number changes each time. So which one is the truth? Look at 30 runs:


# %%
def stopwatch(fn):
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


# %% tags=["nbval-ignore-output"]
thirty = [stopwatch(lambda: predict(pipeline, text)) for _ in range(30)]
picture, ax = plots.style.axes(
    height=3, alt="Thirty runs of the same call as dots, with their median and their mean."
)
plots.profiles.runs(ax, thirty)
picture

# %% tags=["nbval-ignore-output"]
claims.show("03-one-run", measured=max(thirty) / min(thirty))

# %% [markdown]
# The work is the same in every run. What differs is everything else: other programs, the operating system, caches that
# are still cold. Almost all of it makes a run *slower*, hardly anything makes it faster. So most dots lie near the
# quickest one, some stray upwards, and a few strays pull the **mean** up. The **median**, the run in the middle, does
# not care.
#
# Jupyter's `%timeit` averages many runs for you:

# %% tags=["nbval-ignore-output"]
# %timeit -n 50 -r 5 predict(pipeline, text)

# %% [markdown]
# Its "mean ± standard deviation" is honest about noise, but it still is a mean. `timing.measure` warms up, takes many
# short samples, and gives the median with the width of the middle half (IQR). If that is too wide, it says so.

# %% tags=["nbval-ignore-output"]
timing.measure(lambda: predict(pipeline, text), name="predict")

# %% [markdown]
# How many runs are enough? Drag: with few runs the median jumps, with more it jumps less. Does it come to rest? The title
# says from which run on, or why it does not: while you measure, the machine itself may change. Then ask for more
# precision. And press *Measure again*: does a second series look the same?


# %%
def many_runs(progress=lambda share: None, count=200):
    found = []
    for done in range(count):
        found.append(stopwatch(lambda: predict(pipeline, text)))
        progress((done + 1) / count)
    return found


# %% tags=["nbval-ignore-output"]
widgets.noise(many_runs(), measure=many_runs)

# %% [markdown]
# There is no magic number of runs. Take samples until the answer to *your* question stops moving. If one program takes a
# thousand times as long as the other, one run is plenty. To tell a few per cent apart, dozens may be too few.
#
# ## 3. Which function takes the time?
#
# Back to the slow handler. **cProfile** writes the receipt: it notes every call of every function, and how long it took.
# `cumtime` is the time in a function with everything it calls, `tottime` without. (Files with a number for a name are the
# cells of this notebook.)


# %%
def receipt(fn, *args, by="cumulative", rows=10):
    profile = profiles.Profile()  # cProfile's, of this thread only: since Python 3.12 it mixes all up
    profile.runcall(fn, *args)
    pstats.Stats(profile).strip_dirs().sort_stats(by).print_stats(rows)
    return profile


# %% tags=["nbval-ignore-output"]
profile = receipt(answer_slowly, text)

# %% [markdown]
# The same as a picture. Read it from the top: below each function stands what it calls, as wide as the time it takes.

# %% tags=["nbval-ignore-output"]
calls = profiles.tree(profile, answer_slowly)
reading = 100 * calls.find("read_csv").seconds / calls.seconds
picture, ax = plots.style.axes(
    alt="The calls of the slow handler as boxes below each other, each as wide as its share of the time."
)
plots.profiles.icicle(ax, calls, title=f"{reading:.0f} % of the time goes into read_csv")
picture

# %% tags=["nbval-ignore-output"]
claims.show("03-receipt", measured=reading)

# %% [markdown]
# The prediction is too thin to be seen. The handler reads the archive, all of it, for one number that never changes.
# What pandas does inside may look odd: recent versions give the pieces of the file to several threads and wait, and
# this receipt is that of one thread. Trust the boxes down to `read_csv`.
#
# The repair is to load once. FastAPI calls the *lifespan* function when the server starts, so that is the place:


# %%
@asynccontextmanager
async def load_once(app):
    app.state.model, app.state.messages = load()
    yield


app = FastAPI(lifespan=load_once)
app.post("/slow")(slow)


def answer_fast(text):
    return {"spam": predict(app.state.model, text), "messages": app.state.messages}


@app.post("/fast")
def fast(message: Message):
    return handle(answer_fast, message.text)


# %% [markdown]
# A fix is only a fix if the answers stay the same. Call both, and compare:

# %%
with serving.serve(app) as server, server.client() as client:
    print("the server is up, and has loaded once")
    slow_answers = [call(client, "/slow", text) for _ in range(3)]
    print("three slow requests are through")
    fast_answers = [call(client, "/fast", text) for _ in range(50)]

kinds = {(answer["spam"], answer["messages"]) for answer in slow_answers + fast_answers}
print(f"{len(kinds)} different answer in {len(slow_answers)} slow and {len(fast_answers)} fast requests")
assert len(kinds) == 1

# %% tags=["answer", "nbval-ignore-output"]
ratio = {}
for place in ("handler", "client"):
    slow_time, fast_time = (median(a[place] for a in answers) for answers in (slow_answers, fast_answers))
    ratio[place] = slow_time / fast_time
    print(f"{place:8} {1000 * slow_time:8.1f} ms and {1000 * fast_time:6.2f} ms: {ratio[place]:7,.0f}×")
claims.show("03-load-once", measured=ratio["handler"])

# %% [markdown]
# Two lines moved. The client gains less than the handler: it also pays for the way there and back, and the repair does
# not touch that. Remember this for section 6. Here are both receipts. Mind the axes: each has its own, and a profiler
# makes many small calls look slower than they are.

# %% jupyter={"source_hidden": true} tags=["answer", "nbval-ignore-output"]
answer_fast(text)  # the first call warms up
after = profiles.Profile()
after.runcall(answer_fast, text)
picture, axes = plots.style.axes(
    2, 1, height=5.2, alt="The calls of a request before the repair, and after it, as boxes below each other."
)
plots.profiles.repair(axes, calls, profiles.tree(after, answer_fast))
picture

# %% [markdown]
# Is the first receipt complete? Two stopwatches in the slow handler timed loading and predicting, a third one, around it,
# timed the whole. If the parts add up, nothing is hidden, and the gain in the handler is (loading + predicting) /
# predicting. Then redo the lecture's sum with the lecture's own numbers: 1.8 s for the CSV, 0.6 s for the pickle and
# 0.001 s for the prediction.

# %% tags=["answer", "nbval-ignore-output"]
parts = [(answer["loading"] + answer["predicting"]) / answer["handler"] for answer in slow_answers]
claims.table(
    claims.show("03-adds-up", measured=100 * median(parts)),
    claims.show("03-lectures-ratio", measured=round((1.8 + 0.6 + 0.001) / 0.001)),
    title="The receipt's sums",
)

# %% [markdown]
# ## 4. Which line takes the time, and which step the memory?
#
# At night the spam filter goes through whole mailboxes. This loop does it, message by message:


# %%
def classify_each(model, texts):
    answers = []
    for text in texts:
        counts = model[0].transform([text])
        answer = model[1].predict(counts)
        answers.append(int(answer[0]))
    return answers


texts = first.text[:200].tolist()
print(f"{sum(classify_each(pipeline, texts))} of {len(texts)} are spam")

# %% [markdown]
# You know the function. **line_profiler** tells you the line. Its magic `%lprun` opens a window that vanishes with the
# session, so take its numbers and keep them as a table:

# %% tags=["nbval-ignore-output"]
import line_profiler

profiler = line_profiler.LineProfiler(classify_each)
profiler.runcall(classify_each, pipeline, texts)
line_times = profiles.lines(profiler, classify_each)
line_times

# %% tags=["nbval-ignore-output"]
claims.show("03-slow-line", measured=100 * line_times.share("transform"))

# %% [markdown]
# Look at the lines that call the model. They do little work per call: for a dozen words, scikit-learn checks its input,
# builds a sparse matrix and checks it again. The cure is to pay these fixed costs once, for all messages together. That
# is called **vectorising**. (line_profiler slows down what it watches: trust its shares more than its milliseconds.
# Section 5 measures the price.) How many times as fast do 200 messages get?

# %%
exercises.predict("03-vectorise", ..., unit="×")


# %%
def classify_all(model, texts):
    counts = model[0].transform(texts)
    return model[1].predict(counts).tolist()


assert classify_all(pipeline, texts) == classify_each(pipeline, texts)

# %% tags=["answer", "nbval-ignore-output"]
loop_and_batch = timing.compare(
    {"each": lambda: classify_each(pipeline, texts), "all": lambda: classify_all(pipeline, texts)},
    baseline="each",
    after=runtime.progress("each against all", 10),
)
loop_and_batch

# %% tags=["answer", "nbval-ignore-output"]
claims.show("03-vectorise", measured=loop_and_batch.ratio("all"))

# %% [markdown]
# **Memory** has its receipt, too. `tracemalloc` counts the bytes that Python and NumPy have allocated since its start: those
# that are kept, and the peak. (PyTorch's tensors it does not see.)


# %%
@contextmanager
def tracing():
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def allocated(make):
    """Return what make() returns, and the bytes that it kept and needed at its peak."""
    with tracing():
        result = make()
        return result, *tracemalloc.get_traced_memory()


# %% [markdown]
# Counting is slow, so take a piece of the archive. Three innocent lines prepare its messages:

# %% tags=["nbval-ignore-output"]
rows = 20_000
on_disk = archive.nbytes * rows / archive.rows
table, table_bytes, _ = allocated(lambda: pd.read_csv(archive.csv, nrows=rows))
lower, lower_bytes, _ = allocated(lambda: [text.lower() for text in table.text])
words, words_bytes, _ = allocated(lambda: [text.split() for text in lower])

# %% [markdown]
# On disk these messages are one text. What do the three steps keep of it?

# %% tags=["nbval-ignore-output"]
sizes = {"on disk": on_disk, "table": table_bytes, "lower case": lower_bytes, "split into words": words_bytes}
copies = (table_bytes + lower_bytes + words_bytes) / on_disk
picture, ax = plots.style.axes(
    height=2.2, alt="Bytes on disk, and bytes kept by each of three steps, as bars."
)
plots.comparison.bars(
    ax,
    list(sizes),
    [n / 1e6 for n in sizes.values()],
    unit="memory (MB)",
    title=f"The steps keep {copies:.1f} bytes for each byte on disk",
)
picture

# %% tags=["nbval-ignore-output"]
claims.show("03-copies", measured=copies)

# %% [markdown]
# Who needs all the words at once? To count them, one message at a time is enough. The same answer, and look at the peak:

# %% tags=["nbval-ignore-output"]
count, _, peak = allocated(lambda: sum(len(text.lower().split()) for text in table.text))
assert count == sum(len(message) for message in words)
print(f"{count:,} words, peak {peak / 1e3:.1f} kB instead of {(lower_bytes + words_bytes) / 1e6:.1f} MB")

# %% [markdown]
# Notebook 02 has the other cures: smaller number formats, and files that are not loaded at all.
#
# ## 5. What do PyTorch and the GPU do?
#
# For cProfile, a call into PyTorch is one opaque block. **torch.profiler** looks inside and lists the operators.

# %% tags=["nbval-ignore-output"]
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler writes its diary below the cell
device = runtime.device()
network = models.mlp((64, 512, 512, 10)).to(device)
pictures = torch.from_numpy(data.digits().test.x).to(device)

activity = torch.profiler.ProfilerActivity
activities = [activity.CPU, activity.CUDA] if device.type == "cuda" else [activity.CPU]
with runtime.threads(1), torch.inference_mode(), torch.profiler.profile(activities=activities) as watched:
    for _ in range(20):
        network(pictures)
operators = profiles.operators(watched, most=6)
operators

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
place = "GPU" if operators.on_gpu else "CPU"
own = {row.name: 1000 * (row.gpu if operators.on_gpu else row.cpu) for row in operators.rows}
picture, ax = plots.style.axes(height=2.8, alt="The operators' own time as bars, the longest on top.")
plots.comparison.bars(
    ax,
    list(own),
    list(own.values()),
    unit=f"own time on the {place} (ms)",
    title=f"{max(own, key=own.get)} takes the most",
)
picture

# %% [markdown]
# `addmm` is a product of two matrices with the bias added: that is where a network's arithmetic is.
#
# **The GPU's trap.** A GPU works behind the CPU's back. PyTorch puts the work into a queue, and the call *returns at once*,
# long before the result is there. A stopwatch that does not wait, cProfile included, times the queueing:


# %%
def launch_and_finish(a, b):
    torch.cuda.synchronize()  # wait until the queue is empty
    start = time.perf_counter()
    torch.mm(a, b)
    launched = time.perf_counter() - start
    torch.cuda.synchronize()  # wait until the product is there
    return launched, time.perf_counter() - start


# %%
def gpu_trap():
    if device.type != "cuda":
        return launches.recorded()
    a, b = (torch.rand(4096, 4096, device=device) for _ in range(2))
    times = [launch_and_finish(a, b) for _ in range(25)][5:]  # the first ones warm up
    return launches.Launches.of(times, size=4096, machine=runtime.describe().label)


trap = gpu_trap()
trap or print("No GPU here, and none was recorded: this cell has nothing to show.")

# %% [markdown]
# Where there is a table above, its first row is what a careless stopwatch reports. Add the wait, or leave it to
# `timing.measure`, which waits for the GPU by itself. Without a GPU there is no trap: on the CPU, a call returns when its
# result is there.

# %% tags=["nbval-ignore-output"]
claims.show("03-asynchronous", measured=trap.ratio) if device.type == "cuda" else None

# %% [markdown]
# **What does looking cost?** Every profiler does extra work for each call, line, operator or allocation, so it slows the
# program down. Run one function under each of them, and see which one costs most.


# %%
def one_by_one(network, pictures):
    digits = []
    for picture in pictures:
        logits = network(picture)
        digits.append(int(logits.argmax()))
    return digits


small, few = models.mlp((64, 128, 10)), torch.from_numpy(data.digits().test.x[:100])


def under(profiler):
    """Return a function that runs one_by_one inside the block of a profiler."""

    def run():
        with profiler():
            one_by_one(small, few)

    return run


# %% tags=["nbval-ignore-output"]
lines = line_profiler.LineProfiler(one_by_one)
profilers = {
    "cProfile": under(cProfile.Profile),
    "line_profiler": lambda: lines.runcall(one_by_one, small, few),
    "tracemalloc": under(tracing),
    "torch.profiler": under(lambda: torch.profiler.profile(activities=[activity.CPU])),
}
price = timing.compare(
    {"none": lambda: one_by_one(small, few), **profilers},
    baseline="none",
    max_time=1,
    threads=1,
    after=runtime.progress("four profilers", 10),
)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
ratios = [price.ratio(name) for name in profilers]
slower = np.array([[1 / r.value, 1 / r.high, 1 / r.low] for r in ratios]).T
most = int(slower[0].argmax())
picture, ax = plots.style.axes(
    height=2.4, alt="How many times as long the function takes under each of four profilers."
)
plots.comparison.dots_with_interval(
    ax,
    list(profilers),
    *slower,
    unit="times as long as without a profiler",
    title=f"{list(profilers)[most]}: {slower[0][most]:.1f} times as long as without a profiler",
    reference=1,
)
picture

# %% tags=["nbval-ignore-output"]
claims.show("03-overhead", measured=price.verdict("cProfile"))

# %% [markdown]
# A profiler charges per event. A function with many tiny calls pays a lot, one big matrix product next to nothing. So a
# profile exaggerates small functions, and after a repair you measure again *without* the profiler. The lecture compares it
# with an X-ray: switch it on, diagnose, switch it off.
#
# ## 6. How much is there to gain?
#
# **Chef or waiter?** In a kitchen, either the chef is too slow (*compute-bound*) or the waiter brings the ingredients too
# slowly (*memory-bound*). A faster chef does not help where everyone waits for carrots. Three operations of neural
# networks, on one thread: how many numbers do they move, and how much do they calculate with them?

# %%
n, m = 4_000_000, 1024
a, b, out = torch.rand(n), torch.rand(n), torch.empty(n)
matrix, vector = torch.rand(4096, 2048), torch.rand(2048)
left, right = torch.rand(m, m), torch.rand(m, m)
kitchen = {  # what to do, bytes that have to move, additions and multiplications
    "vector + vector": (lambda: torch.add(a, b, out=out), 4 * 3 * n, n),
    "matrix × vector": (lambda: torch.mv(matrix, vector), 4 * matrix.numel(), 2 * matrix.numel()),
    "matrix × matrix": (lambda: torch.mm(left, right), 4 * 3 * m**2, 2 * m**3),
}

# %% tags=["nbval-ignore-output"]
speed = {}
print("                   time      GB/s   GFLOP/s   FLOP per byte")
for name, (fn, moved, flops) in kitchen.items():
    seconds = timing.measure(fn, threads=1, min_time=0.1).median
    speed[name] = flops / seconds / 1e9
    print(
        f"{name} {1e3 * seconds:6.2f} ms {moved / seconds / 1e9:8.1f} {speed[name]:9.1f} {flops / moved:15.2f}"
    )

# %% [markdown]
# Look at the last two rows. Both multiply with a matrix. The third uses every number a thousand times while it is at
# hand, so the chef can be busy. The first two do at most half an operation per byte: however fast the chef, the waiter
# sets the limit. (If row 2 carries fewer GB/s than row 1, its routine does
# not even keep the waiter busy: memory sets the upper limit, not always the speed.) A language model that writes one
# word at a time does what row 2 does: each weight is fetched for a single multiplication and addition. In 16 bits:

# %% tags=["nbval-ignore-output"]
rows, columns = 4096, 4096
claims.table(
    claims.show("03-intensity", measured=2 * rows * columns / (2 * (rows * columns + rows + columns))),
    claims.show("03-waiter", measured=speed["matrix × matrix"] / speed["matrix × vector"]),
    title="Chef or waiter",
)

# %% [markdown]
# So smaller numbers can make such a model faster: there is less to carry. Notebook 04 draws the whole picture, the
# *roofline*.
#
# **Amdahl's law.** The other question before you start: how much can it help? If a part takes the share $p$ of the time
# and becomes $s$ times as fast, the whole becomes $1 / (1 - p + p/s)$ times as fast. In the slow request, the part is
# loading. The rest is what a fast request takes, the way there and back included, so the limit lies below the ratio of
# the handlers alone. Drag how many times as fast loading becomes:

# %% tags=["nbval-ignore-output"]
loading = median(answer["loading"] for answer in slow_answers)
rest = median(answer["client"] for answer in fast_answers)
share = round(loading / (loading + rest), 4)
print(
    f"loading {1000 * loading:.0f} ms, the rest {1000 * rest:.1f} ms: at most {profiles.amdahl(share, np.inf):,.0f}×"
)
widgets.amdahl(share=min(100 * share, 99.9), factor=20)

# %% [markdown]
# The curve bends and never crosses the dashed line. Loading 20 times as fast, with better files and clever tricks, would
# be a lot of work and still far from the limit. Not loading at all reaches it, and it took two lines. And now? Take the
# receipt again: another part is the largest, and loading is no longer worth a thought.
#
# **Exercise 1.** A receipt is a dict of parts and their seconds. Write a function that returns how many times as fast the
# whole gets if one part vanishes altogether.

# %% tags=["exercise"]
receipt_of_a_request = {"read CSV": 1.8, "load pickle": 0.6, "predict": 0.001}


def speedup_without(seconds, part):
    # solution
    total = sum(seconds.values())
    return total / (total - seconds[part])
    # end solution


exercises.check("03-without", speedup_without)

# %% [markdown]
# ## 7. Can you solve three mysteries?
#
# Three small programs, each with another bottleneck. For each: take the receipt, name the function whose **own** work
# takes the time (or that calls Python's built-in functions which do), and write a faster version with the same arguments
# and the same answers. At least ten times as fast is possible everywhere. Guessing is allowed, proving is better:
# `receipt(fn, *arguments, by="tottime")` is at your service.
#
# **Mystery 1.** How many words of each message are unknown?


# %%
(archive.folder / "known.txt").write_text("\n".join(pipeline[0].vocabulary_))


def known_words():
    return set((archive.folder / "known.txt").read_text().split())


def unknown(text, read):
    known = read()
    return sum(word not in known for word in text.lower().split())


def mystery_1(texts, read):
    return [unknown(text, read) for text in texts]


letters = first.text[5000:5300].tolist()

# %% [markdown]
# **Exercise 2.** Take the receipt of `mystery_1(letters, known_words)`. Then write the name of the function and the faster
# program. It gets `read` as an argument, too.

# %% tags=["exercise"]
slow_part_1 = ...  # the name of a function, as text


def faster_1(texts, read):
    # solution
    known = read()
    return [sum(word not in known for word in text.lower().split()) for text in texts]
    # end solution


# solution
slow_part_1 = "known_words"
# end solution
exercises.check("03-mystery-1", (slow_part_1, faster_1))

# %% [markdown]
# **Mystery 2.** Some messages arrive twice. How many characters are left to store if each is kept once?


# %%
def drop_repeats(texts):
    kept = []
    for text in texts:
        if text not in kept:
            kept.append(text)
    return kept


def characters(texts):
    return sum(len(text) for text in texts)


def mystery_2(texts):
    return characters(drop_repeats(texts))


inbox = first.text[:4000].tolist() + first.text[:500].tolist()

# %% [markdown]
# **Exercise 3.** Take the receipt of `mystery_2(inbox)`, name the function, write the faster program.

# %% tags=["exercise"]
slow_part_2 = ...  # the name of a function, as text


def faster_2(texts):
    # solution
    return characters(set(texts))  # a set finds a message without looking at all the others
    # end solution


# solution
slow_part_2 = "drop_repeats"
# end solution
exercises.check("03-mystery-2", (slow_part_2, faster_2))

# %% [markdown]
# **Mystery 3.** Which of ten average digits is nearest to each picture? Pictures are rows of 64 numbers.


# %%
def distance(one, other):
    total = 0.0
    for a, b in zip(one, other, strict=True):
        total += (a - b) ** 2
    return total


def nearest(picture, centres):
    distances = [distance(picture, centre) for centre in centres]
    return distances.index(min(distances))


def mystery_3(pictures, centres):
    return [nearest(picture, centres) for picture in pictures]


train, some = data.digits().train, data.digits().test.x[:150]
centres = np.stack([train.x[train.y == digit].mean(axis=0) for digit in np.unique(train.y)])  # [10, 64]

# %% [markdown]
# **Exercise 4.** Take the receipt of `mystery_3(some, centres)`, name the function, write the faster program.

# %% tags=["exercise"]
slow_part_3 = ...  # the name of a function, as text


def faster_3(pictures, centres):
    # solution
    differences = pictures[:, None, :] - centres[None, :, :]  # [pictures, centres, 64]
    return (differences**2).sum(axis=2).argmin(axis=1)
    # end solution


# solution
slow_part_3 = "distance"
# end solution
exercises.check("03-mystery-3", (slow_part_3, faster_3))

# %% [markdown]
# The proof: same answers, and how many times as fast, without a profiler.


# %%
def prove(before, after, *given):
    if after(*given) is None:
        return "not solved yet"
    assert np.array_equal(before(*given), after(*given)), "the answers differ"
    old = median(stopwatch(lambda: before(*given)) for _ in range(3))
    new = median(stopwatch(lambda: after(*given)) for _ in range(3))
    return f"the same answers, {old / new:,.0f} times as fast"


# %% tags=["nbval-ignore-output"]
print("mystery 1:", prove(mystery_1, faster_1, letters, known_words))
print("mystery 2:", prove(mystery_2, faster_2, inbox))
print("mystery 3:", prove(mystery_3, faster_3, some, centres))

# %% [markdown]
# Loading again and again, searching a list, calculating in Python number by number: most slow programs that you will meet
# are one of these three.
#
# The archive has served its purpose. It goes when this notebook's kernel goes, with the pickle.

# %% [markdown]
# Times were compared eleven times: load once (in the handler and at the client), all against each, four profilers
# against none, two kinds of product, and the three mysteries, once solved. All were planned; where several stand side by
# side, as with the profilers, each interval is for its own pair.
#
# ## Quiz

# %%
exercises.quiz("03")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("03"))

# %% tags=["nbval-ignore-output"]
exercises.progress("03")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. Profile, find the bottleneck, repair it, prove it: same answers, then a new measurement.
# 2. One run is an anecdote. Take the median of as many runs as your question needs.
# 3. Function: cProfile. Line: line_profiler. Memory: tracemalloc. Operator: torch.profiler. Each costs time itself.
# 4. Load once, vectorise, use the right data structure. On a GPU, wait before you stop the clock.
# 5. Amdahl: the share of a part limits what its repair can bring.
#
# And the habit from section 1: look at what the data give away before you believe a score.
#
# ## Where to go next
#
# Notebook 04 vectorises on purpose: it collects requests into batches and asks how large a batch should be. Notebook 05
# makes the numbers smaller that the waiter has to carry.
