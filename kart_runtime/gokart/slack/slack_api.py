"""How does a team hear of a run? A message in a Slack channel, with the list of what succeeded and what failed.

Three calls of Slack's web API, made with the standard library. Nothing that goes wrong here ends a run: it is logged.
Called by `luigi_command`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import luigi

from kart_runtime.errors import KartError
from kart_runtime.task.base import TaskOnKart

_log = logging.getLogger(__name__)

BASE_URL = "https://slack.com/api/"
MOST_PAGES = 200
"""The list of channels is given up after so many pages of 100."""


class SlackError(KartError, RuntimeError):
    """Slack did not do what was asked."""


class ChannelListNotLoadedError(SlackError):
    """Slack did not give the list of channels."""


class ChannelNotFoundError(SlackError):
    """No public channel has this name."""


class FileNotUploadedError(SlackError):
    """Slack did not take a file."""


class SlackConfig(luigi.Config):
    """Where to report: ``[SlackConfig]`` in luigi's configuration, or ``--SlackConfig-channel`` and so on."""

    token_name: luigi.Parameter[str] = luigi.Parameter(
        default="SLACK_TOKEN", description="The environment variable that holds the token of the Slack app."
    )
    channel: luigi.Parameter[str] = luigi.Parameter(
        default="", significant=False, description="The channel's name; without one nothing is sent."
    )
    to_user: luigi.Parameter[str] = luigi.Parameter(
        default="", significant=False, description="Who is mentioned in the message."
    )
    send_tree_info: luigi.BoolParameter = luigi.BoolParameter(
        default=False, significant=False, description="Whether the tree of tasks is sent, too; it can be long."
    )


class SlackAPI:
    """Sends to one channel of a Slack workspace.

    The channel is looked up at once. When that fails, a warning is logged and nothing will be sent.

    Parameters
    ----------
    token
        The token of a Slack app that may read channels and write files.
    channel
        The channel's name.
    to_user
        Who is mentioned; nobody when empty.
    base_url
        Where Slack's API is. By default the environment variable SLACK_API_URL, else Slack's own address.
    timeout
        How long one call may take, in seconds.
    """

    def __init__(
        self, token: str, channel: str, to_user: str, base_url: str | None = None, timeout: float = 10.0
    ) -> None:
        self._token = token
        self._base_url = (base_url or os.environ.get("SLACK_API_URL") or BASE_URL).rstrip("/") + "/"
        self._timeout = timeout
        self._to_user = to_user if not to_user or to_user.startswith("@") else f"@{to_user}"
        self._channel_id: str | None = None
        try:
            self._channel_id = self._find(channel)
        except (SlackError, OSError, HTTPException, ValueError) as error:
            _log.warning("The run goes on without a report to Slack: %s", error)

    def send_snippet(self, comment: str, title: str, content: str) -> None:
        """Send a message with a file; log a warning when that is not possible.

        Parameters
        ----------
        comment
            The message.
        title
            The name of the file.
        content
            What is in the file.
        """
        if self._channel_id is None:
            _log.warning("Nothing was sent to Slack: the channel is not known (see the warning above).")
            return
        try:
            self._upload(self._channel_id, comment, title, content.encode())
        except (SlackError, OSError, HTTPException, ValueError, KeyError) as error:
            _log.warning("The report could not be sent to Slack: %s: %s", type(error).__name__, error)

    def _find(self, channel: str) -> str:
        for found in self._channels():
            if found.get("name") == channel:
                return str(found["id"])
        raise ChannelNotFoundError(f"Slack has no public channel '{channel}' that this token may see.")

    def _channels(self) -> Iterator[dict[str, Any]]:
        cursor = ""
        for _page in range(MOST_PAGES):
            asked = {"exclude_archived": "true", "limit": "100"} | ({"cursor": cursor} if cursor else {})
            answer = self._call("conversations.list", asked)
            if not answer.get("ok"):
                raise ChannelListNotLoadedError(f"Slack did not list its channels: {_reason(answer)}")
            yield from answer.get("channels") or ()
            cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                return
        raise ChannelListNotLoadedError(f"Slack lists more than {MOST_PAGES} pages of channels.")

    def _upload(self, channel_id: str, comment: str, title: str, content: bytes) -> None:
        """Store a file in three steps, as Slack asks for since it has shut down `files.upload`."""
        place = self._checked("files.getUploadURLExternal", {"filename": title, "length": str(len(content))})
        headers = {"Content-Type": "application/octet-stream"}  # no token: the address is a secret of its own
        self._send(Request(_web(place["upload_url"]), data=content, headers=headers, method="POST"))  # noqa: S310
        self._checked(
            "files.completeUploadExternal",
            {
                "files": json.dumps([{"id": place["file_id"], "title": title}]),
                "channel_id": channel_id,
                "initial_comment": f"<{self._to_user}> {comment}" if self._to_user else comment,
            },
        )

    def _checked(self, method: str, values: Mapping[str, str]) -> dict[str, Any]:
        answer = self._call(method, values)
        if not answer.get("ok"):
            raise FileNotUploadedError(f"Slack refused {method}: {_reason(answer)}")
        return answer

    def _call(self, method: str, values: Mapping[str, str]) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        }
        url = _web(self._base_url + method)
        body = self._send(Request(url, data=urlencode(values).encode(), headers=headers, method="POST"))  # noqa: S310
        answer = json.loads(body)
        if not isinstance(answer, dict):
            raise ValueError(f"{method} was answered by {type(answer).__name__}, not by an object")
        return answer

    def _send(self, request: Request) -> bytes:
        with urlopen(request, timeout=self._timeout) as answer:  # noqa: S310 - its scheme was checked by _web
            return bytes(answer.read())


def _web(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url} is not an address of the web (http or https)")
    return url


def _reason(answer: Mapping[str, Any]) -> str:
    return str(answer.get("error", "it gave no reason"))


class EventAggregator:
    """Collects which tasks succeeded and which failed, from luigi's events.

    A context manager: the handlers are registered on entry (or by `set_handlers`) and removed at the end.
    """

    def __init__(self) -> None:
        self._succeeded: dict[str, None] = {}
        self._failed: dict[str, str] = {}
        self._handlers = ((luigi.Event.SUCCESS, self._on_success), (luigi.Event.FAILURE, self._on_failure))

    def set_handlers(self) -> None:
        """Start to listen."""
        for event, handler in self._handlers:
            luigi.Task.event_handler(event)(handler)

    def remove_handlers(self) -> None:
        """Stop to listen; what was collected stays."""
        for event, handler in self._handlers:
            luigi.Task._event_callbacks.get(luigi.Task, {}).get(event, set()).discard(handler)

    def __enter__(self) -> EventAggregator:
        self.set_handlers()
        return self

    def __exit__(self, *_error: object) -> None:
        self.remove_handlers()

    def add(self, succeeded: Iterable[luigi.Task] = (), failed: Iterable[luigi.Task] = ()) -> None:
        """Add tasks that were run by other processes, whose events are not seen here.

        Parameters
        ----------
        succeeded, failed
            The tasks. Those that are known already are passed over.
        """
        for task in succeeded:
            self._on_success(task)
        for task in failed:
            self._failed.setdefault(_name(task), "see the log")

    def get_summary(self) -> str:
        """Return the numbers of both in one line."""
        return f"Success: {len(self._succeeded)}; Failure: {len(self._failed)}"

    def get_event_list(self) -> str:
        """Return the tasks, failures first, with what they raised."""
        parts = []
        if self._failed:
            lines = [f"Task: {name}; Exception: {error}" for name, error in self._failed.items()]
            parts += ["---- Failure Tasks ----", *lines]
        if self._succeeded:
            parts += ["---- Success Tasks ----", *self._succeeded]
        return os.linesep.join(parts) or "Tasks were not executed."

    def _on_success(self, task: luigi.Task) -> None:
        self._failed.pop(_name(task), None)  # a retry
        self._succeeded[_name(task)] = None

    def _on_failure(self, task: luigi.Task, error: BaseException) -> None:
        self._failed[_name(task)] = str(error)


def _name(task: luigi.Task) -> str:
    unique_id = task.make_unique_id() if isinstance(task, TaskOnKart) else task.task_id
    return f"{type(task).__name__}:[{unique_id}]"
