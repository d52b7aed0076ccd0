"""gokart's names of targets in memory."""

from kart_runtime.storage.memory_target import InMemoryCacheRepository, InMemoryTarget, make_in_memory_target

__all__ = ["InMemoryCacheRepository", "InMemoryTarget", "make_in_memory_target"]
