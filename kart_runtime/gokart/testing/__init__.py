"""gokart's names of what tests a pipeline."""

from kart_runtime.gokart.empty_dumps import assert_frame_contents_equal, test_run
from kart_runtime.gokart.run import try_to_run_test_for_empty_data_frame

__all__ = ["assert_frame_contents_equal", "test_run", "try_to_run_test_for_empty_data_frame"]
