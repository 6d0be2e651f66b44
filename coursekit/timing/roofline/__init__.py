"""How fast can a layer be on this machine: measured roofs of memory and arithmetic, and points below them.

The roofline model is Williams, Waterman and Patterson's (2009): at I FLOP per byte no program is faster than
min(peak, I × bandwidth). Bytes are decimal (1 GB = 10⁹ B), a multiplication and an addition are 2 FLOP, and
INT8's operations are counted as FLOP too.
"""

from coursekit.timing.roofline.decoding import next_token
from coursekit.timing.roofline.measuring import (
    BATCHES,
    BYTES,
    CACHE,
    MEMORY,
    ROUNDS,
    SOURCES,
    Point,
    Roof,
    Verdict,
    Work,
    linear,
    measure,
    measure_layer,
    rate,
)

__all__ = [
    "BATCHES",
    "BYTES",
    "CACHE",
    "MEMORY",
    "ROUNDS",
    "SOURCES",
    "Point",
    "Roof",
    "Verdict",
    "Work",
    "linear",
    "measure",
    "measure_layer",
    "next_token",
    "rate",
]
