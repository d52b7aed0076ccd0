"""Execution of one task: attempts, locks, seeds and executors."""
