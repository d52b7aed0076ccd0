"""What is run? One program per peer and kind of work, ``python -m bench_lib.workers.NAME ...`` where it writes.

The programs of graphs are called with SHAPE COUNT; a count of 0 imports and declares but builds nothing: the baseline.
Each is what a user of that library would write, with its logging turned down; none of the graphs' programs reads its
inputs, since the tasks are trivial. The others time themselves, without imports and preparation, and ``say`` it.
"""
