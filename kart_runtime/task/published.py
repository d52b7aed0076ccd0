"""Published output as a requirement, `Published`, whose unique id contains the version that is published.

One version counts for a whole build: it is looked at when an id is first needed, and every task loads its stored
content, also if another one is published meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import luigi
from luigi import task_register

from kart_runtime.errors import ObjectMissing
from kart_runtime.history.publication import SHORT, Publication, check_path, codec_of, is_folder_name
from kart_runtime.history.published import PublishedFile
from kart_runtime.storage.codecs.file_processors import as_codec
from kart_runtime.task.input_file import CONTENT, InputFile, InputTarget, given_type
from kart_runtime.task.placeholders import matches

T = TypeVar("T")


class Published(InputFile[T]):
    """Output that was published under a fixed name, with a value of the type `T`.

    The unique id contains the name and the content that is published: when another one is published, or an earlier one
    again, all tasks that require it get another id. After a step back, what they stored before is complete again.

    Subclass it to give a name that configuration can refer to, another codec, or a schema.

    Attributes
    ----------
    path
        Name below the workspace, as it was given to ``kart publish --as`` or to the attribute `publish` of a task.
    workspace
        Workspace that it was published in; None: that of this task.

    Examples
    --------
    >>> class Predict(TaskOnKart[pd.DataFrame]):
    ...     def requires(self):
    ...         return Published[Model]("models/current.zip")
    """

    path: luigi.Parameter[str] = luigi.Parameter(description="path below the workspace that an output is published as")
    workspace: luigi.OptionalParameter = luigi.OptionalParameter(
        default=None, description="workspace that it was published in (default: that of this task)"
    )

    if TYPE_CHECKING:  # which know luigi's parameters by name only

        def __init__(self, path: str = ..., workspace: str | None = ..., **engine: Any) -> None: ...

    @property
    def file(self) -> PublishedFile:
        """Return the name in its workspace."""
        workspace = self.workspace or self.workspace_directory
        check_path(self.path, workspace)
        return PublishedFile(workspace, self.path)

    @property
    def url(self) -> str:
        """Return the url or path of the published file."""
        return self.file.url

    @property
    def publication(self) -> Publication | None:
        """Return the record of what is published; None if nothing is, or if kart has not published it."""
        return self.file.find(self._texts()[CONTENT])

    def output(self) -> Any:
        """Return the target, which loads the version that the unique id stands for."""
        codec = codec_of(self.path) if self.processor is None else as_codec(self.processor)
        target = _PublishedTarget(self.url, codec, given_type(self))
        target.task = self
        target.workspace = self.workspace
        if self.schema is not None:
            target.check = lambda value, _: self._check_schema(target.url, value, "input")
        return target

    def missing(self) -> str:
        """Return what is missing, and how to publish it, as sentences."""
        return str(self.not_published())

    def not_published(self) -> ObjectMissing:
        """Return the error for a name under which nothing is published."""
        return self.file.missing(f"kart publish {_publisher(self.path) or 'TASK'}")

    def label(self) -> str:
        """Return the name for tables and trees: what is published, and what it is made of."""
        content = self._texts()[CONTENT]
        entry = self.publication
        source = content[:SHORT] if entry is None else entry.source
        return f"{type(self).__name__}({self.path}{': ' if source else ''}{source})"

    def _content(self) -> str:
        return self.file.current()

    def __hash__(self) -> int:
        return hash((type(self), self.workspace, self.path))

    __eq__ = InputFile.__eq__


class _PublishedTarget(InputTarget):
    """Published file, of which the stored content of one version is loaded."""

    __slots__ = ()

    def _needs_signature(self) -> bool:
        """Return True: what has a published name counts as kart's, and its record could be taken away."""
        return True

    def load(self) -> Any:
        """Return the value of the version that the unique id stands for."""
        task = cast("Published[Any]", self.task)
        version = task._texts()[CONTENT]
        if not version:
            raise task.not_published()
        file = task.file
        stored = file.target(version, self._codec, self.as_type)
        if stored is None and not is_folder_name(task.path):  # somebody has copied a file there
            return super().load()
        stored = stored or file.published_target(self._codec, self.as_type)
        stored.check = self.check
        return stored.load()


def _publisher(path: str) -> str:
    """Return the name of a task class that publishes under a path by its attribute; "" if there is none."""
    for cls in task_register.Register._reg:
        publish = vars(cls).get("publish") if isinstance(cls, type) else None
        names = publish.values() if isinstance(publish, Mapping) else [publish]
        if any(isinstance(name, str) and matches(name, path) for name in names):
            return str(cls.__name__)
    return ""


def load_published(workspace: str, path: str, as_type: Any = None) -> Any:
    """Return the value that is published under a name; needs no project.

    Parameters
    ----------
    workspace
        Folder or url of the workspace.
    path
        Name below the workspace.
    as_type
        Type that the task declares to store, for formats that can hold several, such as ``polars.DataFrame``.

    Raises
    ------
    ObjectMissing
        If nothing is published there.
    ObjectCorrupt
        If the bytes are not those that were published.
    """
    file, version = _published(workspace, path)
    target = file.target(version, as_type=as_type)
    return (target or file.published_target(as_type=as_type)).load()


def find_publication(workspace: str, path: str) -> Publication:
    """Return the record of what is published under a name: task, unique id, parameters, run, metrics.

    Parameters
    ----------
    workspace
        Folder or url of the workspace.
    path
        Name below the workspace.

    Raises
    ------
    ObjectMissing
        If nothing is published there.
    """
    file, version = _published(workspace, path)
    return file.find(version) or Publication(path, version, 0, "")


def _published(workspace: str, path: str) -> tuple[PublishedFile, str]:
    """Return a name in a workspace, and the id of what is published under it."""
    check_path(path, workspace)
    file = PublishedFile(workspace, path)
    version = file.current()
    if not version:
        raise file.missing()
    return file, version
