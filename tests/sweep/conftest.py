"""A PostgreSQL server that the tests of a database share, started by the first of them."""

import re
from collections.abc import Iterator

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
