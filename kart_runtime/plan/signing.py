"""Signatures for what was stored before there was a key: outputs, pickled log files and records, after a comparison."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import luigi

from kart_runtime.errors import ConfigError, KartError
from kart_runtime.history.log_files import LogFiles
from kart_runtime.history.published import PublishedFile, published_paths
from kart_runtime.history.records import Records
from kart_runtime.history.runs import RunFiles, list_runs, runs_folder, text_of
from kart_runtime.history.signed_lines import counting_unsigned
from kart_runtime.plan.graph import build_graph
from kart_runtime.storage.signing import SignatureError
from kart_runtime.storage.signing_keys import VARIABLE, bare_line, keyring, line_is_signed, signed_line
from kart_runtime.storage.target import Target, make_target
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

    With several keys, everything in the workspaces that one of them has signed is verified and signed by the first one,
    and what none of them has signed is refused.

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
    trusts_unsigned = replace_refused or not _replaces_a_key()
    planned = {task.make_unique_id() for each in graph if (task := kart_task(each)) is not None}
    for workspace in workspaces:
        _sign_published(workspace, result, trusts_unsigned=trusts_unsigned, dry_run=dry_run)
        if _replaces_a_key():
            result.others += _renew_recorded(workspace, records[workspace], result, planned, dry_run=dry_run)
        result.others += sum(_sign_runs(workspace, dry_run, trusts_unsigned=trusts_unsigned))
    return result


def _replaces_a_key() -> bool:
    """Return whether there are several keys: then only what one of them has signed is trusted."""
    keys = keyring()
    return keys is not None and len(keys.keys) > 1


def _sign_task(
    task: luigi.Task, records: dict[str, Records], result: SignedFiles, *, replace_refused: bool, dry_run: bool
) -> None:
    kart = kart_task(task)
    for target in iter_flat(task.output()):
        if isinstance(target, Target) and target.owner is task and target._needs_signature() and target.exists():
            known = None if kart is None else records[kart.workspace_directory]
            _sign_output(target, known, result, replace_refused=replace_refused, dry_run=dry_run)
    if kart is not None:
        files = LogFiles(kart.workspace_directory, type(kart).__name__, kart.make_unique_id())
        trusts = replace_refused or not _replaces_a_key()
        result.others += sum(files.sign(kind, dry_run=dry_run, trusts_unsigned=trusts) for kind in LOG_FILES)


def _sign_output(
    target: Target, records: Records | None, result: SignedFiles, *, replace_refused: bool, dry_run: bool
) -> None:
    try:
        if not target.renew_signature(dry_run=dry_run):
            return
    except SignatureError as error:
        problem = _problem(target, error, records)
        if problem and not replace_refused:
            result.refused[target.url] = problem
            return
        if not dry_run:
            target.sign()
    result.outputs.append(target.url)


def _problem(target: Target, error: SignatureError, records: Records | None) -> str:
    """Return why an output that is not signed must not be, "" if it may."""
    if not target.is_unsigned() and not error.is_by_other_key:
        return error.found
    if _replaces_a_key():
        return f"{error.found}. With several keys, only what one of them has signed is signed anew"
    record = None if records is None else records.expected(target.url)
    if record is None or records is None:
        return ""
    return records.problem(record) or ""


def _sign_published(workspace: str, result: SignedFiles, *, trusts_unsigned: bool, dry_run: bool) -> None:
    """Sign the publications of a workspace, which no task of the graph may name."""
    for path in published_paths(workspace):
        for url, problem in PublishedFile(workspace, path).sign(dry_run=dry_run, trusts_unsigned=trusts_unsigned):
            if problem:
                result.refused[url] = problem
            elif url not in result.outputs:
                result.outputs.append(url)


def _renew_recorded(
    workspace: str, records: Records, result: SignedFiles, planned: Collection[str], *, dry_run: bool
) -> int:
    """Sign by the first key what an earlier one has signed of tasks that the project does not plan now.

    Return the number of log files. What is not signed, or was altered, stays as it is.
    """
    number = 0
    for record in records.all():
        if record.unique_id in planned:
            continue
        for output in record.outputs:
            url = records.absolute(output.url)
            if url in result.outputs or url in result.refused:
                continue
            with suppress(OSError, KartError):
                target = make_target(url)
                target.workspace = workspace
                if target.exists() and target.renew_signature(dry_run=dry_run):
                    result.outputs.append(url)
        files = LogFiles(workspace, record.task, record.unique_id)
        number += sum(files.sign(kind, dry_run=dry_run, trusts_unsigned=False) for kind in LOG_FILES)
    return number


def _sign_runs(workspace: str, dry_run: bool, *, trusts_unsigned: bool) -> Iterator[int]:
    """Yield the number of files of each run that has ended whose lines were not all signed by the first key."""
    store, _ = runs_folder(workspace)
    for run in list_runs(workspace):
        texts = {stat.key: text_of(store, stat.key) for stat in run.files}
        if not any(_has_ended(text) for text in texts.values()):
            continue  # it may go on, and a file that is replaced would lose its last lines
        for key, text in texts.items():
            lines = text.splitlines()
            signed = list(_signed(lines, run, trusts_unsigned=trusts_unsigned))
            if signed == lines:
                continue
            yield 1
            if not dry_run:
                with store.write(key) as file:
                    file.write("".join(f"{line}\n" for line in signed).encode(errors="surrogatepass"))


def _has_ended(text: str) -> bool:
    """Return whether a run has recorded its end; what uses its tasks may be recorded after it."""
    for line in reversed(text.splitlines()):
        with suppress(ValueError, RecursionError):
            if '"end"' in line and "end" in json.loads(line):
                return True
    return False


def _signed(lines: Iterable[str], run: RunFiles, *, trusts_unsigned: bool) -> Iterator[str]:
    keys = cast("Any", keyring())
    for line in lines:
        if line_is_signed(line, run.id, keys.newest):
            yield line
        elif line_is_signed(line, run.id, keys):
            yield signed_line(bare_line(line), run.id, keys)
        else:
            yield signed_line(_bare(line), run.id, keys) if trusts_unsigned else line


def _bare(line: str) -> str:
    """Return a line without the signature of another key."""
    values: Any = None
    with suppress(ValueError, RecursionError):
        values = json.loads(line)
    if not isinstance(values, dict) or "signature" not in values:
        return line
    return json.dumps({name: value for name, value in values.items() if name != "signature"})
