"""Find what gives an open prediction or exercise away in the outputs that a student's copy stores."""

import re
from itertools import permutations

from coursekit import exercises
from coursekit.claims import rules
from coursekit.exercises.verdicts import RIGHT
from coursekit.new import health

# Masters that do not tag their answers yet, and whose solutions were not executed. Take a name out here when
# both copies are built with the tags.
NOT_ADOPTED: set[str] = set()
# Exercises whose answer is a number, a text of bits, or a pair of numbers: whatever is stored is tried.
# (05-file-size takes whatever is within 5 %, so sizes of other networks would be taken, too.)
SINGLE = {"01-encode", "01-decode", "01-first-missing", "04-budget"}
PAIRS = {"02-count", "04-memory"}
# Exercises that the outputs right below them explain or carry out, up to the next text.
EXPLAINED = {"01-first-missing", "01-zero-point", "02-kv-cache", "04-fit"}
# First line of a cell between a prediction and its claim: why it gives nothing away all the same.
HARMLESS: dict[str, str] = {
    "start = time.perf_counter()": "the time of the prediction alone",
    "thirty = [stopwatch(lambda: predict(pipeline, text)) for _ in range(30)]": "the prediction alone",
    'claims.show("03-one-run", measured=max(thirty) / min(thirty))': "how far its runs differ",
    "%timeit -n 50 -r 5 predict(pipeline, text)": "the prediction alone",
    'timing.measure(lambda: predict(pipeline, text), name="predict")': "the prediction alone",
    "widgets.noise(many_runs(), measure=many_runs)": "the prediction alone",
    "profile = receipt(answer_slowly, text)": "the slow request alone, from which the guess is to be made",
    "calls = profiles.tree(profile, answer_slowly)": "the same as a picture",
    'claims.show("03-receipt", measured=reading)': "the share of one function",
    "with serving.serve(app) as server, server.client() as client:": "that the answers are the same",
}
MOST_PAIRED = 12  # numbers of an output that are tried in pairs
NUMBER = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w,]*\d)")
BITS = re.compile(r"\b[01](?: ?[01]){31}\b")
MEASURED = re.compile(r"^This machine says: +(.*)$", re.MULTILINE)
# Units that tell another figure from the one asked for.
OTHER = {"bytes", "samples", "parameters", "tokens", "requests"}
DISTINCT = 3  # digits that a number needs to be told from others


def found(student, solution):
    """Return cell number to reasons, for each cell of the student's copy that stores an answer."""
    reasons = {}
    for rule in (between, elsewhere, solved, explained):
        for number, why in rule(student, solution):
            reasons.setdefault(number, []).append(why)
    return dict(sorted(reasons.items()))


def called(cell, function):
    """Return the ids that the cell's code calls a function with."""
    is_code = cell.cell_type == "code"
    return re.findall(rf'{re.escape(function)}\(\s*"([^"]+)"', cell.source) if is_code else []


def text(cell):
    """Return everything textual in the cell's stored outputs."""
    return "\n".join(health.output_text(output) for output in cell.get("outputs", []))


def plain(cell):
    """Return the stored text as a terminal shows it, without HTML."""
    outputs = cell.get("outputs", [])
    return "\n".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs)


def predictions(notebook):
    """Yield (id, number of the cell that asks, number of the first cell that shows the claim)."""
    known = rules.load()
    for number, cell in enumerate(notebook.cells):
        for id in called(cell, "exercises.predict"):
            answering = {claim.id for claim in known.values() if (claim.guess or claim.id) == id}
            after = enumerate(notebook.cells[number + 1 :], number + 1)
            shown = [place for place, other in after if answering & {*called(other, "claims.show")}]
            yield id, number, min(shown, default=number)


def is_question(cell):
    return called(cell, "exercises.predict") or called(cell, "exercises.check")


def between(student, _):
    """Yield what is shown between a prediction and its claim: the measurement, or what leads to it."""
    for id, first, last in predictions(student):
        for number in range(first + 1, last + 1):
            cell = student.cells[number]
            harmless = cell.source.partition("\n")[0] in HARMLESS or is_question(cell)
            if cell.get("outputs") and not harmless:
                yield number, f"stands between the prediction {id} and its claim"


def elsewhere(student, solution):
    """Yield where a measured figure is written, wherever that is."""
    for id, _, last in predictions(student):
        cards = plain(solution.cells[last]) or plain(student.cells[last])
        for said in MEASURED.findall(cards):
            figure = next(iter(NUMBER.findall(said)), "")
            if len(re.sub(r"\D", "", figure).strip("0")) < DISTINCT:
                continue
            for number, cell in enumerate(student.cells):
                if figure in NUMBER.findall(plain(cell)) and not by_chance(said, figure, plain(cell)):
                    yield number, f"shows {figure}, which {id} asks for"


def by_chance(said, figure, text):
    """Tell whether it is another figure: "371 samples" for 371×, "1,024 bytes" for 1,024 neurons."""
    times = said.startswith((f"{figure}×", f"{figure} times"))
    if times and f"{figure}×" not in text and not re.search(rf"{re.escape(figure)} times\b", text):
        return True
    units = re.findall(rf"(?<![\w.,]){re.escape(figure)}(?![\d.,]*\d)(?: ([a-z]+))?", text)
    counted = re.match(rf"{re.escape(figure)} [a-z]", said)
    return bool(counted and units) and OTHER - {*said.split()} >= {*units}


def solved(student, _):
    """Yield where a number or text in front of an exercise would be taken for its answer."""
    for last, asking in enumerate(student.cells):
        for id in {*called(asking, "exercises.check")} & (SINGLE | PAIRS):
            for number, cell in enumerate(student.cells[:last]):
                if any(is_right(id, candidate) for candidate in candidates(id, plain(cell))):
                    yield number, f"shows the answer of {id}"


def candidates(id, shown):
    """Yield what may be handed in: all numbers of a text, all patterns of bits, all pairs of numbers."""
    numbers = [float(number.replace(",", "")) for number in NUMBER.findall(shown)]
    yield from BITS.findall(shown) if id in SINGLE else permutations(numbers[:MOST_PAIRED], 2)
    yield from dict.fromkeys(numbers) if id in SINGLE else ()


def is_right(id, answer):
    return exercises.check(id, answer).outcome == RIGHT


def explained(student, _):
    """Yield the first output below an exercise, up to the next one or a heading, that carries it out."""
    for number, asking in enumerate(student.cells):
        ids = {*called(asking, "exercises.check")} & EXPLAINED
        for place, cell in enumerate(student.cells[number + 1 :] if ids else [], number + 1):
            if cell.source.startswith("#") or is_question(cell):
                break
            if cell.get("outputs"):
                yield place, f"carries out {', '.join(sorted(ids))}, right below it"
                break
