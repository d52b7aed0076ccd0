"""Under which module do gokart's projects find the type checks of frames? This one; they come from `frame_checks`."""

from kart_runtime.task.column_types import PandasTypeConfig, PandasTypeConfigMap, PandasTypeError

__all__ = ["PandasTypeConfig", "PandasTypeConfigMap", "PandasTypeError"]
