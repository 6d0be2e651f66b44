import copy
import importlib
import inspect
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import CalibrationDataReader
from onnxscript import opset18
from torch import library, nn

from coursekit import data, models, runtime
from coursekit import onnx_models as om
from coursekit.onnx_models import files, fresh_process, from_sklearn, naming, open_ends, packages, running

WIDE = (512, 1024, 768, 10)
# The oldest supported ONNX Runtime cannot normalise a layer of one number.
NARROWEST = 2 if onnxruntime.__version__.startswith("1.23.") else 1


@pytest.fixture(autouse=True)
def _one_thread():
    with runtime.threads(1):
        yield


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture(scope="module")
def trained(digits):
    model = models.mlp()
    # Ten epochs: with learning the logits grow, and float32 rounds larger numbers more coarsely.
    models.fit(model, digits.train.x, digits.train.y, epochs=10)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained, digits):
    """Write the digits MLP as every kind of file; tests must not change it."""
    place = tmp_path_factory.mktemp("onnx")
    om.export(trained, place / "fp32.onnx", digits.train.x[:8])
    om.quantize_dynamic(place / "fp32.onnx", place / "int8.onnx")
    om.quantize_static(place / "fp32.onnx", place / "static.onnx", [digits.train.x[:200]])
    for name in ("fp32", "int8", "static"):
        om.optimized(place / f"{name}.onnx", place / f"{name}-optimized.onnx")
    return place


def answers(model, *inputs):
    with torch.no_grad():
        outputs = model(*(torch.as_tensor(x) for x in inputs))
    return [each.numpy() for each in (outputs if isinstance(outputs, tuple) else (outputs,))]


def weights_of(path):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


# Parity


def test_the_exported_mlp_is_pytorch_s(folder, trained, digits):
    x = digits.test.x
    (expected,) = answers(trained, x)
    runner = om.load(folder / "fp32.onnx")
    assert np.abs(runner(x) - expected).max() <= 1e-5
    assert np.array_equal(om.predict(runner, x), expected.argmax(1))
    assert om.predict(runner, x).dtype == np.int64
    # and both are what the weights say, in float64
    (w1, b1), (w2, b2) = ((trained[i].weight, trained[i].bias) for i in (0, 2))
    w1, b1, w2, b2 = (each.detach().double().numpy() for each in (w1, b1, w2, b2))
    by_hand = np.maximum(x.astype(float) @ w1.T + b1, 0) @ w2.T + b2
    assert np.abs(runner(x) - by_hand).max() <= 1e-5


@pytest.mark.parametrize("name", ["fp32", "int8", "static"])
def test_onnx_s_own_reference_gives_the_same_outputs(folder, digits, name):
    x, path = digits.test.x[:40], str(folder / f"{name}.onnx")
    model = onnx.load(path)
    model.opset_import[
        0
    ].version = 19  # the reference does not know DequantizeLinear of 18, which is the same
    (expected,) = ReferenceEvaluator(model).run(None, {"input": x})
    for optimize in (True, False):
        ours = om.load(path, optimize=optimize)(x)
        # A value half-way between two steps may be rounded to either: one step of the first layer.
        scale = 1e-5 if name == "fp32" else 0.02 * np.abs(expected).max()
        assert np.abs(ours - expected).max() <= scale
        assert np.abs(ours - expected).mean() <= scale / 10


def test_dynamic_int8_is_integer_arithmetic(folder, trained, digits):
    x, stored = digits.test.x[:50], weights_of(folder / "int8.onnx")

    def layer(x, name, bias):
        low, high = min(x.min(), 0), max(x.max(), 0)
        scale = np.float32((high - low) / np.float32(255))
        zero = np.clip(np.rint(-low / scale), 0, 255)
        q = np.clip(np.rint(x / scale) + zero, 0, 255)
        w = stored[f"{name}.weight_quantized"].astype(np.int64)
        whole = (q - zero).astype(np.int64) @ w
        return whole * scale * stored[f"{name}.weight_scale"] + bias.detach().numpy()

    hidden = np.maximum(layer(x, "0", trained[0].bias), 0).astype(np.float32)
    expected = layer(hidden, "2", trained[2].bias)
    ours = om.load(folder / "int8.onnx", optimize=False)(x)
    assert np.abs(ours - expected).max() <= 0.02 * np.abs(expected).max()
    assert np.abs(ours - expected).mean() <= 1e-3 * np.abs(expected).max()
    # symmetric: one scale, zero point 0, and the stored integers are the weights up to half a step
    scale = stored["0.weight_scale"]
    back = stored["0.weight_quantized"].T * scale
    assert np.abs(back - trained[0].weight.detach().numpy()).max() <= 0.51 * scale
    assert not stored["0.weight_zero_point"].any()


def test_static_quantization_may_leave_the_outputs_in_float(folder, digits, trained, tmp_path):
    made = om.quantize_static(
        folder / "fp32.onnx", tmp_path / "open.onnx", [digits.train.x], float_outputs=True
    )
    rounded = om.quantize_static(folder / "fp32.onnx", tmp_path / "closed.onnx", [digits.train.x])
    x = digits.validation.x
    exact, open_ended, closed = (om.load(path)(x) for path in (folder / "fp32.onnx", made.path, rounded.path))
    # 256 levels at most where the logits are rounded, and as many as there are sums where they are not
    assert len(np.unique(closed)) <= 256 < len(np.unique(open_ended))
    # the open file rounded to the closed one's steps is the closed file
    scale = np.diff(np.unique(closed)).min()
    assert np.abs(open_ended - closed).max() <= 0.51 * scale
    assert np.sqrt(np.mean((open_ended - exact) ** 2)) < np.sqrt(np.mean((closed - exact) ** 2)) / 1.2
    assert made.outputs == rounded.outputs
    assert onnx.load(made.path).graph.node[-1].op_type == "Gemm"


def test_an_output_that_something_else_reads_stays_rounded_there(tmp_path):
    pair = [
        helper.make_node("MatMul", ["x", "w"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    stored = [
        numpy_helper.from_array(value, name)
        for name, value in {
            "w": np.eye(2, dtype=np.float32),
            "scale": np.float32(0.5),
            "zero": np.uint8(0),
        }.items()
    ]

    def graph(nodes, outputs):
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", *outputs)]
        made = helper.make_graph(nodes, "g", ends[:1], ends[1:], copy.deepcopy(stored))
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)

    def run(model):
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return [part.tolist() for part in session.run(None, {"x": np.float32([[0.6, 1.2]])})]

    alone, read, input_itself = (
        graph(pair, ["y"]),
        graph([*pair, helper.make_node("Neg", ["y"], ["z"])], ["y", "z"]),
        graph([helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]), pair[2]], ["y"]),
    )
    assert open_ends.float_outputs(alone) == ("y",)
    assert [node.op_type for node in alone.graph.node] == ["MatMul"]
    assert [tensor.name for tensor in alone.graph.initializer] == ["w"]
    assert run(alone) == [[[np.float32(0.6), np.float32(1.2)]]]
    assert open_ends.float_outputs(read) == ("y",)
    assert run(read) == [[[np.float32(0.6), np.float32(1.2)]], [[-0.5, -1.0]]]
    assert open_ends.float_outputs(input_itself) == ()
    assert run(input_itself) == [[[0.5, 1.0]]]
    with pytest.raises(TypeError, match="float_outputs"):
        om.quantize_static("a", "b", [], float_outputs="yes")


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weights", ["int8", "uint8"])
def test_the_ways_to_quantize_are_what_they_say(folder, digits, trained, tmp_path, weights, per_channel):
    made = om.quantize_dynamic(
        folder / "fp32.onnx", tmp_path / "q.onnx", weights=weights, per_channel=per_channel
    )
    stored = weights_of(made.path)
    assert stored["0.weight_quantized"].dtype == np.dtype(weights)
    assert stored["0.weight_scale"].size == (128 if per_channel else 1)
    assert stored["0.weight_zero_point"].any() == (weights == "uint8")
    assert made.size_bytes <= 0.32 * om.true_size(folder / "fp32.onnx")
    (expected,) = answers(trained, digits.test.x)
    runner = om.load(made.path)
    assert np.abs(runner(digits.test.x) - expected).max() <= 0.05 * np.abs(expected).max()
    assert (om.predict(runner, digits.test.x) == expected.argmax(1)).mean() >= 0.97


def test_files_shrink_as_promised(folder, tmp_path):
    fp32 = om.describe(folder / "fp32.onnx")
    parameters = 64 * 128 + 128 + 128 * 10 + 10
    assert 4 * parameters < fp32.size_bytes < 4 * parameters + 1000
    for name in ("int8", "static"):
        assert om.true_size(folder / f"{name}.onnx") <= 0.32 * fp32.size_bytes
    wide = om.export(models.mlp(WIDE), tmp_path / "wide.onnx", torch.randn(2, WIDE[0]))
    for per_channel in (False, True):
        made = om.quantize_dynamic(wide.path, tmp_path / "q.onnx", per_channel=per_channel)
        assert made.size_bytes <= 0.27 * wide.size_bytes
    made = om.quantize_static(wide.path, tmp_path / "s.onnx", [torch.randn(4, WIDE[0])])
    assert made.size_bytes <= 0.27 * wide.size_bytes


class Attention(nn.Module):
    def __init__(self, width, heads, outputs):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        y = self.norm(x)
        return self.head(x + self.attention(y, y, y, need_weights=False)[0])


def linear_chain(sizes):
    # eps=1: two nearly equal numbers, normalised, would make any rounding as large as the answer.
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    layers = [
        part
        for i, (a, b) in enumerate(pairs)
        for part in (nn.Linear(a, b, bias=i % 3 > 0), nn.LayerNorm(b, eps=1), nn.GELU())
    ]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 3)), (sizes[0],)


def conv_chain(sizes):
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    layers = [
        part
        for i, (a, b) in enumerate(pairs)
        for part in (nn.Conv2d(a, b, 1 + 2 * (i % 2), padding=i % 2, bias=i % 3 > 0), nn.ReLU())
    ]
    side = 5
    head = nn.Linear(sizes[-1] * side * (side + 1), 4)
    return nn.Sequential(*layers, nn.BatchNorm2d(sizes[-1]), nn.Flatten(), head), (sizes[0], side, side + 1)


def attention(sizes):
    heads, depth, outputs = 1 + sizes[0] % 3, 1 + sizes[1] % 5, sizes[-1]
    return Attention(heads * depth, heads, outputs), (1 + sizes[0], heads * depth)


@pytest.mark.parametrize(("build", "examples"), [(linear_chain, 2), (conv_chain, 2), (attention, 2)])
def test_any_shape_of_any_kind_exports_and_quantizes(build, examples, tmp_path):
    @settings(max_examples=examples, derandomize=True)
    @given(st.lists(st.integers(NARROWEST, 24), min_size=4, max_size=6), st.booleans())
    def check(sizes, dynamic_batch):
        torch.manual_seed(sum(sizes))
        model, shape = build(sizes)
        model.eval()
        example, fresh = torch.randn(2, *shape), torch.randn(5 if dynamic_batch else 2, *shape)
        path = tmp_path / "model.onnx"
        made = om.export(model, path, example, dynamic_batch=dynamic_batch)
        assert made.inputs[0][2][0] == ("batch" if dynamic_batch else 2)
        (expected,) = answers(model, fresh)
        assert np.abs(om.load(path)(fresh) - expected).max() <= 1e-5
        one = om.quantize_dynamic(path, tmp_path / "q.onnx")
        two = om.quantize_dynamic(path, tmp_path / "q8.onnx", weights="uint8", per_channel=True)
        static = om.quantize_static(path, tmp_path / "s.onnx", [fresh])
        for file in (one, two, static):
            error = np.abs(om.load(file.path)(fresh) - expected).mean()
            assert error <= 0.1 * np.abs(expected).max() + 0.01, file

    check()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 6), nn.Linear(5, 6)

    def forward(self, a, b):
        return self.left(a) * self.right(b), a.sum(1)


def test_several_inputs_and_outputs_keep_their_order(tmp_path):
    model, a, b = Two(), torch.randn(3, 4), torch.randn(3, 5)
    made = om.export(model, tmp_path / "two.onnx", (a[:2], b[:2]))
    assert [(name, shape) for name, _, shape in made.inputs] == [("a", ("batch", 4)), ("b", ("batch", 5))]
    runner = om.load(made.path)
    for x in ((a, b), {"b": b.numpy(), "a": a.numpy()}):
        for ours, theirs in zip(runner.run(x), answers(model, a, b), strict=True):
            assert np.abs(ours - theirs).max() <= 1e-5
    assert np.array_equal(runner((a, b)), runner.run((a, b))[0])
    with pytest.raises(ValueError, match=r"x must hold 2 inputs \(a, b\); got 1"):
        runner(a)
    with pytest.raises(ValueError, match="x must name the inputs a, b; got a, c"):
        runner({"a": a, "c": b})
    alone = om.run_without_torch(made.path, (a, b))
    assert [each.shape for each in alone.outputs] == [(3, 6), (3,)]


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, *tokens):
        return self.head(sum(self.words(each) for each in tokens))


def test_whole_numbers_and_any_count_of_arguments(tmp_path):
    model, tokens = Lookup(), torch.arange(20).reshape(2, 5, 2)
    om.export(model, tmp_path / "words.onnx", (tokens[0], tokens[1]))
    ours = om.load(tmp_path / "words.onnx")((tokens[0], tokens[1]))
    assert np.abs(ours - answers(model, *tokens)[0]).max() <= 1e-5
    with pytest.raises(ValueError, match="whole numbers"):
        om.load(tmp_path / "words.onnx")((np.full((2, 2), 0.5), tokens[1]))


def test_a_fixed_batch_takes_no_other(tmp_path):
    om.export(nn.Linear(3, 2), tmp_path / "fixed.onnx", torch.randn(4, 3), dynamic_batch=False)
    runner = om.load(tmp_path / "fixed.onnx")
    assert runner(np.zeros((4, 3))).shape == (4, 2)
    with pytest.raises(ValueError, match=r"input must have shape \[4, 3\]; got \(1, 3\)"):
        runner(np.zeros((1, 3)))
    om.export(nn.Linear(3, 2), tmp_path / "free.onnx", torch.randn(2, 3))
    for batch in (1, 2, 77):
        assert om.load(tmp_path / "free.onnx")(np.zeros((batch, 3))).shape == (batch, 2)


def test_export_leaves_the_model_as_it_was(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9), nn.BatchNorm1d(3))
    model.train()
    model[2].eval()
    before = pickle.dumps(model.state_dict())
    om.export(model, tmp_path / "m.onnx", torch.randn(4, 3))
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert pickle.dumps(model.state_dict()) == before
    assert "Dropout" not in om.describe(tmp_path / "m.onnx").operators


def test_sklearn_s_labels_and_probabilities(digits, tmp_path):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, names = digits.test.x, np.array([f"digit {i}" for i in range(10)])
    shifted = digits.train.y + 5
    for estimator, labels in (
        (LogisticRegression(max_iter=300), shifted),
        (make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)), shifted),
        (RandomForestClassifier(20, random_state=0), shifted),
    ):
        estimator.fit(digits.train.x, labels)
        made = om.export_sklearn(estimator, tmp_path / "s.onnx", 64)
        assert "ZipMap" not in made.operators
        assert [shape for _, _, shape in made.outputs] == [("batch",), ("batch", 10)]
        runner = om.load(made.path)
        assert np.array_equal(om.predict(runner, x), estimator.predict(x))
        assert np.abs(runner(x) - estimator.predict_proba(x)).max() <= 1e-5
    ridge = Ridge().fit(digits.train.x, digits.train.y)
    om.export_sklearn(ridge, tmp_path / "r.onnx", 64)
    assert np.abs(om.load(tmp_path / "r.onnx")(x)[:, 0] - ridge.predict(x)).max() <= 1e-4
    worded = LogisticRegression(max_iter=300).fit(digits.train.x[:200], names[digits.train.y[:200]])
    om.export_sklearn(worded, tmp_path / "w.onnx", 64)
    assert om.load(tmp_path / "w.onnx").run(x[:2])[0].tolist() == worded.predict(x[:2]).tolist()
    assert om.predict(om.load(tmp_path / "w.onnx"), x).tolist() == worded.predict(x).tolist()


def test_an_estimator_without_probabilities_answers_with_scores(digits, tmp_path):
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    x, y = digits.train.x[:300], digits.train.y[:300]
    search = GridSearchCV(LinearSVC(), {"C": [0.1, 1.0]}, cv=2)
    for estimator in (
        LinearSVC(),
        RidgeClassifier(),
        search,
        make_pipeline(StandardScaler(), LinearSVC()),
        make_pipeline(StandardScaler(), search),
        make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LinearSVC())),
    ):
        for labels in (y, y > 4):
            estimator.fit(x, labels)
            made = om.export_sklearn(estimator, tmp_path / "s.onnx", 64)
            runner, scores = om.load(made.path), estimator.decision_function(digits.test.x)
            assert "ZipMap" not in made.operators
            assert np.array_equal(om.predict(runner, digits.test.x), estimator.predict(digits.test.x))
            # of two classes, some files score both, and the last column is the one that scikit-learn gives
            ours = runner(digits.test.x) if scores.ndim == 2 else runner(digits.test.x)[:, -1]
            assert np.abs(ours - scores).max() <= 1e-4


def test_bad_estimators_are_refused(tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(ValueError, match="LogisticRegression cannot be exported: .* Is it fitted"):
        om.export_sklearn(LogisticRegression(), tmp_path / "s.onnx", 4)
    fitted = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="features must be 4, as the estimator was fitted with; got 5"):
        om.export_sklearn(fitted, tmp_path / "s.onnx", 5)
    with pytest.raises(TypeError, match="estimator must be a fitted scikit-learn estimator; got int"):
        om.export_sklearn(3, tmp_path / "s.onnx", 4)
    monkeypatch.setattr(from_sklearn, "_zipmap_off", lambda estimator: {id(estimator): {"zap": True}})
    with pytest.raises(ValueError, match="LogisticRegression cannot be exported: NameError: Option 'zap'"):
        om.export_sklearn(fitted, tmp_path / "s.onnx", 4)
    assert not list(tmp_path.iterdir())


# Types other than float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_model_of_another_type_answers_in_its_own(dtype, digits, tmp_path, trained):
    model, x = copy.deepcopy(trained).to(dtype), torch.from_numpy(digits.test.x)
    kind, name = torch.finfo(dtype), str(dtype).removeprefix("torch.")
    # The same weights and inputs in float64; PyTorch's own rounding is the measure of half precision.
    (expected,) = answers(copy.deepcopy(model).double(), x.to(dtype).double())
    (theirs,) = answers(model, x.to(dtype))
    bound = 2 * np.abs(theirs - expected).max() + 16 * kind.eps * np.abs(expected).max()

    def check(ours):
        assert ours.dtype == np.dtype(name)
        assert np.abs(ours - expected).max() <= bound

    for given_as in (torch.float64, torch.float32, torch.float16):
        made = om.export(model, tmp_path / "m.onnx", x[:4].to(given_as))
        assert made.inputs == (("input", name, ("batch", 64)),)
        assert made.outputs == (("output", name, ("batch", 10)),)
        for form in (x, x.to(dtype), x.numpy()):
            check(om.load(made.path)(form))
    for alone in (om.run_without_torch(made.path, x), om.run_with_torch(model, x)):
        check(alone.outputs[0])
    check(om.run_with_torch(model, x.double()).outputs[0])


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (nn.Linear(3, 2).bfloat16(), "bfloat16"),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).double()), "float32 and float64"),
        (nn.Sequential(nn.Linear(3, 4).half(), nn.Linear(4, 2)), "float16 and float32"),
    ],
)
def test_types_that_no_file_can_hold_together_are_refused(model, found, tmp_path):
    says = rf"parameters of one type, float16, float32 or float64; got {found}: use model.float\(\)"
    for call in (lambda x: om.export(model, tmp_path / "m.onnx", x), lambda x: om.run_with_torch(model, x)):
        with pytest.raises(ValueError, match=says):
            call(torch.randn(2, 3))
    assert not list(tmp_path.iterdir())
    assert om.export(model.float(), tmp_path / "m.onnx", torch.randn(2, 3)).inputs[0][1] == "float32"


def test_only_float32_is_quantized(tmp_path):
    for model, says in (
        (
            nn.Linear(3, 2).half(),
            r"has float16 weights, and only float32 is quantized: export model.float\(\)",
        ),
        (nn.Linear(3, 2).double(), "has no Linear, MatMul or convolution with float32 weights"),
    ):
        source, target = tmp_path / "m.onnx", tmp_path / "q.onnx"
        om.export(model, source, torch.randn(2, 3))
        for call in (om.quantize_dynamic, lambda a, b: om.quantize_static(a, b, [np.ones((2, 3))])):
            with pytest.raises(ValueError, match=says):
                call(source, target)
        assert not target.exists()


# The two ways that PyTorch has changed


def test_only_parameters_that_this_pytorch_knows_are_passed(monkeypatch, tmp_path):
    real, seen = torch.onnx.export, {}

    def younger(model, args, f, *, opset_version, dynamic_shapes, **others):
        seen.update(others)
        real(model, args, f, opset_version=opset_version, dynamic_shapes=dynamic_shapes, external_data=False)

    younger.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
            for name in ("opset_version", "dynamic_shapes")
        ]
    )
    monkeypatch.setattr(torch.onnx, "export", younger)
    made = om.export(nn.Linear(3, 2), tmp_path / "m.onnx", torch.randn(2, 3))
    assert seen == {}
    assert made.operators == ("Gemm",)


def test_a_second_export_does_not_read_pytorch_s_operators_again(monkeypatch, tmp_path):
    asked = importlib.import_module("torch.onnx._internal._lazy_import").onnxscript_apis
    found, calls = asked.get_torchlib_ops, []

    def counted():
        calls.append(1)
        return found()

    monkeypatch.setattr(asked, "get_torchlib_ops", counted)
    model = models.mlp((4, 3, 2))
    made = [om.export(model, tmp_path / f"{number}.onnx", torch.zeros(2, 4)) for number in (1, 2)]
    assert len(calls) == 1
    assert asked.get_torchlib_ops is counted, "whoever exports by hand finds PyTorch as it was"
    first, second = (file.path.read_bytes() for file in made)
    assert first == second


def test_an_operator_that_is_registered_between_two_exports_is_found(monkeypatch, tmp_path):
    torch_lib = importlib.import_module("onnxscript.function_libs.torch_lib.registration")
    registry = torch_lib.default_registry
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))

    @library.custom_op("coursekit_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    twice.register_fake(torch.empty_like)

    class Twice(nn.Module):
        def forward(self, x):
            return twice(x)

    om.export(nn.Linear(3, 2), tmp_path / "first.onnx", torch.zeros(2, 3))
    with pytest.raises(ValueError, match="No ONNX function found"):
        om.export(Twice(), tmp_path / "twice.onnx", torch.ones(2, 3))

    @torch_lib.torch_op("coursekit_test::twice", trace_only=True)
    def added(x):
        return opset18.Add(x, x)

    assert om.export(Twice(), tmp_path / "twice.onnx", torch.ones(2, 3)).operators == ("Add",)


def test_two_threads_may_export_at_once(tmp_path):
    asked = importlib.import_module("torch.onnx._internal._lazy_import").onnxscript_apis
    found, made = asked.get_torchlib_ops, []

    def work(number):
        made.append(om.export(nn.Linear(3, 2), tmp_path / f"{number}.onnx", torch.zeros(2, 3)))

    both = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(made) == 2
    assert asked.get_torchlib_ops == found


def test_overlapping_silences_end_with_the_last_one():
    held = sys.stdout, sys.stderr, logging.root.manager.disable, warnings.filters[:], logging.root.handlers[:]
    first, second = packages.quiet(), packages.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.stdout is not held[0]
    assert logging.root.manager.disable == logging.CRITICAL
    second.__exit__(None, None, None)
    found = (
        sys.stdout,
        sys.stderr,
        logging.root.manager.disable,
        warnings.filters[:],
        logging.root.handlers[:],
    )
    assert found == held


def test_numbered_axes_are_called_batch():
    shapes = (["s77", 4], ["s77", "2*s77", "s7"])
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip("ab", shapes, strict=True)
    ]
    model = helper.make_model(
        helper.make_graph([helper.make_node("Identity", "a", "b")], "g", info[:1], info[1:])
    )
    naming.name_axis(model, 0, naming.BATCH)
    naming.name_ends(model)
    dims = [dim.dim_param for dim in model.graph.output[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "2*batch", "s7"]
    assert model.graph.output[0].name == model.graph.node[0].output[0] == "output"


def test_models_that_cannot_be_exported_say_why_and_leave_nothing(tmp_path):
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    (tmp_path / "m.onnx").write_bytes(b"the file of yesterday")
    with pytest.raises(ValueError, match="Branch cannot be exported: .*data-dependent"):
        om.export(Branch(), tmp_path / "m.onnx", torch.randn(2, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_bytes() == b"the file of yesterday"


@pytest.mark.parametrize(
    ("example", "error", "says"),
    [
        (torch.randn(1, 3), ValueError, "at least 2 inputs"),
        (torch.tensor(1.0), ValueError, "at least 2 inputs"),
        ((), ValueError, "empty tuple"),
        (np.full((2, 3), np.nan), ValueError, "example must be finite"),
        ("x", TypeError, "example must be an array"),
        ((torch.randn(2, 3), torch.randn(3, 3)), ValueError, "one batch; got batches of 2, 3"),
        ((torch.randn(2, 3), torch.randn(2, 3)), ValueError, r"takes 1 inputs \(input\); example has 2"),
    ],
)
def test_bad_examples_are_refused(example, error, says, tmp_path):
    with pytest.raises(error, match=says):
        om.export(nn.Linear(3, 2), tmp_path / "m.onnx", example)
    assert not list(tmp_path.iterdir())


def test_bad_models_and_targets_are_refused(tmp_path):
    x = torch.randn(2, 3)
    with pytest.raises(TypeError, match="model must be an nn.Module; got int"):
        om.export(1, tmp_path / "m.onnx", x)
    with pytest.raises(ValueError, match="is a folder"):
        om.export(nn.Linear(3, 2), tmp_path, x)
    with pytest.raises(ValueError, match="does not exist: make it first"):
        om.export(nn.Linear(3, 2), tmp_path / "no" / "m.onnx", x)
    with pytest.raises(TypeError, match="path must be a path, as text or a Path; got 3"):
        om.export(nn.Linear(3, 2), 3, x)


# Files, damaged and hostile


def damage(kind, good, bad):
    """Write a damaged file of this kind to ``bad``."""
    content = good.read_bytes()
    if kind == "text":
        bad.write_text("This is not a model.\n" * 50, encoding="utf-8")
    elif kind == "pickle":
        bad.write_bytes(pickle.dumps({"weights": list(range(100))}))
    elif kind == "noise":
        bad.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "web page":
        bad.write_text("<!DOCTYPE html><html>404 – not found</html>", encoding="utf-8")
    else:
        share = {"empty": 0.0, "cut at 1 %": 0.01, "cut in half": 0.5, "cut near the end": 0.99}[kind]
        bad.write_bytes(content[: int(share * len(content))])


DAMAGES = ["text", "pickle", "noise", "web page", "empty", "cut at 1 %", "cut in half", "cut near the end"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_get_a_clear_error_and_stay(kind, folder, tmp_path, digits, capfd):
    bad, target = tmp_path / "bad.onnx", tmp_path / "target.onnx"
    damage(kind, folder / "fp32.onnx", bad)
    content = bad.read_bytes()
    target.write_bytes(b"precious")
    for call in (
        lambda: om.describe(bad),
        lambda: om.true_size(bad),
        lambda: om.load(bad),
        lambda: om.graph(bad),
        lambda: om.quantize_dynamic(bad, target),
        lambda: om.quantize_static(bad, target, [digits.test.x]),
        lambda: om.optimized(bad, target),
        lambda: om.run_without_torch(bad, digits.test.x),
    ):
        with pytest.raises(
            ValueError, match=r"bad.onnx is not a usable ONNX file \(.+\)\. Export the model again"
        ):
            call()
    assert bad.read_bytes() == content
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx", "target.onnx"]
    assert capfd.readouterr() == ("", "")


@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(folder, tmp_path_factory, share):
    content = (folder / "int8.onnx").read_bytes()
    bad = tmp_path_factory.getbasetemp() / "cut.onnx"
    bad.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="is not a usable ONNX file"):
        om.load(bad)


def test_wrong_paths_are_named(tmp_path):
    with pytest.raises(ValueError, match="is a folder: name a file in it"):
        om.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file .*none.onnx"):
        om.describe(tmp_path / "none.onnx")
    with pytest.raises(TypeError, match="path must be a path, as text or a Path; got None"):
        om.load(None)


def external(folder, tmp_path):
    """Write the MLP with its weights in a file beside it; return both."""
    model = onnx.load(folder / "fp32.onnx")
    onnx.save_model(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=100
    )
    return tmp_path / "m.onnx", tmp_path / "w.bin"


def test_the_true_size_counts_what_lies_outside(folder, tmp_path, digits):
    path, beside = external(folder, tmp_path)
    made = om.describe(path)
    assert path.stat().st_size < 3000
    assert made.external == beside.stat().st_size > 38_000
    assert made.size_bytes == om.true_size(path) == path.stat().st_size + beside.stat().st_size
    assert "outside the .onnx" in str(made)
    x = digits.test.x
    assert np.array_equal(om.load(path)(x), om.load(folder / "fp32.onnx")(x))
    # what is written from it is one file again
    assert om.quantize_dynamic(path, tmp_path / "q.onnx").external == 0
    assert np.array_equal(om.load(tmp_path / "q.onnx")(x), om.load(folder / "int8.onnx")(x))
    assert om.graph(path).weight_bytes == om.graph(folder / "fp32.onnx").weight_bytes


def test_missing_and_short_external_data_are_named(folder, tmp_path):
    path, beside = external(folder, tmp_path)
    beside.write_bytes(beside.read_bytes()[:-4000])
    for call in (om.describe, om.load, om.graph):
        with pytest.raises(ValueError, match=r"'w.bin', which holds its weights, is cut short"):
            call(path)
    beside.unlink()
    for call in (om.describe, om.load, om.graph):
        with pytest.raises(ValueError, match=r"its weights are in 'w.bin', which is missing: the two travel"):
            call(path)


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")


@pytest.mark.parametrize("where", ["../secret.bin", "{absolute}", "", "link.bin"])
def test_external_data_outside_the_folder_are_refused(folder, tmp_path, where):
    inner = tmp_path / "inner"
    inner.mkdir()
    path, beside = external(folder, inner)
    secret = tmp_path / "secret.bin"
    shutil.move(beside, secret)
    if where == "link.bin":
        link(inner / where, secret)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = where.format(absolute=secret)
    path.write_bytes(model.SerializeToString())
    for call in (om.describe, om.load, lambda path: om.quantize_dynamic(path, inner / "q.onnx")):
        with pytest.raises(ValueError, match="point outside its folder"):
            call(path)


@pytest.mark.parametrize(("key", "value"), [("offset", "-4"), ("length", "99999999"), ("offset", "ten")])
def test_nonsense_in_external_data_is_refused(folder, tmp_path, key, value):
    path, _ = external(folder, tmp_path)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = value if entry.key == key else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="is not a usable ONNX file"):
        om.load(path)


def test_unknown_operators_are_refused(tmp_path):
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    for domain in ("", "evil.example"):
        node = helper.make_node("RunAnything", ["x"], ["y"], domain=domain)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("evil.example", 1)]
        model = helper.make_model(
            helper.make_graph([node], "g", [info], [out]), opset_imports=opsets, ir_version=8
        )
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match="is not a usable ONNX file"):
            om.load(tmp_path / "m.onnx")


def test_a_failed_write_leaves_the_old_file(folder, tmp_path, monkeypatch):
    target = tmp_path / "m.onnx"
    target.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        om.quantize_dynamic(folder / "fp32.onnx", target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_may_be_quantized_onto_itself(folder, tmp_path):
    path = tmp_path / "m.onnx"
    shutil.copy(folder / "fp32.onnx", path)
    assert om.quantize_dynamic(path, path).size_bytes == om.true_size(folder / "int8.onnx")


def test_files_tell_nothing_about_this_machine(folder):
    for path in folder.glob("*.onnx"):
        model = onnx.load(path)
        model.graph.ClearField("initializer")
        content = model.SerializeToString()
        assert b"site-packages" not in content
        assert not re.search(rb"\.py\b", content)
        assert str(folder).encode() not in content


def test_models_beyond_two_gigabytes_are_refused(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(files, "MOST_IN_ONE_FILE", 1000)
    with pytest.raises(ValueError, match="one ONNX file holds 2 GB at most; this model needs 39"):
        files.write(onnx.load(folder / "fp32.onnx"), tmp_path / "m.onnx")


# Quantizing


def test_nothing_to_quantize_is_said(tmp_path, digits):
    om.export(nn.ReLU(), tmp_path / "relu.onnx", torch.randn(2, 3))
    for call in (om.quantize_dynamic, lambda a, b: om.quantize_static(a, b, [np.ones((2, 3))])):
        with pytest.raises(ValueError, match="has no Linear, MatMul or convolution"):
            call(tmp_path / "relu.onnx", tmp_path / "q.onnx")
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("name", ["int8", "static", "int8-optimized", "static-optimized"])
def test_what_is_quantized_already_is_said(folder, tmp_path, digits, name):
    source, target = folder / f"{name}.onnx", tmp_path / "q.onnx"
    for call in (om.quantize_dynamic, lambda a, b: om.quantize_static(a, b, [digits.train.x[:9]])):
        with pytest.raises(ValueError, match=rf"{name}.onnx is quantized already \(it holds \w+\): start"):
            call(source, target)
    assert not target.exists()


def test_a_table_of_small_integers_is_not_taken_for_a_quantized_model(tmp_path):
    source, target = tmp_path / "m.onnx", tmp_path / "q.onnx"
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy"]
    nodes = [
        helper.make_node("Cast", ["table"], ["row"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "row"], ["y"]),
    ]
    table = numpy_helper.from_array(np.array([-3, 0, 3], np.int8), "table")
    model = helper.make_model(
        helper.make_graph(nodes, "g", info[:1], info[1:], [table]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    source.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="has no Linear, MatMul or convolution"):
        om.quantize_dynamic(source, target)
    assert not target.exists()


class Reader(CalibrationDataReader):
    def __init__(self, batches):
        self.batches = iter(batches)

    def get_next(self):
        return next(self.batches, None)


def test_a_reader_and_plain_batches_calibrate_alike(folder, tmp_path, digits):
    x = digits.train.x[:90]
    batches = [x[:30], x[30:60], x[60:]]
    forms = {
        "arrays": batches,
        "generator": (batch for batch in batches),
        "tensors": [torch.tensor(batch) for batch in batches],
        "tuples": [(batch,) for batch in batches],
        "dicts": [{"input": batch} for batch in batches],
        "reader": Reader([{"input": batch} for batch in batches]),
    }
    made = {
        name: om.quantize_static(folder / "fp32.onnx", tmp_path / f"{name}.onnx", form)
        for name, form in forms.items()
    }
    contents = {file.path.read_bytes() for file in made.values()}
    assert len(contents) == 1
    # and the scale of the input is its range over 255 steps
    stored = weights_of(made["arrays"].path)
    assert stored["input_scale"] == pytest.approx((x.max() - min(x.min(), 0)) / 255, rel=1e-6)


@pytest.mark.parametrize(
    ("batches", "error", "says"),
    [
        ([], ValueError, "holds no batch"),
        (Reader([]), ValueError, "holds no batch"),
        (3, TypeError, "batches must be an iterable of arrays or a reader; got int"),
        ("abc", TypeError, "got str"),
        ([np.full((2, 64), np.nan)], ValueError, "must be finite"),
        ([np.zeros((2, 2, 64))], ValueError, r"must have 2 dimension\(s\)"),
        ([np.zeros((0, 64))], ValueError, "is empty"),
        (
            Reader([{"x": np.zeros((2, 64))}]),
            ValueError,
            "reader must name the inputs input; got x",
        ),
    ],
)
def test_bad_batches_are_refused(folder, tmp_path, batches, error, says):
    with pytest.raises(error, match=says):
        om.quantize_static(folder / "fp32.onnx", tmp_path / "q.onnx", batches)
    assert not list(tmp_path.iterdir())


def test_bad_choices_are_refused(folder, tmp_path):
    source, target = folder / "fp32.onnx", tmp_path / "q.onnx"
    with pytest.raises(ValueError, match="weights must be one of int8, uint8; got 'int4'"):
        om.quantize_dynamic(source, target, weights="int4")
    with pytest.raises(ValueError, match="activations must be one of int8, uint8"):
        om.quantize_static(source, target, [np.zeros((2, 64))], activations="fp8")
    with pytest.raises(ValueError, match="method must be one of minmax, entropy, percentile"):
        om.quantize_static(source, target, [np.zeros((2, 64))], method="guess")
    with pytest.raises(ValueError, match="level must be one of basic, extended, all"):
        om.optimized(source, target, level="none")
    with pytest.raises(ValueError, match="optimize must be one of"):
        om.load(source, optimize="most")
    with pytest.raises(ValueError, match="threads must be at least 1"):
        om.load(source, threads=0)
    with pytest.raises(ValueError, match="device must be one of"):
        om.load(source, device="tpu")


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_other_ways_to_calibrate_work(folder, tmp_path, digits, method):
    made = om.quantize_static(
        folder / "fp32.onnx", tmp_path / "q.onnx", [digits.train.x[:200]], method=method
    )
    agree = om.predict(om.load(made.path), digits.test.x) == om.predict(
        om.load(folder / "fp32.onnx"), digits.test.x
    )
    assert agree.mean() > 0.9


# Running


def test_lists_arrays_and_tensors_give_the_same(folder, digits):
    runner, x = om.load(folder / "fp32.onnx"), digits.test.x[:5]
    expected = runner(x)
    for form in (x.tolist(), x.astype(np.float64), torch.tensor(x), torch.tensor(x).double(), x[:, ::1]):
        assert np.array_equal(runner(form), expected)
    assert runner.run(x)[0].dtype == np.float32
    assert repr(runner) == "fp32.onnx on CPU"
    assert runner.provider == "CPU"


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (np.full((2, 64), np.nan), ValueError, "x must be finite; 128 of 128"),
        (np.full((2, 64), np.inf, np.float32), ValueError, "x must be finite"),
        (np.full((2, 64), 1e300), ValueError, "x must be finite"),
        (np.zeros(64), ValueError, r"x must have 2 dimension\(s\); got shape \(64,\)"),
        (np.zeros((2, 63)), ValueError, r"input must have shape \[batch, 64\]; got \(2, 63\)"),
        (np.zeros((0, 64)), ValueError, "x is empty"),
        ("digits", TypeError, "x must be an array of numbers"),
        (np.zeros((2, 64), bool), TypeError, "x must be an array of numbers"),
        (None, TypeError, "x must be an array of numbers"),
    ],
)
@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_bad_input_never_gives_a_number(folder, name, x, error, says, capfd):
    with pytest.raises(error, match=says):
        om.load(folder / f"{name}.onnx")(x)
    assert capfd.readouterr() == ("", "")


def test_predict_wants_a_runner():
    with pytest.raises(TypeError, match="runner must be a Runner, as load returns it; got str"):
        om.predict("m.onnx", np.zeros((1, 64)))


def test_threads_are_those_asked_for(folder, digits):
    runner = om.load(folder / "fp32.onnx", threads=2)
    assert runner.session.get_session_options().intra_op_num_threads == 2
    assert np.abs(runner(digits.test.x) - om.load(folder / "fp32.onnx")(digits.test.x)).max() <= 1e-5


def test_cuda_that_is_not_there_is_said(folder, monkeypatch, digits):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    runner = om.load(folder / "fp32.onnx", device="cuda")
    assert runner.provider == "CPU"
    assert "has no CUDA provider here" in runner.note
    assert "pip install onnxruntime-gpu" in repr(runner)
    assert om.load(folder / "fp32.onnx", device="cpu").note == ""
    assert len(om.predict(runner, digits.test.x[:3])) == 3


def test_cuda_that_does_not_start_is_said(folder, monkeypatch):
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: [running.CUDA, "CPUExecutionProvider"]
    )
    asked = []
    real = onnxruntime.InferenceSession

    def session(path, options, providers):
        asked.append(providers)
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    runner = om.load(folder / "fp32.onnx", device="cuda")
    assert asked == [[running.CUDA, running.CPU]]
    assert "it could not be started" in runner.note


@pytest.mark.cuda
@pytest.mark.skipif(running.CUDA not in onnxruntime.get_available_providers(), reason="no CUDA provider")
def test_the_cuda_provider_gives_the_same(folder, digits):
    runner = om.load(folder / "fp32.onnx", device="cuda")
    assert runner.provider == "CUDA"
    assert (
        np.abs(runner(digits.test.x) - om.load(folder / "fp32.onnx", device="cpu")(digits.test.x)).max()
        < 1e-3
    )


# The graph


def test_the_graph_of_the_mlp(folder):
    graph = om.graph(folder / "fp32.onnx")
    assert [node.op for node in graph.nodes] == ["Gemm", "Relu", "Gemm"]
    assert [weight.shape for weight in graph.nodes[0].weights] == [(128, 64), (128,)]
    assert graph.weight_bytes == 4 * (64 * 128 + 128 + 128 * 10 + 10)
    ends = [(edge.source, edge.target) for edge in graph.edges]
    assert ends == [(None, 0), (0, 1), (1, 2), (2, None)]
    assert (graph.inputs, graph.outputs) == (("input",), ("output",))
    assert str(graph).splitlines()[2].split()[0] == "Gemm"
    assert "<table>" in graph._repr_html_()


def test_edges_are_those_of_the_file(folder):
    for path in folder.glob("*.onnx"):
        graph, model = om.graph(path), onnx.load(path)
        assert om.describe(path).operators == tuple(node.op for node in graph.nodes)
        expected = {
            (a, b, value)
            for b, reader in enumerate(model.graph.node)
            for value in reader.input
            for a, writer in enumerate(model.graph.node)
            if value in writer.output
        }
        inner = {(e.source, e.target, e.value) for e in graph.edges if None not in (e.source, e.target)}
        assert inner == expected
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        assert graph.weight_bytes == sum(numpy_helper.to_array(tensor).nbytes for tensor in stored.values())


def test_fused_operators_are_named_with_their_parts(folder):
    fused = {
        name: [
            str(each)
            for each in om.graph(folder / f"{name}-optimized.onnx").fusions(om.graph(folder / f"{name}.onnx"))
        ]
        for name in ("fp32", "int8", "static")
    }
    assert fused["fp32"] == ["FusedGemm = Gemm + Relu"]
    steps = "DynamicQuantizeLinear + Mul + MatMulInteger + Cast + Mul + Add"
    assert fused["int8"] == [f"DynamicQuantizeMatMul = {steps}"] * 2
    assert all(line.startswith("QGemm = ") and "Gemm + Quantize" in line for line in fused["static"])
    assert om.graph(folder / "fp32.onnx").fusions(om.graph(folder / "fp32.onnx")) == ()


@pytest.mark.parametrize("name", ["fp32", "int8", "static"])
def test_optimised_files_answer_the_same(folder, digits, name):
    x = digits.test.x
    plain, fused = (om.load(folder / f"{name}{end}.onnx", optimize=False) for end in ("", "-optimized"))
    assert len(om.graph(fused.path).nodes) < len(om.graph(plain.path).nodes)
    scale = 1e-5 if name == "fp32" else 0.02 * np.abs(plain(x)).max()
    assert np.abs(plain(x) - fused(x)).max() <= scale


def test_graphs_within_graphs_are_read(tmp_path):
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["then"])],
        "then",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["else"])],
        "else",
        [],
        [helper.make_tensor_value_info("else", TensorProto.FLOAT, [1])],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=other)
    model = helper.make_model(
        helper.make_graph(
            [node],
            "g",
            [
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    assert sorted(graph.name for graph in files.graphs(model.graph)) == ["else", "g", "then"]
    onnx.save_model(
        model, tmp_path / "if.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    assert om.describe(tmp_path / "if.onnx").operators == ("If",)


# A process of its own


def test_a_process_without_torch_gives_the_same_answers(folder, digits):
    alone = om.run_without_torch(folder / "int8.onnx", digits.test.x)
    assert np.array_equal(alone.outputs[0], om.load(folder / "int8.onnx")(digits.test.x))
    assert alone.seconds == alone.import_seconds + alone.load_seconds + alone.run_seconds
    assert min(alone.import_seconds, alone.load_seconds, alone.run_seconds) > 0
    assert 1e6 < alone.bare_bytes < alone.memory_bytes
    assert alone.runtime == f"onnxruntime {onnxruntime.__version__}"
    assert "in all" in str(alone)
    assert "<table>" in alone._repr_html_()


def test_memory_is_the_child_s_own(folder, digits):
    ballast = np.ones(60_000_000)  # 480 MB here must not be counted there
    alone = om.run_without_torch(folder / "fp32.onnx", digits.test.x[:1])
    assert alone.memory_bytes < ballast.nbytes


def test_torch_really_cannot_be_imported(folder, monkeypatch, digits):
    sneaky = fresh_process.WITHOUT_TORCH.replace(
        "import onnxruntime\n", "import onnxruntime\nimport torch\n", 1
    )
    assert sneaky != fresh_process.WITHOUT_TORCH
    monkeypatch.setattr(fresh_process, "WITHOUT_TORCH", sneaky)
    with pytest.raises(RuntimeError, match="import of torch halted"):
        om.run_without_torch(folder / "fp32.onnx", digits.test.x)
    freed = fresh_process.WITHOUT_TORCH.replace("import torch\n", "del sys.modules['torch']\n", 1)
    monkeypatch.setattr(fresh_process, "WITHOUT_TORCH", freed)
    with pytest.raises(RuntimeError, match="torch could be imported after all"):
        om.run_without_torch(folder / "fp32.onnx", digits.test.x)


def test_the_process_with_torch_is_measured_alike(trained, digits):
    beside = om.run_with_torch(trained, digits.test.x)
    assert np.array_equal(beside.outputs[0], answers(trained, digits.test.x)[0])
    assert beside.runtime == f"torch {torch.__version__}"
    with pytest.raises(TypeError, match="model must be an nn.Module"):
        om.run_with_torch(lambda x: x, digits.test.x)
    hidden = nn.Sequential(nn.ReLU())
    hidden.hook = lambda x: x
    with pytest.raises(ValueError, match="Sequential cannot be saved as a whole"):
        om.run_with_torch(hidden, digits.test.x)


def test_children_that_fail_or_hang_are_named(folder, monkeypatch, digits):
    with pytest.raises(ValueError, match="x must be finite"):
        om.run_without_torch(folder / "fp32.onnx", np.full((1, 64), np.nan))
    with pytest.raises(RuntimeError, match="process that runs fp32.onnx failed: .*Expected: 64"):
        om.run_without_torch(folder / "fp32.onnx", np.zeros((1, 63)))
    with pytest.raises(TimeoutError, match="gave no answer within the timeout of 0.01 s"):
        om.run_without_torch(folder / "fp32.onnx", digits.test.x, timeout=0.01)


# Quiet, and what is printed


def test_nothing_is_said_in_passing():
    code = """
import tempfile, warnings
import numpy as np, torch
from sklearn.linear_model import LogisticRegression
from coursekit import models, onnx_models as om
warnings.simplefilter("error")
with tempfile.TemporaryDirectory() as folder:
    path = folder + "/m.onnx"
    om.export(models.mlp((8, 16, 3)), path, torch.randn(2, 8))
    om.quantize_dynamic(path, folder + "/q.onnx")
    om.quantize_static(path, folder + "/s.onnx", [np.ones((2, 8), np.float32)])
    om.optimized(folder + "/q.onnx", folder + "/o.onnx", level="all")
    om.export_sklearn(LogisticRegression().fit(np.eye(4), [0, 1, 0, 1]), folder + "/l.onnx", 4)
    om.load(folder + "/l.onnx")(np.eye(4))
    om.run_without_torch(path, np.ones((1, 8)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_logging_and_warnings_are_as_before(folder, tmp_path):
    handlers, level, filters = (
        list(logging.root.handlers),
        logging.root.manager.disable,
        list(warnings.filters),
    )
    om.quantize_dynamic(folder / "fp32.onnx", tmp_path / "q.onnx")
    (tmp_path / "bad.onnx").write_text("no")
    with pytest.raises(ValueError, match="is not a usable"):
        om.quantize_dynamic(tmp_path / "bad.onnx", tmp_path / "q.onnx")
    assert logging.root.handlers == handlers
    assert logging.root.manager.disable == level
    assert warnings.filters == filters


def test_missing_packages_are_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"^onnxscript is not .* \"coursekit\[notebooks\]\"$"):
        om.export(nn.Linear(2, 2), tmp_path / "m.onnx", torch.randn(2, 2))


def test_a_file_describes_itself(folder):
    made = om.describe(folder / "int8.onnx")
    text = str(made)
    assert repr(made) == text
    assert "input float32 [batch, 64]" in text
    assert "13: DynamicQuantizeLinear" in text
    assert "and 1 more" in text
    assert "<table>" in made._repr_html_()
    assert made.inputs == (("input", "float32", ("batch", 64)),)
    assert made.outputs == (("output", "float32", ("batch", 10)),)


@pytest.mark.parametrize(
    "name", ["describe", "graph", "load", "optimized", "quantize_dynamic", "quantize_static"]
)
def test_a_missing_file_is_what_the_docstring_says_it_is(name, tmp_path):
    function = getattr(om, name)
    more = {
        "quantize_dynamic": [tmp_path / "b"],
        "quantize_static": [tmp_path / "b", []],
        "optimized": [tmp_path / "b"],
    }
    with pytest.raises(FileNotFoundError, match="there is no file"):
        function(tmp_path / "absent.onnx", *more.get(name, []))
    assert "FileNotFoundError" in function.__doc__
