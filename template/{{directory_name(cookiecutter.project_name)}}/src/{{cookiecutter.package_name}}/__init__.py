"""Tasks in `tasks` read and write; functions in `lib` compute. See the README."""
