"""Import matplotlib as it was installed: without files of the working directory, of the user, or of the environment.

matplotlib executes what a `matplotlibrc` says while it is imported, first of all one in the working directory; one that
is damaged, endless, or names a backend that no longer exists, makes the import fail. Our plots need none of it.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.errors import UnavailableError
from trainctl.fileformat.boundary import reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size [inches], which can be saved as PNG.

    Raises:
        UnavailableError: If matplotlib cannot be imported here.
    """
    load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def load() -> None:
    """Import matplotlib; the first import decides which settings it has.

    Raises:
        UnavailableError: If that fails, e.g. because there is no directory for its font cache.
    """
    if "matplotlib.backends.backend_agg" in sys.modules:
        return
    with reading("matplotlib", UnavailableError, "cannot be imported"), _as_installed():
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


@contextmanager
def _as_installed() -> Iterator[None]:
    """Hide every `matplotlibrc` and MPLBACKEND from matplotlib, which looks for them while it is imported."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # about fonts and caches
    hidden = {"MATPLOTLIBRC": os.devnull, "MPLBACKEND": "agg"}
    before = {name: os.environ.get(name) for name in hidden}
    here = Path.cwd() if os.path.lexists("matplotlibrc") else None
    os.environ.update(hidden)
    try:
        if here:
            os.chdir(os.sep)
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        if here:
            with suppress(OSError):  # it has been removed
                os.chdir(here)
