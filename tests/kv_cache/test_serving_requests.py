"""The scheduler: by hand where a pass takes a second, against its simulation, and against one at a time."""

import math

import numpy as np
import pytest

from coursekit import kv_cache, language
from coursekit.kv_cache import Engine, Request, Step


@pytest.fixture(scope="module")
def small():
    return language.small()


def ask(*rows):
    return [Request(tuple(range(prompt)), new, arrival) for prompt, new, arrival in rows]


def second(step):
    return 1.0


def test_static_batching_by_hand():
    """Two begin at 0; the third waits until the longer of them is done."""
    asked = ask((3, 2, 0), (3, 4, 0), (3, 1, 0.5))
    run = kv_cache.simulate(asked, Engine(100, most=2, batching="static"), second)
    assert run.first.tolist() == [1, 1, 5]
    assert run.finished.tolist() == [2, 4, 5]
    assert [step.requests for step in run.steps] == [2, 2, 1, 1, 1]


def test_continuous_batching_by_hand():
    """The third begins when the first is done."""
    asked = ask((3, 2, 0), (3, 4, 0), (3, 1, 0.5))
    run = kv_cache.simulate(asked, Engine(100, most=2), second)
    assert run.first.tolist() == [1, 1, 3]
    assert run.finished.tolist() == [2, 4, 3]
    assert run.seconds == 4
    assert run.throughput == 7 / 4
    assert run.to_first.tolist() == [1, 1, 2.5]
    assert run.per_token.tolist() == [1, 1]
    assert run.busy == 2 * 3 / 4 + 1 / 4


def test_prompts_are_read_in_pieces_beside_those_that_answer():
    """With 4 tokens per pass, a prompt of 9 takes 3 passes while the first request goes on by one each."""
    run = kv_cache.simulate(ask((2, 6, 0), (9, 1, 1)), Engine(100, most=2, budget=4), second)
    assert [step.tokens for step in run.steps] == [2, 4, 4, 4, 1, 1]
    assert run.finished.tolist() == [6, 4]
    assert [step.context for step in run.steps] == [0, 2, 3 + 3, 4 + 6, 5, 6]


def test_a_run_of_single_tokens_is_shown_without_a_time_per_token():
    run = kv_cache.simulate(ask((3, 1, 0), (3, 1, 0)), Engine(100), second)
    assert str(run).count("–") == 2
    assert "1.00 s" in kv_cache.side_by_side({"one": run})


def test_tokens_that_a_model_does_not_know_are_refused_by_their_own_name(small):
    with pytest.raises(ValueError, match="requests may hold tokens from 0 to 1023; got 1024"):
        kv_cache.serve(small.model, [Request((1, 1024), 2)], Engine(4))


def test_nobody_waits_for_an_arrival():
    run = kv_cache.simulate(ask((1, 1, 0), (1, 1, 1000)), Engine(4), second)
    assert run.finished.tolist() == [1, 1001]
    assert len(run.steps) == 2


def test_a_full_memory_sends_the_youngest_back_and_all_are_served():
    """6 blocks of 2 hold both prompts, but not both answers."""
    run = kv_cache.simulate(ask((5, 6, 0), (5, 6, 0)), Engine(6, 2, most=2), second)
    assert run.preempted == 1
    assert run.finished[0] == 6
    assert run.finished[1] > 6
    assert [len(text) for text in run.texts] == [6, 6]
    assert run.computed > 2 * 10


def test_who_had_to_give_its_memory_back_comes_before_those_who_never_had_any():
    run = kv_cache.simulate(ask((5, 6, 0), (5, 6, 0), (5, 6, 0)), Engine(6, 2, most=2), second)
    assert run.preempted > 0
    assert run.finished[0] < run.finished[1] < run.finished[2]


def test_a_contiguous_piece_is_a_block_as_long_as_the_longest():
    asked = ask(*[(8, 8, 0)] * 8)
    pieces = kv_cache.simulate(asked, Engine(2, 64, most=8, budget=64), second)
    paged = kv_cache.simulate(asked, Engine(16, 8, most=8, budget=64), second)
    assert max(step.requests for step in pieces.steps) == 2
    assert max(step.requests for step in paged.steps) == 8
    assert paged.seconds < pieces.seconds


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("batching", kv_cache.BATCHINGS)
def test_served_for_real_every_time_is_that_of_its_simulation(small, batching, share):
    """With the seconds that its passes took, the simulation makes the same passes, to the last digit."""
    asked = kv_cache.requests(
        small, language.text(), 12, prompt=20, new=6, rate=400, shared=40 * share, seed=4
    )
    engine = Engine(30, most=4, budget=24, batching=batching, share=share)
    real = kv_cache.serve(small.model, asked, engine)
    took = iter(real.steps)
    again = kv_cache.simulate(asked, engine, lambda step: next(took).seconds)
    assert again.steps == real.steps
    assert (again.first == real.first).all()
    assert (again.finished == real.finished).all()


def same(model, request, one, other):
    """Tell whether two greedy texts are equal up to where two tokens are as good as equally likely."""
    if one == other:
        return True
    import torch

    at = next(n for n, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    with torch.no_grad():
        logits = model(torch.tensor([[*request.prompt, *one[:at]]]))[0, -1]
    return abs(float(logits[one[at]] - logits[other[at]])) < 1e-3


def test_200_requests_have_the_texts_that_they_have_one_at_a_time(small):
    asked = kv_cache.requests(small, language.text(), 200, prompt=16, new=6, rate=2000, seed=2)
    run = kv_cache.serve(small.model, asked, Engine(40, 8, most=12, budget=40, share=True))
    assert run.preempted > 0  # the memory is tight enough for all of it to happen
    for request, text in zip(asked, run.texts, strict=True):
        alone = language.generate(small.model, request.prompt, request.new)
        assert same(small.model, request, text, alone)


def test_a_shared_beginning_is_read_about_once(small):
    asked = kv_cache.requests(small, language.text(), 10, prompt=6, new=2, shared=96, seed=1)
    runs = [kv_cache.serve(small.model, asked, Engine(100, share=share)) for share in (False, True)]
    assert runs[0].texts == runs[1].texts
    apart = sum(request.length for request in asked)
    assert runs[0].computed == apart
    # 96 tokens are 6 blocks. All but the first find them, once they are read.
    assert runs[1].computed <= apart - 8 * 96
    assert runs[1].computed >= apart - 9 * 96


def test_requests_have_the_lengths_and_the_pace_that_were_asked_for(small):
    found = kv_cache.requests(small, language.text(), 2000, prompt=50, new=30, rate=10, seed=3)
    assert np.mean([len(each.prompt) for each in found]) == pytest.approx(50, rel=0.06)
    assert np.mean([each.new for each in found]) == pytest.approx(30, rel=0.06)
    assert found[-1].arrival == pytest.approx(200, rel=0.1)
    assert all(each.length <= 1024 for each in found)
    again = kv_cache.requests(small, language.text(), 2000, prompt=50, new=30, rate=10, seed=3)
    assert again == found


def test_a_cost_is_found_again_in_the_passes_it_made():
    cost = kv_cache.StepCost(2e-3, 5e-5, 1e-3)
    asked = [Request((1,) * (5 + n), 20 + n, 0.01 * n) for n in range(20)]
    run = kv_cache.simulate(asked, Engine(200), cost)
    found = kv_cache.fit_steps(run)
    assert [found.a, found.b, found.c] == pytest.approx([cost.a, cost.b, cost.c], rel=1e-6)
    flat = kv_cache.fit_steps(kv_cache.simulate(asked, Engine(200), second))
    assert [flat.a, flat.b, flat.c] == pytest.approx([1, 0, 0], abs=1e-9)


def test_tables_and_gains():
    run = kv_cache.simulate(ask((3, 2, 0), (3, 4, 0)), Engine(100), second, name="mine")
    assert "mine" in str(run)
    assert "first token p50" in kv_cache.side_by_side({"one": run, "other": run})
    found = kv_cache.gain([2, 4, 8], [1, 2, 4])
    assert [found.value, found.low, found.high] == pytest.approx([2, 2, 2])
    wide = kv_cache.gain([2, 8], [1, 1])
    assert wide.value == pytest.approx(4)
    assert math.log(wide.high / wide.value) == pytest.approx(12.706 * math.log(2), rel=1e-3)
    assert str(found) == "2.00× [2.00 to 2.00]"


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Request((), 1), "prompt"),
        (lambda: Request((1,), 0), "new"),
        (lambda: Request((1,), 1, -1), "arrival"),
        (lambda: Engine(4, most=9, budget=8), "budget"),
        (lambda: Engine(4, batching="both"), "batching"),
        (lambda: kv_cache.simulate(ask((1, 1, 2), (1, 1, 1)), Engine(4), second), "requests"),
        (lambda: kv_cache.simulate(ask((60, 6, 0)), Engine(4, 16), second), "requests"),
        (lambda: kv_cache.simulate(ask((1, 1, 0)), Engine(4), lambda step: 0.0), "seconds"),
        (lambda: kv_cache.gain([1], [1]), "one"),
        (lambda: kv_cache.side_by_side([1]), "runs"),
    ],
)
def test_what_makes_no_sense_is_refused(call, named):
    with pytest.raises((TypeError, ValueError), match=named):
        call()


def test_a_step_holds_what_a_cost_needs():
    assert kv_cache.StepCost(1, 2, 3)(Step(1, 10, 500, 0)) == 1 + 20 + 1.5
