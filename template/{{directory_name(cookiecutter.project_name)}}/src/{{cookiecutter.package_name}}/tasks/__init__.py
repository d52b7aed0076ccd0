"""Tasks: what is computed from what, and where it is kept. One module of tasks, one YAML file, one test module."""
