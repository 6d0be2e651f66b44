import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn
from torch.nn import functional

from coursekit import accuracy, data, distillation, models, runtime
from coursekit.distillation import tasks
from coursekit.distillation.losses import log_soften
from coursekit.models import ensembles

finite = st.floats(-(2.0**126), 2.0**126, width=32)
tame = st.floats(-30, 30, width=32)
temperatures = st.floats(0.05, 50)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    # Tensors as small as these only lose by being shared between threads.
    with runtime.threads(1):
        yield


def rows(elements=tame):
    return st.integers(2, 12).flatmap(
        lambda c: hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(c)), elements=elements)
    )


# Soft labels


@given(rows(), temperatures)
def test_soft_labels_are_the_softmax_of_divided_logits(logits, temperature):
    wide = logits.astype(np.float64) / temperature
    expected = np.exp(wide - wide.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    for given_as in (logits, logits.tolist(), torch.from_numpy(logits)):
        found = distillation.soften(given_as, temperature)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@given(rows(finite), st.floats(1e-300, 1e300))
def test_soft_labels_are_probabilities_for_any_logits_and_temperature(logits, temperature):
    found = distillation.soften(logits, temperature)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_the_lectures_digit_seven():
    logits = torch.log(torch.tensor([0.87, 0.09, 0.03, 0.01]))
    np.testing.assert_allclose(distillation.soften(logits), [0.87, 0.09, 0.03, 0.01], rtol=1e-5)
    roots = np.array([0.87, 0.09, 0.03, 0.01]) ** 0.25
    np.testing.assert_allclose(distillation.soften(logits, 4), roots / roots.sum(), rtol=1e-5)


def halves(dtype):
    """Strategy for logits that a format of 16 bits holds exactly, up to its largest."""
    most = torch.finfo(dtype).max if dtype is torch.float16 else 2.0**100
    wide = st.one_of(tame, st.floats(-most, most, width=32))
    return rows(wide).map(lambda logits: torch.from_numpy(logits).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@settings(max_examples=60)
@given(data=st.data(), temperature=st.one_of(temperatures, st.floats(1e-30, 1e4)))
def test_in_half_precision_only_the_last_rounding_is_lost(dtype, data, temperature):
    """The reference is numpy's arithmetic in float64 on the same logits."""
    student, teacher = (data.draw(halves(dtype)) for _ in range(2))
    (n, classes), half = student.shape, torch.finfo(dtype)
    wide = student.double().numpy() / temperature
    soft = np.exp(wide - wide.max(1, keepdims=True))
    soft /= soft.sum(1, keepdims=True)
    found = distillation.soften(student, temperature)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.double(), soft, rtol=half.eps, atol=half.tiny)
    if teacher.shape != student.shape:
        return
    labels = torch.arange(n) % classes
    for aim in (teacher, teacher.float()):
        value = distillation.loss(student, aim, labels, temperature=temperature, alpha=0.5)
        expected = distillation.loss(
            student.double(), aim.double(), labels, temperature=temperature, alpha=0.5
        ).to(dtype)
        assert value.dtype == dtype
        assert torch.equal(value, expected) or torch.isclose(value, expected, rtol=half.eps, atol=1e-6)


def test_the_loss_in_half_precision_sums_many_examples_and_passes_gradients():
    generator = torch.Generator().manual_seed(0)
    student = (20 * torch.randn(30_000, 10, generator=generator)).half().requires_grad_()
    teacher = 20 * torch.randn(30_000, 10, generator=generator)
    labels = torch.arange(30_000) % 10
    found = distillation.loss(student, teacher, labels)
    expected = reference(student.detach().double(), teacher.double(), labels, 4.0, 0.5)
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    found.backward()
    assert student.grad.dtype == torch.float16
    assert torch.isfinite(student.grad).all()
    assert student.grad.any()


def test_hot_is_even_and_cold_is_sure():
    logits = [[3.0, 1.0, -2.0, 0.5]]
    np.testing.assert_allclose(distillation.soften(logits, 1e6), 0.25, atol=1e-5)
    np.testing.assert_allclose(distillation.soften(logits, 1e-6), [[1, 0, 0, 0]], atol=1e-7)
    np.testing.assert_allclose(distillation.soften([[2.0, 2.0, 0.0]], 1e-300), [[0.5, 0.5, 0]], atol=1e-7)
    entropy = [-(p * p.log()).sum() for p in (distillation.soften(logits, t) for t in (0.5, 1, 2, 4, 8, 20))]
    assert entropy == sorted(entropy)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "4", None, True])
def test_impossible_temperatures_are_refused(temperature):
    for call in (
        lambda: distillation.soften([[1.0, 2.0]], temperature),
        lambda: distillation.loss([[1.0, 2.0]], [[1.0, 2.0]], [0], temperature=temperature),
        lambda: distillation.distil_many(
            (2, 2), [[1.0, 2.0]], [0], [[1.0, 2.0]], seeds=[0], temperature=temperature, epochs=1
        ),
    ):
        with pytest.raises((TypeError, ValueError), match="temperature"):
            call()


# The loss


def reference(student, teacher, labels, temperature, alpha):
    soft = nn.KLDivLoss(reduction="batchmean")(
        nn.LogSoftmax(dim=1)(student / temperature), nn.Softmax(dim=1)(teacher / temperature)
    )
    return alpha * temperature**2 * soft + (1 - alpha) * nn.CrossEntropyLoss()(student, labels)


@given(rows(st.floats(-8, 8, width=32)), temperatures, st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_loss_is_pytorchs_own_formula_and_so_is_its_gradient(logits, temperature, alpha, random):
    student = torch.from_numpy(logits).double().requires_grad_()
    teacher = torch.tensor([[random.uniform(-8, 8) for _ in row] for row in logits]).double()
    labels = torch.tensor([random.randrange(logits.shape[1]) for _ in logits])
    expected = reference(student, teacher, labels, temperature, alpha)
    (slope,) = torch.autograd.grad(expected, student)
    found = distillation.loss(student, teacher, labels, temperature=temperature, alpha=alpha)
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-9)
    assert torch.allclose(student.grad, slope, rtol=1e-7, atol=1e-9)
    single = distillation.loss(
        student.detach().float(), teacher.numpy(), labels.tolist(), temperature=temperature, alpha=alpha
    )
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)


def test_what_the_ends_of_alpha_mean():
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    labels = torch.tensor([0, 1, 2, 1, 0])
    hard = distillation.loss(student, teacher, labels, temperature=7.0, alpha=0.0)
    assert hard.item() == pytest.approx(functional.cross_entropy(student, labels).item())
    soft = distillation.loss(student, teacher, None, temperature=7.0, alpha=1.0)
    assert soft.item() > 0
    assert distillation.loss(teacher, teacher, None, alpha=1.0).item() == pytest.approx(0, abs=1e-6)


def test_in_the_heat_the_soft_loss_becomes_half_the_squared_difference_of_centred_logits():
    """Hinton, Vinyals and Dean, section 2.1: with T² the limit no longer depends on T."""
    student, teacher = torch.randn(6, 10) * 3, torch.randn(6, 10) * 3
    centred = [part - part.mean(1, keepdim=True) for part in (student, teacher)]
    limit = (centred[0] - centred[1]).square().sum(1).mean() / (2 * 10)
    for temperature in (300, 1000, 1e4):
        found = distillation.loss(student, teacher, None, temperature=temperature, alpha=1.0)
        assert found.item() == pytest.approx(limit.item(), rel=0.02)


def test_the_teacher_gets_no_gradient_and_logits_may_be_huge():
    student = torch.tensor([[1e30, -1e30, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-1e30, 1e30, 5.0]], requires_grad=True)
    value = distillation.loss(student, teacher, [0], temperature=1e-3, alpha=0.5)
    assert torch.isfinite(value)
    value.backward()
    assert torch.isfinite(student.grad).all()
    assert teacher.grad is None
    assert torch.isfinite(log_soften(torch.tensor([[3e38, -3e38]]), 1e-300)).all()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"alpha": 1.1}, ValueError, "alpha must be from 0 to 1; got 1.1"),
        ({"alpha": -0.1}, ValueError, "alpha"),
        ({"alpha": float("nan")}, ValueError, "alpha"),
        ({"temperature": 1e5}, ValueError, "temperature"),
        ({"teacher_logits": np.ones((3, 4))}, ValueError, r"student's shape \(3, 5\); got \(3, 4\)"),
        ({"teacher_logits": np.full((3, 5), np.nan)}, ValueError, "teacher_logits must be finite"),
        ({"student_logits": np.full((3, 5), np.inf)}, ValueError, "student_logits must be finite"),
        ({"student_logits": np.ones(5)}, ValueError, "student_logits must have 2"),
        ({"student_logits": "abc"}, TypeError, "student_logits"),
        ({"labels": [0, 1]}, ValueError, "labels must hold one class per row of logits, 3; got 2"),
        ({"labels": [0, 1, 5]}, ValueError, "labels must hold class numbers from 0 to 4; got 0 to 5"),
        ({"labels": [0, 1, -1]}, ValueError, "labels"),
        ({"labels": [0, 1, 0.5]}, ValueError, "labels"),
        ({"labels": None}, TypeError, "labels"),
    ],
)
def test_the_loss_names_what_is_wrong(change, error, says):
    sound = {"student_logits": np.ones((3, 5)), "teacher_logits": np.ones((3, 5)), "labels": [0, 1, 4]}
    assert torch.isfinite(distillation.loss(**sound))
    with pytest.raises(error, match=says):
        distillation.loss(**(sound | change))


def test_without_t_squared_the_gradient_fades_and_with_it_it_stays():
    student, teacher = np.random.default_rng(0).normal(0, 3, (2, 40, 10))
    hot = (1, 2, 4, 8, 16, 32)
    sizes = distillation.gradient_sizes(student, teacher, hot)
    for index, t in enumerate(hot):
        q, p = (np.asarray(distillation.soften(torch.tensor(part), t)) for part in (student, teacher))
        assert sizes.plain[index] == pytest.approx(np.linalg.norm(q - p, axis=1).mean() / t, rel=1e-6)
        assert sizes.scaled[index] == pytest.approx(sizes.plain[index] * t * t)
    assert (np.diff(sizes.plain) < 0).all()
    assert sizes.plain[3] / sizes.plain[5] == pytest.approx(16, rel=0.2)
    assert sizes.scaled[3] == pytest.approx(sizes.scaled[5], rel=0.2)
    assert "T = 32" in str(sizes)


# What is put in the teacher's or the labels' place


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 99))
def test_noise_makes_exactly_the_asked_share_wrong(labels, share, seed):
    before = np.array(labels)
    noisy = distillation.noisy_labels(before, share, seed)
    assert (noisy != before).sum() == round(share * len(labels))
    assert noisy.dtype == np.int64
    assert set(noisy) <= set(range(10))
    assert np.array_equal(before, labels)
    assert np.array_equal(noisy, distillation.noisy_labels(torch.tensor(labels), share, seed))


def test_noise_draws_every_wrong_class_and_another_seed_draws_another_noise():
    noisy = distillation.noisy_labels([3] * 900, 1.0, 0)
    assert set(noisy) == set(range(10)) - {3}
    assert np.bincount(noisy).max() < 150
    assert not np.array_equal(noisy, distillation.noisy_labels([3] * 900, 1.0, 1))


@given(st.floats(0.01, 0.9), st.integers(0, 3))
def test_a_smoothed_label_as_teacher_is_pytorchs_label_smoothing(share, label):
    student = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([label, 0, 1, 3])
    teacher = distillation.label_smoothing(labels, share, classes=4)
    value = distillation.loss(student, teacher, None, temperature=1.0, alpha=1.0)
    expected = functional.cross_entropy(student, labels, label_smoothing=share)
    slopes = [torch.autograd.grad(part, student)[0] for part in (value, expected)]
    assert torch.allclose(*slopes, atol=1e-6)
    probabilities = distillation.soften(teacher, 1.0)
    assert probabilities[0, label].item() == pytest.approx(1 - share + share / 4, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: distillation.noisy_labels([0, 10], 0.1), "0 to 9; got 0 to 10"),
        (lambda: distillation.noisy_labels([0, 1], 1.5), "share"),
        (lambda: distillation.noisy_labels([0], 0.5, classes=1), "classes"),
        (lambda: distillation.label_smoothing([0, 1], 0.0), "share must lie between 0 and 1"),
        (lambda: distillation.label_smoothing([0, 1], 1.0), "share must lie between 0 and 1"),
        (lambda: distillation.label_smoothing([0, 4], 0.1, classes=4), "0 to 3"),
        (lambda: distillation.gradient_sizes([[1.0, 2]], [[1.0, 2]], [0.0]), "temperature must be above 0"),
    ],
)
def test_impossible_labels_and_shares_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# Training


def alone(widths, x, y, teacher, seed, *, temperature, alpha, epochs, lr=1e-2, size=48):
    """Train one student in plain PyTorch, with PyTorch's own loss and the batches of ``models.fit``."""
    student = models.mlp(widths, seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(size):
            optimizer.zero_grad()
            reference(student(x[batch]), teacher[batch], y[batch], temperature, alpha).backward()
            optimizer.step()
    return student


@pytest.fixture(scope="module")
def lesson():
    """Twenty students' own pictures, labels and teacher's logits."""
    train = data.digits().train
    picks = np.stack([np.random.default_rng(seed).permutation(len(train))[:150] for seed in range(20)])
    x, y = torch.from_numpy(train.x[picks]), torch.from_numpy(train.y[picks])
    teacher = models.fit_many((64, 32, 10), train.x, train.y, seeds=[7], epochs=5)
    return x, y, teacher.logits(train.x)[0][torch.from_numpy(picks)]


def test_twenty_students_at_once_equal_twenty_separate_trainings(lesson):
    x, y, teacher = lesson
    how = {"temperature": 3.0, "alpha": 0.6, "epochs": 4}
    made = distillation.distil_many((64, 16, 10), x, y, teacher, seeds=range(20), batch_size=48, **how)
    pictures = torch.from_numpy(data.digits().test.x)
    for seed in range(20):
        other = alone((64, 16, 10), x[seed], y[seed], teacher[seed], seed, **how)
        torch.testing.assert_close(made.logits(pictures)[seed], other(pictures).detach(), rtol=0, atol=1e-4)


def test_one_student_distils_as_many_do_and_tells_its_losses(lesson):
    x, y, teacher = (part[3] for part in lesson)
    how = {"temperature": 2.0, "alpha": 0.7, "epochs": 5}
    student = models.mlp((64, 12, 10), 3)
    history = distillation.distil(student, teacher, x, y, batch_size=48, seed=3, **how)
    other = alone((64, 12, 10), x, y, teacher, 3, **how)
    torch.testing.assert_close(student(x), other(x), rtol=0, atol=1e-4)
    assert len(history.losses) == 5
    assert history.losses[-1] < history.losses[0]
    assert not student.training


def test_any_architecture_can_be_a_student(lesson):
    x, _, teacher = (part[0] for part in lesson)
    student = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )
    history = distillation.distil(student, teacher, x, None, alpha=1.0, epochs=8)
    assert history.losses[-1] < history.losses[0] / 2


def test_every_student_may_have_its_own_temperature_and_alpha(lesson):
    x, y, teacher = (part[:3] for part in lesson)
    t, a = [1.0, 4.0, 9.0], [0.0, 0.5, 1.0]
    made = distillation.distil_many(
        (64, 8, 10), x, y, teacher, seeds=[4, 4, 4], temperature=t, alpha=a, epochs=3, batch_size=48
    )
    for i in range(3):
        other = alone((64, 8, 10), x[i], y[i], teacher[i], 4, temperature=t[i], alpha=a[i], epochs=3)
        torch.testing.assert_close(made.model(i)(x[i]), other(x[i]), rtol=0, atol=1e-4)


def test_labels_alone_are_plain_training_and_shared_pictures_may_come_once(lesson):
    x, y, teacher = (part[0] for part in lesson)
    plain = models.fit_many((64, 8, 10), x, y, seeds=[1, 2], epochs=3, lr=1e-2)
    made = distillation.distil_many((64, 8, 10), x, y, None, seeds=[1, 2], alpha=0, epochs=3)
    torch.testing.assert_close(made.logits(x), plain.logits(x), rtol=0, atol=1e-4)
    shared = distillation.distil_many((64, 8, 10), x, None, teacher, seeds=[1, 2], alpha=1, epochs=2)
    own = [part.expand(2, *part.shape) for part in (x, teacher)]
    apart = distillation.distil_many((64, 8, 10), own[0], None, own[1], seeds=[1, 2], alpha=1, epochs=2)
    torch.testing.assert_close(shared.logits(x), apart.logits(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"teacher_logits": None}, TypeError, "teacher_logits"),
        (
            {"teacher_logits": np.ones((6, 2))},
            ValueError,
            r"teacher_logits must be \[6, 3\] or \[2, 6, 3\]; got \[6, 2\]",
        ),
        ({"teacher_logits": np.full((6, 3), np.nan)}, ValueError, "teacher_logits must be finite"),
        ({"y": None}, TypeError, "y must be"),
        ({"y": [0, 1]}, ValueError, r"y must be \[6\] or \[2, 6\]; got \[2\]"),
        ({"y": [0, 1, 2, 3, 0, 0]}, ValueError, "0 to 2"),
        ({"x": np.full((6, 4), np.nan)}, ValueError, "x must be finite"),
        ({"x": np.ones((6, 5))}, ValueError, "4 features"),
        ({"seeds": []}, ValueError, "seeds"),
        ({"alpha": [0.5, 1.5]}, ValueError, "alpha must be from 0 to 1"),
        ({"alpha": [0.5, 0.5, 0.5]}, ValueError, "alpha must be one number, or one per seed, 2"),
        ({"temperature": [1.0, 0.0]}, ValueError, "temperature must be above 0"),
        ({"epochs": 0}, ValueError, "epochs"),
    ],
)
def test_distilling_names_what_does_not_fit(change, error, says):
    sound = {
        "x": np.ones((6, 4)),
        "y": [0, 1, 2, 0, 1, 2],
        "teacher_logits": np.ones((6, 3)),
        "seeds": [0, 1],
        "epochs": 1,
    }
    assert len(distillation.distil_many((4, 3), **sound)) == 2
    with pytest.raises(error, match=says):
        distillation.distil_many((4, 3), **(sound | change))


def test_distil_names_what_does_not_fit():
    with pytest.raises(ValueError, match="equally long; got 6 and 5"):
        distillation.distil(models.mlp((4, 3)), np.ones((5, 3)), np.ones((6, 4)), [0] * 6)
    with pytest.raises(ValueError, match="y must hold one class per row"):
        distillation.distil(models.mlp((4, 3)), np.ones((6, 3)), np.ones((6, 4)), [0] * 5)


# Hidden features


def test_hidden_features_are_those_after_the_last_relu(lesson):
    x = lesson[0][0]
    model = models.mlp((64, 20, 12, 10), 5)
    found = distillation.hidden(model, x)
    expected = torch.relu(model[2](torch.relu(model[0](x))))
    torch.testing.assert_close(found, expected.detach())
    many = distillation.hidden(models.start_many((64, 20, 12, 10), [4, 5]), x)
    torch.testing.assert_close(many[1], found, rtol=0, atol=1e-5)
    with pytest.raises(TypeError, match="Ensemble or an nn.Sequential"):
        distillation.hidden(nn.Linear(64, 3), x)


def test_matching_hidden_features_equals_the_same_in_plain_pytorch(lesson):
    x, y, _ = (part[0] for part in lesson)
    aim = distillation.hidden(models.mlp((64, 24, 10), 9), x)
    made = distillation.match_hidden(
        (64, 8, 10), x, y, aim, seeds=[2, 3], weight=5.0, epochs=3, batch_size=48
    )
    student, projection = models.mlp((64, 8, 10), 3), nn.Linear(8, 24, bias=False)
    projection.weight.data.copy_(models.mlp((8, 24), 3)[0].weight)
    optimizer = torch.optim.Adam([*student.parameters(), *projection.parameters()], lr=1e-2)
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        for batch in torch.randperm(len(x), generator=generator).split(48):
            features = student[:2](x[batch])
            loss = functional.cross_entropy(student[2](features), y[batch])
            loss = loss + 5.0 * functional.mse_loss(projection(features), aim[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(made.students.model(1)(x), student(x), rtol=0, atol=1e-4)
    torch.testing.assert_close(made.projections[1], projection.weight.detach(), rtol=0, atol=1e-4)
    left = functional.mse_loss(projection(student[:2](x)), aim).item()
    assert made.distance[1] == pytest.approx(left, rel=1e-3)
    assert str(made) == "2 networks 64-8-10, with a projection 8 → 24 each, not shipped"


def test_a_student_is_shipped_without_its_projection_and_weight_brings_it_closer(lesson):
    x, y, _ = (part[0] for part in lesson)
    aim = distillation.hidden(models.mlp((64, 24, 10), 9), x)
    close, far = (
        distillation.match_hidden((64, 8, 10), x, y, aim, seeds=[0, 1], weight=weight, epochs=10)
        for weight in (100.0, 0.0)
    )
    assert (close.distance < far.distance / 2).all()
    assert sum(p.numel() for p in close.students.model(0).parameters()) == 64 * 8 + 8 + 8 * 10 + 10
    plain = distillation.distil_many((64, 8, 10), x, y, None, seeds=[0, 1], alpha=0, epochs=10)
    torch.testing.assert_close(far.students.logits(x), plain.logits(x), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("widths", "change", "says"),
    [
        ((4, 3), {}, "hidden layer"),
        ((4, 2, 3), {"teacher_hidden": np.ones((5, 7))}, "teacher_hidden must be"),
        ((4, 2, 3), {"teacher_hidden": 1.0}, "teacher_hidden must be"),
        ((4, 2, 3), {"weight": -1.0}, "weight"),
    ],
)
def test_matching_names_what_does_not_fit(widths, change, says):
    sound = {"x": np.ones((6, 4)), "y": [0] * 6, "teacher_hidden": np.ones((6, 7)), "seeds": [0], "epochs": 1}
    with pytest.raises(ValueError, match=says):
        distillation.match_hidden(widths, **(sound | change))


# The experiment


def quick(name="clean", **changes):
    return replace(distillation.SETUPS[name], **({"epochs": 4, "teacher_epochs": 2} | changes))


def test_noisy_labels_are_where_a_teacher_who_knows_better_helps():
    found = distillation.experiment("noisy", range(8))
    assert found.difference.low > 0.01
    assert found.difference.wins >= 7
    assert found.teacher[0] > found.soft.mean() > found.hard.mean()
    assert found.difference == accuracy.paired(found.soft, found.hard)


def test_a_teacher_who_knows_the_same_labels_brings_nothing():
    found = distillation.experiment("clean", range(12))
    assert abs(found.difference.mean) < 0.012
    assert found.hard.mean() > 0.88


def test_twins_differ_in_nothing_but_the_teacher():
    task = tasks.Task(quick(), [3, 4])
    logits, _ = task.teacher()
    deaf = task.distilled(logits, 2.0, 0.0)
    torch.testing.assert_close(deaf.weights[0], task.hard().weights[0], rtol=0, atol=1e-5)
    assert not torch.allclose(deaf.weights[0], task.distilled(logits, 2.0, 0.9).weights[0], atol=1e-2)


@pytest.mark.parametrize("name", distillation.SETUPS)
def test_both_students_take_the_same_number_of_steps(name, monkeypatch):
    steps = []
    real = models.train_many

    def counting(start, x, loss, **how):
        seen = []
        made = real(start, x, lambda outputs, rows: seen.append(1) or loss(outputs, rows), **how)
        steps.append(len(seen))
        return made

    setup = distillation.SETUPS[name]
    task = tasks.Task(setup, [0])
    for room in (models, ensembles):
        monkeypatch.setattr(room, "train_many", counting)
    task.hard()
    task.distilled(torch.zeros(1, task.pictures.shape[1], 10), 2.0, setup.alpha)
    assert steps[1] == pytest.approx(steps[0], rel=0.02)


def test_each_seed_draws_its_own_pictures_and_the_pool_holds_all_of_them():
    task = tasks.Task(distillation.SETUPS["pool"], [0, 1])
    assert task.labelled.shape == (2, 200)
    assert not torch.equal(task.labelled[0].sort()[0], task.labelled[1].sort()[0])
    assert torch.equal(task.pictures.sort(1)[0], torch.arange(1150).expand(2, -1))
    assert torch.equal(task.pictures[:, :200], task.labelled)
    assert torch.equal(task.labels, task.y[task.labelled])
    noisy = tasks.Task(distillation.SETUPS["noisy"], [0, 1])
    assert ((noisy.labels != noisy.y[noisy.labelled]).sum(1) == 460).all()


def test_a_teacher_of_the_same_labels_saw_no_other_picture(monkeypatch):
    seen = []
    real = models.train_many
    for room in (models, ensembles):
        monkeypatch.setattr(
            room, "train_many", lambda start, x, *a, **k: seen.append(x) or real(start, x, *a, **k)
        )
    task = tasks.Task(quick("pool"), [0, 1])
    logits, right = task.teacher()
    assert torch.equal(seen[0], task.x[task.labelled])
    assert logits.shape == (2, 1150, 10)
    assert right.shape == (2,)


def test_controls_have_no_teacher():
    setup = quick()
    other = distillation.control("start", setup, [0, 1, 2])
    same = distillation.experiment(replace(setup, alpha=0.0), [0, 1, 2])
    assert np.array_equal(other.hard, same.hard)
    assert np.array_equal(same.hard, same.soft)
    assert not np.array_equal(other.hard, other.soft)
    assert other.teacher is None
    assert str(other).startswith("200 right labels; another start, no teacher")
    assert "teacher  " not in str(distillation.control("smoothing", setup, [0, 1]))


def test_the_grid_holds_what_single_experiments_give():
    setup = quick("informed", epochs=3)
    found = distillation.grid(setup, [1.0, 5.0], [0.25, 0.5, 1.0], seeds=[0, 1])
    assert found.gain.shape == (2, 3)
    for i, t in enumerate(found.temperatures):
        for j, a in enumerate(found.alphas):
            one = distillation.experiment(replace(setup, temperature=t, alpha=a), [0, 1])
            assert found.gain[i, j] == pytest.approx(one.difference.mean, abs=2.1 / 360)
            np.testing.assert_allclose(found.gains[i, j], one.soft - one.hard, atol=3.1 / 360)
    assert "best at T" in str(found)


def test_an_experiment_prints_its_interval():
    found = distillation.experiment(quick(), [0, 1, 2])
    for text in (str(found), repr(found), found._repr_html_()):
        assert "95 % interval" in text
        assert "difference, 3 seeds" in text
        assert "the teacher knows the same 200" in text


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: distillation.experiment("clear"), ValueError, "setup must be one of clean, noisy, pool"),
        (lambda: distillation.experiment(3), TypeError, "setup must be one of"),
        (lambda: distillation.experiment("clean", []), ValueError, "at least two seeds"),
        (lambda: distillation.experiment("clean", [1]), ValueError, "at least two seeds"),
        (lambda: distillation.experiment("clean", [1, -1]), ValueError, "an entry of seeds"),
        (lambda: distillation.experiment(quick("pool", alpha=0.5)), ValueError, "alpha must be 1 where"),
        (
            lambda: distillation.experiment(quick(labelled=2000)),
            ValueError,
            "labelled must be from 1 to 1150",
        ),
        (lambda: distillation.experiment(quick(noise=2.0)), ValueError, "share"),
        (lambda: distillation.experiment(quick(teacher_knows="all")), ValueError, "teacher_knows"),
        (lambda: distillation.experiment(quick(temperature=0)), ValueError, "temperature"),
        (lambda: distillation.control("nothing"), ValueError, "kind must be one of start, smoothing"),
        (lambda: distillation.grid(quick(), [], [0.5]), ValueError, "temperatures is empty"),
        (lambda: distillation.grid(quick(), [1.0], [2.0], [0, 1]), ValueError, "alpha"),
    ],
)
def test_experiments_name_what_is_wrong(call, error, says):
    with pytest.raises(error, match=says):
        call()


# Students of one's own


def own_student(kind):
    torch.manual_seed(1)
    if kind == "bag":
        return nn.Sequential(nn.EmbeddingBag(50, 8), nn.Linear(8, 3)), torch.randint(0, 50, (65, 6))
    if kind == "attention":
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        parts = (nn.Embedding(50, 8), nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(48, 3))
        return nn.Sequential(*parts), torch.randint(0, 50, (65, 6))
    if kind == "pictures":
        parts = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.1), nn.Flatten(), nn.Linear(64, 3))
        return nn.Sequential(*parts), torch.rand(65, 1, 6, 6)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), torch.rand(65, 6)


@pytest.mark.parametrize("kind", ["bag", "attention", "pictures", "batchnorm"])
@pytest.mark.parametrize("form", [lambda x: x, lambda x: x.numpy(), lambda x: x.tolist()])
def test_a_student_of_ones_own_learns_from_the_teacher_alone(kind, form):
    student, x = own_student(kind)
    teacher = functional.one_hot(x.reshape(65, -1).argmax(1) % 3, 3) * 4.0
    history = distillation.distil(
        student, teacher, form(x), None, alpha=1.0, epochs=30, lr=1e-2, batch_size=64
    )
    assert history.losses[-1] < 0.95 * history.losses[0]
    assert not any(module.training for module in student.modules())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"lr": 1e29}, "the training diverged"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"alpha": 2}, "alpha must be from 0 to 1"),
        ({"teacher_logits": torch.zeros(65, 4)}, r"student's 3 classes; got shape \(65, 4\)"),
        ({"teacher_logits": torch.zeros(64, 3)}, "equally long; got 65 and 64"),
        ({"teacher_logits": torch.full((65, 3), torch.nan)}, "teacher_logits must be finite"),
        ({"y": [0] * 64}, "y must hold one class per row"),
        ({"x": torch.rand(65, 5)}, "x must have 6 features"),
        ({"batch_size": 1}, "needs at least 2 examples per batch"),
        ({"student": None}, "student must be an nn.Module; got NoneType"),
        ({"schedule": "long"}, "schedule must be a models.Schedule"),
    ],
)
def test_a_refused_distillation_leaves_the_student_as_it_was(change, says):
    student, x = own_student("batchnorm")
    student.train()[1].eval()
    before, modes = copy.deepcopy(student.state_dict()), [module.training for module in student.modules()]
    given = {"student": student, "teacher_logits": torch.zeros(65, 3), "x": x, "y": [0, 1, 2] * 21 + [0, 1]}
    with pytest.raises((TypeError, ValueError), match=says) as error:
        distillation.distil(**(given | change))
    assert "\n" not in str(error.value)
    assert all(map(torch.equal, student.state_dict().values(), before.values()))
    assert [module.training for module in student.modules()] == modes


def test_a_schedule_stands_for_the_single_options():
    _, x = own_student("batchnorm")
    logits, y, plan = torch.rand(65, 3), [0] * 65, models.Schedule(3, 1e-2, 32, 4)
    ones = []
    for how in ({"schedule": plan}, {"epochs": 3, "lr": 1e-2, "batch_size": 32, "seed": 4}):
        student = models.mlp((6, 4, 3))
        distillation.distil(student, logits, x, y, **how)
        ones.append(student[0].weight)
    assert torch.equal(*ones)
    many = [
        distillation.distil_many((6, 4, 3), x, y, logits, seeds=[4], **how).weights[0]
        for how in ({"schedule": plan}, {"epochs": 3, "lr": 1e-2, "batch_size": 32})
    ]
    assert torch.equal(*many)


@pytest.mark.parametrize("odd", [np.ones((4, 2)), b"3", ["a"] * 4, [0, 1, 7, 0], [0, 1], [0.5] * 4])
def test_labels_of_distil_are_called_what_the_caller_calls_them(odd):
    x, student = np.ones((4, 3), np.float32), models.mlp((3, 2))
    with pytest.raises((TypeError, ValueError), match=r"^y must"):
        distillation.distil(student, np.zeros((4, 2), np.float32), x, odd, epochs=1)


def test_mean_answers_are_the_means_per_class_and_nan_where_there_is_none():
    logits = torch.tensor([[2.0, 0.0, -1.0], [1.0, 3.0, 0.0], [0.0, 1.0, 0.5]])
    found = distillation.mean_answers(logits, [0, 1, 1], 2.0)
    soft = torch.softmax(logits.double() / 2, dim=1).numpy()
    np.testing.assert_allclose(found[0], soft[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], soft[1:].mean(axis=0), rtol=1e-5)
    assert np.isnan(found[2]).all()
    with pytest.raises(ValueError, match="labels"):
        distillation.mean_answers(logits, [0, 1])
    with pytest.raises(ValueError, match="logits"):
        distillation.mean_answers([1.0, 2.0], [0, 1])
