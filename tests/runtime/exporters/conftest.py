"""No exporter has an address that it was not given by the test."""

from __future__ import annotations

import os

import pytest

_PREFIXES = ("MLFLOW_", "OPENLINEAGE_", "OTEL_", "KART_WEBHOOK_")


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch):
    for name in list(os.environ):
        if name.startswith(_PREFIXES):
            monkeypatch.delenv(name)
    yield
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE_")]:
        del os.environ[name]  # which its client has set
