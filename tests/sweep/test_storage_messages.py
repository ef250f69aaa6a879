"""What a user reads if a database cannot keep a sweep's journal, and that nothing ever shows its password."""

import os
import string
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.postgres import PASSWORD, USER, Server
from tests.soak import cases, seed
from trainctl import cli
from trainctl.errors import ConfigError, StorageError
from trainctl.fileformat import waiting
from trainctl.settings import storage, sweep
from trainctl.store.database import Database
from trainctl.wording import redacted

Command = Callable[..., subprocess.CompletedProcess[str]]
TINY = ("-m", "dataset=iris", "model=mlp", "model.hidden=[5]", "loop.epochs=1", "output.plots=false", "sweep.workers=1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///sweep.db", "SQLite locks the whole file"),
        ("mysql://me:{}@db/x", "expected postgresql://USER@HOST/DATABASE"),
        ("postgresql//me:{}@db/x", "expected postgresql://USER@HOST/DATABASE"),
        ("postgresql://me:{}@db", "names no database"),
        ("postgresql://me:{}@db/x/y", "names no database"),
        ("postgresql://me:{}@db:99999/x", "cannot be read as a URL"),
        ("postgresql://me:{}/a@db/x", "cannot be read as a URL"),
        ("postgresql://me:{}#a@db/x", "cannot be read as a URL"),
        ("postgresql://me:{}@a@db/x", "write @ / : # ? % and spaces in a name or password as %40"),
        ("postgresql://me:{} @db/x", "write @ / : # ? % and spaces in a name or password as %40"),
        ("[postgresql://me:{}@db/x]", "expected postgresql://USER@HOST/DATABASE"),
    ],
)
def test_a_url_that_is_none_of_a_database_is_refused_with_the_reason(url: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep.load([f"sweep.storage={url.format('s3cret')}"])
    assert expected in str(caught.value)
    assert str(caught.value).startswith("sweep.storage=")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "redis://db", "http://db:1/", "postgresql://", "mysql://db/x", "x"])
def test_the_form_of_a_url_is_named_where_no_password_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep.load([f"sweep.storage={url}"])
    cli.complain(str(caught.value), 2)
    assert capsys.readouterr().err == f"trainctl: {caught.value}\n"
    assert str(caught.value).endswith("expected postgresql://USER@HOST/DATABASE")


def test_a_lease_that_is_shorter_than_a_database_may_take_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs a sweep\.lease of at least 5s"):
        sweep.load(["sweep.storage=postgresql://me:s3cret@db/x", "sweep.lease=4s"])


@pytest.mark.soak
def test_no_password_survives_in_words_settings_or_lines_of_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = seed("passwords")
    for _ in range(cases(200)):
        raw = (
            "".join(source.choices(string.ascii_letters + string.digits + "!#$%&*+-./:;=?@[]^_{}|~ ,", k=12)) + "s3cret"
        )
        for secret in (quote(raw, safe=""), raw):
            url = source.choice(URLS).format(secret=secret)
            word = source.choice(["", "+", "++"]) + f"sweep.storage={url}"
            shown = [*storage.harmless([word]), storage.without_password(url), redacted(f"{word}: is wrong")]
            try:
                shown.append(str(sweep.load([word]).tree))
            except ConfigError as error:
                shown.append(str(error))
            cli.complain(f"{word}: no such setting", 2)
            shown.append(capsys.readouterr().err)
            assert [text for text in shown if "s3cret" in text] == [], word


URLS = [
    "postgresql://me:{secret}@db/x", "postgres://me:{secret}@db:5433/x?sslmode=require", "mysql://me:{secret}@db/x",
    "postgresql://me@db/x?password={secret}", "postgresql+psycopg://me:{secret}@[::1]/x", "'postgresql://me:{secret}@db/x'",
]  # fmt: skip


def test_connecting_is_shown_as_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def listener(wait: waiting.Wait) -> AbstractContextManager[object]:
        shown.append(wait.what)
        return nullcontext()

    monkeypatch.setattr(waiting, "_listeners", [listener])
    with pytest.raises(StorageError, match="cannot connect"):
        Database("postgresql://me:s3cret@127.0.0.1:1/x", 60)
    assert shown == ["connecting to postgresql://me@127.0.0.1:1/x"]


@pytest.mark.slow
def test_a_database_that_cannot_be_used_is_one_line_and_leaves_nothing_behind(
    server: Server, url: str, command: Command, tmp_path: Path
) -> None:
    nowhere = server.url().replace(str(server.port), "1")
    server.execute(
        "DO $$ BEGIN CREATE ROLE guest LOGIN PASSWORD 'gu3st'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    for given, expected in (
        (nowhere, "cannot connect: connection failed"),
        (
            server.url(password="wr0ng"),
            f'cannot connect: password authentication failed for user "{USER}"; check the password',
        ),
        (server.url(password=""), "set PGPASSWORD, add a line to ~/.pgpass"),
        (server.url("nothing"), 'cannot connect: database "nothing" does not exist'),
        (f"{url}?sslmod=require", 'invalid connection option "sslmod"'),
        (url.replace(f"{USER}:{PASSWORD}", "guest:gu3st"), "cannot keep the journal: permission denied"),
    ):
        done = command(*TINY, "seed=0,1", f"sweep.storage={given}", "sweep.name=none", HOME=str(tmp_path))
        assert done.returncode == 5, done.stderr
        (line,) = done.stderr.splitlines()
        assert expected in line
        assert not any(secret in line for secret in (PASSWORD, "wr0ng", "gu3st"))
    assert not (tmp_path / "runs").exists()


def test_a_missing_driver_is_named_with_the_command_that_installs_it(command: Command, tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ModuleNotFoundError('No module named psycopg', name='psycopg')\n")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = command(*TINY, "seed=0,1", "sweep.storage=postgresql://me:s3cret@localhost/x", fresh=True, PYTHONPATH=path)
    assert done.returncode == 7, done.stderr
    assert done.stderr == "trainctl: sweep.storage needs psycopg: pip install 'trainctl[sweep]'\n"


@pytest.mark.slow
def test_the_password_is_in_no_file_and_a_name_belongs_to_one_sweep(
    server: Server, url: str, command: Command, tmp_path: Path
) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    here, there = tmp_path / "here", tmp_path / "there"
    words = (*TINY, "optimizer.lr=0.1,1e9", "sweep.name=mine", f"sweep.storage={url}")
    first = command(*words, cwd=here)
    assert first.returncode in (0, 8), first.stderr

    # 1. Another configuration, here and on a machine that has nothing of the sweep yet.
    for place in (here, there):
        other = command(*words, "optimizer=sgd", cwd=place)
        assert other.returncode == 4, other.stderr
        assert "finished trials had other settings: optimizer=sgd, but was not given" in other.stderr
    assert not (there / "runs" / "mine").exists()

    # 2. A directory that belongs to no sweep in the database, or to none at all.
    empty = server.new_database("t_nothing_of_the_sweep")
    lost = command("resume", "runs/mine", f"sweep.storage={empty}", cwd=here)
    assert lost.returncode == 4
    assert "has no journal of the sweep mine" in lost.stderr
    without = command(*words[:-1], cwd=here)
    assert without.returncode == 4
    assert "its journal is in a database; give sweep.storage=postgresql://" in without.stderr
    assert command(*TINY, "seed=0", "sweep.name=plain", cwd=there).returncode == 0
    plain = command(*TINY, "seed=0", "sweep.name=plain", f"sweep.storage={url}", cwd=there)
    assert plain.returncode == 4
    assert "its journal is in this directory; leave out sweep.storage" in plain.stderr

    # 3. The password comes from the environment as well, and is nowhere.
    again = command("resume", "runs/mine", *storage.harmless([f"sweep.storage={url}"]), cwd=here, PGPASSWORD=PASSWORD)
    assert again.returncode in (0, 8), again.stderr
    printed = [text for done in (first, other, lost, without, plain, again) for text in (done.stdout, done.stderr)]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
    assert [text for text in printed if PASSWORD in text] == []
    name = url.rpartition("/")[2]
    assert server.execute("SELECT count(*) FROM trial_user_attributes WHERE value_json LIKE '%s3cret%'", name) == [(0,)]
