"""gokart's names of the report to Slack."""

from kart_runtime.gokart.slack.slack_api import (
    ChannelListNotLoadedError,
    ChannelNotFoundError,
    EventAggregator,
    FileNotUploadedError,
    SlackAPI,
    SlackConfig,
)

__all__ = [
    "ChannelListNotLoadedError",
    "ChannelNotFoundError",
    "EventAggregator",
    "FileNotUploadedError",
    "SlackAPI",
    "SlackConfig",
]
