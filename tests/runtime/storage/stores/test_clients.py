"""One client serves all threads of a process; a changed environment, and a fork, get another."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kart_runtime.storage.stores.clients import Clients


def slowly(*_):
    time.sleep(0.05)
    return object()


def test_threads_share_one_client():
    clients = Clients()
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: clients.get(slowly), range(8)))) == 1


def test_another_environment_is_another_client(monkeypatch):
    clients = Clients("KART_TEST_ENDPOINT")
    first = clients.get(slowly, "key")
    monkeypatch.setenv("KART_TEST_ENDPOINT", "http://127.0.0.1:1")
    second = clients.get(slowly, "key")
    third = clients.get(slowly, "another key")
    assert len({first, second, third}) == 3
    monkeypatch.delenv("KART_TEST_ENDPOINT")
    assert clients.get(slowly, "key") is first


def test_a_client_that_could_not_be_made_is_tried_again():
    clients = Clients()
    made = iter([ZeroDivisionError(), "client"])

    def make():
        found = next(made)
        if isinstance(found, Exception):
            raise found
        return found

    with pytest.raises(ZeroDivisionError):
        clients.get(make)
    assert clients.get(make) == "client"


def test_a_fork_has_none_of_its_parent():
    clients = Clients()
    first = clients.get(slowly)
    child = os.fork()
    if not child:
        os._exit(0 if clients.get(lambda: "its own") == "its own" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert clients.get(slowly) is first
