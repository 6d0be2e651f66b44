"""The real thing: an asyncio micro-batcher in front of a function, and concurrent requests to try it with.

It runs in a thread with an event loop of its own, because a notebook's loop already runs. Nothing stays
behind, also after an interrupt: tasks are cancelled, threads joined.
"""

import asyncio
import contextlib
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from coursekit._core import arguments
from coursekit.batching.queueing import Served, ascending_times, flush

__all__ = ["Answer", "Request", "Requests", "Worker", "held", "in_own_loop", "serve", "work"]

Answer = Callable[[list[Any]], Sequence[Any]]
LOOK_AGAIN = 0.05  # seconds between looks whether an interrupt has come


@dataclass(frozen=True, eq=False)
class Request:
    """One example that waits for its answer since ``arrival`` (the loop's clock, in seconds)."""

    example: Any
    arrival: float
    future: asyncio.Future[Any]


class Requests:
    """The requests that wait, oldest first."""

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self.batches: list[int] = []
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self.waiting)

    @property
    def age(self) -> float:
        """How long the oldest has waited, in seconds; 0 if none waits."""
        return _now() - self.waiting[0].arrival if self.waiting else 0.0

    async def ask(self, example: Any) -> Any:
        """Queue an example and return its answer once a batch has brought it.

        Parameters
        ----------
        example : object
            What the batcher's ``answer`` gets.

        Returns
        -------
        object
            The example's answer.

        Raises
        ------
        Exception
            What went wrong with its batch.
        """
        request = Request(example, _now(), asyncio.get_running_loop().create_future())
        self.waiting.append(request)
        self._arrived.set()
        return await request.future

    async def arrival(self, timeout: float | None = None) -> None:
        """Wait until another request arrives, or for some time.

        Parameters
        ----------
        timeout : float, optional
            The most seconds; by default without end.
        """
        self._arrived.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), timeout)

    def take(self, count: int) -> list[Request]:
        """Remove and return the oldest requests.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        list of Request
            The requests, the oldest first.
        """
        self.batches.append(count)
        return [self.waiting.popleft() for _ in range(count)]


Worker = Callable[[Requests, Answer, int, float], Coroutine[Any, Any, None]]


async def work(requests: Requests, answer: Answer, max_batch: int, max_wait: float) -> None:
    """Answer requests in batches until cancelled.

    If ``answer`` fails, or does not give one answer per example, the requests of that batch get the error.

    Parameters
    ----------
    requests : Requests
        The queue.
    answer : Answer
        From a list of examples to their answers; it runs in a thread.
    max_batch : int
        The most requests per batch.
    max_wait : float
        The most seconds that the oldest request waits for others.
    """
    while True:
        taken = flush(len(requests), requests.age, max_batch, max_wait)
        if not taken:
            await requests.arrival(max_wait - requests.age if len(requests) else None)
            continue
        batch = requests.take(taken)
        try:
            answers = await asyncio.to_thread(answer, [request.example for request in batch])
            for request, result in zip(batch, _one_each(answers, len(batch)), strict=True):
                request.future.set_result(result)
        except Exception as error:
            for request in batch:
                if not request.future.done():
                    request.future.set_exception(error)


def serve(
    examples: Sequence[Any],
    arrivals: ArrayLike,
    answer: Answer,
    *,
    max_batch: int,
    max_wait: float,
    worker: Worker = work,
    warm_up: int = 0,
) -> tuple[Served, list[Any]]:
    """Send each example at its time of arrival to a micro-batcher; return times and answers.

    A latency counts from the planned arrival, so a request that could not even be sent in time has waited,
    too.

    Parameters
    ----------
    examples : sequence of object
        A list, an array or a tensor, [n].
    arrivals : array_like
        When each example is sent, in ascending seconds, [n].
    answer : Answer
        From a list of examples to their answers; it runs in one thread, with as many threads of torch's
        own as the caller has.
    max_batch : int
        The most examples per batch.
    max_wait : float
        The most seconds that the oldest request waits for others.
    worker : Worker, optional
        The coroutine function that batches.
    warm_up : int, optional
        So many examples are answered before the first request and not counted, because a thread's first
        call is slow.

    Returns
    -------
    tuple of (Served, list of object)
        The latencies and batches, and the answers [n].

    Raises
    ------
    TypeError
        For arguments of another type.
    ValueError
        For arguments out of range, or times that do not ascend or are not one per example.
    Exception
        Whatever ``answer`` or ``worker`` raises.
    """
    when = ascending_times(arrivals)
    count = held("examples", examples)
    if len(when) != count:
        raise ValueError(f"arrivals must hold {count} times, one per example of examples; got {len(when)}")
    arguments.function("answer", answer, "with a list of examples")
    arguments.function("worker", worker, "with requests, answer, max_batch and max_wait")
    most, wait = arguments.integer("max_batch", max_batch, 1), arguments.real("max_wait", max_wait, 0)
    # Torch's number of threads is not handed on to a new thread: some of its kernels would take all cores.
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    first = examples[: arguments.integer("warm_up", warm_up, 0)]
    exchange = _exchange(examples, when, answer, most, wait, worker, threads, first)
    answers, latencies, batches = in_own_loop(exchange)
    return Served("real", np.array(when), np.array(latencies), np.array(batches)), answers


def held(name: str, examples: Any) -> int:
    """Return how many examples there are.

    Parameters
    ----------
    name : str
        What an error calls the argument.
    examples : object
        A list, an array or a tensor.

    Returns
    -------
    int
        The number of examples.

    Raises
    ------
    TypeError
        Unless they can be counted and sliced, as lists can.
    """
    arguments.dense(name, examples)
    try:
        if not hasattr(examples, "__getitem__") or isinstance(examples, Mapping | type):
            raise TypeError
        return len(examples)
    except TypeError:
        raise TypeError(
            f"{name} must be a list, an array or a tensor; got {arguments.shown(examples)}"
        ) from None


def _one_each(answers: Any, count: int) -> list[Any]:
    """Return one answer per example of a batch, or say that ``answer`` gave something else."""
    try:
        found = list(answers)
    except TypeError:
        raise TypeError(
            f"answer must return one answer per example; got {arguments.shown(answers)}"
        ) from None
    if len(found) != count:
        raise ValueError(f"answer must return one answer per example; got {len(found)} for {count}")
    return found


def in_own_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread with an event loop of its own and return its result.

    On an interrupt the coroutine is cancelled and the thread joined first.

    Parameters
    ----------
    coroutine : Coroutine
        The coroutine, not yet started.

    Returns
    -------
    object
        What the coroutine returns.

    Raises
    ------
    BaseException
        Whatever the coroutine raises.
    """
    outcome: dict[str, Any] = {}
    started, ended = threading.Event(), threading.Event()

    async def main() -> None:
        outcome["loop"], outcome["task"] = asyncio.get_running_loop(), asyncio.current_task()
        started.set()
        outcome["result"] = await coroutine

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=_event_loop) as runner:
                runner.run(main())
        except BaseException as error:  # it is raised again in the caller's thread
            outcome["error"] = error
        finally:
            started.set()
            ended.set()

    thread = threading.Thread(target=run, name="micro-batcher")
    thread.start()
    try:
        # Not thread.join: until Python 3.12 an interrupt in it makes the thread count as dead while it runs.
        while not ended.wait(LOOK_AGAIN):
            pass
    finally:
        started.wait()
        if not ended.is_set():
            with contextlib.suppress(RuntimeError):  # the loop may just have closed
                outcome["loop"].call_soon_threadsafe(outcome["task"].cancel)
        ended.wait()
        thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that counts time in microseconds; Linux's default, epoll, counts milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def _exchange(
    examples: Sequence[Any],
    when: list[float],
    answer: Answer,
    most: int,
    wait: float,
    worker: Worker,
    threads: int | None,
    first: Sequence[Any],
) -> tuple[list[Any], list[float], list[int]]:
    """Run worker and clients until every request is answered; whichever fails first ends it."""
    requests = Requests()
    asyncio.get_running_loop().set_default_executor(_one_thread(threads))
    if len(first):
        await asyncio.to_thread(answer, list(first))
    working = asyncio.create_task(_as_coroutine(worker(requests, answer, most, wait)))
    asking = asyncio.create_task(_clients(requests, examples, when))
    try:
        await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not asking.done():
            raise working.exception() or RuntimeError("the worker ended before every request was answered")
        answers, latencies = await asking
    except ExceptionGroup as group:  # the clients' TaskGroup wraps even a single error
        raise group.exceptions[0] from None
    finally:
        for task in (working, asking):
            task.cancel()
        await asyncio.gather(working, asking, return_exceptions=True)
    return answers, latencies, requests.batches


def _one_thread(torch_threads: int | None) -> ThreadPoolExecutor:
    """Return what ``answer`` runs in: a single thread, with so many threads of torch's own."""
    if torch_threads is None:
        return ThreadPoolExecutor(1)
    return ThreadPoolExecutor(1, initializer=sys.modules["torch"].set_num_threads, initargs=(torch_threads,))


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


async def _clients(
    requests: Requests, examples: Sequence[Any], when: list[float]
) -> tuple[list[Any], list[float]]:
    """Send every example when its time has come, without waiting for the answers of those before it."""
    begin = _now()

    async def client(example: Any, planned: float) -> tuple[Any, float]:
        result = await requests.ask(example)
        return result, _now() - planned

    async with asyncio.TaskGroup() as group:
        sent = []
        for example, planned in zip(examples, when, strict=True):
            delay = begin + planned - _now()
            if delay > 0:
                await asyncio.sleep(delay)
            sent.append(group.create_task(client(example, begin + planned)))
    answers, latencies = zip(*(task.result() for task in sent), strict=True)
    return list(answers), list(latencies)


def _now() -> float:
    return time.perf_counter()
