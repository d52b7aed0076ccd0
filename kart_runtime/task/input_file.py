"""File from outside of the pipeline, `InputFile`, whose content is a part of its unique id.

The content is looked at when an id is first needed, and again before the next build plans (`revalidate`): in between,
everything belongs to one content, and a file that is replaced meanwhile is refused when it is loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, get_args

import luigi
from luigi import task_register
from luigi.parameter import ParameterVisibility

from kart_runtime.code.project_files import is_project_file
from kart_runtime.errors import InputReplaced, KartError, PlanError
from kart_runtime.storage.checksum import checksum_of
from kart_runtime.storage.codecs.file_processors import as_codec
from kart_runtime.storage.codecs.reading import ReadingOptions
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import is_remote
from kart_runtime.storage.target import Target
from kart_runtime.storage.temporary import temporary_name
from kart_runtime.task import identity, outside
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.declared_type import declared_type
from kart_runtime.task.parameters import OptionsParameter, adopt_defaults, declaration, replace_parameter, thawed
from kart_runtime.task.state import Identity

T = TypeVar("T")

SETTLING_SECONDS = 2.0
"""Age of a file from which another change certainly gives it another version."""

LARGE = 64 << 20
"""Bytes from which the checksum of a file is kept on disk, for other processes."""

CONTENT = "path.content"
"""Name in the unique id; no parameter can have it."""


def find_root() -> str:
    """Return the folder of the project that the program belongs to, else the program's folder, else the current one."""
    script = Path(sys.argv[0]).absolute() if sys.argv and sys.argv[0].endswith(".py") else None
    start = script.parent if script is not None and is_project_file(str(script)) else Path.cwd()
    return project_above(str(start)) or str(start)


def project_above(start: str) -> str | None:
    """Return the folder of the project that a folder belongs to, None if it belongs to none."""
    for folder in (Path(start), *Path(start).parents):
        with contextlib.suppress(OSError):
            if "[tool.kart]" in (folder / "pyproject.toml").read_text(encoding="utf-8", errors="replace"):
                return str(folder)
    return None


_project_above = lru_cache(maxsize=256)(project_above)


def root_parameter(default: str) -> Any:
    """Return the parameter for the folder that paths are relative to."""
    return luigi.Parameter(
        default=default,
        significant=False,
        positional=False,
        visibility=ParameterVisibility.HIDDEN,
        description="folder that the path is relative to",
    )


def adopt_project(cls: type) -> None:
    """Let the paths of a class be relative to the project that its module belongs to, wherever the program started."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    root = _project_above(str(Path(file).absolute().parent)) if file and is_project_file(file) else None
    if root is not None and "root" not in vars(cls):
        replace_parameter(cls, "root", root_parameter(root))


def _options(default: Any) -> Any:
    description = "options of the function that reads it"
    # a subclass that declares its path declares it after this one, and still takes it by position
    return OptionsParameter(default=default, significant=False, positional=False, description=description)


def given_type(task: Any) -> Any:
    """Return the type that the class of a task declares, or that was given as in ``InputFile[pl.DataFrame]("…")``."""
    given = get_args(vars(task).get("__orig_class__"))  # which Python sets
    cls: Any = type(task)
    return given[0] if given and not isinstance(given[0], TypeVar) else declared_type(cls, TaskOnKart)


class InputFile(TaskOnKart[T]):
    """File from outside of the pipeline, with a value of the type `T`.

    The unique id contains the path as it is given, and the file's content: when the content changes, all tasks that
    require the file run again. For an object in a bucket the store's version stands for the content.

    Subclass it to give a file a name that configuration can refer to, another format, or a schema.

    Attributes
    ----------
    path
        Path relative to the project's folder (without a project: to the folder of the script, or the current one), an
        absolute path, or a url.
    options
        Options of the function of pandas or polars that reads the file: of `pandas.read_csv` for a csv file and a
        declared `pandas.DataFrame`, such as ``{"sep": ";", "dtype": {"zip": str}}``. They count in the unique id.
    processor
        Codec, or file processor of gokart's kind; None: chosen by the suffix of the path.

    Examples
    --------
    >>> class Report(TaskOnKart[str]):
    ...     def requires(self):
    ...         return InputFile[pd.DataFrame](path="data/sales.csv")
    """

    path: luigi.Parameter[str] = luigi.Parameter(description="path relative to the project's folder, or url")
    root: luigi.Parameter[str] = root_parameter(find_root())
    options: Mapping[str, Any] = _options({})
    processor: ClassVar[Any] = None
    run: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adopt_defaults(cls, {"options": _options})
        adopt_project(cls)

    @classmethod
    def glob(cls, pattern: str, **parameters: Any) -> list[Self]:
        """Return an input file for each file that matches a pattern, sorted by path.

        Parameters
        ----------
        pattern
            Pattern such as ``data/sales/*.csv``: relative like `path`, or a url of a bucket.
        **parameters
            Other parameters of each.

        Raises
        ------
        PlanError
            No file matches.
        """
        root = parameters.get("root") or declaration(cls).defaults().values["root"]
        paths = outside.matching(root, pattern)
        if not paths:
            raise PlanError(f"{cls.__name__}: no file matches {outside.absolute(root, pattern)}.")
        return [cls(path=path, **parameters) for path in paths]

    @property
    def url(self) -> str:
        """Return the url or absolute path."""
        return outside.absolute(self.root, self.path)

    def requires(self) -> Any:
        """Return nothing: a file requires no task."""
        return []

    def output(self) -> Any:
        """Return the file."""
        target = InputTarget(self.url, self._codec(), given_type(self))
        target.task = self
        if self.schema is not None:
            target.check = lambda value, _: self._check_schema(target.url, value, "input")
        return target

    def _codec(self) -> Any:
        if self.options and self.processor is not None:
            raise PlanError(f"{type(self).__name__} has options and a processor. Give the options to the processor.")
        if self.options:
            return ReadingOptions(self.url, thawed(self.options))
        return None if self.processor is None else as_codec(self.processor)

    def _texts(self) -> dict[str, str]:
        texts = self._kart.texts
        if texts is None or CONTENT not in texts:
            content = self._content()
            remember(self)
            texts = self._kart.texts = self._texts_with(content)
        return texts

    def _texts_with(self, content: str) -> dict[str, str]:
        texts = super()._texts()
        if self.options:
            texts["options"] = json.dumps(thawed(self.options), sort_keys=True)
        return {**texts, CONTENT: content}

    def _content(self) -> str:
        """Return what stands for the content now."""
        if "://" not in self.path and Path(self.url).is_dir():
            example = f"{type(self).__name__}.glob('{self.path.rstrip('/')}/*.csv')"
            raise PlanError(f"{self.url} is a folder, and {type(self).__name__} reads one file. List files: {example}.")
        return content_of(self.url)

    def __hash__(self) -> int:
        return hash((type(self), self.root, self.path))  # stays when the content changes

    __eq__ = TaskOnKart.__eq__

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments = super().__reduce__()
        return _with_content, (self._texts()[CONTENT], rebuild, arguments, vars(self).get("__orig_class__"))


class InputTarget(Target):
    """File that is only read, and only with the content that the unique id of its task stands for."""

    __slots__ = ("task",)
    task: InputFile[Any]

    @property
    def relative_to(self) -> str:
        """Return the folder that the path of the task is relative to, empty if it is not."""
        path = self.task.path
        return "" if "://" in path or Path(path).is_absolute() else self.task.root

    def load(self) -> Any:
        """Return the value; raises `InputReplaced` if the content is no longer that of the id."""
        value = super().load()
        if self.task._content() != self.task._texts()[CONTENT]:
            raise InputReplaced(str(self.task), self.url)
        return value

    def _needs_signature(self) -> bool:
        return bool(getattr(self._codec, "runs_code", False))

    def remove(self) -> bool:
        """Leave the file: it is not kart's."""
        return False


def _with_content(content: str, rebuild: Any, arguments: tuple[Any, ...], given: Any = None) -> Any:
    task = rebuild(*arguments)
    if given is not None:
        task.__orig_class__ = given
    if task._kart.texts is None:  # the id is the one that the other process plans with
        remember(task)
        task._kart.texts = task._texts_with(content)
    return task


# -- content ---------------------------------------------------------------------------------------------


class _Content(NamedTuple):
    """Content of a file as it was read, with the version that the store reported."""

    version: str
    checksum: str
    is_settled: bool


_contents: dict[str, _Content] = {}
_lock = threading.Lock()


def content_of(url: str) -> str:
    """Return the checksum of a file, or the version of an object in a bucket; "" if there is none."""
    store, key = store_for(url)
    stat = store.stat(key)
    if stat is None:
        return ""
    version = f"{stat.version or stat.modified} {stat.size}"
    if is_remote(store):
        return f"version:{version}"
    with _lock:  # one reader of a file, and its content once
        known = _contents.get(url)
        if known is None or known.version != version or not known.is_settled:
            is_settled = time.time() - stat.modified > SETTLING_SECONDS
            cache = _cache_file(url) if stat.size >= LARGE and is_settled else None
            checksum = _read_cache(cache, version)
            if not checksum:
                with store.open(key) as file:
                    checksum = checksum_of(file)
                _write_cache(cache, version, checksum)
            known = _contents[url] = _Content(version, checksum, is_settled)
    return known.checksum


def _cache_file(url: str) -> Path:
    import xxhash

    folder = os.environ.get("KART_CACHE_DIR", "").strip()
    folder = folder or f"{os.environ.get('XDG_CACHE_HOME', '').strip() or '~/.cache'}/kart"
    return Path(folder).expanduser() / "inputs" / xxhash.xxh3_128_hexdigest(url.encode())


def _read_cache(path: Path | None, version: str) -> str:
    """Return the checksum that another process has kept for a version of a file."""
    with contextlib.suppress(OSError, ValueError):
        known, _, checksum = path.read_text().partition("\n") if path is not None else ("", "", "")
        return checksum if known == version else ""
    return ""


def _write_cache(path: Path | None, version: str, checksum: str) -> None:
    if path is not None:
        temporary = path.with_name(temporary_name())
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{version}\n{checksum}")
            temporary.replace(path)


# -- the next build --------------------------------------------------------------------------------------

_known: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""Tasks whose ids contain the content of a file, by `id()`; their `_content()` returns it as it is now."""


def remember(task: Any) -> None:
    """Have a task looked at by `revalidate`."""
    _known[id(task)] = task


def revalidate(roots: Iterable[luigi.Task]) -> None:
    """Have the ids of all tasks worked out again if the content of an input file has changed since they were."""
    files = [file for file in list(_known.values()) if file._kart.texts is not None]
    if not any(_may_differ(file) for file in files):
        return
    instances = task_register.Register._Register__instance_cache or {}  # type: ignore[attr-defined]
    waiting = [*roots, *instances.values(), *files]
    seen: set[int] = set()
    while waiting:
        task = waiting.pop()
        state: Identity | None = task.__dict__.get("_kart")
        if state is None or id(task) in seen:
            continue
        seen.add(id(task))
        waiting += [*(state.dependencies or ()), *_tasks_in(task)]
        task._kart = Identity(state.overrides)


def _may_differ(file: Any) -> bool:
    """Return whether a file has another content, or cannot be looked at: whatever needs it then says so."""
    try:
        return bool(file._kart.texts != file._texts_with(file._content()))
    except (OSError, KartError):
        return True


def _tasks_in(task: Any) -> list[luigi.Task]:
    """Return the tasks that are parameters of a task."""
    found: list[luigi.Task] = []
    for value in task.param_kwargs.values():
        items = value if isinstance(value, tuple) else (value,)
        found += [item for item in items if isinstance(item, luigi.Task)]
    return found


identity.revalidations.append(revalidate)
