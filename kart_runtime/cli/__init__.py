"""What can be typed? ``kart`` and ``python -m PACKAGE`` with their commands; arguments are read, nothing is decided.

One module a command in `commands`; each has `add`, which declares its arguments, and a function that executes it and
returns the exit code.
"""

from kart_runtime.cli.entry import main

__all__ = ["main"]
