"""docs/grading.md: names, sums and minutes that it states are those of the course."""

import re

import pytest
from build_notebooks import Course
from guide import ID
from toy import ROOT

from coursekit._core import courses
from coursekit.new import masters

COURSE = Course()
PAGE = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "instructor-guide.md").read_text(encoding="utf-8")
NOTEBOOKS = {masters.number(name) or name: masters.read(path) for name, path in COURSE.masters().items()}


def rows(first, text=PAGE):
    """Return the rows of the tables whose header begins with the cell ``first``, their header's excluded."""
    found = re.findall(rf"^\| ?{first} ?\|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in each.splitlines()] for each in found
    ]


def minutes(first, last):
    """Return the minutes of the plan from ``first`` to ``last``, which must be ends of its rows."""
    ends = {int(end) for row in rows("minutes", GUIDE)[0] for end in row[0].split("–")}
    assert {first, last} <= ends
    return last - first


def exercises_of(nb):
    return len(courses.notebooks()[nb].checkers(nb))


def test_it_names_exercises_and_claims_that_there_are():
    masters_text = "".join(path.read_text(encoding="utf-8") for path in COURSE.masters().values())
    for id in set(ID.findall(PAGE)) - set(COURSE.masters()):
        assert f'"{id}"' in masters_text, id


def test_three_claims_make_30_points_and_the_samples_are_added_up():
    (rubric,) = rows("for each claim")
    full = [int(row[1]) for row in rubric]
    assert 3 * sum(full) == 30
    samples = rows("claim")
    sums = re.findall(r"^(\d+) of 30\.$", PAGE, re.MULTILINE)
    for sample, total in zip(samples, sums, strict=True):
        assert len(sample) == 3
        for row in sample:
            given = [int(cell) for cell in row[1:7]]
            assert sum(given[:5]) == given[5]
            assert all(got <= most for got, most in zip(given[:5], full, strict=True))
        assert sum(int(row[6]) for row in sample) == int(total)
    assert int(sums[0]) >= 25
    assert int(sums[1]) <= 10


def test_the_strong_text_has_the_figures_of_the_cards():
    (figures,) = rows("result")
    strong = PAGE.partition("### A strong text")[2].partition("### A weak text")[0]
    for figure in re.findall(r"-?\d+(?:\.\d+)?", " ".join(row[1] for row in figures)):
        if figure not in ("2.79", "2.72", "2.82", "2.89", "2.95", "0.343", "0.347"):  # what it need not say
            assert figure in strong, figure


def test_45_minutes_are_45():
    text = PAGE.partition("**45 minutes.**")[2].partition("No exercise")[0]
    parts = [tuple(map(int, part)) for part in re.findall(r"(\d+)–(\d+)", text)]
    never = re.search(r"Never leave out (.*): they", GUIDE.replace("\n", " "))[1]
    for low, high in re.findall(r"(\d+)–(\d+)", never):
        assert any(first <= int(low) and int(high) <= last for first, last in parts), (low, high)
    assert sum(minutes(*part) for part in parts) == 45
    assert parts == sorted(parts)


def test_two_times_90_minutes_are_both_90():
    both = next(each for each in rows("") if each[0][0] == "first")
    for row in both:
        first, last, plan = map(int, re.search(r"(\d+)–(\d+).*: (\d+) minutes", row[1]).groups())
        assert minutes(first, last) == plan
        spent = len(ID.findall(row[2])) * int(re.search(r"(\d+) minutes each", row[2])[1])
        assert plan + spent + int(row[3].split()[0]) == 90


@pytest.mark.parametrize("row", rows("week")[0], ids=lambda row: row[0])
def test_a_week_has_the_minutes_and_points_of_its_notebooks(row):
    names = re.findall(r"\d\d|dashboard|\b[A-D]\b", row[1])
    each = [int(masters.summary(NOTEBOOKS[nb])[1]) for nb in names]
    assert int(row[2]) == (each[0] if " or " in row[1] else sum(each))
    if points := re.search(r"exercises, (\d+) points", row[3]):
        assert int(points[1]) == sum(map(exercises_of, names))
    else:
        assert len(set(each)) == 1
