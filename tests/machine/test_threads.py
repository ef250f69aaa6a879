"""How many threads: what is granted and free, and what is done when it changes."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from trainctl import cli
from trainctl.machine import cpu, device, memory, threads
from trainctl.machine.threads import Sample, ThreadChoice, Watch, quota, recommend
from trainctl.run import assemble
from trainctl.settings import compose

CPU = torch.device("cpu")


def after(*busy: float, own: float = 0.0) -> tuple[Sample, Sample]:
    """Return samples ten seconds apart, in which each CPU was busy for a share of the time."""
    zero, full = dict.fromkeys(range(len(busy)), 0), dict.fromkeys(range(len(busy)), 1000)
    used = {cpu: int(1000 * share) for cpu, share in enumerate(busy)}
    return Sample(0.0, zero, zero, 0.0), Sample(10.0, used, full, own)


@pytest.mark.parametrize(
    ("busy", "own", "limit", "expected"),
    [
        ((0.0, 0.0), 0.0, None, 2),
        ((0.3, 0.3), 6.0, None, 2),  # all of it is our own
        ((1.0, 0.1), 0.0, None, 1),
        ((0.6, 0.6), 2.0, None, 1),  # one neighbour that wanders
        ((0.1, 0.2), 0.0, None, 2),
        ((1.0, 1.0), 0.0, None, 1),  # nothing is free, and one is needed
        ((1.0, 1.0, 0.0, 0.0), 0.0, None, 2),
        ((0.0,) * 64, 0.0, 1.0, 1),
        ((0.0,) * 64, 0.0, 2.5, 2),
        ((0.0,) * 4, 0.0, 0.5, 1),
        ((0.0,) * 4, 0.0, 100.0, 4),
        ((1.0,) * 3 + (0.0,), 0.0, 2.0, 1),
    ],
)
def test_there_is_a_thread_for_each_core_that_is_granted_and_free(busy, own, limit, expected):
    choice = recommend(*after(*busy, own=own), limit)
    assert choice.threads == expected
    assert bool(choice.reason) == (expected < len(busy))


def test_the_reason_says_what_takes_the_cores():
    assert str(recommend(*after(1.0, 0.0), None)) == "1 thread: only 1.0 of 2 CPUs is idle"
    assert str(recommend(*after(1.0, 1.0, 0.0, 0.0), None)) == "2 threads: only 2.0 of 4 CPUs are idle"
    assert str(recommend(*after(0.0, 0.0), 1.5)) == "1 thread: a control group grants 1.5 CPUs"
    assert str(recommend(*after(0.0, 0.0), 1.0)) == "1 thread: a control group grants 1 CPU"


def test_our_own_work_is_not_that_of_others():
    before = threads.sample()
    while time.process_time() - before.own < 0.3:
        pass
    now = threads.sample()
    share = (now.own - before.own) / (now.clock - before.clock)
    busy = threads.others(before, replace(now, own=before.own))
    assert busy > 0.8 * share  # the counters tick in hundredths
    assert busy - threads.others(before, now) == pytest.approx(min(busy, share))


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc")
def test_a_neighbours_work_is_seen():
    before = threads.sample()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        time.sleep(1.0)
        found = threads.others(before, threads.sample())
        neighbour.kill()
    assert found > 0.4


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, "0::/a/b", 1.5),
        ({"a/b/cpu.max": "50000 100000", "a/cpu.max": "150000 100000"}, "0::/a/b", 0.5),
        ({"cpu.max": "max 100000"}, "0::/", None),
        (
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "200000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            "3:cpu,cpuacct:/x",
            2,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/", None),
        (
            {"cpuacct,cpu/x/cpu.cfs_quota_us": "300000", "cpuacct,cpu/x/cpu.cfs_period_us": "100000"},
            "3:cpu,cpuacct:/x",
            3,
        ),
        ({"memory/x/cpu.max": "1 1"}, "4:memory:/x", None),
        ({"a/cpu.max": "nonsense"}, "0::/a", None),
        ({}, "0::/gone", None),
    ],
)
def test_the_narrowest_control_group_around_us_sets_the_limit(tmp_path, files, own, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    (tmp_path / "own").write_text(own + "\n")
    assert quota(tmp_path, tmp_path / "own") == expected


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({"a/b/": (9000, 1000, 0), "a/": (5000, 2000, 500)}, "0::/a/b", [8000, 3500]),
        ({"a/": ("max", 2000, 0), "": (4000, 1000, 0)}, "0::/a", [3000]),
        ({"memory/x/": (9000, 1000, 0), "memory/": (3000, 1000, 0)}, "2:cpu:/y\n4:memory:/x", [8000, 2000]),
        ({"memory/": (3000, 1000, 0)}, "4:memory:/on/the/host", [2000]),
        ({}, "0::/gone", []),
    ],
)
def test_every_control_group_around_us_limits_memory(tmp_path, files, own, expected):
    for name, numbers in files.items():
        keys = ("limit_in_bytes", "usage_in_bytes") if "memory" in name else ("max", "current")
        unused = "inactive_file 7\ntotal_inactive_file" if "memory" in name else "anon 5\ninactive_file"
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        for key, number in zip((*keys, "stat"), (*numbers[:2], f"{unused} {numbers[2]}"), strict=True):
            (tmp_path / name / f"memory.{key}").write_text(f"{number}\n")
    (tmp_path / "own").write_text(own + "\n")
    assert list(memory.left(threads.groups("memory", tmp_path, tmp_path / "own"))) == expected


def test_counters_of_other_cpus_than_ours_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "stat").write_text(
        "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 0 0 5 0 0 0 0 0 0\ncpu1 4 0 0 2 0 0 0 0 0 0\nintr 1\n"
    )
    monkeypatch.setattr(threads, "allowed", lambda: {0, 1})
    assert threads.sample(tmp_path / "stat").busy == {0: 1, 1: 4}
    monkeypatch.setattr(threads, "allowed", lambda: {1})
    assert threads.sample(tmp_path / "stat").busy == {1: 4}
    monkeypatch.setattr(threads, "allowed", lambda: {1, 2})  # a container that numbers its CPUs anew
    assert threads.sample(tmp_path / "stat").busy == {}


def test_a_choice_looks_back_on_the_time_since_the_last_one(monkeypatch):
    (start, first), (_, later) = after(0.0, 0.0), after(0.6, 0.0)
    second = Sample(
        20.0, *({cpu: a[cpu] + b[cpu] for cpu in a} for a, b in ((first.busy, later.busy), (first.total,) * 2)), 0.0
    )
    samples = iter([start, replace(first, clock=0.1), first, second, replace(second, clock=20.1)])
    monkeypatch.setattr(threads, "sample", lambda: next(samples))
    monkeypatch.setattr(threads, "quota", lambda: None)
    watch = Watch()
    choices = [watch.choose() for _ in range(4)]
    assert choices[0] is None  # too early to know
    assert [choice.threads for choice in choices[1:]] == [2, 1, 1]  # over both times, 0.3 CPUs were busy: 2


def test_the_watch_of_the_process_is_the_one_that_was_begun():
    assert threads.current_watch() is not threads.current_watch()  # none was: each knows nothing
    with Watch() as outer:
        assert threads.current_watch() is outer
        with Watch() as inner:
            assert threads.current_watch() is inner
        assert threads.current_watch() is outer


def test_the_command_line_begins_the_watch(monkeypatch):
    watches = []
    monkeypatch.setattr(cli, "dispatch", lambda arguments: watches.append(threads.current_watch()) or 0)
    began = time.perf_counter()
    assert cli.main() == 0
    assert watches[0].before.clock >= began
    assert threads.current_watch() is not watches[0]


def test_a_system_without_proc_has_no_limit_and_no_neighbours(tmp_path):
    assert quota(tmp_path, tmp_path / "missing") is None
    nothing = Sample(0.0, {}, {}, 0.0)
    assert recommend(nothing, nothing, None) == ThreadChoice(len(threads.allowed()))


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("4,2", 4),
        (" 2 ", 2),
        ("0", None),
        ("-1", None),
        ("many", None),
        ("", None),
        (None, None),
        ("1024", 1024),
        ("1025", None),
        ("9" * 30, None),
        ("9" * 5000, None),
    ],
)
def test_the_environment_sets_the_number_if_it_is_one(monkeypatch, text, number):
    monkeypatch.delenv("OMP_NUM_THREADS")
    if text is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.from_environment() == (ThreadChoice(number, "set by OMP_NUM_THREADS") if number else None)


@pytest.mark.usefixtures("_threads")
def test_what_is_asked_for_is_used(monkeypatch):
    assert cpu.use_threads(2) == ThreadChoice(2)
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cpu.use_threads(None) == ThreadChoice(3, "set by OMP_NUM_THREADS")
    assert torch.get_num_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "LEAST", 0.0)
    monkeypatch.setattr(threads, "recommend", lambda *_: ThreadChoice(1, "of neighbours"))
    with Watch():
        assert cpu.use_threads(None) == ThreadChoice(1, "of neighbours")
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("cause", ["no-counters", "no-watch"])
def test_where_nothing_is_known_of_other_work_it_is_measured(monkeypatch, cause):
    cost, clock = {4: 3.0, 2: 1.0, 1: 1.05}, [0.0]

    def tick():
        clock[0] += cost[torch.get_num_threads()]
        return clock[0]

    cpu.measured.cache_clear()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "recommend", lambda *_: ThreadChoice(4))
    monkeypatch.setattr(cpu.time, "perf_counter", tick)
    nothing = Sample(0.0, {}, {}, 0.0)
    counted = Sample(0.0, {0: 0}, {0: 1}, 0.0)
    monkeypatch.setattr(threads, "sample", lambda: nothing if cause == "no-counters" else counted)
    state = torch.get_rng_state()
    assert cpu.use_threads(None) == ThreadChoice(2, "a matrix product takes 3.0 times as long with 4")
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), state)
    cpu.measured.cache_clear()


@pytest.mark.usefixtures("_threads")
def test_a_measurement_asks_for_no_more_threads_than_are_there():
    cpu.measured.cache_clear()
    assert cpu.measured(1) == ThreadChoice(1)
    assert cpu.measured(2).threads in (1, 2)
    cpu.measured.cache_clear()


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("adapt", [False, True])
def test_a_change_is_noticed_and_followed_only_if_asked(monkeypatch, adapt):
    torch.set_num_threads(2)
    monkeypatch.setattr(cpu, "APART", 0.0)
    monkeypatch.setattr(threads, "recommend", lambda *_: ThreadChoice(1, "only 1.0 of 2 CPUs is idle"))
    notes = []
    monitor = cpu.ThreadMonitor(CPU, adapt=adapt)
    for _ in range(3):
        monitor.check(notes.append)
    assert torch.get_num_threads() == (1 if adapt else 2)
    assert len(notes) == 1
    assert "only 1.0 of 2 CPUs is idle" in notes[0]
    assert ("2 threads are competing for it" in notes[0]) is not adapt
    assert ("threads=adapt" in notes[0]) is not adapt


@pytest.mark.usefixtures("_threads")
def test_more_threads_than_cpus_are_explained(monkeypatch):
    torch.set_num_threads(8)
    monkeypatch.setattr(cpu, "APART", 0.0)
    monkeypatch.setattr(threads, "recommend", lambda *_: ThreadChoice(2))
    notes = []
    cpu.ThreadMonitor(CPU, adapt=False).check(notes.append)
    assert notes[0].startswith("this process may use 2 CPUs, and 8 threads are competing for them: run fewer jobs")


def test_counters_are_read_only_when_it_is_time(monkeypatch):
    monitor = cpu.ThreadMonitor(CPU, adapt=False)
    monkeypatch.setattr(threads, "sample", lambda: pytest.fail("read"))
    monitor.check(print)


@pytest.mark.parametrize(("most", "accepted"), [(1 << 62, 1 << 30), (1 << 25, 1 << 25)])  # glibc now, and before 2.35
def test_freed_memory_is_kept_by_an_older_library_too(monkeypatch, most, accepted):
    class Library:
        settings: ClassVar[dict[int, int]] = {}

        def mallopt(self, key, value):
            if key == -3 and value > most:
                return 0
            self.settings[key] = value
            return 1

    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda name: Library())
    monkeypatch.setattr(cpu.sys, "platform", "linux")
    cpu.keep_memory()
    assert Library.settings == {-3: accepted, -1: (1 << 31) - 1}


def test_a_gpu_with_a_number_becomes_the_current_one_and_is_waited_for(monkeypatch):
    current, waited = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    for name in ("cuda", "cuda:1", "cpu"):
        device.synchronize(device.find(name))
    assert current == [torch.device("cuda:1")]
    assert waited == [torch.device("cuda"), torch.device("cuda:1")]


@pytest.mark.slow
def test_a_resumed_run_computes_with_as_many_threads_as_before(command, tmp_path):
    words = ("loop.epochs=4", "loop.batch_size=400", "output.plots=false")
    first = command(*words, "threads=2", "loop.stop_at_step=4")
    assert "device  cpu (2 threads), fp32" in first.stdout
    (run,) = (tmp_path / "runs").glob("2*")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("threads: 2", "threads: null"))
    resumed = command("resume", str(run))
    if len(os.sched_getaffinity(0)) >= 2:
        assert "device  cpu (2 threads), fp32" in resumed.stdout


def test_adapt_is_a_setting():
    run = assemble.assemble(compose.compose(["threads=adapt"]))
    assert run.threads.threads >= 1
