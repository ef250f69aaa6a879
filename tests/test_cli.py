"""What a user types, and what comes back: messages, exit codes, and what is left behind."""

import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainctl import cli
from trainctl.command.help import COMMANDS

Command = Callable[..., subprocess.CompletedProcess[str]]
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs the command line in this process: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trainctl", *arguments])
        code = cli.main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


MISTAKES = [
    # what is typed                                     code  what the message has to say
    ("optimizr=adam", 2, "did you mean optimizer=adam?"),
    ("-m seed=choice()", 2, "seed=choice(): empty choice is not legal"),
    ("-m seed=range(0,0)", 2, "seed=range(0,0): matches nothing"),
    ("runs root=", 2, "root=: expected a value"),
    ("predict a b output=", 2, "output=: expected a value"),
    ("list model components=[[]]", 2, "components=[[]]: no such package"),
    ("optimizer=adm", 2, "no such optimizer; did you mean adam? (choose from: ada"),
    ("optimizer.lrr=0.1", 2, "did you mean optimizer.lr=0.1?"),
    ("+optimizer.lrr=0.1", 2, "did you mean optimizer.lr=0.1?"),
    ("++foo=1", 2, "++foo=1: no such setting"),
    ("lr=0.1", 2, "did you mean optimizer.lr=0.1?"),
    ("optimizer.lr=abc", 2, "optimizer.lr=abc: expected a number in (0, inf)"),
    ("optimizer.lr=-1", 2, "optimizer.lr=-1: expected a number in (0, inf)"),
    ("optimizer.lr=nan", 2, "optimizer.lr=nan: expected a number in (0, inf)"),
    ("optimizer=null", 2, "optimizer=null: a run needs one"),
    ("optimizer.lr=0.1,0.2", 2, "several values make a sweep; use trainctl -m optimizer.lr=0.1,0.2"),
    ("loop.batch_size=0", 2, "expected a whole number in [1, inf) or full"),
    ("device=cuda:99", 7, "device=cuda:99: this machine has"),
    ("dataset=mnist dataset.root=/nowhere", 3, "dataset.root=/nowhere: no such directory"),
    ("loss=mse", 2, "set loss=cross_entropy"),
    ("dataset=diabetes loss=cross_entropy", 2, "set loss=mse"),
    ("loss=huber", 2, "loss=huber is for regression and reconstruction, but dataset=digits is a classification"),
    ("loss=binary_cross_entropy", 2, "for two classes, but the data has 10: use loss=cross_entropy"),
    ("dataset=diabetes loss=binary_cross_entropy", 2, "set loss=mse"),
    ("dataset=iris loss.class_weights=[1,2]", 2, "loss.class_weights has 2 weights, but the data has 3 classes"),
    ("dataset=iris model=cnn", 2, "model=cnn reads images; this data set's samples have shape (4,)"),
    ("dataset=iris model=rnn", 2, "model=rnn reads sequences or images"),
    ("dataset=iris augment=flip", 2, "augment=flip needs images"),
    ("augment=crop augment.crop.padding=8", 2, "must be below the image size 8 x 8"),
    ("augment=[noise,mixup] model=autoencoder", 2, "augment=mixup mixes targets, which a reconstruction does not have"),
    (
        "augment=translate augment.translate.fraction=0.1",
        2,
        "augment.translate.fraction=0.1 is less than a pixel for images of 8 x 8",
    ),
    ("monitor=val/r2", 2, "choose from: val/loss, val/accuracy"),
    ("schedule=cosine schedule.warmup_steps=99999", 2, "must be below the run's"),
    ("precision=fp16 device=cpu", 2, "fp16 needs a CUDA device"),
    ("loop.batch_size=1 model.norm=batch", 2, "a batch of one row"),
    ("resume nowhere", 4, "nowhere: no such run"),
    ("evaluate nowhere", 4, "nowhere: no such run"),
    ("verify nowhere", 4, "nowhere: no such run"),
    ("reproduce nowhere", 4, "nowhere: no such run"),
    ("predict nowhere x.csv", 4, "nowhere: no such run"),
    ("resume", 4, "runs: no runs found"),
    ("-m optimizer=adam,adm", 2, "did you mean adam?"),
    ("-m optimizer.lr=0.1,-1", 2, "optimizer.lr=-1"),
    ("trian", 2, "did you mean train?"),
    ("--experimental-rerun config.pickle", 2, "unknown flag"),
    ("--config-dir nowhere", 2, "--config-dir nowhere: no such directory"),
    (f"resume {'n' * 300}", 4, "nnn: no such run"),
    (f"predict {'n' * 300} x.csv", 4, "nnn: no such run"),
    (f"runs root={'n' * 300}", 2, "nnn: no such directory"),
    (f"find-lr output={'n' * 300}.png", 5, "trainctl: output=nnn"),
    ("evaluate split=tset", 2, "did you mean test?"),
    ("runs srot=name", 2, "did you mean sort?"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "code", "message"), MISTAKES, ids=[typed for typed, _, _ in MISTAKES])
def test_a_mistake_gets_one_clear_line_and_leaves_nothing_behind(
    say: Say, tmp_path: Path, typed: str, code: int, message: str
) -> None:
    given, out, err = say(*typed.split())

    assert given == code
    assert message in err
    assert err.startswith("trainctl: ")
    assert re.sub("trainctl: loading PyTorch, .*\n", "", err).count("\n") == 1  # on a slow machine
    assert "Traceback" not in err
    assert out == ""
    assert not list(tmp_path.iterdir())


def test_all_mistakes_are_reported_at_once(say: Say) -> None:
    code, _, err = say("optimizer.lr=-1", "loop.batch_size=0", "seed=x")

    assert code == 2
    assert [line.partition("=")[0] for line in err.splitlines()] == [
        "trainctl: seed",
        "trainctl: loop.batch_size",
        "trainctl: optimizer.lr",
    ]


def test_a_broken_file_of_the_users_is_named_with_its_line(say: Say, tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "broken.yaml").write_text("name: mlp\nhidden: [1\n")

    code, _, err = say("model=broken")

    assert code == 2
    assert "conf/model/broken.yaml, line 3: not valid YAML" in err
    assert not (tmp_path / "runs").exists()


# These answer without torch, which takes two seconds to import.
LIGHT = [
    ["--help"], ["--version"], ["train", "--help"], ["resume", "--help"], ["evaluate", "--help"], ["predict", "--help"],
    ["find-lr", "--help"], ["find-batch-size", "--help"], ["find-lr", "lr=0.1"], ["profile", "--help"], ["profile", "steps=0"],
    ["find-batch-size", "max_size=0"], ["verify", "--help"], ["verify", "from=often"], ["verify", "nowhere"], ["reproduce", "nowhere"],
    ["list"], ["list", "optimizer"], ["list", "optimizer", "adam"], ["runs"], ["--cfg", "job"], ["--info", "config"],
    ["--shell-completion", "install=bash"], ["lr=0.1"], ["optimizer=adm"], ["resume", "nowhere"], ["-m", "seed=x,y"],
]  # fmt: skip


def test_help_lists_and_mistakes_do_not_import_torch(tmp_path: Path) -> None:
    script = (
        "import json, sys\nfrom trainctl import cli\nfor words in json.loads(sys.argv.pop()):\n    sys.argv = ['trainctl', *words]\n"
        "    cli.main()\n    assert 'torch' not in sys.modules, words\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(LIGHT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_hydras_flags_answer(say: Say) -> None:
    assert say("--cfg", "job", "optimizer=sgd", "-p", "optimizer")[1].startswith("# @package optimizer\nname: sgd\n")
    code, out, _ = say("optimizer=sgd", "--help")
    assert code == 0
    assert re.search(r"optimizer: .*adam, .*sgd", out, re.DOTALL)
    assert "recipe: " in out


@pytest.mark.slow
def test_resolved_configuration_is_shown(command: Command) -> None:
    done = command("--cfg", "job", "--resolve", "early_stopping=patience", "monitor=val/accuracy")

    assert done.returncode == 0
    assert "  name: patience\n  monitor: val/accuracy\n" in done.stdout


def test_completion_offers_members_of_a_group(command: Command) -> None:
    line = "trainctl optimizer=adam"

    done = command("--shell-completion", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))

    assert done.stdout.split() == ["optimizer=adam", "optimizer=adamax", "optimizer=adamw"]


def test_a_users_configuration_directory_adds_members(say: Say, tmp_path: Path) -> None:
    mine = tmp_path / "elsewhere" / "schedule"
    mine.mkdir(parents=True)
    (mine / "gentle.yaml").write_text("name: exponential\nwarmup_steps: 0\ngamma: 0.99\nstaircase: false\n")

    code, out, err = say("--config-dir", "elsewhere", "schedule=gentle", "--cfg", "job", "-p", "schedule")

    assert (code, err) == (0, "")
    assert "gamma: 0.99" in out


def test_every_verb_explains_itself_with_examples(say: Say) -> None:
    for verb in COMMANDS:
        code, out, _ = say(verb, "--help")
        assert code == 0
        assert out.count(f"trainctl {verb}") >= 2 or verb == "train", verb
        assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("more", [[], ["install=csh"], ["install=bash", "query=bash"]])
def test_a_completion_names_one_shell(say: Say, more: list[str]) -> None:
    code, out, err = say("--shell-completion", *more)
    assert (code, out) == (2, "")
    assert err.startswith("trainctl: --shell-completion needs one of install=bash,")


@pytest.mark.slow
def test_hydras_own_help_can_follow_overrides(say: Say) -> None:
    code, out, _ = say("optimizer=sgd", "--hydra-help")
    assert (code, "--info" in out) == (0, True)


def test_a_lack_of_memory_outside_of_training_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dispatch(arguments: object) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(cli, "dispatch", dispatch)
    assert cli.main() == 7
    assert capsys.readouterr().err.startswith("trainctl: out of memory")


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "dispatch", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_component_that_exits_does_not_look_like_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(arguments: object) -> int:
        raise SystemExit(0)

    monkeypatch.setattr(cli, "dispatch", leave)
    assert cli.main() == 2
    assert "called sys.exit(0)" in capsys.readouterr().err


HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs", f"limit={HUGE}"], "expected a whole number in [1, inf)"),
        (["verify", "x", f"steps={HUGE}"], "expected a whole number in [1, inf)"),
        (["verify", "x", f"from={HUGE}"], "expected a step or one of these"),
        (["model.hidden=" + "[" * 200], "model.hidden: nested more than 50 levels deep"),
        (["-m", "seed=" + "choice(" * 100], "seed: nested more than 50 levels deep"),
        (["model.hidden=[" + "8," * 5000], "model.hidden: more than 30,000 characters, or 4,000 commas and brackets"),
        (["dataset=csv", "dataset.target=y", "dataset.path='~nosuchuser/x'"], "dataset.path=~nosuchuser/x: not a path"),
        (["components=[__main__]"], "components=[__main__]: no such package"),
        (["list", "components=[__main__]"], "components=[__main__]: no such package"),
    ],
    ids=lambda value: "-".join(value)[:30] if isinstance(value, list) else "",
)  # fmt: skip
def test_what_no_parser_should_get_is_answered_in_a_line_of_bounded_length(
    say: Say, words: list[str], message: str
) -> None:
    code, out, err = say(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert len(err) < 2100


def test_the_list_finds_a_package_of_the_working_directory(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "own.py").write_text('def own(*, width: int):\n    """Return my own model."""\n')
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "own.yaml").write_text("name: own\nwidth: 3\n")
    code, out, err = say("list", "model", "own", "components=[mine]")
    assert (code, "own model" in out) == (0, True), err


def test_what_hydra_prints_is_escaped(say: Say, tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "own.yaml").write_text(
        "name: mlp\nhidden: [8]\nnorm: none\nactivation: relu\ndropout: 0.0\n"
    )
    (tmp_path / "conf" / "model" / "\u202e\x1b[31m.yaml").write_text("x: \u202e\n")
    for words in (["--cfg", "job", "output.root='\u202e'"], ["--info", "all"], ["--help"], ["list", "model"]):
        code, out, err = say(*words)
        assert code == 0
        assert not re.search("[\u202e\x1b\x9b]", out + err)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "out of memory"),
        (OSError(12, "Cannot allocate memory"), "out of memory"),
        (RuntimeError("operator torchvision::nms does not exist"), "do not match"),
        (ModuleNotFoundError("No module named 'torch'"), "a package is missing"),
    ],
)
def test_what_the_machine_lacks_is_said_in_one_line(error: Exception, words: str) -> None:
    message = cli.environment(error)
    assert message
    assert words in message
    assert "\n" not in message


def test_other_runtime_errors_are_not_taken_for_the_machines() -> None:
    assert cli.environment(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_help_leaves_garbage_collection_as_it_was(say: Say) -> None:
    assert say("--help")[0] == 0
    assert gc.isenabled()


@pytest.mark.parametrize("words", [[""], ["evaluate", ""], ["resume", ""], ["predict", "a", ""], ["seed=1", ""]])
def test_an_empty_argument_names_no_run_and_no_directory(say: Say, words: list[str]) -> None:
    code, _, error = say(*words)
    assert (code, error.count("\n")) == (2, 1)
    assert f"argument {len(words)} is empty; check the shell variable that it comes from" in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["runs", "format=json"]])
def test_a_standard_output_that_is_full_is_storage_also_when_python_ends(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "trainctl", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (5, 1), done.stderr


NAMES = [
    "optimizer=sgd",
    "dataset=iris",
    "-m",
    "--help",
    "help",
    "list",
    "runs",
    "seed=1",
    "+seed=1",
    "--version",
    "-c",
]


def test_a_file_changes_no_word_that_means_something(say: Say, tmp_path: Path) -> None:
    asked = [["optimizer=sgd", "--cfg", "job"], ["dataset=iris", "--cfg", "job"], ["help", "list"], ["--help"], ["list"],
             ["runs"], ["seed=1", "--cfg", "job"], ["--version"], ["-c", "job"], ["help"]]  # fmt: skip
    before = [say(*words) for words in asked]
    for name in NAMES:
        (tmp_path / name).write_text("a,y\n1,p\n2,q\n")
    assert [say(*words) for words in asked] == before


@pytest.mark.parametrize(
    "name", ["a=b.csv", "~t.csv", "-x.csv", "[a].csv", "${x}.csv", "'q'.csv", "--t.csv", "a b\n.csv"]
)
def test_a_table_of_any_name_can_be_given(say: Say, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a,label\n" + "".join(f"{row % 7},{'pq'[row % 2]}\n" for row in range(40)))
    code, out, err = say(name, "--cfg", "job")
    assert code == 0, err
    assert "dataset:" in out
    assert "target: label" in out


def test_the_configuration_of_a_run_imports_no_package_that_is_not_named(say: Say, tmp_path: Path) -> None:
    for package in ("evil", "evil/schedule"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    message = "uses components of your own, which are not loaded automatically: add components=[evil]"
    for settings in (
        "components: [evil]\n",
        "components: [evil]\ndataset: {name: iris}\nmodel: {name: mlp}\nloss: {name: mse}\n",
    ):
        (tmp_path / "run" / "config.yaml").write_text(settings)
        for words in (
            ["run/config.yaml"],
            ["inspect", "run/config.yaml"],
            ["train", "run/config.yaml", "components=[os]"],
        ):
            code, _, err = say(*words)
            assert code == 2
            assert err == f"trainctl: run/config.yaml: {message}\n"
    assert not (tmp_path / "canary").exists()
