"""The hub's files, tried without JupyterHub: limits, hand-out, settings, the cluster's values."""

import os
import re
import runpy
import subprocess
import sys
import tempfile
import types
from collections import defaultdict
from pathlib import Path

import pytest
import yaml
from users import needs_other_users

DEPLOY = Path(__file__).parents[1] / "deploy"
POSIX = pytest.mark.skipif(os.name != "posix", reason="JupyterHub does not run on Windows")
TOO_MUCH = """
import runpy, sys
student = runpy.run_path(sys.argv[1])
student["limit"](300 * 2**20, None)
held = bytearray(100 * 2**20)
try:
    bytearray(300 * 2**20)
except MemoryError:
    print("refused", len(held))
"""


@pytest.fixture(scope="module")
def student():
    return types.SimpleNamespace(**runpy.run_path(str(DEPLOY / "student.py")))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count private memory so")
def test_too_much_memory_is_refused_and_the_rest_goes_on():
    command = [sys.executable, "-c", TOO_MUCH, DEPLOY / "student.py"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["refused", str(100 * 2**20)]


@POSIX
def test_threads_are_limited_and_limits_do_not_rise_again(student, tmp_path):
    code = (
        "import resource, runpy, sys\nlimit = runpy.run_path(sys.argv[1])['limit']\n"
        "limit(2**30, 99)\nlimit(2**31, 100)\n"
        "print(*resource.getrlimit(resource.RLIMIT_DATA), *resource.getrlimit(resource.RLIMIT_NPROC))"
    )
    run = subprocess.run([sys.executable, "-c", code, DEPLOY / "student.py"], capture_output=True, text=True)
    assert run.stdout.split() == [str(2**30)] * 2 + ["99"] * 2, run.stderr


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "given"
    for name in ("01.ipynb", "beyond/A.ipynb", "solutions/01.ipynb", "source/01.py", "beyond/source/A.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"ours: {name}")
    return folder


def test_what_a_student_has_is_never_overwritten(student, course, tmp_path):
    mine = tmp_path / "mine"
    assert [*map(str, student.hand_out(course, mine))] == ["01.ipynb", str(Path("beyond/A.ipynb"))]
    (mine / "01.ipynb").write_text("my work")
    (mine / "beyond" / "A.ipynb").unlink()
    (course / "02.ipynb").write_text("new")
    assert [path.name for path in student.hand_out(course, mine)] == ["02.ipynb", "A.ipynb"]
    assert (mine / "01.ipynb").read_text() == "my work"
    assert student.hand_out(course, mine) == []
    assert {path.name for path in mine.iterdir()} == {"01.ipynb", "02.ipynb", "beyond"}


@POSIX
def test_a_link_that_leads_nowhere_is_the_students_too(student, course, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "01.ipynb").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in student.hand_out(course, mine)] == ["A.ipynb"]
    assert not (tmp_path / "nowhere").exists()


def test_a_read_only_course_gives_files_that_can_be_written(student, course, tmp_path):
    (course / "01.ipynb").chmod(0o444)
    student.hand_out(course, tmp_path / "mine")
    with open(tmp_path / "mine" / "01.ipynb", "a") as file:
        file.write("mine")


def as_user(uid, act):
    """Return what ``act`` returned, or raised, as another user of the machine."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            said = str(act())
        except BaseException as error:
            said = type(error).__name__
        os.write(writing, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        return pipe.read()


@needs_other_users
def test_a_report_can_be_put_in_and_nobody_else_finds_reads_or_removes_it(student):
    with tempfile.TemporaryDirectory(dir="/tmp") as root:
        Path(root).chmod(0o711)
        reports, ada, bob = Path(root, "reports"), 54321, 54322
        reports.mkdir()
        reports.chmod(0o1733)
        report = reports / "ada" / "report.html"
        assert as_user(ada, lambda: student.open_hand_in(reports / "ada")) == "None"
        assert as_user(ada, lambda: report.write_text("mine")) == "4"
        assert as_user(bob, lambda: [*os.scandir(reports)]) == "PermissionError"
        assert as_user(bob, report.read_text) == "PermissionError"
        assert as_user(bob, lambda: (reports / "ada").rename(reports / "gone")) == "PermissionError"
        assert as_user(bob, lambda: student.open_hand_in(reports / "ada")) == "SystemExit"
        assert as_user(ada, report.read_text) == "mine"


def test_the_course_that_is_handed_out_opens_where_the_hub_says(student):
    given = {path.as_posix() for path in student.files(student.COURSE)}
    assert "01-floating-point-basics.ipynb" in given
    assert not [path for path in given if re.search("solutions|source", path)]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Return a function that loads the hub's settings as JupyterHub would, and returns them."""
    proxy = tmp_path / "bin" / "configurable-http-proxy"
    proxy.parent.mkdir()
    proxy.touch(mode=0o755)
    for name in [name for name in os.environ if name.startswith("HUB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(proxy.parent))
    monkeypatch.setenv("HUB_STATE", str(tmp_path / "state"))
    native = types.ModuleType("nativeauthenticator")
    native.__file__ = str(tmp_path / "native" / "__init__.py")
    monkeypatch.setitem(sys.modules, "nativeauthenticator", native)

    def load(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        loaded = defaultdict(types.SimpleNamespace)

        class Config:
            def __getattr__(self, name):
                return loaded[name]

        runpy.run_path(str(DEPLOY / "jupyterhub_config.py"), init_globals={"get_config": Config})
        return loaded

    return load


@POSIX
def test_without_settings_the_hub_is_for_this_machine_only(settings, tmp_path, capsys):
    hub = settings()
    assert hub["JupyterHub"].bind_url == "http://127.0.0.1:8000"
    assert hub["JupyterHub"].authenticator_class == "shared-password"
    assert hub["JupyterHub"].spawner_class == "simple"
    assert len(hub["SharedPasswordAuthenticator"].user_password) >= 8
    assert hub["SharedPasswordAuthenticator"].user_password in capsys.readouterr().out
    assert not hasattr(hub["SharedPasswordAuthenticator"], "admin_password")
    assert hub["Spawner"].environment["HUB_PROCESSES"] == "0"
    ada = types.SimpleNamespace(user=types.SimpleNamespace(escaped_name="ada"))
    assert hub["Spawner"].environment["COURSEKIT_HAND_IN"](ada) == str(tmp_path / "state" / "reports" / "ada")


@POSIX
def test_to_try_the_hub_as_a_teacher_takes_a_password_of_their_own(settings, capsys):
    shared = settings(HUB_TEACHER="ada", HUB_PASSWORD="one for all")["SharedPasswordAuthenticator"]
    assert (shared.user_password, len(shared.admin_password) >= 32) == ("one for all", True)
    assert shared.admin_password in capsys.readouterr().out
    shared = settings(HUB_TEACHER_PASSWORD="t" * 32)["SharedPasswordAuthenticator"]
    assert (shared.admin_password, capsys.readouterr().out) == ("t" * 32, "")


@POSIX
def test_all_that_the_hub_writes_lies_in_its_folder_and_reports_can_only_be_put_in(settings, tmp_path):
    hub = settings()
    state = tmp_path / "state"
    written = [hub["JupyterHub"].cookie_secret_file, hub["ConfigurableHTTPProxy"].pid_file]
    assert all(Path(path).parent == state / "private" for path in written)
    assert hub["JupyterHub"].db_url == f"sqlite:///{state}/private/hub.sqlite"
    assert (state / "private").stat().st_mode & 0o7777 == 0o700
    assert state.stat().st_mode & 0o7777 == 0o711
    assert (state / "reports").stat().st_mode & 0o7777 == 0o1733


@POSIX
@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"HUB_ADDRESS": "0.0.0.0"}, "anybody is whom they say"),
        ({"HUB_SIGN_IN": "open"}, "must be one of dummy, native, pam"),
        ({"HUB_PASSWORD": "short"}, "HUB_PASSWORD must have at least 8 characters; got 5"),
        ({"HUB_TEACHER_PASSWORD": "t" * 31}, "HUB_TEACHER_PASSWORD must have at least 32 characters; got 31"),
        ({"HUB_MEMORY": "2 gigabytes"}, "HUB_MEMORY must be a number"),
        ({"PATH": "/nowhere"}, "npm install --prefix build/proxy configurable-http-proxy"),
    ],
)
def test_settings_that_would_harm_are_refused(settings, monkeypatch, variables, why):
    with pytest.raises(SystemExit, match=re.escape(why)):
        settings(**variables)


@POSIX
def test_with_accounts_of_the_machine_each_student_is_a_user_with_limits(settings, monkeypatch):
    import pwd

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="root must start it"):
        settings(HUB_SIGN_IN="pam")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    hub = settings(HUB_SIGN_IN="pam", HUB_ADDRESS="0.0.0.0", HUB_PROCESSES="77", HUB_TEACHER="ada,bob")
    assert hub["JupyterHub"].spawner_class.endswith(".LocalProcessSpawner")
    assert hub["Spawner"].environment["HUB_PROCESSES"] == "77"
    assert hub["Authenticator"].admin_users == {"ada", "bob"}
    daemon = types.SimpleNamespace(user=types.SimpleNamespace(name=pwd.getpwuid(1).pw_name))
    with pytest.raises(PermissionError, match="an account of the machine's own"):
        hub["Spawner"].pre_spawn_hook(daemon)


@POSIX
def test_with_native_sign_in_the_teacher_lets_in_and_nobody_is_root(settings, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit, match="do not start it as root"):
        settings(HUB_SIGN_IN="native")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    hub = settings(HUB_SIGN_IN="native", HUB_ADDRESS="0.0.0.0")
    assert not hasattr(hub["NativeAuthenticator"], "open_signup")
    assert hub["JupyterHub"].template_paths


def test_the_cluster_starts_the_same_file_and_opens_the_same_notebook():
    values = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))["singleuser"]
    assert values["cmd"][1].endswith("/deploy/student.py")
    mounts = values["storage"]["extraVolumeMounts"]
    assert values["extraEnv"]["COURSEKIT_HAND_IN"] == mounts[0]["mountPath"]
    assert (DEPLOY.parent / "notebooks" / Path(values["defaultUrl"]).name).exists()


def test_the_makefile_and_the_page_agree_with_the_settings():
    page = (DEPLOY.parent / "docs" / "hub.md").read_text(encoding="utf-8")
    code = (DEPLOY / "jupyterhub_config.py").read_text(encoding="utf-8")
    asked = {*re.findall(r'ask\("(HUB_\w+)"', code)}
    assert {*re.findall(r"HUB_[A-Z_]+", page)} >= asked
