"""gokart's names of the test run."""

from kart_runtime.luigi_command import try_to_run_test_for_empty_data_frame
from kart_runtime.testing import test_run

__all__ = ["test_run", "try_to_run_test_for_empty_data_frame"]
