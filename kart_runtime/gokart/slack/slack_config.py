"""gokart's name of the settings of the report to Slack."""

from kart_runtime.gokart.slack.slack_api import SlackConfig

__all__ = ["SlackConfig"]
