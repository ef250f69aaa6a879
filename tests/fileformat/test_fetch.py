"""Files that are downloaded: whatever the network does, only the right bytes appear under the name."""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trainctl.errors import StorageError, UnavailableError
from trainctl.fileformat.fetch import cache_directory, fetch

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"resnet18-{DIGEST[:8]}.pth"
PAGE = b"<!DOCTYPE html><title>Log in</title>"
ANSWERS = {"right": CONTENT, "other": b"x" * 1000, "page": PAGE, "cut": CONTENT[:1000], "none": b""}


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        self.server.asked.append(self.path)
        if kind not in ANSWERS:
            self.send_error(404)
            return
        body = ANSWERS[kind]
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) if kind == "cut" else len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Be silent."""


@pytest.fixture(scope="module")
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked = []
    running.address = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def get(url, folder):
    return fetch(url, folder, "copy it there")


def test_a_file_is_downloaded_once(server, tmp_path):
    folder = tmp_path / "a" / "b"
    url, before = f"{server.address}/right/{NAME}", len(server.asked)
    assert get(url, folder) == (folder / NAME, DIGEST)
    assert (folder / NAME).read_bytes() == CONTENT
    assert get(url, folder) == (folder / NAME, DIGEST)
    assert len(server.asked) == before + 1
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_a_damaged_copy_is_replaced(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    get(f"{server.address}/right/{NAME}", tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other", f"what was downloaded is a file with SHA-256 [0-9a-f]+, expected SHA-256 {DIGEST[:8]}"),
        ("page", "what was downloaded is a web page"),
        ("cut", "was cut off after 1,000 of 1,280,000 bytes|broke off after"),
        ("none", "what was downloaded is a file with"),
        ("missing", "cannot be downloaded: .*404"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(server, tmp_path, kind, message):
    with pytest.raises(UnavailableError, match=message) as caught:
        get(f"{server.address}/{kind}/{NAME}", tmp_path)
    assert "copy it there" in str(caught.value)
    assert caught.value.exit_code == 7
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_message_says_what_to_do(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{NAME}"
        with pytest.raises(UnavailableError, match=r"cannot be downloaded: .*; copy it there"):
            get(url, tmp_path)


def test_a_name_without_a_digest_is_not_trusted(server, tmp_path):
    with pytest.raises(UnavailableError, match="does not contain its SHA-256"):
        get(f"{server.address}/right/weights.pth", tmp_path)


def test_a_directory_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file: cannot be written: .*TORCH_HOME") as caught:
        get(f"{server.address}/right/{NAME}", tmp_path / "file")
    assert caught.value.exit_code == 5


def test_the_cache_is_that_of_pytorch(monkeypatch, tmp_path):
    import torch

    for variables in ({}, {"XDG_CACHE_HOME": str(tmp_path)}, {"TORCH_HOME": str(tmp_path / "torch")}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert str(cache_directory()) == f"{torch.hub.get_dir()}/checkpoints"
