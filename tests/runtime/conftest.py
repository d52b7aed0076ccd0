"""What every test of the engine gets: an empty folder to work in, and nothing left over from other tests."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

import luigi
import pytest
from luigi import task_register

from kart_runtime.errors.secrets import forget_secrets
from kart_runtime.gokart import config_files
from kart_runtime.history.cleanup import notice
from kart_runtime.history.records import forget_records
from kart_runtime.storage import time_limits
from kart_runtime.storage.stores import s3_client
from kart_runtime.task import input_file
from kart_runtime.task.parameters import set_overrides
from tests.runtime.servers import (
    Proxy,
    environment,
    gcs_server,
    make_bucket,
    postgresql_server,
    redis_server,
    s3_server,
)


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch, request):
    """Work in an empty folder, with an empty registry of task objects, no overrides and kart's own event handlers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KART_CACHE_DIR", f"{tmp_path}-cache")
    monkeypatch.setattr(notice, "GRACE_SECONDS", 0.05)  # for a store that takes no time
    before = set_overrides({})
    forget_records()
    forget_secrets()
    config_files._unchecked.clear()
    input_file._known.clear()
    input_file._contents.clear()
    handlers = luigi.Task._event_callbacks.items()
    kept = {cls: {event: set(calls) for event, calls in events.items()} for cls, events in handlers}
    monkeypatch.setattr(luigi.Task, "_event_callbacks", kept)
    classes = list(task_register.Register._reg)
    # Other test modules have classes of the same names, which would be ambiguous where a task is found by its name.
    ours = (request.module.__name__, "luigi", "kart_runtime")
    task_register.Register._reg[:] = [cls for cls in classes if cls.__module__.startswith(ours)]
    task_register.Register.clear_instance_cache()
    yield
    set_overrides(before)
    task_register.Register._reg[:] = classes
    luigi.configuration.LuigiConfigParser._instance = None


# -- services: each process of the tests has its own, and each test its own bucket -----------------------------------


class Bucket(NamedTuple):
    """An empty bucket that the environment variables lead to.

    Attributes
    ----------
    proxy
        What stands before its server: it counts requests, slows them down, and lets them fail.
    name
        Its name.
    url
        Its url, without a slash at the end.
    """

    proxy: Proxy
    name: str
    url: str


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def _s3():
    with s3_server() as proxy:
        make_bucket(proxy, "bucket")
        yield proxy


@pytest.fixture(scope="session")
def _gcs():
    with gcs_server() as proxy:
        make_bucket(proxy, "bucket")
        yield proxy


@pytest.fixture
def s3(_s3, monkeypatch):
    """An S3 that the environment variables lead to, with a bucket "bucket" that all tests share."""
    return _found(_s3, monkeypatch)


@pytest.fixture
def gcs(_gcs, monkeypatch):
    """A GCS that the environment variables lead to, with a bucket "bucket" that all tests share."""
    return _found(_gcs, monkeypatch)


@pytest.fixture(scope="session")
def redis_port():
    """The port of a redis server; what lies in it is shared by all tests."""
    with redis_server() as port:
        yield port


@pytest.fixture(scope="session")
def postgresql_url():
    """The url of a PostgreSQL server, with a password; what lies in it is shared by all tests."""
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["local", "memory", "s3"])
def workspace(request, tmp_path):
    """An empty workspace of each kind of store."""
    name = f"w{os.getpid()}_{next(_numbers)}"
    if request.param == "local":
        return str(tmp_path / "workspace")
    if request.param == "memory":
        return f"memory://{name}"
    request.getfixturevalue("s3")
    return f"s3://bucket/{name}"


@pytest.fixture
def short_tries(monkeypatch):
    """Tries that end after a second, with pauses of milliseconds; a loaded machine may still answer slowly."""
    short = time_limits.TimeLimits(total=2.0, connect=10.0, silence=30.0, tries=1.0)
    monkeypatch.setattr(time_limits, "limits_for", lambda _: short)
    monkeypatch.setattr(s3_client, "limits_for", lambda _: short)
    monkeypatch.setenv("KART_NETWORK_TIMEOUT", "59.5")  # clients of their own


@pytest.fixture
def s3_bucket(_s3, monkeypatch):
    """A bucket of moto's S3."""
    return _bucket("s3", _s3, monkeypatch)


@pytest.fixture
def gcs_bucket(_gcs, monkeypatch):
    """A bucket of a GCS that keeps its promises."""
    return _bucket("gs", _gcs, monkeypatch)


@pytest.fixture(params=["s3", "gcs"])
def bucket(request):
    """A bucket of either service."""
    return request.getfixturevalue(f"{request.param}_bucket")


def _bucket(scheme, proxy, monkeypatch):
    name = f"bucket-{next(_numbers)}"
    make_bucket(proxy, name)
    return Bucket(_found(proxy, monkeypatch), name, f"{scheme}://{name}")


def _found(proxy, monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(proxy).items():
        monkeypatch.setenv(name, value)
    proxy.reset()
    return proxy
