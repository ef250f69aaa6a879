"""Support Hydra's own informational flags: --hydra-help, --cfg, --info, --shell-completion."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra
from omegaconf import DictConfig

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.settings.compose import prepare
from trainctl.settings.members import home, overlays


def answer(argv: Sequence[str], config_dir: str | None = None) -> int:
    """Print the output of one of Hydra's informational flags; return the exit code.

    Args:
        argv: The words of the command line.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If a file cannot be read.
    """
    prepare(overlays(config_dir))
    with _as_hydra_expects(argv):
        try:
            with reading("configuration", ConfigError, "cannot be shown"):
                hydra.main(config_path=str(home("conf")), config_name="train", version_base="1.3")(_run)()
        except SystemExit as error:
            return 0 if not error.code else 2
    return 0


@contextmanager
def _as_hydra_expects(argv: Sequence[str]) -> Iterator[None]:
    """Set ``sys.argv`` for Hydra, and silence the logging errors of a closed pipe; restore both afterwards."""
    before = sys.argv, logging.raiseExceptions
    sys.argv, logging.raiseExceptions = ["trainctl", *(word.lstrip("+") for word in argv)], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.argv, logging.raiseExceptions = before


def _run(_: DictConfig) -> None:
    raise AssertionError("Hydra runs the task although it got an informational flag")
