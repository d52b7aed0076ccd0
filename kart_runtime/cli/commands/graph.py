"""Command `kart graph`: the dependency graph as text for other programs, of the plan or of a past run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kart_runtime.cli.arguments import open_session, plan_from_args
from kart_runtime.cli.exit_codes import ExitCode
from kart_runtime.edits.output_file import check_output_file, write_output_file
from kart_runtime.errors import ConfigError
from kart_runtime.history.graph_texts import (
    MARKS,
    MERMAID_CHARACTERS,
    MERMAID_EDGES,
    TaskGraph,
    TaskNode,
    text_of_graph,
)
from kart_runtime.plan.decisions import Decision, Plan, Reason
from kart_runtime.plan.task_labels import nodes_of

_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".json": "json"}
_PICTURES = frozenset({".pdf", ".png", ".svg", ".jpg", ".jpeg", ".gif", ".ps", ".webp"})
_PLURALS = {"task": "tasks", "class": "classes", "module": "modules"}


def execute(arguments: argparse.Namespace) -> int:
    """Print the graph, or write it to a file."""
    path = None if arguments.output is None else Path(arguments.output)
    kind = arguments.format or (_SUFFIXES.get(path.suffix.lower()) if path is not None else None) or "mermaid"
    if path is not None:
        if path.suffix.lower() in _PICTURES:
            raise ConfigError(
                f"kart graph writes text, and {path.suffix} is a picture; make one by Graphviz: "
                f"kart graph --format dot | dot -T{path.suffix[1:].lower()} -o {path}",
                file="-o",
            )
        check_output_file(path, _is_graph, "kart graph has not written it", force=arguments.force)
    graph = _planned(arguments) if arguments.run is None else _past(arguments)
    if graph is None:
        return ExitCode.OK
    text, level = text_of_graph(graph, kind, arguments.level)
    if level != arguments.level:
        print(
            f"Mermaid draws at most {MERMAID_EDGES} lines and {MERMAID_CHARACTERS:,} characters, and the graph of the "
            f"{_PLURALS[arguments.level]} has more: this is the graph of the {_PLURALS[level]}. The formats dot and "
            "json have no such limit.",
            file=sys.stderr,
        )
    if path is None:
        sys.stdout.write(text)
    else:
        write_output_file(path, text)
        print(f"Wrote the graph of {len(graph.nodes)} task{'' if len(graph.nodes) == 1 else 's'} to {path}.")
    return ExitCode.OK


def _planned(arguments: argparse.Namespace) -> TaskGraph:
    session, names = open_session(arguments)
    with session:
        return graph_of_plan(plan_from_args(session, names))


def graph_of_plan(plan: Plan) -> TaskGraph:
    """Return the graph of a plan."""
    nodes = [
        TaskNode(
            node.unique_id, node.module, node.task, plan.labels(task), node.params, _action(decision), decision.text
        )
        for task, node, decision in zip(plan.tasks, nodes_of(plan.tasks), plan.decisions, strict=True)
    ]
    return TaskGraph(nodes, [(up, down) for down, upstream in enumerate(plan.graph.upstream) for up in upstream])


def _action(decision: Decision) -> str:
    is_needed = decision.reason not in {Reason.NOT_NEEDED, Reason.DELETED}
    return decision.action.value if is_needed else "not needed"


# -- of a past run ---------------------------------------------------------------------------------------------------


def _past(arguments: argparse.Namespace) -> TaskGraph | None:
    """Return the graph of a run, or the part of it that some tasks need; None if there is no run yet."""
    from kart_runtime.cli.past_runs import no_run, open_history
    from kart_runtime.history.names import resolve_run, resolve_task
    from kart_runtime.history.run_graph import graph_of_run, part_of

    index, names = open_history(arguments)
    with index:
        if no_run(index, arguments, sys.stderr):  # what reads the output expects a graph
            return None
        run = index.run(resolve_run(index, arguments.run))
        graph = graph_of_run(run, index)
        wanted = {name: resolve_task(index, name) for name in names}
    found = {
        name: [node for node in graph.nodes if node.task == match.task and match.unique_id in ("", node.id)]
        for name, match in wanted.items()
    }
    for name, nodes in found.items():
        if not nodes:
            raise ConfigError(f"run {run.id} has no task {name}", file="command line")
    ids = {id(node) for nodes in found.values() for node in nodes}
    return part_of(graph, lambda node: id(node) in ids) if names else graph


def _is_graph(head: bytes) -> bool:
    return head.startswith(tuple(mark.encode() for mark in MARKS.values()))
