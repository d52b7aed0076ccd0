"""Tables of the index of the history, and the file in the user's cache folder that holds them."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from kart_runtime.errors import warn
from kart_runtime.storage.registry import split_url, store_for
from kart_runtime.storage.signing_keys import keyring
from kart_runtime.storage.stores import is_remote

logger = logging.getLogger(__name__)

_LOCK_SECONDS = 20.0
"""Seconds to wait for another process that writes to the index."""

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE files (run TEXT, name TEXT, size INTEGER, stamp TEXT, written REAL, read INTEGER, tail BLOB,
                    PRIMARY KEY (run, name)) WITHOUT ROWID;
CREATE TABLE runs (run TEXT PRIMARY KEY, started REAL, label TEXT, header TEXT, ended TEXT, tasks INTEGER,
                   verdicts TEXT, root_names TEXT, names TEXT, lines INTEGER, damage TEXT) WITHOUT ROWID;
CREATE INDEX runs_started ON runs (started);
CREATE TABLE edges (uid TEXT PRIMARY KEY, requires TEXT) WITHOUT ROWID;
CREATE TABLE attempts (id INTEGER PRIMARY KEY, run TEXT, uid TEXT, task TEXT, module TEXT, state TEXT, started TEXT,
                       seconds REAL, metrics TEXT, line TEXT);
CREATE INDEX attempts_run ON attempts (run);
CREATE INDEX attempts_uid ON attempts (uid, started);
CREATE INDEX attempts_task ON attempts (task, state, started);
"""

SCHEMA = zlib.crc32(_TABLES.encode()) >> 1
"""Version of the tables. A file with another one is built anew: it is only a cache."""


def index_folder() -> Path:
    """Return the folder of the indexes: that of the variable KART_CACHE, else one in the user's cache folder."""
    for name in ("KART_CACHE", "KART_CACHE_DIR"):
        configured = os.environ.get(name, "").strip()
        if configured:
            return Path(configured).expanduser() / "history"
    windows = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
    return Path(os.environ.get("XDG_CACHE_HOME", "").strip() or windows or "~/.cache").expanduser() / "kart" / "history"


def index_path(workspace: str) -> Path | None:
    """Return the file of a workspace's index; None if the workspace lives only in this process."""
    scheme, _ = split_url(workspace)
    if scheme == "memory":
        return None
    store, key = store_for(workspace)
    if is_remote(store):
        service = store.service_id() if hasattr(store, "service_id") else scheme
        name = f"{service} {workspace.rstrip('/')}"
    else:
        name = os.path.realpath(key or ".")
    keys = keyring()
    if keys is not None:  # only what is signed by one of them is in it
        name += f" {' '.join(sorted(keys.keys))}"
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return index_folder() / f"{digest[:16]}.sqlite"


def open_tables(path: Path | None) -> sqlite3.Connection:
    """Return a connection to the tables in a file, made anew if they are of another version or damaged.

    Without a file, or one that can be written, they are in memory.
    """
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _open_file(path)
        except (OSError, sqlite3.Error) as error:
            warn(logger, "The index of the history is kept in memory, since %s cannot be used: %s", path, error)
    connection = _connected(":memory:")
    connection.executescript(_TABLES)
    return connection


def _open_file(path: Path) -> sqlite3.Connection:
    try:
        return _with_tables(_connected(path))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        logger.info("Building the index of the history anew: %s", error)
        delete_tables(path)
        return _with_tables(_connected(path))


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the tables are not what they should be, so that building them anew helps."""
    if isinstance(error, sqlite3.OperationalError):  # most say that it is locked, or cannot be written
        return str(error).startswith("no such ")
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError)


def _connected(path: str | Path) -> sqlite3.Connection:
    # Threads of this process may share a connection: sqlite serializes the calls.
    connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    if path != ":memory:":
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cache_size=-65536")  # the default of 2 MB reads and writes the same pages again
    return connection


def _with_tables(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return the connection with the tables of this version; close it if it cannot have them."""
    try:
        if _version(connection) != SCHEMA:
            _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version != SCHEMA:  # another process may have made them meanwhile
            if version or _names(connection):
                logger.info("Building the index of the history anew: its tables are of version %s.", version)
                for kind, name in _names(connection):
                    connection.execute(f'DROP {kind} IF EXISTS "{name}"')
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _names(connection: sqlite3.Connection) -> list[Any]:
    query = "SELECT upper(type), name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
    return connection.execute(query).fetchall()


def delete_tables(path: Path) -> None:
    """Delete the file of an index."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
