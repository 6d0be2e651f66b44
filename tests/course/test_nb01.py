import numpy as np
import pytest
import torch
from build_notebooks import Course, code_cells

from coursekit import exercises, widgets
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

BITS = "0 10000000 10100000000000000000000"
INTEGERS = [18, -128, 61, -62, 127, -10]


def three_lines(values, bits=8):
    scale = np.abs(values).max() / (2 ** (bits - 1) - 1)
    return np.round(values / scale).astype(np.int8), scale


def multiply(q, scale):
    return q * scale


def with_torch(values, bits=8):
    scale = torch.as_tensor(values).abs().max() / (2 ** (bits - 1) - 1)
    return torch.round(torch.as_tensor(values) / scale), scale


def blank(values, bits=8): ...


def scaled_by(largest):
    def quantize(values, bits=8):
        scale = np.abs(values).max() / largest(bits)
        return np.round(values / scale), scale

    return quantize


def ignoring_the_sign(values, bits=8):
    scale = values.max() / (2 ** (bits - 1) - 1)
    return np.round(values / scale), scale


def cutting(values, bits=8):
    scale = np.abs(values).max() / (2 ** (bits - 1) - 1)
    return (values / scale).astype(int), scale


def only_integers(values, bits=8):
    return three_lines(values, bits)[0]


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("01-encode", BITS),
        ("01-encode", BITS.replace(" ", "")),
        ("01-encode", [int(bit) for bit in BITS.replace(" ", "")]),
        ("01-encode", 0x40500000),
        ("01-decode", -0.75),
        ("01-decode", np.float32(-0.75)),
        ("01-decode", torch.tensor(-0.75)),
        ("01-first-missing", 2**24 + 1),
        ("01-first-missing", 16777217.0),
        ("01-first-missing", np.int64(16777217)),
        ("01-quantize", (three_lines, multiply)),
        ("01-quantize", [three_lines, multiply]),
        ("01-quantize", (with_torch, multiply)),
        ("01-zero-point", INTEGERS),
        ("01-zero-point", np.array(INTEGERS, dtype=np.int8)),
        ("01-zero-point", torch.tensor(INTEGERS, dtype=torch.float64)),
    ],
)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("01-encode", "0 00000001 10100000000000000000000", "bias"),
        ("01-encode", "0 10000001 10100000000000000000000", "6.5"),
        ("01-encode", "0 10000000 11010000000000000000000", "hidden 1"),
        ("01-encode", "1 10000000 10100000000000000000000", "sign"),
        ("01-encode", "0 10000000 01000000000000000000000", "2.5"),
        ("01-encode", "0 01111110 10100000000000000000000", "to the power -1"),
        ("01-encode", BITS[:-1], "31 bits"),
        ("01-encode", "0 10000000 101", "fill up with zeros"),
        ("01-encode", [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1], "23 for the mantissa"),
        ("01-decode", -0.5, "mantissa is missing"),
        ("01-encode", 3.25, "32 bits"),
        ("01-decode", 0.75, "sign"),
        ("01-decode", -0.25, "hidden 1"),
        ("01-decode", -3.0, "wrong way"),
        ("01-decode", -1.5 * 2.0**126, "bias"),
        ("01-decode", "-0.75", "a number"),
        ("01-first-missing", 2**24, "holds 16,777,216 exactly"),
        ("01-first-missing", 2**23 + 1, "hidden 1"),
        ("01-first-missing", 2**31 + 1, "smaller"),
        ("01-first-missing", 0.1, "whole number"),
        ("01-quantize", (scaled_by(lambda bits: 2 ** (bits - 1)), multiply), "one less"),
        ("01-quantize", (scaled_by(lambda bits: 2**bits - 1), multiply), "negative"),
        ("01-quantize", (scaled_by(lambda bits: 127), multiply), "8 bits only"),
        ("01-quantize", (ignoring_the_sign, multiply), "ignore the sign"),
        ("01-quantize", (cutting, multiply), "cut off"),
        ("01-quantize", (only_integers, multiply), "two things"),
        ("01-quantize", (three_lines, lambda q, scale: q / scale), "lead back"),
        ("01-quantize", three_lines, "Both functions"),
        ("01-zero-point", [146, 0, 189, 66, 255, 118], "0 to 255"),
        ("01-zero-point", [48, -98, 91, -32, 127, 20], "1.20, becomes -98"),
        ("01-zero-point", [-80, -128, -37, -128, 29, -108], "share an integer"),
        ("01-zero-point", [1, 2], "shape"),
    ],
)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("01-encode", ...),
        ("01-decode", None),
        ("01-first-missing", ...),
        ("01-quantize", (blank, blank)),
        ("01-zero-point", [127, 0, 127, 66, 127, 118]),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


# What the text says of its panels and cells


@pytest.fixture(scope="module")
def notebook():
    return Course().expected("01-floating-point-basics")[1]


def text_above(notebook, call):
    (place,) = [i for i, cell in enumerate(notebook.cells) if cell.source.strip() == call]
    return next(cell.source for cell in notebook.cells[place::-1] if cell.cell_type == "markdown")


@pytest.mark.parametrize("name", ["number_line", "staircase"])
def test_all_patterns_are_promised_only_above_a_panel_that_uses_all(notebook, name):
    panel = getattr(widgets, name)()
    used = panel.values["levels"] == 2 ** panel.controls["bits"].value
    assert ("all $2^b$ patterns" in text_above(notebook, f"widgets.{name}()")) == used


def best_of_groups(cell, size, count=200):
    """Return the mean best scale at 4 bits over groups of ``size`` weights, and the clip in deviations."""
    names = {"np": np, "print": lambda *_: None}
    exec(cell.source, names)
    groups = np.random.default_rng(1).normal(size=(max(1, count * 100 // size), size))
    shares = names["best_fractions"](groups, 4)
    return shares.mean(), (shares * np.abs(groups).max(axis=1) / groups.std(axis=1)).mean()


def test_the_group_moves_the_share_and_not_the_clip(notebook):
    texts = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "about 2.5 σ at 4 bits, on" in texts
    (cell,) = [cell for cell in code_cells(notebook) if "def mean_squared_error" in cell.source]
    found = {size: best_of_groups(cell, size) for size in (64, 128, 256, 1024, 20_000)}
    shares = [share for share, _ in found.values()]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.88
    assert shares[-1] < 0.7
    assert all(2.35 < clip < 2.6 for _, clip in found.values())
