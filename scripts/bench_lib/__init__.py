"""The parts of ``scripts/bench``: what is run, by whom, how it is measured, and how the answer is shown."""
