"""gokart's names of the errors."""

from kart_runtime.errors import BuildFailed as GokartBuildError
from kart_runtime.errors import EmptyDump as EmptyDumpError
from kart_runtime.errors import LockTimeout as HasLockedTaskException
from kart_runtime.task.column_types import PandasTypeError

__all__ = ["EmptyDumpError", "GokartBuildError", "HasLockedTaskException", "PandasTypeError"]
