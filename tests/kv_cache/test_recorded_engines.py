"""What real engines did: written, read back, and refused where the file is damaged."""

import html
import json

import pytest

from coursekit.kv_cache import EngineRow, RecordedEngines, Refusal, recorded
from coursekit.kv_cache import recorded as recorded_module_function
from coursekit.kv_cache.recorded import RECORDED

ROWS = (
    EngineRow("ours", "1 at once", 32, 0.1),
    EngineRow("theirs 1.0", "1 at once", 32, 0.05),
    EngineRow("theirs 1.0", "8 at once", 256, 0.1),
)
NOT_RUN = Refusal("other 0.5", "pip install <other>", "<script>alert(1)</script> & nothing else")
FOUND = RecordedEngines("a machine", "2026-11-30", ROWS, 9, 8, (NOT_RUN,))


@pytest.fixture
def file(tmp_path, monkeypatch):
    module = __import__("sys").modules[recorded_module_function.__module__]
    monkeypatch.setattr(module, "__file__", str(tmp_path / "recorded.py"))
    return tmp_path / RECORDED


def test_it_comes_back_as_it_was_written(file):
    assert recorded() is None
    file.write_text(FOUND.json(), encoding="utf-8")
    assert recorded() == FOUND


def test_a_refusal_is_shown_in_its_own_words_which_are_text():
    words = "other 0.5: refused (pip install <other>): <script>alert(1)</script> & nothing else"
    assert str(FOUND).splitlines()[-1] == words
    shown = FOUND._repr_html_()
    assert html.escape(words) in shown
    assert "<script" not in shown


def test_a_file_from_before_refusals_were_kept_is_read(file):
    found = json.loads(FOUND.json())
    del found["refused"]
    file.write_text(json.dumps(found), encoding="utf-8")
    assert recorded().refused == ()


def test_the_table_has_an_engine_per_column_and_says_where_and_when():
    text = str(FOUND)
    assert "a machine, 2026-11-30. 8 of 9 texts are the same" in text
    rows = {line.split("  ")[0]: line.split()[3:] for line in text.splitlines() if "at once" in line}
    assert rows == {"1 at once": ["320", "640"], "8 at once": ["2560"]}
    assert FOUND.row("ours", "8 at once") is None
    assert FOUND.row("ours", "1 at once").throughput == 320


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("machine"),
        lambda found: found["rows"][0].pop("new"),
        lambda found: found["rows"][0].update(seconds=0),
        lambda found: found["rows"][0].update(nonsense=1),
        lambda found: found["refused"][0].update(said="two\nlines"),
        lambda found: found["refused"][0].pop("tried"),
    ],
)
def test_a_damaged_file_is_named(file, change):
    found = json.loads(FOUND.json())
    change(found)
    file.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(ValueError, match=RECORDED):
        recorded()


def test_what_the_course_has_stored_can_be_read():
    stored = recorded()
    assert stored is None or {"1 at once", "8 at once", "32 at once"} <= set(stored.loads)
