"""Published files: a fixed name for one output, and everything that was published under that name before.

::

    <workspace>/models/current.zip                                        the content that is published
    <workspace>/log/published/models/current.zip/<id>/record.json         one record for each publication
    <workspace>/log/published/models/current.zip/<id>/content.zip         its content
    <workspace>/log/published/models/current.zip/current.json             the id of the published file, by its version

An id is the checksum of a content, so equal contents are one publication. The published file alone says which one
counts: it is replaced by one rename or request, after content and record are stored. ``current.json`` only spares
reading the file, and is ignored when the file has another version.

A folder is published under a name without a suffix, ``models/bert``: then the published file is the list of its files,
``models/bert.folder``, and the files lie beside it, as for any folder value (`storage.folder_target`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from kart_runtime.errors import ObjectCorrupt, ObjectMissing, closest_match
from kart_runtime.history.publication import Publication, PublishRefused, check_path, now
from kart_runtime.history.published_contents import content_kind
from kart_runtime.storage.codecs import Codec
from kart_runtime.storage.registry import store_for
from kart_runtime.storage.signing import Output, SignatureError, copy_signature
from kart_runtime.storage.stores import Stat, is_remote
from kart_runtime.storage.stores.local import LocalStore
from kart_runtime.storage.target import OutputRecord, Target
from kart_runtime.storage.workspace import LOG, Workspace

FOLDER = f"{LOG}/published"
"""Folder of the records and contents of all publications of a workspace."""

_CURRENT, _RECORD = "current.json", "record.json"


# -- one name --------------------------------------------------------------------------------------------------------

_contents: dict[str, tuple[str, str]] = {}
"""Url to version and id of a published file whose content was read."""


class PublishedFile:
    """A name in a workspace: what is published under it, and was before."""

    def __init__(self, workspace: str, path: str) -> None:
        place = Workspace(workspace)
        self.workspace, self.path = workspace, path
        self._kind = content_kind(path)
        self.url = place.join(f"{path}{self._kind.added}")
        self._folder = f"{place.base}{FOLDER}/{path}"
        self._store, self._key = store_for(self.url)

    # -- looking -----------------------------------------------------------------------------------------------------

    def current(self) -> str:
        """Return the id of what is published; "" if nothing is."""
        stat: Stat | None = self._store.stat(self._key)
        if stat is None:
            return ""
        return self._recorded(stat) or self._read_id(stat)

    def _recorded(self, stat: Stat) -> str:
        """Return the id that was recorded for a version of the published file; "" if none was."""
        pointer = self._json(_CURRENT)
        return str(pointer.get("id", "")) if stat.version and pointer.get("version") == stat.version else ""

    def _read_id(self, stat: Stat) -> str:
        """Return the id of the published file by its content: somebody copied it there, or a process has died."""
        version = stat.identity
        known = _contents.get(self.url)
        if known is None or known[0] != version or not stat.version:
            known = _contents[self.url] = (version, self._kind.id_of(self._store, self._key))
        return known[1]

    def history(self) -> list[Publication]:
        """Return the publications, oldest first."""
        names = [name for name in _records_below(self._folder) if name.count("/") == 1]
        found = [self.find(name.removesuffix(f"/{_RECORD}")) for name in names]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.published)

    def find(self, publication_id: str) -> Publication | None:
        """Return the record of a publication; None if there is none."""
        values = self._json(f"{publication_id}/{_RECORD}") if publication_id else {}
        known = {each.name for each in fields(Publication)}
        try:
            found = Publication(**{name: value for name, value in values.items() if name in known})
            found = replace(found, also=tuple(found.also))
        except TypeError:
            return None
        return found if found.id == publication_id else None

    def earlier(self) -> list[Publication]:
        """Return the publications before the current one, oldest first, without those that were gone back from."""
        history, current = self.history(), self.find(self.current())
        return [
            entry
            for entry in history
            if not entry.withdrawn and (current is None or entry.published < current.published)
        ]

    def matching(self, text: str) -> Publication:
        """Return the publication whose id, or whose task's unique id, begins with a text."""
        history = self.history()
        found = [entry for entry in history if entry.id.startswith(text) or entry.unique_id.startswith(text)]
        if len(found) == 1:
            return found[0]
        why = (
            f"{len(found)} publications of it have ids that begin"
            if found
            else "none of its publications has an id that begins"
        )
        raise PublishRefused(self.path, f"{why} with '{text}'. See: kart publish --list {self.path}")

    def content_url(self, publication_id: str) -> str:
        """Return the url of the stored content of a publication, which never changes."""
        return f"{self._folder}/{publication_id}/content{self._kind.suffix}"

    def target(self, publication_id: str, codec: Codec | None = None, as_type: Any = None) -> Target | None:
        """Return the target of the stored content of a publication; None if there is none."""
        url = self.content_url(publication_id)
        stat = self._store.stat(store_for(url)[1]) if publication_id else None
        if stat is None:
            return None
        target = self._target(url, codec, as_type)
        target.records = _Expected(OutputRecord(url, stat.size, f"{self._kind.algorithm}:{publication_id}"))
        return target

    def published_target(self, codec: Codec | None = None, as_type: Any = None) -> Target:
        """Return the target of the published file itself."""
        return self._target(self.url, codec, as_type)

    def _target(self, url: str, codec: Codec | None = None, as_type: Any = None) -> Target:
        target = self._kind.target(url, codec, as_type)
        target.workspace = self.workspace
        return target

    def missing(self, command: str = "kart publish TASK") -> ObjectMissing:
        """Return the error for a name under which nothing is published."""
        guess = closest_match(self.path, {entry for entry in published_paths(self.workspace) if entry != self.path})
        hint = f"Nothing is published as {self.path} in the workspace {self.workspace}."
        hint += f" Did you mean '{guess}'?" if guess else ""
        return ObjectMissing(self.url, f"{hint} Publish it: {command} --as {self.path}")

    def _json(self, name: str) -> Mapping[str, Any]:
        store, key = store_for(f"{self._folder}/{name}")
        try:
            with store.open(key) as file:
                values = json.loads(file.read())
        except (FileNotFoundError, ValueError):  # of a version to come, or damaged
            return {}
        return values if isinstance(values, dict) else {}

    # -- publishing --------------------------------------------------------------------------------------------------

    def publish(self, source: str, record: OutputRecord | None, publication: Publication) -> Publication:
        """Store a content with its record, and make it the published one; `record` says what the source must hold."""
        self._check_places()
        self._keep_unknown()
        publication = self._keep(source, record, replace(publication, published=now()))
        before = self.find(publication.id)
        if before is not None:
            publication = before.followed_by(publication)
        self._write(publication)
        self._expose(publication.id)
        return publication

    def go_back(self, publication: Publication) -> None:
        """Make an earlier publication the published one again; those after it do not count as earlier ones any more."""
        self._check_places()
        self._keep_unknown()
        for entry in self.history():
            is_withdrawn = entry.id != publication.id and (entry.withdrawn or entry.published > publication.published)
            if entry.withdrawn is not is_withdrawn:
                self._write(replace(entry, withdrawn=is_withdrawn))
        self._expose(publication.id)

    def _check_places(self) -> None:
        """Raise `PublishRefused` if a link on the way to what is written leads out of the workspace.

        The folder of all publications may be a link itself, if the settings allow it (see `check_log_folders`).
        """
        check_path(self.path, self.workspace)
        if not Workspace(self.workspace).is_local:
            return
        root = Path(store_for(f"{Workspace(self.workspace).base}{FOLDER}")[1]).resolve()
        folder = Path(store_for(self._folder)[1])
        places = [folder, *(folder.iterdir() if folder.is_dir() else ())]
        linked = next((place for place in places if not place.resolve().is_relative_to(root)), None)
        if linked is not None:
            why = f"{linked} leads to {linked.resolve()}, which is outside of {root}. Delete the link."
            raise PublishRefused(self.path, why)

    def _keep(self, source: str, record: OutputRecord | None, publication: Publication) -> Publication:
        """Copy a content to its place among the publications, unless it is there; return the record with its id."""
        store, key = store_for(source)
        stat = store.stat(key)
        if stat is None:
            raise ObjectMissing(source)
        algorithm, _, digest = ("" if record is None else record.checksum).partition(":")
        known = digest if algorithm == self._kind.algorithm else ""
        is_checked = bool(known and record and record.version == stat.version and is_remote(store))
        expected = known or self._kind.id_of(store, key)
        kept = store_for(self.content_url(expected))[1]
        if self._store.stat(kept) is None:
            self._kind.copy(store, key, self._store, kept)
            self._sign(store, key, source, self.content_url(expected), may_fail=record is None)
            problem = "" if is_checked else self._kind.problem(self._store, kept, expected)
            if problem:
                self._kind.delete(self._store, kept)
                raise ObjectCorrupt(source, problem)
        return replace(publication, id=expected, size=self._kind.size(self._store, kept, stat))

    def _keep_unknown(self) -> None:
        """Keep what is under the name and was not published by kart, so that it can be gone back to as well."""
        current = self.current()
        if current and self.find(current) is None:
            found = Publication(self.path, current, 0, now())
            self._write(self._keep(self.url, None, found))

    def _write(self, publication: Publication) -> None:
        text = json.dumps(asdict(publication), indent=1, default=str)
        store, key = store_for(f"{self._folder}/{publication.id}/{_RECORD}")
        with store.write(key) as file:
            file.write(text.encode())

    def _expose(self, publication_id: str) -> None:
        """Make a stored content the published file, in one step."""
        stat = self._store.stat(self._key)
        if stat is not None and self._recorded(stat) == publication_id:
            return
        content = self.content_url(publication_id)
        key = store_for(content)[1]
        if self._store.stat(key) is None:
            raise ObjectMissing(content, "Its content was deleted. Publish the task again.")
        self._point_to(publication_id, self._kind.copy(self._store, key, self._store, self._key))
        self._sign(self._store, key, content, self.url, may_fail=True)

    def _sign(self, store: Any, key: str, source: str, url: str, *, may_fail: bool) -> None:
        """Sign a copy if its source is signed; a source that kart has not stored need not be, and stays unsigned."""
        name = url.removeprefix(Workspace(self.workspace).base)
        try:
            whole = Output(store, key, source, workspace=self.workspace)
            copy_signature(whole, Output(self._store, store_for(url)[1], url), name)
        except SignatureError:
            if may_fail:
                return
            self._kind.delete(self._store, store_for(url)[1])
            raise

    def _point_to(self, publication_id: str, version: str) -> None:
        """Record which publication a version of the file is, that was written here; another may be there by now."""
        if version:
            store, key = store_for(f"{self._folder}/{_CURRENT}")
            with store.write(key) as file:
                file.write(json.dumps({"id": publication_id, "version": version}).encode())

    # -- signing -----------------------------------------------------------------------------------------------------

    def sign(self, *, dry_run: bool, trusts_unsigned: bool) -> Iterator[tuple[str, str]]:
        """Sign what the first key has not signed; yield each url, and why it was not signed, "" if it was.

        A content that no key has signed must be the one of its id. What kart has not published is left.
        """
        current = self.current()
        contents = [(self.content_url(entry.id), entry.id) for entry in self.history()]
        for url, publication_id in [*contents, (self.url, current if self.find(current) else "")]:
            key = store_for(url)[1]
            if not publication_id or self._store.stat(key) is None:
                continue
            target, problem = self._target(url), ""
            try:
                if not target.renew_signature(dry_run=dry_run):
                    continue
            except SignatureError as error:
                is_replaceable = trusts_unsigned and (target.is_unsigned() or error.is_by_other_key)
                problem = self._kind.problem(self._store, key, publication_id) if is_replaceable else error.found
                if not problem and not dry_run:
                    target.sign()
            yield url, problem

    # -- checking ----------------------------------------------------------------------------------------------------

    def damaged(self) -> Iterator[tuple[str, str]]:
        """Yield the urls of stored contents, and of the published file, whose bytes are not what they were, and why.

        With a key, what is not signed is damaged as well.
        """
        for entry in self.history():
            url = self.content_url(entry.id)
            problem = self._kind.problem(self._store, store_for(url)[1], entry.id) or self._signature_problem(url)
            if problem:
                yield url, problem
        stat = self._store.stat(self._key)
        recorded = "" if stat is None else self._recorded(stat)
        problem = self._kind.problem(self._store, self._key, recorded) if recorded else ""
        if stat is not None:
            problem = problem or self._signature_problem(self.url)
        if problem:
            yield self.url, problem

    def _signature_problem(self, url: str) -> str:
        """Return what is wrong with a signature that loading needs, "" if nothing is."""
        try:
            self._target(url).check_signature()
        except SignatureError as error:
            return f"{error.found}. {error.remedy}".rstrip(".")
        return ""

    def restore(self, url: str) -> bool:
        """Copy a damaged file from the other place that has its content, if that is whole; return whether it was."""
        self._check_places()
        if url == self.url:
            stat = self._store.stat(self._key)
            whole = "" if stat is None else self._recorded(stat)
            source, target = store_for(self.content_url(whole))[1], self._key
        else:
            whole = url.rsplit("/", 2)[-2]
            source, target = self._key, store_for(url)[1]
        if not whole or self._kind.problem(self._store, source, whole):
            return False
        version = self._kind.copy(self._store, source, self._store, target)
        if url == self.url:
            self._point_to(whole, version)
        return True


class _Expected:
    """Record of a stored content, by which `Target.load` verifies its bytes."""

    def __init__(self, record: OutputRecord) -> None:
        self._record = record

    def expected(self, url: str) -> OutputRecord | None:
        """Return the record of the content."""
        return self._record if url == self._record.url else None

    def refresh(self) -> None:
        """Do nothing: a content never changes."""

    def settle(self, url: str) -> dict[str, OutputRecord]:  # noqa: ARG002 - the form of `ExpectedOutputs`
        """Return nothing: a content has one writer."""
        return {}


# -- a workspace -----------------------------------------------------------------------------------------------------


def published_paths(workspace: str) -> list[str]:
    """Return the names under which something was published in a workspace, sorted."""
    names = _records_below(f"{Workspace(workspace).base}{FOLDER}")
    return sorted({name.rsplit("/", 2)[0] for name in names if name.count("/") > 1})


def _records_below(url: str) -> Iterator[str]:
    """Yield the paths of the records below a folder, relative to it, with forward slashes."""
    store, folder = store_for(url)
    folder = str(Path(folder)) if isinstance(store, LocalStore) else folder
    for stat in store.list(folder):
        name: str = stat.key.removeprefix(folder).replace(os.sep, "/").removeprefix("/")
        if name.endswith(f"/{_RECORD}"):
            yield name
