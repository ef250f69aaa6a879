"""A journal has many writers and no coordinator: torn lines, equal wishes and silent processes are told apart."""

import json
import os
import threading
from pathlib import Path

import pytest

from tests.soak import cases, seed
from trainctl.machine import identity
from trainctl.store import journal, runpath
from trainctl.store.journal import Liveness, Reader, Writer
from trainctl.store.runpath import RunPath


@pytest.fixture
def home(tmp_path: Path) -> RunPath:
    held = runpath.hold(tmp_path)
    journal.prepare(held)
    return held


def test_events_of_all_writers_are_read_once(home: RunPath) -> None:
    writers, reader = [Writer(home, 60), Writer(home, 60)], Reader(home)
    for number, writer in enumerate(writers):
        writer.append({"event": "end", "number": number})
    seen = [event for _, event in reader.new_events()]
    assert sorted(event["event"] for event in seen) == ["end", "end", "hello", "hello"]
    assert list(reader.new_events()) == []
    writers[0].append({"event": "end", "number": 2})
    assert [event["number"] for _, event in reader.new_events()] == [2]
    for writer in writers:
        writer.close()


@pytest.mark.soak
def test_a_journal_cut_or_damaged_anywhere_loses_only_the_lines_that_were_hit(home: RunPath) -> None:
    writer = Writer(home, 60)
    for number in range(8):
        writer.append({"event": "end", "number": number})
    writer.close()
    whole, source = writer.path.path.read_bytes(), seed("journal")
    for _ in range(cases(60)):
        damaged = bytearray(whole)
        if source.random() < 0.5:
            del damaged[source.randrange(len(damaged)) :]
        else:
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        writer.path.path.write_bytes(damaged)
        intact = [line for line in damaged.split(b"\n")[:-1] if line + b"\n" in whole.splitlines(keepends=True)]
        read = [event for _, event in Reader(home).new_events()]
        expected = [json.loads(line) for line in intact]
        assert [event for event in read if event in expected] == expected
        assert len(read) <= len(expected) + 2  # a digit that became another one is not noticed


def test_of_many_that_want_a_segment_one_gets_it(home: RunPath) -> None:
    writers = [Writer(home, 60) for _ in range(8)]
    got: list[int] = []

    def want(number: int) -> None:
        if journal.claim(home, "3-seed1", 0, writers[number]):
            got.append(number)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert Reader(home).claims() == {"3-seed1": 0}
    assert Reader(home).claimant("3-seed1", 0) == writers[got[0]].name
    for writer in writers:
        writer.close()


def test_a_list_of_points_is_created_once(home: RunPath) -> None:
    assert journal.add_list(home, 0, [1])
    assert not journal.add_list(home, 0, [2])
    assert journal.add_list(home, 1, [3])
    assert list(Reader(home).new_lists()) == [[1], [3]]
    assert sorted(path.name for path in (home / "lists").path.iterdir()) == ["000000.json", "000001.json"]


def test_a_writer_is_dead_if_its_process_is_gone_or_shows_no_life_for_a_lease(
    home: RunPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, now = Writer(home, 60), [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    liveness = Liveness(home, 60)
    for name, event in Reader(home).new_events():
        liveness.note(name, event)
    assert liveness.alive(writer.name)
    now[0] += 59
    assert liveness.alive(writer.name)
    now[0] += 2  # stopped, or its disk stalls: alive here, but silent
    assert not liveness.alive(writer.name)
    writer._show_life()
    assert liveness.alive(writer.name)  # it woke up

    own = identity.of(os.getpid())
    gone = f"host-{2**22 + 1}-ab"  # a process that does not exist, of this boot
    liveness.note(gone, {"event": "hello", "identity": own})
    assert not liveness.alive(gone)  # at once
    liveness.note(f"host-{os.getpid()}-cd", {"event": "hello", "identity": f"{own.rpartition(' ')[0]} 1"})
    assert not liveness.alive(f"host-{os.getpid()}-cd")  # its number is that of another process now
    writer.close()


def test_a_writer_elsewhere_lives_as_long_as_its_counter_moves(home: RunPath, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    liveness = Liveness(home, 10)
    liveness.note("elsewhere", {"event": "hello", "identity": "another machine boot 1"})
    beat = (home / "journal" / "elsewhere.beat").path
    for count in range(4):
        beat.write_text(str(count))
        assert liveness.alive("elsewhere")
        now[0] += 9
    now[0] += 2
    assert not liveness.alive("elsewhere")
    liveness.note("elsewhere", {"event": "bye"})
    beat.write_text("99")
    assert not liveness.alive("elsewhere")
