"""The commands, one module each, with ``NAME``, ``HELP``, ``DESCRIPTION``, ``EXAMPLES``, `add` and `execute`."""
