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
# A language model is asked one question over and over: which token comes next? Everything else follows from how it answers.
# After this notebook you can
#
# - turn a model's logits into shares, at any temperature,
# - say how good its shares are: loss, perplexity, bits per character,
# - compare models whose tokens differ.
#
# Time: about 20 minutes with the exercises, 5 minutes as a demonstration. It needs [notebook
# 01](../01-floating-point-basics.ipynb) and no model yet: the logits here are made by hand, so that you can check every step.
# What it does not cover is how such logits come about.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q safetensors tokenizers "{{install}}"
    pass

import math

import numpy as np
import torch

from coursekit import claims, exercises, plots, runtime, widgets

runtime.start()

# %% [markdown]
# ## 1. What does a language model answer?
#
# One number for every token of its vocabulary, a logit: the larger, the likelier. Take a vocabulary of five, and what a model
# might answer to "The cat sat on the". Only differences count, so raise e to each logit and divide by the sum:

# %%
tokens = ["mat", "sofa", "roof", "moon", "idea"]
logits = torch.tensor([3.0, 2.0, 1.5, 0.0, -2.0])
by_hand = torch.exp(logits) / torch.exp(logits).sum()
assert torch.allclose(by_hand, torch.softmax(logits, dim=0))
for token, share in zip(tokens, by_hand, strict=True):
    print(f"{token:5} {100 * share:5.1f} %")

# %% [markdown]
# These are shares: none is negative and their sum is 1. To write a text, the model draws a token by its share, appends it, and is
# asked again.
#
# ## 2. What does the temperature change?
#
# Divide all logits by a temperature before the exponential. Below 1 the first choice gains, above 1 the others do.
#
# **Exercise 1.** Write `shares(logits, temperature)`, which returns the shares of all tokens.


# %% tags=["exercise"]
def shares(logits, temperature):
    # solution
    return torch.softmax(torch.as_tensor(logits) / temperature, dim=0)
    # end solution


exercises.check("A-shares", shares)

# %% [markdown]
# Drag the temperature and watch the order of the five, and their distances:


# %% jupyter={"source_hidden": true}
def at_temperature(ax, temperature=1.0):
    """The shares of the five tokens, one bar each, at the chosen temperature."""
    percent = 100 * torch.softmax(logits / temperature, dim=0)
    plots.comparison.bars(
        ax, tokens, percent.numpy(), unit="share (%)", title=f"Shares at temperature {temperature:g}"
    )
    ax.set_xlim(0, 115)


widgets.explore(at_temperature, temperature=(0.25, 4.0, 0.25))

# %% [markdown]
# The order never changes, for dividing by a positive number keeps it. What changes is how sure the model seems to be.
#
# ## 3. How good are its guesses?
#
# Judge a model by the share it gave to the token that really came. The loss is the mean of −log(share) over a text, and its
# exponential is the perplexity. Guess: what is the perplexity of a model that gives each of our five tokens the same share?

# %%
exercises.predict("A-uniform", ..., unit="tokens")  # put your guess in place of the dots

# %% tags=["answer"]
equal, came = torch.zeros(100, 5), torch.arange(100) % 5
loss = torch.nn.functional.cross_entropy(equal, came).item()
claims.show("A-uniform", measured=round(math.exp(loss), 4))

# %% [markdown]
# So a perplexity reads as a number of tokens: the model hesitates as if it had to choose among that many, all alike. The panel
# turns it round, for a model that gives every right token the same share:

# %% jupyter={"source_hidden": true}
percents = np.arange(1, 101)


def against_share(ax, share=50):
    """Perplexity against the share of the right token, falling, with a dot at the chosen share."""
    ax.plot(percents, 100 / percents, label="perplexity")
    ax.plot([share], [100 / share], "o")
    ax.set(yscale="log", xlabel="share of the right token (%)", ylabel="perplexity (tokens)")
    ax.set_title(f"A share of {share} % is a perplexity of {100 / share:.3g}")


widgets.explore(against_share, share=(1, 100))

# %% [markdown]
# **Exercise 2.** Write `perplexity(logits, tokens)` for a whole text: `logits` is [n, vocabulary], `tokens` holds the n tokens that
# really came, as numbers.


# %% tags=["exercise"]
def perplexity(logits, tokens):
    # solution
    loss = torch.nn.functional.cross_entropy(torch.as_tensor(logits), torch.as_tensor(tokens))
    return math.exp(loss)
    # end solution


exercises.check("A-perplexity", perplexity)

# %% [markdown]
# ## 4. How do you compare models with other tokens?
#
# A perplexity counts per token, and models cut the same text into different tokens. What they share is the text: so count bits, and
# divide by its characters. The loss above is in nats; a bit is log(2) of them.
#
# **Exercise 3.** A text of 900 characters is 300 tokens long, and the model's loss is 2.8 nats per token. How many bits per character
# is that?

# %% tags=["exercise"]
bits = ...
# solution
bits = 300 * 2.8 / math.log(2) / 900
# end solution
exercises.check("A-bits", bits)

# %% [markdown]
# **Your turn.** Put your own logits and tokens in the first cell and run all again.
#
# ## Quiz

# %%
exercises.quiz("A")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("A"))

# %% [markdown]
# ## What you should remember
#
# 1. A model answers with logits, one per token; softmax makes shares of them.
# 2. A temperature changes how sure the shares are, never their order.
# 3. Perplexity = e to the mean −log(share) of what really came: as many tokens as the model hesitates among.
# 4. Models with other tokens are compared in bits per character.
#
# ## Where to go next
#
# [Notebook 02](../02-parameter-count-and-memory.ipynb) counts what such a model weighs, and what it keeps for every token.
