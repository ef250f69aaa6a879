"""One thread at a time: Hydra's state and the random generators exist once in a process. Imports no torch."""

import threading

TURN = threading.RLock()
