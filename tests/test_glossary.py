"""The glossary: every link leads to a section that has the term, every claim is one of that notebook."""

import os
import re
import tomllib

import pytest
from build_notebooks import Course
from toy import ROOT

from coursekit._core import courses
from coursekit.new import masters

ENTRY = re.compile(
    r"- \*\*(?P<term>[^*]+)\*\*: (?P<says>[^\n]+)\n"
    r"  \[(?P<nb>\S+) §(?P<number>\d)\]\((?P<file>[^)#]+)#(?P<anchor>[^)]+)\)(?:, `(?P<claim>[^`]+)`)?\n"
)
COURSE = Course()


def glossary():
    return (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def slug(heading):
    """Return a heading's anchor as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def sections():
    """Return the text of every section, code included, by (notebook's file, anchor)."""
    found = {}
    for name, path in COURSE.masters().items():
        file, anchor = COURSE.relative(COURSE.paths(name)[0]), ""
        for cell in masters.read(path).cells:
            for line in cell.source.split("\n"):
                if cell.cell_type == "markdown" and line.startswith("## "):
                    anchor = slug(line[3:])
                found[str(file), anchor] = found.get((str(file), anchor), "") + line + "\n"
    return found


def test_every_line_below_a_letter_is_an_entry():
    body = glossary().partition("\n## ")[2]
    rest = ENTRY.sub("", "\n## " + body)
    assert not re.sub(r"^## [A-Z]$", "", rest, flags=re.MULTILINE).strip()


def test_terms_are_50_to_100_sorted_and_a_sentence_each():
    entries = list(ENTRY.finditer(glossary()))
    terms = [entry["term"].lower() for entry in entries]
    assert 50 <= len(terms) <= 100
    assert terms == sorted(set(terms))
    for entry in entries:
        assert entry["says"].endswith(".")
        assert len(entry["says"]) <= 130


def test_every_term_leads_to_a_section_that_has_it(sections):
    for entry in ENTRY.finditer(glossary()):
        file = os.path.normpath(os.path.join("docs", entry["file"]))
        assert (file, entry["anchor"]) in sections, entry[0]
        assert entry["anchor"].startswith(f"{entry['number']}-"), entry[0]
        name = os.path.basename(file).removesuffix(".ipynb")
        assert entry["nb"] == (masters.number(name) or name)
        stems = [word[:4] for word in re.findall(r"[a-z0-9]{3,}", entry["term"].lower())]
        assert any(stem in sections[file, entry["anchor"]].lower() for stem in stems), entry["term"]


def test_every_claim_is_one_of_that_notebook():
    for entry in ENTRY.finditer(glossary()):
        if entry["claim"]:
            path = courses.files("claims.toml")[entry["nb"]]
            known = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
            assert entry["claim"] in [claim["id"] for claim in known], entry[0]
