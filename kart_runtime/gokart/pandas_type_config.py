"""gokart's names of the type checks of frames."""

from kart_runtime.task.column_types import PandasTypeConfig, PandasTypeConfigMap, PandasTypeError

__all__ = ["PandasTypeConfig", "PandasTypeConfigMap", "PandasTypeError"]
