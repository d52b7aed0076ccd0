"""Sweeps: several values of a parameter on one command line, each combination of which is a variant in one plan.

`words` is the grammar, `keys` knows what a key takes, `sweep_file` reads values from a file, and `variants` composes
one configuration for each combination. `search` has values proposed one by one (`space`, `samplers`), and remembers
what came of them (`trials`).
"""
