"""Lists of remote folders, which answer a plan's many "does it exist?" with few requests.

They are active while a plan is made, in its thread only, and dropped afterwards: a later attempt asks the service. One
request returns 1,000 objects. A folder may hold far more than a plan needs, so each further page has to be paid for by
requests for single objects (the "ski rental" rule).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from kart_runtime.storage.stores import Stat

_PAGES_PER_REQUEST = 4
"""Pages that may be listed for each request for a single object."""


class _Page(Protocol):
    @property
    def found(self) -> Iterable[Stat]: ...
    @property
    def last(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class _Listed(Protocol):
    """The methods of a store that this module calls."""

    def page(self, prefix: str, token: str | None = None, *, below: bool = False) -> _Page: ...
    def stat_now(self, key: str) -> Stat | None: ...


class _Folder:
    """The listed objects of one folder: all of them, or all up to a key."""

    __slots__ = ("_complete", "_last", "_pages", "_prefix", "_requests", "_stats", "_store", "_token")

    def __init__(self, store: _Listed, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._stats: dict[str, Stat] = {}
        self._last = ""
        self._token: str | None = None
        self._complete = False
        self._pages = self._requests = 0

    def stat(self, key: str) -> Stat | None:
        while not self._complete and key > self._last and self._pages <= _PAGES_PER_REQUEST * self._requests:
            self._next_page()
        if self._complete or key <= self._last:
            return self._stats.get(key)
        self._requests += 1
        return self._store.stat_now(key)

    def _next_page(self) -> None:
        page = self._store.page(self._prefix, self._token)
        self._stats.update((stat.key, stat) for stat in page.found)
        self._pages += 1
        self._token = page.token
        self._complete = page.token is None
        self._last = max(self._last, page.last)


class Listings:
    """The lists of all folders that a plan has asked about."""

    def __init__(self) -> None:
        self._folders: dict[tuple[int, str], _Folder] = {}

    def stat(self, store: _Listed, key: str) -> Stat | None:
        """Return size and time of an object, None if it does not exist."""
        prefix = key[: key.rfind("/") + 1]
        folder = self._folders.get((id(store), prefix))
        if folder is None:
            folder = self._folders[id(store), prefix] = _Folder(store, prefix)
        return folder.stat(key)


class _ThreadState(threading.local):
    listings: Listings | None = None


_state = _ThreadState()


def active_listings() -> Listings | None:
    """Return the lists that are active in this thread, None if there are none."""
    return _state.listings


@contextmanager
def cached_listings() -> Iterator[None]:
    """Answer `stat` in this thread from lists until the block ends; then drop them."""
    before, _state.listings = _state.listings, Listings()
    try:
        yield
    finally:
        _state.listings = before
