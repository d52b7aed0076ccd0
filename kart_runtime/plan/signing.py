"""Signatures for what was stored before there was a key: outputs, pickled log files and records, after a comparison."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import luigi

from kart_runtime.errors import ConfigError
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.records import Records
from kart_runtime.history.runs import RunFiles, list_runs, runs_folder, text_of
from kart_runtime.history.signed_lines import counting_unsigned
from kart_runtime.plan.graph import build_graph
from kart_runtime.storage.signing import SignatureError
from kart_runtime.storage.signing_keys import VARIABLE, keyring, line_is_signed, signed_line
from kart_runtime.storage.target import Target
from kart_runtime.storage.workspace import LOG_FILES
from kart_runtime.task.base import kart_task
from kart_runtime.task.nested import iter_flat


@dataclass
class SignedFiles:
    """What was signed, or would be.

    Attributes
    ----------
    outputs
        Urls of the outputs.
    refused
        Urls of the outputs that were not, with the reason: their bytes are not those of their records, or they have a
        signature that is wrong.
    others
        Number of pickled log files, and of files of runs.
    """

    outputs: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    others: int = 0


def sign_outputs(
    tasks: luigi.Task | Sequence[luigi.Task], *, replace_refused: bool = False, dry_run: bool = False
) -> SignedFiles:
    """Sign what some tasks, and those that they require, have stored without a key, and the records of their runs.

    Only call it for a workspace that you trust: whoever could write to it may have put anything there. An output whose
    bytes are not those of its record is refused.

    Parameters
    ----------
    tasks
        The tasks.
    replace_refused
        Sign the refused ones as well, such as an output that you have replaced by hand.
    dry_run
        Sign nothing, and return what would be signed.

    Returns
    -------
    SignedFiles
        What was signed, and what was refused.

    Raises
    ------
    ConfigError
        If no key is set.
    """
    if keyring() is None:
        raise ConfigError("no key is set. Make one with: openssl rand -hex 32", key=VARIABLE)
    roots = [tasks] if isinstance(tasks, luigi.Task) else list(tasks)
    graph = build_graph(roots).tasks
    result = SignedFiles()
    workspaces = dict.fromkeys(task.workspace_directory for each in graph if (task := kart_task(each)) is not None)
    with counting_unsigned():
        records = {workspace: Records(workspace) for workspace in workspaces}
        for known in records.values():
            known.refresh()
        for each in graph:
            _sign_task(each, records, result, replace_refused=replace_refused, dry_run=dry_run)
    for workspace in workspaces:
        result.others += sum(_sign_runs(workspace, dry_run))
    return result


def _sign_task(
    task: luigi.Task, records: dict[str, Records], result: SignedFiles, *, replace_refused: bool, dry_run: bool
) -> None:
    kart = kart_task(task)
    for target in iter_flat(task.output()):
        if isinstance(target, Target) and target.owner is task and target._needs_signature() and target.exists():
            problem = _problem(target, None if kart is None else records[kart.workspace_directory])
            if problem and not replace_refused:
                result.refused[target.url] = problem
            elif problem is not None:
                result.outputs.append(target.url)
                if not dry_run:
                    target.sign()
    if kart is not None:
        files = LogFiles(kart.workspace_directory, type(kart).__name__, kart.make_unique_id())
        result.others += sum(files.sign(kind, dry_run=dry_run) for kind in LOG_FILES)


def _problem(target: Target, records: Records | None) -> str | None:
    """Return None for an output that is signed, "" for one to be signed, and else why it must not be."""
    try:
        target.check_signature()
    except SignatureError as error:
        if not target.is_unsigned() and not error.is_by_other_key:
            return error.found
    else:
        return None
    record = None if records is None else records.expected(target.url)
    if record is None or records is None:
        return ""
    return records.problem(record) or ""


def _sign_runs(workspace: str, dry_run: bool) -> Iterator[int]:
    """Yield the number of files of each run that has ended whose lines were not all signed."""
    keys = cast("Any", keyring())
    store, _ = runs_folder(workspace)
    for run in list_runs(workspace):
        texts = {stat.key: text_of(store, stat.key) for stat in run.files}
        if not any(_has_ended(text) for text in texts.values()):
            continue  # it may go on, and a file that is replaced would lose its last lines
        for key, text in texts.items():
            lines = text.splitlines()
            if all(line_is_signed(line, run.id, keys) for line in lines):
                continue
            yield 1
            if not dry_run:
                with store.write(key) as file:
                    file.write("".join(_signed(lines, run)).encode(errors="surrogatepass"))


def _has_ended(text: str) -> bool:
    last = text.rstrip("\n").rpartition("\n")[2]
    with suppress(ValueError, RecursionError):
        return "end" in json.loads(last)
    return False


def _signed(lines: Iterable[str], run: RunFiles) -> Iterator[str]:
    keys = cast("Any", keyring())
    for line in lines:
        yield f"{line if line_is_signed(line, run.id, keys) else signed_line(_bare(line), run.id, keys)}\n"


def _bare(line: str) -> str:
    """Return a line without the signature of another key."""
    values: Any = None
    with suppress(ValueError, RecursionError):
        values = json.loads(line)
    if not isinstance(values, dict) or "signature" not in values:
        return line
    return json.dumps({name: value for name, value in values.items() if name != "signature"})
