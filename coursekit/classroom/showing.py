"""The class page: what to talk about next time, what surprised, and one experiment on many machines."""

import html
from collections.abc import Iterable, Mapping
from itertools import groupby

from coursekit._core import arguments, log, pages, texts
from coursekit.claims.judging import MARKS
from coursekit.classroom import drawing
from coursekit.classroom.counting import MACHINE_CLAIMS, ExerciseCount, Prediction, Repeated
from coursekit.classroom.reading import Class
from coursekit.exercises import handed
from coursekit.exercises.titles import Titled, titles

__all__ = ["page"]

KIND = "coursekit class page"
MOST_WRONG, MOST_KINDS = 15, 3  # wrong answers that are shown at first, and kinds that are named of one
_HATCH = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="hatch" '
    'width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="var(--ground)"/>'
    '<rect width="3" height="6" fill="var(--bad)"/></pattern></defs></svg>'
)
_NOT_RANKED = (
    "Each point is what one student measured, with its interval where there is one (hollow points have "
    "none). The rows are sorted by flags, cores and name, never by speed: measurements from different "
    "sittings differ in load, clock and heat too, so they are set side by side and not ranked."
)
_STATUS = {
    handed.WHOLE: "",
    handed.EDITED: "✎ its data were changed by hand",
    handed.PAGE_EDITED: "✎ what it shows was changed; its data are whole",
}


def page(found: Class, title: str = "The class", *, present: bool = False) -> str:
    """Return the page of a class.

    Parameters
    ----------
    found : Class
        What ``read`` returned.
    title : str
        What stands on top.
    present : bool
        Whether it opens for the wall: in large type, without names; a switch on the page does the same.

    Returns
    -------
    str
        HTML in one file, without scripts and requests; what comes from a report is escaped.

    Raises
    ------
    TypeError
        For anything else.
    """
    arguments.instance("found", found, Class)
    arguments.label("title", title)
    present = arguments.flag("present", present)
    box = f'<input type="checkbox" id="present"{" checked" * present}>'
    switch = f'<label class="switch">{box} for the wall</label>'
    figures = [
        (len(found.entries), "students"),
        (len(found.edited), "of them changed by hand"),
        (len(found.earlier), "earlier reports left out"),
        (len(found.aside), "files set aside"),
    ]
    named = titles()
    numbers = "".join(f'<div><a href="#files"><b>{count}</b>{what}</a></div>' for count, what in figures)
    main = "".join(
        [
            _HATCH,
            f'<div class="figures">{numbers}</div>',
            *_exercises(found, named),
            *_wrong(found, named),
            *_predictions(found),
            *_claims(found),
            *_machines(found),
            f'<div class="named">{"".join([*_students(found), *_files(found)])}</div>',
        ]
    )
    made = log.now()[:16].replace("T", " ")
    head = (
        f'{switch}<h1>{html.escape(title)}</h1><p class="soft">{html.escape(found.summary)}; {made} UTC</p>'
    )
    footer = (
        "Made by coursekit.classroom from the reports that students handed in. No report left this machine."
    )
    return pages.document(title, head, main, footer, kind=KIND)


def _files(found: Class) -> Iterable[str]:
    yield '<h2 id="files">Files</h2>'
    if not (found.aside or found.edited or found.earlier):
        yield "<p>Every file is a report as coursekit wrote it, one of each student.</p>"
    if found.aside:
        rows = [(each.file, each.why) for each in found.aside]
        yield pages.table(("set aside", "why"), rows, left=2)
    if found.edited:
        changed = [(entry.name, entry.file, _STATUS[entry.report.status]) for entry in found.edited]
        yield pages.table(("changed by hand, counted all the same", "file", ""), changed, left=3)
    if found.earlier:
        older = [(each.name, each.file, each.kept) for each in found.earlier]
        yield pages.table(("more than one report", "left out", "the newest, which counts"), older, left=3)


def _exercises(found: Class, named: Mapping[str, Titled]) -> Iterable[str]:
    yield "<h2>Exercises</h2>"
    yield (
        '<p class="soft">Full: solved. Hatched: tried. Empty: open. Tries: the median of those who solved '
        "it.</p>"
    )
    begun = {_notebook(each) for each in found.exercises if each.solved or each.tried}
    yield _counted([each for each in found.exercises if _notebook(each) in begun], named)
    later = [each for each in found.exercises if _notebook(each) not in begun]
    if later:
        summary = f"{len(later)} of notebooks that nobody began"
        yield f"<details><summary>{summary}</summary>{_counted(later, named)}</details>"


def _notebook(exercise: ExerciseCount) -> str:
    return exercise.id.partition("-")[0]


def _name(id: str, named: Mapping[str, Titled]) -> str:
    """Return an exercise's title, which leads to its notebook where that is known, and its id."""
    known, shown = named.get(id, Titled()), html.escape(id)
    if known.title:
        shown = f'{texts.rich(known.title)}<span class="id">{shown}</span>'
    return f'<a href="{html.escape(known.address)}">{shown}</a>' if known.address else shown


def _counted(exercises: Iterable[ExerciseCount], named: Mapping[str, Titled]) -> str:
    rows = [
        (
            _name(each.id, named),
            drawing.bar(each),
            str(each.solved),
            str(each.tried),
            str(each.open),
            f"{each.median_tries:g}" if each.solved else "–",
        )
        for each in exercises
    ]
    headers = ("exercise", "", "solved", "tried", "open", "tries")
    return pages.table(headers, rows, left=2, escaped=True)


def _wrong(found: Class, named: Mapping[str, Titled]) -> Iterable[str]:
    yield "<h2>Wrong answers that came most</h2>"
    if not found.wrong:
        yield "<p>No wrong answer was handed in.</p>"
        return
    yield (
        '<p class="soft">What the check said and the hint that came with it. Messages that differ only in '
        "numbers, quotations or lists are counted together.</p>"
    )
    most = sorted(found.wrong, key=lambda each: (-each.students, -each.times))
    yield _repeated(most[:MOST_WRONG], named)
    if len(most) > MOST_WRONG:
        every = _repeated(found.wrong, named)
        yield f"<details><summary>All {len(most)}, by exercise</summary>{every}</details>"


def _repeated(wrong: Iterable[Repeated], named: Mapping[str, Titled]) -> str:
    rows = [
        (
            _name(each.id, named),
            texts.rich(each.message) or "–",
            texts.rich(each.hint) or "–",
            html.escape(", ".join(each.kinds[:MOST_KINDS]) + ", …" * (len(each.kinds) > MOST_KINDS)),
            str(each.students),
            str(each.times),
        )
        for each in wrong
    ]
    headers = ("exercise", "the check said", "the hint", "answers were", "students", "times")
    return pages.table(headers, rows, left=4, escaped=True)


def _predictions(found: Class) -> Iterable[str]:
    yield "<h2>Predictions</h2>"
    if not found.predictions:
        yield "<p>None was made.</p>"
        return
    yield (
        '<p class="soft">Above the axis a dot for each guess, below it a tick for what each machine '
        "measured; the triangle is the median of those.</p>"
    )
    for each in found.predictions:
        yield f"<h3>{html.escape(each.id)}</h3>"
        yield from _pictures(each)


def _pictures(prediction: Prediction) -> Iterable[str]:
    if prediction.numbers:
        yield drawing.guesses(prediction)
    if prediction.chosen:
        yield drawing.choices(prediction)
    if not prediction.numbers and not prediction.chosen:
        yield f"<p>{len(prediction.guesses)} guesses from older versions, which kept their text alone.</p>"


def _claims(found: Class) -> Iterable[str]:
    yield "<h2>Claims</h2>"
    if not found.claims:
        yield "<p>None was measured.</p>"
        return
    there = [verdict for verdict in MARKS if any(verdict in dict(each.verdicts) for each in found.claims)]
    rows = [
        (each.id, *(str(dict(each.verdicts).get(verdict, "·")) for verdict in there), str(each.all))
        for each in found.claims
    ]
    yield (
        '<p class="soft">How many machines gave each verdict on a sentence of the lecture. Corrected: as the '
        "course corrects it, the sentence holds there.</p>"
    )
    yield pages.table(("claim", *(f"{MARKS[v]} {v}" for v in there), "measured"), rows)


def _machines(found: Class) -> Iterable[str]:
    yield "<h2>The class's machines</h2>"
    if not found.machines:
        yield "<p>No speed-up was measured.</p>"
        return
    yield f"<p>{html.escape(_NOT_RANKED)}</p>"
    for claim, group in groupby(found.machines, key=lambda point: point.claim):
        says = MACHINE_CLAIMS[claim]
        yield f"<h3>{html.escape(says)} <span class='soft'>({html.escape(claim)})</span></h3>"
        yield drawing.machines(list(group), says.rpartition(": ")[2])


def _students(found: Class) -> Iterable[str]:
    yield "<h2>Students</h2>"
    rows = [
        (
            entry.name,
            f"{entry.solved} of {len(entry.report.exercises)}",
            str(len(entry.report.guesses)),
            str(len(entry.report.claims)),
            entry.report.made[:16].replace("T", " "),
            _STATUS[entry.report.status] or "–",
        )
        for entry in found.entries
    ]
    headers = ("student", "solved", "predictions", "claims", "made (UTC)", "changed by hand")
    yield pages.table(headers, rows)
