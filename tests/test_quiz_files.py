"""The quizzes for learning platforms, and the flashcards, read back and compared with their sources."""

import csv
import io
import re
import tomllib
import zipfile
from collections import Counter
from xml.etree import ElementTree

import flashcards
import pytest
import quiz_files
from build_notebooks import Course
from hypothesis import given
from hypothesis import strategies as st

from coursekit._core import courses
from coursekit.exercises.quizzes import Choice, Question, Quiz

COURSE = Course()
Q = f"{{{quiz_files.QTI}}}"
CP = f"{{{quiz_files.CP}}}"
MORE = " (More than one is right.)"
NASTY = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="`*"), min_size=1, max_size=40
)


def as_written(element, namespace=""):
    """Return an element's text in the quiz's own markup."""
    marks = {f"{namespace}code": "`", f"{namespace}strong": "**", f"{namespace}p": ""}
    inner = "".join(as_written(child, namespace) + (child.tail or "") for child in element)
    mark = marks.get(element.tag, "")
    return f"{mark}{element.text or ''}{inner}{mark}"


def from_html(text):
    return as_written(ElementTree.fromstring(text))


def stored(id):
    """Return a quiz as its file has it: question, whether several, {choice: (right, why)}."""
    asked = tomllib.loads(courses.files(courses.QUIZ)[id].read_text(encoding="utf-8"))["question"]
    return [
        (q["text"], q.get("several", False), {c["text"]: (c["right"], c["why"]) for c in q["choice"]})
        for q in asked
    ]


def from_item(text):
    """Return a question as a QTI player would have it."""
    root = ElementTree.fromstring(text)
    right = {value.text for value in root.iter(f"{Q}value")} - {"0"}
    why = {shown.get("identifier"): as_written(shown[0], Q) for shown in root.iter(f"{Q}modalFeedback")}
    (asked,) = root.iter(f"{Q}choiceInteraction")
    several = root.find(f"{Q}responseDeclaration").get("cardinality") == "multiple"
    assert asked.get("maxChoices") == ("0" if several else "1")
    choices = {
        as_written(each, Q): (each.get("identifier") in right, why[each.get("identifier")][2:])
        for each in asked.iter(f"{Q}simpleChoice")
    }
    return as_written(asked.find(f"{Q}prompt"), Q).removesuffix(MORE), several, choices


def from_moodle(question):
    """Return a question as Moodle would have it."""
    choices, several = {}, question.findtext("single") == "false"
    total = 0.0
    for answer in question.iter("answer"):
        share = float(answer.get("fraction"))
        total += max(share, 0)
        choices[from_html(answer.findtext("text"))] = (
            share > 0,
            from_html(answer.findtext("feedback/text"))[2:],
        )
    assert total == pytest.approx(100, abs=1e-4)
    worst = sum(float(answer.get("fraction")) for answer in question.iter("answer"))
    assert not several or worst == pytest.approx(0, abs=1e-4)
    return from_html(question.findtext("questiontext/text")).removesuffix(MORE), several, choices


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return quiz_files.write(tmp_path_factory.mktemp("quizzes"), COURSE)


def test_the_package_says_what_the_quizzes_say(written):
    archive = zipfile.ZipFile(written[0])
    assert archive.testzip() is None
    for id in courses.files(courses.QUIZ):
        for number, question in enumerate(stored(id), 1):
            assert from_item(archive.read(f"items/quiz-{id}-{number}.xml")) == question


def test_the_manifest_and_the_tests_name_every_file_once(written):
    archive = zipfile.ZipFile(written[0])
    manifest = ElementTree.fromstring(archive.read("imsmanifest.xml"))
    resources = list(manifest.iter(f"{CP}resource"))
    hrefs = [each.get("href") for each in resources]
    assert sorted([*hrefs, "imsmanifest.xml"]) == sorted(archive.namelist())
    ids = Counter(each.get("identifier") for each in resources)
    assert set(ids.values()) == {1}
    assert all(each.get("identifierref") in ids for each in manifest.iter(f"{CP}dependency"))
    asked = []
    for path in (path for path in archive.namelist() if path.startswith("tests/")):
        test = ElementTree.fromstring(archive.read(path))
        asked += [each.get("href").removeprefix("../") for each in test.iter(f"{Q}assessmentItemRef")]
    assert sorted(asked) == sorted(path for path in archive.namelist() if path.startswith("items/"))


def test_the_page_of_figures_counts_what_the_package_holds(written):
    page = (COURSE.root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    names = zipfile.ZipFile(written[0]).namelist()
    items, tests = (sum(name.startswith(f"{kind}/") for name in names) for kind in ("items", "tests"))
    assert f"The QTI package ({items} items, {tests} tests)" in page


def test_moodle_gets_what_the_quizzes_say(written):
    root = ElementTree.fromstring(written[1].read_bytes())
    kinds = Counter(question.get("type") for question in root)
    assert kinds["category"] == len(courses.files(courses.QUIZ))
    found = {each.findtext("idnumber"): each for each in root if each.get("type") == "multichoice"}
    assert len(found) == kinds["multichoice"] == sum(len(stored(id)) for id in courses.files(courses.QUIZ))
    for id in courses.files(courses.QUIZ):
        for number, question in enumerate(stored(id), 1):
            assert from_moodle(found[f"quiz-{id}-{number}"]) == question


@given(st.lists(NASTY, min_size=4, max_size=4, unique=True), st.booleans())
def test_whatever_a_question_says_comes_back(said, several):
    said = [f"{text}<script>&amp; ]]> $a<b$ \\(" for text in said]
    choices = (
        Choice(said[0], True, f"`{said[1]}` **why**"),
        Choice(said[2], several, said[3]),
        Choice("-", False, "no"),
    )
    question = Question(f"**{said[1]}** or `{said[3]}`?", choices, several)
    expected = (question.text, several, {c.text: (c.right, c.why) for c in choices})
    quiz = Quiz("99", (question,))
    assert from_item(quiz_files.written(quiz_files.item(quiz, 1, question))) == expected
    root = ElementTree.fromstring(quiz_files.moodle({"99 A/B": quiz}))
    assert from_moodle(root[1]) == expected
    assert root[0].findtext("category/text").endswith("/99 A//B")


def test_the_same_quizzes_make_the_same_bytes(written):
    quizzes = dict(quiz_files.titled(COURSE))
    assert quiz_files.package(quizzes) == written[0].read_bytes()


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    text = flashcards.write(tmp_path_factory.mktemp("cards"), COURSE).read_text(encoding="utf-8")
    lines = text.split("\n")
    assert all(line.startswith("#") for line in lines[:4])
    return list(csv.reader(io.StringIO("\n".join(lines[4:]))))


def test_cards_ask_every_question_and_every_point_to_remember(cards):
    assert {len(card) for card in cards} == {3}
    quizzes = sum(len(stored(id)) for id in courses.files(courses.QUIZ))
    points = 0
    for path in COURSE.masters().values():
        end = path.read_text(encoding="utf-8").rpartition("# ## What you should remember")[2]
        points += len(re.findall(r"^# \d+\. ", end.partition("# ## ")[0], re.MULTILINE))
    tags = Counter(card[2].split()[-1] for card in cards)
    assert tags == {"quiz": quizzes, "remember": points}
    assert all(front and back for front, back, _ in cards)


def test_no_cell_begins_as_a_formula_or_a_setting_does(cards):
    assert not any(cell.startswith(tuple("=+-@#\t\r|%")) for card in cards for cell in card)
    assert flashcards.harmless('=HYPERLINK("x")') == '&#61;HYPERLINK("x")'
    assert flashcards.Card("-1", "@x", "+t").row == ("&#45;1", "&#64;x", "&#43;t")
    # Anki shows the entity as the sign it stands for.
    assert (
        ElementTree.fromstring(f"<p>{flashcards.harmless('-1 < x'.replace('<', '&lt;'))}</p>").text
        == "-1 < x"
    )


def test_a_point_is_asked_by_its_beginning_and_formulas_are_ankis():
    points = "1. One of them is `a < b`. It costs $a + b$, or\n   more.\n2. Law: all of it."
    source = f"## What you should remember\n\n{points}\n\n## Next\n\n3. x"
    one, two = flashcards.remembered("01 Toy", source)
    assert one.front.endswith("One of them is <code>a &lt; b</code>. …")
    assert one.back == r"It costs \(a + b\), or more."
    assert two.back == "Law: all of it."
    assert one.tags == "coursekit notebook-01 remember"
