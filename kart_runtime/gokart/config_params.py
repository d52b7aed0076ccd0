"""gokart's name of the decorator that shares parameters."""

from kart_runtime.task.parameters import inherits_config_params

__all__ = ["inherits_config_params"]
