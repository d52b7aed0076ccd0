"""What is GCS's own: where credentials come from, resumable uploads, an emulator that tells less than the service."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import luigi
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kart_runtime.errors import ConfigError, RequestFailed
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import gcs_client
from kart_runtime.storage.stores.clients import Clients
from kart_runtime.storage.stores.gcs import GCSStore
from tests.runtime.servers import Given

MIB = 1 << 20


@pytest.fixture
def store(gcs_bucket, short_tries):
    return store_for(gcs_bucket.url)[0]


def test_each_method_is_one_request(store, gcs_bucket):
    key, proxy = f"{gcs_bucket.name}/ws/x", gcs_bucket.proxy
    version = store.create(key, b"0")
    for kind, ask in (
        ("put", lambda: store.put(key, b"1", {"label": "text"})),
        ("head", lambda: store.stat(key)),
        ("get", lambda: store.open(key).close()),
        ("list", lambda: list(store.list(f"{gcs_bucket.name}/ws"))),
        ("put", lambda: store.create(key, b"2")),
        ("put", lambda: store.replace(key, b"2", version)),
        ("delete", lambda: store.delete_version(key, version)),
        ("delete", lambda: store.delete(key)),
    ):
        proxy.reset()
        ask()
        assert dict(proxy.count()) == {kind: 1}


def test_a_large_object_costs_a_request_for_each_part_one_before_and_one_for_its_version(store, gcs_bucket):
    with store.write(f"{gcs_bucket.name}/x") as file:
        file.write(bytes(20 * MIB))
    assert dict(gcs_bucket.proxy.count()) == {"post": 1, "put": 3, "head": 1}
    uploads = [asked for asked in gcs_bucket.proxy.requests if asked.kind != "head"]
    assert not any("%2F" not in asked.path and "/o/" in asked.path for asked in uploads)


def test_bytes_that_changed_on_the_way_are_an_error_and_no_object(store, gcs_bucket, monkeypatch):
    passed_on = gcs_bucket.proxy.passed_on

    def changed(asked):
        body = asked.body[:-100] + b"?" + asked.body[-99:] if len(asked.body) > 1000 else asked.body
        return passed_on(asked._replace(body=body))

    monkeypatch.setattr(gcs_bucket.proxy, "passed_on", changed)
    for size in (5000, 20 * MIB):
        with pytest.raises(RequestFailed, match="could not write it"), store.write(f"{gcs_bucket.name}/x") as file:
            file.write(bytes(size))
        assert store.stat(f"{gcs_bucket.name}/x") is None


@pytest.mark.parametrize(("field", "damaged"), [("timeCreated", "2026-11-28T06:08;34Z"), ("size", "5!")])
def test_a_damaged_answer_is_an_error_that_names_the_object(store, gcs_bucket, monkeypatch, field, damaged):
    key, passed_on = f"{gcs_bucket.name}/x", gcs_bucket.proxy.passed_on
    store.put(key, b"bytes")

    def changed(asked):
        answer = passed_on(asked)
        if asked.kind != "head":
            return answer
        fields = json.loads(answer.body)
        return answer._replace(body=json.dumps({**fields, field: damaged}).encode())

    monkeypatch.setattr(gcs_bucket.proxy, "passed_on", changed)
    with pytest.raises(RequestFailed, match=rf"{key}.*the answer cannot be read"):
        store.stat(key)


@pytest.mark.parametrize("how", ["page", "away"])
def test_a_server_of_tokens_that_gives_none_is_named(gcs_bucket, monkeypatch, how):
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    address = gcs_bucket.proxy.url if how == "page" else "http://127.0.0.1:1"
    account = {"type": "service_account", "private_key": key.decode(), "client_email": "a@b", "token_uri": address}
    monkeypatch.setenv("GCS_CREDENTIAL", json.dumps(account))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("KART_NETWORK_TIMEOUT", "1")
    monkeypatch.setattr(gcs_bucket.proxy, "answer", lambda _: Given(200, {}, b"<html>Please log in</html>"))
    with pytest.raises(RequestFailed, match=f"reach {address}, which gives tokens") as caught:
        store_for("gs://bucket")[0].stat("bucket/x")
    assert "STORAGE_EMULATOR_HOST" not in str(caught.value)


def test_an_emulator_that_tells_nothing_beside_the_bytes_can_be_used(store, gcs_bucket, monkeypatch):
    answer = gcs_bucket.proxy.answer

    def bare(asked):
        given = answer(asked)
        hidden = {"x-goog-generation", "last-modified", "x-goog-stored-content-length"}
        return given._replace(
            headers={name: text for name, text in given.headers.items() if name.lower() not in hidden}
        )

    monkeypatch.setattr(gcs_bucket.proxy, "answer", bare)
    key = f"{gcs_bucket.name}/x"
    version = store.create(key, b"1")
    assert store.read(key)[:2] == (b"1", version)
    assert 0 <= store.read(key).age < 5
    assert store.replace(key, b"2", version) is not None
    for size in (3, 9 * MIB):
        with store.write(key) as file:
            file.write(bytes(size))
        for _ in range(2):
            with store.open(key) as file:
                assert file.read() == bytes(size)


# -- credentials -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": "somebody@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",
    }


@pytest.fixture
def _real(monkeypatch):
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GCS_CREDENTIAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", os.getcwd())
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setattr(gcs_client, "_clients", Clients())
    monkeypatch.setenv("KART_NETWORK_TIMEOUT", "1")


def _email():
    return gcs_client.client()._credentials.service_account_email


@pytest.mark.usefixtures("_real")
@pytest.mark.parametrize("as_path", [False, True])
@pytest.mark.parametrize("name", ["GCS_CREDENTIAL", "OUR_CREDENTIAL"])
def test_gokarts_variable_holds_an_account_or_its_path(account, monkeypatch, as_path, name):
    text = json.dumps(account)
    Path("account.json").write_text(text)
    monkeypatch.setenv(name, "account.json" if as_path else text)
    if name != "GCS_CREDENTIAL":
        Path("luigi.cfg").write_text(f"[GCSConfig]\ngcs_credential_name={name}\n")
        monkeypatch.setattr(luigi.configuration.LuigiConfigParser, "_config_paths", ["luigi.cfg"])
        luigi.configuration.LuigiConfigParser.reload()
    assert _email() == account["client_email"]
    assert GCSStore().service_id() == "https://storage.googleapis.com"


@pytest.mark.usefixtures("_real")
def test_googles_own_variable_is_used(account, monkeypatch):
    Path("account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(Path("account.json").absolute()))
    assert _email() == account["client_email"]


@pytest.mark.usefixtures("_real")
@pytest.mark.parametrize("text", ['{"secret": 1', '{"secret": 1}', "secret.json"])
def test_what_is_no_account_is_refused_and_not_shown(monkeypatch, text):
    monkeypatch.setenv("GCS_CREDENTIAL", text)
    with pytest.raises(ConfigError, match="GCS_CREDENTIAL: no service account") as caught:
        GCSStore().stat("bucket/x")
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("_real")
def test_no_credentials_are_an_error_that_says_what_to_set():
    for ask in (GCSStore().stat, GCSStore().open, GCSStore().read):
        with pytest.raises(RequestFailed, match=r"gs://.*GOOGLE_APPLICATION_CREDENTIALS, gcloud auth"):
            ask("bucket/x")


@pytest.mark.usefixtures("_real")
def test_credentials_that_are_not_accepted_are_an_error_that_names_the_object(account, monkeypatch):
    monkeypatch.setenv("GCS_CREDENTIAL", json.dumps(account))  # nobody gives tokens there
    with pytest.raises(RequestFailed, match=r"gs://bucket/x: could not look for it"):
        GCSStore().stat("bucket/x")


def test_an_emulator_without_a_scheme_is_found(store, gcs_bucket, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_bucket.proxy.url.removeprefix("http://"))
    store.put(f"{gcs_bucket.name}/x", b"1")
    assert store.read(f"{gcs_bucket.name}/x").data == b"1"


def test_a_write_that_nobody_ends_never_becomes_an_object(store, gcs_bucket, monkeypatch):
    monkeypatch.setattr("kart_runtime.storage.stores.upload.PART", 256 << 10)
    writing = store.write(f"{gcs_bucket.name}/x")
    writing.__enter__().write(bytes(600 << 10))  # and then the program forgets it
    writing._file.close()  # Python warns of files that are not closed
    del writing
    gc.collect()
    assert store.stat(f"{gcs_bucket.name}/x") is None


def test_an_upload_that_cannot_be_given_up_never_becomes_an_object(store, gcs_bucket, monkeypatch):
    monkeypatch.setattr("kart_runtime.storage.stores.upload.PART", 256 << 10)
    gcs_bucket.proxy.fail("503", kind="put", times=1000, after=1)
    gcs_bucket.proxy.fail("503", kind="delete", times=1000)
    with pytest.raises(RequestFailed), store.write(f"{gcs_bucket.name}/x") as file:
        file.write(bytes(600 << 10))
    assert gcs_bucket.proxy.count()["delete"]
    gc.collect()
    assert store.stat(f"{gcs_bucket.name}/x") is None
