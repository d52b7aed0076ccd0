"""Fixtures for every test: a separate output folder, the environment `ci`, no network."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest
from kart_runtime.project import Session, open_project

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Iterator[Session]:
    """Configure the project for this test; `session.task("TrainModel")` returns a task class by name."""
    with open_project(PROJECT, env="ci", overrides=[f"run.workspace={tmp_path}/"]) as opened:
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


@pytest.fixture(scope="session")
def tumors() -> pd.DataFrame:
    """Return all labeled rows; copy them before you change any."""
    return pd.read_csv(PROJECT / "data" / "tumors.csv")
