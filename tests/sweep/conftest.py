"""What tests of sweeps share: a PostgreSQL server, started by the first of them, and a component that is slow."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.postgres import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres.running() as started:
        yield started


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database."""
    return server.new_database("t_" + re.sub(r"\W", "", request.node.name.lower())[-50:])


SLOW = '''"""Waits after each epoch."""
import time


def slow(*, maximize: bool):
    """Never stop."""
    def update(state, value, epoch, seconds):
        time.sleep(0.1)
        return state
    return update
'''


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """Write a component that makes an epoch take a tenth of a second; return its package."""
    for path, text in (
        (tmp_path / "snail" / "early_stopping" / "slow.py", SLOW),
        (tmp_path / "conf" / "early_stopping" / "slow.yaml", "name: slow\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return "snail"
