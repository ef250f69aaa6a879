"""The value of a text, or of a list of texts, is what the shell passed, whatever characters it has."""

import csv
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from tests.soak import generated
from trainctl import cli
from trainctl.errors import ConfigError
from trainctl.settings import compose, existing, hydra_flags, points
from trainctl.settings.spelling import spell
from trainctl.settings.text import escaped, read_items, read_text, spell_text, split, unquoted
from trainctl.wording import quoted, shell_words, typed

CSV = ("dataset=csv", "dataset.path=a.csv")
AWKWARD = "äß数\U0001f600=[](){},;:'\"\\$~#*?%&@!|<>^`+-./ ab01_\t"
# As they stand in a file; those of a real file are in shared/cases.
NAMES = [
    "2010", "True", "true", "no", "1e3", "007", "0x1F", "nan", "a,b", "a=b", "x.y", "[z", "größe", "a:b", "100%", "#n", "$HOME",
    "a{b}", "*", "~x", "it's", "price (€)", "{a:1}", "[1,2", "str(5)", "choice(a,b)", "range(3)", "glob(*)", "a\\,b", "-x", "--x", "+x",
    "${x}", "${", "${a.b}", "${seed}", "???", " a ", "a\nb", "\\", "'", '"', "'a' 'b'", "null ", "[", "]", "\ufeffa", "\u201cx\u201d",
]  # fmt: skip
# Wholly in quotes, null, or escaped: the shell passes the same for a name in quotes as for a name with quotes.
names = st.one_of(st.sampled_from(NAMES), st.text(AWKWARD, min_size=1, max_size=8)).filter(
    lambda name: read_text(name) == name and "\\${" not in name and read_items(name) is None
)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_is_named_as_it_stands_in_the_file(name):
    assert compose.compose([*CSV, f"dataset.target={name}"]).tree["dataset"]["target"] == name


@pytest.mark.parametrize(
    ("typed", "value", "reason"),
    [
        ("null", None, "no value"),
        ("'null'", "null", "a text in quotes"),
        ('"q"', "q", "a text in quotes"),
        ("'\"q\"'", '"q"', "quotes in quotes"),
        (r"'it\'s'", "it's", "an escaped quote"),
        ("'a,b'", "a,b", "a comma in quotes"),
        ("", "", "nothing"),
        ("[u,'v,w']", ["u", "v,w"], "several columns"),
        ("'[z]'", "[z]", "a column in brackets"),
        ("${oc.env:TRAINCTL_COLUMN}", "y", "a variable of the environment"),
        ("${output.root}", "runs", "another setting"),
    ],
)
def test_quotes_null_and_interpolations_keep_their_meaning(monkeypatch, typed, value, reason):
    monkeypatch.setenv("TRAINCTL_COLUMN", "y")
    assert compose.compose([*CSV, f"dataset.target={typed}"]).tree["dataset"]["target"] == value, reason


def shown_job(monkeypatch, capsys, *typed):
    monkeypatch.setattr(sys, "argv", ["trainctl", *typed, "--cfg", "job", "--resolve"])
    assert cli.main() == 0
    return yaml.safe_load(capsys.readouterr().out)["dataset"]


@pytest.mark.soak
@generated(25)
@given(names, st.lists(names, max_size=3))
@example("a\\", ["[a", "b]"])
def test_names_are_read_as_they_are_and_mean_the_same_to_hydra(target, drop):
    listed = f"[{','.join(spell_text(name, item=True) for name in drop)}]"
    typed = [*CSV, f"dataset.target={target}", f"dataset.drop={listed}"]
    tree = compose.compose(typed).tree
    assert (tree["dataset"]["target"], tree["dataset"]["drop"]) == (target, drop)
    again = compose.compose([*CSV, *(f"dataset.{key}={spell(tree['dataset'][key])}" for key in ("target", "drop"))])
    assert again.tree == tree
    for word, value in zip(hydra_flags.for_hydra(typed)[2:], (target, drop), strict=True):
        if "???" not in (target, *drop):
            assert compose.compose([*CSV, word]).tree["dataset"][word.partition("=")[0][8:]] == value
            assert [compose.parse([word])[0].trouble, compose.parse([word])[0].value()] == [
                "",
                escaped(value),
            ] or "${" in word


@pytest.mark.soak
@generated(20)
@given(names.filter(lambda name: "/" not in name and name.strip(".")))
@example("~x")
@example("-dash.csv")
@example("'quoted'")
@example("${seed}")
def test_every_path_that_exists_is_found_also_when_the_run_is_resumed(name):
    path = Path(name)
    path.touch()
    try:
        config = compose.compose(["dataset=csv", f"dataset.path={name}"])
        assert config.tree["dataset"]["path"] == str(Path.cwd() / name)
        assert existing.load(yaml.safe_load(yaml.safe_dump(config.tree, allow_unicode=True))).tree == config.tree
    finally:
        path.unlink()
    if "${" not in name:  # what does not exist yet may be an interpolation
        tree = compose.compose(["dataset=mnist", f"dataset.root=./{name}"]).tree
        assert tree["dataset"]["root"] == str(Path.cwd() / name)
        assert existing.change(tree, [f"dataset.root=./{name}"], ["dataset.root"])["dataset"]["root"] == f"./{name}"


@pytest.mark.soak
@generated(100)
@given(st.text(AWKWARD + "\n", max_size=10))
def test_quotes_are_taken_away_as_they_were_put(text):
    assert unquoted(quoted(text)) == text
    assert read_text(spell_text(text)) == text
    assert read_items(f"[{quoted(text)},x]") == [text, "x"]
    assert compose.parse([f"a={quoted(text)}"])[0].value() == text


def test_commas_separate_the_values_of_a_sweep():
    typed = ["dataset=csv", "dataset.target=größe,'a,b',2010", "dataset.drop=[x (1)],[y,z]"]
    found = [(row.tree["dataset"]["target"], row.tree["dataset"]["drop"]) for _, row in points.compose_points(typed)]
    assert found == [(target, drop) for target in ("größe", "a,b", "2010") for drop in (["x (1)"], ["y", "z"])]
    together = points.compose_points(["dataset=csv", "both=zip(dataset.target=[ö,x],optimizer=[adam,sgd])"])
    assert [(row.tree["dataset"]["target"], row.tree["optimizer"]["name"]) for _, row in together] == [
        ("ö", "adam"),
        ("x", "sgd"),
    ]
    assert len(points.compose_points(["dataset=csv", "dataset.path=sales (1) ö.csv", "seed=0,1"])) == 2


def test_a_list_needs_brackets():
    for word in ("dataset.drop=a", "dataset.drop=a,b", "dataset.drop=größe"):
        with pytest.raises(ConfigError) as caught:
            compose.compose([*CSV, word])
        assert str(caught.value) == f"{word}: expected a list in brackets: dataset.drop=[{word[13:]}]"


def test_numbers_still_follow_the_grammar():
    for word in ("optimizer.lr=ö", "optimizer.lr='0.1", "optimizer.lr=[1"):
        with pytest.raises(ConfigError, match="cannot parse"):
            compose.compose([word])
    assert split("a,[b,c],'d,e'") == ["a", "[b,c]", "'d,e'"]


def test_a_run_with_awkward_names_is_trained_resumed_and_shown(monkeypatch, capsys):
    target, left, path = "it's, größe", "[z]", "k=v, (1) ~.csv"
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", left, target])
        writer.writerows([[row, row * 2, "ab"[row % 2]] for row in range(40)])
    typed = ["dataset=csv", f"dataset.path={path}", f"dataset.target={target}", f"dataset.drop=[{left}]"]
    assert shown_job(monkeypatch, capsys, *typed)["target"] == target

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["trainctl", *words])
        return cli.main()

    assert run(*typed, "loop.max_steps=2", "output.root=läufe (1)", "output.plots=false", "threads=1") == 0
    directory = next(Path("läufe (1)").glob("2*"))
    assert yaml.safe_load((directory / "overrides.yaml").read_text(encoding="utf-8"))[:4] == typed
    assert run("resume", str(directory), "loop.max_steps=3") == 0
    assert run("predict", str(directory), path) == 0
    assert yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))["dataset"]["target"] == target


@pytest.mark.soak
@generated(200)
@given(st.lists(st.text(AWKWARD.replace("\t", ""), min_size=1).map(str.strip).filter(bool), min_size=1, max_size=3))
@example(["Unnamed: 0"])
@example(["it's", 'a"b'])
def test_a_hint_that_names_columns_is_read_by_a_shell_as_these_columns(columns):
    (word,) = shlex.split(typed("dataset.drop", columns))
    assert read_items(word.removeprefix("dataset.drop=")) == columns
    assert shlex.split(typed("dataset.time", columns[0])) == [f"dataset.time={columns[0]}"]


@pytest.mark.soak
@generated(100)
@given(st.lists(st.text(AWKWARD + "\n\x1b\x07\u202e\udcff", min_size=1), min_size=1, max_size=3))
def test_a_command_that_is_shown_is_one_line_that_a_shell_reads_back(words):
    shown = shell_words(words)
    assert shown.isprintable()
    if all(word.isprintable() for word in words):
        assert shlex.split(shown) == words


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_line_breaks_and_escape_sequences_of_a_command_back():
    words = ["a\nb", "it's\x1b]0;x\x07", "\u202e\\n", "\udcff1", "\t$(touch canary)\n`x`"]
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {shell_words(words)}"], capture_output=True, check=True)
    assert [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]] == words
