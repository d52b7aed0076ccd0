"""Table of the commands: names and help texts. A command's module is imported when the command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, cast

from kart_runtime.cli.command_arguments import (
    add_accept,
    add_check,
    add_clean,
    add_compare,
    add_config,
    add_diff,
    add_export,
    add_gc,
    add_graph,
    add_list,
    add_migrate,
    add_new,
    add_new_task,
    add_plan,
    add_publish,
    add_remove_sample,
    add_remove_task,
    add_rename_task,
    add_report,
    add_run,
    add_runs,
    add_search,
    add_show,
    add_sign,
    add_update,
    add_verify,
    add_why,
    add_words,
)


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
  kart run TrainModel.max_depth=2,4,8      one variant for each value
  kart run TrainModel.max_depth=1..9..2    the same for 1, 3, 5, 7 and 9
  kart run --env prod
  kart run TrainModel --rerun    train again, and evaluate again what depends on it
  kart run Daily day=yesterday
  kart run Daily --range day=2026-01-01..2026-03-31 --workers 4
""",
        add_run,
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
  kart plan TrainModel.max_depth=2,4,8
  kart plan --no-history               do not read the records of earlier runs
  kart plan Daily --range day=2026-01-01..yesterday
""",
        add_plan,
        "plan",
    ),
    Command(
        "why",
        "show why a task would run",
        "Show why a task would run, compared with the nearest earlier run: which parameter\n"
        "of it, or upstream of it, has another value, and where both values come from;\n"
        "which code or input has changed; or which run wrote the output that is gone. Of a\n"
        "task that would not run, show which run made its output. Nothing runs or changes.",
        """\
examples:
  kart why EvaluateModels
  kart why TrainModel.max_depth=2
  kart why model.train.TrainModel
  kart why 74393b26                    one task, by the beginning of its id
  kart why EvaluateModels --json
""",
        add_why,
        "why",
    ),
    Command(
        "report",
        "write one HTML file that shows a run",
        "Write one HTML file with the graph, timeline, tasks, metrics and previews of a run.\n"
        "It needs neither a network nor kart to be read.",
        """\
examples:
  kart report                        the last run, as report.html
  kart report --open
  kart report last~1 -o before.html
  kart report 77ab01c2 --no-previews
""",
        add_report,
        "report",
    ),
    Command(
        "search",
        "look for the values with the best metric",
        "Try values of parameters, one set a trial, and look for those with which a metric of\n"
        "TASK is best. The same command resumes: trials of the label are not repeated.",
        """\
examples:
  kart search EvaluateModels --metric forest.auc --max TrainModel.max_depth=2..12
  kart search EvaluateModels --metric loss --min 'TrainModel.lr=1e-4..1e-1 log' --trials 50 --workers 4
  kart search EvaluateModels --metric forest.auc --max TrainModel.kind=tree,forest --sampler random --seed 1
""",
        add_search,
        "search",
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
        lambda parser: add_words(parser, "task to show"),
        "tree",
    ),
    Command(
        "runs",
        "list the runs of the workspace",
        "List what has run in the workspace, newest first: when, how long, with which result,\nand what was asked for.",
        """\
examples:
  kart runs
  kart runs --failed --since 7d
  kart runs --task TrainModel --all
  kart runs --env prod --json
  kart runs run.workspace=s3://bucket/folder
""",
        add_runs,
        "runs",
    ),
    Command(
        "show",
        "show a run, or what a task did in it",
        "Show a run with its tasks, slowest first; or a task in full: why it ran, parameters,\n"
        "metrics, outputs, code and log.\n\n"
        "RUN is last, last~2 (two before), the start of its id, or its label. TASK is a class,\n"
        "or at least 6 characters of an id.",
        """\
examples:
  kart show                        the last run
  kart show last~1
  kart show last TrainModel
  kart show TrainModel             its newest attempt
  kart show 74393b26 --log
""",
        add_show,
        "show",
    ),
    Command(
        "diff",
        "show what differs between two runs",
        "Show what differs between two runs: given values, versions of libraries, code, tasks,\n"
        "time and metrics. RUN is last, last~2, the start of an id, or a label.",
        """\
examples:
  kart diff                    the last run with the one before
  kart diff last~3             the last run with an earlier one
  kart diff 20261126T2315 shallow
""",
        add_diff,
        "diff",
    ),
    Command(
        "compare",
        "compare the parameters and metrics of a task's variants",
        "Show a line for each variant of a task that has run: the parameters that differ, its\n"
        "own and those of everything upstream, and its metrics. Of a task without metrics,\n"
        "those of the nearest tasks upstream. A star marks the best value: the highest, or\n"
        "the lowest if the name says loss, error, rmse, seconds and the like.",
        """\
examples:
  kart compare EvaluateModels
  kart compare EvaluateModels --sort forest.auc
  kart compare TrainModel --sort residual --min --all-columns
  kart compare 74393b26 f1b20b7e
  kart compare EvaluateModels --csv > variants.csv
""",
        add_compare,
        "compare",
    ),
    Command(
        "graph",
        "print the dependency graph as Mermaid, DOT or JSON",
        "Print the graph of the plan, or of a past run, as text for other programs. Mermaid\n"
        "is drawn by GitHub, GitLab and Jupyter, DOT by Graphviz. A graph that is too large\n"
        "for Mermaid becomes that of the classes, or of the modules.",
        """\
examples:
  kart graph
  kart graph EvaluateModels --level class
  kart graph --run last --format json -o graph.json
  kart graph --format dot | dot -Tsvg > graph.svg
""",
        add_graph,
        "graph",
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
        add_list,
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
        add_config,
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
        add_check,
        "check",
    ),
    Command(
        "new-task",
        "scaffold a task with its test",
        "Write a task class that runs, and a test that passes. A module that exists gets a\n"
        "further class; a class that exists is left alone.",
        """\
examples:
  kart new-task features.encode.EncodeColumns
  kart new-task features.encode.EncodeColumns --needs SplitData --output parquet
  kart new-task model.count.CountRows --needs LoadData --type "dict[str, int]"
""",
        add_new_task,
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
        add_rename_task,
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
        add_remove_task,
        "remove_task",
    ),
    Command(
        "remove-sample",
        "remove the sample that the project was generated with",
        "Remove the sample's tasks, configuration, tests, functions and data, what notebooks\n"
        "and documents say about them, and libraries that nothing else imports. What you\n"
        "have written stays; if it uses the sample, nothing is removed, and each place is\n"
        "named. Stored outputs stay.",
        """\
examples:
  kart remove-sample --dry-run
  kart remove-sample
  kart remove-sample --changed    also files of the sample that you have changed
""",
        add_remove_sample,
        "remove_sample",
    ),
    Command(
        "publish",
        "give an output a fixed name, or go back to an earlier one",
        "Copy the output of a complete task to a fixed path below its workspace, in one step,\n"
        "with a record of task, id, run and metrics. What was published before is kept, and\n"
        "can be published again with --back. Tasks require it as Published(PATH).",
        """\
examples:
  kart publish TrainModel --as models/current.zip
  kart publish TrainModel.max_depth=5 --as models/current.zip --run
  kart publish --list
  kart publish --list models/current.zip
  kart publish --back models/current.zip        publish what was published before
  kart publish --back models/current.zip 2      the one before that
  kart publish --back models/current.zip --to 5b1ae537
""",
        add_publish,
        "publish",
    ),
    Command(
        "export",
        "send a run to MLflow, OpenTelemetry, a webhook or OpenLineage",
        "Send what is recorded of a run to another tool, also of one that ended long ago, or\n"
        "that run.export could not send. Addresses come from the tools' own environment\n"
        "variables. Sending twice does no harm: MLflow and OpenTelemetry get the same ids again.",
        """\
examples:
  kart export --to mlflow                        the last run
  kart export last~1 --to webhook
  kart export 20261126T2333 --to otel --to openlineage
  kart export shallow --to my_package.exporting:Ours   the run with this label, by a class of your own
""",
        add_export,
        "export",
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
        add_clean,
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
        add_accept,
        "accept",
    ),
    Command(
        "sign",
        "sign outputs that were stored without a key",
        "Sign the outputs of tasks, and of all that they need, which were stored before\n"
        "KART_SIGNING_KEY was set or with a key that is gone, and the records of their runs.\n"
        "Outputs that differ from their records are refused. Without --yes, nothing is\n"
        "signed.",
        """\
examples:
  kart sign                     list what would be signed
  kart sign --yes               sign it
  kart sign TrainModel --yes    sign what one task needs
""",
        add_sign,
        "sign",
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
        add_verify,
        "verify",
    ),
    Command(
        "gc",
        "delete outputs that no recent run uses",
        "Delete the outputs and log files of earlier runs that no retained run uses, the\n"
        "records of these runs, and what killed processes left behind. A run is retained if\n"
        "it is one of the last --keep-runs of its project, environment and requested task, if\n"
        "it started within --keep-days, or if it may still be active. New builds wait while\n"
        "files are deleted. Without --yes, nothing is deleted.",
        """\
examples:
  kart gc                               list what would be deleted
  kart gc --yes                         delete what no run of the last 30 days uses
  kart gc --keep-days 7 --keep-runs 20  retain the last 20 runs, and all runs of the last week
""",
        add_gc,
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
        add_new,
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
        add_update,
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
        add_migrate,
        "migrate",
    ),
)
