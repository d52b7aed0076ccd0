"""Fixtures for every test: a separate output folder, the environment `ci`, no network, no `.env`."""

import os
import socket
from typing import NoReturn

import pytest
from kart_runtime.project import Session

os.environ |= {"KART_ENV": "ci", "KART_ENV_FILE": ""}  # what this machine sets, or has in .env, is not tested


@pytest.fixture(autouse=True)
def session(kart_session: Session) -> Session:
    """Configure the project for this test; `session.task("RunAll")` returns a task class by name."""
    return kart_session


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
