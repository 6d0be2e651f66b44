"""The instructor's guide names only what there is, fills the lecture, and labels what it measured."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "instructor-guide.md").read_text(encoding="utf-8")
MASTERS = {
    path.stem.split("-")[0]: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks" / "source").glob("*.py"))
}
ID = re.compile(r"`((?:\d\d|dashboard)-[a-z0-9-]+)`")
PANEL = re.compile(r"`widgets\.(\w+)`")
SECTION = re.compile(r"(?:(\d\d|dashboard) )?§(\d)( [A-Z][^|;?]*\?)?")
MEASURED = re.compile(r"measured on ([^|]+?) *$")
# Quantities that only a measurement gives; minutes, bits and counts are free.
QUANTITY = re.compile(r"\d\s?(?:×|%|µs\b|ms\b|s\b|dB\b|points?\b|[kMG]B\b|GFLOP)")


def tables(text):
    """Return every Markdown table in ``text`` as rows of cells, the header first."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in t.splitlines()] for t in found]
    return [[table[0], *table[2:]] for table in rows]


def table_with(first, text=GUIDE):
    return next(table for table in tables(text) if table[0][0] == first)


def chapter(key):
    """Return what the guide says about one notebook."""
    heading = "Dashboard" if key == "dashboard" else f"{key} "
    rest = GUIDE.split("## Notebook by notebook\n", 1)[1].split("\n## ", 1)[0]
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


def test_tables_have_as_many_cells_as_their_headers():
    for header, *rows in tables(GUIDE):
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


def test_the_rest_names_only_what_there_is():
    every = "".join(MASTERS.values())
    outside = GUIDE.replace(GUIDE.split("## Notebook by notebook\n", 1)[1].split("\n## ", 1)[0], "")
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
    assert visited == set(MASTERS)


def test_controls_to_drag_carry_these_labels():
    for *_, panel in table_with("minutes")[1:]:
        for name in PANEL.findall(panel):
            code = (ROOT / "coursekit" / "widgets" / f"{name}.py").read_text(encoding="utf-8")
            assert [label for label in re.findall(r"\*\*(.+?)\*\*", panel) if f'"{label}"' not in code] == []


def test_measured_figures_stand_under_a_machine():
    machines = {row[0]: row[2] for row in table_with("label")[1:]}
    labels = [m[1] for header, *_ in tables(GUIDE) for name in header if (m := MEASURED.search(name))]
    assert len(labels) > len(MASTERS)
    assert all(machines[label].startswith("yes") for label in labels)
    assert unlabelled(GUIDE) == []


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
    assert {key for _, sections in rows for key, *_ in SECTION.findall(sections)} == set(MASTERS)


def test_commands_and_links_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`(?:[A-Z_]+=\S+ )*make (\w+)`", GUIDE))
    assert {"lab", "slides"} <= targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    assert [at for at in re.findall(r"\]\(([^)#]+)\)", GUIDE) if not (ROOT / "docs" / at).exists()] == []


def test_it_stays_scannable():
    lines = GUIDE.splitlines()
    assert len(lines) <= 380
    paragraphs = [p for p in GUIDE.split("\n\n") if not re.match(r"[|#\-*1]", p)]
    assert max(len(p.split()) for p in paragraphs) <= 60
