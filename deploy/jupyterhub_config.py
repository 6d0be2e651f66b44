"""JupyterHub for one machine and a class of 20 to 60: `make hub`. What each setting means: docs/hub.md."""

import os
import re
import secrets
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SIGN_INS = {  # each with its spawner
    "dummy": "simple",  # for trying: one password for all; one system user for all, so no privacy
    "native": "simple",  # students sign up, the teacher lets them in; one system user for all, so no privacy
    "pam": "jupyterhub.spawner.LocalProcessSpawner",  # the machine's own accounts: the system's own walls
}
CLASSES = {"dummy": "shared-password"}  # where JupyterHub calls a way to sign in by another name
SHORTEST, TEACHERS_SHORTEST = 8, 32  # characters of the shared passwords; JupyterHub takes no shorter ones
FIRST_ACCOUNT = 1000  # system users below are the machine's own

c = get_config()  # type: ignore[name-defined]  # noqa: F821
ask = os.environ.get

address, port = ask("HUB_ADDRESS", "127.0.0.1"), int(ask("HUB_PORT", "8000"))
sign_in, password = ask("HUB_SIGN_IN", "dummy"), ask("HUB_PASSWORD", "")
teachers_password = ask("HUB_TEACHER_PASSWORD", "")
memory = ask("HUB_MEMORY", "2G")
state = Path(ask("HUB_STATE", ROOT / "build" / "hub")).resolve()

if sign_in not in SIGN_INS:
    sys.exit(f"HUB_SIGN_IN must be one of {', '.join(SIGN_INS)}; got {sign_in!r}")
if not re.fullmatch(r"[1-9]\d*[MGT]", memory):
    sys.exit(f"HUB_MEMORY must be a number and M, G or T, as 2G; got {memory!r}")
if sign_in == "dummy" and address not in ("127.0.0.1", "localhost", "::1"):
    sys.exit("with HUB_SIGN_IN=dummy anybody is whom they say they are: choose native or pam to open the hub")
for name, given, least in (
    ("HUB_PASSWORD", password, SHORTEST),
    ("HUB_TEACHER_PASSWORD", teachers_password, TEACHERS_SHORTEST),
):
    if sign_in == "dummy" and 0 < len(given) < least:
        sys.exit(f"{name} must have at least {least} characters; got {len(given)}")
if sign_in == "pam" and os.geteuid() != 0:
    sys.exit("with HUB_SIGN_IN=pam the hub starts servers as other users, so that root must start it")

if sign_in == "native" and os.geteuid() == 0:
    sys.exit("with HUB_SIGN_IN=native all students run as whoever starts the hub: do not start it as root")

# All that the hub writes: others may pass through, and only the reports' folder takes something from them.
umask = os.umask(0)
state.mkdir(mode=0o711, parents=True, exist_ok=True)
(state / "private").mkdir(mode=0o700, exist_ok=True)  # passwords and tokens, as hashes
(state / "students").mkdir(mode=0o711, exist_ok=True)
(state / "reports").mkdir(mode=0o1733, exist_ok=True)
os.umask(umask)

c.JupyterHub.bind_url = f"{'https' if ask('HUB_CERT') else 'http'}://{address}:{port}"
c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = ask("HUB_CERT", ""), ask("HUB_KEY", "")
c.JupyterHub.hub_port = port + 1  # this and the next are for this machine only
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.ConfigurableHTTPProxy.command = [
    shutil.which(
        "configurable-http-proxy", path=f"{ROOT}/build/proxy/node_modules/.bin{os.pathsep}{ask('PATH', '')}"
    )
    or sys.exit("JupyterHub's proxy is missing: npm install --prefix build/proxy configurable-http-proxy")
]
c.ConfigurableHTTPProxy.pid_file = str(state / "private" / "proxy.pid")
c.JupyterHub.cookie_secret_file = str(state / "private" / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{state}/private/hub.sqlite"
c.JupyterHub.cleanup_servers = True

# Who comes in
c.JupyterHub.authenticator_class = CLASSES.get(sign_in, sign_in)
c.Authenticator.allow_all = True
c.Authenticator.blocked_users = {"root"}
c.Authenticator.admin_users = {name for name in ask("HUB_TEACHER", "").split(",") if name}
if sign_in == "dummy":
    if not password:
        password = secrets.token_urlsafe(6)
        print(f"\nThe password of all who try this hub: {password}\n", flush=True)
    c.SharedPasswordAuthenticator.user_password = password
    if c.Authenticator.admin_users:  # with the students' password nobody comes in as a teacher
        if not teachers_password:
            teachers_password = secrets.token_urlsafe(TEACHERS_SHORTEST)
            print(f"The password of HUB_TEACHER: {teachers_password}\n", flush=True)
        c.SharedPasswordAuthenticator.admin_password = teachers_password
if sign_in == "native":
    import nativeauthenticator

    c.JupyterHub.template_paths = [str(Path(nativeauthenticator.__file__).parent / "templates")]
    c.NativeAuthenticator.minimum_password_length = 8
    c.NativeAuthenticator.allowed_failed_logins = 5

# What each gets
c.JupyterHub.spawner_class = ask("HUB_SPAWNER", "") or SIGN_INS[sign_in]
c.SimpleLocalProcessSpawner.home_dir_template = f"{state}/students/{{username}}"
c.Spawner.cmd = [sys.executable, str(HERE / "student.py")]
if sign_in == "dummy" and os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]  # in a container
c.Spawner.notebook_dir = "~/course"
c.Spawner.default_url = "/lab/tree/01-floating-point-basics.ipynb"
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
c.Spawner.mem_limit = memory
# The system counts threads by user: where all are one user, a limit would be the whole class's.
processes = int(ask("HUB_PROCESSES", "256")) if sign_in == "pam" else 0
c.SystemdSpawner.unit_extra_properties = {"TasksMax": str(processes)}
c.Spawner.environment = {
    "COURSEKIT_HAND_IN": lambda spawner: f"{state}/reports/{spawner.user.escaped_name}",
    "HUB_PROCESSES": str(processes),
    "JUPYTER_CONFIG_PATH": str(ROOT / "tools" / "jupyter"),
    "JUPYTER_PREFER_ENV_PATH": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


def refuse_the_machines_own(spawner):
    """Start no server as a user that is not a person's."""
    import pwd

    if sign_in == "pam" and pwd.getpwnam(spawner.user.name).pw_uid < FIRST_ACCOUNT:
        raise PermissionError(f"{spawner.user.name} is an account of the machine's own")


c.Spawner.pre_spawn_hook = refuse_the_machines_own

# Twenty press the button at once: these start, the others hear "try again", and their browsers do.
c.JupyterHub.concurrent_spawn_limit = int(ask("HUB_AT_ONCE", "10"))
# Nobody's server runs on for the night.
idle = ask("HUB_IDLE", "3600")
c.JupyterHub.services = [
    {"name": "cull", "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={idle}"]}
]
scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
c.JupyterHub.load_roles = [{"name": "cull", "services": ["cull"], "scopes": scopes}]
