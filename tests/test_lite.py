"""The edition for a browser's tab: what goes into its pages. GitHub runs them before it publishes them."""

import http.client
import json
import re

import lite
from toy import ROOT


def test_the_notebook_installs_the_package_first_and_is_else_the_students_copy(tmp_path):
    made = json.loads(lite.contents(tmp_path).read_text(encoding="utf-8"))["cells"]
    usual = json.loads((ROOT / "notebooks" / lite.NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    changed = [(a, b) for a, b in zip(made, usual, strict=True) if a["source"] != b["source"]]
    ((ours, theirs),) = changed
    text = "".join(ours["source"])
    assert text == lite.INSTALL + "".join(theirs["source"])
    assert text.index("%pip install -q coursekit\n") < text.index("from coursekit import")


def test_what_a_tab_cannot_have_is_not_asked_for_there():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for package in ("torch", "psutil", "scikit-learn"):
        asked = [line for line in lines if re.match(rf' *"{package}>=', line)]
        assert any("sys_platform != 'emscripten'" in line for line in asked)
    assert "filelock" in lite.WHEELS  # of the others, what Pyodide does not carry


def test_pages_are_served_on_this_machine_alone(tmp_path):
    (tmp_path / "index.html").write_text("here", encoding="utf-8")
    with lite.served(tmp_path) as address:
        assert address.startswith(f"http://{lite.HOST}:")
        port = int(address.rpartition(":")[2])
        asked = http.client.HTTPConnection(lite.HOST, port, timeout=10)
        asked.request("GET", "/index.html")
        assert asked.getresponse().read() == b"here"
        asked.close()
