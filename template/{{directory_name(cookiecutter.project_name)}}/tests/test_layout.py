"""Each task module has its configuration and its test, and nothing is left over from a module that has gone."""

from kart_runtime.project import Session, check_layout


def test_tasks_configuration_and_tests_mirror_each_other(session: Session) -> None:
    assert check_layout(session.project) == []
