"""A sweep on a cluster: a script that is submitted, and jobs that pause exactly and go back into the queue.

`sbatch` and `scontrol` are imitations: they record how they were called; `sbatch` starts the tasks of the array as
processes, as Slurm does.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.sweep.test_record import end, opened, write
from trainctl.errors import ConfigError, UnavailableError
from trainctl.store import journal, restore
from trainctl.sweep import opening, slurm, study

SBATCH = """#!{python}
import os, re, shlex, subprocess, sys
place = os.path.dirname(os.path.abspath(__file__))
open(place + "/sbatch.log", "a").write(" ".join(sys.argv[1:]) + "\\n")
if os.path.exists(place + "/reject"):
    sys.exit("sbatch: error: Batch job submission failed: Invalid partition name specified")
text = open(sys.argv[-1]).read()
last = int(re.search(r"^#SBATCH --array=0-(\\d+)$", text, re.M)[1])
output = shlex.split(re.search(r"^#SBATCH --output=(.*)$", text, re.M)[1])[0]
for task in range(last + 1) if os.path.exists(place + "/run") else ():
    log = open(output.replace("%A", "100").replace("%a", str(task)).replace("%%", "%"), "a")
    own = {{"SLURM_JOB_ID": str(101 + task), "SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": str(task)}}
    child = subprocess.Popen(["/bin/bash", sys.argv[-1]], env=os.environ | own, stdout=log, stderr=log, start_new_session=True)
    open(place + f"/task-{{task}}", "w").write(str(child.pid))
print("100;cluster")
"""
SCONTROL = """#!/bin/bash
place=$(dirname "$0")
if [ "$1" = show ]; then echo "JobId=101 ArrayJobId=100 JobState=$(cat "$place/state" 2> /dev/null || echo RUNNING) Reason=None"
else echo "$@" >> "$place/scontrol.log"; fi
"""
TINY = ("dataset=iris", "model=mlp", "model.hidden=[5]", "loop.batch_size=40", "threads=1")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the imitations on PATH; return their directory."""
    place = tmp_path / "slurm"
    place.mkdir()
    for name, text in (("sbatch", SBATCH.format(python=sys.executable)), ("scontrol", SCONTROL)):
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return place


def begun(*words: str) -> study.Study:
    return opening.begin([*TINY, "optimizer.lr=0.1,0.01", "sweep.name=s", "loop.epochs=2", *words])


def directives(text: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    return {line.partition("=")[0]: "".join(shlex.split(line.partition("=")[2])) for line in lines}


def test_the_script_joins_the_sweep_from_wherever_it_was_begun(tmp_path: Path) -> None:
    text = slurm.script(begun("sweep.slurm=4"))
    found = directives(text)
    assert found["--array"] == "0-3"
    assert found["--signal"] == "B:USR1@60"
    assert found["--output"] == f"{tmp_path}/runs/s/logs/slurm-%A_%a.out"
    assert (found["--job-name"], found["--open-mode"], "--requeue" in found) == ("s", "append", True)
    *_, last = text.splitlines()
    assert shlex.split(last) == [
        "exec", sys.executable, "-m", "trainctl", "resume", f"{tmp_path}/runs/s", "sweep.requeue=true",
    ]  # fmt: skip
    assert f"cd {tmp_path} || exit" in text.splitlines()
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0


def test_the_file_of_the_manual_is_the_one_that_is_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    (shown,) = (
        block.partition("```")[0] for block in page.split("```bash\n")[1:] if "--array" in block.partition("```")[0]
    )
    (typed,) = (line for line in page.splitlines() if "sweep.slurm=4" in line)
    written = slurm.script(opening.begin(shlex.split(typed)[2:])).splitlines()
    lines = [
        line for line in written if not line.startswith("export PYTHONPATH")
    ]  # of a checkout that is not installed
    text = "\n".join(lines).replace(sys.executable, "/home/me/.venv/bin/python").replace(str(tmp_path), "/home/me")
    assert text + "\n" == shown


def test_options_setup_and_what_each_process_has_for_itself_are_in_the_script() -> None:
    options = (
        "sweep.slurm_options=[--partition=gpu,--time=1-04:00:00,--gres=gpu:a100:1,--exclusive,--signal=B:USR1@300]"
    )
    setup = "sweep.slurm_setup=[module load cuda,export X=1]"
    text = slurm.script(begun("sweep.slurm=1", options, setup, "sweep.workers=2", "sweep.trial_timeout=9m"))
    found = directives(text)
    assert (found["--partition"], found["--time"], found["--gres"]) == ("gpu", "1-04:00:00", "gpu:a100:1")
    assert "--exclusive" in found
    assert text.count("--signal") == 1
    assert found["--signal"] == "B:USR1@300"
    lines = text.splitlines()
    assert lines.index("module load cuda") < lines.index("export X=1") < len(lines) - 1
    assert lines[-1].endswith("sweep.requeue=true sweep.workers=2 sweep.trial_timeout=9m")


def test_paths_with_spaces_quotes_and_percent_signs_are_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "a b'c $(touch x) 50%"
    odd.mkdir()
    monkeypatch.chdir(odd)
    text = slurm.script(begun("sweep.slurm=2"))
    assert directives(text)["--output"] == f"{odd}/runs/s/logs/slurm-%A_%a.out".replace("50%", "50%%")
    command = text.splitlines()[-1].replace("exec ", "printf '%s\\n' ", 1)
    before = [line for line in text.splitlines()[:-1] if not line.startswith("#")]
    done = subprocess.run(["bash", "-c", "\n".join([*before, command, "pwd"])], capture_output=True, text=True, cwd="/")
    assert f"{odd}/runs/s" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == str(odd)
    assert not (odd / "x").exists()


def test_a_line_break_in_a_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a\nb").mkdir()
    monkeypatch.chdir(tmp_path / "a\nb")
    with pytest.raises(ConfigError, match="contains a line break"):
        slurm.script(begun("sweep.slurm=2"))


@pytest.mark.parametrize(
    ("words", "threads"),
    [
        (["sweep.workers=auto"], 1),
        (["sweep.workers=2", "sweep.slurm_options=[--cpus-per-task=8]"], 4),
        (["sweep.workers=2"], 1),
        (["sweep.threads=3"], 3),
    ],
)
def test_the_threads_of_a_trial_follow_the_cpus_of_a_job_not_those_of_the_login_node(
    words: list[str], threads: int
) -> None:
    about = [word for word in TINY if not word.startswith("threads")]
    found = opening.begin([*about, "optimizer.lr=0.1,0.01", "sweep.name=s", "sweep.slurm=2", *words])
    assert found.threads == threads


@pytest.mark.parametrize(
    "word",
    [
        "sweep.slurm=0", "sweep.slurm=many", "sweep.slurm_options=[partition=gpu]", "sweep.slurm_options=[--time=1\n#SBATCH x]",
        "sweep.slurm_setup=[a\nb]", "sweep.slurm_options=--time=1", "sweep.requeue=maybe",
    ],
)  # fmt: skip
def test_wrong_settings_are_named(word: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(word.partition("=")[0])):
        begun("sweep.slurm=2", word) if not word.startswith("sweep.slurm=") else begun(word)


def test_options_without_jobs_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"sweep.slurm_options takes effect with sweep.slurm=N only"):
        begun("sweep.slurm_options=[--time=1:00]")


def test_without_sbatch_nothing_is_written(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = command("-m", *TINY, "optimizer.lr=0.1,0.01", "sweep.slurm=2", PATH="/nowhere")
    assert done.returncode == 7
    assert "there is no command sbatch: run this on a login node" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_it_is_submitted_and_the_command_returns_with_what_to_do_next(
    cluster: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command("-m", *TINY, "optimizer.lr=0.1,0.01", "sweep.slurm=3", "sweep.name=s")
    assert (done.returncode, done.stderr) == (0, "")
    assert (cluster / "sbatch.log").read_text() == "--parsable runs/s/slurm.sh\n"
    for text in (
        "job       100, an array of 3 (script: runs/s/slurm.sh)", "squeue --job 100", "trainctl compare runs/s",
        "tail -f runs/s/logs/slurm-100_0.out", "scancel 100", "sbatch runs/s/slurm.sh",
    ):  # fmt: skip
        assert text in done.stdout
    again = command("resume", "s", "sweep.slurm=5", "sweep.workers=2")
    assert again.returncode == 0
    text = Path("runs/s/slurm.sh").read_text()
    assert directives(text)["--array"] == "0-4"
    assert "sweep.workers=2" in text
    assert len((cluster / "sbatch.log").read_text().splitlines()) == 2


def test_what_sbatch_says_is_shown_and_the_sweep_stays(cluster: Path) -> None:
    (cluster / "reject").touch()
    with pytest.raises(
        UnavailableError, match=r"rejected runs/s/slurm.sh \(exit code 1\): .*Invalid partition name.*sbatch runs/s"
    ):
        slurm.submit(lambda: begun("sweep.slurm=2"))
    assert Path("runs/s/slurm.sh").is_file()


@pytest.mark.parametrize(
    "name", ["remains", "none", "elsewhere", "elsewhere, to confirm", "dead", "paused", "random", "confirm"]
)
def test_work_remains_if_this_process_could_begin_or_continue_a_trial(name: str) -> None:
    words = ["sweep.confirm=2"] if "confirm" in name else []
    words += ["sweep=random", "sweep.trials=9"] if name == "random" else []
    home = opened("optimizer.lr=0.1,0.2", *words)
    keys = list(home.ledger.trials)
    if name == "remains":
        write(home, end(keys[0], 0.1))
    elif name == "dead" or name.startswith("elsewhere"):
        write(home, end(keys[0], 0.1))
        writer = journal.Writer(home.held, 60)
        assert journal.claim(home.held, keys[1], 0, writer)
        if name == "dead":
            writer.close()
    elif name == "paused":
        write(home, end(keys[0], 0.1), end(keys[1], 0.1, "paused", reason="interrupted"))
    else:
        write(home, *(end(key, 0.1) for key in keys))
    if name == "none":
        write(home, {"event": "over", "trials": len(keys)})
    assert slurm.work_remains(home) == (name != "none" and not name.startswith("elsewhere"))


# The whole way, with processes.


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def task(cluster: Path, number: int) -> int:
    return int((cluster / f"task-{number}").read_text())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def running(cluster: Path) -> Iterator[Path]:
    """Let the tasks run; end those that a failed test leaves."""
    (cluster / "run").touch()
    yield cluster
    for path in cluster.glob("task-*"):
        if not gone(pid := int(path.read_text())):
            os.killpg(pid, signal.SIGKILL)


def again(number: int) -> subprocess.CompletedProcess[str]:
    """Run a task as Slurm does after it was put back into the queue."""
    own = {"SLURM_JOB_ID": str(101 + number), "SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": str(number)}
    script = ["/bin/bash", "runs/s/slurm.sh"]
    return subprocess.run(script, env=os.environ | own, capture_output=True, text=True, timeout=120)


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return restore.newest(directory).tensors("last")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM], ids=["time limit", "preemption"])
def test_a_signal_pauses_exactly_and_the_job_goes_back_into_the_queue(
    running: Path, slow: str, command: Callable[..., subprocess.CompletedProcess[str]], number: int
) -> None:
    words = [*TINY, f"components=[{slow}]", "early_stopping=slow", "loop.epochs=30"]
    more = ["optimizer.lr=0.01,0.02,0.03", "sweep.slurm=1", "sweep.workers=1", "sweep.name=s"]
    assert command("-m", *words, *more).returncode == 0
    first = Path("runs/s/0-optimizer.lr=0.01")
    wait_for(
        lambda: (first / "metrics.jsonl").exists() and (first / "metrics.jsonl").read_text().count("\n") > 4, "begun"
    )
    pid = task(running, 0)
    (os.killpg if number == signal.SIGTERM else os.kill)(pid, number)  # a preemption reaches every process of the job
    wait_for(lambda: gone(pid), "the job ends")
    log = Path("runs/s/logs/slurm-100_0.out").read_text()
    assert "job 100_0 is back in the queue, as trials are left" in log
    assert (running / "scontrol.log").read_text() == "requeue 100_0\n"
    assert "interrupted" in command("sweeps").stdout

    done = again(0)
    assert done.returncode == 0, done.stderr
    assert "continued at epoch" in done.stdout
    assert "finished" in command("sweeps").stdout
    assert (running / "scontrol.log").read_text() == "requeue 100_0\n"
    assert command(*words, "optimizer.lr=0.01", "output.root=alone").returncode == 0
    (alone,) = [path for path in Path("alone").iterdir() if path.is_dir()]
    assert all(torch.equal(value, tensors(alone)[name]) for name, value in tensors(first).items())


@pytest.mark.slow
def test_the_jobs_share_the_trials_and_one_that_has_none_leaves(
    running: Path, slow: str, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = [*TINY, f"components=[{slow}]", "early_stopping=slow", "loop.epochs=60", "optimizer.lr=0.01,0.02"]
    assert command("-m", *words, "sweep.slurm=3", "sweep.workers=1", "sweep.name=s").returncode == 0
    pids = [task(running, number) for number in range(3)]
    wait_for(lambda: any(map(gone, pids)), "a job that has no trial ends")
    assert sum(map(gone, pids)) == 1  # while the others still train
    running_now = re.search(r"^s +running +(\d+) +2 ", command("sweeps").stdout, re.MULTILINE)
    assert running_now, command("sweeps").stdout
    (running / "state").write_text("COMPLETING")  # the user has cancelled a job: it must not come back
    other = next(pid for pid in pids if not gone(pid))
    os.kill(other, signal.SIGTERM)
    wait_for(lambda: all(map(gone, pids)), "all jobs end")
    assert not (running / "scontrol.log").exists()
    logs = "".join(path.read_text() for path in Path("runs/s/logs").glob("slurm-*.out"))
    assert "is completing: it is not put back into the queue" in logs
    assert "finished" in command("sweeps").stdout  # the last job has continued what the cancelled one left
