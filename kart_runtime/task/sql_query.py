"""Query of a database by SQLAlchemy: bound values, a connection that only reads, and errors without secrets.

`SqlSource` calls it. SQLAlchemy is imported here only, when a query runs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

from kart_runtime.errors import KartError, TaskError, closest_match, require_extra
from kart_runtime.storage.codecs.libraries import library_of, pandas_for
from kart_runtime.storage.codecs.polars_frames import polars
from kart_runtime.storage.codecs.reading import CannotRead, check_options, polars_type

_HIDDEN = "***"

_FIXED = frozenset({"chunksize", "con", "connection", "iter_batches", "batch_size", "params", "execute_options"})
"""Arguments of the libraries' functions that are no options here."""


class QueryFailed(TaskError, RuntimeError):
    """A query of a `SqlSource` failed.

    Parameters
    ----------
    task
        The task, as text.
    why
        The cause, without passwords.
    """

    def __init__(self, task: str, why: str) -> None:
        self.task, self.why = task, why
        super().__init__(f"{task}: {why}")


class Query(NamedTuple):
    """A query: the task as text, its SQL, values by name, options of the reading function, and the declared type.

    `known` are the names of the task's parameters whose values may be bound; `root` is the project's folder.
    """

    task: str
    sql: str
    params: Mapping[str, Any]
    known: Mapping[str, Any]
    options: Mapping[str, Any]
    as_type: Any
    root: str


def run_query(query: Query, url: str | None) -> Any:
    """Return the rows of a query as a frame of the declared type; raises `QueryFailed`."""
    if not url:
        why = "it has no url of a database. Set DATABASE_URL in the environment or in .env, or url in its YAML file."
        raise QueryFailed(query.task, why)
    library = library_of(query.as_type) or ("pandas" if query.as_type is None else None)
    if library is None:
        raise QueryFailed(query.task, "a SqlSource is one of a pandas or polars DataFrame, or a polars LazyFrame.")
    with require_extra(f"{query.task} needs SQLAlchemy", "sql"):
        import sqlalchemy
    place = _place(query, url, sqlalchemy)
    statement = _statement(query, sqlalchemy)
    with _explaining(query, place, url), _connection(query, place, sqlalchemy) as connection:
        return _read(query, statement, connection, library)


def _place(query: Query, url: str, sqlalchemy: Any) -> Any:
    """Return the url in SQLAlchemy's form, with the file of SQLite relative to the project."""
    try:
        place = sqlalchemy.engine.make_url(url)
    except Exception:  # noqa: BLE001 - its text quotes the url
        why = (
            "its url is not that of a database, such as postgresql+psycopg://user@host/shop or sqlite:///data/shop.db."
        )
        raise QueryFailed(query.task, why) from None
    if place.drivername == "postgresql" and importlib.util.find_spec("psycopg2") is None:
        place = place.set(drivername="postgresql+psycopg")
    if place.get_backend_name() == "sqlite" and place.database and not place.database.startswith((":", "file:")):
        path = Path(query.root, place.database)
        if not path.is_file():  # SQLite would create it
            raise QueryFailed(query.task, f"there is no SQLite database {path}. A relative path is one of the project.")
        place = place.set(database=str(path))
    return place


def _statement(query: Query, sqlalchemy: Any) -> Any:
    """Return the query with its values bound; never with values in its text."""
    statement = sqlalchemy.text(query.sql)
    names = list(statement.compile().params)
    values = {**query.known, **query.params}
    missing = [name for name in names if name not in values]
    if missing:
        guess = closest_match(missing[0], values)
        hint = f" Did you mean ':{guess}'?" if guess else ""
        why = f"the query uses :{missing[0]}, which is neither in params nor a parameter of the class.{hint} "
        raise QueryFailed(query.task, f"{why}Write \\:{missing[0]} for a colon that names no parameter.")
    unused = [name for name in query.params if name not in names]
    if unused:
        guess = closest_match(unused[0], names)
        hint = f" Did you mean '{guess}'?" if guess else ""
        raise QueryFailed(query.task, f"params has '{unused[0]}', which the query does not use as :{unused[0]}.{hint}")
    return statement.bindparams(
        *(
            sqlalchemy.bindparam(name, _plain(values[name]), expanding=isinstance(values[name], list | tuple))
            for name in names
        )
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@contextmanager
def _connection(query: Query, place: Any, sqlalchemy: Any) -> Iterator[Any]:
    """Yield a connection that only reads where the database can promise it; nothing is committed."""
    engine = _engine(query, place, sqlalchemy)
    backend = place.get_backend_name()
    try:
        with engine.connect() as connection:
            if backend == "postgresql":
                connection.execution_options(postgresql_readonly=True)
            elif backend == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            yield connection
    finally:
        engine.dispose()


def _engine(query: Query, place: Any, sqlalchemy: Any) -> Any:
    try:
        return sqlalchemy.create_engine(place, poolclass=sqlalchemy.pool.NullPool, hide_parameters=True)
    except sqlalchemy.exc.NoSuchModuleError:
        name = place.get_backend_name()
        hint = " Write postgresql instead of postgres." if name == "postgres" else ""
        raise QueryFailed(query.task, f"SQLAlchemy knows no database '{place.drivername}'.{hint}") from None
    except ImportError as error:
        why = (
            f"the driver of {place.drivername} is not installed ({error}). Add it to the dependencies in pyproject.toml"
        )
        raise QueryFailed(query.task, f"{why}, such as psycopg[binary] for postgresql+psycopg://.") from None


@contextmanager
def _explaining(query: Query, place: Any, url: str) -> Iterator[None]:
    """Turn errors of the database into `QueryFailed`, without the password, values and SQLAlchemy's own text."""
    try:
        yield
    except (KartError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - drivers have classes of their own
        cause = getattr(error, "orig", None) or error
        text = without_secrets(f"{type(cause).__name__}: {cause}", place, url)
        raise QueryFailed(query.task, f"the query of {_shown(place)} failed: {text.strip()}") from None


def without_secrets(text: str, place: Any, url: str) -> str:
    """Return a text in which neither the url nor its password is to be read, quoted or not."""
    password = str(place.password or "")
    options = [value for value in map(str, place.query.values()) if "pass" in str(place.query).lower()]
    secrets = {url, password, quote(password, safe=""), quote_plus(password), *options}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def _shown(place: Any) -> str:
    """Return kind, host and name of a database: what a message may say of a url."""
    host = f" on {place.host}{f':{place.port}' if place.port else ''}" if place.host else ""
    return f"{place.get_backend_name()} database {place.database or '(default)'}{host}"


def _read(query: Query, statement: Any, connection: Any, library: str) -> Any:
    if library == "pandas":
        pd = pandas_for("SqlSource results")
        _check(query, "pandas.read_sql_query", pd.read_sql_query)
        return pd.read_sql_query(statement, connection, **query.options)
    pl = polars()
    _check(query, "polars.read_database", pl.read_database)
    options = dict(query.options)
    if isinstance(options.get("schema_overrides"), Mapping):
        typed = options["schema_overrides"].items()
        options["schema_overrides"] = {name: polars_type(query.task, kind) for name, kind in typed}
    frame = pl.read_database(statement, connection, **options)
    return frame.lazy() if library == "polars-lazy" else frame


def _check(query: Query, name: str, call: Any) -> None:
    for option in query.options:
        if option in _FIXED:
            raise CannotRead(query.task, name, f"'{option}' cannot be set here")
    check_options(query.task, name, call, query.options)
