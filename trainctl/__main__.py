"""Run as ``python -m trainctl``."""

import os
import sys

# Python puts the working directory in front of its own libraries: ./random.py would be imported as random. The command
# `trainctl` does not; components=[my_package] finds packages here without it.
try:
    here = os.getcwd()
except OSError:  # it has been removed, which the command line reports
    here = ""
if sys.path[:1] in ([""], [here]) and not sys.flags.safe_path:
    del sys.path[0]

from trainctl.entry import main

sys.exit(main())
