"""What is `gokart.tree`? The modules that tell of tasks; see `kart_runtime.task_info`."""
