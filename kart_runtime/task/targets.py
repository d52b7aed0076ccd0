"""Targets of a task: the methods of `TaskOnKart` that make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from kart_runtime.errors import UnknownFormat
from kart_runtime.storage.codecs.archive import Archive
from kart_runtime.storage.codecs.folder import SUFFIX as FOLDER_SUFFIX
from kart_runtime.storage.codecs.large_frames import LargeDataFrameProcessor
from kart_runtime.storage.target import Target, make_target, path_of
from kart_runtime.storage.workspace import Workspace
from kart_runtime.task import folders, placeholders, schemas
from kart_runtime.task.declared_type import declared_type, default_suffix
from kart_runtime.task.origin import recorded_outputs
from kart_runtime.task.parameters import under_active_overrides
from kart_runtime.task.state import Identity


class TaskTargets:
    """Base class of `TaskOnKart` with the methods that make targets."""

    _generic_base: ClassVar[Any]
    """The class whose type argument says what a task stores."""

    if TYPE_CHECKING:
        workspace_directory: Any
        local_temporary_directory: Any
        store_index_in_feather: Any
        schema: ClassVar[Any]
        _kart: Identity

        def make_unique_id(self) -> str:
            """Return the unique id; the task has it."""
            ...

        def output(self) -> Any:
            """Return the targets of the result; the task has it."""
            ...

    def make_target(
        self, relative_file_path: str | None = None, use_unique_id: bool = True, processor: Any = None
    ) -> Target:
        """Return a target in the workspace.

        Parameters
        ----------
        relative_file_path
            Path below the workspace; its suffix selects the format. By default a file named after the class, in the
            folder of its module: a pickle file unless `suffix` or `suffix_by_type` says otherwise; a folder if the
            class declares to store a `pathlib.Path`. ``{day}`` or ``{day:%Y/%m}`` stands for the value of the task's
            parameter `day`.
        use_unique_id
            Whether the unique id is added to the file's name.
        processor
            A codec, or a file processor of gokart's kind.
        """
        return self._target(relative_file_path, use_unique_id, processor)

    def make_folder_target(
        self,
        relative_path: str | None = None,
        use_unique_id: bool = True,
        partition_by: Sequence[str] | str = (),
    ) -> Target:
        """Return a target for a folder, which `folder` fills; whoever loads it gets a `pathlib.Path`.

        Parameters
        ----------
        relative_path
            Path of the folder below the workspace. By default one named after the class.
        use_unique_id
            Whether the unique id is added to the folder's name.
        partition_by
            Columns whose values name the subfolders of a table that is dumped.
        """
        path = self._default_path("") if relative_path is None else relative_path
        return folders.partitioned(self._target(folders.as_folder_path(path), use_unique_id, None), partition_by)

    def make_model_target(
        self,
        relative_file_path: str,
        save_function: Callable[[Any, str], Any],
        load_function: Callable[[str], Any],
        use_unique_id: bool = True,
    ) -> Target:
        """Return a target for a value that saves itself as files, which are stored in one zip file.

        Parameters
        ----------
        relative_file_path
            The path below the workspace; it ends in ``.zip``.
        save_function
            Function of the value and a path; writes to that path, or beside it.
        load_function
            Function of that path that returns the value; stored in the zip file, too.
        use_unique_id
            Whether the unique id is added to the file's name.

        Raises
        ------
        UnknownFormat
            The path does not end in ``.zip``.
        """
        if not relative_file_path.endswith(".zip"):
            raise UnknownFormat(relative_file_path, [".zip"], ".zip", str(self))
        archive = Archive(save_function, load_function, self.local_temporary_directory or None)
        return self._target(relative_file_path, use_unique_id, archive)

    def make_large_data_frame_target(
        self, relative_file_path: str | None = None, use_unique_id: bool = True, max_byte: int = 2**26
    ) -> Target:
        """Return a target for a pandas DataFrame, stored in parts in one zip file; the order of rows is preserved.

        Parameters
        ----------
        relative_file_path
            The path below the workspace; it ends in ``.zip``. By default a file named after the class.
        use_unique_id
            Whether the unique id is added to the file's name.
        max_byte
            Maximum size of a part, in bytes.
        """
        processor = LargeDataFrameProcessor(max_byte=max_byte)
        path = relative_file_path if relative_file_path is not None else self._default_path(".zip")
        return self.make_model_target(path, processor.save, LargeDataFrameProcessor.load, use_unique_id)

    def _default_path(self, suffix: str) -> str:
        return f"{self.__module__.replace('.', '/')}/{type(self).__name__}{suffix}"

    def _target(self, relative: str | None, use_unique_id: bool, processor: Any) -> Target:
        if not self._kart.overrides.by_class:  # made before there was a configuration, which may be in force by now
            task = under_active_overrides(self)
            if task is not self:
                return cast("Target", task._target(relative, use_unique_id, processor))
        if relative is None:
            cls: Any = type(self)
            is_open = processor is None and cls.suffix is None
            is_folder = is_open and folders.is_folder_type(declared_type(cls, self._generic_base))
            relative = self._default_path(FOLDER_SUFFIX if is_folder else default_suffix(self, self._generic_base))
        elif "{" in relative:
            relative = placeholders.filled(cast("Any", self), relative, use_unique_id)
        path = _joined(self.workspace_directory, relative)
        unique_id = self.make_unique_id() if use_unique_id else None
        try:
            target = make_target(
                path,
                unique_id,
                processor,
                store_index_in_feather=self.store_index_in_feather,
                as_type=declared_type(cast("Any", type(self)), self._generic_base),
            )
        except UnknownFormat as error:
            raise UnknownFormat(relative, error.known, error.suggestion, str(self)) from None
        target.owner = self
        target.records = recorded_outputs(self.workspace_directory)
        if self.schema is not None:
            target.check = partial(self._check_schema, target.url)
        return target

    def _check_schema(self, url: str, value: Any, when: schemas.When) -> None:
        outputs = self.output()
        named = outputs.items() if isinstance(outputs, dict) else ()
        key = next((key for key, target in named if path_of(target) == url), None)
        schemas.check_schema(str(self), schemas.schema_for(self.schema, key), value, when)


@lru_cache(maxsize=256)
def _joined(workspace: str, path: str) -> str:
    return Workspace(workspace).join(path)
