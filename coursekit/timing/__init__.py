"""How long does it take, and is the other one faster: warm, synchronised, interleaved, honest about noise.

A sample is a short run of calls between looks at the clock. ``measure`` takes many samples of one function;
``compare`` takes them in rounds, every candidate once per round in shuffled order: drift hits all alike.
"""

from types import ModuleType

from coursekit._core import imports
from coursekit.timing.crossover import CrossoverGrid, Interval
from coursekit.timing.measuring import (
    DRIFT,
    MIN_EFFECT,
    MIN_ROUNDS,
    NOISY,
    TOO_NOISY,
    WIDE,
    Comparison,
    Measurement,
    Ratio,
    Verdict,
    compare,
    measure,
)
from coursekit.timing.medians import RunningMedians, running_medians, settled

__all__ = [
    "DRIFT",
    "MIN_EFFECT",
    "MIN_ROUNDS",
    "NOISY",
    "TOO_NOISY",
    "WIDE",
    "Comparison",
    "CrossoverGrid",
    "Interval",
    "Measurement",
    "Ratio",
    "RunningMedians",
    "Verdict",
    "compare",
    "measure",
    "running_medians",
    "settled",
]

_ROOMS = ("launches", "profiles", "roofline")


def __getattr__(name: str) -> ModuleType:
    """Load a room inside this one when it is first used (PEP 562)."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'coursekit.timing' has no attribute {name!r}")
    return imports.whole(f"coursekit.timing.{name}")
