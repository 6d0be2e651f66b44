"""Hints are a ladder of three for every exercise, opened one at a time, and none gives the line itself."""

import re

import glossary
import pytest
from build_notebooks import Course

from coursekit import exercises
from coursekit._core import courses, texts
from coursekit.exercises import checking, hints
from coursekit.exercises.verdicts import RUNGS
from coursekit.new import masters

COURSE = Course()
CHECKS = "from coursekit.exercises import wrong\ndef two(answer):\n    return wrong('No.', 'Mine.')\n"
CHECKS += "CHECKERS = {'97-two': two, '97-other': two}\n"
HINTS = """
[[exercise]]
id = "97-two"
question = "How many `eyes` are there?"
place = "Look at <your> **face**."
nearly = "One more than one."
"""
# What stands in solutions and gives nothing away.
COMMON = re.compile(r"return|return\d|\)|\(|pass|else:|for.*:|def.*|import.*")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Add a course of one notebook, 97, in a session of its own."""
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
    added, used = [], {}
    monkeypatch.setattr(courses, "_added", lambda: added)
    monkeypatch.setattr(hints, "_used", lambda: used)
    place = tmp_path / "97"
    place.mkdir()
    (place / "checks.py").write_text(CHECKS, encoding="utf-8")
    (place / "hints.toml").write_text(HINTS, encoding="utf-8")
    exercises.use(place)
    return place


def shipped():
    """Return the ids of all exercises of our course."""
    return [id for name in courses.courses()[0].notebooks for id in checking.checkers(name)]


def solutions():
    """Return exercise id to the lines of its solution."""
    found = {}
    for path in COURSE.masters().values():
        for cell in masters.read(path).cells:
            checks = re.findall(r'exercises\.check\("([^"]+)"', cell.source)
            if checks:
                parts = re.findall(r"# solution.*?\n(.*?)# end solution", cell.source, re.DOTALL)
                found[checks[0]] = [line for part in parts for line in part.split("\n")]
    return found


def bare(text):
    """Return text or code without what does not count: spaces, quotes and backticks."""
    return re.sub(r"[\s`'\"]", "", text)


def given_away(rungs, lines):
    """Return the parts of the solution that a hint holds: a whole line, or what it assigns or returns."""
    parts = set()
    for line in (bare(re.sub(r"(^|\s+)#.*", "", line)) for line in lines):
        if not COMMON.fullmatch(line):
            parts |= {line, re.sub(r"^(return|\w+(,\w+)*[-+/]?=(?!=))", "", line)}
    told = [bare(rung) for rung in rungs]
    return {part for part in parts if len(part) > 4 and any(part in each for each in told)}


def test_every_exercise_has_a_title_of_its_own_and_says_where_it_stands():
    found = {
        each["id"]: (each["title"], each["at"])
        for path in courses.files(courses.HINTS).values()
        for each in texts.load(path)["exercise"]
        if "title" in each
    }
    assert {*found} == {*shipped()}
    assert len({title for title, _ in found.values()}) == len(found)
    assert [title for title, _ in found.values() if not 10 < len(title) < 50 or title[-1] in ".?!"] == []
    assert {id: at for id, (_, at) in found.items()} == places()


def places():
    """Return exercise id to the students' copy and the anchor of the section that it stands in."""
    found = {}
    for name, path in COURSE.masters().items():
        copy, section = COURSE.relative(COURSE.paths(name)[0]), ""
        for cell in masters.read(path).cells:
            headings = re.findall(r"^## (.*)$", cell.source, re.MULTILINE) * (cell.cell_type == "markdown")
            section = glossary.slug(headings[-1]) if headings else section
            for id in re.findall(r'exercises\.check\("([^"]+)"', cell.source):
                found[id] = f"{copy}#{section}"
    return found


def test_every_exercise_of_the_course_has_a_ladder():
    ids = shipped()
    assert len(ids) > 30
    assert [id for id in ids if len(hints.ladder(id)) != 3] == []
    assert {id for id in solutions()} == set(ids)


def test_no_hint_holds_a_line_of_the_solution():
    lines = solutions()
    found = {id: given_away(hints.ladder(id), lines[id]) for id in shipped()}
    assert {id: parts for id, parts in found.items() if parts} == {}


@pytest.mark.parametrize("told", ["Write `x = 3 * y + 1`.", "It is 3*y+1, isn't it", "the word known_words"])
def test_a_hint_that_tells_the_line_is_found(told):
    assert given_away(["", "", told], ["    x = 3 * y + 1  # so", "return known_words", "return 0"])


def test_the_hints_are_short_and_do_not_shout():
    for id in shipped():
        question, *others = hints.ladder(id)
        assert question.endswith("?"), id
        assert all(len(rung) <= 330 and "!" not in rung for rung in (question, *others)), id


def test_each_call_climbs_one_rung_and_the_last_one_stays():
    shown = [exercises.hint("97-two") for _ in range(4)]
    assert [hint.number for hint in shown] == [1, 2, 3, 3]
    assert str(shown[0]) == (
        "Hint 1 of 3 for 97-two: a question\n  How many `eyes` are there?\n"
        '  Run exercises.hint("97-two") again for the next one.'
    )
    assert "Look at &lt;your&gt; <strong>face</strong>." in shown[1]._repr_html_()
    assert "the worked solutions" in str(shown[3])


def test_a_wrong_answer_shows_its_own_hint_first_and_the_ladder_one_inside_the_other():
    verdict = exercises.check("97-two", 3)
    html = verdict._repr_html_()
    places = [html.index(text) for text in ("Mine.", "eyes", "face", "One more", "Still stuck?")]
    assert places == sorted(places)
    assert html.count("<details>") == 1 + len(RUNGS)
    assert html.endswith("</details>" * 4 + "</div></div>")
    assert 'More hints, one at a time: exercises.hint("97-two")' in str(verdict)
    assert "eyes" not in str(verdict)


def test_an_exercise_without_hints_has_its_own_hint_alone():
    verdict = exercises.check("97-other", 3)
    assert verdict._repr_html_().count("<details>") == 1
    assert "More hints" not in str(verdict)
    with pytest.raises(ValueError, match="there is no exercise with hints '97-other'; did you mean"):
        exercises.hint("97-other")


@pytest.mark.parametrize("odd", [None, 3, b"97-two"])
def test_what_is_no_id_is_refused(odd):
    with pytest.raises(TypeError, match="id must be text"):
        exercises.hint(odd)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"97-two"', '"97-three"', "exercise 1: '97-three' (str) is not one of 97-two, 97-other"),
        (HINTS, HINTS + HINTS, "exercise 2: '97-two' (str) is there twice"),
        ('place = "Look at <your> **face**."\n', "", "exercise 1 has no 'place'"),
        ('"One more than one."', '""', "nearly must be a str and not empty"),
        ('"One more than one."', '" "', "(97-two): nearly must not be empty"),
        ("nearly =", 'fourth = "x"\nnearly =', "unknown key 'fourth'"),
        ("[[exercise]]", "[exercise]", "exercise must be a list"),
        ('id = "97-two"', "id = 3", "id must be a str"),
        (HINTS, "", "has no 'exercise'"),
    ],
)
def test_hints_that_break_the_rules_are_refused(folder, old, new, says):
    (folder / "hints.toml").write_text(HINTS.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        exercises.hint("97-two")
    assert "97/hints.toml" in str(error.value)


def test_a_refused_answer_says_what_the_exercise_is_meant_for(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    verdict = exercises.check("08-student", 3)
    assert verdict.meant_for == "labels that can be learned, a network of this shape"
    said = "The exercise is meant for labels that can be learned, a network of this shape."
    assert said in str(verdict)
    assert said in verdict._repr_html_()
    assert "meant for" not in str(exercises.check("08-loss", 3))
