"""The commit of the working directory is read, and nothing that its repository names is executed or written."""

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.soak import cases, seed
from trainctl.train import repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None or os.name != "posix", reason="needs git")
OUTSIDE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *words: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | OUTSIDE
    name = ["-c", "user.name=x", "-c", "user.email=x@y"]
    return subprocess.run(
        ["git", *name, *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return a repository with two commits on a branch of its own."""
    root = tmp_path_factory.mktemp("template") / "work"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for text in ("one", "two"):
        (root / "a.txt").write_text(text)
        git(root, "add", "a.txt")
        git(root, "commit", "-q", "-m", text)
    git(root, "checkout", "-q", "-b", "a-branch/of-mine")
    return root


@pytest.fixture
def work(template, tmp_path):
    root = Path(shutil.copytree(template, tmp_path / "work", symlinks=True))
    git(root, "status")  # the index knows the copies
    return root


def test_a_commit_and_a_change_are_found_from_below(work):
    (work / "below").mkdir()
    assert repository.describe(work / "below") == {"commit": git(work, "rev-parse", "HEAD"), "dirty": False}
    (work / "untracked.txt").write_text("x")
    assert repository.describe(work)["dirty"] is False
    (work / "a.txt").write_text("changed")
    assert repository.describe(work)["dirty"] is True
    git(work, "add", "a.txt")
    assert repository.describe(work)["dirty"] is True


@pytest.mark.parametrize(
    "words",
    [["checkout", "-q", "--detach"], ["pack-refs", "--all"], ["gc", "-q"], ["commit", "-q", "--allow-empty", "-m", "three"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_commit_is_found_wherever_git_keeps_it(work, words):
    git(work, *words)
    assert repository.describe(work) == {"commit": git(work, "rev-parse", "HEAD"), "dirty": False}


def test_a_work_tree_and_another_hash_are_understood(work, tmp_path):
    git(work, "worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "three")
    commit = git(tmp_path / "other", "rev-parse", "HEAD")
    assert repository.describe(tmp_path / "other") == {"commit": commit, "dirty": False}
    (tmp_path / "long").mkdir()
    git(tmp_path / "long", "init", "-q", "--object-format=sha256")
    git(tmp_path / "long", "commit", "-q", "--allow-empty", "-m", "one")
    assert len(repository.describe(tmp_path / "long")["commit"]) == 64


def test_outside_of_a_repository_there_is_no_commit(tmp_path):
    assert repository.describe(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert repository.describe(tmp_path) == {"commit": "unknown", "dirty": None}  # no commit yet


KEYS = [
    "core.fsmonitor", "core.hooksPath", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.gitProxy",
    "core.alternateRefsCommand", "diff.external", "diff.d.textconv", "diff.d.command", "filter.f.clean", "filter.f.smudge",
    "filter.f.process", "merge.m.driver", "credential.helper", "gpg.program", "pager.status", "alias.status",
    "uploadpack.packObjectsHook",
]  # fmt: skip


@pytest.mark.soak
def test_nothing_that_a_repository_names_executes_and_its_index_stays(work, tmp_path, monkeypatch):
    canary, source = tmp_path / "canary", seed("repository")
    script = work / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    script.chmod(0o755)
    shutil.copy(script, work / "git")  # PATH may hold a dot
    shutil.copytree(work, tmp_path / "clean", symlinks=True)
    for name in (".git/hooks/post-index-change", ".git/hooks/fsmonitor-watchman", ".git/hooks/post-checkout"):
        (work / name).parent.mkdir(exist_ok=True)
        shutil.copy(script, work / name)
    for number in range(cases(6)):
        keys = KEYS if number == 0 else source.sample(KEYS, 6)
        (work / ".gitattributes").write_text("* filter=f diff=d merge=m\n")
        for key in keys:
            git(work, "config", key, source.choice([str(script), f"!{script}", "./evil.sh", f"sh {script}"]))
        (tmp_path / "included").write_text(
            f'[core]\n\tfsmonitor = {script}\n[filter "f"]\n\tclean = {script}\n\trequired\n'
        )
        git(work, "config", "include.path", str(tmp_path / "included"))
        git(work, "config", "includeIf.gitdir:/.path", str(tmp_path / "included"))
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG"):
            monkeypatch.setenv(name, str(tmp_path / "included"))
        monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(script))
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(script))
        monkeypatch.setenv("PATH", f".:{work}/none::{os.environ['PATH']}")
        monkeypatch.chdir(work)
        (work / "a.txt").write_text(f"changed {number}")
        before = {
            path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (work / ".git").rglob("*") if path.is_file()
        }
        canary.unlink(missing_ok=True)
        assert repository.describe(work)["dirty"] is True
        assert not canary.exists(), keys
        after = {
            path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (work / ".git").rglob("*") if path.is_file()
        }
        assert after == before


ENDLESS = ["zero", "fifo", "ptmx", "loop", "directory", "sparse", "nothing"]


def endless(path: Path, kind: str) -> None:
    """Put something at a path that a reader could wait for, or read for ever."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(20 * 2**30)
    elif kind != "nothing":
        path.symlink_to({"zero": "/dev/zero", "ptmx": "/dev/ptmx", "loop": path.name}[kind])


@pytest.mark.soak
def test_a_repository_of_endless_files_is_described_in_no_time(work):
    source = seed("endless")
    for _ in range(cases(12)):
        root = Path(shutil.copytree(work, work.parent / "copy", symlinks=True))
        name = source.choice(
            [
                "",
                "HEAD",
                "refs/heads/a-branch/of-mine",
                "packed-refs",
                "commondir",
                "index",
                "objects",
                "objects/info/alternates",
            ]
        )
        endless(root / ".git" / name if name else root / ".git", kind := source.choice(ENDLESS))
        started = time.monotonic()
        described = repository.describe(root)
        assert described is None or set(described) == {"commit", "dirty"}
        assert time.monotonic() - started < repository.SECONDS + 3, (name, kind)
        shutil.rmtree(root)


TEXTS = [
    "", "gitdir: ", "gitdir: .git", "gitdir: ../../..", "gitdir: \0", "gitdir: /dev", "ref: refs/heads/../../../etc/passwd", "ref: HEAD",
    "ref: refs/heads/\x1b[31m", "ref: refs/heads/a\nb", "ref: refs/heads/" + "n" * 300, "0" * 40, "g" * 40, "\udcff", "x" * 10000,
]  # fmt: skip


@pytest.mark.parametrize(
    "name", [".git", ".git/HEAD", ".git/refs/heads/a-branch/of-mine", ".git/packed-refs", ".git/commondir"]
)
def test_odd_texts_in_a_repository_give_no_commit_that_is_none(work, name):
    source = random.Random(name)
    for text in [*TEXTS, "".join(map(chr, source.choices(range(0x250), k=200)))]:
        endless(work / name, "nothing")
        (work / name).write_bytes(text.encode(errors="surrogateescape"))
        described = repository.describe(work)
        if described is not None:
            commit = described["commit"]
            assert commit == "unknown" or repository.COMMIT.fullmatch(commit)
