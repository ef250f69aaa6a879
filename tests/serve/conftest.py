"""Servers of the small runs, and a client that speaks HTTP."""

import http.client
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests import small_runs
from trainctl.finished.open import open as open_run
from trainctl.serve.app import Limits
from trainctl.serve.server import Server, server_for
from trainctl.serve.sockets import listen

LIMITS = Limits(most_bytes=200_000, most_rows=50, seconds=5, waiting=32)


@dataclass
class Served:
    """A server, its port and its log."""

    server: Server
    port: int
    log: list[str] = field(default_factory=list)

    def request(self, method, path, body=None, **headers):
        """Return status, headers and the content of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            content = answer.read()
            json_like = answer.headers.get("content-type") == "application/json"
            return answer.status, dict(answer.headers), json.loads(content) if json_like and content else content
        finally:
            connection.close()

    def predict(self, content, kind="application/json", path="/predict", **headers):
        body = content if isinstance(content, str | bytes) else json.dumps(content)
        status, _, found = self.request("POST", path, body, content_type=kind, **headers)
        return status, found


@contextmanager
def serving(directory: Path, limits: Limits = LIMITS, *, local: bool = True):
    """Serve a run in a thread of this process."""
    listener, log = listen("127.0.0.1", 0), []
    server = server_for(open_run(directory, (), (), ()), "best", limits, local=local, log=log.append)
    thread = threading.Thread(target=server.serve_on, args=(listener,), daemon=True)
    port = listener.getsockname()[1]
    thread.start()
    try:
        yield Served(server, port, log)
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def served(small_root):
    """Return a function that serves a small run for the rest of the file of tests."""
    from contextlib import ExitStack

    found = {}
    with ExitStack() as stack:

        def serve(kind):
            if kind not in found:
                found[kind] = stack.enter_context(serving(small_runs.find(small_root, kind)))
            return found[kind]

        yield serve
