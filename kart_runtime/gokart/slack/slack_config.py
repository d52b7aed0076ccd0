"""gokart's name of the settings of the report to Slack."""

from kart_runtime.slack import SlackConfig

__all__ = ["SlackConfig"]
