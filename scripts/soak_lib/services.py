"""Servers of a soak: S3 and GCS behind proxies that fail, and a redis that can be killed. Each starts when needed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.runtime import servers

_BUCKET = "soak"
_HOWS = ("503", "cut", "cut answer", "lost")


class Services:
    """Starts servers, hands out workspaces, and ends only what it has started."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._proxies: dict[str, Any] = {}
        self._redis: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        if self._redis is not None:
            self._redis.kill()
            self._redis.wait()

    def workspace(self, store: str, seed: int) -> str:
        """Return the url of an empty workspace."""
        self._proxy(store)
        return f"{store}://{_BUCKET}/{seed}-{time.time_ns()}"

    def _proxy(self, store: str) -> Any:
        if store not in self._proxies:
            server = servers.s3_server() if store == "s3" else servers.gcs_server()
            proxy = self._proxies[store] = self._stack.enter_context(server)
            servers.make_bucket(proxy, _BUCKET)
        return self._proxies[store]

    def environment(self, store: str) -> dict[str, str]:
        """Return the variables by which clients find a store."""
        return servers.environment(self._proxy(store)) if store != "local" else {}

    def disturb(self, store: str, dice: random.Random) -> None:
        """Let some requests fail from now on."""
        for how in dice.sample(_HOWS, 2):
            self._proxy(store).fail(how, times=dice.randint(1, 4), after=dice.randint(0, 20))

    def disturbances(self, store: str) -> int:
        """Return how many requests have failed since the last call of `heal`."""
        proxy = self._proxies.get(store)
        return sum(proxy.delivered.values()) if proxy is not None else 0

    def heal(self) -> None:
        """Let all requests pass again."""
        for proxy in self._proxies.values():
            proxy.reset()

    # -- redis -------------------------------------------------------------------------------------------------------

    def redis_url(self) -> str:
        """Return the address of the redis server."""
        if self._redis is None:
            self._port = servers._free_port()
            self._start_redis()
        return f"redis://127.0.0.1:{self._port}"

    def _start_redis(self) -> None:
        command = [shutil.which("redis-server") or "redis-server", "--port", str(self._port), "--bind", "127.0.0.1"]
        self._redis = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL, cwd=Path(os.sep)
        )
        servers._wait_for(self._port, self._redis)

    def restart_redis(self, seconds: float) -> None:
        """Kill the server, with all that it knows, and start it again after some seconds."""
        if self._redis is not None:
            self._redis.kill()
            self._redis.wait()
            time.sleep(seconds)
            self._start_redis()
