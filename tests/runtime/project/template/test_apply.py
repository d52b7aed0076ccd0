"""Writing of an update: interrupted anywhere, the project is as before, or the next call finishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kart_runtime.project.template import apply
from kart_runtime.project.template.merge import Change
from kart_runtime.project.template.record import PLAN, TemplateError

BEFORE = {"a": b"1", "b/c": b"1", "record": b"old", "own": b"x"}
CHANGES = [
    Change("a", b"1", b"2"),
    Change("new/d", None, b"2"),
    Change("b/c", b"1", None),
    Change("record", b"old", b"new"),
]
AFTER = {"a": b"2", "new/d": b"2", "record": b"new", "own": b"x"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return fill(tmp_path / "project", BEFORE)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killed(BaseException):
    """What no code of ours catches."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the call with this number, of those that change a folder, raise instead."""
    calls = iter(range(1000))

    def killing(method):
        def call(*args, **kwargs):
            if next(calls) == number:
                raise Killed
            return method(*args, **kwargs)

        return call

    for name in ("replace", "unlink", "mkdir", "write_bytes", "write_text", "rmdir"):
        monkeypatch.setattr(Path, name, killing(getattr(Path, name)))
    monkeypatch.setattr(apply.shutil, "rmtree", killing(apply.shutil.rmtree))


def test_changes_are_written_and_nothing_is_left_behind(project):
    apply.apply(project, CHANGES)
    assert files(project) == AFTER
    assert not (project / "b").exists()
    assert not (project / PLAN).exists()


def test_killed_at_any_step_the_old_state_is_there_or_the_next_call_finishes(tmp_path):
    interrupted = resumed = 0
    for number in range(100):
        project = fill(tmp_path / str(number), BEFORE)
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, number)
            try:
                apply.apply(project, CHANGES)
                done = True
            except Killed:
                done = False
        if done:
            break
        interrupted += 1
        if apply.pending(project):
            resumed += 1
            apply.finish(project)
            assert files(project) == AFTER
        else:
            visible = {name: content for name, content in files(project).items() if not name.startswith(PLAN)}
            assert visible in (BEFORE, AFTER)
            apply.discard(project)
            assert files(project) == visible
    assert interrupted > resumed > len(CHANGES)
    assert files(project) == AFTER


def test_what_was_edited_after_the_interruption_is_not_overwritten(project, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "_take", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            apply.apply(project, CHANGES)
    (project / "a").write_bytes(b"own")
    with pytest.raises(TemplateError, match=r"changed since: a\. Restore"):
        apply.finish(project)
    assert files(project)["a"] == b"own"
    assert files(project)["record"] == b"old"
    (project / "a").write_bytes(b"1")
    apply.finish(project)
    assert files(project) == AFTER


@pytest.mark.skipif(not hasattr(Path, "chmod"), reason="no modes")
def test_a_replaced_file_keeps_its_mode(project):
    (project / "a").chmod(0o755)
    apply.apply(project, CHANGES)
    assert (project / "a").stat().st_mode & 0o777 == 0o755
