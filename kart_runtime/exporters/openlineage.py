"""Exporter to OpenLineage: a job for each task class, its attempts as runs, and the files as datasets."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

from kart_runtime.exporters.base import ExporterNotReady
from kart_runtime.exporters.libraries import check_receiver, silent_libraries

_PRODUCER = "urn:x-kart:kart-runtime"  # a name, no address: the format asks for a URI
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, _PRODUCER)
_LONGEST = 10_000


class OpenLineageExporter:
    """Sender of events to `$OPENLINEAGE_URL`, or as the client's own configuration says.

    Each attempt is a START and a COMPLETE or FAIL, sent when it has ended. The ids of the runs follow from the record,
    so what is sent twice is the same run.
    """

    def __init__(self) -> None:
        files = (Path("openlineage.yml"), Path.home() / ".openlineage" / "openlineage.yml")
        configured = any(
            name.startswith(("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__")) for name in os.environ
        )
        if not configured and not any(file.is_file() for file in files):
            raise ExporterNotReady(
                "the exporter openlineage has no address: set OPENLINEAGE_URL, such as http://HOST:5000"
            )
        self._client: Any = None
        self.begin({})

    def begin(self, run: Mapping[str, Any]) -> None:
        """Keep the header of the run."""
        self._run, self._number, self._has_begun = run, 0, False

    def task(self, record: Mapping[str, Any]) -> None:
        """Send the begin and the end of an attempt."""
        if record["state"] not in ("done", "failed"):
            return  # another process has run it, and reports it
        from openlineage.client import event_v2
        from openlineage.client.facet_v2 import error_message_run, output_statistics_output_dataset

        self._begin_run()
        folder = str(self._run.get("folder", ""))
        inputs = [event_v2.InputDataset(*dataset(url, folder)) for url in record.get("inputs") or ()]
        outputs = [
            event_v2.OutputDataset(
                *dataset(output["url"], folder),
                outputFacets={
                    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                        size=output.get("size", 0)
                    )
                },
            )
            for output in record.get("outputs") or ()
        ]
        facets = self._parent()
        run_id = self._id_of(f"{record['module']}.{record['task']} {record['unique_id']} {record['started']}")
        job = f"{record['module']}.{record['task']}"
        self._emit("START", record["started"], run_id, job, facets=facets, inputs=inputs, outputs=outputs)
        is_done = record["state"] == "done"
        if not is_done:
            facets |= {
                "errorMessage": error_message_run.ErrorMessageRunFacet(
                    message=str(record.get("error", ""))[:_LONGEST],
                    programmingLanguage="python",
                    stackTrace=str(record.get("trace", ""))[-_LONGEST:] or None,
                )
            }
        ended = record.get("ended") or record["started"]
        kind = "COMPLETE" if is_done else "FAIL"
        self._emit(kind, ended, run_id, job, facets=facets, inputs=inputs, outputs=outputs)

    def end(self, end: Mapping[str, Any]) -> None:
        """Send how the run has ended."""
        state = end.get("state")
        if not self._has_begun and state == "done":
            return  # nothing was to run
        self._begin_run()
        kind = {"done": "COMPLETE", "interrupted": "ABORT"}.get(str(state), "FAIL")
        self._emit(kind, end.get("end") or self._run["started"], self._id_of(""), "kart.run")
        with silent_libraries():
            self._client.close(5.0)

    def sent(self) -> str:
        """Return what was sent."""
        if not self._number:
            return "nothing to openlineage, because no task of this run has run"
        return f"{self._number} events to {os.environ.get('OPENLINEAGE_URL') or 'openlineage'}"

    def _begin_run(self) -> None:
        if not self._has_begun:
            self._emit("START", self._run["started"], self._id_of(""), "kart.run")
            self._has_begun = True

    def _parent(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import parent_run

        run, job = parent_run.Run(runId=self._id_of("")), parent_run.Job(namespace=_namespace(), name="kart.run")
        return {"parent": parent_run.ParentRunFacet(run=run, job=job)}

    def _id_of(self, text: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self._run.get('run', '')} {text}"))

    def _emit(self, kind: str, time: str, run_id: str, job: str, **parts: Any) -> None:
        """Send an event; `parts` are the facets of the run, inputs and outputs."""
        from openlineage.client import event_v2

        event = event_v2.RunEvent(
            eventType=event_v2.RunState[kind],
            eventTime=time,
            run=event_v2.Run(runId=run_id, facets=dict(parts.get("facets", {}))),
            job=event_v2.Job(namespace=_namespace(), name=job),
            producer=_PRODUCER,
            inputs=parts.get("inputs", []),
            outputs=parts.get("outputs", []),
        )
        check_receiver(os.environ.get("OPENLINEAGE_URL", ""))
        with silent_libraries():
            self._connect().emit(event)
        self._number += 1

    def _connect(self) -> Any:
        if self._client is None:
            from openlineage.client import OpenLineageClient

            # Otherwise it asks git for the address of the repository, which may hold a password.
            private = {"facets": {"source_code_location": {"disabled": True}}}
            self._client = OpenLineageClient(config=private)
        return self._client


def _namespace() -> str:
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "kart"


def dataset(url: str, folder: str) -> tuple[str, str]:
    """Return namespace and name of a file, as the naming rules of OpenLineage have them; `folder` is the run's."""
    scheme, colon, rest = url.partition("://")
    if colon and scheme != "file":
        place = urlsplit(url)
        host = place.netloc.rpartition("@")[2]
        return f"{scheme}://{host}", place.path.lstrip("/") or "/"
    path = rest if colon else url
    pure = PureWindowsPath if "\\" in folder or ":" in folder[:2] else PurePosixPath
    return "file", os.path.normpath(pure(folder, path).as_posix()).replace(os.sep, "/")
