"""Result of a query of a database, `SqlSource`, stored in the workspace.

A database has no checksum, so the unique id contains the query, the values that are bound to it, and `version`: these
say which state of the database the stored result is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import luigi

from kart_runtime.errors import PlanError
from kart_runtime.task import outside
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.declared_type import suffix_of_class
from kart_runtime.task.input_file import adopt_project, find_root, given_type, remember, root_parameter
from kart_runtime.task.parameters import (
    MapParameter,
    OptionsParameter,
    SecretParameter,
    adopt_defaults,
    declaration,
    thawed,
)
from kart_runtime.task.sql_query import Query, run_query

T = TypeVar("T")


def _query(default: Any = "") -> Any:
    return luigi.Parameter(default=default, significant=False, description="SQL, or the path of a .sql file")


def _params(default: Any) -> Any:
    return MapParameter(default=default, significant=False, description="values of the query by name")


def _version(default: Any = "") -> Any:
    return luigi.Parameter(default=default, significant=False, description="state of the database, such as a date")


def _options(default: Any) -> Any:
    return OptionsParameter(default=default, significant=False, description="options of the function that reads rows")


def _url(default: Any) -> Any:
    return SecretParameter(default=default, description="SQLAlchemy's url of the database")


class SqlSource(TaskOnKart[T]):
    """Result of a query, as a frame of the type `T`: a pandas or polars DataFrame, or a polars LazyFrame.

    The query runs once for each id, and its result is stored as parquet, or in the format of `suffix`. The id contains
    the query, `params`, `version`, `options` and the parameters of a subclass; whatever else changes in the database
    changes no id, so give a subclass a parameter such as a date, or set another `version`, to query again.

    Attributes
    ----------
    query
        SQL with values such as ``:day``, or the path of a ``.sql`` file relative to the project, whose text counts.
    params
        Values by name. A parameter of the class is bound by its own name. A list is bound as in ``id in :ids``.
    url
        SQLAlchemy's url: a secret, which is looked up when the query runs and is in no id, log or error. By default the
        environment variable `DATABASE_URL`. The path of a SQLite file is relative to the project.
    version
        Text for a state of the database.
    options
        Options of `pandas.read_sql_query`, such as ``{"dtype": {"zip": str}}``, or of `polars.read_database`.

    Examples
    --------
    >>> class Orders(SqlSource[pd.DataFrame]):
    ...     query = "select * from orders where day = :day"
    ...     day: luigi.DateParameter = luigi.DateParameter()
    """

    query: str = _query()
    params: Mapping[str, Any] = _params({})
    version: str = _version()
    options: Mapping[str, Any] = _options({})
    url: Any = _url("${oc.env:DATABASE_URL}")
    root: luigi.Parameter[str] = root_parameter(find_root())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        kinds = {"query": _query, "params": _params, "version": _version, "options": _options, "url": _url}
        adopt_defaults(cls, kinds)
        adopt_project(cls)

    def requires(self) -> Any:
        """Return nothing: the database is outside."""
        return []

    def output(self) -> Any:
        """Return a file named after the class, parquet unless `suffix` says otherwise."""
        return self.make_target(self._default_path(suffix_of_class(type(self)) or ".parquet"))

    def run(self) -> None:
        """Run the query, and store its result."""
        own = {name: self.param_kwargs[name] for name in declaration(type(self)).params if name not in _ENGINE}
        sql, params, options = self._texts()["query"], thawed(self.params), thawed(self.options)
        query = Query(str(self), sql, params, own, options, given_type(self), self.root)
        self.dump(run_query(query, self.url))

    def _texts(self) -> dict[str, str]:
        texts = self._kart.texts
        if texts is None or "query" not in texts:
            if self._file() is not None:
                remember(self)
            texts = self._kart.texts = self._texts_with(self._content())
        return texts

    def _texts_with(self, sql: str) -> dict[str, str]:
        texts = {**super()._texts(), "query": sql}
        for name in ("params", "options"):
            if getattr(self, name):
                texts[name] = json.dumps(thawed(getattr(self, name)), sort_keys=True)
        return {**texts, "version": self.version} if self.version else texts

    def _file(self) -> str | None:
        is_file = self.query.endswith(".sql") and len(self.query.split()) == 1
        return outside.absolute(self.root, self.query) if is_file else None

    def _content(self) -> str:
        """Return the SQL."""
        path = self._file()
        if path is None:
            if not self.query.strip():
                raise PlanError(f"{type(self).__name__} has no query. Set query in the class: SQL, or a .sql file.")
            return self.query
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError:
            hints = "".join(f" {hint}" for hint in outside.similar(path))
            why = f"{type(self).__name__}: there is no file {path}, which its query names."
            raise PlanError(f"{why} The path is relative to {self.root}.{hints}") from None

    def __hash__(self) -> int:
        return hash((type(self), self.root, self.query))  # stays when the content of the file changes

    __eq__ = TaskOnKart.__eq__

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments = super().__reduce__()
        return _with_query, (self._texts()["query"], rebuild, arguments, vars(self).get("__orig_class__"))


_ENGINE = frozenset(declaration(SqlSource).params)
"""Parameters whose values are not bound."""


def _with_query(sql: str, rebuild: Any, arguments: tuple[Any, ...], given: Any) -> Any:
    task = rebuild(*arguments)
    if given is not None:
        task.__orig_class__ = given
    if task._kart.texts is None:  # the file may have changed since, or may not be there
        remember(task)
        task._kart.texts = task._texts_with(sql)
    return task
