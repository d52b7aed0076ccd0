"""A clock that is wrong by SOAK_CLOCK seconds; Python imports this first, also in worker processes.

Times of files and the monotonic clock stay right, as on a host whose clock was set while a file server's is right.
libfaketime would shift the monotonic clock too, and waiting with a time-out then never ends.
"""

import os
import time

_seconds = int(os.environ.get("SOAK_CLOCK", "0"))
if _seconds:
    _time, _time_ns = time.time, time.time_ns
    time.time = lambda: _time() + _seconds
    time.time_ns = lambda: _time_ns() + _seconds * 1_000_000_000
