import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import threading
import warnings

import filelock
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from users import needs_other_users

from coursekit import runtime
from coursekit._core import folders
from coursekit._core import log as log_module

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(), PLAIN, max_size=4), max_size=5)
GARBAGE = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.sampled_from(
        [
            b"\x00" * 40,
            b"\xff\xfe{\x00}\x00",
            b'{"half": ',
            b"[1, 2]",
            b'"text"',
            b'{"nan": NaN}',
            b"[" * 100_000,
            b'{"n": ' + b"9" * 5000 + b"}",
        ]
    ),
)
EACH_IN_A_NEW_HOME = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _with_number(record):
    if not isinstance(record["n"], int):
        raise TypeError("n must be an int")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def log(home):
    return log_module.Log("numbers", runtime.home, check=_with_number)


@pytest.fixture
def fresh(tmp_path_factory, monkeypatch):
    """Give every example of a property test a home of its own."""

    def make():
        monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path_factory.mktemp("home")))
        return log_module.Log("anything", runtime.home)

    return make


def kept_aside(home, why):
    return sorted(home.glob(f"numbers.{why}-*.jsonl"))


@EACH_IN_A_NEW_HOME
@given(records=RECORDS)
def test_what_is_appended_is_read_in_order(fresh, records):
    log = fresh()
    for record in records:
        log.append(record)
    assert log.read() == records


@EACH_IN_A_NEW_HOME
@given(before=RECORDS, after=RECORDS, garbage=GARBAGE)
def test_whatever_stands_between_the_records_they_survive_and_it_is_kept(fresh, before, after, garbage):
    log = fresh()
    lines = [json.dumps(record).encode() for record in before]
    damaged = b"\n".join([*lines, garbage, *(json.dumps(record).encode() for record in after)])
    log.path.write_bytes(damaged)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        read = log.read()
    aside = list(log.path.parent.glob("anything.damaged-*.jsonl"))
    assert [record for record in read if record in before + after] == before + after
    assert len(aside) == len(warned) <= 1
    assert all(path.read_bytes() == damaged for path in aside)
    assert log.read() == read


@pytest.mark.parametrize(
    "bad",
    [b'{"n": "one"}', b"{}", b'{"n": 1', b"\xff\xfe\x00", b"[1]", b"null", b'{"n": 1}{"n": 2}', b"\x00\x00"]
    + [
        b'{"n": 1, "x": NaN}',
        b'{"n": 1, "x": -Infinity}',
        b'{"n": 1, "x": ' + b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda bad: bad[:20],
)
def test_a_damaged_file_is_moved_aside_with_a_warning(home, log, bad):
    log.path.write_bytes(b'{"n": 1}\n' + bad + b'\n{"n": 2}\n')
    with pytest.warns(UserWarning, match="1 of its 3 lines could not be read") as warned:
        assert log.read() == [{"n": 1}, {"n": 2}]
    (aside,) = kept_aside(home, "damaged")
    assert aside.read_bytes() == b'{"n": 1}\n' + bad + b'\n{"n": 2}\n'
    assert str(aside) in str(warned[0].message)
    log.append({"n": 3})
    assert log.read() == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_record_that_comes_after_damage_is_kept_too(home, log):
    log.path.write_bytes(b'{"n": 1}\n{"n": 2')
    log.append({"n": 3})
    with pytest.warns(UserWarning, match="damaged"):
        assert log.read() == [{"n": 1}, {"n": 3}]
    assert b'{"n": 2\n' in kept_aside(home, "damaged")[0].read_bytes()


def test_no_file_moved_aside_overwrites_an_earlier_one(home, log):
    for number in range(5):
        log.path.write_bytes(f"broken {number}".encode())
        with pytest.warns(UserWarning, match="damaged"):
            assert log.read() == []
    contents = {path.read_bytes() for path in kept_aside(home, "damaged")}
    assert contents == {f"broken {number}".encode() for number in range(5)}


def test_a_file_from_an_editor_is_not_damaged(log):
    log.path.write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n\r\n  {"n": 2}')
    log.append({"n": 3})
    assert log.read() == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize(
    ("bad", "error"), [({"n": "1"}, TypeError), ({}, KeyError), ({"n": 1, "x": {1}}, TypeError)]
)
def test_a_bad_record_is_refused_and_the_file_left_alone(log, bad, error):
    log.append({"n": 1})
    before = log.path.read_bytes()
    with pytest.raises(error):
        log.append(bad)
    with pytest.raises(ValueError, match="JSON"):
        log.append({"n": 1, "x": float("nan")})
    assert log.path.read_bytes() == before


def test_a_key_lets_the_new_record_take_the_old_ones_place(home):
    log = log_module.Log("results", runtime.home, key=("id", "machine"))
    for number, (name, machine) in enumerate([("a", 1), ("b", 1), ("a", 2), ("a", 1)]):
        log.append({"id": name, "machine": machine, "number": number})
    assert [record["number"] for record in log.read()] == [1, 2, 3]


def test_merging_keeps_what_is_newer_and_doing_so_again_changes_nothing(home):
    log = log_module.Log("merged", runtime.home, key=("id",))
    for id, time in (("a", "3"), ("b", "5"), ("c", "1")):
        log.append({"id": id, "time": time, "from": "here"})
    coming = [{"id": id, "time": time, "from": "there"} for id, time in (("a", "4"), ("b", "4"), ("d", "2"))]
    coming += [{"id": "c", "from": "there"}]  # of an older version, which kept no time
    assert log.merge(coming) == (1, 1)
    assert [(each["id"], each["from"]) for each in log.read()] == [
        ("c", "here"),
        ("d", "there"),
        ("a", "there"),
        ("b", "here"),
    ]
    before = log.path.read_bytes()
    assert log.merge(coming) == (0, 0)
    assert log.path.read_bytes() == before


def test_without_a_key_merging_adds_what_is_not_here_yet(log):
    log.append({"n": 1, "time": "1"})
    assert log.merge([{"time": "1", "n": 1}, {"n": 1, "time": "2"}, {"n": 2}]) == (2, 0)
    assert log.read() == [{"n": 2}, {"n": 1, "time": "1"}, {"n": 1, "time": "2"}]


def test_one_bad_record_keeps_all_from_being_merged(log):
    log.append({"n": 1})
    before = log.path.read_bytes()
    for bad, error in (({"n": "two"}, TypeError), ({}, KeyError), ({"n": float("nan")}, ValueError)):
        with pytest.raises(error):
            log.merge([{"n": 2}, bad])
    assert log.path.read_bytes() == before


def test_remove_drops_what_is_unwanted_and_writes_only_then(log):
    for number in range(4):
        log.append({"n": number})
    log.remove(lambda record: record["n"] % 2 == 0)
    assert log.read() == [{"n": 1}, {"n": 3}]
    before = log.path.stat().st_ino
    log.remove(lambda record: False)
    assert log.path.stat().st_ino == before


def test_clear_keeps_every_backup(home, log):
    assert log.clear() == (0, None)
    backups = []
    for number in range(3):
        log.append({"n": number})
        count, backup = log.clear()
        backups.append((count, backup.read_text()))
        assert log.read() == []
    assert backups == [(1, f'{{"n": {n}}}\n') for n in range(3)]
    assert len(kept_aside(home, "cleared")) == 3


def test_a_lock_that_is_never_released_is_a_clear_error(home, log, monkeypatch):
    log.append({"n": 1})
    monkeypatch.setattr(log_module, "TIMEOUT", 0.05)
    with filelock.FileLock(home / "numbers.lock"):
        result = []
        # Another thread: filelock itself would refuse a second lock in the same one.
        thread = threading.Thread(target=lambda: result.append(_error_of(lambda: log.append({"n": 2}))))
        thread.start()
        thread.join()
    assert isinstance(result[0], TimeoutError)
    assert re.search(r"numbers\.lock.*Restart the kernel", str(result[0]))
    assert log.read() == [{"n": 1}]


def _error_of(action):
    try:
        action()
    except Exception as error:
        return error


def test_a_full_disk_leaves_the_old_records(log, monkeypatch):
    log.append({"n": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log.append({"n": 2})
    assert not list(log.path.parent.glob("*.new"))
    assert log.path.read_text() == '{"n": 1}\n'


def test_threads_do_not_lose_each_others_records(log):
    def work(start):
        for number in range(start, start + 25):
            log.append({"n": number})

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 25, 50, 75)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record["n"] for record in log.read()) == list(range(100))


def test_the_file_is_complete_at_every_moment(log):
    """Read past the lock while another process writes: no half-written line is ever there to be seen."""
    log.append({"n": 0})
    writer = multiprocessing.get_context("spawn").Process(target=_write_many, args=(log.path.parent,))
    writer.start()
    while writer.is_alive():
        data = log.path.read_bytes()
        assert data.endswith(b"\n")
        assert all(json.loads(line) for line in data.splitlines())
    writer.join()
    assert writer.exitcode == 0
    assert len(log.read()) == 101


def _write_many(home):
    os.environ["COURSEKIT_HOME"] = str(home)
    for number in range(100):
        log_module.Log("numbers", runtime.home).append({"n": number, "filler": "x" * 2000})


# Reading where nothing can be written


@pytest.fixture(params=["read-only", "full"])
def nothing_can_be_written(request, monkeypatch):
    def act():
        code = {"read-only": 30, "full": 28}[request.param]

        def refuse(*given, **options):
            raise OSError(code, "nothing can be written")

        monkeypatch.setattr(log_module.files.tempfile, "mkstemp", refuse)
        monkeypatch.setattr(folders.tempfile, "TemporaryFile", refuse)
        monkeypatch.setattr(log_module.files, "guard", refuse)

    return act


def test_records_can_be_read_where_nothing_can_be_written(log, nothing_can_be_written):
    log.append({"n": 1})
    nothing_can_be_written()
    assert log.read() == [{"n": 1}]
    with pytest.raises(OSError, match="nothing can be written"):
        log.append({"n": 2})
    assert log.read() == [{"n": 1}]


def test_what_is_left_of_a_damaged_file_can_be_read_there_too(log, nothing_can_be_written):
    log.path.write_bytes(b'{"n": 1}\nbroken\n{"n": 2}\n')
    path = log.path
    nothing_can_be_written()
    with pytest.warns(UserWarning, match="1 of its 3 lines could not be read. It was left as it is, because"):
        assert log.read() == [{"n": 1}, {"n": 2}]
    assert path.read_bytes() == b'{"n": 1}\nbroken\n{"n": 2}\n'


@pytest.mark.skipif(os.name != "posix", reason="on Windows a reader has to wait for a writer")
def test_a_lock_that_is_never_released_does_not_keep_others_from_reading(home, log):
    log.append({"n": 1})
    with filelock.FileLock(home / "numbers.lock"):
        result = []
        thread = threading.Thread(target=lambda: result.extend(log.read()))
        thread.start()
        thread.join()
    assert result == [{"n": 1}]


@needs_other_users
def test_a_real_read_only_folder_can_be_read(monkeypatch, log):
    # Not below pytest's own folder, which nobody else may go through.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("COURSEKIT_HOME", folder)
        log.append({"n": 1})
        log.path.chmod(0o644)
        os.chmod(folder, 0o755)
        read_as_another_user()


def read_as_another_user():
    code = (
        "import os; from coursekit import runtime; from coursekit._core import log; os.setuid(65533)\n"
        "numbers = log.Log('numbers', runtime.home); print(numbers.read())\n"
        "try: numbers.append({'n': 2})\nexcept OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "[{'n': 1}]"
    assert "cannot be written" in done.stdout


# One look at each record


def test_each_record_is_checked_once(home):
    seen = []

    def check(record):
        seen.append(record["n"])
        return -record["n"]

    log = log_module.Log("numbers", runtime.home, check=check)
    for number in range(5):
        log.append({"n": number})
    assert seen == list(range(5))
    assert log.entries() == [0, -1, -2, -3, -4]
    assert seen == list(range(5)) * 2


@pytest.mark.parametrize("number", [10**400, -(10**309), float("inf"), float("nan")])
def test_numbers_that_no_float_can_hold_are_refused(home, log, number):
    log.append({"n": 1})
    before = log.path.read_bytes()
    with pytest.raises(ValueError, match="too large for a float|not JSON compliant"):
        log.append({"n": 1, "deep": [{"x": number}]})
    assert log.path.read_bytes() == before
    log.append({"n": 10**300, "x": 1.7e308})
    assert log.read()[-1] == {"n": 10**300, "x": 1.7e308}


@pytest.mark.parametrize("stored", [b"1" + b"0" * 400, b"1e999", b"-1e999", b"[1e400]"])
def test_a_log_that_already_holds_such_a_number_can_be_read(log, stored):
    log.path.write_bytes(b'{"n": 1}\n{"n": 2, "x": ' + stored + b"}\n")
    with pytest.warns(UserWarning, match="1 of its 2 lines could not be read"):
        assert log.read() == [{"n": 1}]
    log.append({"n": 3})
    assert log.read() == [{"n": 1}, {"n": 3}]
