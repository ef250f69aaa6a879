"""Print what a bug report needs: versions, devices, threads and directories.

    trainctl env [format=text|json]

Prints the versions of trainctl, Python, PyTorch and the other packages, with optional packages that are missing marked
by -; the operating system, the processor, the devices, the threads that a run may use; and where data are cached. It
prints no names of users, and no values of environment variables other than those named.

    trainctl env
    trainctl env format=json
"""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainctl.command import arguments, launching, option_values
from trainctl.machine import threads
from trainctl.report import table
from trainctl.store import rundir

OPTIONS = {"format": "text"}
PACKAGES = (
    "torch", "torchvision", "hydra-core", "omegaconf", "rich", "numpy", "scikit-learn", "safetensors", "matplotlib", "pillow",
    "PyYAML", "optuna", "psycopg", "tensorboard", "mlflow-skinny", "sqlalchemy", "alembic", "wandb", "onnx", "onnxscript",
    "onnxruntime", "pyarrow", "pillow-heif", "uvicorn", "pandas",
)  # fmt: skip
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NO_COLOR", "TERM", "COLUMNS")


def main(argv: Sequence[str]) -> int:
    """Print the environment; return the exit code."""
    parsed = arguments.parse(argv, OPTIONS, most_names=0)
    form = option_values.choice("format", parsed.options["format"], ("text", "json"))
    launching.import_torch()
    facts = environment()
    if form == "json":
        table.json(facts)
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            table.line(f"{name:{width}}  {value}")
    return 0


def environment() -> dict[str, str]:
    """Return what a bug report needs, by name."""
    from trainctl.machine import device

    facts = {"trainctl": rundir.version(), "python": platform.python_version()}
    facts |= {package: _version(package) for package in PACKAGES}
    limit, cores = threads.quota(), len(threads.allowed())
    facts |= {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": device.processor(),
        "cores": f"{cores} allowed of {os.cpu_count()}" + (f", quota {limit:g}" if limit else ""),
        "threads": str(threads.from_environment() or threads.current_watch().choose() or threads.ThreadChoice(cores)),
        "devices": ", ".join(_devices()),
        "cache": cache(),
    }
    return facts | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def cache() -> str:
    """Return where data are cached, without the name of the user."""
    try:
        home = Path.home()
    except RuntimeError:
        return "none: there is no home directory (set HOME)"
    return "~/.cache/trainctl" if home.is_absolute() and home != Path("/") else str(home / ".cache" / "trainctl")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


def _devices() -> list[str]:
    """Return the devices that a run can use."""
    import torch

    cuda = [
        f"cuda:{number} ({torch.cuda.get_device_name(number)})"
        for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]
