"""The commands of a page of the documentation: found in its fenced blocks, and run as a reader would type them.

A block of ``console`` holds commands after ``$ ``, continued after ``> ``, and what they print. A block of ``sh`` holds
commands alone. A block of another language that begins with ``# path/of/a.file`` is that file. In a block of ``yaml``
each ``- run:`` is a command. The comment ``<!-- not run: REASON -->`` before a block leaves it out.
"""

import json
import os
import re
import shlex
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.zygote import Zygote

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
FENCE = re.compile(r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
FILE = re.compile(r"(?:# @package \w+\n)?# ([\w.-]+(?:/[\w.-]+)*\.\w+)\n")
STEP = re.compile(r"^ *- run: (?P<command>[^#\n]+)", re.M)
# What differs from run to run: the names of runs, and numbers.
RUN_NAME = r"\d{8}-\d{6}-[\w.=,-]*[0-9a-f]{6}"
NUMBER = r"-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?"
TIMEOUT = 240  # seconds for a page; most take two

SHIM = """\
#!{python} -SEs
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
with connection.makefile("rw") as stream:
    print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]), file=stream, flush=True)
    code, out, err = json.loads(stream.readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `reason` says why it is not run, if it is not."""

    language: str
    text: str
    line: int
    reason: str | None


@dataclass
class Command:
    """A command, where it stands, and the lines that it is to print."""

    text: str
    line: int
    shown: list[str] = field(default_factory=list)
    printed: str = ""
    exit_code: int | None = None


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(fence["language"], fence["text"], text.count("\n", 0, fence.start("text")), fence["reason"])
        for fence in FENCE.finditer(text)
    ]


def commands(page: Path) -> list[Command]:
    """Return a page's commands, in order; a file that the page shows is a command that writes it."""
    return [command for block in blocks(page) if block.reason is None for command in block_commands(block)]


def block_commands(block: Block) -> Iterator[Command]:
    """Return the commands of a block; a file that it shows is a command that writes it."""
    if block.language == "console":
        yield from _typed(block)
    elif block.language == "sh":
        yield Command(f"(set -e\n{block.text})", block.line)
    elif match := FILE.match(block.text):
        path = shlex.quote(match[1])
        yield Command(
            f"mkdir -p $(dirname {path}) && cat > {path} <<'END OF FILE'\n{block.text}END OF FILE", block.line
        )
    if block.language == "yaml":
        for step in STEP.finditer(block.text):
            if not step["command"].startswith("pip "):
                yield Command(step["command"].strip(), block.line)


def _typed(block: Block) -> Iterator[Command]:
    """Yield the commands of a block of ``console``."""
    command: Command | None = None
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            if command:
                yield command
            command = Command(line[2:], number)
        elif command is None:
            raise AssertionError(f"line {number}: a console block begins with a command, '$ ...': {line}")
        elif line.startswith("> "):
            command.text += "\n" + line[2:]
        elif line.strip():
            command.shown.append(line)
    if command:
        yield command


def troubles(typed: list[Command], page: str) -> list[str]:
    """Return what does not work as it is shown: a command that fails, or a line that is not printed.

    A command is to fail where an error is shown, and may fail where the next one, `echo $?`, shows its exit code.
    """
    found = []
    for command, following in zip(typed, [*typed[1:], None], strict=True):
        shows_error = any(line.startswith("trainctl: ") for line in command.shown)
        shows_code = following is not None and following.text == "echo $?"
        if command.exit_code is None or (bool(command.exit_code) != shows_error and not shows_code):
            found.append(f"{page}:{command.line}: {command.text}: exit code {command.exit_code}\n{command.printed}")
        elif absent := missing(command):
            found.append(f"{page}:{command.line}: {command.text}: does not print {absent}, but\n{command.printed}")
    return found


def run(typed: list[Command], directory: Path, zygote: Zygote) -> list[Command]:
    """Run commands in one shell, in an empty directory; return them with what they printed.

    Args:
        typed: The commands of a page.
        directory: An empty one, for the commands' own directory and for their results.
        zygote: Starts each `trainctl`.
    """
    results = directory / "results"
    home = directory / "home" / "project"
    results.mkdir()
    home.mkdir(parents=True, exist_ok=True)
    script = []
    for number, command in enumerate(typed):
        script.append(f"{{\n{command.text}\n}} > {results}/{number} 2>&1")
        script.append(f"code=$?; echo $code > {results}/{number}.code; (exit $code)")
    with tempfile.TemporaryDirectory() as short, _serve(f"{short}/socket", zygote):
        shim = Path(short) / "trainctl"
        shim.write_text(SHIM.format(python=sys.executable, address=f"{short}/socket"))
        shim.chmod(0o755)
        environment = os.environ | {
            "PATH": f"{short}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home.parent),
            "RUNNER_TEMP": str(home.parent),
            "COLUMNS": "160",
        }
        subprocess.run(["bash", "-c", "\n".join(script)], cwd=home, env=environment, timeout=TIMEOUT, check=False)
    for number, command in enumerate(typed):
        if (code := results / f"{number}.code").exists():
            command.exit_code = int(code.read_text())
            command.printed = (results / str(number)).read_text(encoding="utf-8")
    return typed


def _serve(address: str, zygote: Zygote) -> Any:
    """Answer the `trainctl` of a page's shell: each call becomes a process of the zygote."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            arguments, cwd, environment = json.loads(self.rfile.readline())
            process = zygote.start(arguments, Path(cwd), environment)
            out, err = process.communicate(TIMEOUT)
            self.wfile.write(json.dumps([process.returncode, out, err]).encode() + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        def __exit__(self, *_: object) -> None:
            self.shutdown()
            self.server_close()

    server = Server(address, Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def missing(command: Command) -> list[str]:
    """Return the lines that a command is shown to print and does not, in their order; numbers and run names may differ."""
    printed = iter(command.printed.splitlines())
    return [
        line
        for line in command.shown
        if line.strip() != "..." and not any(re.fullmatch(pattern(line), other.strip()) for other in printed)
    ]


def pattern(line: str) -> str:
    """Return the pattern that a printed line has to match.

    >>> bool(re.fullmatch(pattern("run  runs/20260101-120000-iris-mlp-adam-0a1b2c"), "run runs/20270202-1-x"))
    False
    >>> bool(re.fullmatch(pattern("val/loss  0.1234 at epoch 7..."), "val/loss 1.5e-05 at epoch 11, step 3"))
    True
    """
    parts = re.split(rf"({RUN_NAME}|(?<![\w-]){NUMBER}|\s+|\.\.\.$)", line.strip())
    return "".join(map(_part, parts))


def _part(part: str) -> str:
    if part == "...":
        return ".*"
    if part.isspace():
        return r"\s+"
    for variable in (RUN_NAME, NUMBER):
        if re.fullmatch(variable, part):
            return variable
    return re.escape(part)
