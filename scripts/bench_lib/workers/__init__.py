"""Programs: one per peer and kind of work, started with ``python -m bench_lib.workers.NAME ...`` in their folder.

Graph programs take SHAPE COUNT; with a count of 0 they import and declare but build nothing, which is the baseline.
Each is what a user of that library would write, with less logging. None of the graph programs reads its inputs, since
the tasks are trivial. The other programs time themselves, without imports and preparation, and `report` it.
"""
