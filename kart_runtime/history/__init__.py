"""Records of past runs: what was written, how long it took, and what may be deleted."""
