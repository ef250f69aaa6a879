"""A project's own settings: typed words win, file and line are named, and nothing of a project runs before it is trusted."""

import importlib.util
import os
import re
import sys
import time

import pytest

from tests.soak import cases, seed
from trainctl.errors import ConfigError
from trainctl.report import run_lines
from trainctl.run import factory
from trainctl.settings import component, compose, project, project_file, project_root, trust_store
from trainctl.settings.members import home


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return an empty directory, outside of any repository, with a configuration directory of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree(*typed):
    return project.composed(typed)[0].tree


FORMS = {
    "trainctl.yaml": "seed: 3\noptimizer: {name: sgd, lr: 0.5}\nloop.epochs: 2\noutput:\n  root: results\n",
    "pyproject.toml": "[project]\nname='x'\n[tool.trainctl]\nseed = 3\n[tool.trainctl.optimizer]\nname = 'sgd'\nlr = 0.5\n"
    "[tool.trainctl.loop]\nepochs = 2\n[tool.trainctl.output]\nroot = 'results'\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_both_files_set_defaults_and_typed_words_win(here, name):
    write(here / name, FORMS[name])
    found = tree()
    assert (found["seed"], found["optimizer"]["name"], found["optimizer"]["lr"], found["loop"]["epochs"]) == (
        3,
        "sgd",
        0.5,
        2,
    )
    assert found["output"]["root"] == "results"
    assert tree("optimizer.lr=0.1", "seed=1")["optimizer"]["lr"] == 0.1


@pytest.mark.parametrize(
    ("typed", "rate", "epochs"),
    [
        (["optimizer=adam"], 0.001, 2),  # a rate for SGD is wrong for Adam
        (["optimizer=sgd"], 0.5, 2),
        (["loop.max_steps=5"], 0.5, None),  # a budget that is typed alone is the only one
        (["recipe=digits_full_batch_gd"], 0.1, 400),  # what a typed recipe sets wins, too
    ],
)
def test_what_was_typed_takes_the_place_of_what_belongs_to_something_else(here, typed, rate, epochs):
    write(here / "trainctl.yaml", FORMS["trainctl.yaml"])
    found = tree(*typed)
    recipe = compose.compose(typed).tree if typed[0].startswith("recipe") else None
    assert found["optimizer"]["lr"] == (recipe["optimizer"]["lr"] if recipe else rate)
    assert found["loop"]["epochs"] == (recipe["loop"]["epochs"] if recipe else epochs)


def test_a_project_is_found_from_a_directory_below_up_to_the_root_of_its_repository(here, monkeypatch):
    write(here / "trainctl.yaml", "output.root: results\nseed: 3\n")
    below = here / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert project_file.current() is None  # without a repository, what lies above belongs to nobody knows whom
    (here / ".git").mkdir()
    assert tree()["seed"] == 3
    assert tree()["output"]["root"] == "../../results"
    (here / "a" / ".git").mkdir()
    assert project_file.current() is None


def test_the_header_says_which_file_set_what(here, say):
    write(here / "trainctl.yaml", "seed: 3\nloop.max_steps: 1\n")
    code, out, _ = say("dataset=iris", "output.plots=false", "seed=4", "device=cpu")
    assert code == 0
    assert "trainctl.yaml: loop.max_steps=1\n" in out
    code, out, _ = say("runs", "format=json")
    assert '"steps": 1' in out


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 9))
BAD = [
    ("optimizer.lr: abc", "line 1: optimizer.lr=abc: expected a number"),
    ("seed: 1\nloop: {epoch: 3}", "line 2: loop.epoch=3: no such setting; did you mean loop.epochs=3?"),
    ("\noptimizr: sgd", "line 2: optimizr: no such setting; did you mean optimizer?"),
    ("optimizer: adm", "line 1: optimizer=adm: no such optimizer; did you mean adam?"),
    ("components: 5", "line 1: components=5: expected a list of packages"),
    ("components: ['a b']", "line 1: components=[a b]: expected a list of packages"),
    ("components: [os.path]", "expected a list of packages"),
    ("seed: [", "line 2: not valid YAML"),
    ("- 1", "expected settings, one on a line"),
    ("output.root: x\noutput: {root: y}", "is set twice"),
    ("seed: 1\nseed.x: 2", "seed already has a value"),
    ("augment: {flip: 3}", "line 1: augment.flip=3: expected its settings"),
    ("hydra: {run: {dir: x}}", "line 1: hydra: no such setting"),
    (BOMB, "values after expanding"),
    ("x: " + "[" * 600, "nested more than 500 levels"),
    ("seed: " + "9" * 2000, "more than 1,000 digits"),
    ("seed: \x00", "NUL byte"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_with_a_project_file_is_said_with_its_place(here, say, text, message):
    write(here / "trainctl.yaml", text + "\n")
    code, out, err = say("--cfg", "job")
    assert (code, out) == (2, "")
    assert err.startswith("trainctl: trainctl.yaml")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.trainctl]\nseed = 1\noptimizer = 'adm'\n", "line 3: optimizer=adm: no such optimizer"),
        ("[tool.trainctl.loop]\nepoch = 1\n", "line 2: loop.epoch=1: no such setting"),
        ("[tool.trainctl]\nseed = \n", "line 2: not valid TOML"),
        ("[tool.trainctl]\nseed = 2024-01-01\n", "line 2: seed=2024-01-01: expected a whole number"),
    ],
)
def test_lines_of_toml_are_named_too(here, say, text, message):
    write(here / "pyproject.toml", text)
    code, _, err = say("--cfg", "job")
    assert code == 2
    assert message in err


@pytest.mark.soak
def test_any_depth_of_keys_in_a_project_s_file_is_answered_at_once(here):
    source = seed("keys of projects")
    for _ in range(cases(30)):
        parts = ".".join(source.choice(("a", "loop", '"b c"', "'d'", "é" * (source.random() < 0.1) or "x"))
                         for _ in range(source.choice((60, 700, 30_000))))  # fmt: skip
        start = source.choice(("", "loop.", "optimizer.", "augment.", "sweep."))
        tables = [
            f"{start}{parts} = 1",
            f"{start}x = " + f"{{{parts[:150]} = " * 9 + "1" + "}" * 9,
            f"[tool.trainctl.{start}{parts}]\nx = 1",
        ]
        written = {
            "trainctl.yaml": f"{start}{parts}: 1\n",
            "pyproject.toml": f"[tool.trainctl]\n{source.choice(tables)}\n",
        }
        name = source.choice(list(written))
        write(here / name, written[name])
        started = time.monotonic()
        with pytest.raises(ConfigError):
            project_file.read(here / name)
        assert time.monotonic() - started < 5


def test_a_pyproject_of_others_is_left_alone(here):
    write(here / "pyproject.toml", "this is [not toml\n# tool.trainctl\n")
    assert project_file.current() is None


HOSTILE = 'raise SystemExit("executed")\n'


@pytest.fixture
def downloaded(here):
    """A project whose package would end the process if it were imported."""
    write(here / "trainctl.yaml", "components: [downloaded_package]\n")
    write(here / "downloaded_package/__init__.py", HOSTILE)
    write(here / "downloaded_package/schedule/boom.py", f"{HOSTILE}def boom(*, a: int):\n    pass\n")
    write(here / "conf/schedule/boom.yaml", "name: boom\na: 1\n")
    return here


@pytest.mark.parametrize("words", [(), ("schedule=boom",), ("find-lr",), ("-m", "seed=0,1"), ("--cfg", "job")])
def test_nothing_of_a_project_is_imported_before_it_is_trusted(downloaded, say, words):
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert "trainctl.yaml, line 1: components=[downloaded_package]: is this project's code" in err
    assert "run `trainctl trust`" in err
    assert "downloaded_package" not in sys.modules
    assert not (downloaded / "runs").exists()


@pytest.mark.parametrize("words", [("list", "schedule"), ("runs",), ("settings", "loop", "components=[]"), ("--help",)])
def test_commands_that_only_look_need_no_trust(downloaded, say, words):
    assert say(*words)[0] == 0
    assert "downloaded_package" not in sys.modules


BRINGING = {
    "recipes/brings.yaml": "recipe: brings",
    "conf/recipe/brings.yaml": "recipe: brings",
    "recipes/inner.yaml": "recipe: outer",
    "conf/metric/brings.yaml": "metric: [brings]",
}


@pytest.mark.parametrize("path", BRINGING)
def test_nothing_that_a_project_selects_brings_code_before_it_is_trusted(downloaded, say, path):
    write(downloaded / path, "# @package _global_\ncomponents: [downloaded_package]\nschedule: {name: boom, a: 1}\n")
    write(downloaded / "recipes/outer.yaml", "# @package _global_\ndefaults: [inner]\n")
    write(downloaded / "trainctl.yaml", f"{BRINGING[path]}\n")
    for words in ((), ("--cfg", "job"), ("-m", "seed=0,1"), ("find-lr",)):
        code, out, err = say(*words)
        assert (code, out) == (2, "")
        assert (
            f"trainctl.yaml, line 1: {BRINGING[path].replace(': ', '=')}: brings components=[downloaded_package]" in err
        )
    assert "downloaded_package" not in sys.modules
    assert say("trust") == (
        0,
        "trainctl.yaml: trusted; its packages are imported from now on: downloaded_package\n",
        "",
    )
    if "recipe" in path:
        assert tree()["components"] == ["downloaded_package"]


POWERS = {
    "sweep.slurm_setup": "[touch canary]",
    "sweep.slurm_options": "[--wrap=x]",
    "sweep.slurm": "2",
    "sweep.storage": "postgresql://host.of.nobody/x",
    "logger.mlflow.uri": "http://host.of.nobody",
    "logger.wandb.mode": "online",
}


@pytest.mark.parametrize("key", POWERS)
def test_a_project_decides_what_is_executed_or_contacted_only_if_it_is_trusted(here, say, key):
    first, *_, last = key.split(".")
    nested = f"logger: {{{key.split('.')[1]}: {{{last}: '{POWERS[key]}'}}}}"
    write(here / "trainctl.yaml", f"{nested if first == 'logger' else f'{key}: {POWERS[key]}'}\n")
    typed = ["-m", "seed=0,1"] if key.startswith("sweep") else ["--cfg", "job"]
    code, out, err = say(*typed)
    assert (code, out) == (2, "")
    assert f"{key}=" in err
    assert "a file may not decide what is executed or contacted, unless you trust it" in err
    project.layered([f"{key}=null"], multirun=True)  # typed: the file's does not count
    code, out, _ = say("trust")
    assert (code, f"these settings take effect from now on: {key}=" in out or f"'{key}=" in out) == (0, True)
    assert any(each.key == key for each in project.layered([], multirun=True).applied)


def test_trust_is_for_a_file_and_the_packages_that_it_names(downloaded, say):
    code, out, _ = say("trust")
    assert (code, out.endswith("its packages are imported from now on: downloaded_package\n")) == (0, True)
    assert (
        oct(trust_store.store().stat().st_mode & 0o077) == "0o0"
        or trust_store.store().parent.stat().st_mode & 0o077 == 0
    )
    assert tree("schedule=boom")["components"] == ["downloaded_package"]
    write(downloaded / "another/__init__.py", HOSTILE)
    write(downloaded / "trainctl.yaml", "components: [downloaded_package, another]\n")
    assert "which you have not trusted" in say("--cfg", "job")[2]
    write(downloaded / "trainctl.yaml", "components: [downloaded_package]\n")
    assert say("trust", "yes=false")[0] == 0
    assert say("--cfg", "job")[0] == 2


@pytest.mark.parametrize("words", [("trust",), ("new", "optimizer", "mine")])
def test_a_home_directory_that_is_a_file_is_one_line(here, say, monkeypatch, words):
    write(here / "trainctl.yaml", "seed: 3\n")
    write(here / "file", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "file"))
    code, _, err = say(*words)
    assert code == 5
    assert err == f"trainctl: {here / 'file' / 'trainctl'}: cannot create directory: Not a directory\n"


def test_a_list_of_trusted_files_that_is_damaged_trusts_nobody(downloaded, say):
    for text in ("{", "[]", '{"trusted": 3}', '{"trusted": {"x": 3}}'):
        write(trust_store.store(), text)
        assert say("--cfg", "job")[0] == 2


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs the rights to give a file away")
def test_the_file_of_another_user_is_not_read_until_it_is_accepted(here, say):
    path = write(here / "trainctl.yaml", "seed: 3\n")
    os.chown(path, 12345, 12345)
    assert tree()["seed"] == 0
    assert "belongs to another user" in project_root.left_out()[0]
    assert say("trust", str(path))[0] == 0
    assert tree()["seed"] == 3


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("optimizer:\n\tname: sgd\n", "line 2: .* indent with spaces, not with tabs"),
        ("optimizer: sgd\n  lr: 1\n", "line 2: .* indent keys of a section alike"),
        ("loop:\n  epochs:1\n  max_steps: 2\n", "line 3: .* indent keys of a section alike"),
        ("augment: [flip\n", "line 2: .* a bracket is opened, and not closed"),
    ],
)
def test_usual_mistakes_in_yaml_are_named(here, say, text, hint):
    write(here / "trainctl.yaml", text)
    code, _, err = say("dataset=iris")
    assert code == 2
    assert re.search(hint, err), err


def test_commands_that_are_printed_name_the_packages_of_the_project_only_elsewhere(downloaded, say, monkeypatch):
    words = " 'components=[downloaded_package]'"
    assert run_lines.argument_here(["downloaded_package"]) == words  # not trusted: the project names none
    assert say("trust")[0] == 0
    assert run_lines.argument_here(["downloaded_package"]) == run_lines.argument_here([]) == ""
    assert run_lines.components_argument(["downloaded_package"]) == words
    monkeypatch.chdir("..")
    assert run_lines.argument_here(["downloaded_package"]) == words


def test_packages_of_the_project_are_found_from_a_directory_below(here, monkeypatch):
    (here / ".git").mkdir()
    write(here / "trainctl.yaml", "seed: 1\n")
    write(here / "package_of_root/schedule/flat.py", "def flat(*, a: int):\n    return lambda step: 1.0\n")
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    assert component.source("schedule", "flat", ["package_of_root"]) == here / "package_of_root/schedule/flat.py"


@pytest.mark.parametrize("initial", ["__init__.py", ""], ids=["package", "directory"])
@pytest.mark.parametrize("place", ["root", "nowhere"])
def test_a_directory_below_a_trusted_project_brings_no_package_of_its_name(here, say, monkeypatch, initial, place):
    name = f"package_of_{place}_{bool(initial)}"  # of its own: Python remembers what was imported
    component_of = {folder: folder / name / "schedule/level.py" for folder in (here, here / "downloads/unpacked")}
    for folder, path in component_of.items():
        text = "" if folder == here else HOSTILE
        write(path, f"{text}def level():\n    return lambda step: 1.0\n")
        if initial:
            write(folder / name / initial, text)
        write(folder / "conf/schedule/level.yaml", "name: level\n")
    (here / ".git").mkdir()
    write(here / "trainctl.yaml", f"components: [{name}]\n")
    write(here / "downloads/unpacked/module_of_nobody.py", HOSTILE)
    assert say("trust")[0] == 0
    if place == "nowhere":
        (here / name).rename(here / "removed")
    monkeypatch.chdir(here / "downloads/unpacked")
    code, _, err = say("schedule=level", "--cfg", "job")
    if place == "nowhere":
        assert (code, "no such package, neither installed nor in" in err) == (2, True)
        assert project.packages() == ()
        return
    assert code == 0, err
    assert component.source("schedule", "level", project.packages()) == component_of[here]
    factory.bind("schedule", {"name": "level"}, project.packages())  # imports it
    assert importlib.util.find_spec("module_of_nobody") is None


def test_recipes_are_found_in_recipes_and_in_conf(here):
    write(here / "recipes/a.yaml", "# @package _global_\nseed: 5\n")
    write(here / "conf/recipe/b.yaml", "# @package _global_\nseed: 6\n")
    assert tree("recipe=a")["seed"] == 5
    assert tree("recipe=b")["seed"] == 6


@pytest.mark.parametrize(
    "text", ["# @package _global_\nhydra: {x: 1}\n", "# @package _global_\ndefaults:\n  - /hydra/help: x\n", "x: ["]
)
def test_a_recipe_of_the_user_cannot_reach_hydra(here, say, text):
    write(here / "recipes/a.yaml", text)
    assert say("recipe=a", "--cfg", "job")[0] == 2


def test_a_copy_of_our_recipes_changes_nothing_and_an_edited_one_is_named(here):
    before = tree("recipe=overfit")
    copy = write(here / "recipes/overfit.yaml", (home("recipes") / "overfit.yaml").read_text())
    assert tree("recipe=overfit") == before
    copy.write_text(copy.read_text() + "seed: 3\n")
    with pytest.raises(
        ConfigError, match=r"overfit.yaml: has the same name as a built-in recipe, which would hide it; rename"
    ):
        tree("recipe=overfit")
    assert tree("recipe=overfit_and_cure")["seed"] == 0
