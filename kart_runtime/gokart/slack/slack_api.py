"""gokart's names of the client of Slack."""

from kart_runtime.slack import ChannelListNotLoadedError, ChannelNotFoundError, FileNotUploadedError, SlackAPI

__all__ = ["ChannelListNotLoadedError", "ChannelNotFoundError", "FileNotUploadedError", "SlackAPI"]
