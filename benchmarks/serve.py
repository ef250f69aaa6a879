"""Load `trainctl serve` with concurrent clients, good and bad ones, and print what it answers and how fast.

    python -m benchmarks.serve RUN                         8 clients for 10 s
    python -m benchmarks.serve RUN --clients 64 --seconds 60 --rows 10 --bad 0.2
    python -m benchmarks.serve --url http://127.0.0.1:8000 a server that runs already

Each client keeps a connection and sends the example row of `/schema`, or with the given probability something wrong: broken
JSON, a body that is too large, random bytes. The server has failed if it answers with a traceback or 500, or not at all.
"""

import argparse
import http.client
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from urllib.parse import urlsplit

JSON = {"content-type": "application/json"}


@dataclass
class Seen:
    """What clients have seen: seconds of good requests, and how often each status came."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def client(address: str, body: str, bad: float, until: float, seen: Seen, seed: int) -> None:
    """Send requests until a time."""
    source, connection = random.Random(seed), http.client.HTTPConnection(address, timeout=60)
    while time.monotonic() < until:
        is_bad = source.random() < bad
        sent = wrong_body(source) if is_bad else body.encode()
        began = time.perf_counter()
        try:
            connection.request("POST", "/predict", sent, JSON)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            seen.statuses[f"{'bad' if is_bad else 'good'}: {type(error).__name__}"] += 1
            connection.close()
            continue
        seen.statuses[f"{'bad' if is_bad else 'good'}: {answer.status}"] += 1
        if b"Traceback" in content or (answer.status >= 500 and answer.status != 503):
            seen.wrong.append(content[:200].decode("utf-8", "replace"))
        if not is_bad and answer.status == 200:
            seen.seconds.append(time.perf_counter() - began)


def wrong_body(source: random.Random) -> bytes:
    """Return a body that no run can read."""
    return source.choice([b"{", b"[" * 1000, source.randbytes(1000), b'[{"no": "such column"}]', b"x" * 20_000_000])


def start(run: str) -> tuple[subprocess.Popen[str], str]:
    """Serve a run on a free port; return the process and the address."""
    words = [sys.executable, "-m", "trainctl", "serve", run, "port=0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if "http://" not in line:
        raise SystemExit(f"{' '.join(words)}: did not start")
    return process, urlsplit(line.split(" at ")[1].split()[0]).netloc


def example(address: str, rows: int) -> str:
    """Return a body with the typical row of a table."""
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.request("GET", "/schema")
    about = json.loads(connection.getresponse().read())
    if about["input"] == "table":
        row: object = {column["name"]: column["example"] for column in about["inputs"]}
        return json.dumps([row] * rows)
    if about["input"] == "text":
        return json.dumps({"texts": ["a text of some words"] * rows})
    row = 0
    for size in reversed(about["shape"]):
        row = [row] * size
    return json.dumps([row] * rows)


def main() -> int:
    """Load a server; return 1 if it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--url")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--bad", type=float, default=0.1)
    asked = parser.parse_args()
    process, address = (None, urlsplit(asked.url).netloc) if asked.url else start(asked.run or "last")
    try:
        body, seen, until = example(address, asked.rows), Seen(), time.monotonic() + asked.seconds
        threads = [
            threading.Thread(target=client, args=(address, body, asked.bad, until, seen, seed))
            for seed in range(asked.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/health")
        health = json.loads(connection.getresponse().read())
    finally:
        if process:
            process.terminate()
            process.wait(60)
    return report(asked, seen, health)


def report(asked: argparse.Namespace, seen: Seen, health: dict[str, object]) -> int:
    """Print what was seen; return 1 if the server failed."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {version('torch')}")
    print(f"{asked.clients} clients, {asked.seconds:g} s, {asked.rows} rows a request, {asked.bad:.0%} of them wrong")
    ordered = sorted(seen.seconds)
    if ordered:
        at = {share: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99)}
        shown = ", ".join(f"{share:.0%} {1000 * value:.1f} ms" for share, value in at.items())
        print(f"{len(ordered) / asked.seconds:.0f} answers/s; {shown}; mean {1000 * statistics.mean(ordered):.1f} ms")
    print(f"statuses: {dict(sorted(seen.statuses.items()))}; batches: {health['batches']}")
    for text in seen.wrong[:5]:
        print(f"FAILED: {text}")
    return int(bool(seen.wrong) or health["status"] != "ok" or not ordered)


if __name__ == "__main__":
    sys.exit(main())
