"""The straight-through estimator on one weight: the lecture's numbers, and PyTorch's gradients."""

import numpy as np
import pytest
import torch

from coursekit.quantization import fake_quantize, straight_through


def test_the_lectures_weight_moves_up():
    run = straight_through(steps=1)
    assert run.scale == pytest.approx(0.1)
    assert run.rounded[0] == pytest.approx(0.4)
    assert run.gradient[0] == pytest.approx(-0.05)
    assert run.latent.tolist() == pytest.approx([0.37, 0.37025])
    assert run.latent[1] > run.latent[0]


def test_it_keeps_its_level_until_the_threshold_and_then_jumps_at_every_step():
    run = straight_through(steps=400)
    assert run.changes(300) == 0
    assert run.latent[300] == pytest.approx(0.37 + 300 * 0.00025)
    late = run.rounded[330:]
    assert (np.abs(np.diff(late)) > 0.05).all()
    assert set(np.round(late, 9)) == {0.4, 0.5}
    assert run.changes(400) > 70
    assert (np.abs(run.latent[330:] - 0.45) < 0.0003).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gradients_and_levels_are_those_of_fake_quantization(bits):
    # A second weight of 0.7 in the row gives it the panel's scale.
    run = straight_through(bits=bits, steps=50)
    row = torch.tensor([[0.37, 0.7]], dtype=torch.float64, requires_grad=True)
    for step in range(51):
        rounded = fake_quantize(row, bits)
        assert run.rounded[step] == pytest.approx(float(rounded[0, 0].detach()), abs=1e-6)
        assert run.latent[step] == pytest.approx(float(row[0, 0].detach()), abs=1e-6)
        loss = (rounded[0, 0] - 0.45).square() / 2
        (gradient,) = torch.autograd.grad(loss, row)
        assert run.gradient[step] == pytest.approx(float(gradient[0, 0]), abs=1e-6)
        with torch.no_grad():
            row[0, 0] -= 0.005 * gradient[0, 0]


def test_levels_and_counts():
    run = straight_through(bits=3, steps=0)
    np.testing.assert_allclose(run.levels, np.arange(-3, 4) * 0.7 / 3)
    assert run.changes(0) == 0
    assert straight_through(lr=0, steps=5).latent.tolist() == [0.37] * 6
    assert straight_through(-0.37, -0.45, steps=3).latent == pytest.approx(-straight_through(steps=3).latent)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"weight": 0.8}, ValueError, "weight must be from -0.7 to 0.7"),
        ({"target": float("nan")}, ValueError, "target"),
        ({"bits": 1}, ValueError, "bits"),
        ({"bits": 17}, ValueError, "bits"),
        ({"largest": 0}, ValueError, "largest"),
        ({"lr": 1.5}, ValueError, "lr"),
        ({"steps": -1}, ValueError, "steps"),
        ({"steps": 2.5}, TypeError, "steps"),
    ],
)
def test_bad_input_is_named(change, error, says):
    with pytest.raises(error, match=says):
        straight_through(**change)
    with pytest.raises(ValueError, match="steps"):
        straight_through(steps=3).changes(4)
