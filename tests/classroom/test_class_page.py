"""The class page: right on every count, whatever was handed in; nothing in a report becomes markup."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import simulated_class

from coursekit import classroom
from coursekit._core import courses, published
from coursekit.claims import Guess
from coursekit.classroom import counting, drawing, scoring
from coursekit.classroom.__main__ import main
from coursekit.exercises import handing_in
from coursekit.exercises import titles as naming

HOSTILE = "</script></svg><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;"
START = simulated_class.START


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a folder of 200 reports, what is true of them, and what was read."""
    folder = tmp_path_factory.mktemp("class")
    truth = simulated_class.simulate(folder, 200, seed=3)
    return folder, truth, classroom.read(folder)


class Tags(HTMLParser):
    """Collects elements, attributes and the text of table cells, row by row."""

    def __init__(self, page):
        super().__init__()
        self.found, self.attributes, self.rows = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_every_count_is_right(simulated):
    _, truth, found = simulated
    assert [entry.name for entry in found.entries] == sorted(truth.students)
    assert sorted(each.file for each in found.aside) == sorted(truth.damaged)
    assert len(truth.damaged) == 10
    assert sorted(entry.file for entry in found.edited) == sorted(truth.edited)
    assert len(truth.edited) == 5
    assert sorted(each.file for each in found.earlier) == sorted(truth.earlier)
    counts = {
        (e.id, o): n for e in found.exercises for o, n in vars(e).items() if o in ("solved", "tried", "open")
    }
    assert +Counter(counts) == +truth.outcomes
    assert {(each.id, each.hint): each.students for each in found.wrong} == dict(truth.wrong)
    assert {each.id: len(each.guesses) for each in found.predictions} == dict(truth.guesses)
    assert {(each.id, v): n for each in found.claims for v, n in each.verdicts} == dict(truth.verdicts)
    assert Counter((point.claim, point.cpu) for point in found.machines) == truth.points


def test_the_page_shows_these_counts(simulated):
    _, truth, found = simulated
    page = classroom.page(found)
    rows, titles = [tuple(row) for row in Tags(page).rows], naming.titles()
    for id in {id for id, _ in truth.outcomes}:
        wanted = [str(truth.outcomes[id, outcome]) for outcome in ("solved", "tried", "open")]
        name = titles[id].title.replace("`", "") + id
        assert [row[2:5] for row in rows if row[0] == name and len(row) == 6 and not row[1]] == [
            tuple(wanted)
        ]
    assert {row[0] for row in rows} >= {*truth.damaged}
    assert {row[1] for row in rows if "its data were changed by hand" in row[-1]} >= {*truth.edited}
    assert page.count("<circle") == sum(truth.points.values()) + sum(
        n for id, n in truth.guesses.items() if id != "05-medium-layer"
    )
    assert "side by side and not ranked" in page
    assert not re.search(r"(src|href)=[\"'](?!#)|https?:|@import|url\((?!#)", page)
    assert "script" not in Tags(page).found
    for_all, _, named = page.partition('<div class="named">')  # which the switch for the wall hides
    assert [name for name in truth.students if name in for_all] == []
    assert [name for name in truth.students if name not in named] == []


def test_machines_are_sorted_by_what_they_are_and_not_by_speed(simulated):
    points = [point for point in simulated[2].machines if point.claim == "03-load-once"]
    keys = [(point.flags, point.cores, point.cpu, point.student) for point in points]
    assert keys == sorted(keys)
    values = [point.value for point in points]
    assert values not in (sorted(values), sorted(values, reverse=True))
    assert all(point.low < point.value < point.high for point in points)
    hollow = [point for point in simulated[2].machines if point.claim == "04-more-per-second"]
    assert {point.low for point in hollow} == {None}
    assert drawing.machines(hollow, "×").count('fill="var(--ground)"') == len(hollow)


def test_the_command_writes_page_and_scores(simulated, tmp_path, capsys):
    folder, truth, found = simulated
    out, scores = tmp_path / "class.html", tmp_path / "scores.csv"
    assert (
        main([str(folder), "--out", str(out), "--csv", str(scores), "--title", "Week <3>", "--present"]) == 0
    )
    said = capsys.readouterr().out
    assert all(f"set aside: {name}: " in said for name in truth.damaged)
    page = out.read_text(encoding="utf-8")
    assert "Week &lt;3&gt;" in page
    assert 'id="present" checked' in page
    rows = list(csv.DictReader(scores.open(encoding="utf-8")))
    assert len(rows) == len(truth.students)
    assert sum(int(row["solved"]) for row in rows) == sum(
        n for (_, outcome), n in truth.outcomes.items() if outcome == "solved"
    )
    id = found.exercises[3].id
    assert Counter(row[id] for row in rows) == Counter(
        {"1": truth.outcomes[id, "solved"], "0": truth.outcomes[id, "tried"], "": truth.outcomes[id, "open"]}
    )


def test_from_a_shell_and_with_nothing_to_read(tmp_path):
    root = str(Path(__file__).parents[2])
    code = [sys.executable, "-m", "coursekit.classroom", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(code, capture_output=True, text=True, cwd=tmp_path, env=env, check=False)
    assert done.returncode == 1
    assert "there is no report in" in done.stderr
    assert main([str(tmp_path / "nowhere")]) == 1
    assert [*tmp_path.iterdir()] == []


# Reports that mean harm


def written(tmp_path, name="Ada", file="a.html", offered=("01-encode",), **logs):
    """Write a report whose logs hold what is given; return its page."""
    machine = simulated_class.runtime.Machine(
        logs.pop("cpu", "CPU"), 2, 2**30, ("AVX2",), None, "Linux", "3.12", (("coursekit", "0.2.0"),)
    )
    records = {"verdicts": [], "guesses": [], "claims": [], "scoreboard": [], **logs}
    page, _ = handing_in.composed(name, "2026-11-20T10:00:00+00:00", machine, [*offered], records, {})
    (tmp_path / file).write_text(page, encoding="utf-8")
    return page, machine


def verdict(**fields):
    wrong = {"kind": HOSTILE, "message": HOSTILE, "hint": HOSTILE, "count": 1}
    return {
        "id": "01-encode",
        "session": "s",
        "outcome": "wrong",
        "tries": 1,
        "hints": 0,
        "first": "2026",
        "solved": "",
        "time": "2026",
        "wrong": [wrong],
        **fields,
    }


def claim(machine_label=HOSTILE, **fields):
    return {
        "id": "03-load-once",
        "fingerprint": "f",
        "machine": machine_label,
        "time": "2026",
        "measured": HOSTILE,
        "verdict": "holds",
        "value": 3.0,
        "low": 2.0,
        "high": 4.0,
        "cores": 2,
        "flags": [HOSTILE],
        **fields,
    }


def test_nothing_in_a_report_becomes_markup(tmp_path):
    guesses = [
        Guess(HOSTILE, HOSTILE, 3.0, HOSTILE, (), 4.0, HOSTILE).record(),
        Guess("05-x", HOSTILE, HOSTILE, "", (HOSTILE, "b"), HOSTILE, HOSTILE).record(),
        Guess("05-y", HOSTILE).record(),
    ]
    verdicts = [verdict(), verdict(id=HOSTILE)]
    claims = [claim(), claim(id=HOSTILE), claim(value=HOSTILE)]
    names = ("<b>a.html", "<img src=x onerror=alert(3)>.html") if os.name == "posix" else ("a.html", "b.html")
    written(tmp_path, HOSTILE, names[0], cpu=HOSTILE, verdicts=verdicts, guesses=guesses, claims=claims)
    (tmp_path / names[1]).write_text("no report")
    found = classroom.read(tmp_path)
    assert (len(found.entries), len(found.aside)) == (1, 1)
    page = classroom.page(found, HOSTILE)
    tags = Tags(page)
    assert not {"script", "img", "iframe", "object", "form", "b-"} & {*tags.found}
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert tags.found.count("svg") == page.count("<svg")
    assert "alert(1)" in page  # as text


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, 0, 10**300, -3])
def test_huge_values_are_drawn_at_the_edge(tmp_path, value):
    guesses = [Guess("05-x", "g", value, "×", (), 3.0, "3").record(), Guess("05-x", "g", 3.0, "×").record()]
    claims = [claim(value=value, low=None, high=None), claim(id="04-one-call", low=value, high=value)]
    written(tmp_path, guesses=guesses, claims=claims)
    page = classroom.page(classroom.read(tmp_path))
    places = re.findall(r'\b(?:c?[xy][12]?|width|height)="([^"]*)"', page)
    assert all(-1 <= float(place.removesuffix("px")) < 5000 for place in places if place != "100%")
    assert not re.search(r"\b(nan|inf)\b", page)


@pytest.mark.parametrize("value", [1e300, 1e-300, -1e300, -3.0])
def test_one_absurd_value_does_not_hide_the_others(tmp_path, value):
    for number in range(9):
        own = claim(value=2.0**number, low=2.0**number, high=1e299 if number == 4 else 2.0**number)
        written(tmp_path, f"S{number}", f"{number}.html", claims=[own])
    written(tmp_path, "Z", "z.html", claims=[claim(value=value, low=value, high=value)])
    page = classroom.page(classroom.read(tmp_path))
    places = sorted(float(place) for place in re.findall(r'<circle cx="([\d.]+)"', page))
    assert places[8] - places[1] > 200
    assert "1 far out, at the edge" in page


def test_files_that_mean_harm_are_set_aside_by_name(tmp_path):
    page, _ = written(tmp_path)
    deep = page.replace('"offered":[', '"offered":[' + "[" * 200_000)
    (tmp_path / "deep.html").write_text(deep, encoding="utf-8")
    (tmp_path / "nan.html").write_text(page.replace('"cores":2', '"cores":NaN'), encoding="utf-8")
    (tmp_path / "types.html").write_text(page.replace('"verdicts":[]', '"verdicts":{}'), encoding="utf-8")
    with open(tmp_path / "large.html", "wb") as file:
        file.truncate(100_000_000)
    names = ["deep.html", "large.html", "nan.html", "types.html"]
    if os.name == "posix":
        (tmp_path / "link.html").symlink_to("/dev/zero")
        os.mkfifo(tmp_path / "pipe.html")
        names += ["link.html", "pipe.html"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Bob.HTML").write_text(page.replace('"Ada"', '"Bob"'), encoding="utf-8")
    found = classroom.read(tmp_path)
    assert sorted(each.file for each in found.aside) == sorted(names)
    assert [(entry.name, entry.file, entry.edited) for entry in found.entries] == [
        ("Ada", "a.html", False),
        ("Bob", "sub/Bob.HTML", True),
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", "\t=1", "  =1", '=HYPERLINK("http://x","y")'])
def test_no_cell_is_a_formula(name):
    cell = next(csv.reader(io.StringIO(f'"{scoring.safe(name).replace(chr(34), chr(34) * 2)}"')))[0]
    assert cell == f"'{name}"


def test_names_in_the_scores_are_no_formulas(tmp_path):
    written(tmp_path, '=HYPERLINK("http://x")', verdicts=[verdict(id="=cmd|'/C calc'!A0")])
    rows = list(csv.reader(io.StringIO(classroom.scores(classroom.read(tmp_path)))))
    assert rows[1][0] == '\'=HYPERLINK("http://x")'
    assert "'=cmd|'/C calc'!A0" in rows[0]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


# Small things


def test_the_newest_of_a_student_counts_whatever_the_case_and_the_blanks(tmp_path):
    page, _ = written(tmp_path, "Ada  Lovelace", "old.html")
    new = page.replace("2026-11-20T10:00:00", "2026-11-21T10:00:00").replace("Ada  Lovelace", "ada lovelace")
    (tmp_path / "new.html").write_text(new, encoding="utf-8")
    found = classroom.read(tmp_path)
    assert [(entry.name, entry.file) for entry in found.entries] == [("ada lovelace", "new.html")]
    assert [(each.name, each.file, each.kept) for each in found.earlier] == [
        ("Ada  Lovelace", "old.html", "new.html")
    ]
    assert "1 student, 1 earlier report left out" in str(found)


def test_a_page_that_was_changed_but_not_its_data_is_marked_so(tmp_path):
    page, _ = written(tmp_path, verdicts=[verdict(wrong=[])])
    (tmp_path / "a.html").write_text(page.replace("✗ tried", "✓ solved"), encoding="utf-8")
    found = classroom.read(tmp_path)
    assert found.entries[0].solved == 0
    assert "its data are whole" in classroom.page(found)


def test_messages_that_differ_in_what_the_student_wrote_are_the_same_one(tmp_path):
    for number, said in enumerate(
        [
            "3 is not it.",
            "4.5 is not it.",
            "4.5 is not it.",
            "It is '1' (a list [1, 2]).",
            "It is 'x' (a list [0]).",
        ]
    ):
        wrong = [{"kind": "number", "message": said, "hint": "One.", "count": 2}]
        wrong += [{**wrong[0], "message": "7 is not it.", "count": 1}] * (number == 1)
        written(tmp_path, f"S{number}", f"{number}.html", verdicts=[verdict(wrong=wrong)])
    first, second = classroom.read(tmp_path).wrong  # and no third
    assert (first.message, first.students, first.times) == ("4.5 is not it.", 3, 7)
    assert (second.message, second.students) == ("It is '1' (a list [1, 2]).", 2)


def test_guesses_in_other_units_are_not_drawn_together(tmp_path):
    for number, unit in enumerate(["×", "%", "×"]):
        written(tmp_path, f"S{number}", f"{number}.html", guesses=[Guess("05-x", "3", 3.0, unit).record()])
    assert [(each.unit, len(each.guesses)) for each in classroom.read(tmp_path).predictions] == [
        ("%", 1),
        ("×", 2),
    ]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([1, 100], 3), ([0, 100], 3), ([5, 5], 1), ([-3, 3], 3), ([1e-9, 1e9], 3), ([0, 0], 2)],
)
def test_axes_have_round_ticks_inside_them(values, ticks):
    axis = drawing.Axis(values)
    found = axis.ticks()
    assert len(found) >= ticks
    assert found == sorted(found)
    assert all(axis.left <= axis.at(tick) <= axis.right for tick in found)
    assert axis.left <= axis.at(values[0]) <= axis.at(values[1]) <= axis.right


def test_records_of_other_machines_and_older_versions_are_shown_with_what_they_say(tmp_path):
    old = claim("AMD EPYC, 64 cores, NVIDIA H200")
    for name in ("low", "high", "cores", "flags"):
        del old[name]
    written(tmp_path, claims=[old])
    (point,) = classroom.read(tmp_path).machines
    assert (point.cpu, point.cores, point.flags, point.low) == ("AMD EPYC", 64, (), None)
    assert point.machine == "AMD EPYC · 64 cores · flags unknown"


def test_exercises_of_notebooks_that_nobody_began_are_folded(tmp_path):
    offered = ("01-encode", "01-quantize", "A-shares", "08-control")
    written(tmp_path, offered=offered, verdicts=[verdict(wrong=[])])
    page = classroom.page(classroom.read(tmp_path))
    exercises = page.partition("<h2>Exercises</h2>")[2].partition("<h2>")[0]
    shown, _, folded = exercises.partition("<details>")
    assert [id in shown for id in offered] == [True, True, False, False]
    assert [id in folded for id in offered] == [False, False, True, True]
    assert "2 of notebooks that nobody began" in folded


def test_exercises_have_titles_that_lead_to_their_section(tmp_path, monkeypatch):
    written(tmp_path, offered=("01-decode", "97-mine", "98-bare"), verdicts=[verdict(id="97-mine")])
    own = tmp_path / "97"
    own.mkdir()
    (own / "checks.py").write_text("", encoding="utf-8")
    (own / "hints.toml").write_text(
        '[[exercise]]\nid = "97-mine"\ntitle = "<Mine>"\nat = "javascript:alert(1)"\n', encoding="utf-8"
    )
    monkeypatch.setattr(courses, "_added", lambda: [courses.Course(own)])
    found = classroom.read(tmp_path)
    monkeypatch.setattr(published, "repository", lambda: ("https://github.com/YOUR_NAME/coursekit", "v1"))
    page = classroom.page(found)
    assert "Which number these 32 bits are<" in page
    assert '&lt;Mine&gt;<span class="id">97-mine</span>' in page
    assert '<td class="l">98-bare</td>' in page
    assert {value for key, value in Tags(page).attributes if key == "href"} == {"#files"}
    monkeypatch.setattr(published, "repository", lambda: ("https://github.com/ada/engine", "v1"))
    links = {value for key, value in Tags(classroom.page(found)).attributes if key == "href"}
    book = "https://github.com/ada/engine/blob/v1/notebooks/01-floating-point-basics.ipynb"
    assert links == {"#files", f"{book}#3-how-is-65-stored"}
    (own / "hints.toml").write_text("[[exercise]", encoding="utf-8")  # not TOML: the ids remain
    assert '<td class="l">97-mine</td>' in classroom.page(found)


def test_an_empty_class_is_a_page_too(tmp_path):
    assert "0 students" in classroom.page(classroom.read(tmp_path))
    with pytest.raises(ValueError, match="there is none at 'nowhere'"):
        classroom.read("nowhere")


def test_the_claims_that_machines_are_compared_by_exist():
    from coursekit.claims import rules

    assert {*counting.MACHINE_CLAIMS} <= {*rules.load()}


def test_the_data_are_what_json_says(tmp_path):
    page, _ = written(tmp_path, HOSTILE)
    assert json.loads(page.partition(START)[2].partition("</script>")[0])["name"] == HOSTILE
