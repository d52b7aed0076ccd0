"""What holds for all tests: generated examples are the same in each run, so that a change is what breaks a test.

To search for new ones: `python -m pytest --hypothesis-profile default tests/runtime/storage`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# All projects that tests check share what mypy has learned of pandas and other libraries: 20 s for each otherwise.
os.environ.setdefault("MYPY_CACHE_DIR", str(Path(__file__).parents[1] / ".mypy_cache" / "of-tests"))

# uv trusts the certificates that this machine trusts, as pip and git do, also those of a company's own.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")

# A shell starts what it puts into the background without Ctrl-C, and so all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine makes no test fail.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process works alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_setup.py")
