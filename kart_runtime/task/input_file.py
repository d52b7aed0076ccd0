"""File from outside of the pipeline, `InputFile`, whose content is a part of its unique id.

The content is looked at when an id is first needed, and again before the next build plans (`revalidate`): in between,
everything belongs to one content, and a file that is replaced meanwhile is refused when it is loaded.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar, get_args

import luigi
from luigi import task_register

from kart_runtime.code.project_files import is_project_file
from kart_runtime.errors import InputReplaced, KartError
from kart_runtime.storage.checksum import checksum_of
from kart_runtime.storage.codecs.file_processors import as_codec
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.stores import is_remote
from kart_runtime.storage.target import Target
from kart_runtime.task import identity
from kart_runtime.task.base import TaskOnKart
from kart_runtime.task.declared_type import declared_type
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
    for folder in (start, *start.parents):
        with contextlib.suppress(OSError):
            if "[tool.kart]" in (folder / "pyproject.toml").read_text(encoding="utf-8", errors="replace"):
                return str(folder)
    return str(start)


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
    processor
        Codec, or file processor of gokart's kind; None: chosen by the suffix of the path.

    Examples
    --------
    >>> class Report(TaskOnKart[str]):
    ...     def requires(self):
    ...         return InputFile[pd.DataFrame](path="data/sales.csv")
    """

    path: luigi.Parameter[str] = luigi.Parameter(description="path relative to the project's folder, or url")
    root: luigi.Parameter[str] = luigi.Parameter(
        default=find_root(), significant=False, positional=False, description="folder that the path is relative to"
    )
    processor: ClassVar[Any] = None
    run: Any = None

    @property
    def url(self) -> str:
        """Return the url or absolute path."""
        return self.path if "://" in self.path else os.path.normpath(Path(self.root, self.path))

    def requires(self) -> Any:
        """Return nothing: a file requires no task."""
        return []

    def output(self) -> Any:
        """Return the file."""
        given = get_args(vars(self).get("__orig_class__"))  # of InputFile[pl.DataFrame]("..."), which sets it
        as_type = given[0] if given and not isinstance(given[0], TypeVar) else declared_type(type(self), TaskOnKart)
        codec = None if self.processor is None else as_codec(self.processor)
        target = InputTarget(self.url, codec, as_type)
        target.task = self
        if self.schema is not None:
            target.check = lambda value, _: self._check_schema(target.url, value, "input")
        return target

    def _texts(self) -> dict[str, str]:
        texts = self._kart.texts
        if texts is None or CONTENT not in texts:
            content = self._content()
            _known[id(self)] = self
            texts = self._kart.texts = {**super()._texts(), CONTENT: content}
        return texts

    def _content(self) -> str:
        """Return what stands for the content in the unique id, as it is now; "" if there is none."""
        return content_of(self.url)

    def __hash__(self) -> int:
        return hash((type(self), self.root, self.path))  # stays when the content changes

    __eq__ = TaskOnKart.__eq__

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments = super().__reduce__()
        return _with_content, (self._texts()[CONTENT], rebuild, arguments)


class InputTarget(Target):
    """File that is only read, and only with the content that the unique id of its task stands for."""

    __slots__ = ("task",)
    task: InputFile[Any]

    def load(self) -> Any:
        """Return the value; raises `InputReplaced` if the content is no longer that of the id."""
        value = super().load()
        if self.task._content() != self.task._texts()[CONTENT]:
            raise InputReplaced(str(self.task), self.url)
        return value

    def remove(self) -> bool:
        """Leave the file: it is not kart's."""
        return False


def _with_content(content: str, rebuild: Any, arguments: tuple[Any, ...]) -> Any:
    task = rebuild(*arguments)
    if task._kart.texts is None:  # the id is the one that the other process plans with
        _known[id(task)] = task
        task._kart.texts = {**TaskOnKart._texts(task), CONTENT: content}
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
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{version}\n{checksum}")
            temporary.replace(path)


# -- the next build --------------------------------------------------------------------------------------

_known: weakref.WeakValueDictionary[int, InputFile[Any]] = weakref.WeakValueDictionary()
"""The input files whose content is known, by `id()`."""


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


def _may_differ(file: InputFile[Any]) -> bool:
    """Return whether a file has another content, or cannot be looked at: whatever needs it then says so."""
    try:
        return file._content() != file._texts()[CONTENT]
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
