"""Whatever is wrong with a command, its files or its surroundings: one line that says what, an exit code, nothing left."""

import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from trainctl import cli
from trainctl.report.table import printable

MLP = "name: mlp\nhidden: [8]\nactivation: relu\nnorm: none\ndropout: 0.0\n"
SMALL = ("dataset=iris", "loop.epochs=1", "output.plots=false")


@pytest.fixture
def say(monkeypatch, capsys):
    """Return a function that runs the command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["trainctl", *arguments])
        code = cli.main()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


# words as the shell gives them, exit code, what the one line says
WRONG = [
    # out of range, huge, empty
    (["loop.epochs="], 2, "loop.epochs=: expected a whole number in [1, inf) or null"),
    (["seed=1e400"], 2, "expected a whole number in [0, 4294967295]"),
    (["seed=18446744073709551616"], 2, "seed=18446744073709551616: expected"),
    (["seed=1.5"], 2, "seed=1.5: expected a whole number"),
    (["seed=random"], 2, "seed=random: expected"),
    ([f"loop.epochs={10**24}"], 2, "at most 9223372036854775807"),
    (["model.hidden=[99999999999999999999999]"], 2, "model.hidden="),
    (["model.hidden=[9000000000000000000]"], 2, "model=mlp: a layer is too large to allocate"),
    (["threads=100000"], 2, "threads=100000: expected a whole number in [1, 1024] or adapt or null"),
    (["output.root="], 2, "output.root=: expected a path"),
    (["output.root=null"], 2, "output.root=null: expected a path"),
    (["optimizer="], 2, "optimizer=: no such optimizer (choose from: ada"),
    (["optimizer=ADAM"], 2, "did you mean adam?"),
    (["OPTIMIZER.LR=0.1"], 2, "did you mean optimizer.lr=0.1?"),
    (["early_stopping=patience", "early_stopping.mode=max"], 2, "early_stopping.mode=max: no such setting"),
    # contradictions
    (["schedule=cosine", "schedule.warmup_steps=99"], 2, "schedule.warmup_steps=99 must be below the run's 4 steps"),
    (["schedule=multistep", "schedule.milestones=[5,50]"], 2, "the run ends after 1 epoch, before 50"),
    (["schedule=multistep", "schedule.milestones=[0.5,0.2]"], 2, "milestones must be strictly increasing"),
    (["monitor=test/loss"], 2, "monitor=test/loss: expected a metric such as val/loss"),
    (["monitor=val/acc"], 2, "did you mean val/accuracy?"),
    (["early_stopping=patience", "early_stopping.monitor=train/loss"], 2, "early_stopping.monitor=train/loss: expected"),
    (["early_stopping=patience", "early_stopping.monitor=val/r2"], 2, "early_stopping.monitor=val/r2: a classification has no such"),
    (["mode=max"], 2, "mode=max: no such setting"),
    (["loop.micro_batches=33"], 2, "loop.micro_batches=33 exceeds loop.batch_size=32"),
    (["loop.micro_batches=2000", "loop.batch_size=full"], 2, "loop.micro_batches=2000 exceeds the batch of 106 rows"),
    (["precision=fp16"], 2, "fp16 needs a CUDA device"),
    (["device=gpu"], 2, "device=gpu: expected auto, cpu, mps, cuda or cuda:1"),
    (["device=cpu:1"], 2, "device=cpu:1: expected"),
    # sweeps: every point before the first trial
    (["-m", "optimizer.lr=0.1,0.2,-1,0.3"], 2, "optimizer.lr=-1: expected a number in (0, inf)"),
    (["-m", "seed=range(0)"], 2, "seed=range(0): matches nothing"),
    (["-m", "seed=choice()"], 2, "seed=choice()"),
    (["-m", "seed=range(1000000)"], 2, "this sweep has 1000000 trials; the limit is 10000"),
    (["-m", "seed=range(1000)", "split.seed=range(1000)"], 2, "1000000 trials"),
    (["-m", f"seed=range({10**12})"], 2, "1000000000000 trials"),
    (["-m", "seed=shuffle(range(1000000000))"], 2, "1000000000 trials"),
    (["-m", "optimizer.lr=range(0,1,1e-9)"], 2, "1000000000 trials"),
    (["-m", "seed=range(0,5,0)"], 2, "range is infinite"),
    # how it is typed
    (["\u2013-help"], 2, "contains an en dash (\u2013), probably pasted from a document; did you mean --help?"),
    (["optimizer.lr=\u20131"], 2, "probably pasted from a document; did you mean optimizer.lr=-1?"),
    (["optimizer.lr=\u201c0.1\u201d"], 2, "contains a left double quotation mark (\u201c)"),
    (["optimizer\uff1dadam"], 2, "did you mean optimizer=adam?"),
    (["optimizer.lr = 0.1"], 2, "no spaces around =; did you mean optimizer.lr=0.1?"),
    ([" optimizer.lr=0.1"], 2, "no spaces around ="),
    (["optimizer.lr='0.1"], 2, "optimizer.lr='0.1: cannot parse "),
    (["optimizer==adam"], 2, 'cannot parse "="; put quotes around special characters'),
    (["=adam"], 2, "=adam: no such setting"),
    ([""], 2, "argument 1 is empty"),
    (["--foo"], 2, "--foo: unknown flag"),
    (["--config-dir", ""], 2, "is empty; check the shell variable"),
    (["--config-dir", "n" * 300], 2, "nnn: no such directory"),
    (["components=[" + "n" * 300 + "]"], 2, "nnn]: no such package"),
    (["optimizer.lr=${oc.env:NO_SUCH_VARIABLE}"], 2, "Environment variable 'NO_SUCH_VARIABLE' not found"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "code", "message"), WRONG, ids=[ascii(" ".join(row[0]))[:60] for row in WRONG])
def test_what_is_wrong_is_said_in_one_line(say, tmp_path, typed, code, message):
    given, out, err = say(*(typed if typed[0][:1] in ("\u2013", "") else [*SMALL, *typed]))
    assert (given, out) == (code, "")
    assert message in err
    assert err.startswith("trainctl: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("always::trainctl.errors.Advice")
@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["early_stopping=patience", "early_stopping.patience=50"], "only 1 evaluation, so early_stopping.patience=50 prevents"),
        (["early_stopping=patience", "early_stopping.patience=1", "early_stopping.min_epochs=9", "loop.epochs=2"], "min_epochs=9 prevents"),
        (["schedule=plateau", "schedule.patience=50"], "so schedule.patience=50 never lowers the learning rate"),
        (["loop.batch_size=1000000"], "loop.batch_size=1000000: there are only 106 training rows"),
        (["loop.stop_at_step=500"], "loop.stop_at_step=500: the run ends before that, after 4 steps"),
        (["loop.eval_every_steps=500"], "loop.eval_every_steps=500: the run has only 4 steps"),
    ],
)  # fmt: skip
def test_what_cannot_act_is_done_and_noted(say, typed, message):
    code, _, err = say(*SMALL, *typed)
    assert code == 0
    assert err.startswith("trainctl: note: ")
    assert message in err
    assert err.count("\n") == 1


FILES = {
    "utf16": (MLP.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "binary": (bytes(range(128, 256)), "line 1: cannot be read: byte 0x80 is not UTF-8"),
    "tab": (b"name: mlp\n\thidden: [8]\n", "tab.yaml, line 2: not valid YAML"),
    "twice": ((MLP + "dropout: 0.1\n").encode(), "line 6: not valid YAML"),
    "documents": (b"name: mlp\n---\nname: cnn\n", "line 2: not valid YAML"),
    "object": ((MLP + "x: !!python/object/apply:os.mkdir [canary]\n").encode(), "line 6: not valid YAML"),
    "target": ((MLP + "_target_: canary.Canary\n").encode(), "model._target_: model mlp has no such parameter"),
    "unset": (MLP.replace("0.0", "${oc.env:NO_SUCH_VARIABLE}").encode(), "Environment variable 'NO_SUCH_VARIABLE' not"),
    "cycle": (MLP.replace("0.0", "${model.dropout}").encode(), "model.dropout"),
    "missing": (MLP.replace("0.0", "???").encode(), "Missing mandatory value: dropout"),
    "deep": (b"name: " + b"[" * 20000 + b"]" * 20000, "levels"),
    "itself": (b"name: &a [*a]\n", "refers to itself"),
    "bomb": (
        b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 30)),
        "more than 100,000 values after expanding aliases",
    ),
    "merges": (
        b"a0: &a0 {x: 1}\n" + b"".join(b"a%d: &a%d {<<: [%s]}\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 30)),
        "more than 100,000 values",
    ),
    "large": (MLP.encode() + b"#" * 2_000_000, "larger than 1,000,000 bytes"),
}  # fmt: skip


BOMBS = ("deep", "itself", "bomb", "merges", "large")


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_configuration_is_named_within_bounds(say, tmp_path, name):
    content, message = FILES[name]
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / f"{name}.yaml").write_bytes(content)
    if name in BOMBS:
        tracemalloc.start()
    code, out, err = say(f"model={name}", "--config-dir", "mine")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert peak < 20e6
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_configuration_that_is_a_directory_or_a_broken_link_is_named(say, tmp_path):
    (tmp_path / "conf" / "model" / "folder.yaml").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "link.yaml").symlink_to("nowhere")
    assert "conf/model/folder.yaml: is a directory, not a file" in say("model=folder")[2]
    assert "conf/model/link.yaml: no such file; it is a broken link to nowhere" in say("model=link")[2]
    (tmp_path / "file").touch()
    assert say("--config-dir", "file")[2] == "trainctl: --config-dir file: no such directory\n"


def test_a_byte_order_mark_and_aliases_are_no_trouble(say, tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    text = "\ufeff" + MLP.replace("[8]", "[&n 8, *n]")
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(text, encoding="utf-8")
    assert "hidden:\n- 8\n- 8\n" in say("model=mine", "--cfg", "job", "-p", "model")[1]


NAMES = {
    "newline": "a\nb",
    "markup": "[bold]x[nope]",
    "escape": "a\x1b]0;title\x07b",
    "formula": "=1+1",
    "html": "<script>",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_of_any_name_is_used_and_shown_as_it_is(say, tmp_path, name):
    code, out, err = say(*SMALL, f"output.root='{NAMES[name]}'")
    assert (code, err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [NAMES[name]]
    assert "\x1b" not in out
    assert f"run     {NAMES[name].partition(chr(10))[0].replace(chr(27), chr(92) + 'x1b')[:6]}" in out
    assert say("runs", f"root={NAMES[name]}")[0] == 0


@pytest.mark.parametrize(("root", "says"), [("x" * 300, "File name too long"), ("/dev/null", "not a directory")])
def test_a_directory_that_cannot_be_made_is_storage(say, tmp_path, root, says):
    code, _, err = say(*SMALL, f"output.root={root}")
    assert (code, err.count("\n")) == (5, 1)
    assert says in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["resume", "evaluate", "runs"])
def test_what_is_typed_cannot_drive_the_terminal(say, verb):
    code, _, err = say(*([verb, "\x1b[2J[bold]x"] if verb != "runs" else [verb, "root=\x1b[2J[bold]x"]))
    assert code in (2, 4)
    assert "\\x1b[2J[bold]x" in err
    assert "\x1b" not in err


SURROUNDINGS = {
    "no home": {"HOME": ""}, "c locale": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    "narrow": {"COLUMNS": "20"}, "dumb": {"TERM": "dumb"}, "no colour": {"NO_COLOR": "1"}, "no temp": {"TMPDIR": "/nowhere"},
    "odd gpus": {"CUDA_VISIBLE_DEVICES": "x"}, "hydra": {"HYDRA_FULL_ERROR": "1"}, "threads": {"OMP_NUM_THREADS": "abc"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_run_needs_nothing_of_its_surroundings(command, tmp_path, name):
    fresh = name == "c locale"  # a fork has its parent's encodings
    done = command(*SMALL, "output.root='größe \u2603'", fresh=fresh, **SURROUNDINGS[name])
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert printable("\u2603", "ascii" if name == "c locale" else "utf-8") in done.stdout
    assert len(list(tmp_path.glob("größe*/*/summary.json"))) == 1


def test_a_mistake_in_another_locale_is_told_too(command):
    done = command("optimizer=größe", fresh=True, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "optimizer=gr\\xf6\\xdfe" in done.stderr
    assert os.linesep in done.stderr
    assert Path("runs").exists() is False
