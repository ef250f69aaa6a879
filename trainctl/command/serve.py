"""Serve a run over HTTP: JSON, CSV, texts and images, and a page to try it.

    trainctl serve RUN [host=127.0.0.1] [port=8000] [which=best] [quantiles=[...]]
        [max_rows=10000] [max_mb=16] [queue=64] [timeout=30]
        [dataset settings] [device=...] [root=runs]

    trainctl serve my-run
    trainctl serve my-run port=0 device=cpu         any free port, which is printed
    curl -s 127.0.0.1:8000/predict -H 'content-type: application/json' -d '{"rows": [{"age": 31, "city": "Bern"}]}'
    curl -s 127.0.0.1:8000/predict -H 'content-type: text/csv' --data-binary @rows.csv
    curl -s 127.0.0.1:8000/predict -H 'content-type: image/png' --data-binary @digit.png

  GET /          a page with a form for a row, a text or an image
  GET /health    {"status": "ok", ...} once the model is ready
  GET /schema    what a row contains, and what is returned
  POST /predict  rows: JSON (application/json), an object per line (application/x-ndjson), CSV (text/csv), lines of
                 text (text/plain), or one image (image/*)

JSON is a list of records, {"rows": [...]}, one record, a list of lists of numbers, {"texts": [...]}, or
{"images": [...]} in base64. The answer is {"predictions": [...], "notes": [...]}: an object for each row, with the
columns of `trainctl predict`; with the header `accept: text/csv`, it is its CSV. /predict?id=COLUMN copies a column.
What is wrong with a request is answered with 400 to 503 and {"error": ...}. Rows are read, cleaned and predicted as by
`trainctl predict`; numbers differ in their last digits at most, since requests that arrive together are computed
together.

Only this machine can reach 127.0.0.1. There is no password and no encryption: before you choose another host, put a
server in front that has them. A request may have max_rows rows and max_mb megabytes, and timeout seconds to arrive and
as many to be answered; while `queue` requests are in progress, others get 503. Ctrl-C or SIGTERM answers
those in progress and ends with exit code 0.

This needs the extra `serve`: pip install 'trainctl[serve]'.
"""

import importlib.util
import ipaddress
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError, UnavailableError
from trainctl.report import table
from trainctl.store import rundir

OPTIONS = {
    "host": "127.0.0.1", "port": "8000", "which": "best", "quantiles": "", "max_rows": "10000", "max_mb": "16",
    "queue": "64", "timeout": "30", "root": "runs",
}  # fmt: skip
ALLOWED = ("device", "loop.eval_batch_size", *arguments.OF_A_FILE)
HIGHEST_PORT = 65_535
MOST_SECONDS = 3600


def main(argv: Sequence[str]) -> int:
    """Check the arguments, listen, import torch, load the model and serve; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=1, overrides=True, one_process="serve")
    if not parsed.names:
        raise ConfigError("serve needs a run: trainctl serve RUN")
    options = parsed.options
    which = option_values.choice("which", options["which"], ("best", "last"))
    quantiles = option_values.quantiles(options["quantiles"])
    most_rows, megabytes, waiting = (
        option_values.integer(key, options[key], 1) for key in ("max_rows", "max_mb", "queue")
    )
    seconds = option_values.number("timeout", options["timeout"], 0, MOST_SECONDS)
    port = option_values.integer("port", options["port"], 0)
    if port > HIGHEST_PORT:
        raise ConfigError(f"port={port}: expected a whole number in [0, {HIGHEST_PORT}]")
    directory = rundir.find(parsed.names[0], Path(options["root"]))
    packages, overrides = arguments.packages(parsed.overrides)
    require_package()
    launching.require_allowed(directory, packages, overrides, ALLOWED)
    from trainctl.serve.sockets import listen

    listener = listen(options["host"], port)  # before torch is loaded: a port in use is reported at once
    try:
        launching.import_torch()
        from trainctl.finished.open import open as open_run
        from trainctl.serve.app import Limits
        from trainctl.serve.server import server_for

        run = open_run(directory, packages, overrides, ALLOWED, payloads=[which])
        for note in run.notes:
            table.line(f"trainctl: {note}", stream=sys.stderr)
        limits = Limits(megabytes * 10**6, most_rows, seconds, waiting)
        server = server_for(
            run, which, limits, local=is_loopback(listener.getsockname()[0]), log=log, quantiles=quantiles
        )
        announce(directory.name, listener.getsockname(), options["host"])
        server.serve_on(listener)
    finally:
        listener.close()
    table.line("trainctl: stopped", stream=sys.stderr)
    return 0


def require_package() -> None:
    """Check that the package of the extra is installed, without importing it.

    Raises:
        UnavailableError: If it is missing.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise UnavailableError("serve needs uvicorn: pip install 'trainctl[serve]'")


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def announce(name: str, address: Sequence[object], host: str) -> None:
    """Print where the server can be reached; warn if other machines can reach it."""
    shown = f"[{address[0]}]" if ":" in str(address[0]) else str(address[0])
    table.line(f"serving {name} at http://{shown}:{address[1]}/ (Ctrl-C stops)")
    table.flush()
    if not is_loopback(str(address[0])):
        table.line(
            f"trainctl: note: host={host}: other machines can reach this server; it has no password and no encryption",
            stream=sys.stderr,
        )


def log(text: str) -> None:
    """Print a line of the log; a log that nobody reads any more stops nothing."""
    with suppress(OSError, ValueError):
        table.line(f"{datetime.now().astimezone().isoformat(timespec='milliseconds')} {text}", stream=sys.stderr)
