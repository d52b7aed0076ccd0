"""Display of a run: a block of rows at the bottom of a terminal, or plain lines."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from kart_runtime.schedule.screen import size_of

if TYPE_CHECKING:
    from kart_runtime.cli.live.plain import Display


def shows_block(*, quiet: bool = False) -> bool:
    """Return whether standard output is a terminal that a block can be drawn on."""
    if quiet or os.environ.get("CI") or importlib.util.find_spec("rich") is None:
        return False
    return size_of(sys.stdout) is not None


def make_display(*, quiet: bool = False, verbose: bool = False) -> Display:
    """Return the display that fits standard output."""
    if shows_block(quiet=quiet):
        from kart_runtime.cli.live.block import LiveDisplay

        return LiveDisplay(verbose=verbose)
    from kart_runtime.cli.live.plain import Display

    return Display(quiet=quiet, verbose=verbose)
