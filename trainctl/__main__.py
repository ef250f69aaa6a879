"""Run as ``python -m trainctl``."""

import os
import sys

# Python puts the working directory in front of its own libraries: ./random.py would be imported as random. The command
# `trainctl` does not; components=[my_package] finds packages here without it.
if sys.path[:1] in ([""], [os.getcwd()]) and not sys.flags.safe_path:
    del sys.path[0]

from trainctl.cli import main

sys.exit(main())
