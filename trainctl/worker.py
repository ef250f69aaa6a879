"""A process that `processes=N` has started: the first one runs the command, the others follow it."""

import sys

from trainctl import cli
from trainctl.machine import launch


def main() -> int:
    """Run this process and return its exit code."""
    launch.watch()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
