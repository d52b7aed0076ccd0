"""Command line: `kart` and `python -m PACKAGE`, with one module a command in `commands`."""

from kart_runtime.cli.entry import main

__all__ = ["main"]
