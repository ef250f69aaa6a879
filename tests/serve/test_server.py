"""A server survives whatever a client does, refuses what is too much, and ends when it is asked to."""

import json
import signal
import socket
import threading
import time
from dataclasses import replace

import pytest

from tests import small_runs
from tests.serve.conftest import LIMITS, serving
from tests.soak import cases, seed
from trainctl.errors import ConfigError, UnavailableError
from trainctl.serve import server as server_module
from trainctl.serve.sockets import listen

ROW = {"city": "Bern", "age": 3}
HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def send(port, *parts, pause=0.0):
    """Send bytes as they are; return all that comes back until the connection is closed, or nothing comes for a second."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            connection.settimeout(1)
            while part := connection.recv(65536):
                received += part
        except (TimeoutError, ConnectionError):
            pass
    return received


def test_many_clients_at_once_each_get_their_own_answers(served):
    server, wrong = served("prices"), []
    expected = {age: server.predict([ROW | {"age": age}])[1]["predictions"][0]["price"] for age in range(8)}
    before = server.request("GET", "/health")[2]

    def ask(number):
        for turn in range(6):
            age = (number + turn) % 8
            if turn % 3 == 2:
                status, found = server.predict("broken")
                wrong.extend([] if status == 400 else [(status, found)])
                continue
            status, found = server.predict([ROW | {"age": age}] * (1 + number % 3))
            values = [row["price"] for row in found.get("predictions", [])]
            if status != 200 or values != pytest.approx([expected[age]] * (1 + number % 3), rel=1e-5):
                wrong.append((status, found))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    after = server.request("GET", "/health")[2]
    assert after["active"] == 0
    assert 0 < after["batches"] - before["batches"] <= 64


@pytest.mark.slow
@pytest.mark.soak
def test_no_bytes_end_the_server_or_are_answered_with_a_traceback(served):
    server, source = served("prices"), seed("bytes to a server")
    for _ in range(cases(25)):
        kind = source.randrange(5)
        noise = source.randbytes(source.randrange(1, 200))
        whole = HEAD + b"content-length: %d\r\n\r\n" % len(noise) + noise
        answer = send(
            server.port,
            [
                noise, noise + b"\r\n\r\n", whole, whole[: source.randrange(len(whole))] + b"\r\n\r\n",
                bytes(byte if source.random() > 0.02 else source.randrange(256) for byte in whole),
            ][kind],
        )  # fmt: skip
        assert b"Traceback" not in answer
        assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    assert server.predict([ROW])[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"content-length: 99999999999999999999999\r\n\r\n", b"400"),
        (HEAD + b"content-length: 300000\r\n\r\n", b"413"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"fffff\r\n" + b"x" * 0xFFFFF + b"\r\n0\r\n\r\n", b"413"),
        (HEAD + b"content-length: -1\r\n\r\n", b"400"),
        (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", b"400"),
        (HEAD + b"x: " + b"y" * 100_000 + b"\r\n\r\n", b"4"),
    ],
    ids=["digits", "announced", "chunked", "negative", "two", "head"],
)
def test_a_body_that_is_too_large_or_has_no_length_is_refused(served, head, status):
    answer = send(served("prices").port, head)
    assert answer.startswith(b"HTTP/1.1 " + status) or answer == b""  # reset while it was still sending
    assert served("prices").predict([ROW])[0] == 200


@pytest.mark.slow
def test_slow_clients_hold_nobody_up_and_are_let_go(small_root, monkeypatch):
    monkeypatch.setattr(server_module, "PATIENCE", 0.5)
    with serving(small_runs.find(small_root, "prices"), replace(LIMITS, seconds=0.7)) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for connection in silent[5:10]:
            connection.sendall(b"GET /hea")
        for connection in silent[10:15]:
            connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")
        for connection in silent[15:]:
            connection.sendall(HEAD + b"content-length: 2\r\n\r\n[]")
        assert server.predict([ROW])[0] == 200
        deadline, answers = time.monotonic() + 15, []
        for connection in silent:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            received = b""
            while part := connection.recv(65536):
                received += part
            answers.append(received[:12])
            connection.close()
        assert answers == [b""] * 10 + [b"HTTP/1.1 408"] * 5 + [b"HTTP/1.1 400"] * 5
        assert server.predict([ROW])[0] == 200


def test_more_requests_than_may_wait_are_refused_and_health_still_answers(small_root):
    with serving(small_runs.find(small_root, "prices"), replace(LIMITS, waiting=2)) as server:
        service, gate = server.server.application.service, threading.Event()
        compute = service.batcher.compute
        service.batcher.compute = lambda rows: gate.wait(10) and compute(rows)
        found = []
        threads = [threading.Thread(target=lambda: found.append(server.predict([ROW])[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        while server.request("GET", "/health")[2]["active"] < 2:
            time.sleep(0.02)
        status, headers, answer = server.request(
            "POST", "/predict", json.dumps([ROW]), **{"content-type": "application/json"}
        )
        assert (status, headers["retry-after"]) == (503, "1")
        assert answer == {"error": "too many requests at once; try again"}
        gate.set()
        for thread in threads:
            thread.join(10)
        assert found == [200, 200]


def test_an_answer_that_takes_too_long_is_given_up_and_a_bug_has_no_traceback(small_root):
    with serving(small_runs.find(small_root, "prices"), replace(LIMITS, seconds=0.3)) as server:
        batcher, gate = server.server.application.service.batcher, threading.Event()
        compute = batcher.compute
        batcher.compute = lambda rows: gate.wait(10) and compute(rows)
        assert server.predict([ROW]) == (503, {"error": "no answer within 0.3 s; try again"})
        gate.set()
        batcher.compute = lambda rows: {}["secret"]
        status, found = server.predict([ROW])
        assert (status, found) == (500, {"error": "internal error; the log of the server has its reason"})
        assert any("KeyError: 'secret'" in line for line in server.log)
        batcher.compute = compute
        assert server.predict([ROW])[0] == 200


def test_stopping_answers_what_is_in_work(small_root):
    found = []
    with serving(small_runs.find(small_root, "prices")) as server:
        batcher, entered = server.server.application.service.batcher, threading.Event()
        compute = batcher.compute

        def slowly(rows):
            entered.set()
            time.sleep(0.5)
            return compute(rows)

        batcher.compute = slowly
        thread = threading.Thread(target=lambda: found.append(server.predict([ROW])[0]))
        thread.start()
        assert entered.wait(10)
    thread.join(10)
    assert found == [200]
    with pytest.raises(ConnectionError):
        server.request("GET", "/health")


def test_a_port_in_use_and_a_host_that_does_not_exist_are_said_plainly():
    first = listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    with first, pytest.raises(UnavailableError, match=rf"port={port}: already in use; .*port={port + 1}"):
        listen("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"host=203\.0\.113\.1: not an address of this machine"):
        listen("203.0.113.1", 0)
    with pytest.raises(ConfigError, match="host=no such host: no such host"):
        listen("no such host", 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal(start, small_root, number):
    process = start("serve", str(small_runs.find(small_root, "prices")), "port=0", "device=cpu")
    line = process.stdout.readline()
    assert line.startswith("serving ")
    port = int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    process.send_signal(number)
    _, err = process.communicate(20)
    assert process.returncode == 0
    assert "GET /health 200" in err
    assert err.endswith("trainctl: stopped\n")
