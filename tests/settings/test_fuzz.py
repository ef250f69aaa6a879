"""Random overrides end in exit 0, 2 or 3, never in a traceback."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainctl.errors import ConfigError, DataError
from trainctl.run import assemble
from trainctl.settings import component, compose, config
from trainctl.settings import members as catalogue

DEFAULT = compose.compose([]).tree
# Not those that would change this process, or need files.
KEYS = sorted(
    {*config.leaves(DEFAULT), "schedule.warmup_steps", "lr", "x", "", "hydra.run.dir"} - {"threads", "device"}
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
# Each combination of members costs Hydra a third of a second, and tests/train/test_combinations.py goes through all pairs.
CHOICES = [
    "dataset=iris",
    "dataset=csv",
    "model=cnn",
    "optimizer=sgd",
    "schedule=multistep",
    "early_stopping=patience",
    "augment=[crop,flip]",
]
values = st.one_of(
    st.sampled_from(ODD),
    st.integers(-3, 300).map(str),
    st.floats().map(str),
    st.text(max_size=8),
    st.lists(st.integers(-2, 40), max_size=3).map(lambda row: str(row).replace(" ", "")),
)
pairs = st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), st.sampled_from(KEYS), values).map(
    lambda row: f"{row[0]}{row[1]}={row[2]}"
)
wrong = st.tuples(st.sampled_from([*component.GROUPS, "recipe"]), st.text(max_size=6)).map("=".join)
words = st.one_of(pairs, pairs, pairs, wrong, st.text(max_size=12))


@settings(max_examples=400, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["", "", *CHOICES]), st.lists(words, min_size=1, max_size=3))
def test_random_overrides_are_assembled_or_refused(choice, others):
    with contextlib.suppress(ConfigError, DataError):
        assemble.assemble(compose.compose([word for word in (choice, *others) if word]))


def test_members_are_those_that_the_fuzzing_names():
    members = catalogue.options([])
    for choice in CHOICES:
        group, _, names = choice.partition("=")
        assert set(names.strip("[]").split(",")) <= set(members[group])
    with pytest.raises(ConfigError):
        compose.compose(["x=1"])
