"""What holds for all tests: generated examples are the same in each run, so that a change is what breaks a test.

To search for new ones: `python -m pytest --hypothesis-profile default tests/runtime/storage`.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
