"""Whole files: in which order they reach the disk, and what is never opened."""

import os
import stat
from pathlib import Path

import pytest

from coursekit._core import files, folders
from coursekit._core.log import Log

POSIX = pytest.mark.skipif(os.name != "posix", reason="links and modes as POSIX has them")


@pytest.fixture
def calls(monkeypatch):
    """Record what is brought to the disk and what is renamed, in order: ("sync", path) or ("name", path)."""
    seen, real_sync, real_replace, real_mkdir = [], os.fsync, os.replace, os.mkdir

    def sync(handle):
        there = os.fstat(handle)
        seen.append(("sync", there.st_ino))
        real_sync(handle)

    def replace(source, target, **options):
        seen.append(("name", os.stat(source).st_ino, Path(source).read_bytes()))
        real_replace(source, target, **options)

    def mkdir(path, *mode, **options):
        real_mkdir(path, *mode, **options)
        seen.append(("folder", os.stat(path).st_ino))

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "mkdir", mkdir)
    return seen


def number(path):
    return os.stat(path).st_ino


@POSIX
def test_the_bytes_reach_the_disk_before_their_name_and_the_name_before_it_is_acknowledged(tmp_path, calls):
    for data in (b"old", b"new"):
        files.replace(tmp_path / "file", data)
        kept = number(tmp_path / "file")
        assert calls == [("sync", kept), ("name", kept, data), ("sync", number(tmp_path))]
        calls.clear()


@POSIX
@pytest.mark.parametrize("act", ["append", "append with a key", "remove", "rescue", "clear"])
def test_whatever_a_log_acknowledges_is_on_the_disk(tmp_path, calls, act):
    log = Log("log", lambda: tmp_path, key=("n",) if act == "append with a key" else ())
    log.append({"n": 1})
    if act == "rescue":
        log.path.write_bytes(b'{"n": 1}\nbroken\n')
    calls.clear()
    if act.startswith("append"):
        log.append({"n": 1})
    elif act == "remove":
        log.remove(lambda record: True)
    elif act == "clear":
        log.clear()
    else:
        with pytest.warns(UserWarning, match="damaged"):
            log.read()
    names = [at for at, (what, *_) in enumerate(calls) if what == "name"]
    assert len(names) == (2 if act == "rescue" else 1)
    for at in names:
        if act != "clear":  # its bytes were on the disk already
            assert calls[at - 1] == ("sync", calls[at][1])
        assert calls[at + 1] == ("sync", number(tmp_path))
    assert calls[-1] == ("sync", number(tmp_path))


@POSIX
def test_a_new_folder_is_on_the_disk_before_anything_is_kept_in_it(tmp_path, calls):
    home = folders.made(tmp_path / "a" / "b")
    steps = [call for call in calls if call[0] in ("folder", "sync")]
    assert steps == [
        ("folder", number(home.parent)),
        ("sync", number(tmp_path)),
        ("folder", number(home)),
        ("sync", number(home.parent)),
    ]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    files.replace(tmp_path / "file", b"old")

    def fail(*given, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        files.replace(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_what_killed_processes_left_is_swept_away_by_the_next_that_writes(tmp_path):
    log = Log("log", lambda: tmp_path)
    for name in ("log.jsonl.abc.new", "log.jsonl.xyz.new", "other.jsonl.abc.new"):
        (tmp_path / name).write_text("half")
    log.append({})
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "log.lock", "other.jsonl.abc.new"}


@POSIX
def test_new_files_are_for_their_owner_only_whatever_stood_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    files.replace(path, b"new")
    files.guard(tmp_path / "lock")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "lock")] == [0o600, 0o600]


@POSIX
def test_no_temporary_name_can_be_foreseen_and_none_is_taken_over(tmp_path, monkeypatch):
    opened, real = [], os.open

    def spy(path, flags, *rest, **options):
        opened.append((os.fspath(path), flags))
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", spy)
    for _ in range(3):
        files.replace(tmp_path / "file", b"x")
    made = {path: flags for path, flags in opened if flags & os.O_CREAT}
    assert len(made) == 3
    assert all(flags & os.O_EXCL and flags & os.O_NOFOLLOW for flags in made.values())


def links(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("years of work")
    yield "a link", lambda path: path.symlink_to(precious)
    yield "a link to nothing", lambda path: path.symlink_to(tmp_path / "absent")
    yield "a folder", lambda path: path.mkdir()
    yield "a pipe", lambda path: os.mkfifo(path)


@POSIX
def test_links_folders_and_pipes_are_neither_read_nor_locked(tmp_path):
    for what, plant in links(tmp_path):
        path = tmp_path / what
        plant(path)
        for act in (files.read, files.guard):
            with pytest.raises(OSError, match="must be a plain file of its own"):
                act(path)
    assert not (tmp_path / "absent").exists()
    (tmp_path / "second name").hardlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="must be a plain file of its own"):
        files.guard(tmp_path / "second name")
    assert (tmp_path / "precious").read_text() == "years of work"


@POSIX
def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "file").symlink_to(tmp_path / "precious")
    files.replace(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_file_that_is_not_there_is_empty(tmp_path):
    assert files.read(tmp_path / "absent") == b""
    (tmp_path / "file").touch()
    assert files.read(tmp_path / "file" / "deeper") == b""


# Folders


@POSIX
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_private_folder_is_made_once_and_found_again(tmp_path, umask):
    before = os.umask(umask)
    try:
        found = folders.private(tmp_path, "ours")
    finally:
        os.umask(before)
    assert found == folders.private(tmp_path, "ours") == tmp_path / "ours"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


@POSIX
@pytest.mark.parametrize(
    "plant",
    [
        lambda path: (path.mkdir(), path.chmod(0o770)),
        lambda path: (path.mkdir(), path.chmod(0o707)),
        lambda path: path.touch(),
        lambda path: path.symlink_to(path.parent),
        lambda path: path.symlink_to("absent"),
        lambda path: os.mkfifo(path),
    ],
)
def test_what_others_could_have_made_or_filled_is_left_alone(tmp_path, plant):
    plant(tmp_path / "ours")
    before = (tmp_path / "ours").lstat()
    assert folders.private(tmp_path, "ours") == tmp_path / "ours-2"
    assert (tmp_path / "ours").lstat().st_mode == before.st_mode


@POSIX
def test_a_folder_of_an_earlier_version_that_only_we_could_fill_is_closed(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours").chmod(0o755)
    assert folders.private(tmp_path, "ours") == tmp_path / "ours"
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == 0o700


def test_where_all_names_are_taken_one_is_made_that_nobody_can_guess(tmp_path):
    for name in ["ours", *(f"ours-{number}" for number in range(2, folders.TRIES + 1))]:
        (tmp_path / name).touch()
    found = folders.private(tmp_path, "ours")
    assert found == folders.private(tmp_path, "ours")
    assert found.is_dir()
    assert found.name.startswith("ours-")


def test_a_full_disk_is_not_an_unwritable_folder(tmp_path, monkeypatch):
    def full(**options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders.tempfile, "TemporaryFile", full)
    assert folders.made(tmp_path) == tmp_path
    monkeypatch.setattr(
        folders.tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(OSError(30, "Read-only"))
    )
    with pytest.raises(folders.UnwritableFolder, match="cannot be written .Read-only") as caught:
        folders.made(tmp_path)
    assert caught.value.folder == tmp_path
