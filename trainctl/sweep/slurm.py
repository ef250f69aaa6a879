"""Run a sweep as an array of Slurm jobs: submit it, and work in one of its jobs. Imports no torch.

Each job of the array is a process that joins the sweep's directory like any other one, so nobody coordinates and nothing
waits on the login node. Before its time limit, and when it is preempted, Slurm sends a signal; the job pauses its trials
and puts itself back into the queue. See `man sbatch` (--array, --signal, --requeue) and `man scontrol` (requeue).
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from trainctl.errors import ConfigError, Terminated, UnavailableError
from trainctl.machine import signals
from trainctl.report import phrases, table
from trainctl.settings.space import key_of
from trainctl.settings.spelling import spell
from trainctl.settings.sweep import defaults
from trainctl.store import rundir
from trainctl.sweep import run
from trainctl.sweep.slurm_options import name_of
from trainctl.sweep.study import Study

SCRIPT = "slurm.sh"
WARNING = 60  # seconds before the time limit at which Slurm sends SIGUSR1; a trial has 30 s to save itself
PATIENCE = 60.0  # seconds that sbatch and scontrol have to answer
# Settings of a sweep that each process has for itself.
PER_PROCESS = ("storage", "workers", "trial_timeout", "retries", "on_error", "keep", "max_time", "lease")
# States in which a job must not be put back into the queue: the user cancelled it, or it is being removed.
OVER = ("CANCELLED", "COMPLETING", "DEADLINE", "REVOKED")


def is_wanted(words: Sequence[str]) -> bool:
    """Return whether the words of a command ask for Slurm jobs: those that a sweep was begun with do not count."""
    return any(key_of(word) == "sweep.slurm" and word.partition("=")[2] != "null" for word in words)


def is_in_job(words: Sequence[str]) -> bool:
    """Return whether the words say that this process is a job that may be put back into the queue."""
    return any(key_of(word) == "sweep.requeue" and word.partition("=")[2] == "true" for word in words)


def submit(open_study: Callable[[], Study]) -> int:
    """Create or open a sweep, submit its array of jobs, and return without waiting for it.

    Raises:
        UnavailableError: If sbatch is missing, or rejects the job.
    """
    if shutil.which("sbatch") is None:
        raise UnavailableError(
            "sweep.slurm needs Slurm, but there is no command sbatch: run this on a login node of the cluster; elsewhere,"
            " leave out sweep.slurm, and start more workers with trainctl resume SWEEP on each machine"
        )
    study = open_study()
    path = study.home / SCRIPT
    rundir.write(study.held / SCRIPT, script(study))
    job = _submitted(path)
    log = study.home / "logs" / f"slurm-{job}_0.out"
    lines = [
        ("sweep", phrases.pasteable(study.home)),
        ("job", f"{job}, an array of {study.settings.slurm} (script: {phrases.pasteable(path)})"),
        ("watch", f"squeue --job {job}"),
        ("", f"trainctl compare {phrases.pasteable(study.home)}"),
        ("", f"tail -f {phrases.pasteable(log)}"),
        ("stop", f"scancel {job}"),
        ("continue", f"sbatch {phrases.pasteable(path)}"),
    ]
    for line in phrases.labelled(lines):
        table.line(line)
    return 0


def script(study: Study) -> str:
    """Return the text of the script: one that a user can read, change and submit again.

    Raises:
        ConfigError: If a path cannot be written into it.
    """
    home, settings = study.home.absolute(), study.settings
    for path in (home, Path.cwd()):
        if "\n" in str(path) or "\r" in str(path):
            raise ConfigError(f"sweep.slurm: the path {table.printable(str(path))} contains a line break")
    typed = {name_of(option) for option in settings.slurm_options}
    ours = {
        "--job-name": home.name,
        "--array": f"0-{(settings.slurm or 1) - 1}",
        "--output": f"{str(home).replace('%', '%%')}/logs/slurm-%A_%a.out",
        "--open-mode": "append",
        "--signal": f"B:USR1@{WARNING}",
        "--requeue": "",
    }
    options = [f"{name}={shlex.quote(value)}" if value else name for name, value in ours.items() if name not in typed]
    words = ["-m", "trainctl", "resume", str(home), "sweep.requeue=true"]
    words += [f"components=[{','.join(study.base.components)}]"] if study.base.components else []
    words += [
        f"sweep.{key}={spell(settings.tree[key])}" for key in PER_PROCESS if settings.tree[key] != defaults()[key]
    ]
    lines = [
        "#!/bin/bash",
        "# The jobs of a sweep: each one joins it and takes trials until none is left. Written by trainctl, which never",
        f"# reads it again: change what you like, and submit it with: sbatch {phrases.pasteable(study.home / SCRIPT)}",
        *(f"#SBATCH {option}" for option in (*options, *settings.slurm_options)),
        "",
        f"cd {shlex.quote(str(Path.cwd()))} || exit",
        *_paths(),
        *settings.slurm_setup,
        "# exec: Slurm's signals, SIGUSR1 before the time limit and SIGTERM at a preemption, reach trainctl itself, which",
        "# pauses its trials and puts this job back into the queue if work remains.",
        f"exec {shlex.join([sys.executable, *words])}",
    ]
    return "\n".join(lines) + "\n"


def _paths() -> list[str]:
    """Return the line that lets Python find a trainctl that is not installed."""
    if rundir.version() != "checkout":
        return []
    paths = [str(Path(__file__).parents[2]), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return [f"export PYTHONPATH={shlex.quote(os.pathsep.join(dict.fromkeys(paths)))}"]


def _submitted(path: Path) -> str:
    """Submit a script and return the number of the job.

    Raises:
        UnavailableError: If that fails.
    """
    code, out, err = _call("sbatch", "--parsable", str(path))
    job = out.strip().partition(";")[0]
    if code or not re.fullmatch(r"\d+", job):
        said = " ".join((err.strip() or out.strip() or "no message").split())
        shown = phrases.pasteable(path)
        raise UnavailableError(
            f"sbatch rejected {path} (exit code {code}): {said}; change the script, then: sbatch {shown}"
        )
    return job


def _call(*words: str) -> tuple[int, str, str]:
    """Run a command of Slurm; return its exit code, output and errors."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, "", f"no answer within {PATIENCE:.0f} s"
    except OSError as error:
        return 127, "", f"{words[0]}: {error.strerror}"
    return done.returncode, done.stdout, done.stderr


def work(open_study: Callable[[], Study]) -> int:
    """Join a sweep as a job of Slurm; if a signal ends this process and work remains, put the job back into the queue.

    Failed trials are not tried again: that is for a user who resumes the sweep.

    Raises:
        Terminated: If a signal stopped it.
        SweepError: At the end, if a trial failed.
    """
    study = None
    try:
        with signals.ExitAlsoToSave():
            study = open_study()
            return run.run(study)
    except (Terminated, signals.Terminate):
        if study is None or work_remains(study):
            _requeue()
        else:
            table.line("no trial is left for this job: it is not put back into the queue", stream=sys.stderr)
        raise


def work_remains(study: Study) -> bool:
    """Return whether a process could begin or continue a trial now, or add one, apart from those that others run."""
    ledger, settings = study.ledger, study.settings
    ledger.update()
    if ledger.complete:
        return False
    if study.policy.next_task(ledger) is not None:
        return True
    if settings.sampler != "grid" and (settings.trials is None or len(ledger.points) < settings.trials):
        return True
    if set(ledger.running()) - ledger.dead:
        return False  # the job that runs them puts itself back into the queue
    confirmed = any(trial.confirms for trial in ledger.trials.values())
    return study.policy.last_task(ledger) is not None or bool(settings.confirm and not confirmed)


def _requeue() -> None:
    """Put this job back into the queue; whatever prevents it is a message."""
    job = job_number(os.environ)
    if job is None:
        table.line(
            "note: not in a Slurm job (SLURM_JOB_ID is not set), so nothing is put back into the queue",
            stream=sys.stderr,
        )
        return
    state = re.search(r"\bJobState=(\w+)", _call("scontrol", "show", "job", job)[1])
    if state and state[1] in OVER:
        table.line(f"job {job} is {state[1].lower()}: it is not put back into the queue", stream=sys.stderr)
        return
    code, out, err = _call("scontrol", "requeue", job)
    if code:
        said = " ".join((err.strip() or out.strip()).split())
        table.line(f"note: job {job} cannot be put back into the queue (scontrol requeue: {said})", stream=sys.stderr)
    else:
        table.line(f"job {job} is back in the queue, as trials are left", stream=sys.stderr)


def job_number(environment: "os._Environ[str] | dict[str, str]") -> str | None:
    """Return what names this job for scontrol: a task of an array, or a job; None outside of Slurm.

    >>> job_number({"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"})
    '7_1'
    >>> job_number({"SLURM_JOB_ID": "8"}), job_number({})
    ('8', None)
    """
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID")
