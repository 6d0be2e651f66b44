"""The checkers of notebook 08, distillation basics."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.exercises.answers import as_array, as_number, call, call_either, describe
from coursekit.exercises.verdicts import Stop, Verdict, right, wrong

__all__ = ["CHECKERS"]

CLASSES, PICTURES = 10, 5
SHARE_CLOSE = 0.005  # half a per cent: a search in steps of 0.05 passes
LOSS_CASES = ((4.0, 0.7), (2.0, 0.25), (1.0, 1.0), (8.0, 0.0))  # (temperature, alpha)
# (labels, share); no 9 among the second ones, and no digit twice among the last: columns follow from neither.
CONTROL_CASES = (((7, 0, 3, 3, 9), 0.1), ((5, 0, 3, 3, 2), 0.4), ((4, 1, 6), 0.0))
SMALLER = 20
FEWEST_PARAMETERS = 100  # with fewer, the weights are not among them: quantized, or kept in another place
FP32_ASKED = "Hand in FP32 networks whose weights are all among their `parameters()`."
WITHIN = 0.01 + 1e-9
TRAINED, HARDLY = 0.9, 0.5  # below: a teacher, a student that has learned nothing
Array = NDArray[Any]


def temperature(answer: Any) -> Verdict:
    """A function of logits and share that returns the temperature."""
    for logits, share in _softened():
        found = as_number(call(answer, logits, share), "the temperature")
        if found <= 0 or not np.isfinite(found):
            return wrong(f"A temperature must be above 0; yours is {found:g}.", "Logits are divided by it.")
        second = _runner_up(logits, found)
        if abs(second - share) > SHARE_CLOSE:
            return _wrong_temperature(logits, share, found, second)
    return right("At that temperature the second digit shows as much as you asked for.")


def loss(answer: Any) -> Verdict:
    """A function of student_logits, teacher_logits, labels, temperature and alpha that returns a tensor."""
    for temperature, alpha in LOSS_CASES:
        arguments = (*_batch(), temperature, alpha)
        value = as_number(call(answer, *arguments), "the loss")
        if not any(_close(value, float(expected)) for expected in _losses(*arguments)):
            return _wrong_loss(value, temperature, alpha)
    for temperature, alpha in LOSS_CASES:
        _check_gradient(answer, temperature, alpha)
    return right("Both parts, both softened alike, and the soft part keeps its weight when T is raised.")


def control(answer: Any) -> Verdict:
    """A function of labels and share that returns smoothed labels [n, 10]."""
    for digits, share in CONTROL_CASES:
        labels = np.array(digits, dtype=np.int64)  # as PyTorch wants them
        targets = as_array(call_either(answer, labels, share), "the smoothed labels")
        expected = _smoothed(labels, share)
        if targets.shape != expected.shape:
            return _wrong_shape(targets.shape, expected.shape, labels)
        if not np.allclose(targets, expected, atol=1e-6):
            return _wrong_targets(targets, labels, share)
    return right("The same softness for every picture: targets that know nothing a label does not say.")


def student(answer: Any) -> Verdict:
    """Two networks, (student, teacher)."""
    import torch

    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return wrong("Hand in two networks: `(student, teacher)`.")
    small, large = answer
    for name, model in (("student", small), ("teacher", large)):
        if not isinstance(model, torch.nn.Module):
            return wrong(f"The {name} should be a network, but it is {type(model).__name__}.")
    sizes = [sum(p.numel() for p in model.parameters()) for model in (small, large)]
    if min(sizes) < FEWEST_PARAMETERS:
        name = "student" if sizes[0] < FEWEST_PARAMETERS else "teacher"
        return wrong(f"The {name} has next to no parameters that could be counted.", FP32_ASKED)
    if sizes[0] * SMALLER > sizes[1]:
        return _too_large(*sizes)
    return _accurate(small, large, sizes)


@functools.cache
def _softened() -> tuple[tuple[Array, float], ...]:
    """Return (logits, share): the digit 7, a teacher that hesitates, and one with all logits far below 0.

    No share reaches a tenth: above it the second digit's probability may rise and fall again.
    """
    seven = np.array([-5.0, 10.9, 0.5, 1.5, -4.0, -2.0, -8.0, 20.0, -1.0, 6.5])
    three = np.array([1.0, -2.0, 4.0, 12.0, -6.0, 8.5, -3.0, 0.0, 5.0, 2.0])
    below = np.array([-40.0, -31.0, -38.0, -36.0, -25.0, -33.0, -39.0, -37.0, -35.0, -28.5])
    return (seven, 0.09), (three, 0.05), (below, 0.07), (seven, 0.03)


def _softmax(logits: Array, temperature: float) -> Array:
    scaled = (logits - logits.max()) / temperature
    return np.exp(scaled) / np.exp(scaled).sum()


def _runner_up(logits: Array, temperature: float) -> float:
    """Return the probability of the class with the second largest logit."""
    return float(_softmax(logits, temperature)[np.argsort(logits)[-2]])


def _wrong_temperature(logits: Array, share: float, found: float, second: float) -> Verdict:
    message = (
        f"For share={share:g} your temperature is {found:.3g}: the second digit then gets "
        f"{100 * second:.2g} % instead of {100 * share:g} %."
    )
    if abs(_runner_up(logits, 1 / found) - share) <= SHARE_CLOSE:
        return wrong(message, "That is one over the temperature: the logits are divided, not multiplied.")
    probabilities = np.sort(_softmax(logits, found))[::-1]
    if abs(probabilities[0] - share) <= SHARE_CLOSE or abs(1 - probabilities[0] - share) <= SHARE_CLOSE:
        return wrong(message, "Look at the second largest probability, not at the largest.")
    if abs(probabilities[2] - share) <= SHARE_CLOSE:
        return wrong(message, "You look at the third digit; the second largest logit is asked for.")
    if abs(found - 4.0) < SHARE_CLOSE or abs(found - share) < SHARE_CLOSE:
        return wrong(message, "The temperature depends on the logits and on the share: search for it.")
    hint = "higher" if second < share else "lower"
    return wrong(message, f"Try a {hint} temperature, and search in finer steps.")


def _batch() -> tuple[Any, Any, Any]:
    """Return (student_logits, teacher_logits, labels) as tensors: five rows of ten."""
    import torch

    rng = np.random.default_rng(8)
    student, teacher = rng.normal(0, 3, (2, PICTURES, CLASSES))
    return torch.from_numpy(student), torch.from_numpy(teacher), torch.tensor([7, 1, 9, 0, 4])


def _parts(temperature: float) -> dict[str, float]:
    """Return every number that a right or a typically wrong loss of ``_batch`` is made of."""
    import torch
    from torch.nn import functional

    student, teacher, labels = _batch()
    log_q, log_p = (functional.log_softmax(t / temperature, 1) for t in (student, teacher))
    kl = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    one_sided = functional.kl_div(functional.log_softmax(student, 1), log_p.exp(), reduction="batchmean")
    swapped = (log_q.exp() * (log_q - log_p)).sum(1).mean()
    parts = {
        "hard": functional.cross_entropy(student, labels),
        "soft_hard": functional.nll_loss(log_q, labels),
        "kl": kl,
        "swapped": swapped,
        "one_sided": one_sided,
        "no_log": functional.kl_div(log_q.exp(), log_p.exp(), reduction="batchmean"),
        "mse": torch.nn.functional.mse_loss(student, teacher),
    }
    return {name: float(value) for name, value in parts.items()}


def _losses(student: Any, teacher: Any, labels: Any, temperature: float, alpha: float) -> tuple[Any, Any]:
    """Return the loss with KL, and the one with cross-entropy, whose gradient is the same, as tensors."""
    from torch.nn import functional

    log_q, log_p = (functional.log_softmax(logits / temperature, 1) for logits in (student, teacher))
    rest = (1 - alpha) * functional.cross_entropy(student, labels)
    soft = alpha * temperature**2
    kl = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    return rest + soft * kl, rest - soft * (log_p.exp() * log_q).sum(1).mean()


def _check_gradient(answer: Any, temperature: float, alpha: float) -> None:
    """Stop with a verdict unless a training could use the loss: a tensor with the gradient of ``_losses``."""
    import torch

    student, teacher, labels = _batch()
    student.requires_grad_()
    held = functools.partial(answer, student, teacher, labels, temperature, alpha)  # `call` would copy them
    result = call(functools.update_wrapper(held, answer))
    if not isinstance(result, torch.Tensor):
        hint = "Without `.item()`, `float` or NumPy: the training needs the way back to the student."
        raise Stop(wrong(f"The value is right, but a tensor is expected, not {describe(result)}.", hint))
    found = torch.zeros_like(student)
    if result.requires_grad:
        (found,) = torch.autograd.grad(result.sum(), student, allow_unused=True, materialize_grads=True)
    with_kl, _ = _losses(student, teacher, labels, temperature, alpha)
    (expected,) = torch.autograd.grad(with_kl, student)
    if not torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-5):
        hint = "Something cuts the student off: `detach`, `.data`, `no_grad`, or a new tensor of the result."
        raise Stop(wrong("The value is right, but the gradient is not.", hint))


def _close(value: float, expected: float) -> bool:
    return bool(np.isclose(value, expected, rtol=1e-4, atol=1e-6))


def _wrong_loss(value: float, t: float, alpha: float) -> Verdict:
    p = _parts(t)
    expected = (1 - alpha) * p["hard"] + alpha * t * t * p["kl"]
    message = f"For T = {t:g} and alpha = {alpha:g} your loss is {value:.4f} instead of {expected:.4f}."
    told = next((why for number, why in _loss_mistakes(p, t, alpha) if _close(value, number)), "")
    rule = "alpha · T² · KL(teacher, student), both softened, + (1 - alpha) · cross-entropy with the labels."
    return wrong(message, told or rule)


def _loss_mistakes(p: dict[str, float], t: float, alpha: float) -> list[tuple[float, str]]:
    """Return (value, hint) of typically wrong losses made of the parts ``p``."""
    kl, rest, weight = p["kl"], (1 - alpha) * p["hard"], alpha * t * t
    whole = rest + weight * kl
    swapped_alpha = alpha * p["hard"] + (1 - alpha) * t * t * kl
    return [
        (swapped_alpha, "Here alpha is the weight of the soft part; yours weighs the hard one."),
        (rest + alpha * kl, "The factor T² on the soft part is missing."),
        (rest + alpha * t * kl, "The soft part is multiplied by T, not by T²."),
        (rest + alpha * kl / (t * t), "The soft part is divided by T²; it has to be multiplied."),
        (t * t * (rest + alpha * kl), "T² belongs to the soft part alone, not to the labels' part."),
        (p["hard"] + t * t * kl, "Both parts count in full: alpha is not used."),
        (rest + weight * p["swapped"], "The divergence goes from the student to the teacher; swap the two."),
        (rest + weight * p["one_sided"], "Only the teacher is softened; divide the student's logits, too."),
        (rest + weight * kl / CLASSES, "The mean runs over all numbers; over pictures only: `batchmean`."),
        (rest + PICTURES * weight * kl, "The soft part is summed over the pictures; take their mean."),
        (PICTURES * whole, "That is the sum over the pictures; take their mean."),
        ((1 - alpha) * p["soft_hard"] + weight * kl, "The labels' part is softened: it uses plain logits."),
        (rest + weight * p["no_log"], "`kl_div` wants logarithms of the student's probabilities first."),
        (rest - weight * kl, "The sign of the soft part is wrong: a divergence is never below 0."),
        (rest + weight * p["mse"], "That compares logits; compare the softened probabilities."),
    ]


def _smoothed(labels: Array, share: float) -> Array:
    return (1 - share) * np.eye(CLASSES)[labels] + share / CLASSES


def _wrong_shape(found: tuple[int, ...], expected: tuple[int, ...], labels: Array) -> Verdict:
    message = f"The smoothed labels have shape `{found}`; `{expected}` is expected."
    if found == expected[::-1]:
        return wrong(message, "Rows and columns are swapped: one row per picture.")
    if found in ((len(labels), labels.max() + 1), (len(labels), len(np.unique(labels)))):
        return wrong(
            message, "There are ten digits, whichever of them occur: do not count columns from the labels."
        )
    return wrong(message, "One row per picture, one column per digit.")


def _wrong_targets(targets: Array, labels: Array, share: float) -> Verdict:
    hot, n = np.eye(CLASSES)[labels], len(labels)
    row = np.array2string(targets[0], precision=3)
    message = f"For the label {labels[0]} and share={share:g} your row is {row}."
    others = (1 - share) * hot + share / (CLASSES - 1) * (1 - hot)
    mistakes: list[tuple[Array, str]] = [
        (others, "The share goes to all ten digits, the label's own included: ten equal parts."),
        (hot + share / CLASSES, "The rows add up to more than 1: the label has to give its share away."),
        (hot, "These are still hard labels: `share` is not used."),
        ((1 - share) * hot, "The share is taken from the label, but nobody gets it."),
        ((1 - share) * hot + share, "Each digit gets the whole share; divide it by ten."),
        (share * hot + (1 - share) / CLASSES, "The label keeps `1 - share`, not `share`."),
        (np.roll(_smoothed(labels, share), 1, axis=1), "The columns are shifted: column 0 is the digit 0."),
        (np.roll(_smoothed(labels, share), -1, axis=1), "The columns are shifted: column 0 is the digit 0."),
    ]
    for value, hint in mistakes:
        if np.allclose(targets, value, atol=1e-6):
            return wrong(message, hint)
    if not np.allclose(targets.sum(axis=1), np.ones(n), atol=1e-6):
        return wrong(
            message, f"Each row should add up to 1, but the first adds up to {targets[0].sum():.3g}."
        )
    return wrong(
        message, "`1 - share` stays with the label, and ten equal parts of `share` go to all digits."
    )


def _too_large(small: int, large: int) -> Verdict:
    limit = f"the teacher's {large:,}, divided by {SMALLER}, are {large / SMALLER:,.0f}"
    message = f"The student has {small:,} parameters; {limit}."
    if small == large:
        return wrong(message, "Both networks have the same size. Is the student the first of the two?")
    if small > large:
        return wrong(message, "The first network is the larger one: hand in `(student, teacher)`.")
    return wrong(message, "Each hidden neuron brings 64 weights, a bias and 10 weights to the outputs.")


def _accurate(small: Any, large: Any, sizes: list[int]) -> Verdict:
    shares = [_validated(model) for model in (small, large)]
    percents = [f"{100 * share:.1f} %" for share in shares]
    message = f"On the validation pictures the student gets {percents[0]} right, the teacher {percents[1]}."
    if shares[1] < TRAINED:
        return wrong(message, "That teacher has not learned its digits; hand in the one of this notebook.")
    if shares[0] < HARDLY:
        return wrong(message, "The student is hardly trained. Keep what the training returns.")
    if shares[1] - shares[0] > WITHIN:
        gap = f"{100 * (shares[1] - shares[0]):.2f} points are more than one."
        return wrong(
            f"{message} {gap}", "More epochs, another temperature, or another seed: choose on validation."
        )
    return right(f"{sizes[1] / sizes[0]:.1f} times fewer parameters. {message}")


def _validated(model: Any) -> float:
    """Return the share of right answers on the validation pictures."""
    from coursekit import data, models

    pictures = data.digits().validation
    try:
        found = models.predict(model, pictures.x)
        columns = _outputs(model, pictures.x)
    except (RuntimeError, TypeError, ValueError) as error:
        raise Stop(wrong(f"A network cannot take the pictures: `{error}`.", "They are [n, 64].")) from None
    if columns != CLASSES:
        raise Stop(wrong(f"A network has {columns} outputs; there are {CLASSES} digits.", "One logit each."))
    return float((found == pictures.y).mean())


def _outputs(model: Any, x: Array) -> int:
    """Return how many numbers the network gives for a picture."""
    import torch

    parameter, was_training = next(model.parameters()), model.training
    try:
        with torch.no_grad():
            given = torch.as_tensor(x[:2], dtype=parameter.dtype, device=parameter.device)
            return int(model.eval()(given).shape[-1])
    finally:
        model.train(was_training)


CHECKERS: Mapping[str, Callable[[Any], Verdict]] = MappingProxyType(
    {
        "08-temperature": temperature,
        "08-loss": loss,
        "08-control": control,
        "08-student": student,
    }
)
