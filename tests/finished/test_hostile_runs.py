"""A run directory from anybody: no command follows a link out of it, waits for it, or ends in a traceback because of it."""

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.finished import test_open
from tests.finished.test_open import TINY
from tests.soak import cases, seed
from tests.surprises import changed
from trainctl.errors import CheckpointError, StorageError
from trainctl.finished import ensemble
from trainctl.settings import compose
from trainctl.store import files as storage
from trainctl.store import runpath
from trainctl.store.manifest import checksum
from trainctl.store.parents import open_parent
from trainctl.store.records import MadeBy
from trainctl.train import session

Say = Callable[..., tuple[int, str, str]]
say, kept = test_open.say, test_open.kept  # fixtures


def short(tree: Any) -> Any:
    """Return a configuration without a budget that is valid and would take years."""
    loop = tree.get("loop") if isinstance(tree, dict) else None
    for key in ("epochs", "max_steps") if isinstance(loop, dict) else ():
        if isinstance(loop.get(key), int) and loop[key] > 100:
            loop[key] = 3
    return tree


def spoil(run: Path, name: str, chance: random.Random) -> None:
    """Change what a file of a run says; the checksum of a manifest is right afterwards."""
    for path in sorted(run.glob(name)):
        text = path.read_text()
        if name.endswith(".yaml"):
            tree = changed(yaml.safe_load(text), chance)
            if chance.random() < 0.2 and isinstance(tree, dict):
                tree |= chance.choice(({1: 2}, {None: 1}, {(1, 2): 3}, {True: {}}, {"loop": {1: 2}}, {"seed": b"x"}))
            path.write_text(yaml.safe_dump(short(tree)), errors="surrogatepass")
        elif name.endswith(".jsonl"):
            lines = [json.loads(line) for line in text.splitlines()]
            tree = changed(lines, chance)
            path.write_text("".join(json.dumps(line) + "\n" for line in (tree if isinstance(tree, list) else [tree])))
        else:
            content = changed(json.loads(text), chance)
            if isinstance(content, dict) and ("checkpoints" in name or "parents" in name):
                content["sha256"] = checksum(content)
            path.write_text(json.dumps(content))


FILES = ("config.yaml", "overrides.yaml", "run.json", "summary.json", "metrics.jsonl", "checkpoints/step-*.json")
SHORT = ("loop.epochs=1", "output.plots=false")
COMMANDS = (
    ("resume", "run", "loop.epochs=3"), ("resume", "run"), ("evaluate", "run"), ("predict", "run", "rows.npy"),
    ("verify", "run"), ("reproduce", "run"), ("runs", "root=."), ("runs", "root=.", "format=json"),
    ("runs", "root=.", "format=csv", "sort=name"), ("compare", "run", "other"), ("evaluate", "root=."),
    ("explain", "run", "rows.npy", "rows=1"), ("lineage", "run"), ("lineage", "run", "format=json"),
    ("merge", "run", "other", "method=mean"), ("ensemble", "run", "other"), ("prune", "run", "amount=0.5", "tune=false"),
    ("quantize", "run", "calibrate=9"), ("split", "run", "parts=2"), ("export", "run", "output=x.safetensors"),
    ("finetune", "run", *SHORT), ("distill", "run", *SHORT), ("run/config.yaml", *SHORT), ("inspect", "run/config.yaml"),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_no_content_of_a_run_ends_in_a_traceback(say: Say, kept: Path, tmp_path: Path, name: str) -> None:
    np.save("rows.npy", np.zeros((2, 4)))
    shutil.copytree(kept, "other")
    chance = seed(f"contents of {name}")
    for case in range(cases(10)):
        shutil.copytree(kept, "run")
        spoil(tmp_path / "run", name, chance)
        words = chance.choice(COMMANDS)
        code, out, err = say(*words)
        assert code in (0, 2, 3, 4, 5, 6), (case, words, err)
        assert "other" in out or words[0] != "runs"
        for path in ("run", "runs", "x.safetensors"):
            shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink(missing_ok=True)


OF_PARENTS = ("run.json", "parents/*/config.yaml", "parents/*/parent.json")
WITH_PARENTS = (
    ("evaluate", "run"), ("predict", "run", "rows.npy"), ("verify", "run"), ("reproduce", "run"), ("resume", "run"),
    ("lineage", "run"), ("lineage", "run", "format=json"), ("runs", "root=."), ("compare", "run", "other"),
    ("export", "run", "output=x.safetensors"), ("finetune", "run", *SHORT), ("explain", "run", "rows.npy", "rows=1"),
    ("ensemble", "run", "other"), ("quantize", "run"), ("distill", "run", "model=linear", *SHORT),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return runs that contain what they need of others: one that was trained on, and one that consists of two."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(kept, folder / "a")
    words = [*TINY, "seed=1", "init=run", f"init.run={folder / 'a'}"]
    session.begin(compose.compose(words), words, folder / "tuned", made_by=MadeBy("finetune", {"overrides": []}))
    parents = tuple(open_parent(folder / name, "part", "best", []) for name in ("a", "tuned"))
    combined = ensemble.combine(ensemble.configuration(parents, str(folder)), parents)
    return [folder / "tuned", ensemble.write(combined, folder / "both")]


@pytest.mark.soak
@pytest.mark.parametrize("name", OF_PARENTS)
def test_no_content_of_a_run_s_parents_ends_in_a_traceback(
    say: Say, kept: Path, made: list[Path], tmp_path: Path, name: str
) -> None:
    np.save("rows.npy", np.zeros((2, 4)))
    shutil.copytree(kept, "other")
    chance = seed(f"contents of {name} of parents")
    for case in range(cases(6)):
        shutil.copytree(chance.choice(made), "run")
        spoil(tmp_path / "run", name, chance)
        words = chance.choice(WITH_PARENTS)
        code, _, err = say(*words)
        assert code in (0, 2, 3, 4, 5, 6), (case, words, err)
        for path in ("run", "runs", "x.safetensors"):
            shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink(missing_ok=True)


USED = (
    "config.yaml", "overrides.yaml", "run.json", "summary.json", "metrics.jsonl", "log.txt", "lock.json",
    "checkpoints/step-00000006.json", "checkpoints/last-00000006.safetensors", "checkpoints", "plots", "tensorboard",
    "plots/loss.png", "plots/x.png.tmp", "checkpoints/last-00000009.safetensors.tmp", "metrics.jsonl.tmp",
    ".trainctl-0123456789abcdef.tmp", "nonfinite.json",
)  # fmt: skip
READ = ("config.yaml", "summary.json", "metrics.jsonl", "checkpoints")
NEEDED = {"evaluate": ("config.yaml", "checkpoints"), "compare": ("config.yaml",), "runs": ()}


def replace(path: Path, kind: str, victim: Path) -> None:
    """Put something else in the place of a file or directory of a run."""
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as listening:
            here = Path.cwd()
            os.chdir(path.parent)  # a socket's path is short
            listening.bind(path.name)
            os.chdir(here)
    else:
        path.symlink_to(victim if kind == "a link" else Path("/dev/zero"))


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else () for path in folder.rglob("*")
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in USED for kind in ("a link", "a pipe")]
    + [(name, kind) for name in READ for kind in ("a device", "a socket")],
)
def test_what_is_no_file_in_a_run_is_named_and_neither_followed_nor_waited_for(
    say: Say,
    kept: Path,
    tmp_path: Path,
    name: str,
    kind: str,
) -> None:
    run, victim = shutil.copytree(kept, tmp_path / "run"), tmp_path / "victim"
    shutil.copytree(kept, tmp_path / "other")
    shutil.copytree(kept / "checkpoints", victim)
    (victim / "loss.png").write_text("mine")
    replace(run / name, kind, victim if Path(name).suffix in ("", ".tmp") and "." not in name else victim / "loss.png")
    before = snapshot(victim)

    code, _, err = say("resume", "run", "loop.epochs=3")

    assert (code, err.count("\n")) == (4, 1), err
    found = "a socket" if kind == "a socket" else "a pipe" if kind == "a pipe" else "a link"
    assert f"{name}: is {found}, not a " in err
    for command, needed in NEEDED.items() if name in READ else ():
        words = {"evaluate": ["run"], "compare": ["run", "other"], "runs": ["root=."]}[command]
        code, out, err = say(command, *words)
        assert code == (4 if name in needed else 0), (command, err)
        assert "other" in out or code == 4 or command == "evaluate"
    assert snapshot(victim) == before


class Racing:
    """An ``os`` that puts links to a victim into a run just before the n-th operation, after all was checked."""

    def __init__(self, run: Path, victim: Path, names: list[str], n: int) -> None:
        self.run, self.victim, self.names, self.n, self.calls = run, victim, names, n, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("open", "replace", "unlink", "mkdir", "stat", "link"):
            return real

        def operation(*arguments: Any, **where: Any) -> Any:
            self.calls += 1
            if self.calls == self.n:
                for each in self.names:
                    if not (self.run / each).is_symlink() and (self.run / each).parent.is_dir():
                        path = self.run / each
                        if os.path.lexists(path):
                            path.rename(path.with_name(f"{path.name}.before"))
                        path.symlink_to(self.victim / ("" if "." not in each else Path(each).name))
            return real(*arguments, **where)

        return operation


@pytest.mark.soak
def test_a_link_that_appears_at_any_moment_is_not_followed(
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    victim, chance = tmp_path / "victim", seed("links that appear")
    shutil.copytree(kept / "checkpoints", victim)
    for name in ("log.txt", "metrics.jsonl", "summary.json", "run.json"):
        (victim / name).write_text("mine")
    before, names = snapshot(victim), ["checkpoints", "plots", "log.txt", "metrics.jsonl", "summary.json", "run.json"]
    refused, changed_settings = 0, compose.compose([*TINY, "loop.epochs=3"])
    for case in range(cases(12)):
        run = shutil.copytree(kept, tmp_path / "run")
        racing = Racing(run, victim, chance.sample(names, chance.randint(1, 3)), chance.randint(1, 250))
        with monkeypatch.context() as patch:
            for module in (storage, runpath):
                patch.setattr(module, "os", racing)
            try:
                session.resume(changed_settings, ["loop.epochs=3"], run)
            except (StorageError, CheckpointError):
                refused += 1
        assert snapshot(victim) == before, (case, racing.names, racing.n)
        shutil.rmtree(run)
    assert refused > cases(12) // 10  # many operations come before or after those that matter


def test_a_run_is_reached_through_a_link_to_it(say: Say, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copytree(kept, tmp_path / "runs" / "first")
    (tmp_path / "latest").symlink_to("runs/first")
    for words in (["resume", "latest", "loop.epochs=3"], ["evaluate", "latest"], ["verify", "latest"]):
        code, _, err = say(*words)
        assert code == 0, err
    assert not (tmp_path / "latest" / "lock.json").exists()


def test_a_log_with_a_name_elsewhere_is_not_appended_to(say: Say, kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "run")
    os.link(tmp_path / "run" / "log.txt", tmp_path / "copy")
    before = (tmp_path / "copy").read_text()
    assert say("resume", "run", "loop.epochs=3")[0] == 0
    assert (tmp_path / "copy").read_text() == before
    assert (tmp_path / "run" / "log.txt").read_text().startswith(before)


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize("content", ["[" * 100_000, "", "{}", '{"pid": 0}', None], ids=lambda text: str(text)[:9])
def test_a_lock_file_of_any_content_is_read_in_no_time(
    say: Say,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
) -> None:
    monkeypatch.setattr("trainctl.store.lock.WAIT", 0.02)
    run = shutil.copytree(kept, tmp_path / "run")
    with (run / "lock.json").open("w") as file:
        file.write(content or "")
        if content is None:
            file.truncate(20 * 2**30)  # sparse
    code, out, err = say("resume", "run", "loop.epochs=3")
    assert code == 0, err
    assert "took over an empty lock" in out


def test_a_private_run_hides_no_other(
    say: Say,
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("mine", "private"):
        shutil.copytree(kept, tmp_path / "runs" / name)

    def lstat(path: Any, *rest: Any, **where: Any) -> os.stat_result:
        if "private" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **where)

    real = os.lstat
    monkeypatch.setattr("os.lstat", lstat)
    code, out, err = say("runs", "format=csv")
    assert (code, err) == (0, "trainctl: note: runs/private: cannot be read: Permission denied\n")
    assert out.splitlines()[1].startswith("mine,")
    assert say("evaluate", "mine")[0] == say("evaluate")[0] == 0
    assert say("evaluate", "runs/private")[0] == 4
    code, _, err = say("evaluate", "private")
    assert (code, "private: cannot be read: Permission denied" in err) == (4, True)


def test_names_of_any_length_are_answered(say: Say, kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "runs" / "a")
    name = "x" * 300
    for words in (
        ["resume", name], ["evaluate", f"{name}/y"], ["compare", "a", name], ["verify", name], ["reproduce", name],
        ["predict", name, "x.npy"], ["predict", "a", name], ["explain", "a", name], ["explain", "a", f"output={name}"],
         ["reproduce", "a", f"output={name}"], ["runs", f"root={name}"],
        ["find-lr", f"output={name}"], ["profile", f"output={name}"], ["runs", f"sort={name}"], ["--config-dir", name],
    ):  # fmt: skip
        code, _, err = say(*words)
        assert code in (2, 3, 4, 5), (words, err)
        assert err.count("\n") == 1
