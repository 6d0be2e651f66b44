"""Requests served by a model, or on paper: the same passes, with the seconds they take or a formula's.

Nobody waits for an arrival: where nothing is to do, the clock moves on to it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coursekit._core import arguments
from coursekit.kv_cache.blocks import BlockManager
from coursekit.kv_cache.pool import BlockPool, read
from coursekit.kv_cache.requests import Request, Run, Step
from coursekit.kv_cache.scheduling import Engine, Plan, Scheduler
from coursekit.language.transformer import Transformer

__all__ = ["StepCost", "fit_steps", "serve", "simulate"]

Look = Callable[[Plan, Step], tuple[list[int], float]]


@dataclass(frozen=True)
class StepCost:
    """The seconds of a pass: a for the pass, b for each token in it, c for each thousand tokens looked at."""

    a: float
    b: float
    c: float

    def __call__(self, step: Step) -> float:
        """Return the seconds of a pass; its own are not looked at."""
        return self.a + self.b * step.tokens + self.c * step.context / 1000


def fit_steps(run: Run) -> StepCost:
    """Return the cost of a pass that fits a run best, in least squares of the relative error.

    Parameters
    ----------
    run : Run
        That was served, three passes at least.

    Returns
    -------
    StepCost
        None of its parts is below 0.

    Raises
    ------
    ValueError
        For a run of fewer passes.
    """
    steps = arguments.instance("run", run, Run).steps
    if len(steps) < 3:
        raise ValueError(f"run must have at least 3 passes; got {len(steps)}")
    parts = np.array([(1.0, step.tokens, step.context / 1000) for step in steps])
    seconds = np.array([step.seconds for step in steps])
    kept = np.ones(3, bool)
    found = np.zeros(3)
    while True:
        found[:] = 0
        found[kept] = np.linalg.lstsq(parts[:, kept] / seconds[:, None], np.ones(len(steps)), rcond=None)[0]
        if (found >= 0).all():
            return StepCost(*map(float, found))
        kept[found.argmin()] = False


def serve(model: Transformer, requests: Sequence[Request], engine: Engine, name: str = "") -> Run:
    """Serve requests with a model: each gets its greedy text.

    Parameters
    ----------
    model : Transformer
        The model.
    requests : sequence of Request
        By arrival.
    engine : Engine
        Its memory and its ways.
    name : str, optional
        What tables call the run; by default the batching.

    Returns
    -------
    Run
        Times are those of the passes, added up, and of pauses in which nobody is there.

    Raises
    ------
    TypeError, ValueError
        For requests that do not ascend, that are longer than the model reads or hold tokens that it does not
        know, or that the memory cannot hold.
    """
    arguments.instance("model", model, Transformer)
    arguments.instance("engine", engine, Engine)
    arguments.label("name", name)
    for each in arguments.instances("requests", requests, Request):
        if each.length > model.config.context:
            raise ValueError(f"requests may be {model.config.context} tokens long; got {each.length}")
        if max(each.prompt) >= model.config.vocab_size:
            highest = model.config.vocab_size - 1
            raise ValueError(f"requests may hold tokens from 0 to {highest}; got {max(each.prompt)}")
    pool = BlockPool(model.config, engine.blocks, engine.page_size, like=model.head)

    def look(plan: Plan, step: Step) -> tuple[list[int], float]:
        begin = time.perf_counter()
        logits = read(model, pool, {each.number: tokens for each, tokens in plan.items()})
        chosen: list[int] = logits.argmax(-1).tolist()
        return chosen, time.perf_counter() - begin

    return _run(Scheduler(requests, engine, pool.manager), look, name or engine.batching)


def simulate(
    requests: Sequence[Request], engine: Engine, seconds: Callable[[Step], float], name: str = ""
) -> Run:
    """Do what :func:`serve` does without a model, pass by pass.

    Parameters
    ----------
    requests : sequence of Request
        By arrival.
    engine : Engine
        Its memory and its ways.
    seconds : callable
        From a :class:`Step`, whose own seconds are 0, to the seconds that it takes, such as a StepCost.
    name : str, optional
        What tables call the run.

    Returns
    -------
    Run
        With zeros in place of new tokens.

    Raises
    ------
    TypeError, ValueError
        For requests that do not ascend, or that the memory cannot hold.
    Exception
        Whatever ``seconds`` raises.
    """
    arguments.function("seconds", seconds, "with a Step")
    arguments.instance("engine", engine, Engine)
    arguments.label("name", name)
    manager = BlockManager(engine.blocks, engine.page_size)
    scheduler = Scheduler(requests, engine, manager)

    def look(plan: Plan, step: Step) -> tuple[list[int], float]:
        for each, tokens in plan.items():
            manager.append(each.number, len(tokens))
        return [0] * len(plan), arguments.positive("seconds", seconds(step), "seconds")

    return _run(scheduler, look, name or "simulated")


def _run(scheduler: Scheduler, look: Look, name: str) -> Run:
    now, steps = 0.0, []
    while scheduler.waiting or scheduler.running:
        plan = scheduler.plan(now)
        if not plan:
            now = scheduler.waiting[0].asked.arrival
            continue
        context = sum(scheduler.manager.lengths[each.number] for each in plan)
        step = Step(len(plan), sum(map(len, plan.values())), context, 0.0)
        chosen, seconds = look(plan, step)
        now += seconds
        steps.append(replace(step, seconds=seconds))
        scheduler.finish(plan, chosen, now)
    times = np.array([[each.asked.arrival, each.first, each.finished] for each in scheduler.all])
    texts = [each.text[len(each.asked.prompt) :] for each in scheduler.all]
    return Run(name, times[:, 0], times[:, 1], times[:, 2], texts, steps, scheduler.preempted)
