"""gokart's name of what keeps values in memory."""

from kart_runtime.memory_targets import InMemoryCacheRepository

__all__ = ["InMemoryCacheRepository"]
