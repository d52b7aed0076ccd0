"""Every test: outputs in a folder of its own, the configuration of the environment `ci`, no network."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kart_runtime.project import Session, open_project


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[Session]:
    """The project, configured for this test; `session.task("TrainModel")` is a task class by its name."""
    with open_project(Path(__file__), env="ci", overrides=[f"run.workspace={tmp_path}/"]) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way out fails: host names are not looked up, and only sockets that are files can be connected."""
    connect = socket.socket.connect

    def refuse(host: Any, *_: Any, **__: Any) -> Any:
        raise RuntimeError(f"a test connects to {host!r}: tests run without the network")

    def connect_locally(self: socket.socket, address: Any) -> None:
        connect(self, address if isinstance(address, str | bytes) else refuse(address))

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", connect_locally)
