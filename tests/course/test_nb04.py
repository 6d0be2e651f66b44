import numpy as np
import pytest
import torch
from build_notebooks import Course, code_cells
from scipy import optimize
from sklearn.linear_model import LinearRegression

from coursekit import batching, exercises, models
from coursekit.course.nb04 import checks
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG

EXAMPLE = 4 * (256 + 512 + 512 + 10)
WEIGHTS = 4 * sum(tensor.numel() for tensor in models.mlp((256, 512, 512, 10)).parameters())
LARGEST = (100_000_000 - WEIGHTS) // EXAMPLE


def plain(batches, seconds):
    b, a = np.polyfit(batches, seconds, 1)
    return a, b


def relative(batches, seconds):
    b, a = np.polyfit(batches, seconds, 1, w=1 / seconds)
    return np.array([a, b])


def by_formula(batches, seconds):
    b = np.cov(batches, seconds)[0, 1] / np.var(batches, ddof=1)
    return [seconds.mean() - b * batches.mean(), b]


def with_torch(batches, seconds):
    columns = torch.stack([torch.ones(len(batches)), torch.tensor(batches)], 1).double()
    return torch.linalg.lstsq(columns, torch.tensor(seconds)[:, None]).solution.flatten()


def with_scipy(batches, seconds):
    found, _ = optimize.curve_fit(lambda x, a, b: a + b * x, batches, seconds, p0=(1e-4, 1e-4))
    return tuple(found)


def swapped(batches, seconds):
    return np.polyfit(batches, seconds, 1)


def through_the_origin(batches, seconds):
    return 0.0, (batches @ seconds) / (batches @ batches)


def in_milliseconds(batches, seconds):
    a, b = plain(batches, seconds)
    return 1e3 * a, 1e3 * b


def power_law(batches, seconds):
    b, a = np.polyfit(np.log(batches), np.log(seconds), 1)
    return np.exp(a), b


def two_points(batches, seconds):
    b = (seconds[-1] - seconds[0]) / (batches[-1] - batches[0])
    return seconds[0] - b * batches[0], b


def first_time_as_overhead(batches, seconds):
    return seconds[0], plain(batches, seconds)[1]


def only_the_slope(batches, seconds):
    return plain(batches, seconds)[1]


def blank(*args): ...


def rule(waiting, oldest_age, max_batch, max_wait):
    if waiting == 0:
        return 0
    return min(waiting, max_batch) if waiting >= max_batch or oldest_age >= max_wait else 0


def both_needed(waiting, oldest_age, max_batch, max_wait):
    return min(waiting, max_batch) if waiting >= max_batch and oldest_age >= max_wait else 0


def all_of_them(waiting, oldest_age, max_batch, max_wait):
    return waiting if waiting >= max_batch or oldest_age >= max_wait else 0


def more_than_full(waiting, oldest_age, max_batch, max_wait):
    return min(waiting, max_batch) if waiting > max_batch or oldest_age > max_wait else 0


def after_max_wait(waiting, oldest_age, max_batch, max_wait):
    return min(waiting, max_batch) if waiting >= max_batch or (waiting and oldest_age > max_wait) else 0


def only_full(waiting, oldest_age, max_batch, max_wait):
    return max_batch if waiting >= max_batch else 0


def always_max(waiting, oldest_age, max_batch, max_wait):
    return max_batch if waiting >= max_batch or oldest_age >= max_wait else 0


def at_once(waiting, oldest_age, max_batch, max_wait):
    return min(waiting, max_batch)


def at_least_one(waiting, oldest_age, max_batch, max_wait):
    return max(1, rule(waiting, oldest_age, max_batch, max_wait)) if oldest_age >= max_wait else 0


def fixed_wait(waiting, oldest_age, max_batch, max_wait):
    return min(waiting, max_batch) if waiting >= max_batch or (waiting and oldest_age >= 0.01) else 0


def yes_or_no(waiting, oldest_age, max_batch, max_wait):
    return waiting >= max_batch or oldest_age >= max_wait


def with_scikit_learn(batches, seconds):
    line = LinearRegression().fit(batches[:, None], seconds)
    return line.intercept_, line.coef_  # a number and an array of one


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("04-fit", with_scikit_learn),
        ("04-fit", plain),
        ("04-fit", relative),
        ("04-fit", by_formula),
        ("04-fit", with_torch),
        ("04-fit", with_scipy),
        ("04-fit", batching.fit),
        ("04-budget", 96),
        ("04-budget", 96.0),
        ("04-budget", np.int64(96)),
        ("04-budget", torch.tensor([96])),
        ("04-memory", (EXAMPLE, LARGEST)),
        ("04-memory", [float(EXAMPLE), float(LARGEST)]),
        ("04-memory", np.array([EXAMPLE, LARGEST])),
        ("04-memory", (torch.tensor(EXAMPLE), np.int64(LARGEST))),
        ("04-flush", rule),
        ("04-flush", batching.flush),
        ("04-flush", lambda *args: np.int64(rule(*args))),
        ("04-flush", lambda *args: torch.tensor(rule(*args))),
    ],
)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("04-fit", swapped, "swapped"),
        ("04-fit", lambda x, y: {"a": 1, "b": 2}, "two numbers"),
        ("04-fit", lambda x, y: ([1, 2], 3), "a should be a number"),
        ("04-fit", lambda x, y: ("0.1", 3), "Without the quotation marks"),
        ("04-fit", through_the_origin, "origin"),
        ("04-fit", in_milliseconds, "seconds"),
        ("04-fit", lambda x, y: [1e6 * part for part in plain(x, y)], "not in µs"),
        ("04-fit", power_law, "power law"),
        ("04-fit", two_points, "not two of them"),
        ("04-fit", first_time_as_overhead, "one example as well"),
        ("04-fit", only_the_slope, "two numbers"),
        ("04-fit", lambda batches: (1, 2), "raised"),
        ("04-fit", (50e-6, 9e-6), "a function"),
        ("04-budget", 160, "largest that fits"),
        ("04-budget", 512, "over the budget"),
        ("04-budget", 1, "one that fits"),
        ("04-budget", 4, "not a batch of the table"),
        ("04-budget", 43_636, "not a batch of the table"),
        ("04-budget", 2.2, "whole number"),
        ("04-memory", (1290, LARGEST), "4 bytes"),
        ("04-memory", (4 * 1034, LARGEST), "inputs are missing"),
        ("04-memory", (4 * 1280, LARGEST), "last layer"),
        ("04-memory", (WEIGHTS, LARGEST), "weights"),
        ("04-memory", (EXAMPLE + WEIGHTS, LARGEST), "once per example"),
        ("04-memory", (EXAMPLE, 100_000_000 // EXAMPLE), "Take them off"),
        ("04-memory", (EXAMPLE, LARGEST + 1), "Round down"),
        ("04-memory", (EXAMPLE, (100_000_000 - WEIGHTS + 4 * 1034) // EXAMPLE), "count the biases"),
        ("04-memory", (EXAMPLE, (100_000_000 - WEIGHTS) / EXAMPLE), "fraction of an example"),
        ("04-memory", (EXAMPLE, (104_857_600 - WEIGHTS) // EXAMPLE), "MiB"),
        ("04-memory", (EXAMPLE, (100_000_000 - WEIGHTS // 4) // EXAMPLE), "4 bytes"),
        ("04-memory", (EXAMPLE, 7), "7 is not the largest"),
        ("04-memory", EXAMPLE, "pair"),
        ("04-flush", both_needed, "full batch goes at once"),
        ("04-flush", all_of_them, "No batch may be larger"),
        ("04-flush", more_than_full, "full batch goes at once"),
        ("04-flush", only_full, "waited long enough"),
        ("04-flush", after_max_wait, "After exactly max_wait"),
        ("04-flush", always_max, "waited long enough"),
        ("04-flush", at_once, "wait"),
        ("04-flush", at_least_one, "full batch goes"),
        ("04-flush", fixed_wait, "arguments"),
        ("04-flush", yes_or_no, "how many"),
        ("04-flush", 8, "a function"),
    ],
)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


def no_last_return(waiting, oldest_age, max_batch, max_wait):
    if waiting >= max_batch or oldest_age >= max_wait:
        return min(waiting, max_batch)


def test_a_way_without_return_is_told():
    verdict = exercises.check("04-flush", no_last_return)
    assert verdict.outcome == WRONG
    assert "no_last_return(" in verdict.message
    assert "`return` on every way" in str(verdict)


@pytest.mark.parametrize(
    ("id", "answer"),
    [("04-fit", blank), ("04-budget", ...), ("04-memory", (..., ...)), ("04-flush", blank)],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


def test_the_checker_reads_the_table_that_the_notebook_prints():
    from build_notebooks import Course

    master = Course().masters()["04-batching-benchmark"].read_text("utf-8")
    for values in (checks.TABLE_BATCHES, checks.TABLE_MS):
        assert f"np.array({list(values)})" in master


def test_the_network_is_the_notebooks_and_its_memory_is_what_torch_holds():
    model, x = models.mlp(checks.WIDTHS), torch.zeros(7, checks.WIDTHS[0])
    kept, layer = [x], x
    for part in model:
        layer = part(layer)
        if isinstance(part, torch.nn.Linear):
            kept.append(layer)
    assert sum(tensor.nelement() * tensor.element_size() for tensor in kept) == 7 * EXAMPLE
    assert 4 * checks._parameters() == WEIGHTS


def test_no_hint_on_the_memory_is_the_right_answer_or_hides_another():
    free = 100_000_000 - WEIGHTS
    slips = [100_000_000 // EXAMPLE, LARGEST + 1, (104_857_600 - WEIGHTS) // EXAMPLE]
    slips += [(100_000_000 - WEIGHTS // 4) // EXAMPLE, free / EXAMPLE]
    said = [str(exercises.check("04-memory", (EXAMPLE, slip))) for slip in slips]
    assert len(set(said)) == len(slips)
    assert not any("is not the largest batch" in text for text in said)


def test_the_panel_that_simulates_comes_after_the_guess_that_it_answers():
    cells = [cell.source for cell in code_cells(Course().expected("04-batching-benchmark")[1])]
    (guess,) = [number for number, source in enumerate(cells) if 'predict("04-batcher-saves"' in source]
    (panel,) = [number for number, source in enumerate(cells) if "widgets.dynamic_batching" in source]
    assert guess < panel
