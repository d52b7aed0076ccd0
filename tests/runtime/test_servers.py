"""Does the proxy of the tests deliver each fault, and count it?"""

import http.client
import socket
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.runtime.network_faults import HOWS, REFUSED, THROTTLED
from tests.runtime.servers import HOST, Asked, Given, Proxy

BYTES = bytes(range(256)) * 4


class Answering(Proxy):
    """Answers by itself, and counts what it carried out."""

    carried_out = 0

    def answer(self, asked: Asked) -> Given:
        self.carried_out += 1
        return Given(200, {"ETag": "x"}, BYTES)


@pytest.fixture
def proxy() -> Iterator[Answering]:
    with Answering(f"http://{HOST}:9") as proxy:
        yield proxy


def outcome(proxy: Proxy, method: str = "GET", path: str = "/b/key", data: bytes = b"data") -> str:
    """Return how a request without retries ends, for a client that reads all that is told to come."""
    address = urlsplit(proxy.url)
    connection = http.client.HTTPConnection(HOST, address.port, timeout=0.3)
    try:
        connection.request(method, path, data if method == "PUT" else None)
        answer = connection.getresponse()
        body = answer.read()
        return "right" if (answer.status, body) == (200, BYTES) else f"{answer.status} {body[:60]!r}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


EXPECTED = {
    **dict.fromkeys(("reset", "lost reset"), ("ConnectionResetError",)),
    **dict.fromkeys(("cut", "lost"), ("RemoteDisconnected", "ConnectionResetError")),
    **dict.fromkeys(("silent", "silent after", "stall"), ("TimeoutError",)),
    **dict.fromkeys(("cut answer", "long"), ("IncompleteRead",)),
    "slow": ("right",),
    "short": (f"200 {BYTES[:60]!r}",),
    "corrupt": (f"200 {BYTES[:60]!r}",),
}


@pytest.mark.parametrize("how", HOWS)
def test_each_fault_is_delivered_once(proxy, how):
    proxy.trickle = (512, 0.05)
    proxy.fail(how)
    assert outcome(proxy) in EXPECTED[how]
    assert proxy.delivered == {(how, "get"): 1}
    assert proxy.carried_out == (how not in {"reset", "cut", "silent"})
    assert outcome(proxy) == "right"


@pytest.mark.parametrize("how", [*THROTTLED, *REFUSED])
def test_each_refusal_is_delivered(proxy, how):
    proxy.fail(how)
    status, _, word = how.partition(" ")
    found = outcome(proxy)
    assert found.startswith(status)
    assert word in found
    assert not proxy.carried_out


def test_a_fault_of_bytes_is_not_counted_where_there_are_none(proxy):
    proxy.fail("corrupt", times=2)
    outcome(proxy, "HEAD")
    assert not proxy.delivered
    outcome(proxy)
    assert proxy.delivered == {("corrupt", "get"): 1}


def test_schedules_choose_requests(proxy, capsys):
    proxy.fail("503", times=2, after=1, matching="^GET /b/log/")
    found = [outcome(proxy, path=path)[:3] for path in ("/b/log/1", "/b/x", "/b/log/2", "/b/log/3", "/b/log/4")]
    assert found == ["rig", "rig", "503", "503", "rig"]
    proxy.reset()
    proxy.fail("503", times=None, every=3)
    assert [outcome(proxy)[:3] for _ in range(6)] == ["503", "rig", "rig", "503", "rig", "rig"]
    runs = []
    for _ in range(2):
        proxy.reset()
        proxy.fail("503", times=None, rate=0.5, seed=7)
        runs.append([outcome(proxy)[:3] for _ in range(12)])
    assert runs[0] == runs[1]
    assert Counter(runs[0]).keys() == {"503", "rig"}
    assert "seed 7" in capsys.readouterr().out


def test_down_refuses_connections(proxy):
    with proxy.down():
        assert outcome(proxy) == "ConnectionRefusedError"
        assert proxy.delivered == {("refused", "connection"): 1}
        with socket.socket() as free:
            assert free.connect_ex((HOST, urlsplit(proxy.url).port)) != 0
    assert outcome(proxy) == "right"
