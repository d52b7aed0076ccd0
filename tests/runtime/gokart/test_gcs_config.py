"""gokart's settings of GCS reach luigi's client, for who still uses it."""

from __future__ import annotations

import json

import luigi
import luigi.contrib.gcs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kart_runtime.gokart.gcs_config import GCSConfig


@pytest.fixture(scope="module")
def key():
    """The JSON of a service account's key."""
    secret = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    address = "me@project.iam.gserviceaccount.com"
    return json.dumps(
        {
            "type": "service_account",
            "client_email": address,
            "private_key": secret.decode(),
            "token_uri": "https://127.0.0.1/token",
        }
    )


@pytest.fixture
def given(monkeypatch):
    """The credentials that luigi's client is made with; Google's library for it is not needed for that."""
    made = []
    monkeypatch.setattr(luigi.contrib.gcs, "GCSClient", lambda oauth_credentials: made.append(oauth_credentials))
    monkeypatch.setattr("kart_runtime.gokart.gcs_config.find_spec", lambda _: True)
    return made


def test_without_the_variable_googles_own_credentials_count(given, monkeypatch):
    monkeypatch.delenv("GCS_CREDENTIAL", raising=False)
    GCSConfig().get_gcs_client()
    assert given == [None]


@pytest.mark.parametrize("as_file", [True, False])
def test_the_variable_holds_a_key_or_where_it_lies(given, key, monkeypatch, tmp_path, as_file):
    (tmp_path / "key.json").write_text(key)
    monkeypatch.setenv("TEAM_KEY", str(tmp_path / "key.json") if as_file else f"\n{key}")
    luigi.configuration.get_config().set("GCSConfig", "gcs_credential_name", "TEAM_KEY")
    GCSConfig().get_gcs_client()
    assert [one.service_account_email for one in given] == ["me@project.iam.gserviceaccount.com"]


def test_without_its_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("kart_runtime.gokart.gcs_config.find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install google-api-python-client"):
        GCSConfig().get_gcs_client()
