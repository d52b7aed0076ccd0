"""gokart's name of the repository of values in memory."""

from kart_runtime.storage.memory_target import InMemoryCacheRepository

__all__ = ["InMemoryCacheRepository"]
