"""Edits are made in the bytes they name."""

from __future__ import annotations

from kart_runtime.migrate.edits import Edit, applied


def test_edits_in_any_order_are_made_where_they_are():
    assert applied(b"a b c", [Edit(4, 5, "é"), Edit(0, 1, "xy"), Edit(2, 2, "+")]) == "xy +b é".encode()


def test_without_edits_nothing_changes():
    assert applied(b"a b c", []) == b"a b c"
