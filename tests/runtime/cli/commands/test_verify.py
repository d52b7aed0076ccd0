"""`kart verify`: damaged outputs are found, named and, on request, deleted."""

from __future__ import annotations

import pytest


def output_of(root, task):
    return next(path for path in root.glob(f"outputs/**/{task}_*.pkl") if "log" not in path.parts)


def test_an_intact_workspace_passes(small_project, kart):
    small_project()
    assert kart("verify").lines == ["Checked 0 outputs (0 bytes): 0 damaged"]
    kart("run")
    typed = kart("verify")
    assert typed.code == 0
    assert typed.lines[-1].endswith(": 0 damaged")


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]]
)
def test_a_damaged_output_is_named_and_deleted(small_project, kart, damage):
    root = small_project()
    kart("run")
    path = output_of(root, "Total")
    path.write_bytes(damage(path.read_bytes()))
    typed = kart("verify")
    assert typed.code == 1
    assert "Total_" in typed.lines[0]
    assert "1 damaged" in typed.lines[-1]
    assert path.exists()
    assert kart("verify", "Numbers").code == 0
    assert kart("verify", "--fix").code == 0
    assert not path.exists()
    assert kart("verify").code == 0
    assert kart("run", "Total").code == 0
    assert path.exists()
