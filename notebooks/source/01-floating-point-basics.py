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
# # 01 Floating-point basics
#
# A model is a bag of numbers, and every number is a row of bits. After this notebook you can
#
# - say what is stored when you write `0.1`, and how to ask whether two floats are equal,
# - encode a number by hand and read one back from its bits,
# - choose a format by what it can and cannot hold,
# - quantize an array in three lines and say how large the error can get.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs Python, a little NumPy, and no
# other notebook. It does not cover how a processor adds floats, nor what rounding does to a whole network (notebook
# 05 does).
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

import math
import struct

import numpy as np

from coursekit import claims, data, exercises, floats, plots, quantization, widgets

runtime.start()

# %% [markdown]
# ## 1. Does 0.1 + 0.2 equal 0.3?
#
# Python's own numbers are `float64`: 64 bits each. Neural networks mostly use `float32`. Before you run the next
# cell, write down what you expect: in how many of the two formats is `0.1 + 0.2 == 0.3` true?
# (You find a cell like this before most measurements. Type your guess and run it: the course keeps it.)

# %%
exercises.predict("01-sum", ...)  # put 0, 1 or 2 in place of the dots

# %% tags=["answer"]
in_float64 = 0.1 + 0.2 == 0.3
in_float32 = np.float32(0.1) + np.float32(0.2) == np.float32(0.3)
print(f"float64: {in_float64}    float32: {in_float32}")

# %% [markdown]
# What comes next is a **card**. It sets what the lecture says, or this notebook, beside what was measured on your
# machine a moment ago. *Accepted* is the range within which the sentence holds. The verdicts:
#
# - ✓ holds · ✎ corrected: the lecture is wrong, and the corrected sentence holds
# - ↑ more than that · ↓ less than that: a figure was said, and yours is another, by the factor shown
# - ? not decided here: the measurement is too noisy, or found nothing · ✗ does not hold here
#
# Where you made a guess, the card says how far off it was.

# %% tags=["answer"]
claims.show("01-sum", measured=int(in_float64) + int(in_float32))

# %% [markdown]
# `float32` is the coarser format, and it says yes. To see why, look at what is really stored. No binary fraction is
# exactly 0.1, just as no decimal fraction is exactly 1/3. So the computer stores the nearest number it has.

# %% tags=["answer"]
for name in ("fp64", "fp32"):
    for value in ("0.1", "0.2", "0.3"):
        print(f"{name}  {value} is stored as {floats.fields(value, name).exact}")

# %% [markdown]
# Read the rows for `float64`: 0.1 and 0.2 are stored a little too large and 0.3 a little too small. Now look closer,
# at the few numbers that each format has around 0.3. Every tick is one of them; between two ticks there is nothing.
# The triangle is 0.3 as you write it. The open mark is the sum of what is stored, before it is rounded to a tick itself.

# %% jupyter={"source_hidden": true} tags=["answer"]
picture, ax = plots.style.axes(
    height=2.4,
    alt="A few neighbouring numbers of two formats as ticks, with a sum among them before and after its rounding.",
)
plots.numbers.sum_on_grid(ax, ("0.1", "0.2"), "0.3", formats=("fp64", "fp32"))
picture

# %% [markdown]
# In `float64` the sum lies in the middle between two ticks and goes to the upper one, a step above the stored 0.3. In
# `float32` the roundings happen to cancel. Neither answer is "right": both compare rounded numbers. So never test
# floats for equality. Ask whether they are close, and say how close.

# %%
print(math.isclose(0.1 + 0.2, 0.3, rel_tol=1e-9))

# %% [markdown]
# ## 2. What can a row of bits mean?
#
# A bit is a switch, and a byte is eight of them: $2^8 = 256$ patterns. What a pattern means is an agreement. For
# whole numbers the agreement is place value: divide by two, note the remainder, repeat, read upwards.


# %%
def to_binary(number):
    digits = ""
    while number > 0:
        number, remainder = divmod(number, 2)
        print(f"remainder {remainder}, {number} left")
        digits = str(remainder) + digits
    return digits


print("42 in binary:", to_binary(42))

# %% [markdown]
# Negative whole numbers use **two's complement**: the leading bit counts $-128$ instead of $+128$. So `INT8` reaches
# from $-128$ to $127$, and the pattern of all ones is $-1$.

# %%
for number in (42, 127, -1, -128):
    bits = f"{number % 256:08b}"
    places = [-128, 64, 32, 16, 8, 4, 2, 1]
    total = sum(place for place, bit in zip(places, bits, strict=True) if bit == "1")
    print(f"{number:5}  {bits}  adds up to {total}")

# %%
claims.show("01-int8-values", measured=len(np.unique(floats.all_values("int8"))))

# %% [markdown]
# ## 3. How is 6.5 stored?
#
# A floating-point number is scientific notation in base 2. Slide the binary point until one digit stands before it:
# $6.5 = 110.1_2 = 1.101_2 \times 2^2$. Three things are left to store: the sign, the exponent 2, and the digits
# `101`, the **mantissa**. The leading digit is always 1, so it is not stored at all. The exponent may be negative, so
# 127 is added first. That is the whole algorithm:


# %%
def encode_fp32(value):
    sign = "1" if value < 0 else "0"
    fraction, exponent = math.frexp(abs(value))  # abs(value) = fraction * 2**exponent, 0.5 <= fraction < 1
    significand, exponent = 2 * fraction, exponent - 1  # one digit before the point
    stored_exponent = exponent + 127
    mantissa = round((significand - 1) * 2**23)  # the leading 1 is not stored
    return f"{sign} {stored_exponent:08b} {mantissa:023b}"


print(encode_fp32(6.5))

# %% [markdown]
# Is it true? `struct` writes the number as the processor stores it. Compare bit by bit:


# %%
def processors_bits(value):
    (pattern,) = struct.unpack(">I", struct.pack(">f", value))
    return f"{pattern:032b}"


print(processors_bits(6.5))
claims.show("01-encode", measured=encode_fp32(6.5).replace(" ", "") == processors_bits(6.5))

# %% [markdown]
# Now drag the steps. Then type a number of your own: a negative one, 0.1, something tiny, another format.

# %%
widgets.encode_stepper(value="6.5", format="fp32")

# %% [markdown]
# **Exercise 1.** Encode 3.25 by hand: sign, exponent and mantissa as text. Use the steps above, not a function.

# %% tags=["exercise"]
# solution: bits_of_3_25 = ...
# 3.25 = 11.01 in binary = 1.101 x 2**1, and 1 + 127 = 128 = 10000000
bits_of_3_25 = "0 10000000 10100000000000000000000"
# end solution
exercises.check("01-encode", bits_of_3_25)

# %% [markdown]
# **Exercise 2.** Which number is `1 01111110 10000000000000000000000`? Work backwards: exponent minus 127, then put
# the 1 back in front.

# %% tags=["exercise"]
# solution: decoded = ...
# 01111110 = 126, so the exponent is -1; the significand is 1.1 in binary = 1.5
decoded = -1.5 * 2**-1
# end solution
exercises.check("01-decode", decoded)

# %% [markdown]
# One thing does not fit the pattern: zero has no leading 1. An exponent field of all zeros therefore switches the
# hidden 1 off. A common shortcut is to say that such a number *is* zero. Look at the smallest mantissa:

# %%
smallest = floats.decode("0 00000000 00000000000000000000001", "fp32")
print(smallest)
claims.show("01-zero-exponent", measured=smallest)

# %% [markdown]
# ## 4. Which numbers exist, and where are they?
#
# Between any two neighbours there is nothing. Click the bits below, or type a value: the panel shows what is stored
# exactly, and how far away the neighbours are. Try `INT8`, then find an infinity and a NaN in `FP16`.

# %%
widgets.click_a_bit(format="fp32", value="6.5")

# %% [markdown]
# Where are the numbers? An 8-bit float has so few that you can see them all. In every stretch from one power of two
# to the next there are equally many, so the gaps double each time. (Only next to zero, where the hidden 1 is off, they
# stay equal.)

# %% jupyter={"source_hidden": true}
picture, ax = plots.style.axes(
    height=2.6, alt="All positive FP8 E4M3 numbers up to 4 on a line: the gap doubles at each power of two."
)
plots.numbers.value_density(ax, "fp8_e4m3", low=0, high=4)
picture

# %%
exercises.predict("01-half", ..., unit="%")  # how many percent of all FP32 numbers lie between -1 and 1?

# %% [markdown]
# Read as whole numbers, the patterns of positive floats stand in the order of the floats. So counting the numbers
# below 1 means reading the pattern of 1.

# %% tags=["answer"]
below_one = floats.encode(1.0, "fp32")
finite = floats.encode(math.inf, "fp32")
print(f"{below_one:,} of {finite:,} positive patterns lie below 1")
fp16 = floats.all_values("fp16")
claims.table(
    claims.show("01-half", measured=100 * below_one / finite),
    claims.show("01-fp16-values", measured=len(np.unique(fp16[np.isfinite(fp16)]))),
    title="Numbers counted",
)

# %% [markdown]
# ## 5. Where does it bite?
#
# **Counting.** Digits run out. Somewhere on the way up, adding 1 changes nothing any more:

# %%
counter = np.float32(1_000_000_000)
print(f"one more: {counter + np.float32(1):,.0f}")

# %% [markdown]
# **Exercise 3.** Find the smallest positive whole number that `float32` cannot hold. A loop over all candidates
# takes a while; think in powers of two.

# %% tags=["exercise"]
# solution: first_missing = ...
first_missing = 2**24 + 1  # 2**24 still fits: one digit and 24 zeros. One more needs a 25th digit.
# end solution
exercises.check("01-first-missing", first_missing)

# %% tags=["answer"]
digits = 1
while np.float32(2**digits) + np.float32(1) > np.float32(2**digits):
    digits += 1
claims.show("01-digits", measured=digits)

# %% [markdown]
# **Adding.** Ten million times 0.1 should be a million. How far off is a plain `float32` loop?

# %%
exercises.predict("01-tenth", ..., unit="%")  # your guess of the error, in percent


# %%
def kahan(numbers):
    """Add up along the first axis and carry along what each addition loses."""
    total = lost = np.zeros_like(numbers[0])
    for number in numbers:
        corrected = number - lost
        new_total = total + corrected
        lost = (new_total - total) - corrected
        total = new_total
    return total


tenths = np.full(10_000_000, 0.1, dtype=np.float32)
naive = np.cumsum(tenths)[-1]  # one running total, one number after the other
pairwise = tenths.sum()  # numpy adds halves of halves
compensated = kahan(kahan(tenths.reshape(-1, 1000)))  # 1,000 running totals side by side, then those

# %% tags=["answer", "nbval-ignore-output"]
for name, total in {"naive": naive, "pairwise": pairwise, "Kahan": compensated}.items():
    print(f"{name:9} {total:14,.2f}   off by {100 * abs(total / 1e6 - 1):.6f} %")
claims.show("01-tenth", measured=100 * abs(float(naive) / 1e6 - 1))

# %% [markdown]
# The running total grows, its gaps grow with it, and from 524,288 on each 0.1 counts as 0.125. Adding halves of halves
# keeps the partial sums small. Kahan's trick carries the lost digits along.
#
# **Overflow and underflow.** Half the bits, half the trouble? `FP16` spends 5 bits on the exponent, `BF16` 8:

# %%
for value in (70_000.0, 1e-8):
    for name in ("fp16", "bf16"):
        print(f"{value:g} in {name}: {floats.fields(value, name).value:g}")

# %%
scale = 65_536.0
gradient = 1e-8
kept = floats.fields(gradient * scale, "fp16").value / scale
print(f"without scaling {floats.fields(gradient, 'fp16').value:g}, with loss scaling {kept:.4g}")

# %% [markdown]
# `FP16` runs out at 65,504 and loses the gradient. Multiplying the loss by a big power of two multiplies all gradients,
# and so brings the small ones into its range. Dividing afterwards, in FP32, brings them back: that is **loss scaling**.
# `BF16` keeps the range of `FP32` and needs none. It pays with digits, and they are missed elsewhere: a step of training
# changes a weight of 1 by, say, 0.001.

# %%
for name in ("fp32", "fp16", "bf16"):
    print(f"1 - 0.001 in {name}: {floats.fields(1 - 0.001, name).value:g}")

# %% [markdown]
# So two things can get lost in training, for two reasons. The gradient in `FP16`: for want of **range**. The update in
# `BF16`: for want of **precision**, because just below 1 its numbers are 0.0039 apart. That is why mixed precision keeps a
# copy of the weights in FP32 (notebook 02 counts its bytes). And the digits of a weight that is only *used*? The second
# card says how far rounding moves one. Whether a network minds, notebook 05 measures.

# %%
lost = {
    name: (floats.fields(1e-8, name).value == 0, floats.fields(1 - 0.001, name).value == 1)
    for name in ("fp16", "bf16")
}
print("lost: (the gradient, the update)", lost)
claims.table(
    claims.show("01-tiny-gradient", measured=lost == {"fp16": (True, False), "bf16": (False, True)}),
    claims.show("01-weight", measured=abs(0.23741 - 0.24)),
    title="Rounding",
)

# %% [markdown]
# ## 6. What is quantization?
#
# You add up a shopping bill in your head: 4.99281 + 3.00192 + 7.49837. You round each price first, because whole
# numbers are easier to add, and the total is close.

# %%
prices = [4.99281, 3.00192, 7.49837]
exact, rounded = sum(prices), sum(round(price) for price in prices)
print(f"exact {exact:.5f}, rounded {rounded}, off by {100 * abs(rounded / exact - 1):.1f} %")
claims.show("01-bill", measured=exact)

# %% [markdown]
# Quantization does the same with a finer grid. One **scale** for all weights maps the largest to 127; divide, round,
# and keep the whole numbers. To use them, multiply back. Three lines:

# %%
weights = np.array([-0.81, -0.42, -0.05, 0.12, 0.47, 0.79], dtype=np.float32)

scale = np.abs(weights).max() / 127
q = np.round(weights / scale).astype(np.int8)
restored = q * scale

print("integers ", q)
print("restored ", restored.round(3))
claims.show("01-three-lines", measured=q.tolist() == [-127, -66, -8, 19, 74, 124])

# %% [markdown]
# **Exercise 4.** Write the three lines as functions, for any number of bits. With $b$ bits the largest integer is
# $2^{b-1} - 1$. `quantize` returns the integers and the scale.


# %% tags=["exercise"]
def quantize(values, bits=8):
    # solution
    largest = 2 ** (bits - 1) - 1
    scale = np.abs(values).max() / largest
    return np.round(values / scale), scale
    # end solution


def dequantize(q, scale):
    # solution
    return q * scale
    # end solution


exercises.check("01-quantize", (quantize, dequantize))

# %% [markdown]
# How wrong can a weight get? Rounding moves it by at most half a step. Drag the bits down and watch the weights snap
# to the grid; the histogram below never leaves $\pm$ scale/2. Then clip: the grid gets finer, but the largest
# weights are cut off, and *their* error has no such limit.

# %%
widgets.number_line()

# %% [markdown]
# Each bit more halves the step. In decibels, halving is 6.02: that much should the ratio of signal to quantization
# noise (SQNR) gain per bit. Measure it on a sine, from 4 bits on, where there are enough levels for a rule. (The
# staircase after it uses all $2^b$ patterns, one level more than your functions above.)

# %%
sine = np.sin(np.linspace(0, 20 * np.pi, 10_001)).astype(np.float32)
bits = np.arange(4, 13)
sqnr = [quantization.sqnr(sine, quantization.quantize(sine, int(b)).dequantize()) for b in bits]
decibels_per_bit, _ = np.polyfit(bits, sqnr, 1)
claims.show("01-decibels", measured=decibels_per_bit)

# %%
widgets.staircase()

# %% [markdown]
# ## 7. Is the largest weight the best scale?
#
# Mapping the largest weight to the largest integer clips nothing. But one large weight then makes the grid coarse
# for all others. For weights like a bell curve, try smaller scales and measure the mean squared error:


# %%
def mean_squared_error(values, scale, bits):
    largest = 2 ** (bits - 1) - 1
    q = np.clip(np.round(values / scale), -largest, largest)
    return np.mean((values - q * scale) ** 2, axis=-1)


FRACTIONS = np.linspace(0.05, 1, 96, dtype=np.float32)


def best_fractions(groups, bits):
    """Return the best scale of each group, [groups, weights], as a fraction of the largest weight's."""
    full_scale = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    errors = [mean_squared_error(groups, fraction * full_scale, bits) for fraction in FRACTIONS]
    return FRACTIONS[np.argmin(errors, axis=0)]


bell = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
for bits in (8, 4, 3, 2):
    (best,) = best_fractions(bell[np.newaxis], bits)  # one scale for all of them
    clip = best * np.abs(bell).max() / bell.std()
    print(f"{bits} bits: best scale {best:.2f} of the largest weight's, so clip at {clip:.1f} σ")

# %% jupyter={"source_hidden": true}
picture, ax = plots.style.axes(alt="Mean squared error against the scale, one curve per number of bits.")
searches = {f"{b} bits": quantization.best_scale(bell, b, steps=96) for b in (8, 4, 3, 2)}
plots.quantized.mse_against_scale(ax, searches)
picture

# %% [markdown]
# With one scale for 20,000 weights, the fewer bits, the more it pays to clip: the many small weights gain more than the
# few large ones lose. But does it depend on the bits alone? The largest of 20,000 weights lies much farther out than the
# largest of 128, and small groups are what 4-bit formats use. So cut the same weights into groups, each with a scale of
# its own. To be sure that the bell curve is not to blame, do the same with as many weights of a layer that was trained:
# it belongs to the small language model of the notebooks beyond the lecture.

# %%
trained = data.trained_weights().ravel()[: bell.size]  # neuron after neuron

sizes = (64, 128, 256, 1024, bell.size)


def by_group_size(weights, bits):
    return [best_fractions(weights[: weights.size // n * n].reshape(-1, n), bits) for n in sizes]


best = {f"{bits} bits": by_group_size(bell, bits) for bits in (8, 4, 3)}
best["4 bits, trained"] = by_group_size(trained, 4)

# %% jupyter={"source_hidden": true}
picture, ax = plots.style.axes(
    height=3.6,
    alt="The best clip against the number of weights that share a scale, a line for each number of bits.",
)
plots.numbers.clip_by_group(ax, sizes, best, searched=(0.83, 1))
picture

# %% [markdown]
# A line is the mean over the groups, the colour around it the middle 90 % of them. The lecture searches in the grey
# band. Whether that is wide enough depends on the bits *and* on the group:

# %% tags=["nbval-ignore-output"]
whole = [float(best[name][-1][0]) for name in ("4 bits", "4 bits, trained")]
inside = [100 * np.mean(best[name][1] >= 0.83) for name in ("4 bits", "4 bits, trained")]
print(
    f"4 bits, one scale for all: best at {whole[0]:.2f} (bell curve) and {whole[1]:.2f} (trained) of the largest"
)
print(f"4 bits, groups of 128: {inside[0]:.0f} % and {inside[1]:.0f} % of the best scales lie in the band")
claims.table(
    claims.show("01-best-scale", measured=max(whole)),
    claims.show("01-best-scale-groups", measured=min(inside)),
    title="Scales at 4 bits",
)

# %% [markdown]
# In σ instead of parts of the largest weight, the best clip of the bell curve hardly moves: about 2.5 σ at 4 bits, on
# average over the groups of any of these sizes. It is the largest weight that moves. So search from far below, or count in σ. (These are 20 searches. One
# comparison was planned: 4 bits, groups of 128 against one scale for all. The others draw the picture.)
#
# **Exercise 5.** When values are not centred on zero, an **asymmetric** scale helps: the smallest value maps to the
# smallest integer, and a *zero point* says which integer means 0. The worked example below is from a published text.
# It ends with errors up to 1.35 and blames the small range of INT8. The range is innocent. Find the bug and correct
# it, so that `q` holds the right integers.

# %% tags=["exercise"]
values = np.array([0.35, -1.20, 0.80, -0.50, 1.50, 0.05])
scale = (values.max() - values.min()) / 255
zero_point = round(-values.min() / scale)
# solution: # correct the line that is wrong
# 113 is the zero point for integers from 0 to 255. INT8 starts at -128.
zero_point = round(-128 - values.min() / scale)
# end solution
q = np.clip(np.round(values / scale) + zero_point, -128, 127)

print("largest error:", np.abs(values - (q - zero_point) * scale).max().round(4))
exercises.check("01-zero-point", q)

# %% tags=["answer"]
corrected = quantization.quantize(values, 8, symmetric=False)
claims.show("01-zero-point", measured=np.abs(corrected.error(values)).max())

# %% [markdown]
# ## Quiz

# %%
exercises.quiz("01")

# %% [markdown]
# And your guesses, beside what this machine measured:

# %%
plots.guesses.picture(exercises.guesses("01"))

# %% tags=["nbval-ignore-output"]
exercises.progress("01")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. A float is sign, exponent and digits. It is rounded the moment you write it down.
# 2. The gap between neighbours doubles at each power of two: digits are relative, not absolute.
# 3. Fewer exponent bits cost range (`FP16` overflows), fewer mantissa bits cost digits (`BF16` is coarse).
# 4. Quantization is scale, round, multiply back. Inside the range the error is at most half a scale.
# 5. A bit more is 6 dB more. How far to clip depends on the bits and on how many weights share the scale: hardly at
#    8 bits, a little at 4 bits in groups of 128, a lot at 4 bits with one scale for thousands.
#
# ## Where to go next
#
# Notebook 02 counts the numbers of a whole model and asks whether they fit. Notebook 05 quantizes a trained network
# and explains every number that comes out.
