"""gokart's name of what keeps values in memory."""

from kart_runtime.storage.memory_target import InMemoryCacheRepository

__all__ = ["InMemoryCacheRepository"]
