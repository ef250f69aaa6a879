"""Break the code on purpose, one line at a time, and see whether the tests notice.

    python tests/mutate.py [part of a file's name]

Each breakage of tests/mutations.py is made in a copy of the tree, where its selection of tests must fail.
The exit code is 1 if a breakage survives or no longer fits the code, 2 if a selection does not even run.

Each CPU has a process for its share of them, which forks another one for each selection of tests: to import the
libraries takes longer than most of the selections. Nothing of trainctl or its tests is imported before that fork, but for
the list of breakages.
"""

import importlib
import math
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.mutations import MUTATIONS, Mutation  # noqa: E402

COPIED = (
    "trainctl",
    "conf",
    "recipes",
    "tests",
    "docs",
    "benchmarks",
    "requirements",
    "pyproject.toml",
    "Makefile",
    "README.md",
    "LICENSE",
)
# pytest's exit codes: 0 all passed, 1 some failed; the others say that the selection could not be judged.
VERDICTS = {0: "survived", 1: "caught"}
STOPPED = (
    "stopped"  # did not end, which somebody would notice; it is reported apart, because a busy machine is slow, too
)
NOTICED = ("caught", STOPPED)
SECONDS = 1800.0
LIBRARIES = (
    "pytest",
    "hypothesis",
    "torch",
    "torchvision",
    "numpy",
    "sklearn",
    "matplotlib.pyplot",
    "hydra",
    "omegaconf",
)


def mutate(text: str, mutation: Mutation) -> str:
    """Return a file's text with the breakage in it.

    Raises:
        ValueError: If the old text is not there exactly once, or the new one changes nothing.
    """
    count = text.count(mutation.old)
    if count != 1:
        raise ValueError(f"{mutation.file}: {mutation.old!r} stands there {count} times, not once")
    if mutation.new == mutation.old:
        raise ValueError(f"{mutation.file}: {mutation.old!r} is replaced by itself")
    return text.replace(mutation.old, mutation.new)


def verdict(code: int | None) -> str:
    """Say what pytest's exit code means for a breakage; None stands for a run that did not end."""
    return STOPPED if code is None else VERDICTS.get(code, f"not judged: pytest ended with {code}")


def with_health(broken: str, healthy: str) -> str:
    """Return the verdict on a breakage, given what its tests said without it: "survived", as nothing was broken."""
    return broken if healthy == "survived" else "not judged: the tests fail without the breakage, too"


def exit_code(verdicts: Sequence[str]) -> int:
    """Return 0 if every breakage was caught, 1 if one survived, else 2."""
    if "survived" in verdicts:
        return 1
    return 0 if all(verdict in NOTICED for verdict in verdicts) else 2


def copy_tree(target: Path) -> None:
    """Copy what the tests need into a new directory."""
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, target / name)


def run_tests(tree: Path, tests: str, seconds: float = SECONDS) -> int | None:
    """Run a selection in a copy and return pytest's exit code; None if it had to be stopped."""
    output = tree.parent / "pytest.out"
    pid = os.fork()
    if pid == 0:
        known = "ignore::pytest.PytestAssertRewriteWarning"  # of plugins that a library has imported
        own = f"--basetemp={tree.parent / 'tmp'}"  # or the runs of the other shares would remove its directories
        _run_pytest(tree, ["-x", "-q", "-p", "no:cacheprovider", "-W", known, own, *shlex.split(tests)], output)
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what a broken command has left behind
    code = os.waitstatus_to_exitcode(status)
    if code not in VERDICTS:
        print(output.read_text(encoding="utf-8", errors="replace")[-4000:], file=sys.stderr)
    return code


def _run_pytest(tree: Path, arguments: Sequence[str], output: Path) -> NoReturn:
    """Become a process that runs pytest in a copy, and end with its exit code."""
    code = 3
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, file), (2, file)):
            os.dup2(source, target)
        os.chdir(tree)
        # The copy goes before an editable install. No byte code is kept: a breakage may be as long as what it
        # replaces and as old to the second, which is all that Python looks at.
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        sys.path[:] = [str(tree), *(each for each in sys.path if Path(each).resolve() not in (ROOT, ROOT / "tests"))]
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "trainctl")]:
            del sys.modules[name]
        code = int(importlib.import_module("pytest").main(list(arguments)))
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def shares(chosen: Sequence[Mutation], count: int) -> list[list[Mutation]]:
    """Deal the breakages to at most ``count`` processes, those with a file of tests in common to the same one."""
    files: dict[str, list[Mutation]] = {}
    for mutation in chosen:
        files.setdefault(re.split(r"::|\s", mutation.tests)[0], []).append(mutation)
    dealt: list[list[Mutation]] = [[] for _ in range(min(count, len(files)))]
    for together in sorted(files.values(), key=len, reverse=True):
        min(dealt, key=len).extend(together)
    return dealt


def judge(share: Sequence[Mutation]) -> list[str]:
    """Make each breakage in a copy of the tree, run its tests, print and return the verdicts.

    Tests that fail without the breakage, too, judge nothing: each selection runs once in a healthy copy before.
    """
    verdicts, healthy = [], {}
    with tempfile.TemporaryDirectory(prefix="trainctl-mutate-") as folder:
        tree = Path(folder, "tree")
        copy_tree(tree)
        for mutation in share:
            path, started = tree / mutation.file, time.perf_counter()
            if mutation.tests not in healthy:
                healthy[mutation.tests] = verdict(run_tests(tree, mutation.tests, math.inf))
            whole = path.read_text(encoding="utf-8")
            path.write_text(mutate(whole, mutation), encoding="utf-8")
            verdicts.append(with_health(verdict(run_tests(tree, mutation.tests)), healthy[mutation.tests]))
            path.write_text(whole, encoding="utf-8")
            seconds = time.perf_counter() - started
            print(
                f"{verdicts[-1]:9} {seconds:5.1f} s  {mutation.file}: {mutation.old!r} -> {mutation.new!r}", flush=True
            )
    return verdicts


def main(wanted: Sequence[str]) -> int:
    """Apply the breakages whose file's name contains one of the words (all without words); report each."""
    chosen = [mutation for mutation in MUTATIONS if not wanted or any(word in mutation.file for word in wanted)]
    if not chosen:
        print(f"no breakage of a file like {' or '.join(wanted)}", file=sys.stderr)
        return 2
    for mutation in chosen:
        mutate((ROOT / mutation.file).read_text(encoding="utf-8"), mutation)
    for library in LIBRARIES:
        importlib.import_module(library)
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as processes:
        verdicts = [each for share in processes.map(judge, shares(chosen, os.cpu_count() or 1)) for each in share]
    for unjudged in dict.fromkeys(each for each in verdicts if each not in ("survived", *NOTICED)):
        print(unjudged, file=sys.stderr)
    stopped = f", {verdicts.count(STOPPED)} did not end" if STOPPED in verdicts else ""
    print(f"{verdicts.count('caught')} of {len(verdicts)} breakages caught{stopped}")
    return exit_code(verdicts)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"tests/mutations.py does not fit the code: {error}")
