"""gokart's names of the report to Slack."""

from kart_runtime.gokart.slack.event_aggregator import EventAggregator
from kart_runtime.gokart.slack.slack_api import (
    ChannelListNotLoadedError,
    ChannelNotFoundError,
    FileNotUploadedError,
    SlackAPI,
)
from kart_runtime.gokart.slack.slack_config import SlackConfig

__all__ = [
    "ChannelListNotLoadedError",
    "ChannelNotFoundError",
    "EventAggregator",
    "FileNotUploadedError",
    "SlackAPI",
    "SlackConfig",
]
