"""Update of a project from its template: find both versions, render them, merge, write, set up, check."""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.project.template import apply, environment
from kart_runtime.project.template.git import in_repository, uncommitted
from kart_runtime.project.template.merge import Change, Merge, merge
from kart_runtime.project.template.record import (
    CRUFT,
    INSTALLED,
    RECORD,
    Record,
    TemplateError,
    conflict_lines,
    read_record,
)
from kart_runtime.project.template.render import new_record, render
from kart_runtime.project.template.sources import (
    Clone,
    Template,
    clone,
    is_git,
    open_files,
    open_wheel,
    vendored_wheels,
)

_MOST = 20
"""Files that a message lists."""


class Result(enum.Enum):
    """Result of an update."""

    DONE = "done"
    """Up to date, or updated and checked."""
    TO_SOLVE = "to solve"
    """Conflicts, or checks that fail."""
    AVAILABLE = "available"
    """An update is available, and `check` was given."""


@dataclass(frozen=True)
class Options:
    """Options of `kart update`.

    Attributes
    ----------
    check
        Only say whether an update is available.
    template
        Source to update from; None: that of the record.
    checkout
        Branch, tag or commit; None: the default branch.
    allow_dirty
        Update files with uncommitted changes, or outside git.
    setup
        Set up and check the project afterwards.
    """

    check: bool = False
    template: str | None = None
    checkout: str | None = None
    allow_dirty: bool = False
    setup: bool = True


def update(root: Path, options: Options, say: Callable[[str], None]) -> Result:
    """Update a project.

    Parameters
    ----------
    root
        Folder of the project.
    options
        What to update from, and how.
    say
        Callback that receives the lines to print.

    Returns
    -------
    Result
        What is left to do.

    Raises
    ------
    TemplateError
        The update is refused; no file of the project has changed.
    """
    if apply.pending(root):
        if options.check:
            say(f"An update was interrupted. Run `kart update` to finish it ({apply.PLAN}).")
            return Result.TO_SOLVE
        say("Finishing an update that was interrupted.")
        apply.finish(root)
        return _conclude(root, options, say)
    record = read_record(root)
    if record.target is not None:
        return _resume(root, record, options, say)
    with tempfile.TemporaryDirectory(prefix="kart-update-", ignore_cleanup_errors=True) as folder:
        return _Update(root, record, options, say, Path(folder).resolve()).run()


def _resume(root: Path, record: Record, options: Options, say: Callable[[str], None]) -> Result:
    """List the conflicts that are left of an earlier update, or finish it."""
    lines = conflict_lines(root, record.conflicts)
    if lines or options.check:
        say("An earlier update is not finished:" if lines else "The conflicts of an earlier update are solved.")
        for line in lines:
            say(f"  {line}")
        say("Then run `kart update` again." if lines else "Run `kart update` to finish it.")
        return Result.TO_SOLVE
    assert record.target is not None
    content = (root / RECORD).read_bytes()
    apply.apply(root, [Change(RECORD, content, record.target.to_json())])
    say("All conflicts of the update are solved.")
    return _conclude(root, options, say)


def _conclude(root: Path, options: Options, say: Callable[[str], None]) -> Result:
    """After the files are written: list conflicts, or set up and check; say what is not committed."""
    record = read_record(root)
    failed: list[str] = []
    if record.target is not None:
        say("Conflicts to solve by hand:")
        for line in conflict_lines(root, record.conflicts):
            say(f"  {line}")
        say("`kart check` reports them until they are solved. Then run `kart update` again: it sets up and checks.")
    elif options.setup:
        failed = environment.set_up(root, say) or environment.run_checks(root, say)
    _list_uncommitted(root, say)
    if record.target is not None:
        return Result.TO_SOLVE
    for command in failed:
        say(f"failed: {command}")
    say("The project is updated, but see what failed." if failed else f"Updated to {record.described()}.")
    return Result.TO_SOLVE if failed else Result.DONE


def _list_uncommitted(root: Path, say: Callable[[str], None]) -> None:
    if in_repository(root):
        files = uncommitted(root)
        if files:
            say(f"Not committed yet: {_listed(files)}")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + rest


@dataclass
class _Update:
    """One update, with a temporary folder for clones and renders."""

    root: Path
    record: Record
    options: Options
    say: Callable[[str], None]
    folder: Path

    def run(self) -> Result:
        if not (self.options.check or self.options.allow_dirty or in_repository(self.root)):
            raise TemplateError(
                "the project is not in a git repository, so an update could not be undone. Commit it first (git init, "
                "git add --all, git commit), or pass --allow-dirty."
            )
        history, new = self._new_template()
        if new.commit is not None and self._is_current(history, new.commit):
            self.say(f"Up to date with {new.source}: {self.record.described()}.")
            return Result.DONE
        base = self._base_template(history)
        if base is None:
            self.say("Without it, every difference to the new template is a conflict.")
        old = None
        if base is not None:
            self.say(f"Rendering the template of {base.version} and of {new.version}.")
            old = render(base, self.record.answers, self.folder / "old")
        rendered = render(new, self.record.answers, self.folder / "new")
        target = new_record(rendered, self.record.answers, new)
        result = merge(old, self.root, rendered)
        return self._finish(result, target, lost=base is None)

    def _new_template(self) -> tuple[Clone | None, Template]:
        """Return the clone of the source, if it has a history, and its version to update to."""
        source = self.options.template or self.record.source
        if not is_git(source):
            if self.options.checkout is not None:
                raise TemplateError(f"--checkout needs a git repository, and {source} is none.")
            template = open_files(source, self.folder / "source")
            if source == INSTALLED:
                self.say(f"The template is that of the kart-runtime {template.version} which runs this command.")
            return None, template
        self.say(f"Cloning {source}.")
        history = clone(source, self.folder / "clone")
        commit = history.resolve(self.options.checkout)
        return history, history.checkout(commit, self.record.directory, self.folder / "source")

    def _is_current(self, history: Clone | None, commit: str) -> bool:
        """Return whether the project has a commit already; an explicit --checkout may also go back."""
        recorded = self.record.commit
        if recorded is None or history is None:
            return False
        older = self.options.checkout is None and history.has(recorded) and history.is_ancestor(commit, recorded)
        return recorded == commit or older

    def _base_template(self, history: Clone | None) -> Template | None:
        """Return the recorded version of the template: from the history, else from the wheel in vendor/."""
        commit = self.record.commit
        if history is not None and commit is not None and history.has(commit):
            return history.checkout(commit, self.record.directory, self.folder / "base")
        for wheel in vendored_wheels(self.root):
            try:
                template = open_wheel(wheel, self.folder / wheel.stem)
            except TemplateError:
                continue
            if self.record.version in (None, template.version):
                if commit is not None:
                    self.say(f"Commit {commit[:9]} is not in the history; using the template in vendor/{wheel.name}.")
                return template
        return self._recorded_source()

    def _recorded_source(self) -> Template | None:
        """Return the recorded version from the recorded source, if --template has named another one."""
        commit = self.record.commit
        if self.options.template is not None and commit is not None and is_git(self.record.source):
            try:
                history = clone(self.record.source, self.folder / "recorded")
                return history.checkout(commit, self.record.directory, self.folder / "base")
            except TemplateError:
                pass
        name = f"Commit {commit[:9]}" if commit is not None else f"Version {self.record.version}"
        self.say(f"{name} of the template cannot be found, neither in a history nor in vendor/.")
        return None

    def _finish(self, result: Merge, target: Record, *, lost: bool) -> Result:
        changed = [change.path for change in result.changes]
        if self.options.check:
            return self._report(result, target)
        if not self.options.allow_dirty:
            self._refuse_uncommitted([*changed, RECORD])
        for line in (*self._answers(target), *result.notes):
            self.say(line)
        if result.own:
            self.say(f"Yours, left alone although the template has changed them: {_listed(result.own)}")
        cruft = self.root / CRUFT
        record_path = self.root / RECORD
        before = record_path.read_bytes() if record_path.is_file() else None
        unfinished = self.record.unfinished(target, tuple(result.conflicts))
        content = (unfinished if result.conflicts else target).to_json()
        changes = [change for change in result.changes if change.before != change.after]
        if not changes and not cruft.is_file():
            apply.apply(self.root, [Change(RECORD, before, content)] if before != content else [])
            self.say(f"Up to date: {target.described()} changes nothing in this project.")
            return Result.DONE
        for change in changes:
            self.say(f"  {_verb(change, result.conflicts)} {change.path}")
        changes.append(Change(RECORD, before, content))
        if cruft.is_file():
            changes.append(Change(CRUFT, cruft.read_bytes(), None))
            self.say(f"  replaced {CRUFT} by {RECORD}")
        apply.apply(self.root, changes)
        return _conclude(self.root, self.options, self.say)

    def _report(self, result: Merge, target: Record) -> Result:
        """Say what an update would change."""
        if not result.changes:
            self.say(f"Up to date: {target.described()} changes nothing in this project.")
            return Result.DONE
        self.say(f"An update is available: {self.record.described()} to {target.described()}. It would change:")
        for change in result.changes:
            self.say(f"  {change.path}{' (conflict)' if change.path in result.conflicts else ''}")
        self.say("Run `kart update` to apply it.")
        return Result.AVAILABLE

    def _refuse_uncommitted(self, paths: list[str]) -> None:
        dirty = uncommitted(self.root, *paths)
        if dirty:
            raise TemplateError(
                f"the update would change files with uncommitted changes: {_listed(dirty)}. Commit or stash them first, "
                "or pass --allow-dirty."
            )

    def _answers(self, target: Record) -> list[str]:
        """Return a line for each prompt that the new template has added or removed."""
        old, new = self.record.answers, target.answers
        added = [f"new prompt {name}: answered with the default, {new[name]!r}" for name in new if name not in old]
        return added + [
            f"prompt {name} is gone; its answer {old[name]!r} is dropped" for name in old if name not in new
        ]


def _verb(change: Change, conflicts: list[str]) -> str:
    if change.path in conflicts:
        return "CONFLICT"
    if change.after is None:
        return "deleted "
    return "added   " if change.before is None else "updated "
