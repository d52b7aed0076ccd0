"""Update of a project from its template: find both versions, render them, merge, write, set up, check."""

from __future__ import annotations

import enum
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kart_runtime.project.template import apply, environment
from kart_runtime.project.template.git import in_repository, uncommitted
from kart_runtime.project.template.merge import Change, Merge, kept_by, merge
from kart_runtime.project.template.record import CRUFT, PLAN, RECORD, Record, TemplateError, conflict_lines, read_record
from kart_runtime.project.template.render import new_record, render
from kart_runtime.project.template.sample import SAMPLE, follow_sample
from kart_runtime.project.template.versions import Versions

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
            say(f"An update was interrupted. Run `kart update` to finish it ({PLAN}).")
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
    sample: bytes | None = None
    """Record of the sample, when the update is done; None if the project has none."""

    def run(self) -> Result:
        options, record = self.options, self.record
        if not (options.check or options.allow_dirty or in_repository(self.root)):
            raise TemplateError(
                "the project is not in a git repository, so an update could not be undone. Commit it first (git init, "
                "git add --all, git commit), or pass --allow-dirty."
            )
        versions = Versions(self.root, record, self.folder, self.say)
        new = versions.new(options.template or record.source, options.checkout)
        converts = (self.root / CRUFT).is_file() and not options.check
        if versions.is_current(new, pinned=options.checkout is not None) and not converts:
            self.say(f"Up to date: {record.described()}.")
            return Result.DONE
        old = versions.recorded()
        self.say(f"Rendering {f'{old.version} and ' if old else ''}{new.version}.")
        base = render(old, record.answers, self.folder / "old") if old is not None else None
        rendered = render(new, record.answers, self.folder / "new")
        target = new_record(rendered, record.answers, new)
        self.sample = follow_sample(
            self.root, [*([base] if base else []), rendered], kept_by(base, self.root, rendered)
        )
        result = merge(base, self.root, rendered)
        return self._report(result, target) if options.check else self._write(result, target)

    def _report(self, result: Merge, target: Record) -> Result:
        """Say what an update would change."""
        if not result.changes:
            self.say(f"Up to date: {target.described()} changes nothing in this project.")
            return Result.DONE
        self.say(f"An update is available: {self.record.described()} to {target.described()}. It would change:")
        self._list(result)
        self.say("Run `kart update` to apply it.")
        return Result.AVAILABLE

    def _write(self, result: Merge, target: Record) -> Result:
        changes = [*result.changes, *self._record_changes(result, target)]
        if not self.options.allow_dirty:
            self._refuse_uncommitted([change.path for change in changes])
        if result.changes:
            self._list(result)
        for line in (*self._answers(target), *result.notes):
            self.say(line)
        apply.apply(self.root, changes)
        if not result.changes:
            self.say(f"Up to date: {target.described()} changes only {RECORD} in this project.")
            return Result.DONE
        return _conclude(self.root, self.options, self.say)

    def _list(self, result: Merge) -> None:
        for change in result.changes:
            self.say(f"  {_verb(change, result.conflicts)} {change.path}")
        if result.own:
            self.say(f"Yours, left alone although the template has changed them: {_listed(result.own)}")

    def _record_changes(self, result: Merge, target: Record) -> list[Change]:
        """Return the changes of the record, which come last; that of cruft is deleted."""
        path, cruft = self.root / RECORD, self.root / CRUFT
        record = self.record.unfinished(target, tuple(result.conflicts)) if result.conflicts else target
        sample = self.root / SAMPLE
        before = sample.read_bytes() if sample.is_file() else None
        changes = [Change(SAMPLE, before, self.sample)] if self.sample not in (None, before) else []
        changes += [Change(RECORD, path.read_bytes() if path.is_file() else None, record.to_json())]
        if cruft.is_file():
            self.say(f"{RECORD} replaces {CRUFT}.")
            changes.append(Change(CRUFT, cruft.read_bytes(), None))
        return changes

    def _refuse_uncommitted(self, paths: list[str]) -> None:
        dirty = uncommitted(self.root, *paths)
        if dirty:
            raise TemplateError(
                f"the update would change files with uncommitted changes: {_listed(dirty)}. Commit or stash them "
                "first, or pass --allow-dirty."
            )

    def _answers(self, target: Record) -> list[str]:
        """Return a line for each prompt that the new template has added or removed."""
        old, new = self.record.answers, target.answers
        added = [f"New prompt {name}, answered with its default: {new[name]!r}" for name in new if name not in old]
        dropped = [f"Prompt {name} is gone, and its answer dropped: {old[name]!r}" for name in old if name not in new]
        return added + dropped


def _verb(change: Change, conflicts: list[str]) -> str:
    if change.path in conflicts:
        return "CONFLICT"
    if change.after is None:
        return "deleted "
    return "added   " if change.before is None else "updated "
