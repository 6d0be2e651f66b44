import copy
import re
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from coursekit import dynamic, exercises, models, quantization, timing
from coursekit.course.nb05 import checks, integer_layer
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

MASTER = Path(__file__).resolve().parents[2] / "notebooks/source/05-pytorch-dynamic-quantization.py"
WEIGHTS = 64 * 96 + 96 * 48 + 48 * 10
BIASES = 96 + 48 + 10


def activations(x, top):
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / top
    zero_point = int(np.rint(-low / scale))
    return np.clip(np.rint(x / scale) + zero_point, 0, top).astype(np.uint8), scale, zero_point


def five_steps(x, weight_q, weight_scale, bias, top):
    x_q, scale, zero_point = activations(x, top)
    total = (x_q.astype(np.int32) - zero_point) @ weight_q.T.astype(np.int32)
    return total * (scale * weight_scale) + bias


def zero_point_afterwards(x, weight_q, weight_scale, bias, top):
    x_q, scale, zero_point = activations(x, top)
    weight_q = weight_q.astype(np.int32)
    total = x_q.astype(np.int32) @ weight_q.T - zero_point * weight_q.sum(axis=1)
    return (scale * weight_scale * total + bias).tolist()


def with_torch(x, weight_q, weight_scale, bias, top):
    x, weight_q, bias = torch.from_numpy(x), torch.from_numpy(weight_q).int(), torch.from_numpy(bias)
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / top
    zero_point = torch.round(-low / scale).int()
    x_q = (torch.round(x / scale) + zero_point).clamp(0, top).int()
    return ((x_q - zero_point) @ weight_q.T) * scale * weight_scale + bias


def changed(change):
    """Return the five steps with one of them changed by ``change(parts)``."""

    def layer(x, weight_q, weight_scale, bias, top):
        x_q, scale, zero_point = activations(x, top)
        w = weight_q.astype(np.int32)
        return change(
            x=x, q=x_q, scale=scale, zero=zero_point, w=w, w8=weight_q, ws=weight_scale, b=bias, top=top
        )

    return layer


def centred(q, zero):
    return q.astype(np.int32) - zero


def without_widening(x, weight_q, weight_scale, bias, top):
    scale = (x.max() - x.min()) / top
    zero_point = np.rint(-x.min() / scale)
    x_q = np.clip(np.rint(x / scale) + zero_point, 0, top)
    return (x_q - zero_point) @ weight_q.T.astype(float) * scale * weight_scale + bias


def lectures_steps(x, weight_q, weight_scale, bias, top):
    scale = np.abs(x).max() / top
    return np.rint(x / scale) @ weight_q.T.astype(float) * scale * weight_scale + bias


def always_127(x, weight_q, weight_scale, bias, top):
    return five_steps(x, weight_q, weight_scale, bias, 127)


def cutting_layer(x, weight_q, weight_scale, bias, top):
    _, scale, zero_point = activations(x, top)
    x_q = np.clip((x / scale + zero_point).astype(np.int32), 0, top)
    return (x_q - zero_point) @ weight_q.T.astype(np.int32) * scale * weight_scale + bias


def per_row(weight, bits=8):
    scale = np.abs(weight).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.round(weight / scale).astype(np.int8), scale


def per_row_flat(weight, bits=8):
    q, scale = per_row(weight, bits)
    return q.tolist(), scale[:, 0].tolist()


def per_row_torch(weight, bits=8):
    weight = torch.as_tensor(weight)
    scale = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.round(weight / scale).to(torch.int8), scale


def scales(of):
    def quantize(weight, bits=8):
        scale = of(weight, bits)
        return np.round(weight / scale), scale

    return quantize


def top(bits):
    return 2 ** (bits - 1) - 1


def rows_max(weight):
    return np.abs(weight).max(axis=1, keepdims=True)


def restored(weight, bits=8):
    q, scale = per_row(weight, bits)
    return q * scale, scale


def rounded_by(rounding):
    return lambda weight, bits=8: (rounding(weight / per_row(weight, bits)[1]), per_row(weight, bits)[1])


def size(bits, weights):
    return sum(b * n for b, n in zip(bits, weights, strict=True)) / 8


def best_that_fits(accuracy, weights, budget):
    return max((bits for bits in accuracy if size(bits, weights) <= budget), key=accuracy.get)


def as_a_list(accuracy, weights, budget):
    return np.array(best_that_fits(accuracy, weights, budget))


def chosen_by(key, fits=lambda bits, weights, budget: size(bits, weights) <= budget):
    def choose(accuracy, weights, budget):
        fitting = [bits for bits in accuracy if fits(bits, weights, budget)]
        return max(fitting, key=lambda bits: key(bits, accuracy, weights))

    return choose


def uniform(accuracy, weights, budget):
    return max(
        (bits for bits in accuracy if bits[0] == bits[1] and size(bits, weights) <= budget), key=accuracy.get
    )


def by_accuracy(bits, accuracy, weights):
    return accuracy[bits]


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("05-dynamic-linear", five_steps),
        ("05-dynamic-linear", zero_point_afterwards),
        ("05-dynamic-linear", with_torch),
        ("05-per-channel", per_row),
        ("05-per-channel", per_row_flat),
        ("05-per-channel", per_row_torch),
        ("05-bits", best_that_fits),
        ("05-bits", as_a_list),
    ],
)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    "answer",
    [
        lambda size: size,
        lambda size: 1.045 * size,
        lambda size: torch.tensor(0.955 * size),
        lambda size: np.array([size]),
    ],
)
def test_file_sizes_within_five_per_cent_are_right(answer):
    verdict = exercises.check("05-file-size", answer(checks._file_bytes()))
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda size: WEIGHTS + 4 * BIASES, "box around it"),
        (lambda size: WEIGHTS + BIASES, "not quantized"),
        (lambda size: WEIGHTS, "weights alone"),
        (lambda size: size / 1000, "kilobytes"),
        (lambda size: size / 1024, "kibibytes"),
        (lambda size: 1.06 * size, "too large"),
        (lambda size: 0.94 * size, "too small"),
    ],
)
def test_typical_mistakes_in_the_file_size_are_explained(answer, says):
    verdict = exercises.check("05-file-size", answer(checks._file_bytes()))
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


def test_sizes_taken_from_the_fp32_file_are_recognised():
    model = models.mlp(checks.FILE_WIDTHS)
    full = dynamic.state_dict_size(model)
    assert "FP32 file" in str(exercises.check("05-file-size", full))
    assert "quarter" in str(exercises.check("05-file-size", full / 4))
    box = full - 4 * (WEIGHTS + BIASES)
    assert "from an FP32 file" in str(exercises.check("05-file-size", WEIGHTS + 4 * BIASES + box))


LAYER_MISTAKES = [
    (lectures_steps, "symmetric"),
    (without_widening, "range"),
    (always_127, "fixed in your code"),
    (cutting_layer, "cut off"),
    (changed(lambda x, w, ws, b, **_: x @ (w * ws).T + b), "float layer"),
    (changed(lambda q, w, scale, ws, b, **_: q @ w.T * scale * ws + b), "zero point is still"),
    (changed(lambda q, zero, w, scale, ws, **_: centred(q, zero) @ w.T * scale * ws), "bias is missing"),
    (changed(lambda q, zero, w, b, **_: centred(q, zero) @ w.T + b), "still integers"),
    (changed(lambda q, zero, w, ws, b, **_: centred(q, zero) @ w.T * ws + b), "scale of the activations"),
    (changed(lambda q, zero, w, scale, b, **_: centred(q, zero) @ w.T * scale + b), "scale of the weights"),
    (
        changed(lambda q, zero, w, scale, ws, b, **_: (q - np.uint8(zero)) @ w.T * scale * ws + b),
        "no minus sign",
    ),
    (
        changed(lambda q, zero, w8, scale, ws, b, **_: (q - np.uint8(zero)) @ w8.T * scale * ws + b),
        "ran over",
    ),
    (
        changed(
            lambda q, zero, w8, scale, ws, b, **_: (
                (q.astype(np.int16) - np.int16(zero)) @ w8.T.astype(np.int16) * scale * ws + b
            )
        ),
        "int16 ends at 32,767",
    ),
    (changed(lambda q, zero, w, scale, ws, b, **_: (centred(q, zero) @ w.T * scale * ws + b).T), "swapped"),
    (changed(lambda b, **_: b), "shape"),
    (changed(lambda q, zero, w, **_: centred(q, zero) @ w), "raised"),
    (changed(lambda x, **_: "y"), "numbers"),
    (changed(lambda q, zero, w, scale, ws, b, **_: 2 * centred(q, zero) @ w.T * scale * ws + b), "off by"),
]


@pytest.mark.parametrize(("answer", "says"), LAYER_MISTAKES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_typical_mistakes_in_the_layer_are_explained(answer, says):
    verdict = exercises.check("05-dynamic-linear", answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("05-file-size", "22 kB", "a number"),
        ("05-per-channel", scales(lambda w, b: np.abs(w).max() / top(b)), "whole matrix"),
        ("05-per-channel", scales(lambda w, b: np.abs(w).max(axis=0) / top(b)), "per column"),
        ("05-per-channel", scales(lambda w, b: rows_max(w) / 2 ** (b - 1)), "one less"),
        ("05-per-channel", scales(lambda w, b: rows_max(w) / (2**b - 1)), "negative"),
        ("05-per-channel", scales(lambda w, b: rows_max(w) / 127), "8 bits only"),
        ("05-per-channel", scales(lambda w, b: w.max(axis=1, keepdims=True) / top(b)), "ignore the sign"),
        ("05-per-channel", scales(lambda w, b: top(b) / rows_max(w)), "inverse"),
        ("05-per-channel", rounded_by(np.trunc), "cut off"),
        ("05-per-channel", rounded_by(np.floor), "rounded down"),
        ("05-per-channel", rounded_by(lambda x: x), "whole numbers"),
        ("05-per-channel", restored, "restored"),
        ("05-per-channel", lambda w, bits: per_row(w, bits)[0], "two things"),
        ("05-per-channel", lambda w, bits: (per_row(w, bits)[0][0], per_row(w, bits)[1]), "shape"),
        ("05-per-channel", 3, "a function"),
        ("05-bits", chosen_by(by_accuracy, fits=lambda *_: True), "the budget is"),
        ("05-bits", chosen_by(by_accuracy, fits=lambda b, w, limit: size(b, w) * 8 <= 8000), "bytes"),
        ("05-bits", chosen_by(by_accuracy, fits=lambda b, w, limit: size(b, w) < limit), "exactly"),
        ("05-bits", chosen_by(by_accuracy, fits=lambda b, w, limit: size(b, w) // 1 <= limit), "take 702.25"),
        ("05-bits", chosen_by(lambda b, accuracy, w: -size(b, w)), "smallest"),
        ("05-bits", chosen_by(lambda b, accuracy, w: (size(b, w), -b[0])), "more accurate"),
        ("05-bits", uniform, "different bits"),
        ("05-bits", lambda a, w, limit: a[best_that_fits(a, w, limit)], "not the bits"),
        ("05-bits", lambda a, w, limit: (9, 9), "not one of"),
        ("05-bits", lambda a, w, limit: a, "two numbers"),
    ],
)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


def blank_layer(x, weight_q, weight_scale, bias, top): ...


def half_done(x, weight_q, weight_scale, bias, top):
    x_q, scale, zero_point = activations(x, top)
    total = ...
    return total * (scale * weight_scale) + bias


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("05-file-size", ...),
        ("05-dynamic-linear", blank_layer),
        ("05-dynamic-linear", half_done),
        ("05-per-channel", lambda weight, bits=8: ...),
        ("05-bits", lambda accuracy, weights, budget: ...),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


def without_return(x, weight_q, weight_scale, bias, top=255):
    y = five_steps(x, weight_q, weight_scale, bias, top)
    y += 0


def bytes_taken_for_bits(accuracy, weights, budget):
    best = None
    for pair in accuracy:
        fits = sum(b * n for b, n in zip(pair, weights, strict=True)) <= budget
        if fits and (best is None or accuracy[pair] > accuracy[best]):
            best = pair
    return best


@pytest.mark.parametrize(
    ("id", "answer"), [("05-dynamic-linear", without_return), ("05-bits", bytes_taken_for_bits)]
)
def test_a_function_that_returns_nothing_was_tried(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert "returns None" in str(verdict)


def test_no_value_in_the_layers_lies_near_a_tie():
    for layer in integer_layer._layers():
        x_q, scale, zero_point = layer.activations(min(0, layer.x.min()), max(0, layer.x.max()))
        exact = layer.x.astype(np.float64) / scale
        assert np.abs(exact - np.rint(exact)).max() < 0.35
        assert x_q.min() >= 0
        assert x_q.max() == layer.top


def test_no_value_in_the_matrices_lies_near_a_tie():
    for weight, bits in checks._matrices():
        stored = quantization.quantize(weight, bits, axis=0)
        assert np.abs(stored.error(weight) / stored.steps).max() < 0.35


def test_every_recognised_mistake_of_the_layer_differs_from_the_right_answer():
    for mistaken, message, _ in integer_layer.MISTAKES:
        layers = integer_layer._layers()
        differs = [not integer_layer._near(mistaken(x), x.output(), x.output()) for x in layers]
        assert any(differs), message


@pytest.fixture
def gpu_cells():
    """Return what the notebook's cells for GPUs define; nothing in them needs one."""
    text = MASTER.read_text(encoding="utf-8")
    cells = [
        cell for cell in text.split("\n# %%") if re.search(r"def (?:allow_tf32|compare_formats)\b", cell)
    ]
    names = {"copy": copy, "torch": torch, "timing": timing}
    for cell in cells:
        exec(cell.partition("\n")[2], names)
    return names


@pytest.mark.filterwarnings("error")
def test_the_gpu_cells_time_every_format_and_leave_tf32_off(gpu_cells):
    timed, flips = gpu_cells["compare_formats"](models.mlp((64, 32, 10)), torch.rand(20, 64), max_time=0.05)
    assert set(timed.measurements) == set(flips) == {"fp32", "tf32", "fp16", "bf16"}
    assert timed.baseline == "fp32"
    assert flips["fp32"] == 0
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def test_tf32_is_switched_on_and_off(gpu_cells, monkeypatch):
    matmul = types.SimpleNamespace(fp32_precision="none")
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    for wanted, expected in ((True, "tf32"), (False, "ieee")):
        gpu_cells["allow_tf32"](wanted)
        assert vars(matmul) == {"fp32_precision": expected}


def test_a_format_computes_in_its_own_precision(gpu_cells):
    model, x = models.mlp((64, 32, 10)), torch.rand(20, 64)
    for dtype, error in ((torch.float32, 0), (torch.float16, 1e-2), (torch.bfloat16, 1e-1)):
        y = gpu_cells["in_format"](model, x, dtype)()
        assert y.dtype == dtype
        assert (y.float() - model(x)).abs().max() <= error


def test_every_hint_on_the_file_size_can_be_reached():
    size = checks._file_bytes()
    for value, message, hint in checks._file_mistakes(size):
        verdict = exercises.check("05-file-size", value)
        assert (verdict.outcome, verdict.message, verdict.hint) == (WRONG, message, hint)
