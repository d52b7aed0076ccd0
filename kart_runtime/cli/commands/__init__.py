"""Commands: one module each, with a function `execute` that returns the exit code."""
