"""Run of a pipeline by luigi's command line: ``python main.py my_package.Train --rate 0.1 --local-scheduler``.

`run` reads luigi's options, does what kart adds to them (a tree of the tasks, deletion of unnecessary outputs, a test
run, a report to Slack), lets luigi's worker run the task, and ends the program with an exit code.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, cast

import luigi
from luigi import execution_summary, interface, retcodes
from luigi.cmdline_parser import CmdlineParser
from luigi.setup_logging import InterfaceLogging

from kart_runtime.errors import ConfigError
from kart_runtime.gokart.config_files import check_sections
from kart_runtime.gokart.empty_dumps import check_tasks, test_run
from kart_runtime.gokart.slack.event_aggregator import EventAggregator
from kart_runtime.gokart.slack.slack_api import SlackAPI
from kart_runtime.gokart.slack.slack_config import SlackConfig
from kart_runtime.gokart.tree.task_info import make_tree_info, tree_info
from kart_runtime.gokart.workspace_management import delete_local_unnecessary_outputs
from kart_runtime.luigi_bridge import WorkerSchedulerFactory, mask_secrets
from kart_runtime.task.base import TaskOnKart

_log = logging.getLogger(__name__)

EXIT_CODES: Mapping[str, int] = {
    "already_running": 10,
    "missing_data": 20,
    "not_run": 30,
    "task_failed": 40,
    "scheduling_error": 50,
}
"""gokart's exit codes; the highest applies. The section ``[retcode]`` of luigi's configuration has precedence."""

_STATUS_CODES = (
    ("missing_data", "still_pending_ext"),
    ("task_failed", "failed"),
    ("already_running", "run_by_other_worker"),
    ("scheduling_error", "scheduling_error"),
    ("not_run", "not_run"),
)
"""Exit code for each part of luigi's summary."""


def run(cmdline_args: Sequence[str] | None = None, set_retcode: bool = True) -> NoReturn:
    """Run the task that luigi's command line names, and end the program.

    Parameters
    ----------
    cmdline_args
        Words after the program's name (default: those of this program).
    set_retcode
        Whether `EXIT_CODES` replace luigi's default exit codes.

    Raises
    ------
    SystemExit
        Always: 0, one of `EXIT_CODES`, 4 after an error inside luigi, 2 for unknown options.
    ConfigError
        An option has an invalid value; nothing has run.
    """
    args = list(sys.argv[1:] if cmdline_args is None else cmdline_args)
    mask_secrets()
    check_sections()
    _show_tree(args)
    _delete_outputs(args)
    try_to_run_test_for_empty_data_frame(args)
    api = _slack(args)
    with EventAggregator() as events:
        code = _run_by_luigi(args, _exit_codes(args, set_retcode), events)
    if api is not None:
        _report(args, api, events)
    sys.exit(code)


@contextmanager
def _parsed(args: list[str]) -> Iterator[luigi.Task]:
    """Parse the command line and give its task, while luigi knows the other options, too."""
    with CmdlineParser.global_instance(args) as parser:
        yield parser.get_task_obj()


def _show_tree(args: list[str]) -> None:
    with _parsed(args) as root:
        options = tree_info()
        if not options.mode:
            return
        if options.mode not in ("simple", "all"):
            raise ConfigError(
                f"unknown mode '{options.mode}'",
                file="command line",
                key="--tree-info-mode",
                expected='"simple" or "all"',
            )
        target = options.output()
        target.dump(make_tree_info(root, details=options.mode == "all"))
    _log.info("Wrote the task tree to %s.", target.path())
    sys.exit()


def _delete_outputs(args: list[str]) -> None:
    with _parsed(args) as root:
        if not isinstance(root, TaskOnKart) or not root.delete_unnecessary_output_files:
            return
        delete_local_unnecessary_outputs(root)
    sys.exit()


def try_to_run_test_for_empty_data_frame(cmdline_args: Sequence[str]) -> None:
    """With ``--test-run-pandas`` run the pipeline, then every task once more without storing, and end the program.

    Parameters
    ----------
    cmdline_args
        Words of luigi's command line.

    Raises
    ------
    SystemExit
        With that option: 0, or 1 if the pipeline or a task failed.
    """
    args = list(cmdline_args)
    with _parsed(args):
        options = test_run()
    if not options.pandas:
        return
    args = _without_test_options(args)
    try:
        run(args)
    except SystemExit as end:
        if end.code not in (0, None):
            _log.error("The test run was skipped: the pipeline ended with exit code %s.", end.code)
            sys.exit(1)
    with _parsed(args) as root:
        checks = check_tasks(root, options.namespace)
    sys.exit(0 if all(check.ok for check in checks) else 1)


def _without_test_options(args: list[str]) -> list[str]:
    others, words = [], iter(args)
    for word in words:
        if not word.startswith("--test-run-"):
            others.append(word)
        elif word != "--test-run-pandas" and "=" not in word:
            next(words, None)  # its value
    return others


# -- running ---------------------------------------------------------------------------------------------------------


def _exit_codes(args: list[str], set_retcode: bool) -> dict[str, int]:
    names = ("unhandled_exception", *EXIT_CODES)
    with CmdlineParser.global_instance(args) as parser:
        codes = {name: int(getattr(retcodes.retcode(), name)) for name in names}
        typed = [name for name in names if getattr(parser.known_args, f"retcode_{name}", None) is not None]
    config = luigi.configuration.get_config()
    if not set_retcode:
        return codes
    configured = {name for name in names if name in typed or config.has_option("retcode", name)}
    return codes | {name: code for name, code in EXIT_CODES.items() if name not in configured}


def _run_by_luigi(args: list[str], codes: Mapping[str, int], events: EventAggregator) -> int:
    try:
        worker = interface._run(args, worker_scheduler_factory=WorkerSchedulerFactory()).worker
    except interface.PidLockAlreadyTakenExit:
        return codes["already_running"]
    except Exception:
        with CmdlineParser.global_instance(args):
            InterfaceLogging.setup(cast("Any", interface.core()))  # it may have failed before luigi set up its log
        logging.getLogger("luigi-interface").exception("Uncaught exception in luigi")
        return codes["unhandled_exception"]
    with CmdlineParser.global_instance(args):
        tasks = execution_summary._summary_dict(worker)
        root = execution_summary._root_task(worker)
    events.add(tasks["completed"], tasks["failed"])
    code = max(codes[name] if tasks[status] else 0 for name, status in _STATUS_CODES)
    if code == 0 and root not in tasks["completed"] and root not in tasks["already_done"]:
        return codes["not_run"]
    return code


def _slack(args: list[str]) -> SlackAPI | None:
    with _parsed(args):
        config = SlackConfig()
    token = os.environ.get(config.token_name, "")
    if not token or not config.channel:
        _log.info("No report to Slack: %s", "no channel is set." if token else f"{config.token_name} is not set.")
        return None
    return SlackAPI(token, config.channel, config.to_user)


def _report(args: list[str], api: SlackAPI, events: EventAggregator) -> None:
    with _parsed(args) as root:
        send_tree = SlackConfig().send_tree_info
        tree = make_tree_info(root, details=True) if send_tree else "Set SlackConfig.send_tree_info to add the tree."
    lines = ["===== Event List ====", events.get_event_list(), os.linesep, "==== Tree Info ====", tree]
    comment = f"Report of {type(root).__name__}{os.linesep}{events.get_summary()}"
    api.send_snippet(comment=comment, title="event.txt", content=os.linesep.join(lines))
