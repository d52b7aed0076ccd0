"""Which objects exist? A plan asks for many that lie in few folders, so folders are listed instead.

In force while `plan` decides, in its thread only, and forgotten afterwards: an attempt that asks later is told what is
true then. One request tells of 1,000 objects. A folder may hold far more than a plan asks for, so listing goes on only
as far as questions go: each page is paid for by questions that were asked one by one (a "ski rental").
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from kart_runtime.storage.stores import Stat

_PAGES_A_QUESTION = 4
"""Pages that may be listed for each question that was asked one by one."""


class _Page(Protocol):
    @property
    def found(self) -> object: ...
    @property
    def last(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class _Listed(Protocol):
    """What is asked of a store here."""

    def page(self, prefix: str, token: str | None = None, *, below: bool = False) -> _Page: ...
    def ask(self, key: str) -> Stat | None: ...


class _Folder:
    """What is known of one folder: everything up to a key, or everything."""

    __slots__ = ("_asked", "_complete", "_found", "_last", "_pages", "_prefix", "_store", "_token")

    def __init__(self, store: _Listed, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._found: dict[str, Stat] = {}
        self._last = ""
        self._token: str | None = None
        self._complete = False
        self._pages = self._asked = 0

    def stat(self, key: str) -> Stat | None:
        while not self._complete and key > self._last and self._pages <= _PAGES_A_QUESTION * self._asked:
            self._turn_page()
        if self._complete or key <= self._last:
            return self._found.get(key)
        self._asked += 1
        return self._store.ask(key)

    def _turn_page(self) -> None:
        page = self._store.page(self._prefix, self._token)
        self._found.update((one.key, one) for one in page.found)  # type: ignore[attr-defined]
        self._pages += 1
        self._token = page.token
        self._complete = page.token is None
        self._last = max(self._last, page.last)


class Listings:
    """What a plan knows of the folders that it asked about."""

    def __init__(self) -> None:
        self._folders: dict[tuple[int, str], _Folder] = {}

    def stat(self, store: _Listed, key: str) -> Stat | None:
        """Return what is known of an object, None when there is none.

        Parameters
        ----------
        store
            The store.
        key
            The object.
        """
        prefix = key[: key.rfind("/") + 1]
        folder = self._folders.get((id(store), prefix))
        if folder is None:
            folder = self._folders[id(store), prefix] = _Folder(store, prefix)
        return folder.stat(key)


class _InForce(threading.local):
    listings: Listings | None = None


_state = _InForce()


def active_listings() -> Listings | None:
    """Return what this thread answers questions from; None: it asks the store."""
    return _state.listings


@contextmanager
def cached_listings() -> Iterator[None]:
    """Answer this thread's questions from listings until the block ends; what is known is forgotten then."""
    before, _state.listings = _state.listings, Listings()
    try:
        yield
    finally:
        _state.listings = before
