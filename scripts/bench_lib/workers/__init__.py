"""One program per peer, run as ``python -m bench_lib.workers.NAME SHAPE COUNT`` in the folder that it writes to.

A count of 0 imports and declares but builds nothing: the baseline. Each program is what a user of that library would
write, with its logging turned down; none reads its inputs, since the tasks are trivial.
"""
