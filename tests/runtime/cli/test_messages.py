"""How mistakes are shown."""

from __future__ import annotations

from kart_runtime.cli.messages import explain
from kart_runtime.errors import ConfigError


def test_a_mistake_without_a_place_has_no_colon_before_it():
    text = explain(ConfigError("wrong", suggestion="right"))
    assert text == "error: wrong\n       did you mean 'right'?\n1 problem; nothing was run or changed."
