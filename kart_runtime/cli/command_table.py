"""Table of the commands: names, help texts and arguments. A command's module is imported when the command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, cast


class Command(NamedTuple):
    """One command, as the parser shows it; `module` in `kart_runtime.cli.commands` executes it."""

    name: str
    help: str
    description: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    module: str

    def load(self) -> Callable[[argparse.Namespace], int]:
        """Import the module of the command, and return the function that executes it."""
        module = import_module(f"kart_runtime.cli.commands.{self.module}")
        return cast("Callable[[argparse.Namespace], int]", module.execute)


_OVERRIDE = "override a value for this command, e.g., TrainModel.max_depth=5 or run.workspace=s3://bucket/folder"
_YES = "delete the files; without it, only list them"


def _add_words(parser: argparse.ArgumentParser, purpose: str, default: str = "run.task") -> None:
    """Add the free words of a command: task names and overrides."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK | KEY=VALUE",
        help=f"TASK: {purpose} (class name or dotted suffix of its path; default: {default}); KEY=VALUE: {_OVERRIDE}",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_words(parser, "task to run")
    parser.add_argument("--executor", metavar="KIND", help="serial, threads, processes or dask (default: run.executor)")
    parser.add_argument(
        "--workers", metavar="N", type=int, help="number of tasks to run in parallel (default: run.workers)"
    )
    parser.add_argument(
        "--address", metavar="URL", help="address of a Dask scheduler, tcp://HOST:8786 (default: run.address)"
    )
    parser.add_argument("--quiet", action="store_true", help="print only failures and the summary")
    _add_rerun(parser)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_words(parser, "task to plan")
    _add_rerun(parser)


def _add_rerun(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rerun",
        action="store_true",
        help="run each TASK again, and what depends on it in the plan of run.task, although they are complete",
    )
    parser.add_argument("--rerun-all", action="store_true", help="run every task of the plan again")


def _add_accept(parser: argparse.ArgumentParser) -> None:
    _add_words(parser, "task whose changes do not matter", default="all tasks that run.task needs")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    _add_words(parser, "task whose outputs to check", default="all tasks")
    parser.add_argument("--fix", action="store_true", help="delete damaged outputs, so that the next run computes them")


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="include the parameters that every task has")


def _add_config(parser: argparse.ArgumentParser) -> None:
    _add_words(parser, "task to show", default="all tasks")
    parser.add_argument("--all", action="store_true", help="include the parameters that every task has")


def _add_new_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        metavar="MODULE.ClassName",
        help="module below the tasks folder, and class: features.encode.EncodeColumns",
    )
    parser.add_argument(
        "--needs", action="append", default=[], metavar="TASK", help="task that it depends on; may be repeated"
    )
    # The formats are those of `project.result_types`, which is not imported for a help text.
    parser.add_argument(
        "--output", metavar="FORMAT", help="parquet, json, csv, pkl or png (default: what suits the type, else pkl)"
    )
    parser.add_argument(
        "--type", metavar="TYPE", help="type of the result, e.g., pd.DataFrame (default: what suits the format)"
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fix", action="store_true", help="create, complete and move files, so that tasks, YAML and tests match"
    )


_DRY_RUN = "show the changes as a diff, and make none"


def _add_rename_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="task to rename (class name or dotted suffix of its path)")
    parser.add_argument("new", metavar="NEW", help="ClassName, to stay in its module, or MODULE.ClassName")
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)


def _add_remove_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="TASK", help="task to remove (class name or dotted suffix of its path)")
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)


def _add_clean(parser: argparse.ArgumentParser) -> None:
    _add_words(parser, "task whose files to delete", default="all tasks")
    parser.add_argument(
        "--downstream", action="store_true", help="include what depends on TASK in the plan of run.task"
    )
    parser.add_argument("--yes", action="store_true", help=_YES)


def _add_gc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help=_OVERRIDE)
    # The defaults are those of `history.cleanup.retention.RetentionPolicy`, which is not imported for a help text.
    parser.add_argument(
        "--keep-runs",
        type=_runs,
        default=1,
        metavar="N",
        help="retain the last N runs, whatever their age (default: 1)",
    )
    parser.add_argument(
        "--keep-days", type=_days, default=30.0, metavar="D", help="retain the runs of the last D days (default: 30)"
    )
    parser.add_argument("--yes", action="store_true", help=_YES)


def _runs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of runs; expected at least 1")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not days >= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of days; expected at least 0")
    return days


def _add_migrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="PATH", help="file or folder")
    parser.add_argument("--write", action="store_true", help="change the files; without it, only show the changes")
    parser.add_argument(
        "--config", action="store_true", help="also convert each luigi configuration NAME.ini or NAME.cfg to NAME.yaml"
    )


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME | KEY=VALUE",
        help="NAME: name of the project; KEY=VALUE: answer to a prompt, e.g., storage=s3",
    )
    for prompt in ("project-name", "package-name", "description", "author", "storage", "ci"):
        parser.add_argument(f"--{prompt}", metavar="VALUE", help=f"answer to the prompt {prompt.replace('-', '_')}")
    parser.add_argument("--no-input", action="store_true", help="accept the defaults of the prompts without an answer")
    parser.add_argument(
        "--output-dir", metavar="DIR", default=".", help="where to create the folder (default: the current directory)"
    )
    _add_template(parser, "the template of this kart-runtime")


def _add_update(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="only say whether an update is available, and what it changes"
    )
    _add_template(parser, "the source in .kart-template.json")
    parser.add_argument(
        "--allow-dirty", action="store_true", help="update files with uncommitted changes, or outside a git repository"
    )
    parser.add_argument("--no-setup", action="store_true", help="neither install dependencies nor run the checks")


def _add_template(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--template",
        metavar="SOURCE",
        help=f"repository of the template (path or URL), or a wheel of kart-runtime (default: {default})",
    )
    parser.add_argument("--checkout", metavar="REF", help="branch, tag or commit (default: the default branch)")


COMMANDS = (
    Command(
        "run",
        "run tasks and their incomplete dependencies",
        "Run tasks and their incomplete dependencies. Without TASK, runs the task set in\nrun.task.",
        """\
examples:
  kart run
  kart run EvaluateModels --quiet
  kart run TrainModel.max_depth=2 run.seed=1
  kart run --env prod
  kart run TrainModel --rerun    train again, and evaluate again what depends on it
""",
        _add_run,
        "run",
    ),
    Command(
        "plan",
        "show which tasks would run, and why",
        "Show for each task, in the order of a run, whether it would run, and why. Nothing\nruns or changes.",
        """\
examples:
  kart plan
  kart plan TrainModel
  kart plan TrainModel.max_depth=2
""",
        _add_plan,
        "plan",
    ),
    Command(
        "tree",
        "show the dependency tree",
        "Show each task above the tasks that it requires, with its state: to run, done,\n"
        "not needed or missing. A task that several others require is expanded once.",
        """\
examples:
  kart tree
  kart tree EvaluateModels
""",
        lambda parser: _add_words(parser, "task to show"),
        "tree",
    ),
    Command(
        "list",
        "list task classes and their parameters",
        "List the task classes of each module, with the types and defaults of their\nparameters.",
        """\
examples:
  kart list
  kart list --all       include the parameters that every task has
""",
        _add_list,
        "list_tasks",
    ),
    Command(
        "config",
        "show every configuration value and its source",
        "Show the value of every setting and task parameter, with the file and line that\nset it.",
        """\
examples:
  kart config
  kart config TrainModel
  kart config --env prod
  kart config TrainModel.max_depth=2    show the values with this override
""",
        _add_config,
        "config",
    ),
    Command(
        "check",
        "check configuration, layout and plan",
        "Check the configuration of every environment (with --env, of that one), that task\n"
        "modules, configuration and tests mirror each other, and that run.task can be\n"
        "planned. Nothing runs. With --fix, first create what is missing, and move what\n"
        "clearly belongs elsewhere; nothing that you wrote is overwritten or deleted.",
        """\
examples:
  kart check
  kart check --fix
  kart check --env prod
""",
        _add_check,
        "check",
    ),
    Command(
        "new-task",
        "scaffold a task with its configuration and test",
        "Write a task class, its YAML and a test that passes. A module that exists gets a\n"
        "further class; a class that exists is left alone.",
        """\
examples:
  kart new-task features.encode.EncodeColumns
  kart new-task features.encode.EncodeColumns --needs SplitData --output parquet
  kart new-task model.count.CountRows --needs LoadData --type "dict[str, int]"
""",
        _add_new_task,
        "new_task",
    ),
    Command(
        "rename-task",
        "rename or move a task, and follow it everywhere",
        "Give a task another class name, another module, or both. Its module, YAML and\n"
        "test move, and imports, notebooks and references in YAML follow. All files\n"
        "change, or none.",
        """\
examples:
  kart rename-task TrainModel FitModel               another class name
  kart rename-task TrainModel model.fit.TrainModel   another module
  kart rename-task TrainModel model.fit.FitModel --dry-run
""",
        _add_rename_task,
        "rename_task",
    ),
    Command(
        "remove-task",
        "remove a task with its configuration and test",
        "Remove a task with its YAML and test. If anything uses the task, nothing is\n"
        "removed, and each place is named. Stored outputs stay.",
        """\
examples:
  kart remove-task EncodeColumns
  kart remove-task EncodeColumns --dry-run
""",
        _add_remove_task,
        "remove_task",
    ),
    Command(
        "clean",
        "delete outputs written by kart",
        "Delete the outputs and log files that the records of runs name: only files that\n"
        "kart has written, and only inside the workspace. Without --yes, nothing is deleted.",
        """\
examples:
  kart clean                    list what would be deleted
  kart clean --yes              delete all outputs
  kart clean TrainModel --yes   delete the outputs of one task
""",
        _add_clean,
        "clean",
    ),
    Command(
        "accept",
        "keep the outputs of changed tasks",
        "State that a change of code or input does not matter: complete tasks whose code, or\n"
        "whose inputs, have changed since they ran count as unchanged from now on. Nothing\n"
        "runs.",
        """\
examples:
  kart accept
  kart accept TrainModel
""",
        _add_accept,
        "accept",
    ),
    Command(
        "verify",
        "check stored outputs against their checksums",
        "Read every output that a run has recorded, and compare its size and checksum.\n"
        "Outputs without a record, such as those of gokart, are not checked.",
        """\
examples:
  kart verify
  kart verify TrainModel
  kart verify --fix       delete damaged outputs
""",
        _add_verify,
        "verify",
    ),
    Command(
        "gc",
        "delete outputs that no recent run uses",
        "Delete the outputs and log files of earlier runs that no retained run uses, the\n"
        "records of these runs, and what killed processes left behind. A run is retained if\n"
        "it is one of the last --keep-runs, if it started within --keep-days, or if it may\n"
        "still be active. Without --yes, nothing is deleted.",
        """\
examples:
  kart gc                               list what would be deleted
  kart gc --yes                         delete what no run of the last 30 days uses
  kart gc --keep-days 7 --keep-runs 20  retain the last 20 runs, and all runs of the last week
""",
        _add_gc,
        "gc",
    ),
    Command(
        "new",
        "generate a project from the template",
        "Generate a project from the template, as cookiecutter does: asks for the name and\n"
        "five more answers. Needs the extra 'new' (cookiecutter).",
        """\
examples:
  kart new
  kart new "Churn model" --storage s3 --no-input
  kart new --template https://example.com/kart.git --checkout v1
""",
        _add_new,
        "new",
    ),
    Command(
        "update",
        "update the project from its template",
        "Merge what has changed in the template since the project was generated or updated.\n"
        "Files that are yours (keep in [tool.kart.template]) are left alone. Then sets up and\n"
        "checks the project. Exit codes: 0 up to date or updated, 1 conflicts to solve or a\n"
        "check that failed, 2 refused and nothing changed, 3 an update is available (--check).",
        """\
examples:
  kart update --check                     show what an update would change
  kart update
  kart update --checkout v2               update to a branch, tag or commit
  kart update --template kart_runtime-0.2.0-py3-none-any.whl
""",
        _add_update,
        "update",
    ),
    Command(
        "migrate",
        "change imports of gokart to kart",
        "Show, as a diff, what changes in a project that imports gokart: its imports, and\n"
        "the names of gokart's modules in calls such as patch() and import_module(). Works\n"
        "in any folder. Without --write, nothing changes.",
        """\
examples:
  kart migrate .                           show the changes
  kart migrate . --write                   write them
  kart migrate conf/param.ini --config     show a luigi configuration as YAML
""",
        _add_migrate,
        "migrate",
    ),
)
