"""Tests that each task module has configuration and tests, and that neither exists without a task module."""

from kart_runtime.project import Session, check_layout


def test_tasks_configuration_and_tests_mirror_each_other(session: Session) -> None:
    assert check_layout(session.project) == []
