"""gokart's names of what tests a pipeline."""

from kart_runtime.luigi_command import try_to_run_test_for_empty_data_frame
from kart_runtime.testing import assert_frame_contents_equal, test_run

__all__ = ["assert_frame_contents_equal", "test_run", "try_to_run_test_for_empty_data_frame"]
