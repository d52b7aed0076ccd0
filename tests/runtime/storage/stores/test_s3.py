"""What is S3's own: where its client finds service and credentials, and what lies beside the objects."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import luigi
import pytest

from kart_runtime.errors import ConfigError, RequestFailed
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import s3_client
from kart_runtime.storage.stores.s3 import S3Store


@pytest.fixture
def store(s3_bucket):
    return store_for(s3_bucket.url)[0]


def test_each_method_is_one_request(store, s3_bucket):
    key, proxy = f"{s3_bucket.name}/ws/x", s3_bucket.proxy
    version = store.create(key, b"0")
    for kind, ask in (
        ("put", lambda: store.replace(key, b"1", version)),
        ("put", lambda: store.put(key, b"2")),
        ("head", lambda: store.stat(key)),
        ("get", lambda: store.open(key).close()),
        ("get", lambda: store.read(key)),
        ("list", lambda: list(store.list(f"{s3_bucket.name}/ws"))),
        ("put", lambda: store.create(key, b"2")),
        ("delete", lambda: store.delete_many([key, f"{key}2"])),
    ):
        proxy.reset()
        ask()
        assert dict(proxy.count()) == {kind: 1}


def test_gokarts_names_of_the_keys_are_used(store, s3_bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RequestFailed, match=r"Unable to locate credentials\. Set AWS_PROFILE, or"):
        store.put(f"{s3_bucket.name}/x", b"1")
    monkeypatch.setenv("OUR_KEY", "another-key")
    monkeypatch.setenv("OUR_SECRET", "another-secret")
    Path("luigi.cfg").write_text("[S3Config]\naws_access_key_id_name=OUR_KEY\naws_secret_access_key_name=OUR_SECRET\n")
    luigi.configuration.add_config_path("luigi.cfg")
    monkeypatch.setattr(luigi.configuration.LuigiConfigParser, "_config_paths", ["luigi.cfg"])
    luigi.configuration.LuigiConfigParser.reload()
    store.put(f"{s3_bucket.name}/x", b"1")
    assert "Credential=another-key/" in s3_bucket.proxy.requests[-1].headers["Authorization"]


def test_an_endpoint_that_is_none_is_refused(store, s3_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(ConfigError, match=r"AWS_ENDPOINT_URL: .*expected https?://"):
        store.open(f"{s3_bucket.name}/x")


def test_a_profile_that_is_not_there_is_an_error_that_names_the_object(store, s3_bucket, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    for ask in (store.stat, store.open):
        with pytest.raises(RequestFailed, match=r"s3://.*\(nobody\) could not be found"):
            ask(f"{s3_bucket.name}/x")


def test_a_version_is_removed_in_two_steps_where_the_service_knows_no_condition(store, s3_bucket, monkeypatch):
    key, deleted, delete = f"{s3_bucket.name}/x", [], S3Store._delete

    def without_conditions(self, key, **condition):
        deleted.append(condition)
        if condition:
            try:
                raise _NotImplemented
            except _NotImplemented as error:
                raise RequestFailed(self.url(key), "delete", "501") from error
        delete(self, key)

    monkeypatch.setattr(S3Store, "_delete", without_conditions)
    version = store.create(key, b"1")
    assert store.delete_version(key, version) is True
    assert deleted == [{"IfMatch": version}, {}]
    assert store.read(key) is None


class _NotImplemented(Exception):
    response: ClassVar[dict[str, dict[str, str]]] = {"Error": {"Code": "NotImplemented"}}


def test_only_what_is_unfinished_in_a_folder_is_discarded(store, s3_bucket):
    for name in ("ws/a", "ws/b/c", "ws2/a"):
        s3_client.client().create_multipart_upload(Bucket=s3_bucket.name, Key=name)
    folder = f"{s3_bucket.name}/ws"
    assert store.unfinished(folder, 0) == []
    found = store.unfinished(folder, time.time())
    assert [upload.key for upload in found] == [f"{folder}/a", f"{folder}/b/c"]
    assert [store.discard(upload) for upload in found] == [True, True]
    assert [store.discard(upload) for upload in found] == [False, False]
    assert store.unfinished(folder, time.time()) == []
    assert len(store.unfinished(f"{folder}2", time.time())) == 1


def test_a_folder_of_the_console_is_no_object(store, s3_bucket):
    store.put(f"{s3_bucket.name}/ws/", b"")
    store.put(f"{s3_bucket.name}/ws/x", b"")
    assert [found.key for found in store.list(f"{s3_bucket.name}/ws")] == [f"{s3_bucket.name}/ws/x"]


# -- processes: for both services ------------------------------------------------------------------------------------

FORK = """
import os, sys
from kart_runtime.storage.registry import store_for
store, folder = store_for(sys.argv[1])

def use(name):
    for number in range(40):
        key = f"{folder}/{name}/{number % 5}"
        store.put(key, f"{name} {number}".encode())
        with store.open(key) as file:
            assert file.read() == f"{name} {number}".encode()

use("before")
children = []
for name in ("a", "b"):
    child = os.fork()
    if not child:
        use(name)
        os._exit(0)
    children.append(child)
use("parent")
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
"""


def test_forked_processes_have_clients_of_their_own(bucket):
    done = subprocess.run([sys.executable, "-c", FORK, f"{bucket.url}/ws"], timeout=60, check=False)
    assert done.returncode == 0


def _use(url, name):
    store, folder = store_for(url)

    def one(number):
        key = f"{folder}/{name}-{number}"
        with store.write(key) as file:
            file.write(key.encode() * 1000)
        with store.open(key) as file:
            return file.read() == key.encode() * 1000

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(one, range(16)))


def test_processes_with_threads_use_one_bucket(bucket):
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        found = [processes.submit(_use, f"{bucket.url}/ws", name) for name in "ab"]
        assert all(all(future.result()) for future in [*found])
    assert _use(f"{bucket.url}/ws", "c") == [True] * 16
    store, folder = store_for(f"{bucket.url}/ws")
    assert len(list(store.list(folder))) == 48
