"""One trial of a sweep: a point, trained with one choice of seeds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainctl.settings.space import Words

# waiting: not begun, or to be continued; paused: at a rung, or because the sweep ended; pruned: paused, and no
# decision can continue it any more; stopped: at loop.stop_at_step, as its settings say.
Status = Literal["waiting", "running", "paused", "pruned", "finished", "stopped", "failed"]
INTERRUPTED = "interrupted"  # the reason of a trial that was paused because its sweep ended, not at a rung


@dataclass
class Trial:
    """One trial of a sweep, as the journal tells it.

    Args:
        point: The number of its point, from 0.
        words: The words in which the point differs from others.
        replicate: The words of its repetition, which set ``seed``, ``split.seed`` or both; empty if nothing repeats.
        directory: The directory of its run.
        confirms: Whether it only confirms the winner with fresh seeds, and does not count for the ranking.
        status: How far it is.
        reason: Why it ended, was paused or failed, in one line.
        value: The best value of the monitored metric so far; None before the first evaluation.
        values: The values of all of ``sweep.monitors`` at the best step; empty with one monitor.
        metrics: The metrics of the best step, and of the test split if it is finished.
        rungs: The best value of the monitored metric at each rung that it has reached, by epochs.
        curve: Epochs and values of its evaluations, where its files are on another machine.
        step: Optimizer steps so far.
        epoch: Epochs so far.
        seconds: Time spent training so far [s].
        parameters: Number of parameters of its model; 0 if unknown.
        attempts: How often it was begun or continued after a failure.
        log: The file with what it printed; None before it is begun.
        place: Where it ran last, as ``host:path`` of the sweep's directory there; empty if that is this directory.
    """

    point: int
    words: Words
    replicate: Words
    directory: Path
    confirms: bool = False
    status: Status = "waiting"
    reason: str = ""
    value: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    rungs: dict[int, float] = field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    parameters: int = 0
    attempts: int = 0
    log: Path | None = None
    place: str = ""
