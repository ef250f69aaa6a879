"""TAB offers plain identifiers, whatever the files of a stranger are called, and executes nothing."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import cases, generated, seed
from trainctl.command import completion
from trainctl.command.help import COMMANDS
from trainctl.errors import ConfigError
from trainctl.settings import component, offered

TOLD = [
    ([""], "resume", "mlp"),
    (["help", ""], "resume", "optimizer"),
    (["init", ""], "mnist_cnn", "adam"),
    (["new", "sch"], "schedule", "schedule="),
    (["new", ""], "recipe", "cosine"),
    (["settings", "loop."], "loop.epochs", "loop.epochs="),
    (["settings", ""], "optimizer", "train"),
    (["runs", "status=f"], "status=failed", "status=running"),
    (["runs", "mod"], "model=", "optimizer"),
    (["runs", "format="], "format=csv", "format=text"),
    (["env", ""], "format=", "optimizer="),
    (["env", "format="], "format=json", "format=csv"),
    (["evaluate", "last", "which="], "which=last", "which=all"),
    (["remove", "x", "yes="], "yes=true", "yes=null"),
    (["device="], "device=cpu", "device=adam"),
    (["precision="], "precision=bf16", "precision=null"),
    (["loop.max_steps="], "loop.max_steps=null", "loop.max_steps=true"),
    (["--cfg", ""], "job", "--help"),
    (["resume", ""], "last", "--help"),
    (["report", ""], "last", "optimizer="),
    (["report", "a", ""], "last", "optimizer="),
    (["serve", ""], "last", "optimizer="),
    (["res"], "resume", "train"),
    (["optimizer="], "optimizer=sgd", "optimizer=mlp"),
    (["optimizer=sgd", "optimizer."], "optimizer.momentum=", "optimizer.beta1="),
    (["optimizer."], "optimizer.beta1=", "optimizer.momentum="),
    (["augment=[crop,flip]", "augment."], "augment.flip.probability=", "augment.noise.std="),
    (["loop.on_nonfinite="], "loop.on_nonfinite=rewind", "loop.on_nonfinite=adam"),
    (["output.plots="], "output.plots=true", "output.plots=null"),
    (["recipe="], "recipe=mnist_cnn", "recipe=adam"),
    (["list", ""], "optimizer", "train"),
    (["list", "optimizer", ""], "sgd", "mlp"),
    (["find-lr", "optimizer="], "optimizer=sgd", "sgd"),
    (["--c"], "--config-dir", "--help"),
]


@pytest.mark.parametrize(
    ("typed", "offered", "other"), TOLD, ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_what_fits_is_offered(typed, offered, other):
    found = completion.offers(typed, COMMANDS)
    assert offered in found
    assert other not in found
    assert all(word.startswith(typed[-1]) for word in found)


def test_the_users_members_and_runs_are_offered(tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("name: mlp\nhidden: [8]\nown_key: 1\n")
    (tmp_path / "runs" / "20261129-digits").mkdir(parents=True)
    assert "model=mine" in completion.offers(["model=m"], COMMANDS)
    assert "model.own_key=" in completion.offers(["model=mine", "model.own"], COMMANDS)
    assert completion.offers(["resume", "2026"], COMMANDS) == ["20261129-digits"]
    assert completion.offers(["remove", "x", "2026"], COMMANDS) == ["20261129-digits"]
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.yaml").write_text("# @package _global_\n")
    assert "recipe=own" in completion.offers(["recipe=o"], COMMANDS)


def test_where_a_path_is_meant_nothing_is_offered_so_that_the_shell_completes_it():
    assert completion.offers(["--config-dir", ""], COMMANDS) == []
    assert completion.offers(["dataset=csv", "dataset.path=p"], COMMANDS) == []
    assert completion.offers(["predict", "last", "pic"], COMMANDS) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("optimizer.lr=", "-\n"), ("optimizer.lr=0.0", "-\n"), ("model.hidden=", "-\n"), ("output.name=", "output.name=null\n"),
        ("monitor=x", "-\n"),
        ("optimizer=x", "-\n"), ("loop.on_nonfinite=r", "loop.on_nonfinite=rewind\n"), ("serve last port=", "-\n"),
        ("prune last amount=0", "-\n"), ("list x", "-\n"), ("settings x", "-\n"), ("--x", "-\n"), ("dataset=csv dataset.path=", ""),
        ("output.root=", ""), ("init=run init.run=", ""), ("dataset=csv dataset.target=x", "-\n"), ("runs root=", ""),
        ("report a output=", ""),
        ("x", ""), ("their.own=", ""), ("model=torchvision model.weights=d", "model.weights=default\n"),
        ("model=torchvision model.weights=x", ""), ("predict last pic", ""),
    ],
)  # fmt: skip
def test_a_shell_completes_paths_only_where_a_path_may_be_meant(monkeypatch, line, found):
    monkeypatch.setenv("COMP_LINE", f"trainctl {line}")
    monkeypatch.delenv("COMP_POINT", raising=False)
    assert completion.answer(["query=zsh"], COMMANDS) == found


def test_each_setting_offers_words_a_path_or_nothing(monkeypatch):
    kinds = {
        str(annotation): (f"{group}={name}", key)
        for group in component.GROUPS
        for name in offered.members(group)
        for key, annotation in offered._settings([f"{group}={name}"]).items()
    }
    assert len(kinds) > 40
    for annotation, (member, key) in kinds.items():
        monkeypatch.setenv("COMP_LINE", f"trainctl {member} {key}=")
        found = completion.answer(["query=fish"], COMMANDS).splitlines()
        assert (found == []) <= ("'path'" in annotation), key
        assert all(word.startswith(f"{key}=") for word in found if word != completion.NOTHING)


def test_a_fragment_of_a_run_is_completed_to_its_name(tmp_path):
    for name in ("20261129-1200-iris-mlp-a1", "20261129-1300-iris-cnn-b2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    both = ["20261129-1200-iris-mlp-a1", "20261129-1300-iris-cnn-b2"]
    assert completion.offers(["evaluate", "mlp"], COMMANDS) == both[:1]
    assert completion.offers(["compare", "last", "b2"], COMMANDS, "=:") == both[1:]
    assert completion.offers(["evaluate", "iris"], COMMANDS) == both
    assert completion.offers(["evaluate", "iris"], COMMANDS, "=:") == ["iris", *both]  # bash would delete the fragment
    assert completion.offers(["evaluate", "2026"], COMMANDS, "=:") == both
    assert "optimizer=" in completion.offers(["optimizer"], COMMANDS)
    assert completion.offers(["mlp"], COMMANDS) == []  # no run is meant here
    assert completion.offers(["evaluate", "last", "mlp"], COMMANDS) == []


def test_runs_of_a_project_are_offered(tmp_path):
    (tmp_path / "trainctl.yaml").write_text("output: {root: results}\n")
    (tmp_path / "results" / "20261129-iris").mkdir(parents=True)
    (tmp_path / "results" / "data").mkdir()  # no run
    assert "data" not in completion.offers(["evaluate", ""], COMMANDS)
    assert completion.offers(["evaluate", "2026"], COMMANDS) == ["20261129-iris"]


@pytest.mark.parametrize(
    "before", [[], ["train"], ["inspect"], ["find-lr"], ["predict", "run"], ["explain", "run", "a.csv"]]
)
def test_files_are_offered_next_to_settings_where_a_command_takes_them(tmp_path, monkeypatch, before):
    monkeypatch.chdir(tmp_path)
    for name in ("freezer.csv", "free.csv", "f $(x).csv"):
        (tmp_path / name).touch()
    (tmp_path / "frames").mkdir()
    assert {"freezer.csv", "free.csv", "frames/"} <= {*completion.offers([*before, "fr"], COMMANDS)}
    assert not [word for word in completion.offers([*before, "f"], COMMANDS) if ".csv" in word]  # the shell quotes one
    assert "freezer.csv" not in completion.offers([*before, ""], COMMANDS)  # the shell does it if nothing is offered
    assert "freezer.csv" not in completion.offers(["evaluate", "run", "fr"], COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_after_every_command_something_is_offered_without_an_error(command):
    assert completion.offers([command, ""], COMMANDS)


def test_bash_replaces_only_what_follows_its_last_break():
    assert "sgd" in completion.offers(["optimizer=s"], COMMANDS, "=:")
    assert "optimizer=sgd" in completion.offers(["optimizer=s"], COMMANDS, "")


def test_another_word_than_ours_is_refused():
    for words in ([], ["install=ash"], ["install=bash", "query=bash"]):
        with pytest.raises(ConfigError, match="--shell-completion needs one of install=bash, install=zsh"):
            completion.answer(words, COMMANDS)


HOSTILE = [
    "$(touch canary)", "`touch canary`", "$(touch${IFS}canary)", "a;touch canary", "a b", "*", "\x1b]0;x\x07",
    "\u202e", "a\nb", "ü", "-rf",
    "${canary:=x}", "'x", '"x', "a|b", "<(touch canary)", "&", "a\\b", "!!", "~", "#x", "{a,b}", "x[$(touch canary)]",
]  # fmt: skip


def hostile_files(folder: Path) -> None:
    """Create configuration files and runs with names that a shell would expand."""
    for name in HOSTILE:
        for path in (
            *(folder / "conf" / group / f"{name}.yaml" for group in component.GROUPS),
            folder / "runs" / name / "x",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'name: mlp\n? {name!r}\n: 1\n"$(touch canary)": 2\n')


@pytest.mark.soak
def test_no_name_of_a_file_is_offered_that_a_shell_could_expand(tmp_path):
    hostile_files(tmp_path)
    source = seed("completion")
    started = [
        *COMMANDS,
        *(f"{group}=" for group in component.GROUPS),
        *(f"{group}=$" for group in component.GROUPS),
        "model.",
        "",
        "-",
        "$(",
    ]
    for _ in range(cases(60)):
        typed = [source.choice([*started, *HOSTILE]) for _ in range(source.choice((1, 1, 2, 3)))]
        for word in completion.offers(typed, COMMANDS, source.choice(["", "=:"])):
            assert word in completion.FLAGS or completion.PLAIN.fullmatch(word), (typed, word)


@pytest.mark.slow
@pytest.mark.soak
@generated(60)
@given(st.text(max_size=40), st.one_of(st.integers().map(str), st.text(max_size=5)))
def test_any_line_is_completed(line, point):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("COMP_LINE", f"trainctl {line}"), ("COMP_POINT", point)):
            patch.setitem(os.environ, name, value.replace("\0", "").encode("utf-8", "replace").decode())
        for shell in completion.INSTALL:
            found = completion.answer([f"query={shell}"], COMMANDS)
            assert all(
                word in (*completion.FLAGS, completion.NOTHING) or completion.PLAIN.fullmatch(word)
                for word in found.splitlines()
            )


def test_a_long_line_takes_no_time():
    started = time.process_time()
    completion._typed("trainctl " + "a " * 10**6, "")
    completion.offers(["x" * 10**6], COMMANDS)
    assert time.process_time() - started < 3


PRESS = {  # in each shell: define the completion, press TAB after a line, print what was offered
    "bash": 'eval "$(trainctl --shell-completion install=bash)"\nCOMP_LINE="$1" COMP_POINT=${#1}\n'
    'COMP_WORDS=(trainctl) COMP_CWORD=1\n_trainctl trainctl "" trainctl\nprintf "%s\\n" "${COMPREPLY[@]}"\n',
    "zsh": "compdef() { }\ncompset() { }\n_files() { }\ncompadd() { print -l -- ${(P)argv[-1]} }\n"
    'eval "$(trainctl --shell-completion install=zsh)"\nwords=(${(z)1})\n[[ $1 == *" " ]] && words+=("")\n'
    "CURRENT=${#words}\n_trainctl\n",
    "fish": 'trainctl --shell-completion install=fish | source\ncomplete --do-complete "$argv[1]"\n',
}


@pytest.mark.parametrize("shell", PRESS)
def test_a_shell_executes_nothing_at_tab(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    hostile_files(tmp_path)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "trainctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m trainctl "$@"\n')
    program.chmod(0o755)
    (tmp_path / "trainctl").write_text("#!/bin/sh\ntouch canary\n")  # is not what TAB asks
    (tmp_path / "trainctl").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    script = tmp_path / f"press.{shell}"
    script.write_text(PRESS[shell])
    offered = []
    for line in ("trainctl model=", "trainctl optimizer=s", "trainctl resume "):
        done = subprocess.run(
            [shell, str(script), line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert not done.stderr
        offered += done.stdout.split("\n")
    assert not (tmp_path / "canary").exists()
    assert {"mlp", "sgd"} <= {word.rpartition("=")[2] for word in offered}
    assert not any("canary" in word for word in offered)


@pytest.mark.parametrize("shell", completion.INSTALL)
def test_a_script_hands_over_words_without_expanding_them(shell):
    script = completion.INSTALL[shell]
    assert "command trainctl --shell-completion query=" in script  # not one in the working directory
    assert not any(word in script for word in ("compgen", "eval", "compadd -Q"))
    if shutil.which(shell):
        flags = {"fish": ["--no-execute"]}.get(shell, ["-n"])
        assert subprocess.run([shell, *flags], input=script, text=True, capture_output=True).returncode == 0
