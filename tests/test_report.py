"""A report to hand in: what is in it, what is not, how changes show, and how another machine takes it up."""

import hashlib
import json
import re
import sys
import types
from html.parser import HTMLParser
from pathlib import Path

import pytest

from coursekit import claims, exercises, runtime, scoreboard
from coursekit._core import courses, log
from coursekit.exercises import handed, handing_in, tries

START = '<script type="application/json" id="coursekit-report">'
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;"
CLAIMS = """
[[claim]]
id = "96-speed"
kind = "hardware"
says = "250 times"
unit = "×"
holds = { at_least = 2 }
why = "because"
"""
CHECKS = """
from coursekit.exercises import right, wrong
def two(answer):
    return right() if answer == 2 else wrong(f"{answer} is not it.", "One and one.")
CHECKERS = {"96-two": two, "96-more": two}
"""


@pytest.fixture(autouse=True)
def course_96(tmp_path, monkeypatch):
    """Have no course but one of one notebook, 96, and a working and a results folder of our own."""
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
    folder = tmp_path / "96"
    folder.mkdir()
    (folder / "checks.py").write_text(CHECKS, encoding="utf-8")
    (folder / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    monkeypatch.setattr(courses, "_ours", lambda: courses.Course(folder))
    monkeypatch.setattr(courses, "_added", list)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return a function that moves to another machine, where nothing was done yet."""

    def move(name="elsewhere"):
        monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / name))

    return move


def work():
    """Do a little of everything."""
    exercises.check("96-two", 5)
    exercises.check("96-two", 2)
    exercises.check("96-more", "a secret answer")
    exercises.predict("96-speed", "100x", "×")
    claims.show("96-speed", measured=types.SimpleNamespace(low=200, value=250, high=300))
    scoreboard.record("mine", size_bytes=9, latency=1e-3, accuracy=0.5, notebook="96", device="cpu")


def data_of(page):
    """Return the data in a page, read as anybody would."""
    return json.loads(page.partition(START)[2].partition("</script>")[0])


def with_data(page, **changes):
    """Return the page with other data, as somebody changes them by hand."""
    text = page.partition(START)[2].partition("</script>")[0]
    return page.replace(text, json.dumps({**data_of(page), **changes}).replace("<", "\\u003c"))


class Tags(HTMLParser):
    """Collects what a browser would take for elements."""

    def __init__(self, page):
        super().__init__()
        self.found, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs


def test_everything_is_in_it_for_people_and_for_programs():
    work()
    made = exercises.report("Ada Lovelace")
    page = Path("report-ada-lovelace.html").read_text(encoding="utf-8")
    assert made.file == Path("report-ada-lovelace.html")
    assert made.size == len(page.encode())
    for shown in (
        "Ada Lovelace",
        "96-two",
        "✓ solved",
        "✗ tried",
        "2.5 times too low",
        "250×",
        "✓ holds",
        "mine",
    ):
        assert shown in page
    data = data_of(page)
    assert (data["name"], data["offered"]) == ("Ada Lovelace", ["96-two", "96-more"])
    assert {each["id"]: each["tries"] for each in data["verdicts"]} == {"96-two": 2, "96-more": 1}
    assert data["guesses"][0]["measured"] == 250
    here, claim = runtime.describe(), data["claims"][0]
    assert [claim[name] for name in ("verdict", "low", "value", "high")] == ["holds", 200, 250, 300]
    assert (claim["cores"], claim["flags"]) == (here.cores, [*here.flags])
    assert data["scoreboard"][0]["variant"] == "mine"
    assert data["machine"]["versions"] == dict(runtime.describe().versions)
    rest = {key: value for key, value in data.items() if key != "hash"}
    plain = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    assert data["hash"] == hashlib.sha256(plain.encode()).hexdigest() == made.hash
    assert made.handed.status == "whole"
    assert "1 of 2 exercises solved" in str(made)
    assert 'href="report-ada-lovelace.html"' in made._repr_html_()


def test_of_the_person_it_holds_what_was_typed_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(tries, "_own_names", lambda: ("jdoe", "doe-laptop"))
    work()
    exercises.check("96-more", f"{tmp_path}/lab/file.txt on doe-laptop of jdoe")
    page = exercises.report("A").file.read_text(encoding="utf-8")
    home = str(Path.home())
    assert not [each for each in (str(tmp_path), "jdoe", "doe-laptop", "/tmp/", "/home/") if each in page]
    assert len(home) < 3 or home not in page
    monkeypatch.undo()
    for name in tries._own_names():  # of whoever runs this test
        assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", page)


def test_answers_go_into_it_only_when_asked_for():
    def my_own_function(x):
        return x + 123454321

    exercises.check("96-two", my_own_function)
    exercises.check("96-more", 7)
    assert "123454321" not in exercises.report("A").file.read_text(encoding="utf-8")
    made = exercises.report("A", answers=True)
    assert made.handed.answers["96-more"] == "7 (int)"
    assert "x + 123454321" in made.handed.answers["96-two"]
    assert "<h2>Answers</h2>" in made.file.read_text(encoding="utf-8")


def test_nothing_typed_becomes_markup():
    exercises.check("96-two", HOSTILE)
    exercises.predict("96-speed", 3, HOSTILE)
    claims.show("96-speed", measured=250)
    scoreboard.record(HOSTILE[:60], size_bytes=9, latency=1e-3, accuracy=0.5, notebook="96", device="cpu")
    page = exercises.report(HOSTILE, answers=True).file.read_text(encoding="utf-8")
    tags = Tags(page)
    assert tags.found.count("script") == 1
    assert not {"img", "iframe", "object", "form"} & {*tags.found}
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert data_of(page)["name"] == HOSTILE
    assert "default-src 'none'" in page


def test_it_asks_nobody_for_anything():
    work()
    page = exercises.report("A").file.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|https?:|@import|url\(", page.replace('href="#', ""))
    assert "@media print" in page
    assert "prefers-color-scheme: dark" in page


def test_changes_by_hand_show():
    work()
    page = exercises.report("Ada").file.read_text(encoding="utf-8")
    assert handed.unpack(page).status == "whole"
    assert handed.unpack(page.replace("\n", "\r\n")).status == "whole"  # as some mail programs do
    verdicts = data_of(page)["verdicts"]
    verdicts[1]["tries"] = 3
    assert handed.unpack(with_data(page, verdicts=verdicts)).status == "edited"
    assert handed.unpack(with_data(page, name="Bob")).status == "edited"
    assert handed.unpack(page.replace("✗ tried", "✓ solved")).status == "page edited"
    assert handed.unpack(with_data(page)).status == "whole"  # other spaces say the same


def test_another_machine_takes_it_up_and_doing_so_again_changes_nothing(elsewhere, tmp_path):
    work()
    file = exercises.report("Ada").file
    before = {name: kept.read() for name, kept in handed.LOGS.items()}
    elsewhere()
    assert exercises.progress("96").open == 2
    assert "5 records" in str(exercises.resume(file))
    assert {name: kept.read() for name, kept in handed.LOGS.items()} == before
    bytes_before = {kept.name: kept.path.read_bytes() for kept in handed.LOGS.values()}
    assert str(exercises.resume(file)) == "All that the report of Ada holds was here already."
    assert {kept.name: kept.path.read_bytes() for kept in handed.LOGS.values()} == bytes_before
    assert (exercises.progress("96").solved, exercises.guesses("96").near) == (1, 0)


def test_newer_records_here_stay_and_older_ones_give_way(elsewhere, monkeypatch):
    clock = iter(f"2026-11-20T10:00:{second:02d}+00:00" for second in range(60))
    monkeypatch.setattr(log, "now", lambda: next(clock))
    exercises.predict("96-speed", 1, "×")
    early = exercises.report("Ada", file="early.html").file
    exercises.predict("96-speed", 2, "×")
    late = exercises.report("Ada", file="late.html").file
    exercises.resume(early)
    assert claims.guess("96-speed") == "2×"
    elsewhere()
    exercises.resume(early)
    assert claims.guess("96-speed") == "1×"
    assert "1 of them newer than ours" in str(exercises.resume(late))
    assert claims.guess("96-speed") == "2×"


def test_work_on_two_machines_adds_up(elsewhere):
    exercises.check("96-two", 2)
    first = exercises.report("Ada", file="first.html").file
    elsewhere()
    exercises.check("96-more", 2)
    exercises.resume(first)
    assert exercises.progress("96").solved == 2


def test_an_edited_report_is_refused_unless_asked_for(elsewhere):
    work()
    page = exercises.report("Ada").file.read_text(encoding="utf-8")
    Path("edited.html").write_text(with_data(page, name="Bob"), encoding="utf-8")
    elsewhere()
    with pytest.raises(ValueError, match=r"edited\.html was changed since.*edited=True") as refused:
        exercises.resume("edited.html")
    assert "\n" not in str(refused.value)
    assert exercises.progress("96").open == 2
    exercises.resume("edited.html", edited=True)
    assert exercises.progress("96").solved == 1


def damaged(page):
    """Yield pages that are no sound report, each with a word for it."""
    data = data_of(page)
    one = data["verdicts"][0]
    yield "cut", page[: page.index('"verdicts"')]
    yield "no data", page.replace(START, "<script>")
    yield "two reports", page + page
    yield "not JSON", page.replace('"name":', '"name"')
    yield "NaN", page.replace('"cores":', '"cores":NaN,"old":')
    yield "deep", page.replace('"offered":[', '"offered":[' + "[" * 100_000)
    yield "deep but closed", with_data(page, verdicts=[{**one, "more": [[[[[[[1]]]]]]]}])
    yield "huge number", page.replace('"cores":', '"cores":1' + "0" * 400 + ',"old":')
    yield "wrong outcome", with_data(page, verdicts=[{**one, "outcome": "excellent"}])
    yield "negative", with_data(page, verdicts=[{**one, "tries": -1}])
    yield "bool", with_data(page, verdicts=[{**one, "tries": True}])
    yield "long", with_data(page, verdicts=[{**one, "session": "x" * 10_000}])
    yield "a table", with_data(page, claims={})
    yield "many", with_data(page, offered=["96-two"] * 20_000)
    yield "no name", with_data(page, name="")
    yield "lines in the name", with_data(page, name="a\nb")
    yield "a number for a name", with_data(page, name=7)
    yield "no time", with_data(page, made="yesterday")
    yield "no machine", with_data(page, machine=None)
    yield "a claim's value", with_data(page, claims=[{**data["claims"][0], "low": "1"}])
    yield "a guess", with_data(page, guesses=[{"id": "96-speed", "text": 3}])
    yield "a newer one", with_data(page, version=2)
    yield "a list", page.replace(page.partition(START)[2].partition("</script>")[0], "[]")


def test_damaged_reports_are_refused_in_a_line_and_nothing_is_taken_in(elsewhere):
    work()
    page = exercises.report("Ada").file.read_text(encoding="utf-8")
    elsewhere()
    for word, text in damaged(page):
        Path("bad.html").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"file must be a report of coursekit; bad\.html: ") as refused:
            exercises.resume("bad.html", edited=True)
        assert "\n" not in str(refused.value), word
        assert len(str(refused.value)) < 400, word
        assert not any(kept.path.exists() for kept in handed.LOGS.values()), word


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x00" * 999, b"<html></html>"])
def test_what_is_no_report_is_refused(content):
    Path("bad.html").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.html: it (holds no report|is not text)"):
        exercises.resume("bad.html")


def test_a_file_too_large_for_a_report_is_not_read(monkeypatch):
    with open("large.html", "wb") as file:
        file.truncate(100_000_000)
    monkeypatch.setattr(handed.files, "read", None)
    with pytest.raises(ValueError, match="it has 100 MB, and no report has more than 8"):
        exercises.resume("large.html")
    with pytest.raises(ValueError, match="there is none at 'nowhere.html'"):
        exercises.resume("nowhere.html")


def test_only_a_report_is_replaced():
    Path("thesis.html").write_text("<p>Three years of work</p>", encoding="utf-8")
    with pytest.raises(ValueError, match="'thesis.html' is something else, which stays as it is"):
        exercises.report("A", file="thesis.html")
    assert "Three years" in Path("thesis.html").read_text(encoding="utf-8")
    first = exercises.report("A").hash
    exercises.predict("96-speed", 3, "×")
    assert exercises.report("A").hash != first


def test_a_full_disk_leaves_the_earlier_report(monkeypatch):
    before = exercises.report("A").file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(handing_in.files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        exercises.report("A")
    assert Path("report-a.html").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["report-a.html"]


@pytest.mark.parametrize(
    ("name", "error"), [("", ValueError), (7, TypeError), ("x" * 81, ValueError), ("a\nb", ValueError)]
)
def test_a_name_is_a_line(name, error):
    with pytest.raises(error, match="name must be"):
        exercises.report(name)


def test_names_make_file_names():
    names = ["Zoë  Ångström", "../../etc/passwd", "李", "A" * 80]
    files = [exercises.report(name).file.name for name in names]
    assert files[:3] == ["report-zo-ngstr-m.html", "report-etc-passwd.html", "report-mine.html"]


def test_in_colab_the_download_starts_and_its_failure_is_none_of_ours(monkeypatch):
    asked = []
    colab, module = types.ModuleType("google.colab"), types.ModuleType("google.colab.files")
    module.download = asked.append
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setitem(sys.modules, "google.colab.files", module)
    assert "Keep the download" in str(exercises.report("A"))
    assert asked == ["report-a.html"]
    module.download = None
    assert exercises.report("A").file.exists()


def test_in_binder_it_says_to_download(monkeypatch):
    monkeypatch.setenv("BINDER_SERVICE_HOST", "somewhere")
    made = exercises.report("A")
    assert "Download it now" in made._repr_html_()
    assert "<a href=" in made._repr_html_()


def test_a_copy_is_handed_in_where_the_hub_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HAND_IN", str(tmp_path / "drop"))
    (tmp_path / "drop").mkdir()
    made = exercises.report("Ada")
    again = exercises.report("Ada")
    assert made.copy == again.copy == tmp_path / "drop" / "report-ada.html"
    assert again.copy.read_bytes() == again.file.read_bytes()
    assert "Handed in." in str(made)
    monkeypatch.setenv("COURSEKIT_HAND_IN", str(tmp_path / "gone"))
    with pytest.raises(OSError, match="gone"):
        exercises.report("Bob")
    assert Path("report-bob.html").exists()
