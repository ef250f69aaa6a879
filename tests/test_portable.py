"""What only some systems have is guarded: without it, every module can be imported, and what needs it says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainctl.errors import UnavailableError
from trainctl.machine.system import require_fork

ROOT = Path(__file__).resolve().parents[1]
# Windows lacks all of them, macOS those of Linux.
MODULES = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "posix", "_posixsubprocess")
ATTRIBUTES = {
    "os": (
        "fork", "forkpty", "register_at_fork", "getuid", "geteuid", "setsid", "killpg", "getpgid", "sched_getaffinity",
        "sched_setaffinity", "mkfifo", "statvfs", "uname", "getloadavg", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_PATH",
        "O_NOCTTY", "O_CLOEXEC", "posix_fallocate", "posix_fadvise", "pidfd_open", "memfd_create", "WNOHANG", "chown", "fchmod",
        "pread", "pwrite", "fdatasync", "wait3", "wait4",
    ),
    "signal": ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGTSTP", "SIGWINCH",
               "pthread_sigmask", "setitimer", "alarm"),
    "select": ("poll", "epoll"),
    "socket": ("AF_UNIX", "recv_fds", "send_fds", "socketpair"),
    "time": ("tzset",),
}  # fmt: skip
# Everything is imported once, for the packages that trainctl imports; then again, on a system that has less.
SCRIPT = f"""
import importlib, os, pathlib, sys
names = [
    ".".join(path.relative_to({str(ROOT)!r}).with_suffix("").parts)
    for path in sorted(pathlib.Path({str(ROOT)!r}, "trainctl").rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
]
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "trainctl"]:
    del sys.modules[name]
for name in {MODULES!r}:
    sys.modules[name] = None
for module, attributes in {ATTRIBUTES!r}.items():
    for attribute in attributes:
        if hasattr(importlib.import_module(module), attribute):
            delattr(importlib.import_module(module), attribute)
os.supports_dir_fd = set()
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{{name}}: {{type(error).__name__}}: {{error}}")
print(len(names), "modules")
"""


@pytest.mark.slow
def test_every_module_can_be_imported_without_what_only_linux_has():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    *failed, count = done.stdout.splitlines() or [""]
    assert failed == [], done.stderr
    assert int(count.partition(" ")[0]) > 300, done.stderr


def test_a_sweep_says_that_it_needs_another_system(monkeypatch):
    require_fork()
    monkeypatch.delattr(os, "fork")
    with pytest.raises(UnavailableError, match="a sweep needs Linux or macOS") as caught:
        require_fork()
    assert caught.value.exit_code == 7
