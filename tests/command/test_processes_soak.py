"""Signals, kills, torchrun and srun: whatever happens, a run of several processes can be resumed."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests import soak
from tests.family import Child, children, lives
from tests.zygote import Process
from trainctl.store import restore

pytestmark = [
    pytest.mark.soak,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
WHOLE = soak.FACTOR >= 10  # of the tables; a few rows of them in `make check`
TINY = ("dataset=iris", "model=mlp", "model.hidden=[8]", "loop.batch_size=20", "loop.micro_batches=2", "threads=1",
        "output.plots=false", "loop.max_steps=12", "loop.eval_every_steps=5")  # fmt: skip
LONG = (*TINY, "loop.max_steps=1000000", "checkpoint.every_seconds=0")


def runs_in(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob("*/config.yaml")]


@pytest.fixture
def begun(start: Callable[..., Process], tmp_path: Path) -> Callable[..., tuple[Process, list[Child]]]:
    """Return a function that starts a run of two processes, and waits for its first evaluation."""

    def run(*words: str) -> tuple[Process, list[Child]]:
        process = start(*LONG, "processes=2", *words)
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        return process, children(process.pid)

    return run


def gone(own: list[Child], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(map(lives, own)):
            return True
        time.sleep(0.05)
    return False


SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGKILL")
ROWS = list(product(SIGNALS, ("command", 0, 1)))


@pytest.mark.parametrize(("name", "target"), ROWS if WHOLE else [("SIGKILL", "command"), ("SIGUSR1", "command")])
def test_a_signal_to_any_process_ends_or_saves_the_run(name, target, begun, command, tmp_path):
    shared = {path.name for path in Path("/dev/shm").iterdir()}
    process, own = begun()
    assert len(own) == 2
    number = getattr(signal, name)
    if target == "command":
        process.send_signal(number)
    else:
        os.kill(own[target].pid, number)
    if name == "SIGUSR1":
        time.sleep(1)
        assert all(map(lives, own))
        process.send_signal(signal.SIGTERM)
    process.communicate(60)
    expected = {
        "SIGTERM": 143,
        "SIGINT": 130,
        "SIGHUP": 143,
        "SIGUSR1": 143,
        "SIGKILL": -9 if target == "command" else 7,
    }
    assert process.returncode == expected[name]
    assert gone(own)
    left = {path.name for path in Path("/dev/shm").iterdir()} - shared
    assert not [each for each in left if "torch" in each or "trainctl" in each]
    (run,) = runs_in(tmp_path / "runs")
    step = restore.newest(run).manifest.step
    resumed = command("resume", f"loop.max_steps={step + 3}", "processes=1")
    assert resumed.returncode == 0, resumed.stderr
    assert command("verify", "processes=1", "from=start").returncode == 0


# Components that take their time, and leave a file when they begin, so that a test meets the moment.
SLOW = {
    "slow/dataset/slow_iris.py": """
import time
from pathlib import Path
from trainctl.components.dataset.base import Dataset
from trainctl.components.dataset.iris import iris

def slow_iris(*, seconds: float) -> Dataset:
    Path("loading").touch()
    time.sleep(seconds)
    return iris()
""",
    "slow/metric/slow_score.py": """
import time
from pathlib import Path
from trainctl.components.metric.base import LABELS, Metric, Scores, single

def slow_score(*, seconds: float) -> Metric:
    def value(scores: Scores) -> float:
        Path("evaluation").touch()
        time.sleep(seconds)
        return 0.0
    return single("slow_score", value, LABELS)
""",
    "slow/optimizer/slow_sgd.py": """
import time
from pathlib import Path
import torch
from trainctl.components.optimizer.base import ParameterGroups, Rate

class Slow(torch.optim.SGD):
    seconds, saves = 0.0, 0

    def state_dict(self):
        self.saves += 1
        if self.saves > 2 and self.seconds:  # in a run that has begun
            Path("save").touch()
            time.sleep(self.seconds)
        return super().state_dict()

def slow_sgd(*, params: ParameterGroups, lr: Rate, seconds: float) -> torch.optim.Optimizer:
    found = Slow(params, lr=lr)
    found.seconds = seconds
    return found
""",
    "conf/dataset/slow_iris.yaml": "name: slow_iris\nseconds: 0.0\n",
    "conf/metric/slow_score.yaml": "# @package metric.slow_score\nname: slow_score\nseconds: 0.0\n",
    "conf/optimizer/slow_sgd.yaml": "name: slow_sgd\nlr: 0.1\nseconds: 0.0\n",
}
MOMENTS = {"loading": "dataset.seconds=0.7", "evaluation": "metric.slow_score.seconds=0.7", "save": "optimizer.seconds=0.7",
           "step": "loop.max_steps=400"}  # fmt: skip
CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 143, "SIGUSR1": 0, "SIGKILL": -9}


@pytest.mark.parametrize(("name", "moment"), soak.some("command", list(product(SIGNALS, MOMENTS)), 3))
def test_a_signal_to_the_command_at_any_moment_stops_all(name, moment, start, command, tmp_path):
    for path, text in SLOW.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    own_words = ("components=[slow]", "dataset=slow_iris", "metric=[slow_score]", "optimizer=slow_sgd")
    words = (*TINY[1:], *own_words, "checkpoint.every_seconds=0", "processes=2")
    process, end = start(*words, MOMENTS[moment]), time.monotonic() + 60
    while not Path(tmp_path / ("evaluation" if moment == "step" else moment)).exists() and time.monotonic() < end:
        time.sleep(0.02)
    own = children(process.pid)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(60)
    assert process.returncode == CODES[name], errors
    assert gone(own)
    found = runs_in(tmp_path / "runs")
    if name != "SIGUSR1":
        assert len(found) == (moment != "loading")
    for run in found:
        if name != "SIGUSR1":
            assert command("resume", str(run), "components=[slow]", "processes=1", MOMENTS[moment]).returncode == 0
        assert command("verify", str(run), "components=[slow]", "processes=1", "from=start").returncode == 0


@pytest.mark.skipif(not WHOLE, reason="only in the whole of make soak; see make torture")
def test_random_kills_leave_a_run_that_resumes_to_the_same_bits(begun, command, tmp_path):
    generator = soak.seed("kills")
    for number in range(soak.cases(1)):
        process, own = begun(f"output.root=kills{number}")
        time.sleep(generator.random())
        victim = generator.choice(["command", *(each.pid for each in own)])
        if victim == "command":
            process.send_signal(signal.SIGKILL)
        else:
            os.kill(victim, signal.SIGKILL)
        process.communicate(60)
        assert gone(own)
        (run,) = runs_in(tmp_path / f"kills{number}")
        step = restore.newest(run).manifest.step + 4
        done = command("resume", str(run), f"loop.max_steps={step}", f"processes={generator.choice([1, 2])}")
        assert done.returncode == 0, done.stderr
        assert command("verify", str(run), "processes=1", "from=start").returncode == 0


def test_pairs_of_commands_at_once_get_different_ports_and_directories(start, tmp_path):
    rounds = 10 if WHOLE else 1
    for _ in range(rounds):
        both = [start(*TINY, "processes=2") for _ in range(2)]
        for process in both:
            _, errors = process.communicate(120)
            assert process.returncode == 0, errors
    assert len(runs_in(tmp_path / "runs")) == 2 * rounds


def environment(rank: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


@pytest.mark.parametrize(
    "words", [TINY, ("--help",), (*TINY, "optimizer.lr=many"), ("runs",)], ids=["train", "help", "wrong", "runs"]
)
def test_srun_is_joined_and_every_task_ends(words, start, tmp_path):
    step = {
        "SLURM_JOB_ID": str(random.randrange(10_000)), "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_STEP_NODELIST": "127.0.0.1",
    }  # fmt: skip
    tasks = [start(*words, **step, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)) for rank in range(2)]
    texts = [task.communicate(120) for task in tasks]
    assert tasks[0].returncode == tasks[1].returncode == (2 if "optimizer.lr=many" in words else 0)
    assert texts[1] == ("", "")
    if words == TINY:
        assert len(runs_in(tmp_path / "runs")) == 1


SRUN = """#!/bin/bash
# As srun --kill-on-bad-exit=1 does: two tasks; the exit code is the largest of theirs.
[ "$1" = --kill-on-bad-exit=1 ] && shift || exit 99
for rank in 0 1; do
    SLURM_STEP_ID=0 SLURM_NTASKS=2 SLURM_STEP_TASKS_PER_NODE=2 SLURM_NODEID=0 SLURM_STEP_NODELIST=127.0.0.1 \\
        SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" &
    pids+=($!)
done
echo "${pids[@]}" > tasks
worst=0
for pid in "${pids[@]}"; do
    wait $pid; code=$?
    [ $code -gt $worst ] && worst=$code
done
exit $worst
"""


def test_the_sbatch_file_of_the_manual_trains_stops_and_resumes(command, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
    (script,) = (
        block.partition("```")[0] for block in page.split("```bash\n")[1:] if "srun" in block.partition("```")[0]
    )
    tools = {
        "srun": SRUN,
        "trainctl": f'#!/bin/bash\nexec {sys.executable} -m trainctl "$@"\n',
        "scontrol": f'#!/bin/bash\necho "$@" >> {tmp_path}/scontrol.txt\n',
    }
    for name, text in tools.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    words = " ".join(f"'{word}'" for word in (*TINY, "loop.max_steps=400", "checkpoint.every_seconds=0"))
    (tmp_path / "run.sbatch").write_text(script.replace("recipe=mnist_cnn", words))
    job = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": str(random.randrange(10_000)),
        "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_NAME": "run.sbatch",
    }  # fmt: skip

    def run() -> subprocess.Popen[bytes]:
        return subprocess.Popen(["bash", "run.sbatch"], cwd=tmp_path, env=os.environ | job)

    first, root = run(), tmp_path / f"runs-{job['SLURM_JOB_ID']}"
    end = time.monotonic() + 400
    while not list(root.glob("*/metrics.jsonl")) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in (tmp_path / "tasks").read_text().split():
        os.kill(int(pid), signal.SIGTERM)  # as Slurm does before the time limit
    first.wait(200)
    assert (tmp_path / "scontrol.txt").read_text() == f"requeue {job['SLURM_JOB_ID']}\n"
    stopped = restore.newest(runs_in(root)[0]).manifest.step
    run().wait(400)
    (found,) = runs_in(root)
    assert stopped < restore.newest(found).manifest.step == 400
    assert len((tmp_path / "scontrol.txt").read_text().splitlines()) == 1
    assert command("verify", str(found), "processes=1", "from=start").returncode == 0


def test_torchrun_is_joined_and_the_numbers_are_those_of_one_process(command, tmp_path):
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "trainctl",
    ]
    done = subprocess.run([*torchrun, *TINY], cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert command("verify", "processes=1").returncode == 0
    if not WHOLE:
        return
    failed = subprocess.run(
        [*torchrun, *TINY, "loss=mse"], cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False
    )
    assert failed.returncode != 0
    assert failed.stderr.count("trainctl: loss=mse") == 1


def test_a_port_that_is_taken_is_named(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command(*TINY, **environment(0, taken.getsockname()[1]))
    assert done.returncode == 7
    assert "another job uses this port: choose another MASTER_PORT" in done.stderr
