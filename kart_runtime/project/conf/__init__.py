"""Configuration of a project: YAML layers, overrides and their binding to parameters."""
