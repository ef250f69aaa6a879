"""Random overrides, and files with random damage, end in exit 0, 2 or 3, never in a traceback."""

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import cases, generated, seed
from trainctl.errors import CheckpointError, ConfigError, DataError
from trainctl.fileformat.json_text import parse_json
from trainctl.fileformat.tree import read_tree
from trainctl.run import assemble
from trainctl.settings import component, compose, config, existing, hydra_tree, points
from trainctl.settings import members as catalogue
from trainctl.settings.overrides import parse
from trainctl.store import records, rundir

DEFAULT = compose.compose([]).tree
# Not those that would change this process, or need files.
KEYS = sorted(
    {*config.leaves(DEFAULT), "schedule.warmup_steps", "lr", "x", "", "hydra.run.dir"} - {"threads", "device"}
)
ODD = [
    "", "null", "true", "nan", "-inf", "1e400", "-1", "0", "1", "0.5", "3", "1e-3", "[]", "[1,2]", "{a:1}", "'x'", "???", "${x}",
    "9" * 30,
]  # fmt: skip
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


@pytest.mark.slow
@pytest.mark.soak
@generated(400)
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


# What the grammars of YAML, Python, JSON and overrides treat in a special way; some of it crashed a parser once.
TOKENS = [
    *"[]{}()<>,:;?!&*|>%@`~#'\"\\-=+./$^_ \t\n\r\0", "\ufeff", "\u2028", "\x07", "\x85", "é", "\U0001f600", "\ud800", "---", "...", "<<: ",
    "!!int ", "!!float ", "!!bool ", "!!null ", "!!timestamp ", "!!binary ", "!!omap ", "!!set ", "!!pairs ", "!!python/name:os ",
    "!!python/object/apply:os.mkdir [harm]", "&a ", "*a ", "*b", "? ", "- " * 30, "[" * 60, "{a: " * 60, "]" * 60, "${", "${oc.env:",
    "${oc.decode:'[1'}", "${oc.create:{}}", "???", "0x", "0b2", "1_000", "1:1:1", "1:" * 600 + "1", "9" * 1200, "1e999", "-.inf", ".nan",
    "2024-99-99", "2024-01-01T99:99:99Z", "null", "~", "yes", "=", "lambda: ", "def ", "class ", "\\x", "f'{", "0777", "Annotated[",
    "Literal[", "'", '"', '"""', "choice(", "range(", "range(0,1e400)", "glob(*)", "sort(", "shuffle(", "interval(1,2)", "tag(", "float(",
    "json_str(", "extend_list(", "str(",
]  # fmt: skip


def damaged(text: str, source: random.Random) -> str:
    """Insert, replace, remove, double or repeat at a few places."""
    for _ in range(source.choice((1, 1, 2, 4))):
        place = source.randrange(len(text) + 1)
        length = source.choice((0, 1, 3, 12))
        token = source.choice(TOKENS) if source.random() < 0.8 else chr(source.randrange(0x250))
        kind = source.randrange(5)
        if kind == 0:
            text = text[:place] + token * source.choice((1, 1, 1, 2, 700)) + text[place:]
        elif kind == 1:
            text = text[:place] + token + text[place + length :]
        elif kind == 2:
            text = text[:place] + text[place + length :]
        elif kind == 3:
            text = text[:place] + text[max(0, place - length) :]
        else:
            text = text[:place]
    return text


MLP = (
    "# @package model\nname: mlp\nhidden: [8, &n 16, *n]\nactivation: relu  # kind\nnorm: 'none'\n"
    'dropout: ${oc.decode:"0.5"}\n'
)
COMPONENT = '''"""A schedule."""
from typing import Annotated, Literal
import typing as t

Steps = Annotated[int, "[1, inf)"]


def mine(*, every: Steps, kind: "Literal['a', 2] | None", more: t.Optional[list[float]], total_steps: int):
    r"""Return a rate."""
    return lambda step: 0.5 ** (step // every)
'''
ROW = '{"step": 3, "epoch": 0.5, "val/loss": 1e-3, "notes": ["a\\u00e9", null, true, {"b": [-1.5]}]}'
WORDS = "model.hidden=[8,{a:'b c'},\"x\",1e3,null,${seed}]"


def as_user_file(text: str, folder: Path) -> object:
    (folder / "conf" / "model" / "own.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    hydra_tree._compose_members.cache_clear()
    return compose.compose(["model=own"])


def as_saved(text: str, folder: Path) -> object:
    (folder / "config.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    return existing.load(rundir.read_config(folder))


def as_component(text: str, folder: Path) -> object:
    path = folder / "schedule" / f"mine_{abs(hash(text))}" / "mine.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return component.signature(path)


READERS: dict[str, tuple[str, Callable[[str, Path], object], int]] = {
    "a user's YAML": (MLP, as_user_file, 40),
    "a saved configuration": (yaml.safe_dump(DEFAULT, sort_keys=False), as_saved, 100),
    "a component": (COMPONENT, as_component, 300),
    "a line of JSON": (ROW, lambda text, folder: parse_json(text, folder / "x.json", CheckpointError), 600),
    "a line of metrics": (ROW, lambda text, folder: records._row(text), 300),
    "a word": (WORDS, lambda text, folder: parse([text]), 200),
    "words of a run": ("model.hidden=[8,${loop.batch_size}]", lambda text, folder: compose.compose([text]), 100),
    "points of a sweep": ("model.hidden=[8],[16,32]", lambda text, folder: points.compose_points([text]), 120),
    "words for a saved run": (
        "loop.epochs=${oc.decode:'3'}",
        lambda text, folder: existing.change(DEFAULT, [text], ["loop."]),
        200,
    ),
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_a_text_with_random_damage_is_read_or_refused_in_one_line_each(tmp_path: Path, name: str) -> None:
    text, read, trials = READERS[name]
    trials = cases(trials)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    source, refused = seed(name), 0
    read(text, tmp_path)  # whole, it can be read
    for trial in range(trials):
        changed = damaged(text, source)
        started = time.process_time()
        message = "none"
        try:
            read(changed, tmp_path)
        except (ConfigError, CheckpointError) as error:
            refused, message = refused + 1, str(error)
        except BaseException as error:
            raise AssertionError(f"{name}, trial {trial}: {changed!r}") from error
        assert message.strip()
        assert time.process_time() - started < 5, f"{name}, trial {trial}: {changed!r}"
    assert refused > trials / 20 or name == "a line of metrics"
    assert not (tmp_path / "harm").exists()


CRASHED = [
    "x: !!timestamp foo", "x: !!bool maybe", "x: !!int ''", "x: !!float ''", "x: 2024-99-99", "x: " + "1" * 5000,
    "x: 1" + ":1" * 3000, "[" * 20_000 + "]" * 20_000, "- " * 20_000 + "x", "{a: " * 3000, "? " * 3000 + "x", "x: \udcff", "3: {4: 5}",
    "name: " + "n" * 300,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("text", CRASHED, ids=[ascii(text[:20]) for text in CRASHED])
def test_yaml_that_crashed_a_parser_is_refused_or_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    with pytest.raises(ConfigError) as caught:
        as_user_file(text, tmp_path)
    assert "own.yaml" in str(caught.value) or "model" in str(caught.value)
    with contextlib.suppress(CheckpointError):
        assert isinstance(read_tree(tmp_path / "conf" / "model" / "own.yaml", CheckpointError), dict)


@pytest.mark.parametrize(
    "word",
    ["model.hidden=" + "[" * 5000, "model.hidden=" + "[" * 400 + "]" * 400, "seed=" + "9" * 5000, "seed=" + "9" * 400,
     "optimizer.lr=" + "(" * 600, "seed=${" * 300, "optimizer.lr=" + "${oc.env:" * 100, "dataset.path='" + "[" * 5000 + "'"],
    ids=lambda word: word[:30],
)  # fmt: skip
def test_a_word_that_no_parser_should_get_is_refused(word: str) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        compose.compose([word])
    assert time.process_time() - started < 5
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    "word",
    ["seed=range(-1e308,1e308,1)", f"seed=range(0,{10**400})", "seed=range(0,5,0)", "seed=range(0,1,1e-320)", "seed=range(a,b)",
     "optimizer=interval(0,1)", "optimizer=range(3)", "optimizer=sort(3,1)", "optimizer=choice([a],{b:1})", "augment=choice([flip],1)"],
)  # fmt: skip
def test_an_odd_sweep_is_refused(word: str) -> None:
    with pytest.raises(ConfigError):
        points.compose_points([word])
