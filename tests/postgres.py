"""A PostgreSQL server of the tests' own: started in a temporary directory, on a free port, and stopped at the end."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "trainer", "s3cret-Pa55"
SETTINGS = "fsync=off\nunix_socket_directories=''\nlisten_addresses='127.0.0.1'\nmax_connections=60\n"


def missing() -> str:
    """Return why no server can be started; empty if one can."""
    for module in ("optuna", "psycopg"):
        try:
            __import__(module)
        except ImportError:
            return f"the extra `sweep` is not installed: {module} is missing"
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        return "PostgreSQL is not installed: there is no initdb and pg_ctl on PATH"
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return ""


def _other_user() -> str | None:
    """Return a user that the server can run as, if this is root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Server:
    """A server.

    Args:
        directory: An empty directory of the user that it runs as.
    """

    def __init__(self, directory: Path) -> None:
        self.data, self.log = directory / "data", directory / "log"
        self.user = _other_user() if os.geteuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = directory / "password"
        secret.write_text(PASSWORD)
        if self.user:
            for path in (directory, secret):
                shutil.chown(path, self.user)
        self._run(
            "initdb", f"--pgdata={self.data}", f"--username={USER}", f"--pwfile={secret}", "--auth=scram-sha-256",
            "--no-sync", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{SETTINGS}port={self.port}\n")
        self.start()

    def _run(self, program: str, *words: str) -> None:
        found = shutil.which(program)
        assert found
        done = subprocess.run(
            [found, *words], user=self.user, cwd="/", capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", f"--pgdata={self.data}", f"--log={self.log}", "--wait", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` is what a crash does."""
        self._run("pg_ctl", f"--pgdata={self.data}", f"--mode={mode}", "--wait", "stop")

    def url(self, database: str = "postgres", password: str = PASSWORD, user: str = USER) -> str:
        """Return the URL of a database of it."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def execute(self, command: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Execute a command of SQL; return the rows of its answer."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(command.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def running() -> Iterator[Server]:
    """Start a server, and stop it at the end; skip the test where there is none."""
    if reason := missing():
        pytest.skip(reason)
    directory = Path(tempfile.mkdtemp(prefix="trainctl-postgres-"))
    server = Server(directory)
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)
