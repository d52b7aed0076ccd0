"""gokart's names of luigi's worker; it is luigi's own, and `kart_runtime.luigi_bridge` adds what gokart's added."""

from luigi.worker import ContextManagedTaskProcess, KeepAliveThread, TaskProcess, Worker, worker

__all__ = ["ContextManagedTaskProcess", "KeepAliveThread", "TaskProcess", "Worker", "worker"]
