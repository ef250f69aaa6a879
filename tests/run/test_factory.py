"""What a component returns is checked when it is built; the message names the file and what it should return."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainctl.errors import ConfigError
from trainctl.run import factory
from trainctl.settings.component import GROUPS

PACKAGE = "returning_package"


@pytest.fixture
def returning(tmp_path: Path) -> Iterator[Path]:
    """Return the directory of a package whose component in each group returns an object of no use."""
    for group in GROUPS:
        folder = tmp_path / PACKAGE / group
        folder.mkdir(parents=True)
        (folder / "own.py").write_text("class Useless: ...\n\n\ndef own():\n    return Useless()\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


@pytest.mark.parametrize("group", GROUPS)
def test_a_component_that_returns_something_else_is_named_with_what_is_expected(returning: Path, group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        factory.build(group, {"name": "own"}, [PACKAGE])
    file = returning / PACKAGE / group / "own.py"
    expected = factory.RETURNS[group].replace("callable", "a function").removeprefix("builtins.")
    assert str(caught.value) == f"{file}: own() returned Useless, but {group}=own must return {expected}"


def test_every_group_says_what_its_components_return() -> None:
    assert factory.RETURNS.keys() == set(GROUPS)


def test_a_plain_function_is_a_schedule_and_no_loss(returning: Path) -> None:
    for group in ("schedule", "loss"):
        (returning / PACKAGE / group / "own.py").write_text("def own():\n    return lambda step: 1.0\n")
    assert factory.build("schedule", {"name": "own"}, [PACKAGE])(3) == 1.0
    with pytest.raises(ConfigError, match=r"returned function, but loss=own must return .*Loss"):
        factory.build("loss", {"name": "own"}, [PACKAGE])
