"""What every process of a run does except the first: build the run that the first one has published, and take part."""

import platform
import sys
import traceback
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainctl.data.schema import Schema
from trainctl.errors import (
    Advice,
    Interrupted,
    ProcessError,
    Terminated,
    TrainctlError,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.machine import step_mark
from trainctl.machine.environment import Place
from trainctl.machine.launch import GONE
from trainctl.machine.link import Link
from trainctl.machine.presence import attend
from trainctl.machine.rendezvous import join
from trainctl.machine.signals import Terminate
from trainctl.report import table
from trainctl.run import assemble
from trainctl.settings import validation
from trainctl.store import parents as stored_parents
from trainctl.train import best, conclusion, loop, parentage, together
from trainctl.train.checkpoint_writer import Follower
from trainctl.train.log_lines import Sender


def follow(place: Place) -> int:
    """Take part in what the first process trains, until it ends; return the exit code."""
    warnings.simplefilter("ignore", Advice)  # the first process gives it
    try:
        link = join(place, lambda line: table.line(f"trainctl: {line}", stream=sys.stderr))
    except (TrainctlError, KeyboardInterrupt) as error:
        return _alone(place, error)
    together.enter_as(place, link)
    sender = Sender(link)
    sender.take_warnings()
    connection = None
    try:
        connection = attend(link)
        return _serve(link, sender)
    except ProcessError as error:
        return _left(link, error)
    except TrainctlError as error:
        return _failed(link, str(error), error.exit_code)
    except KeyboardInterrupt as signal:
        stopped = Terminated if isinstance(signal, Terminate) else Interrupted
        word = "terminated" if stopped is Terminated else "interrupted"
        return _failed(link, f"{word}; everything saved so far is intact", stopped.exit_code)
    except BaseException as error:  # noqa: BLE001 - printed, and told to the others
        if lacks_memory(error):
            return _failed(link, out_of_memory(error), UnavailableError.exit_code)
        traceback.print_exc(file=sys.stderr)
        for line in traceback.format_exc().splitlines():
            sender.note(line)
        return _failed(link, f"{type(error).__name__}: {error}", 1)
    finally:
        link.close()
        if connection:
            connection.close()


def _alone(place: Place, error: BaseException) -> int:
    """Return the exit code of a process that has not found the others; say why, unless the first process or a signal has."""
    if not isinstance(error, TrainctlError):
        return Terminated.exit_code if isinstance(error, Terminate) else Interrupted.exit_code
    if not (isinstance(error, ProcessError) and error.known):
        table.line(f"trainctl: process {place.rank} on {platform.node()}: {error}", stream=sys.stderr)
    return error.exit_code


def _left(link: Link, error: ProcessError) -> int:
    """Return the exit code of a process that cannot continue without another one; where nobody else can say why, say it."""
    if error.known:
        return error.exit_code
    if link.place.by == "trainctl":  # the launcher says what became of the other one
        return GONE
    if link.is_lost:
        if link.place.by == "srun":  # torchrun may start all again
            step_mark.leave()
        table.line(
            f"trainctl: process {link.place.rank} on {platform.node()}: {link.server} is gone", stream=sys.stderr
        )
    return error.exit_code


def _failed(link: Link, message: str, exit_code: int) -> int:
    link.fail(message, exit_code)
    return exit_code


def _serve(link: Link, sender: Sender) -> int:
    """Train what the first process publishes, until it says that this was all; return its exit code."""
    while True:
        number = link.next_job()
        job = link.wait_for("end", f"job/{number}")
        if "tree" not in job:
            link.publish(f"left/{link.place.rank}", True)
            return int(job["exit_code"])
        try:
            take_part(link, number, job, sender)
        except (Interrupted, Terminated):  # agreed by all: the first process saves, and ends
            continue


def take_part(link: Link, number: int, job: dict[str, Any], sender: Sender) -> None:
    """Build a run and take part in training it; ``sender`` receives messages."""
    settings = validation.load(job["tree"])
    parents = (
        stored_parents.read(Path(job["parents_at"]), settings.components)
        if job["parents_at"]
        else parentage.find(settings)
    )
    trained = Schema.from_json(job["trained"], Path("process 0")) if job["trained"] else None
    if link.place.local_rank:  # the first one on this machine downloads and converts what is missing
        loaded = link.wait_for(f"loaded/{number}/{platform.node()}", "end")
        if loaded is not True:  # the first process has failed
            return
    run = assemble.assemble(settings, trained, parents, restored=True, world=together.enter())  # it receives the state
    link.publish(f"loaded/{number}/{platform.node()}", True)
    together.ready(run, number)
    go = link.wait_for(f"go/{number}", "end")
    if "stop_at_step" not in go:
        return
    run = replace(run, config=replace(run.config, loop=replace(run.config.loop, stop_at_step=go["stop_at_step"])))
    together.start_alike(run)
    sender.run = run
    ending = loop.train(run, Path(), sender, Follower(run, sender))
    if run.evaluation.lockstep and ending.outcome != "stopped" and run.state.best:
        link.in_step(lambda: conclusion.measured(best.alone(run)))
