"""gokart's name of what collects luigi's events."""

from kart_runtime.gokart.slack.slack_api import EventAggregator

__all__ = ["EventAggregator"]
