"""The instructor's guide names only what there is, fills the lecture, and labels what it measured."""

import ast
import json
import re
from pathlib import Path

import build_notebooks
import guide
import nbformat
import pytest
import toy
from build_notebooks import Course
from guide import Figure
from hypothesis import given
from hypothesis import strategies as st

from coursekit.claims import rules
from coursekit.new import building

ROOT = Path(__file__).resolve().parents[1]
COURSE = Course(ROOT)
# The page on grading is no guide to a lecture; tests/test_grading_page.py looks at it.
GUIDED = [path for path in guide.PATHS if path.stem.endswith("guide")]
GUIDE, BEYOND = GUIDES = [(ROOT / path).read_text(encoding="utf-8") for path in GUIDED]
MASTERS = {name.split("-")[0]: path.read_text(encoding="utf-8") for name, path in COURSE.masters().items()}
LECTURE = {key for key in MASTERS if not key.isupper()}
ID = guide.ID
PANEL = re.compile(r"`widgets\.(\w+)`")
SECTION = re.compile(r"(?:(\d\d|[A-Z]|dashboard) )?§(\d)( [A-Z][^|;?]*\?)?")
MEASURED = re.compile(r"measured on ([^|]+?) *$")
# Quantities that only a measurement gives; minutes, bits and counts are free.
QUANTITY = re.compile(r"\d\s?(?:×|%|µs\b|ms\b|s\b|dB\b|points?\b|[kMG]B\b|GFLOP)")


each = pytest.mark.parametrize("text", GUIDES, ids=[path.stem for path in GUIDED])


def tables(text):
    """Return every Markdown table in ``text`` as rows of cells, the header first."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [[cells_of(line) for line in table.splitlines()] for table in found]
    return [[table[0], *table[2:]] for table in rows]


def cells_of(line):
    inside = line.replace(r"\|", "\0").strip("|").split("|")
    return [cell.strip().replace("\0", r"\|") for cell in inside]


def table_with(first, text=GUIDE):
    return next(table for table in tables(text) if table[0][0] == first)


def chapter(key):
    """Return what the guide says about one notebook."""
    heading = "Dashboard" if key == "dashboard" else f"{key} "
    text = GUIDE if key in LECTURE else BEYOND
    rest = text.split("## Notebook by notebook\n", 1)[1].split("\n## ", 1)[0]
    parts = [part for part in rest.split("\n### ") if part.startswith(heading)]
    assert len(parts) == 1, f"the guide has {len(parts)} chapters on {key}"
    return parts[0]


def titles(key):
    return dict(re.findall(r"^# ## (\d)\. (.+)$", MASTERS[key], re.MULTILINE))


def unlabelled(text):
    """Return the lines and cells with a quantity, outside the tables whose header names the machine."""
    prose = re.sub(r"^\|.*\n", "", text, flags=re.MULTILINE)
    bare = [rows for header, *rows in tables(text) if not any(map(MEASURED.search, header))]
    cells = [cell for rows in bare for row in rows for cell in row]
    return [line for line in [*prose.splitlines(), *cells] if QUANTITY.search(line)]


def missing(text, key=None):
    """Return the sections in ``text`` that are in no master; ``key`` is the notebook if none is named."""
    found = []
    for notebook, number, title in SECTION.findall(text):
        have = titles(notebook or key).get(number) if notebook or key else None
        if have is None or title and title.strip() != have:
            found.append((notebook or key, number, title))
    return found


@each
def test_tables_have_as_many_cells_as_their_headers(text):
    for header, *rows in tables(text):
        assert rows, header
        assert {len(row) for row in rows} == {len(header)}, header


@pytest.mark.parametrize("key", MASTERS)
def test_every_notebook_has_a_whole_chapter(key):
    text = chapter(key)
    assert re.search(rf"^# # {re.escape(text.splitlines()[0])}$", MASTERS[key], re.MULTILINE)
    live, results = tables(text)
    assert live[0] == ["run live", "panel", "ask"]
    assert MEASURED.search(results[0][1])
    assert "**What students get wrong**" in text
    assert "**If it fails" in text


@pytest.mark.parametrize("key", MASTERS)
def test_a_chapter_names_only_what_its_notebook_has(key):
    text = chapter(key)
    live, _ = tables(text)
    assert all(SECTION.match(row[0]) for row in live[1:])
    assert missing(text, key) == []
    assert [i for i in ID.findall(text) if f'"{i}"' not in MASTERS[key]] == []
    assert [p for p in PANEL.findall(text) if f"widgets.{p}(" not in MASTERS[key]] == []


@pytest.mark.parametrize("key", MASTERS)
def test_a_chapter_names_every_panel_and_every_exercise(key):
    text = chapter(key)
    assert set(PANEL.findall(text)) == set(re.findall(r"widgets\.(\w+)\(", MASTERS[key]))
    exercises = set(re.findall(r'exercises\.check\("([\w-]+)"', MASTERS[key]))
    assert exercises <= set(ID.findall(text))


@pytest.mark.parametrize("key", MASTERS)
def test_a_panel_or_prediction_stands_beside_its_section(key):
    starts = re.split(r"^# ## ", MASTERS[key], flags=re.MULTILINE)
    bodies = {part[0]: part for part in starts[1:] if part[0].isdigit()}
    for section, panels, ask in tables(chapter(key))[0][1:]:
        body = bodies[SECTION.match(section)[2]]
        assert all(f"widgets.{panel}(" in body for panel in PANEL.findall(panels)), section
        assert all(f'"{id}"' in body for id in ID.findall(ask)), section


@each
def test_the_rest_names_only_what_there_is(text):
    every = "".join(MASTERS.values())
    outside = text.replace(text.split("## Notebook by notebook\n", 1)[1].split("\n## ", 1)[0], "")
    assert missing(outside) == []
    assert [i for i in ID.findall(outside) if f'"{i}"' not in every] == []
    assert [p for p in PANEL.findall(outside) if f"widgets.{p}(" not in every] == []


def test_the_minutes_add_up_to_ninety():
    spans = [tuple(map(int, row[0].split("–"))) for row in table_with("minutes")[1:]]
    assert spans[0][0] == 0
    assert spans[-1][1] == 90
    assert all(start < end for start, end in spans)
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    left_out = [
        tuple(map(int, span)) for span in re.findall(r"\b(\d+)–(\d+)\b", GUIDE.split("**Short of")[1])
    ]
    assert left_out
    assert set(left_out) <= set(spans)


def test_the_plan_visits_every_notebook_and_names_what_is_there():
    visited = set()
    for _, _, place, ask, live, panel in table_with("minutes")[1:]:
        key = SECTION.fullmatch(place)[1]
        visited.add(key)
        assert [i for i in ID.findall(ask + live) if f'"{i}"' not in MASTERS[key]] == []
        assert [p for p in PANEL.findall(panel) if f"widgets.{p}(" not in MASTERS[key]] == []
    assert visited == LECTURE


def arguments(code):
    """Return the texts that calls in ``code`` are given: labels, but not the keys of a dictionary."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    values = [v for call in calls for v in (*call.args, *(keyword.value for keyword in call.keywords))]
    return {value.value for value in values if isinstance(value, ast.Constant)}


def test_controls_to_drag_carry_these_labels():
    for *_, panel in table_with("minutes")[1:]:
        for name in PANEL.findall(panel):
            code = (ROOT / "coursekit" / "widgets" / f"{name}.py").read_text(encoding="utf-8")
            assert set(re.findall(r"\*\*(.+?)\*\*", panel)) <= arguments(code)


def test_measured_figures_stand_under_a_machine():
    machines = {row[0]: row[2] for row in table_with("label")[1:]}
    headers = [header for text in GUIDES for header, *_ in tables(text)]
    labels = [m[1] for header in headers for name in header if (m := MEASURED.search(name))]
    assert len(labels) > len(MASTERS)
    named = {machine for label in labels for machine in label.split(" · ")}
    # The build names the machine that the notebooks were run on: a new one needs a row of its own here.
    assert named <= {label for label, measured in machines.items() if measured.startswith("yes")}
    assert [line for text in GUIDES for line in unlabelled(text)] == []


@pytest.mark.parametrize("slip", ["It is 3.2 × as fast.", "| a |\n|---|\n| 20 µs |\n", "loses 4 points"])
def test_an_unlabelled_figure_would_be_found(slip):
    assert unlabelled(slip + "\n")


def test_unmeasured_gpus_are_said_to_be_unmeasured():
    gpus = [row for row in table_with("label")[1:] if "GPU" in row[0]]
    assert gpus
    for _, _, measured in gpus:
        assert measured.startswith("yes") or "no GPU has been measured" in measured


def test_all_seven_parts_of_the_lecture_lead_to_sections():
    rows = table_with("part of the lecture")[1:]
    assert {row[0][0] for row in rows if row[0][0].isdigit()} == set("1234567")
    for _, sections in rows:
        for place in sections.split("; "):
            assert SECTION.fullmatch(place), place
            assert SECTION.fullmatch(place)[3], place
    assert {key for _, sections in rows for key, *_ in SECTION.findall(sections)} == LECTURE


def test_commands_and_links_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`(?:[A-Z_]+=\S+ )*make (\w+)`", "".join(GUIDES)))
    assert {"lab", "slides"} <= targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    assert [
        at for at in re.findall(r"\]\(([^)#]+)\)", "".join(GUIDES)) if not (ROOT / "docs" / at).exists()
    ] == []


@each
def test_it_stays_scannable(text):
    lines = text.splitlines()
    assert len(lines) <= 380
    paragraphs = [p for p in text.split("\n\n") if not re.match(r"[|#\-*1]", p)]
    assert max(len(p.split()) for p in paragraphs) <= 60


# Figures


def measured():
    """Return (title to cell) of every row in the tables whose header names a machine."""
    found = [table for text in GUIDES for table in tables(text) if any(map(MEASURED.search, table[0]))]
    return [dict(zip(table[0], row, strict=True)) for table in found for row in table[1:]]


def stored():
    """Return the students' copies, then the solutions, whose cards count where both have one."""
    return [path for copies in zip(*map(COURSE.paths, COURSE.masters()), strict=True) for path in copies]


def cards():
    """Return claim id to the lines of its stored card, read without the code that the build uses."""
    found = {}
    for path in stored():
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                text = "".join(output.get("data", {}).get("text/plain", ""))
                for card in re.split(r"^(?=Claim )", text, flags=re.MULTILINE)[1:]:  # also those of a table
                    found[card.split()[1]] = dict(re.findall(r"^([\w ]+): +(.*)$", card, re.MULTILINE))
    return found


def figure(says, verdict="✓ holds", machine="Abacus, 1 core"):
    return Figure(says, verdict, machine)


def notebook(*texts, machine="Abacus, 1 core"):
    cells = [f"Running on CPU ({machine}; local), seed 0.", *texts]
    outputs = [
        nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1) for text in cells
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[o]) for o in outputs])


def card(id, says, verdict="✓ holds."):
    lines = [f"Claim {id} (hardware)", "The lecture says:  7", f"This machine says: {says}"]
    return "\n".join([*lines, f"Verdict:           {verdict}", "Why:               So."])


TABLE = """\
Before

| result | measured on Abacus, 1 core | measured on Sundial |
|---|---|---|
| size (`01-size`) | old | kept |
| both (`01-size`, `01-time`) | old | kept |
| by hand, printed by §5 | kept | kept |

| ask | panel |
|---|---|
| `01-size` | kept |
"""


def test_every_claim_in_a_row_of_figures_has_a_stored_card():
    wanted = {id for row in measured() for id in ID.findall(next(iter(row.values())))}
    assert len(wanted) > 50
    assert wanted <= set(cards())


def test_the_reader_finds_every_stored_card():
    notebooks = [nbformat.read(path, as_version=4) for path in stored()]
    found = guide.figures(notebooks)
    assert {id: card.says for id, card in found.items()} == {
        id: card["This machine says"] for id, card in cards().items()
    }
    assert all(cards()[id]["Verdict"].startswith(f"{card.verdict}.") for id, card in found.items())
    assert all(card.machine for card in found.values())


def test_the_figures_are_those_of_the_stored_notebooks():
    texts, known = build_notebooks.instructor_guides(COURSE)
    for text in texts.values():
        assert guide.with_figures(text, known) == text, build_notebooks.FIX


def test_a_figure_without_a_card_says_where_it_comes_from():
    rows = [list(row.values()) for row in measured()]
    by_hand = [row for row in rows if not ID.search(row[0])]
    assert by_hand
    assert [row for row in by_hand if not re.search(r"printed|\]\(", row[0] + row[1])] == []


def test_claims_to_fail_on_purpose_are_the_hardwares_and_enough_of_them_fail():
    rows = table_with("claim")
    claims = rules.load()
    assert rows[0][3] == guide.VERDICT
    assert {claims[ID.fullmatch(row[0])[1]].kind for row in rows[1:]} == {"hardware"}
    assert sum(row[3].startswith("✗") for row in rows[1:]) >= 2


def test_rows_are_written_and_all_else_stays():
    known = {"01-size": figure("3 kB"), "01-time": figure("2× [1× to 3×]")}
    expected = TABLE.replace("`01-size`) | old", "`01-size`) | 3 kB")
    expected = expected.replace("`01-time`) | old", "`01-time`) | 3 kB · 2× [1 to 3]")
    assert guide.with_figures(TABLE, known) == expected


def test_a_claim_without_a_card_is_named_and_its_row_stays():
    known = {"01-size": figure("3 kB")}
    assert guide.unknown(TABLE, known) == ["01-time"]
    assert "`01-time`) | old | kept |" in guide.with_figures(TABLE, known)
    assert guide.with_figures(TABLE, {}) == TABLE


def test_the_header_names_the_machines_that_measured():
    known = {"01-size": figure("1", machine="Slide rule"), "01-time": figure("2")}
    header = guide.with_figures(TABLE, known).splitlines()[2]
    assert header == "| result | measured on Slide rule · Abacus, 1 core | measured on Sundial |"


def test_the_verdict_is_written_where_there_is_a_column_for_it():
    text = TABLE.replace("measured on Sundial", "verdict")
    known = {"01-size": figure("1", "✗ does not hold here"), "01-time": figure("2")}
    rows = tables(guide.with_figures(text, known))[0]
    assert [row[2] for row in rows[1:]] == [
        "✗ does not hold here",
        "✗ does not hold here · ✓ holds",
        "kept",
    ]


def test_cards_that_stand_in_a_table_are_found():
    table = "\n\n".join(
        ["Claims: 1 holds, 1 more than that", card("01-size", "1 kB"), card("01-time", "5 s")]
    )
    wide = card("01-wide", "3×", "↑ more than that. That is a factor of 3 above 1×.").replace(
        "\nThis", "\nAccepted: 1×\nThis"
    )
    assert guide.figures([notebook(table, wide)]) == {
        "01-size": figure("1 kB"),
        "01-time": figure("5 s"),
        "01-wide": figure("3×", "↑ more than that"),
    }


def test_the_last_card_of_a_claim_counts():
    first = notebook(card("01-size", "1 kB"), card("01-time", "5 s", "✗ does not hold here. Expected: 1 s."))
    second = notebook(card("01-size", "2 kB") + "\n" + card("01-size", "3 kB"), machine="Sundial")
    assert guide.figures([first, second]) == {
        "01-size": figure("3 kB", machine="Sundial"),
        "01-time": figure("5 s", "✗ does not hold here"),
    }


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("45.9 points [40.8 points to 51.1 points]", "45.9 points [40.8 to 51.1]"),
        ("-2 points [-2.5 points to -1.5 points]", "-2 points [-2.5 to -1.5]"),
        ("2.078× [2.075× to 2.083×]", "2.078× [2.075 to 2.083]"),
        ("1 ms [900 µs to 1.1 ms]", "1 ms [900 µs to 1.1 ms]"),
        ("512 neurons wide", "512 neurons wide"),
    ],
)
def test_a_unit_is_written_once(says, expected):
    assert guide.short(says) == expected


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_any_figure_stays_in_its_cell_and_is_written_once(says):
    known = {"01-size": figure(says), "01-time": figure("0.62 of max|w| / Q")}
    once = guide.with_figures(TABLE, known)
    assert guide.with_figures(once, known) == once
    rows = tables(once)[0]
    assert {len(row) for row in rows} == {3}
    assert rows[1][1].replace(r"\|", "|") == says
    assert rows[2][1].endswith(r" · 0.62 of max\|w\| / Q")


def test_the_build_writes_the_guide_and_its_check_finds_a_stale_one(tmp_path, monkeypatch, capsys):
    course = toy.course(tmp_path)
    path = tmp_path / guide.PATHS[0]
    path.parent.mkdir()
    path.write_text(TABLE, encoding="utf-8")
    sizes = iter(["1 kB", "3 kB", "2 kB", "4 kB"])  # of each pair the solutions' count

    def execute(student, *args, **kwargs):
        fresh = notebook(card("01-size", next(sizes)), card("01-time", "2 s"))
        for cell, source in zip(build_notebooks.code_cells(student)[-3:], fresh.cells, strict=True):
            cell.outputs = source.outputs
        for cell in build_notebooks.code_cells(student):
            cell.execution_count = 1

    monkeypatch.setattr(building, "execute", execute)
    stale = "docs/instructor-guide.md: its figures are not those of the stored notebooks"
    for size in ("3 kB", "4 kB"):
        build_notebooks.build(course, toy.NAME, force=True)
        assert build_notebooks.check(course, [toy.NAME]) == [stale]
        assert build_notebooks.main(["--check"], course) == 1
        assert build_notebooks.FIX in capsys.readouterr().out
        assert build_notebooks.main([], course) == 0
        assert "docs/instructor-guide.md written" in capsys.readouterr().out
        assert f"| {size} | kept |" in path.read_text(encoding="utf-8")
        assert build_notebooks.main(["--check"], course) == 0
    path.write_text(TABLE.replace("01-time", "01-tmie"), encoding="utf-8")
    assert any(
        "no stored notebook shows the claim 01-tmie" in line for line in build_notebooks.check(course, [])
    )
