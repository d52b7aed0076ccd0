"""Tasks: their dependencies, parameters and outputs. Each module has a test, and a YAML file if it sets values."""
