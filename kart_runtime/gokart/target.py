"""gokart's names of targets."""

from kart_runtime.storage.codecs.large_frames import LargeDataFrameProcessor
from kart_runtime.storage.target import Target as ModelTarget
from kart_runtime.storage.target import Target as SingleFileTarget
from kart_runtime.storage.target import Target as TargetOnKart
from kart_runtime.storage.target import make_model_target, make_target

__all__ = [
    "LargeDataFrameProcessor",
    "ModelTarget",
    "SingleFileTarget",
    "TargetOnKart",
    "make_model_target",
    "make_target",
]
