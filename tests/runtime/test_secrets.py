"""What is secret is replaced by its value wherever it stands in a text, and nothing else is."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kart_runtime import SecretParameter, TaskOnKart
from kart_runtime.errors import described, trace_of
from kart_runtime.errors.secrets import forget_secrets, masked, masked_values, note_password, note_secret
from kart_runtime.task.parameters import Override, overriding


@given(st.text(min_size=8).filter(lambda text: len(text.strip()) >= 8), st.text(), st.text())
def test_a_secret_is_found_in_every_form(secret, before, after):
    forget_secrets()
    note_secret(secret)
    secret = secret.strip()
    forms = (secret, quote(secret, safe=""), json.dumps(secret), repr(secret), f"token{secret}x")
    for form in forms:
        assert secret not in masked(f"{before}{form}{after}") or secret in f"{before}***{after}"
    assert secret not in json.dumps(masked_values({secret: [secret, {"a": (secret,)}], "n": 1}), ensure_ascii=False)


def test_a_short_secret_is_replaced_as_a_word_only():
    note_secret("prod")
    assert masked("prod of product: prod, (prod) x_prod https://prod.example/prod1") == (
        "*** of product: ***, (***) x_*** https://***.example/prod1"
    )


@pytest.mark.parametrize("value", ["", "abc", None, 12345678, b"bytes-bytes"])
def test_what_is_no_text_or_too_short_is_no_secret(value):
    note_secret(value)
    assert masked("abc 12345678 bytes-bytes") == "abc 12345678 bytes-bytes"


def test_secrets_in_lists_and_maps_and_lines_of_a_key():
    note_secret({"a": ["first-secret", ("second-secret",)], "b": "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n"})
    assert masked("first-secret second-secret") == "*** ***"
    assert masked("the key is MIIEvQIBADANBgkq") == "the key is ***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:pw@host:5/db, gone", "at postgresql://me:***@host:5/db, gone"),
        ("redis://:a%2Fb@h:1", "redis://:***@h:1"),
        ("s3://bucket/a@b and me@x.example:80", "s3://bucket/a@b and me@x.example:80"),
        ("https://x.example/a:b/c@d", "https://x.example/a:b/c@d"),
        ("two http://a:b@c http://d:e@f", "two http://a:***@c http://d:***@f"),
    ],
)
def test_a_password_in_a_url_is_replaced(text, shown):
    assert masked(text) == shown


def test_a_password_in_a_configured_url_is_replaced_elsewhere_too():
    note_password("postgresql://me:pa%20ss-word@host/db")
    assert masked("no access with 'pa ss-word' or pa%20ss-word") == "no access with '***' or ***"


class Uses(TaskOnKart[int]):
    key = SecretParameter(default="Bearer ${oc.env:USES_KEY}")

    def run(self):
        self.dump(1)


def test_what_a_secret_parameter_returns_is_a_secret_from_then_on(monkeypatch):
    monkeypatch.setenv("USES_KEY", "abcdefgh1234")
    assert masked("abcdefgh1234") == "abcdefgh1234"
    assert Uses().key == "Bearer abcdefgh1234"
    error = ValueError("with abcdefgh1234", "Bearer abcdefgh1234")
    assert "abcdefgh" not in described(error) + trace_of(error)


def test_what_the_configuration_marks_is_a_secret(tmp_path):
    values = {"a": "configured-secret", "b": "8080", "c": "true", "d": str(tmp_path), "e": 123456789}
    overrides = {name: Override(value, "conf/base/x.yaml:1", secret=True) for name, value in values.items()}
    with overriding({Uses: {**overrides, "f": Override("plain-value", "conf/base/x.yaml:2")}}):
        text = f"configured-secret 8080 true {tmp_path} 123456789 plain-value"
        assert masked(text) == f"*** 8080 true {tmp_path} 123456789 plain-value"
