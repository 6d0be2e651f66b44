import itertools

import numpy as np
import pytest
import torch
from helpers import assert_keeps_the_rules, sweep, texts_collide
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from coursekit import pruning
from coursekit.pruning import Layout
from coursekit.widgets.sparse_bytes import INDICES, NUMBERS, sparse_bytes


@pytest.fixture(scope="module")
def shared():
    return sparse_bytes()


@pytest.fixture
def panel(shared):
    with shared.hold():
        shared.controls["zeros"].value = 60.0
        shared.controls["number"].value, shared.controls["index"].value = "FP32", "32 bits"
    return shared


@pytest.mark.parametrize("name", ["zeros", "number", "index"])
def test_every_control_moves_numbers_and_picture(panel, name):
    sweep(panel, name)


def test_the_resting_picture_makes_the_point(panel):
    assert panel.view.title.get_text() == "CSR breaks even at 50 % zeros, a bitmask at 3 %"
    assert panel.values["bitmask"] < panel.values["CSR"] < panel.values["dense"]
    assert "dense 4.19 MB, CSR 3.36 MB" in panel.view.reading.get_text()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**31))
def test_csr_bytes_are_those_of_real_matrices(rows, columns, share, seed):
    matrix = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    pruned = pruning.masks(torch.from_numpy(matrix), share)[0].numpy() * matrix
    made = sparse.csr_matrix(pruned)
    bytes_here = Layout(rows, columns).csr(1 - np.count_nonzero(pruned) / pruned.size)
    assert bytes_here == made.data.nbytes + made.indices.nbytes + made.indptr.nbytes
    assert bytes_here == pruning.csr_bytes(torch.from_numpy(pruned))


@pytest.mark.parametrize(("number", "index"), list(itertools.product(NUMBERS.values(), INDICES.values())))
def test_at_the_break_even_both_take_the_same(number, index):
    layout = Layout(1024, 2048, number, index)
    for name, count in (("CSR", layout.csr), ("bitmask", layout.bitmask)):
        even = layout.break_even()[name]
        assert count(even) == pytest.approx(layout.dense, rel=1e-5)
        assert count(even - 0.01) > layout.dense > count(even + 0.01)


def test_a_bitmask_is_one_bit_per_place():
    assert Layout(10, 16, 2).bitmask(1.0) == len(np.packbits(np.zeros((10, 16), bool)))
    assert Layout(10, 16, 2).bitmask(0.5) == 20 + 80 * 2


def test_lines_dots_and_rings_agree_with_the_numbers(panel):
    shown = panel.view.update(80.0, "FP16", "16 bits")
    for name in ("CSR", "bitmask"):
        shares, relative = panel.view.lines[name].get_data()
        (x,), (y,) = panel.view.rings[name].get_data()
        assert (x, y) == (80.0, pytest.approx(100 * shown[name] / shown["dense"]))
        assert np.interp(80.0, shares, relative) == pytest.approx(y, rel=1e-3)
        (even,), (height,) = panel.view.dots[name].get_data()
        assert (even, height) == (pytest.approx(shown[f"{name} break-even"]), 100)


@pytest.mark.parametrize("present", ["0", "1"])
def test_no_text_lies_on_another(monkeypatch, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    panel = sparse_bytes(65536, 65536)
    for zeros, number, index in itertools.product((0.0, 52.5, 99.5), NUMBERS, INDICES):
        panel.view.update(zeros, number, index)
        assert texts_collide(panel.view) == [], (zeros, number, index)


def test_it_keeps_the_rules_of_panels(panel, monkeypatch):
    moves = (("zeros", 99.0), ("number", "INT8"), ("index", "64 bits"), ("zeros", 0.0))
    assert_keeps_the_rules(panel, moves, monkeypatch)


@pytest.mark.parametrize("size", [15, 2**16 + 1, 100.5, "wide"])
def test_bad_sizes_are_named(size):
    with pytest.raises((TypeError, ValueError), match="columns"):
        sparse_bytes(64, size)
