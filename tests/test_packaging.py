"""The installed package is whole: its modules, its YAML, and nothing beside it."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAPPED = {"conf": "trainctl.conf", "recipes": "trainctl.recipes"}  # where they stand -> what they are installed as


def sources(folder: str, pattern: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern) if "__pycache__" not in path.parts)


def packages_on_disk() -> set[str]:
    folders = {path.parent for path in sources("trainctl", "*.py")}
    return {".".join(folder.parts) for folder in folders} | set(MAPPED.values())


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # Not measured: the coverage of an installed copy would be reported under the paths of a directory that is gone.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTHONPATH"))}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=inherited | environment, capture_output=True, text=True, timeout=300
    )


def pip(*arguments: str | Path, cwd: Path) -> None:
    done = run(
        sys.executable, "-m", "pip", *arguments, "--no-deps", "--no-index", "--disable-pip-version-check", "-q", cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that no build/ or *.egg-info is left in the tree."""
    copy, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in ("trainctl", "conf", "recipes", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / file, copy)
    pip("wheel", ".", "--no-build-isolation", "-w", target, cwd=copy)
    (built,) = target.glob("trainctl-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed") / "site"
    pip("install", "--target", target, wheel, cwd=target.parent)
    return target


def test_the_wheel_holds_every_module_and_every_yaml_file(wheel):
    more = ["trainctl/py.typed", "trainctl/serve/page.html"]
    yaml = [path for folder in MAPPED for path in sources(folder, "*.yaml")]
    assert len(yaml) >= 30, "conf/ and recipes/ were not found"
    expected = {path.as_posix() for path in sources("trainctl", "*.py")} | {*more}
    expected |= {
        f"trainctl/{path.as_posix()}"
        for path in [*yaml, *(path for ending in ("csv", "npz", "tar") for path in sources("recipes", f"*.{ending}"))]
    }
    held = set(zipfile.ZipFile(wheel).namelist())
    assert sorted(expected - held) == []


def test_the_wheel_puts_nothing_beside_the_package(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"trainctl", f"trainctl-{PROJECT['project']['version']}.dist-info"}


@pytest.mark.slow
def test_the_installed_package_trains_from_any_directory(site, tmp_path):
    where = run(sys.executable, "-c", "import trainctl; print(trainctl.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(where.stdout.strip()).is_relative_to(site), where.stderr

    overrides = ("loop.max_steps=2", "loop.epochs=null", f"output.root={tmp_path / 'runs'}")
    done = run(sys.executable, "-m", "trainctl", *overrides, cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert len(list((tmp_path / "runs").glob("*/summary.json"))) == 1


def test_the_installed_package_knows_its_recipes(site, tmp_path):
    done = run(sys.executable, "-m", "trainctl", "--help", cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mnist_cnn" in done.stdout


def test_the_list_of_packages_is_complete():
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(packages_on_disk())


DOORS = {
    Path("trainctl"),
    Path("trainctl/train"),
}  # the public names; the wing that can be called, as `trainctl.train()`


def test_every_package_has_an_empty_init_but_the_door_to_python():
    folders = [Path(*name.split(".")) for name in packages_on_disk() - set(MAPPED.values())] + [
        Path(name) for name in MAPPED
    ]
    assert len(folders) >= 18
    wrong = [
        str(folder)
        for folder in folders
        if not (file := ROOT / folder / "__init__.py").is_file()
        or bool(file.read_text(encoding="utf-8")) != (folder in DOORS)
    ]
    assert wrong == []
