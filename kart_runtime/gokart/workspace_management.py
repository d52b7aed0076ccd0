"""What is `gokart.workspace_management`? One name of `kart_runtime.workspace`."""

from kart_runtime.workspace import delete_unnecessary_outputs as delete_local_unnecessary_outputs

__all__ = ["delete_local_unnecessary_outputs"]
