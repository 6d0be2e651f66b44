import copy
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from coursekit import accuracy, data, distillation, exercises, models, pruning, quantization
from coursekit.course.nb08 import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

ROOT = Path(__file__).resolve().parents[2]
MASTER = ROOT / "notebooks/source/08-distillation-basics.py"


# Temperature


def softened(logits, temperature):
    scaled = np.exp((np.asarray(logits) - np.max(logits)) / temperature)
    return scaled / scaled.sum()


def by_grid(logits, share):
    return next(t for t in np.arange(0.2, 40, 0.02) if np.sort(softened(logits, t))[-2] >= share)


def by_bisection(logits, share):
    low, high = 0.1, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        second = torch.softmax(torch.as_tensor(logits) / middle, 0).sort().values[-2]
        low, high = (middle, high) if second < share else (low, middle)
    return torch.tensor([high])


def for_rank(rank):
    return lambda logits, share: next(
        (t for t in np.arange(0.2, 60, 0.02) if np.sort(softened(logits, t))[rank] >= share), 60.0
    )


def all_but_the_first(logits, share):
    return next(t for t in np.arange(0.2, 40, 0.02) if 1 - softened(logits, t).max() >= share)


TEMPERATURE_MISTAKES = [
    (lambda logits, share: 1 / by_grid(logits, share), "divided, not multiplied"),
    (for_rank(-3), "third digit"),
    (all_but_the_first, "second largest probability"),
    (lambda logits, share: 4.0, "depends on the logits"),
    (lambda logits, share: share, "depends on the logits"),
    (lambda logits, share: 3.0, "higher"),
    (lambda logits, share: 12.0, "lower"),
    (lambda logits, share: np.round(by_grid(logits, share) + 0.5), "finer"),
    (lambda logits, share: -4.0, "yours is -4"),
    (lambda logits, share: float("nan"), "must be above 0"),
    (lambda logits, share: softened(logits, 4), "a number"),
    (4.0, "a function"),
]


# The loss


def as_in_the_notebook(student_logits, teacher_logits, labels, temperature, alpha):
    soft_student = torch.log_softmax(student_logits / temperature, dim=1)
    soft_teacher = torch.softmax(teacher_logits / temperature, dim=1)
    soft = functional.kl_div(soft_student, soft_teacher, reduction="batchmean")
    hard = functional.cross_entropy(student_logits, labels)
    return alpha * temperature**2 * soft + (1 - alpha) * hard


def with_cross_entropy(student_logits, teacher_logits, labels, temperature, alpha):
    soft_teacher = torch.softmax(teacher_logits / temperature, dim=1)
    soft = functional.cross_entropy(student_logits / temperature, soft_teacher)
    return alpha * temperature**2 * soft + (1 - alpha) * functional.cross_entropy(student_logits, labels)


def by_hand(student_logits, teacher_logits, labels, temperature, alpha):
    def probabilities(logits):
        e = torch.exp(logits - logits.max(1, keepdim=True).values)
        return e / e.sum(1, keepdim=True)

    p, q = probabilities(teacher_logits / temperature), probabilities(student_logits / temperature)
    soft = (p * torch.log(p / q)).sum(1).mean()
    hard = -torch.log(probabilities(student_logits)[range(len(labels)), labels]).mean()
    return alpha * temperature**2 * soft + (1 - alpha) * hard


def in_numpy(student_logits, teacher_logits, labels, temperature, alpha):
    with torch.no_grad():
        return float(as_in_the_notebook(student_logits, teacher_logits, labels, temperature, alpha))


def as_an_item(*arguments):
    return as_in_the_notebook(*arguments).item()


def as_an_array(*arguments):
    return as_in_the_notebook(*arguments).detach().numpy()


def as_an_array_without_detach(*arguments):
    return as_in_the_notebook(*arguments).numpy()


def half_cut_off(student_logits, teacher_logits, labels, temperature, alpha):
    soft = torch.log_softmax(student_logits.detach() / temperature, dim=1)
    soft = functional.kl_div(soft, torch.softmax(teacher_logits / temperature, 1), reduction="batchmean")
    return right_parts(soft, functional.cross_entropy(student_logits, labels), temperature, alpha)


def hard_part_cut_off(student_logits, teacher_logits, labels, temperature, alpha):
    whole = as_in_the_notebook(student_logits, teacher_logits, labels, temperature, alpha)
    hard = functional.cross_entropy(student_logits, labels)
    return whole - (1 - alpha) * (hard - hard.detach())


def in_float32(student_logits, *rest):
    return as_in_the_notebook(student_logits.float(), rest[0].float(), *rest[1:])


def loss_with(combine, *, student=True, teacher=True, reduction="batchmean"):
    """Return a loss whose parts are combined by ``combine(soft, hard, T, alpha)``, softened or not."""

    def loss(student_logits, teacher_logits, labels, temperature, alpha):
        log_q = torch.log_softmax(student_logits / (temperature if student else 1), dim=1)
        p = torch.softmax(teacher_logits / (temperature if teacher else 1), dim=1)
        soft = functional.kl_div(log_q, p, reduction=reduction)
        return combine(soft, functional.cross_entropy(student_logits, labels), temperature, alpha)

    return loss


def right_parts(soft, hard, t, alpha):
    return alpha * t * t * soft + (1 - alpha) * hard


def reversed_divergence(student_logits, teacher_logits, labels, temperature, alpha):
    log_p = torch.log_softmax(teacher_logits / temperature, dim=1)
    q = torch.softmax(student_logits / temperature, dim=1)
    soft = functional.kl_div(log_p, q, reduction="batchmean")
    return right_parts(soft, functional.cross_entropy(student_logits, labels), temperature, alpha)


def softened_labels_part(student_logits, teacher_logits, labels, temperature, alpha):
    log_q = torch.log_softmax(student_logits / temperature, dim=1)
    soft = functional.kl_div(log_q, torch.softmax(teacher_logits / temperature, 1), reduction="batchmean")
    return right_parts(soft, functional.nll_loss(log_q, labels), temperature, alpha)


def without_the_log(student_logits, teacher_logits, labels, temperature, alpha):
    q = torch.softmax(student_logits / temperature, dim=1)
    soft = functional.kl_div(q, torch.softmax(teacher_logits / temperature, 1), reduction="batchmean")
    return right_parts(soft, functional.cross_entropy(student_logits, labels), temperature, alpha)


def of_logits(student_logits, teacher_logits, labels, temperature, alpha):
    soft = functional.mse_loss(student_logits, teacher_logits)
    return right_parts(soft, functional.cross_entropy(student_logits, labels), temperature, alpha)


def cut_off(student_logits, teacher_logits, labels, temperature, alpha):
    return as_in_the_notebook(student_logits.detach(), teacher_logits, labels, temperature, alpha)


def summed(*arguments):
    return 5 * as_in_the_notebook(*arguments)


LOSS_MISTAKES = [
    (loss_with(lambda s, h, t, a: a * h + (1 - a) * t * t * s), "weighs the hard one"),
    (loss_with(lambda s, h, t, a: a * s + (1 - a) * h), "factor T² on the soft part is missing"),
    (loss_with(lambda s, h, t, a: a * t * s + (1 - a) * h), "multiplied by T, not"),
    (loss_with(lambda s, h, t, a: a * s / t**2 + (1 - a) * h), "divided by T²"),
    (loss_with(lambda s, h, t, a: t * t * (a * s + (1 - a) * h)), "soft part alone"),
    (loss_with(lambda s, h, t, a: t * t * s + h), "alpha is not used"),
    (loss_with(lambda s, h, t, a: (1 - a) * h - a * t * t * s), "sign"),
    (loss_with(right_parts, student=False), "Only the teacher"),
    (loss_with(right_parts, reduction="mean"), "over all numbers"),
    (loss_with(right_parts, reduction="sum"), "summed over the pictures"),
    (reversed_divergence, "swap the two"),
    (softened_labels_part, "labels' part is softened"),
    (without_the_log, "logarithms"),
    (of_logits, "compares logits"),
    (summed, "sum over the pictures; take"),
    (cut_off, "the gradient is not"),
    (half_cut_off, "the gradient is not"),
    (hard_part_cut_off, "the gradient is not"),
    (lambda *arguments: torch.tensor(as_in_the_notebook(*arguments).item()), "cuts the student off"),
    (in_numpy, "a tensor is expected"),
    (as_an_item, "a tensor is expected"),
    (as_an_array, "a tensor is expected"),
    (as_an_array_without_detach, "as_an_array_without_detach() raised"),
    (lambda *arguments: 0.0, "KL(teacher, student)"),
    (lambda *arguments: arguments[0], "a number"),
    (lambda student_logits, labels: 1.0, "raised"),
]


# The control


def smoothed(labels, share):
    return (1 - share) * np.eye(10)[labels] + share / 10


def smoothed_by_torch(labels, share):
    hot = functional.one_hot(torch.as_tensor(labels), 10).float()
    return hot * (1 - share) + share / 10


def smoothed_for_tensors(labels, share):  # raises TypeError for arrays
    return (1 - share) * functional.one_hot(labels, 10) + share / 10


def smoothed_with_scatter(labels, share):  # raises AttributeError for arrays
    return torch.full((len(labels), 10), share / 10).scatter(1, labels.unsqueeze(1), 1 - share + share / 10)


def smoothed_in_a_loop(labels, share):
    return [[share / 10 + (1 - share) * (digit == label) for digit in range(10)] for label in labels]


CONTROL_MISTAKES = [
    (lambda y, e: (1 - e) * np.eye(10)[y] + e / 9 * (1 - np.eye(10)[y]), "all ten digits"),
    (lambda y, e: np.eye(10)[y] + e / 10, "more than 1"),
    (lambda y, e: np.eye(10)[y], "hard labels"),
    (lambda y, e: (1 - e) * np.eye(10)[y], "nobody gets it"),
    (lambda y, e: (1 - e) * np.eye(10)[y] + e, "divide it by ten"),
    (lambda y, e: e * np.eye(10)[y] + (1 - e) / 10, "not `share`"),
    (lambda y, e: smoothed(y, e).T, "swapped"),
    (lambda y, e: smoothed(y, e)[0], "One row per picture"),
    (lambda y, e: smoothed(y, e) * 2, "add up to 1"),
    (lambda y, e: smoothed((y + 1) % 10, e), "columns are shifted"),
    (lambda y, e: smoothed((y - 1) % 10, e), "columns are shifted"),
    (lambda y, e: smoothed(9 - y, e), "ten equal parts"),
    (lambda y, e: (1 - e) * np.eye(y.max() + 1)[y] + e / 10, "ten digits, whichever of them occur"),
    (lambda y, e: (1 - e) * np.eye(len(y))[range(len(y))] + e / 10, "One row per picture"),
    (lambda y, e: (1 - e) * (y[:, None] == np.unique(y)) + e / 10, "do not count columns"),
    (lambda y, e: "soft", "numbers"),
    (lambda y, e: functional.one_hot(y, 10), "hard labels"),
    (lambda y, e: functional.one_hot(y, 10, e), "ndarray of shape"),
]


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("08-temperature", by_grid),
        ("08-temperature", by_bisection),
        ("08-temperature", lambda logits, share: np.array([by_grid(logits, share)])),
        ("08-loss", as_in_the_notebook),
        ("08-loss", with_cross_entropy),
        ("08-loss", by_hand),
        ("08-loss", in_float32),
        ("08-loss", lambda *arguments: as_in_the_notebook(*arguments).reshape(1)),
        ("08-control", smoothed),
        ("08-control", smoothed_by_torch),
        ("08-control", smoothed_for_tensors),
        ("08-control", smoothed_with_scatter),
        ("08-control", smoothed_in_a_loop),
    ],
)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        *(("08-temperature", *mistake) for mistake in TEMPERATURE_MISTAKES),
        *(("08-loss", *mistake) for mistake in LOSS_MISTAKES),
        *(("08-control", *mistake) for mistake in CONTROL_MISTAKES),
    ],
)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says.replace("`", "") in str(verdict).replace("`", ""), str(verdict)


def test_the_share_of_the_second_digit_is_reached_once_only():
    for logits, share in checks._softened():
        reached = [checks._runner_up(logits, t) >= share for t in np.arange(0.05, 200, 0.05)]
        assert np.count_nonzero(np.diff(reached)) == 1


@pytest.mark.parametrize(("temperature", "alpha"), [(4.0, 0.7), (2.0, 0.25)])
def test_the_mistaken_losses_differ_from_the_right_one_and_from_each_other(temperature, alpha):
    parts = checks._parts(temperature)
    values = [value for value, _ in checks._loss_mistakes(parts, temperature, alpha)]
    values += map(float, checks._losses(*checks._batch(), temperature, alpha))
    gaps = np.diff(np.sort(values)) / np.abs(np.sort(values))[1:]
    assert gaps.min() > 1e-3


def test_the_parts_of_the_loss_agree_with_pytorch():
    student, teacher, labels = checks._batch()
    for temperature, alpha in ((4.0, 0.7), (1.0, 0.3)):
        with_kl, with_ce = checks._losses(student, teacher, labels, temperature, alpha)
        assert np.isclose(with_kl, as_in_the_notebook(student, teacher, labels, temperature, alpha).item())
        assert np.isclose(with_ce, with_cross_entropy(student, teacher, labels, temperature, alpha).item())


# The student


@pytest.fixture(scope="module")
def networks():
    """Return a teacher, a student that is good enough, and one that has not trained."""
    train = data.digits().train
    teacher, small = models.mlp((64, 256, 128, 10)), models.mlp((64, 32, 10))
    models.fit(teacher, train.x, train.y, epochs=8)
    models.fit(small, train.x, train.y, epochs=60, lr=1e-2)
    return {"teacher": teacher, "small": small, "blank": models.mlp((64, 32, 10))}


def with_more_outputs(network):
    """Return the same answers from a network with two outputs more, which never win."""
    changed = copy.deepcopy(network)
    last = changed[-1]
    wider = torch.nn.Linear(last.in_features, 12)
    with torch.no_grad():
        wider.weight[:10], wider.bias[:10], wider.bias[10:] = last.weight, last.bias, -1e9
    changed[-1] = wider
    return changed


def test_a_small_student_that_keeps_up_is_right(networks):
    verdict = exercises.check("08-student", (networks["small"], networks["teacher"]))
    assert verdict.outcome == RIGHT, str(verdict)
    assert exercises.check("08-student", [networks["small"], networks["teacher"]]).outcome == RIGHT


class OwnStudent(torch.nn.Module):
    """The same network with names of its own."""

    def __init__(self, network):
        super().__init__()
        self.hidden, self.out = copy.deepcopy(network[0]), copy.deepcopy(network[2])

    def forward(self, pictures):
        return functional.log_softmax(self.out(torch.relu(self.hidden(pictures))), dim=-1)


class WeightsElsewhere(torch.nn.Module):
    """A network that computes with another one, which is not registered, and has one parameter of its own."""

    def __init__(self, network):
        super().__init__()
        self.kept, self.factor = [network], torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.kept[0](x) * self.factor


def int8(network):
    return torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear})


@pytest.mark.parametrize(
    "form",
    [
        OwnStudent,
        lambda m: copy.deepcopy(m).double(),
        lambda m: copy.deepcopy(m).half(),
        lambda m: copy.deepcopy(m).requires_grad_(False).train(),
        lambda m: torch.jit.trace(m, torch.rand(2, 64)),
    ],
)
def test_students_are_accepted_in_every_form(networks, form):
    verdict = exercises.check("08-student", (form(networks["small"]), networks["teacher"]))
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda n: (WeightsElsewhere(n["teacher"]), n["teacher"]), "The student has next to no parameters"),
        (lambda n: (int8(n["teacher"]), n["teacher"]), "FP32 networks"),
        (lambda n: (n["small"], int8(n["teacher"])), "The teacher has next to no parameters"),
        (lambda n: (n["small"], n["teacher"], n["blank"]), "two networks"),
        (lambda n: ("small", "teacher"), "should be a network"),
        (lambda n: (models.mlp((64, 32, 9)), n["teacher"]), "9 outputs; there are 10 digits"),
        (lambda n: (n["teacher"], n["small"]), "first network is the larger"),
        (lambda n: (n["teacher"], n["teacher"]), "same size"),
        (lambda n: (models.mlp((64, 34, 10)), n["teacher"]), "2,541"),
        (lambda n: (n["blank"], n["teacher"]), "hardly trained"),
        (lambda n: (n["small"], models.mlp((64, 256, 128, 10))), "not learned its digits"),
        (lambda n: (models.mlp((10, 10)), n["teacher"]), "cannot take the pictures"),
        (lambda n: (with_more_outputs(n["small"]), n["teacher"]), "12 outputs; there are 10 digits"),
        (lambda n: n["small"], "two networks"),
        (lambda n: (0.97, n["teacher"]), "should be a network"),
    ],
)
def test_typical_mistakes_with_the_student_are_explained(networks, answer, says):
    verdict = exercises.check("08-student", answer(networks))
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


def test_a_student_more_than_a_point_behind_is_wrong(networks):
    behind = models.mlp((64, 32, 10))
    train = data.digits().train
    models.fit(behind, train.x, train.y, epochs=3)
    verdict = exercises.check("08-student", (behind, networks["teacher"]))
    assert verdict.outcome == WRONG
    assert "choose on validation" in str(verdict), str(verdict)
    assert re.search(r"\d\.\d\d points are more than one", str(verdict)), str(verdict)


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("08-temperature", lambda logits, share: ...),
        ("08-loss", lambda student_logits, teacher_logits, labels, temperature, alpha: ...),
        ("08-loss", lambda student_logits, *rest: student_logits.mean() + ...),
        ("08-control", lambda labels, share: ...),
        ("08-control", lambda labels, share: functional.one_hot(labels, 10) * ...),
        ("08-student", (..., models.mlp((64, 4, 10)))),
        ("08-student", ...),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


# What the notebook writes out itself


def defined(*names, **known):
    """Return functions of the notebook by name, as its cells define them; ``known`` is what they refer to."""
    found = {"np": np, "torch": torch, "functional": functional, "accuracy": accuracy, **known}
    text = MASTER.read_text(encoding="utf-8")
    for name in names:
        function = re.search(rf"^def {name}\(.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        exec(function[0].replace("# solution", ""), found)
    return [found[name] for name in names]


def test_the_notebook_softens_as_the_package_does():
    (soften,) = defined("soften")
    logits = np.random.default_rng(1).normal(0, 9, 10)
    for temperature in (0.5, 1, 4, 20):
        expected = distillation.soften(torch.from_numpy(logits), temperature).numpy()
        assert np.allclose(soften(logits, temperature), expected)


def test_the_printed_loss_is_the_package_s_with_alpha_turned_round():
    printed, written = defined("printed_loss", "distillation_loss")
    student, teacher, labels = checks._batch()
    for temperature, alpha in ((4.0, 0.3), (2.0, 0.9)):
        ours = distillation.loss(student, teacher, labels, temperature=temperature, alpha=1 - alpha)
        assert np.isclose(printed(student, teacher, labels, temperature, alpha), ours)
        assert np.isclose(written(student, teacher, labels, temperature, 1 - alpha), ours)


def test_the_notebook_measures_the_gradients_that_the_package_measures():
    student, teacher, _ = checks._batch()
    (gradient_length,) = defined("gradient_length", teacher_logits=teacher)
    temperatures = (1.0, 4.0, 16.0)
    measured = [gradient_length(student, temperature) for temperature in temperatures]
    assert np.allclose(measured, distillation.gradient_sizes(student, teacher, temperatures).plain)


def test_the_notebook_s_interval_is_the_package_s():
    (difference,) = defined("difference")
    a, b = np.random.default_rng(2).normal(90, 2, (2, 20))
    gap, expected = difference(a, b), accuracy.paired(a / 100, b / 100)
    assert np.allclose(
        (gap.value, gap.low, gap.high), (expected.mean, expected.low, expected.high), atol=1e-4
    )


def test_the_notebook_smooths_as_the_package_does():
    (found,) = defined("smoothed")
    labels = np.array([7, 0, 3, 3, 9])
    expected = distillation.label_smoothing(labels, 0.1).exp().numpy()
    assert np.allclose(found(labels, 0.1), expected)


def why(id):
    """Return the reason that the card of a claim of this notebook gives."""
    texts = tomllib.loads((ROOT / "coursekit/course/nb08/claims.toml").read_text(encoding="utf-8"))
    return next(claim["why"] for claim in texts["claim"] if claim["id"] == id)


def test_in_the_heat_the_gradient_is_the_difference_of_centred_logits_as_the_card_says():
    rng = np.random.default_rng(4)
    student, teacher = rng.normal(0, 1, (50, 10)), rng.normal(2, 3, (50, 10))  # with means of their own
    sizes = distillation.gradient_sizes(torch.from_numpy(student), torch.from_numpy(teacher), (4096.0,))
    centred = [logits - logits.mean(1, keepdims=True) for logits in (student, teacher)]
    with_means, without = (
        np.linalg.norm(s - t, axis=1).mean() / 10 for s, t in ((student, teacher), centred)
    )
    assert sizes.scaled[0] == pytest.approx(without, rel=0.01)
    assert sizes.scaled[0] != pytest.approx(with_means, rel=0.05)
    assert "mean taken off first" in why("08-t-squared")


@pytest.mark.parametrize("seed", range(4))
def test_at_three_bits_a_row_loses_its_small_weights_together_the_finest_steps_first(seed):
    quantize, lost_ones = defined(
        "prune", "quantize", "lost_ones", pruning=pruning, quantization=quantization
    )[1:]
    rounded = quantize(models.start_many((64, 16, 10), range(5 * seed, 5 * seed + 5)), 3)
    pruned = pruning.prune_many(rounded, 0.5)
    shares, steps = [], []
    for before, after in zip(rounded.weights, pruned.weights, strict=True):
        for row, left in zip(before.flatten(0, 1).numpy(), after.flatten(0, 1).numpy(), strict=True):
            ones = np.isclose(abs(row), abs(row).max() / 3)
            shares.append(1 - np.count_nonzero(left[ones]) / ones.sum())
            steps.append(abs(row).max() / 3)
    found = lost_ones(rounded).numpy()
    assert np.allclose(found, shares)
    network = np.r_[np.repeat(range(5), 16), np.repeat(range(5), 10)]
    steps, shares = np.array(steps), np.array(shares)
    for mine in (network == number for number in range(5)):
        lost, kept = (steps[mine & (shares == end)] for end in (1, 0))
        assert sum(mine & (shares > 0) & (shares < 1)) <= 1  # the row in which the ranking ends
        assert lost.size
        assert kept.size
        assert lost.max() <= kept.min()
    assert "all or none" in why("08-order-few-bits")
