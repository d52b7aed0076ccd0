"""Does a build outlive a failure of any one operation of its store, and does the check notice a broken store?"""

from __future__ import annotations

import sys

import pytest

from tests.faults import stores


@pytest.mark.parametrize(
    ("store", "every", "hows"),
    [("local", 25, ()), ("s3", 15, ("503 SlowDown", "lost")), ("gs", 15, ("cut answer", "403 AccessDenied"))],
)
def test_a_failure_of_one_operation_is_survived_or_told(store, every, hows):
    found = stores.check(store, every=every, seed=3, hows=hows)
    assert sum(found["delivered"].values()) > 0
    assert found["bad"] == []


def test_a_store_that_stores_half_of_the_bytes_is_noticed():
    found = stores.check("local", every=80, seed=3, broken="half")
    assert sum(found["delivered"].values()) > 0
    assert found["bad"]


def test_the_command_ends_with_what_it_found(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stores", "--store", "local", "--every", "90", "--json"])
    with pytest.raises(SystemExit) as ended:
        stores.main()
    assert ended.value.code == 0
    assert '"outcomes"' in capsys.readouterr().out
