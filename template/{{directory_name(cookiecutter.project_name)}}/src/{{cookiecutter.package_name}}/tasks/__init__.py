"""Tasks: their dependencies, parameters and outputs. Each module has a test module, and a YAML file if it sets something."""
