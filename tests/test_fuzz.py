"""Random overrides end in exit 0, 2 or 3, never in a traceback."""

import contextlib
import io
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainctl import catalogue, cli, component, compose, config

MEMBERS = catalogue.options([])
DOWNLOADS = {"cifar10", "cifar100", "mnist", "fashion_mnist", "kmnist"}
KEYS = sorted(
    {
        *config.leaves(compose.compose([])),
        "augment.flip.probability",
        "schedule.warmup_steps",
        "lr",
        "x",
        "",
        "hydra.run.dir",
    }
)
ODD = [
    "",
    "null",
    "true",
    "nan",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1",
    "0.5",
    "3",
    "1e-3",
    "[]",
    "[1,2]",
    "{a:1}",
    "'x'",
    "???",
    "${x}",
    "9" * 30,
]
groups = st.sampled_from(component.GROUPS)
choices = groups.flatmap(
    lambda group: st.sampled_from([name for name in MEMBERS[group] if name not in DOWNLOADS]).map(
        lambda name: f"{group}={name}"
    )
)
values = st.one_of(
    st.sampled_from(ODD), st.integers().map(str), st.floats().map(str), st.text(max_size=8),
    st.lists(st.integers(-2, 40), max_size=3).map(lambda row: str(row).replace(" ", "")),
)  # fmt: skip
pairs = st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), st.sampled_from(KEYS), values).map(
    lambda row: f"{row[0]}{row[1]}={row[2]}"
)
words = st.one_of(choices, choices, pairs, pairs, st.text(max_size=12))


def check(arguments: list[str]) -> None:
    """Run as far as the checks go, with what would make a run long or leave the machine put at the end."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["trainctl", "--cfg", "job", *(word for word in arguments if not word.startswith("-"))]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main()
    finally:
        sys.argv = before
    assert code in (0, 2, 3), err.getvalue()
    assert "Traceback" not in err.getvalue()
    assert all(line.startswith("trainctl: ") for line in err.getvalue().splitlines() if code)
    assert (code == 0) == (err.getvalue() == ""), err.getvalue()


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    yield
    assert not Path("runs").exists()


@settings(max_examples=500, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(words, min_size=1, max_size=4))
def test_random_overrides_are_composed_or_refused(arguments):
    check(arguments)
