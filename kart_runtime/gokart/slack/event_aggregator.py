"""gokart's name of what collects luigi's events."""

from kart_runtime.slack import EventAggregator

__all__ = ["EventAggregator"]
