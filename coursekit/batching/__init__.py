"""More examples per call: measured curves, Hockney's line, and batches made of requests that come singly.

``sweep`` and ``sweep_served`` measure a Curve, ``fit`` finds its overhead a and marginal cost b; ``simulate``
and ``serve`` answer the same arrivals in batches, one on paper, the other for real.
"""

from coursekit.batching.curves import JUDGES, Curve, Hockney, Judge, fit
from coursekit.batching.micro_batcher import Request, Requests, serve, work
from coursekit.batching.queueing import Served, arrivals, capacity, flush, side_by_side, simulate
from coursekit.batching.sweeps import BATCHES, SERVED_BATCHES, sweep, sweep_served

__all__ = [
    "BATCHES",
    "JUDGES",
    "SERVED_BATCHES",
    "Curve",
    "Hockney",
    "Judge",
    "Request",
    "Requests",
    "Served",
    "arrivals",
    "capacity",
    "fit",
    "flush",
    "serve",
    "side_by_side",
    "simulate",
    "sweep",
    "sweep_served",
    "work",
]
