"""Changes of a project that keep it whole: a task with its configuration, test and references is renamed or removed."""
