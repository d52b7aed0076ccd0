"""Report of a run in a Slack channel, by Slack's own client. An error here is logged and never ends a run."""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from kart_runtime.errors import KartError, require_extra

_log = logging.getLogger(__name__)

BASE_URL = "https://slack.com/api/"
PAGE_LIMIT = 200
"""Pages of 100 channels to read before giving up."""


class SlackError(KartError, RuntimeError):
    """A request to Slack failed."""


class ChannelListNotLoadedError(SlackError):
    """Slack did not list its channels."""


class ChannelNotFoundError(SlackError):
    """No public channel has this name."""


class FileNotUploadedError(SlackError):
    """Slack did not accept a file."""


class SlackAPI:
    """Sender of reports to one channel of a Slack workspace.

    The channel is looked up at once. If that fails, a warning is logged and nothing will be sent. Requests are not
    repeated, so a Slack that is down or slow delays a run by one timeout a request.

    Parameters
    ----------
    token
        Token of a Slack app that may read channels and write files.
    channel
        Name of the channel.
    to_user
        User to mention; empty for nobody.
    base_url
        Address of Slack's API (default: environment variable SLACK_API_URL, then Slack's own address).
    timeout
        Seconds that a request may take.
    """

    def __init__(
        self, token: str, channel: str, to_user: str, base_url: str | None = None, timeout: float = 10.0
    ) -> None:
        self._to_user = to_user if not to_user or to_user.startswith("@") else f"@{to_user}"
        self._channel_id: str | None = None
        try:
            with require_extra("the report to Slack needs slack_sdk", "slack"):
                from slack_sdk import WebClient
            address = base_url or os.environ.get("SLACK_API_URL") or BASE_URL
            self._client = WebClient(token, address, timeout=timeout, retry_handlers=[])  # type: ignore[arg-type]
            self._channel_id = self._find(channel)
        except Exception as error:  # noqa: BLE001 - whatever the client raises must not end the run
            _log.warning("The run continues without a report to Slack: %s", error)

    def send_snippet(self, comment: str, title: str, content: str) -> None:
        """Send a message with a file; log a warning if that fails.

        Parameters
        ----------
        comment
            Text of the message.
        title
            Name of the file.
        content
            Text of the file.
        """
        if self._channel_id is None:
            _log.warning("No report was sent to Slack: the channel is not known (see the warning above).")
            return
        mentioned = f"<{self._to_user}> {comment}" if self._to_user else comment
        try:
            self._upload(self._channel_id, mentioned, title, content.encode())
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("The report could not be sent to Slack: %s: %s", type(error).__name__, error)

    def _find(self, channel: str) -> str:
        from slack_sdk.errors import SlackClientError

        try:
            for number, page in enumerate(self._client.conversations_list(exclude_archived=True, limit=100), 1):
                for entry in page.get("channels") or ():
                    if entry.get("name") == channel:
                        return str(entry["id"])
                if number == PAGE_LIMIT:
                    raise ChannelListNotLoadedError(f"Slack lists more than {PAGE_LIMIT} pages of channels.")
        except SlackClientError as error:
            raise ChannelListNotLoadedError(f"Slack did not list its channels: {_reason(error)}") from error
        raise ChannelNotFoundError(f"Slack has no public channel '{channel}' that this token can see.")

    def _upload(self, channel_id: str, comment: str, title: str, content: bytes) -> None:
        from slack_sdk.errors import SlackClientError

        try:
            place = self._client.files_getUploadURLExternal(filename=title, length=len(content))
            # Not by files_upload_v2, which opens any address it is given, also file:, and logs what it finds there.
            url, file_id = str(place.get("upload_url")), place.get("file_id")
            if urlsplit(url).scheme not in ("http", "https"):
                raise FileNotUploadedError(f"Slack gave an upload_url that is not an http or https address: {url}")
            with urlopen(Request(url, content, method="POST"), timeout=self._client.timeout):  # noqa: S310
                pass
            self._client.files_completeUploadExternal(
                files=[{"id": file_id, "title": title}], channel_id=channel_id, initial_comment=comment
            )
        except (SlackClientError, OSError) as error:
            raise FileNotUploadedError(f"Slack did not accept the file: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the message in one line, with the HTTP status of an answer that says no more."""
    status = getattr(getattr(error, "response", None), "status_code", 200)
    return " ".join([*([f"HTTP {status}:"] if status != 200 else []), *str(error).split()])
