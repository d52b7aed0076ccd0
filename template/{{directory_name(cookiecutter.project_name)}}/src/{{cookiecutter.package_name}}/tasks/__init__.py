"""Tasks: their dependencies, parameters and outputs. Each module has one YAML file and one test module."""
