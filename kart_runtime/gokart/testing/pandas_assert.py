"""gokart's name of the comparison of frames."""

from kart_runtime.gokart.empty_dumps import assert_frame_contents_equal

__all__ = ["assert_frame_contents_equal"]
