"""`kart accept`: a change that does not matter is recorded, and nothing runs because of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kart_runtime.history import restarts, run_header
from kart_runtime.history.records import forget_records


@pytest.fixture
def changed(small_project, kart_process):
    """Return the folder of a project that has run and whose code has changed since."""
    root = small_project()
    assert run(kart_process, "run")[0] == 0
    module = next(root.glob("src/*/tasks/numbers.py"))
    module.write_text(module.read_text().replace("self.dump(", "_ = 1\n        self.dump(", 1))
    return root


def run(kart_process, *words):
    process = kart_process(*words)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_an_accepted_change_is_no_reason_to_run(changed, kart_process):
    assert "its code changed: " in run(kart_process, "plan", "run.code_changed=rerun")[1]
    code, out, _ = run(kart_process, "accept")
    assert code == 0
    assert "Accepted the changes of 1 task." in out
    assert "its code changed" not in run(kart_process, "plan", "run.code_changed=rerun")[1]
    assert run(kart_process, "accept")[1].strip() == "Nothing to accept."


def test_only_named_tasks_are_accepted(changed, kart_process):
    assert run(kart_process, "accept", "Total")[1].strip() == "Nothing to accept."
    assert run(kart_process, "accept", "Totl")[0] == 2


def test_a_change_is_named_by_run_and_plan(changed, kart_process):
    for command in ("plan", "run"):
        code, out, err = run(kart_process, command)
        assert code == 0
        assert "numbers.py: " in out + err
        assert "its code changed" in out + err
    code, out, _ = run(kart_process, "run", "run.code_changed=rerun")
    assert code == 0
    assert "its code changed" in out


def test_an_edited_output_can_be_accepted(small_project, kart):
    root = small_project()
    kart("run")
    output = next(Path(root).glob("outputs/**/Numbers_*.pkl"))
    if "log" in output.parts:
        output = next(path for path in Path(root).glob("outputs/**/Numbers_*.pkl") if "log" not in path.parts)
    output.write_bytes(b"\x80\x05]\x94(K\x01K\x02e.")
    forget_records()
    typed = kart("verify")
    assert typed.code == 1
    assert "Numbers" in typed.out
    assert kart("accept", "Numbers").code == 0
    forget_records()
    assert kart("verify").code == 0


@pytest.fixture
def start_machine(monkeypatch):
    """Return a function that makes this process one of another start of the machine."""

    def start(boot):
        forget_records()
        for module in (restarts, run_header):
            monkeypatch.setattr(module, "this_boot", lambda: f"machine {boot}")

    return start


@pytest.fixture
def torn(small_project, kart, start_machine):
    """Return the output of Numbers, which a power cut has damaged after it and Total have run."""
    small_project()
    start_machine("first")
    assert kart("run").code == 0
    [output] = [path for path in Path("outputs").rglob("Numbers_*.pkl") if "log" not in path.parts]
    status = output.stat()
    output.write_bytes(bytes(status.st_size))
    os.utime(output, ns=(status.st_atime_ns, status.st_mtime_ns))
    start_machine("second")
    return output


def test_what_a_power_cut_has_damaged_is_not_accepted(torn, kart):
    typed = kart("accept")
    assert "(not accepted: it runs again)" in typed.out
    assert typed.lines[-1] == "Nothing to accept."
    forget_records()
    assert kart("run").code == 0
    assert any(torn.read_bytes())


def test_accepting_a_task_does_not_hide_a_restart_from_later_builds(torn, kart):
    [total] = [path for path in Path("outputs").rglob("Total_*.pkl") if "log" not in path.parts]
    total.write_bytes(b"\x80\x05K\x07.")
    edited = time.time() + 3600  # later than what the restart may have damaged
    os.utime(total, (edited, edited))
    assert "Accepted the changes of 1 task." in kart("accept", "Total").out
    forget_records()
    assert kart("run").code == 0
    assert any(torn.read_bytes())
