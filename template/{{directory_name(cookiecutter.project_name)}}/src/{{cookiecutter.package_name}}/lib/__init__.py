"""Pure functions: values in, values out. No task, no file, no configuration, so each is tested by calling it."""
