"""gokart's names for tests of a pipeline."""

from kart_runtime.gokart.empty_dumps import test_run
from kart_runtime.gokart.run import try_to_run_test_for_empty_data_frame
from kart_runtime.gokart.testing.pandas_assert import assert_frame_contents_equal

__all__ = ["assert_frame_contents_equal", "test_run", "try_to_run_test_for_empty_data_frame"]
