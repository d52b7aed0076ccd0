"""gokart's names of the test run."""

from kart_runtime.gokart.empty_dumps import test_run
from kart_runtime.gokart.run import try_to_run_test_for_empty_data_frame

__all__ = ["test_run", "try_to_run_test_for_empty_data_frame"]
