"""Scheduling: which task runs next, within the limits of workers and resources."""
