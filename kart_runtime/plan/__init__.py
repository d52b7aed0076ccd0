"""Dependency graph, and a run-or-skip decision for each task."""
