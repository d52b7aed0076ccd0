"""Executor that runs tasks in worker processes."""
