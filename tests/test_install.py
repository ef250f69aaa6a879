"""What `make` installs is pinned, for every Python and system, in versions that any machine can fetch."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LOCK, BENCH_LOCK = ROOT / "requirements" / "lock.txt", ROOT / "benchmarks" / "lock.txt"
STALE = "the lock is older than the requirements: make upgrade ARGS='--upgrade-package NAME', or make upgrade"
TARGETS = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()
MACHINES = [
    {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"} | system
    for minor in (11, 12, 13, 14)
    for system in (
        {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix"},
        {"sys_platform": "linux", "platform_machine": "aarch64", "os_name": "posix"},
        {"sys_platform": "darwin", "platform_machine": "arm64", "os_name": "posix"},
    )
]


def lines(file: Path) -> list[str]:
    """Return a requirements file's lines without comments."""
    text = file.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def requirements(texts: list[str]) -> list[Requirement]:
    return [Requirement(text.partition(" #")[0]) for text in texts]


def locked(file: Path, machine: dict[str, str]) -> dict[str, Version]:
    """Return the version of each package that a lock gives a machine."""
    chosen = [pin for pin in requirements(lines(file)) if pin.marker is None or pin.marker.evaluate(machine)]
    names = [canonicalize_name(pin.name) for pin in chosen]
    assert sorted(names) == sorted(set(names)), "one version of each package"
    return {name: Version(str(pin.specifier).removeprefix("==")) for name, pin in zip(names, chosen, strict=True)}


def not_in_range(wanted: list[Requirement], pins: dict[str, Version], machine: dict[str, str]) -> list[str]:
    """Return the requirements that a machine's pins do not meet, each with the version that is pinned."""
    return [
        f"{requirement}: {pins.get(canonicalize_name(requirement.name), 'missing')}"
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate(machine)
        if (version := pins.get(canonicalize_name(requirement.name))) is None or version not in requirement.specifier
    ]


def make(*arguments: str) -> str:
    # Without what an outer `make test ARGS=...` hands down.
    handed_down = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if name not in handed_down}
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", [LOCK, BENCH_LOCK], ids=lambda file: file.parent.name)
def test_a_lock_has_nothing_but_exact_versions_that_the_public_index_holds(file):
    pin = re.compile(r"[a-z0-9-]+==\d+(\.\d+)*(b\d+)?(\.post\d+)?( ; [^@]+)?")  # so no +cpu
    assert len(lines(file)) > 50
    assert [line for line in lines(file) if not pin.fullmatch(line)] == []


@pytest.mark.parametrize("file", [LOCK, BENCH_LOCK], ids=lambda file: file.parent.name)
def test_a_lock_names_no_host_and_no_path(file):
    assert re.findall(r"://|--\w|/(?:home|opt|root|tmp|work)\b|\bfile:", file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(machine.values()))
def test_the_lock_names_every_dependency_in_its_range(machine):
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    wanted = requirements([*PROJECT["dependencies"], *extras, *PYPROJECT["build-system"]["requires"]])
    assert len(wanted) > 20
    assert not_in_range(wanted, locked(LOCK, machine), machine) == [], STALE


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(machine.values()))
def test_the_lock_of_the_benchmarks_names_every_peer_in_its_range(machine):
    wanted = requirements([*PROJECT["dependencies"], *lines(ROOT / "benchmarks" / "requirements.txt")])
    assert not_in_range(wanted, locked(BENCH_LOCK, machine), machine) == [], STALE


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: "-".join(machine.values()))
def test_what_is_measured_is_what_is_tested(machine):
    tested, measured = locked(LOCK, machine), locked(BENCH_LOCK, machine)
    shared = tested.keys() & measured.keys()
    assert {"torch", "numpy"} <= shared
    assert {name: measured[name] for name in shared} == {name: tested[name] for name in shared}


def test_every_dependency_has_a_lowest_version():
    """Without one `make oldest` would install a release of ten years ago."""
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    wanted = requirements([*PROJECT["dependencies"], *extras, *lines(ROOT / "benchmarks" / "requirements.txt")])
    assert [str(one) for one in wanted if not any(part.operator in (">=", "==") for part in one.specifier)] == []


def test_make_and_pyproject_name_the_same_oldest_python():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in MAKEFILE
    assert f"--python-version {oldest} " in MAKEFILE
    assert f"oldest: PYTHON = python{oldest}\n" in MAKEFILE


def test_make_help_lists_every_target():
    listed = re.findall(r"^  make ([a-z]+) ", make("help"), re.MULTILINE)
    assert sorted(set(listed)) == sorted(TARGETS)
    assert {"test", "upgrade", "newest", "oldest"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_what_to_do(target):
    assert make("--dry-run", target)


@pytest.mark.parametrize(
    ("target", "locks"),
    [
        ("test", ["requirements/lock.txt"]),
        ("bench", ["requirements/lock.txt", "benchmarks/lock.txt"]),
        ("newest", [".venv-newest/lock.txt"]),
        ("oldest", [".venv-oldest/lock.txt"]),
    ],
)
def test_nothing_is_installed_without_a_lock(target, locks):
    commands = make("--dry-run", "--always-make", target)
    installs = [line for line in commands.splitlines() if "pip install" in line and "-upgrade/" not in line]
    assert len(installs) == 2
    assert [re.findall(r" -c (\S+)", line) for line in installs] == [locks, locks]
    assert "--no-build-isolation" in installs[1]
