"""Only the modules listed here touch the terminal; whatever else is printed goes through them, escaped."""

import ast
from pathlib import Path

import pytest

import trainctl

ROOT = Path(trainctl.__file__).parent
# Each with what it may use, and why nothing foreign gets past `printable` there.
WRITERS = {
    "report/table.py": {"print", "stream", "rich"},  # escapes every cell and line
    "report/streams.py": {"stream"},  # hands all to table
    "report/console.py": {"stream", "rich"},  # escapes each line
    "report/view.py": {"rich"},  # escapes each fact
    "report/notebook.py": {"rich"},  # escapes each line, and lets rich write HTML into memory
    "report/plain.py": {"stream"},  # escapes each line
    "report/reporters.py": {"stream"},  # chooses a stream, and writes nothing
    "report/waits.py": {"stream"},  # escapes each line
    "report/files.py": set(),
    "report/terminal.py": {"rich"},  # the frame of live views
    "sweep/live.py": {"rich"},  # escapes each line
    "sweep/view.py": {"rich"},  # escapes each fact
    "sweep/run.py": {"stream"},  # chooses a stream, and writes nothing
    "sweep/worker.py": {"stream", "print"},  # prints into the log of a trial
    "sweep/zygote.py": {"stream"},  # flushes
    "entry.py": {"stream"},  # what completion offers: plain identifiers
    "train/following.py": {"stream"},  # the traceback of an internal error
    "machine/step_mark.py": {"stream"},  # writes an exit code into a file
    "cli.py": {"stream"},  # flushes, and names the stream for table
}
READS = {"isatty", "encoding", "fileno"}  # what any module may ask of a stream


def uses(path: Path) -> set[str]:
    """Return by which means a module could reach the terminal."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "breakpoint", "input")
        ):
            found.add("print")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] in ("rich", "curses", "readline", "pprint", "getpass") for name in names):
            found.add("rich")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "sys.stdout",
            "sys.stderr",
            "sys.__stdout__",
            "sys.__stderr__",
        ):
            outer = parents[node]
            passed_on = isinstance(outer, ast.keyword) and outer.arg == "stream"  # table.line(..., stream=sys.stderr)
            if not passed_on and not (isinstance(outer, ast.Attribute) and outer.attr in READS):
                found.add("stream")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "traceback.print_exc",
            "traceback.print_exception",
            "os.system",
            "logging.basicConfig",
        ):
            found.add("stream")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.write" and path.name != "operations.py":
            found.add("stream")
    return found


def test_no_other_module_writes_to_the_terminal():
    paths = sorted(ROOT.rglob("*.py"))
    assert len(paths) > 150
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        assert uses(path) <= WRITERS.get(name, set()), f"{name}: print with trainctl.report.table"


@pytest.mark.parametrize(
    "text",
    ["print('x')", "import sys\nsys.stdout.write('x')", "import sys\nout = sys.stderr", "from rich import print", "import rich.console",
     "import sys\nsys.__stdout__.write('x')", "import traceback\ntraceback.print_exc()"],
)  # fmt: skip
def test_the_walk_finds_each_way_around(tmp_path, text):
    path = tmp_path / "x.py"
    path.write_text(text)
    assert uses(path)
