"""Under which module do gokart's projects find the type checks of frames? This one; they come from `frame_checks`."""

from kart_runtime.frame_checks import PandasTypeConfig, PandasTypeConfigMap, PandasTypeError

__all__ = ["PandasTypeConfig", "PandasTypeConfigMap", "PandasTypeError"]
