"""What a report shows: progress, guesses, claims, scoreboard and machine, for whoever reads or prints it."""

import html
from collections.abc import Iterable

from coursekit import claims, scoreboard
from coursekit._core import pages
from coursekit.claims.judging import MARKS as VERDICT_MARKS
from coursekit.claims.judging import counts
from coursekit.exercises.handed import Handed
from coursekit.exercises.progressing import MARKS
from coursekit.exercises.tries import OPEN, SOLVED, TRIED, Tries

__all__ = ["head", "main"]

_TONES = {SOLVED: "good", TRIED: "bad", OPEN: "soft"}


def head(handed: Handed) -> str:
    """Return the top of the page.

    Parameters
    ----------
    handed : Handed
        The report.

    Returns
    -------
    str
        HTML.
    """
    made = f"{handed.made[:16].replace('T', ' ')} UTC"
    return (
        f'<h1>{html.escape(handed.name)}</h1><p class="soft">Report on the exercises of coursekit, made '
        f"{made} on {html.escape(handed.machine.label)}</p>"
    )


def main(handed: Handed) -> str:
    """Return what the page shows.

    Parameters
    ----------
    handed : Handed
        The report.

    Returns
    -------
    str
        HTML; everything that came from outside is escaped.
    """
    exercises = handed.exercises
    solved = sum(each.outcome == SOLVED for each in exercises.values())
    figures = [
        (f"{solved} of {len(exercises)}", "exercises solved"),
        (str(len(handed.guesses)), "predictions made"),
        (str(len(handed.claims)), "claims measured"),
        (str(len(handed.entries)), "results on the scoreboard"),
    ]
    numbers = "".join(f"<div><b>{html.escape(n)}</b>{html.escape(what)}</div>" for n, what in figures)
    return "".join(
        [
            f'<div class="figures">{numbers}</div>',
            *_exercises(exercises.values()),
            *_answers(handed),
            *_guesses(handed.guesses),
            *_claims(handed),
            *_scoreboard(handed),
            "<h2>Machine</h2>",
            pages.table(("this machine", ""), handed.machine.rows(), left=2),
        ]
    )


def _exercises(found: Iterable[Tries]) -> Iterable[str]:
    yield "<h2>Exercises</h2>"
    yield '<p class="soft">Tries: answers that were checked until one was right. Hints: those opened.</p>'
    by_notebook: dict[str, list[Tries]] = {}
    for each in found:
        by_notebook.setdefault(each.notebook, []).append(each)
    rows = [_exercise(each) for exercises in by_notebook.values() for each in exercises]
    yield pages.table(("exercise", "", "tries", "hints", "solved (UTC)"), rows, left=2, escaped=True)


def _exercise(each: Tries) -> tuple[str, ...]:
    outcome = f'<span class="{_TONES[each.outcome]}">{MARKS[each.outcome]} {each.outcome}</span>'
    when = html.escape(each.solved[:16].replace("T", " ")) or "–"
    return html.escape(each.id), outcome, str(each.tries or "–"), str(each.hints or "–"), when


def _answers(handed: Handed) -> Iterable[str]:
    if handed.answers:
        yield "<h2>Answers</h2>"
    for id, text in handed.answers.items():
        yield f"<h3>{html.escape(id)}</h3><pre>{html.escape(text)}</pre>"


def _guesses(made: tuple[claims.Guess, ...]) -> Iterable[str]:
    yield "<h2>Predictions</h2>"
    if not made:
        yield "<p>None was made.</p>"
        return
    rows = [(guess.id, guess.text, guess.shown or "–", guess.off or "not measured yet") for guess in made]
    yield pages.table(("prediction", "the guess", "measured", "the guess was"), rows, left=4)


def _claims(handed: Handed) -> Iterable[str]:
    yield "<h2>Claims</h2>"
    if not handed.claims:
        yield "<p>None was measured.</p>"
        return
    yield f"<p>{html.escape(counts([record['verdict'] for record in handed.claims]))}.</p>"
    elsewhere = any(record["fingerprint"] != handed.machine.fingerprint for record in handed.claims)
    rows = [
        (
            record["id"],
            record["measured"],
            f"{VERDICT_MARKS[record['verdict']]} {record['verdict']}",
            record["time"][:16].replace("T", " "),
            *([record["machine"]] if elsewhere else []),
        )
        for record in sorted(handed.claims, key=lambda record: str(record["id"]))
    ]
    headers = ("claim", "measured", "verdict", "when (UTC)", *(["on"] if elsewhere else []))
    yield pages.table(headers, rows, left=5)


def _scoreboard(handed: Handed) -> Iterable[str]:
    board = scoreboard.grouped(handed.entries, handed.machine.fingerprint)
    yield "<h2>Scoreboard</h2>"
    if not board.groups:
        yield "<p>Nothing was recorded.</p>"
    for group in board.groups:
        yield pages.table(scoreboard.HEADERS, group.rows, group.title, left=scoreboard.LEFT)
    if len(board.groups) > 1:
        yield f'<p class="soft">{html.escape(scoreboard.NOT_RANKED)}</p>'
