"""Which faults can a proxy deliver, to which requests, and how often did it?

A `Schedule` chooses requests: by kind, by a pattern of method and path, the n-th, each n-th, or by a seed, which it
prints. `HOWS` names the faults. What was really delivered is counted in `Faults.delivered`: a fault that needs an
answer's bytes is not delivered to a request whose answer has none.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

HOWS = {
    "reset": "the connection is reset as soon as the request's head has arrived",
    "cut": "the connection ends when half of the request has been read",
    "lost": "the request is carried out, and the connection ends without an answer",
    "lost reset": "the request is carried out, and the connection is reset",
    "cut answer": "the connection ends when half of the answer's bytes have been sent",
    "silent": "the request is read and not carried out, and no answer ever comes",
    "silent after": "the request is carried out, and no answer ever comes",
    "stall": "half of the answer's bytes come, and then nothing more",
    "slow": "the answer's bytes come a few at a time",
    "short": "half of the answer's bytes come, with a length that says that this is all",
    "long": "the answer's length says ten bytes more than come",
    "corrupt": "one bit of the answer's bytes is wrong",
}
"""Every fault besides the answers: a status and, after a space, the service's word, such as ``403 AccessDenied``."""

THROTTLED = ("503 SlowDown", "429 TooManyRequests", "500 InternalError")
REFUSED = (
    *("401 Unauthorized", "403 AccessDenied", "403 SignatureDoesNotMatch", "403 RequestTimeTooSkewed"),
    *("400 ExpiredToken", "301 PermanentRedirect"),
)
TRANSIENT = (*THROTTLED, "reset", "cut", "lost", "lost reset", "cut answer")
"""Faults that a client outlives by another try."""

_NEED_BYTES = frozenset({"cut answer", "stall", "slow", "short", "long", "corrupt"})


class Request(Protocol):
    """What a schedule looks at."""

    @property
    def kind(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...


class Schedule(NamedTuple):
    """One kind of fault, and which requests it meets."""

    how: str
    applies: Callable[[Request], bool]


def schedule(
    how: str,
    kind: str = "",
    times: int | None = 1,
    after: int = 0,
    *,
    every: int = 1,
    matching: str = "",
    rate: float = 1.0,
    seed: int | None = None,
) -> Schedule:
    """Return a schedule; see `Proxy.fail` for what the arguments mean."""
    if how not in HOWS and not how.partition(" ")[0].isdigit():
        raise ValueError(f"unknown fault {how!r}; expected one of {sorted(HOWS)}, or a status")
    if rate < 1:
        seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
        print(f"faults '{how}' with rate {rate}, seed {seed}", flush=True)
    chance, numbers, lock, pattern = random.Random(seed), itertools.count(), threading.Lock(), re.compile(matching)
    met = 0

    def applies(asked: Request) -> bool:
        nonlocal met
        if (kind and asked.kind != kind) or not pattern.search(f"{asked.method} {asked.path}"):
            return False
        with lock:
            number = next(numbers) - after
            if number < 0 or number % every or (times is not None and met >= times) or chance.random() >= rate:
                return False
            met += 1
            return True

    return Schedule(how, applies)


class Faults:
    """The schedules of a proxy, and the count of what was delivered: by fault and kind of request."""

    def __init__(self) -> None:
        self._schedules: list[Schedule] = []
        self._lock = threading.Lock()
        self.delivered: Counter[tuple[str, str]] = Counter()

    def add(self, one: Schedule) -> None:
        """Add a schedule; of several that meet a request, the oldest counts."""
        self._schedules.append(one)

    def choose(self, asked: Request) -> str:
        """Return the fault that meets a request, "" if none does."""
        return next((one.how for one in self._schedules if one.applies(asked)), "")

    def note(self, how: str, kind: str) -> None:
        """Count a fault that is being delivered."""
        with self._lock:
            self.delivered[how, kind] += 1


def needs_bytes(how: str) -> bool:
    """Return whether a fault changes an answer's bytes, and is none where there are none."""
    return how in _NEED_BYTES


def refusal(how: str, *, xml: bool) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer that refuses, as S3 (XML) or GCS (JSON) writes it."""
    status, _, code = how.partition(" ")
    code = code or {"503": "SlowDown", "404": "NoSuchKey", "429": "TooManyRequests"}.get(status, "Error")
    text = f"{code}: delivered by the test's proxy"
    if xml:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>"
        return int(status), {"Content-Type": "application/xml"}, body.encode()
    body = f'{{"error": {{"code": {status}, "message": "{text}", "errors": [{{"reason": "{code}"}}]}}}}'
    return int(status), {"Content-Type": "application/json; charset=UTF-8"}, body.encode()
