"""A journal in a database does what one in a directory does; both are put to the same questions."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server
from tests.soak import cases, seed
from trainctl.errors import StorageError, TrainctlError
from trainctl.store import database, journal, journal_database, lock, runpath
from trainctl.store.database import Database
from trainctl.store.journal_base import AwayError, Journal
from trainctl.store.journal_database import DatabaseJournal

Open = Callable[..., Journal]
END = {"event": "end", "trial": "0", "segment": 0, "status": "finished"}


JOINED: list[Database] = []


def join(url: str, place: str = "here", lease: float = 60, name: str = "mine") -> DatabaseJournal:
    """Return the journal as a process on some machine sees it."""
    connected = Database(url, lease)
    JOINED.append(connected)
    connected.open(name)
    return DatabaseJournal(connected, place, f"/{place}/runs/mine")


@pytest.fixture(autouse=True)
def _disconnected() -> Iterator[None]:
    yield
    while JOINED:
        JOINED.pop().close()


@pytest.fixture(params=["directory", "database"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return a function that opens the same journal as another process would."""
    monkeypatch.setattr(journal_database, "LOOK", 0.0)
    if request.param == "directory":
        home = runpath.hold(tmp_path)
        journal.prepare(home)
        yield lambda: journal.DirectoryJournal(home, 60)
    else:
        url = request.getfixturevalue("url")
        yield lambda: join(url)


def look(of: Journal) -> list[dict[str, Any]]:
    """Return what a look finds: new events, without what writers say of themselves."""
    list(of.new_lists())
    of.claims()
    return [event for _, event in of.new_events() if event["event"] not in ("hello", "bye")]


def test_events_of_all_writers_are_read_once_and_in_the_order_of_each(opened: Open) -> None:
    one, other = opened(), opened()
    writers = [one.writer(), other.writer()]
    for number in range(3):
        for writer in writers:
            writer.append({"event": "end", "number": number})
    for each in (one, other, opened()):
        seen = look(each)
        assert sorted(event["number"] for event in seen) == [0, 0, 1, 1, 2, 2]
        assert look(each) == []
    for writer in writers:
        writer.close()


def test_of_many_that_want_a_segment_one_gets_it(opened: Open) -> None:
    journals = [opened() for _ in range(6)]
    writers = [each.writer() for each in journals]
    for each in journals:
        look(each)
    got: list[int] = []

    def want(number: int) -> None:
        if journals[number].claim("3-seed1", 0, writers[number]):
            got.append(number)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    reader = opened()
    look(reader)
    assert reader.claims() == {"3-seed1": 0}
    assert reader.claimant("3-seed1", 0) == writers[got[0]].name
    for writer in writers:
        writer.close()


def test_a_list_of_points_is_created_once(opened: Open) -> None:
    one, other = opened(), opened()
    assert list(one.new_lists()) == []
    assert one.add_list(0, [1])
    assert not other.add_list(0, [2])
    assert list(other.new_lists()) == [[1]]
    assert other.add_list(other.next_list, [3])
    assert list(one.new_lists()) == [[1], [3]]
    assert one.next_list == other.next_list + 1 == 2  # the other one has not looked since


def test_a_writer_lives_until_it_says_that_it_ended(opened: Open) -> None:
    one, other = opened(), opened()
    writer = one.writer()
    look(other)
    assert other.alive(writer.name)
    writer.close()
    look(other)
    assert not other.alive(writer.name)


def test_a_claim_loses_if_anything_happened_to_the_trial_since_its_process_looked(url: str) -> None:
    one, other = join(url, "here"), join(url, "there")
    holder, rival = one.writer(), other.writer()
    assert one.claim("0", 0, holder)
    look(other)
    holder.append(END)  # the rival took the holder for dead, and does not know this yet
    assert not other.claim("0", 1, rival)
    look(other)
    assert other.claim("0", 1, rival)
    assert not one.claim("0", 3, holder)  # no segment is left out
    holder.append({**END, "segment": 1})
    other._look()  # for another reason: whoever decides has not been told
    assert not other.claim("0", 2, rival)
    for writer in (holder, rival):
        writer.close()


def test_a_row_that_arrives_twice_counts_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = join(url)
    writer = one.writer()
    add, lost = one.database._storage.create_new_trial, [True]

    def breaking(*words: Any) -> Any:
        number = add(*words)
        if lost:
            lost.pop()
            raise database.importlib.import_module("psycopg").OperationalError("the connection broke after the commit")
        return number

    monkeypatch.setattr(one.database._storage, "create_new_trial", breaking)
    writer.append(END)
    assert not lost
    assert len(one.database.rows()) == 3  # hello, and twice the end
    assert len(look(join(url))) == 1
    writer.close()


@pytest.mark.slow
def test_a_process_without_a_heartbeat_is_dead_after_the_lease_and_may_come_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_database, "LOOK", 0.0)
    one = join(url, "here", lease=5)
    with monkeypatch.context() as patched:
        patched.setattr(lock, "identity", lambda pid: "another machine boot 1")
        writer = one.writer()
    other = join(url, "there", lease=5)
    own = other.writer()
    assert one.claim("0", 0, writer)
    look(other)
    assert other.alive(writer.name)
    assert other.elsewhere() == {writer.name}
    assert other.whereabouts("0", 0).endswith(":/here/runs/mine")
    writer._ended.set()  # no more heartbeats
    silent = time.monotonic()
    while other.alive(writer.name):
        assert time.monotonic() - silent < 30
        time.sleep(0.2)
        look(other)
    assert time.monotonic() - silent > 3.5
    assert other.elsewhere() == set()
    with monkeypatch.context() as patched:
        patched.setattr(lock, "identity", lambda pid: "another machine boot 1")
        look(one)  # it wakes up, notices, and says so
    look(other)
    assert other.alive(writer.name)
    assert not other.claim("0", 1, own) or other.claimant("0", 1) == own.name
    for each in (writer, own):
        each.close()


def test_waiting_ends_when_the_user_is_in_a_hurry_or_the_sweep_was_removed(server: Server, url: str) -> None:
    one, said = join(url), list[str]()
    one.say = said.append
    name = url.rpartition("/")[2]
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    threading.Timer(2, lambda: setattr(one, "hurried", lambda: True)).start()
    with pytest.raises(AwayError, match="cannot be reached"):
        look_anew(one)
    assert "cannot reach the database postgresql://trainer@127.0.0.1" in said[0]
    assert "not currently accepting connections" in said[0]
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    one.hurried = lambda: False
    look_anew(one)
    for table in ("trial_user_attributes", "trials", "study_directions", "studies"):
        server.execute(f"DELETE FROM {table}", name)
    with pytest.raises(StorageError, match="the sweep was removed from the database"):
        look_anew(one)
    server.execute("DROP TABLE studies CASCADE", name)
    with pytest.raises(StorageError, match="cannot keep the journal: relation"):
        look_anew(one)


def look_anew(of: DatabaseJournal) -> None:
    of.has_changed()
    look(of)


ODD: list[Any] = [None, True, -1, 0, 10**30, 1.5, "", "x", [], {}, ["x"], {"a": 1}, "9" * 30]
ROWS: list[dict[str, Any]] = [
    {"event": "sweep", "record": {}, "writer": "a-1-b", "count": 0},
    {"event": "list", "number": 0, "entries": [], "writer": "a-1-b", "count": 1},
    {"event": "hello", "identity": "a b c", "place": "x", "where": "y", "writer": "a-1-b", "count": 2},
    {"event": "claim", "trial": "0", "segment": 0, "seen": 9, "writer": "a-1-b", "count": 3},
    {**END, "writer": "a-1-b", "count": 4},
]  # fmt: skip


@pytest.mark.soak
def test_no_content_of_a_database_ends_in_a_traceback(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_database, "LOOK", 0.0)
    source = seed("rows")
    one = join(url, name="odd")
    for _ in range(cases(20)):
        row = mutated(source.choice(ROWS), source)
        one.database.add(row if isinstance(row, dict) else {"event": row}, lives=source.random() < 0.2)
    for each in (one, join(url, name="odd")):
        try:
            look(each)
            each.elsewhere()
            each.claims()
        except TrainctlError:
            continue


def mutated(row: dict[str, Any], source: random.Random) -> dict[str, Any]:
    """Replace or remove a value."""
    key, changed = source.choice(list(row)), dict(row)
    if source.random() < 0.2:
        del changed[key]
    else:
        changed[key] = source.choice(ODD)
    return changed
