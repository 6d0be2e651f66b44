"""The course in one PDF: what is printed; Chromium prints it in test_site.py."""

import re

import chromium
import course_pdf
import pytest
from build_notebooks import Course
from environments import ROOT

for package in ("sphinx", "myst_nb"):
    pytest.importorskip(package, reason="needs requirements-site.txt")


def test_the_students_notebooks_and_the_glossary_are_printed_and_nothing_else(tmp_path):
    course_pdf.lay_out(ROOT, tmp_path)
    files = [path for kind in ("ipynb", "md") for path in tmp_path.rglob(f"*.{kind}")]
    pages = {str(path.relative_to(tmp_path)) for path in files}
    course = Course(ROOT)
    printed = [str(course.relative(path)) for path in course.students()] + ["docs/glossary.md"]
    assert pages == {*printed, "index.md"}
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    listed = re.search(r"```\{toctree\}\n:caption: .*\n((?:.*\n)+?)```", index)[1]
    assert listed.split() == [re.sub(r"\.\w+$", "", file) for file in printed]


def test_without_chromium_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(chromium, "find", lambda: None)
    assert course_pdf.main([]) == 1
    assert "apt install chromium" in capsys.readouterr().err
