"""Arguments of the commands, and the checks of single arguments; `command_table` says which command has which."""

from __future__ import annotations

import argparse
import re

_OVERRIDE = "override a value for this command, e.g., TrainModel.max_depth=5 or run.workspace=s3://bucket/folder"
_YES = "delete the files; without it, only list them"


def add_words(parser: argparse.ArgumentParser, purpose: str, default: str = "run.task") -> None:
    """Add the free words of a command: task names and overrides."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK | KEY=VALUE",
        help=f"TASK: {purpose} (class name or dotted suffix of its path; default: {default}); KEY=VALUE: {_OVERRIDE}",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart run`."""
    add_words(parser, "task to run")
    add_executor(parser)
    add_limits(parser)
    parser.add_argument("--label", type=_label, metavar="TEXT", help="label of this run in the history, e.g., shallow")
    parser.add_argument("--quiet", action="store_true", help="print only failures, the summary, and what came out")
    parser.add_argument("--report", action="store_true", help="write report.html at the end, as kart report does")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print each task that ends, however many there are"
    )
    add_sweep(parser)
    add_range(parser)
    add_rerun(parser)


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where tasks run."""
    parser.add_argument("--executor", metavar="KIND", help="serial, threads, processes or dask (default: run.executor)")
    parser.add_argument(
        "--workers", metavar="N", type=int, help="number of tasks to run in parallel (default: run.workers)"
    )
    parser.add_argument(
        "--address", metavar="URL", help="address of a Dask scheduler, tcp://HOST:8786 (default: run.address)"
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how long and how often tasks are tried, and what a failure means for the others."""
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        help="end each try of a task after this time, unless its class has one; 0: no limit (default: run.timeout)",
    )
    parser.add_argument(
        "--retries",
        metavar="N",
        help="try a task that fails N times again, unless its class has retries (default: run.retries)",
    )
    failure = parser.add_mutually_exclusive_group()
    failure.add_argument(
        "--keep-going",
        dest="fail_fast",
        action="store_const",
        const="false",
        help="after a failure, run all tasks that do not depend on it (default: run.fail_fast)",
    )
    failure.add_argument(
        "--fail-fast",
        dest="fail_fast",
        action="store_const",
        const="true",
        help="after the first failure, start nothing more, and end what runs, as Ctrl-C does",
    )


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart search`."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK | KEY=VALUES",
        help="TASK: task that is measured (default: run.task); KEY=VALUES: what to try, e.g., "
        "TrainModel.max_depth=2..12, 'TrainModel.lr=1e-4..1e-1 log' or TrainModel.kind=tree,forest; with one value, "
        "an override of all trials",
    )
    parser.add_argument("--metric", metavar="NAME", required=True, help="metric of the task, e.g., forest.auc")
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--max", action="store_true", help="look for the highest value")
    direction.add_argument("--min", action="store_true", help="look for the lowest value")
    parser.add_argument(
        "--trials",
        metavar="N",
        type=int,
        default=20,
        help="number of trials, with those of the label that are known (default: 20)",
    )
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        help="random, or one of optuna: tpe, cmaes, gp, qmc (default: tpe if optuna is installed, else random)",
    )
    parser.add_argument("--seed", metavar="N", type=int, help="seed of the sampler (default: another one each time)")
    parser.add_argument(
        "--label", type=_label, metavar="TEXT", help="label of the search, by which it resumes (default: search-TASK)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    add_executor(parser)
    add_limits(parser)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart plan`."""
    add_words(parser, "task to plan")
    add_sweep(parser)
    add_range(parser)
    add_rerun(parser)
    parser.add_argument(
        "--no-history", action="store_true", help="do not compare with earlier runs to say why a task would run"
    )


def add_why(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart why`."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK | KEY=VALUE",
        help="TASK: class name, dotted suffix of its path, or the first 6 or more characters of an id "
        f"(default: all that would run); KEY=VALUE: {_OVERRIDE}",
    )
    add_sweep(parser)
    add_range(parser)
    add_rerun(parser)
    _add_forms(parser, None)


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart report`."""
    _add_history_words(
        parser, "RUN: last, last~1, the start of a run's id, or a label (default: the last that ran something)"
    )
    parser.set_defaults(json=False, csv=False)
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="report.html", help="file to write (default: report.html)"
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--no-previews", action="store_true", help="do not look into outputs")
    parser.add_argument("--force", action="store_true", help="replace FILE although it is no report")


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the options of several values for a key."""
    parser.add_argument(
        "--sweep",
        metavar="FILE",
        help="YAML file with several values for keys: a map of keys to lists, whose combinations are variants, or a "
        "list of maps, each of which is one",
    )
    parser.add_argument(
        "--max-variants", metavar="N", type=int, help="number of variants that a command may have (default: 100)"
    )


def add_graph(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart graph`."""
    add_words(parser, "task to draw, with all that it requires")
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="draw a past run instead of the plan: last, last~1, the start of its id, or its label",
    )
    # The names are those of `history.graph_texts`, which is not imported for a help text.
    parser.add_argument(
        "--format",
        choices=("mermaid", "dot", "json"),
        help="language of the text (default: by the name of FILE, .mmd, .dot, .gv or .json; else mermaid)",
    )
    parser.add_argument(
        "--level", choices=("task", "class", "module"), default="task", help="what a box stands for (default: task)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="file to write; without it, the text is printed")
    parser.add_argument("--force", action="store_true", help="replace FILE, also if kart graph has not written it")


def add_range(parser: argparse.ArgumentParser) -> None:
    """Add the options that run a task for each date or number of a range."""
    parser.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="PARAM=FIRST..LAST",
        help="run what is not complete from FIRST to LAST, both included, e.g., day=2026-01-01..yesterday; may be "
        "repeated for other parameters, whose combinations run",
    )
    parser.add_argument(
        "--order",
        choices=("ascending", "descending"),
        help="order of a range: earlier or later values first (default: ascending)",
    )


def add_rerun(parser: argparse.ArgumentParser) -> None:
    """Add the options that run complete tasks again."""
    parser.add_argument(
        "--rerun",
        action="store_true",
        help="run each TASK again, and what depends on it in the plan of run.task, although they are complete",
    )
    parser.add_argument("--rerun-all", action="store_true", help="run every task of the plan again")


def add_accept(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart accept`."""
    add_words(parser, "task whose changes do not matter", default="all tasks that run.task needs")


def add_sign(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart sign`."""
    add_words(parser, "task whose outputs to sign, with all that it needs", default="run.task")
    parser.add_argument("--refused", action="store_true", help="also sign outputs that differ from their records")
    parser.add_argument("--yes", action="store_true", help="sign; without it, only list the files")


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart verify`."""
    add_words(parser, "task whose outputs to check", default="all tasks")
    parser.add_argument("--fix", action="store_true", help="delete damaged outputs, so that the next run computes them")


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart list`."""
    parser.add_argument("--all", action="store_true", help="include the parameters that every task has")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart config`."""
    add_words(parser, "task to show", default="all tasks")
    parser.add_argument("--all", action="store_true", help="include the parameters that every task has")


def add_new_task(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart new-task`."""
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


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart check`."""
    parser.add_argument(
        "--fix", action="store_true", help="create, complete and move files, so that tasks, YAML and tests match"
    )


_DRY_RUN = "show the changes as a diff, and make none"


def add_rename_task(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart rename-task`."""
    parser.add_argument("old", metavar="OLD", help="task to rename (class name or dotted suffix of its path)")
    parser.add_argument("new", metavar="NEW", help="ClassName, to stay in its module, or MODULE.ClassName")
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)


def add_remove_task(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart remove-task`."""
    parser.add_argument("name", metavar="TASK", help="task to remove (class name or dotted suffix of its path)")
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)


def add_remove_sample(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart remove-sample`."""
    parser.add_argument("--changed", action="store_true", help="also remove files of the sample that you have changed")
    parser.add_argument(
        "--allow-dirty", action="store_true", help="with --changed: also what is not committed, or outside git"
    )
    parser.add_argument("--dry-run", action="store_true", help=_DRY_RUN)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart runs`."""
    _add_history_words(parser, None)
    _add_forms(parser, "runs")
    parser.add_argument("--failed", action="store_true", help="only runs that failed, were interrupted or died")
    parser.add_argument("--task", metavar="TASK", help="only runs that ran a task of this class")
    parser.add_argument("--since", metavar="TIME", help="only runs of the last 90m, 12h, 7d or 2w")
    parser.add_argument("--label", metavar="TEXT", help="only runs with this label")


def add_show(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart show`."""
    _add_history_words(
        parser,
        "RUN: run to show (default: the last that ran something); TASK: show a task of RUN, or its newest attempt",
    )
    _add_forms(parser, "tasks")
    parser.add_argument("--log", action="store_true", help="with TASK: print what it logged")


def add_diff(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart diff`."""
    _add_history_words(
        parser, "RUN: two runs to compare (default: the last two that ran something); one is compared with the last"
    )
    _add_forms(parser, None)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart compare`."""
    _add_history_words(parser, "TASK: class whose variants to compare, or several tasks by the starts of their ids")
    _add_forms(parser, "variants")
    parser.add_argument(
        "--sort", metavar="COLUMN", help="metric, best first, or parameter, lowest first (default: newest first)"
    )
    better = parser.add_mutually_exclusive_group()
    better.add_argument("--max", action="store_true", help="with --sort METRIC: a higher value is better")
    better.add_argument(
        "--min",
        action="store_true",
        help="with --sort METRIC: a lower value is better (default for names such as loss, error, rmse, seconds)",
    )
    parser.add_argument("--all-columns", action="store_true", help="include parameters that never differ")


def _add_history_words(parser: argparse.ArgumentParser, purpose: str | None) -> None:
    """Add the free words of a command that reads the history: runs, tasks and another workspace."""
    where = "KEY=VALUE: run.workspace=URL, to read another workspace"
    kinds = [kind for kind in ("RUN", "TASK") if purpose is not None and f"{kind}: " in purpose]
    metavar = " | ".join([*kinds, "KEY=VALUE"])
    parser.add_argument("words", nargs="*", metavar=metavar, help=f"{purpose}; {where}" if purpose else where)


def _add_forms(parser: argparse.ArgumentParser, rows: str | None) -> None:
    """Add the options for the form of a table."""
    if rows is not None:
        parser.add_argument("--all", action="store_true", help=f"show all {rows}, not only the first 20")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON")
    forms.add_argument("--csv", action="store_true", help="print CSV")


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart publish`."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TASK | KEY=VALUE",
        help=f"TASK: task whose output to publish; KEY=VALUE: {_OVERRIDE}",
    )
    parser.add_argument(
        "--as",
        dest="path",
        metavar="PATH",
        help="path below the workspace, e.g., models/current.zip (default: that of the attribute publish of the class)",
    )
    parser.add_argument("--key", metavar="KEY", help="key of the output, of a task whose output() returns a dict")
    parser.add_argument("--run", action="store_true", help="run TASK and its incomplete dependencies first")
    parser.add_argument(
        "--list", action="store_true", help="list what is published and was before, of all paths or of each PATH given"
    )
    parser.add_argument(
        "--back", metavar="PATH", help="publish again what was published as PATH before; a further word says how far"
    )
    parser.add_argument("--to", metavar="ID", help="with --back: the publication, or its task, by the start of its id")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart export`."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUN | KEY=VALUE",
        help="RUN: last, last~1, the start of a run's id, or its label (default: the last that ran something); "
        "KEY=VALUE: override of a setting, e.g., run.workspace=s3://bucket/folder",
    )
    parser.set_defaults(json=False, csv=False)
    parser.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="EXPORTER",
        help="mlflow, otel, webhook, openlineage, or a class of your own as package.module:Class; may be repeated",
    )


def add_clean(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart clean`."""
    add_words(parser, "task whose files to delete", default="all tasks")
    parser.add_argument(
        "--downstream", action="store_true", help="include what depends on TASK in the plan of run.task"
    )
    parser.add_argument("--yes", action="store_true", help=_YES)


def add_gc(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart gc`."""
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help=_OVERRIDE)
    # The defaults are those of `history.cleanup.retention.RetentionPolicy`, which is not imported for a help text.
    parser.add_argument(
        "--keep-runs",
        type=_runs,
        default=1,
        metavar="N",
        help="retain the last N runs of each project, environment and requested task, whatever their age (default: 1)",
    )
    parser.add_argument(
        "--keep-days", type=_days, default=30.0, metavar="D", help="retain the runs of the last D days (default: 30)"
    )
    parser.add_argument(
        "--ignore-missing-runs",
        action="store_true",
        help="go on although the files of some runs are missing; what only these used is deleted",
    )
    parser.add_argument("--json", action="store_true", help="print what would be deleted and what stays as JSON")
    parser.add_argument("--yes", action="store_true", help=_YES)


def _label(text: str) -> str:
    is_text = text.isprintable() and 1 <= len(text) <= 100 and text == text.strip()
    if not is_text or re.fullmatch(r"last(~\d+)?|\d{8}T.*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r:.120} is not a label; expected 1 to 100 printable characters that neither read as a run, such as "
            "last~1, nor begin or end with a blank"
        )
    return text


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


def add_migrate(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart migrate`."""
    parser.add_argument("words", nargs="+", metavar="PATH", help="file or folder")
    parser.add_argument("--write", action="store_true", help="change the files; without it, only show the changes")
    parser.add_argument(
        "--config", action="store_true", help="also convert each luigi configuration NAME.ini or NAME.cfg to NAME.yaml"
    )


def add_new(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart new`."""
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
    add_template(parser, "the template of this kart-runtime")


def add_update(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kart update`."""
    parser.add_argument(
        "--check", action="store_true", help="only say whether an update is available, and what it changes"
    )
    add_template(parser, "the source in .kart-template.json")
    parser.add_argument(
        "--allow-dirty", action="store_true", help="update files with uncommitted changes, or outside a git repository"
    )
    parser.add_argument("--no-setup", action="store_true", help="neither install dependencies nor run the checks")


def add_template(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options that name a template."""
    parser.add_argument(
        "--template",
        metavar="SOURCE",
        help=f"repository of the template (path or URL), or a wheel of kart-runtime (default: {default})",
    )
    parser.add_argument("--checkout", metavar="REF", help="branch, tag or commit (default: the default branch)")
