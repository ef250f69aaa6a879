"""The routes of `trainctl serve`, as an ASGI application: limits, formats, and an answer in JSON to every request.

Source: ASGI 3.0 specification, HTTP & WebSocket message format; RFC 9110, HTTP semantics.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from trainctl.errors import DataError, TrainctlError, UnavailableError, lacks_memory, out_of_memory
from trainctl.fileformat.boundary import reason
from trainctl.report.table import printable
from trainctl.serve.page import PAGE, POLICY
from trainctl.serve.service import Service, TooManyRowsError
from trainctl.wording import amount

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Log = Callable[[str], None]

READERS = 4  # requests that are parsed at the same time
MOST_OPTIONS = 20  # of a query
LONGEST = 300  # characters of an error in a log line
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
KINDS = {
    "application/json": "json",
    "application/x-ndjson": "lines",
    "application/jsonl": "lines",
    "text/csv": "csv",
    "text/plain": "text",
    "application/octet-stream": "image",
}
ROUTES = {"/": ("GET", "HEAD"), "/health": ("GET", "HEAD"), "/schema": ("GET", "HEAD"), "/predict": ("POST",)}
OF_CURL = {  # what curl sends by itself, with -d or -F
    "application/x-www-form-urlencoded": "; with curl, add -H 'content-type: ...'",
    "multipart/form-data": "; with curl, send one file: --data-binary @FILE -H 'content-type: ...'",
}


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Args:
        most_bytes: Of a body.
        most_rows: Of a request.
        seconds: For a body to arrive, for the answer to be computed, and for the answer to be taken, each.
        waiting: Requests that are in progress at the same time; more are refused.
    """

    most_bytes: int
    most_rows: int
    seconds: float
    waiting: int


@dataclass(frozen=True)
class Reply:
    """An answer.

    Args:
        status: Of HTTP.
        body: Its bytes.
        kind: Its content type.
        headers: Further headers.
        about: What the log line says of it.
    """

    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    about: str = ""


class Refused(Exception):
    """A request that is not answered with predictions.

    Args:
        status: Of HTTP.
        lines: What is wrong and what to do, a line each.
        headers: Further headers.
    """

    def __init__(self, status: int, *lines: str, **headers: str) -> None:
        super().__init__(*lines)
        self.status, self.lines = status, lines
        self.headers = tuple((name.replace("_", "-"), value) for name, value in headers.items())


def as_json(content: Any, status: int = 200, headers: Iterable[tuple[str, str]] = (), about: str = "") -> Reply:
    """Return an answer in JSON, in ASCII: names may have characters that no encoding has."""
    body = json.dumps(content, allow_nan=False).encode() + b"\n"
    return Reply(status, body, headers=tuple(headers), about=about)


class App:
    """The application.

    Args:
        service: Answers requests.
        about: The answer of ``/schema``.
        limits: Of a request.
        hosts: Names under which the server may be addressed; None: any.
        log: Receives a line for each request.
    """

    def __init__(
        self, service: Service, about: Mapping[str, Any], limits: Limits, hosts: frozenset[str] | None, log: Log
    ) -> None:
        self.service, self.about, self.limits, self.hosts, self.log = service, about, limits, hosts, log
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="trainctl-read")
        self.began, self.requests, self.active = time.monotonic(), 0, 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request; whatever goes wrong becomes an answer, too."""
        if scope["type"] != "http":
            return
        began, self.requests = time.monotonic(), self.requests + 1
        try:
            reply = await self._answer(scope, receive)
        except Refused as error:
            reply = _refusal(error)
        except Exception as error:  # noqa: BLE001 - a bug: of ours, or of the model
            self.log(f"internal error, please report it: {type(error).__name__}: {reason(error)}")
            reply = _refusal(Refused(500, "internal error; the log of the server has its reason"))
        with suppress(TimeoutError, OSError):  # who does not read the answer does not get it
            async with asyncio.timeout(self.limits.seconds):
                await _send(send, reply, with_body=scope["method"] != "HEAD")
        target = printable(scope["path"][:200])
        milliseconds = 1000 * (time.monotonic() - began)
        self.log(f"{scope['method']} {target} {reply.status} {reply.about}{milliseconds:.1f} ms")

    async def _answer(self, scope: Message, receive: Receive) -> Reply:
        path, method = scope["path"], scope["method"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_origin(headers)
        if path not in ROUTES:
            raise Refused(404, f"no such path; choose from: {', '.join(ROUTES)}")
        if method not in ROUTES[path]:
            raise Refused(405, f"{path} takes {' and '.join(ROUTES[path])}", allow=", ".join(ROUTES[path]))
        if path == "/":
            return Reply(200, PAGE, "text/html; charset=utf-8", (("content-security-policy", POLICY),))
        if path == "/schema":
            return as_json(self.about)
        if path == "/health":
            return as_json(self.health())
        if self.active >= self.limits.waiting:
            raise Refused(503, "too many requests at once; try again", retry_after="1", connection="close")
        self.active += 1
        try:
            return await self._predict(scope, headers, receive)
        finally:
            self.active -= 1

    def health(self) -> dict[str, Any]:
        """Return the answer of ``/health``."""
        seconds = round(time.monotonic() - self.began, 3)
        counts = {"requests": self.requests, "active": self.active, "batches": self.service.batcher.batches}
        return {"status": "ok", "run": self.about["run"], "seconds": seconds} | counts

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse requests of pages of other sites: by another name of this machine, or as a browser marks them."""
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self.hosts is not None and name.lower() not in self.hosts:
            raise Refused(
                421, f"this server does not answer to the name {name[:100] or '(none)'}; it serves this machine only"
            )
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused(403, "requests from pages of other sites are refused")

    async def _predict(self, scope: Message, headers: Mapping[str, str], receive: Receive) -> Reply:
        kind, ids = self._kind(headers), _ids(scope)
        content = await self._body(headers, receive)
        wants_csv = "text/csv" in headers.get("accept", "")
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._computed(content, kind, ids, wants_csv=wants_csv)
        except TimeoutError as error:
            raise Refused(503, f"no answer within {self.limits.seconds:g} s; try again", retry_after="1") from error
        except TooManyRowsError as error:
            raise Refused(413, *error.lines) from error
        except UnavailableError as error:
            raise Refused(503, *error.lines, retry_after="1") from error
        except (DataError, TrainctlError) as error:
            raise Refused(400, *error.lines) from error
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            raise Refused(503, out_of_memory(error), retry_after="1") from error

    async def _computed(self, content: bytes, kind: str, ids: list[str], *, wants_csv: bool) -> Reply:
        """Parse a body and format the answer in threads of their own, so that the others are not kept waiting."""
        loop, service = asyncio.get_running_loop(), self.service
        asked = await loop.run_in_executor(self.readers, service.read, content, kind, ids)
        cells = await asyncio.wrap_future(service.submit(asked))  # cancelled with this request
        about = f"{amount(len(cells), 'row')} "

        def formatted() -> Reply:
            if wants_csv:
                text = service.as_csv(asked, cells).encode(errors="backslashreplace")
                return Reply(200, text, "text/csv; charset=utf-8", about=about)
            return as_json(service.as_json(asked, cells), about=about)

        return await loop.run_in_executor(self.readers, formatted)

    def _kind(self, headers: Mapping[str, str]) -> str:
        """Return what a body contains.

        Raises:
            Refused: If the run does not read that.
        """
        named = headers.get("content-type", "").partition(";")[0].strip().lower()
        kind = "image" if named.startswith("image/") else KINDS.get(named)
        reads = self.about["input"]
        if (
            kind is None
            or (kind == "image") != (reads == "image" and kind != "json")
            or (kind == "text" and reads != "text")
        ):
            expected = f"expected {', '.join(self.about['accepts'])}{OF_CURL.get(named, '')}"
            raise Refused(415, f"content type {named[:100] or '(none)'}: {expected}")
        return kind

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body of a request.

        Raises:
            Refused: If it is too large, or does not arrive.
        """
        most = self.limits.most_bytes
        too_large = Refused(413, f"the body is larger than {most:,} bytes", connection="close")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:18]) > most:
            raise too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the connection was closed before the body had arrived", connection="close")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError as error:
            late = f"the body did not arrive within {self.limits.seconds:g} s"
            raise Refused(408, late, connection="close") from error

    def close(self) -> None:
        """End the threads; requests that are in progress are answered first."""
        self.readers.shutdown(wait=True, cancel_futures=True)  # what waits is for requests that were given up
        self.service.close()


def _ids(scope: Message) -> list[str]:
    """Return the columns that are copied to the answer: ``?id=customer``."""
    try:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=MOST_OPTIONS)
    except ValueError as error:
        raise Refused(400, f"more than {MOST_OPTIONS} options") from error
    if wrong := [key for key in query if key != "id"]:
        raise Refused(400, f"no such option: {wrong[0][:100]}; the only option is id=COLUMN")
    return [name for value in query.get("id", []) for name in value.split(",") if name]


def _refusal(error: Refused) -> Reply:
    lines = [*error.lines] or [HTTPStatus(error.status).phrase]
    text = "; ".join(lines)
    return as_json({"error": text}, error.status, error.headers, about=f"{text[:LONGEST]} ")


async def _send(send: Send, reply: Reply, *, with_body: bool) -> None:
    headers = {
        "content-type": reply.kind,
        "content-length": str(len(reply.body)),
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        **dict(reply.headers),
    }
    encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})
