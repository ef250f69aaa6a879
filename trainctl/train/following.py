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
from trainctl.machine.environment import Place
from trainctl.machine.launch import GONE
from trainctl.machine.link import Link, join
from trainctl.machine.signals import Terminate
from trainctl.run import assemble
from trainctl.run.reporter import Reporter
from trainctl.settings import validation
from trainctl.store import parents as stored_parents
from trainctl.train import loop, parentage, together
from trainctl.train.checkpoint_writer import Follower


def follow(place: Place) -> int:
    """Take part in what the first process trains, until it ends; return the exit code."""
    warnings.simplefilter("ignore", Advice)  # the first process gives it
    link = join(place)
    together.enter_as(place, link)
    try:
        return _serve(link)
    except ProcessError as error:
        return error.exit_code if error.known else GONE
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
        return _failed(link, f"{type(error).__name__}: {error}", 1)
    finally:
        link.close()


def _failed(link: Link, message: str, exit_code: int) -> int:
    link.fail(message, exit_code)
    return exit_code


def _serve(link: Link) -> int:
    """Train what the first process publishes, until it says that this was all; return its exit code."""
    while True:
        number = link.next_job()
        job = link.wait_for("end", f"job/{number}")
        if "tree" not in job:
            link.publish(f"left/{link.place.rank}", True)
            return int(job["exit_code"])
        try:
            take_part(link, number, job)
        except (Interrupted, Terminated):  # agreed by all: the first process saves, and ends
            continue


def take_part(link: Link, number: int, job: dict[str, Any]) -> None:
    """Build a run and take part in training it."""
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
    together.open_for(run)
    together.spread_state(run)
    together.compare_weights(run)
    loop.train(run, Path(), Reporter(), Follower(run))
