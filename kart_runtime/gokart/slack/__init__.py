"""gokart's names of the report to Slack."""

from kart_runtime.slack import (
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
