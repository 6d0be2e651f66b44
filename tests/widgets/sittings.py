"""Made-up sittings for the tests of the dashboard's panels."""

import numpy as np

from coursekit import accuracy
from coursekit.timing import Ratio
from coursekit.variants.rows import NAMES, VARIANTS, Row, Sitting

SIZES = (41_000, 13_200, 42_600, 14_100, 22_300, 12_400, 9_800)
TIMES = (21e-6, 60e-6, 6.8e-6, 11e-6, 20e-6, 19e-6, 9.7e-6)
RIGHT = (346, 346, 346, 345, 343, 339, 331)


def row(name, size, time, right, spread=0.1):
    portable = next((v.portable for v in VARIANTS if v.name == name), False)
    ratio = TIMES[0] / time
    test = accuracy.PairedTest(3, 5, 0.7, "same")
    answers = np.arange(360) < right
    measured = accuracy.of(answers.astype(int), np.ones(360, int))
    interval = Ratio(ratio, ratio * 0.95, ratio * 1.05)
    times = (time, time * (1 - spread), time * (1 + spread))
    return Row(name, int(size), *times, interval, "faster", measured, test, portable)


def sitting(sizes=SIZES, times=TIMES, right=RIGHT, names=NAMES, spread=0.1):
    rows = [row(*parts, spread) for parts in zip(names, sizes, times, right, strict=True)]
    return Sitting(tuple(rows), "a server CPU @ 2.70GHz, 2 cores")
