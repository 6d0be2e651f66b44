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
# # 06 ONNX export and quantization
#
# You trained a network in PyTorch. The phone, the browser and the server in Java that should run it have no PyTorch,
# and no Python either. ONNX is a file format for what is left when you take both away: operators and numbers. After
# this notebook you can
#
# - export a network from PyTorch or scikit-learn, and prove that the file gives the same answers,
# - tell how large a model really is, and which batches it takes,
# - quantize the file, dynamically and statically, and choose the options by measurement,
# - run it in a process in which PyTorch cannot be imported,
# - say why you would rather open a stranger's ONNX file than a stranger's pickle.
#
# Time: about 60 minutes with the exercises, 15 minutes as a demonstration. It needs [notebook
# 05](05-pytorch-dynamic-quantization.ipynb): what dynamic quantization does, and the network that it trains. It does
# not cover runtimes other than ONNX Runtime, nor GPUs.
#
# {{badges}}

# %% tags=["nbval-ignore-output"]
# If you stop this cell, restart the kernel: half an import cannot be taken up again.
import sys

if "google.colab" in sys.modules:
    # %pip install -q "{{install}}" "onnx<1.23" onnxruntime onnxscript skl2onnx
    pass

from coursekit import runtime

runtime.loading()  # says how far the imports are

import importlib.util
import inspect
import logging
import os
import pickle
import shutil
import warnings

import numpy as np
import onnx
import onnxscript
import torch
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits

from coursekit import accuracy, claims, data, exercises, memory, models, onnx_models
from coursekit import plots, quantization, scoreboard, timing, widgets
from coursekit.course.nb06.onnx_cases import colleagues_file

runtime.start()

# %% [markdown]
# ## 1. What does it take to run a model?
#
# To answer a question with a trained network you need its numbers, the order of its operators, and something that can
# multiply. How much does that something weigh? PyTorch can train, differentiate and compile. A runtime such as ONNX
# Runtime can only run. Guess how many times as large PyTorch is on your disk:

# %%
exercises.predict("06-install", ..., unit="times")


# %% tags=["nbval-ignore-output", "answer"]
def installed_bytes(package):
    folder = os.path.dirname(importlib.util.find_spec(package).origin)
    return sum(os.path.getsize(f"{place}/{file}") for place, _, files in os.walk(folder) for file in files)


packages = {"PyTorch": "torch", "scikit-learn": "sklearn", "ONNX Runtime": "onnxruntime"}
installed = {name: installed_bytes(package) for name, package in packages.items()}

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output", "answer"]
picture, ax = plots.style.axes(height=2.0, alt="The sizes of three installed packages as bars.")
plots.comparison.bars(
    ax,
    list(installed),
    [size / 1e6 for size in installed.values()],
    unit="installed size (MB)",
    title="Installed packages on this disk",
    highlight=["ONNX Runtime"],
)
picture

# %% tags=["nbval-ignore-output", "answer"]
claims.show("06-install", measured=installed["PyTorch"] / installed["ONNX Runtime"])

# %% [markdown]
# The lecture speaks of a GB-sized installation of PyTorch. Here is yours, its own folder only. Builds for GPUs bring
# several GB of libraries on top, in folders of their own:

# %% tags=["nbval-ignore-output", "answer"]
claims.show("06-gigabytes", measured=installed["PyTorch"])

# %% [markdown]
# Can you not save the network, and load the file without PyTorch? Train the network of notebook 05 and look at what
# its file would hold. One thread is enough for such small matrices. All files of this notebook go into a temporary
# folder, which goes when the kernel goes:

# %%
files = memory.Scratch()

# %%
torch.set_num_threads(1)
digits = data.digits()
x_test, y_test = digits.test.tensors("cpu")
model = models.mlp((64, 128, 10))
models.fit(model, *digits.train.tensors("cpu"))
for name, tensor in model.state_dict().items():
    print(f"{name:9} {tuple(tensor.shape)}")

# %% [markdown]
# Four arrays. That a ReLU stands between the two layers is nowhere in them: it stands in Python code. Whoever wants
# to use the numbers needs this code, or has to write it again in Swift, Java or JavaScript.
#
# ## 2. How does a network get into a file?
#
# The exporter sends an example through the network, notes which operators run, and writes them into an ONNX file
# together with the weights. This is the call. The example is a batch of two pictures. `dynamic_shapes` says that the first
# axis, the batch, may have any size, and `external_data=False` asks for a single file. The rest chooses names, the
# new exporter, a set of operators that every runtime knows, and silence.

# %% tags=["nbval-ignore-output"]
by_hand, example = files.path / "by-hand.onnx", x_test[:2]
told = runtime.progress("the first export, which loads the exporter", 1)
rest = {"input_names": ["x"], "output_names": ["logits"], "dynamo": True, "opset_version": 18}
logging.disable(logging.WARNING)  # the exporter lists what it looks for and does not find
with warnings.catch_warnings(action="ignore"):
    torch.onnx.export(
        model.eval(),
        (example,),
        by_hand,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
        **rest,
    )
told()

# %% [markdown]
# Check the file, then look inside. It is a list of operators. Each one names what it reads and what it writes:

# %% tags=["nbval-ignore-output"]
onnx.checker.check_model(by_hand)
print(f"Written by torch {torch.__version__} with onnxscript {onnxscript.__version__}")
network = onnx.load(by_hand).graph
for node in network.node:
    print(f"{node.op_type:5} {', '.join(node.input):32} -> {', '.join(node.output)}")
for weight in network.initializer:
    print(f"stored: {weight.name:9} {tuple(weight.dims)}")

# %% [markdown]
# There is the ReLU. `Gemm` is short for general matrix multiplication: product and bias in one. Now run the file. The
# lecture counts three lines, and none of them mentions PyTorch. The one on top is no part of them: from version 1.29
# on, ONNX Runtime reports its use to Microsoft, unless you say no before you import it.

# %%
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

session = onnxruntime.InferenceSession(by_hand, providers=["CPUExecutionProvider"])
(logits,) = session.run(None, {"x": digits.test.x})
print(logits.shape, logits.dtype)

# %% [markdown]
# The ten numbers for each picture are its **logits**: the largest one is the answer, and softmax makes shares of them
# that add up to 1. Same answers? Compare the labels, then the numbers. Two programs may add in another order, so expect differences of
# float rounding: at 22, neighbouring float32 numbers are 0.0000019 apart.

# %% tags=["nbval-ignore-output"]
with torch.inference_mode():
    expected = model(x_test).numpy()
print(f"largest logit {np.abs(expected).max():.1f}, largest difference {np.abs(expected - logits).max():.7f}")
shares, expected_shares = (torch.softmax(torch.from_numpy(z), 1).numpy() for z in (logits, expected))
claims.table(
    claims.show("06-match", measured=100 * np.mean(logits.argmax(1) == expected.argmax(1))),
    claims.show("06-parity", measured=np.abs(shares - expected_shares).max()),
    title="The file against PyTorch",
)

# %% [markdown]
# From here on, `onnx_models.export` makes the same call for you and tidies the file up: it drops the exporter's
# notes, which no runtime reads, and leaves the names to PyTorch. How large is the file beside PyTorch's own?

# %% tags=["nbval-ignore-output"]
fp32 = onnx_models.export(model, files.path / "fp32.onnx", example)
torch.save(model.state_dict(), files.path / "fp32.pt")
pt_size = (files.path / "fp32.pt").stat().st_size
numbers = 4 * sum(parameter.numel() for parameter in model.parameters())
print(f"PyTorch {pt_size:,} bytes, ONNX {fp32.size_bytes:,} bytes, {numbers:,} of them numbers")
claims.show("06-fp32-file", measured=fp32.size_bytes / pt_size)

# %% [markdown]
# **A trap: the size.** Call the exporter as the lecture does, without options. Then `external_data` is on:

# %% tags=["nbval-ignore-output"]
trap = files.path / "trap.onnx"
with warnings.catch_warnings(action="ignore"):
    torch.onnx.export(model, (example,), trap, dynamo=True, external_data=True, verbose=False)
print(f"trap.onnx has {trap.stat().st_size:,} bytes, the file above {fp32.size_bytes:,}")

# %% [markdown]
# Has ONNX compressed the network? Look at the whole folder before you report it:

# %% tags=["nbval-ignore-output"]
for file in sorted(files.path.glob("trap*")):
    print(f"{file.name:16} {file.stat().st_size:7,} bytes")
print(f"in all           {onnx_models.true_size(trap):7,} bytes")
phone = files.path / "phone"
phone.mkdir(exist_ok=True)
shutil.copy(trap, phone)
try:
    onnx_models.load(phone / "trap.onnx")
except ValueError as error:
    print("on the phone:", str(error).partition("(")[2].partition(")")[0])

# %% [markdown]
# The weights lie in a second file, because a single one may have 2 GB at most. Whoever copies the `.onnx` alone has
# copied the list of operators. Ask for the true size, or for a single file where 2 GB are enough.
#
# **A second trap: the batch.** The lecture exports with a dummy input of one picture and names no dynamic axis. Then
# the file takes just that:

# %% tags=["nbval-ignore-output"]
fixed = onnx_models.export(model, files.path / "fixed.onnx", x_test[:1], dynamic_batch=False)
print(f"input of the fixed file    {fixed.inputs[0]}")
print(f"input of the dynamic file  {fp32.inputs[0]}\n")
refused = False
try:
    runner = onnx_models.load(files.path / "fixed.onnx", device="cpu")
    runner.session.run(None, {runner.inputs[0][0]: digits.test.x})
except Exception as error:
    refused = True
    print(f"{type(error).__name__}: {str(error).partition(':')[2].strip()}")

# %%
claims.show("06-fixed-batch", measured=refused)

# %% [markdown]
# **Exercise 1.** Write an export that gives a single file, weights included, for batches of any size. `model` may come
# straight from a training loop, `example` is a batch of two inputs. Write the call of `torch.onnx.export` yourself.


# %% tags=["exercise"]
def export_for_any_batch(model, path, example):
    # solution
    torch.onnx.export(
        model.eval(),
        (example,),
        path,
        dynamo=True,
        external_data=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    # end solution


exercises.check("06-export", export_for_any_batch)

# %% [markdown]
# **Exercise 2.** A colleague sends you a network 64-512-512-10 and says that its weights are INT8. That is about
# 300,000 bytes. The file is nearly four times as large. Find out why: `onnx_models.graph` lists every operator, and
# the weights that each of them brings along. The first layer is in order. Which tensor is to blame (its name), and
# how many bytes would be saved if it were stored as INT8?

# %% tags=["nbval-ignore-output"]
colleagues_file(files.path / "colleague.onnx")
graph = onnx_models.graph(files.path / "colleague.onnx")
print(f"{(files.path / 'colleague.onnx').stat().st_size:,} bytes")
for node in graph.nodes[:3]:  # the first layer
    for weight in node.weights:
        print(f"{node.op:16} stores {weight.name:23} {weight.dtype:7} {weight.shape}")

# %% tags=["exercise"]
# solution: tensor, saved_bytes = ..., ...
large = max((weight for node in graph.nodes for weight in node.weights), key=lambda weight: weight.nbytes)
tensor, saved_bytes = large.name, large.nbytes - large.nbytes // 4
# end solution
exercises.check("06-too-large", (tensor, saved_bytes))

# %% [markdown]
# ## 3. What does the runtime do with the graph?
#
# A runtime does not run your list as it is. When it loads the file it rewrites the graph: it computes in advance what
# never changes, drops what does nothing, and **fuses** neighbours into one operator, so that numbers need not travel
# to memory and back in between. ONNX Runtime can save what it made of the file:


# %% tags=["nbval-ignore-output"]
def before_and_after(name):
    optimized = files.path / f"{name}-optimized.onnx"
    onnx_models.optimized(files.path / f"{name}.onnx", optimized)
    return onnx_models.graph(files.path / f"{name}.onnx"), onnx_models.graph(optimized)


before, after = before_and_after("fp32")
plots.onnx_graph.side_by_side(before, after)

# %%
claims.show("06-fusion", measured=len(before.nodes) - len(after.nodes))

# %% [markdown]
# Product, bias and ReLU have become one operator. It also explains the colleague's file: let ONNX Runtime compute in
# advance what never changes, save the result, and the file shrinks by itself.

# %% tags=["nbval-ignore-output", "answer"]
onnx_models.optimized(files.path / "colleague.onnx", files.path / "repaired.onnx", "basic")
for name in ("colleague", "repaired"):
    print(f"{name:9} {onnx_models.true_size(files.path / f'{name}.onnx'):9,} bytes")

# %% [markdown]
# **Is it faster?** The lecture promises that ONNX Runtime is 2 to 5 times as fast as PyTorch. Your guess for one
# picture at a time, both on one thread:

# %%
exercises.predict("06-speed-small", ..., unit="× as fast")


# %% tags=["nbval-ignore-output", "answer"]
def asking(name, x):
    """Return a function that asks the file once, as an app would: without any of our checks."""
    runner = onnx_models.load(files.path / f"{name}.onnx", device="cpu", threads=1)
    given = {runner.inputs[0][0]: x}
    return lambda: runner.session.run(None, given)


one_picture = digits.test.x[:1]
with torch.inference_mode():
    small = timing.compare(
        {"PyTorch": lambda: model(x_test[:1]), "ONNX Runtime": asking("fp32", one_picture)},
        threads=1,
        max_time=0.4,
    )
small

# %% tags=["nbval-ignore-output", "answer"]
claims.show("06-speed-small", measured=small.ratio("ONNX Runtime"))

# %% [markdown]
# The network is so small that most of the time goes into getting there: PyTorch walks through Python for every layer,
# ONNX Runtime crosses once from Python into C++. What is left when the product itself is large? A network
# 64-2048-2048-10, with 4.3 million weights, and batches of one and 32:

# %% tags=["nbval-ignore-output"]
wide = models.mlp((64, 2048, 2048, 10))
wide_fp32 = onnx_models.export(wide, files.path / "wide.onnx", torch.zeros(2, 64))
print(
    f"{sum(parameter.numel() for parameter in wide.parameters()):,} numbers, {wide_fp32.size_bytes:,} bytes"
)

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(0)
wide_speed = {}
for batch in (1, 32):
    x = rng.random((batch, 64), dtype=np.float32)
    tensor = torch.from_numpy(x)
    pair = {"PyTorch": lambda tensor=tensor: wide(tensor), "ONNX Runtime": asking("wide", x)}
    with torch.inference_mode():
        wide_speed[batch] = timing.compare(pair, threads=1, max_time=0.4)
    print(f"batch {batch}\n{wide_speed[batch]}\n")

# %% tags=["nbval-ignore-output"]
claims.show("06-speed-wide", measured=wide_speed[32].ratio("ONNX Runtime"))

# %% [markdown]
# ## 4. Does it work for scikit-learn, too?
#
# Yes, and here it matters even more: scikit-learn has no export of its own, what it saves is a pickle. `partial_fit`
# sees the training pictures once; ten times are enough. The next cell begins with scikit-learn's own imports, so let it
# finish.

# %% tags=["nbval-ignore-output"]
epochs = 10
told = runtime.progress("importing and training", 1 + epochs)

import skl2onnx
from sklearn.neural_network import MLPClassifier

told()
classifier = MLPClassifier((512, 512), random_state=0)
with threadpool_limits(1):  # for matrices of this size many threads are in each other's way
    for _ in range(epochs):
        classifier.partial_fit(digits.train.x, digits.train.y, classes=np.arange(10))
        told()
print("right answers:", accuracy.of(classifier.predict(digits.test.x), digits.test.y))

# %% [markdown]
# The converter is called skl2onnx. Look at the probabilities that its file returns by default, and without
# **ZipMap**:

# %% tags=["nbval-ignore-output"]
for name, options in {"by default": {}, "ZipMap off": {"zipmap": False}}.items():
    converted = skl2onnx.to_onnx(classifier, digits.test.x[:1], options=options, target_opset=18)
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"X": digits.test.x[:2]})
    print(f"{name}: {type(probabilities).__name__} of {type(probabilities[0]).__name__}")
    print(f"{str(probabilities[0])[:70].rpartition(' ')[0]} …\n")  # ends after a whole number

# %% [markdown]
# By default you get a list with a dict per picture: nice to read, slow to make, and awkward in other languages. With
# ZipMap off you get an array. `onnx_models.export_sklearn` switches it off. Is the answer still scikit-learn's?

# %% tags=["nbval-ignore-output"]
sk = onnx_models.export_sklearn(classifier, files.path / "sk.onnx", 64)
runner = onnx_models.load(files.path / "sk.onnx", device="cpu")
labels, probabilities = runner.run(digits.test.x)
print(f"labels identical: {np.array_equal(labels, classifier.predict(digits.test.x))}")
claims.show(
    "06-sklearn-parity", measured=np.abs(probabilities - classifier.predict_proba(digits.test.x)).max()
)

# %% tags=["nbval-ignore-output"]
with threadpool_limits(1):
    timed = timing.compare(
        {
            "scikit-learn": lambda: classifier.predict_proba(one_picture),
            "ONNX Runtime": asking("sk", one_picture),
        },
        max_time=0.4,
    )
timed

# %% [markdown]
# For a single picture, scikit-learn spends most of its time around the products: it checks the input, converts it,
# and walks through Python from layer to layer.
#
# ## 5. What does INT8 do to the file?
#
# Notebook 05 quantized a network inside PyTorch. ONNX Runtime quantizes the file, so the scikit-learn network can
# have it, too, and nobody needs PyTorch for it. One line:

# %% tags=["nbval-ignore-output"]
int8 = onnx_models.quantize_dynamic(files.path / "fp32.onnx", files.path / "int8.onnx", weights="int8")
plots.onnx_graph.side_by_side(*before_and_after("int8"), titles=("As quantized", "As ONNX Runtime runs it"))

# %% [markdown]
# You know these operators: they are the five steps of notebook 05, written out. Find the range of the batch, get
# scale and zero point and round (`DynamicQuantizeLinear`), multiply and add up in integers (`MatMulInteger`), scale
# back (`Cast`, `Mul`), add the bias. When it loads the file, ONNX Runtime fuses them again.
#
# The size first, of both networks. The lecture's table says 550 KB become 180, and for scikit-learn 3.82 MB become
# 0.98.

# %% tags=["nbval-ignore-output"]
sk_int8 = onnx_models.quantize_dynamic(files.path / "sk.onnx", files.path / "sk-int8.onnx", weights="int8")
for name, full, rounded in (("PyTorch", fp32, int8), ("scikit-learn", sk, sk_int8)):
    ratio = full.size_bytes / rounded.size_bytes
    print(f"{name:13} {full.size_bytes:9,} bytes become {rounded.size_bytes:7,}: {ratio:.2f} times smaller")

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("06-int8-file", measured=fp32.size_bytes / int8.size_bytes),
    claims.show("06-sklearn-file", measured=sk.size_bytes / sk_int8.size_bytes),
    title="Size of the file",
)

# %% [markdown]
# **Accuracy.** In the lecture's table it falls from 0.97 to 0.96. As in notebook 05, a paired comparison on the same
# pictures has to say whether that is a difference. To show that there is none, the whole interval must lie inside a margin
# that was named beforehand. One point is the margin here, and this is the comparison of the notebook that was planned.
# Validation and test pictures count together, because more pictures make the interval narrower and no choice was made on
# either of them yet:


# %% tags=["nbval-ignore-output"]
def answers(name, x=digits.test.x):
    return onnx_models.predict(onnx_models.load(files.path / f"{name}.onnx", device="cpu"), x)


x_unseen = np.concatenate([digits.validation.x, digits.test.x])
y_unseen = np.concatenate([digits.validation.y, digits.test.y])
given = {name: answers(name, x_unseen) for name in ("fp32", "int8", "sk", "sk-int8")}
for name, labels in given.items():
    print(f"{name:8} {accuracy.of(labels, y_unseen)}")
for full, rounded in (("fp32", "int8"), ("sk", "sk-int8")):
    print(f"a = {full}, b = {rounded}: {accuracy.mcnemar(given[full], given[rounded], y_unseen)}")

# %% tags=["nbval-ignore-output"]
claims.table(
    claims.show("06-int8-accuracy", measured=accuracy.difference(given["int8"], given["fp32"], y_unseen)),
    claims.show("06-agreement", measured=100 * np.mean(given["int8"] == given["fp32"])),
    claims.show("06-sklearn-accuracy", measured=accuracy.difference(given["sk-int8"], given["sk"], y_unseen)),
    title=f"INT8 against FP32 on {len(y_unseen)} pictures",
)

# %% [markdown]
# **Options.** The lecture asks for `QUInt8`. The other choice is `QInt8`, and either can have a scale per channel. Do
# they matter? The choice is made on the validation pictures. The signal-to-noise ratio (SQNR, notebook 05) says how
# close the outputs are to those of the full file; every 6 dB halve the error.

# %% tags=["nbval-ignore-output"]
x_val = digits.validation.x
print("file  weights  per channel    bytes   answers changed   SQNR of the outputs")
for source in ("fp32", "sk"):
    full = onnx_models.load(files.path / f"{source}.onnx", device="cpu")
    for weights, per_channel in (("int8", False), ("int8", True), ("uint8", False), ("uint8", True)):
        file = onnx_models.quantize_dynamic(
            full.path, files.path / "option.onnx", weights=weights, per_channel=per_channel
        )
        option = onnx_models.load(file.path, device="cpu")
        changed = (onnx_models.predict(option, x_val) != onnx_models.predict(full, x_val)).sum()
        row = f"{source:5} {weights:8} {per_channel!s:11} {file.size_bytes:8,} {changed:10} of {len(x_val)}"
        print(f"{row} {quantization.sqnr(full(x_val), option(x_val)):13.1f} dB")

# %% [markdown]
# All of them need a byte per weight, so the files are equally large, up to the room for more scales. A few dB are
# more or less noise in the digits behind the decimal point, and hardly an answer changes. With weights around zero,
# as here, either kind will do. `QInt8` is symmetric, so a weight and its opposite round alike, but weights of one
# sign would leave half of the integers unused. `QUInt8` has a zero point and uses all of them. (0 stays exactly 0 in
# both. On x86 processors without VNNI, the sum of two products with `QInt8` weights can exceed 16 bits, as in notebook
# 05. There, `reduce_range=True` spends 7 bits.)
#
# **Exercise 3.** Let a measurement decide. `source` is the path of an ONNX file, `x` an array of inputs. Quantize the
# file both ways, and return `"int8"` or `"uint8"`: the one whose outputs are closer to those of `source`. Judge each
# type by its largest difference.


# %% tags=["exercise"]
def closer_type(source, x):
    # solution
    expected = onnx_models.load(source)(x)
    differences = {}
    for weights in ("int8", "uint8"):
        target = f"{source}.{weights}"
        onnx_models.quantize_dynamic(source, target, weights=weights)
        differences[weights] = np.abs(onnx_models.load(target)(x) - expected).max()
    return min(differences, key=differences.get)
    # end solution


exercises.check("06-types", closer_type)

# %% [markdown]
# **Latency.** The lecture's table gives ONNX INT8 2 to 3 ms, where ONNX FP32 takes 3. That is 1 to 1.5 times as fast.
# Your guess for this small network, one picture at a time?

# %%
exercises.predict("06-int8-small", ..., unit="× as fast")

# %% tags=["nbval-ignore-output", "answer"]
latency = {}
for pair in (("fp32", "int8"), ("sk", "sk-int8")):
    latency[pair] = timing.compare(
        {name: asking(name, one_picture) for name in pair}, threads=1, max_time=0.3
    )
    print(latency[pair], end="\n\n")

# %% tags=["nbval-ignore-output", "answer"]
claims.show("06-int8-small", measured=latency["fp32", "int8"].ratio("int8"))

# %% [markdown]
# The first network has 64 · 128 + 128 · 10 = 9,472 weights and little to gain, the second some 30 times as many. So look
# at widths again, as in notebook 05. The files for it can be written by hand, without any framework: a graph is a list of operators, what
# goes in, what comes out, and arrays.


# %%
def write_layer(width, path):
    weight = rng.normal(size=(width, width)).astype(np.float32)
    layer = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(layer, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


# %%
WIDTHS, BATCHES = (64, 256, 1024, 2048), (1, 32)
for width in WIDTHS:
    write_layer(width, files.path / f"layer{width}.onnx")
    onnx_models.quantize_dynamic(files.path / f"layer{width}.onnx", files.path / f"layer{width}-int8.onnx")


def measure_grid(progress=lambda share: None):
    ratios = {}
    for width in WIDTHS:
        for batch in BATCHES:
            x = rng.random((batch, width), dtype=np.float32)
            pair = {"fp32": asking(f"layer{width}", x), "int8": asking(f"layer{width}-int8", x)}
            ratios[width, batch] = timing.compare(pair, threads=1, max_time=0.2).ratio("int8")
            progress(len(ratios) / len(WIDTHS) / len(BATCHES))
    return plots.crossover.CrossoverGrid.of(ratios, runtime.describe().label)


# %% tags=["nbval-ignore-output"]
grid = measure_grid(runtime.progress("8 pairs of layers", 8))
widgets.crossover(grid, measure=measure_grid)

# %% [markdown]
# If you have run notebook 05, put both pictures side by side. Does INT8 begin to pay off at a smaller width here? The
# arithmetic is the same. What differs is the work around it (here, the five steps are fused into one operator) and how
# well each library multiplies, in FP32 as well as in INT8.
#
# Take both gains together, that of the runtime and that of INT8, on the wide network of section 3:

# %% tags=["nbval-ignore-output"]
wide_int8 = onnx_models.quantize_dynamic(files.path / "wide.onnx", files.path / "wide-int8.onnx")
ratio = wide_fp32.size_bytes / wide_int8.size_bytes
print(f"{wide_fp32.size_bytes:,} bytes become {wide_int8.size_bytes:,}: {ratio:.2f} times smaller")

# %% tags=["nbval-ignore-output"]
with torch.inference_mode():
    timed = timing.compare(
        {
            "PyTorch FP32": lambda: wide(x_test[:1]),
            "ONNX Runtime FP32": asking("wide", one_picture),
            "ONNX Runtime INT8": asking("wide-int8", one_picture),
        },
        threads=1,
        max_time=0.6,
    )
timed

# %% [markdown]
# Compare the last row with the other two: what the runtime gives, and what 8 bits give on top where the layers are
# wide.
#
# ## 6. What if the scales are fixed beforehand?
#
# Dynamic quantization looks for the range of the activations in every call. **Static quantization** looks once,
# before you ship: it runs the FP32 file on sample data, notes the smallest and the largest number at every place of
# the graph, and writes the scales into the file. The sample data come from a **calibration reader**, an object with
# one method that matters: `get_next` returns a dict from input names to arrays, and None when there are no more. The
# file itself says what its input is called.


# %%
from onnxruntime.quantization import CalibrationDataReader


class PictureReader(CalibrationDataReader):
    def __init__(self, pictures, name=fp32.inputs[0][0], batch_size=100):
        self.name = name
        starts = range(0, len(pictures), batch_size)
        self.batches = iter([pictures[start : start + batch_size] for start in starts])

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


reader = PictureReader(digits.train.x)
static = onnx_models.quantize_static(files.path / "fp32.onnx", files.path / "static.onnx", reader)

# %% [markdown]
# The lecture counts about 15 lines for it, beside the data:

# %%
methods = PictureReader.__init__, PictureReader.get_next
lines = sum(len(inspect.getsource(method).splitlines()) for method in methods)
claims.show("06-static-lines", measured=lines + 3)  # the line with `class`, and two for the call

# %% [markdown]
# What does the runtime make of this file?

# %% tags=["nbval-ignore-output"]
plots.onnx_graph.side_by_side(*before_and_after("static"), titles=("As quantized", "As ONNX Runtime runs it"))

# %% [markdown]
# Numbers are rounded at the entrance and scaled back at the exit. In between, integers flow from layer to layer, and
# nobody looks for a range. Even the ReLU is gone: its range starts at 0, so rounding to unsigned integers cuts off
# what is negative.
#
# Why would one want fixed scales? Because a scale that is found in every call is found for **the whole batch**. Let one
# picture of a batch get brighter, and leave all others as they are. Do their answers stay? Each of ten pictures is the
# bright one in turn:

# %% tags=["nbval-ignore-output"]
brightness, turns = (1, 2, 5, 10, 20, 50, 100), range(10)
changed = {}  # how many other pictures get another answer, in the mean over the turns
for name, file in {"dynamic": "int8", "static": "static"}.items():
    runner = onnx_models.load(files.path / f"{file}.onnx", device="cpu")
    alone = onnx_models.predict(runner, x_unseen)
    counts = np.zeros((len(brightness), len(turns)))
    for row, factor in enumerate(brightness):
        for bright in turns:
            batch = x_unseen.copy()
            batch[bright] *= factor
            differs = onnx_models.predict(runner, batch) != alone
            counts[row, bright] = differs.sum() - differs[bright]
    changed[name] = counts.mean(axis=1)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
picture, ax = plots.style.axes(
    height=3.0,
    alt="Answers that change for the other pictures, against the brightness of one: dynamic and static.",
)
ax.set(xscale="log", xticks=brightness, xticklabels=brightness)
ax.minorticks_off()
plots.comparison.lines(
    ax,
    brightness,
    changed,
    x_label="brightness of one picture (times its own)",
    y_label=f"changed answers of {len(x_unseen) - 1}",
    title="One bright picture, and the others of its batch",
)
picture

# %% [markdown]
# The bright picture makes the steps coarse for all, and those whose two best digits lie close together tip. With fixed
# scales nobody notices a neighbour: what is too bright for the range is cut off at its end.
#
# The lecture's table of the three ways says "good" for dynamic quantization and "better" for static. Better in what?
# Compare how far the outputs are from those of the full file. By default static quantization rounds the logits, too, so
# that integers reach the exit. An option leaves them in float:


# %% tags=["nbval-ignore-output"]
def error(name):
    """Return the root mean square difference of the logits from those of the FP32 file."""
    full, other = (onnx_models.load(files.path / f"{n}.onnx", device="cpu") for n in ("fp32", name))
    return np.sqrt(np.mean((other(x_val) - full(x_val)) ** 2))


reader = PictureReader(digits.train.x)
onnx_models.quantize_static(
    files.path / "fp32.onnx", files.path / "static-open.onnx", reader, float_outputs=True
)
for name in ("int8", "static", "static-open"):
    print(f"{name:12} error of the logits {error(name):.4f}")
claims.table(
    claims.show("06-static-better", measured=error("static") / error("int8")),
    claims.show("06-static-open", measured=error("static-open") / error("int8")),
    title="Errors of the two static files",
)

# %% [markdown]
# Where the second row lies near 1, fixed scales cost next to nothing, and what the first row shows is the rounding at the
# exit. You can compute it. Rounding to steps of width s costs s/√12 in the root mean square. Add it to the error of the
# dynamic file, as you add sides of a right-angled triangle:

# %% tags=["nbval-ignore-output"]
seen = onnx_models.load(files.path / "fp32.onnx", device="cpu")(digits.train.x)  # as in the calibration
step = (seen.max() - seen.min()) / 255
at_the_exit = step / 12**0.5
print(f"logits from {seen.min():.1f} to {seen.max():.1f}: a step is {step:.2f}")
print(f"rounding them to it costs {at_the_exit:.4f}")
print(f"the dynamic file with it: {np.hypot(error('int8'), at_the_exit):.4f}, static: {error('static'):.4f}")

# %% [markdown]
# A static scale also has to fit all pictures that may come, a dynamic one only the batch that is there. With all training
# pictures to calibrate on, that adds little here; with few it adds more, as you will see below. What static quantization
# saves is work. Does it show in so small a network? Measure all three side by side, and put them on the scoreboard:

# %% tags=["nbval-ignore-output", "answer"]
names = {"onnx-fp32": "fp32", "onnx-int8": "int8", "onnx-int8-static": "static"}
three_ways = timing.compare(
    {variant: asking(file, one_picture) for variant, file in names.items()}, threads=1, max_time=0.5
)
for variant, file in names.items():
    scoreboard.record(
        variant,
        size_bytes=onnx_models.true_size(files.path / f"{file}.onnx"),
        latency=three_ways.measurements[variant],
        accuracy=accuracy.of(answers(file), digits.test.y),
        notebook="06",
        device="cpu",
    )
three_ways

# %% tags=["nbval-ignore-output", "answer"]
scoreboard.table()

# %% [markdown]
# **Calibrate with what will come.** The scales are only as good as the pictures that they were made from. Here are
# four sets. The last one is an accident that happens easily: the pictures were not scaled to 0 to 1, as they were for
# training.

# %% tags=["nbval-ignore-output"]
sets = {
    "all training pictures": digits.train.x,
    "ten of them": digits.train.x[:10],
    "one blank picture": np.zeros((1, 64), dtype=np.float32),
    "not divided by 16": 16 * digits.train.x,
}
errors = {}
for name, pictures in sets.items():
    file = files.path / "calibrated.onnx"
    onnx_models.quantize_static(files.path / "fp32.onnx", file, PictureReader(pictures))
    errors[name] = error("calibrated")
    differing = (answers("calibrated", x_val) != answers("fp32", x_val)).sum()
    print(f"{name:22} error {errors[name]:6.3f}, answers changed: {differing:3} of {len(x_val)}")

# %% tags=["nbval-ignore-output"]
claims.show("06-calibration", measured=errors["not divided by 16"] / errors["all training pictures"])

# %% [markdown]
# Pictures that are 16 times too bright make the steps 16 times too wide: of 8 bits, 4 are left. A blank picture is
# worse. It says that nothing larger than the biases will ever come.
#
# **Exercise 4.** Write a reader for the scikit-learn network, whose input is called `x`. It gets a `split` such as
# `digits.train` and hands out `per_digit` different pictures of every digit, so that no digit is forgotten. How many
# pictures come in one batch is up to you.


# %% tags=["exercise"]
class BalancedReader(CalibrationDataReader):
    """Made with BalancedReader(split, per_digit); split.x are the pictures [n, 64], split.y the digits [n]."""

    # solution
    def __init__(self, split, per_digit):
        chosen = [split.x[split.y == digit][:per_digit] for digit in np.unique(split.y)]
        self.batches = iter(chosen)

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}

    # end solution


exercises.check("06-reader", BalancedReader)

# %% [markdown]
# Are 50 pictures, five of each digit, enough to quantize the scikit-learn network?

# %% tags=["nbval-ignore-output"]
if not inspect.isabstract(BalancedReader):
    reader = BalancedReader(digits.train, per_digit=5)
    onnx_models.quantize_static(files.path / "sk.onnx", files.path / "sk-static.onnx", reader)
    for name in ("sk", "sk-int8", "sk-static"):
        print(f"{name:9} {accuracy.of(answers(name), digits.test.y)}")
else:
    print("Solve exercise 4, and this cell uses your reader.")

# %% [markdown]
# ## 7. Does it run without PyTorch?
#
# So far PyTorch was always there, in this very process. Here is the proof that nobody needs it: a fresh Python, in
# which `import torch` fails, reads the file and answers the 360 test pictures. Beside it, a fresh Python that does
# the same with PyTorch. Your guess: how many times as much memory does the one with PyTorch need?

# %%
exercises.predict("06-small-runtime", ..., unit="times")

# %% tags=["nbval-ignore-output", "answer"]
alone = onnx_models.run_without_torch(files.path / "int8.onnx", digits.test.x)
alone

# %% tags=["nbval-ignore-output", "answer"]
told = runtime.progress("a fresh Python with PyTorch", 1)
beside = onnx_models.run_with_torch(model, digits.test.x)
told()
print("                    without PyTorch   with PyTorch")
for name, step in (("import", "import_seconds"), ("first answer after", "seconds")):
    print(f"{name:18} {getattr(alone, step):11.2f} s {getattr(beside, step):12.2f} s")
print(f"memory             {alone.memory_bytes / 1e6:10.0f} MB {beside.memory_bytes / 1e6:11.0f} MB")

# %% tags=["nbval-ignore-output", "answer"]
claims.table(
    claims.show("06-without-torch", measured=100 * np.mean(alone.outputs[0].argmax(1) == answers("int8"))),
    claims.show("06-small-runtime", measured=beside.memory_bytes / alone.memory_bytes),
    title="Without PyTorch",
)

# %% [markdown]
# For a server that runs for weeks, a second at the start is nothing. For a function in the cloud that starts with
# each request, or for an app that a finger has just opened, it is everything.
#
# **Ask them yourself.** Three files, none of which needs PyTorch: the network in FP32, the same in INT8, and
# scikit-learn's. Who differs from whom on the test pictures?

# %% tags=["nbval-ignore-output"]
shown = {"FP32": "fp32", "INT8": "int8", "scikit-learn": "sk"}
for name in ("INT8", "scikit-learn"):
    differing = (answers(shown[name]) != answers("fp32")).sum()
    print(f"FP32 and {name}: {differing} of {len(digits.test)} answers differ")

# %% [markdown]
# The panel starts with the first picture on which not all agree. Clear it and paint a digit of your own. Then look
# for one on which FP32 and INT8 part.

# %% tags=["nbval-ignore-output"]
widgets.draw_a_digit(
    {name: onnx_models.load(files.path / f"{file}.onnx", device="cpu") for name, file in shown.items()},
    digits,
)

# %% [markdown]
# Where FP32 and INT8 part, look at their two longest bars: they are about equally long, and rounding tips the
# balance. Where one digit leads clearly, 8 bits are plenty. The scikit-learn network has learned other weights, so on
# your own drawings it may have opinions of its own.
#
# **Would you open this file?** There is one more difference. A pickle is a little program that builds an object, and
# it may call any function of Python. `.pt` files and saved scikit-learn models hold one. This one calls `print`:


# %%
class Surprise:
    def __reduce__(self):
        return print, ("This line was printed by the file, while it was being opened.",)


(files.path / "model.pkl").write_bytes(pickle.dumps(Surprise()))
loaded = pickle.loads((files.path / "model.pkl").read_bytes())

# %% [markdown]
# It could as well have deleted your files, and you would have been none the wiser. Since version 2.6 PyTorch opens
# files with `weights_only=True`: arrays, and nothing that runs. What happens to the same object then, and to the same
# bytes under the name of an ONNX file?

# %%
torch.save(Surprise(), files.path / "surprise.pt")
(files.path / "surprise.onnx").write_bytes(pickle.dumps(Surprise()))
for reader, name in ((torch.load, "surprise.pt"), (onnx_models.load, "surprise.onnx")):
    try:
        reader(files.path / name)
    except (pickle.UnpicklingError, ValueError) as error:
        print(f"{name}: refused with {type(error).__name__}")

# %% [markdown]
# An ONNX file cannot call anything. It can only name operators, and the runtime knows which there are. A hostile file
# can still crash a runtime that has a bug, or ask for more memory than you have. But it does not come with
# instructions of its own.

# %% tags=["nbval-ignore-output"]
known = {schema.name for schema in onnx.defs.get_all_schemas()}
used = {operator for file in (fp32, int8, static, sk) for operator in file.operators}
print(f"ONNX knows {len(known)} operators; our files use {len(used)}: {', '.join(sorted(used))}")
claims.show("06-operators", measured=sorted(used - known) == [])

# %% [markdown]
# **And the GPU?** The same file runs there: ONNX Runtime calls the hardware that it runs on a *provider*. Which one
# you have depends on which ONNX Runtime is installed.

# %% tags=["nbval-ignore-output"]
runner = onnx_models.load(files.path / "wide.onnx", device="auto")
print(f"providers in this ONNX Runtime: {', '.join(onnxruntime.get_available_providers())}")
if runner.provider == "CUDA":
    x = rng.random((512, 64), dtype=np.float32)
    pair = {"CPU": asking("wide", x), "CUDA": lambda: runner(x)}
    print(timing.compare(pair, threads=1))
else:
    print(runner.note or "This notebook runs on the CPU, so there is no GPU to compare it with.")

# %% [markdown]
# How much of all this would stand a second time? One comparison was planned: INT8 against FP32 in accuracy, with a margin
# of one point. The others (18 timed pairs, eight options, seven calibrations) were looked at because they were there, and
# among so many an interval of 95 % misses the truth now and then. Measure again before you build on one of them.
#
# ## Quiz

# %%
exercises.quiz("06")

# %%
exercises.guesses("06")

# %% tags=["nbval-ignore-output"]
exercises.progress("06")  # exercises.report("your name") writes a file to hand in

# %% [markdown]
# ## What you should remember
#
# 1. An ONNX file holds operators and numbers. A runtime of a few dozen MB is enough to run it, PyTorch is not needed.
# 2. After an export, compare the answers, weigh all files that belong to it, and try another batch size.
# 3. INT8 needs a quarter of the bytes for the weights. Whether it is faster depends on the width and on the batch.
# 4. Static scales need sample data like those that will come, save work, and make an answer independent of its batch. How
#    exact the file is depends on what else is rounded: here, on the logits.
# 5. Opening a pickle runs it. Opening an ONNX file does not.
#
# ## Where to go next
#
# Notebook 07 removes weights from the network, notebook 08 trains a smaller one. The dashboard puts all variants side
# by side, the files of this notebook among them.
