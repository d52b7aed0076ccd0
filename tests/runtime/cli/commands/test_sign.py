"""`kart sign` signs what was stored without a key, and an accepted output is signed as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from kart_runtime.history.records import forget_records

KEY = "0123456789abcdef-of-the-tests"


@pytest.fixture
def unsigned(small_project, kart, monkeypatch):
    """Return the folder of a project that has run without a key, which is set now."""
    root = Path(small_project())
    assert kart("run").code == 0
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)
    forget_records()
    return root


def signatures(root):
    return sorted(path.name for path in root.glob("outputs/**/*.sig"))


def test_outputs_are_signed_after_they_were_listed(unsigned, kart):
    refused = kart("run", "Total")
    assert refused.code == 2
    assert "it is not signed" in refused.err
    assert "kart sign" in refused.err

    listed = kart("sign", "Total")
    assert (listed.code, signatures(unsigned)) == (0, [])
    assert "Dry run: would sign 2 outputs" in listed.lines[-1]

    forget_records()
    signed = kart("sign", "Total", "--yes")
    assert signed.code == 0, signed.err
    assert len(signatures(unsigned)) == 2

    forget_records()
    assert kart("run", "Total").code == 0
    forget_records()
    assert kart("sign", "Total").out.strip() == "Nothing to sign."


def test_without_a_key_there_is_nothing_to_sign_with(unsigned, kart, monkeypatch):
    monkeypatch.delenv("KART_SIGNING_KEY")
    typed = kart("sign")
    assert typed.code == 2
    assert "KART_SIGNING_KEY: no key is set" in typed.err


def test_an_output_that_was_accepted_is_signed(small_project, kart, monkeypatch):
    monkeypatch.setenv("KART_SIGNING_KEY", KEY)
    root = Path(small_project())
    assert kart("run").code == 0
    output = next(path for path in root.glob("outputs/**/Numbers_*.pkl") if "log" not in path.parts)
    output.write_bytes(b"\x80\x05]\x94(K\x01K\x02e.")
    forget_records()

    refused = kart("run", "run.code_changed=rerun", "run.on_corrupt=error", "Total", "--rerun")
    assert "altered after it was signed" in refused.err + refused.out

    forget_records()
    assert kart("accept").code == 0
    forget_records()
    assert kart("run", "Total", "--rerun").code == 0
