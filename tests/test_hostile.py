"""Any text in any argument, any environment, any file in ./conf: no traceback, no wait, nothing executed, no escapes."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from tests.soak import cases, seed
from trainctl import cli
from trainctl.command.help import COMMANDS
from trainctl.settings import hydra_tree
from trainctl.settings.code_digest import own_code
from trainctl.train import session

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
SECONDS = 10  # of one command in this process; it takes tenths of one

PIECES = [
    "", "=", "==", ",", ":", ".", "-", "--", "~", "+", "++", "@", "/", "..", "*", "$(touch canary)", "`touch canary`", "${oc.env:HOME}",
    "${", "}", "[", "]", "{", "(", ")", "'",
    '"', "\\", "\n", "\t", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\ufeff", "é", "\U0001f600", "\udcff",
    "null", "true", "no", "nan", "inf", "1e999", "0", "-1", "9" * 400, "9" * 5000, "٣", "²", "x" * 300, "[" * 300, "{a:" * 300, "(" * 300,
    "choice(" * 60, "1," * 4000, "~nosuchuser/x", "/dev/zero", "/dev/stdin", "/proc/self/mem", "/", "conf", "a" * 5000 + "/x", "__main__",
    "[__main__]", "[os]", "optimizer", "optimizer.lr", "adam", "seed", "last", "runs", "%s", "{0}", "%(x)s", "<b>",
    "[red]", "$x$", "$\\frac$",
]  # fmt: skip
KEYS = [
    "root", "sort", "status", "limit", "format", "from", "steps", "which", "split", "output", "components", "dataset.path", "dataset",
    "loop.max_time", "loop.epochs", "model", "model.hidden", "recipe", "monitor", "output.root", "device",
    "hydra.run.dir", "optimizer.lr",
]  # fmt: skip
FLAGS = [
    "--help",
    "--cfg",
    "job",
    "--info",
    "config",
    "-m",
    "--config-dir",
    "--package",
    "--resolve",
    "--hydra-help",
    "--shell-completion",
    "-sc",
]


@pytest.fixture
def say(monkeypatch, capfd, tmp_path):
    """Return a function that runs the command line here, without training, and returns its exit code and output."""
    monkeypatch.setattr(session, "begin", lambda *arguments, **options: {"outcome": "finished"})
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*words):
        hydra_tree._compose_members.cache_clear()
        monkeypatch.setattr(sys, "argv", ["trainctl", *words])
        started = time.monotonic()
        code = cli.main()
        assert time.monotonic() - started < SECONDS, words
        printed = "".join(capfd.readouterr())
        assert code != 1, printed
        assert not UNSAFE.search(printed), ascii(UNSAFE.search(printed))
        assert "Traceback" not in printed
        assert not any(path.name.startswith("canary") for path in tmp_path.iterdir())
        return code, printed

    return run


def word(source):
    text = "".join(source.choices(PIECES, k=source.choice((1, 1, 2, 3))))
    return source.choice(
        (text, text, f"{source.choice(KEYS)}={text}", f"{source.choice('+~')}{source.choice(KEYS)}={text}")
    )


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("find-lr", "find-batch-size", "profile")] + [""])
def test_any_text_in_any_argument_is_answered(say, command):
    source = seed(f"arguments {command}")
    for _ in range(cases(14)):
        words = [word(source) for _ in range(source.choice((1, 2, 3)))]
        if not command and source.random() < 0.5:
            words.insert(source.randrange(len(words) + 1), source.choice(FLAGS))
        code, printed = say(*([command] if command else []), *words)
        assert code in (0, 2, 3, 4, 5, 7), (words, printed)
        if code:
            assert all(line.startswith("trainctl: ") for line in printed.splitlines()), printed
            assert max(map(len, printed.splitlines())) < 3000


CONTENTS = {
    "bomb": "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{this}: &{this} [{','.join([f'*{before}'] * 10)}]\n" for before, this in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "deep": "[" * 20_000, "dashes": "- " * 20_000, "number": "x: " + "9" * 5000,
    "code": "!!python/object/apply:os.system ['touch canary']",
    "target": "_target_: os.system\ncommand: touch canary\n", "escape": "name: \"\x1b]0;x\x07\"\n", "empty": "",
    "list": "[1]", "nul": "a\0b",
    "latin": b"name: \xe9\n", "hydra": "hydra: {run: {dir: /}}\n", "cycle": "defaults: [own]\nname: mlp\n",
    "text": "mlp", "keys": "1: 2\n? [a]\n: b\n",
    "interpolation": "name: ${oc.env:HOME}\nx: ${x}\n", "package": "# @package hydra.callbacks\nx: 1\n", "large": "x: " + "y" * 2_000_000,
}  # fmt: skip
SPECIAL = ["fifo", "/dev/zero", "/dev/ptmx", "/dev/tty", "/proc/self/mem", "loop", "directory", "unreadable", "nowhere"]
NAMES = ["own", "$(touch canary)", "\x1b]0;x\x07", "\u202e", "a b", "-x", "ü", "[red]", "a=b", "x,y", "\udcff"]


def hostile(path, kind):
    """Put a file of some kind at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in CONTENTS:
        content = CONTENTS[kind]
        path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "unreadable":
        path.write_text("name: mlp")
        path.chmod(0)
    else:
        path.symlink_to({"loop": path.name, "nowhere": "nowhere"}.get(kind, kind))


LOOKING = (
    ["list"],
    ["list", "model"],
    ["list", "recipe"],
    ["--help"],
    ["--cfg", "job"],
    ["--shell-completion", "query=bash"],
    ["runs"],
)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(os.name != "posix", reason="POSIX")
def test_any_file_in_conf_holds_up_only_who_selects_it(say, tmp_path, monkeypatch):
    source = seed("conf")
    monkeypatch.setenv("COMP_LINE", "trainctl model=")
    for _ in range(cases(6)):
        shutil.rmtree(tmp_path / "conf", ignore_errors=True)
        chosen = []
        for _ in range(3):
            group, name, kind = (
                source.choice(["model", "model", "recipe", "optimizer"]),
                source.choice(NAMES),
                source.choice([*CONTENTS, *SPECIAL]),
            )
            path = tmp_path / "conf" / group / f"{name}.yaml"
            if not os.path.lexists(path):
                hostile(path, kind)
                chosen.append(f"{group}={name}")
        for words in LOOKING:
            assert say(*words)[0] == 0, (chosen, words)
        assert say("optimizer=sgd", "seed=1")[0] == 0, chosen
        for words in (chosen, chosen[:1], ["list", *chosen[0].split("=")], [*chosen[:1], "--cfg", "job"]):
            assert say(*words)[0] in (0, 2), chosen


@pytest.mark.parametrize("kind", [*CONTENTS, *SPECIAL])
def test_a_broken_member_is_marked_in_the_list_with_its_reason(say, tmp_path, kind):
    hostile(tmp_path / "conf" / "model" / "own.yaml", kind)
    code, printed = say("list", "model")
    assert code == 0
    assert "mlp" in printed


def test_a_directory_of_the_whole_file_system_is_not_searched(say, tmp_path):
    (tmp_path / "conf").symlink_to("/")
    assert say("--cfg", "job")[0] == 0
    assert say("--config-dir", "/", "seed=1")[0] == 0


ENVIRONMENT = {
    "MPLBACKEND": ["Qt4Agg", "", "\x1b[31m"], "MATPLOTLIBRC": ["/dev/zero", "nowhere", "/"], "TERM": ["dumb", "", "nonsense"],
    "COLUMNS": ["0", "-1", "x", "9" * 30], "LINES": ["0", "x"], "LC_ALL": ["C", "nonsense", "tr_TR.UTF-8"],
    "HOME": ["/proc", "/proc/nowhere", ""],
    "TMPDIR": ["/proc/nowhere", ""], "OMP_NUM_THREADS": ["abc", "0", "-3", "999999999"], "PYTHONWARNINGS": ["error", "nonsense"],
    "PYTHONOPTIMIZE": ["2", "x"], "PYTHONIOENCODING": ["ascii", "latin-1", "utf-16"], "PYTHONHASHSEED": ["0"], "NO_COLOR": ["1"],
    "FORCE_COLOR": ["1"], "TZ": ["nonsense", "Pacific/Kiritimati"], "CUDA_VISIBLE_DEVICES": ["x", "0"], "HYDRA_FULL_ERROR": ["1", "x"],
    "XDG_CONFIG_HOME": ["/dev/zero"], "XDG_CACHE_HOME": ["/proc/nowhere"], "GIT_DIR": ["/proc/nowhere"],
    "SOURCE_DATE_EPOCH": ["x"], "COMP_POINT": ["x"],
    "PATH": ["", ".", "\x1b"], "SHELL": [""], "USER": [""], "MKL_NUM_THREADS": ["x"], "PYTHONUTF8": ["0"], "THP_MEM_ALLOC_ENABLE": ["x"],
}  # fmt: skip
AT_START = (
    "PYTHONWARNINGS",
    "PYTHONOPTIMIZE",
    "PYTHONIOENCODING",
    "PYTHONHASHSEED",
    "PYTHONUTF8",
)  # read by Python itself
TRAIN = ["dataset=iris", "loop.epochs=1", "threads=1"]


@pytest.mark.soak
def test_any_environment_prints_help_and_lists(command):
    source = seed("environment")
    for number in range(cases(4)):
        names = source.sample(sorted(ENVIRONMENT), 6) if number else list(AT_START)
        drawn = {name: source.choice(ENVIRONMENT[name]) for name in names}
        words = source.choice((["list", "schedule"], ["train", "--help"], ["--help"], ["runs"]))
        done = command(*words, fresh=True, timeout=60, **drawn)
        assert done.returncode == 0, (drawn, words, done.stderr)
        assert "Traceback" not in done.stderr
        assert len(done.stdout) > 100 or words == ["runs"]


@pytest.mark.slow
@pytest.mark.soak
def test_any_environment_trains_and_draws(command, tmp_path):
    source = seed("training environment")
    (tmp_path / "matplotlibrc").write_bytes(b"\xe9t\xe9: \x1b]0;x\x07\nbackend: Qt4Agg\n")
    for number in range(cases(1)):
        names = source.sample(sorted(set(ENVIRONMENT) - set(AT_START)), 8)
        drawn = {name: source.choice(ENVIRONMENT[name]) for name in names} | {
            "MPLBACKEND": "Qt4Agg",
            "TMPDIR": "/proc/nowhere",
        }
        done = command(*TRAIN, f"output.root=r{number}", fresh=True, timeout=120, **drawn)  # matplotlib is imported
        assert done.returncode == 0, (drawn, done.stderr)
        assert not UNSAFE.search(done.stdout + done.stderr)
        (run,) = (tmp_path / f"r{number}").glob("2*")
        assert {"summary.json", "plots"} <= {path.name for path in run.iterdir()}, done.stderr


SHADOWS = [
    "random",
    "yaml",
    "torch",
    "csv",
    "numpy",
    "json",
    "rich",
    "hydra",
    "omegaconf",
    "antlr4",
    "logging",
    "tempfile",
    "subprocess",
    "difflib",
]


@pytest.mark.slow
def test_python_m_imports_nothing_of_the_working_directory(command, tmp_path):
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("from pathlib import Path\nPath('canary').touch()\nraise SystemExit(9)\n")
    for package in ("hydra_plugins/evil", "sklearn", "matplotlib"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text(
            "from pathlib import Path\nPath('canary').touch()\nraise SystemExit(9)\n"
        )
    (tmp_path / "mine" / "schedule").mkdir(parents=True)
    (tmp_path / "mine" / "schedule" / "flat.py").write_text("def flat():\n    return lambda step: 1.0\n")
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "flat.yaml").write_text("name: flat\n")
    done = command(*TRAIN, "components=[mine]", "schedule=flat", "output.plots=false", fresh=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "canary").exists()


def test_a_removed_working_directory_is_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    words = ["/bin/sh", "-c", 'rmdir "$1"; shift; exec "$@"', "sh", str(gone), sys.executable, "-m", "trainctl", "list"]
    done = subprocess.run(words, cwd=gone, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1), done.stderr


def test_a_bug_of_a_component_shows_its_traceback_without_its_escapes(command, tmp_path):
    (tmp_path / "mine" / "schedule").mkdir(parents=True)
    (tmp_path / "mine" / "schedule" / "bad.py").write_text(
        "class Mine(Exception):\n    pass\n\n\ndef bad():\n    raise Mine('\\x9b31m \\x1b]0;x\\x07')\n"
    )
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "bad.yaml").write_text("name: bad\n")
    done = command(*TRAIN, "components=[mine]", "schedule=bad")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "Mine: \\x9b31m \\x1b]0;x\\x07" in done.stderr
    assert not UNSAFE.search(done.stderr)


def test_a_broken_connection_of_a_component_is_no_reader_that_has_left(command, tmp_path):
    (tmp_path / "mine" / "schedule").mkdir(parents=True)
    (tmp_path / "mine" / "schedule" / "bad.py").write_text(
        "def bad():\n    def rate(step):\n        raise BrokenPipeError('gone')\n    return rate\n"
    )
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "bad.yaml").write_text("name: bad\n")
    done = command(*TRAIN, "components=[mine]", "schedule=bad")
    assert done.returncode == 1
    assert "BrokenPipeError: gone" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
def test_a_conf_that_may_not_be_read_holds_nothing_up(say, tmp_path, monkeypatch):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    access = os.access  # root may read everything
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path / "conf") and access(path, mode))
    for words in LOOKING:
        assert say(*words)[0] == 0, words
    code, printed = say("seed=1")
    assert code == 0
    assert f"trainctl: note: {tmp_path / 'conf'}: permission denied; its files are left out\n" in printed
    code, printed = say("--config-dir", "conf", "seed=1")
    assert (code, printed) == (2, "trainctl: --config-dir conf: permission denied\n")


BREAKS = ["\n", "\r\n", "\x1b[31m", "\u2028", "'", '"', "\\", " ", "$(touch canary)", "é", "a"]


def named(source, length=6):
    """Return a name with line breaks, quotes and escape sequences."""
    return "n" + "".join(source.choices(BREAKS, k=length)) + "\nz"


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.skipif(os.name != "posix", reason="POSIX")
def test_any_name_stays_in_its_line_and_in_its_command(command, tmp_path):
    source = seed("line breaks")
    for number in range(cases(2)):
        columns, classes, path, root = (
            [named(source) + str(n) for n in range(3)],
            [named(source) + str(n) for n in range(2)],
            f"{named(source)}.csv",
            f"{named(source)}{number}",
        )
        rows = [[str(n % 7), classes[n % 3 > 0], str(n)] for n in range(30)]
        with (tmp_path / path).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
        words = [f"dataset.path={path}", f"dataset.target={columns[1]}", "dataset=csv", "loop.epochs=1", "threads=1"]
        done = command(*words, f"output.root={root}", "output.plots=false")
        assert done.returncode == 0, done.stderr
        assert not UNSAFE.search(done.stdout + done.stderr)
        labels = {line.split(" ")[0] for line in done.stdout.splitlines()}
        assert labels <= LABELS, done.stdout
        evaluate = re.search(r"^next +(trainctl evaluate .*)$", done.stdout, re.MULTILINE)[1]
        shell = f'trainctl() {{ "{sys.executable}" -m trainctl "$@"; }}; {evaluate}'
        pasted = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert pasted.returncode == 0, (evaluate, pasted.stderr)
        wrong = command(*words, "dataset.target=nowhere", f"dataset.drop=[{named(source)}]")
        assert (wrong.returncode, wrong.stderr.count("\n")) == (3, 1 + wrong.stderr.count("note: ")), wrong.stderr
        assert not (tmp_path / "canary").exists()


# Of the lines that training prints; "" continues the one above.
LABELS = {
    "train", "run", "device", "model", "data", "task", "numbers", "categories", "dates", "note", "not", "epoch", "engine",
    "trivial", "warning", "finished", "best", "test", "time", "next", "", "trainctl:",
}  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
def test_a_package_of_endless_files_is_identified_in_no_time(tmp_path):
    (tmp_path / "mine_of_endless_files" / "model").mkdir(parents=True)
    (tmp_path / "mine_of_endless_files" / "__init__.py").write_text("")
    os.mkfifo(tmp_path / "mine_of_endless_files" / "pipe.py")
    (tmp_path / "mine_of_endless_files" / "model" / "zero.py").symlink_to("/dev/zero")
    before = own_code(("mine_of_endless_files",))
    (tmp_path / "mine_of_endless_files" / "__init__.py").write_text("x = 1")
    own_code.cache_clear()
    assert len(before) == 12
    assert own_code(("mine_of_endless_files",)) != before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("TORCH_LOGS", "PyTorch cannot be loaded: Invalid log settings: nonsense"),
        ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF=nonsense: expected option:value"),
    ],
)
def test_a_variable_that_pytorch_refuses_is_named(command, name, says):
    done = command(*TRAIN, fresh=True, timeout=120, **{name: "nonsense"})
    errors = done.stderr.splitlines()
    assert (done.returncode, len(errors)) == (7, 1), done.stderr
    assert says in errors[0]
    assert name in errors[0]


@pytest.mark.parametrize("content", ["", "seed: 1\n", "# my recipe\nloop:\n  epochs: 1\n"])
def test_a_recipe_without_its_first_line_is_answered_with_it(say, tmp_path, content):
    path = tmp_path / "conf" / "recipe" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert say("recipe=mine") == (2, f'trainctl: {path}: a recipe needs "# @package _global_" as its first line\n')
