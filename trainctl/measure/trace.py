"""A Chrome trace of a few steps and their phases."""

import tempfile
from pathlib import Path

from trainctl.machine import device
from trainctl.measure.marks import Ranges
from trainctl.measure.steps import WARM_UP, repeated
from trainctl.run.run import Run
from trainctl.step.eager import eager
from trainctl.step.engine import Engine
from trainctl.step.part import ignore

TRACED = 3  # steps of each kind


def trace(run: Run, recorded: bool) -> bytes:
    """Return a trace of eager steps with their phases and, if training takes recorded steps, of these."""
    from torch.profiler import ProfilerActivity, profile, record_function

    ranges = Ranges()
    kinds = {"eager step": (repeated(run, eager(run, ranges), ranges), ranges)}
    if recorded:
        whole = Ranges()  # a single range for the whole step: a recording has no phases
        take = repeated(run, Engine(run, ignore).take, lambda part: whole("step" if part != "data" else part))
        kinds["recorded step"] = (take, whole)
    for take, end in kinds.values():
        for _ in range(WARM_UP):
            take()
            end("")
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (run.device.type == "cuda")
    with profile(activities=activities, acc_events=True) as profiler:
        for name, (take, end) in kinds.items():
            for _ in range(TRACED):
                with record_function(name):
                    take()
                    end("")
        device.synchronize(run.device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        return path.read_bytes()
