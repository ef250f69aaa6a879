"""Habits of users of other tools are answered with words that work where they are given."""

import re
import shlex

import pytest

from trainctl.command import flags
from trainctl.command.help import COMMANDS
from trainctl.settings import compose, config, elsewhere, habits, points

# What was typed, and the words of the answer.
HABITS = [
    ("~augment", "augment=none"),
    ("~schedule", "schedule=none"),
    ("~optimizer.weight_decay", "optimizer.weight_decay=0"),
    ("~loop.clip_norm", "loop.clip_norm=null"),
    ("~optimizer", "optimizer=NAME"),
    ("+trainer.fast_dev_run=true", "loop.max_steps=1"),
    ("++trainer.max_epochs=3", "loop.epochs=3"),
    ("hydra.run.dir=out", "output.root=out"),
    ("-m hydra.sweep.dir=out seed=0,1", "output.root=out"),
    ("-m hydra/launcher=joblib seed=0,1", "-m sweep.workers=2"),
    ("-m hydra/sweeper=optuna seed=0,1", "-m sweep=tpe sweep.trials=20"),
    ("hydra.job.chdir=true", "leave it out"),
    ("--config-name train", "recipe=NAME"),
    ("-cn train", "recipe=NAME"),
    ("--config-name=train", "recipe=NAME"),
    ("--config-path .", "--config-dir ."),
    ("-cp .", "--config-dir ."),
    ("+experiment=foo", "recipe=NAME"),
    ("optimizer@opt=adam", "optimizer=adam"),
    ("dataset/iris", "dataset=iris"),
    ("--run", "leave it out"),
    ("lr=0.1", "optimizer.lr=0.1"),
    ("epochs=5", "loop.epochs=5"),
    ("batch=64", "loop.batch_size=64"),
    ("--epochs 5", "loop.epochs=5"),
    ("--epochs=5", "loop.epochs=5"),
    ("--lr 0.1", "optimizer.lr=0.1"),
    ("-lr 0.1", "optimizer.lr=0.1"),
    ("--lr", "optimizer.lr=VALUE"),
    ("--batch-size 8", "loop.batch_size=8"),
    ("--optimizer sgd", "optimizer=sgd"),
    ("--optimizer.lr=0.1", "optimizer.lr=0.1"),
    ("--momentum=0.8", "optimizer=sgd optimizer.momentum=0.8"),
    ("--patience 3", "early_stopping=patience early_stopping.patience=3"),
    ("optimizer.lr 0.1", "optimizer.lr=0.1"),
    ("seed=1 optimizer.lr 0.1", "optimizer.lr=0.1"),
    ("device=gpu", "device=cuda"),
    ("device=0", "device=cuda:0"),
    ("device=gpu:1", "device=cuda:1"),
    ("device=rocm", "device=cuda"),
    ("model=resnet50", "model=torchvision model.architecture=resnet50"),
    ("name=resnet50", "model=torchvision model.architecture=resnet50"),
    ("arch=vit_b_16", "model=torchvision model.architecture=vit_b_16"),
    ("arch=cnn", "model=cnn"),
    ("model.pretrained=true", "model=torchvision model.weights=default"),
    ("use_wandb=true", "logger=wandb"),
    ("precision=16", "precision=fp16"),
    ("precision=bf16-mixed", "precision=bf16"),
    ("gpus=1", "device=cuda"),
    ("--gpus 0", "device=cpu"),
    ("--amp", "precision=bf16"),
    ("--resume", "trainctl resume"),
    ("resume=true", "trainctl resume"),
    ("config=mine.yaml", "trainctl mine.yaml"),
    ("export=onnx", "trainctl export"),
    ("--find-lr", "trainctl find-lr"),
    ("overwrite=true", "leave it out"),
    ("output.overwrite=true", "leave it out"),
    ("--overwrite", "leave it out"),
    ("--force", "leave it out"),
    ("-f", "leave it out"),
    ("exist_ok=true", "leave it out"),
    ("output.dir=out", "output.root=out"),
    ("name=x", "output.name=x"),
    ("--run-name x", "output.name=x"),
    ("--tags x", "output.tags=[x]"),
    ("tags=[x]", "output.tags=[x]"),
    ("--dry-run", "loop.max_steps=1"),
    ("early_stopping=true", "early_stopping=patience"),
    ("augment=false", "augment=none"),
    ("augment=flip+crop", "augment=[flip,crop]"),
    ("augment=flip,crop", "augment=[flip,crop]"),
    ("model.hidden=64,32", "model.hidden=[64,32]"),
    ("loop.max_time=90", "loop.max_time=90s"),
    ("loop.max_time=1:30", "loop.max_time=90s"),
    ("loop.max_time='1h 30m'", "loop.max_time=5400s"),
    ("loop.epochs=1e1", "loop.epochs=10"),
    ("mnist", "dataset=mnist"),
    ("optimizer.momentum=0.9", "optimizer=muon"),
    ("early_stopping.patience=3", "early_stopping=patience"),
    ("patience=3", "early_stopping=patience early_stopping.patience=3"),
    ("callbacks.early_stopping.patience=3", "early_stopping=patience early_stopping.patience=3"),
    ("-patience 3", "early_stopping=patience early_stopping.patience=3"),
    ("alpha=1", "augment=[mixup] augment.mixup.alpha=1"),
    ("loop.batch_size=Full", "loop.batch_size=full"),
    ("decay_norm_and_bias=no", "decay_norm_and_bias=false"),
    ("decay_norm_and_bias=1", "decay_norm_and_bias=true"),
    ("optimizer.lr=1/100", "optimizer.lr=0.01"),
    ("model.hidden=64", "model.hidden=[64]"),
    ("optimizer={name:sgd,lr:0.1}", "optimizer=sgd optimizer.lr=0.1"),
    ("optimizer={name:sdg,lr:0.1}", "optimizer=sgd optimizer.lr=0.1"),
    ("optimizer.name=sdg", "optimizer=sgd"),
    ("optimizer.name=xyzzy", "optimizer=NAME"),
    ("optimizer/sdg", "optimizer=sgd"),
    ("--optimizer sdg", "optimizer=sgd"),
    ("optimizer sdg", "optimizer=sgd"),
    ("early_stopping=yes", "early_stopping=patience"),
    ("augment=off", "augment=none"),
    ("-m seed=0-3", "-m seed=0,1,2,3"),
    ("seed=1..2", "-m seed=1,2"),
    ("dataset=no/penguins.csv", "trainctl no/penguins.csv"),
    ("completion", "--shell-completion install=bash"),
    ("optim=sdg", "optimizer=sgd"),
    ("optimizr=sdg", "optimizer=sgd"),
    ("metric=accuracy", "leave it out"),
    ("metric=roc_auc", "metric=auc"),
    ("monitor=val_acc", "monitor=val/accuracy"),
    ("monitor=f1", "monitor=val/f1"),
    ("version", "trainctl --version"),
    ("ls", "trainctl runs"),
    ("tune", "-m optimizer.lr=0.1,0.01"),
]


def works(words):
    """Check what an answer says to type: the words compose a run, a sweep, or begin with a command."""
    words = [re.sub(r"^recipe=NAME$", "recipe=mnist_cnn", word) for word in words]
    words = [word.replace("=NAME", "=adam").replace("VALUE", "0.1") for word in words]
    if "--config-dir" in words:
        compose.compose([], words[words.index("--config-dir") + 1])
    elif words[0] == "trainctl":
        assert words[1] in (*COMMANDS, "--version", "mine.yaml", "no/penguins.csv")
    elif words[0] == "--shell-completion":
        assert f"{words[0]}" in flags.FLAGS
    elif words[0] == "-m":
        points.compose_points([*words[1:], *([] if words[1].startswith("seed=") else ["seed=0,1"])])
    else:
        compose.compose(words)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "answer"), HABITS, ids=[row[0] for row in HABITS])
def test_a_habit_is_answered_with_words_that_work(say, typed, answer):
    code, out, err = say(*shlex.split(typed), "output.plots=false")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert answer in err
    if answer != "leave it out":
        works(answer.split())


def hints():
    """Yield every word of a hint in the tables of habits."""
    texts = [*elsewhere.COMMANDS.values(), *elsewhere.FLAGS.values(), *elsewhere.HYDRA.values()]
    for text in texts:
        yield from re.findall(r"(?:use |with )((?:-m )?(?:[\w.]+=[\w.]+ ?)+|trainctl [\w-]+|--config-dir \.?)", text)
    yield from (f"{key}=1" for keys in elsewhere.ELSEWHERE.values() for key in keys.split(" ")[-1:])


def test_each_hint_of_the_tables_names_what_exists():
    found = [hint.strip() for hint in hints()]
    assert len(found) > 60
    settings = habits._settings() | {"recipe"}
    for words in {hint for hint in found if not hint.startswith("trainctl")}:
        keys = [word.partition("=")[0] for word in words.split() if "=" in word]
        assert [
            key for key in keys if key.partition(".")[0] != "sweep" and key not in {*settings, *compose.options([])}
        ] == []
    assert {hint.split()[1] for hint in found if hint.startswith("trainctl")} <= set(COMMANDS)
    assert {elsewhere.PRECISIONS[key] for key in elsewhere.PRECISIONS} == {"fp32", "bf16", "fp16"}


def test_the_commands_that_are_typed_as_settings_are_those_that_exist():
    assert set(elsewhere.OURS) <= {name.replace("-", "_") for name in COMMANDS}
    others = {name for name in COMMANDS if name.replace("-", "_") not in elsewhere.OURS}
    assert {name for name in others if not habits.of_key(name, "")} == {"init", "split"}


@pytest.mark.parametrize(
    "word", ["-f my.yaml", "clean.replace=median", "model.f=3", "dataset.dir=photos", "checkpoint.dir=x"]
)
def test_a_word_that_means_something_else_gets_no_hint_for_overwriting_or_for_the_directory_of_runs(say, word):
    err = say(*word.split())[2]
    assert "leave it out" not in err
    assert "output.root" not in err


def test_f_is_a_format_if_a_command_has_one_and_a_value_follows(say):
    assert say("export", "last", "-f", "onnx")[2].endswith("; use format=onnx\n")
    assert "use format" not in say("export", "last", "-f")[2]


@pytest.mark.parametrize("key", ["dataset", "dataset.name"])
def test_a_file_as_a_data_set_is_answered_with_a_command_that_a_shell_reads(say, key):
    err = say(f"{key}=my data.csv")[2]
    assert err.endswith("a file or directory of data is typed without dataset=: trainctl 'my data.csv'\n")


@pytest.mark.parametrize("word", ["augment=on", "logger=true"])
def test_a_wish_for_something_is_not_answered_with_nothing(say, word):
    assert "did you mean none" not in say(word)[2]


@pytest.mark.parametrize("word", ["overwrite=true", "--force", "exist_ok=yes", "-f"])
def test_a_command_never_overwrites_and_says_what_to_do(say, word):
    code, out, err = say("export", "last", "output=model.pt", word)
    assert (code, out) == (2, "")
    assert "output= never replaces a file: remove the old one, or choose another name" in err
    assert say("remove", "last", word)[2].endswith("use yes=true\n")
    assert "replaces" not in say("runs", word)[2]


@pytest.mark.parametrize(
    "words", [["-m", "train"], ["train", "-m"], ["--multirun", "train"], ["train", "seed=0", "-m"]]
)
def test_the_flag_of_a_sweep_may_stand_anywhere(words):
    arranged = flags.with_command_first(words)
    assert arranged[0] == "train"
    assert flags.parse(arranged[1:])[0].multirun


def test_a_setting_of_the_member_that_is_selected_is_the_one_that_is_meant(say):
    assert say("dataset=csv", "target=y")[2].endswith("no such setting; did you mean dataset.target=y?\n")
    assert say("optimizer=sgd", "momentum=0.5")[2].endswith("; did you mean optimizer.momentum=0.5?\n")


def misspelt_members():
    """Yield words that name a member of a group with two letters exchanged, as habits have it."""
    for key, setting in elsewhere.ELSEWHERE.items():
        group = setting.rpartition(" ")[2]
        names = [name for name in compose.options([]).get(group, ()) if len(name) > 3 and name[1] != name[2]]
        for name in names[:3]:
            wrong = f"{name[0]}{name[2]}{name[1]}{name[3:]}"
            yield from (f"{key}={wrong}", f"--{key}={wrong}", f"{group}.name={wrong}", f"{group}={{name:{wrong}}}")


def test_no_hint_names_a_member_that_does_not_exist(say):
    typed = sorted(set(misspelt_members()))
    assert len(typed) > 50
    members = compose.options([])
    for word in typed[:: max(1, len(typed) // 24)]:
        err = say(word)[2]
        hints = re.findall(r"(?:use |with |did you mean |; )(\w+)=(\w+)", err)
        assert hints, err
        assert {name for group, name in hints if group in members} <= {"NAME"}.union(*members.values()), err


@pytest.mark.parametrize("word", ["optimizer.lr=-1.0", "loop.epochs=-2e0", "split.val_fraction=2.0"])
def test_no_value_is_proposed_that_is_not_allowed_either(say, word):
    code, _, err = say(word)
    assert code == 2
    assert "expected a" in err
    assert "use " not in err


@pytest.mark.parametrize("function", ["log", "loguniform", "uniform"])
def test_a_range_as_others_write_it_is_answered_with_ours(say, function):
    err = say("-m", f"optimizer.lr={function}(1e-4,1e-1)")[2]
    assert f"no such function {function}; for a range: interval(0,0.5), tag(log,interval(1e-5,1e-1))" in err


def test_a_setting_without_a_habit_keeps_its_message(say):
    assert say("foo=1")[2] == "trainctl: foo=1: no such setting (trainctl settings lists those of all runs)\n"
    assert say("--foo")[2] == "trainctl: --foo: unknown flag; see trainctl --help\n"
    assert set(config.knobs()) & set(elsewhere.ELSEWHERE) == set()


def test_a_command_says_how_its_options_are_written(say):
    assert say("evaluate", "--split", "val")[2].endswith("write options as key=value: split=val\n")
    assert say("resume", "--loop.epochs=5")[2].endswith("write options as key=value: loop.epochs=5\n")
    assert say("runs", "--foo", "3")[2].endswith("write options as key=value\n")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("https://example.com/t.csv", "a URL; download the file"),
        ("s3://bucket/t.csv", "a URL; download the file"),
        ("-", "standard input can be read only once"),
    ],
)
def test_what_is_no_file_is_named(say, path, message):
    words = ["dataset=csv", f"dataset.path={path}", "dataset.target=y"]
    assert say(*words)[2].startswith(f"trainctl: dataset.path={path}: {message}")


def test_a_url_of_a_file_is_its_path(tmp_path):
    words = ["dataset=csv", "dataset.target=y"]
    assert (
        compose.compose([*words, "dataset.path=file:///data/my%20rows.csv"]).tree["dataset"]["path"]
        == "/data/my rows.csv"
    )
    (tmp_path / "s3:" / "x").mkdir(parents=True)  # a directory may be called so
    assert compose.compose([*words, "dataset.path=s3://x"]).tree["dataset"]["path"] == str(tmp_path / "s3:" / "x")


def test_a_path_that_exists_is_one_value_of_a_sweep(tmp_path):
    for name in ("a,b.csv", "choice(a,b)", "range(1,2)"):
        (tmp_path / name).touch()
        found = points.compose_points(["dataset=csv", "dataset.target=y", f"dataset.path={name}", "seed=0,1"])
        assert [config.tree["dataset"]["path"] for _, config in found] == [str(tmp_path / name)] * 2
