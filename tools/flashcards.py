"""Flashcards for Anki, made from the quizzes and from what each notebook asks to be remembered: one CSV."""

import csv
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import quiz_files
from build_notebooks import Course

from coursekit._core import texts
from coursekit.exercises.quizzes import Question
from coursekit.new import masters

FILE = "flashcards.csv"
# Anki reads these lines; to a spreadsheet they are text.
HEAD = ("#separator:Comma", "#html:true", "#columns:front,back,tags", "#tags column:3")
REMEMBER = "## What you should remember"
POINT = re.compile(r"^\d+\. (.*(?:\n {3}.*)*)", re.MULTILINE)
FIRST = re.compile(r"(?P<first>.{15,}?[.:?]) (?P<rest>.+)", re.DOTALL)  # a name and a colon ask for nothing
FORMULA = re.compile(r"\$([^$\n]+)\$")
# A cell that begins like this may be run by a spreadsheet; Anki takes "#" for a setting.
RISKY = "=+-@#\t\r|%"


@dataclass(frozen=True)
class Card:
    """A card: HTML on both sides, and its tags."""

    front: str
    back: str
    tags: str

    @property
    def row(self) -> tuple[str, str, str]:
        """The cells of its line, none of which a spreadsheet takes for a formula."""
        return harmless(self.front), harmless(self.back), harmless(self.tags)


def harmless(text: str) -> str:
    """Return the HTML with its first character as an entity if a spreadsheet could run what it begins."""
    return f"&#{ord(text[0])};{text[1:]}" if text.startswith(tuple(RISKY)) else text


def write(folder: Path, course: Course) -> Path:
    """Write all cards to ``folder``; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    made = io.StringIO()
    made.write("\n".join(HEAD) + "\n")
    csv.writer(made, lineterminator="\n").writerows(card.row for card in cards(course))
    path = folder / FILE
    path.write_text(made.getvalue(), encoding="utf-8")
    return path


def cards(course: Course) -> Iterator[Card]:
    """Yield a card for each question of the quizzes, and for each point to remember."""
    for title, quiz in quiz_files.titled(course):
        for question in quiz.questions:
            yield Card(*asked(question), f"coursekit {tag(title)} quiz")
    for name, path in course.masters().items():
        notebook = masters.read(path)
        label = f"{masters.number(name)} {masters.summary(notebook)[0]}".strip()
        yield from remembered(label, notebook.cells[-1].source)


def tag(label: str) -> str:
    """Return the tag of a notebook, from its number or, without one, its title."""
    return "notebook-" + label.split()[0].lower()


def asked(question: Question) -> tuple[str, str]:
    """Return both sides of a question's card."""
    choices = "".join(f"<li>{texts.rich(choice.text)}</li>" for choice in question.choices)
    right = [choice for choice in question.choices if choice.right]
    back = "".join(f"<p><b>{texts.rich(choice.text)}</b><br>{texts.rich(choice.why)}</p>" for choice in right)
    return f"{texts.rich(question.title)}<ul>{choices}</ul>", back


def remembered(label: str, source: str) -> Iterator[Card]:
    """Yield a card for each numbered point below the heading: its first sentence asks for the rest of it."""
    points = POINT.findall(source.partition(REMEMBER)[2].partition("\n## ")[0])
    for number, point in enumerate(points, 1):
        text = re.sub(r"\s+", " ", point)
        parts = FIRST.fullmatch(text)
        head = f"<small>{html.escape(label)}, point {number} of {len(points)}</small><br>"
        first = f"{marked(parts['first'])} …" if parts else "What is to be remembered?"
        yield Card(head + first, marked(parts["rest"] if parts else text), f"coursekit {tag(label)} remember")


def marked(text: str) -> str:
    """Return the Markdown as HTML; formulas as Anki's MathJax takes them."""
    return FORMULA.sub(r"\\(\1\\)", texts.rich(text))
