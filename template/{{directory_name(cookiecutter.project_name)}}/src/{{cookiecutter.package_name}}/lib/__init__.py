"""Pure functions: no tasks, files or configuration, so you can test each by calling it."""
