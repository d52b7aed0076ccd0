"""Fixtures for every test: a separate output folder, the environment `ci`, no network, no `.env`."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from kart_runtime.project import Session, open_project

os.environ["KART_ENV_FILE"] = ""  # what this machine has in .env is not tested


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[Session]:
    """Configure the project for this test; `session.task("RunAll")` returns a task class by name."""
    with open_project(Path(__file__), env="ci", overrides=[f"run.workspace={tmp_path}/"]) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block the network: host names are not resolved, and only Unix sockets can connect."""
    connect = socket.socket.connect

    def refuse(host: object, *_: object, **__: object) -> NoReturn:
        raise RuntimeError(f"a test connects to {host!r}: tests run without the network")

    def connect_locally(self: socket.socket, address: object) -> None:
        connect(self, address if isinstance(address, str | bytes) else refuse(address))

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", connect_locally)
