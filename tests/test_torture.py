"""A training that is killed at any moment, as often as you like, ends like one that was not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.torture import torture


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(start: Callable[..., Any], tmp_path: Path) -> None:
    report = torture(start, tmp_path, kills=15)
    assert report.wrong == []
    assert report.kills == 15
    assert report.runs > 0
