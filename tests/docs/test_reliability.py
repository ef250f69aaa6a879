"""The page about reliability: the tests that it names exist, and no known failure is missing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
FAILURES = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]


def test_no_known_failure_is_missing() -> None:
    assert [int(line.split("|")[1]) for line in FAILURES] == list(range(1, 49))


@pytest.mark.parametrize("line", FAILURES, ids=lambda line: line.split("|")[1].strip())
def test_the_test_of_a_known_failure_exists_or_the_reason_why_there_is_none(line: str) -> None:
    test = line.split("|")[4]
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", test)
    for file, name in named:
        (path,) = (ROOT / "tests").rglob(file)
        assert f"def {name}(" in path.read_text(), name
    assert named or "the same" in test or "none: needs" in test or re.search(r"`\w+` \(", test)
