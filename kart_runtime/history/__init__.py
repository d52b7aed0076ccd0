"""Records of past runs: reading and writing them, durations, and the files that may be deleted."""
