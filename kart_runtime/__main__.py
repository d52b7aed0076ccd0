"""Entry point of `python -m kart_runtime`, which is the command `kart`."""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109 - a text
    # `python -m` puts the current folder first, where a random.py would be imported; the command `kart` does not.
    del sys.path[0]

from kart_runtime.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
