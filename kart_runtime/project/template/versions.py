"""The two versions of the template between which a project is updated: the recorded one, and the new one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.project.template.git import in_repository, uncommitted
from kart_runtime.project.template.record import INSTALLED, Record, TemplateError
from kart_runtime.project.template.sources import (
    Clone,
    Template,
    clone,
    is_git,
    open_files,
    open_wheel,
    vendored_wheels,
)


@dataclass
class Versions:
    """Finds the versions, in a temporary folder.

    Attributes
    ----------
    root
        Folder of the project.
    record
        Record of the project.
    folder
        Folder for clones and unpacked wheels.
    say
        Callback that receives the lines to print.
    """

    root: Path
    record: Record
    folder: Path
    say: Callable[[str], None]
    _history: Clone | None = None

    def new(self, source: str, checkout: str | None) -> Template:
        """Return the version of a source to update to: that of `checkout`, or of the default branch."""
        if is_git(source):
            self._say_uncommitted(source)
            self.say(f"Cloning {source}.")
            self._history = clone(source, self.folder / "clone")
            commit = self._history.resolve(checkout)
            return self._history.checkout(commit, self.record.directory, self.folder / "new-template")
        if checkout is not None:
            raise TemplateError(f"--checkout needs a git repository, and {source} is none.")
        template = open_files(source, self.folder / "new-template")
        if source == INSTALLED:
            self._check_installed(template)
        return template

    def is_current(self, new: Template, *, pinned: bool) -> bool:
        """Return whether the project has this version already, or a later one unless an earlier one is `pinned`."""
        recorded = self.record.commit
        if recorded is None or new.commit is None or self._history is None:
            return False
        if recorded == new.commit:
            return self.record.source == new.source
        return not pinned and self._history.has(recorded) and self._history.is_ancestor(new.commit, recorded)

    def recorded(self) -> Template | None:
        """Return the recorded version: from the history, else from the wheel in vendor/; None if it is lost."""
        commit = self.record.commit
        if self._history is not None and commit is not None and self._history.has(commit):
            return self._history.checkout(commit, self.record.directory, self.folder / "old-template")
        name = f"commit {commit[:9]}" if commit is not None else f"version {self.record.version}"
        template = self._vendored()
        if template is not None:
            self.say(f"The template before: {name}, from the wheel in vendor/.")
            return template
        template = self._recorded_source(commit) if commit is not None else None
        if template is None:
            self.say(
                f"The template before, {name}, is lost: it is neither in the repository's history nor in vendor/. "
                "Every difference to the new template becomes a conflict."
            )
        return template

    def _vendored(self) -> Template | None:
        for wheel in vendored_wheels(self.root):
            try:
                template = open_wheel(wheel, self.folder / wheel.stem)
            except TemplateError:
                continue
            if self.record.version in (None, template.version):
                return template
        return None

    def _recorded_source(self, commit: str) -> Template | None:
        """Return the recorded version from the recorded source, if another one is the new version's."""
        if (self._history is not None and self._history.source == self.record.source) or not is_git(self.record.source):
            return None
        try:
            self.say(f"Cloning {self.record.source}.")
            history = clone(self.record.source, self.folder / "recorded")
            return history.checkout(commit, self.record.directory, self.folder / "old-template")
        except TemplateError:
            return None

    def _check_installed(self, template: Template) -> None:
        """Say which template is used; raise `TemplateError` if it is older than the project's."""
        version = self.record.version
        if version is not None and _numbers(template.version) < _numbers(version):
            raise TemplateError(
                f"this is kart-runtime {template.version}, and the project has the template of {version}. Run a newer "
                "kart-runtime, or pass --template with its wheel or its repository."
            )
        self.say(
            f"Using the template of this kart-runtime, {template.version}; for another one, pass --template with its "
            "wheel or its repository."
        )

    def _say_uncommitted(self, source: str) -> None:
        path = Path(source).expanduser()
        if path.is_dir() and in_repository(path) and uncommitted(path):
            self.say(f"{source} has uncommitted changes, which are not used.")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
