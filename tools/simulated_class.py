"""Write the reports of a class that never was: right, wrong and missing answers, machines, damage, edits.

``python tools/simulated_class.py FOLDER`` writes 200 of them for ``python -m coursekit.classroom FOLDER``.
What is true of the class is counted while it is made up, without any code that reads reports.
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coursekit import runtime
from coursekit._core import plain_json
from coursekit.claims import Guess, rules
from coursekit.exercises import handing_in, progressing

__all__ = ["DAMAGE", "Truth", "main", "simulate"]

MACHINES = (
    ("Intel(R) Xeon(R) CPU @ 2.20GHz", 2, ("AVX2", "AVX-512"), None),
    ("AMD EPYC 9B14", 2, ("AVX2", "AVX-512", "VNNI"), None),
    ("12th Gen Intel(R) Core(TM) i7-1260P", 16, ("AVX2", "VNNI"), None),
    ("Apple M2", 8, ("NEON dot product", "I8MM"), None),
    ("AMD Ryzen 7 3700X 8-Core Processor", 16, ("AVX2",), "NVIDIA GeForce RTX 3060"),
    ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", 8, ("AVX2", "AVX-512", "VNNI", "AMX"), None),
)
# Of each claim that machines are compared by: the middle, and how many times a machine may be off.
FACTORS = {
    "05-large-layer": (1.8, 1.8),
    "05-tiny-network": (0.4, 1.6),
    "03-load-once": (300, 2.5),
    "04-one-call": (60, 1.7),
    "04-more-per-second": (9, 1.7),
}
GUESSED = {
    "01-half": (50.0, "% of all floats"),
    "03-load-once": (300.0, "×"),
    "05-file-ratio": (3.4, "×"),
    "05-tiny-network": (0.4, "× as fast"),
    "05-thousand-times": (1024.0, "neurons wide"),
}
CHOICES = ("faster", "same", "slower")
WRONG = (
    ("number", "{n} is not it.", "Count again from the first bit."),
    ("text", "Your answer should be a number, but it is text.", "Without the quotation marks it is one."),
    ("function", "`f([1, 2])` returns None.", "Is there a `return` on every way through your function?"),
)
START = '<script type="application/json" id="coursekit-report">'


@dataclass
class Truth:
    """What is true of a made-up class, counted while it was made up."""

    students: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    guesses: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    points: Counter[tuple[str, str]] = field(default_factory=Counter)


def _cut(page: str) -> bytes:
    return page[: len(page) - len(page) // 4].encode()


def _no_number(page: str) -> bytes:
    return page.replace('"tries":1', '"tries":"many"').replace('"tries":2', '"tries":NaN').encode()


DAMAGE: tuple[Callable[[str], bytes], ...] = (
    _cut,
    _no_number,
    lambda page: b"",
    lambda page: page.encode("utf-16"),
    lambda page: page.replace(START, "<script>").encode(),
    lambda page: page.replace('"version":1', '"version":' + "9" * 400).encode(),
    lambda page: page.replace('"verdicts":[', '"verdicts":[' + "[" * 50_000).encode(),
    lambda page: page.replace('"format":"coursekit report"', '"format":"homework"').encode(),
    lambda page: b"\x00" * 4096,
    lambda page: b"<p>The dog ate it.</p>",
)


def simulate(folder: Path, count: int = 200, seed: int = 0, *, damaged: int = 10, edited: int = 5) -> Truth:
    """Write ``count`` files into ``folder`` and return what is true of them.

    Some are damaged, some were edited by hand, and a few students handed in twice.
    """
    lots, truth = random.Random(seed), Truth()
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [*range(count)]
    lots.shuffle(numbers)
    bad, changed = numbers[:damaged], numbers[damaged : damaged + edited]
    twice = numbers[damaged + edited : damaged + edited + count // 40]
    ids = progressing.offered()[0]
    for number in range(count):
        file = folder / f"{number:03d}.html"
        if number in twice:  # the older one of the student before, who is neither damaged nor edited
            newest = f"Student {_other(numbers, damaged + edited, number):03d}"
            page = _page(lots, f"  {newest.upper()} ", ids, Truth(), made="2026-11-01T08:00:00+00:00")
            truth.earlier.append(file.name)
            file.write_text(page, encoding="utf-8")
        elif number in bad:
            page = _page(lots, f"Student {number:03d}", ids, Truth())
            file.write_bytes(DAMAGE[bad.index(number) % len(DAMAGE)](page))
            truth.damaged.append(file.name)
        else:
            page = _page(lots, f"Student {number:03d}", ids, truth)
            if number in changed:
                page = _by_hand(page, truth, ids)
                truth.edited.append(file.name)
            truth.students.append(f"Student {number:03d}")
            file.write_text(page, encoding="utf-8")
    return truth


def _other(numbers: list[int], first: int, number: int) -> int:
    """Return a student whose report is sound: one from the end of the shuffled numbers."""
    return numbers[-1 - numbers[first:].index(number)]


def _by_hand(page: str, truth: Truth, ids: list[str]) -> str:
    """Solve one more exercise by hand, as somebody would who finds the data."""
    text = page.partition(START)[2].partition("</script>")[0]
    data = json.loads(text)
    id = next(each["id"] for each in data["verdicts"] if not each["solved"])
    for each in data["verdicts"]:
        if each["id"] == id:
            each.update(outcome="right", solved=each["time"])
    truth.outcomes[id, "tried"] -= 1
    truth.outcomes[id, "solved"] += 1
    return page.replace(text, plain_json.canonical(data).replace("<", "\\u003c"))


def _page(lots: random.Random, name: str, ids: list[str], truth: Truth, made: str = "") -> str:
    machine = _machine(lots)
    records = {
        "verdicts": _verdicts(lots, ids, truth),
        "guesses": _guesses(lots, truth),
        "claims": _claims(lots, machine, truth),
        "scoreboard": _scoreboard(lots, machine),
    }
    made = made or f"2026-11-{lots.randrange(2, 29):02d}T10:00:{lots.randrange(60):02d}+00:00"
    return handing_in.composed(name, made, machine, ids, records, {})[0]


def _machine(lots: random.Random) -> runtime.Machine:
    cpu, cores, flags, gpu = lots.choice(MACHINES)
    versions = (("coursekit", "0.2.0"), ("torch", lots.choice(["2.9.0", "2.13.0"])))
    return runtime.Machine(cpu, cores, 8 * 2**30, flags, gpu, "Linux x86_64", "3.12.1", versions)


def _verdicts(lots: random.Random, ids: list[str], truth: Truth) -> list[dict[str, Any]]:
    found, skill = [], lots.uniform(0.3, 0.95)
    for id in ids:
        outcome = lots.choices(["solved", "tried", "open"], [skill, 0.25, 1 - skill])[0]
        if id == ids[0]:
            outcome = "tried"  # so that everybody has one to edit
        truth.outcomes[id, outcome] += 1
        if outcome != "open":
            found += _sessions(lots, id, outcome, truth)
    return found


def _sessions(lots: random.Random, id: str, outcome: str, truth: Truth) -> list[dict[str, Any]]:
    """Return one record, or two where the student came back in another session and then solved it."""
    wrong = Counter(lots.randrange(len(WRONG)) for _ in range(lots.randrange(outcome == "tried", 4)))
    for index in wrong:
        truth.wrong[id, WRONG[index][2]] += 1
    said = [_wrong(lots, index, times) for index, times in wrong.items()]
    tries, solved = sum(wrong.values()), outcome == "solved"
    if solved and tries and lots.random() < 0.3:
        return [_record(lots, id, tries, 10, said), _record(lots, id, 1, 20, [], solved=True)]
    return [_record(lots, id, tries + solved, 15, said, solved=solved)]


def _record(
    lots: random.Random, id: str, tries: int, minute: int, wrong: list[Any], *, solved: bool = False
) -> dict[str, Any]:
    time = f"2026-11-01T09:{minute}:00+00:00"
    return {
        "id": id,
        "session": f"{lots.getrandbits(64):016x}",
        "outcome": "right" if solved else "wrong",
        "tries": tries,
        "hints": lots.choice([0, 0, 0, 1, 2, 3]),
        "first": time,
        "solved": time if solved else "",
        "time": time,
        "wrong": wrong,
    }


def _wrong(lots: random.Random, index: int, times: int) -> dict[str, Any]:
    kind, message, hint = WRONG[index]
    return {
        "kind": kind,
        "message": message.format(n=lots.randrange(2, 99)),
        "hint": hint,
        "count": times,
    }


def _guesses(lots: random.Random, truth: Truth) -> list[dict[str, Any]]:
    found = []
    for id, (middle, unit) in GUESSED.items():
        if lots.random() < 0.8:
            value = float(f"{middle * lots.lognormvariate(0, 0.9):.2g}")
            measured = middle if id.startswith("01") else middle * lots.uniform(0.7, 1.4)
            shown = f"{measured:.3g} {unit}"
            found.append(Guess(id, f"{value:g} {unit}", value, unit, (), measured, shown).record())
            truth.guesses[id] += 1
    if lots.random() < 0.8:
        chosen, right = lots.choice(CHOICES), lots.choice(CHOICES[1:])
        found.append(Guess("05-medium-layer", chosen, chosen, "", CHOICES, right, right).record())
        truth.guesses["05-medium-layer"] += 1
    return found


def _claims(lots: random.Random, machine: runtime.Machine, truth: Truth) -> list[dict[str, Any]]:
    known = rules.load()
    plain = ["01-sum", "02-csv", "05-levels", "05-file-ratio", "07-cliff"]
    found = []
    for id in [*FACTORS, *(id for id in plain if id in known)]:
        if lots.random() > 0.85:
            continue
        middle, spread = FACTORS.get(id, (3.0, 1.1))
        value = middle * lots.uniform(1 / spread, spread)
        verdict = lots.choice(["holds", "not decided here", "less than that"])
        interval = id != "04-more-per-second"
        truth.verdicts[id, verdict] += 1
        if id in FACTORS:
            truth.points[id, machine.cpu] += 1
        found.append(
            {
                "id": id,
                "fingerprint": machine.fingerprint,
                "machine": machine.label,
                "time": "2026-11-01T09:30:00+00:00",
                "measured": f"{value:.3g}×",
                "verdict": verdict,
                "accepted": "at least 2",
                "value": value,
                "low": value * lots.uniform(0.85, 0.99) if interval else None,
                "high": value * lots.uniform(1.01, 1.2) if interval else None,
                "cores": machine.cores,
                "flags": [*machine.flags],
            }
        )
    return found


def _scoreboard(lots: random.Random, machine: runtime.Machine) -> list[dict[str, Any]]:
    shared = {
        "notebook": "05",
        "device": "cpu",
        "machine": machine.label,
        "fingerprint": machine.fingerprint,
        "versions": dict(machine.versions),
        "time": "2026-11-01T09:40:00+00:00",
        "sitting": "a1b2c3d4",
        "latency_low": None,
        "latency_high": None,
        "accuracy_low": None,
        "accuracy_high": None,
    }
    return [
        {
            **shared,
            "variant": "fp32",
            "size_bytes": 70_000,
            "latency": lots.uniform(1e-5, 1e-4),
            "accuracy": 0.95,
        },
        {
            **shared,
            "variant": "int8",
            "size_bytes": 22_000,
            "latency": lots.uniform(1e-5, 1e-4),
            "accuracy": 0.95,
        },
    ]


def main(words: list[str] | None = None) -> int:
    """Write a class from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    truth = simulate(options.folder, options.count, options.seed)
    print(
        f"{len(truth.students)} students, {len(truth.edited)} edited, {len(truth.earlier)} earlier reports, "
        f"{len(truth.damaged)} damaged: {options.folder}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
