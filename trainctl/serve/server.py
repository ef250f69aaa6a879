"""Listen on a socket and serve an application until a signal ends it; uvicorn speaks HTTP."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from trainctl.data.schema import Schema
from trainctl.finished.open import Finished
from trainctl.finished.predictor import predictor
from trainctl.machine.signals import StopRequest
from trainctl.serve.app import LOOPBACK, App, Limits, Log
from trainctl.serve.description import describe
from trainctl.serve.service import Service
from trainctl.serve.sockets import BACKLOG

CONNECTIONS = 500  # open at the same time; more are answered with 503
IDLE = 5  # seconds between two requests of a connection
PATIENCE = 10  # seconds for the head of a request
HEAD = 64 * 1024  # bytes of a head


class Impatient(H11Protocol):
    """HTTP/1.1, which closes a connection on which the head of a request takes too long."""

    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; wait on if it is no whole head yet."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self.waiting is None:
            self.waiting = self.loop.call_later(PATIENCE, self.transport.close)

    def _stop_waiting(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None


class Server(uvicorn.Server):
    """Serves an application until it is asked to stop; requests in progress are answered before.

    Args:
        app: The application.
        seconds: How long requests in progress may take after that.
    """

    def __init__(self, app: App, seconds: float) -> None:
        options: dict[str, Any] = {
            "http": Impatient, "ws": "none", "loop": "asyncio", "lifespan": "off", "interface": "asgi3",
            "log_config": None, "log_level": "critical", "access_log": False, "server_header": False, "date_header": True,
            "proxy_headers": False, "backlog": BACKLOG, "limit_concurrency": CONNECTIONS, "timeout_keep_alive": IDLE,
            "h11_max_incomplete_event_size": HEAD, "timeout_graceful_shutdown": max(1, round(seconds)),
        }  # fmt: skip
        super().__init__(uvicorn.Config(app, **options))
        self.application, self.request = app, StopRequest()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Record signals as a training run does, instead of raising them again at the end."""
        with self.request:
            yield

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop."""
        return await super().on_tick(counter) or self.request.received is not None

    def stop(self) -> None:
        """Ask the server to stop, from any thread."""
        self.should_exit = True

    def serve_on(self, listener: socket.socket) -> None:
        """Serve until asked to stop."""
        try:
            asyncio.run(self.serve([listener]))
        finally:
            listener.close()
            self.application.close()


def server_for(
    run: Finished, which: str, limits: Limits, *, local: bool, log: Log, quantiles: Sequence[float] = ()
) -> Server:
    """Load a run's model, try it on a row, and return the server that answers with it.

    Args:
        run: The run.
        which: The weights: ``best`` or ``last``.
        limits: Of a request.
        local: Whether only this machine can reach it: then it is only answered under its own names.
        log: Receives a line for each request.
        quantiles: Of what the parts of an ensemble predict.

    Raises:
        CheckpointError: If configuration and weights do not match.
        ConfigError: If quantiles are wanted of a run that is no ensemble.
    """
    weights = run.weights(which)
    found = predictor(run, weights, quantiles=quantiles)
    found(
        _empty_row(run.schema)
    )  # so that what cannot be computed is reported now, and the first request does not wait
    service = Service(run, found, limits.most_rows)
    about = describe(found, run.config.parts["dataset"], run.directory.name, weights.step, asdict(limits))
    return Server(App(service, about, limits, LOOPBACK if local else None, log), limits.seconds)


def _empty_row(schema: Schema) -> torch.Tensor:
    kind = torch.long if schema.vocabulary else torch.uint8 if len(schema.input_shape) == 3 else torch.float32
    return torch.zeros(1, *schema.input_shape, dtype=kind)
