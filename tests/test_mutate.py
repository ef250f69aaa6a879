"""The harness behind `make mutate` judges rightly, and its breakages still fit the code."""

from pathlib import Path

import pytest

from tests.mutate import exit_code, mutate, shares, verdict, with_health
from tests.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[1]


def breakage(old: str, new: str) -> Mutation:
    return Mutation("a.py", old, new, "tests/test_a.py")


def test_a_breakage_replaces_its_text():
    assert mutate("x = 1\ny = 2\n", breakage("y = 2", "y = 3")) == "x = 1\ny = 3\n"


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        ("x = 1", "y", "z", "stands there 0 times"),
        ("x = x", "x", "z", "stands there 2 times"),
        ("x = 1", "x", "x", "replaced by itself"),
    ],
    ids=["gone", "ambiguous", "no change"],
)
def test_a_breakage_that_does_not_fit_is_an_error(text, old, new, message):
    with pytest.raises(ValueError, match=message):
        mutate(text, breakage(old, new))


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (0, "survived"),
        (1, "caught"),
        (None, "stopped"),
        (4, "not judged: pytest ended with 4"),
        (5, "not judged: pytest ended with 5"),
    ],
    ids=["all passed", "some failed", "ran forever", "no such file", "no tests"],
)
def test_only_failing_tests_catch_a_breakage(code, word):
    assert verdict(code) == word


def test_tests_that_fail_without_the_breakage_judge_nothing():
    assert with_health("caught", healthy="survived") == "caught"
    assert with_health("caught", healthy="caught").startswith("not judged")


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["caught", "stopped"], 0),
        (["caught", "survived"], 1),
        (["caught", "not judged: ..."], 2),
        (["survived", "not judged: ..."], 1),
    ],
)
def test_the_exit_code_is_0_only_if_all_were_caught(verdicts, code):
    assert exit_code(verdicts) == code


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_breakage_is_in_one_share_with_those_of_the_same_file_of_tests(count):
    chosen = [
        Mutation("a.py", "x", str(index), f"tests/test_{index % 4}.py{end}")
        for index in range(9)
        for end in ("", "::test_b", " -k c")
    ]
    dealt = shares(chosen, count)
    assert sorted(str(mutation) for share in dealt for mutation in share) == sorted(map(str, chosen))
    assert [len(share) for share in dealt] == {1: [27], 2: [15, 12], 5: [9, 6, 6, 6]}[count]
    files = [{mutation.tests[:15] for mutation in share} for share in dealt]
    assert sum(map(len, files)) == 4


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.file}: {mutation.old}")
def test_every_breakage_fits_the_code(mutation):
    mutate((ROOT / mutation.file).read_text(encoding="utf-8"), mutation)
