"""The glossary: every link leads to a section that has the term, every claim is one of that notebook."""

import os
import re
import tomllib

import generated
import glossary
import nbformat
import pages
import pytest
from build_notebooks import Course
from generated import Repository
from toy import ROOT

from coursekit._core import courses
from coursekit.new import masters

COURSE = Course()
TEXT = (ROOT / glossary.FILE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections():
    """Return the text of every section, code included, by (notebook's file, anchor)."""
    found = {}
    for name, path in COURSE.masters().items():
        file, anchor = COURSE.relative(COURSE.paths(name)[0]), ""
        for cell in masters.read(path).cells:
            for line in cell.source.split("\n"):
                if cell.cell_type == "markdown" and line.startswith("## "):
                    anchor = glossary.slug(line[3:])
                found[str(file), anchor] = found.get((str(file), anchor), "") + line + "\n"
    return found


def test_every_line_below_a_letter_is_an_entry():
    body = TEXT.partition("\n## ")[2]
    rest = glossary.ENTRY.sub("", "\n## " + body)
    assert not re.sub(r"^## [A-Z]$", "", rest, flags=re.MULTILINE).strip()


def test_terms_are_50_to_100_sorted_and_a_sentence_each():
    entries = list(glossary.ENTRY.finditer(TEXT))
    terms = [entry["term"].lower() for entry in entries]
    assert 50 <= len(terms) <= 100
    assert terms == sorted(set(terms))
    for entry in entries:
        assert entry["says"].endswith(".")
        assert len(entry["says"]) <= 130


def test_every_term_leads_to_a_section_that_has_it(sections):
    for entry in glossary.ENTRY.finditer(TEXT):
        file = os.path.normpath(os.path.join("docs", entry["file"]))
        assert (file, entry["anchor"]) in sections, entry[0]
        assert entry["anchor"].startswith(f"{entry['number']}-"), entry[0]
        name = os.path.basename(file).removesuffix(".ipynb")
        assert entry["nb"] == (masters.number(name) or name)
        stems = [word[:4] for word in re.findall(r"[a-z0-9]{3,}", entry["term"].lower())]
        assert any(stem in sections[file, entry["anchor"]].lower() for stem in stems), entry["term"]


def test_every_claim_is_one_of_that_notebook():
    for entry in glossary.ENTRY.finditer(TEXT):
        if entry["claim"]:
            path = courses.files("claims.toml")[entry["nb"]]
            known = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
            assert entry["claim"] in [claim["id"] for claim in known], entry[0]


@pytest.fixture(scope="module")
def links():
    """Return the glossary's links of every students' copy, by the copy's name: text and address."""
    pattern = re.compile(rf"\[([^\]]+)\]\((https://[^)]+/{glossary.FILE}#[a-z])\)")
    return {
        name: pattern.findall("\n".join(cell.source for cell in COURSE.expected(name)[0].cells))
        for name in COURSE.masters()
    }


def test_first_uses_lead_to_the_glossary_once_each(links):
    repo = generated.repository(ROOT)
    for name, found in links.items():
        terms = [term for term in glossary.terms(ROOT) if term.notebook == name]
        assert len(found) >= len(terms) / 3, name
        for text, address in found:
            meant = [term for term in terms if term.pattern.fullmatch(text)]
            assert len(meant) == 1, text
            assert address == repo.source(meant[0].link)
            terms.remove(meant[0])
    assert sum(map(len, links.values())) >= 60


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("The scale is one.", "The [scale](@) is one."),
        ("Two **Scales**, a scale.", "Two **[Scales](@)**, a scale."),
        ("In `scale`.", "In [`scale`](@)."),
        ("`x.scale`, $scale$, upscale, scale-free\n## A scale\n| scale |\n<b title='scale'>", None),
        ("```\nscale\n```\n[its scale](x)", None),
        ("`scale * 2`: a scale", "`scale * 2`: a [scale](@)"),
    ],
)
def test_only_running_text_is_linked(text, linked):
    repo, term = Repository("owner", "name"), glossary.Term("Scale", "notebook", "1-section")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    glossary.link(notebook, [term], repo)
    address = "https://github.com/owner/name/blob/main/docs/glossary.md#s"
    assert notebook.cells[0].source == (linked or text).replace("@", address)


def test_the_section_of_the_term_comes_before_the_rest():
    texts = "a scale", "## 1. Else\nscale", "## 2. Section\nIts text.", "scale, at last"
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_markdown_cell, texts)))
    glossary.link(notebook, [glossary.Term("Scale", "notebook", "2-section")], Repository("owner", "name"))
    assert [i for i, cell in enumerate(notebook.cells) if "](" in cell.source] == [3]


def test_on_the_site_the_links_stay_on_the_site():
    repo, file = generated.repository(ROOT), COURSE.relative(COURSE.paths("A-a-small-language-model")[0])
    text = f"[scale]({repo.source('docs/glossary.md#s')}), [x]({repo.source('README.md')})"
    relinked = pages.relinked(text, file, ROOT, [glossary.FILE])
    assert relinked == f"[scale](../../docs/glossary.md#s), [x]({repo.source('README.md')})"
