"""Does a build outlive a failure of any one operation of its store, and does the check notice a broken store?"""

from __future__ import annotations

import json
import sys

import pytest

from tests.faults import stores


@pytest.mark.parametrize(
    ("store", "every", "hows"),
    [("local", 60, ()), ("s3", 20, ("503 SlowDown", "lost")), ("gs", 20, ("cut answer", "403 AccessDenied"))],
)
def test_a_failure_of_one_operation_is_survived_or_told(store, every, hows):
    found = stores.check(store, every=every, seed=3, hows=hows)
    assert sum(found["delivered"].values()) > 0
    assert found["bad"] == []


@pytest.mark.parametrize(("broken", "only"), [("half", "replace"), ("swallow", "write")])
def test_a_store_that_loses_bytes_is_noticed(broken, only, monkeypatch, capsys):
    words = ["stores", "--store", "local", "--every", "3", "--seed", "3", "--json", "--broken", broken, "--only", only]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        stores.main()
    assert ended.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert sum(found["delivered"].values()) > 0
    assert any("WRONG" in case for case in found["bad"])
